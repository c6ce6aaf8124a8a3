"""The state grids of the workflow: (state, verb) -> (state, clause), for orders, scheduled and performed steps.

Theory. What may follow what is data, not control flow: a cell that is not there is a verb that the state forbids, and
`advance` says so with the state and what is possible instead. The page `docs/reference/workflow-states.md` is drawn
from these tables.

Reality is allowed to win over the plan. A modality may start a step that was cancelled or given up meanwhile, because
its worklist was older (IHE RAD TF-1 3.3): the step then goes on, and the event is there for a person to see. A
performed step, on the other hand, is a record: COMPLETED and DISCONTINUED are final (PS3.4 F.7.2.2.2).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TypeAlias, TypeVar

from vesalius.model.errors import WrongState


class OrderState(enum.StrEnum):
    """An order's life, in the words of HL7 table 0038 and IHE."""

    PLACED = "PLACED"
    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    DISCONTINUED = "DISCONTINUED"
    CANCELLED = "CANCELLED"
    HELD = "HELD"


class OrderVerb(enum.StrEnum):
    """What happens to an order."""

    SCHEDULE = "schedule"
    UNSCHEDULE = "unschedule"
    START = "start"
    COMPLETE = "complete"
    DISCONTINUE = "discontinue"
    CANCEL = "cancel"
    HOLD = "hold"
    RELEASE = "release"
    CHANGE = "change"


class StepState(enum.StrEnum):
    """Scheduled Procedure Step Status (0040,0020) and what follows when it leaves the worklist."""

    SCHEDULED = "SCHEDULED"
    ARRIVED = "ARRIVED"
    READY = "READY"
    STARTED = "STARTED"
    COMPLETED = "COMPLETED"
    DISCONTINUED = "DISCONTINUED"
    CANCELLED = "CANCELLED"
    NO_SHOW = "NO SHOW"


class StepVerb(enum.StrEnum):
    """What happens to a scheduled step."""

    ARRIVE = "arrive"
    LEAVE = "leave"  # the arrival was a mistake
    PREPARE = "prepare"
    START = "start"
    COMPLETE = "complete"
    DISCONTINUE = "discontinue"
    CANCEL = "cancel"
    MISS = "miss"
    MOVE = "move"  # another time or station


class PerformedState(enum.StrEnum):
    """Performed Procedure Step Status (0040,0252)."""

    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    DISCONTINUED = "DISCONTINUED"


class PerformedVerb(enum.StrEnum):
    """What an N-SET does to a performed step."""

    UPDATE = "update"
    COMPLETE = "complete"
    DISCONTINUE = "discontinue"


State = TypeVar("State", bound=enum.StrEnum)
Verb = TypeVar("Verb", bound=enum.StrEnum)
Cell: TypeAlias = "tuple[State, str]"
Grid: TypeAlias = "Mapping[tuple[State, Verb], tuple[State, str]]"

