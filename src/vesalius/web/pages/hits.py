"""What a room answers to the search of the top bar."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hit:
    """An answer that is no study."""

    kind: str  # key of the catalogue: what it is
    title: str  # a name, as it is to be shown
    facts: tuple[str, ...]  # what tells it from others of the same name: ID, accession number
    path: str  # its page, from the root of the service
    born: str = ""  # YYYYMMDD
    at: str = ""  # YYYYMMDDHHMMSS
