"""WADO-RS of studies, series and instances: containers, transfer syntaxes, what cannot be delivered."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet
from tests.support.archive import dataset_of
from tests.support.elements import pixels
from tests.support.generate import ct, part10
from tests.support.multipart import split
from tests.support.web import Answer, Web, web

from vesalius.model.entities import Claim, Level
from vesalius.standard.transfer_syntaxes import EXPLICIT_LE
from vesalius.web import streaming, wado
from vesalius.web.streaming import BrokenOff

HTJ2K, LS, J2K, RLE, SV1 = (
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.70",
)
BASELINE, EXTENDED, DEFLATED, IMPLICIT = (
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2",
)
MPEG4 = "1.2.840.10008.1.2.4.102"


def accept(syntax: str = "") -> dict[str, str]:
    return {"accept": 'multipart/related; type="application/dicom"' + (f"; transfer-syntax={syntax}" if syntax else "")}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("wado")) as opened:
        for study, series, instance in ((1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1)):
            opened.archive.keep(ct(study, series, instance))
        ds = ct(3, 1, 1)
        implicit = part10(ds, IMPLICIT)
        opened.archive.store(dataset_of(implicit), Claim(str(ds.SOPClassUID), str(ds.SOPInstanceUID), IMPLICIT))
        for number in (1, 2):  # a video beside an image
            ds = ct(4, 1, number)
            if number == 1:
                opened.archive.keep(ds)
                continue
            del ds.PixelData
            video = dataset_of(part10(ds)) + pixels(b"\0\0\0\x18ftypmp42")
            opened.archive.store(video, Claim(str(ds.SOPClassUID), str(ds.SOPInstanceUID), MPEG4))
        yield opened


def path_of(ds: Dataset, level: Level = Level.IMAGE) -> str:
    path = f"/studies/{ds.StudyInstanceUID}"
    if level >= Level.SERIES:
        path += f"/series/{ds.SeriesInstanceUID}"
    return path + (f"/instances/{ds.SOPInstanceUID}" if level is Level.IMAGE else "")


def files(answer: Answer) -> list[bytes]:
    return [part.content for part in split(answer.headers["content-type"], answer.body)]


@pytest.mark.parametrize(("level", "count"), [(Level.STUDY, 3), (Level.SERIES, 2), (Level.IMAGE, 1)])
def test_what_was_stored_comes_back_byte_for_byte_at_every_level(site: Web, level: Level, count: int) -> None:
    answer = site.dicom_web(path_of(ct(1, 1, 1), level), headers=accept("*"))
    assert answer.status == 200
    assert int(answer.headers["content-length"]) == len(answer.body)
    found = files(answer)
    assert len(found) == count
    assert part10(ct(1, 1, 1))[-1000:] in b"".join(file[-1000:] for file in found)
    sent = {dataset_of(file) for file in found}
    kept = [ct(1, 1, 1), ct(1, 1, 2), ct(1, 2, 1)]
    assert sent == {dataset_of(part10(ds)) for ds in kept[:count]}


def test_files_begin_with_a_preamble_of_zeros(site: Web) -> None:
    (file,) = files(site.dicom_web(path_of(ct(2, 1, 1)), headers=accept("*")))
    assert file[:128] == bytes(128) and file[128:132] == b"DICM"


def test_a_single_part_is_one_file_and_only_for_one_instance(site: Web) -> None:
    answer = site.dicom_web(path_of(ct(2, 1, 1)), headers={"accept": "application/dicom"})
    assert answer.status == 200
    assert answer.headers["content-type"] == f"application/dicom; transfer-syntax={EXPLICIT_LE}"
    assert dcmread(io.BytesIO(answer.body)).SOPInstanceUID == ct(2, 1, 1).SOPInstanceUID
    assert site.dicom_web(path_of(ct(1, 1, 1), Level.STUDY), headers={"accept": "application/dicom"}).status == 406


@pytest.mark.parametrize("headers", [{}, {"accept": "*/*"}, {"accept": "multipart/related"}, accept()])
def test_the_default_is_multipart_in_explicit_vr_little_endian(site: Web, headers: dict[str, str]) -> None:
    answer = site.dicom_web(path_of(ct(3, 1, 1)), headers=headers)
    (part,) = split(answer.headers["content-type"], answer.body)
    assert part.type == f"application/dicom; transfer-syntax={EXPLICIT_LE}"
    assert dcmread(io.BytesIO(part.content)).file_meta.TransferSyntaxUID == EXPLICIT_LE


@pytest.mark.parametrize("syntax", [HTJ2K, LS, J2K, RLE, SV1, DEFLATED])
def test_every_lossless_transfer_syntax_is_made_and_has_the_same_pixels(site: Web, syntax: str) -> None:
    answer = site.dicom_web(path_of(ct(1, 1, 1)), headers=accept(syntax))
    assert answer.status == 200
    (file,) = files(answer)
    ds = dcmread(io.BytesIO(file))
    assert ds.file_meta.TransferSyntaxUID == syntax
    stored = dataset_of(part10(ct(1, 1, 1)))
    if syntax == HTJ2K:  # pydicom needs a further package for it
        import imagecodecs
        from pydicom.encaps import generate_frames

        (frame,) = generate_frames(ds.PixelData, number_of_frames=1)
        got = imagecodecs.jpeg2k_decode(frame)
    else:
        got = ds.pixel_array
    expected = np.frombuffer(stored[-len(ct(1, 1, 1).PixelData) :], "<u2").reshape(16, 16)
    assert np.array_equal(got & 0x0FFF, expected & 0x0FFF)  # pydicom masks what lies above Bits Stored, not always


def test_the_first_syntax_that_can_be_made_wins_and_the_stored_one_among_equals(site: Web) -> None:
    path = path_of(ct(1, 1, 1))
    two = 'multipart/related; type="application/dicom"; transfer-syntax={}{}'
    both = two.format(LS, "") + ", " + two.format(EXPLICIT_LE, "")
    (part,) = split(*_both(site.dicom_web(path, headers={"accept": both})))
    assert part.type.endswith(EXPLICIT_LE)
    weighted = two.format(LS, ";q=0.9") + ", " + two.format(EXPLICIT_LE, ";q=0.5")
    (part,) = split(*_both(site.dicom_web(path, headers={"accept": weighted})))
    assert part.type.endswith(LS)
    unknown_first = two.format(MPEG4, "") + ", " + two.format(RLE, ";q=0.1")
    (part,) = split(*_both(site.dicom_web(path, headers={"accept": unknown_first})))
    assert part.type.endswith(RLE)


def _both(answer: Answer) -> tuple[str, bytes]:
    assert answer.status == 200, answer.body
    return answer.headers["content-type"], answer.body


def test_loss_happens_only_when_it_is_asked_for_and_is_written_down(tmp_path: Path) -> None:
    with web(tmp_path) as own:
        octets = ct(7, 1, 1, BitsAllocated=8, BitsStored=8, HighBit=7, rows=32, columns=32)
        octets.PixelData = bytes((row + column) * 4 & 0xFF for row in range(32) for column in range(32))
        own.archive.keep(octets)
        ds = ct(7, 1, 2)
        own.archive.keep(ds)
        (file,) = files(own.dicom_web(path_of(octets), headers=accept(BASELINE)))
        lossy = dcmread(io.BytesIO(file))
        assert lossy.file_meta.TransferSyntaxUID == BASELINE
        assert (lossy.LossyImageCompression, lossy.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
        assert lossy.ImageType[0] == "DERIVED" and lossy.SOPInstanceUID == octets.SOPInstanceUID
        assert (
            np.abs(lossy.pixel_array.astype(int) - np.frombuffer(octets.PixelData, np.uint8).reshape(32, 32)).max() < 60
        )
        # Twelve bits do not fit the baseline process: nothing of it can be given so.
        assert own.dicom_web(path_of(ds), headers=accept(BASELINE)).status == 406
        assert own.dicom_web(path_of(ds, Level.STUDY), headers=accept(BASELINE)).status == 206


def test_what_cannot_be_turned_is_left_out_counted_and_206(site: Web) -> None:
    study = path_of(ct(4, 1, 1), Level.STUDY)
    answer = site.dicom_web(study, headers=accept(LS))
    assert answer.status == 206
    assert answer.headers["warning"] == '299 Vesalius: "1 of 2 instances could not be delivered"'
    assert len(files(answer)) == 1
    assert site.dicom_web(study, headers=accept("*")).status == 200
    # Without a named syntax a video goes out in the only form there is.
    answer = site.dicom_web(study, headers=accept())
    assert answer.status == 200
    assert {part.type.rpartition("=")[2] for part in split(*_both(answer))} == {EXPLICIT_LE, MPEG4}
    assert site.dicom_web(path_of(ct(4, 1, 2)), headers=accept(LS)).status == 406


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("text/html", 406),
        ('multipart/related; type="application/dicom"; q=0', 406),
        ('multipart/related; type="application/dicom"; transfer-syntax=nonsense', 400),
        ("multipart/related; type=", 200),
        ("///", 400),
        ("multipart/related; q=2", 400),
        (f'multipart/related; type="application/dicom"; transfer-syntax={MPEG4}', 406),
    ],
)
def test_what_no_one_can_produce_is_406_and_what_no_one_can_read_is_400(site: Web, header: str, status: int) -> None:
    assert site.dicom_web(path_of(ct(1, 1, 1)), headers={"accept": header}).status == status


def test_unknown_is_404_and_an_illegal_uid_400(site: Web) -> None:
    assert site.dicom_web("/studies/1.2.3").status == 404
    for path in ("/studies/..%2f..%2fetc", "/studies/1.2.abc", "/studies/" + "1" * 65):
        assert site.dicom_web(path).status in (400, 404), path
    ds = ct(1, 1, 1)
    wrong = f"/studies/{ct(2, 1, 1).StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
    assert site.dicom_web(wrong).status == 404


def test_head_says_the_same_without_a_body(site: Web) -> None:
    path = path_of(ct(1, 1, 1), Level.STUDY)
    answer = site.dicom_web(path, "HEAD", accept("*"))
    assert answer.status == 200 and answer.body == b""
    assert int(answer.headers["content-length"]) == len(site.dicom_web(path, headers=accept("*")).body)


def damage(site: Web, ds: Dataset) -> None:
    """One byte of the stored data set is another."""
    instance = next(each for each in site.archive.everything() if each.sop_instance == ds.SOPInstanceUID)
    (path,) = site.archive.blobs._volume.root.glob(f"{instance.member.pack}*.tar")
    with path.open("r+b") as file:
        file.seek(instance.member.dataset_offset + instance.member.dataset_length - 10)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes((byte[0] ^ 1,)))


def test_a_damaged_instance_is_never_sent(tmp_path: Path) -> None:
    with web(tmp_path) as own:
        kept = [ct(5, 1, number) for number in (1, 2, 3)]
        for ds in kept:
            own.archive.keep(ds)
        damage(own, kept[1])
        assert own.dicom_web(path_of(kept[1]), headers=accept("*")).status == 500
        answer = own.dicom_web(path_of(kept[0], Level.STUDY), headers=accept("*"))
        assert answer.status == 206 and "1 of 3" in answer.headers["warning"]
        assert {dcmread(io.BytesIO(file)).SOPInstanceUID for file in files(answer)} == {
            kept[0].SOPInstanceUID,
            kept[2].SOPInstanceUID,
        }
        packed = own.dicom_web(path_of(kept[0], Level.STUDY), headers={"accept": "application/zip"})
        with zipfile.ZipFile(io.BytesIO(packed.body)) as archive:
            assert kept[1].SOPInstanceUID.encode() in archive.read("MISSING.TXT")


def after_late_damage(own: Web, count: int, place: int) -> Answer:
    """The answer to the request after one that broke off: of so many large instances one, from 0, is damaged."""
    kept = [ct(6, 1, number, rows=512, columns=512) for number in range(1, count + 1)]
    for ds in kept:
        own.archive.keep(ds)
    damage(own, kept[place])
    path = path_of(kept[0], Level.STUDY)
    with pytest.raises(BrokenOff):
        own.dicom_web(path, headers=accept("*"))
    return own.dicom_web(path, headers=accept("*"))


def test_damage_met_late_breaks_off_and_the_next_request_says_206(tmp_path: Path) -> None:
    with web(tmp_path) as own:
        assert after_late_damage(own, 3, 2).status == 206


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every client is a quick one, whose messages hold a few instances each."""
    monkeypatch.setattr(streaming, "PROVEN", 0)
    monkeypatch.setattr(streaming, "QUICK", 60.0)
    for module in (wado, streaming):
        monkeypatch.setattr(module, "MESSAGE", 300_000)


