"""A trail without events, which the tests then seal."""

from pathlib import Path

import pytest
from django.db import connection

from tests.trail.evidence.trail import tampering
from tests.trail.recorded import execute


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents and connection.vendor != "postgresql":
            item.add_marker(pytest.mark.skip(reason="The trail is PostgreSQL's."))


@pytest.fixture
def trail(transactional_db):
    """Seals see what is committed. Nothing else empties these tables between two tests."""
    with tampering():
        execute("TRUNCATE audit_trail.event, audit_trail.seal")
    return None
