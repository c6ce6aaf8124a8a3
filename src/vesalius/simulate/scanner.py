"""A modality: what it asks, makes, tells and sends, and that it never deletes what nobody guarantees.

Theory. An examination is a record (`exams.py`) and four duties that do not wait for each other: telling the RIS (MPPS),
sending, having it committed, deleting. `settle` does what can be done of them now; what a partner that is away makes
impossible is left and done by a later `settle`, also after a restart. What a partner refuses for good is noted and not
tried again, because trying again would hide it.

The order of a normal examination is that of IHE Scheduled Workflow: worklist (RAD-5), MPPS N-CREATE (RAD-6), images
(RAD-8), MPPS N-SET (RAD-7), Storage Commitment (RAD-10). Deleting comes after the N-EVENT-REPORT that names every
image, and after nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from vesalius.dimse import c_store, n_commitment, n_mpps, worklist
from vesalius.dimse.association import Association
from vesalius.dimse.contexts import Proposal
from vesalius.dimse.n_services import NAnswer
from vesalius.model import reading
from vesalius.model.commitments import CommitmentInstance, CommitmentResult
from vesalius.model.entities import Values
from vesalius.model.errors import ClassNotSupported
from vesalius.model.identifiers import new_uid
from vesalius.simulate import faults
from vesalius.simulate.clock import Clock
from vesalius.simulate.exams import COMPLETED, DISCONTINUED, IN_PROGRESS, Exam, Image, load
from vesalius.simulate.faults import FAULTS, RIGHT, Behaviour, Stage
from vesalius.simulate.habits import Habits, PowerCut, Told
from vesalius.simulate.items import start_of, step_id
from vesalius.simulate.lines import AWAY, Line, Partners, commitment_events
from vesalius.simulate.phantom import Acquisition, Device, charset_of, make, wrongly_declared
from vesalius.simulate.steps import begins, ends
from vesalius.standard import statuses
from vesalius.standard.statuses import StatusKind, kind_of
from vesalius.standard.transfer_syntaxes import EXPLICIT_LE

MOST_REQUESTS = 3  # for commitment of one examination, where images are refused


def behaviour_of(exam: Exam) -> Behaviour:
    """How it goes."""
    return FAULTS[exam.fault] if exam.fault else RIGHT


class Scanner:
    """One device with its disk."""

    def __init__(
        self,
        device: Device,
        folder: Path,
        partners: Partners,
        clock: Clock,
        *,
        habits: Habits | None = None,
        told: Callable[[Told], None] = lambda _: None,
        uids: Callable[[], str] = new_uid,
    ) -> None:
        """Switch on: what is on the disk is remembered, and carried on with by `settle_all`."""
        self.device = device
        self.exams: list[Exam] = list(load(folder))
        self._folder = folder
        self._partners = partners
        self._clock = clock
        self._habits = habits or Habits()
        self._told = told
        self._uids = uids
        self._busy: dict[str, asyncio.Lock] = {}
        self._asked_at: dict[str, float] = {}
        self._answers = asyncio.Condition()
        self._requests: set[asyncio.Task[None]] = set()
        for exam in self.exams:
            if not exam.outcome:  # the power failed while it was acquired: nothing of it was kept
                exam.outcome, exam.ended = DISCONTINUED, exam.started
        if self.exams:
            self._say("restarted", examinations=len(self.exams), open=len(self.open_exams()))

    # -- the worklist

    async def ask(self, day: str = "") -> list[Values]:
        """The steps of this station (on a day), earliest first. Raises one of `AWAY`, `OperationFailed`."""
        found = await steps_of(self._partners.worklist, self.device.aet, day)
        done = {(exam.study, step_id(exam.item)) for exam in self.exams}
        waiting = [item for item in found if (reading.text(item, 0x0020000D), step_id(item)) not in done]
        return sorted(waiting, key=start_of)

    # -- one examination

    async def examine(self, item: Values, fault: str = "") -> Exam:
        """Do an examination, right or with one of `FAULTS`; gives it when the scanner is free again.

        Raises `PowerCut`.
        """
        behaviour = FAULTS[fault] if fault else RIGHT
        exam = self._begin(faults.mistyped(item) if behaviour.wrong_patient else item, fault)
        await self._perform(exam, behaviour)
        if behaviour.append:  # for the same scheduled step, after its performed step is final (PS3.4 F.1.3)
            again = self._begin(item, "", series_number=2)
            await self._perform(again, RIGHT)
        return exam

    def _begin(self, item: Values, fault: str, *, series_number: int = 1) -> Exam:
        if not item.get(0x0020000D):
            item = {**item, 0x0020000D: (self._uids(),)}
        started = self._clock.now().strftime("%Y%m%d%H%M%S")
        number = f"{started[4:12]}{len(self.exams) + 1:05}"
        exam = Exam(
            number, item, self._folder / number, fault=fault, started=started, series_number=series_number,
            performed_uid=self._uids() if self._habits.performed else "",
        )  # fmt: skip
        self.exams.append(exam)
        exam.save()
        self._say("begun", exam, fault=fault, accession=exam.accession, step=step_id(item))
        return exam

    async def _perform(self, exam: Exam, behaviour: Behaviour) -> None:
        if not behaviour.late_mpps:
            async with self._lock(exam):
                await self._tell(exam)
        await self._acquire(exam, behaviour)
        await self.settle(exam)

    async def _acquire(self, exam: Exam, behaviour: Behaviour) -> None:
        await self._clock.until(self._clock.now() + timedelta(minutes=self._habits.minutes))
        run = Acquisition(exam.number, exam.started, exam.performed_uid, exam.series_number)

        def work() -> None:
            wanted = max(1, self.device.slices // 2) if behaviour.discontinue else None
            for number, made in enumerate(make(exam.item, self.device, run, uids=self._uids)):
                if number == wanted:
                    break
                if behaviour.wrong_charset:
                    made = replace(made, data=wrongly_declared(made.data))
                exam.keep(made, self.device.aet)

        await asyncio.to_thread(work)
        for image in exam.images[len(exam.images) - behaviour.lose :] if behaviour.lose else ():
            exam.lose(image)
        exam.ended = self._clock.now().strftime("%Y%m%d%H%M%S")
        exam.outcome = DISCONTINUED if behaviour.discontinue else COMPLETED
        exam.not_committing = "" if behaviour.commit and self._habits.commit else "never asked for"
        exam.save()
        self._say("acquired", exam, images=len(exam.images), lost=sum(image.lost for image in exam.images))

    # -- the duties

    def open_exams(self) -> list[Exam]:
        """Those with something left to do."""
        ended = (exam for exam in self.exams if exam.outcome)
        return [exam for exam in ended if not (exam.performed and exam.sent and exam.answered)]

    async def settle_all(self) -> int:
        """Do what can be done now of everything that is left; how many examinations are still open."""
        for exam in self.open_exams():
            await self.settle(exam)
        return len(self.open_exams())

    async def settle(self, exam: Exam) -> None:
        """Do what can be done now. Raises `PowerCut`."""
        behaviour = behaviour_of(exam)
        async with self._lock(exam):
            if not behaviour.late_mpps:
                await self._tell(exam)
            await self._send(exam)
            await self._tell(exam, final=True)
        if not (exam.sent and exam.images) or exam.answered:
            return
        if behaviour.cut is Stage.ASKED:
            await self._ask(exam)  # not in the background: the power goes for the whole scanner
        else:
            self._request(exam)

    async def finish(self, patience: float) -> int:
        """Go on until everything is settled, at most so long (seconds); how many examinations are left open."""
        loop = asyncio.get_running_loop()
        end = loop.time() + patience
        while (left := await self.settle_all()) and loop.time() < end:
            async with self._answers:
                try:
                    await asyncio.wait_for(self._answers.wait(), min(1.0, max(0.05, end - loop.time())))
                except TimeoutError:
                    continue
        return left

    async def switch_off(self) -> None:
        """As the power goes: nothing is finished, nothing is noted."""
        requests = list(self._requests)
        for request in requests:
            request.cancel()
        await asyncio.gather(*requests, return_exceptions=True)

    def _lock(self, exam: Exam) -> asyncio.Lock:
        return self._busy.setdefault(exam.number, asyncio.Lock())

    async def _tell(self, exam: Exam, *, final: bool = False) -> None:
        """MPPS: that it began, and with `final` that it ended, where the RIS does not know it yet."""
        if not exam.performed_uid or exam.performed or (exam.told and not final):
            return
        try:
            async with self._partners.performed.open(self.device.aet, n_mpps.for_performing()) as assoc:
                charsets = (charset_of(list(reading.all_texts(exam.item))),)
                if not exam.told:
                    answer = await n_mpps.create(
                        assoc, exam.performed_uid, begins(exam, self.device), charsets=charsets
                    )
                    if answer.status != statuses.DUPLICATE_SOP_INSTANCE and not self._accepted(exam, answer):
                        return
                    self._note(exam, IN_PROGRESS)
                if final and exam.outcome:
                    # Sent before without an answer: 0110 says that it had arrived, because what is final stays so.
                    again, exam.sent_end = exam.sent_end, True
                    exam.save()
                    answer = await n_mpps.update(assoc, exam.performed_uid, ends(exam, self._uids), charsets=charsets)
                    known = again and answer.status == statuses.PROCESSING_FAILURE
                    if not known and not self._accepted(exam, answer):
                        return
                    self._note(exam, exam.outcome)
        except ClassNotSupported:
            exam.refused = "the partner takes no MPPS"
            exam.save()
        except AWAY as error:
            self._away("mpps", exam, error)

    def _accepted(self, exam: Exam, answer: NAnswer) -> bool:
        if answer.succeeded:
            return True
        exam.refused = f"{answer.status:04X} {answer.command.error_comment or ''}".strip()
        exam.save()
        self._say("mpps-refused", exam, status=f"{answer.status:04X}")
        return False

    def _note(self, exam: Exam, state: str) -> None:
        exam.told = state
        exam.save()
        self._say("mpps", exam, state=state)

    async def _send(self, exam: Exam) -> None:
        """C-STORE of what was not acknowledged yet."""
        waiting = [image for image in exam.images if not image.stored and not image.lost]
        if not waiting:
            return
        behaviour = behaviour_of(exam)
        proposals = [Proposal(one, (EXPLICIT_LE,)) for one in dict.fromkeys(image.sop_class for image in waiting)]
        try:
            async with self._partners.archive.open(self.device.aet, proposals) as assoc:
                for _ in range(behaviour.times):
                    for image in waiting:
                        await self._send_one(assoc, exam, image)
                        self._fuse(exam, Stage.STORING)
        except AWAY as error:
            self._away("store", exam, error)
        except ClassNotSupported:
            self._say("store-refused", exam, why="class not taken")
        if exam.sent:
            self._fuse(exam, Stage.STORED)
        exam.save()
        if exam.sent:
            self._say("stored", exam, images=sum(image.stored for image in exam.images))

    async def _send_one(self, assoc: Association, exam: Exam, image: Image) -> None:
        data = await asyncio.to_thread(exam.data, image, self.device.aet)
        if data is None:
            # Deleted meanwhile, because the guarantee came, or gone without one.
            image.lost = not image.committed
            return
        outgoing = c_store.Outgoing(image.sop_class, image.uid, EXPLICIT_LE, data, len(data))
        response = await c_store.store(assoc, outgoing)
        if kind_of(response.status) in (StatusKind.SUCCESS, StatusKind.WARNING):
            image.stored = True
        else:
            self._say("store-refused", exam, status=f"{response.status:04X}")

    def _fuse(self, exam: Exam, stage: Stage) -> None:
        if behaviour_of(exam).cut is stage and not exam.was_cut:
            # Noted so that it happens once; what the archive has just acknowledged is not.
            for image in exam.images:
                image.stored = False
            exam.was_cut = True
            exam.save()
            raise PowerCut(f"{self.device.aet}: {stage}")

    # -- storage commitment

    def _request(self, exam: Exam) -> None:
        """Ask in the background: the scanner does not wait for the archive's disks."""
        asked = self._asked_at.get(exam.number)
        now = asyncio.get_running_loop().time()
        if asked is not None and now - asked < self._habits.patience:
            return
        self._asked_at[exam.number] = now
        task = asyncio.get_running_loop().create_task(self._ask(exam))
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    async def _ask(self, exam: Exam) -> None:
        transaction = self._uids()
        exam.transactions.append(transaction)
        exam.save()
        named = [CommitmentInstance(image.sop_class, image.uid) for image in exam.images]
        line = self._partners.commitment
        try:
            async with line.open(self.device.aet, n_commitment.for_asking(), commitment_events(self)) as assoc:
                answer = await n_commitment.ask(assoc, transaction, named)
                if not answer.succeeded:
                    exam.not_committing = f"{answer.status:04X} {answer.command.error_comment or ''}".strip()
                    exam.save()
                    self._say("commitment-refused", exam, status=f"{answer.status:04X}")
                    return
                self._fuse(exam, Stage.ASKED)
                exam.asked = True
                exam.save()
                self._say("commitment-asked", exam, images=len(named))
                await self._linger(exam)
        except ClassNotSupported:
            exam.not_committing = "the partner offers no storage commitment"
            exam.save()
        except AWAY as error:
            self._asked_at.pop(exam.number, None)
            self._away("commitment", exam, error)

    async def _linger(self, exam: Exam) -> None:
        """Keep the association for a result on the same one (PS3.4 J.3.3)."""
        try:
            async with asyncio.timeout(self._habits.linger), self._answers:
                await self._answers.wait_for(lambda: exam.answered)
        except TimeoutError:
            return

    async def take(self, result: CommitmentResult) -> bool:
        """A result: noted before it is answered, then what is guaranteed may go."""
        exam = next((one for one in self.exams if result.transaction_uid in one.transactions), None)
        if exam is None:
            return False
        for image in exam.images:
            if image.uid in result.committed:
                image.reason, image.stored = 0, True  # it has it, whatever was noted when the power went
            elif image.uid in result.failed and not image.committed:
                image.reason = result.failed[image.uid]
        again = [image for image in exam.images if image.reason and not image.lost]
        if again and len(exam.transactions) < MOST_REQUESTS:
            for image in again:  # it is still here: send it once more, and ask again
                image.stored, image.reason = False, None
            self._asked_at.pop(exam.number, None)
        exam.save()
        failed = sum(bool(image.reason) for image in exam.images)
        self._say("commitment", exam, committed=sum(image.committed for image in exam.images), failed=failed)
        if all(image.committed or image.lost for image in exam.images) and not exam.deleted:
            exam.delete()
            self._say("deleted", exam)
        async with self._answers:
            self._answers.notify_all()
        return True

    # --

    def worklist_away(self, error: BaseException) -> None:
        """Say that the worklist could not be asked."""
        self._say("partner-away", partner="worklist", why=str(error) or type(error).__name__)

    def _away(self, partner: str, exam: Exam, error: BaseException) -> None:
        self._say("partner-away", exam, partner=partner, why=str(error) or type(error).__name__)

    def _say(self, what: str, exam: Exam | None = None, **detail: str | int) -> None:
        said = {name: value for name, value in detail.items() if value != ""}
        self._told(Told(what, self.device.aet, exam.number if exam else "", said))


async def steps_of(line: Line, aet: str, day: str = "") -> list[Values]:
    """The worklist of a station. Raises one of `AWAY`, `OperationFailed`."""
    keys = worklist.keys_for(station=aet, day=day)
    async with line.open(aet, worklist.for_worklist()) as assoc:
        return [item async for item in worklist.find(assoc, keys, charsets=("ISO_IR 192",))]


class Desk:
    """Hands results to the scanner that asked: several may be behind one port."""

    def __init__(self) -> None:
        self.scanners: dict[str, Scanner] = {}

    async def take(self, result: CommitmentResult) -> bool:
        """As `Scanner.take`."""
        for scanner in list(self.scanners.values()):
            if await scanner.take(result):
                return True
        return False
