"""Pictures of the real service: those that DCMTK makes of the same files; overlays, states, colour, reports."""

from __future__ import annotations

import http.client
import io
import lzma
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ColorSoftcopyPresentationStateStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    PseudoColorSoftcopyPresentationStateStorage,
)
from tests.support.data import need_shared_data
from tests.support.dcmtk import need
from tests.support.generate import ct, part10, uid
from tests.support.server import Server, running_server, vesalius

Pixels = npt.NDArray[np.int64]

# Of each kind of pixel that DCMTK 3.6.7 reads, and with which window it shall show it.
AS_DCMTK = {
    "single-frame/lut-overlay/MR-SIEMENS-DICOM-WithOverlays.dcm": "+Wi 1",
    "single-frame/lut-overlay/mlut_18.dcm": "+Wm",
    "single-frame/lut-overlay/vlut_04.dcm": "+Wl 1",
    "single-frame/dx-cr-mg/OutOfBoundsOverlay.dcm": "+Wi 1",
    "single-frame/us-palette/OBXXXX1A_rle.dcm": "",
    "ct-series/covid19-A046441-prior-current/axial/19001111-045.dcm": "+Wi 1",
    "ct-series/philips-ingenuity-head-phantom/S4010-exam-summary-rgb/I10": "+Wi 1",
    "transfer-syntaxes/test-pattern-colour/TestPattern_RGB.dcm": "",
    "transfer-syntaxes/test-pattern-colour/TestPattern_Palette_16.dcm": "",
    "transfer-syntaxes/test-pattern-colour/TestPattern_JPEG-Baseline_YBRFull.dcm": "",
    "transfer-syntaxes/jpeg-ls/US-YBR_FULL_422-EVRLE.dcm": "",
    "transfer-syntaxes/rle-bigendian-implicit-odd/MR_small_bigendian.dcm": "+Wi 1",
    "transfer-syntaxes/rle-bigendian-implicit-odd/SC_rgb_small_odd_big_endian.dcm": "",
    "transfer-syntaxes/rle-bigendian-implicit-odd/examples_overlay.dcm": "+Wi 1",
    "transfer-syntaxes/rle-bigendian-implicit-odd/SC_rgb_rle_32bit.dcm": "",
    "transfer-syntaxes/one-ct-in-15-syntaxes/CTImage.dcm_RLELosslessTransferSyntax_1.2.840.10008.1.2.5.dcm": "+Wi 1",
    "mr-series/siemens-mosaic-12bit-high-bits": "+Wi 1",
    "sr-ko-pr-seg-rt/rt-small/rtdose.dcm": "+Wm",
    "sr-ko-pr-seg-rt/seg-other/seg_image_ct_binary.dcm": "+Wm",
    "sr-ko-pr-seg-rt/seg-liver-with-ct/liver.dcm": "+Wm",
    "multiframe/us/US-PAL-8-10x-echo.dcm": "",
    "multiframe/xa-nm-mr/NM-MONO2-16-13x-heart.dcm": "+Wi 1",
    "multiframe/xa-nm-mr/XA-MONO2-8-12x-catheter.dcm": "",
}  # fmt: skip
REPORTS = (
    "sr-ko-pr-seg-rt/sr",
    "sr-ko-pr-seg-rt/sr-tid1500-seg-rwvm",
    "sr-ko-pr-seg-rt/sr-tid1500-seg-with-ct-highdicom",
)


