"""HTTP by hand: bytes out, bytes in, to see what a client library would hide."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass
class RawAnswer:
    """One response."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes
    closed: bool  # by the server, after it


class RawHttp:
    """One connection."""

    def __init__(self, port: int, timeout: float = 20) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""

    def __enter__(self) -> RawHttp:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *pieces: bytes, pause: float = 0.0) -> None:
        for piece in pieces:
            self.socket.sendall(piece)
            if pause:
                time.sleep(pause)

    def request(self, method: str, path: str, headers: dict[str, str], body: Iterable[bytes] | bytes = b"") -> None:
        """A request; a body in pieces goes out chunked."""
        chunked = not isinstance(body, bytes)
        given = {"Host": "localhost", **headers}
        if chunked:
            given["Transfer-Encoding"] = "chunked"
        elif "Content-Length" not in given and method != "GET":
            given["Content-Length"] = str(len(body))  # type: ignore[arg-type]
        head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        self.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode())
        if not chunked:
            self.send(body)  # type: ignore[arg-type]
            return
        for piece in body:
            self.send(b"%x\r\n" % len(piece) + piece + b"\r\n")  # type: ignore[str-bytes-safe]
        self.send(b"0\r\n\r\n")

    def answer(self, *, look: bool = True) -> RawAnswer:
        """The next response; with `look`, whether the server closes after it."""
        while b"\r\n\r\n" not in self._data:
            self._more()
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        size = int(headers.get("content-length", "0"))
        while len(self._data) < size:
            self._more()
        body, self._data = self._data[:size], self._data[size:]
        return RawAnswer(int(first.split()[1]), headers, body, look and self.ended(0.5))

    def ended(self, wait: float) -> bool:
        """Whether the server has closed, within so many seconds."""
        self.socket.settimeout(wait)
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            return False
        except OSError:
            return True
        self._data += data
        return not data

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError("the server closed before it had answered")
        self._data += data
