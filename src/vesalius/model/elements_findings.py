"""What the walker finds odd: quality control notes, bounded in number, each once per tag."""

from __future__ import annotations

from vesalius.model.encodings import same_kind
from vesalius.model.entities import Note
from vesalius.standard.dictionary import vr_of

# No element of a data set has a lower tag than group 0004: what is not above this is looked at twice.
BEFORE_DATA = 0x0002FFFF


class Findings:
    """The notes of one data set. Texts hold tags, VRs and lengths, never values."""

    __slots__ = ("_limit", "_notes")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._notes: dict[tuple[str, int], Note] = {}

    def note(self, code: str, tag: int, text: str) -> None:
        """Add a finding; beyond the limit it is dropped."""
        if len(self._notes) < self._limit:
            self._notes.setdefault((code, tag), Note(code, tag, text))

    def form(self, tag: int, length: int, last: int) -> None:
        """Tag order (PS3.5 7.1), even lengths (PS3.5 7.1.1), and groups that do not belong (PS3.10 7.1)."""
        if tag < last and last > BEFORE_DATA:
            self.note("tag-order", tag, "tags are not in ascending order")
        if length & 1:
            self.note("odd-length", tag, f"length {length} is odd")
        if tag >> 16 == 0x0002:
            self.note("foreign-group", tag, "file meta information does not belong in a data set")

    def vr(self, tag: int, sent: str) -> None:
        """The sender's VR against the dictionary's."""
        printed = vr_of(tag)
        if printed is not None and not same_kind(sent, printed):
            self.note("vr-mismatch", tag, f"VR {sent} is sent, the dictionary says {printed}")

    def all(self) -> tuple[Note, ...]:
        """Every note, in the order found."""
        return tuple(self._notes.values())
