"""Who is behind a label? Names for what `created_by` and `updated_by` hold.

Leaves who is acting to `actors`. A label that names no user is its own name.
"""

from __future__ import annotations

import functools
import logging
import operator
from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Cast, Coalesce, Concat, NullIf, Trim
from django.db.models.lookups import Regex
from django.utils.module_loading import import_string
from django.utils.translation import gettext

from .actors import label_for, request_in_force
from .conf import DEFAULTS, audit_settings, label_fault

__all__ = [
    "LABEL_COLUMNS",
    "labels_of_people",
    "name_expression",
    "name_of",
    "names_of",
    "prefetch",
    "user_of",
]

LABEL_COLUMNS = ("created_by", "updated_by")

logger = logging.getLogger("django_audit_fields")
#: Errors that were logged: one that comes back for every row would fill the log.
_logged: set[tuple[str, type[Exception], str]] = set()


def name_of(label: str | None) -> str:
    """The name of whom `label` stands for; `""` for no label."""
    return names_of([label])[label] if label else ""


def names_of(labels: Iterable[str | None]) -> dict[str, str]:
    """The name of each label, in one query for any number of them; empty ones are left out."""
    users = _users_of(labels)
    return {label: _name(label, user) for label, user in users.items()}


def user_of(label: str | None) -> Any:
    """The user whom `label` stands for, or None."""
    return _users_of([label]).get(label) if label else None


def prefetch(rows: Iterable[Any], *columns: str) -> dict[str, str]:
    """Ask for the people of all `rows` in one query, before they are shown one by one.

    `columns` are the fields that hold labels, `created_by` and `updated_by` unless given. What is
    deferred is left alone. Within a request, `name_of` then asks no more.
    """
    names = columns or LABEL_COLUMNS
    # A deferred column is not in `__dict__`: reading it here would cost a query for each row.
    loaded = (vars(row).get(name) for row in rows for name in names)
    return names_of(label for label in loaded if isinstance(label, str))


def _users_of(labels: Iterable[str | None]) -> dict[str, Any]:
    """The user of each label, None where there is none."""
    wanted = {label for label in labels if label}
    known = _known_users()
    if unknown := wanted - known.keys():
        known.update(dict.fromkeys(unknown) | _find_users(unknown))
    return {label: known[label] for label in wanted}


def _known_users() -> dict[str, Any]:
    """What this request has asked for already; it is kept on the request, and ends with it."""
    request = request_in_force()
    if request is None:
        return {}
    known: dict[str, Any] = vars(request).setdefault("_audit_people", {})
    return known


def _find_users(labels: set[str]) -> dict[str, Any]:
    """The users that there are, in one query; no query where no label can be a user's."""
    find_user = audit_settings().find_user
    if find_user is not None:
        try:
            return _found_by(find_user, labels)
        except Exception as error:
            _log_once("FIND_USER failed, so labels are shown as they are", error)
            return {}
    keys = {key: label for label in labels if (key := _key(label)) is not None}
    if not keys:
        return {}
    # As a foreign key does: also users that the default manager hides have a name.
    users = get_user_model()._base_manager.filter(pk__in=keys)
    return {keys[user.pk]: user for user in users if user.pk in keys}


def _found_by(find_user: Any, labels: set[str]) -> dict[str, Any]:
    function = import_string(find_user) if isinstance(find_user, str) else find_user
    found = function(labels)
    if not isinstance(found, Mapping):
        raise TypeError(f"It answers {{label: user}}, not {type(found).__name__}.")
    return {label: found[label] for label in labels if found.get(label) is not None}


def makes_keys() -> bool:
    """Whether the label of a user is the primary key, as the default `ACTOR` has it."""
    return bool(audit_settings().actor == DEFAULTS["ACTOR"])


def _key(label: str) -> Any:
    """The primary key that has this label, or None where no key can have it."""
    if not makes_keys() or label_fault(label):
        return None
    field = _key_field()
    try:
        key = field.to_python(label)
        # No user's key is larger than its column holds.
        field.run_validators(key)
    except (ValidationError, ValueError, TypeError, ArithmeticError):
        return None
    # `"017"` reads as 17, and is not what the default ACTOR calls user 17.
    return key if str(key) == label else None


def _key_field() -> Any:
    field: Any = get_user_model()._meta.pk
    while field.remote_field is not None:  # a child table's key is its parent's
        field = field.target_field
    return field


