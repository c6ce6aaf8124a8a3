"""The walker: reads the header of a data set from its bytes as they arrive.

Promises: any split of the bytes gives the same `Header`; memory stays within `HeaderLimits` whatever lengths the
data set claims; the value of a long element, Pixel Data above all, is passed over without being copied or looked
at; the structure of every sequence is checked to the last delimiter. What is not a data set in the agreed transfer
syntax raises `CannotUnderstand` with the offending tag; what is odd but readable is accepted as sent and becomes a
`Note` (bad-input rows S1 to S4). It does not judge values.

How: this class gathers bytes until a window is full, then `elements_walk.py` walks them in one go and says how far
it came. A place beyond the held bytes means bytes to pass over: they are counted, not looked at. The bytes of a
sequence stay held until it ends, so that its value can be kept, unless it outgrows its limit.
"""

from __future__ import annotations

from vesalius.model.charset import is_known
from vesalius.model.datasets import charsets_of
from vesalius.model.element_values import decode_value
from vesalius.model.elements_findings import BEFORE_DATA
from vesalius.model.elements_header import DEFAULT_LIMITS, Header, HeaderLimits, RawElement
from vesalius.model.elements_inflate import Inflater
from vesalius.model.elements_pixels import native_problem
from vesalius.model.elements_walk import Walk
from vesalius.model.encodings import mode_of
from vesalius.model.entities import PixelLayout
from vesalius.model.errors import CannotUnderstand
from vesalius.standard.dictionary import describe
from vesalius.standard.transfer_syntaxes import lookup

_WINDOW = 64 << 10
_CHARSET = 0x00080005


