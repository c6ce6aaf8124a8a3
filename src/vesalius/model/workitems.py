"""The workitem of Unified Procedure Step: its states, its lock, and what each event does to them (PS3.4 CC.1.1).

Theory. A workitem is one data set that tells what is to be done and, later, what was done. Whoever performs it claims
it with a Transaction UID that only the performer knows: from then on that UID is the key to every change. `GRID` is
Table CC.1.1-2 as data: (state, event, whether the right key came) -> the state that follows, or the status that
refuses. A cell may also warn and change nothing: asked for what is the case already.

COMPLETED and CANCELED are final, and neither is reached before the attributes that a reader relies on have values
(Table CC.2.5-3, column Final State): `missing_for` names those that lack.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from vesalius.model import reading
from vesalius.model.entities import Values
from vesalius.model.errors import WrongState
from vesalius.standard import statuses

GLOBAL_SUBSCRIPTION = "1.2.840.10008.5.1.4.34.5"
FILTERED_SUBSCRIPTION = "1.2.840.10008.5.1.4.34.5.1"
WELL_KNOWN = frozenset((GLOBAL_SUBSCRIPTION, FILTERED_SUBSCRIPTION))

SPECIFIC_CHARACTER_SET = 0x00080005
SOP_CLASS_UID, SOP_INSTANCE_UID = 0x00080016, 0x00080018
TRANSACTION_UID = 0x00081195
PATIENT_NAME, PATIENT_ID = 0x00100010, 0x00100020
STUDY_INSTANCE_UID = 0x0020000D
REFERENCED_REQUESTS = 0x0040A370
START = 0x00404005  # Scheduled Procedure Step Start DateTime
MODIFIED = 0x00404010  # Scheduled Procedure Step Modification DateTime
WORKITEM_CODES = 0x00404018
STATION_NAMES, STATION_CLASSES, STATION_PLACES = 0x00404025, 0x00404026, 0x00404027
HUMAN_PERFORMERS, HUMAN_PERFORMER_CODES, ORGANIZATION = 0x00404034, 0x00404009, 0x00404036
READINESS = 0x00404041
INPUT = 0x00404021
STATE = 0x00741000
PROGRESS = 0x00741002  # Procedure Step Progress Information Sequence
PERFORMED = 0x00741216  # Unified Procedure Step Performed Procedure Sequence
PRIORITY = 0x00741200
WORKLIST_LABEL = 0x00741202
LABEL = 0x00741204
PARAMETERS = 0x00741210
CONTACT_URI, CONTACT_NAME = 0x0074100A, 0x0074100C
DISCONTINUATION_REASONS = 0x0074100E
DELETION_LOCK = 0x00741230
SCP_STATUS, SUBSCRIPTIONS_STATUS, WORKLIST_STATUS = 0x00741242, 0x00741244, 0x00741246
RECEIVING_AE, REQUESTING_AE = 0x00741234, 0x00741236
REASON_FOR_CANCELLATION = 0x00741238
CANCELLED_AT = 0x00404052

PRIORITIES = ("HIGH", "MEDIUM", "LOW")
READINESS_STATES = ("READY", "UNAVAILABLE", "INCOMPLETE")
# PS3.16 CID 9300: what is said where nobody said why.
UNSPECIFIED_REASON: Values = {
    0x00080100: ("110513",),
    0x00080102: ("DCM",),
    0x00080104: ("Discontinued for unspecified reason",),
}


class WorkitemState(enum.StrEnum):
    """Procedure Step State (0074,1000)."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"


class WorkitemVerb(enum.StrEnum):
    """What is asked of a workitem."""

    CLAIM = "change to IN PROGRESS"
    RETURN = "change to SCHEDULED"
    COMPLETE = "change to COMPLETED"
    CANCEL = "change to CANCELED"
    ASK_TO_CANCEL = "request cancel"
    UPDATE = "set attributes"


class Refused(WrongState):
    """A request that the rules of the service class forbid; `status` is that of PS3.4 annex CC or PS3.7 annex C."""

    def __init__(self, status: int, message: str, *, hint: str = "", offending: tuple[int, ...] = ()) -> None:
        super().__init__(message, hint=hint, offending=offending)
        self.status = status


class Gone(Refused):
    """The workitem was here and its content is deleted: C307, as if it had never been, and 410 over HTTP."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What follows: the next state, or none and a status. A status of 0 with a state is the way through."""

    to: WorkitemState | None
    status: int = statuses.SUCCESS


_S = WorkitemState
_V = WorkitemVerb
_KEYLESS = Cell(None, statuses.UPS_WRONG_TRANSACTION)


def _row(verb: WorkitemVerb, with_key: tuple[Cell, Cell, Cell, Cell]) -> dict[tuple[_S, _V, bool], Cell]:
    """One event with the right key, and its twin without, which is C301 in every state."""
    found = {(state, verb, True): cell for state, cell in zip(_S, with_key, strict=True)}
    return found | {(state, verb, False): _KEYLESS for state in _S}


