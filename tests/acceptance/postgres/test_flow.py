"""The whole service on PostgreSQL, and what happens when the database goes and comes back."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from tests.support.corpus import split_file
from tests.support.generate import ct, part10
from tests.support.patience import assert_within
from tests.support.postgres import PostgresServer, start_server, stop_server
from tests.support.raw_dicom import CT, STUDY_FIND, STUDY_GET, VERIFICATION
from tests.support.raw_peer import LEVEL, Broken, RawScu, Receiver
from tests.support.server import Server, listing, running_server, vesalius

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
CONTEXTS = [(VERIFICATION, [IMPLICIT]), (STUDY_FIND, [IMPLICIT]), (STUDY_GET, [IMPLICIT]), (CT, [EXPLICIT])]


@dataclass
class Site:
    server: Server
    database: PostgresServer

    def store(self, ds: Dataset) -> int:
        with RawScu.associate(self.server.dimse_port, [(CT, [EXPLICIT])], timeout=40) as scu:
            return scu.store(CT, ds.SOPInstanceUID, EXPLICIT, split_file(part10(ds))[1]).status

    def fetch(self, study: str) -> dict[str, bytes]:
        contexts = [(STUDY_GET, [IMPLICIT]), (CT, [EXPLICIT])]
        with RawScu.associate(self.server.dimse_port, contexts, roles=[CT], timeout=40) as scu:
            got = scu.get({LEVEL: "STUDY", 0x0020000D: study})
        assert got.status == 0
        return {one.sop_instance: one.dataset for one in got.kept}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service with two workers on a database server of its own, because it will be killed."""
    try:
        database = start_server()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("postgres")
    try:
        config = f'database = "{database.create("flow")}"\n'
        with running_server(folder, config=config, config_file=folder / "data/vesalius.toml", workers=2) as server:
            yield Site(server, database)
    finally:
        stop_server(database)


def bytes_of(instances: list[Dataset]) -> dict[str, bytes]:
    return {ds.SOPInstanceUID: split_file(part10(ds))[1] for ds in instances}


def test_store_find_get_export_and_stats(site: Site, tmp_path: Path) -> None:
    sent = [ct("pg", series, n, patient_id="PG", patient_name="Müller^Jörg") for series in (1, 2) for n in (1, 2)]
    assert [site.store(ds) for ds in sent] == [0] * 4
    with RawScu.associate(site.server.dimse_port, [(STUDY_FIND, [IMPLICIT])]) as scu:
        answers = scu.find({LEVEL: "STUDY", 0x00100010: "MULLER*", 0x0020000D: "", 0x00201208: ""})
    assert [answer.status for answer in answers] == [0xFF00, 0]
    assert site.fetch(sent[0].StudyInstanceUID) == bytes_of(sent)
    vesalius("export", "--study", sent[0].StudyInstanceUID, tmp_path / "out", data=site.server.data)
    out = {split_file(path.read_bytes())[1] for path in (tmp_path / "out").rglob("IM*")}
    assert out == set(bytes_of(sent).values())
    facts = json.loads(vesalius("stats", "--json", data=site.server.data).stdout)
    assert facts["instances"] >= 4
    assert not (site.server.data / "index.db").exists()
    assert vesalius("verify", "--pace", "0", data=site.server.data).returncode == 0


def test_peers_are_kept_in_the_database_and_moved_to(site: Site) -> None:
    sent = [ct("pg move", 1, n, patient_id="PG2") for n in (1, 2, 3)]
    assert [site.store(ds) for ds in sent] == [0] * 3
    with Receiver("KEEPER") as receiver:
        vesalius("peers", "add", "keeper", "127.0.0.1", str(receiver.port), "--aet", "KEEPER", data=site.server.data)
        with RawScu.associate(site.server.dimse_port, [("1.2.840.10008.5.1.4.1.2.2.2", [IMPLICIT])]) as scu:
            moved = scu.move("KEEPER", {LEVEL: "STUDY", 0x0020000D: sent[0].StudyInstanceUID})
    assert moved.status == 0
    assert {one.sop_instance: one.dataset for one in receiver.kept} == bytes_of(sent)


