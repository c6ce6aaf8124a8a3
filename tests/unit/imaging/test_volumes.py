"""Volumes of the phantom: every voxel known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from tests.support import phantom
from tests.support.phantom import Scan
from tests.support.volumes import codes, load, load_all, series_of

from vesalius.imaging.volumes import Abandoned
from vesalius.model.errors import NoVolume

SCANS = {
    "axial": Scan(),
    "coronal": phantom.CORONAL,
    "sagittal": phantom.SAGITTAL,
    "oblique": phantom.oblique(),
    "feet first": Scan(along_row=(-1.0, 0.0, 0.0)),
    "flipped normal": Scan(along_column=(0.0, -1.0, 0.0)),
    "non-square pixels": Scan(rows=30, columns=50, between_rows=4.0, between_columns=2.0),
}


@pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS)
def test_water_air_and_bone_are_exact_and_where_they_are(scan: Scan) -> None:
    volume = load(phantom.ct(scan))
    assert np.abs(volume.affine - scan.affine).max() < 1e-6
    assert np.array_equal(volume.values, phantom.hounsfield(scan.points()))
    assert (volume.unit, volume.unit_label, volume.values.dtype) == ("[hnsf'U]", "HU", np.float32)
    assert volume.padding is None and not volume.notes
    bone = volume.grid.to_index(phantom.PARTS[1][0])
    if ((bone > 0) & (bone < np.array(volume.grid.size) - 1)).all():
        assert volume.values[tuple(np.rint(bone[::-1]).astype(int))] == 1000


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(8)), st.lists(st.integers(1, 999), min_size=8, max_size=8))
def test_the_order_and_the_numbers_of_the_images_do_not_matter(order: list[int], numbers: list[int]) -> None:
    scan = phantom.oblique(Scan(rows=10, columns=12, slices=8, between_rows=11, between_columns=11))
    images = phantom.ct(scan)
    for ds, number in zip(images, numbers, strict=True):
        ds.InstanceNumber = str(number)
    shuffled = load([images[place] for place in order])
    assert np.array_equal(shuffled.values, phantom.hounsfield(scan.points()))
    assert np.abs(shuffled.affine - scan.affine).max() < 1e-6


def test_every_slice_of_a_pet_has_its_own_slope() -> None:
    images = phantom.pet()
    assert len({str(ds.RescaleSlope) for ds in images}) > 5
    volume = load(images)
    scan = Scan(rows=32, columns=32, slices=10, between_rows=5.0, between_columns=5.0, step=5.0)
    assert np.array_equal(volume.values, phantom.activity(scan.points()))
    assert volume.unit == "Bq/ml" and volume.modality == "PT"


def test_echoes_are_volumes_of_their_own() -> None:
    first, second = load_all(phantom.mr(echoes=(20.0, 5.0)))
    wanted = phantom.material(Scan().points()) * 100
    assert np.array_equal(first.values, wanted + 2) and np.array_equal(second.values, wanted + 1)
    with series_of(phantom.mr(echoes=(20.0, 5.0))) as series:
        assert [plan.label for plan in series.parts()] == ["echo time 5", "echo time 20"]
        with pytest.raises(NoVolume, match="holds 2 volumes") as error:
            series.volume()
        assert "echo time 20" in error.value.hint
        assert np.array_equal(series.volume(part=1).values, wanted + 1)
        with pytest.raises(NoVolume):
            series.volume(part=2)


def times(ds: Dataset, name: str, value: object) -> Dataset:
    setattr(ds, name, value)
    return ds


DIMENSIONS: dict[str, tuple[str, tuple[object, ...]]] = {
    "b-value": ("DiffusionBValue", (0.0, 500.0, 1000.0)),
    "temporal position": ("TemporalPositionIdentifier", ("1", "2", "3")),
    "trigger": ("TriggerTime", ("0", "120.5", "240")),
    "inversion time": ("InversionTime", ("50", "400", "2500")),
    "flip angle": ("FlipAngle", ("5", "10", "15")),
    "acquisition": ("AcquisitionNumber", ("1", "2", "3")),
    "image type": ("ImageType", tuple(["ORIGINAL", "PRIMARY", kind] for kind in "MPR")),
    "time alone": ("AcquisitionTime", ("101600", "101700.5", "101801")),
}  # fmt: skip


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_a_series_of_four_dimensions_is_split(dimension: str) -> None:
    keyword, values = DIMENSIONS[dimension]
    images = phantom.mr(echoes=(5.0, 5.0, 5.0))
    for ds in images:
        setattr(ds, keyword, values[int(ds.EchoNumbers) - 1])
        del ds.EchoNumbers
    found = load_all(images)
    wanted = phantom.material(Scan().points()) * 100
    assert len(found) == 3
    assert all(np.array_equal(volume.values, wanted + n) for n, volume in enumerate(found, start=1))


def test_two_dimensions_beyond_space_are_both_split() -> None:
    images = []
    for number, trigger in enumerate(("0", "300")):
        for ds in phantom.mr(echoes=(5.0, 20.0)):
            ds.TriggerTime = trigger
            ds.SOPInstanceUID += f".{number}"
            images.append(ds)
    with series_of(images) as series:
        labels = [plan.label for plan in series.parts()]
    assert labels == [f"echo time {echo}, trigger delay {time}" for echo in (5, 20) for time in (0, 300)]


def test_slices_with_times_of_their_own_stay_one_volume() -> None:
    images = phantom.mr()
    for place, ds in enumerate(images):
        ds.AcquisitionTime, ds.TriggerTime, ds.AcquisitionNumber = f"1016{place:02}", str(place * 50), str(place)
    assert len(load_all(images)) == 1


def test_a_time_series_that_broke_off_gives_the_volumes_that_there_are() -> None:
    images = phantom.mr(echoes=(5.0, 5.0))
    for ds in images:
        ds.TemporalPositionIdentifier = ds.EchoNumbers
        del ds.EchoNumbers
    whole, cut = load_all([ds for ds in images if ds.TemporalPositionIdentifier == 1 or float(ds.InstanceNumber) < 20])
    assert whole.grid.shape[0] == 12 and cut.grid.shape[0] == 9


def test_a_localizer_is_split_off() -> None:
    images = phantom.ct()
    scout = phantom.ct(replace(phantom.CORONAL, slices=1), first_number=99)
    scout[0].ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    volume = load([*scout, *images])
    assert np.array_equal(volume.values, phantom.hounsfield(Scan().points()))
    with series_of([*scout, *images]) as series:
        assert [plan.localizer for plan in series.parts()] == [False, True]


def test_two_frames_of_reference_in_one_series_are_two_volumes() -> None:
    here, there = phantom.ct(), phantom.ct(first_number=50, frame="elsewhere")
    found = load_all([*here, *there])
    assert len(found) == 2
    assert len({volume.frame_of_reference for volume in found}) == 2


def test_two_frames_of_reference_in_one_study_are_told_apart() -> None:
    ct, pet = load(phantom.ct()), load(phantom.pet(frame="elsewhere"))
    assert ct.study == pet.study and ct.frame_of_reference != pet.frame_of_reference


def test_a_gap_is_refused_with_the_number_of_slices_and_the_place() -> None:
    images = phantom.ct()
    del images[5:7]
    with pytest.raises(NoVolume, match=r"2 slices are missing \(after the slices at -6\.0 mm") as error:
        load(images)
    assert "irregular=resample" in error.value.hint


def test_a_gap_is_interpolated_where_that_is_asked_for_and_says_so() -> None:
    scan = Scan()
    images = phantom.ct(scan)
    del images[5:7]
    volume = load(images, irregular="resample")
    wanted = phantom.hounsfield(scan.points()).astype(float)
    assert np.abs(volume.affine - scan.affine).max() < 1e-6 and codes(volume) == {"slices-resampled"}
    kept = [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]
    assert np.array_equal(volume.values[kept], wanted[kept])
    assert np.allclose(volume.values[5], wanted[4] * 2 / 3 + wanted[7] / 3, atol=1e-3)
    assert np.allclose(volume.values[6], wanted[4] / 3 + wanted[7] * 2 / 3, atol=1e-3)


def test_variable_spacing_is_refused_or_resampled() -> None:
    scan = Scan(slices=8)
    images = phantom.ct(scan)
    for place, ds in enumerate(images):
        x, y, z = (float(value) for value in ds.ImagePositionPatient)
        ds.ImagePositionPatient = [x, y, z + (place > 4) * 2.6 + (place > 6) * 1.3]
    with pytest.raises(NoVolume, match=r"4\.000 to 6\.600 mm"):
        load(images)
    volume = load(images, irregular="resample")
    assert volume.grid.spacing[2] == pytest.approx(4.0, abs=1e-9)
    assert np.array_equal(volume.values[:5], phantom.hounsfield(scan.points())[:5])


def test_positions_with_few_digits_are_even() -> None:
    scan = Scan(step=1.2345678)
    images = phantom.ct(scan)
    for ds in images:
        ds.ImagePositionPatient = [round(float(value), 2) for value in ds.ImagePositionPatient]
    volume = load(images)
    assert not volume.notes and volume.grid.spacing[2] == pytest.approx(scan.step, abs=1e-3)
    assert volume.grid.is_orthogonal(1e-12)


def test_a_copy_of_a_slice_is_dropped_and_told_and_another_slice_at_its_place_is_refused() -> None:
    images = phantom.ct()
    copy = phantom.ct()[3]
    copy.SOPInstanceUID += ".1"
    volume = load([*images, copy])
    assert codes(volume) == {"duplicates-dropped"}
    assert np.array_equal(volume.values, phantom.hounsfield(Scan().points()))
    other = phantom.ct(intercept=-1000.0)[3]
    other.RescaleIntercept, other.SOPInstanceUID = "-1024", other.SOPInstanceUID + ".2"
    with pytest.raises(NoVolume, match="13 slices lie at 12 places"):
        load([*images, other])


@pytest.mark.parametrize("degrees", [12.0, -20.0])
def test_a_tilted_gantry_is_put_right_and_every_value_is_a_mean_of_its_neighbours_in_its_plane(degrees: float) -> None:
    scan = Scan(tilt=degrees)
    volume = load(phantom.ct(scan))
    assert volume.grid.is_orthogonal(1e-9) and codes(volume) == {"tilt-corrected"}
    assert volume.padding is not None and volume.padding.any()
    assert (volume.values[volume.padding] == -1024).all()
    k, j, i = np.nonzero(~volume.padding)
    points = volume.grid.to_patient(np.stack((i, j, k), axis=-1))
    inside = np.linalg.inv(scan.affine) @ np.vstack((points.T, np.ones(len(points))))
    source = phantom.hounsfield(scan.points()).astype(float)
    column, row, place = np.rint(inside[0]).astype(int), inside[1], np.rint(inside[2]).astype(int)
    assert np.abs(inside[0] - column).max() < 1e-4 and np.abs(inside[2] - place).max() < 1e-4
    low = np.clip(np.floor(row + 1e-6).astype(int), 0, scan.rows - 1)
    high, part = np.minimum(low + 1, scan.rows - 1), row - low
    wanted = source[place, low, column] * (1 - part) + source[place, high, column] * part
    assert np.abs(volume.values[k, j, i] - wanted).max() < 0.05
    assert len(k) >= scan.slices * (scan.rows - 1) * scan.columns


def test_a_tilt_of_whole_pixels_moves_values_without_changing_one() -> None:
    scan = Scan(step=4.0, between_rows=2.0, tilt=float(np.degrees(np.arctan(0.5))))  # a pixel a slice
    volume = load(phantom.ct(scan))
    wanted = phantom.hounsfield(scan.points())
    for place in range(scan.slices):
        assert np.array_equal(volume.values[place, place : place + scan.rows], wanted[place])
    assert volume.padding is not None
    assert int((~volume.padding).sum()) == wanted.size


def test_a_tilted_grid_may_stay_as_it_is() -> None:
    scan = Scan(tilt=15.0)
    volume = load(phantom.ct(scan), tilt="keep")
    assert np.abs(volume.affine - scan.affine).max() < 1e-6 and codes(volume) == {"tilted"}
    assert np.array_equal(volume.values, phantom.hounsfield(scan.points()))


def test_one_slice_is_a_volume_as_thick_as_it_says() -> None:
    volume = load(phantom.ct(Scan(slices=1, step=7.0)))
    assert volume.grid.shape == (1, 48, 64) and volume.grid.spacing[2] == 7 and codes(volume) == {"single-slice"}
    (bare,) = phantom.ct(Scan(slices=1))
    del bare.SliceThickness
    with pytest.raises(NoVolume, match="Slice Thickness"):
        load([bare])


def test_values_go_into_the_array_that_is_given() -> None:
    out = np.zeros((12, 48, 64), np.float32)
    assert load(phantom.ct(), out=out).values is out
    assert np.array_equal(out, phantom.hounsfield(Scan().points()))


def test_nobody_who_has_left_is_waited_for() -> None:
    asked = []

    def gone() -> bool:
        asked.append(1)
        return len(asked) > 3

    with series_of(phantom.ct()) as series, pytest.raises(Abandoned):
        series.parts()[0].load(cancelled=gone)


def test_slices_one_by_one_are_the_volume() -> None:
    with series_of(phantom.ct(phantom.oblique())) as series:
        (plan,) = series.parts()
        planes = [plane for plane, _ in plan.planes()]
        stored = list(plan.stored_planes())
        form = plan.stored_form()
    assert np.array_equal(np.stack(planes), phantom.hounsfield(phantom.oblique().points()))
    assert form is not None and (form.slope, form.intercept) == (1.0, -1024.0)
    assert np.array_equal(np.stack(stored) + form.intercept, np.stack(planes))
