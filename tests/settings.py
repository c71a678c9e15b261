"""The settings of the test project: one PostgreSQL, the package, Django's own apps."""

import sys

from example_project.embedded_database import database_settings

SECRET_KEY = "tests"
USE_TZ = True
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# The type checker imports these settings and needs no server.
IS_TYPE_CHECKING = "mypy" in sys.modules
TYPE_CHECKING_ONLY = {"ENGINE": "django.db.backends.postgresql"}
DATABASES = {"default": TYPE_CHECKING_ONLY if IS_TYPE_CHECKING else database_settings("postgres")}

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.admin",
    "django.contrib.postgres",
    "django_audit_fields",
    "tests.testapp",
    "tests.carrying.sessionapp",
    "tests.actors.actorapp",
    "tests.triggers.triggersapp",
    "tests.stamping.oddapp",
    "tests.trail.trailapp",
    "tests.trail.reading.readingapp",
    *(["tests.typing"] if IS_TYPE_CHECKING else []),
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_audit_fields.middleware.AuditMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ODDAPP_SWAPPABLE = "oddapp.Swapped"
