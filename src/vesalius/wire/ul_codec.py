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

# A fragment up to this size is copied out, a longer one is a view into the buffer: a view costs more than a small copy.
_VIEW_FROM = 4096
# The buffer at first, and where it stops growing unless one PDU needs more: it holds two of the 128 KiB PDUs that
# DCMTK sends and still fits in a core's cache, where hashing and writing find the bytes again.
_SMALLEST_ROOM = 33 << 10
_ROOM = 264 << 10

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
    """Bytes in, whole PDUs out. Holds one buffer: of what one PDU needs, and room for more than one read.

    A driver reads straight into `room` and says how much came with `filled`; PDUs are decoded where they lie. What
    arrives in some other way is given to `feed`. The buffer grows with what has arrived, never by what a length
    field announces.
    """

    __slots__ = ("_associate_cap", "_buffer", "_data_cap", "_end", "_full", "_need", "_skip", "_start")

    def __init__(self, limits: DecoderLimits | None = None) -> None:
        limits = limits or DecoderLimits()
        self._data_cap = limits.p_data
        self._associate_cap = limits.associate
        self._buffer = bytearray()
        self._start = self._end = 0  # what has arrived and is not decoded yet
        self._need = _HEADER_LENGTH  # bytes from `_start` on before anything can be decoded
        self._skip = 0  # bytes of a bad PDU that are still to come
        self._full = True  # the last read took all the room there was

    @property
    def is_mid_pdu(self) -> bool:
        """Whether a PDU has begun to arrive and is not whole yet."""
        return self._end > self._start

    def room(self) -> memoryview:
        """Where the next bytes go, one at least. Ends the validity of views into earlier ones."""
        buffer, start, end = self._buffer, self._start, self._end
        if start:
            if start < end:
                view = memoryview(buffer)
                view[: end - start] = view[start:end]
            self._start, self._end = start, end = 0, end - start
        if self._full:
            self._full = False
            most = max(_ROOM, self._need + _ROOM // 4)
            if len(buffer) < most:
                self._buffer = bytearray(min(most, max(_SMALLEST_ROOM, 2 * len(buffer))))
                self._buffer[:end] = memoryview(buffer)[:end]
        return memoryview(self._buffer)[end:]

    def filled(self, count: int) -> list[Pdu | RemoteProtocolError]:
        """So many bytes were put into `room`: the PDUs that are complete now, in order; a bad one is an error in
        its place. Never raises. Long fragments are views into the buffer, valid until `room` is called again.
        """
        return self._take(count, keep=False)

    def feed(self, data: bytes | bytearray | memoryview) -> list[Pdu | RemoteProtocolError]:
        """As `room` and `filled`, for bytes that lie elsewhere: everything is copied, nothing is a view."""
        out: list[Pdu | RemoteProtocolError] = []
        position, size = 0, len(data)
        view = memoryview(data)
        while position < size:
            skipped = min(self._skip, size - position)
            self._skip -= skipped
            position += skipped
            room = self.room()
            count = min(len(room), size - position)
            room[:count] = view[position : position + count]
            position += count
            out += self._take(count, keep=True)
        return out

    def relax(self) -> None:
        """Let go of a large buffer that holds nothing: for an association at rest."""
        if self._start == self._end and len(self._buffer) > _SMALLEST_ROOM:
            self._buffer = bytearray()
            self._start = self._end = 0
            self._full = True

    def _take(self, count: int, *, keep: bool) -> list[Pdu | RemoteProtocolError]:
        self._end = end = self._end + count
        self._full = end == len(self._buffer)
        if self._skip:
            skipped = min(self._skip, end - self._start)
            self._skip -= skipped
            self._start += skipped
        if end - self._start < self._need:
            return []
        out: list[Pdu | RemoteProtocolError] = []
        self._start = self._decode(out, keep)
        return out

    def _decode(self, out: list[Pdu | RemoteProtocolError], keep: bool) -> int:
        """Decode every whole PDU; returns where the rest begins."""
        buffer, position, end = self._buffer, self._start, self._end
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
                out.append(decode_data(buffer, body, following, keep=keep))
            else:
                out.append(_decode_control(kind, bytes(memoryview(buffer)[body:following])))
            position = following

    def _judge(self, kind: int, length: int, buffer: bytearray, position: int) -> RemoteProtocolError | None:
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
            hint = _foreign_protocol(bytes(buffer[position : position + _HEADER_LENGTH]))
            return RemoteProtocolError(
                AbortSource.SERVICE_PROVIDER, AbortReason.UNRECOGNIZED_PDU, f"PDU type {kind:02X}H{hint}"
            )
        if length > cap:
            return _invalid(f"a PDU of type {kind:02X}H with length {length}, more than {cap}")
        return None


_CONTROL = frozenset({PduType.A_ASSOCIATE_RJ, PduType.A_RELEASE_RQ, PduType.A_RELEASE_RP, PduType.A_ABORT})


def decode_data(
    buffer: bytes | bytearray, position: int, end: int, *, keep: bool = True
) -> PDataTF | RemoteProtocolError:
    """The body of a P-DATA-TF (PS3.8 9.3.5); PDVs that do not fill it exactly are an error (bad-input U27).

    Without `keep` long fragments are views into the buffer.
    """
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
        data: bytes | memoryview = view[position + 6 : following]
        if keep or length <= _VIEW_FROM:
            data = bytes(data)
        pdvs.append(new(PDV, (context_id, is_command, is_last, data)))
        position = following
    if not pdvs:
        return _invalid("a P-DATA-TF PDU without PDV")
    return PDataTF(tuple(pdvs))


def _decode_control(kind: int, body: bytes) -> Pdu | RemoteProtocolError:
    if kind in (PduType.A_ASSOCIATE_RQ, PduType.A_ASSOCIATE_AC):
        try:
            if kind == PduType.A_ASSOCIATE_RQ:
                return ul_items.decode_rq(body, 0, len(body))
            return ul_items.decode_ac(body, 0, len(body))
        except ul_items.Malformed as error:
            return _invalid(str(error))
    if kind == PduType.A_RELEASE_RQ:
        return ReleaseRQ()
    if kind == PduType.A_RELEASE_RP:
        return ReleaseRP()
    _, second, third, fourth = _FOUR_BYTES.unpack(body)
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
