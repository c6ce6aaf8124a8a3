"""Deletion through the whole service: gone for all protocols, back on demand, safe from SIGKILL, at last destroyed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.dcmtk import run
from tests.support.generate import ct, part10, uid
from tests.support.raw_dicom import STUDY_GET
from tests.support.raw_peer import LEVEL, RawScu, studies_at
from tests.support.server import Server, listing, running_server, vesalius

CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"


def http(server: Server, method: str, path: str, body: object = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        server.url + path, data, {"Content-Type": "application/json"} if data else {}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        error.read()
        return error.code, None


def store(folder: Path, study: str, count: int = 3, **how: Any) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number in range(count):
        path = folder / f"{study}-{number}.dcm"
        path.write_bytes(part10(ct(study=study, series=1, instance=number, patient_id=f"P-{study}", **how)))
        made.append(path)
    return made


def got(server: Server, study: str) -> dict[str, bytes]:
    """What C-GET gives."""
    contexts = [(STUDY_GET, [IMPLICIT]), (CT, [EXPLICIT])]
    with RawScu.associate(server.dimse_port, contexts, roles=[CT]) as scu:
        answer = scu.get({LEVEL: "STUDY", 0x0020000D: uid("study", study)})
    assert answer.status == 0
    return {one.sop_instance: one.dataset for one in answer.kept}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("delete")) as running:
        yield running


def test_what_is_deleted_by_http_is_gone_by_dicom_and_comes_back(server: Server, tmp_path: Path) -> None:
    files = store(tmp_path, "both")
    run("storescu", "-aec", "VESALIUS", "127.0.0.1", str(server.dimse_port), *files)
    before = got(server, "both")
    assert len(before) == 3
    study = uid("study", "both")
    status, told = http(server, "DELETE", f"/dicom-web/studies/{study}?reason=test")
    assert (status, told["instances"]) == (200, 3)
    assert got(server, "both") == {}
    assert study not in studies_at(server.dimse_port)
    assert http(server, "GET", f"/dicom-web/studies?StudyInstanceUID={study}") == (200, [])
    assert http(server, "GET", f"/dicom-web/studies/{study}/metadata")[0] == 410
    assert http(server, "POST", "/api/undelete", {"deletion": told["deletion"]})[0] == 200
    assert got(server, "both") == before
    assert study in studies_at(server.dimse_port)


def test_after_deletion_a_modality_can_send_the_same_again(server: Server, tmp_path: Path) -> None:
    files = store(tmp_path, "again")
    run("storescu", "-aec", "VESALIUS", "127.0.0.1", str(server.dimse_port), *files)
    before = got(server, "again")
    assert http(server, "DELETE", f"/dicom-web/studies/{uid('study', 'again')}")[0] == 200
    run("storescu", "-aec", "VESALIUS", "127.0.0.1", str(server.dimse_port), *files)
    assert got(server, "again") == before


def test_the_command_line_deletes_and_brings_back_beside_the_running_service(server: Server, tmp_path: Path) -> None:
    files = store(tmp_path, "cli")
    run("storescu", "-aec", "VESALIUS", "127.0.0.1", str(server.dimse_port), *files)
    study = uid("study", "cli")
    data = server.data
    refused = vesalius("delete", study, "--reason", "no answer", data=data, check=False)
    assert refused.returncode == 1 and len(got(server, "cli")) == 3
    assert vesalius("delete", study, "--reason", " ", "--yes", data=data, check=False).returncode == 2
    assert vesalius("delete", "1.2.3", "--reason", "x", "--yes", data=data, check=False).returncode == 4
    one = json.loads(
        vesalius(
            "delete", study, "--series", uid("series", "cli", 1), "--instance", uid("instance", "cli", 1, 0),
            "--reason", "blurred", "--yes", "--json", data=data,
        ).stdout
    )  # fmt: skip
    assert (one["level"], one["instances"], one["reason"]) == ("IMAGE", 1, "blurred")
    assert len(got(server, "cli")) == 2
    vesalius("delete", study, "--reason", "wrong patient", "--yes", data=data)
    assert got(server, "cli") == {}
    rows = listing("undelete", "--list", data=data)
    assert [row["reason"] for row in rows if row["study"] == study] == ["wrong patient", "blurred"]
    assert all(row["who"] for row in rows if row["study"] == study)
    vesalius("undelete", study, "--yes", data=data)
    assert len(got(server, "cli")) == 2
    vesalius("undelete", str(one["deletion"]), "--yes", data=data)
    assert len(got(server, "cli")) == 3
    assert vesalius("undelete", study, "--yes", data=data, check=False).returncode == 4
    assert vesalius("undelete", data=data, check=False).returncode == 2


KILLED = """
import os, signal, sys
from pathlib import Path
from vesalius.app.settings_load import load
from vesalius.app.wiring import build
from vesalius.archive.delete import Delete

