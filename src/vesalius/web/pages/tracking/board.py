"""How far each step of a day has come: what is planned, what the modality told, what arrived, what is guaranteed.

Theory. Six phases stand in a row, and a step is in the last one that is true of it:

    scheduled > arrived > in the scanner > done > images complete > committed

The first four are the state of the scheduled step. *Images complete* is the comparison of what the modality told of
with what arrived (`PerformedStep.images`). *Committed* is never assumed: every instance that the archive keeps of the
study must have been promised to somebody (storage commitment, PS3.4 annex J), and where the modality told how many
there are, all must be here. When a phase was reached is taken from the events of the order.

A performed step that was never planned has a row of its own. What is wrong is said with a word and a sign: late,
images missing, given up, not planned.
"""

from __future__ import annotations

import enum
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from vesalius.model.errors import NoSuchRecord
from vesalius.model.orders import (
    Images,
    Link,
    Order,
    Patient,
    PerformedStep,
    Priority,
    RisEvent,
    ScheduledStep,
    Station,
)
from vesalius.model.steps import PerformedState, StepState
from vesalius.ports.ris import Match, RisView, StudyFacts, Term, WorklistRow, WorklistWanted
from vesalius.ris.performed_steps import values_of
from vesalius.web.pages import ris_words
from vesalius.web.pages.words import person

MOST = 2000
LATE = 5  # minutes behind the plan from which a patient who is not in the scanner is late
_UNPLANNED = 500  # of the newest performed steps, to find those of the day that nobody planned
_PATIENT_NAME = 0x00100010
_PATIENT_ID = 0x00100020
_STATES = (StepState.SCHEDULED, StepState.ARRIVED, StepState.READY, StepState.STARTED, StepState.COMPLETED,
           StepState.DISCONTINUED)  # fmt: skip
Promised = Callable[[Sequence[str]], Mapping[str, int]]


class Phase(enum.StrEnum):
    """How far a step has come."""

    SCHEDULED = "scheduled"
    ARRIVED = "arrived"
    SCANNING = "scanning"
    DONE = "done"
    IMAGES = "images"
    COMMITTED = "committed"


PHASES = tuple(Phase)
_OF_STATE = {
    StepState.SCHEDULED: Phase.SCHEDULED,
    StepState.ARRIVED: Phase.ARRIVED,
    StepState.READY: Phase.ARRIVED,
    StepState.STARTED: Phase.SCANNING,
    StepState.COMPLETED: Phase.DONE,
    StepState.DISCONTINUED: Phase.DONE,
}


class Alert(enum.StrEnum):
    """What somebody should look at."""

    MISSING = "missing"  # images that the modality told of did not come
    LATE = "late"
    GIVEN_UP = "given-up"
    UNPLANNED = "unplanned"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be shown."""

    day: datetime
    modality: str = ""
    department: str = ""
    initials: bool = False
    today: bool = False  # the day is today, whenever that is

    def address(self, **changes: object) -> dict[str, object]:
        """The query of an address that shows this, with changes."""
        names = "initials" if self.initials else ""
        day = "" if self.today else f"{self.day:%Y-%m-%d}"
        asked = {"day": day, "modality": self.modality, "department": self.department, "names": names}
        return asked | changes


@dataclass(frozen=True, slots=True)
class Cell:
    """A phase in the row of a step."""

    phase: Phase
    at: str = ""  # HH:MM, where it is known
    reached: bool = False
    current: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One step."""

    step: int  # 0: performed, and never planned
    order: int
    start: str
    name: str  # PN, or initials
    patient_id: str
    procedure: str
    modality: str
    station: str
    department: str
    priority: Priority
    phase: Phase
    since: str  # UTC: since when it is in this phase; "" where that is not known
    minutes: int  # in this phase; of a scheduled step: behind the plan, before it where negative
    cells: tuple[Cell, ...]
    alerts: frozenset[Alert]
    expected: int
    arrived: int
    committed: int
    study: str
    accession: str
    key: str

    @property
    def finished(self) -> bool:
        """Whether nothing more is to come of it."""
        return self.phase is Phase.COMMITTED


@dataclass(frozen=True, slots=True)
class Board:
    """All rows, as of event `last`."""

    rows: tuple[Row, ...]
    counts: tuple[tuple[Phase, int], ...]
    late: int
    missing: int
    off: int  # cancelled, or did not come
    modalities: tuple[str, ...]
    departments: tuple[str, ...]
    last: int


@dataclass(slots=True)
class _Facts:
    """What is known beside the plan, by order and study."""

    performed: Mapping[int, list[PerformedStep]] = field(default_factory=dict)
    events: Mapping[int, list[RisEvent]] = field(default_factory=dict)
    linked: Mapping[int, list[Link]] = field(default_factory=dict)
    studies: Mapping[str, StudyFacts] = field(default_factory=dict)
    promised: Mapping[str, int] = field(default_factory=dict)
    stations: Mapping[str, Station] = field(default_factory=dict)


