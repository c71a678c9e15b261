"""The documentation's code is Python, and imports what there is."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

from django_audit_fields.checks.settings import RULES
from django_audit_fields.conf import DEFAULTS

DOCS = Path(__file__).parent.parent / "docs"
DOCUMENTS = [page for page in sorted(DOCS.rglob("*.md")) if "_build" not in page.parts]
OPTIONAL = {"celery", "django_tasks_db", "django_audit_fields.contrib.celery"}
OPTIONAL |= {"django_audit_fields.contrib.tasks", "channels", "ninja", "strawberry", "model_utils"}


def blocks():
    for document in DOCUMENTS:
        for block in re.finditer(r"^```python\n(.*?)^```", document.read_text(), re.S | re.M):
            line = document.read_text()[: block.start()].count("\n") + 1
            yield pytest.param(block[1], id=f"{document.relative_to(DOCS)}:{line}")


@pytest.mark.parametrize("code", list(blocks()))
def test_code_in_the_documentation(code):
    """Every block compiles, and every name it imports is there."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            # A reader's own module, or one that the tests' environment has not.
            if node.level or OPTIONAL & {node.module, node.module.split(".")[0]}:
                continue
            module = importlib.import_module(node.module)
            assert all(hasattr(module, name.name) for name in node.names)
        elif isinstance(node, ast.Import):
            for name in node.names:
                assert name.name in OPTIONAL or importlib.util.find_spec(name.name)


def test_every_check_is_documented():
    """The reference has each ID that the code may say, and no other; none stands there twice."""
    source = "".join(
        file.read_text() for file in (DOCS.parent / "django_audit_fields").rglob("*.py")
    )
    said = {*re.findall(r'"django_audit_fields\.([EW]\d{3})"', source)}
    said |= {rule.id for rule in RULES.values()}
    documented = re.findall(
        r"^\| `django_audit_fields\.([EW]\d{3})`", (DOCS / "reference/checks.md").read_text(), re.M
    )
    assert sorted(documented) == sorted(said)


def test_every_setting_is_documented():
    """The reference has a heading for each key of `AUDIT_FIELDS`."""
    headings = re.findall(r"^### `(\w+)`$", (DOCS / "reference/settings.md").read_text(), re.M)
    assert sorted(headings) == sorted(DEFAULTS)
