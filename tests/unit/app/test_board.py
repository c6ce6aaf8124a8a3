"""The notice board is shared by fork."""

from __future__ import annotations

import os

from vesalius.app.board import Board, State


def test_what_one_process_writes_another_reads() -> None:
    board = Board(["dimse", "dimse", "web"])
    pid = os.fork()
    if pid == 0:
        board.set_state(1, State.READY, os.getpid())
        board.set_read_only(1, True)
        board.count_restart(1)
        os._exit(0)
    os.waitpid(pid, 0)
    rows = board.rows()
    assert [(row.kind, row.number) for row in rows] == [("dimse", 1), ("dimse", 2), ("web", 1)]
    assert rows[0].state is State.DOWN
    assert (rows[1].state, rows[1].pid, rows[1].restarts, rows[1].read_only) == (State.READY, pid, 1, True)
