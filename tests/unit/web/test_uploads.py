"""Uploads that break off and go on, by HTTP and in the spool itself."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from tests.support.archive import dataset_of, local_archive
from tests.support.generate import ct, part10
from tests.support.web import Answer, Web, web

from vesalius.archive.uploads import (
    DigestDiffers,
    SpoolSettings,
    UnknownUpload,
    UploadBusy,
    UploadSpool,
    UploadState,
    WrongOffset,
)
from vesalius.model.errors import CannotUnderstand, LimitExceeded, OutOfResources


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("uploads")
    settings = SpoolSettings(folder / "spool", size=1 << 20, quota=4 << 20, count=20, reserve=0)
    with web(folder, uploads=settings, upload_idle=0.4) as made:
        yield made


def announce(site: Web, size: int, **more: str) -> Answer:
    names = {name.replace("_", "-"): value for name, value in more.items()}
    return site.ask("/api/uploads", "POST", {"Upload-Length": str(size), **names})


def path_of(answer: Answer) -> str:
    return answer.headers["location"].removeprefix("http://archive.test")


def patch(site: Web, path: str, offset: int, data: bytes, **more: str) -> Answer:
    names = {name.replace("_", "-"): value for name, value in more.items()}
    return site.ask(path, "PATCH", {"Upload-Offset": str(offset), **names}, data)


def settled(site: Web, path: str) -> dict[str, Any]:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        state = site.ask(path).json()
        if state["state"] in ("done", "failed"):
            return dict(state)
        time.sleep(0.02)
    raise AssertionError(state)


_numbers = iter(range(1, 1000))


def a_file() -> tuple[str, bytes]:
    ds = ct(study="upload", series=1, instance=next(_numbers))
    return str(ds.SOPInstanceUID), part10(ds)


def a_zip(*bodies: bytes) -> bytes:
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for number, body in enumerate(bodies):
            archive.writestr(f"folder/{number}", body)
    return made.getvalue()


# -- by HTTP -------------------------------------------------------------------------------------


def test_a_file_in_pieces_becomes_an_instance(site: Web) -> None:
    name, data = a_file()
    made = announce(site, len(data), Upload_Name="image%20one.dcm", Upload_Sha256=hashlib.sha256(data).hexdigest())
    assert made.status == 201 and made.headers["upload-offset"] == "0"
    path = path_of(made)
    for at in range(0, len(data), 1000):
        answer = patch(site, path, at, data[at : at + 1000])
        assert answer.status == 204
        assert int(answer.headers["upload-offset"]) == min(at + 1000, len(data))
        head = site.ask(path, "HEAD")
        assert (head.status, head.headers["upload-offset"]) == (200, answer.headers["upload-offset"])
        assert head.headers["upload-length"] == str(len(data))
    state = settled(site, path)
    assert (state["state"], state["taken"], state["name"]) == ("done", 1, "image one.dcm")
    assert site.archive.bytes_of(name) == dataset_of(data)
    kept = site.archive.find_one(name)
    assert kept is not None
    provenance = next(site.archive.blobs.scan(kept.member.pack, kept.member.header_offset)).label.provenance
    assert (provenance.how, provenance.address) == ("upload", "127.0.0.1")


def test_a_zip_is_taken_apart_and_what_is_no_image_is_told(site: Web) -> None:
    files = [a_file() for _ in range(3)]
    data = a_zip(*(body for _, body in files), b"readme", files[0][1][:-50])
    path = path_of(announce(site, len(data), Upload_Name="patient.zip"))
    assert patch(site, path, 0, data).status == 204
    state = settled(site, path)
    assert (state["state"], state["taken"], state["refused"], state["skipped"]) == ("done", 3, 1, 1)
    assert all(one["name"].startswith("patient.zip!folder/") for one in state["reasons"])
    assert all(site.archive.find_one(name) is not None for name, _ in files)


def test_t7_a_zip_bomb_is_refused_by_what_comes_out_of_it(site: Web) -> None:
    ds = ct(study="bomb", series=1, instance=1)
    ds.Rows = ds.Columns = 1
    ds.PixelData = b"\0\0"
    head = part10(ds)[:-6]  # up to the length of Pixel Data
    made = BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("image", "w") as entry:
        entry.write(head + (256 << 20).to_bytes(4, "little"))
        for _ in range(256):
            entry.write(bytes(1 << 20))
    data = made.getvalue()
    assert len(data) < 1 << 20
    path = path_of(announce(site, len(data), Upload_Name="bomb.zip"))
    assert patch(site, path, 0, data).status == 204
    state = settled(site, path)
    assert state["state"] == "failed" and state["taken"] == 0
    assert "more than the limit" in state["reasons"][0]["reason"]
    assert site.archive.find_one(str(ds.SOPInstanceUID)) is None


def test_a_piece_at_the_wrong_place_is_409_and_says_where_to_go_on(site: Web) -> None:
    path = path_of(announce(site, 100))
    patch(site, path, 0, b"x" * 40)
    for offset in (0, 39, 41, 100):
        answer = patch(site, path, offset, b"y")
        assert (answer.status, answer.headers["upload-offset"]) == (409, "40")
    assert site.ask(path, "HEAD").headers["upload-offset"] == "40"


def test_a_piece_with_a_digest_counts_whole_or_not_at_all(site: Web) -> None:
    path = path_of(announce(site, 100))
    good = base64.b64encode(hashlib.sha256(b"x" * 40).digest()).decode()
    assert patch(site, path, 0, b"x" * 39 + b"y", Content_Digest=f"sha-256=:{good}:").status == 400
    assert site.ask(path, "HEAD").headers["upload-offset"] == "0"
    assert patch(site, path, 0, b"x" * 40, Content_Digest=f"sha-256=:{good}:").status == 204
    assert patch(site, path, 40, b"x", Content_Digest="md5=:AAAA:").status == 400
    assert patch(site, path, 40, b"x", Content_Digest="sha-256=:AAAA:").status == 400


def test_a_whole_that_is_not_what_was_announced_is_refused(site: Web) -> None:
    name, data = a_file()
    path = path_of(announce(site, len(data), Upload_Sha256="0" * 64))
    patch(site, path, 0, data)
    state = settled(site, path)
    assert state["state"] == "failed" and "digest" in state["reasons"][0]["reason"]
    assert site.archive.find_one(name) is None


def test_what_came_before_a_break_is_counted(site: Web) -> None:
    path = path_of(announce(site, 1000))
    pieces: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"x" * 300, "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return pieces.pop(0)

    async def send(_message: dict[str, Any]) -> None:
        return None

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "method": "PATCH", "path": path, "raw_path": path.encode(),
        "query_string": b"", "http_version": "1.1", "scheme": "http", "server": ("archive.test", 80),
        "headers": [(b"upload-offset", b"0"), (b"host", b"archive.test")], "client": ("127.0.0.1", 5), "root_path": "",
    }  # fmt: skip
    asyncio.run(asyncio.wait_for(site.app(scope, receive, send), 20))
    assert site.ask(path, "HEAD").headers["upload-offset"] == "300"
    assert patch(site, path, 300, b"y" * 700).status == 204


@pytest.mark.parametrize("length", ["", "0", "-1", "abc", str(2 << 20), "9" * 30])
def test_an_announcement_of_nonsense_is_refused(site: Web, length: str) -> None:
    assert site.ask("/api/uploads", "POST", {"Upload-Length": length}).status in (400, 413)
    assert announce(site, 10, Upload_Sha256="nonsense").status == 400


def test_more_than_was_announced_is_413_and_does_not_count(site: Web) -> None:
    path = path_of(announce(site, 10))
    assert patch(site, path, 0, b"x" * 11).status == 413
    assert site.ask(path, "HEAD").headers["upload-offset"] == "0"


@pytest.mark.parametrize("name", ["0" * 32, "x", "..%2f..%2fetc", "%00", "upload.json", "a" * 200])
def test_t5_an_id_that_was_never_given_leads_nowhere(site: Web, name: str) -> None:
    path = f"/api/uploads/{name}"
    assert site.ask(path).status == 404
    assert site.ask(path, "HEAD").status == 404
    assert patch(site, path, 0, b"x").status == 404
    assert site.ask(path, "DELETE").status == 404


def test_an_upload_is_forgotten_on_demand(site: Web) -> None:
    path = path_of(announce(site, 10))
    assert site.ask(path, "DELETE").status == 204
    assert site.ask(path).status == 404


def test_the_quota_holds_and_frees_itself(site: Web) -> None:
    made = []
    while (answer := announce(site, 1 << 20)).status == 201:
        made.append(path_of(answer))
    assert answer.status == 503 and 1 <= len(made) <= 4
    for path in made:
        assert site.ask(path, "DELETE").status == 204
    again = announce(site, 1 << 20)
    assert again.status == 201
    site.ask(path_of(again), "DELETE")


def test_a_content_coding_is_refused(site: Web) -> None:
    path = path_of(announce(site, 10))
    assert patch(site, path, 0, b"x" * 10, Content_Encoding="gzip").status == 415


# -- the spool -----------------------------------------------------------------------------------


@pytest.fixture
def spool(tmp_path: Path) -> UploadSpool:
    return UploadSpool(SpoolSettings(tmp_path / "spool", size=1 << 20, quota=3 << 20, count=3, reserve=0))


def fill(spool: UploadSpool, upload: str, offset: int, data: bytes) -> None:
    piece = spool.append(upload, offset)
    piece.write(data)
    piece.commit()


def test_what_is_committed_survives_and_what_is_not_does_not(spool: UploadSpool) -> None:
    upload = spool.create("x", 100)
    fill(spool, upload.id, 0, b"a" * 60)
    piece = spool.append(upload.id, 60)
    piece.write(b"b" * 20)
    piece.abort()  # as a crash
    again = UploadSpool(SpoolSettings(spool.data_path(upload).parents[1]))
    assert again.get(upload.id).offset == 60
    fill(again, upload.id, 60, b"c" * 40)
    assert again.get(upload.id).state is UploadState.RECEIVED
    assert spool.data_path(upload).read_bytes() == b"a" * 60 + b"c" * 40


def test_two_pieces_at_once_do_not_mix(spool: UploadSpool) -> None:
    upload = spool.create("x", 100)
    piece = spool.append(upload.id, 0)
    with pytest.raises(UploadBusy):
        spool.append(upload.id, 0)
    with pytest.raises(UploadBusy):
        spool.remove(upload.id)
    piece.abort()
    spool.append(upload.id, 0).abort()


def test_errors_are_told(spool: UploadSpool) -> None:
    upload = spool.create("x", 100)
    with pytest.raises(WrongOffset) as wrong:
        spool.append(upload.id, 1)
    assert wrong.value.offset == 0
    with pytest.raises(UnknownUpload):
        spool.append("f" * 32, 0)
    with pytest.raises(UnknownUpload):
        spool.get("../" + upload.id)
    piece = spool.append(upload.id, 0)
    piece.write(b"x")
    with pytest.raises(DigestDiffers):
        piece.commit(b"\0" * 32)
    assert spool.get(upload.id).offset == 0
    with pytest.raises(LimitExceeded):
        spool.create("x", 2 << 20)
    with pytest.raises(CannotUnderstand):
        spool.create("x", 1, sha256="x")
    spool.create("x", 1)
    spool.create("x", 1)
    with pytest.raises(OutOfResources):
        spool.create("x", 1)


def test_nothing_of_the_sender_becomes_a_name(spool: UploadSpool, tmp_path: Path) -> None:
    upload = spool.create("../../../../etc/cron.d/owned\0", 10, address="../x")
    names = {path.name for path in tmp_path.rglob("*")}
    assert names == {"spool", "lock", upload.id, "data", "upload.json"}


def test_old_uploads_expire_and_busy_ones_do_not(spool: UploadSpool) -> None:
    old, busy = spool.create("old", 10), spool.create("busy", 10)
    piece = spool.append(busy.id, 0)
    assert spool.expire(time.time()) == 0
    assert spool.expire(time.time() + 2 * 86400) == 1
    piece.abort()
    with pytest.raises(UnknownUpload):
        spool.get(old.id)
    assert spool.get(busy.id)


def test_an_upload_whose_process_died_is_imported_by_another(spool: UploadSpool, tmp_path: Path) -> None:
    name, data = a_file()
    upload = spool.create("x", len(data))
    fill(spool, upload.id, 0, data)
    with local_archive(tmp_path / "archive") as archive:
        assert spool.whole() == [upload.id]
        assert spool.take(upload.id, archive.ingest).state is UploadState.DONE
        assert archive.find_one(name) is not None
        assert spool.whole() == []
        assert spool.take(upload.id, archive.ingest).taken == 1  # again: nothing happens
    assert not spool.data_path(upload).exists()


def test_without_room_an_upload_waits_and_is_tried_again(
    spool: UploadSpool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, data = a_file()
    upload = spool.create("x", len(data))
    fill(spool, upload.id, 0, data)
    with local_archive(tmp_path / "archive") as archive:
        real = archive.blobs.begin

        def full(*_args: object, **_how: object) -> None:
            raise OutOfResources("full")

        monkeypatch.setattr(archive.blobs, "begin", full)
        waiting = spool.take(upload.id, archive.ingest)
        assert (waiting.state, waiting.stopped) == (UploadState.RECEIVED, "full")
        monkeypatch.setattr(archive.blobs, "begin", real)
        assert spool.take(upload.id, archive.ingest).state is UploadState.DONE


def test_a_broken_note_is_an_unknown_upload(spool: UploadSpool) -> None:
    upload = spool.create("x", 10)
    (spool.data_path(upload).parent / "upload.json").write_text("{")
    with pytest.raises(UnknownUpload):
        spool.get(upload.id)
    spool.expire(time.time() + 2 * 86400)
    assert not spool.data_path(upload).parent.exists()
