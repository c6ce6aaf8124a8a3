"""The shortest way of a frame answers what it answers exactly as the long one, and leaves everything else to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.archive import dataset_of
from tests.support.generate import ct, part10
from tests.support.web import Answer, Web, web

from vesalius.model.entities import Claim, Member
from vesalius.web.buffers import Buffers
from vesalius.web.direct_frames import DirectFrames

EXPLICIT, BIG, LS = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.4.80"
OCTETS = 'multipart/related; type="application/octet-stream"'

PLAIN, ENCAPSULATED, SWAPPED = ct(1, 1, 1), ct(1, 1, 2, NumberOfFrames=2, rows=16, columns=8), ct(1, 1, 3)
ENCAPSULATED.PixelData *= 2


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("direct")) as opened:
        opened.archive.keep(PLAIN)
        for ds, syntax in ((ENCAPSULATED, LS), (SWAPPED, BIG)):
            data = dataset_of(part10(ds, BIG if syntax == BIG else EXPLICIT))
            data = opened.ctx.transcoder.transcode(data, EXPLICIT, LS) if syntax == LS else data
            opened.archive.store(data, Claim(str(ds.SOPClassUID), str(ds.SOPInstanceUID), syntax))
        for ds in (PLAIN, ENCAPSULATED, SWAPPED):
            opened.dicom_web(path_of(ds))
        yield opened


def path_of(ds: Any, frame: object = 1) -> str:
    return f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}/frames/{frame}"


def without_boundary(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    found = re.search(r'boundary="(\w+)"', answer.headers.get("content-type", ""))
    boundary = found[1] if found else ""
    headers = {name: value.replace(boundary, "B") if boundary else value for name, value in answer.headers.items()}
    return answer.status, headers, answer.body.replace(boundary.encode(), b"B") if boundary else answer.body


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Whether each request went the short way."""
    ways: list[bool] = []
    answer = DirectFrames._answer

    def watched(self: DirectFrames, scope: Any, match: Any) -> Any:
        result = answer(self, scope, match)
        ways.append(result is not None)
        return result

    monkeypatch.setattr(DirectFrames, "_answer", watched)
    yield ways


SHORT = [
    (PLAIN, 1, OCTETS),
    (PLAIN, 1, "*/*"),
    (PLAIN, 1, "application/octet-stream"),
    (PLAIN, 1, OCTETS + "; transfer-syntax=*"),
    (ENCAPSULATED, 1, "image/jls"),
    (ENCAPSULATED, 2, OCTETS + "; transfer-syntax=*"),
    (ENCAPSULATED, 2, 'multipart/related; type="image/jls"'),
]
LONG = [
    (PLAIN, 2, OCTETS),
    (PLAIN, 0, OCTETS),
    (PLAIN, "1,1", OCTETS),
    (PLAIN, 1, "image/jls"),
    (PLAIN, 1, "text/html"),
    (PLAIN, 1, "///"),
    (ENCAPSULATED, 1, OCTETS),
    (SWAPPED, 1, OCTETS),
    (ct(9, 9, 9), 1, OCTETS),
]


@pytest.mark.parametrize(("ds", "frame", "accept"), SHORT + LONG)
def test_both_ways_give_the_same(
    site: Web, monkeypatch: pytest.MonkeyPatch, ds: Any, frame: object, accept: str
) -> None:
    direct = site.dicom_web(path_of(ds, frame), headers={"accept": accept})
    monkeypatch.setattr(DirectFrames, "_answer", lambda *_: None)
    assert without_boundary(site.dicom_web(path_of(ds, frame), headers={"accept": accept})) == without_boundary(direct)


@pytest.mark.parametrize(("ds", "frame", "accept"), SHORT)
def test_a_frame_in_memory_goes_the_short_way(
    site: Web, taken: list[bool], ds: Any, frame: object, accept: str
) -> None:
    for _ in range(2):
        assert site.dicom_web(path_of(ds, frame), headers={"accept": accept}).status == 200
    assert taken[-1] or not _cached(site)


def _cached(site: Web) -> bool:
    """Whether the file system can say what lies in memory."""
    instance = site.archive.everything()[0]
    return site.ctx.blobs.read_at_once(instance.member, 0, 16) is not None


@pytest.mark.parametrize(("ds", "frame", "accept"), LONG)
def test_what_is_unusual_goes_the_long_way(site: Web, taken: list[bool], ds: Any, frame: object, accept: str) -> None:
    site.dicom_web(path_of(ds, frame), headers={"accept": accept})
    assert not any(taken)


def test_a_query_goes_the_long_way(site: Web, taken: list[bool]) -> None:
    assert site.dicom_web(path_of(PLAIN) + "?accept=image/jls").headers["content-type"].startswith("image/jls")
    assert not taken


def test_what_the_disk_may_have_to_bring_goes_the_long_way(
    site: Web, taken: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(member: Member, offset: int, length: object) -> None:
        return None

    monkeypatch.setattr(site.archive.blobs, "read_at_once", nothing)
    monkeypatch.setattr(site.archive.blobs, "read_into_at_once", nothing)
    for ds in (PLAIN, ENCAPSULATED):
        assert site.dicom_web(path_of(ds), headers={"accept": "*/*"}).status == 200
    assert not any(taken)


def test_memory_is_used_again_only_after_it_was_given_back() -> None:
    buffers = Buffers()
    first, second = buffers.take(10), buffers.take(10)
    assert first is not second
    buffers.give_back(first)
    longer = buffers.take(25)
    assert longer is first and len(longer) == 25
    buffers.give_back(longer)
    assert len(buffers.take(3)) == 3
    buffers.give_back(b"what is no buffer of ours")
    assert isinstance(buffers.take(4), bytearray)


def test_no_more_memory_is_kept_than_is_of_use() -> None:
    buffers = Buffers()
    for buffer in [buffers.take(8) for _ in range(50)]:
        buffers.give_back(buffer)
    assert len(buffers._free) == 4


def test_the_door_stands_before_both_ways(site: Web) -> None:
    answer = site.dicom_web(path_of(PLAIN))
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["cache-control"] == "no-store"
    assert site.dicom_web(path_of(PLAIN), headers={"host": "a b"}).status == 400
