"""A structured report as plain text (PS3.18 8.7.4: text/plain): the whole content tree, indented, one item a line."""

from __future__ import annotations

from collections.abc import Iterator

from vesalius.model.content_tree import Document, Item
from vesalius.model.elements import Header
from vesalius.web.document_page import Places
from vesalius.web.document_words import (
    RELATIONSHIPS,
    coded,
    heading,
    instant,
    kind_of,
    label,
    part_of,
    shape,
    unit,
    value,
)

INDENT = "  "


def plain_text(header: Header, document: Document, places: Places) -> bytes:
    """The document as text in UTF-8."""
    head = heading(header, document)
    lines = [head.title, "=" * min(len(head.title), 78), ""]
    lines += [f"{name}: {text}" for name, text in (*head.patient, *head.study)]
    lines += ["", *(f"*** {text} ***" for text in head.warnings), *head.states, ""]
    for item in document.root.items:
        lines += _lines(item, 0, places)
    if document.predecessors:
        lines += ["", *(f"Follows document {uid}" for uid in document.predecessors)]
    return ("\n".join(lines).rstrip() + "\n").encode("utf-8", "replace")


def _lines(item: Item, depth: int, places: Places) -> Iterator[str]:
    lead = INDENT * depth
    relation = RELATIONSHIPS.get(item.relationship)
    code = coded(item.name)
    name = (f"[{relation}] " if relation else "") + label(item) + (f" ({code})" if code else "")
    if item.kind == "CONTAINER":
        yield ""
        yield f"{lead}{name}"
        yield lead + "-" * min(len(name), 78 - len(lead) if len(lead) < 70 else 8)
        for each in item.items:
            yield from _lines(each, depth + 1, places)
        return
    first, *more = [*_value(item, places).split("\n")]
    yield f"{lead}{name}: {first}" if first else f"{lead}{name}"
    for line in more:
        yield f"{lead}{INDENT}{line}"
    for each in item.items:
        yield from _lines(each, depth + 1, places)


def _value(item: Item, places: Places) -> str:
    parts = [value(item)]
    if item.kind == "CODE" and (code := coded(item.code)):
        parts.append(f"({code})")
    if item.kind == "NUM" and item.texts:
        shown, more = unit(item.code)
        parts += [shown, f"({more})" if more else ""]
        if item.qualifier is not None:
            parts.append(f"{item.qualifier.meaning} ({coded(item.qualifier)})")
    if item.points is not None:
        what, listed = shape(item.points)
        frame = f" in frame of reference {item.points.frame_of_reference}" if item.points.frame_of_reference else ""
        parts.append(f"{what}: {listed}{frame}")
    if item.reference is not None:
        part = part_of(item.reference)
        where = places(item.reference.sop_instance)
        address = where.address if where is not None else f"not kept here: {item.reference.sop_instance}"
        parts.append(f"{kind_of(item.reference)}{', ' + part if part else ''} <{address}>")
    if item.target:
        parts.append(f"item {item.target}")
    if item.observed:
        parts.append(f"observed {instant(item.observed)}")
    return " ".join(part for part in parts if part)
