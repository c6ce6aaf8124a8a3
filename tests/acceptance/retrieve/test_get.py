"""C-GET in both roles, byte for byte."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.dcmtk import run
from tests.support.dimse_site import dataset_of, running_site
from tests.support.generate import ct, part10, uid

from vesalius.dimse import c_get, c_store
from vesalius.dimse.c_store import Outgoing
from vesalius.dimse.client import Association
from vesalius.dimse.contexts import for_get, for_storing
from vesalius.model.entities import Level


def study(number: object = 1) -> dict[int, tuple[str, ...]]:
    return {0x00080052: ("STUDY",), 0x0020000D: (uid("study", number),)}


async def test_our_client_gets_a_study_from_our_server_byte_for_byte(tmp_path: Path) -> None:
    async with running_site(tmp_path / "a") as there, running_site(tmp_path / "b") as here:
        for n in range(1, 21):
            there.keep(ct(instance=n))
        async with Association.open(there.as_peer(), for_get(), ingest=here.ingest) as assoc:
            answers = [r async for r in c_get.get(assoc, study())]
        assert answers[-1].status == 0
        assert (answers[-1].command.completed, answers[-1].command.failed) == (20, 0)
        assert here.stored() == 20
        for instance in here.index.select(Level.STUDY, studies=[uid("study", 1)]):
            raw = here.blobs.read_verified(instance.member)
            assert raw in {dataset_of(part10(ct(instance=n))) for n in range(1, 21)}


async def test_getscu_and_storescu_of_dcmtk(tmp_path: Path) -> None:
    async with running_site(tmp_path / "a") as site:
        files = []
        for n in range(1, 6):
            file = tmp_path / f"{n}.dcm"
            file.write_bytes(part10(ct(instance=n)))
            files.append(file)
        await asyncio.to_thread(run, "storescu", "-aec", "VESALIUS", "127.0.0.1", str(site.port), *files)
        assert site.stored() == 5
        out = tmp_path / "out"
        out.mkdir()
        await asyncio.to_thread(
            run, "getscu", "-S", "-aec", "VESALIUS", "-od", out, "-k", "0008,0052=STUDY",
            "-k", f"0020,000d={uid('study', 1)}", "127.0.0.1", str(site.port),
        )  # fmt: skip
        got = {dataset_of(f.read_bytes()) for f in out.iterdir()}
        assert len(got) == 5


async def test_our_client_stores_within_the_asynchronous_window(tmp_path: Path) -> None:
    async with running_site(tmp_path / "a") as source, running_site(tmp_path / "b") as site:
        for n in range(1, 31):
            source.keep(ct(instance=n))
        instances = list(source.index.select(Level.STUDY, studies=[uid("study", 1)]))
        ((proposals, _),) = for_storing(instances)
        async with Association.open(site.as_peer(), proposals, async_window=8) as assoc:
            assert assoc.window == 8
            outgoing = [
                Outgoing(i.sop_class, i.sop_instance, i.transfer_syntax, raw, len(raw))
                for i in instances
                if (raw := source.blobs.read_verified(i.member))
            ]
            for at in range(0, 30, 8):
                results = await asyncio.gather(*(c_store.store(assoc, o) for o in outgoing[at : at + 8]))
                assert {r.status for r in results} == {0}
        assert site.stored() == 30
