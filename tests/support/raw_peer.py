"""A blocking peer that sends and keeps exactly the bytes it is given, in both roles and without a DICOM library.

`RawScu` asks; `Receiver` is a storage SCP in a thread that remembers every byte, and misbehaves on demand. Both are
built on the PDUs and command sets of `raw_dicom`, so they share no code with the product.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.support import raw_dicom as raw
from tests.support.raw_dicom import Message

STUDY_ROOT = {"find": raw.STUDY_FIND, "move": raw.STUDY_MOVE, "get": raw.STUDY_GET}
PATIENT_ROOT = {
    "find": "1.2.840.10008.5.1.4.1.2.1.1",
    "move": "1.2.840.10008.5.1.4.1.2.1.2",
    "get": "1.2.840.10008.5.1.4.1.2.1.3",
}
PATIENT_STUDY_ONLY = {
    "find": "1.2.840.10008.5.1.4.1.2.3.1",
    "move": "1.2.840.10008.5.1.4.1.2.3.2",
    "get": "1.2.840.10008.5.1.4.1.2.3.3",
}
LEVEL = 0x00080052
PIECE = 1 << 17


class Refused(Exception):
    """The association was rejected (result, source, reason) or aborted before it was one."""


class Broken(Exception):
    """The association ended: aborted by the peer, or the connection closed."""


def role_selection(sop_class: str, *, scu: bool = False, scp: bool = True) -> bytes:
    """The sub-item of PS3.7 D.3.3.4."""
    uid = sop_class.encode()
    return raw.item(0x54, struct.pack(">H", len(uid)) + uid + bytes((scu, scp)))


def extended_negotiation(sop_class: str, info: bytes) -> bytes:
    """The sub-item of PS3.7 D.3.3.5."""
    uid = sop_class.encode()
    return raw.item(0x56, struct.pack(">H", len(uid)) + uid + info)


def identifier(keys: Mapping[int, str | bytes]) -> bytes:
    """An identifier in Implicit VR Little Endian; UIDs may be padded with a space there as well as with a NUL."""
    elements = []
    for tag, value in sorted(keys.items()):
        data = value.encode() if isinstance(value, str) else value
        elements.append(raw.element(tag, data + b" " * (len(data) % 2)))
    return b"".join(elements)


class Stream:
    """PDUs and messages on a connected socket, in either role."""

    def __init__(self, sock: socket.socket, timeout: float = 20) -> None:
        self.sock = sock
        self.sock.settimeout(timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.contexts: dict[int, tuple[str, str]] = {}  # accepted: id -> (abstract syntax, transfer syntax)
        self.peer_maximum = 16384
        self._buffer = bytearray()

    def _read(self, count: int) -> bytes:
        while len(self._buffer) < count:
            try:
                piece = self.sock.recv(1 << 20)
            except ConnectionError as error:
                raise Broken(str(error)) from error
            if not piece:
                raise Broken("the connection closed")
            self._buffer += piece
        data = bytes(memoryview(self._buffer)[:count])
        del self._buffer[:count]
        return data

    def pdu(self) -> tuple[int, bytes]:
        """The next PDU."""
        kind, length = struct.unpack(">BxI", self._read(6))
        return kind, self._read(length)

    def send(self, *parts: bytes) -> None:
        self.sock.sendall(b"".join(parts))

    def send_message(self, number: int, command: bytes, dataset: bytes | Iterable[bytes] | None = None) -> None:
        """A message; a data set given in pieces is sent as it comes and never held."""
        head = raw.p_data(raw.pdv(number, command, command=True))
        if dataset is None:
            self.send(head)
            return
        step = min(PIECE, (self.peer_maximum or 1 << 24) - 6)
        pieces = (
            (dataset[at : at + step] for at in range(0, max(1, len(dataset)), step))
            if isinstance(dataset, bytes)
            else iter(dataset)
        )
        ahead = next(pieces, b"")
        for piece in pieces:
            self.send(head, raw.p_data(raw.pdv(number, ahead, command=False, last=False)))
            head, ahead = b"", piece
        self.send(head, raw.p_data(raw.pdv(number, ahead, command=False)))

    def message(self) -> Message:
        """The next DIMSE message. Raises `Broken`."""
        command, dataset = bytearray(), bytearray()
        while True:
            kind, body = self.pdu()
            if kind != raw.DATA:
                raise Broken(f"PDU type {kind} {body.hex()} in place of a message")
            at = 0
            while at < len(body):
                length, number, flags = struct.unpack_from(">IBB", body, at)
                (command if flags & 1 else dataset).extend(body[at + 6 : at + 4 + length])
                at += 4 + length
                if flags & 2:
                    elements = raw.parse_elements(bytes(command))
                    if not flags & 1 or elements[0x800] == b"\x01\x01":
                        return Message(number, elements, bytes(dataset))

    def close(self) -> None:
        self.sock.close()


@dataclass(frozen=True)
class Kept:
    """An instance as it came over the wire."""

    sop_class: str
    sop_instance: str
    transfer_syntax: str
    dataset: bytes
    command: Mapping[int, bytes] = field(default_factory=dict)

    def number(self, tag: int) -> int:
        return int.from_bytes(self.command.get(tag, b""), "little")

    def text(self, tag: int) -> str:
        return self.command.get(tag, b"").decode("ascii").rstrip(" \0")


@dataclass(frozen=True)
class Retrieved:
    """What a C-GET or C-MOVE came to."""

    pendings: list[Message]
    final: Message
    kept: list[Kept]

    @property
    def status(self) -> int:
        return self.final.status

    @property
    def counts(self) -> tuple[int | None, int | None, int | None, int | None]:
        """Remaining, completed, failed, warning; None where the element is not there."""
        return tuple(  # type: ignore[return-value]
            self.final.number(tag) if tag in self.final.command else None for tag in (0x1020, 0x1021, 0x1022, 0x1023)
        )

    @property
    def failed_instances(self) -> list[str]:
        """Failed SOP Instance UID List (0008,0058), as the identifier of the final response has it."""
        found = raw.parse_elements(self.final.dataset).get(0x00080058, b"")
        return [uid.rstrip("\0 ") for uid in found.decode("ascii").split("\\") if uid.rstrip("\0 ")]


class RawScu(Stream):
    """An association that we asked for."""

    _message_id = 0
    accept_body = b""

    @classmethod
    def associate(
        cls,
        port: int,
        contexts: Sequence[tuple[str, Sequence[str]]],
        *,
        host: str = "127.0.0.1",
        called: str = "VESALIUS",
        calling: str = "RAW",
        roles: Iterable[str] = (),
        extended: Mapping[str, bytes] | None = None,
        extra: bytes = b"",
        maximum: int = 1 << 20,
        timeout: float = 20,
        tls: ssl.SSLContext | None = None,
    ) -> RawScu:
        """Connect and associate; `contexts` are (abstract syntax, transfer syntaxes). Raises `Refused`, `OSError`."""
        sock: socket.socket = socket.create_connection((host, port), timeout)
        if tls is not None:
            sock = tls.wrap_socket(sock, server_hostname=host)
        scu = cls(sock, timeout)
        for sop_class in dict.fromkeys(roles):
            extra += role_selection(sop_class)
        for sop_class, info in (extended or {}).items():
            extra += extended_negotiation(sop_class, info)
        proposed = [raw.context(2 * n + 1, uid, list(syntaxes)) for n, (uid, syntaxes) in enumerate(contexts)]
        scu.send(
            raw.associate_rq(proposed, called=called.encode(), calling=calling.encode(), maximum=maximum, extra=extra)
        )
        kind, body = scu.pdu()
        if kind != raw.AC:
            sock.close()
            raise Refused(tuple(body[1:4]) if kind == raw.RJ else f"PDU type {kind} {body.hex()}")
        scu.accept_body = body
        for number, result, syntax in accepted_contexts(body):
            if result == 0:
                scu.contexts[number] = contexts[(number - 1) // 2][0], syntax
        scu.peer_maximum = int.from_bytes(user_items(body).get(0x51, b""), "big")
        return scu

    def context(self, sop_class: str, transfer_syntax: str | None = None) -> int:
        """The accepted context of a class (and transfer syntax). Raises `LookupError`."""
        for number, (abstract, syntax) in self.contexts.items():
            if abstract == sop_class and transfer_syntax in (None, syntax):
                return number
        raise LookupError(f"no accepted context for {sop_class} {transfer_syntax}")

    def next_id(self) -> int:
        self._message_id += 1
        return self._message_id

    def echo(self) -> int:
        self.send_message(self.context(raw.VERIFICATION), raw.echo_rq(self.next_id()))
        return self.message().status

    def store(
        self, sop_class: str, sop_instance: str, transfer_syntax: str | None, dataset: bytes | Iterable[bytes]
    ) -> Message:
        """C-STORE these bytes; gives the response."""
        number = self.context(sop_class, transfer_syntax)
        self.send_message(number, raw.store_rq(sop_class, sop_instance, self.next_id()), dataset)
        return self.message()

    def find(self, keys: Mapping[int, str | bytes] | bytes, sop_class: str = raw.STUDY_FIND) -> list[Message]:
        """C-FIND; every response. A mapping needs a context in Implicit VR Little Endian."""
        number = self.context(sop_class)
        data = keys if isinstance(keys, bytes) else identifier(keys)
        self.send_message(number, raw.find_rq(sop_class, self.next_id()), data)
        found = []
        while True:
            found.append(self.message())
            if found[-1].status not in (0xFF00, 0xFF01):
                return found

    def get(
        self,
        keys: Mapping[int, str | bytes],
        sop_class: str = raw.STUDY_GET,
        *,
        status_of: Callable[[str], int] = lambda _uid: 0,
        cancel_after: int = 0,
    ) -> Retrieved:
        """C-GET, keeping what comes. `status_of` answers each store; a cancel follows after so many."""
        number, message_id = self.context(sop_class), self.next_id()
        self.send_message(number, raw.get_rq(sop_class, message_id), identifier(keys))
        return self._retrieved(number, message_id, status_of, cancel_after)

    def move(
        self,
        destination: str,
        keys: Mapping[int, str | bytes],
        sop_class: str = raw.STUDY_MOVE,
        *,
        cancel_after: int = 0,
    ) -> Retrieved:
        """C-MOVE; a cancel follows after so many pendings."""
        number, message_id = self.context(sop_class), self.next_id()
        self.send_message(number, raw.move_rq(destination, sop_class, message_id), identifier(keys))
        return self._retrieved(number, message_id, lambda _uid: 0, cancel_after)

    def _retrieved(self, number: int, message_id: int, status_of: Callable[[str], int], cancel_after: int) -> Retrieved:
        pendings: list[Message] = []
        kept: list[Kept] = []
        seen = 0
        while True:
            message = self.message()
            if message.number(0x100) == 1:
                one = kept_from(message, self.contexts)
                kept.append(one)
                self.send_message(message.context, store_rsp(message, status_of(one.sop_instance)))
                seen += 1
            elif message.status == 0xFF00:
                pendings.append(message)
                seen += not kept
            else:
                return Retrieved(pendings, message, kept)
            if cancel_after and seen >= cancel_after:
                cancel_after = 0
                self.send_message(number, raw.cancel_rq(message_id))

    def release(self) -> None:
        """Orderly end."""
        self.send(raw.pdu(raw.RELEASE_RQ, bytes(4)))
        kind, body = self.pdu()
        self.close()
        if kind != raw.RELEASE_RP:
            raise AssertionError(f"no A-RELEASE-RP but PDU type {kind} {body.hex()}")

    def __enter__(self) -> RawScu:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.release()
        else:
            self.close()


def studies_at(port: int) -> list[str]:
    """The Study Instance UIDs of everything that an archive keeps."""
    with RawScu.associate(port, [(raw.STUDY_FIND, [raw.IMPLICIT])]) as scu:
        answers = scu.find({LEVEL: "STUDY", 0x0020000D: ""})
    return [raw.parse_elements(one.dataset)[0x0020000D].decode().rstrip("\0 ") for one in answers[:-1]]


def accepted_contexts(body: bytes) -> Iterator[tuple[int, int, str]]:
    """(id, result, transfer syntax) from the body of an A-ASSOCIATE-AC."""
    for kind, value in _items(body[68:]):
        if kind == 0x21:
            syntax = next((v for k, v in _items(value[4:]) if k == 0x40), b"")
            yield value[0], value[2], syntax.decode("ascii").rstrip("\0 ")


def user_items(body: bytes) -> dict[int, bytes]:
    """The user information sub-items of an A-ASSOCIATE-RQ or -AC (the last one of each type)."""
    return {k: v for kind, value in _items(body[68:]) if kind == 0x50 for k, v in _items(value)}


def user_item_list(body: bytes) -> list[tuple[int, bytes]]:
    """The same, all of them."""
    return [one for kind, value in _items(body[68:]) if kind == 0x50 for one in _items(value)]


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        kind, length = struct.unpack_from(">BxH", data, at)
        yield kind, data[at + 4 : at + 4 + length]
        at += 4 + length


def kept_from(message: Message, contexts: Mapping[int, tuple[str, str]]) -> Kept:
    """The instance of a C-STORE-RQ."""
    return Kept(message.text(0x2), message.text(0x1000), contexts[message.context][1], message.dataset, message.command)


def store_rsp(message: Message, status: int) -> bytes:
    """The response to a C-STORE-RQ."""
    return raw.command_set(
        {
            0x2: message.command[0x2],
            0x100: raw.us(0x8001),
            0x120: message.command[0x110],
            0x800: raw.us(0x0101),
            0x900: raw.us(status),
            0x1000: message.command[0x1000],
        }
    )


@dataclass
class Manners:
    """How a `Receiver` behaves. The default is perfect."""

    syntaxes: frozenset[str] | None = None  # accepted transfer syntaxes; None: any
    status_of: Callable[[str], int] = lambda _uid: 0
    reject: bool = False  # A-ASSOCIATE-RJ
    ignore_associate: bool = False  # never answers the A-ASSOCIATE-RQ
    ignore_store: int = 0  # never answers the n-th C-STORE-RQ of an association (from 1)
    abort_at: int = 0  # A-ABORT after the first PDU of the n-th C-STORE-RQ of an association
    close_at: int = 0  # the same, by closing the connection
    broken_associations: int = 1 << 30  # abort_at, close_at and ignore_store hold for so many associations
    delay: float = 0.0  # before each answer to a C-STORE-RQ


class Receiver:
    """A storage SCP on a free port of loopback (or `host`), each association in a thread."""

    def __init__(
        self, aet: str = "KEEPER", manners: Manners | None = None, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.aet = aet
        self.manners = manners or Manners()
        self.kept: list[Kept] = []
        self.associations = 0
        self.open = 0
        self.most_open = 0
        self._lock = threading.Lock()
        self._streams: list[Stream] = []
        self._listener = socket.create_server((host, port))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        # A blocked accept() in another thread is not woken by close() alone.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for stream in list(self._streams):
            with contextlib.suppress(OSError):
                stream.sock.shutdown(socket.SHUT_RDWR)
            stream.close()

    def _listen(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            stream = Stream(sock, 60)
            self._streams.append(stream)
            threading.Thread(target=self._serve, args=(stream,), daemon=True).start()

    def _serve(self, stream: Stream) -> None:
        try:
            with contextlib.suppress(Broken, OSError):
                self._association(stream)
        finally:
            stream.close()

    def _association(self, stream: Stream) -> None:
        kind, body = stream.pdu()
        if kind != raw.RQ or self.manners.ignore_associate:
            self._wait_for_the_end(stream)
            return
        if self.manners.reject:
            stream.send(raw.pdu(raw.RJ, bytes((0, 1, 1, 7))))
            return
        with self._lock:
            self.associations += 1
            broken = self.associations <= self.manners.broken_associations
            self.open += 1
            self.most_open = max(self.most_open, self.open)
        try:
            stream.send(self._accept(stream, body))
            self._messages(stream, broken)
        finally:
            with self._lock:
                self.open -= 1

    def _accept(self, stream: Stream, body: bytes) -> bytes:
        out = body[:68] + raw.item(0x10, raw.APPLICATION_CONTEXT.encode())
        for kind, value in _items(body[68:]):
            if kind != 0x20:
                continue
            abstract = next(v for k, v in _items(value[4:]) if k == 0x30).decode().rstrip("\0 ")
            offered = [v.decode().rstrip("\0 ") for k, v in _items(value[4:]) if k == 0x40]
            wanted = self.manners.syntaxes
            syntax = next((uid for uid in offered if wanted is None or uid in wanted), "")
            result = 0 if syntax else 4
            out += raw.item(0x21, bytes((value[0], 0, result, 0)) + raw.item(0x40, (syntax or offered[0]).encode()))
            if syntax:
                stream.contexts[value[0]] = abstract, syntax
        stream.peer_maximum = int.from_bytes(user_items(body).get(0x51, b"\0\0\x40\0"), "big")
        return raw.pdu(raw.AC, out + raw.user_information(1 << 18))

    def _messages(self, stream: Stream, broken: bool) -> None:
        stores = 0
        manners = self.manners
        while True:
            kind, body = self._peek(stream)
            if kind == raw.RELEASE_RQ:
                stream.pdu()
                stream.send(raw.pdu(raw.RELEASE_RP, bytes(4)))
                return
            if kind != raw.DATA:
                return
            is_store = len(body) > 6 and body[5] & 1 and b"\x00\x00\x00\x01\x02\x00\x00\x00\x01\x00" in body
            if is_store and broken and stores + 1 in (manners.abort_at, manners.close_at):
                if stores + 1 == manners.abort_at:
                    stream.send(raw.pdu(raw.ABORT, bytes(4)))
                    time.sleep(0.05)
                return
            message = stream.message()
            if message.number(0x100) == 0x30:
                reply = {0x2: raw.uid(raw.VERIFICATION), 0x100: raw.us(0x8030), 0x120: message.command[0x110]}
                stream.send_message(message.context, raw.command_set(reply | {0x800: raw.us(0x0101), 0x900: raw.us(0)}))
                continue
            stores += 1
            one = kept_from(message, stream.contexts)
            if broken and stores == manners.ignore_store:
                self._wait_for_the_end(stream)
                return
            if manners.delay:
                time.sleep(manners.delay)
            status = manners.status_of(one.sop_instance)
            if status in (0x0000, 0xB000, 0xB006, 0xB007):
                with self._lock:
                    self.kept.append(one)
            stream.send_message(message.context, store_rsp(message, status))

    def _peek(self, stream: Stream) -> tuple[int, bytes]:
        """The next PDU, left in place."""
        head = stream._read(6)
        kind, length = struct.unpack(">BxI", head)
        body = stream._read(length)
        stream._buffer[:0] = head + body
        return kind, body

    def _wait_for_the_end(self, stream: Stream) -> None:
        """Read and say nothing."""
        while stream.sock.recv(1 << 20):
            continue
