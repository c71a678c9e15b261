"""What users install: the public names, the types, the files beside the code, the dependencies."""

import re
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

import pytest

import django_audit_fields

PROJECT = Path(__file__).parent.parent
ROOT_NAMES = [
    "NoActorError",
    "acting_as",
    "audit_context",
    "bind_actor",
    "current_actor",
    "preserve_audit_fields",
]


def test_root_exports_the_documented_names():
    """`__all__` is sorted, complete, and every name in it is there."""
    assert django_audit_fields.__all__ == sorted(ROOT_NAMES)
    assert all(callable(getattr(django_audit_fields, name)) for name in ROOT_NAMES)


def test_root_is_imported_before_apps_are_loaded():
    """Settings modules and other apps import it early: it needs neither settings nor models."""
    program = (
        "import sys, django_audit_fields;sys.exit('django_audit_fields.models' in sys.modules)"
    )
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (0, "")


def test_runtime_dependencies_are_three():
    """Whatever tests and example need stays in the extras."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    required = {re.split(r"[<>=!~ ;\[]", line)[0] for line in project["dependencies"]}
    assert required == {"django", "psycopg", "django-crum"}
    assert project["name"] == "django-pg-audit-fields"


@pytest.mark.parametrize("name", ["py.typed"])
def test_files_beside_the_code_are_found(name):
    """Type checkers look for the marker where the package is."""
    assert resources.files("django_audit_fields").joinpath(name).is_file()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("models", "TimestampModel"),
        ("models", "AuditQuerySet"),
        ("models", "AuditManager"),
        ("middleware", "AuditMiddleware"),
        ("triggers", "AuditTrigger"),
        ("operations", "InstallAuditTriggers"),
        ("admin", "AuditAdminMixin"),
    ],
)
def test_documented_names_stand_where_they_are_documented(module, name):
    """Users' migrations and settings name these paths, so they never move."""
    __import__(f"django_audit_fields.{module}")
    assert hasattr(sys.modules[f"django_audit_fields.{module}"], name)
