from django.db import migrations, models

STAMP = """
CREATE FUNCTION sessionapp_stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.stamped_by := coalesce(nullif(current_setting('app.current_user', true), ''), 'nobody');
    NEW.preserved := coalesce(current_setting('app.audit_preserve', true), '') = 'on';
    RETURN NEW;
END
$$;
CREATE TRIGGER sessionapp_stamp BEFORE INSERT OR UPDATE ON sessionapp_note
    FOR EACH ROW EXECUTE FUNCTION sessionapp_stamp();
CREATE FUNCTION sessionapp_write(text) RETURNS text LANGUAGE sql AS
    'INSERT INTO sessionapp_note (text, stamped_by, preserved) VALUES ($1, '''', false) RETURNING
     stamped_by';
CREATE PROCEDURE sessionapp_write_and_commit(text) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sessionapp_note (text, stamped_by, preserved) VALUES ($1, '', false);
    COMMIT;
    INSERT INTO sessionapp_note (text, stamped_by, preserved) VALUES ($1 || ' again', '', false);
END
$$;
"""
UNSTAMP = """
DROP PROCEDURE sessionapp_write_and_commit;
DROP FUNCTION sessionapp_write;
DROP FUNCTION sessionapp_stamp CASCADE;
"""


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Note",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("text", models.CharField(max_length=200, null=True, unique=True)),
                ("stamped_by", models.TextField(default="", editable=False)),
                ("preserved", models.BooleanField(default=False, editable=False)),
            ],
        ),
        migrations.RunSQL(STAMP, UNSTAMP),
    ]
