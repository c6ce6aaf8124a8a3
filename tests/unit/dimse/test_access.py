"""Who may call and what they may do."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from vesalius.dimse import access
from vesalius.dimse.access import Caller, PeerBook
from vesalius.dimse.services import DimseSettings
from vesalius.model.entities import RIGHTS, Peer

CLOSED = DimseSettings()
OPEN = DimseSettings(allow_unknown=True)
CT1 = Peer("ct1", "10.0.0.1", 104, "CT1", frozenset({"store"}))
WS = Peer("ws", "10.0.0.2", 104, "WS", frozenset({"query", "retrieve"}), move_to=("ws", "ws2"))
WS2 = Peer("ws2", "10.0.0.3", 104, "WS2", frozenset({"retrieve"}))
ADMIN = Peer("admin", "10.0.0.4", 104, "ADMIN", frozenset(RIGHTS), move_to=("*",))
PEERS = (CT1, WS, WS2, ADMIN)


@pytest.mark.parametrize("title", ["", " ", "A\\B", "A\nB", "Ä", "X" * 17])
def test_titles_that_break_the_rules_are_nobodys(title: str) -> None:
    assert access.caller_of(title, "VESALIUS", "10.0.0.1", PEERS, OPEN) is None
    assert not access.is_called_here(title, DimseSettings(any_called_ae_title=True))


def test_a_called_title_is_ours_exactly_or_any_by_setting() -> None:
    assert access.is_called_here("VESALIUS", CLOSED)
    assert not access.is_called_here("vesalius", CLOSED)
    assert access.is_called_here("ANY-SCP", DimseSettings(any_called_ae_title=True))


def test_an_unknown_caller_is_nobody_unless_the_listener_is_open() -> None:
    assert access.caller_of("X", "VESALIUS", "127.0.0.1", PEERS, CLOSED) is None
    caller = access.caller_of("X", "VESALIUS", "127.0.0.1", PEERS, OPEN)
    assert caller is not None
    assert access.rights_of(caller, PEERS) == frozenset(RIGHTS)


def test_a_peer_has_its_rights_and_no_others_also_where_unknown_callers_have_all() -> None:
    for settings in (OPEN, CLOSED):
        caller = access.caller_of("CT1", "VESALIUS", "10.0.0.1", PEERS, settings)
        assert caller is not None
        assert access.rights_of(caller, PEERS) == {"store"}
        assert access.rights_of(caller, PEERS[1:]) == frozenset()


def test_an_address_is_compared_where_the_setting_says_so() -> None:
    strict = DimseSettings(check_addresses=True)
    assert access.caller_of("CT1", "VESALIUS", "10.0.0.1", PEERS, strict) is not None
    assert access.caller_of("CT1", "VESALIUS", "10.9.9.9", PEERS, strict) is None
    assert access.caller_of("CT1", "VESALIUS", "10.9.9.9", PEERS, CLOSED) is not None


@pytest.mark.parametrize(
    ("peer", "target", "allowed"),
    [
        (WS, WS, True),
        (WS, WS2, True),
        (WS, CT1, False),
        (WS2, WS2, True),
        (WS2, WS, False),
        (ADMIN, CT1, True),
    ],
)
def test_a_move_destination_must_be_allowed_by_name(peer: Peer, target: Peer, allowed: bool) -> None:
    caller = Caller(peer.aet, peer.host, "VESALIUS", peer)
    assert access.may_move_to(caller, target, PEERS) is allowed
    assert not access.may_move_to(caller, target, ())


def test_a_destination_is_a_configured_title_and_nothing_else() -> None:
    assert access.destination("WS ", PEERS) is WS
    assert access.destination("10.0.0.2", PEERS) is None


def test_a_title_in_a_log_line_has_no_control_characters() -> None:
    assert access.printable("A\x1b[2J\nB") == "A?[2J?B"


async def test_the_book_keeps_the_last_good_answer_when_its_source_fails() -> None:
    answers: list[object] = [{"ct1": CT1}, RuntimeError("database away"), {"ws": WS}]

    def source() -> dict[str, Peer]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[return-value]

    with ThreadPoolExecutor(1) as executor:
        book = PeerBook(source, executor, max_age=0.0)
        assert book.now() == ()
        assert await book.fresh() == (CT1,)
        assert await book.fresh() == (CT1,)
        book.now()
        await book.close()
        assert book._peers == (WS,)
        await asyncio.sleep(0)
