from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest
from tests.support.archive import NOW, LocalArchive, claim_of, dataset_of, local_archive
from tests.support.generate import ct, part10, uid
from tests.support.patience import patient

from vesalius.archive.ingest import IngestLimits
from vesalius.model.entities import Provenance, Verdict
from vesalius.model.errors import (
    CannotUnderstand,
    ClassNotSupported,
    DataSetMismatch,
    DuplicateRefused,
    InvalidInstanceUID,
    LimitExceeded,
    OutOfResources,
    VesaliusError,
)


def packed(archive: LocalArchive) -> int:
    """Members that the packs hold, indexed or not."""
    return sum(1 for pack in archive.blobs.packs() for _ in archive.blobs.scan(pack.name))


def test_a_receipt_means_findable_and_equal_to_the_last_byte(archive: LocalArchive) -> None:
    ds = ct(rows=64, columns=64)
    data = dataset_of(part10(ds))
    receipt = archive.store(data, claim_of(ds), piece=777)
    assert (receipt.verdict, receipt.study) == (Verdict.STORED, ds.StudyInstanceUID)
    assert archive.bytes_of(ds.SOPInstanceUID) == data
    deadline = time.monotonic() + patient(1)  # observers are told a moment after who waits
    while not archive.observed.stored_lengths and time.monotonic() < deadline:
        time.sleep(0.01)
    assert archive.observed.stored_lengths == [len(data)]


def test_the_time_of_receipt_comes_from_the_clock_unless_given(archive: LocalArchive) -> None:
    archive.keep(ct())
    (pack,) = archive.blobs.packs()
    (found,) = archive.blobs.scan(pack.name)
    assert found.label.provenance == Provenance("c-store", "SCU", received_at=NOW)


def test_the_same_bytes_again_are_a_duplicate_and_write_nothing(archive: LocalArchive) -> None:
    archive.keep(ct())
    assert archive.keep(ct()).verdict is Verdict.DUPLICATE
    assert packed(archive) == 1


def test_other_bytes_under_the_same_uid_are_kept_beside_the_first(archive: LocalArchive) -> None:
    archive.keep(ct(seed=1))
    first = archive.bytes_of(ct().SOPInstanceUID)
    assert archive.keep(ct(seed=2)).verdict is Verdict.CONFLICT
    assert archive.bytes_of(ct().SOPInstanceUID) == first
    assert packed(archive) == 2
    assert archive.index.totals().conflicts == 1


def test_the_same_conflict_again_is_kept_once(archive: LocalArchive) -> None:
    for seed in (1, 2, 2, 2):
        archive.keep(ct(seed=seed))
    assert archive.index.totals().conflicts == 1


def test_the_same_uid_in_another_study_is_a_conflict(archive: LocalArchive) -> None:
    archive.keep(ct())
    moved = ct()
    moved.StudyInstanceUID = uid("another study")
    assert archive.keep(moved).verdict is Verdict.CONFLICT
    assert archive.index.totals().studies == 1


def test_a_source_whose_conflicts_are_refused_gets_an_error_and_leaves_no_trace(archive: LocalArchive) -> None:
    archive.keep(ct(seed=1))
    with pytest.raises(DuplicateRefused):
        archive.keep(ct(seed=2), refuse_conflicts=True)
    assert packed(archive) == 1
    assert archive.keep(ct(seed=1), refuse_conflicts=True).verdict is Verdict.DUPLICATE


@pytest.mark.parametrize("illegal", ["", "1", "1..2", "../../etc/passwd", "1.2.a", "1." + "2" * 64, "1.2.3\n", "1.2/3"])
def test_an_illegal_instance_uid_never_begins(archive: LocalArchive, illegal: str) -> None:
    with pytest.raises(InvalidInstanceUID):
        archive.ingest.receive(dataclasses.replace(claim_of(ct()), sop_instance=illegal), Provenance("c-store"))
    assert isinstance(archive.observed.errors[0], InvalidInstanceUID)


@pytest.mark.parametrize(
    "not_storage", ["1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.2.1.1", "1.2.840.10008.1.3.10", ""]
)
def test_a_class_that_is_not_storage_never_begins(archive: LocalArchive, not_storage: str) -> None:
    with pytest.raises(ClassNotSupported):
        archive.ingest.receive(dataclasses.replace(claim_of(ct()), sop_class=not_storage), Provenance("c-store"))