def _either(verb: WorkitemVerb, cells: tuple[Cell, Cell, Cell, Cell]) -> dict[tuple[_S, _V, bool], Cell]:
    """One event that has no key."""
    return {(state, verb, key): cell for state, cell in zip(_S, cells, strict=True) for key in (True, False)}


_NO_MORE = Cell(None, statuses.UPS_MAY_NOT_BE_UPDATED)
_NOT_YET = Cell(None, statuses.UPS_NOT_IN_PROGRESS)
_ONLY_CREATED = Cell(None, statuses.UPS_SCHEDULED_BY_CREATE_ONLY)
_IS_CANCELED = Cell(None, statuses.UPS_ALREADY_CANCELED)

# Columns: SCHEDULED, IN PROGRESS, COMPLETED, CANCELED (PS3.4 Table CC.1.1-2; N-SET is PS3.4 CC.2.6).
GRID: Mapping[tuple[WorkitemState, WorkitemVerb, bool], Cell] = {
    **_row(_V.CLAIM, (Cell(_S.IN_PROGRESS), Cell(None, statuses.UPS_ALREADY_IN_PROGRESS), _NO_MORE, _NO_MORE)),
    **_either(_V.RETURN, (_ONLY_CREATED, _ONLY_CREATED, _ONLY_CREATED, _ONLY_CREATED)),
    **_row(
        _V.COMPLETE,
        (_NOT_YET, Cell(_S.COMPLETED), Cell(None, statuses.UPS_ALREADY_COMPLETED_WARNING), _NO_MORE),
    ),
    **_row(_V.CANCEL, (_NOT_YET, Cell(_S.CANCELED), _NO_MORE, _IS_CANCELED)),
    # SCHEDULED: by way of IN PROGRESS, claimed by this system itself. IN PROGRESS: the performer is told.
    **_either(
        _V.ASK_TO_CANCEL,
        (Cell(_S.CANCELED), Cell(_S.IN_PROGRESS), Cell(None, statuses.UPS_ALREADY_COMPLETED), _IS_CANCELED),
    ),
    (_S.SCHEDULED, _V.UPDATE, True): _NOT_YET,
    (_S.SCHEDULED, _V.UPDATE, False): Cell(_S.SCHEDULED),
    (_S.IN_PROGRESS, _V.UPDATE, True): Cell(_S.IN_PROGRESS),
    (_S.IN_PROGRESS, _V.UPDATE, False): _KEYLESS,
    (_S.COMPLETED, _V.UPDATE, True): _NO_MORE,
    (_S.COMPLETED, _V.UPDATE, False): _NO_MORE,
    (_S.CANCELED, _V.UPDATE, True): _NO_MORE,
    (_S.CANCELED, _V.UPDATE, False): _NO_MORE,
}

VERB_OF_STATE = {
    _S.SCHEDULED: _V.RETURN,
    _S.IN_PROGRESS: _V.CLAIM,
    _S.COMPLETED: _V.COMPLETE,
    _S.CANCELED: _V.CANCEL,
}
FINAL = frozenset((_S.COMPLETED, _S.CANCELED))

# What each refusal means, in the words of tables CC.2.1-2, CC.2.2-2, CC.2.5-2, CC.2.6-2.
MEANING: Mapping[int, str] = {
    statuses.UPS_ALREADY_CANCELED: "The UPS is already in the requested state of CANCELED",
    statuses.UPS_ALREADY_COMPLETED_WARNING: "The UPS is already in the requested state of COMPLETED",
    statuses.UPS_MAY_NOT_BE_UPDATED: "the workitem is final and may not be changed any more",
    statuses.UPS_WRONG_TRANSACTION: "the correct Transaction UID was not provided",
    statuses.UPS_ALREADY_IN_PROGRESS: "the workitem is already IN PROGRESS",
    statuses.UPS_SCHEDULED_BY_CREATE_ONLY: "a workitem becomes SCHEDULED when it is created only",
    statuses.UPS_FINAL_STATE_NOT_MET: "attributes that the final state needs have no value",
    statuses.UPS_NO_SUCH_WORKITEM: "there is no such workitem here",
    statuses.UPS_UNKNOWN_RECEIVER: "the receiving AE is not known here",
    statuses.UPS_NOT_SCHEDULED: "Procedure Step State is not SCHEDULED",
    statuses.UPS_NOT_IN_PROGRESS: "the workitem is not yet IN PROGRESS",
    statuses.UPS_ALREADY_COMPLETED: "the workitem is already COMPLETED",
    statuses.UPS_PERFORMER_UNREACHABLE: "the performer cannot be contacted: nobody is subscribed",
    statuses.UPS_NOT_APPROPRIATE: "the action is not appropriate for this instance",
}


@dataclass(frozen=True, slots=True)
class Workitem:
    """One workitem. `values` hold everything but the Transaction UID, which never leaves."""

    uid: str
    state: WorkitemState
    values: Values = field(default_factory=dict)
    lock: str = ""  # the Transaction UID of its performer
    at: str = ""  # when it was created; UTC, ISO 8601
    changed_at: str = ""
    creator: str = ""  # AE title or address
    ref: int = 0
    gone: bool = False  # it was here, is final, and its content is deleted

    def text(self, tag: int) -> str:
        """The first text of an attribute."""
        return reading.text(self.values, tag)


