"""Presentation states of the real service: overlays, shutters, layers, palettes, parts, as DCMTK shows them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageCms
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ColorSoftcopyPresentationStateStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    PseudoColorSoftcopyPresentationStateStorage,
)
from tests.support.data import need_shared_data
from tests.support.rendered import (
    Site,
    annotated_image,
    by_dcmtk,
    path_of,
    picture_site,
    planes_in_colour,
    square,
    state,
    voi,
    with_plane,
)

IMAGE = annotated_image()
COLOUR = planes_in_colour()


def layer(ds: Dataset, name: str, order: int, **colour: object) -> None:
    item = Dataset()
    item.GraphicLayer, item.GraphicLayerOrder = name, str(order)
    for keyword, value in colour.items():
        setattr(item, keyword, value)
    ds.GraphicLayerSequence = Sequence([*ds.get("GraphicLayerSequence", []), item])


def shuttered() -> Dataset:
    """Its window, a round shutter of a grey, the second plane alone."""
    ds = state(IMAGE, GrayscaleSoftcopyPresentationStateStorage, "shuttered")
    voi(ds, 1024, 2048)
    ds.ShutterShape, ds.CenterOfCircularShutter, ds.RadiusOfCircularShutter = "CIRCULAR", [32, 48], 25
    ds.ShutterPresentationValue = 0x4000
    layer(ds, "BAR", 1, GraphicLayerRecommendedDisplayGrayscaleValue=0xFFFF)
    ds.add_new((0x6002, 0x1001), "CS", "BAR")
    return ds


def drawn() -> Dataset:
    """A bit map as shutter; a green layer over a red one; a state's own plane; a text that points."""
    ds = state(IMAGE, GrayscaleSoftcopyPresentationStateStorage, "drawn")
    hidden = np.zeros((64, 96), np.bool_)
    hidden[:, 80:] = True
    with_plane(ds, 0x6004, hidden)
    ds.ShutterShape, ds.ShutterOverlayGroup, ds.ShutterPresentationValue = "BITMAP", 0x6004, 0
    with_plane(ds, 0x6006, square(64, 96, at=40, size=8))
    ds.add_new((0x6006, 0x1001), "CS", "UNDER")
    layer(ds, "OVER", 2, GraphicLayerRecommendedDisplayCIELabValue=[57472, 10803, 54180])  # green
    layer(ds, "UNDER", 1, GraphicLayerRecommendedDisplayCIELabValue=[34885, 53485, 50171])  # red
    line = Dataset()
    line.GraphicAnnotationUnits, line.GraphicDimensions, line.NumberOfGraphicPoints = "PIXEL", 2, 2
    line.GraphicData, line.GraphicType, line.GraphicFilled = [10.0, 20.0, 70.0, 20.0], "POLYLINE", "N"
    style = Dataset()
    style.PatternOnColorCIELabValue, style.LineThickness = [57472, 10803, 54180], 3.0
    style.PatternOnOpacity = 1.0
    line.LineStyleSequence = [style]
    under = Dataset()
    under.GraphicAnnotationUnits, under.GraphicDimensions, under.NumberOfGraphicPoints = "PIXEL", 2, 2
    under.GraphicData, under.GraphicType, under.GraphicFilled = [30.0, 10.0, 30.0, 30.0], "POLYLINE", "N"
    text = Dataset()
    text.BoundingBoxAnnotationUnits, text.AnchorPointAnnotationUnits = "PIXEL", "PIXEL"
    text.BoundingBoxTopLeftHandCorner, text.BoundingBoxBottomRightHandCorner = [40.0, 26.0], [70.0, 36.0]
    text.UnformattedTextValue, text.BoundingBoxTextHorizontalJustification = "A", "LEFT"
    text.AnchorPoint, text.AnchorPointVisibility = [60.0, 60.0], "Y"
    over, below = Dataset(), Dataset()
    over.GraphicLayer, over.GraphicObjectSequence, over.TextObjectSequence = "OVER", [line], [text]
    below.GraphicLayer, below.GraphicObjectSequence = "UNDER", [under]
    ds.GraphicAnnotationSequence = [over, below]
    return ds


def hot_iron() -> Dataset:
    """Pseudo-colour: the real palette of the standard (PS3.6 B.1)."""
    palette = dcmread(need_shared_data() / "sr-ko-pr-seg-rt/color-palette/hotiron.dcm")
    ds = state(IMAGE, PseudoColorSoftcopyPresentationStateStorage, "hot iron")
    voi(ds, 2048, 4096)
    for colour in ("Red", "Green", "Blue"):
        for what in ("Descriptor", "Data"):
            keyword = f"{colour}PaletteColorLookupTable{what}"
            setattr(ds, keyword, getattr(palette, keyword))
    ds.ICCProfile = palette.ICCProfile
    return ds


