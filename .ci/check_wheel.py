"""Build the wheel, install it into an empty environment, and look at what users would get."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT / "example_project"))
from embedded_database import database_settings  # noqa: E402 # where it is stands above

PACKAGE = PROJECT / "django_audit_fields"
#: Django's own machinery has to find app, models, migrations and command in the installed package.
PROGRAM = """
import json, pathlib, sys
import django_audit_fields
assert "django_audit_fields.models" not in sys.modules, "the package's root imports its models"
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django_audit_fields"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django_audit_fields.middleware.AuditMiddleware",
    ],
    DATABASES={"default": json.loads(sys.argv[1])},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
)
django.setup()
from django.core.management import call_command
from django_audit_fields.models import TimestampModel
from django_audit_fields.operations import InstallAuditTriggers
from django_audit_fields.triggers import AuditTrigger
call_command("check", fail_level="WARNING")
call_command("makemigrations", "--check", "--dry-run", verbosity=0)
call_command("migrate", verbosity=0)
call_command("audit_triggers", "check")
place = pathlib.Path(django_audit_fields.__file__)
assert pathlib.Path(sys.prefix) in place.parents, place
print("Django", django.get_version(), "runs with", place.parent.name, "from the wheel.")
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, PROJECT)
        [wheel] = folder.glob("*.whl")
        check_contents(wheel)
        venv.create(folder / "environment", with_pip=True)
        python = folder / "environment" / "bin" / "python"
        # psycopg's own binary extra, since the machine may have no libpq.
        run(python, "-m", "pip", "install", "-q", wheel, "psycopg[binary]")
        database = json.dumps(database_settings("wheel"))
        run(python, "-W", "error", "-c", PROGRAM, database, cwd=folder)


def run(*command: str | Path, cwd: Path | None = None) -> None:
    subprocess.run([str(part) for part in command], check=True, cwd=cwd)


def check_contents(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        [metadata] = [n for n in names if n.endswith(".dist-info/METADATA")]
        headers = Parser().parsestr(archive.read(metadata).decode())
    shipped = {
        path.relative_to(PROJECT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    expect("files of the package", {n for n in names if ".dist-info/" not in n}, shipped)
    expect("a marker for type checkers", "django_audit_fields/py.typed" in names, True)
    needed = {
        re.split(r"[<>=!~ ;\[]", requirement)[0].lower()
        for requirement in headers.get_all("Requires-Dist", [])
        if "extra ==" not in requirement
    }
    expect("dependencies", needed, {"django", "psycopg", "django-crum"})
    print(
        f"{wheel.name}: {len(shipped)} files, depends on {', '.join(sorted(needed))}.", flush=True
    )


def expect(what: str, actual: object, expected: object) -> None:
    if actual != expected:
        sys.exit(f"The wheel's {what}: {actual}, expected {expected}")


if __name__ == "__main__":
    main()
