"""What a client takes: media types, their parameters and weights, and content codings (PS3.18 8.3.3, 8.7; RFC 9110 12).

The `accept` query parameter stands in for the header where a client cannot set one (PS3.18 8.3.3.1). A header that
breaks the grammar is 400, one that names nothing we can make is 406; `q=0` forbids. Between offers of the
same weight the order of the offers decides, which is ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from starlette.requests import Request

from vesalius.web.errors import Problem

MAX_HEADER = 8192  # characters of one Accept header; more is 400

_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_TYPE = re.compile(rf"\s*({_WORD})/({_WORD})\s*")
# A value may hold what a token may not, as long as it cannot be mistaken: `type=application/dicom` is everywhere.
_PARAMETER = re.compile(rf';\s*(?:({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))\s*)?')
_CODING = re.compile(rf"\s*({_WORD})\s*(?:;\s*[qQ]\s*=\s*(0(?:\.[0-9]{{0,3}})?|1(?:\.0{{0,3}})?))?\s*")
_WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")

DICOM_JSON = "application/dicom+json"
JSON = "application/json"
DICOM_XML = "application/dicom+xml"
MULTIPART_XML = 'multipart/related; type="application/dicom+xml"'
OCTETS = "application/octet-stream"
DICOM = "application/dicom"


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type or range: `multipart/related; type="application/dicom"; q=0.5`. Names are in lower case."""

    type: str
    subtype: str
    parameters: tuple[tuple[str, str], ...] = ()  # without q; names in lower case, values as sent
    q: float = 1.0

    @property
    def essence(self) -> str:
        """Type and subtype."""
        return f"{self.type}/{self.subtype}"

    def get(self, name: str, default: str = "") -> str:
        """The value of a parameter, the first where it is repeated."""
        return next((value for key, value in self.parameters if key == name), default)

    @property
    def part_type(self) -> str:
        """The `type` parameter of multipart/related in lower case, "" where there is none (RFC 2387 3.1)."""
        return self.get("type").lower()

    @property
    def transfer_syntax(self) -> str:
        """The `transfer-syntax` parameter: a UID, "*", or "" where it is absent (PS3.18 8.7.3.5.2)."""
        return self.get("transfer-syntax")


@lru_cache(maxsize=256)
def parse_media_types(text: str) -> tuple[MediaType, ...]:
    """The media ranges of an Accept header in the order in which they stand. Raises `Problem` (400)."""
    found: list[MediaType] = []
    if len(text) > MAX_HEADER:
        raise _malformed("is too long")
    pos = 0
    while pos < len(text):
        if text[pos] in ", \t":
            pos += 1
            continue
        match = _TYPE.match(text, pos)
        if match is None:
            raise _malformed("names no media type where one should stand")
        main, sub = match[1].lower(), match[2].lower()
        if main == "*" and sub != "*":
            raise _malformed("has a wildcard type with a subtype")
        pos = match.end()
        parameters: list[tuple[str, str]] = []
        weight = 1.0
        while pos < len(text) and text[pos] == ";":
            match = _PARAMETER.match(text, pos)
            if match is None:
                raise _malformed("has a broken parameter")
            pos = match.end()
            if match[1] is None:
                continue
            name = match[1].lower()
            value = re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3]
            if name == "q":
                if not _WEIGHT.fullmatch(value):
                    raise _malformed("has a q that is no weight from 0 to 1")
                weight = float(value)
            else:
                parameters.append((name, value))
        if pos < len(text) and text[pos] != ",":
            raise _malformed("has something after a media type that does not belong there")
        found.append(MediaType(main, sub, tuple(parameters), weight))
    return tuple(found)


def parse_content_type(text: str) -> MediaType:
    """The one media type of a Content-Type header. Raises `Problem` (415) where there is none or it is broken."""
    try:
        found = parse_media_types(text)
    except Problem:
        found = ()
    if len(found) != 1 or "*" in found[0].essence:
        raise Problem(415, "Content-Type is missing or is no media type")
    return found[0]


