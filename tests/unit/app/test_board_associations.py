"""Who is connected, told by each worker to all processes."""

from __future__ import annotations

import os

from vesalius.app.board import Board, State
from vesalius.app.board_associations import MOST, AssociationBoard
from vesalius.web.site import LiveAssociation


def one(name: str, calling: str = "MODALITY") -> LiveAssociation:
    return LiveAssociation("dimse 1", name, calling, "VESALIUS", "10.0.0.1", False, 1.5, "C-STORE", 7, 1 << 40, 2)


def test_what_a_worker_writes_every_process_reads() -> None:
    board = Board(["dimse", "dimse", "web"])
    pid = os.fork()
    if pid == 0:
        board.set_associations(1, [one("b"), one("c")])
        os._exit(0)
    os.waitpid(pid, 0)
    board.set_associations(0, [one("a")])
    found, count = board.associations()
    assert (found, count) == ([one("a"), one("b"), one("c")], 3)
    board.set_associations(1, [])
    assert board.associations() == ([one("a")], 1)


def test_a_worker_that_is_gone_has_no_associations() -> None:
    board = Board(["dimse", "web"])
    board.set_associations(0, [one("a")])
    board.set_state(0, State.DOWN, 0)
    assert board.associations() == ([], 0)


def test_very_many_are_counted_and_some_of_them_shown() -> None:
    board = AssociationBoard(1)
    board.write(0, [one(str(number), "A" * 16) for number in range(500)])
    found, count = board.read()
    assert (len(found), count) == (MOST, 500)


def test_what_is_half_written_is_not_read() -> None:
    board = AssociationBoard(2)
    board.write(0, [one("a")])
    board.write(1, [one("b")])
    board._map[0:8] = (5).to_bytes(8, "little")  # as of a worker that was killed while it wrote
    assert board.read() == ([one("b")], 1)
    board.write(0, [one("c")])
    assert board.read() == ([one("c"), one("b")], 2)
