"""Rows H9 to H28 of the table of malformed inputs: what is stored, asked for and left behind."""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
from tests.support.bad_http import (
    JSON,
    NUMBERS,
    OCTETS,
    PATH,
    SERIES,
    STUDIES,
    STUDY,
    XML,
    Held,
    fresh,
    held_service,
    unharmed,
)
from tests.support.generate import ct, part10, uid
from tests.support.stow import content_type, failed, files, headers, multipart, others, stored


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    with held_service(tmp_path_factory.mktemp("bad-http")) as made:
        yield made


@pytest.fixture(autouse=True)
def _unharmed(held: Held) -> Iterator[None]:
    with unharmed(held):
        yield


def test_h9_instances_of_another_study(held: Held) -> None:
    name, data = fresh(2)
    answer = held.ask("POST", f"{STUDIES}/{STUDY}", headers(), files(data))
    assert answer.status == 409 and failed(answer.body) == {name: 0xA900}
    mine, own = fresh(1)
    held.stored.add(mine)
    answer = held.ask("POST", f"{STUDIES}/{STUDY}", headers(), files(data, own))
    assert answer.status == 202 and failed(answer.body) == {name: 0xA900} and stored(answer.body) == {mine}


def test_h10_three_good_ones_and_one_that_is_cut(held: Held) -> None:
    made = [fresh() for _ in range(4)]
    held.stored.update(name for name, _ in made[:3])
    answer = held.ask("POST", STUDIES, headers(), files(*(data for _, data in made[:3]), made[3][1][:-100]))
    assert answer.status == 202 and stored(answer.body) == held.stored
    reasons = [*failed(answer.body).values(), *others(answer.body)]
    assert len(reasons) == 1 and reasons[0] >> 12 == 0xC


def test_h11_what_is_not_stored_here_has_its_own_reason(held: Held) -> None:
    ds = ct(1, 1, next(NUMBERS))
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.2.2.1"  # a query is nothing that is stored
    answer = held.ask("POST", STUDIES, headers(), files(part10(ds)))
    assert answer.status == 409 and failed(answer.body) == {ds.SOPInstanceUID: 0x0122}
    name, data = fresh()
    meta = data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.9.9.9\0", 1)
    answer = held.ask("POST", STUDIES, headers(), files(meta))
    assert answer.status == 409 and failed(answer.body) == {name: 0xC122}


def as_json(number: int, uri: str) -> tuple[str, bytes]:
    ds = ct(1, 1, number)
    made = ds.to_json_dict(bulk_data_threshold=1 << 30)
    made["7FE00010"] = {"vr": "OW", "BulkDataURI": uri}
    return str(ds.SOPInstanceUID), json.dumps([made]).encode()


def test_h12_bulk_data_that_are_missing_or_elsewhere_are_never_fetched(held: Held) -> None:
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(0.3)
        port = canary.getsockname()[1]
        for uri in ("nowhere", f"http://127.0.0.1:{port}/x", f"//127.0.0.1:{port}/x", "file:///etc/passwd"):
            name, metadata = as_json(next(NUMBERS), uri)
            answer = held.ask("POST", STUDIES, headers(JSON), multipart([(JSON, metadata)]))
            assert answer.status == 409 and failed(answer.body) == {name: 0xC000}
        with pytest.raises(TimeoutError):
            canary.accept()


def test_h12_t10_xml_with_a_document_type(held: Held) -> None:
    bomb = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(0.3)
        external = f'<!ENTITY x SYSTEM "http://127.0.0.1:{canary.getsockname()[1]}/x">'
        for declared in ("", external, '<!ENTITY x SYSTEM "file:///etc/passwd">', '<!ENTITY a0 "lol">' + bomb):
            body = f'<?xml version="1.0"?><!DOCTYPE x [{declared}]><NativeDicomModel>&x;&a9;</NativeDicomModel>'
            answer = held.ask("POST", STUDIES, headers(XML), multipart([(XML, body.encode())]))
            assert answer.status == 400 and b"root:" not in answer.body
        with pytest.raises(TimeoutError):
            canary.accept()


# -- H13 to H25: addresses and parameters --------------------------------------------------------------


