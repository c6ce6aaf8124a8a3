"""Values in the words of people: sizes, durations, dates, names, ages. The language is that of the catalogue.

Dates are written as the language does (31.01.2026, 31 Jan 2026); what is no date is shown as it was sent, since a page
must never make a value up. A person's name keeps its scripts: the alphabetic group first, the ideographic and phonetic
ones beside it (PS3.5 6.2.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from vesalius.model.datetimes import normalize_date, time_span
from vesalius.web.pages.messages import Messages

ENGLISH = Messages("en")


def human_bytes(count: float, t: Messages = ENGLISH) -> str:
    """A size in the largest fitting binary unit."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            return f"{t.decimal(size, 0 if unit == 'B' else 1)} {unit}"
        size /= 1024
    return ""


def human_duration(seconds: int, t: Messages = ENGLISH) -> str:
    """A duration in its two largest units."""
    for size, unit, below, smaller in (
        (86400, "unit.days", 3600, "unit.hours"),
        (3600, "unit.hours", 60, "unit.minutes"),
        (60, "unit.minutes", 1, "unit.seconds"),
    ):
        if seconds >= size:
            return f"{t(unit, n=seconds // size)} {t(smaller, n=seconds % size // below)}"
    return t("unit.seconds", n=max(0, seconds))


def human_date(text: str, t: Messages = ENGLISH) -> str:
    """A DICOM date as the language writes it; what is no date as it was sent."""
    norm = normalize_date(text)
    if norm is None:
        return text
    year, month, day = norm[:4], norm[4:6], norm[6:]
    names = t("form.months").split()
    return t("form.date").format(d=int(day), dd=day, mm=month, month=names[int(month) - 1], yyyy=year)


def human_time(text: str) -> str:
    """Hours and minutes of a DICOM time; what is no time as it was sent."""
    span = time_span(text)
    return text if span is None else f"{span[0][:2]}:{span[0][2:4]}"


def human_moment(text: str | float, t: Messages = ENGLISH) -> str:
    """A moment (ISO 8601, or seconds since 1970) by the clocks of the site; what is none as it was said."""
    try:
        at = datetime.fromtimestamp(text) if isinstance(text, (int, float)) else datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return str(text)
    here = at.astimezone()
    return f"{human_date(here.strftime('%Y%m%d'), t)} {here:%H:%M}"


def age(birth: str, at: str, t: Messages = ENGLISH) -> str:
    """The age at a date in the unit that fits (`54 y`, `7 m`, `9 d`); empty where it cannot be known."""
    born, then = normalize_date(birth), normalize_date(at)
    if born is None or then is None or then < born:
        return ""
    first, second = (date(int(each[:4]), int(each[4:6]), int(each[6:])) for each in (born, then))
    months = (second.year - first.year) * 12 + second.month - first.month - (second.day < first.day)
    if months >= 24:
        return t("age.years", n=months // 12)
    return t("age.months", n=months) if months >= 2 else t("age.days", n=(second - first).days)


@dataclass(frozen=True, slots=True)
class Name:
    """A person's name as it is shown: the main form, and the other scripts."""

    main: str
    others: tuple[str, ...] = ()

    @property
    def whole(self) -> str:
        """All of it in one line."""
        return " ".join((self.main, *(f"({other})" for other in self.others))) if self.others else self.main


def _group(text: str) -> str:
    """`Family^Given^Middle^Prefix^Suffix` as `Family, Given Middle` with prefix and suffix behind."""
    family, given, middle, prefix, suffix = [*(part.strip() for part in text.split("^")), "", "", "", "", ""][:5]
    first = " ".join(part for part in (given, middle) if part)
    name = ", ".join(part for part in (family, first) if part)
    titles = ", ".join(part for part in (prefix, suffix) if part)
    return f"{name} ({titles})" if name and titles else name or titles


def person(text: str) -> Name:
    """A person name value (PN) for the screen."""
    groups = [_group(group) for group in text.split("=", 2)]
    kept = [group for group in groups if group]
    return Name(kept[0], tuple(kept[1:])) if kept else Name("")
