"""The same project without PostgreSQL: layers 1 and 2 alone. `tests/test_sqlite.py` runs it."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as ALL_APPS

DATABASES = {
    alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    for alias in ("default", "other")
}
# The migrations of these speak PostgreSQL's SQL.
INSTALLED_APPS = [
    app
    for app in ALL_APPS
    if app not in ("tests.carrying.sessionapp", "tests.triggers.triggersapp")
]
