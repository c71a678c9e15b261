"""What a project is told when it starts with something missing, and tests that swap its apps."""

import subprocess
import sys

import pytest
from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse
from django.test import override_settings

from django_audit_fields import current_actor
from django_audit_fields.middleware import AuditMiddleware


class Somebody:
    is_authenticated = True
    pk = 7


def request():
    made = HttpRequest()
    made.user = Somebody()
    return made


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_middleware_without_its_app_is_told_at_start_up():
    """Its checks would not run, and its rows would all be the fallback's."""
    finished = run(
        "from django.conf import settings; settings.configure(INSTALLED_APPS=[])\n"
        "import django; django.setup()\n"
        "from django_audit_fields.middleware import AuditMiddleware\n"
        "AuditMiddleware(lambda request: None)"
    )
    assert finished.returncode == 1
    assert finished.stderr.splitlines()[-1].endswith(
        "AuditMiddleware is in MIDDLEWARE without its app: "
        "add 'django_audit_fields' to INSTALLED_APPS."
    )


def test_psycopg_3_is_missing():
    """One line says what to install."""
    finished = run(
        "import sys; sys.modules['psycopg'] = None\n"
        "from django.conf import settings; settings.configure()\n"
        "import django_audit_fields"
    )
    assert finished.returncode == 1
    last = finished.stderr.splitlines()[-1]
    assert "needs psycopg 3" in last
    assert "pip install 'psycopg[binary]'" in last


@pytest.mark.parametrize("is_async", [False, True])
def test_a_test_that_leaves_the_app_out_gets_its_answer(is_async):
    """The request passes as without the package: nobody acts."""
    found = []

    def view(request):
        found.append(current_actor())
        return HttpResponse("passed")

    async def async_view(request):
        return view(request)

    def ask():
        if is_async:
            middleware = AuditMiddleware(async_view)

            async def send():
                return await middleware(request())

            return async_to_sync(send)()
        return AuditMiddleware(view)(request())

    with override_settings(INSTALLED_APPS=[]):
        assert ask().content == b"passed"
    assert ask().content == b"passed"
    assert found == ["system", "7"]
