"""Questions to the worklist and messages about performed steps with bytes changed, cut and repeated at random.

Each is answered with a status that the list of answers has, none brings the association or the process down, nothing of
a refused one is kept, and a good one is taken afterwards.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.acceptance.mpps.test_statuses import create_values, done
from tests.acceptance.worklist.test_answers import ask
from tests.support.generate import uid
from tests.support.workflow_site import Workflow, running_workflow

from vesalius.dimse import n_mpps
from vesalius.dimse.client import Association
from vesalius.dimse.n_services import context_for
from vesalius.model.datasets import encode
from vesalius.model.orders import PerformedStep
from vesalius.standard.sop_classes import MODALITY_WORKLIST_FIND, PERFORMED_STEP
from vesalius.wire.dimse_commands import Command
from vesalius.wire.dimse_requests import c_find_rq, n_create_rq, n_set_rq

MUTATIONS = 250
GOOD = {"create": (0x0000,), "set": (0x0000, 0x0107), "find": (0x0000,)}


def mutated(data: bytes, chance: random.Random) -> bytes:
    raw = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        at = chance.randrange(len(raw) or 1)
        match chance.randrange(4):
            case 0 if raw:
                raw[at] = chance.randrange(256)
            case 1:
                del raw[at : at + chance.randrange(1, 12)]
            case 2:
                raw[at:at] = bytes(chance.choices(range(256), k=chance.randrange(1, 12)))
            case _:
                raw[at:at] = raw[at : at + chance.randrange(1, 60)]
    return bytes(raw)


async def final(assoc: Association, sop_class: str, command: Command, number: int, data: bytes) -> int:
    """The final status of a message with just these bytes as its data set."""
    context = context_for(assoc, sop_class)
    invocation = assoc.invoke(context, number)
    assoc.send(context, command.encode(), data)
    status = 0
    async for response in invocation.responses(60):
        status = response.status
    assoc.forget(invocation)
    return status


@pytest.mark.parametrize("what", ["create", "set", "find"])
async def test_mutated_messages_are_answered_and_a_good_one_is_taken_afterwards(
    tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(f"workflow {what}")
    step = uid("mutated", "step")
    values = {"create": create_values(patient={0x00100010: ("Doe^Jane",)}), "set": done("DISCONTINUED", "1.2.3.4"),
              "find": ask({0x00400002: ("20260101-20261231",)}, name="Doe*")}[what]  # fmt: skip
    data = encode(values, "1.2.840.10008.1.2.1", ())
    answered: dict[int, int] = {}
    async with running_workflow(tmp_path) as at, at.calling() as assoc:
        at.hospital.planned("4711", name="Doe^Jane")
        for turn in range(MUTATIONS):
            number = assoc.next_message_id()
            instance = f"{step}.{turn}"
            command = c_find_rq(number, MODALITY_WORKLIST_FIND)
            if what == "create":
                command = n_create_rq(number, PERFORMED_STEP, instance)
            elif what == "set":
                assert (await n_mpps.create(assoc, instance, create_values())).status == 0
                number = assoc.next_message_id()
                command = n_set_rq(number, PERFORMED_STEP, instance)
            sop_class = MODALITY_WORKLIST_FIND if what == "find" else PERFORMED_STEP
            status = await final(assoc, sop_class, command, number, mutated(data, chance))
            answered[status] = answered.get(status, 0) + 1
            if what == "create":
                assert (found(at, instance) is None) == (status not in GOOD[what])
        assert len(answered) > 1, answered
        assert (await n_mpps.create(assoc, f"{step}.9999", create_values())).status == 0
        assert (await n_mpps.update(assoc, f"{step}.9999", done())).status == 0
    logged = capsys.readouterr().out
    assert "operation-fault" not in logged and "c-find-fault" not in logged, "what is wrong is the sender's"


def found(at: Workflow, instance: str) -> PerformedStep | None:
    return at.hospital.ris.look(lambda view: view.first(PerformedStep, uid=instance))
