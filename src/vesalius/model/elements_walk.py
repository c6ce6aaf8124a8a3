"""The three loops of the walker, on bytes that are at hand (see `elements_reader.py` for the theory).

`consume` goes as far as the bytes reach and can go on there: `_top` for top-level elements (the hot ones: one look-up
under the bytes of tag and VR answers everything about a usual element, and runs of them that were met before are taken
in one step, `elements_runs.py`), `Nest` for the insides of sequences, `Pixels` for encapsulated Pixel Data. A position
beyond the end means bytes to pass over.
"""

from __future__ import annotations

import struct
from contextlib import suppress

from vesalius.model.elements_findings import BEFORE_DATA, Findings
from vesalius.model.elements_header import HeaderLimits, RawElement
from vesalius.model.elements_nested import Nest
from vesalius.model.elements_pixels import Pixels
from vesalius.model.elements_runs import LONGEST, LONGEST_SEQUENCE, SHORTEST, runs_of
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
)
from vesalius.model.entities import PixelLayout
from vesalius.model.errors import CannotUnderstand, LimitExceeded
from vesalius.standard.dictionary import describe
from vesalius.standard.transfer_syntaxes import TransferSyntax

_PIXEL_DATA = 0x7FE00010
_EXTENDED_TABLE = 0x7FE00001
_HEADS = {
    Mode.IMPLICIT_LE: struct.Struct("<4sI"),
    Mode.EXPLICIT_LE: struct.Struct("<6sH"),
    Mode.EXPLICIT_BE: struct.Struct(">6sH"),
}
_TAG_LE, _TAG_BE = struct.Struct("<HH"), struct.Struct(">HH")
_LENGTH_LE, _LENGTH_BE = struct.Struct("<I"), struct.Struct(">I")


