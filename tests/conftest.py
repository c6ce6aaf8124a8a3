"""Fixtures for every test: one PostgreSQL server for the whole run, started when the first test asks for it."""

from collections.abc import Iterator

import pytest
import structlog

from tests.support.postgres import postgres

__all__ = ["postgres"]


@pytest.fixture(autouse=True)
def logging_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command that is run inside a test sets the level of the log for the process: the next test has its own."""
    before, configure = structlog.get_config(), structlog.configure

    def uncached(**settings: object) -> None:
        configure(**{**settings, "cache_logger_on_first_use": False})  # type: ignore[arg-type]

    monkeypatch.setattr(structlog, "configure", uncached)
    yield
    configure(**before)
