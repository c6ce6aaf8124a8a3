"""Fixtures for every test: one PostgreSQL server for the whole run, started when the first test asks for it."""

from typing import Any

import pynetdicom.association
import pytest
import structlog

from tests.support.postgres import postgres

__all__ = ["postgres"]

_configure, _DEFAULTS = structlog.configure, structlog.get_config()


def _uncached(**settings: object) -> None:
    _configure(**{**settings, "cache_logger_on_first_use": False})  # type: ignore[arg-type]


_serve = pynetdicom.association.Association._serve_request


def _serve_or_give_back(self: Any, message: Any, context_id: int) -> None:
    if message.is_valid_request or getattr(message, "Status", None) is None:
        _serve(self, message, context_id)
    else:
        self.dimse.msg_queue.put((context_id, message))


# pynetdicom's reactor looks for requests; when the machine is busy it now and then takes the answer that the caller of
# send_c_store waits for, and drops it ("Received unexpected C-STORE service message").
pynetdicom.association.Association._serve_request = _serve_or_give_back  # type: ignore[method-assign]

# A command that is run inside a test or a fixture sets the level of the log for the whole process, and a logger that is
# cached keeps it for good.
structlog.configure = _uncached  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def logging_is_as_it_comes() -> None:
    """Whatever a command set before, each test begins with structlog's defaults."""
    _configure(**_DEFAULTS)
