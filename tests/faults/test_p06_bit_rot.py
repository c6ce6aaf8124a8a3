"""P6: bits flip, pages turn to zeros, data sets change places, packs lose their ends, the index is damaged."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import time
from pathlib import Path

import pytest

from tests.support import raw_dicom as raw
from tests.support.ledger import Ledger, check
from tests.support.load import Load, instance
from tests.support.raw_peer import RawScu
from tests.support.rot import cut_short, damage, places
from tests.support.server import Server, start_server, vesalius

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

INSTANCES, ASSOCIATIONS = 400, 4
DAMAGED = 5


DEFAULTS = '[log]\nlevel = "info"\n'


def _filled(tmp_path: Path, config: str = DEFAULTS) -> tuple[Server, Ledger]:
    ledger = Ledger(tmp_path / "ledger")
    server = start_server(tmp_path / "data", config=config, config_file=tmp_path / "config.toml")

    def some(number: int):  # type: ignore[no-untyped-def]
        return (instance(("rot", number), 1, n, size=9_000) for n in range(INSTANCES // ASSOCIATIONS))

    load = Load(server.dimse_port, ledger, ASSOCIATIONS, make=some)
    load.wait_stored(INSTANCES)
    load.stop()
    return server, ledger


def _get_everything(server: Server) -> tuple[dict[str, bytes], int]:
    """What C-GET gives for every study, and how many sub-operations failed."""
    contexts = [(raw.STUDY_FIND, [raw.IMPLICIT]), (raw.STUDY_GET, [raw.IMPLICIT]), (raw.CT, [raw.EXPLICIT])]
    got, failed = {}, 0
    with RawScu.associate(server.dimse_port, contexts, roles=[raw.CT], timeout=60) as scu:
        for message in scu.find({0x00080052: "STUDY", 0x0020000D: ""})[:-1]:
            study = raw.parse_elements(message.dataset)[0x0020000D].decode().rstrip("\0 ")
            answer = scu.get({0x00080052: "STUDY", 0x0020000D: study})
            got |= {one.sop_instance: one.dataset for one in answer.kept}
            lost = answer.counts[2] or 0
            assert answer.status == (0xB000 if lost else 0)
            assert len(answer.failed_instances) == lost
            failed += lost
    return got, failed


def _verify(server: Server, config: Path, *extra: str) -> tuple[int, dict[str, bool]]:
    done = vesalius("verify", "--pace", "0", "--json", "--config", config, *extra, data=server.data, check=False)
    report = json.loads(done.stdout)
    return done.returncode, {one["sop_instance"]: one["repaired"] for one in report["findings"]}


def test_no_bad_byte_is_served_and_verify_reports_each_damage(tmp_path: Path) -> None:
    server, _ledger = _filled(tmp_path)
    random_ = random.Random(61)
    try:
        found = places(server.data / "index.db", server.data / "packs")
        assert len(found) == INSTANCES
        ways = damage(found, 0.01, random_) | cut_short(found, random_)
        got, failed = _get_everything(server)
        # A spoiled member header does not touch the data set: it may still be served, for its digest is right.
        must_fail = {uid for uid, way in ways.items() if way != "spoil_header"}
        assert must_fail.isdisjoint(got), {ways[uid] for uid in must_fail & got.keys()}
        assert failed == INSTANCES - len(got)
        assert INSTANCES - len(got) <= len(ways)
        code, findings = _verify(server, tmp_path / "config.toml")
        assert code == DAMAGED
        assert findings.keys() == ways.keys(), {uid: ways.get(uid) for uid in findings.keys() ^ ways.keys()}
        assert not any(findings.values())
        # Storing goes on, and a sender that still has it can send it again: the archive had lost it.
        uid = min(must_fail)
        again = next(
            one
            for number in range(ASSOCIATIONS)
            for n in range(INSTANCES // ASSOCIATIONS)
            if (one := instance(("rot", number), 1, n, size=9_000)).uid == uid
        )
        with RawScu.associate(server.dimse_port, [(raw.CT, [raw.EXPLICIT])]) as scu:
            assert scu.store(raw.CT, uid, raw.EXPLICIT, again.dataset).status == 0
        got, _ = _get_everything(server)
        assert got.get(uid) == again.dataset, "an instance that was sent again after its damage is still not served"
        assert server.stop() == 0
    finally:
        server.kill()


def test_a_second_copy_repairs_everything(tmp_path: Path) -> None:
    config = f'[store]\ncopy_interval = 0.2\n[[store.copies]]\nname = "second"\npath = "{tmp_path / "second"}"\n'
    server, ledger = _filled(tmp_path, config)
    random_ = random.Random(62)
    try:
        _wait_copied(server)
        found = places(server.data / "index.db", server.data / "packs")
        ways = damage(found, 0.01, random_) | cut_short(found, random_)
        got, failed = _get_everything(server)
        assert (len(got), failed) == (INSTANCES, 0), "reads do not fall back to the copy"
        code, findings = _verify(server, tmp_path / "config.toml")
        assert code == 0
        assert findings.keys() == ways.keys()
        assert all(findings.values())
        assert _verify(server, tmp_path / "config.toml") == (0, {})
        check(server, ledger)
        # The copy rots, the primary is good: the copy is put right.
        copies = places(server.data / "index.db", tmp_path / "second")
        ways = damage(copies, 0.01, random_)
        code, findings = _verify(server, tmp_path / "config.toml")
        assert (code, findings.keys(), all(findings.values())) == (0, ways.keys(), True)
        assert server.stop() == 0
    finally:
        server.kill()


def _wait_copied(server: Server) -> None:
    end = time.monotonic() + 30
    while True:
        _, text = server.get("/metrics")
        lag = [line for line in text.splitlines() if line.startswith("vesalius_copy_lag_bytes{")]
        with sqlite3.connect(server.data / "index.db") as index:
            behind = index.execute(
                "SELECT count(*) FROM pack LEFT JOIN pack_copy ON pack_copy.pack = pack.name "
                "WHERE coalesce(copied_to, 0) < indexed_to"
            ).fetchone()[0]
        if not behind:
            return
        assert time.monotonic() < end, lag
        time.sleep(0.2)


def test_damage_while_the_service_is_down_cuts_nothing_that_is_whole(tmp_path: Path) -> None:
    """After a crash a torn tail is cut off; damage in the middle looks like one, and what lies behind must stay."""
    server, _ledger = _filled(tmp_path)
    random_ = random.Random(63)
    try:
        server.kill()
        found = places(server.data / "index.db", server.data / "packs")
        ways = damage(found, 0.01, random_)
        for name in ("index.db", "index.db-wal", "index.db-shm"):
            (server.data / name).unlink(missing_ok=True)  # nothing is known of the packs any more
        server = start_server(tmp_path / "data", config_file=tmp_path / "config.toml")
        got, _ = _get_everything(server)
        everything = {place.uid for place in found}
        assert everything - got.keys() <= ways.keys(), "whole instances are lost because others are damaged"
        assert all(place.pack.exists() for place in found)
        assert server.stop() == 0
    finally:
        server.kill()


@pytest.mark.parametrize("how", ["gone", "zeros", "garbage", "cut"])
def test_a_damaged_index_is_made_anew_from_the_packs(tmp_path: Path, how: str) -> None:
    server, ledger = _filled(tmp_path)
    try:
        assert server.stop() == 0
        index = server.data / "index.db"
        size = index.stat().st_size
        if how == "gone":
            index.unlink()
        elif how == "cut":
            os.truncate(index, size // 2)
        else:
            page = bytes(4096) if how == "zeros" else os.urandom(4096)
            with index.open("r+b") as file:
                for at in range(4096 if how == "zeros" else 0, size, 4096 * 3):
                    file.seek(at)
                    file.write(page)
        done = vesalius("reindex", "--json", data=server.data, check=False)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        server = start_server(tmp_path / "data", config_file=tmp_path / "config.toml")
        found = check(server, ledger)
        assert found.instances == INSTANCES
        assert server.stop() == 0
    finally:
        server.kill()
