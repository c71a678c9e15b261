"""One Django project per lane: the same server and tables' shape, only that lane's package."""

import json
import os

LANE = os.environ.get("BENCH_LANE", "package")

#: What a project adds for each of them: applications and middleware.
FURTHER = {
    "bare": ([], []),
    "package": (["django_audit_fields"], ["django_audit_fields.middleware.AuditMiddleware"]),
    "textbook": ([], ["benchmarks.lanes.textbook.middleware.CurrentUserMiddleware"]),
    "pghistory_lane": (["pgtrigger", "pghistory"], ["pghistory.middleware.HistoryMiddleware"]),
    "auditlog_lane": (["auditlog"], ["auditlog.middleware.AuditlogMiddleware"]),
    "simple_history_lane": (
        ["simple_history"],
        ["simple_history.middleware.HistoryRequestMiddleware"],
    ),
    "model_utils_lane": ([], []),
}
OURS, PGHISTORY = FURTHER["package"], FURTHER["pghistory_lane"]
#: The same for what is recorded of a row: `benchmarks.trail`.
RECORDING = {
    "plain_record": ([], []),
    "trail_row": OURS,
    "pghistory_row": PGHISTORY,
    "trail_statement": OURS,
    "pghistory_statement": PGHISTORY,
    "auditlog_lane": FURTHER["auditlog_lane"],
    "simple_history_lane": FURTHER["simple_history_lane"],
}
APPS, MIDDLEWARES = {**FURTHER, **RECORDING}[LANE]

SECRET_KEY = "benchmarks"
DEBUG = False
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"django": {"handlers": ["console"], "propagate": False}},
}
USE_TZ = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "benchmarks.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DATABASES = {
    "default": {
        **json.loads(os.environ.get("BENCH_DATABASE", "{}")),
        "ENGINE": "django.db.backends.postgresql",
        "CONN_MAX_AGE": None,
    }
}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    *APPS,
    f"benchmarks.lanes.{LANE}",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    *MIDDLEWARES,
]