def board_of(view: RisView, wanted: Wanted, now: datetime, promised: Promised) -> Board:
    """The board of a day. Blocks."""
    last = view.last_event()
    begin, end = f"{wanted.day:%Y%m%d}000000", f"{wanted.day:%Y%m%d}235959"
    planned = view.worklist(WorklistWanted(_STATES, begin, end), limit=MOST)
    stations = {one.aet: one for one in view.find(Station)}
    unplanned = [one for one in view.find(PerformedStep, newest=True, limit=_UNPLANNED)
                 if not one.steps and one.started[:8] == begin[:8]]  # fmt: skip
    facts = _facts(view, planned, unplanned, stations, promised)
    rows = [_planned(row, facts, wanted, now) for row in planned]
    rows += [_unplanned(view, one, facts, wanted, now) for one in unplanned]
    modalities = tuple(sorted({row.modality for row in rows if row.modality}))
    departments = tuple(sorted({row.department for row in rows if row.department}))
    shown = sorted(
        (row for row in rows if wanted.modality in ("", row.modality) and wanted.department in ("", row.department)),
        key=lambda row: (row.finished, row.start, row.key),
    )
    phases = Counter(row.phase for row in shown)
    off = view.count(ScheduledStep, [
        [Term("state", Match.IN, (StepState.CANCELLED.value, StepState.NO_SHOW.value))],
        [Term("start", Match.FROM, (begin,))], [Term("start", Match.BELOW, (f"{begin[:8]}9",))],
    ])  # fmt: skip
    return Board(
        tuple(shown),
        tuple((phase, phases[phase]) for phase in PHASES),
        sum(Alert.LATE in row.alerts for row in shown),
        sum(Alert.MISSING in row.alerts for row in shown),
        off,
        modalities,
        departments,
        last,
    )


def _facts(
    view: RisView, planned: Sequence[WorklistRow], unplanned: Sequence[PerformedStep], stations: Mapping[str, Station],
    promised: Promised,
) -> _Facts:  # fmt: skip
    begun = [row for row in planned if row.step.state is not StepState.SCHEDULED]
    orders = tuple(dict.fromkeys(row.order.ref for row in begun))
    performed: dict[int, list[PerformedStep]] = defaultdict(list)
    linked: dict[int, list[Link]] = defaultdict(list)
    if orders:
        where = [[Term("order_ref", Match.IN, orders)]]
        for one in view.page(PerformedStep, where):
            performed[one.order].append(one)
        for link in view.page(Link, where):
            linked[link.order].append(link)
    events: dict[int, list[RisEvent]] = defaultdict(list)
    for event in view.histories(orders):
        events[event.order].append(event)
    uids = {row.procedure.study_uid for row in begun} | {one.study_uid for one in unplanned}
    uids |= {link.study for links in linked.values() for link in links}
    studies = view.studies(uid for uid in uids if uid)
    # Only where images are here can any have been promised.
    return _Facts(performed, events, linked, studies, promised(list(studies)), stations)


def _planned(row: WorklistRow, facts: _Facts, wanted: Wanted, now: datetime) -> Row:
    step = row.step
    told = [one for one in facts.performed.get(row.order.ref, ()) if step.ref in one.steps]
    uids = dict.fromkeys([row.procedure.study_uid, *(one.study_uid for one in told)])
    uids |= dict.fromkeys(
        link.study for link in facts.linked.get(row.order.ref, ()) if link.procedure in (0, row.procedure.ref)
    )
    phase, alerts, counts = _judge(_OF_STATE[step.state], told, [uid for uid in uids if uid in facts.studies], facts)
    if step.state is StepState.DISCONTINUED:
        alerts |= {Alert.GIVEN_UP}
    times = _times(facts.events.get(row.order.ref, ()), step.ref, uids)
    behind = _minutes(ris_words.moment(step.start), now) if step.start else 0
    if phase in (Phase.SCHEDULED, Phase.ARRIVED) and behind >= LATE:
        alerts |= {Alert.LATE}
    aet = step.stations[0] if step.stations else ""
    station = facts.stations.get(aet)
    name, patient_id = _called(row.patient, wanted)
    since = times.get(phase, "")
    return Row(
        step.ref, row.order.ref, step.start, name, patient_id, row.procedure.description or step.description,
        step.modality, (station.name if station else "") or aet, station.department if station else "",
        row.order.priority, phase, since, behind if phase is Phase.SCHEDULED else _since(since, now),
        _cells(phase, times, step.start[8:12]), frozenset(alerts), counts.expected, counts.arrived, counts.committed,
        next((uid for uid in uids if uid in facts.studies), ""), row.order.accession, f"s{step.ref}",
    )  # fmt: skip