_O, _OV = OrderState, OrderVerb
ORDER_GRID: Grid[OrderState, OrderVerb] = {
    (_O.PLACED, _OV.SCHEDULE): (_O.SCHEDULED, "IHE RAD TF-2 4.4"),
    (_O.PLACED, _OV.CHANGE): (_O.PLACED, "HL7 v2.5.1 4.2.2, ORC-1 XO"),
    (_O.PLACED, _OV.START): (_O.IN_PROGRESS, "IHE RAD TF-1 3.3: done before it was planned"),
    (_O.PLACED, _OV.CANCEL): (_O.CANCELLED, "HL7 v2.5.1 4.5.1.1, ORC-1 CA"),
    (_O.PLACED, _OV.HOLD): (_O.HELD, "HL7 v2.5.1 4.5.1.1, ORC-1 HD"),
    (_O.SCHEDULED, _OV.SCHEDULE): (_O.SCHEDULED, "IHE RAD TF-2 4.4"),
    (_O.SCHEDULED, _OV.UNSCHEDULE): (_O.PLACED, "every step was cancelled or missed"),
    (_O.SCHEDULED, _OV.CHANGE): (_O.SCHEDULED, "HL7 v2.5.1 4.5.1.1, ORC-1 XO"),
    (_O.SCHEDULED, _OV.START): (_O.IN_PROGRESS, "PS3.4 F.7.2.1: N-CREATE"),
    (_O.SCHEDULED, _OV.CANCEL): (_O.CANCELLED, "HL7 v2.5.1 4.5.1.1, ORC-1 CA"),
    (_O.SCHEDULED, _OV.HOLD): (_O.HELD, "HL7 v2.5.1 4.5.1.1, ORC-1 HD"),
    (_O.HELD, _OV.RELEASE): (_O.PLACED, "HL7 v2.5.1 4.5.1.1, ORC-1 RL"),
    (_O.HELD, _OV.CHANGE): (_O.HELD, "HL7 v2.5.1 4.5.1.1, ORC-1 XO"),
    (_O.HELD, _OV.CANCEL): (_O.CANCELLED, "HL7 v2.5.1 4.5.1.1, ORC-1 CA"),
    (_O.HELD, _OV.START): (_O.IN_PROGRESS, "the modality had an older worklist"),
    (_O.IN_PROGRESS, _OV.SCHEDULE): (_O.IN_PROGRESS, "a further step of an order that is being done"),
    (_O.IN_PROGRESS, _OV.START): (_O.IN_PROGRESS, "a further step begins"),
    (_O.IN_PROGRESS, _OV.CHANGE): (_O.IN_PROGRESS, "HL7 v2.5.1 4.5.1.1, ORC-1 XO"),
    (_O.IN_PROGRESS, _OV.COMPLETE): (_O.COMPLETED, "PS3.4 F.7.2.2: every step is done"),
    (_O.IN_PROGRESS, _OV.DISCONTINUE): (_O.DISCONTINUED, "HL7 v2.5.1 4.5.1.1, ORC-1 DC; PS3.4 F.7.2.2"),
    (_O.COMPLETED, _OV.START): (_O.IN_PROGRESS, "IHE RAD TF-1 3.3: append"),
    (_O.COMPLETED, _OV.SCHEDULE): (_O.SCHEDULED, "a further step for a done order"),
    (_O.DISCONTINUED, _OV.START): (_O.IN_PROGRESS, "begun again after it was given up"),
    (_O.DISCONTINUED, _OV.SCHEDULE): (_O.SCHEDULED, "planned again after it was given up"),
    (_O.CANCELLED, _OV.START): (_O.IN_PROGRESS, "the modality had an older worklist"),
}

