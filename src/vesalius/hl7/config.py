"""Who may send HL7 messages, where ours go, and how much either may ask for."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from vesalius.wire.hl7_message import LIMITS, MessageLimits

UTF_8 = "UNICODE UTF-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A system that sends to us. Empty `application`, `facility` or `addresses`: any."""

    name: str
    application: str = ""
    facility: str = ""
    addresses: tuple[str, ...] = ()  # addresses or networks
    merges: bool = False  # whether its A40 and A47 count (T16)
    charset: str = UTF_8  # where MSH-18 is empty
    issuer: str = ""  # of identifiers without an assigning authority; empty: the default issuer
    fields: Mapping[str, str] = field(default_factory=dict)  # over the default rows of `mapping.py`

    def sends(self, application: str, facility: str, address: str) -> bool:
        """Whether a message with these names from this address is of this source."""
        if self.application and self.application != application:
            return False
        if self.facility and self.facility != facility:
            return False
        return self.calls_from(address)

    def calls_from(self, address: str) -> bool:
        """Whether it may call from there."""
        return not self.addresses or any(_within(address, allowed) for allowed in self.addresses)


def _within(address: str, allowed: str) -> bool:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
        mapped = getattr(found, "ipv4_mapped", None) or found
        return mapped in ipaddress.ip_network(allowed, strict=False)
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A system that we send to."""

    name: str
    host: str
    port: int
    tls: bool = False
    application: str = ""  # MSH-5
    facility: str = ""  # MSH-6
    charset: str = UTF_8
    version: str = "2.5.1"
    sends: frozenset[str] = frozenset()  # names of `outgoing.TOPICS`
    order_message: str = "ORM"  # or "OMI": what a status update of an order is


@dataclass(frozen=True, slots=True, kw_only=True)
class Hl7Settings:
    """What the edge obeys."""

    application: str = "VESALIUS"  # MSH-3 of what we send
    facility: str = ""  # MSH-4
    sources: tuple[Source, ...] = ()
    destinations: tuple[Destination, ...] = ()
    allow_unknown: bool = False  # loopback alone: whoever sends is taken as a source without rights to merge
    accept_test: bool = False  # processing ids T and D as well as P (table 0103)
    message_bytes: int = 16 << 20
    limits: MessageLimits = LIMITS
    connections: int = 64
    block_seconds: float = 60.0  # from the first byte of a block to its last
    idle_seconds: float = 3600.0
    lease_seconds: float = 60.0
    threads: int = 4
    connect_seconds: float = 10.0
    ack_seconds: float = 30.0
    first_pause: float = 1.0
    longest_pause: float = 300.0
    refusals: int = 3  # tries of a message that the destination answers AE, before it is held


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is at the other end of a connection."""

    address: str
    tls: bool = False


ANYBODY = Source(name="loopback")


def source_of(settings: Hl7Settings, application: str, facility: str, address: str) -> Source | None:
    """The first source that a message can be of; None: nobody that we know."""
    for source in settings.sources:
        if source.sends(application, facility, address):
            return source
    return ANYBODY if settings.allow_unknown else None
