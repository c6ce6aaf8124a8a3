"""Telling others of performed steps: what each peer knows of a step, and what it is to be told next (PS3.4 annex F).

Theory. A peer is brought up to the state of the step, not through its history: what it has been told of is kept with
the step (`Forward`), and `following` says which one message comes next, N-CREATE or N-SET, until there is none. So it
does not matter how often a try is cut off: a message that was answered is never sent again, and one whose answer was
lost is sent again and recognised by its answer (0111 for an N-CREATE; for an N-SET that ends the step, that it cannot
be processed any more), so that the peer sees each change of state once. Changes that come faster than the peer takes
them are one N-SET; each names everything that may be set (F.7.2.2.2: sequences as a whole).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from vesalius.model import performed as table
from vesalius.model.entities import Values
from vesalius.model.orders import Forward, PerformedStep
from vesalius.model.steps import PerformedState
from vesalius.ports.ris import RisWork
from vesalius.ris.performed_steps import by_uid, values_of

DUTY = "forward-mpps"


@dataclass(frozen=True, slots=True)
class Message:
    """What a peer is told: N-CREATE, or N-SET. `version` is what it knows of afterwards."""

    create: bool
    values: Values
    version: int
    final: bool = False
    repeated: bool = False  # it was sent before, and no answer was heard


def following(work: RisWork, uid: str, peer: str, *, sending: bool) -> Message | None:
    """The next message; None: the peer knows everything. `sending`: it is noted as sent, before it is.

    Raises `NoSuchRecord`.
    """
    performed = by_uid(work, uid)
    known = _known(performed, peer)
    final = performed.state is not PerformedState.IN_PROGRESS
    values = values_of(performed)
    if not known.created:
        # One that ended meanwhile begins, for the peer, with all that is known but its end.
        version = performed.changes - 1 if final else performed.changes
        return Message(True, table.as_created(values), version)
    if known.sent >= performed.changes:
        return None
    if sending:
        _keep(work, performed, dataclasses.replace(known, open=performed.changes))
    return Message(False, table.changeable(values), performed.changes, final, repeated=known.open == performed.changes)


def told(work: RisWork, uid: str, peer: str, version: int) -> None:
    """The peer has taken a message."""
    performed = by_uid(work, uid)
    known = dataclasses.replace(_known(performed, peer), created=True, sent=version, open=-1, why="")
    _keep(work, performed, dataclasses.replace(known, state="told" if version >= performed.changes else "open"))


def refused(work: RisWork, uid: str, peer: str, why: str, *, unknown: bool = False, for_good: bool = False) -> None:
    """The peer has answered that it did not take it. `unknown`: it says that it does not know of the step."""
    performed = by_uid(work, uid)
    known = dataclasses.replace(_known(performed, peer), open=-1, why=why, state="failed" if for_good else "open")
    if unknown:
        known = dataclasses.replace(known, created=False, sent=-1)
    _keep(work, performed, known)


def _known(performed: PerformedStep, peer: str) -> Forward:
    return next((one for one in performed.forwards if one.peer == peer), Forward(peer))


def _keep(work: RisWork, performed: PerformedStep, known: Forward) -> None:
    others = tuple(one for one in performed.forwards if one.peer != known.peer)
    work.save(dataclasses.replace(performed, forwards=(*others, known)))
