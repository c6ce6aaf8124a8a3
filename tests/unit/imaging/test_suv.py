"""SUV: equal to the published pseudo-code of QIBA, refused where a header does not carry it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from tests.support import qiba
from tests.support.data import need_shared_data

from vesalius.imaging.suv import NoValue, SuvKind, body, suv_of
from vesalius.imaging.values import Wish, plan

STORED = np.array([[0, 1, 7], [100, 20000, 32767]], np.int16)


def pet(**changed: object) -> Dataset:
    ds = Dataset()
    ds.Modality, ds.SOPInstanceUID = "PT", "1.2.3"
    ds.CorrectedImage, ds.DecayCorrection, ds.Units = ["DECY", "ATTN", "SCAT"], "START", "BQML"
    ds.SeriesDate, ds.SeriesTime = "20240131", "101500.00"
    ds.AcquisitionDate, ds.AcquisitionTime = "20240131", "101730.500000"
    ds.PatientWeight, ds.PatientSize, ds.PatientSex = "71.5", "1.68", "F"
    ds.RescaleSlope, ds.RescaleIntercept = "1.37", "0"
    ds.BitsStored, ds.PixelRepresentation = 16, 1
    ds.FrameReferenceTime, ds.ActualFrameDuration = "255123.5", "180000"
    info = Dataset()
    info.RadiopharmaceuticalStartTime, info.RadionuclideTotalDose = "090740.00", "368500000"
    info.RadionuclideHalfLife = "6586.2"
    ds.RadiopharmaceuticalInformationSequence = [info]
    for name, value in changed.items():
        target = info if name.startswith("Radio") else ds
        if value is None:
            delattr(target, name)
        else:
            setattr(target, name, value)
    return ds


def private(ds: Dataset, group: int, creator: str, element: int, vr: str, value: object) -> Dataset:
    ds.private_block(group, creator, create=True).add_new(element, vr, value)
    return ds


def later(**changed: object) -> Dataset:
    """A series that was made anew after the acquisition."""
    return pet(SeriesTime="153000", **changed)


CASES: dict[str, Callable[[], Dataset]] = {
    "series time": pet,
    "series time at acquisition": lambda: pet(SeriesTime="101730.500000"),
    "another slope": lambda: pet(RescaleSlope="0.70494"),
    "intercept": lambda: pet(RescaleIntercept="-3.5"),
    "injection by date and time": lambda: pet(RadiopharmaceuticalStartDateTime="20240130090740.25"),
    "injected before midnight": lambda: pet(RadiopharmaceuticalStartTime="233000"),
    "GE, series made later": lambda: private(later(), 0x0009, "GEMS_PETD_01", 0x0D, "DT", "20240131101412.00"),
    "made later, by the frame": later,
    "made later, C-11": lambda: later(RadionuclideHalfLife="1223.4"),
    "Philips SUV factor": lambda: private(
        pet(Units="CNTS"), 0x7053, "Philips PET Private Group", 0x00, "DS", "0.000371"
    ),
    "Philips activity factor": lambda: private(
        pet(Units="CNTS"), 0x7053, "Philips PET Private Group", 0x09, "DS", "1.9371"
    ),
    "already an SUV": lambda: pet(Units="GML"),
}


@pytest.mark.parametrize("case", CASES)
def test_suv_by_weight_equals_the_published_pseudo_code(case: str) -> None:
    ds = CASES[case]()
    found = plan([ds], Wish.SUV_BODY_WEIGHT).meaning(0).of(STORED)
    expected = qiba.suv_bw(ds, STORED)
    np.testing.assert_array_max_ulp(found, expected.astype(np.float32), maxulp=1)
    assert plan([ds], Wish.SUV_BODY_WEIGHT).unit == "g/ml{SUVbw}"


def test_decay_corrected_to_administration_the_dose_does_not_decay() -> None:
    factor = suv_of([pet(DecayCorrection="ADMIN")]).factor
    assert factor == pytest.approx(71500 / 368500000, rel=1e-12)


def test_the_scan_began_with_the_first_bed_position_of_the_series() -> None:
    # The series time is after the first bed position but before the second: seen alone, the second would mislead.
    first, second = (
        pet(SeriesTime="101800", AcquisitionTime="101730"),
        pet(SeriesTime="101800", AcquisitionTime="102100"),
    )
    second.FrameReferenceTime = "465123.5"
    both, alone = suv_of([second, first]).factor, suv_of([first]).factor
    assert both == pytest.approx(alone, rel=1e-5)
    assert suv_of([first]).notes[0].code == "suv-scan-start"


def test_siemens_says_in_private_what_decay_is_corrected_to() -> None:
    ds = private(later(), 0x0071, "SIEMENS MED PT", 0x22, "DT", "20240131101505.000000")
    seconds = 3600 + 7 * 60 + 25
    assert suv_of([ds]).factor == pytest.approx(71500 / (368500000 * 2 ** (-seconds / 6586.2)), rel=1e-12)


def test_a_private_time_of_another_day_was_forgotten_by_de_identification_and_is_not_used() -> None:
    ds = private(later(), 0x0009, "GEMS_PETD_01", 0x0D, "DT", "20231204101412.00")
    assert suv_of([ds]).factor == suv_of([later()]).factor


def test_an_injection_on_a_shifted_date_is_taken_by_its_time_of_day_and_told() -> None:
    found = suv_of([pet(RadiopharmaceuticalStartDateTime="20231204090740.00")])
    assert found.factor == suv_of([pet()]).factor
    assert [each.code for each in found.notes] == ["suv-injection-date"]


def test_an_offset_of_the_injection_is_turned_into_the_time_of_the_scanner() -> None:
    ds = pet(RadiopharmaceuticalStartDateTime="20240131080740.00+0000", TimezoneOffsetFromUTC="+0100")
    assert suv_of([ds]).factor == suv_of([pet()]).factor


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"PatientWeight": None}, "(0010,1030)"),
        ({"PatientWeight": "0"}, "(0010,1030)"),
        ({"PatientWeight": "71500"}, "(0010,1030)"),
        ({"RadionuclideTotalDose": None}, "(0018,1074)"),
        ({"RadionuclideTotalDose": "368.5"}, "0.1 MBq"),
        ({"RadionuclideHalfLife": "0"}, "(0018,1075)"),
        ({"RadiopharmaceuticalStartTime": None}, "(0018,1072)"),
        ({"CorrectedImage": ["DECY"]}, "ATTN"),
        ({"CorrectedImage": ["ATTN"]}, "DECY"),
        ({"DecayCorrection": "NONE"}, "(0054,1102)"),
        ({"Units": "CPS"}, "(0054,1001)"),
        ({"Units": "CNTS"}, "(7053,xx00)"),
        ({"Modality": "NM"}, "NM"),
        ({"AcquisitionDate": None, "SeriesTime": "153000"}, "(0008,0022)"),
    ],
)
def test_what_an_suv_needs_and_lacks_is_refused_by_name(changed: dict[str, object], named: str) -> None:
    with pytest.raises(NoValue) as raised:
        suv_of([pet(**changed)])
    assert named in raised.value.message


def test_sizes_of_the_body_are_those_of_their_papers() -> None:
    # A woman of 71.5 kg and 168 cm, worked out by hand: body mass index 25.3330.
    ds = pet()
    assert body(ds, SuvKind.LEAN_JANMAHASATIAN) == pytest.approx(1000 * 662805 / (8780 + 244 * 25.333050), abs=1)
    assert body(ds, SuvKind.LEAN_JAMES) == pytest.approx(1000 * (76.505 - 148 * 0.181128), abs=1)
    assert body(ds, SuvKind.SURFACE) == pytest.approx(71.84 * math.exp(0.425 * math.log(71.5) + 0.725 * math.log(168)))
    assert body(ds, SuvKind.IDEAL_WEIGHT) == pytest.approx(60060, abs=1e-6)
    man = pet(PatientSex="M", PatientWeight="80", PatientSize="1.80")
    assert body(man, SuvKind.LEAN_JANMAHASATIAN) == pytest.approx(1000 * 741600 / (6680 + 216 * 24.691358), abs=1)
    assert body(man, SuvKind.LEAN_JAMES) == pytest.approx(1000 * (88 - 128 * (80 / 180) ** 2), abs=1e-6)
    assert body(man, SuvKind.LEAN_JAMES_120) == pytest.approx(1000 * (88 - 120 * (80 / 180) ** 2), abs=1e-6)


@pytest.mark.parametrize("kind", [kind for kind in SuvKind if kind is not SuvKind.BODY_WEIGHT])
def test_every_size_but_the_weight_needs_a_height_in_metres(kind: SuvKind) -> None:
    for size in (None, "168"):
        with pytest.raises(NoValue, match=r"\(0010,1020\)"):
            suv_of([pet(PatientSize=size)], kind)


def test_an_stored_suv_by_weight_becomes_one_by_lean_mass_and_back() -> None:
    ds = pet(Units="GML", SUVType="LBMJANMA")
    assert suv_of([ds], SuvKind.LEAN_JANMAHASATIAN).factor == 1.0
    assert suv_of([ds]).factor == pytest.approx(body(ds, SuvKind.BODY_WEIGHT) / body(ds, SuvKind.LEAN_JANMAHASATIAN))


def test_the_real_pet_has_the_suv_factors_that_another_program_wrote_for_it() -> None:
    shared = need_shared_data() / "pet-ct/acrin-nsclc-fdg-pet-042"
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted((shared / "pt-ac").glob("*.dcm"))]
    # Slicer-SUVFactorCalculator's factors, on values after rescale, with five digits (the first of the RWV instances).
    assert math.isclose(suv_of(headers).factor, 0.00042111, rel_tol=2e-5)
    assert math.isclose(suv_of(headers, SuvKind.LEAN_JAMES).factor, 0.00032444, rel_tol=2e-5)
    assert math.isclose(suv_of(headers, SuvKind.IDEAL_WEIGHT).factor, 0.000398713, rel_tol=2e-5)
    # Its surface is in m2 x 1000, ours in cm2, as the unit says.
    assert math.isclose(suv_of(headers, SuvKind.SURFACE).factor, 10 * 1.00711e-05, rel_tol=2e-5)
    assert suv_of(headers).notes == ()


def test_headers_are_left_as_they_were() -> None:
    ds = pet(TimezoneOffsetFromUTC="+0100", RadiopharmaceuticalStartDateTime="20240131080740.00+0000")
    before = copy.deepcopy(ds)
    suv_of([ds])
    assert ds == before
