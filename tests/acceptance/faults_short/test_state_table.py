"""P18: every PDU type in every state of the acceptor, over the network, against PS3.8 Table 9-10.

The table below is typed from the standard, not taken from the product. Some states last for microseconds only, so the
PDUs that lead there go out in one segment with the one that is tested.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.support import raw_dicom as raw
from tests.support.load import instance
from tests.support.raw_dicom import RawPeer, pdu
from tests.support.server import Server, start_server

ARTIM = 1.0
INVALID, CLOSED, SILENCE = 0x08, -1, -2

# Events 6, 3, 4, 10, 12, 13, 16 of Table 9-10, then 19 (invalid PDU), 17 (connection closed) and 18 (ARTIM).
EVENTS = {
    "A-ASSOCIATE-RQ": raw.RQ,
    "A-ASSOCIATE-AC": raw.AC,
    "A-ASSOCIATE-RJ": raw.RJ,
    "P-DATA-TF": raw.DATA,
    "A-RELEASE-RQ": raw.RELEASE_RQ,
    "A-RELEASE-RP": raw.RELEASE_RP,
    "A-ABORT": raw.ABORT,
    "invalid": INVALID,
    "closed": CLOSED,
    "ARTIM": SILENCE,
}
TABLE = """
                  Sta2  Sta3  Sta6  Sta8  Sta13
A-ASSOCIATE-RQ    AE-6  AA-8  AA-8  AA-8  AA-7
A-ASSOCIATE-AC    AA-1  AA-8  AA-8  AA-8  AA-6
A-ASSOCIATE-RJ    AA-1  AA-8  AA-8  AA-8  AA-6
P-DATA-TF         AA-1  AA-8  DT-2  AA-8  AA-6
A-RELEASE-RQ      AA-1  AA-8  AR-2  AA-8  AA-6
A-RELEASE-RP      AA-1  AA-8  AA-8  AA-8  AA-6
A-ABORT           AA-2  AA-3  AA-3  AA-3  AA-2
invalid           AA-1  AA-8  AA-8  AA-8  AA-7
closed            AA-5  AA-4  AA-4  AA-4  AR-5
ARTIM             AA-2  .     .     .     AA-2
"""


@dataclass(frozen=True)
class Cell:
    state: str
    event: str
    action: str

    def __str__(self) -> str:
        return f"{self.state}-{self.event}-{self.action}"


def cells() -> Iterator[Cell]:
    head, *rows = TABLE.strip().splitlines()
    for row in rows:
        event, *actions = row.split()
        for state, action in zip(head.split(), actions, strict=True):
            if action != ".":
                yield Cell(state, event, action)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    config = f"[limits]\nartim = {ARTIM}\nidle = 20\nnetwork = 20\n"
    one = start_server(tmp_path_factory.mktemp("state-table") / "data", config=config)
    yield one
    assert one.stop() == 0
    assert "Traceback" not in one.log_text(), one.log_text()[-4000:]


CONTEXTS = [raw.context(1, raw.VERIFICATION, [raw.IMPLICIT]), raw.context(3, raw.CT, [raw.EXPLICIT])]
RQ = raw.associate_rq(CONTEXTS)


def provocation(event: str) -> bytes:
    """The PDU of an event, well-formed where it can be."""
    kind = EVENTS[event]
    if kind == raw.RQ:
        return RQ
    if kind == raw.AC:
        return raw.associate_ac(RQ[6:], {1: raw.IMPLICIT, 3: raw.EXPLICIT})
    if kind == raw.RJ:
        return pdu(raw.RJ, bytes((0, 1, 1, 1)))
    if kind == raw.DATA:
        return raw.p_data(raw.pdv(1, raw.echo_rq(9), command=True))
    return pdu(kind, bytes(4))


def lead_to(state: str, serial: int) -> bytes:
    """What a peer says to bring the acceptor into a state and keep it there for what follows at once."""
    if state == "Sta2":
        return b""
    if state == "Sta13":
        return raw.associate_rq(CONTEXTS, called=b"NOBODY")
    if state == "Sta8":
        one = instance("state-table", 1, serial)
        head = raw.p_data(raw.pdv(3, raw.store_rq(raw.CT, one.uid), command=True))
        body = raw.p_data(raw.pdv(3, one.dataset, command=False))
        return head + body + pdu(raw.RELEASE_RQ, bytes(4))
    return RQ if state == "Sta3" else b""


async def play(server: Server, cell: Cell, serial: int) -> None:
    """Raises `AssertionError` where the answer is not the table's."""
    peer = await RawPeer.connect(server.dimse_port)
    try:
        if cell.state in ("Sta6", "Sta8"):
            peer.send(RQ)
            kind, _ = await peer.pdu()
            assert kind == raw.AC
        before = lead_to(cell.state, serial)
        if cell.state == "Sta13":
            peer.send(before)
            kind, _ = await peer.pdu()
            assert kind == raw.RJ
            before = b""
        began = asyncio.get_running_loop().time()
        if EVENTS[cell.event] == CLOSED:
            if before:
                peer.send(before)
            peer.reset() if serial % 2 else peer.writer.close()
            return  # what is to be seen is that nothing stays: `test_nothing_stays_of_all_this`
        if EVENTS[cell.event] != SILENCE:
            peer.send(before + provocation(cell.event))
        await expect(peer, cell, began)
    finally:
        peer.writer.close()


