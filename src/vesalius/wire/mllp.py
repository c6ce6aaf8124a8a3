"""MLLP: HL7 messages on a byte stream (HL7 "Transport Specification: MLLP, Release 1").

Theory. A block is VT, content, FS, CR. What stands before a VT belongs to nobody and is dropped (bad-input row L1).
Only FS followed by CR ends a block, so a lone FS stays in the content, where the parser of the message refuses it: a
block is never cut short silently. Blocks are the same however the bytes were cut. The content is bounded: more than
`limit` bytes without an end are `MllpError`, after which nothing of the stream can be trusted.

The message itself never holds VT or FS: neither byte occurs in the repertoires that MSH-18 may name on a byte stream.
"""

from __future__ import annotations

START = b"\x0b"
END = b"\x1c\r"


class MllpError(Exception):
    """The stream breaks the framing: the connection is of no further use."""


def block(content: bytes) -> bytes:
    """A message in its frame. Raises `ValueError` for content that would break it."""
    if b"\x0b" in content or b"\x1c" in content:
        raise ValueError("a message that holds VT or FS cannot be framed")
    return START + content + END


class BlockReader:
    """The bytes of one direction of one connection, to blocks."""

    def __init__(self, limit: int) -> None:
        """`limit`: most bytes of content."""
        self._limit = limit
        self._held = bytearray()
        self._inside = False
        self._searched = 0
        self.dropped = 0  # bytes outside blocks, the CR LF that some send between blocks not counted

    @property
    def inside(self) -> bool:
        """Whether a block has begun and not ended."""
        return self._inside

    def feed(self, data: bytes) -> list[bytes]:
        """The contents of the blocks that end in `data`. Raises `MllpError`; blocks before it were given already."""
        self._held += data
        blocks: list[bytes] = []
        while True:
            if not self._inside and not self._begin():
                break
            end = self._held.find(END, max(0, self._searched - 1))
            self._searched = len(self._held)
            if end < 0:
                break
            if end > self._limit:
                break
            blocks.append(bytes(self._held[:end]))
            del self._held[: end + len(END)]
            self._inside, self._searched = False, 0
        # An unfinished end (FS) does not count, so that the limit does not depend on where the bytes were cut.
        if self._inside and len(self._held.removesuffix(b"\x1c")) > self._limit:
            self._fail(blocks)
        return blocks

    def _begin(self) -> bool:
        start = self._held.find(START)
        outside = self._held[: start if start >= 0 else len(self._held)]
        self.dropped += len(outside) - outside.count(b"\r") - outside.count(b"\n")
        if start < 0:
            self._held.clear()
            return False
        del self._held[: start + 1]
        self._inside, self._searched = True, 0
        return True

    def _fail(self, blocks: list[bytes]) -> None:
        raise TooLong(self._limit, blocks)


class TooLong(MllpError):
    """A block is longer than it may be. `blocks`: those that ended before it in the same bytes."""

    def __init__(self, limit: int, blocks: list[bytes]) -> None:
        super().__init__(f"a block of more than {limit} bytes")
        self.blocks = blocks