def accepted(request: Request) -> tuple[MediaType, ...]:
    """What the client takes: the `accept` query parameter, else the header, else everything. Raises `Problem`."""
    given = request.query_params.getlist("accept")
    text = ", ".join(given or request.headers.getlist("accept"))
    return parse_media_types(text) or (MediaType("*", "*"),)


def weight_of(offer: MediaType, ranges: Sequence[MediaType]) -> float:
    """How much the client wants an offer: the q of the most specific range that covers it; 0: not at all."""
    best, weight = -1, 0.0
    for wanted in ranges:
        specific = _covers(wanted, offer)
        if specific > best or (specific == best and specific >= 0 and wanted.q > weight):
            best, weight = specific, wanted.q
    return weight


@lru_cache(maxsize=256)
def _offered(offer: str) -> MediaType:
    """An offer, which is one of ours: there are not many."""
    return parse_media_types(offer)[0]


def choose(ranges: Sequence[MediaType], offers: Sequence[str]) -> str:
    """The offer that the client wants most. Raises `Problem` (406) where it wants none of them."""
    weights = [(weight_of(_offered(offer), ranges), offer) for offer in offers]
    weight, offer = max(weights, key=lambda pair: pair[0])  # the first of equals
    if weight <= 0:
        raise Problem(406, "none of the accepted media types can be made of this", "Accept: " + ", ".join(offers))
    return offer


def _covers(wanted: MediaType, offer: MediaType) -> int:
    """How specifically a range covers an offer; -1: not at all."""
    if wanted.type == "*":
        return 0
    if wanted.type != offer.type:
        return -1
    if wanted.subtype == "*":
        return 1
    if wanted.subtype != offer.subtype:
        return -1
    part, offered = wanted.part_type, offer.part_type
    if not part or not offered:
        return 2
    if part == offered:
        return 4
    return 3 if part == "*/*" or (part.endswith("/*") and offered.startswith(part[:-1])) else -1


def choose_encoding(header: str) -> str:
    """The content coding to answer in: "zstd", "gzip" or "identity", in this order where they weigh the same.

    A broken header, or one that forbids everything, gets "identity": a body is better than a 406 about codings.
    """
    weights: dict[str, float] = {}
    for part in header[:MAX_HEADER].split(","):
        match = _CODING.fullmatch(part)
        if match is not None:
            weights[match[1].lower()] = float(match[2]) if match[2] else 1.0
    anything = weights.get("*", 0.0)
    best, weight = "identity", 0.0
    for coding in ("zstd", "gzip"):
        given = weights.get(coding, weights.get("x-gzip", anything) if coding == "gzip" else anything)
        if given > weight:
            best, weight = coding, given
    return best if weight >= weights.get("identity", 0.0) else "identity"


def single(parameters: Mapping[str, Sequence[str]], name: str) -> str | None:
    """The value of a query parameter that may stand once; None where it is absent. Raises `Problem` (400; H20)."""
    values = parameters.get(name, ())
    if len(values) > 1:
        raise Problem(400, f"the query parameter {name} is given more than once")
    return values[0] if values else None


def flag(parameters: Mapping[str, Sequence[str]], name: str) -> bool:
    """A query parameter that is `true` or `false`; false where it is absent. Raises `Problem` (400; H19)."""
    value = single(parameters, name)
    if value is None:
        return False
    if value.lower() not in ("true", "false"):
        raise Problem(400, f"the query parameter {name} must be true or false")
    return value.lower() == "true"


def number(parameters: Mapping[str, Sequence[str]], name: str) -> int | None:
    """A query parameter that is a whole number from 0 on; None where it is absent. Raises `Problem` (400; H17)."""
    value = single(parameters, name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise Problem(400, f"the query parameter {name} must be a whole number from 0 on")
    return int(value)


def _malformed(what: str) -> Problem:
    return Problem(400, f"the Accept header {what}")
