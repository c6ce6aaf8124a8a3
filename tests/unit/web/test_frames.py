"""WADO-RS of frames: every media type, every kind of pixel data, numbers from 1, and the errors."""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from tests.support.archive import dataset_of
from tests.support.corpus import DEFLATED_LE, item_of, with_other_instance
from tests.support.data import need_shared_data
from tests.support.elements import explicit, pixels, split_part10
from tests.support.generate import ct, part10
from tests.support.multipart import split
from tests.support.web import Answer, Web, ask, web

from vesalius.model.entities import Claim
from vesalius.model.errors import CannotTranscode
from vesalius.model.file_meta import file_prefix
from vesalius.standard.transfer_syntaxes import EXPLICIT_LE

OCTETS = 'multipart/related; type="application/octet-stream"'
AS_STORED = OCTETS + "; transfer-syntax=*"
FOLDER = "transfer-syntaxes/"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("frames")) as opened:
        opened.archive.keep(ct(1, 1, 1))
        yield opened


def keep(site: Web, syntax: str, dataset: bytes) -> str:
    """The address of an instance that is kept as it is."""
    ds = dcmread(io.BytesIO(file_prefix(Claim("1.2", "1.2", syntax)) + dataset), force=True)
    site.archive.store(dataset, Claim(str(ds.SOPClassUID), str(ds.SOPInstanceUID), syntax), piece=1 << 20)
    return f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"


def keep_file(site: Web, path: str) -> tuple[str, str, Dataset]:
    syntax, dataset = split_part10((need_shared_data() / path).read_bytes())
    ds = dcmread(io.BytesIO(file_prefix(Claim("1.2", "1.2", syntax)) + dataset), force=True)
    return keep(site, syntax, dataset), syntax, ds


def contents(answer: Answer) -> list[bytes]:
    assert answer.status == 200, answer.body[:300]
    return [part.content for part in split(answer.headers["content-type"], answer.body)]


def path_of(ds: Dataset) -> str:
    return f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"


@pytest.mark.parametrize("header", [None, "*/*", "multipart/related", OCTETS, 'multipart/related; type="*/*"'])
def test_native_octets_are_the_default(site: Web, header: str | None) -> None:
    ds = ct(1, 1, 1)
    answer = site.dicom_web(path_of(ds) + "/frames/1", headers={"accept": header} if header else {})
    assert contents(answer) == [ds.PixelData]
    (part,) = split(answer.headers["content-type"], answer.body)
    assert part.type == f"application/octet-stream; transfer-syntax={EXPLICIT_LE}"
    assert part.fields["content-location"] == f"http://archive.test/dicom-web{path_of(ds)}/frames/1"


def test_one_frame_may_be_a_single_part(site: Web) -> None:
    ds = ct(1, 1, 1)
    answer = site.dicom_web(path_of(ds) + "/frames/1", headers={"accept": "application/octet-stream"})
    assert answer.body == ds.PixelData
    assert answer.headers["content-type"] == f"application/octet-stream; transfer-syntax={EXPLICIT_LE}"
    assert site.dicom_web(path_of(ds) + "/frames/1,1", headers={"accept": "application/octet-stream"}).status == 406


ENCODED = {
    "image/jls": ("1.2.840.10008.1.2.4.80", imagecodecs.jpegls_decode),
    "image/jp2": ("1.2.840.10008.1.2.4.90", imagecodecs.jpeg2k_decode),
    "image/jphc": ("1.2.840.10008.1.2.4.201", imagecodecs.htj2k_decode),
    "image/jpeg": ("1.2.840.10008.1.2.4.70", imagecodecs.jpeg8_decode),
}


@pytest.mark.parametrize("media", ENCODED)
def test_native_pixels_are_compressed_without_loss_for_who_wants_them_so(site: Web, media: str) -> None:
    ds = ct(1, 1, 1)
    answer = site.dicom_web(path_of(ds) + "/frames/1", headers={"accept": f'multipart/related; type="{media}"'})
    (part,) = split(answer.headers["content-type"], answer.body)
    syntax, decode = ENCODED[media]
    assert part.type == f"{media}; transfer-syntax={syntax}"
    assert np.array_equal(decode(part.content), np.frombuffer(ds.PixelData, "<u2").reshape(16, 16))