def _name(label: str, user: Any) -> str:
    if user is not None:
        try:
            # As text itself: a list escapes a SafeString as it does a foreign key's.
            return str.__str__(_shown(user)) or label
        except Exception as error:
            _log_once("A user's name cannot be read, so the label is shown", error)
            return label
    # Where keys are text, any label may be one: whether it ever was a user's, nobody can tell.
    key = _key(label)
    if key is None or isinstance(key, str):
        return label
    return gettext("deleted user %s") % label


def _shown(user: Any) -> str:
    display = audit_settings().display
    if display is not None:
        return str((import_string(display) if isinstance(display, str) else display)(user))
    get_full_name = getattr(user, "get_full_name", None)
    return str((get_full_name() if get_full_name is not None else "") or user)


def _log_once(what: str, error: Exception) -> None:
    cause = (what, type(error), str(error))
    if cause not in _logged and len(_logged) < 1000:
        _logged.add(cause)
        logger.warning("%s: %s: %s", what, type(error).__name__, error, exc_info=error)


def _name_fields() -> list[str]:
    """What of a user's name is in the database."""
    model: Any = get_user_model()
    given = ("first_name", "last_name", model.USERNAME_FIELD, getattr(model, "EMAIL_FIELD", None))
    text = (models.CharField, models.TextField)
    fields = {field.name for field in model._meta.concrete_fields if isinstance(field, text)}
    return [name for name in dict.fromkeys(given) if name in fields]


def labels_of_people(text: str) -> Any:
    """The labels of the users whose names hold each word of `text`, to be used with `__in`.

    Looks at first and last name, user name and e-mail address. With the default `ACTOR` it is a
    subquery, so it takes any number of users.
    """
    users = get_user_model()._base_manager.all()
    fields = _name_fields()
    words = text.split()
    if not fields or not words:
        return []
    for word in words:
        matches = (models.Q((f"{name}__icontains", word)) for name in fields)
        users = users.filter(functools.reduce(operator.or_, matches))
    if makes_keys():
        return users.annotate(audit_label=Cast("pk", models.CharField())).values("audit_label")
    return [label_for(user) for user in users]


def name_expression(column: str) -> Any:
    """The name of whom `column` stands for, as an expression to sort by and to annotate.

    With the default `ACTOR`: first and last name, else the user name, looked up by the key. It does
    not know `DISPLAY`, and with an `ACTOR` of one's own each label is its own name.
    """
    if not makes_keys():
        return models.F(column)
    text = models.CharField()
    users = _users_labelled(models.OuterRef(column)).values_list(_full_name_expression())
    user = models.Subquery(users[:1], output_field=text)
    return Coalesce(user, _gone_expression(column), output_field=text)


def _full_name_expression() -> Any:
    model: Any = get_user_model()
    fields = {field.name for field in model._meta.concrete_fields}
    if not {"first_name", "last_name"} <= fields:
        return models.F(model.USERNAME_FIELD)
    full_name = Trim(Concat("first_name", models.Value(" "), "last_name"))
    return Coalesce(NullIf(full_name, models.Value("")), model.USERNAME_FIELD)


#: What the label of each kind of key looks like, to the last of 19 digits that may be a key.
KEY_PATTERNS = (
    (
        models.IntegerField,
        "^(0|-?[1-9][0-9]{0,17}|[1-8][0-9]{18}|9[01][0-9]{17})$",
        models.BigIntegerField(),
    ),
    (models.UUIDField, "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", models.UUIDField()),
)


def _is_key(label: Any) -> tuple[Any, Any]:
    """Whether a label is a key, in SQL, and the field that reads it; None where text may be one."""
    for kind, pattern, output in KEY_PATTERNS:
        if isinstance(_key_field(), kind):
            return Regex(label, models.Value(pattern)), output
    return None, None


def _users_labelled(label: Any) -> Any:
    users = get_user_model()._base_manager.all()
    is_key, output = _is_key(label)
    if is_key is not None:
        # The label is read as a key, NULL where it is none, so that the users' index finds it.
        return users.filter(pk=models.Case(models.When(is_key, then=Cast(label, output))))
    if isinstance(_key_field(), (models.CharField, models.TextField)):
        return users.filter(pk=label)
    return users.annotate(audit_label=Cast("pk", models.CharField())).filter(audit_label=label)


def _gone_expression(column: str) -> Any:
    is_key, _ = _is_key(models.F(column))
    if is_key is None:
        return models.F(column)
    text = models.CharField()
    before, after = gettext("deleted user %s").split("%s")
    gone = Concat(models.Value(before), column, models.Value(after), output_field=text)
    return models.Case(models.When(is_key, then=gone), default=column, output_field=text)