_S, _SV = StepState, StepVerb
STEP_GRID: Grid[StepState, StepVerb] = {
    (_S.SCHEDULED, _SV.ARRIVE): (_S.ARRIVED, "PS3.3 C.4.10: ARRIVED"),
    (_S.SCHEDULED, _SV.PREPARE): (_S.READY, "PS3.3 C.4.10: READY"),
    (_S.SCHEDULED, _SV.START): (_S.STARTED, "PS3.4 F.7.2.1: N-CREATE"),
    (_S.SCHEDULED, _SV.CANCEL): (_S.CANCELLED, "HL7 v2.5.1 4.5.1.1, ORC-1 CA"),
    (_S.SCHEDULED, _SV.MISS): (_S.NO_SHOW, "HL7 v2.5.1 10.3: SIU^S26"),
    (_S.SCHEDULED, _SV.MOVE): (_S.SCHEDULED, "HL7 v2.5.1 10.3: SIU^S13"),
    (_S.ARRIVED, _SV.LEAVE): (_S.SCHEDULED, "the arrival was a mistake"),
    (_S.ARRIVED, _SV.PREPARE): (_S.READY, "PS3.3 C.4.10: READY"),
    (_S.ARRIVED, _SV.START): (_S.STARTED, "PS3.4 F.7.2.1: N-CREATE"),
    (_S.ARRIVED, _SV.CANCEL): (_S.CANCELLED, "HL7 v2.5.1 4.5.1.1, ORC-1 CA"),
    (_S.ARRIVED, _SV.MISS): (_S.NO_SHOW, "left before it was done"),
    (_S.ARRIVED, _SV.MOVE): (_S.ARRIVED, "another room or time on the same day"),
    (_S.READY, _SV.LEAVE): (_S.SCHEDULED, "the arrival was a mistake"),
    (_S.READY, _SV.START): (_S.STARTED, "PS3.4 F.7.2.1: N-CREATE"),
    (_S.READY, _SV.CANCEL): (_S.CANCELLED, "HL7 v2.5.1 4.5.1.1, ORC-1 CA"),
    (_S.READY, _SV.MISS): (_S.NO_SHOW, "left before it was done"),
    (_S.READY, _SV.MOVE): (_S.READY, "another room or time on the same day"),
    (_S.STARTED, _SV.START): (_S.STARTED, "PS3.4 F.7.2.1: a further N-CREATE for the same step"),
    (_S.STARTED, _SV.COMPLETE): (_S.COMPLETED, "PS3.4 F.7.2.2: N-SET COMPLETED"),
    (_S.STARTED, _SV.DISCONTINUE): (_S.DISCONTINUED, "PS3.4 F.7.2.2: N-SET DISCONTINUED"),
    (_S.COMPLETED, _SV.START): (_S.STARTED, "IHE RAD TF-1 3.3: append"),
    (_S.DISCONTINUED, _SV.START): (_S.STARTED, "begun again after it was given up"),
    (_S.DISCONTINUED, _SV.MOVE): (_S.SCHEDULED, "planned again after it was given up"),
    (_S.CANCELLED, _SV.START): (_S.STARTED, "the modality had an older worklist"),
    (_S.NO_SHOW, _SV.ARRIVE): (_S.ARRIVED, "came late"),
    (_S.NO_SHOW, _SV.START): (_S.STARTED, "the modality had an older worklist"),
    (_S.NO_SHOW, _SV.MOVE): (_S.SCHEDULED, "planned again"),
    (_S.NO_SHOW, _SV.CANCEL): (_S.CANCELLED, "HL7 v2.5.1 4.5.1.1, ORC-1 CA"),
}

_P, _PV = PerformedState, PerformedVerb
PERFORMED_GRID: Grid[PerformedState, PerformedVerb] = {
    (_P.IN_PROGRESS, _PV.UPDATE): (_P.IN_PROGRESS, "PS3.4 F.7.2.2"),
    (_P.IN_PROGRESS, _PV.COMPLETE): (_P.COMPLETED, "PS3.4 F.7.2.2.2"),
    (_P.IN_PROGRESS, _PV.DISCONTINUE): (_P.DISCONTINUED, "PS3.4 F.7.2.2.2"),
}

# States from which nothing is expected any more; a modality may still begin again.
STEP_DONE = frozenset((_S.COMPLETED, _S.DISCONTINUED, _S.CANCELLED, _S.NO_SHOW))
ORDER_DONE = frozenset((_O.COMPLETED, _O.DISCONTINUED, _O.CANCELLED))


def advance(grid: Grid[State, Verb], state: State, verb: Verb) -> State:
    """The state that follows. Raises `WrongState` where the grid has no such cell."""
    cell = grid.get((state, verb))
    if cell is None:
        possible = sorted(str(other) for held, other in grid if held == state)
        raise WrongState(
            f"{str(verb)!r} is not possible in state {state}",
            hint=f"possible now: {', '.join(possible)}" if possible else "this state is final",
        )
    return cell[0]


def can(grid: Grid[State, Verb], state: State, verb: Verb) -> bool:
    """Whether the grid has such a cell."""
    return (state, verb) in grid
