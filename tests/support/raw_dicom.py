"""A peer that says exactly the bytes it is told to: for everything that a well-behaved library refuses to send.

Shares no code with the product: PDUs and command sets are put together by hand from PS3.8 9.3 and PS3.7 6.3.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.support.patience import patient

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
STUDY_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_GET = "1.2.840.10008.5.1.4.1.2.2.3"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"

RQ, AC, RJ, DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
# A-ABORT by the service user, as `RawPeer.pdu` gives it.
AB_USER = (ABORT, bytes(4))


def pdu(kind: int, body: bytes = b"", length: int | None = None) -> bytes:
    """A PDU; `length` lies about its size."""
    return struct.pack(">BxI", kind, len(body) if length is None else length) + body


def item(kind: int, body: bytes = b"", length: int | None = None) -> bytes:
    """An item or sub-item; `length` lies about its size."""
    return struct.pack(">BxH", kind, len(body) if length is None else length) + body


def context(number: int, abstract: str | bytes, syntaxes: list[str | bytes]) -> bytes:
    """A proposed presentation context."""
    body = struct.pack(">B3x", number)
    for kind, uid in [(0x30, abstract), *((0x40, s) for s in syntaxes)]:
        body += item(kind, uid.encode() if isinstance(uid, str) else uid)
    return item(0x20, body)


def user_information(maximum: int | None = 16384, extra: bytes = b"", implementation: str = "1.2.3.4") -> bytes:
    """The user information item with maximum length and implementation class UID."""
    body = b"" if maximum is None else item(0x51, struct.pack(">I", maximum))
    return item(0x50, body + item(0x52, implementation.encode()) + extra)


def associate_rq(
    contexts: list[bytes] | None = None,
    *,
    called: bytes = b"VESALIUS",
    calling: bytes = b"RAW",
    version: int = 1,
    application_context: bytes | None = APPLICATION_CONTEXT.encode(),
    user: bytes | None = None,
    maximum: int | None = 16384,
    extra: bytes = b"",
) -> bytes:
    """An A-ASSOCIATE-RQ, Verification in Implicit VR Little Endian unless told otherwise."""
    if contexts is None:
        contexts = [context(1, VERIFICATION, [IMPLICIT])]
    body = struct.pack(">H2x16s16s32x", version, called.ljust(16), calling.ljust(16))
    if application_context is not None:
        body += item(0x10, application_context)
    body += b"".join(contexts)
    body += user_information(maximum, extra) if user is None else user
    return pdu(RQ, body)


def pdv(number: int, data: bytes, *, command: bool, last: bool = True, length: int | None = None) -> bytes:
    """A presentation data value; `length` lies about its size."""
    head = struct.pack(">IBB", len(data) + 2 if length is None else length, number, command | last << 1)
    return head + data


def p_data(*pdvs: bytes) -> bytes:
    """A P-DATA-TF."""
    return pdu(DATA, b"".join(pdvs))


def element(tag: int, value: bytes) -> bytes:
    """An element in Implicit VR Little Endian."""
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def us(number: int) -> bytes:
    return struct.pack("<H", number)


def text(value: str) -> bytes:
    raw = value.encode()
    return raw + b" " * (len(raw) % 2)


def uid(value: str) -> bytes:
    raw = value.encode()
    return raw + b"\0" * (len(raw) % 2)


def command_set(elements: dict[int, bytes], group_length: int | None = None) -> bytes:
    """A command set with its group length."""
    body = b"".join(element(tag, value) for tag, value in sorted(elements.items()))
    return element(0x00000000, struct.pack("<I", len(body) if group_length is None else group_length)) + body


def echo_rq(message_id: int = 1, field: int = 0x0030) -> bytes:
    return command_set({0x2: uid(VERIFICATION), 0x100: us(field), 0x110: us(message_id), 0x800: us(0x0101)})


def store_rq(
    sop_class: str | None = CT, sop_instance: str | None = "1.2.3.4.5", message_id: int = 1, *, dataset: bool = True
) -> bytes:
    elements = {0x100: us(1), 0x110: us(message_id), 0x700: us(0), 0x800: us(0 if dataset else 0x0101)}
    if sop_class is not None:
        elements[0x2] = uid(sop_class)
    if sop_instance is not None:
        elements[0x1000] = uid(sop_instance)
    return command_set(elements)


def find_rq(sop_class: str = STUDY_FIND, message_id: int = 1) -> bytes:
    return command_set({0x2: uid(sop_class), 0x100: us(0x20), 0x110: us(message_id), 0x700: us(0), 0x800: us(0)})


def get_rq(sop_class: str = STUDY_GET, message_id: int = 1) -> bytes:
    return command_set({0x2: uid(sop_class), 0x100: us(0x10), 0x110: us(message_id), 0x700: us(0), 0x800: us(0)})


def move_rq(destination: str, sop_class: str = STUDY_MOVE, message_id: int = 1) -> bytes:
    return command_set(
        {
            0x2: uid(sop_class),
            0x100: us(0x21),
            0x110: us(message_id),
            0x600: text(destination),
            0x700: us(0),
            0x800: us(0),
        }
    )


def cancel_rq(message_id: int) -> bytes:
    return command_set({0x100: us(0x0FFF), 0x120: us(message_id), 0x800: us(0x0101)})


def parse_elements(data: bytes) -> dict[int, bytes]:
    """Elements in Implicit VR Little Endian, defined lengths only."""
    found = {}
    at = 0
    while at < len(data):
        group, number, length = struct.unpack_from("<HHI", data, at)
        found[group << 16 | number] = data[at + 8 : at + 8 + length]
        at += 8 + length
    return found


@dataclass
class Message:
    """A DIMSE message as received."""

    context: int
    command: dict[int, bytes]
    dataset: bytes

    def number(self, tag: int) -> int:
        return int.from_bytes(self.command[tag], "little")

    @property
    def status(self) -> int:
        return self.number(0x900)

    def text(self, tag: int) -> str:
        return self.command.get(tag, b"").decode("ascii").rstrip(" \0")


class RawPeer:
    """A TCP connection with helpers to say and hear PDUs."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.seen: list[tuple[int, bytes]] = []

    @classmethod
    async def connect(cls, port: int, **options: object) -> RawPeer:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22, **options)  # type: ignore[arg-type]
        return cls(reader, writer)

    @classmethod
    async def associated(cls, port: int, contexts: list[bytes] | None = None, **rq: object) -> RawPeer:
        """Connected, associated."""
        peer = await cls.connect(port)
        peer.send(associate_rq(contexts, **rq))  # type: ignore[arg-type]
        kind, body = await peer.pdu()
        if kind != AC:
            raise AssertionError(f"no A-ASSOCIATE-AC but PDU type {kind} {body.hex()}")
        peer.accept_body = body
        return peer

    accept_body: bytes = b""

    def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))

    def send_message(self, number: int, command: bytes, dataset: bytes | None = None) -> None:
        self.send(p_data(pdv(number, command, command=True)))
        if dataset is not None:
            self.send(p_data(pdv(number, dataset, command=False)))

    async def pdu(self, timeout: float = 5) -> tuple[int, bytes]:
        """The next PDU: type and body. Raises EOFError when the peer closed."""
        async with asyncio.timeout(patient(timeout)):
            try:
                head = await self.reader.readexactly(6)
                kind, length = struct.unpack(">BxI", head)
                return kind, await self.reader.readexactly(length)
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                raise EOFError from error

    async def is_silent(self, seconds: float) -> bool:
        """Whether nothing comes in so many seconds, to the letter."""
        try:
            async with asyncio.timeout(seconds):
                return not await self.reader.read(1)
        except TimeoutError:
            return True

    async def message(self, timeout: float = 5) -> Message:
        """The next DIMSE message."""
        command, dataset, number = b"", b"", 0
        while True:
            kind, body = await self.pdu(timeout)
            if kind != DATA:
                raise AssertionError(f"no P-DATA-TF but PDU type {kind} {body.hex()}")
            at = 0
            while at < len(body):
                length, number, flags = struct.unpack_from(">IBB", body, at)
                data = body[at + 6 : at + 4 + length]
                at += 4 + length
                if flags & 1:
                    command += data
                else:
                    dataset += data
                if flags & 2:
                    elements = parse_elements(command)
                    if not flags & 1 or elements[0x800] == b"\x01\x01":
                        return Message(number, elements, dataset)

    async def closed(self, timeout: float = 5) -> list[tuple[int, bytes]]:
        """Everything that came until the peer closed."""
        got = []
        try:
            while True:
                got.append(await self.pdu(timeout))
        except EOFError:
            return got

    async def echo(self, number: int = 1, message_id: int = 77) -> int:
        """The status of a C-ECHO on this association."""
        self.send_message(number, echo_rq(message_id))
        return (await self.message(1)).status

    async def release(self) -> None:
        self.send(pdu(RELEASE_RQ, bytes(4)))
        kind, _ = await self.pdu()
        if kind != RELEASE_RP:
            raise AssertionError(f"no A-RELEASE-RP but PDU type {kind}")
        await self.close()

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            pass

    def reset(self) -> None:
        """RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SOL_SOCKET, SO_LINGER: drop what is unsent
        self.writer.transport.abort()


def parse_contexts(rq_body: bytes) -> dict[int, tuple[str, list[str]]]:
    """Proposed contexts of an A-ASSOCIATE-RQ: id -> (abstract syntax, transfer syntaxes)."""
    found: dict[int, tuple[str, list[str]]] = {}
    at = 68
    while at < len(rq_body):
        kind, length = struct.unpack_from(">BxH", rq_body, at)
        if kind == 0x20:
            number = rq_body[at + 4]
            inner, end = at + 8, at + 4 + length
            abstract, syntaxes = "", []
            while inner < end:
                sub, size = struct.unpack_from(">BxH", rq_body, inner)
                value = rq_body[inner + 4 : inner + 4 + size].decode()
                if sub == 0x30:
                    abstract = value
                else:
                    syntaxes.append(value)
                inner += 4 + size
            found[number] = (abstract, syntaxes)
        at += 4 + length
    return found


def associate_ac(rq_body: bytes, accepted: dict[int, str | None], maximum: int = 1 << 20) -> bytes:
    """The A-ASSOCIATE-AC for a request: context id -> transfer syntax, or None to reject it."""
    body = rq_body[:68] + item(0x10, APPLICATION_CONTEXT.encode())
    for number, syntax in accepted.items():
        result = 0 if syntax else 4
        body += item(0x21, struct.pack(">BxBx", number, result) + item(0x40, (syntax or IMPLICIT).encode()))
    return pdu(AC, body + user_information(maximum))


HANG, CLOSE, ABORTED = -1, -2, -3


@dataclass
class RawReceiver:
    """A storage SCP of which every word can be chosen.

    `accept(abstract, syntaxes)` gives the transfer syntax of a context, or None. `answer(number, message)` gives the
    status for the n-th C-STORE (from 0), or HANG, CLOSE, ABORTED. `delay` seconds pass before each response.
    """

    accept: Callable[[str, list[str]], str | None] = lambda abstract, syntaxes: syntaxes[0]
    answer: Callable[[int, Message], int] = lambda number, message: 0
    delay: float = 0.0
    port: int = 0

    def __post_init__(self) -> None:
        self.received: list[Message] = []
        self.syntaxes: list[str] = []
        self.associations = 0
        self.released = 0
        self.open = 0
        self.most_open = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[RawReceiver]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 22)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = RawPeer(reader, writer)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            _, body = await peer.pdu(30)
            self.associations += 1
            proposed = parse_contexts(body)
            accepted = {number: self.accept(*what) for number, what in proposed.items()}
            peer.send(associate_ac(body, accepted))
            while True:
                try:
                    message = await peer.message(30)
                except AssertionError:
                    self.released += 1
                    peer.send(pdu(RELEASE_RP, bytes(4)))
                    break
                self.syntaxes.append(accepted[message.context] or "")
                self.received.append(message)
                status = self.answer(len(self.received) - 1, message)
                await asyncio.sleep(self.delay)
                if status == HANG:
                    await asyncio.sleep(60)
                if status == CLOSE:
                    break
                if status == ABORTED:
                    peer.send(pdu(ABORT, bytes(4)))
                    break
                elements = {
                    0x2: message.command[0x2],
                    0x100: us(0x8001),
                    0x120: message.command[0x110],
                    0x800: us(0x0101),
                    0x900: us(status),
                    0x1000: message.command[0x1000],
                }
                peer.send_message(message.context, command_set(elements))
        except (EOFError, asyncio.CancelledError, TimeoutError):
            pass
        finally:
            self.open -= 1
            writer.close()
