"""Start after a crash: bounded work, said in the log, nothing lost.

What a crash leaves untold is bounded: the index's log is copied back and synced after so many changes
(`backends/database_sqlite.py`), so even a power cut that takes the whole log leaves some thousand instances to be told
again, however many the archive holds. Here the writer is killed and the whole log removed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.server import listing, running_server

WRITER = """
import logging, os, signal, sys, time
import structlog
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
from tests.support.archive import dataset_of
from tests.support.generate import ct, part10
from vesalius.app.settings_load import load
from vesalius.app.wiring import build
from vesalius.model.entities import Claim, Provenance
from vesalius.standard.transfer_syntaxes import EXPLICIT_LE

data, count = sys.argv[1], int(sys.argv[2])
archive = build(load({"data": data}, environment={}))
ds = ct()
raw = dataset_of(part10(ds))
uids = [str(one).encode() for one in (ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID)]
futures = []
for number in range(count):
    mine = [b"2.25.%d%07d" % (level, n) for level, n in ((1, number), (2, number // 1000), (3, number // 250))]
    made = raw
    for old, new in zip(uids, mine):
        made = made.replace(old, new.ljust(len(old), b"0"))
    uid = mine[0].ljust(len(uids[0]), b"0").decode()
    reception = archive.ingest.receive(Claim(str(ds.SOPClassUID), uid, EXPLICIT_LE), Provenance("import"))
    reception.write(made)
    futures.append(reception.finish())
    if len(futures) == 500:
        for future in futures:
            future.result()
        futures = []
for future in futures:
    future.result()
time.sleep(1)  # a check-point under way syncs the log first; to take the log away from it would be no power cut
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_after(data: Path, count: int) -> None:
    """An archive of `count` instances, its writer killed, the log of its index lost."""
    repository = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(data), str(count)],
        cwd=repository, env={**os.environ, "PYTHONPATH": str(repository)}, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == -9
    (data / "index.db-wal").unlink()
    (data / "index.db-shm").unlink(missing_ok=True)


def recovered(folder: Path) -> dict[str, float]:
    """Start, and what the log (of all starts) says of this recovery; with the time until ready, in seconds."""
    began = time.monotonic()
    with running_server(folder) as server:
        ready = time.monotonic() - began
        events = [json.loads(line) for line in server.log_text().splitlines() if line.startswith("{")]
    found = [event for event in events if event["event"] == "recovered"][-1]
    return {**found, "ready": ready}


def test_a_crash_leaves_a_bounded_tail_that_start_takes_up_and_tells_of(tmp_path: Path) -> None:
    data = tmp_path / "data"
    killed_after(data, 12_000)
    found = recovered(tmp_path)
    assert found["members"] < 6000, "what one process leaves untold does not grow with the archive"
    assert found["stored"] == found["members"]
    assert found["untold"] == found["failed"] == 0
    assert listing("stats", data=data)[0]["instances"] == 12_000
    assert recovered(tmp_path)["members"] == 0


@pytest.mark.slow
def test_a_hundred_thousand_instances_are_recovered_in_less_than_ten_seconds(tmp_path: Path) -> None:
    data = tmp_path / "data"
    killed_after(data, 100_000)
    found = recovered(tmp_path)
    assert found["ready"] < 10
    assert found["members"] < 6000
    assert listing("stats", data=data)[0]["instances"] == 100_000
