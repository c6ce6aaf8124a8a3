"""What has made other readers wrong: pixel cells, spacings, groups and files as people really send them."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless
from tests.support import phantom
from tests.support.archive import dataset_of
from tests.support.generate import part10
from tests.support.phantom import Scan
from tests.support.volumes import codes, load, load_all, series_of

from vesalius.backends.pixels_codecs import CodecLimits, PixelCodecs
from vesalius.imaging.values import Wish
from vesalius.model.errors import NoVolume

HU = phantom.hounsfield(Scan().points())


def cells(ds: Dataset) -> np.ndarray:
    kind = "<i" if ds.PixelRepresentation else "<u"
    return np.frombuffer(ds.PixelData, f"{kind}{ds.BitsAllocated // 8}").reshape(ds.Rows, ds.Columns).copy()


def test_a_missing_slope_is_one_and_no_hounsfield() -> None:
    def bare(ds: Dataset, _place: int) -> None:
        del ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType

    volume = load(phantom.ct(each=bare))
    assert np.array_equal(volume.values, HU + 1024)
    assert volume.unit == "1" and "not-hounsfield" in codes(volume)


def test_padding_of_an_unsigned_image_is_no_value() -> None:
    def padded(ds: Dataset, _place: int) -> None:
        ds.PixelPaddingValue = 63536
        stored = cells(ds)
        stored[:4] = 63536
        ds.PixelData = stored.tobytes()

    volume = load(phantom.ct(each=padded))
    assert volume.padding is not None
    assert volume.padding[:, :4].all() and not volume.padding[:, 4:].any()
    assert np.array_equal(volume.values[:, 4:], HU[:, 4:])


def test_padding_that_was_written_with_the_other_sign_is_padding() -> None:
    def padded(ds: Dataset, _place: int) -> None:
        stored = cells(ds)
        stored[:, :3] = -2000
        ds.PixelData = stored.tobytes()
        ds.add_new(0x00280120, "US", 63536)  # -2000

    volume = load(phantom.ct(signed=True, intercept=0, each=padded))
    assert volume.padding is not None
    assert volume.padding[:, :, :3].all() and not volume.padding[:, :, 3:].any()


@pytest.mark.parametrize("signed", [False, True])
def test_twelve_bits_in_sixteen_with_overlays_above_them(signed: bool) -> None:
    def junk(ds: Dataset, place: int) -> None:
        stored = cells(ds).view(np.uint16) & 0x0FFF
        noise = np.random.default_rng(place).integers(0, 16, stored.shape, np.uint16) << 12
        ds.PixelData = (stored | noise).tobytes()

    volume = load(phantom.ct(bits=12, signed=signed, intercept=0.0 if signed else -1024.0, each=junk))
    assert np.array_equal(volume.values, HU)


def test_bits_that_do_not_begin_at_the_lowest() -> None:
    def high(ds: Dataset, _place: int) -> None:
        ds.HighBit = 15
        ds.PixelData = (cells(ds) << 4 | 0x7).tobytes()

    assert np.array_equal(load(phantom.ct(bits=12, each=high)).values, HU)


def test_thirty_two_bits_keep_every_digit() -> None:
    def wide(ds: Dataset, _place: int) -> None:
        ds.PixelData = (cells(ds).astype("<u4") + 100_000_000).tobytes()
        ds.BitsAllocated = ds.BitsStored = 32
        ds.HighBit = 31
        ds.RescaleIntercept = "-100001024"

    volume = load(phantom.ct(each=wide))
    assert volume.values.dtype == np.float64
    assert np.array_equal(volume.values, HU)


@pytest.mark.parametrize("double", [False, True])
def test_floating_point_pixels_are_as_they_were_written(double: bool) -> None:
    volume = load([phantom.parametric_map(double=double)])
    wanted = 0.19 * (1 + HU / 1000.0)
    assert volume.values.dtype == (np.float64 if double else np.float32)
    assert np.array_equal(volume.values, wanted.astype(volume.values.dtype)) and volume.unit == "/cm"


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_compressed_signed_pixels_have_their_sign(syntax: str) -> None:
    codecs = PixelCodecs(CodecLimits(workers=1))
    plain = phantom.ct(signed=True, intercept=0.0)
    try:
        packed = [codecs.transcode(dataset_of(part10(ds)), "1.2.840.10008.1.2.1", str(syntax)) for ds in plain]
    finally:
        codecs.close()
    from io import BytesIO

    from pydicom.filereader import read_dataset

    images = [read_dataset(BytesIO(data), False, True) for data in packed]
    assert np.array_equal(load(images, syntax).values, HU)


@pytest.mark.parametrize(("codestream_signed", "attribute_signed"), [(True, False), (False, True)])
def test_a_jpeg_2000_that_disagrees_about_the_sign_is_read_as_the_attribute_says(
    codestream_signed: bool, attribute_signed: bool
) -> None:
    import imagecodecs
    from pydicom.encaps import encapsulate

    images = phantom.ct(bits=16, signed=attribute_signed, intercept=0.0 if attribute_signed else -1024.0)
    for ds in images:
        bits = cells(ds).view(np.int16 if codestream_signed else np.uint16)
        ds.PixelData = encapsulate(
            [imagecodecs.jpeg2k_encode(np.ascontiguousarray(bits), reversible=True, codecformat="j2k")]
        )
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
    assert np.array_equal(load(images, JPEG2000Lossless).values, HU)


def test_a_negative_spacing_is_told_and_its_size_taken() -> None:
    def negative(ds: Dataset, _place: int) -> None:
        ds.SpacingBetweenSlices = "-4"

    volume = load(phantom.ct(each=negative))
    assert np.array_equal(volume.values, HU) and codes(volume) == {"negative-spacing"}
    assert (volume.grid.spacing > 0).all() and np.abs(volume.affine - Scan().affine).max() < 1e-6


def test_imager_pixel_spacing_is_no_pixel_spacing() -> None:
    def both(ds: Dataset, _place: int) -> None:
        ds.ImagerPixelSpacing = ["9", "9"]

    def alone(ds: Dataset, place: int) -> None:
        both(ds, place)
        del ds.PixelSpacing

    assert load(phantom.ct(each=both)).grid.spacing.tolist() == pytest.approx([2.75, 2.5, 4.0])
    with pytest.raises(NoVolume, match="measured at the detector"):
        load(phantom.ct(each=alone))


def test_pixel_spacing_counts_rows_first() -> None:
    scan = Scan(between_rows=1.5, between_columns=4.5)
    assert load(phantom.ct(scan)).grid.spacing.tolist() == pytest.approx([4.5, 1.5, 4.0])


def test_enhanced_groups_stand_shared_or_at_each_frame() -> None:
    scan = phantom.oblique()
    first, second = load_all([phantom.enhanced_mr(scan)])
    wanted = phantom.material(scan.points()) * 100
    assert np.array_equal(first.values, wanted) and np.array_equal(second.values, (wanted + 1) * 2 + 7)
    assert np.abs(first.affine - scan.affine).max() < 1e-6 and second.grid.same_as(first.grid)
    with series_of([phantom.enhanced_mr(scan)]) as series:
        assert [plan.label for plan in series.parts()] == ["b-value 0", "b-value 1000"]


def test_a_private_copy_of_a_position_does_not_move_a_frame() -> None:
    ds = phantom.enhanced_mr()
    for item in ds.PerFrameFunctionalGroupsSequence:
        copy = Dataset()
        copy.ImagePositionPatient, copy.PixelSpacing = ["1", "2", "3"], ["9", "9"]
        block = item.private_block(0x2005, "Philips MR Imaging DD 005", create=True)
        block.add_new(0x0F, "SQ", [copy])
    assert np.abs(load_all([ds])[0].affine - Scan().affine).max() < 1e-6


@pytest.mark.parametrize("absolute", [False, True])
def test_a_dose_is_in_gray_at_the_planes_of_its_vector(absolute: bool) -> None:
    volume = load([phantom.dose(absolute=absolute)])
    scan = Scan(rows=20, columns=24, slices=8, between_rows=6.0, between_columns=7.0, step=5.0)
    assert volume.unit == "Gy" and np.abs(volume.affine - scan.affine).max() < 1e-6
    assert set(np.unique(volume.values)) == {0.0, 0.5, 2.0}
    lesion = np.rint(volume.grid.to_index(phantom.LESION[0])).astype(int)
    assert volume.values[tuple(lesion[::-1])] == 2.0


def test_a_dose_whose_planes_go_down_lies_where_they_are() -> None:
    ds = phantom.dose()
    ds.ImagePositionPatient = [phantom.decimal(v) for v in Scan(20, 24, 8, 6.0, 7.0, 5.0).position(7)]
    ds.GridFrameOffsetVector = [str(-5 * place) for place in range(8)]
    frames = np.frombuffer(ds.PixelData, "<u4").reshape(8, 20, 24)[::-1]
    ds.PixelData = frames.tobytes()
    assert np.array_equal(load([ds]).values, load([phantom.dose()]).values)
    assert np.abs(load([ds]).affine - load([phantom.dose()]).affine).max() < 1e-6


@pytest.mark.parametrize("fractional", [False, True])
def test_segments_are_volumes_on_one_grid_and_planes_that_were_left_out_are_empty(fractional: bool) -> None:
    bone, lung = load_all([phantom.segmentation(fractional=fractional)])
    assert bone.grid.same_as(lung.grid)
    for volume, what in ((bone, phantom.BONE), (lung, phantom.LUNG)):
        points = volume.grid.to_patient(
            np.stack(np.meshgrid(*map(np.arange, volume.grid.size), indexing="ij"), axis=-1)
        )
        wanted = (phantom.material(points) == what).transpose(2, 1, 0)
        assert np.array_equal(volume.values, wanted * (np.float32(0.5) if fractional else 1))
        assert volume.values.dtype == (np.float32 if fractional else np.uint8)
    with series_of([phantom.segmentation()]) as series:
        assert [plan.label for plan in series.parts()] == ["segment 1 Bone", "segment 2 Lung"]


def test_stored_values_are_as_stored() -> None:
    volume = load(phantom.ct(bits=12), wish=Wish.STORED.value)
    assert volume.values.dtype == np.uint16 and np.array_equal(volume.values, HU + 1024)


def remove(*keywords: str) -> list[Dataset]:
    images = phantom.ct()
    for ds in images:
        for keyword in keywords:
            delattr(ds, keyword)
    return images


def changed(**attributes: object) -> list[Dataset]:
    images = phantom.ct()
    for ds in images:
        for keyword, value in attributes.items():
            setattr(ds, keyword, value)
    return images


NONE = {
    "no position": (remove("ImagePositionPatient"), r"no Image Position \(Patient\) \(12 frames\)"),
    "no orientation": (remove("ImageOrientationPatient"), r"no Image Orientation"),
    "no spacing": (remove("PixelSpacing"), r"no Pixel Spacing"),
    "zero spacing": (changed(PixelSpacing=["0", "0"]), r"no Pixel Spacing"),
    "half an orientation": (changed(ImageOrientationPatient=["1", "0", "0"]), "no pair of directions"),
    "no unit vectors": (changed(ImageOrientationPatient=["1", "0", "0", "0", "0", "0"]), "no pair of directions"),
    "not perpendicular": (changed(ImageOrientationPatient=["1", "0", "0", "0.6", "0.8", "0"]), "not perpendicular"),
    "colour": (changed(SamplesPerPixel=3, PhotometricInterpretation="RGB", PixelData=bytes(18432)), "a colour image"),
    "palette": (changed(PhotometricInterpretation="PALETTE COLOR"), "its palette"),
}


@pytest.mark.parametrize("images", NONE.values(), ids=NONE)
def test_what_is_no_volume_says_why(images: tuple[list[Dataset], str]) -> None:
    with pytest.raises(NoVolume, match=images[1]):
        load(images[0])


def test_what_does_not_belong_is_left_out_and_told() -> None:
    odd = phantom.ct(first_number=77)[:1]
    del odd[0].ImagePositionPatient
    volume = load([*phantom.ct(), *odd])
    assert np.array_equal(volume.values, HU)
    assert [note.message for note in volume.notes] == ["left out: no Image Position (Patient) (1 frame)"]


def test_saturated_values_are_counted() -> None:
    def bright(ds: Dataset, _place: int) -> None:
        stored = cells(ds)
        stored[0, :5] = 4095
        ds.PixelData = stored.tobytes()

    assert "values-saturated" in codes(load(phantom.ct(bits=12, each=bright)))
