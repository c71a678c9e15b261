"""What a real server loads: the views of `urls`, on the database that the tests run on."""

import json
import os
import sys

from django.conf import settings

from tests import settings as test_settings


def configure():
    """Settings of the tests, with our middleware and the test database behind a pool."""
    names = (name for name in dir(test_settings) if name.isupper())
    values = {name: getattr(test_settings, name) for name in names}
    database = json.loads(os.environ["AUDIT_TEST_DATABASE"])
    database["OPTIONS"] = {"pool": {"min_size": 1, "max_size": 16}}
    values |= {
        "DATABASES": {"default": database},
        "ROOT_URLCONF": "tests.actors.actorapp.urls",
        "MIDDLEWARE": [
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django_audit_fields.middleware.AuditMiddleware",
        ],
    }
    settings.configure(**values)


configure()
if "uvicorn" in sys.modules:
    from django.core.asgi import get_asgi_application

    application = get_asgi_application()
else:
    from django.core.wsgi import get_wsgi_application

    application = get_wsgi_application()
