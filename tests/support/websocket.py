"""A web socket client of our own (RFC 6455), over a bare socket: text frames in, pings answered."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA


class NotOpened(Exception):
    """The server answered the handshake with another status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


@dataclass
class Socket:
    """An open web socket."""

    connection: socket.socket
    closed: int = 0  # the code with which the other side closed
    _rest: bytes = field(default=b"")

    def receive(self, seconds: float = 60) -> Any:
        """The next event, from JSON. Raises `TimeoutError`, `ConnectionError` at the end."""
        self.connection.settimeout(seconds)
        message = b""
        while True:
            final, opcode, data = self._frame()
            if opcode == _PING:
                self.send(_PONG, data)
            elif opcode == _CLOSE:
                self.closed = struct.unpack(">H", data[:2])[0] if len(data) >= 2 else 1005
                raise ConnectionError("closed")
            elif opcode in (0, _TEXT):
                message += data
                if final:
                    return json.loads(message)

    def send(self, opcode: int, data: bytes) -> None:
        """One masked frame, as clients must send them."""
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
        self.connection.sendall(bytes((0x80 | opcode, 0x80 | len(data))) + mask + masked)

    def say(self, text: str) -> None:
        self.send(_TEXT, text.encode())

    def close(self) -> None:
        self.send(_CLOSE, struct.pack(">H", 1000))
        self.connection.close()

    def _frame(self) -> tuple[bool, int, bytes]:
        first, second = self._bytes(2)
        assert not second & 0x80, "a server masks nothing"
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", self._bytes(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self._bytes(8))
        return bool(first & 0x80), first & 0x0F, self._bytes(length)

    def _bytes(self, count: int) -> bytes:
        while len(self._rest) < count:
            got = self.connection.recv(65536)
            if not got:
                raise ConnectionError("the connection ended")
            self._rest += got
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken


@contextmanager
def opened(port: int, path: str, *, origin: str = "", host: str = "") -> Iterator[Socket]:
    """Open a web socket on 127.0.0.1. Raises `NotOpened`."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    try:
        key = base64.b64encode(os.urandom(16))
        head = (
            f"GET {path} HTTP/1.1\r\nHost: {host or f'127.0.0.1:{port}'}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key.decode()}\r\nSec-WebSocket-Version: 13\r\n"
        )
        connection.sendall((head + (f"Origin: {origin}\r\n" if origin else "") + "\r\n").encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            got = connection.recv(4096)
            if not got:
                break
            answer += got
        status = int(answer.split(b" ", 2)[1])
        if status != 101:
            raise NotOpened(status)
        accept = base64.b64encode(hashlib.sha1(key + _MAGIC).digest())
        headers, _, rest = answer.partition(b"\r\n\r\n")
        assert accept in headers
        yield Socket(connection, _rest=rest)
    finally:
        connection.close()
