"""The power goes between a change of a workitem and the event that tells of it: nothing is untold, nothing is twice."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest
from pydicom.uid import generate_uid
from tests.support.dcmtk import free_port
from tests.support.server import Server, listing, start_server
from tests.support.ups_site import GLOBAL, System, Told, config
from tests.support.websocket import opened
from tests.support.workitems import dataset, performed


def start(folder: Path, port: int) -> tuple[Server, System]:
    server = start_server(folder / "data", config=config(("WATCHER", port, '"workitems"')))
    return server, System("WATCHER", port, server.dimse_port)


def states(told: list[Told]) -> list[str]:
    return [one.state for one in told if one.kind == 1]


def test_an_event_that_was_not_delivered_before_the_power_cut_is_delivered_after_it(tmp_path: Path) -> None:
    port, uid, key = free_port(), str(generate_uid()), str(generate_uid())
    server, watcher = start(tmp_path, port)
    try:
        assert watcher.create(dataset(), uid)[0] == 0x0000
        assert watcher.subscribe(uid, lock=True) == 0x0000
        assert watcher.change(uid, "IN PROGRESS", key) == 0x0000
        server.kill()  # nobody has listened until now
        server, watcher = start(tmp_path, port)
        with watcher.listening():
            assert states(watcher.wait(uid, 2)) == ["SCHEDULED", "IN PROGRESS"]
            (restarted,) = watcher.wait(GLOBAL, 1)
            assert (restarted.kind, restarted.values.SCPStatus) == (4, "RESTARTED")
            assert restarted.values.SubscriptionListStatus == "WARM START"
            assert restarted.values.UnifiedProcedureStepListStatus == "WARM START"
            assert watcher.change(uid, "IN PROGRESS", key) == 0xC302, "it was claimed once, and is"
            assert watcher.set(uid, performed(), key) == 0x0000, "by the same key"
            assert watcher.change(uid, "COMPLETED", key) == 0x0000
            assert states(watcher.wait(uid, 3)) == ["SCHEDULED", "IN PROGRESS", "COMPLETED"]
        with opened(server.http_port, "/dicom-web/ws/subscribers/WATCHER") as socket:
            heard = [socket.receive()["00001002"]["Value"][0] for _ in range(4)]
            assert heard == [1, 1, 4, 1], "what no web socket was sent yet, the restart in its place"
            server.stop()
            with pytest.raises(ConnectionError):
                socket.receive()
            assert socket.closed == 1001, "going away, and said so"
        assert "Traceback" not in server.log_text()
    finally:
        server.kill()


@pytest.mark.faults
def test_an_event_whose_answer_was_lost_comes_again_and_those_behind_it_follow(tmp_path: Path) -> None:
    port, uid, key = free_port(), str(generate_uid()), str(generate_uid())
    server, watcher = start(tmp_path, port)
    reached, may_go_on = threading.Event(), threading.Event()

    def hold(_told: Told) -> None:
        reached.set()
        may_go_on.wait(60)

    watcher.before_answer = hold
    try:
        with watcher.listening():
            watcher.create(dataset(), uid)
            watcher.subscribe(uid)
            assert reached.wait(60)
            assert watcher.change(uid, "IN PROGRESS", key) == 0x0000
            server.kill()
            may_go_on.set()
        server, watcher = start(tmp_path, port)
        with watcher.listening():
            assert states(watcher.wait(uid, 2)) == ["SCHEDULED", "IN PROGRESS"], "from the one without an answer on"
        (job,) = listing("jobs", "list", "--kind", "workitem.tell", data=server.data)
        assert job["state"] in ("open", "done")
        server.stop()
    finally:
        server.kill()


@pytest.mark.faults
def test_whatever_was_acknowledged_under_kills_is_told_once_in_order(tmp_path: Path) -> None:
    """Workitems are made and claimed while the service is killed again and again; its subscriber hears of them all."""
    random_ = random.Random(4711)
    port, acknowledged, told = free_port(), dict[str, list[str]](), list[Told]()
    server, watcher = start(tmp_path, port)
    try:
        with watcher.listening():
            assert watcher.subscribe(GLOBAL) == 0x0000
            told = watcher.told
        for _ in range(6):
            stop = threading.Event()
            worker = threading.Thread(target=_work, args=(watcher, acknowledged, stop))
            watcher.told = told
            with watcher.listening():
                worker.start()
                time.sleep(random_.uniform(0.3, 2.0))
                server.kill()
                stop.set()
                worker.join(60)
            server, watcher = start(tmp_path, port)
        watcher.told = told
        with watcher.listening():
            for uid, happened in acknowledged.items():
                heard = states(watcher.wait(uid, len(happened)))
                assert list(dict.fromkeys(heard))[: len(happened)] == happened, "each state, in its order"
            for uid, happened in acknowledged.items():
                found = watcher.get(uid)[1]
                assert found is not None
                assert found.ProcedureStepState in ("SCHEDULED", "IN PROGRESS")
                assert "IN PROGRESS" not in happened or found.ProcedureStepState == "IN PROGRESS"
        assert len(acknowledged) > 6, "there was something to lose"
        server.stop()
    finally:
        server.kill()


def _work(system: System, acknowledged: dict[str, list[str]], stop: threading.Event) -> None:
    """Make and claim workitems until the service is gone; what was answered with 0000 counts."""
    while not stop.is_set():
        uid = str(generate_uid())
        try:
            if system.create(dataset(), uid)[0] != 0x0000:
                return
            acknowledged[uid] = ["SCHEDULED"]
            if system.change(uid, "IN PROGRESS", str(generate_uid())) == 0x0000:
                acknowledged[uid].append("IN PROGRESS")
        except (AssertionError, AttributeError, RuntimeError):
            return  # the association broke: nothing was answered
