"""STOW-RS: what is refused, and what is not taken along by it (bad-input H, S, D7, D9; threats T5, T6)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.archive import dataset_of
from tests.support.generate import ct, part10, uid
from tests.support.stow import (
    BOUNDARY,
    STUDIES,
    content_type,
    failed,
    file,
    files,
    headers,
    multipart,
    others,
    post,
    stored,
)
from tests.support.web import Web, web


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("stow"), upload_idle=0.4, store_bytes=64 << 20, body_bytes=1 << 20) as made:
        yield made


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ('multipart/related; type="application/dicom"', b"x"),
        (content_type(), b"no boundary anywhere"),
        (content_type(), b""),
        (content_type(), f"--{BOUNDARY}--".encode()),
    ],
)
def test_h1_h2_a_body_without_its_boundary_or_without_parts_is_400(site: Web, kind: str, body: bytes) -> None:
    assert site.dicom_web(STUDIES, "POST", {"Content-Type": kind}, body).status == 400


def test_h1_without_its_final_boundary_nothing_of_the_body_is_stored(site: Web) -> None:
    name, data = file("torn")
    whole = files(data)
    answer = post(site, whole[: whole.rindex(b"\r\n--")])
    assert answer.status == 400
    assert site.archive.find_one(name) is None


def test_a_body_that_breaks_off_has_stored_what_came_whole_before(site: Web) -> None:
    first, second = file("half"), file("half")
    whole = files(first[1], second[1])
    answer = post(site, whole[:-500])
    assert answer.status == 202
    assert stored(answer.body) == {first[0]}
    assert [*failed(answer.body).values(), *others(answer.body)] == [0xC000]
    assert site.archive.find_one(second[0]) is None


def test_what_is_broken_behind_whole_parts_takes_none_of_them_along(site: Web) -> None:
    made = [file("behind") for _ in range(3)]
    whole = files(*(data for _, data in made))
    answer = post(site, whole[:-4] + b"garbage" + b"x" * 100)
    assert answer.status == 202
    assert stored(answer.body) == {name for name, _ in made}
    assert others(answer.body) == [0xC000]


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "nonsense",
        "application/json",
        "multipart/form-data; boundary=x",
        'multipart/related; type="image/jpeg"; boundary=x',
        "text/plain",
    ],
)
def test_h3_an_unknown_top_type_is_415(site: Web, kind: str) -> None:
    assert site.dicom_web(STUDIES, "POST", {"Content-Type": kind}, files(file()[1])).status == 415


def test_h3_parts_of_another_type_are_415_when_there_is_no_other_and_a_failure_beside_good_ones(site: Web) -> None:
    assert post(site, multipart([("image/jpeg", b"\xff\xd8")])).status == 415
    name, data = file("mixed")
    answer = post(site, multipart([("image/jpeg", b"\xff\xd8"), ("application/dicom; x=y", data)]))
    assert answer.status == 202
    assert stored(answer.body) == {name}
    assert others(answer.body) == [0xC000]


def test_h4_an_announced_length_beyond_the_limit_is_413_at_once(site: Web) -> None:
    answer = post(site, b"", Content_Length=str(1 << 33))
    assert answer.status == 413
    assert answer.headers["connection"] == "close"


def test_h4_a_body_that_grows_beyond_the_limit_is_413(site: Web) -> None:
    name, data = file("grows")
    answer = asyncio.run(_in_pieces(site, [files(data)[:-20], *[b"x" * (1 << 20)] * 70]))
    assert answer == 413
    assert site.archive.find_one(name) is None


def test_h5_a_body_that_stalls_is_408_and_leaves_nothing(site: Web) -> None:
    name, data = file("stalls")
    assert asyncio.run(_in_pieces(site, [files(data)[:-200]], stall=True)) == 408
    assert site.archive.find_one(name) is None


def test_h5_a_body_that_trickles_is_408(site: Web) -> None:
    async def trickle() -> int:
        pieces = [b"x"] * 100
        return await _in_pieces(site, pieces, pause=0.05)

    assert asyncio.run(trickle()) == 408


async def _in_pieces(site: Web, pieces: list[bytes], *, stall: bool = False, pause: float = 0.0) -> int:
    waiting = list(pieces)
    status = 0

    async def receive() -> dict[str, Any]:
        if not waiting:
            if stall or pause:
                await asyncio.sleep(30)
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": waiting.pop(0), "more_body": True}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    given = {"host": "archive.test", **{name.lower(): value for name, value in headers().items()}}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "method": "POST", "path": "/dicom-web/studies",
        "raw_path": b"/dicom-web/studies", "query_string": b"", "http_version": "1.1", "scheme": "http",
        "headers": [(n.encode(), v.encode()) for n, v in given.items()], "server": ("archive.test", 80),
        "client": ("127.0.0.1", 5), "root_path": "",
    }  # fmt: skip
    await asyncio.wait_for(site.app(scope, receive, send), 20)
    return status


def test_a_sender_that_disconnects_leaves_nothing_of_the_instance_on_its_way(site: Web) -> None:
    name, data = file("gone")
    pieces = [{"type": "http.request", "body": files(data)[:-100], "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> dict[str, Any]:
        return pieces.pop(0)

    async def send(_message: dict[str, Any]) -> None:
        return None

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "method": "POST", "path": "/dicom-web/studies",
        "raw_path": b"/dicom-web/studies", "query_string": b"", "http_version": "1.1", "scheme": "http",
        "headers": [(b"content-type", content_type().encode()), (b"host", b"a")], "server": ("a", 80),
        "client": ("127.0.0.1", 5), "root_path": "",
    }  # fmt: skip
    asyncio.run(asyncio.wait_for(site.app(scope, receive, send), 20))
    assert site.archive.find_one(name) is None


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
def test_h6_t7_a_content_coding_is_415(site: Web, coding: str) -> None:
    answer = post(site, files(file()[1]), Content_Encoding=coding)
    assert answer.status == 415
    assert answer.headers["accept-encoding"] == "identity"


def test_h9_instances_of_another_study_are_failures_a900(site: Web) -> None:
    here, there = [file("here") for _ in range(2)], [file("there") for _ in range(2)]
    path = f"/studies/{uid('study', 'here')}"
    answer = post(site, files(*(data for _, data in there)), path)
    assert answer.status == 409
    assert failed(answer.body) == {name: 0xA900 for name, _ in there}
    answer = post(site, files(here[0][1], there[0][1], here[1][1]), path)
    assert answer.status == 202
    assert stored(answer.body) == {name for name, _ in here}
    assert failed(answer.body) == {there[0][0]: 0xA900}
    assert all(site.archive.find_one(name) is None for name, _ in there)


@pytest.mark.parametrize("study", ["1.2.x", "..%5c..", "1" * 65, "a", "%00", "1..2"])
def test_h13_an_illegal_study_uid_in_the_address_is_400(site: Web, study: str) -> None:
    assert post(site, files(file()[1]), f"/studies/{study}").status == 400


def test_h10_a_truncated_instance_fails_alone_with_cxxx(site: Web) -> None:
    good = [file("h10") for _ in range(3)]
    name, data = file("h10", rows=64, columns=64)
    answer = post(site, files(good[0][1], good[1][1], data[:-3000], good[2][1]))
    assert answer.status == 202
    assert stored(answer.body) == {one for one, _ in good}
    assert failed(answer.body) == {name: 0xC000}


def test_h11_what_is_not_supported_is_said_by_its_own_reason(site: Web) -> None:
    wrong_class = file("h11", SOPClassUID="1.2.840.10008.5.1.4.1.2.2.1")
    data = file("h11")
    # The transfer syntax of the file meta information becomes one that carries no data sets.
    other = (
        data[1]
        .replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.71", 1)
        .replace(b"1.2.840.10008.1.2.71", b"1.2.840.10008.1.2.7.", 1)
    )
    answer = post(site, files(wrong_class[1], other))
    assert answer.status == 409
    assert failed(answer.body) == {wrong_class[0]: 0x0122, data[0]: 0xC122}


def test_d7_d9_uids_that_are_illegal_or_missing(site: Web) -> None:
    def without(keyword: str) -> bytes:
        ds = ct(study="d9", instance=len(keyword))
        del ds[keyword]
        return part10(ds)

    answer = post(site, files(without("StudyInstanceUID"), without("SeriesInstanceUID")))
    assert answer.status == 409
    assert set(failed(answer.body).values()) == {0xA900}
    name, data = file("d7")
    answer = post(site, files(data.replace(name.encode(), b"../" + name.encode()[3:])))
    assert answer.status == 409
    assert [*failed(answer.body).values(), *others(answer.body)] == [0x0117]


def test_a_part_that_is_no_dicom_file_is_among_the_other_failures(site: Web) -> None:
    answer = post(site, files(b"", b"hello", b"\0" * 200, b"\x89PNG" + b"\0" * 1000))
    assert answer.status == 409
    assert others(answer.body) == [0xC000] * 4


@pytest.mark.parametrize("preamble", [b"MZ", b"\x7fELF", b"#!/bin/sh\n", b'{"a":1}', b"%PDF-1.7", b"II*\0"])
def test_t6_s12_a_preamble_never_comes_out_again(site: Web, preamble: bytes) -> None:
    name, data = file("t6")
    assert post(site, files(preamble.ljust(128, b"!") + data[128:])).status == 200
    kept = site.archive.find_one(name)
    assert kept is not None
    pack = Path(site.archive.blobs._reader.path(kept.member.pack)).read_bytes()
    assert pack[kept.member.offset : kept.member.offset + 132] == bytes(128) + b"DICM"
    assert site.archive.bytes_of(name) == dataset_of(data)


def test_without_a_preamble_a_file_is_taken_too(site: Web) -> None:
    name, data = file("bare")
    assert post(site, files(data[132:])).status == 200
    assert site.archive.bytes_of(name) == dataset_of(data)


def test_t5_nothing_the_sender_writes_becomes_a_path(site: Web, tmp_path: Path) -> None:
    _, data = file("t5")
    evil = {
        "Content-Type": "application/dicom",
        "Content-Disposition": 'attachment; filename="../../../../tmp/owned.dcm"',
        "Content-Location": "file:///etc/passwd",
        "X-Name": "..\\..\\windows",
    }
    assert post(site, multipart([(evil, data)])).status == 200
    assert not Path("/tmp/owned.dcm").exists()


def test_sixty_thousand_headers_or_parts_do_not_pass(site: Web) -> None:
    flood = {f"x-{number}": "y" for number in range(2000)}
    assert post(site, multipart([(flood, b"x")])).status == 413
    endless = f"--{BOUNDARY}\r\nA: ".encode() + b"x" * 100_000
    assert post(site, endless).status == 413