@dataclass(frozen=True)
class Answered:
    """An answer of the service."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def pixels(self) -> Pixels:
        """The picture as RGB."""
        assert self.status == 200, self.body[:300]
        return np.asarray(Image.open(io.BytesIO(self.body)).convert("RGB")).astype(np.int64)


@dataclass
class Site:
    """The service, and the files that were put into it."""

    server: Server
    folder: Path

    def get(self, path: str, accept: str = "image/png") -> Answered:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.http_port, timeout=60)
        connection.request("GET", path, headers={"Accept": accept})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return Answered(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)

    def rendered(self, ds: Dataset, query: str = "", accept: str = "image/png") -> Answered:
        return self.get(f"/dicom-web{path_of(ds)}/rendered{query}", accept)


def path_of(ds: Dataset) -> str:
    return f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"


# -- generated: kinds that the real data lack


def gradient(study: str, *, columns: int = 96, rows: int = 64, **attributes: object) -> Dataset:
    """Brighter from left to right, 12 bits, a window over all of it."""
    ds = ct(study, 1, 1, rows=rows, columns=columns, RescaleIntercept="0", WindowCenter="2048", WindowWidth="4096")
    line = np.linspace(0, 4095, columns).astype("<u2")
    ds.PixelData = np.tile(line, (rows, 1)).tobytes()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def with_plane(ds: Dataset, group: int, points: npt.NDArray[np.bool_], top: int = 1, left: int = 1) -> None:
    """An overlay plane in its own data."""
    bits = np.packbits(points.ravel(), bitorder="little").tobytes()
    ds.add_new((group, 0x0010), "US", points.shape[0])
    ds.add_new((group, 0x0011), "US", points.shape[1])
    ds.add_new((group, 0x0040), "CS", "G")
    ds.add_new((group, 0x0050), "SS", [top, left])
    ds.add_new((group, 0x0100), "US", 1)
    ds.add_new((group, 0x0102), "US", 0)
    ds.add_new((group, 0x3000), "OW", bits + b"\0" * (len(bits) % 2))


def square(rows: int, columns: int, at: int = 4, size: int = 6) -> npt.NDArray[np.bool_]:
    points = np.zeros((rows, columns), np.bool_)
    points[at : at + size, at : at + size] = True
    return points


def signed_with_padding() -> Dataset:
    ds = gradient("signed", PixelRepresentation=1, BitsStored=16, HighBit=15, WindowCenter="0", WindowWidth="2000")
    cells = np.tile(np.linspace(-1000, 999, 96).astype("<i2"), (64, 1))
    cells[:8] = -2000
    ds.PixelData = cells.tobytes()
    ds.add_new((0x0028, 0x0120), "SS", -2000)
    return ds


def bits_in_the_cells() -> Dataset:
    """An overlay in a bit of the pixels that holds no sample (retired)."""
    ds = gradient("embedded")
    cells = np.frombuffer(ds.PixelData, "<u2").reshape(64, 96).copy()
    cells |= square(64, 96).astype("<u2") << 13
    ds.PixelData = cells.tobytes()
    for element, vr, value in ((0x10, "US", 64), (0x11, "US", 96), (0x40, "CS", "G"), (0x50, "SS", [1, 1]),
                               (0x100, "US", 16), (0x102, "US", 13)):  # fmt: skip
        ds.add_new((0x6000, element), vr, value)
    return ds


def planes_in_colour() -> Dataset:
    """RGB with its samples plane after plane."""
    ds = gradient("planar", SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=1,
                  BitsAllocated=8, BitsStored=8, HighBit=7)  # fmt: skip
    line = np.linspace(0, 255, 96).astype(np.uint8)
    ds.PixelData = np.stack(
        [np.tile(line, (64, 1)), np.full((64, 96), 40, np.uint8), np.tile(line[::-1], (64, 1))]
    ).tobytes()
    for keyword in ("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"):
        delattr(ds, keyword)
    return ds


GENERATED = {
    "monochrome1": (gradient("mono1", PhotometricInterpretation="MONOCHROME1"), "+Wi 1"),
    "sigmoid": (gradient("sigmoid", VOILUTFunction="SIGMOID", WindowCenter="1500", WindowWidth="900"), "+Wi 1 +Wfs"),
    "signed": (signed_with_padding(), "+Wi 1"),
    "embedded": (bits_in_the_cells(), "+Wi 1"),
    "planar": (planes_in_colour(), ""),
}


def state(image: Dataset, sop_class: str, name: str) -> Dataset:
    """An empty presentation state of an image."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, uid("state", name)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = image.StudyInstanceUID, uid("states", name)
    ds.StudyDate, ds.StudyTime, ds.AccessionNumber = image.StudyDate, image.StudyTime, image.AccessionNumber
    ds.PatientID, ds.PatientName, ds.Modality = image.PatientID, image.PatientName, "PR"
    ds.PatientBirthDate, ds.PatientSex, ds.StudyID, ds.ReferringPhysicianName = "", "", "1", ""
    ds.SeriesNumber = ds.InstanceNumber = "1"
    ds.Manufacturer, ds.ContentLabel, ds.ContentDescription, ds.ContentCreatorName = "", "STATE", "", ""
    ds.PresentationCreationDate, ds.PresentationCreationTime = "20240131", "101500"
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedImageSequence = image.SeriesInstanceUID, [reference]
    ds.ReferencedSeriesSequence = [series]
    area = Dataset()
    area.DisplayedAreaTopLeftHandCorner, area.DisplayedAreaBottomRightHandCorner = [1, 1], [image.Columns, image.Rows]
    area.PresentationSizeMode, area.PresentationPixelAspectRatio = "SCALE TO FIT", ["1", "1"]
    area.ReferencedImageSequence = [reference]
    ds.DisplayedAreaSelectionSequence = [area]
    if sop_class == GrayscaleSoftcopyPresentationStateStorage:
        ds.PresentationLUTShape = "IDENTITY"
    return ds


