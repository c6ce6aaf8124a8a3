"""The supervisor's view of its children, without processes."""

from __future__ import annotations

import pytest

from vesalius.app.board import Board
from vesalius.app.lifecycle import Supervisor, _Child
from vesalius.app.settings import Settings


def test_a_worker_that_ends_when_all_have_been_ready_does_not_fail_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = Supervisor(Settings(), lambda running: None)
    supervisor._board = Board(["web"])
    supervisor._children = [_Child("web", 1, 0, pid=4711)]

    def said_ready(self: Supervisor, wake: int, seconds: float) -> None:
        self._children[0].ready = True

    def ended(self: Supervisor) -> list[_Child]:
        self._children[0].ready = False
        return self._children

    monkeypatch.setattr(Supervisor, "_sleep", said_ready)
    monkeypatch.setattr(Supervisor, "_reap", ended)
    assert supervisor._wait_ready(-1)


def test_a_worker_that_ends_before_it_was_ready_fails_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = Supervisor(Settings(), lambda running: None)
    supervisor._board = Board(["web"])
    supervisor._children = [_Child("web", 1, 0, pid=4711)]
    monkeypatch.setattr(Supervisor, "_sleep", lambda self, wake, seconds: None)
    monkeypatch.setattr(Supervisor, "_reap", lambda self: self._children)
    assert not supervisor._wait_ready(-1)
