"""Models that exist become audited ones, as docs/adopting.md says; each way forwards and back."""

import importlib
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, migrations, models, transaction
from django.db.models.functions import Cast
from django.test.utils import isolate_apps

from django_audit_fields import acting_as, preserve_audit_fields
from django_audit_fields.models import TimestampModel
from django_audit_fields.operations import InstallAuditTriggers
from django_audit_fields.people import names_of
from tests.adopting.history import APP, History, columns_of, execute, rows, settle

pytestmark = pytest.mark.django_db
LONG_AGO = datetime(2001, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
LATER = datetime(2011, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
STAMPS = "created_at, updated_at, created_by, updated_by"


@pytest.fixture(autouse=True)
def _own_apps():
    with isolate_apps("tests.adopting"):
        yield


@pytest.fixture
def history():
    return History()


def define(name, *bases, **body):
    meta = type("Meta", (), {"app_label": APP, **body.pop("meta", {})})
    defaults = {"__module__": __name__, "Meta": meta, "__str__": lambda self: str(self.pk)}
    return type(name, bases or (models.Model,), {**defaults, **body})


def redefine(name, *bases, **body):
    """The same model after models.py was edited."""
    with isolate_apps("tests.adopting"):
        return define(name, *bases, **body)


def now():
    return rows("SELECT now()")[0][0]


def test_a_model_with_rows(history):
    """Old rows are stamped with the time of the migration and the fallback; nobody is asked.

    Nobody has edited them, so both times are one. A row of plain SQL has its statement's.
    """
    history.adopt(define("Note", text=models.TextField()))
    execute("INSERT INTO adopting_note (text) VALUES ('old')")
    settle()
    note = redefine("Note", TimestampModel, text=models.TextField())
    history.adopt(note)
    (stamps,) = rows(f"SELECT {STAMPS} FROM adopting_note")
    assert stamps[2:] == ("system", "system")
    assert now() == stamps[0] == stamps[1]
    (added,) = rows(
        "INSERT INTO adopting_note (text) VALUES ('new')"
        " RETURNING created_at = statement_timestamp(), updated_at = created_at, now() < created_at"
    )
    assert added == (True, True, True)
    with acting_as("importer"):
        note.objects.update(text="new")
    assert rows("SELECT DISTINCT created_by, updated_by FROM adopting_note") == [
        ("system", "importer")
    ]
    history.go_back()
    assert columns_of("adopting_note") == {"id", "text"}
    assert rows("SELECT DISTINCT text FROM adopting_note") == [("new",)]


def test_columns_of_the_same_names(history):
    """`auto_now_add` and `auto_now` convert unedited, with their times."""
    history.adopt(
        define(
            "Note",
            created_at=models.DateTimeField(auto_now_add=True),
            updated_at=models.DateTimeField(auto_now=True),
        )
    )
    execute("INSERT INTO adopting_note (created_at, updated_at) VALUES (%s, %s)", LONG_AGO, LATER)
    settle()
    history.adopt(redefine("Note", TimestampModel))
    kept = (LONG_AGO, LATER, "system", "system")
    assert rows(f"SELECT {STAMPS} FROM adopting_note") == [kept]
    history.go_back()
    assert rows("SELECT created_at, updated_at FROM adopting_note") == [kept[:2]]


def old_note():
    return define(
        "Note",
        created=models.DateTimeField(auto_now_add=True),
        modified=models.DateTimeField(auto_now=True),
    )


RENAMES = [
    migrations.RenameField("note", "created", "created_at"),
    migrations.RenameField("note", "modified", "updated_at"),
]


def test_columns_of_other_names_are_renamed_by_hand(history):
    """What makemigrations then writes alters them, and keeps their times; back as well."""
    history.adopt(old_note())
    execute("INSERT INTO adopting_note (created, modified) VALUES (%s, %s)", LONG_AGO, LATER)
    settle()
    history.migrate(RENAMES)
    history.adopt(redefine("Note", TimestampModel))
    kept = (LONG_AGO, LATER, "system", "system")
    assert rows(f"SELECT {STAMPS} FROM adopting_note") == [kept]
    history.go_back()
    history.go_back()
    assert rows("SELECT created, modified FROM adopting_note") == [kept[:2]]


def test_columns_of_other_names_are_dropped_unless_renamed(history):
    """What makemigrations writes by itself: look at it before it runs."""
    history.adopt(old_note())
    operations = history.makemigrations(redefine("Note", TimestampModel))
    removed = [op.name for op in operations if isinstance(op, migrations.RemoveField)]
    assert removed == ["created", "modified"]


@pytest.mark.parametrize(
    ("package", "base"),
    [
        ("model_utils.models", "TimeStampedModel"),
        ("django_extensions.db.models", "TimeStampedModel"),
    ],
)
def test_a_base_of_another_package_is_replaced(history, package, base):
    """`created` and `modified` of model-utils and django-extensions, by the same two renames."""
    pytest.importorskip(package.split(".")[0])
    other = getattr(importlib.import_module(package), base)
    history.adopt(
        define(
            "Note",
            other,
        )
    )
    execute("INSERT INTO adopting_note (created, modified) VALUES (%s, %s)", LONG_AGO, LATER)
    settle()
    history.migrate(RENAMES)
    history.adopt(redefine("Note", TimestampModel))
    kept = (LONG_AGO, LATER, "system", "system")
    assert rows(f"SELECT {STAMPS} FROM adopting_note") == [kept]
    history.go_back()
    history.go_back()
    assert rows("SELECT created, modified FROM adopting_note") == [kept[:2]]


@pytest.fixture
def amara():
    return User.objects.create_user("amara", first_name="Amara", last_name="Okafor")


def owned(**options):
    return define("Note", created_by=models.ForeignKey(User, related_name="+", **options))


def test_a_foreign_key_becomes_a_label_unedited(history, amara):
    """Forwards: a key becomes its text, and nobody the fallback."""
    history.adopt(owned(on_delete=models.SET_NULL, null=True))
    execute("INSERT INTO adopting_note (created_by_id) VALUES (%s), (NULL)", amara.pk)
    settle()
    history.adopt(redefine("Note", TimestampModel))
    labels = [label for (label,) in rows("SELECT created_by FROM adopting_note ORDER BY id")]
    assert labels == [str(amara.pk), "system"]
    assert names_of(labels) == {str(amara.pk): "Amara Okafor", "system": "system"}


COLUMNS = ["created_by", "updated_by"]


def keys_alone(apps, schema_editor):
    """Labels that are no user's key become NULL, which a foreign key can hold."""
    users = apps.get_model("auth", "User").objects.annotate(label=Cast("pk", models.CharField()))
    notes = apps.get_model(APP, "Note").objects
    for name in COLUMNS:
        notes.exclude(**{f"{name}__in": users.values("label")}).update(**{name: None})
    # PostgreSQL alters no table whose foreign keys it has still to check.
    schema_editor.execute("SET CONSTRAINTS ALL IMMEDIATE")


THERE_AND_BACK = [
    *(
        migrations.AlterField("note", name, models.CharField(max_length=50, null=True))
        for name in COLUMNS
    ),
    migrations.RunPython(migrations.RunPython.noop, keys_alone),
]


def keys(**fields):
    """A model that knows its people by foreign keys, and another table besides."""
    people = {
        name: models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
        for name in [*COLUMNS, "subject"]
    }
    return {**people, **fields}


def test_foreign_keys_become_labels_and_go_back(history, amara):
    """By operations ahead of what makemigrations writes; who is no user is nobody again."""
    history.adopt(define("Note", **keys()))
    execute(
        "INSERT INTO adopting_note (created_by_id, subject_id) VALUES (%s, %s), (NULL, NULL)",
        amara.pk,
        amara.pk,
    )
    settle()
    history.migrate(THERE_AND_BACK)
    note = redefine("Note", TimestampModel, subject=keys()["subject"])
    history.adopt(note)
    for actor in (amara, "import:claims", "987654321"):
        with acting_as(actor):
            note.objects.create()
    key = str(amara.pk)
    labels = "SELECT created_by FROM adopting_note ORDER BY id"
    assert rows(labels) == [(key,), ("system",), (key,), ("import:claims",), ("987654321",)]
    history.go_back()
    history.go_back()
    assert rows("SELECT created_by_id FROM adopting_note ORDER BY id") == [
        (amara.pk,),
        (None,),
        (amara.pk,),
        (None,),
        (None,),
    ]
    assert columns_of("adopting_note") == {"id", "created_by_id", "updated_by_id", "subject_id"}


def force_row_security(word):
    return f"ALTER TABLE adopting_note {word} ROW LEVEL SECURITY"


LIFT = migrations.RunSQL(force_row_security("NO FORCE"), force_row_security("FORCE"))
PUT_BACK = migrations.RunSQL(force_row_security("FORCE"), force_row_security("NO FORCE"))


@pytest.fixture
def _keeper():
    """A role that owns its tables and passes by no policy; in a schema that is its own."""
    execute("CREATE ROLE keeper")
    execute("CREATE SCHEMA keep AUTHORIZATION keeper")
    execute("GRANT SELECT, UPDATE, REFERENCES ON auth_user TO keeper")
    execute("SET LOCAL search_path TO keep, public")


@pytest.mark.usefixtures("_keeper")
def test_a_table_whose_policies_bind_its_owner_too(history, amara):
    """What a migration cannot see it does not fill: the policies are lifted for its transaction."""
    execute("SET LOCAL ROLE keeper")
    history.adopt(define("Note", tenant=models.TextField(), **keys()))
    insert = "INSERT INTO adopting_note (tenant, created_by_id) VALUES ('a', %s), ('b', NULL)"
    execute(insert, amara.pk)
    settle()
    execute("ALTER TABLE adopting_note ENABLE ROW LEVEL SECURITY")
    execute(force_row_security("FORCE"))
    execute("CREATE POLICY own ON adopting_note USING (tenant = current_setting('x.y', true))")
    history.migrate(LIFT, THERE_AND_BACK, PUT_BACK)
    fields = {"tenant": models.TextField(), "subject": keys()["subject"]}
    note = redefine("Note", TimestampModel, **fields)
    with pytest.raises(IntegrityError, match="contains null values"), transaction.atomic():
        history.migrate(history.makemigrations(note))
    history.migrate(LIFT, history.makemigrations(note), PUT_BACK)
    forced = "SELECT relforcerowsecurity FROM pg_class WHERE oid = 'adopting_note'::regclass"
    assert rows(forced) == [(True,)]
    execute("RESET ROLE")
    people = "SELECT created_by FROM adopting_note ORDER BY id"
    assert rows(people) == [(str(amara.pk),), ("system",)]
    execute("SET LOCAL ROLE keeper")
    history.go_back()
    history.go_back()
    assert rows(forced) == [(True,)]
    execute("RESET ROLE")
    assert rows("SELECT created_by_id FROM adopting_note ORDER BY id") == [(amara.pk,), (None,)]


def test_a_base_that_has_the_columns_stands_after_ours(history, amara):
    """Else its columns are the model's; what its `save()` puts into them counts for nothing."""

    def save(self, *args, **kwargs):
        self.created_by = self.updated_by = amara
        models.Model.save(self, *args, **kwargs)

    owned = {
        "created_at": models.DateTimeField(auto_now_add=True),
        "updated_at": models.DateTimeField(auto_now=True),
        **keys(),
        "save": save,
        "meta": {"abstract": True},
    }
    history.adopt(define("Note", define("Owned", **owned)))
    execute(
        "INSERT INTO adopting_note (created_at, updated_at, created_by_id) VALUES (%s, %s, %s)",
        LONG_AGO,
        LATER,
        amara.pk,
    )
    settle()
    history.migrate(THERE_AND_BACK)
    note = redefine("Note", TimestampModel, redefine("Owned", **{**owned, **keys()}))
    history.adopt(note)
    with acting_as("importer"):
        note.objects.create()
    old, new = rows(f"SELECT {STAMPS} FROM adopting_note ORDER BY id")
    assert old == (LONG_AGO, LATER, str(amara.pk), "system")
    assert new[2:] == ("importer", "importer")
    history.go_back()
    history.go_back()
    assert rows("SELECT created_at, created_by_id FROM adopting_note ORDER BY id LIMIT 1") == [
        (LONG_AGO, amara.pk)
    ]


def test_a_label_beside_a_foreign_key(history, amara):
    """`author` stays what it is; the label is filled from it once."""
    author = {"author": models.ForeignKey(User, models.CASCADE, related_name="+")}
    history.adopt(define("Note", **author))
    execute("INSERT INTO adopting_note (author_id) VALUES (%s)", amara.pk)
    settle()
    author = {"author": models.ForeignKey(User, models.CASCADE, related_name="+")}
    history.adopt(redefine("Note", TimestampModel, **author))
    history.migrate(
        migrations.RunSQL(
            """
            SET LOCAL app.audit_preserve TO 'on';
            UPDATE adopting_note SET created_by = author_id::text;
            SET LOCAL app.audit_preserve TO '';
            """,
            migrations.RunSQL.noop,
        )
    )
    people = "SELECT author_id, created_by, updated_by FROM adopting_note"
    assert rows(people) == [(amara.pk, str(amara.pk), "system")]
    history.go_back()
    history.go_back()
    assert columns_of("adopting_note") == {"id", "author_id"}


def test_a_plain_update_of_created_at_changes_nothing(history):
    """It is what the trigger is for: an import says so, by SQL or by ORM."""
    note = define("Note", TimestampModel)
    history.adopt(note)
    note.objects.create()
    before = rows("SELECT created_at, created_by FROM adopting_note")
    execute("UPDATE adopting_note SET created_at = %s, created_by = 'x'", LONG_AGO)
    assert rows("SELECT created_at, created_by FROM adopting_note") == before
    note.objects.update(created_at=LONG_AGO, created_by="x")
    assert rows("SELECT created_at, created_by FROM adopting_note") == before


def backfill_by_orm(apps, schema_editor):
    note = apps.get_model(APP, "Note")
    with preserve_audit_fields():
        note.objects.update(created_at=LONG_AGO, created_by="17", updated_at=LATER, updated_by="18")


BACKFILLS = {
    "ORM": migrations.RunPython(backfill_by_orm, migrations.RunPython.noop),
    "SQL": migrations.RunSQL(
        f"""
        SET LOCAL app.audit_preserve TO 'on';
        UPDATE adopting_note SET created_at = '{LONG_AGO}', created_by = '17',
            updated_at = '{LATER}', updated_by = '18';
        SET LOCAL app.audit_preserve TO '';
        """,
        migrations.RunSQL.noop,
    ),
}


@pytest.mark.parametrize("backfill", BACKFILLS.values(), ids=BACKFILLS)
def test_a_backfill_is_stored_as_given(history, backfill):
    """And what the next migration writes is stamped again."""
    note = define("Note", TimestampModel, text=models.TextField(default=""))
    history.adopt(note)
    note.objects.create()
    history.migrate(backfill)
    assert rows(f"SELECT {STAMPS} FROM adopting_note") == [(LONG_AGO, LATER, "17", "18")]
    with acting_as("after"):
        execute("UPDATE adopting_note SET text = 'new'")
    assert rows("SELECT created_by, updated_by FROM adopting_note") == [("17", "after")]
    history.go_back()


def test_a_second_abstract_base(history):
    """With a Meta and a manager of its own; `TimestampModel` comes first."""

    class Tenanted(models.Model):
        tenant = models.IntegerField(default=1)

        class Meta:
            abstract = True
            app_label = APP
            ordering = ["tenant"]

    history.adopt(define("Note", Tenanted, meta={"ordering": ["tenant"]}))
    execute("INSERT INTO adopting_note (tenant) VALUES (7)")
    settle()
    meta = type("Meta", (TimestampModel.Meta, Tenanted.Meta), {"abstract": False})
    note = redefine("Note", TimestampModel, Tenanted, Meta=meta)
    history.adopt(note)
    assert note._meta.ordering == ["tenant"]
    with acting_as("importer"):
        note.objects.create(tenant=8)
    assert rows("SELECT tenant, created_by FROM adopting_note ORDER BY tenant") == [
        (7, "system"),
        (8, "importer"),
    ]
    history.go_back()


def test_a_table_of_another_app(history):
    """Columns first, then the trigger; old rows stay NULL until somebody fills them."""
    old = User.objects.create_user("old")
    settle()
    columns = {
        "created_at": "timestamptz",
        "updated_at": "timestamptz",
        "created_by": "varchar(50)",
        "updated_by": "varchar(50)",
    }
    history.migrate(
        [
            migrations.RunSQL(
                f"ALTER TABLE auth_user ADD COLUMN {name} {kind} NULL",
                f"ALTER TABLE auth_user DROP COLUMN {name}",
            )
            for name, kind in columns.items()
        ],
        InstallAuditTriggers("auth_user"),
    )
    with acting_as("hr"):
        User.objects.create_user("new")
        User.objects.filter(pk=old.pk).update(first_name="Old")
    people = "SELECT username, created_by, updated_by FROM auth_user ORDER BY id"
    assert rows(people) == [("old", None, "hr"), ("new", "hr", "hr")]
    assert rows("SELECT count(*) FROM auth_user WHERE updated_at IS NULL") == [(0,)]
    history.go_back()
    assert columns.keys().isdisjoint(columns_of("auth_user"))
    assert rows("SELECT username, first_name FROM auth_user ORDER BY id") == [
        ("old", "Old"),
        ("new", ""),
    ]


LARGE = [
    # Each is a change of the catalog alone: no row is read or written.
    migrations.RunSQL("SET LOCAL lock_timeout TO '2s'", "SET LOCAL lock_timeout TO '2s'"),
]


def test_a_migration_may_give_up_waiting_for_its_lock(history):
    """`lock_timeout` stands ahead of what makemigrations wrote, both ways."""
    history.adopt(define("Note"))
    execute("INSERT INTO adopting_note DEFAULT VALUES")
    settle()
    note = redefine("Note", TimestampModel)
    history.migrate(LARGE, history.makemigrations(note))
    assert history.makemigrations(note) == []
    assert rows("SHOW lock_timeout") == [("2s",)]
    history.go_back()


def test_columns_are_added_without_writing_a_row(history):
    """The defaults are stable expressions, which PostgreSQL works out once."""
    history.adopt(define("Note"))
    execute("INSERT INTO adopting_note SELECT FROM generate_series(1, 100)")
    settle()
    file = "SELECT pg_relation_filenode('adopting_note')"
    before = rows(file), rows("SELECT ctid, xmin FROM adopting_note")
    history.adopt(redefine("Note", TimestampModel))
    assert (rows(file), rows("SELECT ctid, xmin FROM adopting_note")) == before