def _unplanned(view: RisView, told: PerformedStep, facts: _Facts, wanted: Wanted, now: datetime) -> Row:
    base = Phase.SCANNING if told.state is PerformedState.IN_PROGRESS else Phase.DONE
    uids = [uid for uid in (told.study_uid,) if uid in facts.studies]
    phase, alerts, counts = _judge(base, [told], uids, facts)
    alerts |= {Alert.UNPLANNED}
    if told.state is PerformedState.DISCONTINUED:
        alerts |= {Alert.GIVEN_UP}
    accession = ""
    try:
        patient = view.get(Patient, told.patient) if told.patient else None
        accession = view.get(Order, told.order).accession if told.order else ""
    except NoSuchRecord:
        patient = None
    if patient is not None:
        name, patient_id = _called(patient, wanted)
    else:
        values = values_of(told)
        said = [str((values.get(tag) or ("",))[0] or "") for tag in (_PATIENT_NAME, _PATIENT_ID)]
        name, patient_id = (initials(said[0]), "") if wanted.initials else (said[0], said[1])
    times = {Phase.SCANNING: told.started[8:12]}
    if told.state is not PerformedState.IN_PROGRESS:
        times[Phase.DONE] = told.ended[8:12]
    station = facts.stations.get(told.station)
    began = ris_words.moment(told.started) if len(told.started) in (12, 14) else now
    return Row(
        0, told.order, told.started, name, patient_id, told.description, told.modality,
        (station.name if station else "") or told.station, station.department if station else "", Priority.ROUTINE,
        phase, "", _minutes(began, now) if phase is Phase.SCANNING else 0,
        tuple(Cell(each, _clock(times.get(each, "")), _is_reached(each, phase), each is phase) for each in PHASES),
        frozenset(alerts), counts.expected, counts.arrived, counts.committed, uids[0] if uids else "", accession,
        f"p{told.ref}",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Counts:
    expected: int
    arrived: int
    committed: int


def _judge(
    base: Phase, told: Sequence[PerformedStep], studies: Sequence[str], facts: _Facts
) -> tuple[Phase, set[Alert], _Counts]:
    """How far it has come beyond the state of the step."""
    here = sum(facts.studies[uid].instances for uid in studies)
    promised = sum(min(facts.promised.get(uid, 0), facts.studies[uid].instances) for uid in studies)
    expected = sum(one.expected for one in told)
    arrived = sum(min(one.arrived, one.expected) for one in told) if expected else here
    counts = _Counts(expected, arrived, promised)
    if any(one.images is Images.MISSING for one in told):
        return base, {Alert.MISSING}, counts
    if base is not Phase.DONE:
        return base, set(), counts
    complete = bool(expected) and all(one.images is Images.COMPLETE for one in told if one.expected)
    if here and promised >= here and (complete or not expected):
        return Phase.COMMITTED, set(), counts
    return (Phase.IMAGES if complete else base), set(), counts


_REACHES = {"images-complete": Phase.IMAGES, "images-committed": Phase.COMMITTED}


def _times(events: Iterable[RisEvent], step: int, studies: Iterable[str]) -> dict[Phase, str]:
    """When each phase was reached last, UTC."""
    known = set(studies)
    found: dict[Phase, str] = {}
    for event in events:
        if event.kind == "step-state" and event.step == step:
            state = event.detail.get("to", "")
            phase = _OF_STATE.get(StepState(state)) if state in _NAMES else None
            if phase is not None and not (phase is Phase.ARRIVED and event.detail.get("from") == StepState.ARRIVED):
                found[phase] = event.at
        elif event.kind in _REACHES and (event.step == step or event.detail.get("study", "") in known):
            found[_REACHES[event.kind]] = event.at
    return found


_NAMES = frozenset(state.value for state in StepState)


def _cells(phase: Phase, times: Mapping[Phase, str], planned: str) -> tuple[Cell, ...]:
    texts = {each: _local(at) for each, at in times.items()} | {Phase.SCHEDULED: _clock(planned)}
    return tuple(
        Cell(each, texts.get(each, "") if _is_reached(each, phase) else "", _is_reached(each, phase), each is phase)
        for each in PHASES
    )


def _is_reached(phase: Phase, current: Phase) -> bool:
    return PHASES.index(phase) <= PHASES.index(current)


def _called(patient: Patient, wanted: Wanted) -> tuple[str, str]:
    return (initials(patient.name), "") if wanted.initials else (patient.name, patient.identifier.value)


def initials(name: str) -> str:
    """`Müller^Käthe` as `K. M.`; of the alphabetic group, where there is one."""
    shown = person(name).main
    family, _, given = shown.partition(", ")
    return " ".join(f"{part.strip()[0].upper()}." for part in (given, family) if part.strip())


def _clock(text: str) -> str:
    return f"{text[:2]}:{text[2:4]}" if len(text) >= 4 else ""


def _local(at: str) -> str:
    try:
        return datetime.fromisoformat(at).astimezone().strftime("%H:%M")
    except ValueError:
        return ""


def _since(at: str, now: datetime) -> int:
    if not at:
        return 0
    return max(0, _minutes(datetime.fromisoformat(at).astimezone().replace(tzinfo=None), now))


def _minutes(begin: datetime, end: datetime) -> int:
    return int((end - begin).total_seconds() // 60)
