"""What the walker found: the top-level elements of a data set, where its pixels lie, and what was odd."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from vesalius.model.datasets import decode_items
from vesalius.model.element_values import decode_value
from vesalius.model.encodings import PIXEL_REPRESENTATION, US_OR_SS, Mode, implicit_vr, mode_of
from vesalius.model.entities import Note, PixelLayout, Values
from vesalius.standard.transfer_syntaxes import lookup

# (VR, value). The VR is the sender's, for implicit encodings the dictionary's; a sequence's value is its
# encoded items without the sequence delimiter.
RawElement: TypeAlias = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class HeaderLimits:
    """Bounds on what one data set may cost (bad-input rows S1, S2, S9). Bytes, unless said otherwise."""

    kept_bytes: int = 64 << 20  # of values held in memory in all: LimitExceeded
    value_bytes: int = 64 << 10  # a longer value is skipped, not held; one with a 16-bit length never is
    sequence_bytes: int = 4 << 20  # a longer sequence is skipped, not held
    depth: int = 64  # nested sequences: CannotUnderstand
    elements: int = 4_000_000  # count, nested ones included: LimitExceeded
    inflated_bytes: int = 4 << 30  # of a deflated data set: LimitExceeded
    inflated_ratio: int = 100  # inflated bytes per received byte, beyond a grace of 16 MiB: LimitExceeded
    offset_table_bytes: int = 16 << 20  # a longer Basic Offset Table is not used
    notes: int = 100  # count; findings beyond are dropped


DEFAULT_LIMITS = HeaderLimits()


@dataclass(slots=True)
class Header:
    """The top level of a data set. Values beyond the limits are named in `skipped` and not held."""

    transfer_syntax: str
    elements: dict[int, RawElement]
    pixels: PixelLayout | None = None
    notes: tuple[Note, ...] = ()
    charsets: tuple[str, ...] = ()
    skipped: dict[int, tuple[str, int]] = field(default_factory=dict)  # tag -> (VR, length)
    length: int = 0  # of the data set as received, bytes
    mode: Mode = Mode.EXPLICIT_LE

    @classmethod
    def of(cls, transfer_syntax: str, elements: dict[int, RawElement], charsets: tuple[str, ...] = ()) -> Header:
        """A header made by hand."""
        syntax = lookup(transfer_syntax)
        return cls(transfer_syntax, elements, charsets=charsets, mode=mode_of(syntax.explicit, syntax.little_endian))

    def __contains__(self, tag: int) -> bool:
        return tag in self.elements or tag in self.skipped

    def vr(self, tag: int) -> str | None:
        """The VR of a top-level element; None if it is absent."""
        found = self.elements.get(tag) or self.skipped.get(tag)
        return found[0] if found else None

    def raw(self, tag: int) -> bytes | None:
        """The value's bytes; None if the element is absent or was skipped."""
        found = self.elements.get(tag)
        return found[1] if found else None

    def values(self, tag: int) -> tuple[str, ...]:
        """The values as strings (`element_values.decode_value`); () if absent or empty. Not for sequences."""
        found = self.elements.get(tag)
        if found is None:
            return ()
        vr, raw = found
        if not raw:
            return ()
        if vr == "UN":
            # PS3.5 6.2.2: what is in UN is implicit little endian, and the dictionary may know its VR.
            vr = implicit_vr(tag)
            return decode_value(vr, raw, True, self.charsets) if vr != "SQ" else ()
        if vr == "US" and self.mode is Mode.IMPLICIT_LE and tag in US_OR_SS and self.text(PIXEL_REPRESENTATION) == "1":
            vr = "SS"
        return decode_value(vr, raw, self.mode is not Mode.EXPLICIT_BE, self.charsets)

    def text(self, tag: int) -> str | None:
        """The first value: None if the element is absent, "" if it is empty."""
        if tag not in self.elements:
            return None
        values = self.values(tag)
        return values[0] if values else ""

    def items(self, tag: int) -> tuple[Values, ...]:
        """The items of a sequence, decoded now; () if absent. Raises `CannotUnderstand`."""
        found = self.elements.get(tag)
        if found is None or not found[1]:
            return ()
        vr, raw = found
        return decode_items(raw, self.mode if vr == "SQ" else Mode.UN_LE, self.charsets)
