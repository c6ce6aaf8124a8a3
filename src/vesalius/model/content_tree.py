"""Structured reports and key object selections as a tree of content items (PS3.3 C.17.3, C.18).

Theory. A document is a tree: an item has a value type, a name that is a code, a value of its type, its relationship
to the item above, and items below. Here it becomes plain values for whoever shows it; nothing is interpreted, nothing
is left out but what has no meaning to a reader (template identifiers). An item whose place is `1.2.3` is the third
below the second below the root, as references between items count (C.17.3.2.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vesalius.model import reading
from vesalius.model.elements import Header
from vesalius.model.entities import Values
from vesalius.model.errors import CannotUnderstand, LimitExceeded

# Structured reports, key object selections and the CAD reports are one family (PS3.4 B.5).
_FAMILY = "1.2.840.10008.5.1.4.1.1.88."
MOST_ITEMS = 100_000

VALUE_TYPE, NAME, RELATIONSHIP, CONTENT = 0x0040A040, 0x0040A043, 0x0040A010, 0x0040A730
CONTINUITY, OBSERVED, REFERENCED_ITEM = 0x0040A050, 0x0040A032, 0x0040DB73
PLAIN = {
    "TEXT": 0x0040A160, "DATETIME": 0x0040A120, "DATE": 0x0040A121, "TIME": 0x0040A122,
    "PNAME": 0x0040A123, "UIDREF": 0x0040A124,
}  # fmt: skip
CONCEPT, MEASURED, NUMBER, UNITS, QUALIFIER = 0x0040A168, 0x0040A300, 0x0040A30A, 0x004008EA, 0x0040A301
CODE_VALUE, LONG_CODE, URN_CODE, SCHEME, MEANING = 0x00080100, 0x00080119, 0x00080120, 0x00080102, 0x00080104
SOPS, SOP_CLASS, SOP_INSTANCE, FRAMES = 0x00081199, 0x00081150, 0x00081155, 0x00081160
SEGMENTS, CHANNELS, STATES = 0x0062000B, 0x0040A0B0, 0x00081199
GRAPHIC_TYPE, GRAPHIC_DATA, FRAME_OF_REFERENCE = 0x00700023, 0x00700022, 0x30060024
TEMPORAL_TYPE, SAMPLES, OFFSETS, MOMENTS = 0x0040A130, 0x0040A132, 0x0040A138, 0x0040A13A
COMPLETION, VERIFICATION, PRELIMINARY = 0x0040A491, 0x0040A493, 0x0040A496
COMPLETION_REASON, VERIFIERS = 0x0040A492, 0x0040A073
VERIFIER_NAME, VERIFIER_PLACE, VERIFIED_AT = 0x0040A075, 0x0040A027, 0x0040A030
EVIDENCE, OTHER_EVIDENCE, PREDECESSORS, IDENTICAL = 0x0040A375, 0x0040A385, 0x0040A360, 0x0040A525
STUDY_UID, SERIES_UID, SERIES = 0x0020000D, 0x0020000E, 0x00081115


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept (PS3.3 8)."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Reference:
    """An instance that an item is about, and which part of it."""

    sop_class: str
    sop_instance: str
    frames: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    states: tuple[str, ...] = ()  # presentation states to show it with


@dataclass(frozen=True, slots=True)
class Points:
    """Coordinates of an item: spatial (SCOORD, SCOORD3D) or temporal (TCOORD)."""

    kind: str
    values: tuple[str, ...]
    dimensions: int = 1
    frame_of_reference: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One content item."""

    place: str
    kind: str  # value type
    relationship: str = ""  # to the item above
    name: Code | None = None
    texts: tuple[str, ...] = ()  # of TEXT, DATE, PNAME and the like; the number of NUM
    code: Code | None = None  # of CODE; the unit of NUM
    qualifier: Code | None = None  # of NUM: why there is no number, or what is special about it
    reference: Reference | None = None
    points: Points | None = None
    target: str = ""  # the place of another item that is meant
    observed: str = ""
    separate: bool = True  # of CONTAINER: its items stand for themselves, not in one text
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Verifier:
    """Who has verified a document."""

    name: str
    organization: str
    at: str


@dataclass(frozen=True, slots=True)
class Document:
    """A document: its tree, its state, and where the instances that it names belong."""

    root: Item
    completion: str = ""  # PARTIAL, COMPLETE; "" for a key object selection
    completion_reason: str = ""
    verification: str = ""  # UNVERIFIED, VERIFIED
    preliminary: str = ""  # PRELIMINARY, FINAL
    verifiers: tuple[Verifier, ...] = ()
    predecessors: tuple[str, ...] = ()  # SOP Instance UIDs
    evidence: Mapping[str, tuple[str, str]] | None = None  # SOP Instance UID -> study and series


def is_document(sop_class: str) -> bool:
    """Whether instances of a SOP class are structured reports or key object selections."""
    return sop_class.startswith(_FAMILY)


