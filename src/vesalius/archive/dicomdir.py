"""A DICOMDIR: the directory of a medium, as records of patient, study, series and instance (PS3.3 F.3, PS3.10 8.6).

Theory. The records stand in one sequence, in tree order; offsets from the start of the file link each to its next
sibling and to its first child. As every offset has a fixed size, the place of each record is known before any offset
is: the records are encoded once and the offsets are filled in. Attributes come from the instances' own headers, in the
repertoire of the instance; what an instance does not have is empty in its record, nothing is invented.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from vesalius.model.datasets import encode
from vesalius.model.elements import Header
from vesalius.model.entities import Claim, Values
from vesalius.model.errors import UnableToProcess, VesaliusError
from vesalius.model.file_meta import file_prefix
from vesalius.standard.dictionary import vr_of
from vesalius.standard.sop_classes import MEDIA_STORAGE_DIRECTORY
from vesalius.standard.transfer_syntaxes import EXPLICIT_LE

PATIENT_ID, STUDY_UID, SERIES_UID = 0x00100020, 0x0020000D, 0x0020000E

PATIENT_KEYS = (0x00100010, PATIENT_ID, 0x00100030, 0x00100040)
STUDY_KEYS = (0x00080020, 0x00080030, 0x00080050, 0x00081030, STUDY_UID, 0x00200010)
SERIES_KEYS = (0x00080060, 0x0008103E, SERIES_UID, 0x00200011)

INSTANCE_NUMBER, IMAGE_TYPE, CONTENT_DATE, CONTENT_TIME = 0x00200013, 0x00080008, 0x00080023, 0x00080033
_CONTENT = (INSTANCE_NUMBER, 0x00700080, 0x00700081, CONTENT_DATE, CONTENT_TIME)
_DOCUMENT = (INSTANCE_NUMBER, CONTENT_DATE, CONTENT_TIME, 0x0040A043)

# Record type -> keys of PS3.3 F.5, for the classes that have a record type of their own.
KEYS: dict[str, tuple[int, ...]] = {
    "IMAGE": (INSTANCE_NUMBER, IMAGE_TYPE, 0x00280008, 0x00280010, 0x00280011),
    "RT DOSE": (INSTANCE_NUMBER, 0x3004000A),
    "RT STRUCTURE SET": (INSTANCE_NUMBER, 0x30060002, 0x30060008, 0x30060009),
    "RT PLAN": (INSTANCE_NUMBER, 0x300A0002, 0x300A0006, 0x300A0007),
    "RT TREAT RECORD": (INSTANCE_NUMBER, 0x30080250, 0x30080251),
    "PRESENTATION": (0x00700080, 0x00700081, 0x00700082, 0x00700083, 0x00700084),
    "WAVEFORM": (INSTANCE_NUMBER, CONTENT_DATE, CONTENT_TIME),
    "SR DOCUMENT": (*_DOCUMENT, 0x0040A491, 0x0040A493),
    "KEY OBJECT DOC": _DOCUMENT,
    "SPECTROSCOPY": (INSTANCE_NUMBER, IMAGE_TYPE, CONTENT_DATE, CONTENT_TIME, 0x00280008, 0x00280010, 0x00280011),
    "RAW DATA": (INSTANCE_NUMBER, CONTENT_DATE, CONTENT_TIME),
    "REGISTRATION": _CONTENT,
    "FIDUCIAL": _CONTENT,
    "VALUE MAP": _CONTENT,
    "ENCAP DOC": (*_DOCUMENT, 0x00420010, 0x00420012),
    "STEREOMETRIC": _CONTENT,
    "SURFACE": _CONTENT,
    "MEASUREMENT": _CONTENT,
    "TRACT": _CONTENT,
    "ANNOTATION": _CONTENT,
    "PRIVATE": (INSTANCE_NUMBER,),
}

_STORAGE = "1.2.840.10008.5.1.4.1.1."
# The beginning of the SOP class below the storage arc -> record type; the longest that fits decides (PS3.3 F.4).
_TYPES: dict[str, str] = {
    "": "IMAGE",
    "9.": "WAVEFORM",
    "11.": "PRESENTATION",
    "88.": "SR DOCUMENT",
    "88.59": "KEY OBJECT DOC",
    "4.2": "SPECTROSCOPY",
    "66": "RAW DATA",
    "66.1": "REGISTRATION",
    "66.2": "FIDUCIAL",
    "66.3": "REGISTRATION",
    "66.4": "IMAGE",
    "66.5": "SURFACE",
    "66.6": "TRACT",
    "66.7": "IMAGE",
    "66.8": "SURFACE",
    "67": "VALUE MAP",
    "77.1.5.3": "STEREOMETRIC",
    "78.": "MEASUREMENT",
    "91.1": "ANNOTATION",
    "104.": "ENCAP DOC",
    "481.2": "RT DOSE",
    "481.3": "RT STRUCTURE SET",
    "481.5": "RT PLAN",
    "481.8": "RT PLAN",
    "481.4": "RT TREAT RECORD",
    "481.6": "RT TREAT RECORD",
    "481.7": "RT TREAT RECORD",
    "481.9": "RT TREAT RECORD",
}


def record_type(sop_class: str) -> str:
    """The directory record type of a storage class (PS3.3 F.4); PRIVATE outside the standard's storage arc."""
    if not sop_class.startswith(_STORAGE):
        return "PRIVATE"
    arc = sop_class.removeprefix(_STORAGE)
    for length in range(len(arc), -1, -1):
        start = arc[:length]
        # "66" must not decide for "661": a component ends where the next begins.
        if start in _TYPES and (start == "" or start.endswith(".") or arc[length : length + 1] in ("", ".")):
            return _TYPES[start]
    return "IMAGE"