archive = build(load({"data": sys.argv[1]}))
def die(*_args, **_how):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(archive.index, sys.argv[3], die)
delete = Delete(archive.index, archive.blobs, archive.ingest, archive.clock, window=86400.0)
if sys.argv[3] == "remove":
    delete.delete(sys.argv[2], reason="killed", who="a test")
else:
    delete.undelete(archive.index.deletions()[0].id, who="a test")
"""


def test_sigkill_between_tombstone_and_index_is_completed_by_the_next_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    vesalius("import", *store(tmp_path / "in", "killed"), *store(tmp_path / "in", "other"), data=data)
    study = uid("study", "killed")
    script = [sys.executable, "-c", KILLED, str(data), study]
    assert subprocess.run([*script, "remove"], check=False).returncode == -signal.SIGKILL
    with running_server(tmp_path) as server:
        assert studies_at(server.dimse_port) == [uid("study", "other")]
        (row,) = listing("undelete", "--list", data=data)
        assert (row["state"], row["reason"], row["instances"]) == ("deleted", "killed", 3)
    assert subprocess.run([*script, "restored"], check=False).returncode == -signal.SIGKILL
    with running_server(tmp_path) as server:
        assert set(studies_at(server.dimse_port)) == {study, uid("study", "other")}
        assert len(got(server, "killed")) == 3
        assert listing("undelete", "--list", data=data)[0]["state"] == "restored"
    vesalius("reindex", data=data)
    assert len(listing("find", data=data)) == 2
    assert vesalius("verify", data=data).returncode == 0


def test_the_service_destroys_the_bytes_when_the_window_ends(tmp_path: Path) -> None:
    config = (
        "[store]\nundelete_window = 0.5\npurge_interval = 0.2\nseal_after = 1\n"
        f'[[store.copies]]\nname = "second"\npath = "{tmp_path / "second"}"\n'
    )
    data = tmp_path / "data"
    secret = b"VERY^SECRET"
    gone = store(tmp_path / "in", "gone", patient_name=secret.decode())
    vesalius("import", *gone, *store(tmp_path / "in", "stays"), data=data)
    (pack,) = (data / "packs").glob("*.tar")
    assert secret in pack.read_bytes()
    with running_server(tmp_path, config=config) as server:
        status, told = http(server, "DELETE", f"/dicom-web/studies/{uid('study', 'gone')}")
        assert status == 200
        end = time.monotonic() + 40
        state = ""
        while time.monotonic() < end and state != "purged":
            time.sleep(0.2)
            state = http(server, "GET", "/api/deletions")[1]["deletions"][0]["state"]
        assert state == "purged", server.log_text()[-3000:]
        assert http(server, "POST", "/api/undelete", {"deletion": told["deletion"]})[0] == 409
        assert http(server, "GET", f"/dicom-web/studies/{uid('study', 'gone')}/metadata")[0] == 404
        assert len(got(server, "stays")) == 3
    for folder in (data / "packs", tmp_path / "second"):
        for path in folder.glob("*.tar"):
            assert secret not in path.read_bytes()
    assert vesalius("verify", data=data).returncode == 0


def test_reading_goes_on_while_others_delete(server: Server, tmp_path: Path) -> None:
    """A study that is being read when it is deleted is read to its end: bytes stay where they are."""
    files = store(tmp_path, "busy", 20)
    run("storescu", "-aec", "VESALIUS", "127.0.0.1", str(server.dimse_port), *files)
    study = uid("study", "busy")
    request = urllib.request.Request(
        f"{server.url}/dicom-web/studies/{study}",
        headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        first = answer.read(100)
        assert http(server, "DELETE", f"/dicom-web/studies/{study}")[0] == 200
        rest = answer.read()
    assert (first + rest).count(b"DICM") == 20
