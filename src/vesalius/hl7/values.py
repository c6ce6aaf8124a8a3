"""Data types of HL7 (chapter 2A) to the words of the archive: identifiers, names, times, codes, and back.

Theory. CX is an identifier with its issuer, XPN and XCN are person names, TS is a moment, CWE is a code. What comes in
is read leniently where it is only unusual and refused where it is wrong: a time that is no time is a data type error,
a year alone is a birth date that is not known. A time zone in a time is not applied: what the sender's clock on the
wall says is the hospital's own time, which is what worklists are written in.

Delimiters of DICOM names (`^`, `=`, backslash) inside a part of a name become spaces: a name never gains a component.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from vesalius.hl7.mapping import clean
from vesalius.model.orders import Code, Identifier
from vesalius.standard.hl7_tables import Condition
from vesalius.wire.hl7_escapes import Delimiters
from vesalius.wire.hl7_message import BadMessage, Place, piece

_TIME = re.compile(r"(\d{4,14})(?:\.\d{1,6})?(?:[+-]\d{2}:?\d{2})?")
_OWN = re.compile(r"[\^=]")
ISSUER_TYPES = ("MR", "PI", "PT", "")
_LEGAL = ("L", "", "D", "U")


def part(text: str, component: int, delimiters: Delimiters, subcomponent: int = 1) -> str:
    """One clean component of a repetition."""
    return clean(piece(text, component, subcomponent, delimiters))


def identifier(text: str, delimiters: Delimiters, issuer: str = "") -> Identifier:
    """A CX or EI. The issuer is the namespace of the assigning authority, or its universal id."""
    authority = part(text, 4, delimiters) or part(text, 4, delimiters, 2)
    return Identifier(part(text, 1, delimiters), authority or issuer, part(text, 5, delimiters))


def number(text: str, delimiters: Delimiters) -> Identifier:
    """An EI (order numbers, accession numbers): the namespace is the second component."""
    issuer = part(text, 2, delimiters) or part(text, 3, delimiters)
    return Identifier(part(text, 1, delimiters), issuer)


def patient_identifier(repetitions: Sequence[str], delimiters: Delimiters, issuer: str = "") -> Identifier | None:
    """The Patient ID among the identifiers of a person: by type, else the first; None: there is none."""
    found = [one for text in repetitions if (one := identifier(text, delimiters, issuer)).value]
    for kind in ISSUER_TYPES:
        for one in found:
            if one.kind == kind:
                return one
    return found[0] if found else None


def person_name(repetitions: Iterable[str], delimiters: Delimiters, first: int = 1) -> str:
    """XPN, or XCN with `first` 2, as PN text: the legal name, with its ideographic and phonetic forms."""
    # XPN-7 and -8 are type and representation; of XCN 10 and 15.
    kind, form = (7, 8) if first == 1 else (10, 15)
    names = []
    for text in repetitions:
        parts = [_name_part(part(text, first + at, delimiters)) for at in range(5)]
        family, given, middle, suffix, prefix = parts
        pn = "^".join((family, given, middle, prefix, suffix)).rstrip("^")
        if not pn and first == 2:
            pn = _name_part(part(text, 1, delimiters))
        if pn:
            names.append((part(text, kind, delimiters).upper(), part(text, form, delimiters).upper(), pn))
    if not names:
        return ""
    ordered = sorted(names, key=lambda name: _LEGAL.index(name[0]) if name[0] in _LEGAL else len(_LEGAL))
    groups = [next((pn for _, form_, pn in ordered if form_ in forms), "") for forms in (("A", ""), ("I",), ("P",))]
    if not any(groups):
        groups[0] = ordered[0][2]
    return "=".join(groups).rstrip("=")


def _name_part(text: str) -> str:
    return " ".join(_OWN.sub(" ", text).split())


def moment(text: str, place: Place) -> str:
    """A TS as `YYYYMMDDHHMMSS`; empty for an empty one. Raises `BadMessage` (102)."""
    digits = _digits(text, place)
    if not digits:
        return ""
    if len(digits) < 8:
        raise BadMessage(Condition.DATA_TYPE, place, "a time without a day")
    return _checked(digits.ljust(14, "0"), place)


def day(text: str, place: Place) -> str:
    """A TS as `YYYYMMDD`; empty for one that has no day, or that is the zero many systems write for "not known"."""
    digits = _digits(text, place)
    if len(digits) < 8 or not digits[:8].strip("0") or "00" in (digits[4:6], digits[6:8]):
        return ""
    return _checked(digits[:8] + "000000", place)[:8]


def _digits(text: str, place: Place) -> str:
    text = clean(text)
    if not text:
        return ""
    found = _TIME.fullmatch(text)
    if found is None or len(found[1]) % 2:
        raise BadMessage(Condition.DATA_TYPE, place, "not a time")
    return found[1]


def _checked(digits: str, place: Place) -> str:
    try:
        datetime.strptime(digits, "%Y%m%d%H%M%S")
    except ValueError:
        raise BadMessage(Condition.DATA_TYPE, place, "not a time") from None
    return digits


def minutes(amount: str, unit: str = "") -> int:
    """A duration in minutes; 0 where it says nothing."""
    try:
        value = float(amount)
    except ValueError:
        return 0
    factor = {"s": 1 / 60, "sec": 1 / 60, "h": 60, "hr": 60, "d": 1440}.get(unit.strip().lower(), 1)
    return int(value * factor) if 0 < value * factor < 10_000 else 0


def code(text: str, delimiters: Delimiters) -> Code | None:
    """A CWE or CE: the first of its two codes that has a value; None for an empty one."""
    for at in (1, 4):
        value = part(text, at, delimiters)
        if value:
            scheme = part(text, at + 2, delimiters)
            return Code(value, scheme, part(text, at + 1, delimiters))
    meaning = part(text, 2, delimiters)
    return Code(meaning, "L", meaning) if meaning else None


def xpn(name: str) -> list[tuple[str, ...]]:
    """PN text as the repetitions of an XPN."""
    forms = ("A", "I", "P")
    found: list[tuple[str, ...]] = []
    for form, group in zip(forms, name.split("="), strict=False):
        if group:
            family, given, middle, prefix, suffix = (*group.split("^"), "", "", "", "", "")[:5]
            found.append((family, given, middle, suffix, prefix, "", "L", form if name.count("=") else ""))
    return found


def xcn(name: str) -> tuple[str, ...]:
    """PN text as an XCN: the alphabetic group."""
    family, given, middle, prefix, suffix = (*name.split("=")[0].split("^"), "", "", "", "", "")[:5]
    return ("", family, given, middle, suffix, prefix)


def cx(one: Identifier) -> tuple[str, ...]:
    """An identifier as a CX."""
    return (one.value, "", "", one.issuer, one.kind)


def ei(one: Identifier) -> tuple[str, ...]:
    """A number as an EI."""
    return (one.value, one.issuer)


def cwe(one: Code | None) -> tuple[str, ...]:
    """A code as a CWE."""
    return (one.value, one.meaning, one.scheme) if one is not None else ("",)
