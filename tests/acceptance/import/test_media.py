"""Import from files, folders, ZIP archives and DICOMDIR media; rows S12 to S14 of the table of malformed inputs."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from tests.support.archive import LocalArchive, dataset_of, local_archive
from tests.support.data import need_shared_data
from tests.support.generate import ct, part10, uid, write_study

from vesalius.archive.import_ import Importer, ImportOptions, ImportReport
from vesalius.archive.media import MediaLimits
from vesalius.model.errors import OutOfResources


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[LocalArchive]:
    with local_archive(tmp_path / "archive") as opened:
        yield opened


def run(archive: LocalArchive, *paths: Path, ledger: Path | None = None, **options: object) -> ImportReport:
    return Importer(archive.ingest, ledger=ledger, options=ImportOptions(**options)).run(paths)  # type: ignore[arg-type]


def why(report: ImportReport) -> dict[str, str]:
    return {Path(name).name: reason for name, reason in report.refused}


# -- files and folders ----------------------------------------------------------------------------


def test_a_folder_is_taken_whole_whatever_its_depth_and_names(archive: LocalArchive, tmp_path: Path) -> None:
    write_study(tmp_path / "in" / "a" / "b" / "c", study=1, instances=40)
    write_study(tmp_path / "in" / "z", study=2)
    (tmp_path / "in" / "README").write_text("not an image")
    (tmp_path / "in" / "empty").touch()
    report = run(archive, tmp_path / "in")
    assert (report.taken, report.refused, len(report.skipped)) == (43, [], 2)
    assert archive.index.totals().studies == 2


def test_a_file_named_by_hand_that_is_no_dicom_file_is_refused(archive: LocalArchive, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear colleague")
    assert "not a DICOM file" in why(run(archive, tmp_path / "letter.txt"))["letter.txt"]
    assert why(run(archive, tmp_path / "nothing"))["nothing"] == "there is no such file or folder"


def test_one_bad_file_does_not_stop_the_others(archive: LocalArchive, tmp_path: Path) -> None:
    paths = write_study(tmp_path / "in", instances=5)
    paths[2].write_bytes(paths[2].read_bytes()[:-100])
    report = run(archive, tmp_path / "in")
    assert (report.taken, list(why(report))) == (4, [paths[2].name])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_reported(archive: LocalArchive, tmp_path: Path) -> None:
    (path,) = write_study(tmp_path / "in", instances=1)
    path.chmod(0)
    assert "cannot be read" in why(run(archive, tmp_path / "in"))[path.name]


def test_a_second_run_leaves_out_what_is_durable_and_takes_what_is_new(archive: LocalArchive, tmp_path: Path) -> None:
    ledger = tmp_path / "run" / "imported"
    write_study(tmp_path / "in", instances=5)
    run(archive, tmp_path / "in", ledger=ledger)
    write_study(tmp_path / "in", study=2, instances=2)
    report = run(archive, tmp_path / "in", ledger=ledger)
    assert (report.resumed, report.taken, report.known) == (5, 2, 0)
    again = run(archive, tmp_path / "in", ledger=ledger, again=True)
    assert (again.resumed, again.taken, again.known) == (0, 0, 7)


def test_a_changed_file_is_read_again(archive: LocalArchive, tmp_path: Path) -> None:
    ledger = tmp_path / "run" / "imported"
    (path,) = write_study(tmp_path / "in", instances=1)
    run(archive, tmp_path / "in", ledger=ledger)
    path.write_bytes(part10(ct(seed=9)))
    os.utime(path, (1, 1))
    assert run(archive, tmp_path / "in", ledger=ledger).conflicts == 1


def test_a_torn_ledger_costs_time_and_nothing_else(archive: LocalArchive, tmp_path: Path) -> None:
    ledger = tmp_path / "imported"
    write_study(tmp_path / "in", instances=3)
    run(archive, tmp_path / "in", ledger=ledger)
    ledger.write_bytes(ledger.read_bytes()[:-5])
    report = run(archive, tmp_path / "in", ledger=ledger)
    assert (report.resumed, report.known) == (2, 1)
    assert run(archive, tmp_path / "in", ledger=ledger).resumed == 3


def test_an_archive_without_room_stops_the_run_and_the_next_goes_on(
    archive: LocalArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_study(tmp_path / "in", instances=100)
    ledger = tmp_path / "imported"
    begin, count = archive.blobs.begin, iter(range(1000))

    def full(*args: Any, **how: Any) -> object:
        if next(count) >= 10:
            raise OutOfResources("the store is full")
        return begin(*args, **how)

    monkeypatch.setattr(archive.blobs, "begin", full)
    report = run(archive, tmp_path / "in", ledger=ledger)
    assert (report.taken, report.stopped, len(report.refused)) == (10, "the store is full", 1)
    monkeypatch.undo()
    report = run(archive, tmp_path / "in", ledger=ledger)
    assert (report.resumed, report.taken) == (10, 90)


def test_progress_is_told_for_every_file(archive: LocalArchive, tmp_path: Path) -> None:
    write_study(tmp_path / "in", instances=7)
    seen: list[int] = []
    Importer(archive.ingest).run([tmp_path / "in"], lambda report, _name: seen.append(report.files))
    assert seen == list(range(1, 8))


# -- S12: preambles, files without, raw data sets -------------------------------------------------


@pytest.mark.parametrize("start", [b"MZ\x90\0", b"\x7fELF", b'{"a": 1}', b"#!/bin/sh\n", b"%PDF-1.7", b"II*\0"])
def test_s12_whatever_hides_in_a_preamble_never_comes_out(archive: LocalArchive, tmp_path: Path, start: bytes) -> None:
    file = part10(ct())
    (tmp_path / "x.dcm").write_bytes(start.ljust(128, b"\xcc") + file[128:])
    assert run(archive, tmp_path / "x.dcm").taken == 1
    assert archive.bytes_of(ct().SOPInstanceUID) == dataset_of(file)
    (pack,) = (tmp_path / "archive" / "packs").glob("*.tar")
    assert start not in pack.read_bytes()


@pytest.mark.parametrize("cut", [128, 132])
def test_s12_a_file_without_preamble_is_taken(archive: LocalArchive, tmp_path: Path, cut: int) -> None:
    (tmp_path / "x.dcm").write_bytes(part10(ct())[cut:])
    assert run(archive, tmp_path / "x.dcm").taken == 1


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"])
def test_s12_a_raw_data_set_is_taken_only_on_demand(archive: LocalArchive, tmp_path: Path, syntax: str) -> None:
    dataset = dataset_of(part10(ct(), syntax))
    (tmp_path / "raw").write_bytes(dataset)
    assert run(archive, tmp_path / "raw").refused
    assert run(archive, tmp_path / "raw", raw_data_sets=True).taken == 1
    (kept,) = archive.everything()
    assert (kept.transfer_syntax, archive.bytes_of(kept.sop_instance)) == (syntax, dataset)


def test_the_data_set_decides_where_the_meta_information_is_stale(archive: LocalArchive, tmp_path: Path) -> None:
    stale = ct()
    file = part10(stale)
    ds = ct(instance=2)
    (tmp_path / "x.dcm").write_bytes(file[: len(file) - len(dataset_of(file))] + dataset_of(part10(ds)))
    assert run(archive, tmp_path / "x.dcm").taken == 1
    assert archive.find_one(ds.SOPInstanceUID) is not None


def test_meta_information_that_ends_too_early_is_refused(archive: LocalArchive, tmp_path: Path) -> None:
    file = part10(ct())
    for length in (133, 150, 200):
        (tmp_path / f"{length}.dcm").write_bytes(file[:length])
    endless = file[:132] + struct.pack("<HH2sHI", 2, 0x0102, b"OB", 0, 0xFFFFFFF0) + bytes(100_000)
    (tmp_path / "endless.dcm").write_bytes(endless)
    report = run(archive, *sorted(tmp_path.glob("*.dcm")))
    assert len(report.refused) == 4


# -- S13: DICOMDIR --------------------------------------------------------------------------------


def medium(folder: Path, file_ids: list[str]) -> Path:
    """A DICOMDIR that names these files, by a real one with its references replaced."""
    from tests.support.elements import explicit, item

    from vesalius.model.entities import Claim
    from vesalius.model.file_meta import file_prefix

    def even(text: str) -> bytes:
        return text.encode() + b" " * (len(text) % 2)

    records = b"".join(
        item(
            explicit(0x00041400, "UL", struct.pack("<I", 400))  # every record says that the first one follows: a loop
            + explicit(0x00041410, "US", b"\xff\xff")
            + explicit(0x00041420, "UL", struct.pack("<I", 400))
            + explicit(0x00041430, "CS", b"IMAGE ")
            + explicit(0x00041500, "CS", even(file_id))
        )
        for file_id in file_ids
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "DICOMDIR"
    path.write_bytes(
        file_prefix(Claim("1.2.840.10008.1.3.10", uid("medium"), "1.2.840.10008.1.2.1"))
        + explicit(0x00041130, "CS", b"TEST")
        + explicit(0x00041200, "UL", struct.pack("<I", 400))
        + explicit(0x00041220, "SQ", records)
    )
    return path


def test_s13_entries_that_leave_the_medium_are_refused_and_the_others_go_on(
    archive: LocalArchive, tmp_path: Path
) -> None:
    outside = tmp_path / "SECRET"
    outside.write_bytes(part10(ct(instance=66)))
    folder = tmp_path / "cd"
    write_study(folder / "IMG", instances=2)
    (folder / "IMG" / "1-1-1.dcm").rename(folder / "IMG" / "ONE")
    (folder / "IMG" / "1-1-2.dcm").rename(folder / "IMG" / "two")
    (folder / "LINK").symlink_to(outside)
    directory = medium(
        folder,
        [
            "..\\SECRET",
            "IMG\\..\\..\\SECRET",
            str(outside).replace("/", "\\"),
            "C:\\SECRET",
            "LINK",
            "MISSING",
            "IMG\\ONE",
            "IMG\\ONE",
            "IMG\\TWO",
        ],
    )
    (folder / "IMG" / "two").rename(folder / "IMG" / "TWO")
    report = run(archive, directory)
    assert (report.taken, report.known, len(report.refused)) == (2, 0, 6)
    assert archive.find_one(ct(instance=66).SOPInstanceUID) is None


def test_s13_a_damaged_directory_is_reported(archive: LocalArchive, tmp_path: Path) -> None:
    path = medium(tmp_path / "cd", ["ONE"])
    path.write_bytes(path.read_bytes()[:-3])
    assert len(run(archive, path).refused) == 1


def test_real_media_give_every_file_that_they_name(archive: LocalArchive) -> None:
    folder = need_shared_data() / "dicomdir" / "pydicom-dicomdirtests"
    expected = {
        str(record.ReferencedSOPInstanceUIDInFile)
        for record in dcmread(folder / "DICOMDIR").DirectoryRecordSequence
        if "ReferencedFileID" in record
    }
    report = run(archive, folder / "DICOMDIR")
    assert report.refused == []
    assert {instance.sop_instance for instance in archive.everything()} == expected
    for variant in ("DICOMDIR-bigEnd", "DICOMDIR-implicit", "DICOMDIR-reordered"):
        assert run(archive, folder / variant).taken == 0


# -- S14: ZIP -------------------------------------------------------------------------------------


def test_a_zip_archive_is_taken_without_unpacking_it(archive: LocalArchive, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "study.zip", "w", zipfile.ZIP_DEFLATED) as out:
        for number in range(1, 11):
            out.writestr(f"a/b/{number}", part10(ct(instance=number)))
        out.writestr("a/readme.txt", "hello")
    report = run(archive, tmp_path / "study.zip", ledger=tmp_path / "ledger")
    assert (report.taken, len(report.skipped), report.refused) == (10, 1, [])
    assert run(archive, tmp_path / "study.zip", ledger=tmp_path / "ledger").resumed == 10


def test_s14_slip_names_encrypted_nested_and_links_are_refused_one_by_one(
    archive: LocalArchive, tmp_path: Path
) -> None:
    inner = tmp_path / "inner.zip"
    with zipfile.ZipFile(inner, "w") as out:
        out.writestr("x", part10(ct(instance=5)))
    link = zipfile.ZipInfo("link")
    link.external_attr = 0xA1FF << 16
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w") as out:
        for name in ("../../evil", "/etc/evil", "C:\\evil", "a/../../evil", "..\\evil"):
            out.writestr(name, part10(ct(instance=6)))
        out.write(inner, "inner.zip")
        out.writestr(link, "/etc/passwd")
        out.writestr("encrypted", part10(ct(instance=7)))
        out.writestr("good", part10(ct(instance=8)))
    raw = path.read_bytes()
    at = raw.rindex(b"encrypted") - 46
    assert raw[at : at + 4] == b"PK\x01\x02"
    path.write_bytes(raw[: at + 8] + b"\x01\0" + raw[at + 10 :])
    before = {each for each in tmp_path.rglob("*") if "archive" not in each.parts}
    report = run(archive, path)
    assert (report.taken, len(report.refused)) == (1, 8)
    assert {each for each in tmp_path.rglob("*") if "archive" not in each.parts} == before


@pytest.mark.parametrize("entries", [1, 50])
def test_s14_a_bomb_is_given_up_at_the_limit(archive: LocalArchive, tmp_path: Path, entries: int) -> None:
    ds = ct()
    ds.PixelData = bytes((64 << 20) // entries)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        for number in range(entries):
            out.writestr(f"{number:03d}", part10(ds))
    report = run(archive, tmp_path / "bomb.zip", media=MediaLimits(zip_ratio=10))
    assert report.taken <= 15
    assert "more than the limit" in " ".join(reason for _, reason in report.refused)
    assert report.stopped == ""


def test_s14_entries_that_share_their_bytes_are_counted_each_time(archive: LocalArchive, tmp_path: Path) -> None:
    """A bomb without nesting: many directory entries point at one run of compressed bytes."""
    path = tmp_path / "shared.zip"
    ds = ct()
    ds.PixelData = bytes(8 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("kernel", part10(ds))
    raw = path.read_bytes()
    start = raw.index(b"PK\x01\x02")
    end = raw.rindex(b"PK\x05\x06")
    entry = raw[start:end]
    directory = entry * 100
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 100, 100, len(directory), start, 0)
    path.write_bytes(raw[:start] + directory + tail)
    report = run(archive, path)
    assert "more than the limit" in " ".join(reason for _, reason in report.refused)


def test_s14_too_many_entries_are_refused_before_they_are_read(archive: LocalArchive, tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as out:
        for number in range(50):
            out.writestr(str(number), b"")
    report = run(archive, path, media=MediaLimits(zip_entries=10))
    assert why(report)["many.zip"] == "the ZIP archive has more than 10 entries"
    raw = bytearray(path.read_bytes())
    end = raw.rindex(b"PK\x05\x06")
    raw[end + 10 : end + 12] = b"\x01\0"  # the count lies, the size of the directory tells
    raw[end + 12 : end + 16] = struct.pack("<I", 1 << 30)
    path.write_bytes(raw)
    assert why(run(archive, path))["many.zip"] == "the ZIP archive has more than 200000 entries"


def test_s14_damaged_archives_are_reported(archive: LocalArchive, tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("a", part10(ct()))
        out.writestr("b", part10(ct(instance=2)))
    raw = path.read_bytes()
    middle = raw.index(b"PK\x01\x02") // 4
    path.write_bytes(raw[:middle] + bytes(40) + raw[middle + 40 :])
    report = run(archive, path)
    assert (report.taken, len(report.refused)) == (1, 1)
    path.write_bytes(raw[:-30])
    assert "damaged" in why(run(archive, path))["x.zip"]
    path.write_bytes(b"PK\x03\x04")
    assert "damaged" in why(run(archive, path))["x.zip"]


def test_an_import_is_marked_in_the_provenance(archive: LocalArchive, tmp_path: Path) -> None:
    write_study(tmp_path / "in", instances=2)
    run(archive, tmp_path / "in")
    (pack,) = archive.blobs.packs()
    labels = [found.label.provenance for found in archive.blobs.scan(pack.name)]
    assert {label.how for label in labels} == {"import"}
    assert len({label.association for label in labels}) == 1
