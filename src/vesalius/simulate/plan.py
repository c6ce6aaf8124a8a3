"""The plan of a hospital's day: who comes, what is ordered, what goes wrong; the same for the same seed, always.

Theory. Everything that chance decides is decided here, before the day begins, so that a day can be played again. Each
case has a place of its own (station and time) and a truth: who the patient turns out to be at the end of the day. What
the systems know is compared with that truth by `report.py`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from random import Random

from vesalius.simulate.faults import FAULTS

OPENS, CLOSES, SLOT = 7, 19, 20  # hours, hours, minutes
EXAM_MINUTES = 10
FILLED = 27  # of 36 slots of a station, so that there is room for who is moved


class Kind(enum.StrEnum):
    """What a case is about."""

    SCHEDULED = "scheduled"
    UNSCHEDULED = "unscheduled"  # images without an order
    EMERGENCY = "emergency"  # unidentified, ordered at once, named by an update later
    MERGE_BEFORE = "merge-before"  # a temporary record is merged into the patient's own before the images,
    MERGE_DURING = "merge-during"  # while they are made,
    MERGE_AFTER = "merge-after"  # or after
    CANCELLED = "cancelled"
    MOVED = "moved"  # to another time and, where there is one, another station
    NO_SHOW = "no-show"


NEVER_DONE = (Kind.CANCELLED, Kind.NO_SHOW)
MERGES = {Kind.MERGE_BEFORE: -20, Kind.MERGE_DURING: 3, Kind.MERGE_AFTER: 60}  # minutes from the start
_SHARES = {
    Kind.SCHEDULED: 74, Kind.UNSCHEDULED: 4, Kind.EMERGENCY: 4, Kind.MERGE_BEFORE: 2, Kind.MERGE_DURING: 2,
    Kind.MERGE_AFTER: 2, Kind.CANCELLED: 4, Kind.MOVED: 5, Kind.NO_SHOW: 3,
}  # fmt: skip
CATALOG: dict[str, tuple[tuple[str, str], ...]] = {
    "CT": (("SIMCT1", "CT of the head"), ("SIMCT2", "CT of the chest")),
    "MR": (("SIMMR1", "MR of the brain"), ("SIMMR2", "MR of the knee")),
    "US": (("SIMUS1", "Ultrasound of the abdomen"), ("SIMUS2", "Ultrasound of the thyroid")),
    "CR": (("SIMCR1", "X-ray of the chest"), ("SIMCR2", "X-ray of the hand")),
}
_FAMILIES = (
    "Sample", "Muster", "Müller", "Exemple", "Esempio", "Próba", "Žižka", "Ørsted", "Nobody", "Invented", "Phantom",
)  # fmt: skip
_GIVEN = ("Ada", "Berta", "Émile", "Zoë", "Carl", "Dora", "Ivo", "Jörg", "Lucía", "Rita", "Oskar", "Nils")
_JAPANESE = ("Mihon^Ichirou=見本^一郎=みほん^いちろう", "Rei^Hanako=例^花子=れい^はなこ")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, as a system knows them."""

    id: str
    name: str
    birth_date: str = ""
    sex: str = "O"


@dataclass(frozen=True, slots=True)
class Case:
    """One order (or what should have been one)."""

    number: int
    kind: Kind
    person: Person  # as ordered
    truth: Person  # as they turn out to be
    modality: str
    code: str
    text: str
    station: str
    start: datetime
    placer: str
    accession: str = ""  # where the hospital gives it
    by_appointment: bool = False  # an order without a time, then an appointment (ORM, SIU); else OMI
    fault: str = ""
    before: tuple[str, datetime] | None = None  # station and time before it was moved

    @property
    def is_done(self) -> bool:
        """Whether images are to be made."""
        return self.kind not in NEVER_DONE


@dataclass(frozen=True, slots=True)
class Outage:
    """A partner is away from `begin` to `end`."""

    partner: str  # "archive" | "ris" | "hl7"
    begin: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Day:
    """The whole day."""

    number: int
    seed: int
    on: date
    cases: tuple[Case, ...]
    stations: tuple[tuple[str, str], ...]  # AE title, modality
    outages: tuple[Outage, ...]
    prefix: str  # of every Patient ID of the day

    @property
    def procedures(self) -> list[tuple[str, str, str, int]]:
        """The catalogue: code, name, modality, minutes."""
        modalities = dict.fromkeys(modality for _, modality in self.stations)
        return [(code, text, modality, SLOT) for modality in modalities for code, text in CATALOG[modality]]

    def at(self, hour: int, minute: int = 0) -> datetime:
        """A moment of the day."""
        return datetime(self.on.year, self.on.month, self.on.day, hour, minute)


