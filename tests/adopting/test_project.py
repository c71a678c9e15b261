"""A whole project: its files, its own database, `manage.py` from the first model to the last."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import connection

ROOT = Path(__file__).parents[2]
BEFORE = """
from django.conf import settings
from django.db import models


class Note(models.Model):
    text = models.TextField()
    created = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)
"""
AFTER = """
from django.db import models
from django_audit_fields.models import TimestampModel


class Note(TimestampModel):
    text = models.TextField()
"""
BY_HAND = """
from django.db import migrations, models
from django.db.models.functions import Cast


def keys_alone(apps, schema_editor):
    users = apps.get_model("auth", "User").objects.annotate(label=Cast("pk", models.CharField()))
    notes = apps.get_model("notes", "Note").objects
    notes.exclude(created_by__in=users.values("label")).update(created_by=None)


class Migration(migrations.Migration):
    dependencies = [
        ("notes", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]
    operations = [
        migrations.RenameField("note", "created", "created_at"),
        migrations.AlterField("note", "created_by", models.CharField(max_length=50, null=True)),
        migrations.RunPython(migrations.RunPython.noop, keys_alone),
    ]
"""
WRITE = """
from django.contrib.auth.models import User
from notes.models import Note
user = User.objects.create_user("amara")
Note.objects.create(text="one", created_by=user)
Note.objects.create(text="two")
"""
READ = """
from django_audit_fields import acting_as
from django_audit_fields.people import names_of
from notes.models import Note
with acting_as("import"):
    Note.objects.create(text="three")
names = names_of(Note.objects.values_list("created_by", flat=True))
assert sorted(names.values()) == ["amara", "import", "system"], names
"""
READ_BACK = """
from notes.models import Note
people = {note.text: note.created_by and note.created_by.username for note in Note.objects.all()}
assert people == {"one": "amara", "two": None, "three": None}, people
"""


@pytest.fixture
def database(transactional_db):
    """An empty one on the server that the tests use."""
    name = f"{connection.settings_dict['NAME']}_project"
    given = {**connection.get_connection_params(), "dbname": "postgres"}
    for unwanted in ("cursor_factory", "context", "prepare_threshold", "server_side_binding"):
        given.pop(unwanted, None)
    with psycopg.connect(**given, autocommit=True) as server:
        server.execute(f'DROP DATABASE IF EXISTS "{name}"')
        server.execute(f'CREATE DATABASE "{name}"')
        yield {**settings.DATABASES["default"], "NAME": name}
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def manage(database, tmp_path):
    """Runs a command of the project in `tmp_path`."""
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "__init__.py").touch()
    kept = {key: database[key] for key in ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")}
    (tmp_path / "project.py").write_text(
        f"DATABASES = {{'default': {json.dumps(kept)}}}\n"
        "INSTALLED_APPS = ['django.contrib.auth', 'django.contrib.contenttypes',\n"
        "                  'django_audit_fields', 'notes']\n"
        "MIDDLEWARE = ['django.contrib.auth.middleware.AuthenticationMiddleware',\n"
        "              'django_audit_fields.middleware.AuditMiddleware']\n"
        "USE_TZ = True\nDEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'\n"
    )
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "project", "PYTHONPATH": paths}

    def run(*arguments, program=None):
        finished = subprocess.run(
            [sys.executable, "-m", "django", *arguments],
            cwd=tmp_path,
            env=environment,
            input=program,
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout

    return run


def test_a_project_adopts_the_package_and_leaves_it(manage, tmp_path):
    """Times and people come along, nothing is left to write, and all of it goes back."""
    models, folder = tmp_path / "notes" / "models.py", tmp_path / "notes" / "migrations"
    models.write_text(BEFORE)
    manage("makemigrations", "notes", "--noinput")
    manage("migrate", "--verbosity=0")
    manage("shell", "--command", WRITE)

    (folder / "0002_by_hand.py").write_text(BY_HAND)
    models.write_text(AFTER)
    manage("makemigrations", "notes", "--noinput", "--name=audit")
    manage("makemigrations", "--check", "--dry-run")
    manage("migrate", "--verbosity=0")
    manage("shell", "--command", READ)
    assert manage("audit_triggers", "check") == ""
    manage("check", "--database=default", "--fail-level=WARNING")

    manage("migrate", "notes", "0001", "--verbosity=0")
    models.write_text(BEFORE)
    manage("shell", "--command", READ_BACK)
