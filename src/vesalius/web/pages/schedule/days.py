"""The schedule as it is drawn: columns of stations (a day) or of days (a week), and what stands in them.

Theory. A column is a grid of rows of `ROW` minutes, from the first to the last hour that anything is open or planned.
What stands in it is placed by classes (`r12` begins in row 12, `s4` takes four), since the policy of the pages forbids
styles in a template; `static/schedule-rows.css` has them all, and a test holds the file against these constants. A time
between two rows is drawn in the row that it falls into and told exactly in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from vesalius.model.orders import Appointment, Order, Patient, RequestedProcedure, ScheduledStep, Station
from vesalius.model.steps import OrderState, StepState
from vesalius.ports.ris import RisView, WorklistRow, WorklistWanted
from vesalius.ris import catalogue
from vesalius.web.pages import ris_words

ROW = 5  # minutes
ROWS = 24 * 60 // ROW
_FIRST, _LAST = 7, 18  # hours that are always shown
# A time is held by these; who did not come or was cancelled is told of below the grid.
HELD = tuple(state for state in StepState if state not in (StepState.CANCELLED, StepState.NO_SHOW))
_WAITING = 60  # of what waits for a time, at most


@dataclass(frozen=True, slots=True)
class Block:
    """Something in a column: a step, a blocked time, or a time when the station is closed."""

    kind: str  # "step" | "blocked" | "closed"
    row: int  # 1 is the first of the grid
    span: int
    start: str = ""
    end: str = ""
    note: str = ""
    ref: int = 0
    card: Card | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """A step with what is told of it at a glance."""

    step: ScheduledStep
    procedure: RequestedProcedure
    order: Order
    patient: Patient
    end: str
    images: bool

    @property
    def state_class(self) -> str:
        """See `ris_words.state_class`."""
        return ris_words.state_class(self.step.state)

    @property
    def movable(self) -> bool:
        """Whether it may be given another time."""
        return self.step.state in (StepState.SCHEDULED, StepState.ARRIVED, StepState.READY)


@dataclass(frozen=True, slots=True)
class Column:
    """A station on a day."""

    station: Station
    day: str
    blocks: tuple[Block, ...]
    planned: int
    now_row: int  # 0: not today

    @property
    def date(self) -> datetime:
        """The day."""
        return datetime.strptime(self.day, "%Y%m%d")


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for a time: a procedure without a step, or a step that was missed."""

    order: Order
    procedure: RequestedProcedure
    patient: Patient
    modality: str
    minutes: int
    step: ScheduledStep | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """All of it, as of event `last`."""

    columns: tuple[Column, ...]
    first: int  # hours
    hours: tuple[int, ...]
    stations: tuple[Station, ...]  # all in use, for the filters
    waiting: tuple[Waiting, ...]
    last: int

    @property
    def count(self) -> int:
        """Steps that are planned in what is shown."""
        return sum(column.planned for column in self.columns)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be shown."""

    day: datetime
    week: bool = False
    station: str = ""
    modality: str = ""
    department: str = ""

    @property
    def days(self) -> tuple[str, ...]:
        """The days, `YYYYMMDD`; a week begins with Monday."""
        first = self.day - timedelta(days=self.day.weekday()) if self.week else self.day
        return tuple((first + timedelta(days=n)).strftime("%Y%m%d") for n in range(7 if self.week else 1))

    def query(self, **changes: str) -> dict[str, str]:
        """The address of this, or of something beside it."""
        told = {
            "day": self.day.strftime("%Y-%m-%d"),
            "view": "week" if self.week else "",
            "station": self.station,
            "modality": self.modality,
            "department": self.department,
        }
        return told | changes

    def shifted(self, by: int) -> str:
        """The day before or after; of a week, the week."""
        return (self.day + timedelta(days=by * (7 if self.week else 1))).strftime("%Y-%m-%d")


def board(view: RisView, wanted: Wanted, now: datetime) -> Board:
    """The schedule. Blocks."""
    stations = sorted((one for one in view.find(Station) if one.active), key=lambda one: (one.modality, one.aet))
    shown = _shown(stations, wanted)
    days = wanted.days
    cards = _cards(view, shown, days)
    columns = []
    first, last = _hours(view, shown, days, cards)
    for station in shown:
        for day in days:
            here = [card for card in cards if card.step.stations[:1] == (station.aet,) and card.step.start[:8] == day]
            columns.append(_column(view, station, day, here, first, last, now))
    return Board(
        tuple(columns), first, tuple(range(first, last)), tuple(stations), tuple(_waiting(view)), view.last_event()
    )


def _shown(stations: Sequence[Station], wanted: Wanted) -> list[Station]:
    found = [
        one for one in stations if wanted.modality in ("", one.modality) and wanted.department in ("", one.department)
    ]
    if not wanted.week:
        return [one for one in found if wanted.station in ("", one.aet)]
    # A week is that of one station.
    return [one for one in stations if one.aet == wanted.station] or found[:1]


def _cards(view: RisView, stations: Sequence[Station], days: Sequence[str]) -> list[Card]:
    if not stations:
        return []
    rows = view.worklist(
        WorklistWanted(HELD, days[0] + "000000", days[-1] + "235959", tuple(one.aet for one in stations))
    )
    here = view.studies(row.procedure.study_uid for row in rows)
    return [card_of(row, row.procedure.study_uid in here) for row in rows]


def card_of(row: WorklistRow, images: bool) -> Card:
    """A row of the worklist as it is told of."""
    end = ris_words.end_of(row.step.start, row.step.minutes)
    return Card(row.step, row.procedure, row.order, row.patient, end, images)


def _hours(view: RisView, stations: Sequence[Station], days: Sequence[str], cards: Sequence[Card]) -> tuple[int, int]:
    first, last = _FIRST, _LAST
    for station in stations:
        for hours in station.hours:
            first, last = min(first, int(hours.begin[:2])), max(last, -(-int(hours.end) // 100))
    for card in cards:
        first = min(first, int(card.step.start[8:10]))
        same = card.end[:8] == card.step.start[:8]
        last = max(last, int(card.end[8:10]) + (card.end[10:] > "0000") if same else 24)
    return first, min(last, 24)


def _row(moment: str, day: str, first: int, last: int) -> int:
    """The row that a time of a day falls into, from 0; the ends of the grid for what is outside."""
    if moment[:8] < day:
        return 0
    rows = (last - first) * 60 // ROW
    if moment[:8] > day:
        return rows
    return max(0, min(rows, (int(moment[8:10]) * 60 + int(moment[10:12]) - first * 60) // ROW))


def _column(
    view: RisView, station: Station, day: str, cards: Sequence[Card], first: int, last: int, now: datetime
) -> Column:
    rows = (last - first) * 60 // ROW
    blocks = [Block("closed", begin + 1, end - begin) for begin, end in _closed(station, day, first, rows)]
    held = view.appointments(station.aet, day + "000000", day + "235959")
    blocks += [_blocked(one, day, first, last) for one in held if not one.step]
    for card in cards:
        begin = _row(card.step.start, day, first, last)
        span = max(1, -(-card.step.minutes // ROW))
        blocks.append(
            Block("step", begin + 1, min(span, rows - begin), card.step.start, card.end, "", card.step.ref, card)
        )
    here = now.strftime("%Y%m%d") == day
    row = _row(ris_words.stamp(now), day, first, last) + 1 if here else 0
    return Column(station, day, tuple(blocks), len(cards), row if row <= rows else 0)


def _blocked(held: Appointment, day: str, first: int, last: int) -> Block:
    begin, end = _row(held.begin, day, first, last), _row(held.end, day, first, last)
    return Block("blocked", begin + 1, max(1, end - begin), held.begin, held.end, held.note, held.ref)


def _closed(station: Station, day: str, first: int, rows: int) -> list[tuple[int, int]]:
    """The rows, from and to, when a station does not work."""
    if day in station.closed:
        return [(0, rows)]
    if not station.hours:
        return []
    weekday = str(datetime.strptime(day, "%Y%m%d").isoweekday())
    spans = sorted(
        (_minutes(hours.begin) // ROW - first * 60 // ROW, _minutes(hours.end) // ROW - first * 60 // ROW)
        for hours in station.hours
        if weekday in hours.days
    )
    found, at = [], 0
    for begin, end in spans:
        if begin > at:
            found.append((at, begin))
        at = max(at, end)
    if at < rows:
        found.append((at, rows))
    return found


def _minutes(text: str) -> int:
    return int(text[:2]) * 60 + int(text[2:4])


def _waiting(view: RisView) -> list[Waiting]:
    """Orders without a time, and steps whose patient did not come, the newest first."""
    found = []
    for order in view.orders(states=(OrderState.PLACED,), limit=_WAITING):
        patient = view.get(Patient, order.patient)
        steps = view.find(ScheduledStep, order_ref=order.ref)
        planned = {step.procedure for step in steps if step.state is not StepState.CANCELLED}
        for step in steps:
            if step.state is StepState.NO_SHOW:
                procedure = view.get(RequestedProcedure, step.procedure)
                found.append(Waiting(order, procedure, patient, step.modality, step.minutes, step))
        for procedure in view.find(RequestedProcedure, order_ref=order.ref):
            if procedure.ref not in planned:
                modality, minutes = how_long(view, procedure)
                found.append(Waiting(order, procedure, patient, modality, minutes))
    return found[:_WAITING]


def how_long(view: RisView, procedure: RequestedProcedure) -> tuple[str, int]:
    """Modality and minutes of a procedure, from the catalogue; 15 minutes of whatever where it is not in it."""
    known = catalogue.procedure_by_code(view, procedure.code.value, procedure.code.scheme) if procedure.code else None
    return (known.modality, known.minutes) if known else ("", 15)
