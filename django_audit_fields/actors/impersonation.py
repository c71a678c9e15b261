"""The link to django-crum, through its own signals: its functions name who is acting, per context.

crum keeps whom it was told in a `threading.local`, which all tasks of an event loop share. Its
receivers are disconnected and these connected in their place; nothing in its module is replaced.
"""

from __future__ import annotations

import threading
from typing import Any, Final

import crum
from crum import signals

from . import current
from .situation import situation

# crum's own priorities, so that other packages' receivers keep their place.
NAMED_PRIORITY = 10
REQUEST_PRIORITY = -10


ANSWER: Final = "django_audit_fields.answer_current_user"


def is_connected() -> bool:
    """Whether `connect` was called: the app was ready once in this process."""
    return any(receiver[0][0] == ANSWER for receiver in signals.current_user_getter.receivers)


def connect() -> None:
    """Take the place of crum's own receivers. Harmless when repeated."""
    getter, setter = signals.current_user_getter, signals.current_user_setter
    getter.disconnect(signals._get_current_user_from_request)
    getter.disconnect(signals._get_current_user_from_thread_locals)
    setter.disconnect(signals._set_current_user_on_request)
    setter.disconnect(signals._set_current_user_on_thread_locals)
    getter.connect(answer_current_user, dispatch_uid=ANSWER)
    setter.connect(take_current_user, dispatch_uid="django_audit_fields.take_current_user")


def answer_current_user(sender: object, **kwargs: Any) -> tuple[Any, int]:
    """Whom crum's setter was told, else the request's user; False is crum's word for unknown."""
    if (user := current.named_user()) is not False:
        return user, NAMED_PRIORITY
    if (user := current.requesting_user()) is not False:
        return user, REQUEST_PRIORITY
    # crum's middleware is installed without ours, or ours has not begun yet.
    return getattr(crum.get_current_request(), "user", False), REQUEST_PRIORITY


def take_current_user(sender: object, *, user: Any, **kwargs: Any) -> None:
    said = situation()
    if user is False and said.named is None and said.requesting is None:
        return  # nobody is named, as when a request ends
    thread = threading.get_ident()
    has_request = crum.get_current_request() is not None
    if user is False and not has_request and is_of_a_nested_request(thread):
        return
    current.name_user(False)
    is_shared = len(signals.current_user_getter.receivers) > 1
    if is_shared and user is not None and crum.get_current_user() is user:
        # `crum.impersonate` gives back another package's answer, which is for that package to
        # change.
        return
    current.name_user(user, thread if has_request else None)


def is_of_a_nested_request(thread: int) -> bool:
    """Whether crum's own middleware has just ended a request made inside another.

    It takes for granted that there is no other, and names nobody. Whom the outer one named stays
    named, until that ends.
    """
    if (request := current.current_request(thread)) is not None:
        crum.set_current_request(request)
        return True
    return current.named_in_request(thread)


def tell_crum(request: Any) -> Any:
    """Have `crum.get_current_request()` answer this request; answers the one that it knew before.

    crum keeps it per thread, so it is left alone on an event loop, whose tasks share theirs.
    Without a request crum also forgets whom it named: restore the situation afterwards.
    """
    known = crum.get_current_request()
    crum.set_current_request(request)
    return known
