"""PDUs to bytes and back (PS3.8 9.3, PS3.7 D.3.3). Signatures first; the body follows within the hour."""

from __future__ import annotations

from dataclasses import dataclass

from vesalius.wire.errors import RemoteProtocolError
from vesalius.wire.ul_pdus import Pdu


@dataclass(frozen=True, slots=True)
class DecoderLimits:
    """Caps on the PDU length field, in bytes, compared before any of the body is kept."""

    p_data: int = 1 << 20  # what we said in our Maximum Length sub-item
    associate: int = 1 << 20


def encode(pdu: Pdu) -> bytes:
    """One PDU as bytes. Raises `LocalProtocolError` for what cannot be encoded."""
    raise NotImplementedError


class Decoder:
    """Bytes in, whole PDUs out, whatever the split. Never keeps more than one PDU's cap."""

    def __init__(self, limits: DecoderLimits | None = None) -> None: ...

    def feed(self, data: bytes | bytearray | memoryview) -> list[Pdu | RemoteProtocolError]:
        """The PDUs that are complete now; a bad one is an error as a value in its place. Never raises."""
        raise NotImplementedError
