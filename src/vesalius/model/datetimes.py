"""Dates, times and date-times as text of fixed width, so that comparing text is comparing time.

A date becomes `YYYYMMDD`, a time `HHMMSS.FFFFFF`, a date-time or a pair of both `YYYYMMDDHHMMSS.FFFFFF`.
What is no date or time is None (bad-input D11). The forms of ACR-NEMA (`1993.08.22`, `10:30:00`), which old data
hold and PS3.5 6.2 allows to be read, are read too.

Precision. A value names the whole span of its precision: `10` is the hour from 10:00:00 to 10:59:59.999999. So a
range ends at the end of its upper value's span, and a single value is the range over its own span: `103000`
finds what was stored as `103000.25`.

Zones (PS3.4 C.2.2.2.5). A date-time with an offset is an instant and is compared in UTC. One without has the
offset of its data set, or of its query (Timezone Offset From UTC), where that says one; where neither says,
it is compared as it stands. Ranges of times do not cross midnight.
"""

from __future__ import annotations

import datetime
import re
from functools import lru_cache

_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)|(\d{4})\.(\d\d)\.(\d\d)", re.ASCII)
_TIME = re.compile(r"(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,6}))?)?)?|(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?", re.ASCII)
_DATETIME = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,6}))?)?)?)?)?)?([+-]\d{4})?", re.ASCII
)
_OFFSET = re.compile(r"([+-])(\d\d)(\d\d)", re.ASCII)

Span = tuple[str, str]


@lru_cache(maxsize=4096)
def normalize_date(text: str) -> str | None:
    """`YYYYMMDD`, or None where the text is no day of the calendar."""
    match = _DATE.fullmatch(text.strip())
    if match is None:
        return None
    year, month, day = (part for part in match.groups() if part is not None)
    try:
        datetime.date(int(year), int(month), int(day))
    except ValueError:
        return None
    return year + month + day


def time_span(text: str) -> Span | None:
    """First and last `HHMMSS.FFFFFF` that a time names, or None where the text is no time of day."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    new = match.groups()
    hour, minute, second, fraction = new[:4] if new[0] is not None else new[4:]
    if hour > "23" or (minute or "00") > "59" or (second or "00") > "60":
        return None
    return (
        f"{hour}{minute or '00'}{second or '00'}.{(fraction or '').ljust(6, '0')}",
        f"{hour}{minute or '59'}{second or '59'}.{(fraction or '').ljust(6, '9')}",
    )


def normalize_time(text: str) -> str | None:
    """`HHMMSS.FFFFFF`, or None where the text is no time of day. A leap second (60) is one."""
    span = time_span(text)
    return None if span is None else span[0]


def parse_offset(text: str) -> int | None:
    """Minutes east of UTC from `&ZZXX` (PS3.5 6.2, DT), or None where the text is no such offset."""
    match = _OFFSET.fullmatch(text.strip())
    if match is None:
        return None
    sign, hours, minutes = match.groups()
    total = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or total > 14 * 60:
        return None
    return -total if sign == "-" else total


def shift(instant: str, minutes: int) -> str | None:
    """`YYYYMMDDHHMMSS.FFFFFF` moved by some minutes; None where it leaves the calendar."""
    if minutes == 0:
        return instant
    leap = instant[12:14] == "60"
    try:
        moved = datetime.datetime(
            int(instant[:4]), int(instant[4:6]), int(instant[6:8]), int(instant[8:10]), int(instant[10:12])
        ) + datetime.timedelta(minutes=minutes)
    except (ValueError, OverflowError):
        return None
    return f"{moved.year:04d}{moved:%m%d%H%M}{'60' if leap else instant[12:14]}{instant[14:]}"


def datetime_span(text: str, offset: int | None = None) -> Span | None:
    """First and last instant that a date-time names; in UTC where it, or else `offset`, says its zone."""
    match = _DATETIME.fullmatch(text.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    if zone is not None:
        offset = parse_offset(zone)
        if offset is None:
            return None
    first_day = normalize_date(year + (month or "01") + (day or "01"))
    if first_day is None:
        return None
    last_day = year + (month or "12") + (day or _last_day(int(year), int(month or "12")))
    span = time_span((hour or "") + (minute or "") + (second or "") + (f".{fraction}" if fraction else ""))
    if span is None:
        if hour is not None:
            return None
        span = ("000000.000000", "235959.999999")
    low, high = first_day + span[0], last_day + span[1]
    if offset is None:
        return low, high
    moved_low, moved_high = shift(low, -offset), shift(high, -offset)
    return None if moved_low is None or moved_high is None else (moved_low, moved_high)


def normalize_datetime(text: str, offset: int | None = None) -> str | None:
    """The first instant of `datetime_span`, or None where the text is no date-time."""
    span = datetime_span(text, offset)
    return None if span is None else span[0]


def instant_utc(date: str | None, time: str | None, offset: int | None) -> str | None:
    """A normalized date and time at an offset, in UTC; None where any of them is unknown."""
    if date is None or time is None or offset is None:
        return None
    return shift(date + time, -offset)


def split_range(text: str) -> tuple[str, str] | None:
    """The two ends of `a-b`, `a-` or `-b`; None where the text holds no single hyphen."""
    low, hyphen, high = text.partition("-")
    if not hyphen or "-" in high:
        return None
    return low.strip(), high.strip()


def datetime_range(text: str, offset: int | None = None) -> tuple[str | None, str | None] | None:
    """Both ends of a range of date-times, or of the span of one; None where the text is neither.

    A hyphen may be a minus of an offset as well: what reads as one date-time is one (PS3.4 C.2.2.2.5.3), and
    otherwise the first hyphen with a date-time, or nothing, on both sides parts them.
    """
    text = text.strip()
    single = datetime_span(text, offset)
    if single is not None:
        return single
    for at, char in enumerate(text):
        if char != "-":
            continue
        left, right = text[:at].strip(), text[at + 1 :].strip()
        low, high = datetime_span(left, offset), datetime_span(right, offset)
        if (low or not left) and (high or not right) and (low or high):
            return low[0] if low else None, high[1] if high else None
    return None


def _last_day(year: int, month: int) -> str:
    following = datetime.date(year + month // 12, month % 12 + 1, 1) if year < 9999 or month < 12 else None
    return "31" if following is None else f"{(following - datetime.timedelta(days=1)).day:02d}"
