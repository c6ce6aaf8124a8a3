"""A load driver that costs less processor time than storescu: PDUs are encoded beforehand, answers only counted.

It shares no code with the product, so that a mistake there cannot hide here. Raw sockets, one thread per
association; the bytes of an instance are one `sendall`.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

IMPLICIT_LE = "1.2.840.10008.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
VERIFICATION = "1.2.840.10008.1.1"


def _item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body)) + body


def associate_rq(
    called: str, calling: str, contexts: Sequence[tuple[str, str]], maximum: int = 1 << 20, taken: Sequence[str] = ()
) -> bytes:
    """A-ASSOCIATE-RQ with one transfer syntax for each abstract syntax (PS3.8 9.3.2); SCP of those `taken`."""
    items = _item(0x10, b"1.2.840.10008.3.1.1.1")
    for n, (abstract, syntax) in enumerate(contexts):
        body = bytes((2 * n + 1, 0, 0, 0)) + _item(0x30, abstract.encode()) + _item(0x40, syntax.encode())
        items += _item(0x20, body)
    roles = b"".join(_item(0x54, struct.pack(">H", len(uid)) + uid.encode() + b"\0\1") for uid in taken)
    items += _item(0x50, _item(0x51, struct.pack(">I", maximum)) + _item(0x52, b"2.25.1") + roles)
    body = struct.pack(">HH16s16s32x", 1, 0, called.encode().ljust(16), calling.encode().ljust(16)) + items
    return struct.pack(">BBI", 1, 0, len(body)) + body


def _element(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def _ui(tag: int, value: str) -> bytes:
    raw = value.encode()
    return _element(tag, raw + b"\0" * (len(raw) % 2))


def _us(tag: int, value: int) -> bytes:
    return _element(tag, struct.pack("<H", value))


def command(elements: bytes) -> bytes:
    """A command set with its group length (PS3.7 6.3.1)."""
    return _element(0x00000000, struct.pack("<I", len(elements))) + elements


def pdvs(context: int, command_set: bytes, data: bytes | None, maximum: int) -> bytes:
    """One message as P-DATA-TF PDUs of at most `maximum` bytes."""
    out = [_pdata(context, 3, command_set)]
    if data is not None:
        step = maximum - 6
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            out.append(_pdata(context, 2 if start + step >= len(data) else 0, piece))
    return b"".join(out)


def _pdata(context: int, control: int, fragment: bytes) -> bytes:
    return struct.pack(">BBIIBB", 4, 0, len(fragment) + 6, len(fragment) + 2, context, control) + fragment


# SOP Instance UID and data set of an instance to send.
Instance = tuple[str, bytes]


def store_message(sop_class: str, sop_instance: str, data: bytes, message_id: int, maximum: int) -> bytes:
    """A C-STORE-RQ (PS3.7 9.3.1.1) on context 1."""
    fields = (
        _ui(0x00000002, sop_class)
        + _us(0x00000100, 0x0001)
        + _us(0x00000110, message_id)
        + _us(0x00000700, 0)
        + _us(0x00000800, 1)
        + _ui(0x00001000, sop_instance)
    )
    return pdvs(1, command(fields), data, maximum)


def find_message(identifier: bytes, message_id: int, sop_class: str = STUDY_ROOT_FIND) -> bytes:
    """A C-FIND-RQ (PS3.7 9.3.2.1), of the Study Root if nothing else is said, on context 1."""
    fields = (
        _ui(0x00000002, sop_class)
        + _us(0x00000100, 0x0020)
        + _us(0x00000110, message_id)
        + _us(0x00000700, 0)
        + _us(0x00000800, 1)
    )
    return pdvs(1, command(fields), identifier, 16384)


def identifier(**keys: str) -> bytes:
    """A study level identifier in Implicit VR Little Endian; keys by 8 hex digits after an underscore."""
    pairs = {0x00080052: "STUDY", **{int(tag[1:], 16): value for tag, value in keys.items()}}
    out = b""
    for tag in sorted(pairs):
        raw = pairs[tag].encode()
        pad = b"\0" if tag == 0x0020000D else b" "
        out += _element(tag, raw + pad * (len(raw) % 2))
    return out


def _status(command_set: bytes) -> int:
    """The Status (0000,0900) of a response."""
    position = 0
    while position < len(command_set):
        group, element, length = struct.unpack_from("<HHI", command_set, position)
        if (group, element) == (0x0000, 0x0900):
            return int(struct.unpack_from("<H", command_set, position + 8)[0])
        position += 8 + length
    raise ConnectionError(f"a response without status: {command_set.hex()}")


@dataclass
class Connection:
    """One association as requestor."""

    host: str
    port: int
    called: str = "ANY"
    calling: str = "BENCH"
    contexts: Sequence[tuple[str, str]] = ((CT, EXPLICIT_LE),)
    timeout: float = 120
    maximum_taken: int = 1 << 20
    taken: Sequence[str] = ()
    _buffer: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.socket = socket.create_connection((self.host, self.port), timeout=self.timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(associate_rq(self.called, self.calling, self.contexts, self.maximum_taken, self.taken))
        kind, body = self.pdu()
        if kind != 2:
            raise ConnectionError(f"association not accepted: PDU {kind} {body[:8].hex()}")
        at = body.find(b"\x51\x00\x00\x04")
        self.maximum = struct.unpack(">I", body[at + 4 : at + 8])[0] or 1 << 20

    def pdu(self) -> tuple[int, bytes]:
        """The next PDU: type and body."""
        buffer = self._buffer
        while len(buffer) < 6 or len(buffer) < 6 + struct.unpack_from(">I", buffer, 2)[0]:
            piece = self.socket.recv(1 << 18)
            if not piece:
                raise ConnectionError("the peer closed the connection")
            buffer += piece
        end = 6 + struct.unpack_from(">I", buffer, 2)[0]
        kind, body = buffer[0], bytes(buffer[6:end])
        del buffer[:end]
        return kind, body

    def statuses(self) -> list[int]:
        """Read up to the final response of the message under way; the status of every response."""
        found = []
        while True:
            kind, body = self.pdu()
            if kind != 4:
                raise ConnectionError(f"PDU {kind} instead of a response")
            position = 0
            while position < len(body):
                length, _context, control = struct.unpack_from(">IBB", body, position)
                if control & 1:
                    status = _status(body[position + 6 : position + 4 + length])
                    found.append(status)
                    if status not in (0xFF00, 0xFF01):
                        return found
                position += 4 + length

    def ask(self, message: bytes) -> list[int]:
        """Send one message, give the statuses of its responses."""
        self.socket.sendall(message)
        return self.statuses()

    def release(self) -> None:
        """A-RELEASE and close."""
        self.socket.sendall(b"\x05\0\0\0\0\x04\0\0\0\0")
        try:
            self.pdu()
        except OSError:
            return
        finally:
            self.socket.close()


def get_study(port: int, called: str, study: str) -> int:
    """C-GET of one study of CT instances; how many came. What comes is counted and thrown away.

    The data sets are read into one buffer and only the PDU and PDV headers are looked at.
    """
    contexts = ((STUDY_ROOT_GET, IMPLICIT_LE), (CT, EXPLICIT_LE))
    connection = Connection("127.0.0.1", port, called, contexts=contexts, maximum_taken=131072, taken=(CT,))
    fields = (
        _ui(0x00000002, STUDY_ROOT_GET)
        + _us(0x00000100, 0x0010)
        + _us(0x00000110, 1)
        + _us(0x00000700, 0)
        + _us(0x00000800, 1)
    )
    connection.socket.sendall(pdvs(1, command(fields), identifier(_0020000D=study), 16384))
    taken, asked, stream = 0, b"", connection.socket.makefile("rb", buffering=1 << 20)
    body = bytearray(131072)
    view = memoryview(body)
    while True:
        head = stream.read(6)
        if len(head) < 6 or head[0] != 4:
            raise ConnectionError(f"PDU {head.hex()} instead of data")
        size = struct.unpack_from(">I", head, 2)[0]
        stream.readinto(view[:size])
        position = 0
        while position < size:
            length, context, control = struct.unpack_from(">IBB", body, position)
            piece = view[position + 6 : position + 4 + length]
            position += 4 + length
            if control & 1 and context == 3:
                asked = bytes(piece)
            elif control & 2 and not control & 1:
                taken += 1
                connection.socket.sendall(pdvs(3, _stored(asked), None, 16384))
            elif control & 1 and (status := _status(bytes(piece))) != 0xFF00:
                if status:
                    raise ConnectionError(f"C-GET ended with {status:04X}")
                connection.release()
                return taken


def _stored(request: bytes) -> bytes:
    """The C-STORE-RSP with status 0000 to a request (PS3.7 9.3.1.2)."""
    kept, position = {}, 0
    while position < len(request):
        group, element, length = struct.unpack_from("<HHI", request, position)
        kept[group << 16 | element] = request[position + 8 : position + 8 + length]
        position += 8 + length
    fields = (
        _element(0x00000002, kept[0x00000002])
        + _us(0x00000100, 0x8001)
        + _element(0x00000120, kept[0x00000110])
        + _us(0x00000800, 0x0101)
        + _us(0x00000900, 0)
        + _element(0x00001000, kept[0x00001000])
    )
    return command(fields)


def store_in_parallel(port: int, called: str, per_association: Sequence[Sequence[Instance]]) -> float:
    """Send CT instances over as many associations as there are lists; seconds of wall clock.

    The messages are encoded for the peer's maximum PDU length before the clock starts.

    Raises if any is refused: a rate of failures is no rate.
    """
    failures: list[str] = []
    barrier = threading.Barrier(len(per_association) + 1)

    def one(instances: Sequence[Instance]) -> None:
        try:
            connection = Connection("127.0.0.1", port, called)
        except OSError as error:
            failures.append(f"no association: {error}")
            barrier.abort()
            return
        maximum = min(connection.maximum, 131072)
        messages = [
            store_message(CT, instance, data, number % 65535 + 1, maximum)
            for number, (instance, data) in enumerate(instances)
        ]
        barrier.wait()
        try:
            for message in messages:
                status = connection.ask(message)
                if status != [0]:
                    raise ConnectionError(f"C-STORE answered {status}")
            connection.release()
        except OSError as error:
            failures.append(str(error))

    threads = [threading.Thread(target=one, args=(instances,)) for instances in per_association]
    for thread in threads:
        thread.start()
    try:
        barrier.wait()
    except threading.BrokenBarrierError:
        raise RuntimeError(failures[0]) from None
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    if failures:
        raise RuntimeError(f"stores were refused: {failures[:3]}")
    return seconds
