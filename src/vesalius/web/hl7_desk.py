"""What the pages need of HL7: its log, how a message is read, whom we hear and tell. `app/wiring.py` fills it in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vesalius.ports.hl7 import Hl7Log


@dataclass(frozen=True, slots=True)
class Hl7Desk:
    """HL7 as the pages see it; the two edges do not know each other."""

    log: Hl7Log
    readable: Callable[[bytes], str]  # a message in its own character set, or as near as it comes
    sources: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