def layer(ds: Dataset, name: str, order: int, **colour: object) -> None:
    item = Dataset()
    item.GraphicLayer, item.GraphicLayerOrder = name, str(order)
    for keyword, value in colour.items():
        setattr(item, keyword, value)
    ds.GraphicLayerSequence = Sequence([*ds.get("GraphicLayerSequence", []), item])


def voi(ds: Dataset, center: int, width: int) -> None:
    item = Dataset()
    item.WindowCenter, item.WindowWidth = str(center), str(width)
    ds.SoftcopyVOILUTSequence = [item]


def annotated_image() -> Dataset:
    """An image with two planes: a square at its left top, a bar that begins outside."""
    ds = gradient("planes")
    with_plane(ds, 0x6000, square(64, 96))
    with_plane(ds, 0x6002, np.ones((10, 30), np.bool_), top=50, left=-9)
    return ds


IMAGE = annotated_image()


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
    ds = state(GENERATED["planar"][0], ColorSoftcopyPresentationStateStorage, "magnified")
    ds.ICCProfile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    area = ds.DisplayedAreaSelectionSequence[0]
    area.DisplayedAreaTopLeftHandCorner, area.DisplayedAreaBottomRightHandCorner = [1, 1], [48, 32]
    area.PresentationSizeMode, area.PresentationPixelMagnificationRatio = "MAGNIFY", 2.0
    ds.ImageRotation, ds.ImageHorizontalFlip = 90, "N"
    return ds


STATES = {"shuttered": shuttered, "drawn": drawn, "hot iron": hot_iron, "magnified": magnified}


def swapped_profile() -> bytes:
    """A profile that takes red for green: whoever applies it cannot hide that."""
    whole = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(whole[128:132], "big")
    places = {bytes(whole[132 + 12 * n : 136 + 12 * n]): 132 + 12 * n for n in range(count)}
    red, green = places[b"rXYZ"], places[b"gXYZ"]
    whole[red + 4 : red + 12], whole[green + 4 : green + 12] = whole[green + 4 : green + 12], whole[red + 4 : red + 12]
    return bytes(whole)


PROFILED = planes_in_colour()
PROFILED.StudyInstanceUID, PROFILED.SeriesInstanceUID, PROFILED.SOPInstanceUID = (
    uid(part, "profiled") for part in ("study", "series", "instance")
)
PROFILED.ICCProfile = swapped_profile()


