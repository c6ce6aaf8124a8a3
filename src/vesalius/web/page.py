"""The one page: what runs here, whether it is well, and the first three things to try. No script, no cookie."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vesalius.web.site import Facts

_FILES = files("vesalius.web")
STYLE = (_FILES / "static" / "page.css").read_text(encoding="utf-8")
_TEMPLATE = Template((_FILES / "templates" / "page.html").read_text(encoding="utf-8"))


def human_bytes(count: int) -> str:
    """A size in the largest fitting binary unit."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return ""


def human_duration(seconds: int) -> str:
    """A duration in its two largest units."""
    for size, unit, below, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            return f"{seconds // size} {unit} {seconds % size // below} {smaller}"
    return f"{seconds} s"


def _figure(label: str, value: str) -> str:
    return f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>"


def _list(items: list[str]) -> str:
    return "".join(f"<li>{item}</li>" for item in items)


def _health(facts: Facts) -> str:
    ready, wanted = facts.workers
    lines = [f"{ready} of {wanted} DIMSE workers ready", f"{human_bytes(facts.free_bytes)} free for packs"]
    for place in facts.places:
        lag = "up to date" if place.lag_bytes == 0 else f"{human_bytes(place.lag_bytes)} behind"
        lines.append(f"copy {place.name}: {lag}")
    if not facts.places:
        lines.append("no further copy is configured ([[store.copies]])")
    lines += facts.notices
    if facts.conflicts:
        lines.append(f"{facts.conflicts:,} conflicting instances kept: vesalius notes")
    return _list([escape(line) for line in lines])


def page(facts: Facts) -> str:
    """The page as HTML; every value is escaped."""
    state = "not ready" if facts.problems else "ready"
    figures = [
        _figure("Patients", f"{facts.patients:,}"),
        _figure("Studies", f"{facts.studies:,}"),
        _figure("Series", f"{facts.series:,}"),
        _figure("Instances", f"{facts.instances:,}"),
        _figure("Stored", human_bytes(facts.bytes)),
    ]
    by_count = sorted(facts.modalities, key=lambda one: (-one[1], one[0]))
    modalities = "".join(_figure(name or "none", f"{count:,}") for name, count in by_count)
    problems = f'<ul class="problems">{_list([escape(p) for p in facts.problems])}</ul>' if facts.problems else ""
    table = (
        f'<h3>Instances by modality</h3><dl class="figures small">{modalities}</dl>'
        if modalities
        else '<p class="empty">Nothing is stored yet. Send something to it, or run <code>vesalius demo</code>.</p>'
    )
    return _TEMPLATE.substitute(
        state=state,
        state_class="bad" if facts.problems else "good",
        problems=problems,
        listeners=_list([f"<code>{escape(listener)}</code>" for listener in facts.listeners]),
        figures="".join(figures),
        modalities=table,
        health=_health(facts),
        commands="\n".join(escape(command) for command in facts.store_commands),
        version=escape(facts.version),
        index=escape(facts.index),
        up=escape(human_duration(facts.up_seconds)),
    )
