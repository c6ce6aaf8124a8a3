"""Fixtures for every test: one PostgreSQL server for the whole run, started when the first test asks for it."""

import pytest
import structlog

from tests.support.postgres import postgres

__all__ = ["postgres"]

_configure, _DEFAULTS = structlog.configure, structlog.get_config()


def _uncached(**settings: object) -> None:
    _configure(**{**settings, "cache_logger_on_first_use": False})  # type: ignore[arg-type]


# A command that is run inside a test or a fixture sets the level of the log for the whole process, and a logger that is
# cached keeps it for good.
structlog.configure = _uncached  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def logging_is_as_it_comes() -> None:
    """Whatever a command set before, each test begins with structlog's defaults."""
    _configure(**_DEFAULTS)
