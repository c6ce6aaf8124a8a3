"""Export: plain files and a DICOMDIR that other software reads, equal to the last byte of every data set."""

from __future__ import annotations

import re
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.fileset import FileSet
from tests.support.archive import LocalArchive, dataset_of, local_archive
from tests.support.data import need_shared_data, part10_parts
from tests.support.elements import dicom_files, split_part10
from tests.support.generate import ct, part10, uid

from vesalius.archive.dicomdir import record_type
from vesalius.archive.export import Exporter, ExportReport
from vesalius.archive.import_ import Importer, ImportOptions
from vesalius.model.errors import NoSuchInstance, SettingsError


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[LocalArchive]:
    with local_archive(tmp_path / "archive") as opened:
        yield opened


def export(archive: LocalArchive, folder: Path, *studies: str) -> ExportReport:
    return Exporter(archive.index, archive.blobs).export(studies, folder)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "DICOMDIR")


def test_every_data_set_leaves_as_it_came_under_a_preamble_of_zeros(archive: LocalArchive, tmp_path: Path) -> None:
    came = {}
    for number in range(1, 6):
        ds = ct(series=number % 2 + 1, instance=number)
        archive.keep(ds)
        came[ds.SOPInstanceUID] = dataset_of(part10(ds))
    report = export(archive, tmp_path / "out", ct().StudyInstanceUID)
    assert (report.files, report.studies, report.damaged) == (5, 1, [])
    left = {}
    for path in files(tmp_path / "out"):
        assert path.read_bytes()[:132] == bytes(128) + b"DICM"
        meta, dataset = part10_parts(path)
        left[meta[0x00020003]] = dataset
    assert left == came


def test_file_names_are_fit_for_every_medium(archive: LocalArchive, tmp_path: Path) -> None:
    archive.keep(ct(study="../../evil", PatientName="..^/etc/passwd"))
    export(archive, tmp_path / "out", uid("study", "../../evil"))
    for path in (tmp_path / "out").rglob("*"):
        assert re.fullmatch(r"[A-Z0-9_]{1,8}", path.name)


def test_pydicom_reads_the_directory_and_every_file_that_it_names(archive: LocalArchive, tmp_path: Path) -> None:
    for study in (1, 2):
        for number in range(1, 4):
            name = "Müller^Jürgen" if study == 1 else "Doe^Jane"
            archive.keep(ct(study, 1, number, patient_id=f"PID-{study}", patient_name=name))
    export(archive, tmp_path / "out", uid("study", 1), uid("study", 2))
    medium = FileSet(tmp_path / "out" / "DICOMDIR")
    assert len(medium) == 6
    assert len({instance.StudyInstanceUID for instance in medium}) == 2
    assert medium.find_values("PatientName") == ["Müller^Jürgen", "Doe^Jane"]
    for instance in medium:
        assert instance.load().SOPInstanceUID == instance.ReferencedSOPInstanceUIDInFile


def test_dcmtk_reads_the_directory(archive: LocalArchive, tmp_path: Path) -> None:
    if shutil.which("dcmdump") is None:
        pytest.skip("DCMTK is not installed")
    archive.keep(ct())
    export(archive, tmp_path / "out", ct().StudyInstanceUID)
    done = subprocess.run(["dcmdump", "-q", tmp_path / "out" / "DICOMDIR"], capture_output=True, text=True, check=True)
    for kind in ("PATIENT", "STUDY", "SERIES", "IMAGE"):
        assert f"[{kind}" in done.stdout
    assert done.stderr == ""


def test_an_export_comes_back_by_its_own_directory(archive: LocalArchive, tmp_path: Path) -> None:
    for number in range(1, 4):
        archive.keep(ct(instance=number))
    export(archive, tmp_path / "out", ct().StudyInstanceUID)
    with local_archive(tmp_path / "other") as other:
        report = Importer(other.ingest).run([tmp_path / "out" / "DICOMDIR"])
        assert (report.taken, report.refused) == (3, [])