class Walk:
    """Where the walk stands and what it has found."""

    __slots__ = (
        "_find",
        "_limits",
        "_mode",
        "_nested",
        "_runs",
        "_syntax",
        "_tag",
        "_unpack",
        "_usual",
        "base",
        "elements",
        "findings",
        "kept",
        "last",
        "layout",
        "nest",
        "open",
        "pixels",
        "skipped",
        "structured",
        "want",
    )

    def __init__(self, syntax: TransferSyntax, limits: HeaderLimits) -> None:
        self._syntax = syntax
        self._limits = limits
        self._mode = mode = mode_of(syntax.explicit, syntax.little_endian)
        self._unpack = _HEADS[mode].unpack_from
        self._find = (implicit_flat() if mode is Mode.IMPLICIT_LE else explicit_short(syntax.little_endian)).get
        self._tag = (_TAG_LE if syntax.little_endian else _TAG_BE).unpack_from
        self._runs = runs_of(mode, limits.value_bytes, limits.depth)
        self._usual = True  # nothing to be noted in the stretch being walked
        self._nested = 0  # elements met inside sequences
        self.elements: dict[int, RawElement] = {}
        self.skipped: dict[int, tuple[str, int]] = {}
        self.findings = Findings(limits.notes)
        self.base = 0  # place of the buffer's first byte in the data set
        self.last = BEFORE_DATA  # highest tag so far
        self.open = 0  # tag of the unusual element begun last, for messages
        self.kept = 0  # bytes held in `elements`
        self.want = 0  # bytes that the element at the walk's end needs
        self.structured = False  # within a sequence or encapsulated pixels
        self.nest: Nest | None = None
        self.pixels: Pixels | None = None
        self.layout: PixelLayout | None = None  # of native pixels

    def consume(self, buffer: bytes, pos: int, end: int) -> int:
        """Run the loop that the state calls for until the bytes are used up; the position reached."""
        while True:
            nest, pixels = self.nest, self.pixels
            if nest is not None:
                pos = nest.walk(buffer, pos, end, self.base)
                if nest.stack:
                    return pos
                self.structured = False
                self._close_sequence(buffer, pos, nest)
            elif pixels is not None and not pixels.done:
                pos = pixels.walk(buffer, pos, end, self.base)
                if not pixels.done:
                    return pos
                self.structured = False
            else:
                pos = self._top(buffer, pos, end)
                if self.kept > self._limits.kept_bytes:
                    raise LimitExceeded("the header is too large", hint="raise the limit for headers")
                if len(self.elements) > self._limits.elements:
                    raise LimitExceeded("the data set has too many elements")
                if not self.structured:
                    return pos

    def _top(self, buffer: bytes, pos: int, end: int) -> int:
        """Top-level elements: holds values, and returns before a sequence's or the pixels' first item."""
        usual = self._implicit if self._mode is Mode.IMPLICIT_LE else self._explicit
        elements = self.elements
        begun = pos
        while True:
            pos, stretch = self._met_before(buffer, pos, end)
            start, held = pos, len(elements)
            pos = usual(buffer, pos, end, stretch)
            if pos + 8 > end:
                break  # the header of the next element is not there yet
            self._meet(buffer, start, held)
            if len(elements) - held == stretch:
                continue
            following = self._general(buffer, pos, end)
            if following is None:
                break
            pos = following
            if pos > end or self.structured:
                break
        self.kept += min(pos, end) - begun
        return pos

    def _explicit(self, buffer: bytes, pos: int, end: int, stretch: int) -> int:
        """Hold up to `stretch` explicit elements, as long as they are of the short form; the position behind them."""
        unpack, find, elements, short, split = self._unpack, self._find, self.elements, SHORT.get, self._tag
        last = self.last
        with suppress(struct.error):  # fewer than eight bytes are left
            for _ in range(stretch):
                key, length = unpack(buffer, pos)
                entry = find(key)
                stop = pos + 8 + length
                if stop > end:
                    break
                if entry is not None:
                    tag = entry[0]
                    last = self._unusual(tag, entry[1], last, length) if tag <= last or length & 1 else tag
                    elements[tag] = (entry[1], buffer[pos + 8 : stop])
                else:
                    # Private, or a VR that the dictionary does not give.
                    vr = short(key[4:])
                    if vr is None:
                        break
                    group, element = split(key)
                    tag = group << 16 | element
                    odd = tag <= last or length & 1 or not group & 1
                    last = self._unusual(tag, vr, last, length) if odd else tag
                    elements[tag] = (vr, buffer[pos + 8 : stop])
                pos = stop
        self.last = last
        return pos

    def _implicit(self, buffer: bytes, pos: int, end: int, stretch: int) -> int:
        """The same for implicit elements whose value is a value and nothing else."""
        unpack, find, elements, split = self._unpack, self._find, self.elements, self._tag
        last = self.last
        limit = self._limits.value_bytes
        with suppress(struct.error):  # fewer than eight bytes are left
            for _ in range(stretch):
                key, length = unpack(buffer, pos)
                entry = find(key)
                stop = pos + 8 + length
                if stop > end or length > limit:
                    break
                if entry is not None:
                    tag, vr = entry
                else:
                    group, element = split(key)
                    if not group & 1:
                        break
                    # Private: the dictionary knows the creator's VR only (PS3.5 7.8.1).
                    tag = group << 16 | element
                    vr = "LO" if 0x0F < element < 0x100 else "UN"
                last = self._unusual(tag, vr, last, length) if tag <= last or length & 1 else tag
                elements[tag] = (vr, buffer[pos + 8 : stop])
                pos = stop
        self.last = last
        return pos

    def _met_before(self, buffer: bytes, pos: int, end: int) -> tuple[int, int]:
        """Hold the elements of runs that were met before, as many as follow one another.

        The position behind them, and how many elements to walk before looking again.
        """
        find, elements, last = self._runs.find, self.elements, self.last
        stretch = LONGEST
        while True:
            run = find(buffer[pos : pos + 8])
            if run is None or run.first <= last or pos + run.size > end:
                break
            fields = run.unpack(buffer, pos)
            heads, values = fields[::2], fields[1::2]
            if heads == run.heads:
                elements.update(zip(run.tags, zip(run.vrs, values, strict=True), strict=True))
                last = run.last
                pos += run.size
                continue
            count = run.proved(heads)
            elements.update(zip(run.tags[:count], zip(run.vrs, values, strict=True), strict=False))
            last = run.tags[count - 1]
            pos += 8 * count + sum(map(len, values[:count]))
            stretch = 1
            break
        self.last = last
        self._usual = True
        return pos, stretch

    def _meet(self, buffer: bytes, start: int, held: int) -> None:
        """The elements from `start` on, all but the first `held`, may be met again."""
        if self._usual and len(self.elements) - held >= SHORTEST:
            self._runs.learn(buffer, start, self.elements, held)

    def _unusual(self, tag: int, vr: str, last: int, length: int) -> int:
        """An element out of order, of odd length or of another VR: the highest tag so far."""
        self.last = last
        self._usual = False
        self._refuse(tag)
        self.findings.form(tag, length, self.last)
        if self._mode is not Mode.IMPLICIT_LE:
            self.findings.vr(tag, vr)
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
        self.open = tag
        if tag <= self.last or group == 0xFFFE:
            self._refuse(tag)
        start = pos + 8
        unknown = ""
        cap = self._limits.value_bytes
        if tag == _EXTENDED_TABLE:
            cap = max(cap, self._limits.offset_table_bytes)
        if self._mode is Mode.IMPLICIT_LE:
            length = _LENGTH_LE.unpack_from(buffer, pos + 4)[0]
            vr = implicit_vr(tag)
        else:
            code = buffer[pos + 4 : pos + 6]
            if code in SHORT:
                vr, cap = SHORT[code], 0xFFFF  # never skipped: as the loop does
                length = self._unpack(buffer, pos)[1]
            else:
                if not (code.isalpha() and code.isupper()):
                    raise CannotUnderstand(
                        f"{describe(tag)} has no value representation: not {self._syntax.name}", offending=(tag,)
                    )
                if pos + 12 > end:
                    self.want = 12
                    return None
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
            following = self._begin_structure(buffer, tag, vr, start, length)
            self.kept -= min(following, end) - pos
        elif length > cap:
            self.skipped[tag] = (vr, length)
            self.kept -= min(stop, end) - pos  # these bytes are not held
            following = stop
        elif stop > end:
            self.want = stop - pos
            return None
        else:
            self.elements[tag] = (vr, buffer[start:stop])
            following = stop
        if tag <= self.last or (length & 1 and length != UNDEFINED):
            self.findings.form(tag, length, self.last)
        self.last = max(tag, self.last)
        if unknown:
            self.findings.note("unknown-vr", tag, f"VR {unknown} is not one of PS3.5")
        elif self._mode is not Mode.IMPLICIT_LE:
            self.findings.vr(tag, vr)
        return following

    def _begin_structure(self, buffer: bytes, tag: int, vr: str, start: int, length: int) -> int:
        """Begin a sequence, or the pixels; the position after what is passed over at once."""
        if tag in PIXEL_TAGS:
            if length != UNDEFINED:
                if self._syntax.encapsulated and tag == _PIXEL_DATA and length:
                    self.findings.note(
                        "native-pixels", tag, "Pixel Data is not encapsulated though the transfer syntax is"
                    )
                self.layout = PixelLayout(tag, self.base + start, length, False)
                self.skipped[tag] = (vr, length)
                return start + length
            if not self._syntax.encapsulated or tag != _PIXEL_DATA or vr not in ("OB", "OW", "UN"):
                raise CannotUnderstand(f"undefined length of {describe(tag)} in {self._syntax.name}", offending=(tag,))
            self.skipped[tag] = (vr, UNDEFINED)
            self.structured = True
            self.pixels = Pixels(tag, self.base + start, self._limits.offset_table_bytes)
            return start
        if vr not in ("SQ", "UN"):
            raise CannotUnderstand(f"undefined length of {describe(tag)}", offending=(tag,))
        if length == 0:
            self.elements[tag] = (vr, b"")
            return start
        stop = start + length
        if length <= LONGEST_SEQUENCE and stop <= len(buffer) and self._has_room(length, len(buffer)):
            value = buffer[start:stop]
            nested = self._runs.nested(value)
            if nested and self._nested + nested <= self._limits.elements:
                self._nested += nested
                self.kept += length
                self.elements[tag] = (vr, value)
                return stop
        self.skipped[tag] = (vr, length)
        self.structured = True
        mode = Mode.UN_LE if vr == "UN" else self._mode
        budget = self._limits.elements - self._nested
        self.nest = Nest.begin(tag, vr, self.base + start, length, mode, self._limits.depth, budget)
        return start

    def _has_room(self, length: int, more: int = 0) -> bool:
        """Whether a sequence of that length may be held, `more` bytes being held besides that are not counted yet."""
        limits = self._limits
        return length <= limits.sequence_bytes and self.kept + more + length <= limits.kept_bytes // 2

    def _close_sequence(self, buffer: bytes, pos: int, nest: Nest) -> None:
        """The sequence is complete: hold its bytes if the limits allow."""
        self.nest = None
        before, self._nested = self._nested, self._limits.elements - nest.budget
        stop = self.base + pos - (8 if nest.undefined else 0)
        length = stop - nest.start
        if nest.keep and self._has_room(length):
            self.kept += length
            del self.skipped[nest.tag]
            value = buffer[nest.start - self.base : stop - self.base]
            self.elements[nest.tag] = (nest.vr, value)
            if nest.vr == "SQ" and length <= LONGEST_SEQUENCE and not nest.undefined and not nest.implicit_items:
                self._runs.learn_sequence(value, self._nested - before)
        else:
            self.skipped[nest.tag] = (nest.vr, length)
        if nest.implicit_items:
            self.findings.note("implicit-item", nest.tag, "an item is in implicit encoding")