def magnified() -> Dataset:
    """A part of a colour image, twice as large, turned."""
    ds = state(COLOUR, ColorSoftcopyPresentationStateStorage, "magnified")
    ds.ICCProfile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    area = ds.DisplayedAreaSelectionSequence[0]
    area.DisplayedAreaTopLeftHandCorner, area.DisplayedAreaBottomRightHandCorner = [1, 1], [48, 32]
    area.PresentationSizeMode, area.PresentationPixelMagnificationRatio = "MAGNIFY", 2.0
    ds.ImageRotation, ds.ImageHorizontalFlip = 90, "N"
    return ds


STATES = {"shuttered": shuttered, "drawn": drawn, "hot iron": hot_iron, "magnified": magnified}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = [make() for make in STATES.values()]
    with picture_site(tmp_path_factory.mktemp("states"), [*made, IMAGE, COLOUR]) as served:
        yield served


def test_a_state_shows_the_overlays_that_it_activates_and_its_shutter_as_dcmtk_does(site: Site, tmp_path: Path) -> None:
    made = shuttered()
    ours = site.rendered(made).pixels[..., 0]
    assert (ours[4:10, 4:10] == 64).all(), "a plane that is not activated is shown, or the shutter has the wrong grey"
    image, said = (site.folder / f"{each.SOPInstanceUID}.dcm" for each in (IMAGE, made))
    theirs = by_dcmtk("dcmp2pgm", f"-p {said}", image, tmp_path / "theirs.pgm")[..., 0]
    # DCMTK leaves shutter and planes to the one who shows them; the grey that is left is the same.
    row, column = np.mgrid[-31:33, -47:49]
    seen = np.hypot(row, column) < 24
    seen[48:60] = False
    assert seen.sum() > 1000 and np.abs(ours - theirs)[seen].max() <= 2
    assert (ours[np.hypot(row, column) > 27][:1000] == 64).all() and (ours[49:59, 2:18] == 255).all()


def test_layers_colours_and_bit_map_shutters_of_a_state(site: Site) -> None:
    found = site.rendered(drawn()).pixels
    red, green = found[..., 0], found[..., 1]
    assert (found[40:60, 85:] == 0).all(), "the bit map does not hide"
    assert (red[41:47, 41:47] > 200).all() and (green[41:47, 41:47] < 60).all(), "the plane of the state is not red"
    assert (green[18:21, 12:28] > 200).all() and (red[18:21, 12:28] < 60).all(), "the line is not green and thick"
    assert green[19, 29] > 200, "the upper layer is under the lower one"
    assert red[12, 29] > 200 and green[12, 29] < 60, "the line of the lower layer is not red"
    assert (green[45:58, 50:62] > 200).any() or (green[45:58, 40:62] > 200).any(), "nothing points at the anchor"


def test_a_pseudo_colour_state_colours_with_its_palette(site: Site) -> None:
    found = site.rendered(hot_iron()).pixels
    row = found[30]
    assert (row[0] < 10).all() and (row[-1] > 245).all()
    assert row[40, 0] > 150 and row[40, 2] < 40, "hot iron is red before it is white"
    asked = site.get(f"/dicom-web{path_of(IMAGE)}/rendered?presentationUID={hot_iron().SOPInstanceUID}")
    assert np.array_equal(asked.pixels, found)


def test_a_colour_state_shows_a_part_larger_and_turned(site: Site) -> None:
    found = site.rendered(magnified()).pixels
    assert found.shape == (96, 64, 3)  # 48 x 32, twice as large, turned
    assert found[0, 30, 0] < 5 and abs(found[-1, 30, 0] - 126) < 6 and abs(found[50, 30, 1] - 40) < 3


def test_window_and_region_belong_to_the_state_itself(site: Site) -> None:
    for query in ("?window=10,20", "?viewport=20,20,1,1,5,5"):
        answer = site.rendered(shuttered(), query)
        assert answer.status == 400 and "presentation state" in answer.text
    assert site.rendered(shuttered(), "?viewport=48,48").pixels.shape == (32, 48, 3)
    series = path_of(shuttered()).rpartition("/instances")[0]
    assert site.get(f"/dicom-web{series}/rendered", "image/gif").headers["content-type"] == "image/gif"
