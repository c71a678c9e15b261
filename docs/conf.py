"""The site of this folder: `make docs`."""

from __future__ import annotations

import tomllib
import urllib.request
from pathlib import Path

import django
from django.conf import settings

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))[
    "project"
]
REPOSITORY = PROJECT["urls"]["Repository"]

# The docstrings are read from the code, and models can be imported only in a project.
settings.configure(
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django_audit_fields",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
)
django.setup()

# For reference/sql.md: what `sqlmigrate` prints for a model with the four columns.
from django_audit_fields.triggers import (  # noqa: E402 # needs Django
    ROLES,
    TIME_DEFAULT_SQL,
    TIME_ROLES,
    Stamping,
    install_sql,
)

GENERATED = Path(__file__).parent / "_build" / "generated"
GENERATED.mkdir(parents=True, exist_ok=True)
stamping = Stamping.of({role: role for role in ROLES})
defaults = dict.fromkeys(TIME_ROLES, TIME_DEFAULT_SQL)
printed = install_sql('"billing_invoice"', stamping, defaults=defaults)
(GENERATED / "model.sql").write_text(printed + "\n", "utf-8")

project = PROJECT["name"]
author = "the contributors"
copyright = "the contributors"
release = version = PROJECT["version"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]

myst_enable_extensions = ["attrs_block", "colon_fence", "deflist", "fieldlist"]
# Headings can be linked to, and a link to one that is not there is a warning.
myst_heading_anchors = 3

# A name between single backticks in a docstring is code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
nitpicky = True
# Names of other projects, which nothing resolves without a network. Our own are checked.
nitpick_ignore_regex = [
    ("py:.*", r"(?!django_audit_fields\b).*"),
]

MAPPING = {
    "python": "https://docs.python.org/3",
    "django": "https://docs.djangoproject.com/en/stable",
    "psycopg": "https://www.psycopg.org/psycopg3/docs",
}


def is_online() -> bool:
    """A build without a network is the same but for links to names of other projects."""
    try:
        for address in MAPPING.values():
            with urllib.request.urlopen(f"{address}/objects.inv", timeout=5):
                pass
    except OSError as error:
        print(f"No links to names of other projects: {error}")
        return False
    return True


intersphinx_mapping = {name: (url, None) for name, url in MAPPING.items()} if is_online() else {}

# Our own addresses are there once the project is published; tests compare them with the files here.
linkcheck_ignore = [f"{PROJECT['urls']['Documentation']}.*", f"{REPOSITORY}.*"]

copybutton_prompt_text = r">>> |\.\.\. |\$ |=# "
copybutton_prompt_is_regexp = True

html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme = "furo"
html_title = f"{project} {release}"
html_theme_options = {
    "source_repository": f"{REPOSITORY}/",
    "source_branch": "main",
    "source_directory": "docs/",
}
