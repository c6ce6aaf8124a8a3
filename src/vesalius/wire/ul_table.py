"""The state table of the upper layer, as printed (PS3.8 Table 9-10), parsed once when imported.

What this promises: `TABLE_9_10` holds the 123 filled cells of the standard and nothing else; `EXTENSIONS`
holds every cell that we fill beyond it, each with its reason; `ACTIONS` holds every action of Tables 9-6 to
9-9 with the states that it may lead to. `ul_machine` walks these and decides nothing by itself, and the
conformance statement prints them. A dot is a cell that the standard does not define.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


class State(enum.Enum):
    """States (PS3.8 Tables 9-1 to 9-5)."""

    STA1 = "Sta1"  # idle, no connection
    STA2 = "Sta2"  # connection open, awaiting A-ASSOCIATE-RQ
    STA3 = "Sta3"  # awaiting local A-ASSOCIATE response
    STA4 = "Sta4"  # awaiting transport connection to complete
    STA5 = "Sta5"  # awaiting A-ASSOCIATE-AC or -RJ
    STA6 = "Sta6"  # association established, ready for data transfer
    STA7 = "Sta7"  # awaiting A-RELEASE-RP
    STA8 = "Sta8"  # awaiting local A-RELEASE response
    STA9 = "Sta9"  # release collision, requestor, awaiting local A-RELEASE response
    STA10 = "Sta10"  # release collision, acceptor, awaiting A-RELEASE-RP
    STA11 = "Sta11"  # release collision, requestor, awaiting A-RELEASE-RP
    STA12 = "Sta12"  # release collision, acceptor, awaiting local A-RELEASE response
    STA13 = "Sta13"  # awaiting transport connection close


class Cause(enum.Enum):
    """The events of the table; `Event` is what the user is told."""

    EVT1 = "Evt1"  # A-ASSOCIATE request (local user)
    EVT2 = "Evt2"  # transport connection confirmed
    EVT3 = "Evt3"  # A-ASSOCIATE-AC PDU received
    EVT4 = "Evt4"  # A-ASSOCIATE-RJ PDU received
    EVT5 = "Evt5"  # transport connection indication
    EVT6 = "Evt6"  # A-ASSOCIATE-RQ PDU received
    EVT7 = "Evt7"  # A-ASSOCIATE response, accept (local user)
    EVT8 = "Evt8"  # A-ASSOCIATE response, reject (local user)
    EVT9 = "Evt9"  # P-DATA request (local user)
    EVT10 = "Evt10"  # P-DATA-TF PDU received
    EVT11 = "Evt11"  # A-RELEASE request (local user)
    EVT12 = "Evt12"  # A-RELEASE-RQ PDU received
    EVT13 = "Evt13"  # A-RELEASE-RP PDU received
    EVT14 = "Evt14"  # A-RELEASE response (local user)
    EVT15 = "Evt15"  # A-ABORT request (local user)
    EVT16 = "Evt16"  # A-ABORT PDU received
    EVT17 = "Evt17"  # transport connection closed
    EVT18 = "Evt18"  # ARTIM timer expired
    EVT19 = "Evt19"  # unrecognized or invalid PDU received


class Role(enum.Enum):
    """Which side asked for the association; it decides who answers first in a release collision."""

    REQUESTOR = "requestor"
    ACCEPTOR = "acceptor"


TABLE_9_10 = """
        Sta1  Sta2  Sta3  Sta4  Sta5  Sta6  Sta7  Sta8  Sta9 Sta10 Sta11 Sta12 Sta13
