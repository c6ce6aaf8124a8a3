"""Real and made images as pictures, against pydicom's pipeline; what cannot be true is an error in words."""

from __future__ import annotations

import warnings
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut
from tests.support.data import need_shared_data
from tests.support.elements import split_part10

from vesalius.imaging.description import Description, ImageHeader, Lut
from vesalius.imaging.presentation import Presentation, Shutter
from vesalius.imaging.render import render, shown, stored_values
from vesalius.imaging.resample import fitted_size, resized
from vesalius.model.elements import HeaderLimits, read_header
from vesalius.model.entities import Claim
from vesalius.model.errors import CannotTranscode
from vesalius.model.file_meta import file_prefix
from vesalius.model.rendering import Fit, Region, RenderRequest, Window

LIMITS = HeaderLimits(value_bytes=4 << 20, sequence_bytes=64 << 20)
NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
PLAIN = RenderRequest()


def load(path: str) -> tuple[Dataset, ImageHeader]:
    syntax, dataset = split_part10((need_shared_data() / path).read_bytes())
    ds = dcmread(BytesIO(file_prefix(Claim("1.2", "1.2", syntax)) + dataset), force=True)
    return ds, ImageHeader(read_header(dataset, syntax, LIMITS))


def by_pydicom(ds: Dataset, stored: np.ndarray) -> np.ndarray:
    """8 bit grey by pydicom: modality, then VOI over its own output range, then scaled."""
    units = apply_modality_lut(stored, ds)
    out = apply_voi_lut(units, ds, prefer_lut=True)
    if "VOILUTSequence" in ds:
        low, high = 0, 2 ** ds.VOILUTSequence[0].LUTDescriptor[2] - 1
    elif "ModalityLUTSequence" in ds:
        low, high = 0, 2 ** ds.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    else:
        bits = ds.BitsStored
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if ds.PixelRepresentation else (0, 2**bits - 1)
        slope, intercept = float(ds.get("RescaleSlope", 1)), float(ds.get("RescaleIntercept", 0))
        low, high = low * slope + intercept, high * slope + intercept
    grey = np.rint((out.astype(float) - low) / (high - low) * 255).astype(int)
    return 255 - grey if ds.PhotometricInterpretation == "MONOCHROME1" else grey


WINDOWED = [
    "ct-series",
    "sr-ko-pr-seg-rt",
    "mr-series",
    "single-frame/dx-cr-mg",
    "single-frame/lut-overlay",
    "transfer-syntaxes/one-ct-in-15-syntaxes",
]


@pytest.mark.parametrize("folder", WINDOWED)
def test_native_monochrome_images_look_as_pydicom_shows_them(folder: str) -> None:
    root = need_shared_data()
    compared = 0
    for path in sorted((root / folder).rglob("*")):
        if not path.is_file() or path.suffix == ".xz" or compared >= 12:
            continue
        syntax, _ = split_part10(path.read_bytes())
        if syntax not in NATIVE:
            continue
        ds, header = load(str(path.relative_to(root)))
        if ds.get("SamplesPerPixel") != 1 or "NumberOfFrames" in ds or "PixelData" not in ds:
            continue
        description = header.describe(0)
        if description.window is None and description.voi_lut is None:
            continue
        got = shown(bytes(ds.PixelData), description, PLAIN)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = by_pydicom(ds, ds.pixel_array)
        assert np.abs(got.astype(int) - expected).max() <= 1, path.name
        compared += 1
    if not compared:
        pytest.skip(f"no native windowed image in {folder}")


def test_stored_values_are_pydicoms_whatever_stands_in_the_unused_bits() -> None:
    for name in ("12bitSigned_0x0F0F.dcm", "12bitUnsigned_0x0F0F.dcm"):
        path = need_shared_data() / "mr-series/siemens-mosaic-12bit-high-bits" / name
        if not path.exists():
            continue
        ds, header = load(str(path.relative_to(need_shared_data())))
        stored = stored_values(bytes(ds.PixelData), header.describe(0))
        shift = 16 - ds.BitsStored
        cells = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns)
        expected = (cells << shift).view("<i2") >> shift if ds.PixelRepresentation else cells & (2**ds.BitsStored - 1)
        assert np.array_equal(stored, expected), name


