"""Both ends of MLLP for tests: a plain client, and a destination that answers as it is told."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from vesalius.wire.hl7_message import Message, parse
from vesalius.wire.mllp import BlockReader, block

PATIENCE = 30.0


class Mllp:
    """One connection to the product."""

    def __init__(self, port: int, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.socket = socket.create_connection((host, port), timeout=PATIENCE)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self._blocks = BlockReader(1 << 24)
        self._found: list[bytes] = []

    def __enter__(self) -> Mllp:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        self.socket.sendall(data)

    def read(self) -> bytes | None:
        """The next block; None: the connection was closed."""
        while not self._found:
            try:
                data = self.socket.recv(65536)
            except ConnectionError:
                return None
            if not data:
                return None
            self._found += self._blocks.feed(data)
        return self._found.pop(0)

    def ask(self, message: str | bytes) -> Message:
        """Send a message; its answer."""
        self.raw(block(message if isinstance(message, bytes) else message.encode()))
        found = self.read()
        assert found is not None, "the connection was closed without an answer"
        return parse(found.decode())

    def silent(self, seconds: float = 0.5) -> bool:
        """Whether nothing comes for so long."""
        self.socket.settimeout(seconds)
        try:
            return not self._found and self.socket.recv(65536) == b"" and False
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(PATIENCE)


Reply = Callable[[Message], "bytes | None"]


def ack(message: Message, code: str = "AA") -> bytes:
    """A plain acknowledgement, in its frame."""
    text = f"MSH|^~\\&|HIS|||||20261124||ACK|X1|P|2.5.1\rMSA|{code}|{message.control_id}\r"
    return block(text.encode())


@dataclass
class Destination:
    """Listens, keeps what comes, and answers with `reply`: bytes as they are, or None to close."""

    reply: Reply = ack
    port: int = 0
    received: list[Message] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []
        self._changed = threading.Condition()

    def start(self) -> None:
        """Listen, on the port of before where there was one."""
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen(8)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Be gone."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.hang_up()

    def hang_up(self) -> None:
        """Close every connection; new ones are taken."""
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            connection.close()
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        blocks = BlockReader(1 << 24)
        try:
            while data := connection.recv(65536):
                for content in blocks.feed(data):
                    message = parse(content.decode())
                    with self._changed:
                        self.received.append(message)
                        self._changed.notify_all()
                    answer = self.reply(message)
                    if answer is None:
                        connection.close()
                        return
                    connection.sendall(answer)
        except OSError:
            return

    def wait(self, count: int, timeout: float = PATIENCE) -> Sequence[Message]:
        """Until so many messages have come."""
        end = time.monotonic() + timeout
        with self._changed:
            while len(self.received) < count:
                if not self._changed.wait(end - time.monotonic()) and time.monotonic() > end:
                    raise AssertionError(f"{len(self.received)} of {count} messages came in {timeout} s")
            return list(self.received)


@contextmanager
def destination(reply: Reply = ack) -> Iterator[Destination]:
    """A destination for the time of the block."""
    made = Destination(reply)
    made.start()
    try:
        yield made
    finally:
        made.stop()
