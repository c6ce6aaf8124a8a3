"""The walker: reads the header of a data set from its bytes as they arrive.

Promises: any split of the bytes gives the same `Header`; memory stays within `HeaderLimits` whatever lengths the
data set claims; the value of a long element, Pixel Data above all, is passed over without being copied or looked
at; the structure of every sequence is checked to the last delimiter. What is not a data set in the agreed transfer
syntax raises `CannotUnderstand` with the offending tag; what is odd but readable is accepted as sent and becomes a
`Note` (bad-input rows S1 to S4). It does not judge values.

How: bytes are gathered until a window is full, then walked in one go by one of three loops: `_top` for top-level
elements (the hot one), `_nested` for the insides of sequences, `_fragments` for encapsulated Pixel Data. Each
stops where the bytes end and is resumed at that place. A position beyond the buffer means bytes to pass over.
"""

from __future__ import annotations

import struct
import zlib

from vesalius.model.charset import is_known
from vesalius.model.datasets import charsets_of
from vesalius.model.element_values import decode_value
from vesalius.model.elements_header import DEFAULT_LIMITS, Header, HeaderLimits, RawElement
from vesalius.model.elements_nested import Nest
from vesalius.model.elements_pixels import Pixels, native_problem
from vesalius.model.encodings import (
    LONG,
    PIXEL_TAGS,
    SHORT,
    UNDEFINED,
    Mode,
    explicit_short,
    implicit_flat,
    implicit_vr,
    mode_of,
    same_kind,
)
from vesalius.model.entities import Note, PixelLayout
from vesalius.model.errors import CannotUnderstand, LimitExceeded
from vesalius.standard.dictionary import describe, vr_of
from vesalius.standard.transfer_syntaxes import TransferSyntax, lookup

_WINDOW = 64 << 10
_INFLATE_STEP = 256 << 10
_INFLATE_GRACE = 16 << 20
_PIXEL_DATA = 0x7FE00010
_EXTENDED_TABLE = 0x7FE00001
_CHARSET = 0x00080005
# No element of a data set has a lower tag than group 0004: what is not above this is looked at twice.
_BEFORE_DATA = 0x0002FFFF
_HEADS = {
    Mode.IMPLICIT_LE: struct.Struct("<4sI"),
    Mode.EXPLICIT_LE: struct.Struct("<6sH"),
    Mode.EXPLICIT_BE: struct.Struct(">6sH"),
}
_TAG_LE, _TAG_BE = struct.Struct("<HH"), struct.Struct(">HH")
_LENGTH_LE, _LENGTH_BE = struct.Struct("<I"), struct.Struct(">I")


