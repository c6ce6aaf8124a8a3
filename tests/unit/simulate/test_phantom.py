"""The phantom of the simulated modality: true values, true geometry, valid objects, and whose they are."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from tests.support import dciodvfy

from vesalius.model.entities import Claim, Values
from vesalius.model.file_meta import file_prefix
from vesalius.simulate.faults import mistyped
from vesalius.simulate.items import typed
from vesalius.simulate.phantom import (
    HOUNSFIELD,
    KINDS,
    Acquisition,
    Device,
    Made,
    bar_code,
    make,
    material,
    wrongly_declared,
)
from vesalius.standard.transfer_syntaxes import EXPLICIT_LE

CODE: Values = {0x00080100: ("CTHEAD",), 0x00080102: ("99SIM",), 0x00080104: ("CT of the head",)}
ITEM: Values = {
    0x00100010: ("Müller^Käthe",),
    0x00100020: ("P4711",),
    0x00100021: ("HOSPITAL",),
    0x00100030: ("19700101",),
    0x00100040: ("F",),
    0x00080090: ("House^Rita^^Dr.",),
    0x0020000D: ("1.2.3.4",),
    0x00080050: ("A1",),
    0x00401001: ("RP1",),
    0x00321060: ("CT of the head",),
    0x00321064: (CODE,),
    0x00400100: ({0x00400009: ("S1",), 0x00400007: ("Head, native",), 0x00400008: (CODE,)},),
}
RUN = Acquisition("PPS1", "20261124101500", "1.2.9")


def uids() -> Any:
    numbers = itertools.count(1)
    return lambda: f"1.2.826.0.1.{next(numbers)}"


def series(modality: str, item: Values = ITEM, run: Acquisition = RUN, **device: Any) -> list[Dataset]:
    return [read(made) for made in make(item, Device("CT1", modality, **device), run, uids=uids())]


def read(made: Made) -> Dataset:
    return pydicom.dcmread(io.BytesIO(whole(made)))


def whole(made: Made) -> bytes:
    return file_prefix(Claim(made.sop_class, made.sop_instance, EXPLICIT_LE)) + made.data


def test_every_voxel_of_a_ct_has_the_hounsfield_units_of_what_is_there() -> None:
    images = series("CT", size=64, slices=5)
    assert len(images) == 5
    seen = set()
    for number, ds in enumerate(images):
        hu = ds.pixel_array.astype(int) * int(ds.RescaleSlope) + int(ds.RescaleIntercept)
        x0, y0, z0 = map(float, ds.ImagePositionPatient)
        row_step, column_step = map(float, ds.PixelSpacing)
        rows, columns = np.mgrid[0:63, 0:64]  # the last row is the bar code
        there = material(x0 + columns * column_step, y0 + rows * row_step)
        assert (hu[:-1] == HOUNSFIELD[there]).all()
        assert z0 == 5.0 * number
        seen |= set(np.unique(hu[:-1]))
        assert ((hu[-1] > 0) == bar_code(ds.SOPInstanceUID, 64)).all()
    assert seen == {-1000, -100, 0, 1000}
    assert len({ds.FrameOfReferenceUID for ds in images}) == len({ds.SeriesInstanceUID for ds in images}) == 1


def test_no_flip_of_the_phantom_is_the_phantom() -> None:
    centres = -128 + (np.arange(64) + 0.5) * 4
    there = material(centres[np.newaxis], centres[:, np.newaxis])
    for flipped in (there[::-1], there[:, ::-1], there[::-1, ::-1]):
        assert not (flipped == there).all()


@pytest.mark.parametrize("modality", KINDS)
@pytest.mark.parametrize("kind", ["scheduled", "unscheduled"])
def test_each_object_is_valid(modality: str, kind: str, tmp_path: Path) -> None:
    dciodvfy.need()
    item = ITEM if kind == "scheduled" else {**typed("E1", "Unknown^Male"), 0x0020000D: ("1.2.5",)}
    made = next(make(item, Device("X1", modality), RUN if kind == "scheduled" else Acquisition("P2", RUN.start)))
    path = tmp_path / "one.dcm"
    path.write_bytes(whole(made))
    said = dciodvfy.said_of(path)
    assert "Error" not in said and f"{modality}Image" in said, said


def test_whom_and_what_for_is_copied_from_the_worklist_item() -> None:
    ds = series("CT")[0]
    assert (ds.PatientName, ds.PatientID, ds.IssuerOfPatientID) == ("Müller^Käthe", "P4711", "HOSPITAL")
    assert (ds.StudyInstanceUID, ds.AccessionNumber, ds.StudyID) == ("1.2.3.4", "A1", "RP1")
    assert (ds.StudyDescription, ds.ProcedureCodeSequence[0].CodeValue) == ("CT of the head", "CTHEAD")
    assert ds.ReferringPhysicianName == "House^Rita^^Dr."
    request = ds.RequestAttributesSequence[0]
    assert (request.RequestedProcedureID, request.ScheduledProcedureStepID) == ("RP1", "S1")
    assert request.AccessionNumber == "A1"
    assert request.ScheduledProcedureStepDescription == "Head, native"
    assert request.ScheduledProtocolCodeSequence[0].CodeValue == "CTHEAD"
    assert ds.PerformedProtocolCodeSequence[0].CodeValue == "CTHEAD"
    (step,) = ds.ReferencedPerformedProcedureStepSequence
    assert (step.ReferencedSOPClassUID, step.ReferencedSOPInstanceUID) == ("1.2.840.10008.3.1.2.3.3", "1.2.9")
    assert (ds.PerformedProcedureStepID, ds.PerformedProcedureStepStartDate) == ("PPS1", "20261124")


def test_an_unscheduled_examination_has_no_order() -> None:
    item = {**typed("E1", "Unknown^Male", sex="M"), 0x0020000D: ("1.2.5",)}
    ds = series("CT", item, Acquisition("P2", RUN.start))[0]
    assert "RequestAttributesSequence" not in ds and ds.AccessionNumber == ""
    assert (ds.PatientID, ds.PatientSex, ds.PatientBirthDate) == ("E1", "M", "")


def test_names_of_every_script_are_written_so_that_they_are_read_again() -> None:
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    ds = series("US", {**ITEM, 0x00100010: (name,)})[0]
    assert (ds.SpecificCharacterSet, str(ds.PatientName)) == ("ISO_IR 192", name)


def test_the_faults_of_a_console_are_in_the_data_set_and_nowhere_else() -> None:
    made = next(make(ITEM, Device("CT1", "CT"), RUN, uids=uids()))
    wrong = wrongly_declared(made.data)
    assert len(wrong) == len(made.data) and b"ISO_IR 192" in wrong and "Müller".encode("latin-1") in wrong
    assert mistyped(ITEM)[0x00100020] == ("P4171",)
    assert mistyped(typed("A0012", "X"))[0x00100020] == ("A0021",)
    assert mistyped(typed("111", "X"))[0x00100020] == ("1110",)
