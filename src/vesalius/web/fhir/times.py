"""Dates and times: FHIR's, with their zone, and the hospital's own, as the workflow and images keep them.

Planned and performed times have no zone of their own (`model/orders.py`): they are on the clocks of the house, which
are those of this machine. Going out they get its offset; coming in they are brought to it. A value without a zone
means the clocks of the house (FHIR R4 search.html 3.1.1.4.7).
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_FHIR = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:\d\d)?)?)?)?", re.ASCII
)
_STAMP = "%Y%m%d%H%M%S"
_LATEST = datetime(9998, 12, 31)


class Prefix(enum.StrEnum):
    """How a date is compared (FHIR R4 search.html 3.1.1.4.4); the approximate `ap` is not served."""

    EQ = "eq"
    NE = "ne"
    GT = "gt"
    LT = "lt"
    GE = "ge"
    LE = "le"
    SA = "sa"
    EB = "eb"


PREFIXES = frozenset(map(str, Prefix))


@dataclass(frozen=True, slots=True)
class Span:
    """What a date names: a day, a month, a second. Times of the house, the end excluded."""

    begin: datetime
    end: datetime
    is_date: bool  # no time of day was given


@dataclass(frozen=True, slots=True)
class DateTest:
    """A date parameter."""

    prefix: Prefix
    span: Span

    def holds(self, moment: datetime | None) -> bool:
        """Whether a moment of the house is meant."""
        if moment is None:
            return False
        begin, end = self.span.begin, self.span.end
        match self.prefix:
            case Prefix.EQ:
                return begin <= moment < end
            case Prefix.NE:
                return not begin <= moment < end
            case Prefix.GT | Prefix.SA:
                return moment >= end
            case Prefix.LT | Prefix.EB:
                return moment < begin
            case Prefix.GE:
                return moment >= begin
            case Prefix.LE:
                return moment < end

    @property
    def bounds(self) -> tuple[datetime | None, datetime | None] | None:
        """[begin, end) of all that is meant; None where that is no one range."""
        begin, end = self.span.begin, self.span.end
        return {
            Prefix.EQ: (begin, end),
            Prefix.NE: None,
            Prefix.GT: (end, None),
            Prefix.SA: (end, None),
            Prefix.LT: (None, begin),
            Prefix.EB: (None, begin),
            Prefix.GE: (begin, None),
            Prefix.LE: (None, end),
        }[self.prefix]


def read(text: str) -> Span:
    """A date, dateTime or instant of FHIR, of any precision. Raises `ValueError`."""
    match = _FHIR.fullmatch(text)
    if match is None:
        raise ValueError("a date is written YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss with a zone")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    begin = datetime(
        int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), min(int(second or 0), 59),
        int((fraction or "").ljust(6, "0")[:6]),
    )  # fmt: skip
    if not 1 < begin.year < _LATEST.year:
        raise ValueError("the year is out of range")
    if hour is None:
        if day is not None:
            end = begin + timedelta(days=1)
        elif month is not None:
            end = (begin + timedelta(days=32)).replace(day=1)
        else:
            end = begin.replace(year=begin.year + 1)
        return Span(begin, end, is_date=True)
    if zone:
        begin = _of_house(datetime.fromisoformat(begin.isoformat() + zone.replace("Z", "+00:00")))
    length = timedelta(minutes=1) if second is None else timedelta(seconds=1)
    if fraction:
        length = timedelta(microseconds=10 ** max(0, 6 - len(fraction)))
    return Span(begin, begin + length, is_date=False)


def _of_house(moment: datetime) -> datetime:
    try:
        return moment.astimezone().replace(tzinfo=None)
    except (OverflowError, OSError):
        raise ValueError("the time is out of range") from None


def date_test(text: str) -> DateTest:
    """A date with or without a prefix. Raises `ValueError`."""
    head = text[:2]
    if head.isalpha():
        if head not in PREFIXES:
            raise ValueError(f"the prefix is none of {', '.join(Prefix)}")
        return DateTest(Prefix(head), read(text[2:]))
    return DateTest(Prefix.EQ, read(text))


def utc(moment: datetime) -> str:
    """A moment of the house as the record writes moments."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def stamp(moment: datetime) -> str:
    """As the workflow writes planned times."""
    return moment.strftime(_STAMP)


def moment(text: str) -> datetime | None:
    """A moment of the house from what the records hold: `YYYYMMDD[HH[MM[SS[.F]]]]`, or ISO 8601 in UTC."""
    text = text.strip()
    try:
        if "-" in text:
            return _of_house(datetime.fromisoformat(text))
        digits = text.split(".")[0]
        return datetime.strptime(digits.ljust(14, "0"), _STAMP) if len(digits) >= 8 else None
    except ValueError:
        return None


def instant(text: str) -> str:
    """A moment of the records as an instant; "" where it is none."""
    found = moment(text)
    try:
        if found is None:
            return ""
        local = found.astimezone()
        if (local.utcoffset() or timedelta()).total_seconds() % 60:  # clocks of the nineteenth century
            local = local.astimezone(UTC)
        return local.isoformat(timespec="seconds")
    except (OverflowError, OSError, ValueError):
        return ""


def date_time(day: str, time: str = "", offset: str = "") -> str:
    """A dateTime from DICOM's date and time; `offset` is Timezone Offset From UTC (0008,0201), else that of here."""
    found = date(day)
    clock = time.split(".")[0]
    if not found or not re.fullmatch(r"([01]\d|2[0-3])([0-5]\d([0-5]\d)?)?", clock, re.ASCII):
        return found
    if re.fullmatch(r"[+-]\d{4}", offset, re.ASCII):
        padded = clock.ljust(6, "0")
        return f"{found}T{padded[:2]}:{padded[2:4]}:{padded[4:]}{offset[:3]}:{offset[3:]}"
    return instant(day.replace(".", "") + clock) or found


def date(day: str) -> str:
    """A date from DICOM's; "" where it is none."""
    digits = day.strip().replace(".", "")
    try:
        return datetime.strptime(digits, "%Y%m%d").date().isoformat() if len(digits) == 8 else ""
    except ValueError:
        return ""
