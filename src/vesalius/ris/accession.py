"""Accession numbers from a pattern, none of them twice (PS3.3 C.7.2.1: (0008,0050), SH).

Theory. A counter in the database gives a number once, across processes and restarts; every accession number that was
ever seen, given here or by another system, is remembered, so that a pattern that was changed, or one that another
system uses too, cannot bring one back. The counter belongs to what stands around the number: a pattern with the year
begins at 1 each year.
"""

from __future__ import annotations

import re

from vesalius.model.errors import BadRecord, LimitExceeded
from vesalius.model.orders import By
from vesalius.ports.ris import RisWork
from vesalius.ris.rules import RisRules

LONGEST = 16
ATTEMPTS = 10_000
_FIELD = re.compile(r"\{(yyyy|yy|mm|dd|number(?::0?\d{1,2})?)\}")


def check_pattern(pattern: str) -> None:
    """Raises `BadRecord` for a pattern that cannot make accession numbers."""
    fixed = _FIELD.sub("", pattern)
    if len(re.findall(r"\{number", pattern)) != 1 or "{" in fixed or "}" in fixed:
        raise BadRecord(
            f"{pattern!r} is no pattern of accession numbers",
            hint="{number} or {number:07} once, and {yyyy} {yy} {mm} {dd} where you like",
        )
    if "\\" in fixed or not fixed.isascii() or any(ord(char) < 32 for char in fixed):
        raise BadRecord(f"{pattern!r} holds a character that no accession number may have")
    if len(_filled(pattern, "20260101", 1)) > LONGEST:
        raise BadRecord(f"{pattern!r} makes numbers of more than {LONGEST} characters")


def next_accession(work: RisWork, by: By, rules: RisRules) -> str:
    """A number that nobody has had. Raises `LimitExceeded` where the pattern has none left."""
    day = "".join(char for char in by.at[:10] if char.isdigit())
    counter = "accession:" + _filled(re.sub(r"\{number[^}]*\}", "#", rules.accession), day, 0)
    for _ in range(ATTEMPTS):
        number = _filled(rules.accession, day, work.next_number(counter))
        if len(number) > LONGEST:
            break
        if work.claim_accession(number):
            return number
    raise LimitExceeded("the pattern of accession numbers has none left", hint="change ris.accession_pattern")


def _filled(pattern: str, day: str, number: int) -> str:
    def value(match: re.Match[str]) -> str:
        name, _, width = match[1].partition(":")
        if name == "number":
            return str(number).zfill(int(width or "0"))
        return {"yyyy": day[:4], "yy": day[2:4], "mm": day[4:6], "dd": day[6:8]}[name]

    return _FIELD.sub(value, pattern)
