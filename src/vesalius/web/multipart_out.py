"""Multipart bodies that stream (RFC 2046 5.1, RFC 2387, PS3.18 8.6.1.2.1): one part after the other, never whole.

Small ones, whole in memory, are written by `web/parts.py`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator

# A part: its header fields and its chunks.
Part = tuple[bytes, Iterable[bytes]]


class Multipart:
    """The frame around the parts of one answer. The boundary is random: no sender can have put it into a data set."""

    def __init__(self, part_type: str) -> None:
        self.boundary = secrets.token_hex(20)
        self.content_type = f'multipart/related; type="{part_type}"; boundary="{self.boundary}"'
        self._delimiter = f"--{self.boundary}\r\n".encode()
        self.end = f"--{self.boundary}--\r\n".encode()
        self.tail = b"\r\n" + self.end  # after the content of the last part

    def head(self, fields: bytes) -> bytes:
        """What stands before the content of a part; `fields` end with a line break each."""
        return self._delimiter + fields + b"\r\n"

    def size(self, fields: bytes, content: int) -> int:
        """Bytes of a whole part."""
        return len(self._delimiter) + len(fields) + 2 + content + 2

    def whole(self, fields: bytes, content: bytes) -> bytes:
        """A body of one part."""
        return b"".join((self._delimiter, fields, b"\r\n", content, self.tail))

    def pieces(self, parts: Iterable[Part]) -> Iterator[bytes]:
        """The body, piece by piece."""
        for fields, chunks in parts:
            yield self.head(fields)
            yield from chunks
            yield b"\r\n"
        yield self.end


def content_type(media_type: str) -> bytes:
    """The field that every part has."""
    return f"Content-Type: {media_type}\r\n".encode("latin-1")
