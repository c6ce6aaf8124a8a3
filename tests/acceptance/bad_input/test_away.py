"""The database is away, or something breaks inside: every service says so with its code, and the association stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.support.dimse_site import attacked, dataset_of
from tests.support.generate import ct, part10, uid
from tests.support.raw_dicom import (
    CT,
    EXPLICIT,
    IMPLICIT,
    STUDY_FIND,
    STUDY_GET,
    STUDY_MOVE,
    VERIFICATION,
    RawPeer,
    context,
    element,
    find_rq,
    get_rq,
    move_rq,
    p_data,
    pdv,
    store_rq,
    text,
)
from tests.support.raw_dicom import uid as ui

from vesalius.backends.index_memory import MemoryIndex
from vesalius.model.entities import Arrival, Level, Peer, StoredInstance, Verdict
from vesalius.model.errors import IndexUnavailable
from vesalius.model.query import Match, Query

STORE, FIND, MOVE, GET, ECHO = 1, 3, 5, 7, 9
CONTEXTS = [
    context(STORE, CT, [EXPLICIT]),
    context(FIND, STUDY_FIND, [IMPLICIT]),
    context(MOVE, STUDY_MOVE, [IMPLICIT]),
    context(GET, STUDY_GET, [IMPLICIT]),
    context(ECHO, VERIFICATION, [IMPLICIT]),
]
KEYS = element(0x00080052, text("STUDY")) + element(0x0020000D, ui(uid("study", 1)))


class AwayIndex(MemoryIndex):
    """Raises `trouble` while there is some."""

    trouble: Exception | None = None

    def _look(self) -> None:
        if self.trouble is not None:
            raise self.trouble

    def known(self, sop_instances: Sequence[str]) -> dict[str, tuple[str, str]]:
        self._look()
        return super().known(sop_instances)

    def ingest(self, batch: Sequence[Arrival]) -> list[Verdict]:
        self._look()
        return super().ingest(batch)

    def find(self, query: Query) -> Iterator[list[Match]]:
        self._look()
        return super().find(query)

    def find_at_once(self, query: Query) -> list[Match] | None:
        self._look()
        return super().find_at_once(query)

    def select(self, level: Level, **keys: object) -> Iterator[StoredInstance]:
        self._look()
        return super().select(level, **keys)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("number", "command", "status"),
    [(FIND, find_rq(), 0xA700), (MOVE, move_rq("DEST"), 0xA701), (GET, get_rq(), 0xA701)],
    ids=["find", "move", "get"],
)
async def test_a_database_that_is_away_is_out_of_resources(
    tmp_path: Path, number: int, command: bytes, status: int
) -> None:
    index = AwayIndex()
    async with attacked(tmp_path, index=index) as site:
        site.add_peer("DEST", 1)
        peer = await RawPeer.associated(site.port, CONTEXTS)
        index.trouble = IndexUnavailable("the database does not answer")
        peer.send_message(number, command, KEYS)
        answer = await peer.message()
        assert answer.status == status
        assert answer.text(0x902)
        assert await peer.echo(ECHO) == 0
        index.trouble = None
        await peer.release()


async def test_nothing_is_acknowledged_while_the_database_is_away_and_storing_goes_on_after(tmp_path: Path) -> None:
    index = AwayIndex()
    async with attacked(tmp_path, index=index) as site:
        peer = await RawPeer.associated(site.port, CONTEXTS)
        index.trouble = IndexUnavailable("the database does not answer")
        raw = dataset_of(part10(ct()))
        peer.send_message(STORE, store_rq(CT, uid("instance", 1, 1, 1)), raw)
        assert (await peer.message()).status == 0xA700
        index.trouble = None
        assert site.stored() == 0
        peer.send_message(STORE, store_rq(CT, uid("instance", 1, 1, 1)), raw)
        assert (await peer.message()).status == 0
        assert site.stored() == 1
        await peer.release()


@pytest.mark.parametrize(
    ("number", "command"),
    [(FIND, find_rq()), (MOVE, move_rq("DEST")), (GET, get_rq())],
    ids=["find", "move", "get"],
)
async def test_a_fault_of_our_own_is_a_failure_without_its_text(tmp_path: Path, number: int, command: bytes) -> None:
    index = AwayIndex()
    async with attacked(tmp_path, index=index) as site:
        site.add_peer("DEST", 1)
        peer = await RawPeer.associated(site.port, CONTEXTS)
        index.trouble = RuntimeError("Doe^Jane broke it")
        peer.send_message(number, command, KEYS)
        answer = await peer.message()
        assert answer.status == 0xC001
        assert "Doe" not in answer.text(0x902)
        assert await peer.echo(ECHO) == 0
        index.trouble = None
        await peer.release()


async def test_known_peers_are_still_known_while_the_database_is_away(tmp_path: Path) -> None:
    async with attacked(tmp_path) as site:
        site.add_peer("CT1")
        one = await RawPeer.associated(site.port, CONTEXTS, calling=b"CT1")
        await one.release()

        def away() -> dict[str, Peer]:
            raise IndexUnavailable("away")

        site.server.book._source = away
        two = await RawPeer.associated(site.port, CONTEXTS, calling=b"CT1")
        assert await two.echo(ECHO) == 0
        await two.release()


async def test_d4_a_store_with_the_message_id_of_one_that_is_not_answered_yet_is_0210(tmp_path: Path) -> None:
    async with attacked(tmp_path) as site:
        peer = await RawPeer.associated(site.port, CONTEXTS)
        parts = []
        for n in (1, 2):
            parts.append(p_data(pdv(STORE, store_rq(CT, uid("instance", 1, 1, n), message_id=5), command=True)))
            parts.append(p_data(pdv(STORE, dataset_of(part10(ct(instance=n))), command=False)))
        peer.send(*parts)
        assert sorted([(await peer.message()).status, (await peer.message()).status]) == [0, 0x0210]
        assert site.stored() == 1
        assert await peer.echo(ECHO) == 0
        await peer.release()