@pytest.mark.parametrize(
    ("path", "media"),
    [
        (
            FOLDER + "one-ct-in-15-syntaxes/CTImage.dcm_JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80.dcm",
            "image/jls",
        ),
        (FOLDER + "rle-bigendian-implicit-odd/SC_rgb_rle_2frame.dcm", "image/dicom-rle"),
        (FOLDER + "jpeg-baseline-colour/SC_rgb_dcmtk_+eb+cy+np.dcm", "image/jpeg"),
    ],
)
def test_compressed_frames_go_out_as_stored(site: Web, path: str, media: str) -> None:
    address, syntax, ds = keep_file(site, path)
    count = int(ds.get("NumberOfFrames", 1))
    expected = list(generate_frames(ds.PixelData, number_of_frames=count))
    numbers = ",".join(str(number) for number in range(count, 0, -1))
    for accept in (
        AS_STORED,
        f'multipart/related; type="{media}"',
        f'multipart/related; type="{media}"; transfer-syntax={syntax}',
    ):
        answer = site.dicom_web(f"{address}/frames/{numbers}", headers={"accept": accept})
        assert contents(answer) == expected[::-1], accept
        assert split(answer.headers["content-type"], answer.body)[0].type == f"{media}; transfer-syntax={syntax}"


REAL = [
    "transfer-syntaxes/one-ct-in-15-syntaxes",
    "transfer-syntaxes/one-mr-in-9-syntaxes",
    "transfer-syntaxes/fragments-and-offset-tables",
    "transfer-syntaxes/rle-bigendian-implicit-odd",
    "transfer-syntaxes/test-pattern-colour",
    "multiframe/xa-nm-mr",
    "single-frame/us-palette",
]
LOSSY = {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 53, 55, 81, 91, 203)}


@pytest.mark.parametrize("folder", REAL)
def test_every_frame_of_every_transfer_syntax_decodes_to_the_pixels_that_pydicom_sees(site: Web, folder: str) -> None:
    compared = 0
    for file in sorted((need_shared_data() / folder).rglob("*")):
        if not file.is_file() or file.name == "SC_rgb_jpeg.dcm":
            continue
        item = item_of(file.name, file.read_bytes())
        if not item.study or not item.sop_instance or item.transfer_syntax == DEFLATED_LE:
            continue
        item = with_other_instance(item, compared + 100)  # several are one image in several encodings
        syntax, dataset = item.transfer_syntax, item.dataset
        ds = dcmread(io.BytesIO(file_prefix(Claim("1.2", "1.2", syntax)) + dataset), force=True)
        if "PixelData" not in ds or "SeriesInstanceUID" not in ds:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                expected = ds.pixel_array
            except Exception:
                continue  # pydicom has no decoder for it
        count = int(ds.get("NumberOfFrames", 1))
        frames = expected.reshape(count, -1)
        address = keep(site, syntax, dataset)
        answer = site.dicom_web(f"{address}/frames/{count}", headers={"accept": OCTETS})
        (content,) = contents(answer)
        last = np.frombuffer(content, f"<u{ds.BitsAllocated // 8}")
        if ds.SamplesPerPixel > 1 and ds.get("PlanarConfiguration", 0):
            last = np.moveaxis(last.reshape(ds.SamplesPerPixel, -1), 0, 1).reshape(-1)
        if ds.PhotometricInterpretation == "YBR_FULL_422" and syntax not in LOSSY and len(last) < frames.shape[1]:
            continue  # native with reduced chrominance: pydicom expands it
        mask = (1 << ds.BitsStored) - 1
        got, wanted = last.astype(np.int64) & mask, frames[-1].astype(np.int64) & mask
        difference = np.abs(got - wanted).max()
        assert difference <= (1 if syntax in LOSSY else 0), file.name
        compared += 1
    assert compared >= 2


