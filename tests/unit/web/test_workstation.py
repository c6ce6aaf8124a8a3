"""The viewer's files and pages, and the addresses that lead into it; with a viewer of three files."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import zstandard
from tests.support.generate import ct, uid
from tests.support.web import Answer, Web, web

from vesalius.web.workstation import Arrangement, arrangement, clean

STUDY, PRIOR, OTHER = uid("study", "now"), uid("study", "before"), uid("study", "other")
SCRIPT = b"console.log('x');\n" * 200
PAGE = f"/viewer/viewer?StudyInstanceUIDs={STUDY}"


def make_viewer(assets: Path, build: str = "abc123") -> None:
    """A viewer in the form that tools/viewer.py writes."""
    folder = assets / "viewer"
    (folder / "assets").mkdir(parents=True, exist_ok=True)
    files = {}
    for name, kind, worker in (("app.js", "text/javascript", False), ("worker.js", "text/javascript", True)):
        (folder / f"{name}.gz").write_bytes(gzip.compress(SCRIPT))
        (folder / f"{name}.zst").write_bytes(zstandard.compress(SCRIPT))
        files[name] = {"type": kind, "size": len(SCRIPT), "coded": True, "worker": worker}
    (folder / "assets" / "icon.png").write_bytes(b"\x89PNG")
    files["assets/icon.png"] = {"type": "image/png", "size": 4, "coded": False, "worker": False}
    index = {"version": "9", "build": build, "entry": "app.js", "style": "app.css", "files": files}
    temporary = folder / "index.new"
    temporary.write_text(json.dumps(index))
    temporary.rename(folder / "index.json")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("desk")
    make_viewer(folder / "assets")
    (folder / "assets" / "secret.txt").write_text("no")
    with web(folder / "data", assets=folder / "assets") as made:
        for study, date, patient in (("now", "20260102", "P"), ("before", "20200101", "P"), ("other", "20260101", "Q")):
            made.archive.keep(
                ct(study, 1, 1, patient_id=patient, StudyDate=date, AccessionNumber=f"A-{study}", Modality="MR")
            )
        yield made


def leads_to(answer: Answer) -> tuple[str, dict[str, list[str]]]:
    """Path and query of a redirect, which stays on this origin."""
    assert answer.status == 302, answer.text
    place = urlsplit(answer.headers["location"])
    assert (place.scheme, place.netloc) == ("", "") and answer.headers["location"].startswith("/v")
    return place.path, parse_qs(place.query)


@pytest.mark.parametrize(
    "extra",
    [
        "url=https://evil.test/x.json", "URL=https://evil.test", "configUrl=https://evil.test", "token=abc",
        "customization=/a", "datasources=dicomjson", "debug=true", "StudyInstanceUIDs=%3Cscript%3E",
        "hangingProtocolId=%22%3E%3Csvg",
        "initialSOPInstanceUID=javascript:1", "useNextViewports=true",
    ],
)  # fmt: skip
def test_the_viewer_never_sees_a_parameter_that_is_not_allowed(desk: Web, extra: str) -> None:
    path, query = leads_to(desk.ask(f"{PAGE}&{extra}"))
    assert (path, query) == ("/viewer/viewer", {"StudyInstanceUIDs": [STUDY]})


def test_what_the_viewer_may_see_is_left_as_it_is() -> None:
    kept = [("StudyInstanceUIDs", "1.2,3.4"), ("hangingProtocolId", "@ohif/hpMammo"), ("patientName", "Müller, J")]
    assert clean(kept) == kept


def test_a_page_has_a_policy_that_lets_it_connect_to_this_origin_alone(desk: Web) -> None:
    answer = desk.ask(PAGE)
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/html")
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == policy["script-src"] == policy["worker-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'" and policy["form-action"] == "'none'"
    assert "<script>" not in answer.text and "style=" not in answer.text
    assert 'src="/viewer/abc123/app.js"' in answer.text and 'data-dicom-web="/dicom-web"' in answer.text


def test_a_cached_page_keeps_its_policy(desk: Web) -> None:
    first = desk.ask(PAGE)
    again = desk.ask(PAGE, headers={"If-None-Match": first.headers["etag"]})
    assert again.status == 304
    assert again.headers["content-security-policy"] == first.headers["content-security-policy"]


@pytest.mark.parametrize(("accept", "coding"), [("gzip, zstd", "zstd"), ("gzip", "gzip"), ("", None), ("br", None)])
def test_a_file_comes_in_the_best_coding_and_is_kept_for_good(desk: Web, accept: str, coding: str | None) -> None:
    answer = desk.ask("/viewer/abc123/app.js", headers={"Accept-Encoding": accept})
    assert answer.headers.get("content-encoding") == coding
    body = {"zstd": zstandard.decompress, "gzip": gzip.decompress, None: bytes}[coding](answer.body)
    assert body == SCRIPT
    assert "immutable" in answer.headers["cache-control"] and answer.headers["vary"] == "Accept-Encoding"
    asked = {"Accept-Encoding": accept, "If-None-Match": answer.headers["etag"]}
    assert desk.ask("/viewer/abc123/app.js", headers=asked).status == 304


def test_a_file_that_is_not_compressed_comes_as_it_is(desk: Web) -> None:
    answer = desk.ask("/viewer/abc123/assets/icon.png", headers={"Accept-Encoding": "gzip"})
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"\x89PNG", "image/png")
    assert "content-encoding" not in answer.headers


def test_only_a_worker_may_evaluate_and_it_has_neither_page_nor_style(desk: Web) -> None:
    assert "unsafe-eval'" not in desk.ask("/viewer/abc123/app.js").headers["content-security-policy"]
    assert "'unsafe-eval'" in desk.ask("/viewer/abc123/worker.js").headers["content-security-policy"]


@pytest.mark.parametrize(
    "path",
    ["abc123/../../secret.txt", "abc123/%2e%2e/secret.txt", "abc123/..%2fsecret.txt", "abc123/app.js.gz",
     "abc123/index.json", "other/app.js", "abc123/nothing.js", "unknown", "viewer/dicomjson", "local"],
)  # fmt: skip
def test_what_the_index_does_not_name_is_not_there(desk: Web, path: str) -> None:
    assert desk.ask(f"/viewer/{path}").status == 404


def test_a_study_is_opened_by_what_it_holds(desk: Web) -> None:
    path, query = leads_to(desk.ask(f"/workstation/studies/{STUDY}"))
    assert path == "/viewer/viewer"
    assert query == {"StudyInstanceUIDs": [STUDY], "hangingProtocolId": ["vesalius.mr"], "stageId": ["one"]}
    path, query = leads_to(desk.ask(f"/workstation/studies/{STUDY}?mode=segmentation"))
    assert (path, query) == ("/viewer/segmentation", {"StudyInstanceUIDs": [STUDY]})


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ([("PT", 100), ("CT", 100), ("SR", 1)], Arrangement("tmtv")),
        ([("PT", 100)], Arrangement("viewer")),
        ([("SM", 5), ("ANN", 1)], Arrangement("microscopy")),
        ([("MG", 4)], Arrangement("viewer", "vesalius.mg", "four")),
        ([("MG", 1)], Arrangement("viewer", "vesalius.cr", "one")),
        ([("DX", 2)], Arrangement("viewer", "vesalius.cr", "two")),
        ([("MR", 30), ("MR", 30), ("MR", 30), ("SEG", 1)], Arrangement("viewer", "vesalius.mr", "four")),
        ([("MR", 30), ("SR", 30), ("SR", 30)], Arrangement("viewer", "vesalius.mr", "one")),
        ([("CT", 300)], Arrangement("viewer", "vesalius.ct")),
        ([("US", 1)], Arrangement("viewer")),
        ([], Arrangement("viewer")),
    ],
)
def test_arrangements(series: list[tuple[str, int]], expected: Arrangement) -> None:
    assert arrangement(series) == expected


def test_a_study_is_opened_beside_one_before_it_but_never_beside_another_patients(desk: Web) -> None:
    _, query = leads_to(desk.ask(f"/workstation/studies/{STUDY}?prior={PRIOR}"))
    assert query["StudyInstanceUIDs"] == [f"{STUDY},{PRIOR}"] and query["hangingProtocolId"] == ["@ohif/hpCompare"]
    answer = desk.ask(f"/workstation/studies/{STUDY}?prior={OTHER}")
    assert answer.status == 409 and "different patients" in answer.json()["detail"]


def test_a_series_or_an_instance_is_opened_first(desk: Web) -> None:
    _, query = leads_to(desk.ask(f"/workstation/studies/{STUDY}/series/1.2.3/instances/1.2.3.4"))
    assert query["initialSeriesInstanceUID"] == ["1.2.3"] and query["initialSOPInstanceUID"] == ["1.2.3.4"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"studies/{uid('study', 'nowhere')}", 404), ("studies/abc", 400), ("studies/1.2%0d%0aX:1", 400),
        (f"studies/{STUDY}?mode=evil", 400), (f"studies/{STUDY}?prior=x", 400), ("studies/" + "1" * 65, 400),
        ("IHEInvokeImageDisplay", 400), ("IHEInvokeImageDisplay?requestType=PATIENT&patientID=*", 400),
        ("IHEInvokeImageDisplay?requestType=PATIENT&patientID=nobody", 404),
    ],
)  # fmt: skip
def test_what_cannot_be_opened_is_said(desk: Web, path: str, status: int) -> None:
    assert desk.ask(f"/workstation/{path}").status == status


@pytest.mark.parametrize(
    ("asked", "studies"),
    [
        (f"requestType=STUDY&studyUID={STUDY}", STUDY),
        ("requestType=STUDY&accessionNumber=A-before", PRIOR),
        ("requestType=PATIENT&patientID=P", f"{STUDY},{PRIOR}"),
        ("requestType=PATIENT&patientID=P&mostRecentResults=1", STUDY),
    ],
)
def test_the_words_of_ihe_open_the_same(desk: Web, asked: str, studies: str) -> None:
    _, query = leads_to(desk.ask(f"/workstation/IHEInvokeImageDisplay?{asked}"))
    assert query["StudyInstanceUIDs"] == [studies]


def test_below_a_proxys_path_every_address_has_it(tmp_path: Path) -> None:
    make_viewer(tmp_path / "assets")
    with web(tmp_path / "data", assets=tmp_path / "assets", public_url="https://pacs.test/dicom/") as made:
        page = made.ask("/viewer/")
        assert 'src="/dicom/viewer/abc123/app.js"' in page.text and 'data-dicom-web="/dicom/dicom-web"' in page.text
        assert made.ask("/viewer").headers["location"] == "/dicom/viewer/"
        assert made.ask("/viewer/?url=x").headers["location"] == "/dicom/viewer/"


def test_without_a_viewer_a_page_says_how_to_get_one_and_it_needs_no_restart(tmp_path: Path) -> None:
    with web(tmp_path / "data", assets=tmp_path / "assets") as made:
        answer = made.ask("/viewer/viewer?StudyInstanceUIDs=1.2")
        assert answer.status == 503 and "make assets" in answer.text
        make_viewer(tmp_path / "assets", "one")
        assert "/viewer/one/app.js" in made.ask("/viewer/").text
        make_viewer(tmp_path / "assets", "two")
        os.utime(tmp_path / "assets" / "viewer" / "index.json", (1, 1))
        assert "/viewer/two/app.js" in made.ask("/viewer/").text
        assert made.ask("/viewer/one/app.js").status == 404


def test_our_files_are_asked_for_each_time_and_sent_once(desk: Web) -> None:
    for name, kind in (("config.js", "text/javascript"), ("theme.css", "text/css")):
        first = desk.ask(f"/viewer/{name}")
        assert first.status == 200 and first.headers["content-type"].startswith(kind)
        assert first.headers["cache-control"] == "private, no-cache"
        assert desk.ask(f"/viewer/{name}", headers={"If-None-Match": first.headers["etag"]}).status == 304
