"""The list of studies: from what was typed and chosen to a page of rows.

Theory. One box takes anything. What it means is told by its form: a UID is looked for as study, series and instance; a
date as the study date; everything else as the beginning of a name, Patient ID, accession number or study ID, which
indexes answer at once, and only where these find little, and for a fixed time, anywhere inside name and description.

Without words the archive is walked from its newest row, a page at a time, however large it is. Sorting by a column
needs all rows: it is done over the newest `MOST` that fit, and the page says so where there are more.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from vesalius.archive.search import Search
from vesalius.model.datetimes import normalize_date
from vesalius.model.entities import Level, Values
from vesalius.model.query import Options, Query, QueryLimits, Root
from vesalius.model.query_parser import parse

MOST = 2000  # studies that are sorted
PAGE = 50
DEEPEST = 200  # pages
SEARCHING = 0.35  # seconds for what no index answers

STUDY_UID, SERIES_UID, SOP_UID = 0x0020000D, 0x0020000E, 0x00080018
NAME, PATIENT_ID, ISSUER, BIRTH, SEX = 0x00100010, 0x00100020, 0x00100021, 0x00100030, 0x00100040
DATE, TIME, ACCESSION, STUDY_ID = 0x00080020, 0x00080030, 0x00080050, 0x00200010
DESCRIPTION, REFERRING, MODALITIES = 0x00081030, 0x00080090, 0x00080061
SERIES_COUNT, INSTANCE_COUNT = 0x00201206, 0x00201208

RETURNS = (
    STUDY_UID, NAME, PATIENT_ID, ISSUER, BIRTH, SEX, DATE, TIME, ACCESSION, STUDY_ID, DESCRIPTION, REFERRING,
    MODALITIES, SERIES_COUNT, INSTANCE_COUNT,
)  # fmt: skip
SORTS: Mapping[str, int] = {
    "name": NAME, "id": PATIENT_ID, "born": BIRTH, "date": DATE, "modality": MODALITIES, "description": DESCRIPTION,
    "accession": ACCESSION, "referring": REFERRING, "series": SERIES_COUNT, "images": INSTANCE_COUNT,
}  # fmt: skip
_NUMBERS = frozenset({SERIES_COUNT, INSTANCE_COUNT})

_UID = re.compile(r"[0-9]+(?:\.[0-9]+){2,}")
_DATES = (
    (re.compile(r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})"), (1, 2, 3)),
    (re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})"), (3, 2, 1)),
)
_SPECIAL = re.compile(r"[*?\\\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the page was asked for, as its address says it."""

    q: str = ""
    modality: str = ""
    since: str = ""  # YYYY-MM-DD, as a date field of a form gives it
    until: str = ""
    name: str = ""
    description: str = ""
    sort: str = ""  # a key of SORTS; empty: the newest arrival first
    descending: bool = False
    page: int = 1

    @property
    def filtered(self) -> bool:
        """Whether anything narrows the list."""
        return bool(self.q or self.modality or self.since or self.until or self.name or self.description)

    def address(self, **changes: object) -> dict[str, object]:
        """The query parameters of this, or of a changed one."""
        said = {**dataclasses.asdict(self), **changes}
        said["dir"] = "desc" if said.pop("descending") else ""
        said["page"] = "" if said["page"] == 1 else said["page"]
        return said


