"""Asking an index: in pages, and at once where it can, which must say the same."""

from __future__ import annotations

from vesalius.model.query import Match, Query
from vesalius.ports.index import Index


def all_matches(index: Index, query: Query) -> list[Match]:
    """Every answer, in order."""
    found = [match for page in index.find(query) for match in page]
    at_once = index.find_at_once(query)
    if at_once is not None:
        assert at_once == found
    return found
