"""A day of a hospital, played: the information system speaks, scanners work, partners fall out, and it all goes on.

Theory. Actors share a clock and nothing else: the information system sends its messages in order and never the next one
before the last was acknowledged; each scanner asks its worklist and does what is due; the weather cuts the lines to
partners and mends them. What an actor cannot do now it does later, as people and machines do. Nobody looks into the
archive: what came of the day is asked afterwards, over the same interfaces (`report.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from vesalius.dimse import c_echo
from vesalius.dimse.contexts import for_verification
from vesalius.dimse.errors import OperationFailed
from vesalius.hl7.client import Fate, MllpClient
from vesalius.hl7.config import Destination
from vesalius.model import reading
from vesalius.model.entities import Values
from vesalius.model.errors import ClassNotSupported, PeerUnreachable
from vesalius.simulate.clock import DayClock
from vesalius.simulate.exams import Exam
from vesalius.simulate.habits import Habits, PowerCut, Told
from vesalius.simulate.items import is_due, typed
from vesalius.simulate.lines import AWAY, Listener, Partners
from vesalius.simulate.messages import Errand, errands, new_control_id
from vesalius.simulate.phantom import Device
from vesalius.simulate.plan import EXAM_MINUTES, Case, Day, Kind
from vesalius.simulate.scanner import Desk, Scanner

LOOK = timedelta(minutes=10)  # between two looks at a worklist with nothing due
RETRY = timedelta(minutes=5)  # after a partner was not there
REAL_RETRY = 0.5  # seconds
PATIENCE = 300.0  # seconds that a partner may be away without its line being cut
PLACER, ACCESSION, PATIENT_ID = 0x00402016, 0x00080050, 0x00100020


@dataclass(slots=True)
class Spoken:
    """What became of the messages."""

    sent: int = 0
    accepted: int = 0
    retried: int = 0
    refused: list[tuple[int, str, str]] = field(default_factory=list)  # case, message, answer


@dataclass(slots=True)
class Played:
    """What happened."""

    exams: dict[int, list[Exam]] = field(default_factory=dict)  # by case
    spoken: Spoken = field(default_factory=Spoken)
    strange: list[str] = field(default_factory=list)  # what should not have been
    left: int = 0  # examinations with something still to do
    power_cuts: int = 0
    away: int = 0  # how often a partner was not there


@dataclass(frozen=True, slots=True)
class Equipment:
    """What the hospital has."""

    partners: Partners  # lines of their own, or an outage of one partner is one of the other, too
    his: Destination | None  # where HL7 goes; None: nobody listens
    folder: Path
    size: int = 32
    slices: int = 6
    connect_seconds: float = 10.0


class Hospital:
    """One day."""

    def __init__(
        self,
        day: Day,
        equipment: Equipment,
        clock: DayClock,
        *,
        habits: Habits | None = None,
        told: Callable[[Told], None] = lambda _: None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Build it; `play` begins the day. `progress` is called with 1 for each case that is done."""
        self.day = day
        self.played = Played()
        self.desk = Desk()
        self.listener = Listener(self.desk)
        self._equipment = equipment
        self._clock = clock
        self._habits = habits or Habits(minutes=EXAM_MINUTES)
        self._tell = told
        self._progress = progress
        self._cases = {case.number: case for case in day.cases}
        self._waiting = {case.number for case in day.cases if case.is_done}
        self._studies: dict[int, str] = {}  # of each case that was done
        self._his_up = True
        self._away_since: dict[str, float] = {}

    async def play(self, patience: float) -> Played:
        """From the first message to the last result, which is waited for so long (seconds)."""
        for aet, modality in self.day.stations:
            self._switch_on(aet, modality)
        actors: list[asyncio.Task[None]] = []
        try:
            with self._clock.actor():  # nobody begins before all are there
                actors += [asyncio.create_task(self._act(self._information_system()))]
                actors += [asyncio.create_task(self._act(self._station(*one))) for one in self.day.stations]
                actors.append(asyncio.create_task(self._act(self._weather())))
                await asyncio.sleep(0)
            await asyncio.gather(*actors)
            last = [asyncio.create_task(self._finish(*one, patience)) for one in self.day.stations]
            self.played.left = sum(await asyncio.gather(*last))
        finally:
            for actor in actors:
                actor.cancel()
            await asyncio.gather(*actors, return_exceptions=True)
            for scanner in self.desk.scanners.values():
                await scanner.switch_off()
        self._gather()
        return self.played

    def _gather(self) -> None:
        """The examinations of each case, as the scanners remember them at the end, whatever power cuts there were."""
        found: dict[str, list[Exam]] = {}
        for scanner in self.desk.scanners.values():
            for exam in scanner.exams:
                found.setdefault(exam.study, []).append(exam)
        self.played.exams = {number: found[study] for number, study in self._studies.items()}

    async def _act(self, work: object) -> None:
        with self._clock.actor():
            if asyncio.iscoroutine(work):
                await work

    def _switch_on(self, aet: str, modality: str) -> Scanner:
        device = Device(aet, modality, size=self._equipment.size, slices=self._equipment.slices)
        scanner = Scanner(
            device, self._equipment.folder / aet, self._equipment.partners, self._clock, habits=self._habits,
            told=self._heard,
        )  # fmt: skip
        self.desk.scanners[aet] = scanner
        return scanner

    def _heard(self, one: Told) -> None:
        self.played.away += one.what == "partner-away"
        self._tell(one)

    # -- the information system

    async def _information_system(self) -> None:
        if self._equipment.his is None:
            return
        client = MllpClient(self._equipment.his, connect_seconds=self._equipment.connect_seconds, ack_seconds=60.0)
        try:
            for errand in errands(self.day):
                await self._clock.until(errand.at)
                await self._send(client, errand)
        finally:
            await client.close()

    async def _send(self, client: MllpClient, errand: Errand) -> None:
        """Until it is answered: messages never overtake each other."""
        spoken = self.played.spoken
        control_id = new_control_id()
        message = errand.message(control_id, errand.at)
        spoken.sent += 1
        while True:
            try:
                if not self._his_up:
                    raise PeerUnreachable("the line is cut")
                answer = await client.send(message, control_id)
            except PeerUnreachable as error:
                spoken.retried += 1
                self._heard(Told("partner-away", "HIS", detail={"partner": "hl7", "why": error.message}))
                await self._again("hl7", self._his_up, error)
                continue
            self._away_since.pop("hl7", None)
            if answer.fate is Fate.TAKEN:
                spoken.accepted += 1
                self._tell(Told("hl7", "HIS", detail={"message": errand.name, "answer": answer.code}))
            else:
                spoken.refused.append((errand.case, errand.name, answer.text))
                self._tell(Told("hl7-refused", "HIS", detail={"message": errand.name, "answer": answer.text}))
            return

    async def _again(self, who: str, up: bool, error: Exception) -> None:
        """Wait before another try: on the clock while the line is cut, else in real time, and the clock waits, too.

        Raises the error once that has gone on for `PATIENCE`.
        """
        if not up:
            await self._clock.until(self._clock.now() + RETRY)
            return
        now = asyncio.get_running_loop().time()
        if now - self._away_since.setdefault(who, now) > PATIENCE:
            raise error
        await asyncio.sleep(REAL_RETRY)

    # -- a scanner

    async def _station(self, aet: str, modality: str) -> None:
        scanner = self.desk.scanners[aet]
        await self._clock.until(self.day.at(6, 50))
        while self._clock.now() < self.day.at(23, 30) and self._expects(aet):
            try:
                await self._look(scanner, aet)
            except PowerCut:
                await self._power_off(scanner)
                await self._clock.until(self._clock.now() + LOOK)
                scanner = self._switch_on(aet, modality)

    async def _look(self, scanner: Scanner, aet: str) -> None:
        """Make up for what could not be done, look at the worklist, do what is due or wait. Raises `PowerCut`."""
        await scanner.settle_all()
        try:
            item, case = await self._next(scanner, aet)
        except (*AWAY, OperationFailed, ClassNotSupported) as error:
            scanner.worklist_away(error)
            await self._again(aet, self._equipment.partners.worklist.up, error)
            return
        self._away_since.pop(aet, None)
        if item is None or case is None:
            await self._clock.until(self._clock.now() + LOOK)
        else:
            await self._examine(scanner, item, case)

    async def _power_off(self, scanner: Scanner) -> None:
        self.played.power_cuts += 1
        self.desk.scanners.pop(scanner.device.aet, None)  # who calls now gets no answer
        await scanner.switch_off()

    async def _finish(self, aet: str, modality: str, patience: float) -> int:
        """The last duties of a scanner; how many examinations are left open."""
        while True:
            scanner = self.desk.scanners.get(aet) or self._switch_on(aet, modality)
            try:
                return await scanner.finish(patience)
            except PowerCut:
                await self._power_off(scanner)

    async def _examine(self, scanner: Scanner, item: Values, case: Case) -> None:
        self._waiting.discard(case.number)
        self._progress(1)
        before = len(scanner.exams)
        try:
            await scanner.examine(item, case.fault)
        finally:
            self._studies[case.number] = scanner.exams[before].study

    def _expects(self, aet: str) -> bool:
        return any(self._cases[number].station == aet for number in self._waiting)

    async def _next(self, scanner: Scanner, aet: str) -> tuple[Values | None, Case | None]:
        now = self._clock.now()
        for number in sorted(self._waiting):
            case = self._cases[number]
            if case.station == aet and case.kind is Kind.UNSCHEDULED and case.start <= now:
                person = case.person
                item = typed(
                    person.id, person.name, birth_date=person.birth_date, sex=person.sex, description=case.text
                )
                return item, case
        for item in await scanner.ask(self.day.on.strftime("%Y%m%d")):
            if not is_due(item, now):
                break
            found = case_of(self.day.cases, item)
            if found is None or found.kind is Kind.NO_SHOW:
                continue
            if found.kind is Kind.CANCELLED:
                self._strange(f"case {found.number}: a cancelled step is on the worklist", found)
                continue
            if found.number in self._waiting:
                return item, found
        return None, None

    def _strange(self, text: str, case: Case) -> None:
        refused = {number for number, _, _ in self.played.spoken.refused}
        if case.number not in refused and text not in self.played.strange:
            self.played.strange.append(text)

    # -- the weather

    async def _weather(self) -> None:
        changes = [(one.begin, one.partner, False) for one in self.day.outages]
        changes += [(one.end, one.partner, True) for one in self.day.outages]
        for at, partner, up in sorted(changes):
            await self._clock.until(at)
            self._tell(Told("line-up" if up else "line-cut", "", detail={"partner": partner}))
            self._switch(partner, up)

    def _switch(self, partner: str, up: bool) -> None:
        partners = self._equipment.partners
        if partner == "hl7":
            self._his_up = up
            return
        lines = (partners.archive, partners.commitment) if partner == "archive" else (
            partners.worklist, partners.performed
        )  # fmt: skip
        for line in lines:
            line.mend() if up else line.cut()
        if partner == "archive":
            self.listener.up = up


