"""Presentation states: read from their data sets, applied to one frame, drawn where they say."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset
from tests.support.archive import dataset_of
from tests.support.data import need_shared_data
from tests.support.elements import split_part10
from tests.support.generate import ct, part10

from vesalius.imaging.draw import draw, patient_lines, technique_lines
from vesalius.imaging.graphics import Drawing
from vesalius.imaging.presentation import Presentation, presentation_of, references_of, shutter_of
from vesalius.imaging.render import Picture
from vesalius.model.elements import Header, read_header
from vesalius.model.rendering import WindowFunction

EXPLICIT = "1.2.840.10008.1.2.1"


def header_of(ds: Dataset) -> Header:
    return read_header(dataset_of(part10(ds)), EXPLICIT)


def reference(instance: str, *frames: int) -> Dataset:
    ds = Dataset()
    ds.ReferencedSOPClassUID, ds.ReferencedSOPInstanceUID = "1.2", instance
    if frames:
        ds.ReferencedFrameNumber = list(frames)
    return ds


def voi(center: int, *images: Dataset) -> Dataset:
    ds = Dataset()
    ds.WindowCenter, ds.WindowWidth, ds.VOILUTFunction = str(center), "100", "SIGMOID"
    if images:
        ds.ReferencedImageSequence = list(images)
    return ds


def state(**attributes: object) -> Dataset:
    ds = ct(1, 1, 1)
    for keyword in ("PixelData", "RescaleSlope", "RescaleIntercept"):
        delattr(ds, keyword)
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def test_each_frame_gets_the_window_that_is_meant_for_it() -> None:
    header = header_of(
        state(SoftcopyVOILUTSequence=[voi(10, reference("1.2.3", 2)), voi(20, reference("1.2.4")), voi(30)])
    )
    found = {
        (instance, index): presentation_of(header, instance, index).window
        for instance, index in (("1.2.3", 1), ("1.2.3", 0), ("1.2.4", 7), ("9", 0))
    }
    centers = {key: window.center if window else None for key, window in found.items()}
    assert centers == {("1.2.3", 1): 10, ("1.2.3", 0): 30, ("1.2.4", 7): 20, ("9", 0): 30}
    assert all(window and window.function is WindowFunction.SIGMOID for window in found.values())


def test_what_a_state_does_not_say_stays_open() -> None:
    assert presentation_of(header_of(state()), "1.2.3", 0) == Presentation()


def test_geometry_shape_and_units() -> None:
    area = Dataset()
    area.DisplayedAreaTopLeftHandCorner, area.DisplayedAreaBottomRightHandCorner = [11, 21], [20, 40]
    found = presentation_of(
        header_of(
            state(
                ImageRotation=270, ImageHorizontalFlip="Y", PresentationLUTShape="IDENTITY",
                DisplayedAreaSelectionSequence=[area], RescaleSlope="2", RescaleIntercept="-5",
            )
        ),
        "1.2.3",
        0,
    )  # fmt: skip
    assert (found.rotation, found.flip, found.inverse) == (270, True, False)
    assert found.area == (10, 20, 20, 40)
    assert (found.slope, found.intercept) == (2.0, -5.0)


def test_the_images_that_a_state_is_about() -> None:
    series = Dataset()
    series.SeriesInstanceUID = "1.2"
    series.ReferencedImageSequence = [reference("1.2.3"), reference("1.2.4", 1, 5)]
    assert references_of(header_of(state(ReferencedSeriesSequence=[series]))) == {"1.2.3": (), "1.2.4": (0, 4)}


def test_shutters_of_every_shape() -> None:
    found = shutter_of(
        header_of(
            state(
                ShutterShape=["RECTANGULAR", "CIRCULAR", "POLYGONAL"],
                ShutterLeftVerticalEdge=2, ShutterRightVerticalEdge=30,
                ShutterUpperHorizontalEdge=3, ShutterLowerHorizontalEdge=40,
                CenterOfCircularShutter=[10, 20], RadiusOfCircularShutter=5,
                VerticesOfThePolygonalShutter=[1, 1, 1, 9, 9, 9],
            )
        )
    )  # fmt: skip
    assert found is not None
    assert found.rectangle == (2, 3, 29, 39)
    assert found.circle == (19, 9, 5)
    assert found.polygon == ((0, 0), (8, 0), (8, 8))
    assert shutter_of(header_of(state(ShutterShape="CIRCULAR"))) is None


def test_a_real_state_can_be_read() -> None:
    folder = need_shared_data() / "sr-ko-pr-seg-rt/pr"
    path = next(each for each in sorted(folder.iterdir()) if each.is_file())
    syntax, dataset = split_part10(path.read_bytes())
    header = read_header(dataset, syntax or "1.2.840.10008.1.2")
    references = references_of(header)
    assert references
    assert isinstance(presentation_of(header, next(iter(references)), 0), Presentation)


BLACK = Picture(np.zeros((100, 200), np.uint8), (0.0, 0.0), (100.0, 50.0), 0, False)


@pytest.mark.parametrize(
    ("drawing", "inside", "outside"),
    [
        (Drawing("POLYLINE", ((10, 10), (90, 10))), (20, 100), (60, 100)),
        (Drawing("POLYLINE", ((10, 10), (30, 10), (30, 30), (10, 10)), filled=True), (30, 56), (80, 20)),
        (Drawing("CIRCLE", ((50, 25), (60, 25))), (50, 120), (50, 100)),
        (Drawing("ELLIPSE", ((30, 25), (70, 25), (50, 15), (50, 35))), (30, 100), (50, 100)),
        (Drawing("POINT", ((50, 25),)), (50, 100), (60, 100)),
        (Drawing("INTERPOLATED", ((0.1, 0.5), (0.9, 0.5)), displayed=True), (50, 100), (20, 100)),
    ],
)
def test_drawings_are_where_they_say(drawing: Drawing, inside: tuple[int, int], outside: tuple[int, int]) -> None:
    found = draw(BLACK, [], [], (drawing,))
    row, column = inside
    assert found[row - 2 : row + 3, column - 2 : column + 3].any(), "nothing is drawn"
    row, column = outside
    assert not found[row - 2 : row + 3, column - 2 : column + 3].any()


@pytest.mark.parametrize("kind", ["POINT", "CIRCLE", "ELLIPSE", "POLYLINE", "INTERPOLATED", "TEXT", "nonsense"])
def test_drawings_of_nonsense_do_no_harm(kind: str) -> None:
    far = Drawing(kind, ((1e30, -1e30), (float(2**31), 5.0)), text="x" * 5000)
    one = Drawing(kind, ((5.0, 5.0),), text="")
    assert draw(BLACK, [], [], (far, one)).shape == (100, 200, 3)


def test_lines_say_who_and_how() -> None:
    header = header_of(ct(1, 2, 3, patient_name="Doe^Jane=x", SliceThickness="5"))
    assert patient_lines(header) == ["Doe Jane", "PID-1", "1970-01-01  F", "2024-01-31  10:15"]
    assert technique_lines(header, 0)[:2] == ["CT Series 2", "S 2 I 3 F 1"]
    assert draw(BLACK, patient_lines(header), technique_lines(header, 0), ()).max() > 200
