"""Pictures made in the process that was asked: the same as a worker's, and only where no decoder has a part in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from tests.support.archive import LocalArchive, dataset_of, local_archive
from tests.support.data import part10_parts, real_files
from tests.support.generate import ct

from vesalius.archive.frames import Frames
from vesalius.backends import pixels_codecs
from vesalius.backends.pixels_codecs import PixelCodecs
from vesalius.backends.pixels_plain import LARGEST_HEADER, is_plain, plain_picture
from vesalius.model.entities import Claim
from vesalius.model.errors import VesaliusError
from vesalius.model.rendering import ColourProfile, Fit, ImageFormat, Region, RenderRequest, Window
from vesalius.ports.pixels import FrameSource

NATIVE = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"}
REQUESTS = (
    RenderRequest(format=ImageFormat.PNG),
    RenderRequest(),
    RenderRequest(format=ImageFormat.PNG, window=Window(40, 400), fit=Fit(160, 160)),
)
SIDE = 16


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalArchive]:
    with local_archive(tmp_path_factory.mktemp("plain")) as archive:
        yield archive


@pytest.fixture(scope="module")
def workers() -> Iterator[PixelCodecs]:
    codecs = PixelCodecs()
    yield codecs
    codecs.close()


@pytest.fixture
def by_worker(workers: PixelCodecs, monkeypatch: pytest.MonkeyPatch) -> PixelCodecs:
    """Codecs that have every picture made by a worker."""
    monkeypatch.setattr(pixels_codecs, "is_plain", lambda source, request: False)
    return workers


def source_of(archive: LocalArchive, ds: Dataset) -> FrameSource:
    archive.keep(ds)
    return sources(archive, str(ds.SOPInstanceUID))[0]


def sources(archive: LocalArchive, sop_instance: str) -> list[FrameSource]:
    """Up to two frames of a stored instance; none where it has no pixels that can be told."""
    instance = archive.find_one(sop_instance)
    if instance is None or instance.pixels is None:
        return []
    try:
        frames = Frames(archive.blobs, PixelCodecs()).open(instance)
    except VesaliusError:
        return []
    return [frames.source(index) for index in sorted({0, frames.count - 1})]


def image(number: int, *, signed: bool = False, bits: int = 16, **said: Any) -> Dataset:
    """A grey image whose cells hold every kind of value."""
    ds = ct("plain", 1, number, rows=SIDE, columns=SIDE)
    kind = {8: np.uint8, 16: np.uint16, 32: np.uint32}[bits if bits in (8, 32) else 16]
    cells = np.random.default_rng(number).integers(0, 1 << bits, (SIDE, SIDE)).astype(kind)
    ds.BitsAllocated = cells.itemsize * 8
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = bits, bits - 1, int(signed)
    ds.PixelData = cells.tobytes()
    for keyword, value in said.items():
        setattr(ds, keyword, value)
    return ds


def test_every_real_native_picture_is_the_one_that_a_worker_makes(
    archive: LocalArchive, by_worker: PixelCodecs
) -> None:
    made = 0
    for file in real_files():
        if file.transfer_syntax not in NATIVE or file.path.stat().st_size > 3 << 20:
            continue
        try:
            data = part10_parts(file.path)[1]
            archive.store(data, Claim(file.sop_class, file.sop_instance, file.transfer_syntax), piece=1 << 20)
        except (VesaliusError, ValueError):
            continue
        for source in sources(archive, file.sop_instance)[: 1 if made > 40 else 2]:
            for request in REQUESTS[: 1 if made > 40 else None]:
                picture = plain_picture(source, request) if is_plain(source, request) else None
                if picture is not None:
                    assert picture == by_worker.render(source, request), file.path
                    made += 1
    if real_files():
        assert made > 100


@pytest.mark.parametrize("request_", REQUESTS, ids=["png", "jpeg", "window and size"])
@pytest.mark.parametrize(
    ("number", "said"),
    [
        (1, {"signed": True}),
        (2, {"signed": False}),
        (3, {"signed": True, "bits": 12}),
        (4, {"signed": False, "bits": 12}),
        (5, {"signed": True, "bits": 8}),
        (6, {"bits": 8, "PhotometricInterpretation": "MONOCHROME1"}),
        (7, {"bits": 32}),
        (8, {"bits": 32, "signed": True}),
        (9, {"signed": True, "PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1000}),
        (10, {"signed": True, "RescaleSlope": "-0.5", "RescaleIntercept": "-1024"}),
    ],
)
def test_every_kind_of_cell_gives_the_picture_of_a_worker(
    archive: LocalArchive, by_worker: PixelCodecs, number: int, said: dict[str, Any], request_: RenderRequest
) -> None:
    source = source_of(archive, image(number, **said))
    assert is_plain(source, request_)
    assert plain_picture(source, request_) == by_worker.render(source, request_)


@pytest.mark.parametrize("planar", [0, 1])
def test_native_colour_gives_the_picture_of_a_worker(
    archive: LocalArchive, by_worker: PixelCodecs, planar: int
) -> None:
    ds = image(20 + planar, bits=8, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=planar)
    ds.PixelData = np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8).tobytes()
    source = source_of(archive, ds)
    assert plain_picture(source, REQUESTS[0]) == by_worker.render(source, REQUESTS[0])


@pytest.mark.parametrize(
    "request_",
    [
        RenderRequest(format=ImageFormat.WEBP),
        RenderRequest(patient=True),
        RenderRequest(technique=True),
        RenderRequest(profile=ColourProfile.SRGB),
        RenderRequest(region=Region(0, 0, 4, 4)),
        RenderRequest(fit=Fit(width=100)),
        RenderRequest(fit=Fit(5000, 5000)),
    ],
)
def test_an_unusual_request_is_for_a_worker(archive: LocalArchive, request_: RenderRequest) -> None:
    assert not is_plain(source_of(archive, image(30)), request_)


def test_what_is_encoded_floating_or_large_is_for_a_worker(archive: LocalArchive) -> None:
    source = source_of(archive, image(31))
    assert is_plain(source, REQUESTS[0])
    for other in ({"encapsulated": True}, {"floating": 32}, {"size": 0}, {"size": 1 << 30}):
        assert not is_plain(replace(source, **other), REQUESTS[0])


@pytest.mark.parametrize(
    "said",
    [
        {"ShutterShape": "RECTANGULAR"},
        {"ICCProfile": bytes(200)},
        {"PixelSpacing": ["5", "1"]},
        {"PhotometricInterpretation": "YBR_FULL"},
        {"Rows": 15},
        {"Rows": 0},
        {"BitsStored": 40},
        {"ImageComments": "x" * LARGEST_HEADER},
    ],
    ids=lambda said: next(iter(said)),
)
def test_what_a_header_may_ask_for_is_done_by_a_worker(archive: LocalArchive, said: dict[str, Any]) -> None:
    good = source_of(archive, image(32))
    assert plain_picture(good, REQUESTS[0])
    ds = image(33, **said)
    header = _before_pixels(ds)
    assert plain_picture(replace(good, header=lambda: header), REQUESTS[0]) is None


def _before_pixels(ds: Dataset) -> bytes:
    from tests.support.generate import part10

    data = dataset_of(part10(ds))
    return data[: data.index(b"\xe0\x7f\x10\x00")]


def test_no_worker_is_started_for_a_plain_picture(archive: LocalArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    codecs = PixelCodecs()
    monkeypatch.setattr(codecs, "_take", lambda key="": pytest.fail("a worker was taken"))
    assert codecs.render(source_of(archive, image(34)), REQUESTS[0]).startswith(b"\x89PNG")
    codecs.close()


def test_a_broken_header_is_told_by_a_worker_and_never_raised_here(archive: LocalArchive, workers: PixelCodecs) -> None:
    good = source_of(archive, image(35))
    for junk in (b"", b"\0" * 64, b"\xff" * 300, good.header()[:-3]):
        bad = replace(good, key=f"junk-{len(junk)}", header=lambda junk=junk: junk)  # type: ignore[misc]
        try:
            assert workers.render(bad, REQUESTS[0])
        except VesaliusError as error:
            assert error.message