def test_native_frames_are_cut_where_they_lie_whatever_the_bits(site: Web) -> None:
    ds = ct(9, 1, 1, rows=5, columns=5, NumberOfFrames=3, BitsAllocated=1, BitsStored=1, HighBit=0)
    bits = np.random.default_rng(1).integers(0, 2, 75, np.uint8)
    ds.PixelData = np.packbits(bits, bitorder="little").tobytes()
    site.archive.keep(ds)
    found = contents(site.dicom_web(path_of(ds) + "/frames/1,2,3"))
    assert [np.unpackbits(np.frombuffer(each, np.uint8), bitorder="little", count=25).tolist() for each in found] == [
        bits[at : at + 25].tolist() for at in (0, 25, 50)
    ]
    assert all(len(each) == 4 for each in found)


def test_big_endian_cells_come_out_little_endian(site: Web) -> None:
    ds = ct(9, 2, 1, NumberOfFrames=2, rows=4, columns=4)
    ds.PixelData = bytes(range(64))
    big = dataset_of(part10(ds, "1.2.840.10008.1.2.2"))
    address = keep(site, "1.2.840.10008.1.2.2", big)
    expected = np.frombuffer(big[-64:], ">u2").astype("<u2").tobytes()
    assert contents(site.dicom_web(address + "/frames/2,1")) == [expected[32:], expected[:32]]


def test_a_deflated_data_set_has_frames_too(site: Web) -> None:
    ds = ct(9, 3, 1)
    deflated = zlib.compressobj(wbits=-15)
    body = deflated.compress(dataset_of(part10(ds))) + deflated.flush()
    address = keep_claimed(site, ds, "1.2.840.10008.1.2.1.99", body + b"\0" * (len(body) & 1))
    assert contents(site.dicom_web(address + "/frames/1")) == [ds.PixelData]
    assert site.dicom_web(address + "/rendered").status == 200