def test_a_private_storage_class_is_kept(archive: LocalArchive) -> None:
    ds = ct()
    ds.SOPClassUID = "1.3.46.670589.11.0.0.12.1"
    assert archive.keep(ds).verdict is Verdict.STORED


@pytest.mark.parametrize(("field", "offending"), [("sop_class", 0x00080016), ("sop_instance", 0x00080018)])
def test_a_data_set_that_is_not_what_was_claimed_is_refused(archive: LocalArchive, field: str, offending: int) -> None:
    ds = ct()
    claimed = {"sop_class": "1.2.840.10008.5.1.4.1.1.4", "sop_instance": "1.2.3.4"}[field]
    with pytest.raises(DataSetMismatch) as caught:
        archive.store(dataset_of(part10(ds)), dataclasses.replace(claim_of(ds), **{field: claimed}))
    assert caught.value.offending == (offending,)
    assert packed(archive) == 0


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"])
@pytest.mark.parametrize("missing", [True, False])
def test_no_uid_is_ever_invented(archive: LocalArchive, keyword: str, missing: bool) -> None:
    ds = ct()
    claim = claim_of(ds)
    file = part10(ds)
    if missing:
        delattr(ds, keyword)
    else:
        setattr(ds, keyword, "")
    from io import BytesIO

    from pydicom.filebase import DicomIO
    from pydicom.filewriter import write_dataset

    out = DicomIO(BytesIO())
    out.is_implicit_VR, out.is_little_endian = False, True
    write_dataset(out, ds)
    assert len(file) > 0
    with pytest.raises(DataSetMismatch):
        archive.store(out.parent.getvalue(), claim)
    assert packed(archive) == 0


def test_a_refusal_is_remembered_and_the_rest_falls_on_the_floor(archive: LocalArchive) -> None:
    reception = archive.ingest.receive(claim_of(ct()), Provenance("c-store"))
    reception.write(b"\x08\x00\x05\x00??rubbish")
    for _ in range(100):
        reception.write(bytes(1 << 16))
    assert isinstance(reception.error, CannotUnderstand)
    assert reception.length > 100 << 16
    with pytest.raises(CannotUnderstand):
        reception.finish().result(5)
    assert packed(archive) == 0
    assert archive.keep(ct()).verdict is Verdict.STORED


def test_a_broken_transfer_leaves_no_trace(archive: LocalArchive) -> None:
    data = dataset_of(part10(ct(rows=1024, columns=1024)))
    reception = archive.ingest.receive(claim_of(ct()), Provenance("c-store"))
    reception.write(data[: len(data) // 2])
    reception.abort()
    assert packed(archive) == 0
    assert archive.store(data, claim_of(ct())).verdict is Verdict.STORED
    assert archive.bytes_of(ct().SOPInstanceUID) == data


def test_an_object_over_the_limit_is_refused_at_the_limit(tmp_path: Path) -> None:
    with local_archive(tmp_path, limits=IngestLimits(object_bytes=1000)) as archive:
        reception = archive.ingest.receive(claim_of(ct()), Provenance("c-store"))
        reception.write(dataset_of(part10(ct()))[:1001])
        assert isinstance(reception.error, LimitExceeded)
        with pytest.raises(LimitExceeded):
            reception.finish().result(5)


def test_a_closed_archive_takes_nothing_more(archive: LocalArchive) -> None:
    open_reception = archive.ingest.receive(claim_of(ct()), Provenance("c-store"))
    archive.ingest.close()
    with pytest.raises(OutOfResources):
        archive.keep(ct())
    open_reception.write(dataset_of(part10(ct())))
    with pytest.raises(OutOfResources):
        open_reception.finish().result(5)
    assert packed(archive) == 0


def test_a_fault_of_our_own_has_an_id_and_tells_no_value(
    archive: LocalArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(header: object) -> None:
        raise ZeroDivisionError("Doe^Jane")

    monkeypatch.setattr("vesalius.archive.ingest.extract", broken)
    with pytest.raises(VesaliusError, match=r"^internal error [0-9a-f]{12}$"):
        archive.keep(ct())
    monkeypatch.undo()
    assert archive.keep(ct()).verdict is Verdict.STORED