class HeaderReader:
    """Fed with the bytes of one data set; see the module's theory. Not for use after an error."""

    __slots__ = (
        "_cursor", "_find", "_held", "_inflated", "_inflater", "_kept", "_last", "_layout", "_limits", "_mode", "_need",
        "_nest", "_nested", "_notes", "_open", "_pending", "_pixels", "_skip", "_structured", "_syntax", "_tag",
        "_unpack", "_want", "_wire", "base", "elements", "skipped",
    )  # fmt: skip

    def __init__(self, transfer_syntax: str, limits: HeaderLimits = DEFAULT_LIMITS) -> None:
        syntax = lookup(transfer_syntax)
        self._syntax: TransferSyntax = syntax
        self._limits = limits
        self._mode = mode = mode_of(syntax.explicit, syntax.little_endian)
        self._unpack = _HEADS[mode].unpack_from
        self._find = (implicit_flat() if mode is Mode.IMPLICIT_LE else explicit_short(syntax.little_endian)).get
        self._tag = (_TAG_LE if syntax.little_endian else _TAG_BE).unpack_from
        self.elements: dict[int, RawElement] = {}
        self.skipped: dict[int, tuple[str, int]] = {}
        self.base = 0  # place of the buffer's first byte in the data set
        self._notes: dict[tuple[str, int], Note] = {}
        self._last = _BEFORE_DATA  # highest tag so far
        self._open = 0  # tag of the element begun last
        self._kept = 0
        self._skip = 0  # bytes still to pass over
        self._pending: list[bytes] = []
        self._held = 0
        self._need = _WINDOW  # bytes to hold before walking on
        self._cursor = 0  # where to walk on in the held bytes
        self._nest: Nest | None = None
        self._structured = False  # within a sequence or encapsulated pixels
        self._nested = 0  # elements met inside sequences, about
        self._pixels: Pixels | None = None
        self._layout: PixelLayout | None = None  # of native pixels
        self._want = 0  # bytes that the element at the walk's end needs
        self._wire = 0
        self._inflated = 0
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS) if syntax.deflated else None

    # -- input ---------------------------------------------------------------------------------------------

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes; they may be reused by the caller afterwards.

        Raises `CannotUnderstand`, and `LimitExceeded` when a limit is passed.
        """
        self._wire += len(data)
        if self._inflater is None:
            self._push(data)
        else:
            self._inflate(data)

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
                self._walk()
                if self._skip:
                    step = min(self._skip, size - pos)
                    self._skip -= step
                    pos += step

    def _inflate(self, data: bytes | bytearray | memoryview) -> None:
        stream = self._inflater
        if stream is None or stream.eof:
            return
        limits = self._limits
        cap = min(limits.inflated_bytes, limits.inflated_ratio * self._wire + _INFLATE_GRACE)
        try:
            while True:
                chunk = stream.decompress(data, _INFLATE_STEP)
                self._inflated += len(chunk)
                if self._inflated > cap:
                    raise LimitExceeded(
                        "the deflated data set inflates beyond the limit", hint="raise the limit for inflated data sets"
                    )
                self._push(chunk)
                data = stream.unconsumed_tail
                if stream.eof or not (data or len(chunk) == _INFLATE_STEP):
                    return
        except zlib.error as error:
            raise CannotUnderstand("the deflated data set is corrupt", offending=(self._open,)) from error

    def _walk(self) -> None:
        """Walk the held bytes as far as they reach and keep what is not yet used."""
        pending = self._pending
        buffer = pending[0] if len(pending) == 1 else b"".join(pending)
        pos = self._consume(buffer, self._cursor, len(buffer))
        self._settle(buffer, pos)

    def _settle(self, buffer: bytes, pos: int) -> None:
        """Let go of the bytes before `pos`, except for a sequence being kept."""
        size = len(buffer)
        nest = self._nest
        if nest is not None and nest.keep:
            start = nest.start - self.base
            if max(pos, size) - start <= self._limits.sequence_bytes:
                rest = buffer[start:]
                self.base += start
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
            self._need = max(len(rest) + _WINDOW, self._want)
            self._want = 0
        self.base += pos

    def read(self, dataset: bytes) -> Header:
        """The header of a whole data set in memory, without gathering windows: nothing else must be fed."""
        if self._inflater is not None:
            self.feed(dataset)
            return self.finish()
        self._wire = size = len(dataset)
        return self._complete(dataset, self._consume(dataset, 0, size))

    # -- loops ---------------------------------------------------------------------------------------------

    def _consume(self, buffer: bytes, pos: int, end: int) -> int:
        """Run the loop that the state calls for until the bytes are used up; the position reached."""
        walk = self._implicit if self._mode is Mode.IMPLICIT_LE else self._explicit
        while True:
            nest, pixels = self._nest, self._pixels
            if nest is not None:
                pos = nest.walk(buffer, pos, end, self.base)
                if nest.stack:
                    return pos
                self._structured = False
                self._close_sequence(buffer, pos, nest)
            elif pixels is not None and not pixels.done:
                pos = pixels.walk(buffer, pos, end, self.base)
                if not pixels.done:
                    return pos
                self._structured = False
            else:
                pos = walk(buffer, pos, end)
                if self._kept > self._limits.kept_bytes:
                    raise LimitExceeded("the header is too large", hint="raise the limit for headers")
                if len(self.elements) > self._limits.elements:
                    raise LimitExceeded("the data set has too many elements")
                if not self._structured:
                    return pos

    def _explicit(self, buffer: bytes, pos: int, end: int) -> int:
        """Top-level explicit elements: holds values, and returns before a sequence's or the pixels' first item."""
        unpack, find, elements, short, split = self._unpack, self._find, self.elements, SHORT.get, self._tag
        last = self._last
        begun = pos
        try:
            while True:
                key, length = unpack(buffer, pos)
                entry = find(key)
                stop = pos + 8 + length
                if entry is not None:
                    if stop <= end:
                        tag = entry[0]
                        last = self._unusual(tag, entry[1], last, length) if tag <= last or length & 1 else tag
                        elements[tag] = (entry[1], buffer[pos + 8 : stop])
                        pos = stop
                        continue
                else:
                    # Private, or a VR that the dictionary does not give.
                    vr = short(key[4:])
                    if vr is not None and stop <= end:
                        group, element = split(key)
                        tag = group << 16 | element
                        if tag <= last or length & 1 or not group & 1:
                            last = self._unusual(tag, vr, last, length)
                        else:
                            last = tag
                        elements[tag] = (vr, buffer[pos + 8 : stop])
                        pos = stop
                        continue
                self._last = last
                following = self._general(buffer, pos, end)
                last = self._last
                if following is None:
                    break
                pos = following
                if pos > end or self._structured:
                    break
        except struct.error:
            # Fewer than eight bytes are left: the header of the next element is not there yet.
            self._last = last
        self._kept += min(pos, end) - begun
        return pos

    def _implicit(self, buffer: bytes, pos: int, end: int) -> int:
        """The same for implicit elements."""
        unpack, find, elements = self._unpack, self._find, self.elements
        last = self._last
        begun = pos
        limit = self._limits.value_bytes
        try:
            while True:
                key, length = unpack(buffer, pos)
                entry = find(key)
                stop = pos + 8 + length
                if entry is not None and stop <= end and length <= limit:
                    tag = entry[0]
                    last = self._unusual(tag, entry[1], last, length) if tag <= last or length & 1 else tag
                    elements[tag] = (entry[1], buffer[pos + 8 : stop])
                    pos = stop
                    continue
                self._last = last
                following = self._general(buffer, pos, end)
                last = self._last
                if following is None:
                    break
                pos = following
                if pos > end or self._structured:
                    break
        except struct.error:
            # Fewer than eight bytes are left: the header of the next element is not there yet.
            self._last = last
        self._kept += min(pos, end) - begun
        return pos

    def _unusual(self, tag: int, vr: str, last: int, length: int) -> int:
        """An element out of order, of odd length or of another VR: the highest tag so far."""
        self._last = last
        self._refuse(tag)
        self._odd(tag, length)
        if self._mode is not Mode.IMPLICIT_LE:
            self._check_vr(tag, vr)
        return max(tag, last)

    def _refuse(self, tag: int) -> None:
        """What may never be: a tag twice, a command or delimiter among the elements (row S4)."""
        if tag in self.elements or tag in self.skipped:
            raise CannotUnderstand(f"{describe(tag)} occurs twice", offending=(tag,))
        if tag >> 16 in (0x0000, 0xFFFE):
            raise CannotUnderstand(f"{describe(tag)} cannot stand in a data set", offending=(tag,))

    def _general(self, buffer: bytes, pos: int, end: int) -> int | None:
        """The element at `pos`, whatever it is; the position to go on from, None where bytes are missing."""
        little = self._syntax.little_endian
        group, element = self._tag(buffer, pos)
        tag = group << 16 | element
        self._open = tag
        if tag <= self._last or group == 0xFFFE:
            self._refuse(tag)
        start = pos + 8
        unknown = ""
        if self._mode is Mode.IMPLICIT_LE:
            length = _LENGTH_LE.unpack_from(buffer, pos + 4)[0]
            vr = implicit_vr(tag)
        else:
            code = buffer[pos + 4 : pos + 6]
            if code in SHORT:
                vr = SHORT[code]
                length = self._unpack(buffer, pos)[1]
            else:
                if not (code.isalpha() and code.isupper()):
                    raise CannotUnderstand(
                        f"{describe(tag)} has no value representation: not {self._syntax.name}", offending=(tag,)
                    )
                if pos + 12 > end:
                    return self._missing(12)
                length = (_LENGTH_LE if little else _LENGTH_BE).unpack_from(buffer, start)[0]
                start += 4
                vr = LONG.get(code, "")
                if not vr:
                    # PS3.5 6.2: VRs yet to come have 32-bit lengths; the reserved bytes tell them from noise.
                    if buffer[pos + 6 : pos + 8] != b"\0\0":
                        raise CannotUnderstand(f"{describe(tag)} has an unknown VR", offending=(tag,))
                    vr, unknown = "UN", code.decode("ascii")
        stop = start + length
        if length == UNDEFINED or vr == "SQ" or tag in PIXEL_TAGS:
            following = self._begin_structure(tag, vr, start, length)
            self._kept -= min(following, end) - pos
        elif length > (self._limits.offset_table_bytes if tag == _EXTENDED_TABLE else self._limits.value_bytes):
            self.skipped[tag] = (vr, length)
            self._kept -= min(stop, end) - pos  # these bytes are not held
            following = stop
        elif stop > end:
            return self._missing(stop - pos)
        else:
            self.elements[tag] = (vr, buffer[start:stop])
            following = stop
        if tag <= self._last or (length & 1 and length != UNDEFINED):
            self._odd(tag, length)
        self._last = max(tag, self._last)
        if unknown:
            self._note("unknown-vr", tag, f"VR {unknown} is not one of PS3.5")
        elif self._mode is not Mode.IMPLICIT_LE:
            self._check_vr(tag, vr)
        return following

    def _missing(self, wanted: int) -> None:
        """Remember how many bytes from the element's first are needed before walking on."""
        self._want = wanted

    def _begin_structure(self, tag: int, vr: str, start: int, length: int) -> int:
        """Begin a sequence, or the pixels; the position after what is passed over at once."""
        if tag in PIXEL_TAGS:
            if length != UNDEFINED:
                if self._syntax.encapsulated and tag == _PIXEL_DATA and length:
                    self._note("native-pixels", tag, "Pixel Data is not encapsulated though the transfer syntax is")
                self._layout = PixelLayout(tag, self.base + start, length, False)
                self.skipped[tag] = (vr, length)
                return start + length
            if not self._syntax.encapsulated or tag != _PIXEL_DATA or vr not in ("OB", "OW", "UN"):
                raise CannotUnderstand(f"undefined length of {describe(tag)} in {self._syntax.name}", offending=(tag,))
            self.skipped[tag] = (vr, UNDEFINED)
            self._structured = True
            self._pixels = Pixels(tag, self.base + start, self._limits.offset_table_bytes)
            return start
        if vr not in ("SQ", "UN"):
            raise CannotUnderstand(f"undefined length of {describe(tag)}", offending=(tag,))
        if length == 0:
            self.elements[tag] = (vr, b"")
            return start
        self.skipped[tag] = (vr, length)
        self._structured = True
        mode = Mode.UN_LE if vr == "UN" else self._mode
        budget = self._limits.elements - self._nested
        self._nest = Nest.begin(tag, vr, self.base + start, length, mode, self._limits.depth, budget)
        return start

    def _close_sequence(self, buffer: bytes, pos: int, nest: Nest) -> None:
        """The sequence is complete: hold its bytes if the limits allow."""
        self._nest = None
        self._nested = self._limits.elements - nest.budget
        stop = self.base + pos - (8 if nest.undefined else 0)
        length = stop - nest.start
        limits = self._limits
        if nest.keep and length <= limits.sequence_bytes and self._kept + length <= limits.kept_bytes // 2:
            self._kept += length
            del self.skipped[nest.tag]
            self.elements[nest.tag] = (nest.vr, buffer[nest.start - self.base : stop - self.base])
        else:
            self.skipped[nest.tag] = (nest.vr, length)
        if nest.implicit_items:
            self._note("implicit-item", nest.tag, "an item is in implicit encoding")

    # -- findings ------------------------------------------------------------------------------------------

    def _note(self, code: str, tag: int, text: str) -> None:
        if len(self._notes) < self._limits.notes:
            self._notes.setdefault((code, tag), Note(code, tag, text))

    def _odd(self, tag: int, length: int) -> None:
        """Tag order (PS3.5 7.1) and even lengths (PS3.5 7.1.1)."""
        if tag < self._last and self._last > _BEFORE_DATA:
            self._note("tag-order", tag, "tags are not in ascending order")
        if length & 1:
            self._note("odd-length", tag, f"length {length} is odd")
        if tag >> 16 == 0x0002:
            self._note("foreign-group", tag, "file meta information does not belong in a data set")

    def _check_vr(self, tag: int, vr: str) -> None:
        """The sender's VR against the dictionary's; also groups that do not belong here."""
        printed = vr_of(tag)
        if printed is not None and not same_kind(vr, printed):
            self._note("vr-mismatch", tag, f"VR {vr} is sent, the dictionary says {printed}")

    # -- end -----------------------------------------------------------------------------------------------

    def finish(self) -> Header:
        """The header, all bytes having been fed. Raises `CannotUnderstand` if the data set is incomplete."""
        if self._inflater is not None and not self._inflater.eof:
            raise CannotUnderstand("the deflated data set is truncated", offending=(self._open,))
        buffer = b"".join(self._pending)
        return self._complete(buffer, self._consume(buffer, self._cursor, len(buffer)))

    def _complete(self, buffer: bytes, pos: int) -> Header:
        size = len(buffer)
        if self._skip or pos > size or self._structured:
            raise self._truncated()
        if pos < size:
            rest = buffer[pos:]
            if len(rest) >= 8 or any(rest):
                raise self._truncated()
            self._note("trailing-bytes", 0, f"{len(rest)} bytes follow the last element")
        if self._inflater is not None and len(self._inflater.unused_data) > 1:
            self._note("trailing-bytes", 0, f"{len(self._inflater.unused_data)} bytes follow the deflated data set")
        if self._last >> 16 == 0xFFFF:
            self._note("foreign-group", self._last, "group FFFF does not belong in a data set")
        elements = self.elements
        charsets: tuple[str, ...] = ()
        if _CHARSET in elements:
            charsets = charsets_of(decode_value("CS", elements[_CHARSET][1]))
            if not is_known(charsets):
                self._note("unknown-charset", _CHARSET, "Specific Character Set holds an undefined term")
        return Header(
            self._syntax.uid,
            elements,
            self._find_pixels(),
            tuple(self._notes.values()),
            charsets,
            self.skipped,
            self._wire,
            self._mode,
        )

    def _truncated(self) -> CannotUnderstand:
        tag = self._nest.tag if self._nest is not None else max(self._open, self._last)
        return CannotUnderstand(
            f"the data set ends within {describe(tag)}: truncated, or not {self._syntax.name}", offending=(tag,)
        )

    def _find_pixels(self) -> PixelLayout | None:
        """Where the pixels lie; encapsulated ones with their frames."""
        pixels = self._pixels
        if pixels is None:
            if self._layout is not None:
                problem = native_problem(self.elements, self._syntax.little_endian, self._layout)
                if problem:
                    self._note("pixel-length", self._layout.tag, problem)
            return self._layout
        frames, problems = pixels.frames(self.elements)
        for problem in problems:
            self._note("frame-index", pixels.tag, problem)
        return PixelLayout(pixels.tag, pixels.offset, pixels.end - pixels.offset, True, frames)


def read_header(dataset: bytes, transfer_syntax: str, limits: HeaderLimits = DEFAULT_LIMITS) -> Header:
    """The header of a whole data set in memory. Raises `CannotUnderstand`, `LimitExceeded`."""
    return HeaderReader(transfer_syntax, limits).read(dataset)