def test_a_deflate_bomb_is_refused_before_it_fills_the_memory(site: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vesalius.archive.frames.LARGEST_INFLATED", 1 << 20)
    ds = ct(9, 5, 1, rows=2048, columns=2048)
    ds.PixelData = bytes(2048 * 2048 * 2)
    deflated = zlib.compressobj(wbits=-15)
    body = deflated.compress(dataset_of(part10(ds))) + deflated.flush()
    address = keep_claimed(site, ds, "1.2.840.10008.1.2.1.99", body + b"\0" * (len(body) & 1))
    for what in ("/frames/1", "/rendered", "/thumbnail", "/bulkdata/00100010"):
        assert site.dicom_web(address + what).status == 406, what
    as_stored = {"accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
    assert site.dicom_web(address, headers=as_stored).status == 200


def test_pixels_that_take_long_hold_up_nobody(site: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio
    import threading

    gate = threading.Event()

    def slow(*_: object) -> bytes:
        gate.wait(20)
        raise CannotTranscode("too late")

    monkeypatch.setattr(site.ctx.transcoder, "render", slow)
    monkeypatch.setattr(site.ctx.transcoder, "frame", slow)
    path = "/dicom-web" + path_of(ct(1, 1, 1))

    async def many() -> list[int]:
        pictures = [asyncio.create_task(ask(site.app, path + "/rendered")) for _ in range(30)]
        pictures += [
            asyncio.create_task(ask(site.app, path + "/frames/1", headers={"accept": "image/jls"})) for _ in range(30)
        ]
        await asyncio.sleep(0.1)
        found = [(await asyncio.wait_for(ask(site.app, path + "/frames/1,1"), 5)).status for _ in range(5)]
        gate.set()
        await asyncio.gather(*pictures)
        return found

    assert asyncio.run(many()) == [200] * 5


def keep_claimed(site: Web, ds: Dataset, syntax: str, body: bytes) -> str:
    site.archive.store(body, Claim(str(ds.SOPClassUID), str(ds.SOPInstanceUID), syntax), piece=1 << 20)
    return path_of(ds)


def test_floating_point_frames_are_octets(site: Web) -> None:
    ds = ct(9, 4, 1)
    for keyword in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
        delattr(ds, keyword)
    ds.BitsAllocated = 32
    ds.FloatPixelData = np.arange(256, dtype="<f4").tobytes()
    site.archive.keep(ds)
    assert contents(site.dicom_web(path_of(ds) + "/frames/1")) == [ds.FloatPixelData]
    assert site.dicom_web(path_of(ds) + "/frames/1", headers={"accept": "image/jls"}).status == 406
    assert site.dicom_web(path_of(ds) + "/rendered", headers={"accept": "image/png"}).status == 200


@pytest.mark.parametrize(
    ("numbers", "status"),
    [
        ("0", 400), ("-1", 400), ("a", 400), ("1,", 400), ("1-2", 400), ("1.5", 400), ("%20", 400), ("1000000000", 404),
        ("2", 404), ("1,2", 404), (",".join(["1"] * 10_001), 400), ("9" * 12, 400),
    ],
)  # fmt: skip
def test_frames_that_cannot_be(site: Web, numbers: str, status: int) -> None:
    assert site.dicom_web(f"{path_of(ct(1, 1, 1))}/frames/{numbers}").status == status


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("image/jxl", 406),
        ("video/mp4", 406),
        ("text/html", 406),
        (OCTETS + "; transfer-syntax=1.2.840.10008.1.2.2", 406),
        (OCTETS + "; transfer-syntax=1.2.840.10008.1.2", 200),
        (OCTETS + "; q=0", 406),
        (OCTETS + '; q=0, multipart/related; type="image/jls"', 200),
        ("image/*", 200),
        ("image/x-jls, */*;q=0.1", 200),
        ("nonsense", 400),
    ],
)
def test_media_types_that_cannot_be(site: Web, header: str, status: int) -> None:
    assert site.dicom_web(path_of(ct(1, 1, 1)) + "/frames/1", headers={"accept": header}).status == status


def description(**replaced: bytes) -> bytes:
    elements = {
        "samples": explicit(0x00280002, "US", b"\1\0"),
        "photometric": explicit(0x00280004, "CS", b"MONOCHROME2 "),
        "frames": b"",
        "rows": explicit(0x00280010, "US", b"\x08\0"),
        "columns": explicit(0x00280011, "US", b"\x08\0"),
        "allocated": explicit(0x00280100, "US", b"\x08\0"),
        "stored": explicit(0x00280101, "US", b"\x08\0"),
        "high": explicit(0x00280102, "US", b"\x07\0"),
        "signed": explicit(0x00280103, "US", b"\0\0"),
    } | replaced
    return b"".join(elements.values())


def hostile(site: Web, name: str, body: bytes, syntax: str = EXPLICIT_LE) -> str:
    ds = ct("hostile", 1, abs(hash(name)) % 10**6)
    head = b"".join(
        explicit(tag, "UI", value.encode().ljust(len(value) + 1 & ~1, b"\0"))
        for tag, value in (
            (0x00080016, str(ds.SOPClassUID)),
            (0x00080018, str(ds.SOPInstanceUID)),
            (0x0020000D, str(ds.StudyInstanceUID)),
            (0x0020000E, str(ds.SeriesInstanceUID)),
        )
    )
    return keep_claimed(site, ds, syntax, head + body)


NATIVE = explicit(0x7FE00010, "OB", bytes(64))
BASELINE, J2K, LS, RLE = (
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.5",
)
HUGE = b"\xff\xd8\xff\xc0\x00\x0b\x08\xff\xff\xff\xff\x01\x01\x11\x00"
HOSTILE: dict[str, tuple[str, bytes]] = {
    "rows as UL": (EXPLICIT_LE, description(rows=explicit(0x00280010, "UL", b"\xff\xff\xff\x7f")) + NATIVE),
    "more rows than bytes": (EXPLICIT_LE, description(rows=explicit(0x00280010, "US", b"\xff\xff")) + NATIVE),
    "frames 2^31-1": (EXPLICIT_LE, description(frames=explicit(0x00280008, "IS", b"2147483647")) + NATIVE),
    "frames 0": (EXPLICIT_LE, description(frames=explicit(0x00280008, "IS", b"0 ")) + NATIVE),
    "frames abc": (EXPLICIT_LE, description(frames=explicit(0x00280008, "IS", b"abc ")) + NATIVE),
    "no rows": (EXPLICIT_LE, description(rows=b"") + NATIVE),
    "rows 0": (EXPLICIT_LE, description(rows=explicit(0x00280010, "US", b"\0\0")) + NATIVE),
    "fragment of nothing": (BASELINE, description() + pixels(b"")),
    "no fragments": (BASELINE, description() + pixels()),
    "rubbish": (BASELINE, description() + pixels(b"\xff\xd8rubbish.")),
    "65535 x 65535": (BASELINE, description() + pixels(HUGE + b"\0")),
    "J2K rubbish": (J2K, description() + pixels(b"\xff\x4f\xff\x51" + b"\xff" * 60)),
    "LS rubbish": (LS, description() + pixels(b"\xff\xd8\xff\xf7\0\x0b\x08\0\x08\0\x08\1\1\x11\0" + b"\xff" * 9)),
    "RLE beyond its end": (RLE, description() + pixels(b"\1\0\0\0\xa0\x0f\0\0" + bytes(56))),
    "frames that cannot be told": (
        BASELINE,
        description(frames=explicit(0x00280008, "IS", b"3 ")) + pixels(b"abcd", b"efgh", table=b"\0\0\0\0\3\0\0\0"),
    ),
}
ONLY_RENDERED: dict[str, bytes] = {
    "high bit beyond the cell": description(high=explicit(0x00280102, "US", b"\x09\0")),
    "bits stored 0": description(stored=explicit(0x00280101, "US", b"\0\0")),
    "bits stored 17": description(stored=explicit(0x00280101, "US", b"\x11\0")),
    "palette without a table": description(photometric=explicit(0x00280004, "CS", b"PALETTE COLOR ")),
    "table of 65535 with two entries": description(photometric=explicit(0x00280004, "CS", b"PALETTE COLOR "))
    + b"".join(explicit(0x00281101 + n, "US", b"\xff\xff\0\0\x10\0") for n in range(3))
    + b"".join(explicit(0x00281201 + n, "OW", b"\1\0\2\0") for n in range(3)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pixel_data_is_kept_and_its_frames_are_an_error_in_words(site: Web, name: str) -> None:
    syntax, body = HOSTILE[name]
    address = hostile(site, name, body, syntax)
    for what in ("/frames/1", "/rendered", "/thumbnail"):
        answer = site.dicom_web(address + what)
        assert answer.status in (404, 406), (what, answer.body)
        assert answer.json()["detail"]
    as_stored = {"accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
    assert site.dicom_web(address, headers=as_stored).status == 200
    assert site.dicom_web(path_of(ct(1, 1, 1)) + "/rendered").status == 200


@pytest.mark.parametrize("name", ONLY_RENDERED)
def test_a_description_that_makes_no_sense_is_no_picture_but_its_bytes_are_given(site: Web, name: str) -> None:
    address = hostile(site, name, ONLY_RENDERED[name] + NATIVE)
    assert contents(site.dicom_web(address + "/frames/1")) == [bytes(64)]
    assert site.dicom_web(address + "/rendered").status in (200, 406)


def test_a_worker_that_dies_costs_one_frame(site: Web, tmp_path: Path) -> None:
    import os
    import signal

    address = hostile(site, "dies", description() + NATIVE)
    before = children()
    assert site.dicom_web(address + "/rendered").status == 200
    for worker in children() - before or before:
        os.kill(worker, signal.SIGKILL)
    statuses = [site.dicom_web(address + "/rendered").status for _ in range(3)]
    assert statuses[-1] == 200


def children() -> set[int]:
    import os

    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}
