"""Limits are those of a process, memory for retrieves is bounded, and a stop waits only for what is under way."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from tests.support.dimse_site import Site, dataset_of, leftovers, running_site, until
from tests.support.generate import ct, part10, uid

from vesalius.dimse import c_get
from vesalius.dimse.c_store import Outgoing, store
from vesalius.dimse.client import Association
from vesalius.dimse.contexts import Proposal, Verb, class_of, for_get, for_verification
from vesalius.dimse.server import DimseServer
from vesalius.dimse.sub_operations import FETCH_WHOLE
from vesalius.model.entities import Level, Peer
from vesalius.model.errors import PeerUnreachable
from vesalius.model.query import Root
from vesalius.standard.transfer_syntaxes import EXPLICIT_LE, IMPLICIT_LE, RLE_LOSSLESS

STUDY = {0x00080052: ("STUDY",), 0x0020000D: (uid("study", 1),)}


class Watched(asyncio.Semaphore):
    """Counts who is inside."""

    taken = inside = most = 0

    async def acquire(self) -> bool:
        got = await super().acquire()
        self.taken += 1
        self.inside += 1
        self.most = max(self.most, self.inside)
        return got

    def release(self) -> None:
        self.inside -= 1
        super().release()


async def test_two_ports_of_one_process_share_its_limits(tmp_path: Path) -> None:
    async with running_site(tmp_path, associations=1) as site:
        second = DimseServer(site.services, pressure=site.server.pressure)
        host, port = await second.start("127.0.0.1", 0)
        async with Association.open(site.as_peer(), for_verification()):
            with pytest.raises(PeerUnreachable, match="2/3/2"):
                await Association.connect(Peer("second", host, port, "VESALIUS"), for_verification())
        await until(lambda: site.server.pressure.associations == 0)
        async with Association.open(Peer("second", host, port, "VESALIUS"), for_verification()):
            with pytest.raises(PeerUnreachable, match="2/3/2"):
                await Association.connect(site.as_peer(), for_verification())
        await second.stop(0)


async def _get_everything(there: Site, here: Site) -> None:
    async with Association.open(there.as_peer(), for_get(), ingest=here.ingest) as assoc:
        answers = [r async for r in c_get.get(assoc, STUDY)]
    assert answers[-1].status == 0
    raw = {here.blobs.read_verified(i.member) for i in here.index.select(Level.STUDY, studies=[uid("study", 1)])}
    assert raw == {there.blobs.read_verified(i.member) for i in there.index.select(Level.STUDY)}
    await until(lambda: not list(leftovers(there.server)))


@pytest.mark.parametrize("memory", [0, 3 << 20, 256 << 20], ids=["none", "for one", "enough"])
async def test_memory_for_retrieves_is_bounded_and_given_back(tmp_path: Path, memory: int) -> None:
    async with (
        running_site(tmp_path / "a", retrieve_memory=memory) as there,
        running_site(tmp_path / "b") as here,
    ):
        for number in range(1, 5):
            there.keep(ct(instance=number, rows=1024, columns=1024))
        await _get_everything(there, here)


async def test_large_instances_that_must_be_turned_take_turns(tmp_path: Path) -> None:
    """Two C-GETs at once that take nothing as it is stored: each instance is whole in memory, alone."""
    async with running_site(tmp_path / "a") as there, running_site(tmp_path / "b") as here:
        for number in (1, 2):
            ds = ct(study=number, rows=4096, columns=2560)
            assert len(ds.PixelData) > FETCH_WHOLE
            there.keep(ds, IMPLICIT_LE)
        contexts = (
            Proposal(class_of(Root.STUDY, Verb.GET)),
            Proposal(str(ds.SOPClassUID), (EXPLICIT_LE,), as_scp=True),
        )
        turn = Watched(1)
        there.server.pressure.large = turn

        async def fetch(number: int) -> int:
            keys = {0x00080052: ("STUDY",), 0x0020000D: (uid("study", number),)}
            async with Association.open(there.as_peer(), contexts, ingest=here.ingest) as assoc:
                return [r async for r in c_get.get(assoc, keys)][-1].status

        assert await asyncio.gather(fetch(1), fetch(2)) == [0, 0]
        assert (turn.taken, turn.most) == (2, 1)
        assert here.stored() == 2
        await until(lambda: not list(leftovers(there.server)))


async def test_a_stop_ends_idle_associations_at_once(tmp_path: Path) -> None:
    async with running_site(tmp_path) as site:
        idle = [await Association.connect(site.as_peer(), for_verification()) for _ in range(3)]
        silent = await asyncio.open_connection("127.0.0.1", site.port)  # never asks for anything
        await until(lambda: len(site.server.connections) == 4)
        began = time.monotonic()
        await site.server.stop(30.0)
        assert time.monotonic() - began < 28, "the grace of 30 s is for what runs"
        assert all("aborted by the peer (0/0)" in one.ended for one in idle)
        silent[1].close()


async def test_a_stop_lets_an_instance_on_its_way_arrive(tmp_path: Path) -> None:
    async with running_site(tmp_path) as site:
        ds = ct(rows=1024, columns=1024)
        data = dataset_of(part10(ds))
        contexts = [Proposal(str(ds.SOPClassUID), (EXPLICIT_LE, RLE_LOSSLESS))]
        assoc = await Association.connect(site.as_peer(), contexts)

        def slowly() -> object:
            for at in range(0, len(data), 300_000):
                time.sleep(0.3)
                yield data[at : at + 300_000]

        item = Outgoing(str(ds.SOPClassUID), str(ds.SOPInstanceUID), EXPLICIT_LE, slowly(), len(data))  # type: ignore[arg-type]
        sending = asyncio.create_task(store(assoc, item, executor=site.server._executor))
        (served,) = site.server.connections
        await until(served.is_mid_message)
        stopping = asyncio.create_task(site.server.stop(20.0))
        assert (await sending).status == 0
        assert site.stored() == 1
        await stopping
