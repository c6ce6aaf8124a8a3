"""What the pages of the workflow have in common: who acts, what time it is, how a state and a patient look.

Times of the workflow are the hospital's own, as `model/orders.py` keeps them (`YYYYMMDDHHMMSS`); moments of the record
are UTC. Nobody signs in yet, so whatever is done here is done by the pages (`WHO`); the reason is told beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from vesalius.model.errors import BadRecord
from vesalius.model.orders import By, Patient
from vesalius.model.steps import STEP_GRID, StepState, StepVerb, can
from vesalius.web.context import WebContext

WHO = "web"
DEMO = "DEMO-"  # what the IDs of `vesalius demo` begin with
STAMP = "%Y%m%d%H%M%S"
YEARS = range(1800, 9900)  # nothing is planned outside, and a day more or less is a date still

# What a person may do with a step, in the order of the buttons; moving has a dialog of its own.
DESK = (StepVerb.ARRIVE, StepVerb.PREPARE, StepVerb.LEAVE, StepVerb.MISS, StepVerb.CANCEL)
# What a modality tells by itself (MPPS), and a person where it cannot.
BY_HAND = (StepVerb.START, StepVerb.COMPLETE, StepVerb.DISCONTINUE)
WITH_REASON = frozenset((StepVerb.CANCEL, StepVerb.DISCONTINUE))


def by(ctx: WebContext, why: str = "") -> By:
    """Who acts, now."""
    return By(WHO, ctx.clock.utc(), why)


def now(ctx: WebContext) -> datetime:
    """The time on the clocks of the house."""
    return datetime.fromisoformat(ctx.clock.utc()).astimezone().replace(tzinfo=None, microsecond=0)


def stamp(moment: datetime) -> str:
    """A time as the workflow writes it."""
    return moment.strftime(STAMP)


def moment(text: str) -> datetime:
    """A time as it was written, `YYYYMMDDHHMM` with or without seconds. Raises `BadRecord`."""
    try:
        if not (text.isascii() and text.isdigit() and len(text) in (12, 14)):
            raise ValueError
        found = datetime.strptime(text.ljust(14, "0"), STAMP)
        if found.year not in YEARS:
            raise ValueError
        return found
    except ValueError:
        raise BadRecord("a time is written YYYYMMDDHHMM or YYYYMMDDHHMMSS") from None


def end_of(start: str, minutes: int) -> str:
    """When what begins at `start` ends."""
    return stamp(moment(start) + timedelta(minutes=minutes)) if start else ""


def state_class(state: str) -> str:
    """The class that draws a state: `is-no-show`."""
    return "is-" + str(state).lower().replace(" ", "-")


def verbs(state: StepState) -> tuple[StepVerb, ...]:
    """What a person may do at the desk in a state."""
    return tuple(verb for verb in DESK if can(STEP_GRID, state, verb))


def verbs_by_hand(state: StepState) -> tuple[StepVerb, ...]:
    """What a modality would tell in a state."""
    return tuple(verb for verb in BY_HAND if can(STEP_GRID, state, verb))


@dataclass(frozen=True, slots=True)
class Person:
    """A patient as `banner.html` shows one."""

    ref: int
    name: str
    id: str
    issuer: str
    born: str
    sex: str
    accession: str
    demo: bool
    unidentified: bool
    alerts: tuple[str, ...]


def person_of(patient: Patient, accession: str = "") -> Person:
    """A patient for the banner."""
    return Person(
        patient.ref,
        patient.name,
        patient.identifier.value,
        patient.identifier.issuer,
        patient.birth_date,
        patient.sex,
        accession,
        patient.identifier.value.startswith(DEMO),
        patient.unidentified,
        (*patient.alerts, *patient.allergies),
    )


def family(name: str) -> str:
    """The family name, for the warning that two of one day share it."""
    return name.partition("=")[0].partition("^")[0].strip().casefold()


def shared_names(names: Iterable[tuple[int, str]]) -> set[int]:
    """Which of these patients (number, name) share their family name with another one."""
    found: dict[str, set[int]] = {}
    for ref, name in names:
        if family(name):
            found.setdefault(family(name), set()).add(ref)
    return {ref for refs in found.values() if len(refs) > 1 for ref in refs}
