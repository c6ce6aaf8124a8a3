"""C-FIND on the wire: repertoires, streaming, cancel."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.dimse_site import running_site, until
from tests.support.generate import ct
from tests.support.patience import assert_within
from tests.support.raw_dicom import (
    IMPLICIT,
    STUDY_FIND,
    VERIFICATION,
    RawPeer,
    cancel_rq,
    context,
    element,
    find_rq,
    parse_elements,
    text,
)

from vesalius.backends.index_memory import MemoryIndex
from vesalius.dimse import c_find
from vesalius.dimse.client import Association
from vesalius.dimse.contexts import for_find
from vesalius.model.entities import Level
from vesalius.model.query import Match, Options, Query
from vesalius.ports.index import HANDFUL

CONTEXTS = [context(1, STUDY_FIND, [IMPLICIT]), context(3, VERIFICATION, [IMPLICIT])]
NAME, PATIENT_ID, STUDY_UID = 0x00100010, 0x00100020, 0x0020000D


class EndlessIndex(MemoryIndex):
    """A million studies, made as they are asked for."""

    def __init__(self, pause: float = 0.0) -> None:
        super().__init__()
        self.pages = 0
        self._pause = pause

    def find(self, query: Query) -> Iterator[list[Match]]:
        for page in range(10_000):
            self.pages += 1
            time.sleep(self._pause)
            yield [Match({STUDY_UID: (f"1.2.{page}.{n}",), NAME: ("Doe^J",)}) for n in range(100)]


class WatchedIndex(MemoryIndex):
    """Knows how it was asked, and in which thread."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, bool]] = []

    def find(self, query: Query) -> Iterator[list[Match]]:
        self._note("by pages")
        yield from super().find(query)

    def find_at_once(self, query: Query) -> list[Match] | None:
        self._note("at once")
        return super().find_at_once(query)

    def _note(self, how: str) -> None:
        self.asked.append((how, threading.current_thread() is threading.main_thread()))


def keys(*given: tuple[int, bytes], level: str = "STUDY") -> bytes:
    elements = {0x00080052: text(level), STUDY_UID: b"", NAME: b"", **dict(given)}
    return b"".join(element(tag, value) for tag, value in sorted(elements.items()))


@pytest.mark.parametrize(
    ("charset", "asked", "answered_in", "name"),
    [
        (b"ISO_IR 100", "Müll*".encode("latin-1"), b"ISO_IR 100", "Müller^Jörg".encode("latin-1")),
        (b"", b"*", b"ISO_IR 192", "Müller^Jörg".encode()),
        (b"ISO_IR 144", b"*", b"ISO_IR 192", "Müller^Jörg".encode()),
        (b"ISO_IR 192", "müll*".encode(), b"ISO_IR 192", "Müller^Jörg".encode()),
    ],
    ids=["latin-1", "none", "cyrillic", "utf-8"],
)
async def test_queries_are_understood_and_answered_in_a_repertoire_the_requester_reads(
    tmp_path: Path, charset: bytes, asked: bytes, answered_in: bytes, name: bytes
) -> None:
    async with running_site(tmp_path) as site:
        site.keep(ct(patient_name="Müller^Jörg"))
        site.keep(ct(2, patient_id="P2", patient_name="Other"))
        peer = await RawPeer.associated(site.port, CONTEXTS)
        given = [(NAME, asked + b" " * (len(asked) % 2))]
        if charset:
            given.append((0x00080005, charset))
        peer.send_message(1, find_rq(), keys(*given))
        answers = []
        while (message := await peer.message()).status == 0xFF00:
            answers.append(parse_elements(message.dataset))
        found = next(a for a in answers if a[NAME].startswith(b"M"))
        assert found[NAME].rstrip() == name
        assert found[0x00080005].rstrip() == answered_in
        await peer.release()


async def test_an_answer_in_plain_ascii_names_no_repertoire(tmp_path: Path) -> None:
    async with running_site(tmp_path) as site:
        site.keep(ct())
        peer = await RawPeer.associated(site.port, CONTEXTS)
        peer.send_message(1, find_rq(), keys())
        answer = parse_elements((await peer.message()).dataset)
        assert answer.get(0x00080005, b"") == b""
        assert answer[0x00080052].rstrip() == b"STUDY"
        assert answer[0x00080054].rstrip() == b"VESALIUS"
        await peer.message()
        await peer.release()


async def answers(peer: RawPeer, identifier: bytes) -> list[dict[int, bytes]]:
    """Every answer to one question; the last response must be success, without a data set."""
    peer.send_message(1, find_rq(), identifier)
    found = []
    while (message := await peer.message()).status == 0xFF00:
        found.append(parse_elements(message.dataset))
    assert message.status == 0
    assert not message.dataset
    return found


