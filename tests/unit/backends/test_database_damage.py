"""A damaged embedded index is found out and set aside, and its peers are saved."""

from __future__ import annotations

from pathlib import Path

import pytest

from vesalius.app.wiring import SystemClock
from vesalius.backends.commitments_sql import SqlCommitments
from vesalius.backends.database import open_database
from vesalius.backends.database_damage import is_damaged, peers_in, set_aside, take_over
from vesalius.backends.index_sql import SqlIndex
from vesalius.backends.jobs_sql import SqlJobs
from vesalius.model.commitments import CommitmentRequest, Reference
from vesalius.model.entities import Peer
from vesalius.model.errors import IndexUnavailable
from vesalius.ports.jobs import Job

PEERS = [Peer("ct", "10.0.0.1", 104, "CT", rights=frozenset({"store"})), Peer("ws", "10.0.0.2", 11112, "WS")]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "index.db"
    index = SqlIndex(open_database(f"sqlite:///{path}"))
    for peer in PEERS:
        index.save_peer(peer)
    index.close()
    return path


def test_a_whole_or_missing_file_is_not_damaged(file: Path) -> None:
    assert not is_damaged(file)
    assert not is_damaged(file.with_name("none.db"))
    assert not file.with_name("none.db").exists()


def test_a_page_of_zeros_is_damage_and_the_peers_are_saved(file: Path) -> None:
    pages = file.stat().st_size // 4096
    with file.open("r+b") as raw:
        raw.seek((pages // 2) * 4096)
        raw.write(bytes(4096))
    assert is_damaged(file)
    aside = set_aside(file)
    assert not file.exists()
    assert {peer.name for peer in peers_in(aside)} <= {"ct", "ws"}


def test_what_is_still_to_be_done_is_taken_over(file: Path) -> None:
    before = open_database(f"sqlite:///{file}")
    jobs = SqlJobs(before, SystemClock())
    jobs.put(Job("test.work", {"number": 1}))
    request = CommitmentRequest("1.2.3", (Reference("1.2", "1.2.4"),), aet="CT")
    SqlCommitments(before).plan(request, SystemClock().utc(), lambda number: Job("test.ask", {"commitment": number}))
    kept = (jobs.list(), SqlCommitments(before).list())
    before.close()
    aside = set_aside(file)
    after = open_database(f"sqlite:///{file}")
    assert take_over(aside, after) == 4  # two jobs, a commitment and its instance
    assert (SqlJobs(after, SystemClock()).list(), SqlCommitments(after).list()) == kept
    after.close()


def test_peers_survive_damage_elsewhere(file: Path) -> None:
    assert sorted(peers_in(set_aside(file)), key=lambda peer: peer.name) == PEERS


@pytest.mark.parametrize("content", [b"no database at all" * 400, b"SQLite format 3\0" + b"\xff" * 5000])
def test_what_is_no_database_is_damage_and_has_no_peers(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "index.db"
    path.write_bytes(content)
    assert is_damaged(path)
    assert peers_in(path) == []


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    path.write_bytes(b"no database at all" * 400)
    with pytest.raises(IndexUnavailable) as caught:
        open_database(f"sqlite:///{path}")
    assert "vesalius reindex" in caught.value.hint