@pytest.mark.parametrize(
    "bad", ["x", "1.2.a", "1..2", "-1", "1.2." + "3" * 70, "%2e%2e", "%00", "1.2%2f..%2f..%2fetc", "1.2;x"]
)
def test_h13_a_uid_that_is_none(held: Held, bad: str) -> None:
    for path in ("", "/metadata", "/series", "/rendered", "/thumbnail", "/bulkdata", "/pixeldata"):
        assert held.ask("GET", f"{STUDIES}/{bad}{path}").status in ((400, 404) if "%2" in bad else (400,)), path
    assert held.ask("DELETE", f"{STUDIES}/{bad}?reason=x").status in (400, 404)
    assert held.ask("GET", f"/wado?requestType=WADO&studyUID={bad}&seriesUID=1.2&objectUID=1.2").status == 400


def test_h14_what_is_unknown_is_404_and_what_was_deleted_410(held: Held) -> None:
    unknown = uid("unknown")
    for path in ("", "/metadata", "/rendered", "/thumbnail", "/bulkdata", "/pixeldata", f"/series/{SERIES}"):
        assert held.ask("GET", f"{STUDIES}/{unknown}{path}").status == 404, path
    name, data = fresh("gone")
    held.stored.add(name)
    assert held.ask("POST", STUDIES, headers(), files(data)).status == 200
    gone = f"{STUDIES}/{uid('study', 'gone')}"
    assert held.ask("DELETE", f"{gone}?reason=test").status == 200
    held.stored.clear()
    for path in ("", "/metadata", "/bulkdata", "/pixeldata", "/rendered"):
        assert held.ask("GET", gone + path).status == 410, path


@pytest.mark.parametrize(
    ("frames", "status"),
    [
        ("0", 400), ("-1", 400), ("a", 400), ("1,,2", 400), ("1,", 400), ("", 404), ("1.5", 400), ("%31", 200),
        ("٣", 400),
        ("1000000000", 404), ("2", 404), ("99999999999999999999", 400), (",".join(["1"] * 100_000), 414),
        (",".join(["1"] * 10_001), 400),
    ],
)  # fmt: skip
def test_h15_numbers_of_frames(held: Held, frames: str, status: int) -> None:
    from urllib.parse import quote

    address = f"{PATH}/frames/{quote(frames, safe=',%')}"
    answer = held.raw(f"GET {address} HTTP/1.1\r\nHost: localhost\r\nAccept: {OCTETS}\r\n\r\n".encode())
    assert [found for found, _ in answer] == [status]


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("", "text/html", 406), ("", "application/dicom; q=0", 406), ("", "*/*; q=0", 406), ("", "a/b; c=\"", 400),
        ("", "multipart/related; type=\"image/png\"", 406), ("", "application", 400), ("", "*/dicom", 400),
        ("/metadata", "image/png", 406), ("/metadata", "application/dicom+json; q=2", 400),
        ("/metadata", "," * 9000, 400),
        ("/metadata", "application/dicom+json; q=0, application/json", 200), ("/frames/1", "image/png", 406),
        ("/frames/1", "text/html, application/octet-stream; q=0.1", 200), ("/rendered", "application/pdf", 406),
        ("/thumbnail", "text/html", 406), ("/bulkdata/7FE00010", "image/png", 406), ("/bulkdata", "text/html", 406),
        ("/pixeldata", "text/html", 406),
    ],
)  # fmt: skip
def test_h16_accept_headers(held: Held, path: str, accept: str, status: int) -> None:
    assert held.ask("GET", PATH + path, {"Accept": accept}).status == status


