"""DCMTK's users of the services towards this archive: echoscu, storescu, dcmsend, findscu, movescu, getscu."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from tests.interop.conftest import Site
from tests.support import dcmtk
from tests.support.corpus import split_file
from tests.support.data import need_shared_data
from tests.support.generate import ct, part10, uid
from tests.support.raw_dicom import STUDY_GET
from tests.support.raw_peer import LEVEL, Kept, RawScu
from tests.support.server import listing

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
WHERE = ("-aec", "VESALIUS")


def run(tool: str, site: Site, *args: str | Path, check: bool = True) -> str:
    return dcmtk.run(tool, *WHERE, *args, check=check).stdout


def here(site: Site) -> tuple[str, str]:
    return "127.0.0.1", str(site.port)


def fetch(site: Site, study: str, pairs: list[tuple[str, str]]) -> list[Kept]:
    contexts = [(STUDY_GET, [IMPLICIT]), *((sop_class, [syntax]) for sop_class, syntax in pairs)]
    with RawScu.associate(site.port, contexts, roles=[sop_class for sop_class, _ in pairs]) as scu:
        got = scu.get({LEVEL: "STUDY", 0x0020000D: study})
        assert got.status == 0
        return got.kept


def test_echoscu(site: Site) -> None:
    assert "Echo Response (Success)" in run("echoscu", site, "-v", *here(site))


def test_echoscu_with_128_contexts_of_38_transfer_syntaxes(site: Site) -> None:
    text = run("echoscu", site, "-d", "-ppc", "128", "-pts", "38", "--repeat", "20", *here(site))
    assert text.count("Received Echo Response (Success)") == 20
    assert text.count("(Accepted)") == 128


def test_echoscu_is_refused_for_another_called_title(site: Site) -> None:
    done = dcmtk.run("echoscu", "-v", "-aec", "SOMEONE", *here(site), check=False)
    assert done.returncode
    assert "Called AE Title Not Recognized" in done.stdout


def test_echoscu_with_user_identity_that_nobody_checks(site: Site) -> None:
    run("echoscu", site, *here(site))
    file = site.folder / "0.dcm"
    run("storescu", site, "-usr", "someone", "-pwd", "secret", *here(site), file)
    # A positive response was asked for and none is given: the requester may end the association (PS3.7 D.3.3.7.1).
    assert "secret" not in site.server.log_text()


SYNTAXES = {
    "-x=": EXPLICIT,
    "-xe": EXPLICIT,
    "-xb": "1.2.840.10008.1.2.2",
    "-xi": IMPLICIT,
    "-xs": "1.2.840.10008.1.2.4.70",
    "-xy": "1.2.840.10008.1.2.4.50",
    "-xx": "1.2.840.10008.1.2.4.51",
    "-xv": "1.2.840.10008.1.2.4.90",
    "-xw": "1.2.840.10008.1.2.4.91",
    "-xt": "1.2.840.10008.1.2.4.80",
    "-xu": "1.2.840.10008.1.2.4.81",
    "-xr": "1.2.840.10008.1.2.5",
    "-xd": "1.2.840.10008.1.2.1.99",
}


@pytest.mark.parametrize("option", SYNTAXES)
def test_storescu_in_every_transfer_syntax_that_it_knows(site: Site, option: str, tmp_path: Path) -> None:
    syntax = SYNTAXES[option]
    folder = need_shared_data() / "transfer-syntaxes/one-ct-in-15-syntaxes"
    ds = pydicom.dcmread(next(folder.glob(f"*_{syntax}.dcm")))
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid("storescu", option)
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.PatientID = uid("storescu", option, 0), uid("s", option), option
    file = tmp_path / "one.dcm"
    ds.save_as(file)
    run("storescu", site, option, "--max-send-pdu", "131072", *here(site), file)
    (kept,) = fetch(site, ds.StudyInstanceUID, [(ds.SOPClassUID, syntax)])
    assert kept.transfer_syntax == syntax
    if syntax == "1.2.840.10008.1.2.1.99":
        return  # deflated anew on the way
    # DCMTK writes sequences and offset tables its own way, but the pixels must be the same.
    pixels = ds.PixelData if not ds["PixelData"].is_undefined_length else next(generate_frames(ds.PixelData))
    assert pixels in kept.dataset


@pytest.mark.parametrize("size", ["4096", "16384", "131072"])
def test_storescu_with_small_and_large_pdus(site: Site, size: str, tmp_path: Path) -> None:
    ds = ct(f"pdu-{size}", rows=256, columns=256)
    (tmp_path / "one.dcm").write_bytes(part10(ds))
    run("storescu", site, "-pdu", size, "--max-send-pdu", size, *here(site), tmp_path / "one.dcm")
    (kept,) = fetch(site, ds.StudyInstanceUID, [(ds.SOPClassUID, EXPLICIT)])
    assert kept.dataset == split_file(part10(ds))[1]


def test_storescu_that_aborts_at_the_end_has_stored(site: Site, tmp_path: Path) -> None:
    ds = ct("abort")
    (tmp_path / "one.dcm").write_bytes(part10(ds))
    run("storescu", site, "--abort", *here(site), tmp_path / "one.dcm", check=False)
    assert len(listing("find", f"StudyInstanceUID={ds.StudyInstanceUID}", data=site.data)) == 1


def test_storescu_hears_why_its_instance_is_refused(site: Site, tmp_path: Path) -> None:
    ds = ct("refused")
    del ds.StudyInstanceUID
    (tmp_path / "one.dcm").write_bytes(part10(ds))
    done = dcmtk.run("storescu", "-d", *WHERE, *here(site), tmp_path / "one.dcm", check=False)
    assert done.returncode
    assert "0xa900" in done.stdout.lower()


def test_dcmsend_of_a_folder_with_many_transfer_syntaxes(site: Site, tmp_path: Path) -> None:
    folder = need_shared_data() / "transfer-syntaxes/one-mr-in-9-syntaxes"
    for n, path in enumerate(sorted(folder.glob("*.dcm"))):
        ds = pydicom.dcmread(path)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid("dcmsend", n)
        ds.StudyInstanceUID, ds.PatientID = uid("dcmsend"), "DCMSEND"
        ds.save_as(tmp_path / f"{n}.dcm")
    report = tmp_path / "report.txt"
    run("dcmsend", site, "-dn", "+sd", "+r", "+crf", report, *here(site), tmp_path, "+sp", "*.dcm")
    files = len(list(tmp_path.glob("*.dcm")))
    assert files == 9
    assert re.search(r"with status SUCCESS\s*: 9\b", report.read_text())
    (study,) = listing("find", "PatientID=DCMSEND", "NumberOfStudyRelatedInstances", data=site.data)
    assert int(str(study["NumberOfStudyRelatedInstances"])) == 9


def answers(site: Site, folder: Path, *args: str) -> list[Dataset]:
    """The identifiers of a findscu run, read by pydicom."""
    folder.mkdir()
    run("findscu", site, "-X", "-od", folder, *args, *here(site))
    return [pydicom.dcmread(path) for path in sorted(folder.glob("rsp*.dcm"))]


def keys(*pairs: str) -> list[str]:
    return [word for pair in pairs for word in ("-k", pair)]


def test_findscu_at_every_level_of_every_model(site: Site, tmp_path: Path) -> None:
    study, series = site.first[0].StudyInstanceUID, site.first[0].SeriesInstanceUID
    patient = ("PatientID=INTEROP-1",)
    up = {
        "PATIENT": patient,
        "STUDY": (*patient, "StudyInstanceUID"),
        "SERIES": (*patient, f"StudyInstanceUID={study}", "SeriesInstanceUID"),
        "IMAGE": (*patient, f"StudyInstanceUID={study}", f"SeriesInstanceUID={series}", "SOPInstanceUID"),
    }
    counts = {"PATIENT": 1, "STUDY": 1, "SERIES": 2, "IMAGE": 3}
    for model, levels in {"-P": counts, "-S": list(counts)[1:], "-O": list(counts)[:2]}.items():
        for level in levels:
            some = up[level] if model != "-S" else tuple(key for key in up[level] if key not in patient)
            more = ("PatientID=INTEROP-1",) if (model, level) == ("-S", "STUDY") else ()
            where = tmp_path / f"{model[1:]}-{level}"
            found = answers(site, where, model, *keys(f"QueryRetrieveLevel={level}", *some, *more))
            assert len(found) == counts[level], (model, level)
            for one in found:
                assert one.QueryRetrieveLevel == level
                assert one.RetrieveAETitle == "VESALIUS"
                assert one.InstanceAvailability == "ONLINE"


def test_findscu_that_cancels_gets_fewer(site: Site) -> None:
    args = ("-S", "--cancel", "1", *keys("QueryRetrieveLevel=STUDY", "StudyInstanceUID"))
    text = run("findscu", site, "-d", *args, *here(site))
    assert "Success" in text or "Cancel" in text


def test_findscu_hears_what_is_wrong_with_its_question(site: Site) -> None:
    args = ("-S", *keys("QueryRetrieveLevel=STUDY", "StudyDate=20250101-20240101", "StudyInstanceUID"))
    text = dcmtk.run("findscu", "-d", *WHERE, *args, *here(site), check=False).stdout
    assert "0xc000" in text.lower()


def test_movescu_receives_what_it_asked_for(site: Site, tmp_path: Path) -> None:
    args = ("-S", "-aet", "MOVESCU", "-aem", "MOVESCU", "+P", str(site.ports["MOVESCU"]), "+xa", "-od", tmp_path)
    study = site.first[0].StudyInstanceUID
    run("movescu", site, *args, *keys("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={study}"), *here(site))
    got = sorted(pydicom.dcmread(path).SOPInstanceUID for path in tmp_path.iterdir())
    assert got == sorted(ds.SOPInstanceUID for ds in site.first)


def test_movescu_to_an_unknown_destination_hears_a801(site: Site) -> None:
    args = ("-S", "-aem", "NOWHERE", *keys("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={uid('x')}"))
    text = dcmtk.run("movescu", "-d", *WHERE, *args, *here(site), check=False).stdout
    assert "0xa801" in text.lower()


@pytest.mark.parametrize("model", ["-P", "-S"])
@pytest.mark.parametrize("level", ["STUDY", "SERIES", "IMAGE"])
def test_getscu_receives_every_byte(site: Site, model: str, level: str, tmp_path: Path) -> None:
    one = site.first[0]
    asked = [f"QueryRetrieveLevel={level}", f"StudyInstanceUID={one.StudyInstanceUID}"]
    if model == "-P":
        asked.append(f"PatientID={one.PatientID}")
    if level != "STUDY":
        asked.append(f"SeriesInstanceUID={one.SeriesInstanceUID}")
    if level == "IMAGE":
        asked.append(f"SOPInstanceUID={one.SOPInstanceUID}")
    run("getscu", site, model, "+B", "-od", tmp_path, *keys(*asked), *here(site))
    got = {split_file(path.read_bytes())[1] for path in tmp_path.iterdir()}
    wanted = {"STUDY": site.first, "SERIES": site.first[:3], "IMAGE": site.first[:1]}[level]
    assert got == {split_file(part10(ds))[1] for ds in wanted}


def test_getscu_of_compressed_images_that_it_did_not_propose_gets_pixels_that_it_can_read(
    site: Site, tmp_path: Path
) -> None:
    folder = need_shared_data() / "transfer-syntaxes/one-ct-in-15-syntaxes"
    ds = pydicom.dcmread(next(folder.glob("*_1.2.840.10008.1.2.4.80.dcm")))
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid("getscu")
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.PatientID = uid("getscu", 0), uid("getscu", 1), "GETSCU"
    ds.save_as(tmp_path / "sent.dcm")
    run("storescu", site, "-xt", *here(site), tmp_path / "sent.dcm")
    got = tmp_path / "got"
    got.mkdir()
    asked = keys("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={ds.StudyInstanceUID}")
    run("getscu", site, "-S", "-od", got, *asked, *here(site))
    (path,) = got.iterdir()
    received = pydicom.dcmread(path)
    assert received.file_meta.TransferSyntaxUID in (EXPLICIT, IMPLICIT)
    plain = pydicom.dcmread(next(folder.glob("*_1.2.840.10008.1.2.1.dcm")))
    assert np.array_equal(received.pixel_array, plain.pixel_array)