@dataclass(slots=True)
class _Slots:
    """Free places of one modality, in a random order of chance."""

    free: list[tuple[datetime, str]] = field(default_factory=list)

    def take(self, after: datetime | None = None, not_on: str = "") -> tuple[datetime, str]:
        """The next free one (after a moment, on another station where there is one)."""
        later = [one for one in self.free if after is None or one[0] > after]
        chosen = next((one for one in later if one[1] != not_on), None) or next(iter(later or self.free))
        self.free.remove(chosen)
        return chosen


def make_day(
    number: int, procedures: int, modalities: Sequence[str], seed: int, on: date, *, faults: bool = True,
    merges: bool = True,
) -> Day:  # fmt: skip
    """Plan a day. The same arguments give the same day."""
    random = Random(f"hospital {seed} {number}")
    counts = {one: procedures // len(modalities) for one in modalities}
    for one in modalities[: procedures % len(modalities)]:
        counts[one] += 1
    prefix = f"S{seed}D{number}-"
    empty = Day(number, seed, on, (), (), (), prefix)
    stations: list[tuple[str, str]] = []
    slots: dict[str, _Slots] = {}
    for modality, count in counts.items():
        names = [f"{modality}{n}" for n in range(1, -(-count // FILLED) + 1)]
        stations += [(name, modality) for name in names]
        times = [empty.at(OPENS) + timedelta(minutes=n) for n in range(0, (CLOSES - OPENS) * 60, SLOT)]
        places = [(time, name) for time in times for name in names]
        random.shuffle(places)
        slots[modality] = _Slots(places)
    kinds = _kinds(random, procedures, merges)
    wrong = _faults(random, kinds) if faults else iter(())
    flat = [modality for modality, count in counts.items() for _ in range(count)]
    random.shuffle(flat)
    cases = [
        _case(random, empty, n, kind, modality, slots[modality])
        for n, (kind, modality) in enumerate(zip(kinds, flat, strict=True), 1)
    ]
    plain = [n for n, case in enumerate(cases) if case.kind is Kind.SCHEDULED]
    random.shuffle(plain)
    for n, fault in zip(plain, wrong, strict=False):
        cases[n] = replace(cases[n], fault=fault)
    return replace(empty, cases=tuple(cases), stations=tuple(stations), outages=_outages(empty) if faults else ())


def _kinds(random: Random, count: int, merges: bool) -> list[Kind]:
    """Each kind once, if there is room, then by chance."""
    known = [kind for kind in Kind if merges or kind not in MERGES]
    first = [kind for kind in known if kind is not Kind.SCHEDULED][: max(0, count - 1)]
    rest = random.choices(known, [_SHARES[kind] for kind in known], k=count - len(first))
    kinds = first + rest
    random.shuffle(kinds)
    return kinds


def _faults(random: Random, kinds: Sequence[Kind]) -> Iterator[str]:
    """Each fault once, if there is room, then a fifth of what is scheduled."""
    wanted = max(min(len(FAULTS), kinds.count(Kind.SCHEDULED) - 1), kinds.count(Kind.SCHEDULED) // 5)
    names = list(FAULTS)
    random.shuffle(names)
    for n in range(wanted):
        yield names[n] if n < len(names) else random.choice(names)


def _case(random: Random, day: Day, n: int, kind: Kind, modality: str, slots: _Slots) -> Case:
    start, station = slots.take()
    before = None
    if kind is Kind.MOVED:
        before = (station, start)
        start, station = slots.take(after=start, not_on=station)
    truth = _person(random, f"{day.prefix}{n:04}{random.randrange(10, 99)}")
    person = truth
    if kind is Kind.EMERGENCY:
        person = Person(truth.id, f"Unknown^Emergency {n}", sex=truth.sex)
    elif kind in MERGES:
        person = Person(f"{day.prefix}T{n:04}{random.randrange(10, 99)}", f"Unknown^Temporary {n}", sex=truth.sex)
    code, text = random.choice(CATALOG[modality])
    by_appointment = random.random() < 0.4 and kind not in (Kind.EMERGENCY, Kind.UNSCHEDULED)
    accession = f"H{day.seed % 100:02}{day.number % 1000:03}{n:06}" if random.random() < 0.5 else ""
    return Case(
        n, kind, person, truth, modality, code, text, station, start, f"{day.prefix}O{n:04}", accession,
        by_appointment, before=before,
    )  # fmt: skip


def _person(random: Random, identifier: str) -> Person:
    name = f"{random.choice(_FAMILIES)}^{random.choice(_GIVEN)}"
    if random.random() < 0.08:
        name = random.choice(_JAPANESE)
    born = date(1930, 1, 1) + timedelta(days=random.randrange(365 * 85))
    return Person(identifier, name, born.strftime("%Y%m%d"), random.choice("FM"))


def _outages(day: Day) -> tuple[Outage, ...]:
    """Each partner once for half an hour."""
    return tuple(
        Outage(partner, day.at(hour, minute), day.at(hour, minute) + timedelta(minutes=30))
        for partner, hour, minute in (("archive", 9, 35), ("ris", 12, 5), ("hl7", 14, 25))
    )