@pytest.mark.parametrize(
    ("query", "status"),
    [
        # H17
        ("limit=-1", 400), ("limit=abc", 400), ("limit=1e3", 400), ("offset=-1", 400), ("limit=1000000000000", 200),
        ("offset=1000000000000", 200), ("offset=99999999999999999999999", 400),
        # H18
        ("NoSuchKeyword=1", 400), ("includefield=NoSuchKeyword", 400), ("00091001=1", 200),
        ("includefield=00091001", 200),
        (".".join(["00400275"] * 50) + "=1", 400), ("0010=1", 400),
        # H19
        ("fuzzymatching=maybe", 400), ("fuzzymatching=true", 200),
        # H20
        ("limit=1&limit=2", 400), ("PatientID=a&PatientID=b", 400), ("PatientID=a&00100020=b", 400),
        ("StudyInstanceUID=1.2&StudyInstanceUID=1.3", 200), ("includefield=PatientID&includefield=StudyID", 200),
        # H21
        ("StudyDate=20240201-20240101", 400), ("StudyDate=20231301", 400), ("StudyTime=2300-0100", 400),
        ("StudyDate=2024-01-01", 400),
        # and what SQL, files or terminals would make of it
        ("PatientName=%27;DROP TABLE study;--".replace(" ", "%20"), 200), ("PatientName=%00", 200),
        ("PatientID=%ff%fe", 200),
        ("PatientName=" + "*" * 1000, 200), ("PatientName=" + "a*" * 500, 413),
    ],
)  # fmt: skip
def test_h17_to_h21_questions(held: Held, query: str, status: int) -> None:
    started = time.monotonic()
    answer = held.ask("GET", f"{STUDIES}?{query}")
    assert answer.status in (status, 400 if "%0" in query or "*" * 9 in query else status)
    assert time.monotonic() - started < 5
    if status == 200 and query.startswith("limit"):
        assert len(json.loads(answer.body)) <= 20
    if "00091001=" in query:
        assert answer.headers["warning"].startswith("299 ")


@pytest.mark.parametrize(
    ("asked", "path", "status"),
    [
        ("bytes=0-3", "/bulkdata/7FE00010", 206), ("bytes=9999-", "/bulkdata/7FE00010", 416),
        ("bytes=abc", "/bulkdata/7FE00010", 416), ("bytes=-0", "/bulkdata/7FE00010", 416),
        ("bytes=" + ",".join(["0-0"] * 1000), "/bulkdata/7FE00010", 200), ("seconds=1-2", "/bulkdata/7FE00010", 200),
        ("bytes=0-3", "/metadata", 200), ("bytes=0-3", "", 200), ("bytes=0-3", "/rendered", 200),
    ],
)  # fmt: skip
def test_h22_ranges(held: Held, asked: str, path: str, status: int) -> None:
    accept = "application/dicom" if not path else "*/*"
    answer = held.ask("GET", PATH + path, {"Range": asked, "Accept": accept})
    assert answer.status == status


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "DELETE", "PROPFIND", "FOO"])
def test_h23_methods_that_a_resource_has_not(held: Held, method: str) -> None:
    answer = held.ask(method, STUDIES)
    assert answer.status == 405 and {"GET", "POST"} <= set(answer.headers["allow"].split(", "))
    # A request is never told back: TRACE would give a script what it may not read.
    assert b"localhost" not in answer.body


def test_h23_other_cases_and_detours_are_other_addresses(held: Held) -> None:
    for path in ("/DICOM-WEB/studies", "/dicom-web/Studies", "/dicom-web/studies/", "/dicom-web//studies",
                 "//dicom-web/studies",
                 "/dicom-web/../health", "/dicom-web/%2e%2e/health",
                 "/dicom-web/studies/..%2f..%2fhealth", "/./health"):  # fmt: skip
        assert held.ask("GET", path).status in (400, 404), path


@pytest.mark.parametrize(
    "query",
    ["viewport=1e9,1e9", "viewport=100000,100000", "viewport=16384,16384", "viewport=0,0", "viewport=1", "viewport=a,b",
     "viewport=-1,5", "viewport=1,1,0,0,0,0", "window=1", "window=a,b,linear", "window=1,0,linear", "window=1,2,cubic",
     "window=nan,1,linear", "window=inf,inf,sigmoid", "quality=0", "quality=101", "quality=x", "annotation=everything",
     "presentationUID=x", "iccprofile=maybe"],
)  # fmt: skip
def test_h25_pictures_that_make_no_sense(held: Held, query: str) -> None:
    assert held.ask("GET", f"{PATH}/rendered?{query}").status == 400
    assert held.ask("GET", f"{PATH}/frames/1/rendered?{query}").status == 400


