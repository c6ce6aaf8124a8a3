"""STOW-RS: what is stored, what is refused, and how the answer says so (service-answers F.3, F.4; bad-input H, S)."""

from __future__ import annotations

import asyncio
import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.archive import dataset_of
from tests.support.generate import ct, part10, uid
from tests.support.stow import BOUNDARY, content_type, failed, files, headers, multipart, others, stored
from tests.support.web import Answer, Web, web

from vesalius.dimse import errors as dimse_errors
from vesalius.model import errors
from vesalius.model.errors import IndexUnavailable, OutOfResources
from vesalius.web.stow_results import REASON_OF, reason_for

STUDIES = "/studies"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("stow"), upload_idle=0.4, store_bytes=64 << 20, body_bytes=1 << 20) as made:
        yield made


def post(site: Web, body: bytes, path: str = STUDIES, **more: str) -> Answer:
    return site.dicom_web(path, "POST", headers(**more), body)


_numbers = iter(range(1, 100_000))


def file(study: object = "s", **how: Any) -> tuple[str, bytes]:
    """A new instance: its UID and its file."""
    ds = ct(study=study, series=study, instance=next(_numbers), **how)
    return str(ds.SOPInstanceUID), part10(ds)


# -- the answer ----------------------------------------------------------------------------------


def test_every_instance_of_a_request_is_stored_and_named_in_the_referenced_sequence(site: Web) -> None:
    made = [file("all") for _ in range(5)]
    answer = post(site, files(*(data for _, data in made)))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    body = answer.json()
    assert stored(body) == {name for name, _ in made}
    assert "00081198" not in body and "0008119A" not in body
    study = uid("study", "all")
    assert body["00081190"] == {"vr": "UR", "Value": [f"http://archive.test/dicom-web/studies/{study}"]}
    item = body["00081199"]["Value"][0]
    assert item["00081190"]["Value"][0].endswith(f"/instances/{item['00081155']['Value'][0]}")
    for name, data in made:
        assert site.archive.bytes_of(name) == dataset_of(data)


def test_the_provenance_says_stow_and_the_address(site: Web) -> None:
    name, data = file("provenance")
    post(site, files(data))
    kept = site.archive.find_one(name)
    assert kept is not None
    (found,) = [
        one
        for one in site.archive.blobs.scan(kept.member.pack)
        if one.member.header_offset == kept.member.header_offset
    ]
    assert found.label.provenance.how == "stow"
    assert found.label.provenance.address == "127.0.0.1"
    assert found.label.provenance.received_at


def test_several_studies_in_one_request_leave_the_studys_address_empty(site: Web) -> None:
    answer = post(site, files(file("one")[1], file("two")[1]))
    assert answer.status == 200
    assert answer.json()["00081190"] == {"vr": "UR"}


def test_the_answer_comes_in_xml_where_that_is_asked_for(site: Web) -> None:
    name, data = file("xml")
    bad = b"\0" * 128 + b"DICM nonsense"
    answer = post(site, files(data, bad), Accept="application/dicom+xml")
    assert answer.status == 202
    assert answer.headers["content-type"] == "application/dicom+xml"
    space = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
    root = ET.fromstring(answer.body)
    assert root.tag == f"{space}NativeDicomModel"
    by_keyword = {one.attrib["keyword"]: one for one in root}
    uids = [one.text for one in by_keyword["ReferencedSOPSequence"].iter(f"{space}Value")]
    assert name in uids
    assert [one.text for one in by_keyword["OtherFailuresSequence"].iter(f"{space}Value")] == [str(0xC000)]


def test_an_accept_header_that_cannot_be_met_is_refused_before_anything_is_stored(site: Web) -> None:
    name, data = file("accept")
    assert post(site, files(data), Accept="image/png").status == 406
    assert site.archive.find_one(name) is None


def test_the_same_instance_again_is_a_success_that_writes_nothing(site: Web) -> None:
    name, data = file("again")
    assert post(site, files(data)).status == 200
    before = site.archive.index.totals()
    answer = post(site, files(data, data))
    assert answer.status == 200
    assert stored(answer.body) == {name}
    assert site.archive.index.totals() == before


def test_other_content_under_the_same_uid_is_kept_beside_the_first(site: Web) -> None:
    ds = ct(study="conflict", instance=1)
    assert post(site, files(part10(ds))).status == 200
    other = ct(study="conflict", instance=1, seed=9)
    assert post(site, files(part10(other))).status == 200
    assert site.archive.bytes_of(str(ds.SOPInstanceUID)) == dataset_of(part10(ds))


def test_a_file_without_multipart_around_it_is_one_instance(site: Web) -> None:
    name, data = file("single")
    answer = site.dicom_web(STUDIES, "POST", {"Content-Type": "application/dicom"}, data)
    assert answer.status == 200 and stored(answer.body) == {name}


def test_values_of_reasons_are_decimal_numbers(site: Web) -> None:
    _, data = file("decimal", SOPClassUID="1.2.840.10008.1.1")
    answer = post(site, files(data))
    assert b'"00081197":{"vr":"US","Value":[290]}' in answer.body.replace(b" ", b"")  # 0122H


def test_every_failure_is_named_not_only_the_last(site: Web) -> None:
    good = file("many")
    bad = [file("many", SOPClassUID="1.2.840.10008.1.1") for _ in range(3)]
    answer = post(site, files(bad[0][1], good[1], bad[1][1], bad[2][1]))
    assert answer.status == 202
    assert failed(answer.body) == {name: 0x0122 for name, _ in bad}
    assert stored(answer.body) == {good[0]}


# -- rows of bad-input ---------------------------------------------------------------------------


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
        ds = ct(study="d9", instance=next(_numbers))
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


def test_resources_that_are_short_are_503_with_retry_after(site: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    name, data = file("full")

    def full(*_args: object, **_how: object) -> None:
        raise OutOfResources("the store's volume is full up to its watermark")

    monkeypatch.setattr(site.archive.blobs, "begin", full)
    answer = post(site, files(data))
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert failed(answer.body) == {name: 0xA700}


def test_an_index_that_is_away_is_503_and_a700(site: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    name, data = file("away")

    def away(_uids: object) -> None:
        raise IndexUnavailable("the index is away")

    monkeypatch.setattr(site.archive.index, "known", away)
    answer = post(site, files(data))
    assert answer.status == 503
    assert failed(answer.body) == {name: 0xA700}


def test_the_reasons_are_the_statuses_of_c_store() -> None:
    for kind, status in dimse_errors.STATUS_OF.items():
        if kind in REASON_OF and kind is not errors.CannotTranscode:
            assert REASON_OF[kind] == status
    assert reason_for(errors.VolumeReadOnly("x")) == 0xA700
    assert reason_for(errors.LimitExceeded("x")) == 0xA700
    assert reason_for(ValueError("x")) == 0xC001


def test_no_value_of_a_data_set_is_in_an_answer(site: Web) -> None:
    _, data = file("phi", patient_name="Geheim^Person", SOPClassUID="1.2.840.10008.1.1")
    assert b"Geheim" not in post(site, files(data)).body


def test_a_studies_resource_takes_only_its_methods(site: Web) -> None:
    answer = site.dicom_web(STUDIES, "PUT", headers(), b"")
    assert answer.status == 405
    assert "POST" in answer.headers["allow"]


def test_the_answer_is_valid_json_whatever_the_uids_hold(site: Web) -> None:
    _, data = file("quote")
    json.loads(post(site, files(data)).body)