def test_a_damaged_instance_is_left_out_and_told(archive: LocalArchive, tmp_path: Path) -> None:
    for number in (1, 2):
        archive.keep(ct(instance=number))
    damaged = archive.find_one(ct(instance=2).SOPInstanceUID)
    assert damaged is not None
    pack = tmp_path / "archive" / "packs" / damaged.member.pack
    path = next(each for each in pack.parent.iterdir() if each.name.startswith(pack.name))
    with path.open("r+b") as file:
        file.seek(damaged.member.dataset_offset + 50)
        file.write(b"\xff\xff\xff")
    report = export(archive, tmp_path / "out", ct().StudyInstanceUID)
    assert report.files == 1
    assert [instance for instance, _ in report.damaged] == [damaged.sop_instance]
    assert len(files(tmp_path / "out")) == 1


def test_a_study_that_is_not_kept_or_a_folder_in_use_is_an_error(archive: LocalArchive, tmp_path: Path) -> None:
    with pytest.raises(NoSuchInstance):
        export(archive, tmp_path / "out", "1.2.3")
    assert not (tmp_path / "out" / "DICOMDIR").exists()
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "letter").touch()
    with pytest.raises(SettingsError):
        export(archive, tmp_path / "used", "1.2.3")


@pytest.mark.parametrize(
    ("sop_class", "kind"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", "IMAGE"),
        ("1.2.840.10008.5.1.4.1.1.66", "RAW DATA"),
        ("1.2.840.10008.5.1.4.1.1.66.4", "IMAGE"),
        ("1.2.840.10008.5.1.4.1.1.67", "VALUE MAP"),
        ("1.2.840.10008.5.1.4.1.1.88.33", "SR DOCUMENT"),
        ("1.2.840.10008.5.1.4.1.1.88.59", "KEY OBJECT DOC"),
        ("1.2.840.10008.5.1.4.1.1.481.5", "RT PLAN"),
        ("1.2.840.10008.5.1.4.1.1.11.1", "PRESENTATION"),
        ("1.2.840.10008.5.1.4.1.1.9.1.1", "WAVEFORM"),
        ("1.2.840.10008.5.1.4.1.1.104.1", "ENCAP DOC"),
        ("1.3.46.670589.11.0.0.12.1", "PRIVATE"),
    ],
)
def test_record_types_are_those_of_the_standard(sop_class: str, kind: str) -> None:
    assert record_type(sop_class) == kind


# Files that a correct archive must not take as they are, and a word of the right reason.
REFUSED = {
    "charsets/empty_charset_LEI.dcm": "no SOP Class or SOP Instance UID",
    "charsets/chrSQEncoding.dcm": "lacks a legal",
    "odd-and-broken/dcmjs/no-meta-length-test.dcm": "lacks a legal",
    "odd-and-broken/pydicom/bad_sequence.dcm": "breaks the rules for UIDs",
    "odd-and-broken/pydicom/meta_missing_tsyntax.dcm": "names no transfer syntax",
    "odd-and-broken/pydicom/nested_priv_SQ.dcm": "no SOP Class or SOP Instance UID",
    "odd-and-broken/pydicom/MR_truncated.dcm": "truncated",
    "odd-and-broken/pydicom/rtplan_truncated.dcm": "truncated",
    "odd-and-broken/pydicom/emri_small_jpeg_2k_lossless_too_short.dcm": "truncated",
    "odd-and-broken/pydicom/UN_sequence.dcm": "lacks a legal",
    "odd-and-broken/pydicom/no_meta_group_length.dcm": "lacks a legal",
    "odd-and-broken/pydicom/priv_SQ.dcm": "lacks a legal",
    "sr-ko-pr-seg-rt/color-palette/fall.dcm": "not a storage class",
    "sr-ko-pr-seg-rt/color-palette/hotiron.dcm": "not a storage class",
    "transfer-syntaxes/htj2k-deflate-frame/HTJ2KLossless_08_RGB.dcm": "lacks a legal",
    "transfer-syntaxes/htj2k-deflate-frame/HTJ2K_08_RGB.dcm": "lacks a legal",
    "transfer-syntaxes/jpeg-baseline-colour/SC_rgb_jpeg.dcm": "has no value representation",
    "transfer-syntaxes/jpeg-ls/JLSL_08_07_0_1F.dcm": "lacks a legal",
    "transfer-syntaxes/jpeg-ls/JLSL_16_15_1_1F.dcm": "lacks a legal",
    "transfer-syntaxes/jpeg-ls/JPEGLSNearLossless_08.dcm": "lacks a legal",
    "transfer-syntaxes/jpeg-ls/JPEGLSNearLossless_16.dcm": "lacks a legal",
    "transfer-syntaxes/jpeg-ls/SC_rgb_jls_lossy_line.dcm": "lacks a legal",
    "transfer-syntaxes/jpeg-ls/SC_rgb_jls_lossy_sample.dcm": "lacks a legal",
    "transfer-syntaxes/jpeg-ls/JLSL_RGB_ILV0.dcm": "no SOP Class or SOP Instance UID",
    "transfer-syntaxes/jpeg-ls/JLSL_RGB_ILV1.dcm": "no SOP Class or SOP Instance UID",
    "transfer-syntaxes/jpeg-ls/JLSL_RGB_ILV2.dcm": "no SOP Class or SOP Instance UID",
    "transfer-syntaxes/jpeg-ls/JLSN_RGB_ILV0.dcm": "no SOP Class or SOP Instance UID",
} | {f"worklist/dcmtk-wlistdb/OFFIS/wklist{number}.wl": "lacks a legal" for number in range(1, 7)}
NO_META = {
    "odd-and-broken/headless-implicit-real/CR-MONO1-10-chest.dcm",
    "odd-and-broken/headless-implicit-real/OT-PAL-8-face.dcm",
    "odd-and-broken/pydicom/ExplVR_BigEndNoMeta.dcm",
    "odd-and-broken/pydicom/ExplVR_LitEndNoMeta.dcm",
    "odd-and-broken/pydicom/no_meta.dcm",
    "sr-ko-pr-seg-rt/rt-small/rtstruct.dcm",
}


