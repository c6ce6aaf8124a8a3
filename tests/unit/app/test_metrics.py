"""Counters of several processes come together in one scrape."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os, sys
from pathlib import Path
from vesalius.app import metrics
from vesalius.model.entities import Claim, Provenance, Receipt, Verdict
folder = metrics.prepare(Path(sys.argv[1]))

def work():
    one = metrics.Metrics()
    claim, provenance = Claim("1", "2", "3"), Provenance("c-store")
    one.association_opened("A")
    one.stored(Receipt(Verdict.STORED, "2", "1"), claim, provenance, 1000)
    one.refused(ValueError(), claim, provenance)
    one.operation_done("C-STORE", 0, 0.002)
    one.operation_done("C-STORE", 0xA700, 0.002)
    one.association_rejected(1, 1, 3)

class Index:
    read_only = "old"
    def ingest(self, batch):
        return []
    def totals(self):
        return 5

for _ in range(2):
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    os.waitpid(pid, 0)
    metrics.forget_process(pid)
index = Index()
timed = metrics.Metrics().timed_index(index)
assert timed.ingest([]) == [] and timed.totals() == 5 and timed.read_only == "old"
index.read_only = "new"
assert timed.read_only == "new"
sys.stdout.write(metrics.render([("vesalius_free", "Free.", [({"place": 'a"b'}, 7.0)])]).decode())
for path in folder.iterdir():
    assert path.stat().st_size == metrics.FILE_SIZE, "reserved ahead, and enough"
metrics.remove(metrics.prepare(Path(sys.argv[1])))
assert not folder.exists(), "what an earlier run left is removed"
"""


def test_counters_add_up_over_processes_and_outlive_them(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=True)
    assert not (tmp_path / "metrics").exists(), "the link is left, the folder is not"
    lines = done.stdout.splitlines()
    assert 'vesalius_instances_total{verdict="stored"} 2.0' in lines
    assert 'vesalius_instances_total{verdict="refused"} 2.0' in lines
    assert "vesalius_received_bytes_total 2000.0" in lines
    assert 'vesalius_dimse_responses_total{service="C-STORE",status="0000"} 2.0' in lines
    assert 'vesalius_dimse_responses_total{service="C-STORE",status="A700"} 2.0' in lines
    assert 'vesalius_dimse_seconds_bucket{le="0.0025",service="C-STORE"} 4.0' in lines
    assert 'vesalius_associations_total{outcome="rejected 1/1/3"} 2.0' in lines
    assert "vesalius_associations_open 0.0" in lines, "what a dead process had open is open no more"
    assert "vesalius_index_seconds_count 1.0" in lines
    assert 'vesalius_free{place="a\\"b"} 7.0' in lines