@dataclass(frozen=True, slots=True)
class Subscription:
    """An AE that hears of one workitem. A locked one keeps the workitem from being deleted (PS3.4 CC.2.3)."""

    aet: str
    locked: bool
    origin: str = ""  # "": of this workitem; "global", "filtered": came with such a subscription


@dataclass(frozen=True, slots=True)
class GlobalSubscription:
    """An AE that will hear of every workitem, or of those that match `keys`."""

    aet: str
    locked: bool
    filtered: bool = False
    keys: Values = field(default_factory=dict)


class Happening(enum.IntEnum):
    """Event Type ID (PS3.4 Table CC.2.4-1)."""

    STATE = 1
    CANCEL_REQUESTED = 2
    PROGRESS = 3
    SCP_STATUS = 4
    ASSIGNED = 5


@dataclass(frozen=True, slots=True)
class Report:
    """An event as one receiver is told it."""

    id: int  # grows, in the order in which things happened
    aet: str
    workitem: str
    kind: Happening
    values: Values
    at: str


def step(state: WorkitemState, verb: WorkitemVerb, right_key: bool) -> Cell:
    """The cell of the grid, where it lets through or warns. Raises `Refused`."""
    cell = GRID[state, verb, right_key]
    if cell.to is None and statuses.kind_of(cell.status) is not statuses.StatusKind.WARNING:
        raise Refused(cell.status, MEANING[cell.status], hint=f"it is {state}")
    return cell


def missing_for(state: WorkitemState, values: Values) -> tuple[int, ...]:
    """Which attributes a final state still needs (PS3.4 Table CC.2.5-3: P for COMPLETED, X for CANCELED)."""
    sequence, needed = _NEEDED[state]
    items = reading.items(values, sequence)
    if not items:
        return (sequence,)
    return tuple(tag for tag in needed if not all(item.get(tag) for item in items))


_NEEDED: Mapping[WorkitemState, tuple[int, tuple[int, ...]]] = {
    # Performed Station Name Code Sequence, Start and End DateTime, Performed Workitem Code Sequence
    _S.COMPLETED: (PERFORMED, (0x00404028, 0x00404050, 0x00404051, 0x00404019)),
    _S.CANCELED: (PROGRESS, (CANCELLED_AT, DISCONTINUATION_REASONS)),
}

# N-CREATE (PS3.4 Table CC.2.5-3): type 1 of the SCU, and type 2, which this system makes empty where it is missing.
TYPE_1 = (PRIORITY, LABEL, START, READINESS, STATE)
TYPE_2 = (
    WORKLIST_LABEL, PARAMETERS, STATION_NAMES, STATION_CLASSES, STATION_PLACES, WORKITEM_CODES, INPUT,
    PATIENT_NAME, PATIENT_ID, 0x00100021, 0x00100030, 0x00100040, 0x00380010, REFERENCED_REQUESTS,
    STUDY_INSTANCE_UID, PROGRESS, PERFORMED,
)  # fmt: skip
# What only this system writes, or only an action changes.
NOT_SET = frozenset((STATE, TRANSACTION_UID, SOP_CLASS_UID, SOP_INSTANCE_UID, MODIFIED))
# What is told apart when it changes (PS3.4 CC.2.4.3).
ASSIGNMENT = (STATION_NAMES, HUMAN_PERFORMERS)


def claimed_by(item: Workitem, transaction: str) -> bool:
    """Whether a Transaction UID is the key: any will do for one that nobody has claimed."""
    return bool(transaction) and (not item.lock or item.lock == transaction)


def state_report(item: Workitem) -> Values:
    """What event 1 says (PS3.4 Table CC.2.4-1)."""
    found: Values = {STATE: (str(item.state),), READINESS: item.values.get(READINESS, ())}
    for information in reading.items(item.values, PROGRESS):
        for tag in (REASON_FOR_CANCELLATION, DISCONTINUATION_REASONS):
            if information.get(tag) and item.state is _S.CANCELED:
                found[tag] = information[tag]
    return found


# What event 4 says after a restart: subscriptions and workitems are all there.
RESTARTED: Values = {
    SCP_STATUS: ("RESTARTED",),
    SUBSCRIPTIONS_STATUS: ("WARM START",),
    WORKLIST_STATUS: ("WARM START",),
}


def assignment_report(item: Workitem) -> Values:
    """What event 5 says: where and by whom it is to be done."""
    found: Values = {}
    if item.values.get(STATION_NAMES):
        found[STATION_NAMES] = item.values[STATION_NAMES]
    for performer in reading.items(item.values, HUMAN_PERFORMERS):
        for tag in (HUMAN_PERFORMER_CODES, ORGANIZATION):
            if performer.get(tag) and tag not in found:
                found[tag] = performer[tag]
    return found