def read_document(header: Header) -> Document:
    """The document of a data set. Raises `CannotUnderstand`, `LimitExceeded`."""
    tags = (VALUE_TYPE, CONTINUITY, OBSERVED)
    root: dict[int, object] = {tag: header.values(tag) for tag in tags if tag in header}
    for tag in (NAME, CONTENT):
        root[tag] = header.items(tag)
    if not root.get(VALUE_TYPE) and not root[CONTENT]:
        raise CannotUnderstand("the instance has no content tree", offending=(VALUE_TYPE,))
    reader = _Reader()
    evidence: dict[str, tuple[str, str]] = {}
    for tag in (EVIDENCE, OTHER_EVIDENCE, IDENTICAL, PREDECESSORS):
        evidence.update(_instances(header.items(tag)))
    return Document(
        root=reader.item(root, "1"),
        completion=header.text(COMPLETION) or "",
        completion_reason=header.text(COMPLETION_REASON) or "",
        verification=header.text(VERIFICATION) or "",
        preliminary=header.text(PRELIMINARY) or "",
        verifiers=tuple(
            Verifier(
                reading.text(item, VERIFIER_NAME), reading.text(item, VERIFIER_PLACE), reading.text(item, VERIFIED_AT)
            )
            for item in header.items(VERIFIERS)
        ),
        predecessors=tuple(_instances(header.items(PREDECESSORS))),
        evidence=evidence,
    )


def references_of(item: Item) -> list[Reference]:
    """Every reference of an item and the items below it, in order."""
    found = [item.reference] if item.reference is not None else []
    for each in item.items:
        found += references_of(each)
    return found


class _Reader:
    """Builds items, and counts them."""

    def __init__(self) -> None:
        self._count = 0

    def item(self, values: Mapping[int, object], place: str) -> Item:
        self._count += 1
        if self._count > MOST_ITEMS:
            raise LimitExceeded(f"the document has more than {MOST_ITEMS} content items")
        kind = reading.text(values, VALUE_TYPE)
        target = reading.texts(values, REFERENCED_ITEM)
        measured = reading.item(values, MEASURED)
        code = _code(reading.item(values, CONCEPT)) if kind == "CODE" else _code(reading.item(measured, UNITS))
        texts = reading.texts(measured, NUMBER) if kind == "NUM" else reading.texts(values, PLAIN.get(kind, 0))
        return Item(
            place=place,
            kind=kind or ("REFERENCE" if target else ""),
            relationship=reading.text(values, RELATIONSHIP),
            name=_code(reading.item(values, NAME)),
            texts=texts,
            code=code,
            qualifier=_code(reading.item(values, QUALIFIER)),
            reference=_reference(reading.item(values, SOPS)),
            points=_points(kind, values),
            target=".".join(target),
            observed=reading.text(values, OBSERVED),
            separate=reading.text(values, CONTINUITY) != "CONTINUOUS",
            items=tuple(
                self.item(each, f"{place}.{number}")
                for number, each in enumerate(reading.items(values, CONTENT), start=1)
            ),
        )


def _code(item: Values) -> Code | None:
    if not item:
        return None
    value = next((text for tag in (CODE_VALUE, LONG_CODE, URN_CODE) if (text := reading.text(item, tag))), "")
    return Code(value, reading.text(item, SCHEME), reading.text(item, MEANING))


def _reference(item: Values) -> Reference | None:
    uid = reading.text(item, SOP_INSTANCE)
    if not uid:
        return None
    return Reference(
        reading.text(item, SOP_CLASS), uid,
        reading.texts(item, FRAMES), reading.texts(item, SEGMENTS), reading.texts(item, CHANNELS),
        tuple(state for each in reading.items(item, STATES) if (state := reading.text(each, SOP_INSTANCE))),
    )  # fmt: skip


def _points(kind: str, values: Mapping[int, object]) -> Points | None:
    if kind in ("SCOORD", "SCOORD3D"):
        return Points(
            reading.text(values, GRAPHIC_TYPE), reading.texts(values, GRAPHIC_DATA), 3 if kind == "SCOORD3D" else 2,
            reading.text(values, FRAME_OF_REFERENCE),
        )  # fmt: skip
    if kind == "TCOORD":
        found = next((strings for tag in (SAMPLES, OFFSETS, MOMENTS) if (strings := reading.texts(values, tag))), ())
        return Points(reading.text(values, TEMPORAL_TYPE), found)
    return None


def _instances(studies: tuple[Values, ...]) -> dict[str, tuple[str, str]]:
    """SOP Instance UID -> study and series, of a hierarchical reference (PS3.3 C.17.2.1)."""
    found = {}
    for study in studies:
        for series in reading.items(study, SERIES):
            for sop in reading.items(series, SOPS):
                found[reading.text(sop, SOP_INSTANCE)] = (
                    reading.text(study, STUDY_UID),
                    reading.text(series, SERIES_UID),
                )
    return found
