"""Workers killed while they receive: started again, nothing lost, nothing half visible, their packs taken up."""

from __future__ import annotations

import os
import signal
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from pydicom.dataset import Dataset
from tests.support import raw_dicom as raw
from tests.support.corpus import split_file
from tests.support.generate import ct, part10
from tests.support.raw_dicom import CT, STUDY_FIND, STUDY_GET, VERIFICATION
from tests.support.raw_peer import LEVEL, Broken, RawScu
from tests.support.server import Server, running_server, vesalius

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
WORKERS = 2


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path, config="[server]\ngrace = 2.0\n", workers=WORKERS) as running:
        yield running


def workers(server: Server) -> list[psutil.Process]:
    """The processes that hold a DICOM port open for connections."""
    found = []
    for process in psutil.Process(server.process.pid).children():
        try:
            listens = [c for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        except psutil.Error:
            continue
        if any(c.laddr.port == server.dimse_port for c in listens):
            found.append(process)
    return found


def worker_of(server: Server, scu: RawScu) -> psutil.Process:
    """The worker at the other end of an association."""
    here = scu.sock.getsockname()[1]
    for process in psutil.Process(server.process.pid).children():
        for connection in process.net_connections("tcp"):
            if connection.raddr and connection.raddr.port == here:
                return process
    raise AssertionError("no process holds the association")


def wait_for_workers(server: Server, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while len(workers(server)) < WORKERS:
        assert time.monotonic() < end, server.log_text()[-2000:]
        time.sleep(0.05)


def dataset_of(ds: Dataset) -> bytes:
    return split_file(part10(ds))[1]


def fetch(server: Server, study: str) -> dict[str, bytes]:
    with RawScu.associate(server.dimse_port, [(STUDY_GET, [IMPLICIT]), (CT, [EXPLICIT])], roles=[CT]) as scu:
        got = scu.get({LEVEL: "STUDY", 0x0020000D: study})
    assert got.status == 0
    return {one.sop_instance: one.dataset for one in got.kept}


def test_a_worker_killed_in_mid_object_loses_what_was_not_acknowledged_and_nothing_else(server: Server) -> None:
    sent = [ct("killed", 1, n, rows=128, columns=128) for n in range(1, 6)]
    scu = RawScu.associate(server.dimse_port, [(CT, [EXPLICIT])])
    for ds in sent[:4]:
        assert scu.store(CT, ds.SOPInstanceUID, EXPLICIT, dataset_of(ds)).status == 0
    # Half of the fifth is on its way when the process dies.
    half = dataset_of(sent[4])[:20_000]
    scu.send(raw.p_data(raw.pdv(1, raw.store_rq(CT, sent[4].SOPInstanceUID, 99), command=True)))
    scu.send(raw.p_data(raw.pdv(1, half, command=False, last=False)))
    time.sleep(0.2)
    victim = worker_of(server, scu)
    victim.send_signal(signal.SIGKILL)
    with pytest.raises(Broken):
        scu.message()
    scu.close()
    # The other worker serves what was acknowledged at once.
    study = sent[0].StudyInstanceUID
    acknowledged = {ds.SOPInstanceUID: dataset_of(ds) for ds in sent[:4]}
    assert _patiently(lambda: fetch(server, study)) == acknowledged
    wait_for_workers(server)
    assert fetch(server, study) == acknowledged
    with RawScu.associate(server.dimse_port, [(CT, [EXPLICIT])]) as again:
        assert again.store(CT, sent[4].SOPInstanceUID, EXPLICIT, dataset_of(sent[4])).status == 0
    assert set(fetch(server, study)) == {ds.SOPInstanceUID for ds in sent}
    log = server.log_text()
    assert '"how":"signal SIGKILL"' in log
    assert '"event":"process-restarted"' in log
    assert log.count('"event":"recovered"') >= 2, "the orphaned pack was taken up before the new worker began"
    assert vesalius("verify", "--pace", "0", data=server.data).returncode == 0


def _patiently(ask: object) -> object:
    """A connection may fall to the dead worker's queue: callers try again."""
    end = time.monotonic() + 10
    while True:
        try:
            return ask()  # type: ignore[operator]
        except (Broken, OSError):
            assert time.monotonic() < end
            time.sleep(0.05)


@dataclass
class Load:
    """Senders that go on whatever happens, and remember what was acknowledged."""

    server: Server
    acknowledged: list[Dataset] = field(default_factory=list)
    broken: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, number: int) -> None:
        scu: RawScu | None = None
        count = 0
        while not self._stop.is_set():
            ds = ct(f"load {number}", 1, count, patient_id=f"L{number}", rows=64, columns=64)
            try:
                scu = scu or RawScu.associate(self.server.dimse_port, [(CT, [EXPLICIT])], timeout=15)
                status = scu.store(CT, ds.SOPInstanceUID, EXPLICIT, dataset_of(ds)).status
            except (Broken, OSError):
                scu = None
                with self._lock:
                    self.broken += 1
                continue
            assert status == 0
            count += 1
            with self._lock:
                self.acknowledged.append(ds)
        if scu is not None:
            scu.release()

    def __enter__(self) -> Load:
        self._threads = [threading.Thread(target=self.run, args=(n,)) for n in range(4)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)


def test_workers_killed_again_and_again_under_load_lose_nothing(server: Server) -> None:
    with Load(server) as load:
        for _ in range(3):
            time.sleep(0.4)
            alive = workers(server)
            if alive:
                os.kill(alive[0].pid, signal.SIGKILL)
        time.sleep(1.0)
    assert load.broken >= 1
    wait_for_workers(server)
    assert len(load.acknowledged) > 50
    for number in range(4):
        mine = {ds.SOPInstanceUID: dataset_of(ds) for ds in load.acknowledged if ds.PatientID == f"L{number}"}
        if mine:
            study = next(ds.StudyInstanceUID for ds in load.acknowledged if ds.PatientID == f"L{number}")
            kept = fetch(server, study)
            assert mine.items() <= kept.items()
            assert len(kept) - len(mine) <= 3, "at most what was whole and not yet answered"
    # Every pack is a tar file from end to end, whoever wrote it.
    found = set()
    for pack in (server.data / "packs").glob("*.tar"):
        with tarfile.open(pack) as archive:
            found |= {Path(member.name).stem for member in archive}
    assert {ds.SOPInstanceUID for ds in load.acknowledged} <= found
    assert vesalius("verify", "--pace", "0", data=server.data).returncode == 0


def test_both_workers_take_associations(server: Server) -> None:
    scus = [RawScu.associate(server.dimse_port, [(VERIFICATION, [IMPLICIT])]) for _ in range(24)]
    pids = {worker_of(server, scu).pid for scu in scus}
    assert len(pids) == WORKERS
    for scu in scus:
        assert scu.echo() == 0
        scu.release()


def test_what_one_worker_stored_another_finds_at_once(server: Server) -> None:
    scus = [RawScu.associate(server.dimse_port, [(CT, [EXPLICIT]), (STUDY_FIND, [IMPLICIT])]) for _ in range(16)]
    by_worker = {worker_of(server, scu).pid: scu for scu in scus}
    assert len(by_worker) == WORKERS
    one, other = by_worker.values()
    for n in range(20):
        ds = ct(f"seen {n}", patient_id=f"SEEN{n}")
        assert one.store(CT, ds.SOPInstanceUID, EXPLICIT, dataset_of(ds)).status == 0
        assert [answer.status for answer in other.find({LEVEL: "STUDY", 0x00100020: f"SEEN{n}"})] == [0xFF00, 0]
        one, other = other, one
    for scu in scus:
        scu.release()
