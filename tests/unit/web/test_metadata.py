"""WADO-RS metadata without a server: what they hold, and that they are neither stale nor made twice."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from pydicom.dataset import Dataset
from tests.support.generate import ct, uid
from tests.support.web import Web, ask, web

from vesalius.archive.headers import Headers
from vesalius.web import metadata as module

STUDY = uid("study", 1)
SERIES = uid("series", 1, 1)
INSTANCE = uid("instance", 1, 1, 1)
XML = 'multipart/related; type="application/dicom+xml"'
PATHS = (
    f"/studies/{STUDY}/metadata",
    f"/studies/{STUDY}/series/{SERIES}/metadata",
    f"/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}/metadata",
)


def sequence_of(ds: Dataset) -> list[Dataset]:
    return [ds]


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Web]:
    with web(tmp_path, cache=tmp_path / "run") as made:
        inner = Dataset()
        inner.CodeValue, inner.CodeMeaning = "1", "Kopf"
        for series, instance in ((1, 1), (1, 2), (2, 1)):
            ds = ct(1, series, instance, PatientName="Müller^Jörg", ProcedureCodeSequence=sequence_of(inner))
            ds.add_new(0x00091010, "OB", bytes(4096))
            ds.add_new(0x00091011, "OB", b"\x01\x02")
            made.archive.keep(ds)
        yield made


def test_metadata_are_the_header_with_addresses_for_what_is_large(filled: Web) -> None:
    for path, count in zip(PATHS, (3, 2, 1), strict=True):
        answer = filled.dicom_web(path)
        assert answer.status == 200 and answer.headers["content-type"] == "application/dicom+json"
        found = answer.json()
        assert len(found) == count
        one = next(one for one in found if one["00080018"]["Value"] == [INSTANCE])
        assert one["00100010"]["Value"] == [{"Alphabetic": "Müller^Jörg"}]
        assert one["00080005"]["Value"] == ["ISO_IR 192"]
        assert one["00081032"]["Value"][0]["00080104"]["Value"] == ["Kopf"]
        root = f"http://archive.test/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}/bulkdata"
        assert one["7FE00010"] == {"vr": "OW", "BulkDataURI": f"{root}/7FE00010"}
        assert one["00091010"] == {"vr": "OB", "BulkDataURI": f"{root}/00091010"}
        assert one["00091011"] == {"vr": "OB", "InlineBinary": "AQI="}
        assert list(one) == sorted(one)


def test_what_is_not_there_is_404_and_what_is_no_uid_400(filled: Web) -> None:
    for path in (
        "/studies/1.2.3/metadata",
        f"/studies/{STUDY}/series/1.2.3/metadata",
        f"/studies/1.2.3/series/{SERIES}/metadata",
        f"/studies/{STUDY}/series/{SERIES}/instances/1.2.3/metadata",
        f"/studies/{STUDY}/series/{uid('series', 1, 2)}/instances/{INSTANCE}/metadata",
    ):
        assert filled.dicom_web(path).status == 404, path
    assert filled.dicom_web("/studies/x/metadata").status == 400
    assert filled.dicom_web(PATHS[0], headers={"Accept": "image/png"}).status == 406


def test_an_instance_that_arrives_is_in_the_next_answer(filled: Web) -> None:
    for path in PATHS[:2]:
        filled.dicom_web(path)
    tag = filled.dicom_web(PATHS[1]).headers["etag"]
    assert filled.dicom_web(PATHS[1], headers={"If-None-Match": tag}).status == 304
    filled.archive.keep(ct(1, 1, 3))
    assert len(filled.dicom_web(PATHS[0]).json()) == 4
    again = filled.dicom_web(PATHS[1], headers={"If-None-Match": tag})
    assert again.status == 200 and len(again.json()) == 3 and again.headers["etag"] != tag


def test_the_codings_hold_the_same(filled: Web) -> None:
    for path in PATHS:
        plain = filled.dicom_web(path).body
        for _ in range(2):
            packed = filled.dicom_web(path, headers={"Accept-Encoding": "gzip"})
            assert packed.headers["content-encoding"] == "gzip" and gzip.decompress(packed.body) == plain
            packed = filled.dicom_web(path, headers={"Accept-Encoding": "zstd, gzip"})
            assert zstandard.ZstdDecompressor().decompress(packed.body) == plain


def test_xml_says_the_same(filled: Web) -> None:
    answer = filled.dicom_web(PATHS[1], headers={"Accept": XML})
    assert answer.body.count(b"<NativeDicomModel") == 2 and "<GivenName>Jörg</GivenName>" in answer.text
    assert f'<BulkData uri="http://archive.test/dicom-web/studies/{STUDY}' in answer.text
    again = filled.dicom_web(PATHS[1], headers={"Accept": XML})
    assert (again.body, again.headers["content-type"]) == (answer.body, answer.headers["content-type"])


def test_what_was_made_is_not_made_again(filled: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    first = [filled.dicom_web(path).body for path in PATHS]
    reads: list[int] = []
    read = filled.archive.blobs.read
    monkeypatch.setattr(filled.archive.blobs, "read", lambda *args: (reads.append(1), read(*args))[1])
    assert [filled.dicom_web(path).body for path in PATHS] == first
    assert not reads


@pytest.mark.parametrize(("small", "here"), [(500, [False, True, True]), (2, [False, False, False])])
def test_a_small_study_is_looked_up_in_the_event_loop_once_it_is_known(
    filled: Web, monkeypatch: pytest.MonkeyPatch, small: int, here: list[bool]
) -> None:
    monkeypatch.setattr(module, "SMALL", small)
    seen = []
    versions = filled.archive.index.versions

    def watched(study: str, series: str | None = None) -> dict[str, str]:
        seen.append(threading.current_thread() is threading.main_thread())
        return versions(study, series)

    monkeypatch.setattr(filled.ctx.index, "versions", watched)
    bodies = [filled.dicom_web(PATHS[0]).body for _ in range(3)]
    assert bodies[0] == bodies[1] == bodies[2]
    assert seen == here


def test_another_process_finds_what_was_made(filled: Web, tmp_path: Path) -> None:
    first = filled.dicom_web(PATHS[0]).body
    assert len(list((tmp_path / "run" / "metadata").iterdir())) == 2
    with web(tmp_path, cache=tmp_path / "run") as other:
        other.archive.blobs.read = None  # type: ignore[method-assign,assignment]
        assert other.dicom_web(PATHS[0]).body == first


def test_a_torn_file_of_the_cache_is_made_again(filled: Web, tmp_path: Path) -> None:
    first = filled.dicom_web(PATHS[0]).body
    for path in (tmp_path / "run" / "metadata").iterdir():
        path.write_bytes(path.read_bytes()[:20])
    with web(tmp_path, cache=tmp_path / "run") as other:
        assert other.dicom_web(PATHS[0]).body == first


def test_equal_requests_at_once_are_made_once(filled: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    json_of = Headers.json
    monkeypatch.setattr(Headers, "json", lambda *args: (made.append(1), json_of(*args))[1])

    async def go() -> list[bytes]:
        asked = [ask(filled.app, f"/dicom-web{PATHS[1]}") for _ in range(20)]
        return [answer.body for answer in await asyncio.gather(*asked)]

    assert len(set(asyncio.run(go()))) == 1 and len(made) == 1


def test_a_study_of_very_many_instances_streams(filled: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = filled.dicom_web(PATHS[0]).json()
    monkeypatch.setattr(module, "WHOLE", 1)
    monkeypatch.setattr(module, "BATCH", 2)
    for coding, unpack in (
        ("identity", bytes),
        ("gzip", gzip.decompress),
        ("zstd", lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body)),
    ):
        with web(filled.ctx.view.cache.parent) as fresh:  # type: ignore[union-attr]
            answer = fresh.dicom_web(PATHS[0], headers={"Accept-Encoding": coding})
        assert json.loads(unpack(answer.body)) == whole
    with web(filled.ctx.view.cache.parent) as fresh:  # type: ignore[union-attr]
        answer = fresh.dicom_web(PATHS[0], headers={"Accept": XML})
    assert answer.body.count(b"</NativeDicomModel>") == 3
    assert answer.body.endswith(answer.headers["content-type"].split('boundary="')[1][:-1].encode() + b"--\r\n")
