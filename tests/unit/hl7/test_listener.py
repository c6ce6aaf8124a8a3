"""The listener with a handler that fails (L13), over a real socket in this process."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tests.support.hl7_site import Site, adt, said

from vesalius.hl7.context import Context, Outcome
from vesalius.hl7.handlers import HANDLERS
from vesalius.hl7.intake import Intake
from vesalius.hl7.listener import MllpServer
from vesalius.model.errors import IndexUnavailable
from vesalius.ports.hl7 import InState
from vesalius.ports.ris import RisWork
from vesalius.wire.hl7_message import parse
from vesalius.wire.mllp import BlockReader, block


class Talk:
    """One connection to a listener."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer, self.blocks = reader, writer, BlockReader(1 << 20)

    async def ask(self, text: str) -> str:
        self.writer.write(block(text.encode()))
        while True:
            data = await asyncio.wait_for(self.reader.read(65536), 20)
            assert data, "closed"
            if found := self.blocks.feed(data):
                return said(parse(found[0].decode()))


async def listening(intake: Intake) -> tuple[MllpServer, Talk]:
    server = MllpServer(intake)
    host, port = await server.start("127.0.0.1", 0, reuse_port=False)
    return server, Talk(*await asyncio.open_connection(host, port))


def failing(site: Site, error: Exception, times: list[int]) -> Intake:
    """An intake whose A05 changes something and then raises, as often as `times` says."""

    def act(work: RisWork, context: Context) -> Outcome:
        done = HANDLERS["ADT", "A04"](work, context)
        if times[0] > 0:
            times[0] -= 1
            raise error
        return done

    handlers = {**HANDLERS, ("ADT", "A05"): act}
    return Intake(site.settings, site.log, site.clock, site.rules, handlers)


async def test_l13_a_handler_that_fails_is_answered_ae_207_and_nothing_else_is_harmed(
    site: Site, capsys: object
) -> None:
    times = [1]
    server, his = await listening(failing(site, ZeroDivisionError("Doe^Jane is secret"), times))
    bad = adt("A05", "4711^^^H||Doe^Jane")
    assert await his.ask(bad) == "AE 207"
    assert site.patients() == [], "what it had changed is undone"
    assert await his.ask(adt("A04", "12^^^H||Roe^Jon")) == "AA", "the same connection goes on"
    assert await his.ask(bad) == "AA", "the same message again is tried again"
    assert len(site.patients()) == 2
    out = capsys.readouterr()  # type: ignore[attr-defined]
    assert "ZeroDivisionError" in out.out + out.err
    assert "error_id" in out.out + out.err
    assert "secret" not in out.out + out.err
    await server.stop(1.0)


async def test_l13_in_enhanced_mode_what_was_committed_to_is_tried_again_before_younger_ones(site: Site) -> None:
    times = [2]
    intake = failing(site, IndexUnavailable("the index database failed"), times)
    server, his = await listening(intake)
    order: list[str] = []

    def add(work: RisWork, context: Context) -> Outcome:
        order.append(context.message.control_id)
        return HANDLERS["ADT", "A05"](work, context)

    fields = {"f15": "AL", "f16": "NE"}
    assert await his.ask(adt("A05", "1^^^H||Doe^Jane", control_id="FIRST", **fields)) == "CA"
    assert await his.ask(adt("A04", "2^^^H||Roe^Jon", control_id="SECOND", **fields)) == "CA"
    await asyncio.sleep(0)
    for _ in range(200):
        if all(row.state is InState.DONE for row in site.log.incoming()):
            break
        site.clock.seconds += 5
        await asyncio.get_running_loop().run_in_executor(None, intake.recover)
    rows = {row.control_id: row for row in site.log.incoming()}
    assert {row.state for row in rows.values()} == {InState.DONE}
    assert rows["FIRST"].done_at < rows["SECOND"].done_at
    assert rows["FIRST"].attempts >= 3
    await server.stop(1.0)


async def test_a_message_that_fails_for_ever_is_given_to_a_person_and_the_others_go_on(site: Site) -> None:
    intake = failing(site, IndexUnavailable("never"), [10_000])
    server, his = await listening(intake)
    fields = {"f15": "AL", "f16": "NE"}
    assert await his.ask(adt("A05", "1^^^H||Doe^Jane", control_id="POISON", **fields)) == "CA"
    for _ in range(60):
        site.clock.seconds += 1200
        await asyncio.get_running_loop().run_in_executor(None, intake.recover)
    (row,) = site.log.incoming()
    assert (row.state, row.code, row.error[:3]) == (InState.REFUSED, "AE", "207")
    assert await his.ask(adt("A04", "2^^^H||Roe^Jon", **fields)) == "CA"
    await server.stop(1.0)
    assert [patient.identifier.value for patient in site.patients()] == ["2"]


async def test_a_stop_answers_what_is_in_hand_and_closes_what_is_idle(site: Site) -> None:
    began, go = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(work: RisWork, context: Context) -> Outcome:
        loop.call_soon_threadsafe(began.set)
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result(20)
        return Outcome()

    intake = Intake(site.settings, site.log, site.clock, site.rules, {**HANDLERS, ("ADT", "A04"): slow})
    server, busy = await listening(intake)
    idle = Talk(*await asyncio.open_connection(*server._servers[0].sockets[0].getsockname()[:2]))
    asking = asyncio.create_task(busy.ask(adt("A04", "1^^^H||X")))
    await asyncio.wait_for(began.wait(), 20)
    stopping = asyncio.create_task(server.stop(20.0))
    assert await asyncio.wait_for(idle.reader.read(), 20) == b""
    go.set()
    assert await asking == "AA"
    await stopping


async def test_more_connections_than_allowed_are_closed(site: Site) -> None:
    site.settings = replace(site.settings, connections=2)
    server, first = await listening(site.new_intake())
    address = server._servers[0].sockets[0].getsockname()[:2]
    second = Talk(*await asyncio.open_connection(*address))
    assert await second.ask(adt("A04", "1^^^H||X")) == "AA"
    third = await asyncio.open_connection(*address)
    assert await asyncio.wait_for(third[0].read(), 20) == b""
    assert await first.ask(adt("A04", "2^^^H||X")) == "AA"
    await server.stop(1.0)