def key_objects() -> Dataset:
    """A key object selection of a real image, with a remark that is an attack."""
    image = dcmread(need_shared_data() / "single-frame/lut-overlay/MR-SIEMENS-DICOM-WithOverlays.dcm")
    ds = state(image, "1.2.840.10008.5.1.4.1.1.88.59", "key objects")
    for keyword in ("ReferencedSeriesSequence", "DisplayedAreaSelectionSequence"):
        delattr(ds, keyword)
    ds.Modality, ds.PatientName = "KO", '<img src=x onerror="alert(1)">^Eve'

    def code(value: str, meaning: str) -> Dataset:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
        return item

    ds.ValueType, ds.ContinuityOfContent = "CONTAINER", "SEPARATE"
    ds.ConceptNameCodeSequence = [code("113000", "Of Interest")]
    remark, shown, away = Dataset(), Dataset(), Dataset()
    remark.RelationshipType, remark.ValueType = "CONTAINS", "TEXT"
    remark.ConceptNameCodeSequence = [code("113012", "Key Object Description")]
    remark.TextValue = "</p><script>alert('x')</script>\r\nsecond & third line"
    for item, sop_class, instance in ((shown, image.SOPClassUID, image.SOPInstanceUID), (away, "1.2.3", "1.2.3.4")):
        item.RelationshipType, item.ValueType = "CONTAINS", "IMAGE"
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = sop_class, instance
        item.ReferencedSOPSequence = [reference]
    ds.ContentSequence = [remark, shown, away]
    return ds


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = need_shared_data()
    folder = tmp_path_factory.mktemp("rendered")
    files = folder / "in"
    files.mkdir()
    made = (
        [ds for ds, _ in GENERATED.values()] + [make() for make in STATES.values()] + [IMAGE, PROFILED, key_objects()]
    )
    for ds in made:
        (files / f"{ds.SOPInstanceUID}.dcm").write_bytes(part10(ds))
    dose = lzma.decompress((root / "sr-ko-pr-seg-rt/rt-prostate-ct-struct-plan-dose/rtdose.dcm.xz").read_bytes())
    (files / "dose.dcm").write_bytes(dose)
    real = [root / name for name in AS_DCMTK] + [root / name for name in REPORTS]
    real += [root / "multiframe/parametric-map", root / "multiframe/enhanced-ct/eCT_Supplemental.dcm"]
    real += [root / "multiframe/enhanced-mr-color", root / "sr-ko-pr-seg-rt/rt-small/rtplan.dcm"]
    vesalius("import", files, *real, data=folder / "data", check=False)
    with running_server(folder) as server:
        yield Site(server, files)


def by_dcmtk(tool: str, arguments: str, file: Path, out: Path) -> Pixels:
    done = subprocess.run(
        [need(tool), *arguments.split(), str(file), str(out)], capture_output=True, text=True, cwd=out.parent
    )
    assert out.exists(), done.stderr
    return np.asarray(Image.open(out).convert("RGB")).astype(np.int64)


def one_file(name: str) -> Path:
    place = need_shared_data() / name
    return place if place.is_file() else min(each for each in place.iterdir() if each.is_file())


# -- pixels


@pytest.mark.parametrize("name", AS_DCMTK)
def test_a_picture_of_a_real_image_is_the_one_that_dcmtk_makes(site: Site, tmp_path: Path, name: str) -> None:
    file = one_file(name)
    ds = dcmread(file, stop_before_pixels=True, force=True)
    theirs = by_dcmtk("dcmj2pnm", f"--write-raw-pnm {AS_DCMTK[name]}", file, tmp_path / "theirs")
    ours = site.get(f"/dicom-web{path_of(ds)}/frames/1/rendered").pixels
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 2
    assert len(np.unique(ours)) > 1, "nothing is to be seen"


@pytest.mark.parametrize("name", GENERATED)
def test_other_kinds_of_pixels_look_as_dcmtk_shows_them(site: Site, tmp_path: Path, name: str) -> None:
    ds, window = GENERATED[name]
    theirs = by_dcmtk("dcmj2pnm", f"--write-raw-pnm {window}", site.folder / f"{ds.SOPInstanceUID}.dcm", tmp_path / "t")
    assert np.abs(site.rendered(ds).pixels - theirs).max() <= 2