@dataclass(frozen=True, slots=True)
class Entry:
    """One exported file: where it lies on the medium, what it is, and the keys of its four records."""

    file_id: tuple[str, ...]
    claim: Claim
    patient: Values
    study: Values
    series: Values
    instance: Values
    charsets: tuple[str, ...]


def entry(file_id: tuple[str, ...], claim: Claim, header: Header) -> Entry:
    """The entry of one file, from its header."""
    return Entry(
        file_id=file_id,
        claim=claim,
        patient=_pick(header, PATIENT_KEYS),
        study=_pick(header, STUDY_KEYS),
        series=_pick(header, SERIES_KEYS),
        instance=_pick(header, KEYS[record_type(claim.sop_class)]),
        charsets=header.charsets,
    )


def _pick(header: Header, tags: Iterable[int]) -> Values:
    picked: Values = {}
    for tag in tags:
        try:
            picked[tag] = header.items(tag) if vr_of(tag) == "SQ" else header.values(tag)
        except VesaliusError:
            picked[tag] = ()
    return picked


@dataclass(slots=True)
class _Record:
    kind: str
    keys: bytes  # encoded, from (0004,1500) on
    children: list[_Record] = field(default_factory=list)
    at: int = 0


def directory(entries: Iterable[Entry], file_set_id: str, sop_instance: str) -> bytes:
    """The whole DICOMDIR file. `entries` may come in any order; records keep the order of first appearance."""
    roots = _tree(entries)
    prefix = file_prefix(Claim(MEDIA_STORAGE_DIRECTORY, sop_instance, EXPLICIT_LE))
    name = _cs(0x1130, file_set_id)
    flat: list[_Record] = []
    stack = list(reversed(roots))
    while stack:
        record = stack.pop()
        flat.append(record)
        stack.extend(reversed(record.children))
    at = len(prefix) + len(name) + 12 + 12 + 10 + 12
    for record in flat:
        record.at = at
        at += len(_encoded(record, 0, 0))
    following: dict[int, int] = {}
    for family in (roots, *(record.children for record in flat)):
        for record, sibling in pairwise(family):
            following[record.at] = sibling.at
    body = b"".join(
        _encoded(record, following.get(record.at, 0), record.children[0].at if record.children else 0)
        for record in flat
    )
    ends = (roots[0].at, roots[-1].at) if roots else (0, 0)
    links = _ul(0x1200, ends[0]) + _ul(0x1202, ends[1]) + _us(0x1212, 0)
    return prefix + name + links + struct.pack("<HH2sHI", 4, 0x1220, b"SQ", 0, len(body)) + body


def _tree(entries: Iterable[Entry]) -> list[_Record]:
    roots: list[_Record] = []
    known: dict[tuple[str, ...], _Record] = {}
    for each in entries:
        path: tuple[str, ...] = ()
        family = roots
        for kind, values, tag in (
            ("PATIENT", each.patient, PATIENT_ID),
            ("STUDY", each.study, STUDY_UID),
            ("SERIES", each.series, SERIES_UID),
        ):
            path = (*path, "\\".join(map(str, values.get(tag, ()))))
            record = known.get(path)
            if record is None:
                record = known[path] = _Record(kind, _keys(values, each.charsets))
                family.append(record)
            family = record.children
        family.append(
            _Record(record_type(each.claim.sop_class), _reference(each) + _keys(each.instance, each.charsets))
        )
    return roots


def _keys(values: Values, charsets: tuple[str, ...]) -> bytes:
    for repertoire in (charsets, ("ISO_IR 192",)):
        try:
            return encode(values, EXPLICIT_LE, repertoire)
        except UnableToProcess:
            continue
    # A value that its VR cannot hold: the record does without the offending ones.
    kept: Values = {}
    for tag, value in values.items():
        try:
            encode({tag: value}, EXPLICIT_LE, ("ISO_IR 192",))
            kept[tag] = value
        except UnableToProcess:
            kept[tag] = ()
    return encode(kept, EXPLICIT_LE, ("ISO_IR 192",))


def _reference(each: Entry) -> bytes:
    file_id = "\\".join(each.file_id)
    return (
        _cs(0x1500, file_id)
        + _ui(0x1510, each.claim.sop_class)
        + _ui(0x1511, each.claim.sop_instance)
        + _ui(0x1512, each.claim.transfer_syntax)
    )


def _encoded(record: _Record, following: int, child: int) -> bytes:
    body = _ul(0x1400, following) + _us(0x1410, 0xFFFF) + _ul(0x1420, child) + _cs(0x1430, record.kind) + record.keys
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(body)) + body


def _ul(element: int, value: int) -> bytes:
    return struct.pack("<HH2sHI", 4, element, b"UL", 4, value)


def _us(element: int, value: int) -> bytes:
    return struct.pack("<HH2sHH", 4, element, b"US", 2, value)


def _cs(element: int, text: str) -> bytes:
    value = text.encode("ascii")
    value += b" " * (len(value) & 1)
    return struct.pack("<HH2sH", 4, element, b"CS", len(value)) + value


def _ui(element: int, uid: str) -> bytes:
    value = uid.encode("ascii")
    value += b"\0" * (len(value) & 1)
    return struct.pack("<HH2sH", 4, element, b"UI", len(value)) + value
