"""SUV of Enhanced PET: equal to that of the same scan as classic images, by the published pseudo-code; or refused."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
from pydicom.dataset import Dataset
from tests.support import phantom, qiba
from tests.support.volumes import codes, load

from vesalius.imaging.dataset_values import items
from vesalius.imaging.suv import NoValue, SuvKind, suv_of
from vesalius.imaging.suv_enhanced import LEGACY, uptake_of
from vesalius.imaging.values import Wish


def changed(change: Callable[[Dataset], None]) -> Dataset:
    ds = phantom.enhanced_pet()
    change(ds)
    return ds


def isotope(ds: Dataset) -> Dataset:
    return items(ds, "RadiopharmaceuticalInformationSequence")[0]


def legacy() -> Dataset:
    """The classic PET of the phantom as a converter makes it (PS3.3 A.70): what has no place is unassigned."""
    old = phantom.pet()
    ds = phantom.enhanced_pet()
    ds.SOPClassUID = LEGACY
    for keyword in ("DecayCorrected", "AttenuationCorrected", "DecayCorrectionDateTime", "AcquisitionDateTime",
                    "AcquisitionDate", "AcquisitionTime", "RadiopharmaceuticalInformationSequence"):  # fmt: skip
        if keyword in ds:
            delattr(ds, keyword)
    shared = Dataset()
    for keyword in ("Units", "DecayCorrection", "CorrectedImage", "RadiopharmaceuticalInformationSequence"):
        setattr(shared, keyword, old[0][keyword].value)
    ds.SharedFunctionalGroupsSequence[0].UnassignedSharedConvertedAttributesSequence = [shared]
    for frame, one in zip(ds.PerFrameFunctionalGroupsSequence, reversed(old), strict=True):
        own = Dataset()
        for keyword in ("AcquisitionDate", "AcquisitionTime", "FrameReferenceTime", "ActualFrameDuration"):
            setattr(own, keyword, one[keyword].value)
        frame.UnassignedPerFrameConvertedAttributesSequence = [own]
        frame.PixelValueTransformationSequence[0].RescaleSlope = one.RescaleSlope
        del frame.RealWorldValueMappingSequence
    return ds


def test_the_suv_is_that_of_the_same_scan_as_classic_images_and_of_the_pseudo_code() -> None:
    classic, enhanced = load(phantom.pet(), wish="suvbw"), load([phantom.enhanced_pet()], wish="suvbw")
    assert enhanced.unit == classic.unit == "g/ml{SUVbw}"
    assert np.allclose(enhanced.grid.affine, classic.grid.affine)
    np.testing.assert_array_max_ulp(enhanced.values, classic.values, maxulp=1)
    one = phantom.pet()[0]
    expected = phantom.LESION_BQ_ML * qiba.scale_factor(one)
    assert enhanced.values.max() == pytest.approx(expected, rel=1e-6)


def test_the_natural_value_is_the_concentration_by_the_mapping_and_not_the_rescale_for_display() -> None:
    volume = load([phantom.enhanced_pet()])
    assert volume.unit == "Bq/ml" and volume.values.max() == phantom.LESION_BQ_ML
    assert np.array_equal(volume.values, load(phantom.pet()).values)


@pytest.mark.parametrize("kind", list(SuvKind))
def test_every_size_of_the_body_is_that_of_classic_images(kind: SuvKind) -> None:
    old, new = phantom.pet(), phantom.enhanced_pet()
    for ds in (*old, new):
        ds.PatientSex = "F"
    assert uptake_of([new], kind).suv.factor == pytest.approx(suv_of(old, kind).factor, rel=1e-12)


def test_a_dose_in_becquerel_by_habit_is_known_by_its_size_and_told() -> None:
    def in_becquerel(ds: Dataset) -> None:
        isotope(ds).RadionuclideTotalDose = "350000000"

    volume = load([changed(in_becquerel)], wish="suvbw")
    assert np.array_equal(volume.values, load([phantom.enhanced_pet()], wish="suvbw").values)
    assert "suv-dose-unit" in codes(volume)


def test_corrected_to_the_injection_the_dose_does_not_decay() -> None:
    def to_injection(ds: Dataset) -> None:
        ds.DecayCorrectionDateTime = isotope(ds).RadiopharmaceuticalStartDateTime

    assert uptake_of([changed(to_injection)], SuvKind.BODY_WEIGHT).suv.factor == pytest.approx(70_000 / 350e6)


def test_the_agent_is_that_of_the_frames() -> None:
    def two(ds: Dataset) -> None:
        other = copy.deepcopy(isotope(ds))
        other.RadiopharmaceuticalAgentNumber, other.RadionuclideTotalDose = 2, "10"
        ds.RadiopharmaceuticalInformationSequence = [other, isotope(ds)]

    found = uptake_of([changed(two)], SuvKind.BODY_WEIGHT).suv.factor
    assert found == uptake_of([phantom.enhanced_pet()], SuvKind.BODY_WEIGHT).suv.factor


def test_a_mapping_to_suv_is_taken_as_it_is_and_becomes_another_by_the_sizes() -> None:
    def mapped(ds: Dataset) -> None:
        for frame in ds.PerFrameFunctionalGroupsSequence:
            mapping = frame.RealWorldValueMappingSequence[0]
            mapping.MeasurementUnitsCodeSequence[0].CodeValue = "{SUVbw}g/ml"
        del isotope(ds).RadionuclideTotalDose
        ds.PatientSex = "M"

    volume = load([changed(mapped)], wish="suvbw")
    assert volume.values.max() == phantom.LESION_BQ_ML
    surface = load([changed(mapped)], wish="suvbsa")
    assert surface.unit == "cm2/ml{SUVbsa}" and surface.values.max() < volume.values.max()


def _set(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda ds: setattr(ds, keyword, value)


def _isotope(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda ds: setattr(isotope(ds), keyword, value)


def _two_agents(ds: Dataset) -> None:
    usage = Dataset()
    usage.RadiopharmaceuticalAgentNumber = 2
    ds.PerFrameFunctionalGroupsSequence[3].RadiopharmaceuticalUsageSequence = [usage]


def _unknown_agent(ds: Dataset) -> None:
    ds.SharedFunctionalGroupsSequence[0].RadiopharmaceuticalUsageSequence[0].RadiopharmaceuticalAgentNumber = 9


def _without_mapping(ds: Dataset) -> None:
    for frame in ds.PerFrameFunctionalGroupsSequence:
        del frame.RealWorldValueMappingSequence


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_set("AttenuationCorrected", "NO"), "(0018,9759)"),
        (_set("DecayCorrected", "NO"), "(0018,9758)"),
        (_set("DecayCorrectionDateTime", ""), "(0018,9701)"),
        (_set("DecayCorrectionDateTime", "20240125101600"), "(0018,1078)"),
        (_set("DecayCorrectionDateTime", "20240325101600"), "(0018,1078)"),
        (_set("PatientWeight", None), "(0010,1030)"),
        (_isotope("RadionuclideTotalDose", None), "(0018,1074)"),
        (_isotope("RadionuclideHalfLife", "0"), "(0018,1075)"),
        (_isotope("RadiopharmaceuticalStartDateTime", ""), "(0018,1078)"),
        (_set("RadiopharmaceuticalInformationSequence", []), "(0054,0016)"),
        (_two_agents, "more than one radiopharmaceutical"),
        (_unknown_agent, "(0018,9729)"),
        (_without_mapping, "not to Bq/ml"),
    ],
)
def test_what_cannot_be_known_is_refused_by_name(change: Callable[[Dataset], None], named: str) -> None:
    with pytest.raises(NoValue) as raised:
        uptake_of([changed(change)], SuvKind.BODY_WEIGHT)
    assert named in raised.value.message


def test_one_frame_without_the_mapping_of_the_others_is_refused() -> None:
    def lacking(ds: Dataset) -> None:
        del ds.PerFrameFunctionalGroupsSequence[4].RealWorldValueMappingSequence

    with pytest.raises(NoValue, match="frame 5"):
        load([changed(lacking)], wish="suvbw")


def test_a_legacy_converted_pet_is_read_as_the_images_that_it_was() -> None:
    for wish in (Wish.NATURAL, Wish.SUV_BODY_WEIGHT):
        converted, classic = load([legacy()], wish=wish), load(phantom.pet(), wish=wish)
        assert converted.unit == classic.unit
        assert np.array_equal(converted.values, classic.values)
