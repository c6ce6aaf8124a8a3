"""The query string of a FHIR search, understood (FHIR R4 search.html).

Theory. A parameter is `name[:modifier][.chain]=value,value`: the values of one are alternatives, several parameters
hold together. Which names a resource has is said by its `Resource` (`resources.py`); one that it does not have is left
out of the search and of its `self` link, and told in an OperationOutcome beside the answers, or refused (400) where
the client asks for `Prefer: handling=strict` (3.1.1.6). A value that cannot be read and a modifier that is not served
are refused always, since an answer to another question would look like the truth.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from vesalius.web.fhir.problems import FhirProblem, bad_parameter
from vesalius.web.fhir.times import DateTest, date_test

MOST_PARAMETERS = 100
MOST_VALUES = 100  # of one parameter
LONGEST = 2048  # characters of one value
COUNT = 50  # answers on a page, where nothing is said
MOST = 500  # answers on a page

CURSOR = "_cursor"
_NAME = re.compile(r"(_?[A-Za-z][A-Za-z0-9_-]*)(?::([A-Za-z-]+))?(?:\.([A-Za-z_-]+))?")
_SUMMARIES = ("true", "false", "count", "data", "text")
_NOT_SEARCHED = frozenset({"_format", "_pretty"})


@dataclass(frozen=True, slots=True)
class Parameter:
    """A search parameter of a resource."""

    name: str
    type: str  # "token" | "string" | "date" | "reference"
    text: str
    chain: tuple[str, ...] = ()  # parameters of what is referred to: `patient.identifier`
    modifiers: tuple[str, ...] = ()


COMMON = (Parameter("_id", "token", "logical id"),)
LAST_UPDATED = Parameter("_lastUpdated", "date", "when something last became of it")


@dataclass(frozen=True, slots=True)
class Token:
    """`system|value`. `system` None: any."""

    system: str | None
    value: str


@dataclass(frozen=True, slots=True)
class Given:
    """A parameter as it was given."""

    name: str
    modifier: str
    chain: str
    values: tuple[str, ...]  # alternatives, as they were sent, not yet unescaped

    def strings(self) -> tuple[str, ...]:
        """The values as text."""
        return tuple(_unescaped(value) for value in self.values)

    def tokens(self) -> tuple[Token, ...]:
        """The values as tokens."""
        found = []
        for value in self.values:
            parts = _split(value, "|")
            if len(parts) > 2:
                raise bad_parameter(self.name, "a token has one bar: system|value")
            if len(parts) == 2:
                found.append(Token(_unescaped(parts[0]).strip(), _unescaped(parts[1]).strip()))
            else:
                found.append(Token(None, _unescaped(value).strip()))
        if any(not token.value and not token.system for token in found):
            raise bad_parameter(self.name, "the value is empty")
        return tuple(found)

    def dates(self) -> tuple[DateTest, ...]:
        """The values as dates with prefixes. Raises `FhirProblem` (400)."""
        try:
            return tuple(date_test(value.strip()) for value in self.values)
        except (ValueError, OverflowError) as error:
            raise bad_parameter(self.name, str(error)) from None


@dataclass(frozen=True, slots=True)
class Asked:
    """A search, understood."""

    given: tuple[Given, ...] = ()
    count: int = COUNT
    cursor: str = ""
    summary: str = "false"
    total: bool = False  # counted whatever it costs
    includes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()  # names that were not understood
    kept: tuple[tuple[str, str], ...] = ()  # what the `self` link says

    @property
    def counts_only(self) -> bool:
        """Whether no resources are asked for."""
        return self.summary == "count" or self.count == 0

    def link(self, cursor: str = "") -> str:
        """The query string of a page of this search."""
        pairs = [*self.kept, *([(CURSOR, cursor)] if cursor else [])]
        return urlencode(pairs, safe="|:/,")


def understand(
    pairs: Iterable[tuple[str, str]], parameters: Sequence[Parameter], includes: Sequence[str], *, strict: bool
) -> Asked:
    """Read a query string. Raises `FhirProblem` (400)."""
    known = {one.name: one for one in (*COMMON, *parameters)}
    given: list[Given] = []
    control: dict[str, str] = {}
    wanted: list[str] = []
    ignored: list[str] = []
    kept: list[tuple[str, str]] = []
    listed = list(pairs)
    if len(listed) > MOST_PARAMETERS:
        raise FhirProblem(400, f"more than {MOST_PARAMETERS} search parameters")
    for name, value in listed:
        if name in _NOT_SEARCHED or not value.strip():
            continue  # an empty parameter asks for nothing (3.1.1.2)
        if "\x00" in value:
            raise bad_parameter(_named(name), "holds a NUL character")
        if len(value) > LONGEST:
            raise bad_parameter(_named(name), f"the value is longer than {LONGEST} characters")
        if name in ("_count", "_summary", "_total", CURSOR):
            if control.setdefault(name, value) != value:
                raise bad_parameter(name, "is given more than once")
            if name != CURSOR:
                kept.append((name, value))
        elif name == "_include":
            wanted += _includes(value, includes, ignored)
            kept.append((name, value))
        elif (one := _one(name, value, known)) is not None:
            given.append(one)
            kept.append((name, value))
        else:
            ignored.append(_named(name))
    if ignored and strict:
        raise FhirProblem(
            400,
            f"not served here: {', '.join(ignored)}",
            "The CapabilityStatement (metadata) names the search parameters of each resource.",
            code="not-supported",
        )
    summary = control.get("_summary", "false")
    if summary not in _SUMMARIES:
        raise bad_parameter("_summary", f"is one of {', '.join(_SUMMARIES)}")
    total = control.get("_total", "none")
    if total not in ("none", "estimate", "accurate"):
        raise bad_parameter("_total", "is none, estimate or accurate")
    return Asked(
        tuple(given),
        _count(control.get("_count", str(COUNT))),
        control.get(CURSOR, ""),
        summary,
        total == "accurate",
        tuple(dict.fromkeys(wanted)),
        tuple(dict.fromkeys(ignored)),
        tuple(dict.fromkeys(kept)),
    )


def _one(name: str, value: str, known: dict[str, Parameter]) -> Given | None:
    match = _NAME.fullmatch(name)
    parameter = known.get(match[1]) if match is not None else None
    if match is None or parameter is None:
        return None
    modifier, chain = match[2] or "", match[3] or ""
    if chain and chain not in parameter.chain:
        return None
    # `patient:Patient=12`: the type that a reference has anyway.
    if parameter.type == "reference" and modifier[:1].isupper():
        value = ",".join(f"{modifier}/{part}" if "/" not in part and not chain else part for part in _split(value, ","))
        modifier = ""
    if modifier and modifier not in parameter.modifiers:
        raise bad_parameter(parameter.name, "this modifier is not served here")
    values = tuple(part for part in _split(value, ",") if part.strip())
    if not values or len(values) > MOST_VALUES:
        raise bad_parameter(parameter.name, f"has 1 to {MOST_VALUES} values")
    return Given(parameter.name, modifier, chain, values)


def _includes(value: str, includes: Sequence[str], ignored: list[str]) -> list[str]:
    if value == "*":
        return list(includes)
    name = ":".join(value.split(":")[:2])  # a third part names the type of the target
    if name in includes:
        return [name]
    ignored.append(f"_include={_named(value)}")
    return []


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise bad_parameter("_count", "is a whole number from 0 on")
    return min(int(text), MOST)


def _named(name: str) -> str:
    """The name of a parameter as an answer may repeat it: it may be anything."""
    return name if re.fullmatch(r"[A-Za-z0-9_:.\-]{1,64}", name) else "a parameter that is no name"


def _split(text: str, by: str) -> list[str]:
    """Parts between unescaped separators."""
    return re.split(rf"(?<!\\){re.escape(by)}", text)


def _unescaped(text: str) -> str:
    return re.sub(r"\\([\\,|$])", r"\1", text)
