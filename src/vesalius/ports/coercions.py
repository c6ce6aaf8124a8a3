"""Which values of a study are answered in place of those that were received.

Theory. What was received is kept byte for byte. A repair (`Repair`) says that some attributes of some studies are
answered otherwise, who said so, when and why; it is applied to every copy that goes out and to what the index answers,
and it can be taken back. For each study and attribute the newest value whose repair was not taken back is in force.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Repair:
    """One decision about the attributes of images. What it changed are its coercions."""

    kind: str  # "order" | "patient" | "merge" | "demographics" | "other"
    at: str
    who: str
    why: str
    undone_at: str = ""
    undone_by: str = ""
    ref: int = 0


@dataclass(frozen=True, slots=True)
class Coercion:
    """One attribute of one study: the value that goes out."""

    study: str
    tag: int
    value: str  # "" makes it empty
    repair: Repair


class Coercions(Protocol):
    """The coercions of an archive. Blocks; raises `IndexUnavailable`."""

    def of(self, study: str) -> Sequence[Coercion]:
        """Those in force for a study, by tag."""
        ...

    def history(self, study: str) -> Sequence[Coercion]:
        """Every coercion that the study ever had, oldest first, those taken back included."""
        ...

    def add(self, repair: Repair, values: Mapping[str, Mapping[int, str]]) -> int:
        """Keep a repair: study -> tag -> value; its number. The index answers the new values from then on."""
        ...

    def undo(self, repair: int, at: str, who: str) -> Sequence[str]:
        """Take a repair back; the studies concerned. Raises `NoSuchRecord`, `WrongState` where it was already."""
        ...
