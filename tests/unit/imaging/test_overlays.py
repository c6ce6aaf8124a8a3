"""Overlay planes: which frame they belong to, where they lie, what is broken about them; letters and colours."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageCms
from pydicom.dataset import Dataset
from tests.support.archive import dataset_of
from tests.support.generate import ct, part10

from vesalius.imaging.colour import converted, profile, rgb_of_lab
from vesalius.imaging.fonts import font_for, readable
from vesalius.imaging.overlays import Plane, activated, planes_of
from vesalius.model.elements import Header, read_header
from vesalius.model.rendering import ColourProfile

EXPLICIT = "1.2.840.10008.1.2.1"


def header_of(**elements: tuple[str, object]) -> Header:
    """An image with a plane of 3 x 5 points; further elements of group 6000 by number."""
    ds: Dataset = ct(1, 1, 1)
    values: dict[int, tuple[str, object]] = {0x10: ("US", 3), 0x11: ("US", 5), 0x40: ("CS", "G"), 0x50: ("SS", [1, 1])}
    values |= {int(name.removeprefix("e"), 16): value for name, value in elements.items()}
    for element, (vr, value) in values.items():
        ds.add_new((0x6000, element), vr, value)
    return read_header(dataset_of(part10(ds)), EXPLICIT)


def packed(*frames: np.ndarray) -> bytes:
    bits = np.packbits(np.concatenate([frame.ravel() for frame in frames]), bitorder="little").tobytes()
    return bits + bytes(len(bits) % 2)


FRAMES = [np.eye(3, 5, at, dtype=np.bool_) for at in range(3)]


def test_frames_of_a_plane_follow_each_other_without_a_gap() -> None:
    header = header_of(e3000=("OW", packed(*FRAMES)), e15=("IS", "3"), e51=("US", 2))
    assert planes_of(header, 0) == []  # the plane begins with the second frame of the image
    for index in (1, 2, 3):
        (plane,) = planes_of(header, index)
        assert np.array_equal(plane.points, FRAMES[index - 1])
    assert planes_of(header, 4) == []


def test_a_plane_that_counts_no_frames_is_about_all_of_them() -> None:
    header = header_of(e3000=("OW", packed(FRAMES[0])))
    assert all(np.array_equal(planes_of(header, index)[0].points, FRAMES[0]) for index in (0, 7, 999))


@pytest.mark.parametrize(
    "elements",
    [
        {"e3000": ("OW", b"\1\0"), "e10": ("US", 300)},  # shorter than it says
        {"e3000": ("OW", b"\1\0"), "e10": ("US", 0)},
        {"e3000": ("OW", b"\1\0"), "e10": ("US", 65535), "e11": ("US", 65535)},
        {"e3000": ("OW", packed(*FRAMES)), "e15": ("IS", "-3")},
        {"e102": ("US", 3)},  # no data, and no cells to look into
    ],
)
def test_a_plane_that_cannot_be_is_not_shown(elements: dict[str, tuple[str, object]]) -> None:
    assert [plane for plane in planes_of(header_of(**elements), 0) if plane.points.size > 15] == []


@pytest.mark.parametrize(
    ("top", "left", "seen"), [(0, 0, 4), (-1, -1, 1), (3, 3, 1), (9, 0, 0), (-5, 0, 0), (0, -2, 0)]
)
def test_what_lies_outside_the_image_is_cut_off(top: int, left: int, seen: int) -> None:
    plane = Plane(0x6000, np.ones((2, 2), np.bool_), top, left)
    found = plane.over(4, 4)
    assert found.shape == (4, 4) and found.sum() == seen


def test_a_state_names_the_planes_that_it_shows() -> None:
    assert activated(header_of(e1001=("CS", "MARKS"))) == {0x6000: "MARKS"}
    assert activated(header_of(e1001=("CS", ""))) == {}


@pytest.mark.parametrize(
    ("lab", "expected"),
    [
        ((65535, 32896, 32896), (255, 255, 255)),
        ((0, 32896, 32896), (0, 0, 0)),
        ((34885, 53485, 50171), (255, 0, 0)),
        ((57472, 10803, 54180), (0, 255, 0)),
    ],
)
def test_colours_of_layers_are_those_of_the_standard(lab: tuple[float, ...], expected: tuple[int, int, int]) -> None:
    found = rgb_of_lab(lab)
    assert found is not None and max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= 12
    assert rgb_of_lab((1.0,)) is None and rgb_of_lab((1, 2, 70000)) is None


@pytest.mark.parametrize("broken", [b"", b"no profile", bytes(200), b"\0" * 16 + b"RGB " + bytes(200)])
def test_a_broken_profile_is_as_good_as_none(broken: bytes) -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    shown, embedded = converted(pixels, broken, ColourProfile.NONE)
    assert np.array_equal(shown, pixels) and embedded is None
    _, embedded = converted(pixels, broken, ColourProfile.STORED)
    assert embedded == profile(ColourProfile.SRGB)


def test_well_known_spaces_are_what_they_are_called() -> None:
    red = np.array([[[255, 0, 0]]], np.uint8)
    wide, _ = converted(red, None, ColourProfile.ADOBE_RGB)
    assert np.abs(wide[0, 0].astype(int) - (219, 0, 0)).max() <= 2  # as published
    wider, _ = converted(red, None, ColourProfile.ROMM_RGB)
    assert np.abs(wider[0, 0].astype(int) - (179, 70, 26)).max() <= 3
    grey, embedded = converted(np.array([[128]], np.uint8), None, ColourProfile.ROMM_RGB)
    assert grey.shape == (1, 1, 3) and np.ptp(grey) <= 1
    assert embedded is not None and ImageCms.ImageCmsProfile(__import__("io").BytesIO(embedded)).profile.version >= 4


def test_what_no_font_has_is_a_question_mark_and_never_an_empty_box() -> None:
    font = font_for("Doe", 12)
    assert readable("Doe\x07 Jane", font) == "Doe Jane"
    assert readable("\U0001f9b4", font) == "?"
