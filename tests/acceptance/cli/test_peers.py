"""The command line towards others: two running archives and DCMTK's tools."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian
from tests.support.data import part10_parts
from tests.support.dcmtk import free_port, storescp
from tests.support.generate import ct, part10, uid, write_study
from tests.support.server import AET, Server, listing, running_server, vesalius


@dataclass(frozen=True)
class Site:
    """An archive without a service, and the server that it talks to."""

    data: Path
    server: Server
    files: list[Path]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("peers")
    with running_server(folder) as server:
        files = write_study(folder / "in", study="remote", series=2, instances=2, patient_name="Łukasz^Ñandú")
        vesalius("import", folder / "in", data=server.data)
        own = folder / "own"
        vesalius("peers", "add", "FAR", "127.0.0.1", str(server.dimse_port), "--aet", AET, data=own)
        vesalius("peers", "add", "DEAD", "127.0.0.1", str(free_port()), data=own)
        vesalius("peers", "add", "WRONG", "127.0.0.1", str(server.dimse_port), "--aet", "NOTME", data=own)
        yield Site(own, server, files)


STUDY = uid("study", "remote")


def test_peers_are_added_changed_listed_and_removed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    vesalius("peers", "add", "CT1", "10.0.0.1", "104", "--aet", "CT_ROOM", "--allow", "store,query", data=data)
    vesalius("peers", "add", "ct2", "ct2.example", "11112", "--move-to", "CT1,*", "--tls", data=data)
    rows = {str(row["name"]): row for row in listing("peers", "list", data=data)}
    assert rows["CT1"]["allow"] == ["query", "store"] and rows["CT1"]["aet"] == "CT_ROOM"
    assert rows["ct2"]["aet"] == "CT2" and rows["ct2"]["move_to"] == ["CT1", "*"] and rows["ct2"]["tls"] is True
    assert rows["ct2"]["allow"] == [], "default deny"
    vesalius("peers", "add", "CT1", "10.0.0.2", "104", data=data)
    assert next(row for row in listing("peers", "list", data=data) if row["name"] == "CT1")["host"] == "10.0.0.2"
    assert "CT1" in vesalius("peers", "list", data=data).stdout
    vesalius("peers", "remove", "CT1", data=data)
    assert vesalius("peers", "remove", "CT1", data=data, check=False).returncode == 4
    assert [row["name"] for row in listing("peers", "list", data=data)] == ["ct2"]


def test_peers_of_the_configuration_are_listed_but_not_changed(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[[peers]]\nname = 'FILE'\nhost = 'h'\nport = 104\nallow = ['store']\n")
    (row,) = listing("peers", "list", "--config", config, data=tmp_path / "data")
    assert row["from"] == "configuration" and row["allow"] == ["store"]
    for command in (["add", "FILE", "h", "105"], ["remove", "FILE"]):
        done = vesalius("peers", *command, "--config", config, data=tmp_path / "data", check=False)
        assert done.returncode == 2 and "configuration" in done.stderr


@pytest.mark.parametrize(
    "wrong", [["X", "h", "0"], ["X", "h", "104", "--allow", "everything"], ["X", "h", "104", "--aet", "A" * 17]]
)
def test_a_wrong_peer_is_refused(tmp_path: Path, wrong: list[str]) -> None:
    assert vesalius("peers", "add", *wrong, data=tmp_path / "data", check=False).returncode == 2


def test_echo_tells_whether_a_peer_is_there(site: Site) -> None:
    (row,) = listing("echo", "--peer", "FAR", data=site.data)
    assert row["answered"] is True
    assert vesalius("peers", "test", "FAR", data=site.data).returncode == 0


@pytest.mark.parametrize(("peer", "word"), [("DEAD", "reached"), ("WRONG", "1/1/7")])
def test_a_peer_that_is_not_there_or_refuses_ends_with_3_and_the_reason(site: Site, peer: str, word: str) -> None:
    commands = (["echo"], ["find"], ["retrieve", "--study", STUDY], ["send", str(site.files[0])])
    for command in commands if peer == "DEAD" else commands[:1]:
        done = vesalius(*command, "--peer", peer, data=site.data, check=False)
        assert done.returncode == 3 and word in done.stderr, done.stderr
        assert "Traceback" not in done.stderr and done.stdout == ""


def test_an_unknown_peer_is_wrong_use_with_the_nearest_name(site: Site) -> None:
    done = vesalius("echo", "--peer", "FARR", data=site.data, check=False)
    assert done.returncode == 2 and "FAR?" in done.stderr


def test_find_asks_a_peer(site: Site) -> None:
    (row,) = listing("find", "--peer", "FAR", "PatientName=lukasz*", data=site.data)
    assert row["StudyInstanceUID"] == STUDY and row["PatientName"] == "Łukasz^Ñandú"
    rows = listing("find", "--peer", "FAR", "--level", "image", "--limit", "3", data=site.data)
    assert len(rows) == 3
    assert vesalius("find", "--peer", "FAR", "PatientName=Nobody", data=site.data, check=False).returncode == 4


def test_retrieve_by_get_brings_a_study_whole(site: Site, tmp_path: Path) -> None:
    data = tmp_path / "data"
    vesalius("peers", "add", "FAR", "127.0.0.1", str(site.server.dimse_port), "--aet", AET, data=data)
    (report,) = listing("retrieve", "--peer", "FAR", "--study", STUDY, data=data)
    assert (report["completed"], report["failed"], report["status"]) == (4, 0, "0000")
    vesalius("export", "--study", STUDY, tmp_path / "out", data=data)
    assert {part10_parts(path)[1] for path in (tmp_path / "out").rglob("IM*")} == {
        part10_parts(path)[1] for path in site.files
    }


def test_retrieve_by_get_brings_what_is_not_plain_as_it_is_stored(site: Site, tmp_path: Path) -> None:
    data = tmp_path / "data"
    syntaxes = (DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian)
    sent = set()
    (tmp_path / "in").mkdir()
    for number, syntax in enumerate(syntaxes):
        path = tmp_path / "in" / f"{number}.dcm"
        path.write_bytes(part10(ct("mixed", 1, number), syntax))
        sent.add(part10_parts(path)[1])
    vesalius("import", tmp_path / "in", data=site.server.data)
    vesalius("peers", "add", "FAR", "127.0.0.1", str(site.server.dimse_port), "--aet", AET, data=data)
    (report,) = listing("retrieve", "--peer", "FAR", "--study", uid("study", "mixed"), data=data)
    assert report["completed"] == 3
    vesalius("export", "--study", uid("study", "mixed"), tmp_path / "out", data=data)
    assert {part10_parts(path)[1] for path in (tmp_path / "out").rglob("IM*")} == sent


def test_retrieve_of_a_series_brings_that_series_alone(site: Site, tmp_path: Path) -> None:
    data = tmp_path / "data"
    vesalius("peers", "add", "FAR", "127.0.0.1", str(site.server.dimse_port), "--aet", AET, data=data)
    series = uid("series", "remote", 1)
    (report,) = listing("retrieve", "--peer", "FAR", "--study", STUDY, "--series", series, data=data)
    assert report["completed"] == 2
    assert {row["SeriesInstanceUID"] for row in listing("find", "--level", "series", data=data)} == {series}
    assert vesalius("retrieve", "--peer", "FAR", "--study", "1.2.3", data=data, check=False).returncode == 4
    assert vesalius("retrieve", "--peer", "FAR", "--series", series, data=data, check=False).returncode == 2


def test_retrieve_by_move_reaches_the_running_service(site: Site, tmp_path: Path) -> None:
    with running_server(tmp_path, "--set", "server.ae_title=SECOND") as second:
        vesalius("peers", "add", "FAR", "127.0.0.1", str(site.server.dimse_port), "--aet", AET, "--allow", "store",
                 data=second.data)  # fmt: skip
        vesalius("peers", "add", "SECOND", "127.0.0.1", str(second.dimse_port), "--allow", "query,retrieve",
                 data=site.server.data)  # fmt: skip
        named = {"VESALIUS_SERVER_AE_TITLE": "SECOND"}
        done = vesalius("retrieve", "--peer", "FAR", "--study", STUDY, "--method", "move", "--json",
                        data=second.data, check=False, **named)  # fmt: skip
        report = json.loads(done.stdout)
        assert (report["completed"], report["failed"], report["status"]) == (4, 0, "0000"), report
        assert len(listing("find", "--level", "image", data=second.data)) == 4
        vesalius("peers", "remove", "SECOND", data=site.server.data)


def test_send_takes_uids_of_any_level_and_files(site: Site, tmp_path: Path) -> None:
    write_study(tmp_path / "in", study="sent", series=2, instances=2)
    vesalius("import", tmp_path / "in", data=site.data)
    study, series, instance = uid("study", "sent"), uid("series", "sent", 2), uid("instance", "sent", 1, 1)
    for what, count in ((study, 4), (series, 2), (instance, 1)):
        (report,) = listing("send", "--peer", "FAR", what, data=site.data)
        assert (report["sent"], report["failed"]) == (count, [])
    (tmp_path / "loose.dcm").write_bytes(part10(ct("loose")))
    (tmp_path / "note.txt").write_text("no image")
    (report,) = listing("send", "--peer", "FAR", tmp_path / "loose.dcm", tmp_path / "in", data=site.data)
    assert report["sent"] == 5
    there = {row["StudyInstanceUID"] for row in listing("find", data=site.server.data)}
    assert {study, uid("study", "loose")} <= there


def test_send_ends_with_4_for_an_unknown_uid_and_2_for_neither_uid_nor_file(site: Site) -> None:
    assert vesalius("send", "--peer", "FAR", "1.2.3.4", data=site.data, check=False).returncode == 4
    assert vesalius("send", "--peer", "FAR", "no-such-file", data=site.data, check=False).returncode == 2


def test_what_a_peer_refuses_is_named_and_ends_with_1(site: Site, tmp_path: Path) -> None:
    bad = ct("bad")
    bad.StudyInstanceUID = ""
    (tmp_path / "bad.dcm").write_bytes(part10(bad))
    (tmp_path / "good.dcm").write_bytes(part10(ct("good")))
    done = vesalius("send", "--peer", "FAR", tmp_path / "bad.dcm", tmp_path / "good.dcm", "--json", data=site.data,
                    check=False)  # fmt: skip
    report = json.loads(done.stdout)
    assert done.returncode == 1 and report["sent"] == 1
    assert report["failed"][0]["instance"] == bad.SOPInstanceUID and "A900" in report["failed"][0]["reason"]


def test_what_is_sent_to_dcmtk_arrives_byte_for_byte(site: Site, tmp_path: Path) -> None:
    with storescp(tmp_path / "got") as port:
        vesalius("peers", "add", "SCP", "127.0.0.1", str(port), "--aet", "DST", data=site.data)
        (report,) = listing("send", "--peer", "SCP", *site.files, data=site.data)
        assert (report["sent"], report["failed"]) == (4, [])
    got = {part10_parts(path)[1] for path in (tmp_path / "got").iterdir()}
    assert got == {part10_parts(path)[1] for path in site.files}
