"""From the header of one data set to the row of the index that it becomes: the hot half of the attribute table.

Theory. A scanner sends hundreds of instances that differ in a few attributes only. What is kept of the patient,
the study and the series is therefore computed once per distinct encoding and remembered (the key is the raw bytes
themselves, so a remembered answer is always the right one); what is kept of the instance is computed each time, by
a flat plan.

Values are taken as they were sent, without padding. What is nonsense for its VR (bad-input D11) is kept as sent where
the column is text, has no normalized companion, and is noted. Nothing is invented: without legal Study, Series and SOP
Instance UIDs and a SOP Class UID there is no record (bad-input D9).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from vesalius.model import charset, datetimes
from vesalius.model.attributes_columns import Role, columns
from vesalius.model.attributes_table import (
    ATTRIBUTES,
    DATE_TIME_PAIRS,
    NESTED_VR,
    SEQUENCES,
    Attribute,
    ColumnKind,
)
from vesalius.model.coercion import decimal_of, decimal_text, integer_of
from vesalius.model.entities import Level, NestedValue, Note, Record, Scalar, Values
from vesalius.model.errors import CannotUnderstand, DataSetMismatch
from vesalius.model.identifiers import is_tolerable_uid
from vesalius.model.names import fold_groups
from vesalius.model.phonetics import sounds
from vesalius.standard.transfer_syntaxes import EXPLICIT_LE

if TYPE_CHECKING:
    from vesalius.model.elements import Header

Raw = tuple[str, bytes]

MAX_ITEMS = 100  # items of one sequence that are kept
MAX_SHORT = 256  # characters of a value that has an index or may be searched: far above what its VR allows
MAX_LONG = 10_240  # characters of a long text (LT, PS3.5 6.2)

_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_TIMEZONE_OFFSET = 0x00080201
_SHARED_FUNCTIONAL_GROUPS = 0x52009229
_TRANSFER_SYNTAX = "available_transfer_syntax_uid"

# Longest value by VR in characters (PS3.5 6.2); a name is measured by its groups.
_LONGEST = {
    "AE": 16,
    "AS": 4,
    "CS": 16,
    "DA": 8,
    "DS": 16,
    "DT": 26,
    "IS": 12,
    "LO": 64,
    "LT": 10240,
    "PN": 194,
    "SH": 16,
    "ST": 1024,
    "TM": 16,
    "UI": 64,
}
_LONG_VRS = frozenset(("LT", "ST", "UT"))
_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d", "AT": "I"}
_NO_TEXT = frozenset(("OB", "OW", "OD", "OF", "OL", "OV", "SQ"))

# Where an enhanced multi-frame object keeps for all frames what others keep at the top (PS3.3 C.7.6.16.2).
_GROUP_OF: dict[int, tuple[int, ...]] = {
    0x00289110: (0x00280030, 0x00180050, 0x00180088),  # Pixel Measures
    0x00209113: (0x00200032,),  # Plane Position
    0x00209116: (0x00200037,),  # Plane Orientation
    0x00289145: (0x00281052, 0x00281053, 0x00281054),  # Pixel Value Transformation
    0x00289132: (0x00281050, 0x00281051),  # Frame VOI LUT
}

_ROWS: dict[Level, tuple[Attribute, ...]] = {
    level: tuple(row for row in ATTRIBUTES if row.level is level and not row.computed) for level in Level
}
_TAGS: dict[Level, tuple[int, ...]] = {level: tuple(row.tag for row in rows) for level, rows in _ROWS.items()}
_EMPTY: dict[Level, dict[str, Scalar]] = {
    level: dict.fromkeys(column.name for column in columns(level, computed=False)) for level in Level
}
_ROW_OF = {row.tag: row for row in ATTRIBUTES}
_INSTANCE_ROWS = tuple(row for row in _ROWS[Level.IMAGE] if row.column != _TRANSFER_SYNTAX)
_INSTANCE_TAGS = tuple(row.tag for row in _INSTANCE_ROWS)
_UIDS = (
    (Level.STUDY, "study_instance_uid", 0x0020000D),
    (Level.SERIES, "series_instance_uid", 0x0020000E),
    (Level.IMAGE, "sop_instance_uid", 0x00080018),
    (Level.IMAGE, "sop_class_uid", 0x00080016),
)


def extract(header: Header) -> Record:
    """What the index keeps of one instance. Pure, and fast: it is run for every instance that arrives.

    Raises `DataSetMismatch` naming the tags, where a UID that identifies the instance is missing, empty or illegal.
    """
    elements: Mapping[int, Raw] = header.elements
    get = elements.get
    encoding = (header.transfer_syntax, tuple(header.charsets), get(_TIMEZONE_OFFSET))
    patient, study, series = (
        _remembered(_Source(level, tuple(map(get, _TAGS[level])), encoding, header))
        for level in (Level.PATIENT, Level.STUDY, Level.SERIES)
    )
    work = _Work(Level.IMAGE, header, encoding)
    work.take(zip(_INSTANCE_ROWS, map(get, _INSTANCE_TAGS), strict=True))
    columns_of = work.columns
    columns_of[_TRANSFER_SYNTAX] = header.transfer_syntax
    if _SHARED_FUNCTIONAL_GROUPS in elements:
        work.take_shared_groups(elements)
    by_level = {Level.STUDY: study[0], Level.SERIES: series[0], Level.IMAGE: columns_of}
    offending = [tag for level, column, tag in _UIDS if not _identifies(by_level[level][column])]
    if offending:
        names = ", ".join(_ROW_OF[tag].keyword for tag in offending)
        raise DataSetMismatch(f"The data set lacks a legal {names}", offending=offending)
    return Record(
        patient=patient[0].copy(),
        study=study[0].copy(),
        series=series[0].copy(),
        instance=columns_of,
        nested=patient[1] + study[1] + series[1] + tuple(work.nested),
        notes=(*header.notes, *patient[2], *study[2], *series[2], *work.notes),
    )


def columns_of(level: Level, texts: Mapping[int, str]) -> dict[str, Scalar]:
    """The columns of some attributes of one level, companions included, as these values make them."""
    from vesalius.model.elements_header import Header as Made

    raws: dict[int, Raw] = {tag: (_ROW_OF[tag].vr, text.encode()) for tag, text in texts.items()}
    encoding: _Encoding = (EXPLICIT_LE, ("ISO_IR 192",), None)
    work = _Work(level, Made.of(EXPLICIT_LE, raws, encoding[1]), encoding)
    work.take(zip([_ROW_OF[tag] for tag in texts], raws.values(), strict=True))
    names = [column.name for column in columns(level, computed=False) if column.attribute.tag in texts]
    return {name: work.columns[name] for name in names}


def _identifies(value: Scalar) -> bool:
    return isinstance(value, str) and is_tolerable_uid(value)


_Encoding = tuple[str, tuple[str, ...], Raw | None]
_Kept = tuple[dict[str, Scalar], tuple[NestedValue, ...], tuple[Note, ...]]


class _Source:
    """The raw values of one level, as a key; the header only while they are being read for the first time."""

    __slots__ = ("encoding", "hashed", "header", "level", "raws")

    def __init__(self, level: Level, raws: tuple[Raw | None, ...], encoding: _Encoding, header: Header) -> None:
        self.level = level
        self.raws = raws
        self.encoding = encoding
        self.header: Header | None = header
        self.hashed = hash((level, raws, encoding))

    def __hash__(self) -> int:
        return self.hashed

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Source)
            and self.hashed == other.hashed
            and self.level is other.level
            and self.raws == other.raws
            and self.encoding == other.encoding
        )


@lru_cache(maxsize=1024)
def _remembered(source: _Source) -> _Kept:
    header = source.header
    source.header = None  # the key stays; the data set must not
    if header is None:  # pragma: no cover - a source is asked for once
        raise CannotUnderstand("the header is gone")
    work = _Work(source.level, header, source.encoding)
    work.take(zip(_ROWS[source.level], source.raws, strict=True))
    return work.columns, tuple(work.nested), tuple(work.notes)


class _Work:
    """The columns of one level while they are being filled."""

    __slots__ = ("charsets", "columns", "header", "level", "little", "nested", "notes", "offset")

    def __init__(self, level: Level, header: Header, encoding: _Encoding) -> None:
        self.level = level
        self.header = header
        self.charsets = encoding[1]
        self.little = encoding[0] != _BIG_ENDIAN
        zone = encoding[2]
        self.offset = None if zone is None else datetimes.parse_offset(zone[1].decode("latin-1").strip(" \0"))
        self.columns = _EMPTY[level].copy()
        self.nested: list[NestedValue] = []
        self.notes: list[Note] = []

    def take(self, pairs: zip[tuple[Attribute, Raw | None]]) -> None:
        """Fill the columns of the attributes that are there."""
        for row, raw in pairs:
            if raw is None or not raw[1]:
                continue
            kind = row.kind
            if kind is ColumnKind.SEQUENCE:
                self._sequence(row)
                continue
            vr, value = raw
            if kind is ColumnKind.INTEGER and vr == "US" and len(value) == 2:
                self.columns[row.column] = value[0] | value[1] << 8 if self.little else value[0] << 8 | value[1]
                continue
            text = self._text(row, vr, value)
            if text:
                self._put(row, text)
        if self.offset is not None:
            self._instants()

    def take_shared_groups(self, elements: Mapping[int, Raw]) -> None:
        """What holds for all frames, from the Shared Functional Groups, where the top level does not say it."""
        for group, tags in _GROUP_OF.items():
            absent = [tag for tag in tags if tag not in elements]
            if not absent:
                continue
            for shared in self._items(_SHARED_FUNCTIONAL_GROUPS)[:1]:
                for item in shared.get(group, ())[:1]:
                    if isinstance(item, str):
                        continue
                    for tag in absent:
                        text = "\\".join(part.strip(" \0") for part in item.get(tag, ()) if isinstance(part, str))
                        if text:
                            self._put(_ROW_OF[tag], text)

    def _text(self, row: Attribute, vr: str, value: bytes) -> str:
        if vr == "UN":  # always little endian, PS3.5 6.2.2
            vr = row.vr
            if vr in _BINARY:
                return _numbers(vr, value, True)
        if vr in _BINARY:
            return _numbers(vr, value, self.little)
        if vr in _NO_TEXT:
            self._note("bad-value", row, "the VR sent holds no text or number")
            return ""
        try:
            text = charset.decode(value, self.charsets, vr) if b"\x1b" in value else value.decode("ascii")
        except UnicodeDecodeError:
            text = charset.decode(value, self.charsets, vr)
        text = text.rstrip(" \0") if row.vr in _LONG_VRS else text.strip(" \0")
        if "\0" in text:
            text = text.replace("\0", "\ufffd")  # PostgreSQL keeps no NUL in text
        if "\\" in text and row.multi:
            text = "\\".join([part.strip(" ") for part in text.split("\\")])
        return text

    def _put(self, row: Attribute, text: str) -> None:
        """One value, as text, into its column and companions."""
        kind, column, kept = row.kind, row.column, self.columns
        longest = _LONGEST.get(row.vr, MAX_LONG)
        if len(text) > longest:
            text = self._too_long(row, text, longest)
            if not text:
                return
        if kind is ColumnKind.INTEGER:
            kept[column] = number = integer_of(text)
            if number is None:
                self._note("bad-value", row, "is no whole number")
            elif row.vr == "IS" and text != str(number):
                kept[column + Role.SENT.value] = text
        elif kind is ColumnKind.DECIMAL:
            kept[column] = decimal = decimal_of(text)
            if decimal is None:
                self._note("bad-value", row, "is no finite number")
            elif row.vr == "DS" and text != decimal_text(decimal):
                kept[column + Role.SENT.value] = text
        else:
            kept[column] = text
            if kind is ColumnKind.NAME:
                self._put_name(row, text)
            elif kind is ColumnKind.DATE:
                self._put_norm(row, datetimes.normalize_date(text), "is no day of the calendar")
            elif kind is ColumnKind.TIME:
                self._put_norm(row, datetimes.normalize_time(text), "is no time of day")
            elif kind is ColumnKind.DATETIME:
                self._put_norm(row, datetimes.normalize_datetime(text, self.offset), "is no date-time")

    def _put_norm(self, row: Attribute, norm: str | None, what: str) -> None:
        self.columns[row.column + Role.NORM.value] = norm
        if norm is None:
            self._note("bad-value", row, what)

    def _put_name(self, row: Attribute, text: str) -> None:
        names = [fold_groups(name) for name in (text.split("\\") if row.multi else [text])]
        for role, place in ((Role.FOLDED, 0), (Role.IDEOGRAPHIC, 1), (Role.PHONETIC, 2)):
            folded = "\\".join(groups[place] for groups in names)
            self.columns[row.column + role.value] = folded if folded.strip("\\") else None
        codes = dict.fromkeys(code for name in text.split("\\") for code in sounds(name))
        self.columns[row.column + Role.SOUNDS.value] = f" {' '.join(codes)} " if codes else None

    def _too_long(self, row: Attribute, text: str, longest: int) -> str:
        if row.multi and max(map(len, text.split("\\"))) <= longest:
            return text[:MAX_LONG]
        self._note("value-too-long", row, f"is longer than the {longest} characters of {row.vr}")
        if row.vr in _LONG_VRS or row.vr == "UT":
            return text[:MAX_LONG]
        return text if len(text) <= MAX_SHORT else ""

    def _instants(self) -> None:
        for row in _ROWS[self.level]:
            time_tag = DATE_TIME_PAIRS.get(row.tag)
            if time_tag is not None:
                date = self.columns[row.column + Role.NORM.value]
                time = self.columns[_ROW_OF[time_tag].column + Role.NORM.value]
                if isinstance(date, str) and isinstance(time, str):
                    self.columns[row.column + Role.UTC.value] = datetimes.instant_utc(date, time, self.offset)

    def _items(self, tag: int) -> tuple[Values, ...]:
        try:
            return self.header.items(tag)
        except CannotUnderstand:
            self.notes.append(Note("bad-value", tag, "the sequence cannot be read"))
            return ()

    def _sequence(self, row: Attribute) -> None:
        items = self._items(row.tag)
        if len(items) > MAX_ITEMS:
            self._note("value-too-long", row, f"holds more than {MAX_ITEMS} items; the index keeps the first")
            items = items[:MAX_ITEMS]
        kept = [_kept(row.tag, item) for item in items]
        if not kept:
            return
        self.columns[row.column] = items_to_json(kept)
        for number, item in enumerate(kept):
            for tag, values in item.items():
                self.nested += [
                    NestedValue(self.level, row.tag, number, tag, text)
                    for text in values
                    if isinstance(text, str) and text
                ]

    def _note(self, code: str, row: Attribute, what: str) -> None:
        self.notes.append(Note(code, row.tag, f"{row.keyword} {what}"))


def _numbers(vr: str, value: bytes, little: bool) -> str:
    size = struct.calcsize("=" + _BINARY[vr])
    count = len(value) // size
    numbers = struct.unpack_from(("<" if little else ">") + _BINARY[vr] * count, value)
    return "\\".join(map(str, numbers))


def _kept(sequence: int, item: Values) -> Values:
    """An item cut down to what the table keeps of it, every value short enough for an index."""
    kept: Values = {}
    for tag in SEQUENCES[sequence]:
        values = item.get(tag)
        if values is None:
            continue
        if NESTED_VR[tag] == "SQ":
            kept[tag] = tuple(_kept(tag, inner) for inner in values[:MAX_ITEMS] if not isinstance(inner, str))
        else:
            texts = (text.strip(" \0").replace("\0", "\ufffd") for text in values if isinstance(text, str))
            kept[tag] = tuple(text for text in texts if text and len(text) <= MAX_SHORT)
    return kept


def items_to_json(items: list[Values]) -> str:
    """Items as the text of a SEQUENCE column: tags as 8 hex digits."""
    return json.dumps([_plain(item) for item in items], ensure_ascii=False, separators=(",", ":"))


def items_from_json(text: str) -> tuple[Values, ...]:
    """The items of a SEQUENCE column."""
    return tuple(_values(item) for item in json.loads(text))


def _plain(item: Values) -> dict[str, list[object]]:
    return {
        f"{tag:08X}": [part if isinstance(part, str) else _plain(part) for part in values]
        for tag, values in item.items()
    }


def _values(item: dict[str, list[object]]) -> Values:
    made: Values = {}
    for tag, parts in item.items():
        texts = tuple(part for part in parts if isinstance(part, str))
        made[int(tag, 16)] = texts or tuple(_values(part) for part in parts if isinstance(part, dict))
    return made