@pytest.mark.parametrize(
    "path",
    [
        "single-frame/us-palette",
        "transfer-syntaxes/test-pattern-colour",
        "transfer-syntaxes/rle-bigendian-implicit-odd",
    ],
)
def test_palettes_and_native_colour_are_pydicoms(path: str) -> None:
    root = need_shared_data()
    compared = 0
    for file in sorted((root / path).rglob("*")):
        syntax, _ = split_part10(file.read_bytes()) if file.is_file() else ("", b"")
        if syntax not in NATIVE:
            continue
        ds, header = load(str(file.relative_to(root)))
        if "PixelData" not in ds or int(ds.get("NumberOfFrames", 1)) > 1 or ds.BitsAllocated > 16:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if ds.PhotometricInterpretation == "PALETTE COLOR":
                expected = apply_color_lut(ds.pixel_array, ds)
                expected = expected >> 8 if expected.dtype == np.uint16 and expected.max() > 255 else expected
            elif ds.SamplesPerPixel == 3 and ds.PhotometricInterpretation in ("RGB", "YBR_FULL", "YBR_FULL_422"):
                from pydicom.pixels import convert_color_space

                expected = ds.pixel_array
                expected = expected >> (ds.BitsStored - 8) if ds.BitsStored > 8 else expected
                if ds.PhotometricInterpretation != "RGB":
                    expected = convert_color_space(expected, "YBR_FULL", "RGB")
            else:
                continue
        got = shown(bytes(ds.PixelData), header.describe(0), PLAIN)
        assert np.abs(got.astype(int) - expected.astype(int)).max() <= 1, file.name
        compared += 1
    assert compared


CELLS = np.arange(16, dtype="<u2").reshape(4, 4) * 100
GREY = Description(rows=4, columns=4, stored=12, high_bit=11, window=Window(800, 1600))


def test_the_window_of_the_request_is_stronger_than_that_of_the_state_and_that_than_the_images() -> None:
    cells = CELLS.tobytes()
    narrow, other = Window(800, 2), Window(100, 2)
    image = shown(cells, GREY, PLAIN)
    state = shown(cells, GREY, PLAIN, Presentation(window=other))
    asked = shown(cells, GREY, replace(PLAIN, window=narrow), Presentation(window=other))
    assert set(np.unique(asked)) <= {0, 128, 255}
    assert len(np.unique(image)) > 8
    assert state[0, 2] == 255 and asked[0, 2] == 0


def test_monochrome1_is_inverted_and_a_presentation_state_decides_otherwise() -> None:
    cells = CELLS.tobytes()
    plain = shown(cells, GREY, PLAIN)
    inverse = shown(cells, replace(GREY, photometric="MONOCHROME1"), PLAIN)
    assert np.array_equal(inverse, 255 - plain)
    assert np.array_equal(shown(cells, GREY, PLAIN, Presentation(inverse=True)), 255 - plain)
    assert np.array_equal(
        shown(cells, replace(GREY, photometric="MONOCHROME1"), PLAIN, Presentation(inverse=False)), plain
    )


def test_an_image_without_a_window_shows_its_whole_range_and_padding_does_not_count() -> None:
    cells = CELLS.copy()
    cells[0, 0] = 4000
    described = replace(GREY, window=None)
    assert shown(cells.tobytes(), described, PLAIN)[3, 3] < 100
    assert shown(cells.tobytes(), replace(described, padding=(4000, 4095)), PLAIN)[3, 3] == 255
    octets = Description(rows=2, columns=2, allocated=8, stored=8, high_bit=7)
    assert shown(bytes([0, 1, 100, 200]), octets, PLAIN).ravel().tolist() == [0, 1, 100, 200]


def test_floating_point_pixels_and_masks_can_be_seen() -> None:
    floats = np.array([[0.0, np.nan], [0.5, 2.0]], "<f4")
    described = Description(rows=2, columns=2, allocated=32, stored=32, floating=True)
    assert shown(floats.tobytes(), described, PLAIN).tolist() == [[0, 0], [64, 255]]
    mask = Description(rows=2, columns=3, allocated=1, stored=1, high_bit=0)
    assert shown(b"\x15", mask, PLAIN).tolist() == [[255, 0, 255], [0, 255, 0]]


def test_wide_integers_are_transformed_without_a_table() -> None:
    cells = np.array([[0, 1 << 20], [1 << 30, 1 << 31]], "<u4")
    described = Description(rows=2, columns=2, allocated=32, stored=32, high_bit=31)
    assert shown(cells.tobytes(), described, PLAIN).tolist() == [[0, 0], [128, 255]]


@pytest.mark.parametrize(
    "description",
    [
        replace(GREY, stored=0),
        replace(GREY, stored=17),
        replace(GREY, high_bit=16),
        replace(GREY, stored=12, high_bit=3),
        replace(GREY, photometric="PALETTE COLOR"),
    ],
)
def test_a_description_that_cannot_be_true_is_an_error(description: Description) -> None:
    with pytest.raises(CannotTranscode):
        shown(CELLS.tobytes(), description, PLAIN)


