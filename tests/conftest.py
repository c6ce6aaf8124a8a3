"""Fixtures for every test: one PostgreSQL server for the whole run, started when the first test asks for it."""

from tests.support.postgres import postgres

__all__ = ["postgres"]
