"""What every transcoder promises, on real data: lossless pixels equal to a second decoder's, nothing else changed.

The second decoder is GDCM; the reader of the results is pydicom. Neither is used by the product for this.
"""

from __future__ import annotations

import os
import signal
import struct
import time
import warnings
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import gdcm
import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from tests.support.archive import dataset_of
from tests.support.data import need_shared_data
from tests.support.elements import explicit, pixels, split_part10
from tests.support.generate import ct, part10

from vesalius.backends.pixels_codecs import CodecLimits, PixelCodecs
from vesalius.model.entities import Claim
from vesalius.model.errors import CannotTranscode
from vesalius.model.file_meta import file_prefix

IMPLICIT, EXPLICIT, DEFLATED, BIG = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
)
RLE, LS, J2K, SV1 = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.70"
BASELINE, DEFLATED_FRAME = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.8.1"
NATIVE = (IMPLICIT, EXPLICIT, DEFLATED, BIG)
LOSSLESS = (LS, J2K, SV1, RLE)
LOSSY = {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 53, 55, 81, 91, 203)}

# Attributes of the pixels that may change with the transfer syntax.
PIXEL_TAGS = {0x00280004, 0x00280006, 0x7FE00001, 0x7FE00002, 0x7FE00003, 0x7FE00010}


@pytest.fixture(scope="module")
def codecs() -> Iterator[PixelCodecs]:
    opened = PixelCodecs(CodecLimits(workers=1))
    yield opened
    opened.close()


def read(dataset: bytes, transfer_syntax: str) -> Dataset:
    return dcmread(BytesIO(file_prefix(Claim("1.2.3", "1.2.3", transfer_syntax)) + dataset), force=True)


def parts(path: str) -> tuple[str, bytes]:
    return split_part10((need_shared_data() / path).read_bytes())


def array(dataset: bytes, transfer_syntax: str) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read(dataset, transfer_syntax).pixel_array


