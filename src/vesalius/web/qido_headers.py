"""Attributes that the index does not keep, in searches for instances: read from headers (PS3.18 8.3.4.1, 8.3.4.3).

Theory. The index knows what people search by; a data set holds a thousand attributes more, private ones among them.
A search for instances may match and ask for any of them: what the index finds is narrowed down, and filled in, from
the headers in the packs, some tenths of a millisecond an instance. So it is bounded: a question whose other keys
leave more than `MOST_READ` instances is refused (413) rather than answered late, and a page holds no more than that.
Studies and series have no header of their own, so there such keys are ignored with a warning.

A private attribute is known by its creator, not by its block (PS3.5 7.8.1): where the question names the creator
(`00090010=ACME&00091001=x`), the block that this creator has reserved in each data set is looked at, whichever it is.

Values match as text with `*` and `?`, names without case and accents, numbers by their value, dates and times as
ranges, UIDs by a list.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import msgspec

from vesalius.archive.headers import Headers
from vesalius.model.coercion import decimal_of
from vesalius.model.entities import Level, StoredInstance, Values
from vesalius.model.matching import wildcard_match
from vesalius.model.names import fold_name
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem

MOST_READ = 2000  # headers for one question
MOST_WILDCARDS = 100  # in one value
AT_ONCE = 500  # instances looked up in one question to the index

Path: TypeAlias = tuple[int, ...]  # tags, the last inside the sequences before it
Json: TypeAlias = dict[str, Any]

SOP_INSTANCE = 0x00080018
_STARS = re.compile(r"\*+")


@dataclass(frozen=True, slots=True)
class Beyond:
    """What a question says of attributes that the index does not keep."""

    matches: tuple[tuple[Path, str], ...] = ()
    fields: tuple[Path, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.matches or self.fields)

    def check(self) -> None:
        """Raises `Problem` (413) for more wildcards than are matched."""
        if any(len(_STARS.findall(text)) + text.count("?") > MOST_WILDCARDS for _, text in self.matches):
            raise Problem(413, f"a value holds more than {MOST_WILDCARDS} wildcards")

    @property
    def creators(self) -> dict[tuple[int, int], str]:
        """(group, block) -> the private creator that the question names for it."""
        found = {}
        for path, text in self.matches:
            group, element = path[0] >> 16, path[0] & 0xFFFF
            if len(path) == 1 and group & 1 and 0x10 <= element <= 0xFF and text:
                found[group, element] = text
        return found


NOTHING_BEYOND = Beyond()


def read(ctx: WebContext, root: str, answers: Sequence[Values]) -> Iterator[Json]:
    """The header of each answer, in order; empty for one that went away meanwhile. Blocks.

    Raises `DamagedInstance`, `IndexUnavailable`.
    """
    headers = Headers(ctx.blobs, ctx.retrieve.coerce)
    for start in range(0, len(answers), AT_ONCE):
        names = [str(values[SOP_INSTANCE][0]) for values in answers[start : start + AT_ONCE]]
        kept = {one.sop_instance: one for one in ctx.index.select(Level.IMAGE, instances=tuple(names))}
        for name in names:
            instance = kept.get(name)
            if instance is None:
                yield {}
                continue
            (text,) = headers.json([instance], partial(_bulk_root, root))
            yield msgspec.json.decode(text)


def holds(beyond: Beyond, header: Json) -> bool:
    """Whether a header has every value that is asked for."""
    creators = beyond.creators
    for path, text in beyond.matches:
        if not text:
            continue
        tag = _actual(path[0], header, creators)
        if tag is None or not any(_matches(element, text) for element in _elements(header, (tag, *path[1:]))):
            return False
    return True


def shown(beyond: Beyond, header: Json) -> Json:
    """The attributes of a header that are answered: what was matched and what was asked for, sequences whole."""
    creators = beyond.creators
    found: Json = {}
    for path in (*(path for path, _ in beyond.matches), *beyond.fields):
        tag = _actual(path[0], header, creators)
        if tag is None or f"{tag:08X}" not in header:
            continue
        found[f"{tag:08X}"] = header[f"{tag:08X}"]
        if tag >> 16 & 1 and tag & 0xFFFF > 0xFF:
            # Without its creator a private attribute means nothing.
            creator = f"{tag >> 16:04X}{(tag & 0xFFFF) >> 8:04X}"
            if creator in header:
                found[creator] = header[creator]
    return found


def merged(answer: bytes, more: Json) -> bytes:
    """An answer with further attributes, in the order of their tags."""
    if not more:
        return answer
    whole = {**msgspec.json.decode(answer), **more}
    return msgspec.json.encode(dict(sorted(whole.items())))


def _bulk_root(root: str, instance: StoredInstance) -> str:
    return f"{root}/studies/{instance.study}/series/{instance.series}/instances/{instance.sop_instance}/bulkdata"


def _actual(tag: int, header: Json, creators: dict[tuple[int, int], str]) -> int | None:
    """The tag under which a data set has what the question means; None where it has not."""
    group, element = tag >> 16, tag & 0xFFFF
    block = element if element <= 0xFF else element >> 8
    creator = creators.get((group, block))
    if creator is None:
        return tag
    for reserved in range(0x10, 0x100):
        known = header.get(f"{group:04X}{reserved:04X}")
        if known is not None and any(text == creator for text in _texts(known)):
            return group << 16 | (reserved if element <= 0xFF else reserved << 8 | element & 0xFF)
    return None


def _elements(attributes: Json, path: Path) -> Iterator[Json]:
    element = attributes.get(f"{path[0]:08X}")
    if element is None:
        return
    if len(path) == 1:
        yield element
        return
    for item in element.get("Value", ()):
        if isinstance(item, dict):
            yield from _elements(item, path[1:])


def _texts(element: Json) -> list[str]:
    """The values of an element as text."""
    if "InlineBinary" in element:  # UN: a private attribute whose VR nobody knows, most often text
        try:
            raw = base64.b64decode(element["InlineBinary"])
        except (binascii.Error, ValueError):
            return []
        return [part.strip(" \0") for part in raw.decode("utf-8", "replace").split("\\")]
    found = []
    for value in element.get("Value", ()):
        if isinstance(value, dict):
            found += [text for text in value.values() if isinstance(text, str)]
        elif value is not None:
            found.append(str(value))
    return found


def _matches(element: Json, text: str) -> bool:
    vr = element.get("vr", "UN")
    texts = _texts(element)
    if vr == "UI":
        wanted = {part.strip() for part in re.split(r"[,\\]", text)}
        return any(value in wanted for value in texts)
    if vr in ("DA", "TM", "DT") and "-" in text:
        low, high = text.split("-", 1)
        return any(value >= low and (not high or value[: len(high)] <= high) for value in texts if value)
    number = decimal_of(text)
    if number is not None and any(decimal_of(value) == number for value in texts):
        return True
    pattern = _STARS.sub("*", text)
    if vr == "PN":
        return any(wildcard_match(fold_name(pattern), fold_name(value)) for value in texts)
    return any(wildcard_match(pattern, value) for value in texts)