def test_a_palette_index_beyond_its_table_takes_the_last_entry() -> None:
    lut = Lut(0, 8, (10, 20))
    described = Description(
        rows=1, columns=3, allocated=8, stored=8, high_bit=7, photometric="PALETTE COLOR", palette=(lut, lut, lut)
    )
    assert shown(bytes([0, 1, 255]), described, PLAIN)[0, :, 0].tolist() == [10, 20, 20]


def test_a_region_is_cut_out_and_a_negative_one_is_mirrored() -> None:
    cells = bytes(range(16))
    octets = Description(rows=4, columns=4, allocated=8, stored=8, high_bit=7)
    picture = render(cells, octets, replace(PLAIN, region=Region(1, 2, 2, 2))).pixels
    assert picture.tolist() == [[9, 10], [13, 14]]
    assert render(
        cells, octets, replace(PLAIN, region=Region(0.25, 0.5, 0.5, 0.5, fractions=True))
    ).pixels.tolist() == [
        [9, 10],
        [13, 14],
    ]
    assert render(cells, octets, replace(PLAIN, region=Region(1, 2, -2, 2))).pixels.tolist() == [[10, 9], [14, 13]]
    assert render(cells, octets, replace(PLAIN, region=Region(1, 2, 2, -2))).pixels.tolist() == [[13, 14], [9, 10]]
    with pytest.raises(CannotTranscode):
        render(cells, octets, replace(PLAIN, region=Region(10, 10, 2, 2)))
    with pytest.raises(CannotTranscode):
        render(cells, octets, replace(PLAIN, region=Region(0, 0, 1e9, 1e9)))


@pytest.mark.parametrize(
    ("rotation", "flip", "expected"),
    [
        (90, False, [[2, 0], [3, 1]]),
        (180, False, [[3, 2], [1, 0]]),
        (270, False, [[1, 3], [0, 2]]),
        (0, True, [[1, 0], [3, 2]]),
    ],
)
def test_a_presentation_state_turns_and_flips(rotation: int, flip: bool, expected: list[list[int]]) -> None:
    octets = Description(rows=2, columns=2, allocated=8, stored=8, high_bit=7)
    picture = render(bytes(range(4)), octets, PLAIN, Presentation(rotation=rotation, flip=flip))
    assert picture.pixels.tolist() == expected
    # The place of a pixel is where the pixel went.
    for value in range(4):
        x, y = picture.place(value % 2 + 0.5, value // 2 + 0.5)
        assert picture.pixels[int(y), int(x)] == value


def test_shutters_hide_what_lies_outside() -> None:
    octets = Description(rows=5, columns=5, allocated=8, stored=8, high_bit=7)
    cells = bytes([200] * 25)
    rectangle = render(cells, octets, PLAIN, shutter=Shutter(rectangle=(1, 1, 3, 3))).pixels
    assert (rectangle > 0).sum() == 9 and rectangle[0, 0] == 0
    circle = render(cells, octets, PLAIN, shutter=Shutter(circle=(2, 2, 1))).pixels
    assert (circle > 0).sum() == 5
    triangle = render(cells, octets, PLAIN, shutter=Shutter(polygon=((0, 0), (5, 0), (0, 5)))).pixels
    assert triangle[0, 0] == 200 and triangle[4, 4] == 0


def test_pictures_fit_their_viewport_keep_their_shape_and_have_square_pixels() -> None:
    assert fitted_size(100, 200, 1.0, Fit(50, 50)) == (25, 50)
    assert fitted_size(100, 200, 1.0, Fit(height=50)) == (50, 100)
    assert fitted_size(100, 200, 1.0, Fit(400, 400)) == (200, 400)
    assert fitted_size(100, 200, 1.0, Fit(400, 400, enlarge=False)) == (100, 200)
    assert fitted_size(100, 100, 2.0, None) == (200, 100)
    assert fitted_size(100, 100, 0.5, None) == (100, 200)
    assert fitted_size(1, 10_000, 1.0, Fit(10, 10)) == (1, 10)


def test_smaller_is_the_mean_of_what_is_covered_and_larger_lies_between() -> None:
    picture = np.array([[0, 100], [100, 200]], np.uint8)
    assert resized(picture, 1, 1).tolist() == [[100]]
    large = resized(picture, 4, 4)
    assert large[0, 0] == 0 and large[3, 3] == 200 and (np.diff(large.astype(int), axis=1) >= 0).all()
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (97, 131), np.uint8)
    for size in ((10, 13), (48, 65), (31, 200)):
        assert abs(float(resized(noise, *size).mean()) - float(noise.mean())) < 1.5
    assert resized(np.dstack([picture] * 3), 1, 2).shape == (1, 2, 3)
