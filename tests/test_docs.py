"""The documentation's code is Python, and imports what there is."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

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