async def test_a_few_answers_are_found_without_a_change_of_thread_and_many_are_not(tmp_path: Path) -> None:
    index = WatchedIndex()
    async with running_site(tmp_path, index=index) as site:
        for number in range(HANDFUL + 5):
            site.keep(ct(number, patient_id="MANY" if number else "ONE"))
        peer = await RawPeer.associated(site.port, CONTEXTS)
        index.asked.clear()
        (one,) = await answers(peer, keys((PATIENT_ID, b"ONE ")))
        assert one[PATIENT_ID].rstrip() == b"ONE"
        assert await answers(peer, keys((PATIENT_ID, b"NONE"))) == []
        assert {how for how, in_loop in index.asked if in_loop} == {"at once", "by pages"}
        assert all(in_loop for _, in_loop in index.asked)
        index.asked.clear()
        assert len(await answers(peer, keys((PATIENT_ID, b"MANY")))) == HANDFUL + 4
        assert index.asked[-1] == ("by pages", False)
        index.asked.clear()
        uids = b"\\".join(b"1.2.3.%d" % number for number in range(1000))
        assert await answers(peer, keys((STUDY_UID, uids + b"\0" * (len(uids) % 2)))) == []
        assert index.asked == [("by pages", False)], "a long question is not even read in the event loop"
        await peer.release()


async def test_the_first_answer_comes_before_the_last_row_and_cancel_works_within_a_second(tmp_path: Path) -> None:
    index = EndlessIndex()
    async with running_site(tmp_path, index=index) as site:
        peer = await RawPeer.associated(site.port, CONTEXTS)
        peer.send_message(1, find_rq(message_id=5), keys())
        assert (await peer.message(1)).status == 0xFF00
        assert index.pages < 9_000
        peer.send_message(1, cancel_rq(5))
        began = time.monotonic()
        while (message := await peer.message()).status == 0xFF00:
            pass
        assert message.status == 0xFE00
        assert_within(began, 1)
        assert not message.dataset
        assert await peer.echo(3) == 0
        await peer.release()
        assert index.pages < 9_000


async def test_cancel_works_within_a_second_while_pages_are_slow(tmp_path: Path) -> None:
    index = EndlessIndex(pause=0.1)
    async with running_site(tmp_path, index=index) as site:
        peer = await RawPeer.associated(site.port, CONTEXTS)
        peer.send_message(1, find_rq(message_id=5), keys())
        await peer.message(1)
        peer.send_message(1, cancel_rq(5))
        began = time.monotonic()
        while (message := await peer.message()).status == 0xFF00:
            pass
        assert message.status == 0xFE00
        assert_within(began, 1)
        await peer.release()


async def test_a_lost_requester_ends_its_query(tmp_path: Path) -> None:
    index = EndlessIndex()
    async with running_site(tmp_path, index=index) as site:
        peer = await RawPeer.associated(site.port, CONTEXTS)
        peer.send_message(1, find_rq(message_id=5), keys())
        await peer.message(1)
        peer.reset()
        await until(lambda: not site.server.connections)
        await asyncio.sleep(0.2)
        pages = index.pages
        await asyncio.sleep(0.3)
        assert index.pages <= pages + 1, "the page that was being read is the last"


async def test_two_queries_of_one_association_are_answered_side_by_side(tmp_path: Path) -> None:
    async with running_site(tmp_path) as site:
        for n in range(30):
            site.keep(ct(n))
        peer = await RawPeer.associated(site.port, CONTEXTS)
        peer.send_message(1, find_rq(message_id=1), keys())
        peer.send_message(1, find_rq(message_id=2), keys())
        seen: dict[int, list[int]] = {1: [], 2: []}
        while [s[-1:] for s in seen.values()] != [[0], [0]]:
            message = await peer.message()
            seen[message.number(0x120)].append(message.status)
        assert [len(s) for s in seen.values()] == [31, 31]
        await peer.release()


async def test_our_client_leaving_early_cancels_and_the_association_goes_on(tmp_path: Path) -> None:
    index = EndlessIndex()
    async with (
        running_site(tmp_path, index=index) as site,
        Association.open(site.as_peer(), for_find(options=Options(fuzzy_names=True))) as assoc,
    ):
        identifier = {0x00080052: (Level.STUDY.name,), STUDY_UID: (), NAME: ()}
        matches = c_find.find(assoc, identifier)
        assert [(await anext(matches))[NAME], (await anext(matches))[NAME]] == [("Doe^J",), ("Doe^J",)]
        await matches.aclose()  # type: ignore[attr-defined]
        end = time.monotonic() + 2
        while not site.seen.done and time.monotonic() < end:
            await asyncio.sleep(0.01)
        assert site.seen.done == [("C-FIND", 0xFE00)]