def test_a_dose_grid_of_32_bits_and_maps_of_floating_point_numbers_can_be_seen(site: Site) -> None:
    dose = dcmread(site.folder / "dose.dcm", force=True)
    index = int(dose.pixel_array.reshape(dose.NumberOfFrames, -1).max(1).argmax())
    frame = dose.pixel_array[index].astype(float)
    ours = site.get(f"/dicom-web{path_of(dose)}/frames/{index + 1}/rendered").pixels[..., 0]
    expected = (frame - frame.min()) / (frame.max() - frame.min()) * 255
    assert np.abs(ours - expected).max() <= 1 and ours.max() == 255
    for file in sorted((need_shared_data() / "multiframe/parametric-map").iterdir()):
        ds = dcmread(file)
        ours = site.get(f"/dicom-web{path_of(ds)}/frames/1/rendered").pixels[..., 0]
        frame = ds.pixel_array[0] if ds.pixel_array.ndim == 3 else ds.pixel_array
        assert ours.shape == frame.shape
        if frame.max() > frame.min():
            assert np.corrcoef(ours.ravel(), frame.ravel())[0, 1] > 0.95


def test_padding_is_black_however_the_image_is_shown(site: Site) -> None:
    ds, _ = GENERATED["signed"]
    assert (site.rendered(ds, "?window=-5000,100").pixels[:8] == 0).all()
    assert (site.rendered(ds, "?window=-5000,100").pixels[8:] == 255).all()


# -- overlays


def test_overlays_of_an_image_are_shown_where_they_lie(site: Site) -> None:
    shown = site.rendered(IMAGE).pixels
    plain = np.rint(np.clip((np.linspace(0, 4095, 96).astype(int) - 2047.5) / 4095 + 0.5, 0, 1) * 255)
    assert (shown[4:10, 4:10] == 255).all() and (shown[49:59, :20] == 255).all()
    assert np.abs(shown[30, :, 0] - plain).max() <= 1
    assert (shown[49:59, 21:40, 0] < 130).all()


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


# -- colour


def test_the_profile_of_an_image_is_applied(site: Site) -> None:
    plain = site.rendered(GENERATED["planar"][0]).pixels
    found = site.rendered(PROFILED).pixels
    assert np.abs(found[..., [1, 0, 2]] - plain).max() <= 6  # red and green have changed places
    assert "icc_profile" not in Image.open(io.BytesIO(site.rendered(PROFILED).body)).info


