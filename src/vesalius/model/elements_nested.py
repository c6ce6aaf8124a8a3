"""The inside of a sequence: its structure is followed to the last delimiter, its values are not looked at.

A stack of frames says where in the nesting the walk stands, so that it can stop wherever the bytes end and go on
there. Every frame carries the nearest known end around it: nothing inside may cross that (PS3.5 7.5).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum

from vesalius.model.encodings import (
    ITEM,
    ITEM_END,
    LONG,
    SEQUENCE_END,
    SHORT,
    UNDEFINED,
    Mode,
    explicit_short,
    implicit_le,
    implicit_vr,
    item_mode,
)
from vesalius.model.errors import CannotUnderstand, LimitExceeded
from vesalius.standard.dictionary import describe

_UNBOUNDED = 1 << 62
_HEADS = {
    Mode.IMPLICIT_LE: struct.Struct("<4sI").unpack_from,
    Mode.EXPLICIT_LE: struct.Struct("<6sH").unpack_from,
    Mode.EXPLICIT_BE: struct.Struct(">6sH").unpack_from,
}
_ITEM_LE, _ITEM_BE = struct.Struct("<HHI").unpack_from, struct.Struct(">HHI").unpack_from
_LENGTH_LE, _LENGTH_BE = struct.Struct("<I").unpack_from, struct.Struct(">I").unpack_from


class Kind(IntEnum):
    """What stands in a frame."""

    SEQUENCE = 0  # items follow
    ITEM = 1  # elements follow
    FRESH_ITEM = 2  # elements follow and their encoding is not yet known
    FRAGMENTS = 3  # fragments of encapsulated pixels, as in an icon


@dataclass(slots=True)
class Frame:
    """One level of nesting. Places are absolute in the data set."""

    kind: Kind
    tag: int  # of the sequence, for messages
    limit: int  # the nearest known end at or around this level
    bounded: bool  # whether `limit` is this level's own end; else a delimiter ends it
    mode: Mode


@dataclass(slots=True)
class Nest:
    """One top-level sequence on its way through."""

    tag: int
    vr: str
    start: int  # of the value, absolute
    undefined: bool
    depth: int
    budget: int  # elements that may still come
    keep: bool = True  # whether the bytes are held for the header
    implicit_items: bool = False  # an implicit item was met in an explicit sequence
    stack: list[Frame] = field(default_factory=list)

    @classmethod
    def begin(cls, tag: int, vr: str, start: int, length: int, mode: Mode, depth: int, budget: int) -> Nest:
        """A sequence whose header has been read."""
        undefined = length == UNDEFINED
        nest = cls(tag, vr, start, undefined, depth, budget)
        nest.stack.append(Frame(Kind.SEQUENCE, tag, _UNBOUNDED if undefined else start + length, not undefined, mode))
        return nest

    def walk(self, buffer: bytes, pos: int, end: int, base: int) -> int:
        """Go on from `pos`; the position reached, which may lie beyond `end`. Done when the stack is empty."""
        stack = self.stack
        while stack:
            if pos > end:
                return pos
            frame = stack[-1]
            if frame.bounded and base + pos >= frame.limit:
                stack.pop()
                continue
            if pos + 8 > end:
                self._within(frame, base + pos + 8)
                return pos
            if frame.kind is Kind.ITEM:
                pos, more = self._elements(frame, buffer, pos, end, base)
            elif frame.kind is Kind.SEQUENCE:
                pos, more = self._items(frame, buffer, pos, base), False
            elif frame.kind is Kind.FRESH_ITEM:
                mode = item_mode(frame.mode, buffer[pos : pos + 6])
                self.implicit_items |= mode is Mode.IMPLICIT_LE and frame.mode in (Mode.EXPLICIT_LE, Mode.EXPLICIT_BE)
                frame.mode = mode
                frame.kind = Kind.ITEM
                more = False
            else:
                pos, more = self._fragment(frame, buffer, pos, base), False
            if more:
                return pos
        return pos

    def _within(self, frame: Frame, place: int) -> None:
        if place > frame.limit:
            raise CannotUnderstand(f"an element crosses the end of {describe(frame.tag)}", offending=(frame.tag,))

    def _items(self, frame: Frame, buffer: bytes, pos: int, base: int) -> int:
        """The next item, or the end, of a sequence."""
        group, element, length = (_ITEM_BE if frame.mode is Mode.EXPLICIT_BE else _ITEM_LE)(buffer, pos)
        tag = group << 16 | element
        pos += 8
        self._within(frame, base + pos)
        if tag == SEQUENCE_END and not frame.bounded:
            self.stack.pop()
            return pos
        if tag != ITEM:
            raise CannotUnderstand(
                f"{describe(frame.tag)} holds {describe(tag)} in place of an item", offending=(frame.tag, tag)
            )
        self.budget -= 1
        if self.budget < 0:
            raise LimitExceeded("the data set has too many elements", offending=(frame.tag,))
        limit = frame.limit
        if length != UNDEFINED:
            limit = base + pos + length
            self._within(frame, limit)
        self.stack.append(Frame(Kind.FRESH_ITEM, frame.tag, limit, length != UNDEFINED, frame.mode))
        return pos

    def _fragment(self, frame: Frame, buffer: bytes, pos: int, base: int) -> int:
        """The next fragment, or the end, of encapsulated pixels inside an item (PS3.5 A.4)."""
        group, element, length = (_ITEM_BE if frame.mode is Mode.EXPLICIT_BE else _ITEM_LE)(buffer, pos)
        tag = group << 16 | element
        self._within(frame, base + pos + 8)
        if tag == SEQUENCE_END:
            self.stack.pop()
            return pos + 8
        if tag != ITEM or length == UNDEFINED:
            raise CannotUnderstand(f"{describe(frame.tag)} holds a bad fragment", offending=(frame.tag, tag))
        following: int = pos + 8 + length
        self._within(frame, base + following)
        return following

    def _elements(self, frame: Frame, buffer: bytes, pos: int, end: int, base: int) -> tuple[int, bool]:
        """Elements of an item up to its end, a sequence in it, or the end of the bytes (then True)."""
        mode = frame.mode
        implicit = mode is Mode.IMPLICIT_LE
        unpack = _HEADS[mode]
        known = (implicit_le() if implicit else explicit_short(mode is Mode.EXPLICIT_LE)).get
        limit = frame.limit - base
        if limit < end:
            end = limit
        count = 0
        while pos + 8 <= end:
            key, length = unpack(buffer, pos)
            entry = known(key)
            count += 1
            if entry is not None and length != UNDEFINED and (not implicit or entry[1] != "SQ"):
                pos += 8 + length
                if pos > limit:
                    self._within(frame, base + pos)
                continue
            following = self._general(frame, buffer, pos, base, key, length, entry)
            if following < 0:
                self.budget -= count
                return pos, True
            pos = following
            if self.stack[-1] is not frame:
                self.budget -= count
                return pos, False
        self.budget -= count
        if frame.bounded and pos >= limit:
            return pos, False
        if pos + 8 > limit:
            self._within(frame, base + pos + 8)
        return pos, True

    def _general(
        self, frame: Frame, buffer: bytes, pos: int, base: int, key: bytes, length: int, entry: tuple[int, str] | None
    ) -> int:
        """The element at `pos`, whatever it is: the position after its header or value; -1 for more bytes."""
        mode = frame.mode
        big = mode is Mode.EXPLICIT_BE
        group, element = (_ITEM_BE if big else _ITEM_LE)(buffer, pos)[:2]
        tag = group << 16 | element
        if group == 0xFFFE:
            if tag == ITEM_END and not frame.bounded:
                self.stack.pop()
                return pos + 8
            raise CannotUnderstand(f"stray {describe(tag)} in {describe(frame.tag)}", offending=(frame.tag, tag))
        start = pos + 8
        if mode is Mode.IMPLICIT_LE:
            vr = entry[1] if entry is not None else implicit_vr(tag)
        elif key[4:] in SHORT:
            vr = "OK"
        else:
            code = key[4:]
            if not (code.isalpha() and code.isupper()):
                raise CannotUnderstand(f"{describe(tag)} has no value representation", offending=(tag,))
            if start + 4 > len(buffer):
                return -1
            length = (_LENGTH_BE if big else _LENGTH_LE)(buffer, start)[0]
            start += 4
            vr = LONG.get(code, "OB")
        if length != UNDEFINED:
            self._within(frame, base + start + length)
            if vr != "SQ":
                return start + length
        kind = Kind.SEQUENCE
        inner = mode
        if vr == "UN":
            inner = Mode.UN_LE
        elif vr != "SQ":
            if vr not in ("OB", "OW") or tag != 0x7FE00010:
                raise CannotUnderstand(f"undefined length of {describe(tag)}", offending=(tag,))
            kind = Kind.FRAGMENTS
        if len(self.stack) >= 2 * self.depth:
            raise CannotUnderstand("sequences are nested too deep", offending=(self.tag, tag))
        limit = frame.limit if length == UNDEFINED else base + start + length
        self.stack.append(Frame(kind, tag, limit, length != UNDEFINED, inner))
        return start