def test_every_real_file_that_must_be_taken_comes_back_equal_and_every_other_has_its_reason(tmp_path: Path) -> None:
    """Through import and export. Instances of one UID in several encodings go each into an archive of their own."""
    folder = need_shared_data()
    unpacked = tmp_path / "in"
    for name, data in dicom_files(folder):
        target = unpacked / name.replace("!", "/").replace(".tar.xz", "")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    assert len(files(unpacked)) > 850
    left = [path for path in files(unpacked) if not path.name.startswith("DICOMDIR")]
    refused: dict[str, str] = {}
    equal = 0
    turn = 0
    while left:
        turn += 1
        with local_archive(tmp_path / f"archive-{turn}") as archive:
            seen: dict[str, bytes] = {}
            later = []
            now = []
            for path in left:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    instance = str(dcmread(path, force=True, specific_tags=["SOPInstanceUID"]).get("SOPInstanceUID"))
                dataset = split_part10(path.read_bytes())[1]
                if seen.get(instance, dataset) != dataset:
                    later.append(path)
                else:
                    seen[instance] = dataset
                    now.append(path)
            report = Importer(archive.ingest).run(now)
            assert report.conflicts == 0
            refused |= {str(Path(name).relative_to(unpacked)): reason for name, reason in report.refused}
            skipped = {name for name, _ in report.skipped}
            taken = [
                path for path in now if str(path.relative_to(unpacked)) not in refused and str(path) not in skipped
            ]
            expected = {split_part10(path.read_bytes())[1] for path in taken}
            studies = sorted({instance.study for instance in archive.everything()})
            if studies:
                export(archive, tmp_path / f"out-{turn}", *studies)
                exported = files(tmp_path / f"out-{turn}")
                assert {split_part10(path.read_bytes())[1] for path in exported} == expected
                equal += len(taken)
        left = later
    assert equal > 770
    assert set(refused) == REFUSED.keys() | {name for name in NO_META if (unpacked / name).exists()}
    for name, reason in refused.items():
        assert REFUSED.get(name, "not a DICOM file") in reason, name


def test_real_files_without_meta_information_are_taken_on_demand(tmp_path: Path) -> None:
    folder = need_shared_data()
    with local_archive(tmp_path / "archive") as archive:
        for name in sorted(NO_META):
            path = folder / name
            report = Importer(archive.ingest, options=ImportOptions(raw_data_sets=True)).run([path])
            if report.taken:
                instance = dcmread(path, force=True).SOPInstanceUID
                assert archive.bytes_of(instance) == path.read_bytes()
        assert archive.index.totals().instances >= 4
