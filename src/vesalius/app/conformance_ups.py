"""The section of the conformance statement on Unified Procedure Step, from the tables that the service obeys."""

from __future__ import annotations

from collections.abc import Iterator

from vesalius.app.settings_clinical import WorkitemSettings
from vesalius.dimse.n_ups import FINDING, OPERATIONS
from vesalius.model import workitems as w
from vesalius.model.workitems import GRID, Cell, WorkitemState, WorkitemVerb
from vesalius.standard import sop_classes as sop
from vesalius.standard.dictionary import describe
from vesalius.wire.dimse_commands import CommandField

_ACTIONS = {1: "change state", 2: "request cancel", 3: "subscribe", 4: "unsubscribe", 5: "suspend global subscription"}


def workitems() -> Iterator[str]:
    """Unified Procedure Step (PS3.4 annex CC), as provider."""
    settings = WorkitemSettings()
    yield "### 5.8 Unified Procedure Step"
    yield (
        "As provider of the Push, Pull, Watch, Event and Query classes, for peers with the right `workitems`. Requests "
        "name UPS Push whatever class was negotiated (PS3.4 CC.3.1); what may be done is that of the negotiated class:"
    )
    rows = ["| Class | Operations |", "| --- | --- |"]
    for uid in sop.UPS_CLASSES:
        fields, actions = OPERATIONS.get(uid, ((), ()))
        said = ["C-FIND"] if uid in FINDING else []
        for field in fields:
            name = CommandField(field).name.removesuffix("_RQ").replace("_", "-")
            said.append(f"{name} ({', '.join(_ACTIONS[one] for one in actions)})" if name == "N-ACTION" else name)
        rows.append(f"| {sop.name_of(uid)} | {', '.join(said) or 'N-EVENT-REPORT, sent by this side'} |")
    yield "\n".join(rows)
    yield (
        "What is asked of a workitem in each state (PS3.4 Table CC.1.1-2), with the Transaction UID of its performer "
        "and without it: the state that follows, or the status. A cancel that is asked for of what is SCHEDULED is "
        "done by this archive, by way of IN PROGRESS; of what is IN PROGRESS it is told to all subscribers, and "
        "refused where there are none."
    )
    yield _grid()
    yield (
        "A workitem is created with its attributes of type 1 ("
        + ", ".join(describe(tag) for tag in w.TYPE_1)
        + "); attributes of type 2 that are missing are added without a value (B300), and a Worklist Label that has "
        f"none becomes `workitems.label`. COMPLETED needs an item of {describe(w.PERFORMED)} with station, start, end "
        "and workitem code; for CANCELED the date-time and, where nobody gave one, the reason 110513 (DCM) are added. "
        "Every attribute that comes is kept and can be asked for, private ones too. The Transaction UID is never "
        "answered."
    )
    yield (
        "C-FIND: any attribute may be a key, in sequences too; extended negotiation grants fuzzy names, empty value "
        "and multiple value matching. Answers come in the order of creation."
    )
    yield (
        "Subscriptions are of one workitem, global, or global with a filter of matching keys. The Receiving AE is a "
        "configured peer with that right (C308 else; one that loses it is told no more); over HTTP any AE title, which "
        "listens on a web socket. Deletion locks are always "
        f"granted: a final workitem is deleted {settings.keep / 86400:g} days after its last change "
        "(`workitems.keep`) unless a subscription locks it. Events: 1 state, 2 cancel requested, 3 progress, 5 "
        "assigned, and 4 to all subscribers when the service begins (RESTARTED, subscriptions and worklist WARM "
        "START, as restarts lose nothing; GOING DOWN is not sent). They are kept with the change that they tell of "
        "and sent in its order, on a new association to the peer's address for which this side proposes the SCP "
        f"role; again after {settings.retry_first:g} s and later and later up to {settings.retry_longest:g} s until "
        f"they are answered, for {settings.expiry / 3600:g} hours (`workitems.retry_first`, "
        "`workitems.retry_longest`, `workitems.expiry`). A crash between sending and the answer sends one again."
    )


def _grid() -> str:
    rows = [f"| Asked | {' | '.join(WorkitemState)} |", f"| --- |{' --- |' * len(WorkitemState)}"]
    for verb in WorkitemVerb:
        for key in (True, False):
            if key and all(GRID[state, verb, True] == GRID[state, verb, False] for state in WorkitemState):
                continue
            same = all(GRID[state, verb, True] == GRID[state, verb, False] for state in WorkitemState)
            how = "" if same else ", with it" if key else ", without it"
            rows.append(f"| {verb}{how} | {' | '.join(_said(GRID[state, verb, key]) for state in WorkitemState)} |")
    return "\n".join(rows)


def _said(cell: Cell) -> str:
    return str(cell.to) if cell.to is not None else f"{cell.status:04X}"
