"""What a statement that only reads may need: nothing, or the user, to learn who is acting."""

from __future__ import annotations

import functools
import re
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from ..actors import resolving
from ..conf import audit_settings

_COLUMNS_FIRST: Final = re.compile(r'SELECT (?:DISTINCT )?"[^"]+"\."')


def may_read_user(sql: Any) -> bool:
    """Not for what may be reading the user at this moment: Django would load it twice.

    Without `CARRY_READS` that is whatever surely selects columns, as the ORM does, and calls no
    function first. With it a row's policy waits for the name, so only what reads users and sessions
    goes without.
    """
    if not isinstance(sql, str):
        return True
    if audit_settings().carry_reads:
        return not any(table in sql for table in _tables_of_users())
    return _COLUMNS_FIRST.match(sql) is None


@functools.cache
def _tables_of_users() -> tuple[str, ...]:
    try:
        users = get_user_model()._meta.db_table
    except ImproperlyConfigured:
        return ()
    return (f'"{users}"', '"django_session"')


def _forget_users(*, setting: str, **kwargs: Any) -> None:
    if setting == "AUTH_USER_MODEL":
        _tables_of_users.cache_clear()


setting_changed.connect(_forget_users, dispatch_uid="django_audit_fields.forget_tables_of_users")


def is_plain_select(sql: str) -> bool:
    """Whether `sql`, told from its text alone, surely carries nothing: most statements are such."""
    return (
        sql[:7] == "SELECT "
        and ";" not in sql
        and ("(" not in sql or "set_config" not in sql.lower())
        and resolving() is None
        and not audit_settings().carry_reads
    )
