"""Every grayscale and colour transformation against pydicom's, a second implementation of the same clauses."""

from __future__ import annotations

import dataclasses
import math
import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_rescale, apply_voi, apply_windowing, convert_color_space

from vesalius.imaging.description import Description, Lut
from vesalius.imaging.lookup import coloured, fitted, look_up, modality, ranged, reach, rgb_of_ybr, voi_table, windowed
from vesalius.imaging.presentation import Presentation
from vesalius.imaging.render import grey
from vesalius.model.rendering import Window, WindowFunction

FUNCTIONS = {
    WindowFunction.LINEAR: "LINEAR",
    WindowFunction.LINEAR_EXACT: "LINEAR_EXACT",
    WindowFunction.SIGMOID: "SIGMOID",
}


def windowing(function: str, center: float, width: float, *, signed: bool = False) -> Dataset:
    ds = Dataset()
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.PixelRepresentation = int(signed)
    ds.BitsStored = 12
    ds.WindowCenter = f"{center:.6g}"
    ds.WindowWidth = f"{width:.6g}"
    ds.VOILUTFunction = function
    return ds


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(WindowFunction)),
    st.integers(-3000, 6000),
    st.integers(1, 8000),
    st.booleans(),
)
def test_windows_are_pydicoms(function: WindowFunction, center: int, width: int, signed: bool) -> None:
    values = np.arange(-2048, 2048) if signed else np.arange(0, 4096)
    low, high = (-2048, 2047) if signed else (0, 4095)
    if function is WindowFunction.LINEAR and width == 1:
        return  # pydicom divides by zero there; the standard says a step (C.11.2.1.2.1), tested below
    expected = apply_windowing(
        values.astype("int16" if signed else "uint16"), windowing(FUNCTIONS[function], center, width, signed=signed)
    )
    got = windowed(values.astype(np.float64), Window(center, width, function), low, high)
    assert np.allclose(got, expected, atol=1e-6)


def test_a_window_of_width_one_is_a_step() -> None:
    got = windowed(np.array([98.0, 99.0, 99.5, 100.0, 101.0]), Window(100, 1))
    assert got.tolist() == [0, 0, 0, 255, 255]


def by_the_clause(function: WindowFunction, x: float, c: float, w: float, low: int, high: int) -> float:
    """The pseudo-code of PS3.3 C.11.2.1.2.1 and C.11.2.1.3 as it is printed, for one value, in exact fractions."""
    if function is WindowFunction.SIGMOID:
        power = -4 * (Fraction(x) - Fraction(c)) / Fraction(w)
        return low + (0.0 if power > 700 else (high - low) / (1 + math.exp(power)))
    fx, fc, fw = Fraction(x), Fraction(c), Fraction(w)
    half = Fraction(1, 2)
    if function is WindowFunction.LINEAR:
        if fx <= fc - half - (fw - 1) / 2:
            return low
        if fx > fc - half + (fw - 1) / 2:
            return high
        return float(((fx - (fc - half)) / (fw - 1) + half) * (high - low) + low)
    if fx <= fc - fw / 2:
        return low
    if fx > fc + fw / 2:
        return high
    return float(((fx - fc) / fw + half) * (high - low) + low)


FINITE = st.floats(-70000, 70000, allow_nan=False).map(lambda value: round(value, 4))


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(sorted(WindowFunction)),
    FINITE,
    FINITE,
    st.one_of(st.floats(1, 70000), st.sampled_from((1.0, 1.5, 2.0, 256.0, 4096.0))).map(lambda value: round(value, 4)),
    st.sampled_from(((0, 255), (0, 1), (-128, 127), (0, 65535))),
)
def test_windows_are_the_printed_pseudo_code_value_by_value(
    function: WindowFunction, center: float, offset: float, width: float, ends: tuple[int, int]
) -> None:
    low, high = ends
    # Where it matters: at both ends of the ramp, beside them, in the middle, and anywhere.
    values = [
        *(center + sign * width / 2 + by for sign in (-1, 0, 1) for by in (-1.0, -0.5, -0.001, 0.0, 0.001, 0.5, 1.0)),
        offset,
    ]
    got = windowed(np.array(values), Window(center, width, function), low, high)
    expected = [by_the_clause(function, x, center, width, low, high) for x in values]
    # Within rounding of the position on the ramp; where the ramp is a step, either side of it is within rounding.
    slope = (high - low) / max(width - (function is WindowFunction.LINEAR), 1e-9)
    for x, one, other in zip(values, got, expected, strict=True):
        near = min(abs(x - (center - 0.5)), abs(x - center)) < 1e-6 and width == 1
        assert near or abs(one - other) <= max(1e-9 * slope * max(abs(x), abs(center), 1), 1e-6), (x, one, other)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(WindowFunction)), FINITE, st.floats(1, 5000), st.lists(FINITE, min_size=2, max_size=50))
def test_windows_never_fall_and_never_leave_their_ends(
    function: WindowFunction, center: float, width: float, values: list[float]
) -> None:
    got = windowed(np.array(sorted(values)), Window(center, width, function))
    assert (np.diff(got) >= 0).all() and got.min() >= 0 and got.max() <= 255


@settings(max_examples=40, deadline=None)
@given(st.floats(-100, 100), st.floats(-5000, 5000))
def test_rescaling_is_pydicoms(slope: float, intercept: float) -> None:
    ds = Dataset()
    ds.RescaleSlope, ds.RescaleIntercept = f"{slope:.8g}", f"{intercept:.8g}"
    values = np.array([[-5, 0, 7], [4095, 30000, -30000]], "int16")
    expected = apply_rescale(values, ds)
    assert np.allclose(modality(values, float(ds.RescaleSlope), float(ds.RescaleIntercept)), expected)