class HeaderReader:
    """Fed with the bytes of one data set; see the module's theory. Not for use after an error."""

    __slots__ = ("_cursor", "_held", "_inflater", "_limits", "_need", "_pending", "_skip", "_syntax", "_walk", "_wire")

    def __init__(self, transfer_syntax: str, limits: HeaderLimits = DEFAULT_LIMITS) -> None:
        self._syntax = syntax = lookup(transfer_syntax)
        self._limits = limits
        self._walk = Walk(syntax, limits)
        self._inflater = Inflater(limits) if syntax.deflated else None
        self._wire = 0  # bytes received
        self._skip = 0  # bytes still to pass over
        self._pending: list[bytes] = []
        self._held = 0  # bytes in `_pending`
        self._need = _WINDOW  # bytes to hold before walking on
        self._cursor = 0  # where to walk on in the held bytes

    @property
    def elements(self) -> dict[int, RawElement]:
        """The elements held so far: for callers that want a value before the last byte is there."""
        return self._walk.elements

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes; they may be reused by the caller afterwards.

        Raises `CannotUnderstand`, and `LimitExceeded` when a limit is passed.
        """
        self._wire += len(data)
        if self._inflater is None:
            self._push(data)
        else:
            for chunk in self._inflater.inflate(data):
                self._push(chunk)

    def _push(self, data: bytes | bytearray | memoryview) -> None:
        size = len(data)
        if self._skip >= size:
            self._skip -= size
            return
        pos = self._skip
        self._skip = 0
        view = memoryview(data)
        while pos < size:
            take = min(size - pos, self._need - self._held)
            self._pending.append(bytes(view[pos : pos + take]))
            self._held += take
            pos += take
            if self._held >= self._need:
                self._advance()
                if self._skip:
                    step = min(self._skip, size - pos)
                    self._skip -= step
                    pos += step

    def _advance(self) -> None:
        """Walk the held bytes as far as they reach and keep what is not yet used."""
        pending = self._pending
        buffer = pending[0] if len(pending) == 1 else b"".join(pending)
        pos = self._walk.consume(buffer, self._cursor, len(buffer))
        self._settle(buffer, pos)

    def _settle(self, buffer: bytes, pos: int) -> None:
        """Let go of the bytes before `pos`, except for a sequence being kept."""
        size = len(buffer)
        walk = self._walk
        nest = walk.nest
        if nest is not None and nest.keep:
            start = nest.start - walk.base
            if pos - start <= self._limits.sequence_bytes:
                rest = buffer[start:]
                walk.base += start
                self._cursor = pos - start
                self._pending = [rest]
                self._held = len(rest)
                self._need = max(_WINDOW, 2 * len(rest), self._cursor)
                return
            nest.keep = False
        self._cursor = 0
        if pos >= size:
            self._skip = pos - size
            self._pending = []
            self._held = 0
            self._need = _WINDOW
        else:
            rest = buffer[pos:]
            self._pending = [rest]
            self._held = len(rest)
            self._need = max(len(rest) + _WINDOW, walk.want)
            walk.want = 0
        walk.base += pos

    def read(self, dataset: bytes) -> Header:
        """The header of a whole data set in memory, without gathering windows: nothing else must be fed."""
        if self._inflater is not None:
            self.feed(dataset)
            return self.finish()
        self._wire = size = len(dataset)
        return self._complete(dataset, self._walk.consume(dataset, 0, size))

    def finish(self) -> Header:
        """The header, all bytes having been fed. Raises `CannotUnderstand` if the data set is incomplete."""
        walk = self._walk
        if self._inflater is not None:
            trailing = self._inflater.finish()
            if trailing > 1:
                walk.findings.note("trailing-bytes", 0, f"{trailing} bytes follow the deflated data set")
        buffer = b"".join(self._pending)
        return self._complete(buffer, walk.consume(buffer, self._cursor, len(buffer)))

    def _complete(self, buffer: bytes, pos: int) -> Header:
        walk = self._walk
        size = len(buffer)
        if self._skip or pos > size or walk.structured:
            raise self._truncated()
        if pos < size:
            rest = buffer[pos:]
            if len(rest) >= 8 or any(rest):
                raise self._truncated()
            walk.findings.note("trailing-bytes", 0, f"{len(rest)} bytes follow the last element")
        if walk.last >> 16 == 0xFFFF:
            walk.findings.note("foreign-group", walk.last, "group FFFF does not belong in a data set")
        elements = walk.elements
        charsets: tuple[str, ...] = ()
        if _CHARSET in elements:
            charsets = charsets_of(decode_value("CS", elements[_CHARSET][1]))
            if not is_known(charsets):
                walk.findings.note("unknown-charset", _CHARSET, "Specific Character Set holds an undefined term")
        return Header(
            self._syntax.uid,
            elements,
            self._find_pixels(),
            walk.findings.all(),
            charsets,
            walk.skipped,
            self._wire,
            mode_of(self._syntax.explicit, self._syntax.little_endian),
        )

    def _truncated(self) -> CannotUnderstand:
        walk = self._walk
        tag = walk.nest.tag if walk.nest is not None else max(walk.open, walk.last)
        if tag == BEFORE_DATA:
            tag = walk.open
        return CannotUnderstand(
            f"the data set ends within {describe(tag)}: truncated, or not {self._syntax.name}", offending=(tag,)
        )

    def _find_pixels(self) -> PixelLayout | None:
        """Where the pixels lie; encapsulated ones with their frames."""
        walk = self._walk
        pixels = walk.pixels
        if pixels is None:
            if walk.layout is not None:
                problem = native_problem(walk.elements, self._syntax.little_endian, walk.layout)
                if problem:
                    walk.findings.note("pixel-length", walk.layout.tag, problem)
            return walk.layout
        frames, problems = pixels.frames(walk.elements)
        for problem in problems:
            walk.findings.note("frame-index", pixels.tag, problem)
        return PixelLayout(pixels.tag, pixels.offset, pixels.end - pixels.offset, True, frames)


def read_header(dataset: bytes, transfer_syntax: str, limits: HeaderLimits = DEFAULT_LIMITS) -> Header:
    """The header of a whole data set in memory. Raises `CannotUnderstand`, `LimitExceeded`."""
    return HeaderReader(transfer_syntax, limits).read(dataset)
