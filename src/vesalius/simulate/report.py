"""What came of a day: asked of the archive and the worklist over DICOM, compared with what really happened.

Theory. The truth is known here: which images were made and acknowledged, who the patients turned out to be, which steps
were done. Whatever is not as it should be is a trouble, and one trouble fails the day. What is left for a person (a
mistyped patient, images without an order, a patient who did not come) is no trouble if it stands on a list. Lists
cannot be asked for over DICOM: our own archive shows them (`House`), of another one they are taken for granted.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from vesalius.dimse import n_mpps
from vesalius.model import reading
from vesalius.model.errors import ClassNotSupported
from vesalius.simulate.exams import Exam
from vesalius.simulate.fetch import Archive, Found, digest
from vesalius.simulate.hospital import Played, case_of
from vesalius.simulate.lines import Partners
from vesalius.simulate.plan import NEVER_DONE, Case, Day, Kind
from vesalius.simulate.scanner import steps_of

AT_ONCE = 4
STATE = 0x00400252


class House(Protocol):
    """What only our own archive shows."""

    def listed(self) -> dict[str, str]:
        """Studies on the list to reconcile, with what is wrong."""

    def missing(self) -> set[str]:
        """Studies of which images are known to be missing."""

    def open_steps(self) -> dict[str, str]:
        """Placer order number -> state, of steps that are not final."""

    def tidy(self) -> int:
        """The desk at the end of the day: repairs what has one clear proposal, and says who did not come."""


@dataclass(slots=True)
class Report:
    """Figures, what is on lists, and what is wrong."""

    figures: dict[str, int] = field(default_factory=dict)
    lists: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.troubles


class Verification:
    """Compares a day with what the systems say of it."""

    def __init__(self, day: Day, played: Played, partners: Partners, house: House | None = None) -> None:
        self._day = day
        self._played = played
        self._partners = partners
        self._house = house
        self._aet = day.stations[0][0]
        self._archive = Archive(partners.archive, self._aet)
        self._report = Report()
        self._listed: dict[str, str] = {}
        self._missing: set[str] = set()
        self._fetches = True

    async def run(self) -> Report:
        """Ask for everything. Raises one of `AWAY`, `OperationFailed`."""
        report = self._report
        if self._house is not None:
            self._listed, self._missing = self._house.listed(), self._house.missing()
        for text in self._played.strange:
            report.troubles.append(text)
        for case, message, answer in self._played.spoken.refused:
            report.troubles.append(f"case {case}: {message} was refused: {answer}")
        known = {one.study: one for one in await self._archive.studies(patient_id=f"{self._day.prefix}*")}
        mine = {exam.study for exams in self._played.exams.values() for exam in exams}
        for study in known.keys() - mine:
            report.troubles.append(f"orphan: study {study} belongs to nothing that was done")
        gate = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(self._case(gate, case, known) for case in self._day.cases))
        await self._worklists()
        if self._house is not None:
            self._open_steps(self._house.open_steps())
        self._count()
        return report

    # -- one case

    async def _case(self, gate: asyncio.Semaphore, case: Case, known: dict[str, Found]) -> None:
        exams = self._played.exams.get(case.number, [])
        if not case.is_done:
            return
        if not exams:
            self._trouble(case, "was never done: its step did not come onto a worklist")
            return
        async with gate:
            for exam in exams:
                self._settled(case, exam)
                await self._performed(case, exam)
            found = known.get(exams[0].study)
            if found is None:
                if any(image.stored for exam in exams for image in exam.images):
                    self._trouble(case, "its study is not in the archive")
                else:
                    self._images(case, exams, Found(exams[0].study))
                return
            await self._archive.fill(found)
            self._images(case, exams, found)
            await self._pixels(case, exams)
            self._identity(case, exams, found)

    def _settled(self, case: Case, exam: Exam) -> None:
        if exam.refused:
            self._trouble(case, f"MPPS was refused: {exam.refused}")
        elif not exam.performed:
            self._trouble(case, f"the RIS knows {exam.told or 'nothing'}, and it is {exam.outcome}")
        if not exam.sent:
            self._trouble(case, "images were not acknowledged")
        if exam.not_committing and exam.fault != "no-commit":
            self._trouble(case, f"commitment: {exam.not_committing}")
        for image in exam.images:
            if image.reason and not image.lost:
                self._trouble(case, f"an image is not committed to: {image.reason:04X}")
        committed = all(image.committed for image in exam.images if not image.lost)
        if exam.images and exam.deleted and not committed:
            self._trouble(case, "images were deleted without a guarantee")
        if exam.fault != "no-commit" and not exam.answered:
            self._trouble(case, "no result of commitment came")

    async def _performed(self, case: Case, exam: Exam) -> None:
        """N-GET of the performed step, where it is offered."""
        try:
            async with self._partners.performed.open(self._aet, n_mpps.for_performing()) as assoc:
                answer = await n_mpps.get(assoc, exam.performed_uid, (STATE,))
        except ClassNotSupported:
            self._remark("the state of performed steps cannot be asked: MPPS Retrieve is not offered")
            return
        state = reading.text(answer.dataset or {}, STATE)
        if not answer.succeeded or state != exam.outcome:
            self._trouble(case, f"its performed step is {state or str(answer)}, not {exam.outcome}")

    def _images(self, case: Case, exams: list[Exam], found: Found) -> None:
        counts = Counter(found.instances)
        made = {image.uid: image for exam in exams for image in exam.images}
        for uid, count in counts.items():
            if count > 1:
                self._trouble(case, f"duplicate: {uid} is there {count} times")
            if uid not in made:
                self._trouble(case, f"orphan: {uid} was never made")
        gone = [uid for uid, image in made.items() if image.stored and uid not in counts]
        if gone:
            self._trouble(case, f"{len(gone)} acknowledged images are not there, {gone[0]} first")
        lost = [image for image in made.values() if image.lost]
        if lost:
            self._report.lists["images missing"] += 1
            if self._house is not None and exams[0].study not in self._missing:
                self._trouble(case, "images are missing, and nobody is told")

    async def _pixels(self, case: Case, exams: list[Exam]) -> None:
        """C-GET, and a look at every pixel."""
        if not self._fetches:
            return
        made = {image.uid: image for exam in exams for image in exam.images if image.stored}
        wrong: list[str] = []

        def check(uid: str, data: bytes) -> None:
            image = made.get(uid)
            if image is not None and digest(data[-image.pixels :]) != image.digest:
                wrong.append(uid)

        try:
            classes = {image.sop_class for image in made.values()}
            count = await self._archive.fetch(exams[0].study, classes, check) if made else 0
        except ClassNotSupported:
            self._fetches = False
            self._remark("pixels were not compared: C-GET is not offered")
            return
        self._add("images_fetched", count)
        if wrong:
            self._trouble(case, f"{len(wrong)} images came back with other pixels")
        if count != len(made):
            self._trouble(case, f"{count} of {len(made)} images came back")

    def _identity(self, case: Case, exams: list[Exam], found: Found) -> None:
        """Who the archive says it is: the truth, or on a list for a person."""
        listed = self._listed.get(found.study, "")
        expected = case.truth
        right = found.patient_id == expected.id and found.accession == _accession(exams)
        if case.fault != "wrong-charset" and found.name != expected.name:
            right = False
        if case.kind is Kind.UNSCHEDULED and not _accession(exams) and not found.accession:
            self._list(case, "no order", listed)
        elif right:
            if case.kind in (Kind.EMERGENCY, Kind.MERGE_BEFORE, Kind.MERGE_DURING, Kind.MERGE_AFTER):
                self._add("reconciled", 1)
            elif case.fault == "wrong-patient":
                self._add("repaired", 1)
        elif case.fault == "wrong-patient":
            self._list(case, "wrong patient", listed)
        elif listed:
            self._report.lists[listed] += 1
        else:
            self._trouble(case, "its study is answered with another patient or accession number, and is on no list")

    def _list(self, case: Case, what: str, listed: str) -> None:
        self._report.lists[what] += 1
        if self._house is not None and not listed:
            self._trouble(case, f"{what}: it should be on the list to reconcile")

    # -- what is still to be done

    async def _worklists(self) -> None:
        """What is still on a worklist waits for a person: who did not come, and nobody else."""
        for aet, _ in self._day.stations:
            for item in await steps_of(self._partners.worklist, aet, self._day.on.strftime("%Y%m%d")):
                case = case_of(self._day.cases, item)
                if case is None:
                    self._remark(f"{aet}: the worklist has steps of another day's making")
                elif case.kind is Kind.NO_SHOW:
                    self._report.lists["did not come"] += 1
                else:
                    self._trouble(case, f"{case.kind}: still on the worklist of {aet}")

    def _open_steps(self, steps: dict[str, str]) -> None:
        by_number = {case.placer: case for case in self._day.cases}
        for placer, state in steps.items():
            case = by_number.get(placer)
            if case is not None and case.kind is not Kind.NO_SHOW:
                self._trouble(case, f"its step is still {state}")

    # --

    def _count(self) -> None:
        cases = self._day.cases
        exams = [exam for found in self._played.exams.values() for exam in found]
        images = [image for exam in exams for image in exam.images]
        kinds = Counter(case.kind for case in cases)
        spoken = self._played.spoken
        self._report.figures = {
            "cases": len(cases),
            "scheduled": sum(case.kind is not Kind.UNSCHEDULED for case in cases),
            "never_to_be_done": sum(kinds[kind] for kind in NEVER_DONE),
            "done": len(self._played.exams),
            "performed_steps": len(exams),
            "completed": sum(exam.told == "COMPLETED" for exam in exams),
            "discontinued": sum(exam.told == "DISCONTINUED" for exam in exams),
            "images": len(images),
            "stored": sum(image.stored for image in images),
            "committed": sum(image.committed for image in images),
            "deleted_at_scanners": sum(len(exam.images) for exam in exams if exam.deleted),
            "lost_at_scanners": sum(image.lost for image in images),
            "reconciled": 0,
            "repaired": 0,
            "on_lists": sum(self._report.lists.values()),
            "messages": spoken.sent,
            "messages_accepted": spoken.accepted,
            "partner_away": self._played.away,
            "power_cuts": self._played.power_cuts,
            "troubles": len(self._report.troubles),
            **self._report.figures,
        }

    def _add(self, name: str, count: int) -> None:
        self._report.figures[name] = self._report.figures.get(name, 0) + count

    def _trouble(self, case: Case, text: str) -> None:
        fault = f", {case.fault}" if case.fault else ""
        self._report.troubles.append(f"case {case.number} ({case.kind}{fault}, {case.station}): {text}")

    def _remark(self, text: str) -> None:
        if text not in self._report.remarks:
            self._report.remarks.append(text)


async def listed_in_time(day: Day, played: Played, house: House, seconds: float) -> None:
    """Give the archive time to look at what has just come in."""
    awaited = {
        exams[0].study
        for case in day.cases
        if (case.kind is Kind.UNSCHEDULED or case.fault == "wrong-patient")
        and (exams := played.exams.get(case.number))
        and any(image.stored for image in exams[0].images)
    }
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        if awaited <= (await asyncio.to_thread(house.listed)).keys():
            return
        await asyncio.sleep(0.5)


def _accession(exams: list[Exam]) -> str:
    return exams[0].accession
