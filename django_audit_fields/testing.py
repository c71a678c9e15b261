"""A pytest plugin: who is acting in a test.

    # conftest.py
    pytest_plugins = ["django_audit_fields.testing"]

It is asked for by name and not registered as an entry point: pytest would load it in every project
that has this package among its dependencies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from . import acting_as


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "acting_as(label): in this test, or each test of the class or module, `label` is acting.",
    )


@pytest.fixture(autouse=True)
def _acting_as_marked(request: pytest.FixtureRequest) -> Iterator[None]:
    """`@pytest.mark.acting_as("import:march")`; the closest mark counts."""
    with ExitStack() as stack:
        if mark := request.node.get_closest_marker("acting_as"):
            stack.enter_context(acting_as(*mark.args, **mark.kwargs))
        yield


@pytest.fixture
def act_as() -> Iterator[Callable[[Any], None]]:
    """`act_as(actor)`: from here to the end of the test, or to the next call."""
    with ExitStack() as stack:

        def act(actor: Any) -> None:
            # Made first: a call that is refused leaves whoever acts as it is.
            entered = acting_as(actor)
            stack.close()
            stack.enter_context(entered)

        yield act


@pytest.fixture
def acting_user(db: None, django_user_model: Any, act_as: Callable[[Any], None]) -> Any:
    """A user who is acting throughout the test."""
    names = {django_user_model.USERNAME_FIELD: "acting_user"}
    user = django_user_model._default_manager.create(**names)
    act_as(user)
    return user
