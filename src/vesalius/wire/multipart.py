"""Multipart bodies as they stream in (RFC 2046 5.1, RFC 2387), without I/O.

Theory. A part ends where CR LF, two hyphens and the boundary stand, so whatever could be the beginning of
that is held back and everything else is passed on at once: memory is bounded by a header block or one
delimiter, whatever the size of a part, and the events say the same however the bytes were cut. The first
delimiter may stand at the very beginning, without a line before it, so the parser begins as if a line had just
ended. What stands before the first delimiter and after the last is ignored, up to a limit.

The strings of a header are not trusted for anything: they are looked up by name, and nothing is ever a file name (T5).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 2046 5.1.1: 1 to 70 characters, the last no space. What real senders use beyond is let through if harmless.
_BOUNDARY = re.compile(rb"[\x21-\x7e](?:[\x20-\x7e]{0,198}[\x21-\x7e])?")


class MultipartError(Exception):
    """The body breaks the grammar of multipart; nothing after it can be understood."""


class MultipartLimitError(MultipartError):
    """The body asks for more than it may: header size, number of parts, preamble."""


@dataclass(frozen=True, slots=True)
class MultipartLimits:
    """How much one body may ask for. Sizes in bytes."""

    parts: int = 100_000
    header_bytes: int = 16 << 10  # of one part's header block
    header_lines: int = 64
    idle_bytes: int = 64 << 10  # before the first delimiter, and after the last


@dataclass(frozen=True, slots=True)
class PartBegins:
    """A part's header block is whole. Names are in lower case, values as sent, of repeated ones the first."""

    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PartData:
    """More bytes of the part; never empty."""

    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class PartEnds:
    """The part is whole: its delimiter has been seen."""


Event: TypeAlias = PartBegins | PartData | PartEnds

_ENDS = PartEnds()


class _State(enum.Enum):
    PREAMBLE = enum.auto()  # up to the first delimiter
    DELIMITER = enum.auto()  # behind a delimiter: hyphens, padding, or the line's end
    HEADERS = enum.auto()
    BODY = enum.auto()
    EPILOGUE = enum.auto()


