"""The test project with other people's packages beside ours: `make test-mixes`."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as OUR_APPS

INSTALLED_APPS = [
    *(app for app in OUR_APPS if app == "tests.testapp" or not app.startswith("tests.")),
    "polymorphic",
    "mptt",
    "treebeard",
    "rest_framework",
    "import_export",
    "simple_history",
    "concurrency",
    "tests.mixes",
]
# An app without migrations cannot point to one that has them, as polymorphic models do.
MIGRATION_MODULES = dict.fromkeys(["admin", "auth", "contenttypes", "sessions"])
IMPORT_EXPORT_USE_TRANSACTIONS = True
