"""PDUs to bytes and back: the PDUs themselves and the buffer that a stream of them arrives in (PS3.8 9.3).

What the decoder promises: the same bytes give the same PDUs, however they are split; the length of a PDU is
compared with the cap of its type before any of its body is kept; an unrecognized or invalid PDU becomes an
error, as a value, in its place in the stream, and what follows it is read on from where its length says that
it ends. Work is linear in the bytes received. Reserved fields are sent as 00 and not tested, unknown items
and sub-items are skipped (PS3.8 9.3.1). The items live in `ul_items`.

What it does not do: judge states (`ul_machine`) or offers (`ul_negotiation`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vesalius.wire import ul_items
from vesalius.wire.errors import LocalProtocolError, RemoteProtocolError
from vesalius.wire.ul_pdus import (
    PDV,
    Abort,
    AbortReason,
    AbortSource,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    PDataTF,
    Pdu,
    PduType,
    ReleaseRP,
    ReleaseRQ,
)

_PDU_HEADER = struct.Struct(">BxI")
_PDV_HEADER = struct.Struct(">IBB")
_FOUR_BYTES = struct.Struct(">4B")
_HEADER_LENGTH = 6
_P_DATA = int(PduType.P_DATA_TF)

# A fragment up to this size is copied out, a longer one is a view into the buffer: a view costs more than a
# small copy, and keeps the whole buffer alive.
_VIEW_FROM = 4096
# Received chunks below this size are gathered in one buffer instead of a list of objects.
_SMALL_CHUNK = 2048

# Message control header (PS3.8 E.2): bit 0 command, bit 1 last; the other bits are not tested.
_FLAGS = ((False, False), (True, False), (False, True), (True, True))


# --- encoding ------------------------------------------------------------------------------------------


def encode(pdu: Pdu) -> bytes:
    """One PDU as bytes. Raises `LocalProtocolError` for values that have no encoding."""
    try:
        return _encode(pdu)
    except (struct.error, OverflowError, UnicodeEncodeError, ValueError) as error:
        raise LocalProtocolError(f"{type(pdu).__name__}: a value cannot be encoded") from error


def _encode(pdu: Pdu) -> bytes:
    if isinstance(pdu, PDataTF):
        return _encode_data(pdu)
    if isinstance(pdu, AssociateRQ):
        return _framed(PduType.A_ASSOCIATE_RQ, ul_items.encode_associate(pdu))
    if isinstance(pdu, AssociateAC):
        return _framed(PduType.A_ASSOCIATE_AC, ul_items.encode_associate(pdu))
    if isinstance(pdu, AssociateRJ):
        return _framed(PduType.A_ASSOCIATE_RJ, _FOUR_BYTES.pack(0, pdu.result, pdu.source, pdu.reason))
    if isinstance(pdu, ReleaseRQ):
        return _framed(PduType.A_RELEASE_RQ, bytes(4))
    if isinstance(pdu, ReleaseRP):
        return _framed(PduType.A_RELEASE_RP, bytes(4))
    return _framed(PduType.A_ABORT, _FOUR_BYTES.pack(0, 0, pdu.source, pdu.reason))


def _framed(kind: PduType, body: bytes) -> bytes:
    return _PDU_HEADER.pack(kind, len(body)) + body


def _encode_data(pdu: PDataTF) -> bytes:
    parts: list[bytes | memoryview] = [b""]
    length = 0
    for pdv in pdu.pdvs:
        size = len(pdv.data)
        parts.append(_PDV_HEADER.pack(size + 2, pdv.context_id, pdv.is_command | pdv.is_last << 1))
        parts.append(pdv.data)
        length += _HEADER_LENGTH + size
    parts[0] = _PDU_HEADER.pack(PduType.P_DATA_TF, length)
    return b"".join(parts)


# --- decoding ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DecoderLimits:
    """Caps on the PDU length field, in bytes, compared before any of the body is kept."""

    p_data: int = 1 << 20  # what we said in our Maximum Length sub-item: only P-DATA obeys it (PS3.8 D.1)
    associate: int = 1 << 20


class Decoder:
    """Bytes in, whole PDUs out. Keeps less than one PDU of the greatest cap and one received chunk."""

    __slots__ = ("_associate_cap", "_data_cap", "_have", "_need", "_parts", "_skip")

    def __init__(self, limits: DecoderLimits | None = None) -> None:
        limits = limits or DecoderLimits()
        self._data_cap = limits.p_data
        self._associate_cap = limits.associate
        self._parts: list[bytes | bytearray | memoryview] = []
        self._have = 0  # bytes in the parts
        self._need = _HEADER_LENGTH  # bytes before anything can be decoded
        self._skip = 0  # bytes of a bad PDU that are still to come

    @property
    def is_mid_pdu(self) -> bool:
        """Whether a PDU has begun to arrive and is not whole yet."""
        return self._have > 0

    def feed(self, data: bytes | bytearray | memoryview) -> list[Pdu | RemoteProtocolError]:
        """The PDUs that are complete now, in order; a bad one is an error in its place. Never raises.

        `bytes` are not copied where a PDU lies within them; other buffers are, as their owner may reuse them.
        """
        chunk = data if isinstance(data, bytes) else bytes(data)
        if self._skip:
            skipped = min(self._skip, len(chunk))
            self._skip -= skipped
            chunk = chunk[skipped:]
        if self._have:
            self._keep(chunk)
            if self._have < self._need:
                return []
            chunk = b"".join(self._parts)
            self._parts = []
            self._have = 0
        out: list[Pdu | RemoteProtocolError] = []
        position = self._decode(chunk, out)
        if position < len(chunk):
            self._keep(memoryview(chunk)[position:])
        return out

    def _decode(self, buffer: bytes, out: list[Pdu | RemoteProtocolError]) -> int:
        """Decode every whole PDU; returns where the rest begins."""
        position, end = 0, len(buffer)
        while True:
            if end - position < _HEADER_LENGTH:
                self._need = _HEADER_LENGTH
                return position
            kind, length = _PDU_HEADER.unpack_from(buffer, position)
            body = position + _HEADER_LENGTH
            following = body + length
            is_data = kind == _P_DATA
            bad = None if is_data and length <= self._data_cap else self._judge(kind, length, buffer, position)
            if bad is not None:
                out.append(bad)
                if following > end:
                    self._skip = following - end
                    self._need = _HEADER_LENGTH
                    return end
            elif following > end:
                self._need = following - position
                return position
            elif is_data:
                out.append(decode_data(buffer, body, following))
            else:
                out.append(_decode_control(kind, buffer, body, following))
            position = following

    def _judge(self, kind: int, length: int, buffer: bytes, position: int) -> RemoteProtocolError | None:
        """What the six bytes of the header alone forbid."""
        if kind == _P_DATA:
            cap = self._data_cap
        elif kind in (PduType.A_ASSOCIATE_RQ, PduType.A_ASSOCIATE_AC):
            cap = self._associate_cap
        elif kind in _CONTROL:
            if length != 4:
                return _invalid(f"a PDU of type {kind:02X}H with length {length}")
            return None
        else:
            hint = _foreign_protocol(buffer[position : position + _HEADER_LENGTH])
            return RemoteProtocolError(
                AbortSource.SERVICE_PROVIDER, AbortReason.UNRECOGNIZED_PDU, f"PDU type {kind:02X}H{hint}"
            )
        if length > cap:
            return _invalid(f"a PDU of type {kind:02X}H with length {length}, more than {cap}")
        return None

    def _keep(self, chunk: bytes | memoryview) -> None:
        self._have += len(chunk)
        if len(chunk) >= _SMALL_CHUNK:
            self._parts.append(chunk)
        elif self._parts and isinstance(self._parts[-1], bytearray):
            self._parts[-1] += chunk
        else:
            self._parts.append(bytearray(chunk))


_CONTROL = frozenset({PduType.A_ASSOCIATE_RJ, PduType.A_RELEASE_RQ, PduType.A_RELEASE_RP, PduType.A_ABORT})


def decode_data(buffer: bytes, position: int, end: int) -> PDataTF | RemoteProtocolError:
    """The body of a P-DATA-TF (PS3.8 9.3.5); PDVs that do not fill it exactly are an error (bad-input U27)."""
    pdvs: list[PDV] = []
    view = memoryview(buffer)
    unpack = _PDV_HEADER.unpack_from
    new = tuple.__new__
    while position < end:
        if end - position < 6:
            return _invalid("a PDU that ends inside a PDV header")
        length, context_id, control = unpack(buffer, position)
        following = position + 4 + length
        if length < 2 or following > end:
            return _invalid(f"a PDV of length {length}")
        is_command, is_last = _FLAGS[control & 3]
        data = view[position + 6 : following] if length > _VIEW_FROM else buffer[position + 6 : following]
        pdvs.append(new(PDV, (context_id, is_command, is_last, data)))
        position = following
    if not pdvs:
        return _invalid("a P-DATA-TF PDU without PDV")
    return PDataTF(tuple(pdvs))


def _decode_control(kind: int, buffer: bytes, position: int, end: int) -> Pdu | RemoteProtocolError:
    if kind in (PduType.A_ASSOCIATE_RQ, PduType.A_ASSOCIATE_AC):
        try:
            if kind == PduType.A_ASSOCIATE_RQ:
                return ul_items.decode_rq(buffer, position, end)
            return ul_items.decode_ac(buffer, position, end)
        except ul_items.Malformed as error:
            return _invalid(str(error))
    if kind == PduType.A_RELEASE_RQ:
        return ReleaseRQ()
    if kind == PduType.A_RELEASE_RP:
        return ReleaseRP()
    _, second, third, fourth = _FOUR_BYTES.unpack_from(buffer, position)
    if kind == PduType.A_ASSOCIATE_RJ:
        return AssociateRJ(second, third, fourth)
    return Abort(third, fourth)


def _invalid(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(AbortSource.SERVICE_PROVIDER, AbortReason.INVALID_PARAMETER_VALUE, what)


def _foreign_protocol(start: bytes) -> str:
    """A hint for the log where another protocol reached this port (bad-input U3, U4)."""
    if start[:2] == b"\x16\x03":
        return ": this looks like TLS on the plain port"
    if start[:4] in (b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTI", b"CONN", b"PRI "):
        return ": this looks like HTTP on the DICOM port"
    if start[:4] == b"SSH-":
        return ": this looks like SSH on the DICOM port"
    return ""
