"""The listener: who is acting, onto the instance that is about to be saved."""

from __future__ import annotations

import logging
from typing import Any

from django.db import models

from ..actors import current_actor, is_preserving
from .stamps import audit_names, is_audited

logger = logging.getLogger("django_audit_fields")


def stamp_actor(
    sender: type[models.Model], instance: Any, raw: bool = False, **kwargs: Any
) -> None:
    """Fill `created_by` and `updated_by` from the current actor.

    The label is also what `TimestampModel` writes in the end, so that another receiver's values for
    the two do not reach the row. Without this receiver the trigger stamps it.
    """
    if raw or not is_audited(sender):
        return
    try:
        actor = current_actor()
    except Exception:
        # The write goes on: with no label from here, the trigger takes app.current_user.
        logger.exception("The actor of a %s could not be read.", sender._meta.label)
        return
    state: Any = instance._state
    state.audit_actor = actor  # for this save only
    if is_preserving():
        return
    # Where the model dropped a column, there may be something else of that name.
    names = audit_names(sender)
    if "updated_by" in names:
        instance.updated_by = actor
    if state.adding and "created_by" in names:
        instance.created_by = actor
