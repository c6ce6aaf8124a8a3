"""What the pages say of the service itself, and who knows it.

`app/health.py` implements `Site` for the running service; tests have smaller ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Place:
    """A further place of the packs, and how far it is behind."""

    name: str
    lag_bytes: int


@dataclass(frozen=True, slots=True)
class LiveAssociation:
    """An association that somebody has with this archive now."""

    process: str  # "dimse 1"
    name: str  # as in the log
    calling: str
    called: str
    address: str
    tls: bool
    since: float  # seconds since 1970
    doing: str  # "C-STORE"; empty: it waits for a request
    requests: int
    bytes_in: int
    bytes_out: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page shows."""

    version: str
    ae_title: str
    listeners: tuple[str, ...]  # "VESALIUS@127.0.0.1:11112", with " (TLS)" where it is
    store_commands: tuple[str, ...]
    workers: tuple[int, int]  # ready, wanted
    index: str  # "SQLite" | "PostgreSQL"
    patients: int
    studies: int
    series: int
    instances: int
    bytes: int
    free_bytes: int
    modalities: tuple[tuple[str, int], ...]
    conflicts: int
    notes: int
    places: tuple[Place, ...]
    problems: tuple[str, ...]
    up_seconds: int
    notices: tuple[str, ...] = ()  # what a keeper of the archive should see to, though all is served
    associations: tuple[LiveAssociation, ...] = ()
    association_count: int = 0  # of all, more than are listed where there are very many


class Site(Protocol):
    """What the pages need; every method may block and is called in a thread."""

    def problems(self) -> list[str]:
        """Why an instance sent now would not be stored; empty: it would be."""
        ...

    def metrics(self) -> bytes:
        """The Prometheus text form."""
        ...

    def facts(self) -> Facts:
        """What the page shows."""
        ...