@pytest.mark.parametrize("kind", ["image/jpeg", "image/png", "image/webp"])
@pytest.mark.parametrize("wanted", ["yes", "srgb", "adobergb", "rommrgb"])
def test_a_picture_carries_the_profile_that_is_asked_for(site: Site, kind: str, wanted: str) -> None:
    answer = site.rendered(PROFILED, f"?iccprofile={wanted}&quality=100", kind)
    picture = Image.open(io.BytesIO(answer.body))
    profile = ImageCms.ImageCmsProfile(io.BytesIO(picture.info["icc_profile"]))
    name = ImageCms.getProfileDescription(profile).strip()
    assert {"yes": "", "srgb": "sRGB", "adobergb": "Adobe RGB", "rommrgb": "ROMM"}[wanted] in name
    # Whatever the space, who applies the profile sees the same.
    shown = ImageCms.profileToProfile(picture.convert("RGB"), profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert shown is not None
    expected = site.rendered(PROFILED).pixels
    assert np.abs(np.asarray(shown).astype(int) - expected).mean() < 4


def test_what_cannot_carry_a_profile_says_so(site: Site) -> None:
    assert site.rendered(PROFILED, "?iccprofile=adobergb", "image/gif").status == 400
    assert b"acsp" in site.rendered(PROFILED, "?iccprofile=rommrgb", "image/jp2").body
    assert site.rendered(PROFILED, "?iccprofile=no").pixels.shape == (64, 96, 3)
    assert site.rendered(PROFILED, "?iccprofile=cmyk").status == 400


def test_supplemental_colours_stand_among_grey(site: Site) -> None:
    ds = dcmread(need_shared_data() / "multiframe/enhanced-ct/eCT_Supplemental.dcm")
    found = site.get(f"/dicom-web{path_of(ds)}/frames/1/rendered").pixels
    frame = ds.pixel_array[0]
    first = int(ds.RedPaletteColorLookupTableDescriptor[1])
    assert (frame >= first).any() and (np.ptp(found[frame < first], -1) == 0).all()


# -- what is written


def test_what_was_lost_is_written_on_the_picture(site: Site) -> None:
    ds = dcmread(one_file("transfer-syntaxes/test-pattern-colour/TestPattern_JPEG-Baseline_YBRFull.dcm"))
    plain, written = site.rendered(ds).pixels, site.rendered(ds, "?annotation=technique").pixels
    assert (plain != written).any(-1).sum() > 200
    smaller = site.rendered(ds, "?annotation=technique&viewport=300,300").pixels
    assert smaller.shape[1] == 300 or smaller.shape[0] == 300


# -- reports


def reports() -> list[Path]:
    files = [file for folder in REPORTS for file in sorted((need_shared_data() / folder).iterdir())]
    return [file for file in files if dcmread(file, stop_before_pixels=True, force=True).get("Modality") == "SR"]


def everything_said(items: Sequence, found: set[str]) -> set[str]:
    """Every meaning, code, text, number and UID of a content tree, read by pydicom."""
    for item in items:
        for keyword in ("ConceptNameCodeSequence", "ConceptCodeSequence"):
            for code in item.get(keyword, []):
                found |= {str(code.CodeMeaning), str(code.get("CodeValue", "")), str(code.CodingSchemeDesignator)}
        for measured in item.get("MeasuredValueSequence", []):
            found.add(str(measured.get("NumericValue", "")))
            found |= {str(unit.CodeValue) for unit in measured.get("MeasurementUnitsCodeSequence", [])}
        found |= set(str(item.get("TextValue", "")).splitlines())
        found.add(str(item.get("UID", "")))
        for reference in item.get("ReferencedSOPSequence", []):
            found.add(str(reference.ReferencedSOPInstanceUID))
        everything_said(item.get("ContentSequence", []), found)
    return found


def squeezed(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("kind", ["text/html", "text/plain"])
def test_a_report_says_everything_that_its_tree_says(site: Site, kind: str) -> None:
    files = reports()
    assert len(files) >= 6
    for file in files:
        ds = dcmread(file, force=True)
        answer = site.rendered(ds, accept=kind)
        assert answer.status == 200 and answer.headers["content-type"] == f"{kind}; charset=utf-8"
        shown = answer.text
        if kind == "text/html":
            assert "<script" not in shown
            shown = unescape(shown) + unescape(re.sub(r"<[^>]+>", "", shown))
        shown = squeezed(shown)
        missing = {each for each in everything_said(ds.ContentSequence, set()) if squeezed(each) not in shown}
        assert not missing, (file.name, sorted(missing)[:5])


def test_a_page_is_the_first_choice_and_a_picture_none(site: Site) -> None:
    ds = dcmread(reports()[0], force=True)
    assert site.rendered(ds, accept="*/*").headers["content-type"].startswith("text/html")
    answer = site.rendered(ds, accept="image/png")
    assert answer.status == 406 and "text/html" in answer.text
    uids = f"studyUID={ds.StudyInstanceUID}&seriesUID={ds.SeriesInstanceUID}&objectUID={ds.SOPInstanceUID}"
    uri = f"/wado?requestType=WADO&{uids}"
    assert site.get(uri + "&contentType=text/html", "*/*").headers["content-type"].startswith("text/html")
    assert site.get(uri + "&contentType=text/plain&rows=10", "*/*").status == 400
    assert site.get(uri, "*/*").headers["content-type"] == "application/dicom"


def test_a_stranger_s_text_stays_text_and_references_lead_to_what_is_kept(site: Site) -> None:
    answer = site.rendered(key_objects(), accept="text/html")
    page = answer.text
    assert "<script" not in page and 'onerror="alert' not in page
    assert "&lt;script&gt;" in page and "second &amp; third line" in page
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "not kept here: 1.2.3.4" in page
    links = re.findall(r'(?:href|src)="(http[^"]+)"', page)
    root = f"http://127.0.0.1:{site.server.http_port}/dicom-web/"
    assert len(links) == 2 and all(link.startswith(root) for link in links)
    for link in links:
        assert site.get(link.removeprefix(f"http://127.0.0.1:{site.server.http_port}"), "image/*").status == 200