Evt1    AE-1     .     .     .     .     .     .     .     .     .     .     .     .
Evt2       .     .     .  AE-2     .     .     .     .     .     .     .     .     .
Evt3       .  AA-1  AA-8     .  AE-3  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
Evt4       .  AA-1  AA-8     .  AE-4  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
Evt5    AE-5     .     .     .     .     .     .     .     .     .     .     .     .
Evt6       .  AE-6  AA-8     .  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-7
Evt7       .     .  AE-7     .     .     .     .     .     .     .     .     .     .
Evt8       .     .  AE-8     .     .     .     .     .     .     .     .     .     .
Evt9       .     .     .     .     .  DT-1     .  AR-7     .     .     .     .     .
Evt10      .  AA-1  AA-8     .  AA-8  DT-2  AR-6  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
Evt11      .     .     .     .     .  AR-1     .     .     .     .     .     .     .
Evt12      .  AA-1  AA-8     .  AA-8  AR-2  AR-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
Evt13      .  AA-1  AA-8     .  AA-8  AA-8  AR-3  AA-8  AA-8 AR-10  AR-3  AA-8  AA-6
Evt14      .     .     .     .     .     .     .  AR-4  AR-9     .     .  AR-4     .
Evt15      .     .  AA-1  AA-2  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1     .
Evt16      .  AA-2  AA-3     .  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-2
Evt17      .  AA-5  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AR-5
Evt18      .  AA-2     .     .     .     .     .     .     .     .     .     .  AA-2
Evt19      .  AA-1  AA-8     .  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-7
"""


@dataclass(frozen=True, slots=True)
class Extension:
    """A cell that the standard leaves blank and we fill on purpose."""

    cause: Cause
    state: State
    action: str
    reason: str


EXTENSIONS: tuple[Extension, ...] = (
    Extension(
        Cause.EVT18,
        State.STA5,
        "AA-2",
        "A peer that accepts the connection and never answers the A-ASSOCIATE-RQ must not hang the requestor: "
        "ARTIM runs in Sta5 too.",
    ),
    Extension(
        Cause.EVT18,
        State.STA7,
        "AA-2",
        "A peer that never answers the A-RELEASE-RQ must not hang either side: ARTIM runs in Sta7 too, "
        "anew with every P-DATA-TF that still arrives.",
    ),
)


@dataclass(frozen=True, slots=True)
class Action:
    """An action of PS3.8 Tables 9-6 to 9-9: what it does, and the state or the two states it leads to."""

    name: str
    text: str
    next_states: tuple[State, ...]


def _action(name: str, text: str, *states: State) -> tuple[str, Action]:
    return name, Action(name, text, states)


_S = State
ACTIONS: Mapping[str, Action] = MappingProxyType(
    dict(
        (
            _action("AE-1", "Issue TRANSPORT CONNECT request primitive", _S.STA4),
            _action("AE-2", "Send A-ASSOCIATE-RQ PDU", _S.STA5),
            _action("AE-3", "Issue A-ASSOCIATE confirmation (accept) primitive", _S.STA6),
            _action("AE-4", "Issue A-ASSOCIATE confirmation (reject) primitive, close transport connection", _S.STA1),
            _action("AE-5", "Issue transport connection response primitive, start ARTIM timer", _S.STA2),
            _action(
                "AE-6",
                "Stop ARTIM timer; if the request is acceptable by the service provider, issue A-ASSOCIATE "
                "indication, otherwise send A-ASSOCIATE-RJ PDU and start ARTIM timer",
                _S.STA3,
                _S.STA13,
            ),
            _action("AE-7", "Send A-ASSOCIATE-AC PDU", _S.STA6),
            _action("AE-8", "Send A-ASSOCIATE-RJ PDU, start ARTIM timer", _S.STA13),
            _action("DT-1", "Send P-DATA-TF PDU", _S.STA6),
            _action("DT-2", "Issue P-DATA indication primitive", _S.STA6),
            _action("AR-1", "Send A-RELEASE-RQ PDU", _S.STA7),
            _action("AR-2", "Issue A-RELEASE indication primitive", _S.STA8),
            _action("AR-3", "Issue A-RELEASE confirmation primitive, close transport connection", _S.STA1),
            _action("AR-4", "Send A-RELEASE-RP PDU, start ARTIM timer", _S.STA13),
            _action("AR-5", "Stop ARTIM timer", _S.STA1),
            _action("AR-6", "Issue P-DATA indication primitive", _S.STA7),
            _action("AR-7", "Send P-DATA-TF PDU", _S.STA8),
            _action(
                "AR-8",
                "Issue A-RELEASE indication primitive (release collision): requestor Sta9, acceptor Sta10",
                _S.STA9,
                _S.STA10,
            ),
            _action("AR-9", "Send A-RELEASE-RP PDU", _S.STA11),
            _action("AR-10", "Issue A-RELEASE confirmation primitive", _S.STA12),
            _action("AA-1", "Send A-ABORT PDU (service-user source), start or restart ARTIM timer", _S.STA13),
            _action("AA-2", "Stop ARTIM timer if running, close transport connection", _S.STA1),
            _action("AA-3", "Issue A-ABORT or A-P-ABORT indication primitive, close transport connection", _S.STA1),
            _action("AA-4", "Issue A-P-ABORT indication primitive", _S.STA1),
            _action("AA-5", "Stop ARTIM timer", _S.STA1),
            _action("AA-6", "Ignore PDU", _S.STA13),
            _action("AA-7", "Send A-ABORT PDU", _S.STA13),
            _action(
                "AA-8",
                "Send A-ABORT PDU (service-provider source), issue A-P-ABORT indication, start ARTIM timer",
                _S.STA13,
            ),
        )
    )
)


def parse(grid: str) -> dict[tuple[Cause, State], str]:
    """The filled cells of a grid in the printed form."""
    lines = [line.split() for line in grid.strip().splitlines()]
    states = [State(name) for name in lines[0]]
    cells: dict[tuple[Cause, State], str] = {}
    for name, *row in lines[1:]:
        cells.update(((Cause(name), state), action) for state, action in zip(states, row, strict=True) if action != ".")
    return cells


STANDARD: Mapping[tuple[Cause, State], str] = MappingProxyType(parse(TABLE_9_10))
"""The standard's cells alone."""

TABLE: Mapping[tuple[Cause, State], str] = MappingProxyType(
    {**STANDARD, **{(extension.cause, extension.state): extension.action for extension in EXTENSIONS}}
)
"""What the machine walks: the standard's cells and the extensions."""
