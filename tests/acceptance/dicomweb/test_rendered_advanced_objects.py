"""Advanced blending (PS3.3 A.33.7) of segmentations, parametric maps, enhanced and compressed images.

The images are those of the phantom, whose value at every place is known; they lie on one grid, so that pictures are
compared to a level.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import highdicom as hd
import imagecodecs
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    SecondaryCaptureImageStorage,
)
from tests.support import phantom
from tests.support.advanced_states import (
    Layer,
    advanced_state,
    equal,
    foreground,
    item,
    same,
    square_pixels,
    step,
    table,
)
from tests.support.blending import Floats, Mask
from tests.support.generate import part10, uid
from tests.support.rendered import Pixels, Site, path_of, picture_site

SCAN = phantom.Scan()
HU_WINDOW, MAP_WINDOW, MR_WINDOW = (0.0, 2000.0), (0.2, 0.25), (500.0, 1000.0)
PLACE = 6  # of the slice that is looked at
EXACT = "LINEAR_EXACT"
TABLE = np.linspace(0, 0xFFFF, 1 << 16).astype("<u2")


def compressed() -> list[Dataset]:
    """The CT in JPEG-LS, as a series of its own."""
    found = phantom.ct(SCAN, series="jpeg-ls")
    for ds in found:
        cells = np.frombuffer(ds.PixelData, "<u2").reshape(SCAN.rows, SCAN.columns)
        ds.PixelData = encapsulate([imagecodecs.jpegls_encode(cells)])
        ds["PixelData"].VR = "OB"
    return found


def photographs() -> list[Dataset]:
    """Colours in JPEG with loss, of luminance and chrominances, on the grid of the CT."""
    found = phantom.ct(SCAN, series="jpeg")
    for place, ds in enumerate(found):
        ds.SOPClassUID, ds.Modality = SecondaryCaptureImageStorage, "OT"
        for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType"):
            delattr(ds, keyword)
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "YBR_FULL_422", 0
        ds.BitsAllocated = ds.BitsStored = 8
        ds.HighBit = 7
        ds.LossyImageCompression, ds.LossyImageCompressionMethod = "01", "ISO_10918_1"
        ds.PixelData = encapsulate([imagecodecs.jpeg8_encode(colours_at(place), level=98)])
        ds["PixelData"].VR = "OB"
    return found


def colours_at(place: int) -> Any:
    """Smooth colours."""
    j, i = np.mgrid[: SCAN.rows, : SCAN.columns]
    return np.stack((i * 3 + place, j * 4, 200 - i * 2 - j), axis=-1).clip(0, 255).astype(np.uint8)


def with_holes() -> list[Dataset]:
    """The CT with air as padding, dark shown bright (MONOCHROME1)."""
    found = phantom.ct(SCAN, series="holes")
    for ds in found:
        ds.PixelPaddingValue, ds.PhotometricInterpretation = 24, "MONOCHROME1"
    return found


CT, PACKED, HOLES, PHOTOGRAPHS = phantom.ct(SCAN), compressed(), with_holes(), photographs()
SEG, FRACTIONS = phantom.segmentation(SCAN), phantom.segmentation(SCAN, series="fractions", fractional=True)
DOSE = phantom.dose(SCAN)
MAP, MR = phantom.parametric_map(SCAN), phantom.enhanced_mr(SCAN)
# What the mapping to real world values says is no Modality LUT: thresholds and windows do not see it.
MAP.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0].RealWorldValueSlope = 10.0
MATERIAL = phantom.material(SCAN.points())
HU = phantom.hounsfield(SCAN.points()).astype(float)


def advanced(name: str, inputs: list[Dataset], steps: list[Dataset], **said: Any) -> Dataset:
    """A state in the study of the CT, of which every picture has as many pixels as its image."""
    area = square_pixels(SCAN.columns, SCAN.rows)
    return advanced_state(CT[0], f"of {name}", inputs, steps, DisplayedAreaSelectionSequence=[area], **said)


def anatomical(images: list[Dataset] = CT) -> Dataset:
    return item(1, images, HU_WINDOW, GeometryForDisplay="TRUE")


def part(number: int, image: Dataset, *args: Any, frames: list[int] | None = None, segment: int | None = None,
         **said: Any) -> Dataset:  # fmt: skip
    """An input that is some frames or a segment of one image."""
    ds = item(number, [image], *args, **said)
    if frames is not None:
        ds.ReferencedImageSequence[0].ReferencedFrameNumber = frames
    if segment is not None:
        ds.ReferencedImageSequence[0].ReferencedSegmentNumber = segment
    return ds


def wide_palette() -> Dataset:
    """A ramp of 65,536 entries in two colours, another in the third."""
    ds = Dataset()
    for colour, entries in (("Red", TABLE), ("Green", TABLE[::-1]), ("Blue", TABLE)):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [0, 0, 16])
        setattr(ds, f"{colour}PaletteColorLookupTableData", entries.tobytes())
    return ds


def wide() -> Dataset:
    ds = advanced("wide", [anatomical(PACKED), item(2, CT, HU_WINDOW)], [step("EQUAL", [1, 2])])
    for each in ds.AdvancedBlendingSequence:
        each.PaletteColorLookupTableSequence = [wide_palette()]
    return ds


def entries(palette: Dataset, colour: str) -> Any:
    return np.frombuffer(palette[f"{colour}PaletteColorLookupTableData"].value, np.uint8)


def by_highdicom() -> Dataset:
    """A state that nobody here has written."""

    def palette(name: str) -> hd.PaletteColorLUTTransformation:
        known = table(name)
        luts = [
            hd.PaletteColorLUT(
                0, np.frombuffer(known[f"{colour}PaletteColorLookupTableData"].value, np.uint8), colour.lower()
            )
            for colour in ("Red", "Green", "Blue")
        ]
        return hd.PaletteColorLUTTransformation(*luts)

    windowed = hd.pr.SoftcopyVOILUTTransformation(window_center=HU_WINDOW[0], window_width=HU_WINDOW[1])
    blending = [
        hd.pr.AdvancedBlending(
            images, number, voi_lut_transformations=[windowed], palette_color_lut_transformation=palette(name)
        )
        for number, images, name in ((1, CT, "hotiron"), (2, PACKED, "pet"))
    ]
    display = hd.pr.BlendingDisplay(
        "FOREGROUND", [hd.pr.BlendingDisplayInput(1), hd.pr.BlendingDisplayInput(2)], relative_opacity=0.3
    )
    made = hd.pr.AdvancedBlendingPresentationState(
        referenced_images=[*CT, *PACKED], blending=blending, blending_display=[display],
        series_instance_uid=uid("states", "highdicom"), series_number=90, sop_instance_uid=uid("state", "highdicom"),
        instance_number=1, manufacturer="highdicom", manufacturer_model_name="highdicom", software_versions="1",
        device_serial_number="1", content_label="BLENDED",
    )  # fmt: skip
    # As many pixels as the image has.
    made.DisplayedAreaSelectionSequence = [square_pixels(SCAN.columns, SCAN.rows)]
    return made


LUNG = [("GREATER_THAN", [0.0])]
STATES = {
    "segment": advanced(
        "segment", [anatomical(), part(2, SEG, segment=2, colours="hotiron", keep=LUNG)],
        [step("FOREGROUND", [2, 1], None, 0.5)],
    ),
    "two segments": advanced(
        "two segments", [
            anatomical(), part(2, SEG, segment=2, colours="hotiron", keep=LUNG),
            part(3, SEG, segment=1, colours="winter", keep=LUNG),
        ], [step("EQUAL", [2, 3], 4), step("FOREGROUND", [4, 1], None, 0.5)],
    ),
    "segment of itself": advanced(
        "segment of itself", [
            item(1, [SEG], keep=LUNG, GeometryForDisplay="TRUE"), part(2, SEG, segment=2, colours="hotiron", keep=LUNG),
            item(3, CT, HU_WINDOW),
        ], [step("FOREGROUND", [2, 3], None, 0.5)],
    ),
    "fractions": advanced(
        "fractions", [anatomical(), part(2, FRACTIONS, segment=1, keep=[("GREATER_OR_EQUAL", [0.25])])],
        [step("FOREGROUND", [2, 1], None, 0.5)],
    ),
    "map below": advanced(
        "map below", [
            item(1, CT, HU_WINDOW),
            item(2, [MAP], MAP_WINDOW, function=EXACT, keep=[("RANGE_INCL", [0.15, 0.2])], GeometryForDisplay="TRUE"),
        ], [step("FOREGROUND", [2, 1], None, 0.75)],
    ),
    "map above": advanced(
        "map above", [
            anatomical(), item(2, [MAP], MAP_WINDOW, function=EXACT, keep=[("RANGE_INCL", [0.15, 0.2])]),
        ], [step("FOREGROUND", [2, 1], None, 0.75)],
    ),
    "dose below": advanced(
        "dose below", [item(1, [DOSE], (1.0, 2.0), function=EXACT, colours="hotiron", keep=[("GREATER_THAN", [0.25])],
                            GeometryForDisplay="TRUE"), item(2, CT, HU_WINDOW)],
        [step("FOREGROUND", [1, 2], None, 0.5)],
    ),
    "dose above": advanced(
        "dose above", [anatomical(), item(2, [DOSE], (1.0, 2.0), function=EXACT, colours="hotiron",
                                          keep=[("GREATER_THAN", [0.25])])],
        [step("FOREGROUND", [2, 1], None, 0.5)],
    ),
    "b-value": advanced(
        "b-value", [anatomical(), part(2, MR, MR_WINDOW, frames=list(range(2, 25, 2)))],
        [step("FOREGROUND", [2, 1], None, 0.75)],
    ),
    "some frames": advanced(
        "some frames", [part(1, MR, MR_WINDOW, frames=[12, 14]), item(2, CT, HU_WINDOW)],
        [step("FOREGROUND", [1, 2], None, 0.75)],
    ),
    "time series below": advanced(
        "time series below", [item(1, [MR], MR_WINDOW, TimeSeriesBlending="TRUE"), item(2, CT, HU_WINDOW)],
        [step("FOREGROUND", [1, 2], None, 0.75)],
    ),
    "holes below": advanced("holes below", [anatomical(HOLES), item(2, PACKED, HU_WINDOW)],
                            [step("FOREGROUND", [1, 2], None, 0.75)]),
    "holes above": advanced("holes above", [anatomical(PACKED), item(2, HOLES, HU_WINDOW)],
                            [step("FOREGROUND", [2, 1], None, 0.75)]),
    "photographs": advanced("photographs", [anatomical(), item(2, PHOTOGRAPHS)], [step("EQUAL", [1, 2])]),
    "over photographs": advanced("over photographs", [item(2, PHOTOGRAPHS), anatomical(PACKED)],
                                 [step("EQUAL", [1, 2])]),
    "wide": wide(),
    "highdicom": by_highdicom(),
}  # fmt: skip
# A state, and words of the reason.
REFUSED = {
    "both segments": (
        advanced("both", [anatomical(), item(2, [SEG])], [step("EQUAL", [1, 2])]), "the series holds 2 volumes"),
    "no such segment": (
        advanced("ninth", [anatomical(), part(2, SEG, segment=9)], [step("EQUAL", [1, 2])]),
        "input 2 cannot be blended"),
    "no such frame": (
        advanced("hundredth", [anatomical(), part(2, MR, frames=[100])], [step("EQUAL", [1, 2])]),
        "input 2 cannot be blended"),
    "a segment as geometry": (
        advanced("shape", [item(1, CT), part(2, SEG, segment=1, GeometryForDisplay="TRUE")], [step("EQUAL", [1, 2])]),
        "single segments"),
    "both b-values": (
        advanced("diffusion", [anatomical(), item(2, [MR])], [step("EQUAL", [1, 2])]), "the series holds 2 volumes"),
}  # fmt: skip
STATES["over photographs"].AdvancedBlendingSequence[0].GeometryForDisplay = "TRUE"
del STATES["over photographs"].AdvancedBlendingSequence[1].GeometryForDisplay
ENCODINGS = {"implicit": ImplicitVRLittleEndian, "big endian": ExplicitVRBigEndian,
             "deflated": DeflatedExplicitVRLittleEndian}  # fmt: skip


def encoded(name: str) -> Dataset:
    ds = deepcopy(STATES["wide"])
    ds.SOPInstanceUID = uid("state", name)
    if name == "big endian":
        for each in ds.AdvancedBlendingSequence:
            (colours,) = each.PaletteColorLookupTableSequence
            for colour in ("Red", "Green", "Blue"):
                keyword = f"{colour}PaletteColorLookupTableData"
                setattr(colours, keyword, np.frombuffer(getattr(colours, keyword), "<u2").astype(">u2").tobytes())
    return ds


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("objects")
    files = []
    for syntax, images in ((JPEGLSLossless, PACKED), (JPEGBaseline8Bit, PHOTOGRAPHS)):
        for ds in images:
            files.append(folder / f"{ds.SOPInstanceUID}.dcm")
            files[-1].write_bytes(part10(ds, syntax))
    for name, syntax in ENCODINGS.items():
        files.append(folder / f"{name.replace(' ', '-')}.dcm")
        files[-1].write_bytes(part10(encoded(name), syntax))
    made = [*CT, *HOLES, SEG, FRACTIONS, MAP, MR, DOSE, *STATES.values(), *(ds for ds, _ in REFUSED.values())]
    with picture_site(folder, made, files) as served:
        yield served


def shown(site: Site, said: Dataset, frame: int = PLACE + 1) -> Pixels:
    return site.get(f"/dicom-web{path_of(said)}/frames/{frame}/rendered").pixels


def grey(levels: Floats, there: Mask | None = None) -> Layer:
    return np.repeat(np.rint(levels)[..., None], 3, axis=-1), np.ones(levels.shape, bool) if there is None else there


def hu_layer(place: int = PLACE) -> Layer:
    """LINEAR of center 0 and width 2000 (PS3.3 C.11.2.1.2.1)."""
    return grey(np.clip((HU[place] + 0.5) / 1999 + 0.5, 0, 1) * 255)


def exactly(values: Floats, center: float, width: float) -> Floats:
    return np.asarray(np.clip((values - center) / width + 0.5, 0, 1) * 255)


def mr_layer(place: int, index: int) -> Layer:
    values = MATERIAL[place] * 100.0 + index
    units = values * 2 + 7 if index else values
    return grey(np.clip((units - 499.5) / 999 + 0.5, 0, 1) * 255)


def map_layer(keep: tuple[float, float] = (0.15, 0.2)) -> Layer:
    values = (0.19 * (1 + HU[PLACE] / 1000)).astype("<f4").astype(float)
    return grey(exactly(values, *MAP_WINDOW), (values >= keep[0]) & (values <= keep[1]))


def flat(colour: Any, there: Mask) -> Layer:
    return np.broadcast_to(np.array(colour, float), (*there.shape, 3)), there


def last_of(name: str) -> list[int]:
    return [int(entries(table(name), colour)[255]) for colour in ("Red", "Green", "Blue")]


LUNGS, BONES = MATERIAL[PLACE] == phantom.LUNG, MATERIAL[PLACE] == phantom.BONE


def is_(site: Site, name: str, theirs: Layer, most: int = 1, frame: int = PLACE + 1) -> None:
    found = shown(site, STATES[name], frame)
    assert same(found, np.rint(theirs[0]).astype(np.int64), most)


def test_a_segment_is_an_input_of_its_own(site: Site) -> None:
    assert LUNGS.sum() > 20 and BONES.sum() > 20
    lungs, bones = flat(last_of("hotiron"), LUNGS), flat(last_of("winter"), BONES)
    is_(site, "segment", foreground(lungs, hu_layer(), 0.5))
    is_(site, "two segments", foreground(equal(lungs, bones), hu_layer(), 0.5))


def test_a_segment_is_not_the_frame_of_another_segment_of_the_same_object(site: Site) -> None:
    # The first frames of the object are those of segment 1; at the place of each, segment 2 is laid over the CT.
    first = SEG.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence[0].ImagePositionPatient
    assert SEG.PerFrameFunctionalGroupsSequence[2].SegmentIdentificationSequence[0].ReferencedSegmentNumber == 1
    place = round((float(first[2]) - float(SCAN.position(0)[2])) / SCAN.step)
    lungs = flat(last_of("hotiron"), MATERIAL[place] == phantom.LUNG)
    is_(site, "segment of itself", foreground(lungs, hu_layer(place), 0.5), frame=3)


def test_fractions_of_a_segment_are_values_from_0_to_1(site: Site) -> None:
    is_(site, "fractions", foreground(flat([128] * 3, BONES), hu_layer(), 0.5))


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_input_is_refused_with_the_reason(site: Site, name: str) -> None:
    said, word = REFUSED[name]
    answer = site.rendered(said)
    assert answer.status == 406 and word in answer.text, answer.text


@pytest.mark.parametrize("name", ["map below", "map above"])
def test_thresholds_and_windows_of_a_map_are_in_its_stored_values_below_and_above(site: Site, name: str) -> None:
    is_(site, name, foreground(map_layer(), hu_layer(), 0.75))
    assert 0.1 < map_layer()[1].mean() < 0.9


@pytest.mark.parametrize("name", ["dose below", "dose above"])
def test_a_dose_is_in_gray_below_and_above(site: Site, name: str) -> None:
    lesion = phantom.activity(SCAN.points())[PLACE] == phantom.LESION_BQ_ML
    gray = np.where(lesion, 2.0, np.where(MATERIAL[PLACE] == phantom.AIR, 0.0, 0.5))
    assert 0.1 < (gray > 0.25).mean() < 0.9 and lesion.any()
    level = np.rint(exactly(gray, 1.0, 2.0)).astype(int)
    rgb = np.stack([entries(table("hotiron"), colour)[level] for colour in ("Red", "Green", "Blue")], axis=-1)
    is_(site, name, foreground((rgb.astype(float), gray > 0.25), hu_layer(), 0.5))


def test_frames_of_an_image_are_an_input_by_themselves(site: Site) -> None:
    is_(site, "b-value", foreground(mr_layer(PLACE, 1), hu_layer(), 0.75))


def test_pictures_are_of_those_frames_that_give_the_geometry(site: Site) -> None:
    # The frames lie from the top down, both b-values of a place together.
    for number, frame in enumerate((12, 14), 1):
        place = SCAN.slices - 1 - (frame - 1) // 2
        is_(site, "some frames", foreground(mr_layer(place, 1), hu_layer(place), 0.75), frame=number)
    assert site.get(f"/dicom-web{path_of(STATES['some frames'])}/frames/3/rendered").status == 404
    said = STATES["some frames"].SOPInstanceUID
    assert site.get(f"/dicom-web{path_of(MR)}/frames/13/rendered?presentationUID={said}").status == 400


def test_every_image_of_a_time_series_that_gives_the_geometry_is_a_picture(site: Site) -> None:
    for frame in (1, 2, 24):
        place, index = SCAN.slices - 1 - (frame - 1) // 2, (frame - 1) % 2
        layer = foreground(mr_layer(place, index), hu_layer(place), 0.75)
        is_(site, "time series below", layer, frame=frame)


@pytest.mark.parametrize("name", ["holes below", "holes above"])
def test_padding_lets_the_other_input_through_and_monochrome1_is_dark_where_values_are_high(
    site: Site, name: str
) -> None:
    levels, _ = hu_layer()
    theirs = foreground((255 - levels, HU[PLACE] != -1000), hu_layer(), 0.75)
    is_(site, name, theirs)
    assert 0.1 < (HU[PLACE] == -1000).mean() < 0.9


@pytest.mark.parametrize("name", ["photographs", "over photographs"])
def test_colours_in_jpeg_are_inputs_below_and_above(site: Site, name: str) -> None:
    decoded = imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(colours_at(PLACE), level=98)).astype(float)
    is_(site, name, equal((decoded, np.ones(decoded.shape[:2], bool)), hu_layer()), most=2)


def test_a_palette_of_65536_entries_is_used_as_finely_as_it_is(site: Site) -> None:
    is_(site, "wide", wide_layer())


def wide_layer() -> Layer:
    levels = np.clip((HU[PLACE] + 0.5) / 1999 + 0.5, 0, 1) * 65535
    ramp = np.rint(levels).astype(int) >> 8
    rgb = np.stack((ramp, (65535 - np.rint(levels).astype(int)) >> 8, ramp), axis=-1).astype(float)
    return rgb, np.ones(ramp.shape, bool)


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_state_says_the_same_in_every_encoding(site: Site, name: str) -> None:
    assert np.array_equal(shown(site, encoded(name)), shown(site, STATES["wide"]))


def test_a_state_of_highdicom_is_drawn_as_it_says(site: Site) -> None:
    level = np.rint(hu_layer()[0][..., 0]).astype(int)

    def through(name: str) -> Layer:
        tables = [entries(table(name), colour) for colour in ("Red", "Green", "Blue")]
        return np.stack([each[level] for each in tables], axis=-1).astype(float), np.ones(level.shape, bool)

    theirs = foreground(through("hotiron"), through("pet"), 0.3)
    # Its ICC profile is another sRGB (v4, with tables), which a conversion to our own would show.
    path = f"/dicom-web{path_of(STATES['highdicom'])}/frames/{PLACE + 1}/rendered"
    found = site.get(f"{path}?iccprofile=yes")
    assert same(found.pixels, np.rint(theirs[0]).astype(np.int64), 1)
    assert not same(site.get(path).pixels, found.pixels)
