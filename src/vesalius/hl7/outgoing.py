"""What other systems are told: from events of the workflow to messages.

Theory. `compose` turns a batch of events into drafts, inside the transaction that moves the relay's cursor, so each
event becomes its messages exactly once. It reads the nouns as they are now: a message tells the state of affairs, not
a difference. Which topics a destination gets is its setting; a destination whose name is also that of a source is not
told what it has said itself. Every value is written under our own delimiters and escaped, so nothing that came in as
data goes out as structure (T16). `TOPIC_ROWS` says what
becomes of which event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vesalius.hl7 import replies, values
from vesalius.hl7.candidates import pid
from vesalius.hl7.charsets import encode
from vesalius.hl7.config import Destination, Hl7Settings
from vesalius.hl7.intake import new_control_id
from vesalius.model.errors import NoSuchRecord
from vesalius.model.orders import (
    Code,
    Order,
    Patient,
    PerformedStep,
    Procedure,
    RequestedProcedure,
    RisEvent,
    ScheduledStep,
    Visit,
)
from vesalius.model.steps import OrderState, PerformedState, StepState
from vesalius.ports.hl7 import Draft
from vesalius.ports.ris import RisView
from vesalius.wire.hl7_message import Field, Message, Raw, Segment, build

# Topic, event, message.
TOPIC_ROWS: tuple[tuple[str, str, str], ...] = (
    ("orders", "the state of an order changes", "ORM^O01 or OMI^O23: ORC-1 SC, ORC-5 table 0038, OBR-25 table 0123"),
    (
        "schedule",
        "a step is planned, moved, cancelled, or the patient did not come",
        "SIU^S12, SIU^S13, SIU^S15, SIU^S26",
    ),
    (
        "charges",
        "a performed step (MPPS) is completed",
        "DFT^P03: one FT1 for each performed procedure code; without one, what the catalogue charges for the order",
    ),
    (
        "images",
        "every image that a performed step told of has arrived",
        "ORU^R01: OBR-25 R, OBX with the Study Instance UID and the number of instances",
    ),
)
TOPICS: tuple[str, ...] = tuple(row[0] for row in TOPIC_ROWS)

# ORC-5 (table 0038) and OBR-25 (table 0123).
_STATUS: dict[OrderState, tuple[str, str]] = {
    OrderState.PLACED: ("IP", "O"),
    OrderState.SCHEDULED: ("SC", "S"),
    OrderState.IN_PROGRESS: ("IP", "I"),
    OrderState.COMPLETED: ("CM", "R"),
    OrderState.DISCONTINUED: ("DC", "X"),
    OrderState.CANCELLED: ("CA", "X"),
    OrderState.HELD: ("HD", "O"),
}
# The verbs that a placer's message commands: it knows already.
_COMMANDED = ("cancel", "discontinue", "hold", "release")
_SCHEDULE = {"step-scheduled": "S12", "step-moved": "S13"}
_SCHEDULE_STATES = {StepState.CANCELLED: "S15", StepState.NO_SHOW: "S26"}
_FILLER_STATUS = {"S12": "Booked", "S13": "Booked", "S15": "Cancelled", "S26": "Noshow"}  # table 0278


@dataclass(frozen=True, slots=True)
class _Telling:
    """One message in the making."""

    type: tuple[str, str, str]
    segments: list[Segment]


class Composer:
    """Drafts for one destination."""

    def __init__(self, settings: Hl7Settings, destination: Destination, now: Callable[[], str]) -> None:
        self._settings = settings
        self._destination = destination
        self._now = now

    def __call__(self, view: RisView, events: Sequence[RisEvent]) -> list[Draft]:
        """The messages of a batch of events, in order."""
        drafts = []
        for event in events:
            try:
                telling = self._telling(view, event)
            except NoSuchRecord:
                continue  # what it was about is gone
            if telling is not None:
                drafts.append(self._draft(event, telling))
        return drafts

    def _telling(self, view: RisView, event: RisEvent) -> _Telling | None:
        wants = self._destination.sends
        own = event.who == f"hl7:{self._destination.name}"
        if event.kind == "order-state" and "orders" in wants:
            return None if own and event.detail.get("verb") in _COMMANDED else self._status(view, event)
        if event.kind in (*_SCHEDULE, "step-state") and "schedule" in wants:
            return None if own and event.why.startswith("SIU") else self._appointment(view, event)
        if event.kind == "performed-state" and "charges" in wants:
            return self._charges(view, event)
        if event.kind == "images-complete" and "images" in wants:
            return self._images(view, event)
        return None

    def _draft(self, event: RisEvent, telling: _Telling) -> Draft:
        destination = self._destination
        control_id = new_control_id()
        head = replies.header(
            self._settings,
            telling.type,
            at=self._now(),
            control_id=control_id,
            version=destination.version,
            to=(destination.application, destination.facility),
            charset=destination.charset,
        )
        text = Message([head, *telling.segments]).text()
        raw, used = encode(text, destination.charset)
        if used != destination.charset:
            # What does not fit goes out as UTF-8, and the header says so.
            head = build("MSH", {**_fields(head), 18: used})
            raw = Message([head, *telling.segments]).text().encode("utf_8")
        kind = "^".join(telling.type[:2])
        return Draft(f"{destination.name}:{event.id}", destination.name, control_id, kind, raw)

    # -- topics

    def _status(self, view: RisView, event: RisEvent) -> _Telling:
        order = view.get(Order, event.order)
        code, result = _STATUS[OrderState(event.detail.get("to", order.state))]
        segments = _person(view, order)
        procedures = view.find(RequestedProcedure, order_ref=order.ref)
        for number, procedure in enumerate(procedures, 1):
            steps = view.find(ScheduledStep, procedure_ref=procedure.ref)
            segments.append(_orc(order, "SC", code, event))
            segments.append(_obr(number, order, procedure, result, steps[0] if steps else None))
            if self._destination.order_message == "OMI":
                segments.append(_ipc(order, procedure, steps[0] if steps else None))
        omi = self._destination.order_message == "OMI"
        return _Telling(("OMI", "O23", "OMI_O23") if omi else ("ORM", "O01", "ORM_O01"), segments)

    def _appointment(self, view: RisView, event: RisEvent) -> _Telling | None:
        step = view.get(ScheduledStep, event.step)
        trigger = _SCHEDULE.get(event.kind, "")
        if event.kind == "step-state":
            trigger = _SCHEDULE_STATES.get(StepState(event.detail.get("to", step.state)), "")
        if not trigger:
            return None
        order = view.get(Order, step.order)
        procedure = view.get(RequestedProcedure, step.procedure)
        start = event.detail.get("start", step.start) if trigger in ("S12", "S13") else step.start
        sch: dict[int, Field] = {
            1: step.number,
            2: (step.number, self._settings.application),
            6: ("", step.description),
            9: str(step.minutes),
            10: ("min", "minutes", "ISO"),
            11: ("", "", str(step.minutes), start),
            25: _FILLER_STATUS[trigger],
            26: values.ei(order.placer),
            27: values.ei(order.filler),
        }
        place: Field = (step.stations[0] if step.stations else "", "", step.location)
        segments = [
            build("SCH", sch),
            *_person(view, order),
            build("RGS", {1: "1"}),
            build("AIS", {1: "1", 3: values.cwe(procedure.code), 4: start, 7: str(step.minutes), 8: "min"}),
            build("AIL", {1: "1", 3: place, 4: ("", step.modality)}),
        ]
        return _Telling(("SIU", trigger, "SIU_S12"), segments)

    def _charges(self, view: RisView, event: RisEvent) -> _Telling | None:
        if event.detail.get("to") != PerformedState.COMPLETED:
            return None
        performed = view.first(PerformedStep, uid=event.detail.get("uid", ""))
        if performed is None or not performed.order:
            return None  # nobody to charge it to yet: it is on the list of images without an order
        order = view.get(Order, performed.order)
        codes = _charged(view, performed)
        when = performed.ended or performed.started
        segments = [build("EVN", {1: "P03", 2: replies.moment(event.at)}), *_person(view, order)]
        for number, code in enumerate(codes, 1):
            fields: dict[int, Field] = {
                1: str(number),
                2: f"{event.id}.{number}",
                4: when,
                5: replies.moment(event.at),
                6: "CG",
                7: values.cwe(code),
                10: "1",
                13: (performed.modality, performed.station),
                21: values.xcn(order.ordering) if order.ordering else "",
                23: values.ei(order.filler),
                25: values.cwe(code),
            }
            segments.append(build("FT1", fields))
        return _Telling(("DFT", "P03", "DFT_P03"), segments) if codes else None

    def _images(self, view: RisView, event: RisEvent) -> _Telling | None:
        if not event.order:
            return None
        order = view.get(Order, event.order)
        study = event.detail.get("study", "")
        procedures = view.find(RequestedProcedure, order_ref=order.ref)
        procedure = next((one for one in procedures if one.study_uid == study), procedures[0] if procedures else None)
        if procedure is None:
            return None
        segments = [
            *_person(view, order),
            _orc(order, "SC", _STATUS[order.state][0], event),
            _obr(1, order, procedure, "R", None),
            build("OBX", {1: "1", 2: "HD", 3: ("113014", "DICOM Study", "DCM"), 5: study, 11: "R"}),
            build(
                "OBX",
                {
                    1: "2",
                    2: "NM",
                    3: ("121140", "Number of instances", "99VESALIUS"),
                    5: event.detail.get("images", ""),
                    11: "R",
                },
            ),
        ]
        return _Telling(("ORU", "R01", "ORU_R01"), segments)


def _charged(view: RisView, performed: PerformedStep) -> tuple[Code, ...]:
    """What was performed; where the modality did not say, what the catalogue charges for what was ordered."""
    if performed.codes:
        return performed.codes
    codes: list[Code] = []
    procedures = view.find(RequestedProcedure, order_ref=performed.order)
    steps = {view.get(ScheduledStep, ref).procedure for ref in performed.steps}
    for procedure in procedures:
        if procedure.code is None or (steps and procedure.ref not in steps):
            continue
        known = view.first(Procedure, code=f"{procedure.code.value}\\{procedure.code.scheme}")
        codes += known.charges if known is not None and known.charges else (procedure.code,)
    return tuple(dict.fromkeys(codes))


def _person(view: RisView, order: Order) -> list[Segment]:
    segments = [pid(1, view.get(Patient, order.patient))]
    if order.visit:
        visit = view.get(Visit, order.visit)
        segments.append(build("PV1", {1: "1", 2: visit.kind or "U", 3: visit.location, 19: values.cx(visit.number)}))
    return segments


def _orc(order: Order, control: str, status: str, event: RisEvent) -> Segment:
    fields: dict[int, Field] = {
        1: control,
        2: values.ei(order.placer),
        3: values.ei(order.filler),
        5: status,
        9: replies.moment(event.at),
        12: values.xcn(order.ordering) if order.ordering else "",
    }
    return build("ORC", fields)


def _obr(number: int, order: Order, procedure: RequestedProcedure, result: str, step: ScheduledStep | None) -> Segment:
    fields: dict[int, Field] = {
        1: str(number),
        2: values.ei(order.placer),
        3: values.ei(order.filler),
        4: values.cwe(procedure.code),
        18: order.accession,
        19: procedure.number,
        24: step.modality if step is not None else "",
        25: result,
        36: step.start if step is not None else "",
    }
    return build("OBR", fields)


def _ipc(order: Order, procedure: RequestedProcedure, step: ScheduledStep | None) -> Segment:
    fields: dict[int, Field] = {1: order.accession, 2: procedure.number, 3: procedure.study_uid}
    if step is not None:
        fields |= {4: step.number, 5: step.modality, 9: step.stations[0] if step.stations else ""}
    return build("IPC", fields)


def _fields(segment: Segment) -> dict[int, Field]:
    return {number: Raw(text) for number, text in enumerate(segment.raw, 1)}