def aborts(heard: list[tuple[int, bytes]]) -> list[tuple[int, int]]:
    """(source, reason) of each A-ABORT."""
    return [(body[2], body[3]) for kind, body in heard if kind == raw.ABORT]


async def expect(peer: RawPeer, cell: Cell, began: float) -> None:
    loop = asyncio.get_running_loop()
    action = cell.action
    if action == "AE-6":
        assert (await peer.pdu())[0] == raw.AC
        await peer.release()
    elif action == "DT-2":
        assert (await peer.message()).status == 0
        await peer.release()
    elif action == "AR-2":
        assert (await peer.pdu())[0] == raw.RELEASE_RP
    elif action == "AA-1":  # A-ABORT of the service user, then ARTIM
        heard = await peer.closed(ARTIM + 4)
        assert [kind for kind, _ in heard] == [raw.ABORT], heard
        assert aborts(heard) == [(0, 0)]
    elif action == "AA-8":  # A-ABORT of the service provider, with the reason
        heard = await peer.closed(ARTIM + 4)
        reason = 1 if cell.event == "invalid" else 2
        assert aborts(heard) == [(2, reason)], heard
        assert heard[-1][0] == raw.ABORT, heard
    elif action in ("AA-2", "AA-3"):  # close, without a word
        heard = await peer.closed(ARTIM + 4)
        assert not aborts(heard), heard
        waited = loop.time() - began
        if cell.event == "ARTIM":
            assert ARTIM * 0.5 < waited < ARTIM + 3, waited
        else:
            assert waited < ARTIM * 0.9, waited
    elif action == "AA-6":  # ignored; ARTIM closes
        heard = await peer.closed(ARTIM + 4)
        assert not heard, heard
    elif action == "AA-7":  # A-ABORT again
        heard = await peer.closed(ARTIM + 4)
        assert len(aborts(heard)) == 1, heard


async def test_every_pdu_in_every_state_is_answered_as_in_the_table(server: Server) -> None:
    all_cells = list(cells())
    assert len(all_cells) == 47
    outcomes = await asyncio.gather(
        *(play(server, cell, serial) for serial, cell in enumerate(all_cells)), return_exceptions=True
    )
    wrong = {str(cell): outcome for cell, outcome in zip(all_cells, outcomes, strict=True) if outcome is not None}
    assert not wrong, "\n".join(f"{cell}: {outcome!r}" for cell, outcome in wrong.items())


async def test_nothing_stays_of_all_this(server: Server) -> None:
    end = asyncio.get_running_loop().time() + 10
    while True:
        _, text = server.get("/metrics")
        if "vesalius_associations_open 0.0" in text:
            break
        assert asyncio.get_running_loop().time() < end, [line for line in text.splitlines() if "open" in line]
        await asyncio.sleep(0.1)
    peer = await RawPeer.associated(server.dimse_port, CONTEXTS)
    assert await peer.echo() == 0
    await peer.release()


def test_the_lengths_of_the_provocations_are_right() -> None:
    for event, kind in EVENTS.items():
        if kind > 0:
            one = provocation(event)
            assert struct.unpack(">I", one[2:6])[0] == len(one) - 6
