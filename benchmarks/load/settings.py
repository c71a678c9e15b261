"""The project under load. Its servers reach PostgreSQL through PgBouncer, the clients directly."""

import json
import os

SECRET_KEY = "load"
DEBUG = False
USE_TZ = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "benchmarks.load.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        **json.loads(os.environ.get("LOAD_DATABASE", "{}")),
        "ENGINE": "django.db.backends.postgresql",
        # Transaction pooling: the next statement may be another backend's.
        "DISABLE_SERVER_SIDE_CURSORS": True,
        "CONN_MAX_AGE": int(os.environ.get("LOAD_CONN_MAX_AGE", "0")),
    }
}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django_audit_fields",
    "benchmarks.load",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_audit_fields.middleware.AuditMiddleware",
]
# A view that fails on purpose does so hundreds of times.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"nowhere": {"class": "logging.NullHandler"}},
    "loggers": {"django.request": {"handlers": ["nowhere"], "propagate": False}},
}
