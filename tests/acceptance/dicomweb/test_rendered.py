"""Pictures of the real service: those that DCMTK makes of the same files; overlays, padding, colour."""

from __future__ import annotations

import io
import lzma
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from pydicom import dcmread
from pydicom.dataset import Dataset
from tests.support.data import need_shared_data
from tests.support.generate import uid
from tests.support.rendered import (
    Site,
    annotated_image,
    by_dcmtk,
    gradient,
    one_file,
    path_of,
    picture_site,
    planes_in_colour,
    square,
)

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
DOSE = "sr-ko-pr-seg-rt/rt-prostate-ct-struct-plan-dose/rtdose.dcm.xz"


# -- generated: kinds that the real data lack


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


GENERATED = {
    "monochrome1": (gradient("mono1", PhotometricInterpretation="MONOCHROME1"), "+Wi 1"),
    "sigmoid": (gradient("sigmoid", VOILUTFunction="SIGMOID", WindowCenter="1500", WindowWidth="900"), "+Wi 1 +Wfs"),
    "signed": (signed_with_padding(), "+Wi 1"),
    "embedded": (bits_in_the_cells(), "+Wi 1"),
    "planar": (planes_in_colour(), ""),
}


def swapped_profile() -> bytes:
    """A profile that takes red for green: whoever applies it cannot hide that."""
    whole = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(whole[128:132], "big")
    places = {bytes(whole[132 + 12 * n : 136 + 12 * n]): 132 + 12 * n for n in range(count)}
    red, green = places[b"rXYZ"], places[b"gXYZ"]
    whole[red + 4 : red + 12], whole[green + 4 : green + 12] = whole[green + 4 : green + 12], whole[red + 4 : red + 12]
    return bytes(whole)


IMAGE = annotated_image()
PROFILED = planes_in_colour()
PROFILED.StudyInstanceUID, PROFILED.SeriesInstanceUID, PROFILED.SOPInstanceUID = (
    uid(part, "profiled") for part in ("study", "series", "instance")
)
PROFILED.ICCProfile = swapped_profile()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = need_shared_data()
    folder = tmp_path_factory.mktemp("rendered")
    dose = folder / "dose.dcm"
    dose.write_bytes(lzma.decompress((root / DOSE).read_bytes()))
    real = [root / name for name in AS_DCMTK]
    real += [root / "multiframe/parametric-map", root / "multiframe/enhanced-ct/eCT_Supplemental.dcm"]
    with picture_site(folder, [*(ds for ds, _ in GENERATED.values()), IMAGE, PROFILED], [*real, dose]) as served:
        yield served


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
    dose = dcmread(site.folder.parent / "dose.dcm", force=True)
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


def test_overlays_of_an_image_are_shown_where_they_lie(site: Site) -> None:
    shown = site.rendered(IMAGE).pixels
    plain = np.rint(np.clip((np.linspace(0, 4095, 96).astype(int) - 2047.5) / 4095 + 0.5, 0, 1) * 255)
    assert (shown[4:10, 4:10] == 255).all() and (shown[49:59, :20] == 255).all()
    assert np.abs(shown[30, :, 0] - plain).max() <= 1
    assert (shown[49:59, 21:40, 0] < 130).all()


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