def case_of(cases: Sequence[Case], item: Values) -> Case | None:
    """The case of a worklist item: by placer's number, accession number, or the patient."""
    placer, accession, patient = (reading.text(item, tag) for tag in (PLACER, ACCESSION, PATIENT_ID))
    for case in cases:
        if placer.partition("^")[0] == case.placer or (accession and accession == case.accession):
            return case
    return next((case for case in cases if patient and patient in (case.person.id, case.truth.id)), None)


def starts_at(day: Day) -> datetime:
    """When the clock begins."""
    return day.at(4, 50)


async def greeted(partners: Partners, aet: str) -> None:
    """C-ECHO to each partner, so that a wrong address is found before the day begins. Raises one of `AWAY`."""
    for line in partners.distinct():
        try:
            async with line.open(aet, for_verification()) as assoc:
                await c_echo.echo(assoc)
        except ClassNotSupported:
            continue  # it is there


async def reachable(his: Destination) -> None:
    """Raises `PeerUnreachable` where nobody listens for HL7."""
    try:
        async with asyncio.timeout(10):
            _, writer = await asyncio.open_connection(his.host, his.port)
    except (OSError, TimeoutError):
        raise PeerUnreachable(
            f"nobody listens for HL7 at {his.host}:{his.port}",
            hint="start it with `vesalius serve --set hl7.listen=true`, or let --own start one",
        ) from None
    writer.close()
