"""A sending goes on behind the pages: every process can tell how far it is, and it can be stopped."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from tests.support.generate import ct, uid
from tests.support.web import Web, web

from vesalius.model.entities import Peer, StoredInstance
from vesalius.model.errors import PeerUnreachable
from vesalius.web.caller import Sent
from vesalius.web.pages import sends
from vesalius.web.pages.sends import Sends, SendState, recent
from vesalius.web.routes import create_app

PEER = Peer("THERE", "127.0.0.1", 1, "THERE", frozenset())
STUDY = uid("study", "a")


class Caller:
    """A peer that takes an instance each time it is let."""

    def __init__(self) -> None:
        self.let = threading.Semaphore(0)
        self.reached = True
        self.refuse: set[str] = set()

    def echo(self, peer: Peer) -> float:
        if not self.reached:
            raise PeerUnreachable("nobody answers", hint="start it")
        return 0.0125

    def send(self, peer: Peer, instances: Sequence[StoredInstance], progress: Callable[[Sent], None]) -> Sent:
        if not self.reached:
            raise PeerUnreachable("nobody answers")
        report = Sent()
        for instance in instances:
            self.let.acquire()
            if instance.sop_instance in self.refuse:
                report.failed.append((instance.sop_instance, "A700 out of resources"))
            else:
                report.sent += 1
            progress(report)
        return report


@pytest.fixture
def caller() -> Caller:
    return Caller()


@pytest.fixture
def served(tmp_path: Path, caller: Caller) -> Iterator[Web]:
    with web(tmp_path / "data", cache=tmp_path / "cache") as made:
        for number in range(1, 6):
            made.archive.keep(ct("a", 1, number))
        ctx = dataclasses.replace(made.ctx, caller=caller, peers=lambda: {"THERE": PEER})
        yield Web(create_app(ctx), ctx, made.archive, made.site)
        for _ in range(100):
            caller.let.release()


def post(served: Web, path: str, body: object) -> tuple[int, dict[str, object]]:
    answer = served.ask(path, "POST", {"content-type": "application/json"}, json.dumps(body).encode())
    return answer.status, answer.json()


def until(served: Web, identifier: object, holds: Callable[[dict[str, object]], bool]) -> dict[str, object]:
    end = time.monotonic() + 30
    while True:
        state: dict[str, object] = served.ask(f"/api/sends/{identifier}").json()
        if holds(state):
            return state
        assert time.monotonic() < end, state
        time.sleep(0.02)


def test_a_study_is_sent_and_every_process_can_tell_how_far_it_is(served: Web, caller: Caller) -> None:
    status, begun = post(served, "/api/sends", {"peer": "THERE", "study": STUDY})
    assert (status, begun["state"], begun["total"]) == (202, "running", 5)
    other = Sends(served.ctx, caller)  # as another web process has it
    assert other.get(str(begun["id"])).state == "running"
    assert [state.id for state in recent(served.ctx)] == [begun["id"]]
    for _ in range(5):
        caller.let.release()
    ended = until(served, begun["id"], lambda state: state["state"] != "running")
    assert (ended["state"], ended["sent"], ended["done"], ended["failed"]) == ("done", 5, 5, [])
    assert other.get(str(begun["id"])).state == "done"


def test_it_can_be_stopped_by_another_process(served: Web, caller: Caller) -> None:
    _, begun = post(served, "/api/sends", {"peer": "THERE", "study": STUDY})
    Sends(served.ctx, caller).cancel(str(begun["id"]))
    time.sleep(0.3)  # what has come of it is written, and looked at, four times a second
    caller.let.release()
    ended = until(served, begun["id"], lambda state: state["state"] != "running")
    assert ended["state"] == "canceled" and int(str(ended["sent"])) <= 1


def test_what_the_peer_refuses_is_told_by_instance(served: Web, caller: Caller) -> None:
    caller.refuse = {uid("instance", "a", 1, 2)}
    for _ in range(5):
        caller.let.release()
    _, begun = post(served, "/api/sends", {"peer": "THERE", "study": STUDY})
    ended = until(served, begun["id"], lambda state: state["state"] != "running")
    assert (ended["state"], ended["sent"]) == ("failed", 4)
    assert ended["failed"] == [{"instance": uid("instance", "a", 1, 2), "reason": "A700 out of resources"}]


def test_a_peer_that_is_away_is_told_with_what_to_do(served: Web, caller: Caller) -> None:
    assert post(served, "/api/peers/THERE/echo", {}) == (200, {"milliseconds": 12.5})
    caller.reached = False
    status, told = post(served, "/api/peers/THERE/echo", {})
    assert (status, told["detail"], told["hint"]) == (502, "nobody answers", "start it")
    _, begun = post(served, "/api/sends", {"peer": "THERE", "study": STUDY})
    assert until(served, begun["id"], lambda state: state["state"] != "running")["error"] == "nobody answers"


def test_what_cannot_be_sent_is_refused_at_once(served: Web) -> None:
    assert post(served, "/api/sends", {"peer": "NOBODY", "study": STUDY})[0] == 404
    assert post(served, "/api/sends", {"peer": "THERE", "study": "1.2.3"})[0] == 404
    assert post(served, "/api/sends", {"peer": "THERE", "study": "../x"})[0] == 400
    assert post(served, "/api/sends", ["THERE"])[0] == 400
    assert served.ask("/api/sends", "POST", {"content-type": "text/plain"}, b"{}").status == 415
    for identifier in ("0" * 32, "x", "..%2f..%2fetc"):
        assert served.ask(f"/api/sends/{identifier}").status == 404


def test_one_that_ended_with_its_process_says_so(served: Web, tmp_path: Path) -> None:
    folder = sends.folder_of(served.ctx)
    assert folder is not None
    folder.mkdir(parents=True, exist_ok=True)
    import msgspec

    state = SendState("a" * 32, "THERE", STUDY, 5, sent=2)
    file = folder / f"{state.id}.json"
    file.write_bytes(msgspec.json.encode(state))
    old = time.time() - sends.STALE - 1
    os.utime(file, (old, old))
    told = served.ask(f"/api/sends/{state.id}").json()
    assert (told["state"], told["sent"]) == ("failed", 2) and "restarted" in told["error"]
    (folder / "broken.json").write_bytes(b"{")
    assert [each.state for each in recent(served.ctx)] == ["failed"]
