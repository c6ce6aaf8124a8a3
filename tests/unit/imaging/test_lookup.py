"""Every grayscale and colour transformation against pydicom's, a second implementation of the same clauses."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_rescale, apply_voi, apply_windowing, convert_color_space

from vesalius.imaging.description import Lut
from vesalius.imaging.lookup import coloured, look_up, modality, ranged, rgb_of_ybr, windowed
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