# -- H27, H28 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "status"),
    [
        (b'[{"00280010": {"vr": "LO", "Value": ["x"]}}]', 400),
        (b'[{"00280010": {"vr": "US", "Value": ["twelve"]}}]', 400),
        (b'[{"7FE00010": {"vr": "OW", "InlineBinary": "' + b"A" * (2 << 20) + b'"}}]', 413),
        (b"[" * 100_000, 400),
        (b'{"00081140": {"vr": "SQ", "Value": [' * 10_000, 400),
        (b'[{"00080018": {"vr": "UI", "Value": ["1.2"]}, "00080018": {"vr": "UI", "Value": ["1.3"]}}]', 400),
        (b'[{"00280010": {"vr": "US", "Value": [NaN]}}]', 400),
        (b'[{"00280010": {"vr": "US", "Value": [1e999]}}]', 400),
        (b"null", 400), (b"", 400), (b"\xff\xfe[]", 400),
    ],
)  # fmt: skip
def test_h27_metadata_that_break_the_rules(held: Held, metadata: bytes, status: int) -> None:
    assert held.ask("POST", STUDIES, headers(JSON), multipart([(JSON, metadata)])).status == status


GONE: dict[str, Callable[[], bytes]] = {
    "study": lambda: f"GET {STUDIES}/{STUDY} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n".encode(),
    "bulk data": lambda: f"GET {STUDIES}/{STUDY}/bulkdata HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
    "metadata": lambda: f"GET {STUDIES}/{STUDY}/metadata HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
    "store": lambda: (
        f"POST {STUDIES} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type()}\r\nContent-Length: 9000\r\n\r\n"
    ).encode() + files(fresh()[1])[:500],
    "head": lambda: b"GET /dicom-web/st",
}  # fmt: skip


@pytest.mark.parametrize("what", GONE)
def test_h28_a_hundred_clients_that_vanish_leave_nothing_behind(held: Held, what: str) -> None:
    descriptors, threads = held.process.num_fds(), held.process.num_threads()
    vanish(held, what, 100)
    # A thread of the pools that worked for the first time has the index open from now on.
    assert held.process.num_fds() <= descriptors + POOLED
    assert held.process.num_threads() <= threads + POOLED


@pytest.mark.slow
def test_h28_clients_that_vanish_by_the_thousand_cost_no_memory(held: Held) -> None:
    descriptors, threads = held.process.num_fds(), held.process.num_threads()
    for what in GONE:
        vanish(held, what, 200)
    before = held.process.memory_info().rss
    for _ in range(3):
        for what in GONE:
            vanish(held, what, 200)
    assert held.process.memory_info().rss - before < 32 << 20
    assert held.process.num_fds() <= descriptors + POOLED
    assert held.process.num_threads() <= threads + POOLED


def vanish(held: Held, what: str, count: int) -> None:
    """So many clients that ask and leave; until the service knows that they did."""
    for number in range(count):
        connection = socket.create_connection(("127.0.0.1", held.server.http_port), 20)
        connection.sendall(GONE[what]())
        if number % 2:  # a reset instead of an end
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    end = time.monotonic() + 60
    while connected(held.process) and time.monotonic() < end:
        time.sleep(0.1)
    assert connected(held.process) == 0


POOLED = 48  # threads of both pools at most, with what each of them keeps open


def connected(process: psutil.Process) -> int:
    """Connections of a process, without those that it listens on."""
    return sum(1 for one in process.net_connections("tcp") if one.status != psutil.CONN_LISTEN)


def test_t14_t15_what_a_name_holds_comes_out_as_text_and_never_into_the_log(held: Held) -> None:
    names = ["<script>alert(1)</script>", "a\x1b[2Jb", '"},{"level":"x', "=1+1", "\u202eevil", "{{7*7}}", "%n%s"]
    for number, name in enumerate(names):
        ds = ct(f"xss{number}", 1, 1, patient_name=name, patient_id=f"T14-{number}")
        held.stored.add(str(ds.SOPInstanceUID))
        assert held.ask("POST", STUDIES, headers(), files(part10(ds))).status in (200, 202)
    answer = held.ask("GET", f"{STUDIES}?PatientID=T14-*")
    assert len(json.loads(answer.body)) == len(names)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    log = held.server.log_text()
    for line in log.splitlines():
        if line.startswith("{"):
            json.loads(line)
    assert not any(name in log for name in ("alert(1)", "evil", "T14-", "\x1b[2J"))
    assert os.path.getsize(held.server.log) < 10 << 20