class MultipartParser:
    """Fed the bytes of one body as they arrive. After an exception it is not to be used again."""

    def __init__(self, boundary: str, limits: MultipartLimits | None = None) -> None:
        """`boundary` as the Content-Type's parameter gives it. Raises `MultipartError` for an illegal one."""
        raw = boundary.encode("latin-1", "replace")
        if not _BOUNDARY.fullmatch(raw):
            raise MultipartError("the boundary of the multipart body is missing or illegal")
        self._delimiter = b"\r\n--" + raw
        self._limits = limits or MultipartLimits()
        self._state = _State.PREAMBLE
        self._held: bytes = b"\r\n"  # a line has just ended, so that a delimiter may come first
        self._idle = 0
        self._parts = 0
        self._error: MultipartError | None = None  # met behind events that had to be passed on first

    @property
    def done(self) -> bool:
        """Whether the closing delimiter has been seen."""
        return self._state is _State.EPILOGUE

    @property
    def parts(self) -> int:
        """Parts begun so far."""
        return self._parts

    def feed(self, data: bytes) -> list[Event]:
        """The next bytes. Raises `MultipartError`, `MultipartLimitError`: after all that came before the error."""
        if self._error is not None:
            raise self._error
        events: list[Event] = []
        try:
            self._feed(data, events)
        except MultipartError as error:
            if not events:
                raise
            self._error = error
        return events

    def _feed(self, data: bytes, events: list[Event]) -> None:
        if self._state is _State.EPILOGUE:
            self._spend(len(data))
            return
        if self._held:
            data = self._held + data
            self._held = b""
        at: int | None = 0
        while at is not None:
            if self._state is _State.BODY:
                at = self._body(data, at, events)
            elif self._state is _State.DELIMITER:
                at = self._after_delimiter(data, at)
            elif self._state is _State.HEADERS:
                at = self._headers(data, at, events)
            elif self._state is _State.PREAMBLE:
                at = self._preamble(data, at)
            else:
                self._spend(len(data) - at)
                at = None

    def finish(self) -> None:
        """The body has ended. Raises `MultipartError` where its closing delimiter is missing."""
        if self._error is not None:
            raise self._error
        if self._state is _State.PREAMBLE:
            raise MultipartError("the multipart body does not hold its boundary")
        if self._state is not _State.EPILOGUE:
            # "--" alone at the very end closes just as well.
            if self._state is _State.DELIMITER and self._held.startswith(b"--"):
                self._state = _State.EPILOGUE
                return
            raise MultipartError("the multipart body ends without its closing boundary")

    # -- one state each: where to go on, or None for "more bytes are needed" -----------------------

    def _preamble(self, data: bytes, at: int) -> int | None:
        place = data.find(self._delimiter, at)
        if place < 0:
            kept = self._hold(data, at)
            self._spend(kept - at)
            return None
        self._spend(place - at)
        self._state = _State.DELIMITER
        return place + len(self._delimiter)

    def _body(self, data: bytes, at: int, events: list[Event]) -> int | None:
        place = data.find(self._delimiter, at)
        if place < 0:
            end = self._hold(data, at)
            if end > at:
                events.append(PartData(data if end - at == len(data) else memoryview(data)[at:end]))
            return None
        if place > at:
            events.append(PartData(memoryview(data)[at:place]))
        events.append(_ENDS)
        self._state = _State.DELIMITER
        return place + len(self._delimiter)

    def _after_delimiter(self, data: bytes, at: int) -> int | None:
        """Two hyphens close; else blanks may follow, and the line must end (RFC 2046 5.1.1, transport-padding)."""
        if data[at : at + 2] == b"--":
            self._state = _State.EPILOGUE
            return at + 2
        end = data.find(b"\n", at, at + 256)
        if end < 0:
            if len(data) - at >= 256:
                raise MultipartError("something follows a boundary on its line")
            self._held = data[at:]
            return None
        if data[end - 1 : end] != b"\r" or end == at or data[at : end - 1].strip(b" \t"):
            raise MultipartError("something follows a boundary on its line")
        self._parts += 1
        if self._parts > self._limits.parts:
            raise MultipartLimitError(f"the multipart body has more than {self._limits.parts} parts")
        self._state = _State.HEADERS
        return end + 1

    def _headers(self, data: bytes, at: int, events: list[Event]) -> int | None:
        if data[at : at + 2] == b"\r\n":
            # The line's end stays: a delimiter right behind it makes an empty part.
            headers, end = {}, at
        else:
            end = data.find(b"\r\n\r\n", at)
            if end < 0 and len(data) - at <= self._limits.header_bytes:
                self._held = data[at:]
                return None
            if end < 0 or end - at > self._limits.header_bytes:
                raise MultipartLimitError("the header of a part is too long")
            headers = _parse_headers(data[at:end], self._limits.header_lines)
            end += 2
        if len(data) < end + 2:
            self._held = data[at:]
            return None
        events.append(PartBegins(headers))
        self._state = _State.BODY
        if data.startswith(self._delimiter, end):
            return end
        if self._delimiter.startswith(data[end : end + len(self._delimiter)]):
            # Perhaps an empty part's delimiter: told apart when more has come.
            self._state = _State.HEADERS
            events.pop()
            self._held = data[at:]
            return None
        return end + 2

    # -- inside ------------------------------------------------------------------------------------

    def _hold(self, data: bytes, at: int) -> int:
        """Keep back what may be the beginning of a delimiter; where it begins."""
        place = data.find(b"\r", max(at, len(data) - len(self._delimiter) + 1))
        while place >= 0:
            if self._delimiter.startswith(data[place:]):
                self._held = data[place:]
                return place
            place = data.find(b"\r", place + 1)
        return len(data)

    def _spend(self, size: int) -> None:
        self._idle += size
        if self._idle > self._limits.idle_bytes:
            raise MultipartLimitError("too much stands outside of the parts of the multipart body")


def _parse_headers(block: bytes, most: int) -> dict[str, str]:
    headers: dict[str, str] = {}
    lines = block.split(b"\r\n")
    if len(lines) > most:
        raise MultipartLimitError("the header of a part has too many lines")
    for line in lines:
        name, colon, value = line.partition(b":")
        if line[:1] in (b" ", b"\t"):
            raise MultipartError("a header line of a part is folded")
        if not colon or not _NAME.fullmatch(name.rstrip(b" \t")) or b"\0" in line or b"\n" in line or b"\r" in line:
            raise MultipartError("a header line of a part is malformed")
        text = value.strip(b" \t").decode("utf-8", "replace")
        headers.setdefault(name.rstrip(b" \t").decode("ascii").lower(), text)
    return headers


def encode_part(boundary: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """One part with the delimiter before it, for bodies that are written whole."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return b"".join((b"\r\n--", boundary.encode(), b"\r\n", head.encode(), b"\r\n", body))


def closing(boundary: str) -> bytes:
    """What ends a body."""
    return b"\r\n--" + boundary.encode() + b"--\r\n"
