"""A structured report as a page (PS3.18 8.7.4: text/html): the whole content tree, for people.

Theory. Everything in a report is a stranger's text: every piece is escaped where it is put in, and the page may run
nothing (its policy allows its own style, by digest, and pictures of this origin). Sections become headings,
measurements that stand side by side a table, images a strip of thumbnails that lead to the whole; items that
qualify another stand below it. Codes are shown, small. It reads on paper as on a dark screen.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from itertools import groupby

from vesalius.model.content_tree import Code, Document, Item, Reference
from vesalius.model.elements import Header
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

LONGEST_SHAPE = 120  # characters of coordinates that stand open
MANY_AWAY = 4  # instances that are not kept here; so many are folded away
REFERENCES = frozenset({"IMAGE", "COMPOSITE", "WAVEFORM"})

STYLE = """
:root{color-scheme:light dark;--ink:#1b1b1a;--soft:#5c5b57;--line:#d9d7d0;--ground:#fff;--band:#f3f2ee;--link:#0b57a4;
--warn:#7a3b00;--warned:#fff1dc}
@media(prefers-color-scheme:dark){:root{--ink:#e6e4de;--soft:#a3a19a;--line:#3a3936;--ground:#141413;--band:#1e1e1c;
--link:#8ab8ee;--warn:#ffc78a;--warned:#33240f}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,"Segoe UI",Roboto,sans-serif;
font-variant-numeric:tabular-nums}
header{background:var(--band);border-bottom:1px solid var(--line);padding:12px 24px;position:sticky;top:0;z-index:1}
header dl,.study{display:flex;flex-wrap:wrap;gap:2px 28px;margin:0}
header dl div,.study div{display:flex;gap:8px;align-items:baseline}
dt{color:var(--soft);font-size:13px}dd{margin:0}header dd{font-weight:600}
main{max-width:980px;margin:0 auto;padding:20px 24px 48px}
h1{font-size:24px;line-height:1.25;margin:8px 0 12px}
h2{font-size:18px;margin:28px 0 8px;padding-bottom:4px;border-bottom:1px solid var(--line)}
h3,h4,h5,h6{font-size:15px;margin:18px 0 6px}
.warning{background:var(--warned);color:var(--warn);border-left:4px solid var(--warn);padding:6px 12px;margin:0 0 8px;
font-weight:600}
.states{color:var(--soft);margin:8px 0 0;font-size:13px}
.study{font-size:14px}.study,.states{margin-bottom:12px}
.item{margin:4px 0}.name{color:var(--soft)}.name::after{content:": "}
.words{white-space:pre-wrap;overflow-wrap:anywhere}p.words{margin:4px 0 10px;max-width:75ch}
.code,.rel{color:var(--soft);font-size:12px;overflow-wrap:anywhere}.rel{font-style:italic}
.below{margin:2px 0 6px;padding-left:18px;border-left:1px solid var(--line)}
table{border-collapse:collapse;margin:8px 0 14px;width:100%}
th,td{text-align:left;padding:5px 12px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:500;font-size:13px}td.number{text-align:right;white-space:nowrap;font-weight:600}
th.number{text-align:right}
.strip{display:flex;flex-wrap:wrap;gap:14px;margin:8px 0 14px;padding:0;list-style:none}
.strip li{max-width:200px;font-size:13px;overflow-wrap:anywhere}
.strip img{display:block;max-width:160px;max-height:160px;min-width:48px;min-height:48px;background:#000;
border:1px solid var(--line)}
a{color:var(--link)}a:focus-visible{outline:2px solid var(--link);outline-offset:2px}
summary{cursor:pointer}.away{color:var(--soft)}
footer{margin-top:36px;padding-top:10px;border-top:1px solid var(--line);color:var(--soft);font-size:12px;
overflow-wrap:anywhere}
@media print{header{position:static}body{font-size:11pt}}
"""
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a referenced instance is found on this server."""

    address: str  # of the instance, without a slash at its end
    picture: bool  # it has pixels
    page: bool  # it is a document that has a page


Places = Callable[[str], Place | None]  # by SOP Instance UID; None: not kept here


def page(header: Header, document: Document, places: Places, version: str) -> bytes:
    """The page, in UTF-8."""
    head = heading(header, document)
    title = escape(f"{head.title}, {head.patient[0][1]}")
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body>",
        '<header aria-label="Patient"><dl>',
        *(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in head.patient),
        f'</dl></header><main id="i1"><h1>{escape(head.title)}</h1>',
        *(f'<p class="warning" role="note">{escape(text)}</p>' for text in head.warnings),
        '<dl class="study">',
        *(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in head.study),
        "</dl>",
    ]
    if head.states:
        parts.append(f'<p class="states">{escape(" · ".join(head.states))}</p>')
    writer = _Writer(places)
    parts += writer.below(document.root, 2)
    parts.append("<footer>")
    if document.predecessors:
        parts.append("<p>Follows ")
        parts.append(", ".join(writer.link(Reference("", uid), f"document {uid}") for uid in document.predecessors))
        parts.append("</p>")
    name = document.root.name
    parts.append(f"<p>{escape(head.title)} {_code(name)} · shown by Vesalius {escape(version)}</p></footer></main>")
    parts.append("</body></html>\n")
    return "".join(parts).encode("utf-8", "replace")


class _Writer:
    """Items to HTML."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def below(self, item: Item, level: int) -> Iterator[str]:
        """The items below one, those of a kind that belong together as one block."""
        for kind, group in groupby(item.items, key=_block):
            found = list(group)
            if kind == "table" and len(found) > 1:
                yield from self._table(found, level)
            elif kind == "strip":
                yield from self._strip(found, level)
            elif kind == "text" and len(found) > 1 and not item.separate:
                yield from self._running(found, level)
            else:
                for each in found:
                    yield from self._item(each, level)

    def _item(self, item: Item, level: int) -> Iterator[str]:
        place = f'id="i{item.place}"'
        relation = _relation(item)
        if item.kind == "CONTAINER":
            tag = f"h{min(level, 6)}"
            yield f"<section {place}><{tag}>{escape(label(item))} {_code(item.name)}</{tag}>{relation}"
            yield from self.below(item, level + 1)
            yield "</section>"
            return
        words = escape(value(item))
        if item.kind == "TEXT" and (len(words) > 60 or "\n" in words):
            yield f'<div class="item" {place}><span class="name">{escape(label(item))}</span> '
            yield f'{_code(item.name)}{relation}<p class="words">{words}</p>'
        else:
            yield f'<div class="item" {place}><span class="name">{escape(label(item))}</span>'
            yield f'<span class="words">{words}</span>{self._detail(item)} {_code(item.name)}{relation}'
        if item.items:
            yield '<div class="below">'
            yield from self.below(item, level)
            yield "</div>"
        yield "</div>"

    def _running(self, items: list[Item], level: int) -> Iterator[str]:
        """Texts of a continuous section: one text, and below it what qualifies its parts."""
        texts = (f'<span id="i{item.place}">{escape(value(item))}</span> {_code(item.name)}' for item in items)
        yield f'<p class="words">{" ".join(texts)}</p>'
        for item in items:
            if item.items:
                yield f'<div class="below"><span class="name">{escape(label(item))}</span>'
                yield from self.below(item, level)
                yield "</div>"

    def _detail(self, item: Item) -> str:
        """What stands after the value: unit, code, coordinates, reference."""
        parts = []
        if item.kind == "NUM" and item.texts:
            shown, more = unit(item.code)
            parts.append(f" {escape(shown)}" + (f' <span class="code">({escape(more)})</span>' if more else ""))
            if item.qualifier is not None:
                parts.append(f" {escape(item.qualifier.meaning)} {_code(item.qualifier)}")
        elif item.kind == "CODE":
            parts.append(f" {_code(item.code)}")
        if item.points is not None:
            parts.append(_points(item))
        if item.reference is not None:
            parts.append(self.link(item.reference, kind_of(item.reference)))
        if item.target:
            parts.append(f'<a href="#i{escape(item.target)}">item {escape(item.target)}</a>')
        if item.observed:
            parts.append(f' <span class="code">observed {escape(instant(item.observed))}</span>')
        return "".join(parts)

    def _table(self, items: list[Item], level: int) -> Iterator[str]:
        details = any(item.items or (item.qualifier is not None and item.texts) for item in items)
        yield '<table><thead><tr><th>Measurement</th><th class="number">Value</th><th>Unit</th>'
        yield ("<th>Details</th>" if details else "") + "</tr></thead><tbody>"
        for item in items:
            shown, more = unit(item.code)
            yield f'<tr id="i{item.place}"><td>{escape(label(item))} {_code(item.name)}{_relation(item)}</td>'
            yield f'<td class="number">{escape(value(item))}</td><td>{escape(shown)}'
            yield (f' <span class="code">{escape(more)}</span>' if more else "") + "</td>"
            if not details:
                yield "</tr>"
                continue
            yield "<td>"
            if item.qualifier is not None and item.texts:
                yield f"{escape(item.qualifier.meaning)} {_code(item.qualifier)}"
            yield from self.below(item, level)
            yield "</td></tr>"
        yield "</tbody></table>"

    def _strip(self, items: list[Item], level: int) -> Iterator[str]:
        away = [item for item in items if self._is_away(item)]
        if len(away) >= MANY_AWAY:
            items = [item for item in items if not self._is_away(item)]
            yield f'<details class="away"><summary>{len(away)} instances that are not kept here</summary><ul>'
            for item in away:
                name = f"{escape(label(item))} {_code(item.name)}: " if item.name is not None else ""
                reference = item.reference
                if reference is not None:
                    yield f'<li id="i{item.place}">{name}{self.link(reference, kind_of(reference))}</li>'
            yield "</ul></details>"
        if not items:
            return
        yield '<ul class="strip">'
        for item in items:
            reference = item.reference
            yield f'<li id="i{item.place}">'
            if reference is not None:
                yield self._thumbnail(reference)
                yield self.link(reference, kind_of(reference))
            if item.name is not None:
                yield f"<div>{escape(label(item))} {_code(item.name)}</div>"
            yield _relation(item)
            if item.items:
                yield '<div class="below">'
                yield from self.below(item, level)
                yield "</div>"
            yield "</li>"
        yield "</ul>"

    def _is_away(self, item: Item) -> bool:
        return item.reference is not None and not item.items and self._places(item.reference.sop_instance) is None

    def _thumbnail(self, reference: Reference) -> str:
        place = self._places(reference.sop_instance)
        if place is None or not place.picture:
            return ""
        frame = f"/frames/{reference.frames[0]}" if reference.frames and reference.frames[0].isdecimal() else ""
        source = escape(f"{place.address}{frame}/thumbnail")
        return f'<img src="{source}" loading="lazy" alt="{escape(kind_of(reference))}">'

    def link(self, reference: Reference, words: str) -> str:
        """A reference: a link to what is kept here, else its UID."""
        part = part_of(reference)
        shown = escape(f"{words}, {part}" if part else words)
        place = self._places(reference.sop_instance)
        if place is None:
            uid = escape(reference.sop_instance)
            return f'<span class="away">{shown} (not kept here: {uid})</span>'
        state = next((uid for uid in reference.states if place.picture and self._places(uid) is not None), None)
        query = f"?presentationUID={state}" if state is not None else ""
        if not (place.picture or place.page):
            return f'<a href="{escape(place.address)}/metadata">{shown}</a>'
        frames = [frame for frame in reference.frames if frame.isdecimal()] if place.picture else []
        if not frames:
            return f'<a href="{escape(place.address + "/rendered" + query)}">{shown}</a>'
        links = ", ".join(
            f'<a href="{escape(f"{place.address}/frames/{frame}/rendered{query}")}">{frame}</a>' for frame in frames
        )
        rest = part_of(Reference("", "", (), reference.segments, reference.channels))
        return f"{escape(words)}, frame{'s' if len(frames) > 1 else ''} {links}" + (f"; {escape(rest)}" if rest else "")


def _block(item: Item) -> str:
    if item.kind == "NUM":
        return "table"
    if item.kind in REFERENCES and item.reference is not None:
        return "strip"
    return "text" if item.kind == "TEXT" and item.relationship == "CONTAINS" else "item"


def _relation(item: Item) -> str:
    word = RELATIONSHIPS.get(item.relationship)
    return f' <span class="rel">{word}</span>' if word else ""


def _code(code: Code | None) -> str:
    text = coded(code)
    return f'<span class="code">({escape(text)})</span>' if text else ""


def _points(item: Item) -> str:
    if item.points is None:
        return ""
    what, listed = shape(item.points)
    frame = f" in frame of reference {escape(item.points.frame_of_reference)}" if item.points.frame_of_reference else ""
    if len(listed) <= LONGEST_SHAPE:
        return f'{escape(what)} <span class="code">{escape(listed)}{frame}</span>'
    return f'<details><summary>{escape(what)}</summary><span class="code">{escape(listed)}{frame}</span></details>'
