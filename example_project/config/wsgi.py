"""The application as gunicorn serves it."""

from __future__ import annotations

import os

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# The stylesheets come from the same process: the example has no web server in front.
application = StaticFilesHandler(get_wsgi_application())