def by_gdcm(path: Path) -> bytes | None:
    """Native pixels as GDCM decodes them; None where it cannot."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    if not reader.Read():
        return None
    image = reader.GetImage()
    return image.GetBuffer().encode("utf-8", "surrogateescape")


COMPRESSED = [
    "transfer-syntaxes/one-ct-in-15-syntaxes",
    "transfer-syntaxes/one-mr-in-9-syntaxes",
    "transfer-syntaxes/fragments-and-offset-tables",
    "transfer-syntaxes/rle-bigendian-implicit-odd",
    "transfer-syntaxes/jpeg-ls",
    "transfer-syntaxes/jpeg-baseline-colour",
    "transfer-syntaxes/test-pattern-colour",
    "multiframe/enhanced-mr",
    "multiframe/us",
    "multiframe/wsi",
    "multiframe/xa-nm-mr",
    "single-frame/dx-cr-mg",
    "single-frame/us-palette",
    "single-frame/secondary-capture-photo",
    "sr-ko-pr-seg-rt/seg-other",
]
# Wrong in themselves: the data set is not in the transfer syntax that the file names.
WRONG = {"SC_rgb_jpeg.dcm"}


@pytest.mark.parametrize("folder", COMPRESSED)
def test_every_real_file_becomes_native_with_the_pixels_that_a_second_decoder_sees(
    codecs: PixelCodecs, folder: str
) -> None:
    compared = 0
    for path in sorted((need_shared_data() / folder).rglob("*")):
        stored, dataset = split_part10(path.read_bytes())
        if path.name in WRONG or not stored:
            continue
        native = codecs.transcode(dataset, stored, EXPLICIT) if stored != EXPLICIT else dataset
        before, after = read(dataset, stored), read(native, EXPLICIT)
        names = {element.tag for element in before if element.tag.element} - PIXEL_TAGS
        assert names == {element.tag for element in after if element.tag.element} - PIXEL_TAGS, path.name
        if "PixelData" not in before:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = before.pixel_array
        except Exception:
            expected = None
        got = array(native, EXPLICIT)
        if expected is not None:
            difference = int(np.abs(got.astype(np.int64) - expected.astype(np.int64)).max())
            assert difference <= (1 if stored in LOSSY else 0), path.name
            compared += 1
    assert compared


def test_the_lossless_encodings_of_one_image_become_the_same_bytes(codecs: PixelCodecs) -> None:
    for folder, marker in (("one-ct-in-15-syntaxes", "1.2.840.10008.1.2.1.dcm"), ("one-mr-in-9-syntaxes", None)):
        images = {}
        for path in sorted((need_shared_data() / "transfer-syntaxes" / folder).iterdir()):
            stored, dataset = split_part10(path.read_bytes())
            if stored not in LOSSY:
                native = codecs.transcode(dataset, stored, EXPLICIT) if stored != EXPLICIT else dataset
                images[path.name] = np.asarray(array(native, EXPLICIT))
        first = next(iter(images.values()))
        assert len(images) >= 8, marker
        assert all(np.array_equal(first, image) for image in images.values())


def test_lossless_pixels_are_gdcms(codecs: PixelCodecs) -> None:
    compared = 0
    for folder in ("one-ct-in-15-syntaxes", "one-mr-in-9-syntaxes", "rle-bigendian-implicit-odd"):
        for path in sorted((need_shared_data() / "transfer-syntaxes" / folder).iterdir()):
            stored, dataset = split_part10(path.read_bytes())
            if stored in LOSSY or stored in NATIVE or not stored:
                continue
            expected = by_gdcm(path)
            if expected is None:
                continue
            native = read(codecs.transcode(dataset, stored, EXPLICIT), EXPLICIT)
            if native.get("PlanarConfiguration", 0) or native.BitsAllocated * native.SamplesPerPixel > 24:
                continue  # GDCM interleaves the bytes of colour of 16 bits wrongly
            # GDCM does not extend the sign where the codestream has another than the attribute; the bits are equal.
            mask = (1 << native.BitsStored) - 1
            cell = f"<u{native.BitsAllocated // 8}"
            got = np.frombuffer(native.PixelData[: len(expected)], cell) & mask
            assert np.array_equal(got, np.frombuffer(expected, cell) & mask), path.name
            compared += 1
    assert compared >= 12


def test_high_throughput_jpeg_2000_is_what_openjph_sees(codecs: PixelCodecs) -> None:
    decoded = []
    for name in ("HTJ2KLossless_08_RGB.dcm", "HTJ2K_08_RGB.dcm"):
        stored, dataset = parts(f"transfer-syntaxes/htj2k-deflate-frame/{name}")
        (frame,) = generate_frames(read(dataset, stored).PixelData, number_of_frames=1)
        decoded.append((array(codecs.transcode(dataset, stored, EXPLICIT), EXPLICIT), frame))
    (lossless, frame), (lossy, _) = decoded
    assert np.array_equal(lossless, imagecodecs.htj2k_decode(frame))
    # OpenJPH wraps around where a lossy value passes 255, so the lossy image is compared with the lossless one.
    assert np.abs(lossy.astype(int) - lossless.astype(int)).max() <= 4


@pytest.mark.parametrize("target", NATIVE + LOSSLESS)
@pytest.mark.parametrize(
    "path",
    [
        "transfer-syntaxes/one-mr-in-9-syntaxes",
        "mr-series/siemens-mosaic-12bit-high-bits/12bitSigned_0x0F0F.dcm",
        "multiframe/us/US-MONO2-8-8x-execho.dcm",
        "transfer-syntaxes/rle-bigendian-implicit-odd/SC_rgb_small_odd.dcm",
        "transfer-syntaxes/test-pattern-colour/TestPattern_RGB.dcm",
    ],
)
def test_there_and_back_gives_the_same_bytes(codecs: PixelCodecs, path: str, target: str) -> None:
    found = need_shared_data() / path
    if found.is_dir():
        found = next(each for each in sorted(found.iterdir()) if split_part10(each.read_bytes())[0] == EXPLICIT)
    stored, dataset = split_part10(found.read_bytes())
    assert stored == EXPLICIT
    if target == EXPLICIT:
        return
    turned = codecs.transcode(dataset, EXPLICIT, target)
    back = codecs.transcode(turned, target, EXPLICIT)
    before, after = read(dataset, EXPLICIT), read(back, EXPLICIT)
    if before.get("PlanarConfiguration", 0) == after.get("PlanarConfiguration", 0):
        assert after.PixelData == before.PixelData
    assert np.array_equal(after.pixel_array, before.pixel_array)
    for element in before:
        if element.tag.element and element.tag not in PIXEL_TAGS and element.VR != "SQ" and not element.tag.is_private:
            assert after[element.tag].value == element.value, element.tag


@pytest.mark.parametrize("target", LOSSLESS)
def test_gdcm_reads_what_is_compressed_here(codecs: PixelCodecs, tmp_path: Path, target: str) -> None:
    ds = ct(rows=37, columns=53)
    dataset = dataset_of(part10(ds))
    file = tmp_path / "x.dcm"
    file.write_bytes(
        file_prefix(Claim(ds.SOPClassUID, ds.SOPInstanceUID, target)) + codecs.transcode(dataset, EXPLICIT, target)
    )
    expected = np.frombuffer(ds.PixelData, "<u2")
    got = np.frombuffer(by_gdcm(file) or b"", "<u2")
    # GDCM masks what lies above Bits Stored in some codecs.
    assert np.array_equal(got & 0x0FFF, expected & 0x0FFF)


def test_private_and_unknown_elements_survive_and_nonsense_stays_as_it_is(codecs: PixelCodecs) -> None:
    body = b"".join(
        (
            explicit(0x00080016, "UI", b"1.2.3\0"),
            explicit(0x00080020, "DA", b"20231301"),
            explicit(0x00090010, "LO", b"ACME 1.1"),
            explicit(0x00091001, "FD", struct.pack("<d", 2.5)),
            explicit(0x00091002, "UN", b"\1\2\3\4"),
            explicit(0x00180050, "DS", b"1e400 "),
            explicit(0x00280010, "US", b"\1\0"),
        )
    )
    big = codecs.transcode(body, EXPLICIT, BIG)
    assert explicit(0x00091001, "FD", struct.pack(">d", 2.5), order=">") in big
    assert codecs.transcode(big, BIG, EXPLICIT) == body
    implicit = read(codecs.transcode(body, EXPLICIT, IMPLICIT), IMPLICIT)
    assert implicit[0x00180050].VR == "DS"
    assert bytes(implicit.get_item(0x00091001).value) == struct.pack("<d", 2.5)


def test_group_lengths_are_left_out_because_they_would_be_wrong(codecs: PixelCodecs) -> None:
    body = explicit(0x00080000, "UL", struct.pack("<I", 14)) + explicit(0x00080016, "UI", b"1.2.3\0")
    assert codecs.transcode(body, EXPLICIT, IMPLICIT) == b"\x08\x00\x16\x00\x06\x00\x00\x001.2.3\0"


def test_a_lossy_ybr_image_becomes_rgb_and_says_so(codecs: PixelCodecs) -> None:
    stored, dataset = parts("transfer-syntaxes/test-pattern-colour/TestPattern_JPEG-Baseline_YBR422.dcm")
    before, after = read(dataset, stored), read(codecs.transcode(dataset, stored, EXPLICIT), EXPLICIT)
    assert (before.PhotometricInterpretation, after.PhotometricInterpretation) == ("YBR_FULL_422", "RGB")
    assert after.PlanarConfiguration == 0
    assert after.get("LossyImageCompression") == before.get("LossyImageCompression")


def test_frames_of_one_bit_follow_each_other_without_padding(codecs: PixelCodecs) -> None:
    folder = "sr-ko-pr-seg-rt/seg-other/"
    native = read(parts(folder + "liver_nonbyte_aligned.dcm")[1], EXPLICIT)
    stored, dataset = parts("transfer-syntaxes/htj2k-deflate-frame/liver_nonbyte_aligned_deflate.dcm")
    assert stored == DEFLATED_FRAME
    turned = read(codecs.transcode(dataset, stored, EXPLICIT), EXPLICIT)
    assert np.array_equal(turned.pixel_array, native.pixel_array)
    whole = read(parts("sr-ko-pr-seg-rt/seg-liver-with-ct/liver.dcm")[1], EXPLICIT).pixel_array
    for name in (folder + "liver_rle.dcm", folder + "liver_j2k.dcm"):
        stored, dataset = parts(name)
        got = read(codecs.transcode(dataset, stored, EXPLICIT), EXPLICIT).pixel_array
        assert got.shape[1:] == whole.shape[1:]


def test_the_choice_is_as_stored_then_native_then_lossless(codecs: PixelCodecs) -> None:
    assert codecs.choose(LS, [EXPLICIT, LS]) == LS
    assert codecs.choose(LS, [IMPLICIT, EXPLICIT]) == EXPLICIT
    assert codecs.choose(LS, [BASELINE, BIG, J2K]) == BIG
    assert codecs.choose(EXPLICIT, [BASELINE, RLE, J2K]) == J2K
    assert codecs.choose(EXPLICIT, [BASELINE]) is None
    assert codecs.choose("1.2.840.10008.1.2.4.102", [EXPLICIT]) is None
    assert codecs.choose("1.2.3.4", ["1.2.3.4"]) == "1.2.3.4"


IMAGE = b"".join(
    (
        explicit(0x00280002, "US", b"\1\0"),
        explicit(0x00280004, "CS", b"MONOCHROME2 "),
        explicit(0x00280010, "US", b"\x08\0"),
        explicit(0x00280011, "US", b"\x08\0"),
        explicit(0x00280100, "US", b"\x08\0"),
        explicit(0x00280101, "US", b"\x08\0"),
        explicit(0x00280103, "US", b"\0\0"),
    )
)
SOI_65535 = b"\xff\xd8\xff\xc0\x00\x0b\x08\xff\xff\xff\xff\x01\x01\x11\x00"


def with_frames(count: bytes) -> bytes:
    return IMAGE.replace(
        explicit(0x00280010, "US", b"\x08\0"), explicit(0x00280008, "IS", count) + explicit(0x00280010, "US", b"\x08\0")
    )


@pytest.mark.parametrize(
    ("stored", "dataset"),
    [
        (BASELINE, IMAGE + pixels(b"\xff\xd8rubbish.")),
        (BASELINE, IMAGE + pixels(SOI_65535 + b"\0")),
        (BASELINE, IMAGE + pixels()),
        (BASELINE, IMAGE + pixels(b"\xff\xd8", end=False)),
        (BASELINE, with_frames(b"2147483647") + pixels(b"\xff\xd8")),
        (BASELINE, with_frames(b"0 ") + pixels(b"\xff\xd8")),
        (BASELINE, with_frames(b"abc ") + pixels(b"\xff\xd8")),
        (BASELINE, with_frames(b"2 ") + pixels(b"\xff\xd8aa", b"bbbb", b"cccc", table=struct.pack("<II", 0, 3))),
        (J2K, IMAGE + pixels(b"\xff\x4f\xff\x51" + b"\xff" * 60)),
        (LS, IMAGE + pixels(b"\xff\xd8\xff\xf7\x00\x0b\x08\x00\x08\x00\x08\x01\x01\x11\x00" + b"\xff" * 9)),
        (RLE, IMAGE + pixels(struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81")),
        (RLE, IMAGE + pixels(struct.pack("<16I", 1, 4000, *[0] * 14))),
        (RLE, IMAGE + pixels(struct.pack("<16I", 15, *range(64, 79)))),
        (DEFLATED_FRAME, IMAGE + pixels(b"not deflated")),
        (DEFLATED_FRAME, IMAGE + pixels(zlib.compress(bytes(1 << 22), wbits=-15))),
        (DEFLATED, zlib.compress(bytes(64), wbits=-15)[:-4]),
        (EXPLICIT, explicit(0x00080016, "UI", b"1.2", 4000)),
        (EXPLICIT, b"\x08\0\x16\0??\0\0"),
        (IMPLICIT, b"\x08\0\x16\0"),
    ],
)
def test_what_cannot_be_decoded_is_an_error_and_the_worker_lives(
    codecs: PixelCodecs, stored: str, dataset: bytes
) -> None:
    with pytest.raises(CannotTranscode):
        codecs.transcode(dataset, stored, BIG)
    assert codecs.transcode(explicit(0x00080016, "UI", b"1.2.3\0"), EXPLICIT, IMPLICIT)


def test_nesting_without_end_is_an_error(codecs: PixelCodecs) -> None:
    deep = (explicit(0x00081140, "SQ", b"", 0xFFFFFFFF) + b"\xfe\xff\x00\xe0\xff\xff\xff\xff") * 10_000
    with pytest.raises(CannotTranscode, match="deep"):
        codecs.transcode(deep, EXPLICIT, IMPLICIT)


def test_a_deflate_bomb_meets_the_cap() -> None:
    small = PixelCodecs(CodecLimits(workers=1, decoded_bytes=1 << 20))
    try:
        with pytest.raises(CannotTranscode, match="limit"):
            small.transcode(zlib.compress(bytes(64 << 20), wbits=-15), DEFLATED, EXPLICIT)
    finally:
        small.close()


def children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def test_a_worker_that_dies_costs_one_transcoding_and_the_next_has_a_new_one() -> None:
    before = children()
    own = PixelCodecs(CodecLimits(workers=1))
    try:
        body = explicit(0x00080016, "UI", b"1.2.3\0")
        own.transcode(body, EXPLICIT, IMPLICIT)
        (worker,) = children() - before
        os.kill(worker, signal.SIGSTOP)
        os.kill(worker, signal.SIGKILL)
        time.sleep(0.05)
        assert own.transcode(body, EXPLICIT, IMPLICIT)
    finally:
        own.close()
    assert children() <= before


def test_a_worker_that_hangs_is_ended_in_time() -> None:
    before = children()
    own = PixelCodecs(CodecLimits(workers=1, seconds=1.0))
    try:
        body = explicit(0x00080016, "UI", b"1.2.3\0")
        own.transcode(body, EXPLICIT, IMPLICIT)
        (worker,) = children() - before
        os.kill(worker, signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(CannotTranscode, match="died"):
            own.transcode(body, EXPLICIT, IMPLICIT)
        assert time.monotonic() - started < 5
        assert own.transcode(body, EXPLICIT, IMPLICIT)
    finally:
        own.close()


def test_an_idle_worker_ends_by_itself() -> None:
    before = children()
    own = PixelCodecs(CodecLimits(workers=1, idle_seconds=0.1))
    own.transcode(explicit(0x00080016, "UI", b"1.2.3\0"), EXPLICIT, IMPLICIT)
    deadline = time.monotonic() + 5
    while children() - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert children() <= before
    own.close()
