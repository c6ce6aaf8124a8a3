"""`docs/reference/workflow-states.md`: the state grids of the workflow, drawn and printed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vesalius.model import workitems
from vesalius.model.steps import ORDER_GRID, PERFORMED_GRID, STEP_GRID

_HEAD = """# States of the workflow

Made from the tables of `model/steps.py` and `model/workitems.py`. What has no row cannot happen: it is refused with the
state and what is possible in it. Each change is an event with who, when and why (`vesalius ris events`).

A modality may start a step that was cancelled, missed or done meanwhile, because its worklist was older than ours: what
happens in the room wins over the plan. A performed step that is COMPLETED or DISCONTINUED never changes again.
"""
# What the right key opens (or what needs none); what refuses has a status: docs/reference/conformance.md, 5.8.
_WORKITEM_GRID = {
    (state, verb): (cell.to, "PS3.4 CC.2.6" if verb is workitems.WorkitemVerb.UPDATE else "PS3.4 Table CC.1.1-2")
    for (state, verb, _), cell in workitems.GRID.items()
    if cell.to is not None
}
_GRIDS: tuple[tuple[str, str, Mapping[Any, tuple[Any, str]]], ...] = (
    ("Order", "PLACED", ORDER_GRID),
    ("Scheduled procedure step", "SCHEDULED", STEP_GRID),
    ("Performed procedure step", "IN PROGRESS", PERFORMED_GRID),
    ("Workitem (unified procedure step)", "SCHEDULED", _WORKITEM_GRID),
)


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for title, first, grid in _GRIDS:
        parts += [f"## {title}\n", _diagram(first, grid), "| state | verb | then | why |", "| --- | --- | --- | --- |"]
        parts += [f"| {state} | {verb} | {after} | {clause} |" for (state, verb), (after, clause) in grid.items()]
        parts.append("")
    return "\n".join(parts)


def _diagram(first: str, grid: Mapping[Any, tuple[Any, str]]) -> str:
    """A Mermaid state diagram: one arrow for each pair of states, with every verb that makes it."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, verb), (after, _) in grid.items():
        if state is not after:
            arrows.setdefault((_name(str(state)), _name(str(after))), []).append(str(verb))
    leaves = {after for _, after in arrows} - {state for state, _ in arrows}
    lines = ["```mermaid", "stateDiagram-v2", f"  [*] --> {_name(first)}"]
    lines += [f"  {state} --> {after}: {', '.join(verbs)}" for (state, after), verbs in arrows.items()]
    lines += [f"  {state} --> [*]" for state in sorted(leaves)]
    return "\n".join([*lines, "```", ""])


def _name(state: str) -> str:
    return state.replace(" ", "_")
