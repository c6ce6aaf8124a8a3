"""What stored values mean: HU only where the standard makes it so, per-frame slopes, padding, saturation, mappings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from tests.support.data import need_shared_data

from vesalius.imaging.values import Census, NoValue, Wish, plan


def ct(**changed: object) -> Dataset:
    ds = Dataset()
    ds.Modality, ds.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = "1", "-1024", "HU"
    ds.BitsStored, ds.PixelRepresentation, ds.BitsAllocated = 12, 0, 16
    for name, value in changed.items():
        if value is None:
            delattr(ds, name)
        else:
            setattr(ds, name, value)
    return ds


def sequence(**attributes: object) -> list[Dataset]:
    item = Dataset()
    for name, value in attributes.items():
        setattr(item, name, value)
    return [item]


def mapping(first: int, last: int, slope: float, intercept: float, unit: str) -> Dataset:
    (item,) = sequence(
        RealWorldValueSlope=slope,
        RealWorldValueIntercept=intercept,
        LUTLabel="x",
        MeasurementUnitsCodeSequence=sequence(CodeValue=unit, CodingSchemeDesignator="UCUM", CodeMeaning=unit),
    )
    item.add_new(0x00409216, "SS", first)
    item.add_new(0x00409211, "SS", last)
    return item


def test_water_and_air_are_0_and_minus_1000_hu_exactly() -> None:
    meaning = plan([ct()]).meaning(0)
    found = meaning.of(np.array([1024, 24, 0, 4095], np.uint16))
    assert (meaning.unit, meaning.label) == ("[hnsf'U]", "HU")
    assert found.dtype == np.float32
    assert found.tolist() == [0, -1000, -1024, 3071]


@pytest.mark.parametrize(
    ("changed", "unit", "why"),
    [
        ({"RescaleType": None}, "[hnsf'U]", ""),
        ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]}, "[hnsf'U]", ""),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "1", "localizer"),
        ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL", "MAT_SPECIFIC"], "RescaleType": None}, "1", "MAT_SPECIFIC"),
        ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL", "MAT_SPECIFIC"], "RescaleType": "MGML"}, "mg/ml", "MGML"),
        ({"RescaleType": "US"}, "1", "(0028,1054)"),
        ({"RescaleSlope": None, "RescaleIntercept": None, "RescaleType": None}, "1", "no rescale slope"),
    ],
)
def test_a_ct_is_in_hounsfield_units_only_where_its_header_says_so(
    changed: dict[str, object], unit: str, why: str
) -> None:
    found = plan([ct(**changed)])
    assert found.unit == unit
    assert [each.code for each in found.notes] == (["not-hounsfield"] if why else [])
    assert all(why in each.message for each in found.notes)


def test_a_slope_of_each_slice_is_its_own() -> None:
    headers = [
        ct(Modality="PT", Units="BQML", RescaleIntercept="0", RescaleSlope=slope) for slope in ("0.5", "0.704944")
    ]
    made = plan(headers)
    stored = np.array([32767, 3], np.int16)
    assert made.unit == "Bq/ml"
    assert made.meaning(0).of(stored).tolist() == [16383.5, 1.5]
    assert made.meaning(1).of(stored).tolist() == (stored * 0.704944).astype(np.float32).tolist()


def test_a_frame_of_an_enhanced_object_has_its_own_slope_before_the_shared_one() -> None:
    ds = ct(RescaleSlope=None, RescaleIntercept=None, RescaleType=None)
    ds.SharedFunctionalGroupsSequence = sequence(
        PixelValueTransformationSequence=sequence(RescaleSlope="2", RescaleIntercept="-10", RescaleType="HU")
    )
    ds.PerFrameFunctionalGroupsSequence = [
        *sequence(PixelValueTransformationSequence=sequence(RescaleSlope="3", RescaleIntercept="5", RescaleType="HU")),
        Dataset(),
    ]
    made = plan([ds])
    assert made.meaning(0, 0).of(np.array([100], np.uint16)).tolist() == [305]
    assert made.meaning(0, 1).of(np.array([100], np.uint16)).tolist() == [190]


def test_frames_of_different_units_are_no_one_quantity() -> None:
    made = plan([ct(), ct(RescaleType="US")])
    with pytest.raises(NoValue, match="different units"):
        made.meaning(1)


def test_a_missing_slope_is_one_and_a_slope_of_zero_does_not_make_all_values_equal() -> None:
    stored = np.array([7, 9], np.uint16)
    assert plan([ct(RescaleSlope=None, RescaleIntercept=None)]).meaning(0).of(stored).tolist() == [7, 9]
    assert plan([ct(RescaleSlope="0")]).meaning(0).of(stored).tolist() == [7 - 1024, 9 - 1024]


def test_modality_lut_gives_its_entries_and_its_ends_outside_of_it() -> None:
    ds = ct(RescaleSlope=None, RescaleIntercept=None, RescaleType=None, Modality="OT")
    ds.ModalityLUTSequence = sequence(LUTDescriptor=[3, 10, 16], LUTData=[100, 200, 400], ModalityLUTType="OD")
    meaning = plan([ds]).meaning(0)
    assert meaning.of(np.array([0, 10, 11, 12, 999], np.uint16)).tolist() == [100, 100, 200, 400, 400]
    assert meaning.label == "10^-3 OD"


@pytest.mark.parametrize(
    ("representation", "padding", "limit", "stored", "expected"),
    [
        (1, -2000, None, [-2000, -1999, 0], [True, False, False]),
        (1, 63536, None, [-2000, -1999, 0], [True, False, False]),  # written as US, meant as SS
        (0, 0, 10, [0, 10, 11], [True, True, False]),
        (0, 10, 0, [0, 10, 11], [True, True, False]),
        (0, -1, None, [65535, 1, 0], [True, False, False]),
    ],
)
def test_padding_is_no_value(
    representation: int, padding: int, limit: int | None, stored: list[int], expected: list[bool]
) -> None:
    ds = ct(PixelRepresentation=representation, BitsStored=16)
    ds.add_new(0x00280120, "SS" if padding < 0 else "US", padding)
    if limit is not None:
        ds.add_new(0x00280121, "US", limit)
    nothing = plan([ds]).meaning(0).nothing(np.array(stored, np.int16 if representation else np.uint16))
    assert nothing is not None
    assert nothing.tolist() == expected


def test_values_at_the_end_of_their_range_are_counted_and_padding_is_not() -> None:
    ds = ct(PixelPaddingValue=0)
    meaning, census = plan([ds]).meaning(0), Census()
    for stored in (
        np.array([[0, 5]], np.uint16),
        np.array([[4095, 4095]], np.uint16),
        np.array([[4095, 1]], np.uint16),
    ):
        census.see(stored, meaning, meaning.nothing(stored))
    (found,) = census.findings("CT")
    assert found.code == "values-saturated"
    assert found.message.startswith("3 voxels")
    calm = Census()
    calm.see(np.array([[4094, 7]], np.uint16), meaning)
    assert calm.findings("CT") == ()


def test_a_twelve_bit_rail_in_sixteen_bits_is_seen_in_ct() -> None:
    meaning, census = plan([ct(BitsStored=16, PixelRepresentation=1)]).meaning(0), Census()
    census.see(np.array([[4095, 4095, 3]], np.int16), meaning)
    assert [each.code for each in census.findings("CT")] == ["values-saturated"]
    assert census.findings("MR") == ()


def test_results_are_those_of_double_precision_rounded_once() -> None:
    ds = ct(RescaleSlope="2.0002442", RescaleIntercept="-4047", PixelRepresentation=0, BitsStored=16)
    stored = np.arange(65536, dtype=np.uint16)
    assert np.array_equal(plan([ds]).meaning(0).of(stored), (stored * 2.0002442 - 4047).astype(np.float32))


def test_whole_slopes_are_exact_in_single_precision() -> None:
    stored = np.arange(-32768, 32768).astype(np.int16)
    for slope, intercept in (("1", "-1024"), ("2", "-8192"), ("100", "7")):
        found = plan([ct(RescaleSlope=slope, RescaleIntercept=intercept)]).meaning(0).of(stored)
        assert np.array_equal(found.astype(np.float64), stored.astype(np.float64) * float(slope) + float(intercept))


def test_stored_values_are_given_back_as_they_are() -> None:
    stored = np.array([1, 2], np.uint16)
    meaning = plan([ct()], Wish.STORED).meaning(0)
    assert meaning.of(stored) is stored
    assert meaning.unit == "1"


def test_a_mapping_of_the_image_applies_to_stored_values_in_its_range() -> None:
    ds = ct(Modality="MR", RescaleSlope="2", RescaleIntercept="0", RescaleType="US")
    ds.RealWorldValueMappingSequence = [mapping(10, 20, 0.25, 1.0, "um2/s")]
    made = plan([ds], Wish.REAL_WORLD)
    stored = np.array([9, 10, 20, 21], np.uint16)
    assert made.unit == "um2/s"
    assert made.meaning(0).of(stored)[1:3].tolist() == [3.5, 6.0]
    nothing = made.meaning(0).nothing(stored)
    assert nothing is not None
    assert nothing.tolist() == [True, False, False, True]


def test_a_mapping_by_table() -> None:
    ds = ct(Modality="MR")
    item = mapping(5, 7, 1.0, 0.0, "ms")
    del item.RealWorldValueSlope, item.RealWorldValueIntercept
    item.RealWorldValueLUTData = [0.5, 1.25, 8.0]
    ds.RealWorldValueMappingSequence = [item]
    assert plan([ds], Wish.REAL_WORLD).meaning(0).of(np.array([5, 6, 7], np.uint16)).tolist() == [0.5, 1.25, 8.0]


def test_without_a_mapping_there_is_no_real_world_value() -> None:
    with pytest.raises(NoValue, match="Real World Value Mapping"):
        plan([ct()], Wish.REAL_WORLD)


def test_philips_scale_slopes_make_values_of_two_series_comparable() -> None:
    def series(slope: str, scale: float) -> Dataset:
        ds = ct(Modality="MR", RescaleSlope=slope, RescaleIntercept="10", RescaleType="US")
        ds.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(0x0E, "FL", scale)
        return ds

    # One floating point value 812.5, written by two scalings: FP = (stored x RS + RI) / (RS x SS).
    one = plan([series("2", 0.5)], Wish.PRECISE).meaning(0).of(np.array([401.25], np.float64))
    two = plan([series("5", 0.25)], Wish.PRECISE).meaning(0).of(np.array([201.125], np.float64))
    assert one.tolist() == two.tolist() == [812.5]
    with pytest.raises(NoValue, match="2005"):
        plan([ct(Modality="MR")], Wish.PRECISE)


def _read(path: Path) -> Dataset:
    return pydicom.dcmread(path, stop_before_pixels=True)


def test_real_philips_mr_is_scaled_by_its_private_slope() -> None:
    folder = need_shared_data() / "mr-series/philips-achieva-fmri-27"
    ds = _read(min(folder.glob("*.dcm")))
    found = plan([ds], Wish.PRECISE).meaning(0).of(np.array([1000], np.uint16))
    scale = float(ds[0x2005, 0x100E].value)
    assert found[0] == pytest.approx(1000 / scale, rel=1e-6)


def test_real_parametric_maps_say_their_unit_by_their_mapping() -> None:
    folder = need_shared_data() / "multiframe/parametric-map"
    for name in ("parametric_map_float.dcm", "parametric_map_double_float.dcm"):
        ds = _read(folder / name)
        unit = ds.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0].MeasurementUnitsCodeSequence[0]
        assert plan([ds]).unit == unit.CodeValue
        stored = np.array([0.125, 0.5], np.float64)
        assert plan([ds]).meaning(0).of(stored).tolist() == [0.125, 0.5]


def test_dose_is_in_gray_where_it_is_not_relative() -> None:
    ds = Dataset()
    ds.Modality, ds.DoseUnits, ds.DoseGridScaling, ds.BitsStored, ds.PixelRepresentation = "RTDOSE", "GY", "1e-6", 32, 0
    made = plan([ds])
    assert made.unit == "Gy"
    assert made.meaning(0).of(np.array([1000000, 4294967295], np.uint32)).tolist() == [1.0, np.float32(4294.967295)]
    ds.DoseUnits = "RELATIVE"
    assert plan([ds]).label == "relative dose"


def test_a_mapping_made_for_rescaled_values_is_refused_where_slopes_differ() -> None:
    shared = need_shared_data() / "pet-ct/acrin-nsclc-fdg-pet-042"
    headers = [_read(path) for path in sorted((shared / "pt-ac").glob("*.dcm"))]
    instances = [_read(path) for path in sorted((shared / "rwv").glob("*.dcm"))]
    with pytest.raises(NoValue, match="contradicts") as raised:
        plan(headers, Wish.REAL_WORLD, instances)
    assert "suvbw" in raised.value.hint


def test_a_mapping_that_agrees_with_its_images_is_applied() -> None:
    shared = need_shared_data() / "sr-ko-pr-seg-rt/sr-tid1500-seg-rwvm"
    instance = _read(shared / "rwvm.dcm")
    about = instance.ReferencedImageRealWorldValueMappingSequence[0]
    ds = ct(Modality="PT", Units="BQML", SOPInstanceUID=about.ReferencedImageSequence[0].ReferencedSOPInstanceUID)
    item = about.RealWorldValueMappingSequence[0]
    made = plan([ds], Wish.REAL_WORLD, [instance])
    assert made.unit.startswith(("g/ml{SUV", "cm2/ml{SUV"))
    assert made.meaning(0).of(np.array([100], np.uint16))[0] == pytest.approx(100 * float(item.RealWorldValueSlope))
