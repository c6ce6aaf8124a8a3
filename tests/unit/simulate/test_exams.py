"""What a scanner remembers: whole, or as it was before; and what a second start makes of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import cast

from vesalius.model.commitments import CommitmentResult
from vesalius.simulate.clock import WallClock
from vesalius.simulate.exams import Exam, load
from vesalius.simulate.habits import Told
from vesalius.simulate.items import typed
from vesalius.simulate.lines import Partners
from vesalius.simulate.phantom import Acquisition, Device, make
from vesalius.simulate.scanner import Scanner

DEVICE = Device("CT1", "CT", size=32, slices=3)
NOBODY = cast(Partners, None)  # these tests call nobody


def exam(folder: Path, *, images: int = 3) -> Exam:
    made = Exam("1124100000001", {**typed("P1", "Müller^Käthe"), 0x0020000D: ("1.2.3",)}, folder / "1124100000001")
    made.started = "20261124100000"
    made.performed_uid = "1.2.4"
    run = Acquisition(made.number, made.started, made.performed_uid)
    made.save()
    for number, one in enumerate(make(made.item, DEVICE, run)):
        if number < images:
            made.keep(one, DEVICE.aet)
    return made


def scanner(folder: Path, said: list[Told]) -> Scanner:
    return Scanner(DEVICE, folder, NOBODY, WallClock(), told=said.append)


def test_what_is_saved_is_loaded_again_with_its_images(tmp_path: Path) -> None:
    made = exam(tmp_path)
    made.outcome, made.images[1].stored, made.images[2].reason = "COMPLETED", True, 0x0112
    made.transactions.append("1.2.5")
    made.save()
    (again,) = load(tmp_path)
    assert again == made
    for image in again.images:
        data = again.data(image, DEVICE.aet)
        assert data is not None and data.startswith(b"\x08\x00\x05\x00CS")


def test_a_record_that_was_half_written_is_the_one_before(tmp_path: Path) -> None:
    made = exam(tmp_path)
    made.outcome = "COMPLETED"
    made.save()
    (made.folder / "exam.new").write_bytes(b'{"number": "11241')  # the power went while it was written
    (again,) = load(tmp_path)
    assert again.outcome == "COMPLETED" and len(again.images) == 3


def test_what_was_being_acquired_when_the_power_went_is_given_up_and_told_so(tmp_path: Path) -> None:
    made = exam(tmp_path, images=2)  # the record was not saved after them
    again = scanner(tmp_path, []).exams[0]
    assert (again.outcome, again.images) == ("DISCONTINUED", [])
    assert again in scanner(tmp_path, []).open_exams(), "the RIS has yet to hear of it"
    assert again.number == made.number


def test_a_result_is_kept_before_it_is_answered_and_only_then_is_anything_deleted(tmp_path: Path) -> None:
    made = exam(tmp_path)
    made.outcome = made.told = "COMPLETED"
    made.transactions.append("1.2.5")
    made.save()
    said: list[Told] = []
    machine = scanner(tmp_path, said)
    uids = [image.uid for image in made.images]

    def files() -> int:
        return len(list(tmp_path.rglob("*.dcm")))

    async def results() -> None:
        assert not await machine.take(CommitmentResult("1.9.9", frozenset(uids), {})), "of somebody else"
        part = CommitmentResult("1.2.5", frozenset(uids[:2]), {uids[2]: 0x0110})
        assert await machine.take(part) and files() == 3
        again = machine.exams[0].images[2]
        assert (again.stored, again.reason) == (False, None), "it is sent and asked for again"
        assert await machine.take(CommitmentResult("1.2.5", frozenset(uids), {}))
        assert files() == 0
        record = json.loads((machine.exams[0].folder / "exam.json").read_bytes())
        assert record["deleted"] and [image["reason"] for image in record["images"]] == [0, 0, 0]
        assert await machine.take(CommitmentResult("1.2.5", frozenset(uids), {})), "told again, taken again"

    asyncio.run(results())
    assert [one.what for one in said].count("deleted") == 1