@dataclass(frozen=True, slots=True)
class Row:
    """A study as the list shows it. Texts are as sent."""

    uid: str
    name: str
    id: str
    born: str
    sex: str
    date: str
    time: str
    modalities: tuple[str, ...]
    description: str
    accession: str
    referring: str
    series: int
    images: int
    issuer: str

    @property
    def demo(self) -> bool:
        """Whether `vesalius demo` made it: then it says so wherever it is shown."""
        return self.id.startswith("DEMO-")


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of the list."""

    rows: tuple[Row, ...]
    more: bool  # there is a further page
    count: int | None  # of all that fit, where that is known
    cut: bool = False  # sorted among the newest, not among all


def asked_from(parameters: Mapping[str, str]) -> Asked:
    """Read the address. What makes no sense is left out: an address that is shared should open."""
    page = parameters.get("page", "")
    sort = parameters.get("sort", "")
    return Asked(
        q=_text(parameters.get("q")),
        modality=_text(parameters.get("modality")).upper(),
        since=_day(parameters.get("since")),
        until=_day(parameters.get("until")),
        name=_text(parameters.get("name")),
        description=_text(parameters.get("description")),
        sort=sort if sort in SORTS else "",
        descending=parameters.get("dir") == "desc",
        page=min(int(page), DEEPEST) if page.isascii() and page.isdigit() and int(page[:6]) > 0 else 1,
    )


def _text(value: str | None) -> str:
    return _SPECIAL.sub(" ", value or "").strip()[:128]


def _day(value: str | None) -> str:
    value = (value or "").strip()
    return value if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value) and _compact(value) else ""


def _compact(day: str) -> str | None:
    return normalize_date(day.replace("-", ""))


def first(values: Values, tag: int) -> str:
    """The first value of an attribute, "" where there is none."""
    found = values.get(tag, ())
    return str(found[0]) if found else ""


def row_of(values: Values) -> Row:
    """An answer of the index as a row."""
    return Row(
        uid=first(values, STUDY_UID),
        name=first(values, NAME),
        id=first(values, PATIENT_ID),
        born=first(values, BIRTH),
        sex=first(values, SEX),
        date=first(values, DATE),
        time=first(values, TIME),
        modalities=tuple(str(each) for each in values.get(MODALITIES, ()) if each),
        description=first(values, DESCRIPTION),
        accession=first(values, ACCESSION),
        referring=first(values, REFERRING),
        series=_number(first(values, SERIES_COUNT)),
        images=_number(first(values, INSTANCE_COUNT)),
        issuer=first(values, ISSUER),
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def date_in(text: str) -> str | None:
    """The day (`YYYYMMDD`) that a text says: 2026-01-31, 20260131, 31.1.2026."""
    for pattern, (year, month, day) in _DATES:
        match = pattern.fullmatch(text)
        if match is not None:
            return normalize_date(f"{match[year]}{match[month]:0>2}{match[day]:0>2}")
    return None


def name_pattern(text: str) -> str:
    """Words as a name pattern: `smith jo` is `smith*^jo*`, a comma or caret divides as in the name itself."""
    parts = [part for part in re.split(r"[\s,^=]+", text) if part]
    return "^".join(f"{part}*" for part in parts)


def cases(text: str, pattern: str) -> tuple[str, ...]:
    """A pattern in the cases that texts are sent in: people type without Shift, and DICOM matches by case."""
    forms = (text, text.upper(), text.lower(), text.title())
    return tuple(dict.fromkeys(pattern.format(form) for form in forms))


def questions(asked: Asked) -> tuple[list[Values], list[Values]]:
    """The identifiers whose answers together are the list: those an index answers, and those to be searched for."""
    base: Values = {}
    if asked.modality:
        base[MODALITIES] = (asked.modality,)
    if asked.since or asked.until:
        base[DATE] = (f"{_compact(asked.since) if asked.since else ''}-{_compact(asked.until) if asked.until else ''}",)
    if asked.name:
        base[NAME] = (name_pattern(asked.name),)
    if asked.description:
        base[DESCRIPTION] = cases(asked.description, "*{}*")
    if not asked.q:
        return [base], []
    day = date_in(asked.q)
    if day is None and _UID.fullmatch(asked.q):
        return [{**base, STUDY_UID: (asked.q,)}], []
    quick: list[Values] = []
    if day is not None and DATE not in base:
        quick.append({**base, DATE: (day,)})
    quick += [{**base, tag: cases(asked.q, "{}*")} for tag in (PATIENT_ID, ACCESSION, STUDY_ID)]
    slow: list[Values] = [{**base, DESCRIPTION: cases(asked.q, "*{}*")}]
    pattern = name_pattern(asked.q)
    if NAME not in base and pattern:
        quick.append({**base, NAME: (pattern,)})
        words = pattern.split("^")
        if len(words) == 2:
            quick.append({**base, NAME: (f"{words[1]}^{words[0]}",)})
        if len(words) == 1:
            slow.insert(0, {**base, NAME: (f"*{words[0]}",)})
    return quick, slow


class Studies:
    """Answers for the page. Everything blocks."""

    def __init__(self, search: Search, limits: QueryLimits, seconds: float = SEARCHING) -> None:
        self._search = search
        self._limits = limits
        self._seconds = seconds

    def find(self, asked: Asked) -> Listing:
        """A page of the list. Raises `IndexUnavailable`, `UnableToProcess`, `LimitExceeded`."""
        offset = (asked.page - 1) * PAGE
        quick, slow = questions(asked)
        if not asked.q and not asked.sort:
            query = self._query(quick[0], offset=offset, limit=PAGE + 1)
            rows = [row for page in self._search.find(query) for row in map(row_of, page)]
            count = offset + len(rows) if len(rows) <= PAGE else None
            return Listing(tuple(rows[:PAGE]), len(rows) > PAGE, count)
        found: dict[str, Row] = {}
        for values in quick:
            self._collect(self._search.find(self._query(values, limit=MOST + 1)), found, None)
        end = time.monotonic() + self._seconds
        for values in slow:
            if len(found) < PAGE and time.monotonic() < end:
                self._collect(self._search.find(self._query(values, limit=MOST + 1)), found, end)
        if _UID.fullmatch(asked.q) and not found:
            self._below(asked.q, found)
        rows = list(found.values())
        if asked.sort:
            rows = _sorted(rows, asked.sort, asked.descending)
        elif asked.q:
            rows.sort(key=lambda row: (row.date, row.time), reverse=True)
        shown = rows[offset : offset + PAGE]
        return Listing(tuple(shown), len(rows) > offset + PAGE, len(rows), len(rows) >= MOST)

    def _below(self, uid: str, found: dict[str, Row]) -> None:
        """The study of a series or an instance."""
        for tag, level in ((SERIES_UID, Level.SERIES), (SOP_UID, Level.IMAGE)):
            query = parse({tag: (uid,), STUDY_UID: ()}, Root.STUDY, level, Options(relational=True), limit=20)
            studies = {first(values, STUDY_UID) for page in self._search.find(query) for values in page}
            for study in studies:
                self._collect(self._search.find(self._query({STUDY_UID: (study,)}, limit=1)), found, None)
            if found:
                return

    def _collect(self, pages: Iterator[list[Values]], found: dict[str, Row], end: float | None) -> None:
        for page in pages:
            for values in page:
                if len(found) >= MOST:
                    return
                row = row_of(values)
                found.setdefault(row.uid, row)
            if end is not None and time.monotonic() > end:
                return

    def _query(self, values: Values, *, offset: int = 0, limit: int) -> Query:
        asked: Values = {**dict.fromkeys(RETURNS, ()), **values}
        options = Options(relational=True)  # several modalities mean any of them
        made = parse(asked, Root.STUDY, Level.STUDY, options, limit=limit, offset=offset, limits=self._limits)
        return dataclasses.replace(made, newest_first=True)


def _sorted(rows: list[Row], sort: str, descending: bool) -> list[Row]:
    """By a column; what is empty comes last either way."""

    def key(row: Row) -> tuple[object, ...]:
        if sort == "date":
            return (row.date, row.time)
        if sort == "modality":
            return ("\\".join(row.modalities),)
        value = getattr(row, sort)
        return (value.casefold() if isinstance(value, str) else value,)

    full = [row for row in rows if key(row)[0] != ""]
    empty = [row for row in rows if key(row)[0] == ""]
    return sorted(full, key=key, reverse=descending) + empty