def lut_item(first: int, bits: int, entries: list[int], *, signed: bool) -> Dataset:
    item = Dataset()
    item.add_new(0x00283002, "SS" if signed else "US", [len(entries), first, bits])
    item.add_new(0x00283006, "US", entries)
    return item


@pytest.mark.parametrize("signed", [False, True])
def test_modality_tables_are_pydicoms(signed: bool) -> None:
    entries = [int(value) for value in (np.arange(200) ** 2) % 4096]
    ds = Dataset()
    first = -50 if signed else 30
    ds.ModalityLUTSequence = [lut_item(first, 16, entries, signed=signed)]
    values = np.arange(-100 if signed else 0, 400).astype("int16" if signed else "uint16")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = apply_modality_lut(values, ds)
    assert np.array_equal(modality(values, 1, 0, Lut(first, 16, tuple(entries))), expected)


def test_voi_tables_are_pydicoms() -> None:
    entries = [int(value) for value in np.linspace(0, 65535, 256)]
    ds = Dataset()
    ds.PhotometricInterpretation, ds.PixelRepresentation, ds.BitsStored = "MONOCHROME2", 0, 16
    ds.VOILUTSequence = [lut_item(100, 16, entries, signed=False)]
    values = np.arange(0, 600).astype("uint16")
    assert np.array_equal(look_up(values, Lut(100, 16, tuple(entries))), apply_voi(values, ds))


RAMP = tuple(range(4096))


@pytest.mark.parametrize(
    ("written", "lowest", "highest", "meant"),
    [
        (64512, -1024, 3071, -1024),  # -1024 written or read as US: the rescaled CT is signed, its cells are not
        (-1024, -1024, 3071, -1024),
        (-25536, 0, 65535, 40000),  # 40000 read as SS: nothing that comes in is negative
        (40000, 0, 65535, 40000),
        (-5, 0, 4095, -5),  # begins before what can come in, and means it
        (0, -1024, 3071, 0),
        (100, 0, 255, 100),
    ],
)
def test_the_first_value_of_a_voi_lut_is_signed_as_its_input_is(
    written: int, lowest: float, highest: float, meant: int
) -> None:
    assert fitted(Lut(written, 12, RAMP), lowest, highest).first == meant


def test_what_comes_into_a_voi_lut_is_what_the_modality_lut_gives() -> None:
    assert reach(Description(1, 1, stored=12, slope=2, intercept=-1024)) == (-1024, 2 * 4095 - 1024)
    assert reach(Description(1, 1, stored=16, signed=True)) == (-32768, 32767)
    assert reach(Description(1, 1, stored=8, slope=-1)) == (-255, 0)
    assert reach(Description(1, 1, intercept=-5, modality_lut=Lut(0, 10, (1, 2)))) == (0, 1023)


@pytest.mark.parametrize("written", [-1000, 64536])
def test_an_unsigned_ct_with_a_voi_lut_in_hounsfield_units_is_shown_by_it(written: int) -> None:
    # Stored 0..2000 are -1000..1000 HU; the table is black at -1000 and white at 1000.
    entries = tuple(round(value * 4095 / 2000) for value in range(2001))
    lut = Lut(written, 12, entries)
    description = Description(1, 5, stored=12, intercept=-1000.0, voi_lut=lut)
    stored = np.array([[0, 500, 1000, 1500, 2000]], np.uint16)
    assert grey(stored, description, None, Presentation()).tolist() == [[0, 64, 128, 191, 255]]
    assert grey(stored, dataclasses.replace(description, voi_lut=None), None, Presentation(voi_lut=lut)).tolist() == [
        [0, 64, 128, 191, 255]
    ]


def test_a_presentation_lut_takes_the_whole_depth_of_a_voi_lut() -> None:
    # A table of 12 bits followed by one of 4096 entries: no step is lost between them (PS3.3 C.11.4, C.11.6).
    identity = Lut(0, 12, RAMP)
    inverse_root = tuple(round(4095 * math.sqrt(value / 4095)) for value in range(4096))
    state = Presentation(voi_lut=identity, presentation_lut=Lut(0, 12, inverse_root))
    description = Description(1, 4096, stored=12)
    stored = np.arange(4096, dtype=np.uint16)[None]
    expected = [round(inverse_root[value] * 255 / 4095) for value in range(4096)]
    assert np.abs(grey(stored, description, None, state)[0].astype(int) - expected).max() <= 1
    assert voi_table(np.array([1, 2, 3]), identity).tolist() == pytest.approx([255 / 4095 * each for each in (1, 2, 3)])


def test_ybr_becomes_rgb_as_pydicom_says() -> None:
    rng = np.random.default_rng(7)
    samples = rng.integers(0, 256, (40, 50, 3), np.uint8)
    expected = convert_color_space(samples, "YBR_FULL", "RGB")
    assert np.abs(rgb_of_ybr(samples).astype(int) - expected.astype(int)).max() <= 1


def test_a_constant_image_without_window_is_no_division_by_zero() -> None:
    assert ranged(np.zeros((2, 2)), 0, 0).tolist() == [[0, 0], [0, 0]]
    assert ranged(np.full((1, 2), 9.0), 9, 9).tolist() == [[255, 255]]


def test_dark_colours_of_16_bits_stay_dark() -> None:
    """Whether entries have 8 or 16 bits is told by the whole table, not by the colours of one image."""
    deep = Lut(0, 16, tuple(range(0, 0x10000, 0x80)))
    assert coloured(np.array([0, 1, 2, 511]), (deep, deep, deep))[:, 0].tolist() == [0, 0, 1, 255]
    narrow = Lut(0, 16, tuple(range(256)))
    assert coloured(np.array([0, 1, 2, 255]), (narrow, narrow, narrow))[:, 0].tolist() == [0, 1, 2, 255]