def test_a_database_that_crashes_under_load_loses_nothing_that_was_acknowledged(site: Site) -> None:
    acknowledged: list[Dataset] = []
    refused: list[int] = []
    stop = threading.Event()
    lock = threading.Lock()

    def sender(number: int) -> None:
        scu: RawScu | None = None
        for n in range(10_000):
            if stop.is_set():
                break
            ds = ct(f"crash {number}", 1, n, patient_id=f"CRASH{number}")
            try:
                scu = scu or RawScu.associate(site.server.dimse_port, [(CT, [EXPLICIT])], timeout=60)
                status = scu.store(CT, ds.SOPInstanceUID, EXPLICIT, split_file(part10(ds))[1]).status
            except (Broken, OSError):
                scu = None
                continue
            with lock:
                if status == 0:
                    acknowledged.append(ds)
                else:
                    refused.append(status)
            time.sleep(0.005)
        if scu is not None:
            scu.release()

    threads = [threading.Thread(target=sender, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(1.0)
    _kill(site.database)
    time.sleep(1.5)
    before = len(acknowledged)
    site.database.start()
    time.sleep(3.0)
    stop.set()
    for thread in threads:
        thread.join(60)
    assert set(refused) <= {0xA700}, "out of resources: send again"
    assert len(acknowledged) > before, "storing goes on by itself when the database is back"
    for number in range(4):
        mine = [ds for ds in acknowledged if ds.PatientID == f"CRASH{number}"]
        kept = site.fetch(mine[0].StudyInstanceUID)
        for uid, dataset in bytes_of(mine).items():
            assert kept[uid] == dataset


def _kill(database: PostgresServer) -> None:
    """kill -9 of the whole database server."""
    pid = int((database.home / "data/postmaster.pid").read_text().split()[0])
    children = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    for one in (pid, *children):
        try:
            os.kill(one, signal.SIGKILL)
        except ProcessLookupError:
            continue
    while Path(f"/proc/{pid}").exists() and _alive(pid):
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_while_the_database_is_away_the_service_answers_and_comes_back_by_itself(site: Site) -> None:
    sent = ct("away", patient_id="AWAY")
    assert site.store(sent) == 0
    site.database.stop("fast")
    try:
        with RawScu.associate(site.server.dimse_port, CONTEXTS, timeout=60) as scu:
            assert scu.echo() == 0
            began = time.monotonic()
            ds = ct("away", 1, 2, patient_id="AWAY")
            assert scu.store(CT, ds.SOPInstanceUID, EXPLICIT, split_file(part10(ds))[1]).status == 0xA700
            assert scu.find({LEVEL: "STUDY", 0x0020000D: ""})[-1].status == 0xA700
            assert_within(began, 40)
            assert scu.echo() == 0
        assert site.server.get("/ready")[0] == 503
        assert site.server.get("/health")[0] == 200
    finally:
        site.database.start()
    end = time.monotonic() + 20
    while site.store(ds) != 0:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert set(site.fetch(sent.StudyInstanceUID)) == {sent.SOPInstanceUID, ds.SOPInstanceUID}
    site.server.wait_ready(20)


def test_the_index_can_be_made_again_from_the_packs_in_another_database(site: Site, tmp_path: Path) -> None:
    studies = {row["StudyInstanceUID"] for row in listing("find", data=site.server.data)}
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "packs").symlink_to(site.server.data / "packs")
    url = site.database.create("again")
    vesalius("reindex", data=copy, VESALIUS_DATABASE=url)
    again = vesalius("find", "--json", data=copy, VESALIUS_DATABASE=url).stdout.splitlines()
    assert {json.loads(line)["StudyInstanceUID"] for line in again} == studies
