"""These tests want packages that the ordinary ones do without."""

from django.conf import settings

collect_ignore_glob = [] if "tests.mixes" in settings.INSTALLED_APPS else ["test_*.py"]