@pytest.mark.usefixtures("quick")
def test_a_quick_client_gets_every_byte_too(tmp_path: Path) -> None:
    with web(tmp_path) as own:
        kept = [
            ct(7, 1, n, rows=side, columns=side) for n, side in enumerate((300, 8, 16, 500, 700, 8, 400, 200, 64), 1)
        ]
        for ds in kept:
            own.archive.keep(ds)
        for _ in range(3):  # in memory that was used before
            answer = own.dicom_web(path_of(kept[0], Level.STUDY), headers=accept("*"))
            assert int(answer.headers["content-length"]) == len(answer.body)
            assert {dataset_of(file) for file in files(answer)} == {dataset_of(part10(ds)) for ds in kept}


@pytest.mark.usefixtures("quick")
def test_damage_that_a_quick_client_meets_breaks_off_and_the_next_request_says_206(tmp_path: Path) -> None:
    with web(tmp_path) as own:
        answer = after_late_damage(own, 6, 4)
        assert answer.status == 206 and len(files(answer)) == 5


def test_a_study_as_zip_is_a_medium_that_others_read(site: Web, tmp_path: Path) -> None:
    answer = site.dicom_web(path_of(ct(1, 1, 1), Level.STUDY), headers={"accept": "application/zip"})
    assert answer.status == 200
    assert answer.headers["content-disposition"] == 'attachment; filename="study.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert names[-1] == "DICOMDIR" and len(names) == 4
        archive.extractall(tmp_path)
    found = {instance.SOPInstanceUID for instance in FileSet(tmp_path / "DICOMDIR")}
    assert found == {ct(1, 1, 1).SOPInstanceUID, ct(1, 1, 2).SOPInstanceUID, ct(1, 2, 1).SOPInstanceUID}
    assert {dataset_of((tmp_path / name).read_bytes()) for name in names[:-1]} == {
        dataset_of(part10(ds)) for ds in (ct(1, 1, 1), ct(1, 1, 2), ct(1, 2, 1))
    }


def test_a_zip_in_another_transfer_syntax_says_so_in_its_dicomdir(site: Web, tmp_path: Path) -> None:
    header = f"application/zip; transfer-syntax={RLE}"
    answer = site.dicom_web(path_of(ct(1, 1, 1)), headers={"accept": header})
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        archive.extractall(tmp_path)
    (record,) = FileSet(tmp_path / "DICOMDIR")
    assert record.load().file_meta.TransferSyntaxUID == RLE
