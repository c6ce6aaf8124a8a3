"""A header as rows for the eye: DICOM JSON flattened, tags named, private ones too where their creator is known.

Names of private elements are those of pydicom's private dictionary (vendors' conformance statements), which is read at
its first use alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from vesalius.standard.dictionary import is_private, name_of

LONGEST = 512  # characters of a value that are shown
MOST = 20_000  # rows


@dataclass(frozen=True, slots=True)
class Element:
    """A row of the dump."""

    path: str  # "00400275[1].00400009": the same place in another instance
    depth: int
    tag: str  # "(0040,0009)"
    vr: str
    name: str
    value: str
    private: bool
    creator: str = ""
    items: bool = False  # the value says how many


def flatten(header: Mapping[str, Any]) -> list[Element]:
    """All elements of a DICOM JSON object, items of sequences below them."""
    rows: list[Element] = []
    for row in _walk(header, "", 0):
        rows.append(row)
        if len(rows) >= MOST:
            break
    return rows


def _walk(items: Mapping[str, Any], path: str, depth: int) -> Iterator[Element]:
    creators: dict[tuple[int, int], str] = {}
    for key in sorted(items):
        element = items[key]
        tag = int(key, 16)
        group, number = tag >> 16, tag & 0xFFFF
        private = is_private(tag)
        vr = str(element.get("vr", ""))
        values = element.get("Value", ())
        creator = ""
        if private and 0x10 <= number <= 0xFF:
            creators[group, number] = str(values[0]) if values else ""
            name = "Private Creator"
        elif private:
            creator = creators.get((group, number >> 8), "")
            name = private_name(creator, tag)
        else:
            name = name_of(tag)
        here = f"{path}{key}"
        shown = f"({key[:4]},{key[4:]})"
        if vr == "SQ":
            yield Element(here, depth, shown, vr, name, str(len(values)), private, creator, items=True)
            for n, item in enumerate(values, 1):
                yield Element(f"{here}[{n}]", depth + 1, "", "", f"# {n}", "", private)
                yield from _walk(item, f"{here}[{n}].", depth + 2)
        else:
            yield Element(here, depth, shown, vr, name, text_of(element), private, creator)


def text_of(element: Mapping[str, Any]) -> str:
    """The values of an element in one line, cut where they are long."""
    if "BulkDataURI" in element:
        return "…"
    if "InlineBinary" in element:
        text = str(element["InlineBinary"])
        return text if len(text) <= 64 else f"{text[:64]}… (base64)"
    parts = []
    for value in element.get("Value", ())[:256]:
        if isinstance(value, Mapping):  # a person name
            parts.append(
                "=".join(str(value.get(each, "")) for each in ("Alphabetic", "Ideographic", "Phonetic")).rstrip("=")
            )
        else:
            parts.append("" if value is None else str(value))
    text = "\\".join(parts)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


@lru_cache(maxsize=4096)
def private_name(creator: str, tag: int) -> str:
    """What a private element is called, "" where nobody said."""
    from pydicom._private_dict import private_dictionaries

    known = private_dictionaries.get(creator)
    if known is None:
        return ""
    entry = known.get(f"{tag >> 16:04X}xx{tag & 0xFF:02X}") or known.get(f"{tag:08X}")
    return str(entry[2]) if entry is not None else ""


@dataclass(frozen=True, slots=True)
class Difference:
    """A place in two headers."""

    path: str
    tag: str
    name: str
    depth: int
    left: str | None  # None: not there
    right: str | None
    items: bool = False  # the values say how many

    @property
    def differs(self) -> bool:
        """Whether they are not the same."""
        return self.left != self.right


def compare(left: list[Element], right: list[Element]) -> list[Difference]:
    """Both headers side by side, in the order of their places."""
    ours, theirs = {row.path: row for row in left}, {row.path: row for row in right}
    made = []
    for path in sorted({**ours, **theirs}, key=_order):
        one, other = ours.get(path), theirs.get(path)
        row = one or other
        if row is not None:
            values = one.value if one else None, other.value if other else None
            made.append(Difference(path, row.tag, row.name, row.depth, *values, items=row.items))
    return made


def _order(path: str) -> tuple[tuple[str, int], ...]:
    parts = []
    for part in path.split("."):
        key, _, item = part.partition("[")
        parts.append((key, int(item.rstrip("]") or 0)))
    return tuple(parts)
