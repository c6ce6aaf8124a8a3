"""What the pages need of the DICOM edge: asking a peer, and sending to it. `app/caller.py` has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vesalius.model.entities import Peer, StoredInstance


class Canceled(Exception):
    """Raised out of a progress call to end a sending."""


@dataclass(slots=True)
class Sent:
    """What became of the instances."""

    sent: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)  # SOP Instance UID, why


class Caller(Protocol):
    """Associations that this archive asks for. Everything blocks and must not be called on an event loop."""

    def echo(self, peer: Peer) -> float:
        """C-ECHO; gives the seconds it took. Raises `PeerUnreachable`."""
        ...

    def send(self, peer: Peer, instances: Sequence[StoredInstance], progress: Callable[[Sent], None]) -> Sent:
        """C-STORE each; `progress` is called after each and may raise `Canceled`. Raises `PeerUnreachable`."""
        ...
