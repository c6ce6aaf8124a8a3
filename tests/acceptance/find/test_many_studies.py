"""Questions with very many answers: the first comes before the last row is read, and a cancel is heeded at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil
import pytest
from benchmarks import fill_index
from tests.support import raw_dicom as raw
from tests.support.patience import assert_within
from tests.support.raw_dicom import VERIFICATION
from tests.support.raw_peer import LEVEL, PATIENT_ROOT, RawScu, extended_negotiation, identifier
from tests.support.server import Server, running_server

IMPLICIT = "1.2.840.10008.1.2"
FIND = PATIENT_ROOT["find"]
KEYS = dict.fromkeys((0x00080020, 0x00080050, 0x00081030, 0x00080061, 0x00201208, 0x00100010, 0x0020000D), "")


@dataclass(frozen=True)
class Full:
    """An archive with an index of so many studies."""

    server: Server
    studies: int


@pytest.fixture(
    scope="module",
    params=[6_000, pytest.param(1_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])],
    ids=["thousands", "million"],
)
def full(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Full]:
    folder = tmp_path_factory.mktemp("many")
    fill_index.fill(folder / "data", request.param)
    with running_server(folder) as server:
        yield Full(server, request.param)


def associate(full: Full) -> RawScu:
    contexts = [(FIND, [IMPLICIT]), (VERIFICATION, [IMPLICIT])]
    return RawScu.associate(full.server.dimse_port, contexts, extra=extended_negotiation(FIND, b"\x01"))


def ask(scu: RawScu, **keys: str) -> int:
    """Send a question about every study; gives its Message ID."""
    number = scu.next_id()
    asked = {LEVEL: "STUDY", **KEYS, **{int(tag[1:], 16): value for tag, value in keys.items()}}
    scu.send_message(scu.context(FIND), raw.find_rq(FIND, number), identifier(asked))
    return number


def test_the_first_answer_comes_long_before_the_last(full: Full) -> None:
    with associate(full) as scu:
        began = time.monotonic()
        ask(scu)
        assert scu.message().status == 0xFF00
        first = time.monotonic() - began
        answers = 1
        until = min(full.studies, 20_000)
        while answers < until:
            assert scu.message().status == 0xFF00
            answers += 1
        some = time.monotonic() - began
        if full.studies > until:
            scu.send_message(scu.context(FIND), raw.cancel_rq(1))
        while scu.message().status == 0xFF00:
            answers += 1
        assert answers <= full.studies
    assert first < 0.5
    assert first < some / 5


def test_a_cancel_ends_the_answers_within_a_second(full: Full) -> None:
    with associate(full) as scu:
        number = ask(scu)
        assert scu.message().status == 0xFF00
        began = time.monotonic()
        scu.send_message(scu.context(FIND), raw.cancel_rq(number))
        answers = 1
        while (message := scu.message()).status == 0xFF00:
            answers += 1
        assert message.status == 0xFE00
        assert not message.dataset
        assert_within(began, 1)
        assert answers < full.studies
        assert scu.echo() == 0


def test_a_cancel_ends_a_search_that_finds_little_within_a_second(full: Full) -> None:
    with associate(full) as scu:
        number = ask(scu, _00081030="*WITH*CONTR?ST*X*")
        began = time.monotonic()
        scu.send_message(scu.context(FIND), raw.cancel_rq(number))
        answers = 0
        while (message := scu.message()).status == 0xFF00:
            answers += 1
        assert message.status in (0xFE00, 0x0000)
        assert_within(began, 1)


def test_another_association_is_served_while_one_reads_everything(full: Full) -> None:
    with associate(full) as scu, associate(full) as other:
        number = ask(scu)
        assert scu.message().status == 0xFF00
        began = time.monotonic()
        assert other.echo() == 0
        assert_within(began, 0.5)
        scu.send_message(scu.context(FIND), raw.cancel_rq(number))
        while scu.message().status == 0xFF00:
            continue


def test_a_requester_that_stops_reading_does_not_grow_the_server(full: Full) -> None:
    workers = psutil.Process(full.server.process.pid).children(recursive=True)
    with associate(full) as scu:
        before = sum(p.memory_info().rss for p in workers)
        number = ask(scu)
        time.sleep(1.0)
        after = sum(p.memory_info().rss for p in workers)
        scu.send_message(scu.context(FIND), raw.cancel_rq(number))
        while scu.message().status == 0xFF00:
            continue
    assert after - before < 32 << 20
