"""Values of a pydicom header, read leniently: numbers that are none, times as moments, functional groups.

A header of a stranger may hold anything: what cannot be read is None here, and whoever needs it says so in words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from pydicom.dataset import Dataset

SHARED, PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"


def number(ds: Dataset, key: str | int) -> float | None:
    """The first value of an element as a finite number; `key`: keyword or tag."""
    found = value(ds, key)
    if isinstance(found, bytes):  # a private element whose VR nobody knew
        found = found.decode("latin-1").strip(" \0")
    if isinstance(found, list | tuple) or (hasattr(found, "__iter__") and not isinstance(found, str)):
        found = next(iter(found), None)
    try:
        read = float(found)
    except (TypeError, ValueError):
        return None
    return read if math.isfinite(read) else None


def text(ds: Dataset, key: str | int) -> str:
    """An element as text, "" where it is absent; several values joined by a backslash."""
    found = value(ds, key)
    if found is None:
        return ""
    if isinstance(found, bytes):
        return found.decode("latin-1").strip(" \0")
    if isinstance(found, str):
        return found.strip(" \0")
    if hasattr(found, "__iter__"):
        return "\\".join(str(each).strip() for each in found)
    return str(found)


def texts(ds: Dataset, key: str | int) -> tuple[str, ...]:
    """The values of an element as text."""
    found = text(ds, key)
    return tuple(found.split("\\")) if found else ()


def value(ds: Dataset, key: str | int) -> Any:
    """The value of an element as pydicom reads it; None where it is absent or cannot be read."""
    try:
        if isinstance(key, str):
            return ds.get(key)
        element = ds.get(key)
        return None if element is None else element.value
    except Exception:  # pydicom raises whatever the bytes lead it to
        return None


def items(ds: Dataset, key: str | int) -> tuple[Dataset, ...]:
    """The items of a sequence; () where there is none."""
    found = value(ds, key)
    if isinstance(found, str | bytes) or not hasattr(found, "__iter__"):
        return ()
    return tuple(each for each in found if isinstance(each, Dataset))


def private(ds: Dataset, group: int, creator: str, element: int) -> int | None:
    """The tag of a private element of a creator (PS3.5 7.8.1); None where its block is not reserved."""
    for block in range(0x10, 0x100):
        name = value(ds, group << 16 | block)
        if isinstance(name, bytes):
            name = name.decode("latin-1")
        if isinstance(name, str) and name.strip(" \0").casefold() == creator.casefold():
            tag = group << 16 | block << 8 | element
            if tag in ds:
                return tag
    return None


def groups(ds: Dataset, frame: int) -> Iterator[Dataset]:
    """Where an attribute of a frame may stand: its own functional groups, then those that all frames share."""
    own = items(ds, PER_FRAME)
    if 0 <= frame < len(own):
        yield own[frame]
    yield from items(ds, SHARED)[:1]


def of_frame(ds: Dataset, frame: int, sequence: str) -> Dataset | None:
    """The first item of a functional group macro of a frame; None where neither it nor the shared ones have it."""
    for group in groups(ds, frame):
        found = items(group, sequence)
        if found:
            return found[0]
    return None


def moment(ds: Dataset, date: str | int, time: str | int) -> datetime | None:
    """A date and a time of day as one moment of the clock where the image was made."""
    day, hour = text(ds, date).replace(".", "").replace("-", ""), text(ds, time).replace(":", "")
    return parsed(day[:8] + hour) if len(day) >= 8 and hour else None


def datetime_of(ds: Dataset, key: str | int) -> datetime | None:
    """A value of VR DT as a moment of the local clock (PS3.5 6.2); its offset is turned into the data set's own."""
    raw = text(ds, key)
    sign = max(raw.find("+"), raw.find("-"))
    found = parsed(raw[:sign] if sign > 0 else raw)
    own = _offset(text(ds, "TimezoneOffsetFromUTC"))
    given = _offset(raw[sign:]) if sign > 0 else None
    if found is None or given is None or own is None:
        return found
    return found.replace(tzinfo=timezone(given)).astimezone(timezone(own)).replace(tzinfo=None)


def parsed(raw: str) -> datetime | None:
    """`YYYYMMDDHHMMSS.FFFFFF` as a moment; parts may be missing from the right after the day."""
    whole, _, fraction = raw.strip(" \0").partition(".")
    if not whole.isdigit() or len(whole) < 8 or len(whole) % 2 or len(whole) > 14:
        return None
    whole = whole.ljust(14, "0")
    seconds = min(int(whole[12:14]), 59)  # a leap second
    try:
        found = datetime(int(whole[:4]), int(whole[4:6]), int(whole[6:8]), int(whole[8:10]), int(whole[10:12]), seconds)
    except ValueError:
        return None
    digits = fraction[:6]
    return found + timedelta(microseconds=int(digits.ljust(6, "0"))) if digits.isdigit() else found


def _offset(raw: str) -> timedelta | None:
    if len(raw) != 5 or raw[0] not in "+-" or not raw[1:].isdigit():
        return None
    minutes = int(raw[1:3]) * 60 + int(raw[3:5])
    return timedelta(minutes=-minutes if raw[0] == "-" else minutes)


def numbers(ds: Dataset, key: str | int, count: int) -> tuple[float, ...] | None:
    """Exactly `count` finite numbers; None where they are not there."""
    found = value(ds, key)
    if found is None or isinstance(found, str | bytes) or not hasattr(found, "__iter__"):
        return None
    try:
        read: Sequence[float] = [float(each) for each in found]
    except (TypeError, ValueError):
        return None
    return tuple(read) if len(read) == count and all(map(math.isfinite, read)) else None
