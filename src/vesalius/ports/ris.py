"""The store of the radiology workflow: one unit of work, in one transaction.

Theory. A verb of `ris/` is a function over a `RisWork`: it reads nouns, saves changed ones and announces events, all in
the transaction that whoever calls it has opened. So a message is applied and marked as done at once, a merge moves
everything or nothing, and no change goes unannounced. `Ris.change` opens that transaction and closes it durably; back
ends that have a transaction of their own make a `RisWork` over it (`backends/ris_sql.in_transaction`).

In a `RisWork` whatever `get` answers is held until the transaction ends: two processes never change one record at the
same time. A function handed to `change` may run twice where the database says so; it must have no other effects.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

from vesalius.model.orders import (
    Appointment,
    By,
    Identifier,
    Noun,
    Order,
    Patient,
    RequestedProcedure,
    RisEvent,
    ScheduledStep,
    Visit,
)
from vesalius.model.steps import StepState
from vesalius.ports.coercions import Repair

N = TypeVar("N", bound=Noun)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """What the images of a study say of themselves, as the index answers it (repaired values included)."""

    study: str
    identifier: Identifier
    name: str = ""
    birth_date: str = ""
    sex: str = ""
    accession: str = ""
    date: str = ""
    time: str = ""
    description: str = ""
    modalities: tuple[str, ...] = ()
    stations: tuple[str, ...] = ()  # Station Name and calling AE titles
    instances: int = 0
    referring: str = ""
    coerced: bool = False


@dataclass(frozen=True, slots=True)
class WorklistRow:
    """A scheduled step with everything above it."""

    step: ScheduledStep
    procedure: RequestedProcedure
    order: Order
    patient: Patient
    visit: Visit | None


@dataclass(frozen=True, slots=True)
class WorklistWanted:
    """What narrows a worklist down in the database: a superset of what matches may come."""

    states: tuple[StepState, ...]
    begin: str = ""  # YYYYMMDDHHMMSS, inclusive
    end: str = ""
    stations: tuple[str, ...] = ()  # any of these AE titles; none: all
    scope: tuple[str, ...] | None = None  # only steps of these stations; None: no limit
    modality: str = ""
    patient_id: str = ""
    accession: str = ""
    procedure: str = ""  # Requested Procedure ID
    step: str = ""  # Scheduled Procedure Step ID
    study: str = ""
    names: tuple[str, ...] = ()  # folded prefixes of the patient's name, any of these


class Match(enum.Enum):
    """How a column is compared."""

    IN = "any of the values"
    PREFIX = "begins so"
    CONTAINS = "has this in it"
    FROM = "this or later"
    BELOW = "before this"


@dataclass(frozen=True, slots=True)
class Term:
    """A column that nouns are looked up by (`id` is one of every kind), compared; all but IN take one value."""

    column: str
    match: Match
    values: tuple[str | int, ...]


# All of these hold, each by any of its terms.
Where: TypeAlias = Sequence[Sequence[Term]]


class RisView(Protocol):
    """Looking at the workflow. Raises `IndexUnavailable`."""

    def get(self, kind: type[N], ref: int) -> N:
        """One noun by its number. Raises `NoSuchRecord`."""
        ...

    def find(
        self, kind: type[N], *, limit: int = 0, newest: bool = False, before: int = 0, **equal: str | int
    ) -> list[N]:
        """Nouns by the columns they are looked up by (`backends/ris_rows.py`), in order of their numbers.

        `before`: only those with a lower number.
        """
        ...

    def first(self, kind: type[N], **equal: str | int) -> N | None:
        """The first of `find`, or None."""
        ...

    def page(
        self, kind: type[N], where: Where, *, after: int = 0, limit: int = 0, changed: tuple[str, str] = ("", "")
    ) -> list[N]:
        """Nouns in the order of their numbers, from behind `after`; not held, in a `RisWork` either.

        `changed`: patients, orders and steps that last changed from the first moment on and before the second one.
        """
        ...

    def count(self, kind: type[Noun], where: Where, *, changed: tuple[str, str] = ("", "")) -> int:
        """How many nouns `page` would answer in all."""
        ...

    def last_changes(self, kind: type[Noun], refs: Sequence[int]) -> dict[int, str]:
        """When something last became of these patients, orders or steps (UTC), of those of which anything did."""
        ...

    def patients(self, *, text: str = "", birth_date: str = "", before: int = 0, limit: int = 50) -> list[Patient]:
        """Patients whose name begins so or has such a word, or whose ID begins so; newest first; none merged away."""
        ...

    def orders(self, *, states: Sequence[str] = (), patient: int = 0, limit: int = 100) -> list[Order]:
        """Orders, newest first."""
        ...

    def steps(
        self, *, begin: str = "", end: str = "", stations: Sequence[str] = (), states: Sequence[str] = (),
        limit: int = 10_000,
    ) -> list[ScheduledStep]:  # fmt: skip
        """Scheduled steps that start in [begin, end), in order of their start."""
        ...

    def appointments(self, station: str, begin: str, end: str) -> list[Appointment]:
        """Active appointments of a station that overlap [begin, end)."""
        ...

    def worklist(
        self, wanted: WorklistWanted, *, limit: int = 0, after: tuple[str, int] = ("", 0)
    ) -> list[WorklistRow]:
        """Steps with what is above them, in order of (start, number), from behind `after`."""
        ...

    def studies(self, uids: Iterable[str]) -> dict[str, StudyFacts]:
        """What the index knows of these studies."""
        ...

    def studies_of(self, identifier: Identifier, *, issuers: Sequence[str] = ()) -> list[StudyFacts]:
        """The studies under a Patient ID, whose issuer is that of `identifier` or one of `issuers`."""
        ...

    def kept(self, sop_instances: Sequence[str]) -> set[str]:
        """Which of these instances the archive has."""
        ...

    def missing(self, performed: int, *, limit: int = 1000) -> list[str]:
        """Instances that a performed step told of and that have not arrived."""
        ...

    def expecting(self, sop_instances: Sequence[str]) -> dict[int, int]:
        """Performed step -> how many of these instances it waits for."""
        ...

    def events(self, since: int, *, limit: int = 1000) -> list[RisEvent]:
        """What became of the workflow after the event `since`, oldest first."""
        ...

    def history(self, *, patient: int = 0, order: int = 0, limit: int = 1000) -> list[RisEvent]:
        """The events of one patient or order, oldest first."""
        ...

    def histories(self, orders: Sequence[int]) -> list[RisEvent]:
        """The events of many orders, oldest first."""
        ...

    def last_event(self) -> int:
        """The number of the newest event; 0 where there is none."""
        ...


class RisWork(RisView, Protocol):
    """Changing the workflow, inside one transaction."""

    def add(self, noun: N) -> N:
        """Keep a new noun; answers it with its number. Raises `DuplicateRecord`."""
        ...

    def save(self, noun: N) -> N:
        """Keep what became of a noun."""
        ...

    def remove(self, noun: Noun) -> None:
        """Forget a noun."""
        ...

    def announce(
        self,
        kind: str,
        by: By,
        *,
        patient: int = 0,
        order: int = 0,
        step: int = 0,
        detail: Mapping[str, str] | None = None,
        **more: str,
    ) -> None:
        """Write an event, in the order of the feed."""
        ...

    def next_number(self, name: str) -> int:
        """The next number of a counter; from 1; never the same again once this transaction has committed."""
        ...

    def claim_accession(self, number: str) -> bool:
        """Remember an accession number; False where it was seen before."""
        ...

    def expect(self, performed: int, sop_instances: Sequence[str]) -> int:
        """Wait for these instances in place of those named before; how many of them are here already."""
        ...

    def arrived(self, sop_instances: Sequence[str]) -> None:
        """These instances are here."""
        ...

    def coerce(self, repair: Repair, values: Mapping[str, Mapping[int, str]]) -> int:
        """See `Coercions.add`, in this transaction."""
        ...

    def undo(self, repair: int, by: By) -> Sequence[str]:
        """See `Coercions.undo`, in this transaction."""
        ...


class Ris(Protocol):
    """The store. Thread-safe; everything blocks."""

    def look(self, work: Callable[[RisView], T]) -> T:
        """Read."""
        ...

    def change(self, work: Callable[[RisWork], T]) -> T:
        """Run `work` in one durable transaction."""
        ...
