"""The message log of HL7: the inbox that makes an acknowledgement true, and the queues of what goes out.

Theory. A message is in the inbox, durably, before its sender hears that it was taken. It is processed exactly once by
sending application, facility and control id (MSH-3, MSH-4, MSH-10): the row is the arbiter between processes that get
the same message at once, and "processed" is written in the transaction of what the message changed. A message that was
not accepted has changed nothing, so the same message again is judged anew.

A queue is sent in the order of its rows by one process at a time, which holds the lease of the destination. A row
leaves the queue when its acknowledgement has come, or when a person has to look at it (`held`).

Times are UTC, ISO 8601. Everything blocks and may raise `IndexUnavailable`. Messages are patient data: they are shown
to those who may see patients and never logged.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vesalius.model.orders import RisEvent
from vesalius.ports.ris import RisView, RisWork


class InState(enum.StrEnum):
    """Where a message that came in stands."""

    RECEIVED = "received"  # durable; its sender has heard nothing yet and will send it again if we die
    ACCEPTED = "accepted"  # its sender was told that we have it (CA), or a person replays it: it must be processed
    DONE = "done"  # accepted: never processed again
    REFUSED = "refused"


class OutState(enum.StrEnum):
    """Where a message that goes out stands."""

    WAITING = "waiting"
    SENT = "sent"  # acknowledged
    HELD = "held"  # the destination does not want it: a person decides
    REPLAYED = "replayed"  # a person had it sent again, in a row of its own


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as it came, and what its header says of it."""

    source: str
    application: str
    facility: str
    control_id: str
    type: str
    address: str
    at: str
    digest: bytes
    message: bytes

    @property
    def key(self) -> str:
        """What makes it the same message: lengths first, so that no two triples give one text."""
        parts = (self.application, self.facility, self.control_id)
        return "|".join(f"{len(part)}:{part}" for part in parts)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A row of the inbox. `message` and `ack` are empty in listings."""

    id: int
    source: str
    application: str
    facility: str
    control_id: str
    type: str
    address: str
    at: str
    state: InState
    code: str
    error: str
    done_at: str
    attempts: int
    message: bytes = b""
    ack: bytes = b""


class Known(enum.Enum):
    """What the inbox knew of a message when it came."""

    NEW = "new"  # it is ours to process now: `Receipt.row` is leased
    DONE = "done"  # it was accepted before: answer with `Receipt.row.ack`
    OTHER = "other"  # its control id stands for other content: refused, and kept as such
    BUSY = "busy"  # another process has it in hand


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an arrival."""

    known: Known
    row: Incoming


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be kept of a message that was processed or refused."""

    state: InState
    code: str  # AA, AE, AR
    error: str
    ack: bytes


@dataclass(frozen=True, slots=True)
class Draft:
    """A message to be queued. `key` names what it tells of: there is one message for each key."""

    key: str
    destination: str
    control_id: str
    type: str
    message: bytes


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A row of a queue. `message` and `ack` are empty in listings."""

    id: int
    key: str
    destination: str
    control_id: str
    type: str
    at: str
    state: OutState
    code: str
    error: str
    sent_at: str
    attempts: int
    message: bytes = b""
    ack: bytes = b""


@dataclass(frozen=True, slots=True)
class Channel:
    """How a destination stands: its queue, and when the next try is due."""

    destination: str
    waiting: int
    held: int
    oldest: str  # when the oldest waiting message was queued; "" where none waits
    not_before: str
    failures: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What of a source's messages is not done, or was refused."""

    source: str
    waiting: int
    refused: int
    oldest: str  # when the oldest waiting message came; "" where none waits


class Inbox(Protocol):
    """What came in."""

    def receive(self, arrival: Arrival, owner: str, until: str, state: InState = InState.RECEIVED) -> Receipt:
        """Keep a message, durably, and take it for `owner` until `until`, unless it is known."""
        ...

    def process(self, row: int, owner: str, act: Callable[[RisWork], Verdict], at: str) -> Verdict | None:
        """Run `act` on the workflow and keep its verdict, in one durable transaction: exactly once.

        None: the lease was lost, and nothing has changed. Whatever `act` raises undoes everything.
        """
        ...

    def refuse(self, arrival: Arrival, verdict: Verdict) -> int:
        """Keep a message that was refused for what its header or its form is. It takes no control id."""
        ...

    def settle(self, row: int, owner: str, verdict: Verdict, at: str) -> bool:
        """Say what became of a row that `owner` has and that changed nothing. False: its lease is lost."""
        ...

    def release(self, row: int, owner: str, error: str, not_before: str) -> None:
        """Give a row back unprocessed: something of ours failed, and it is to be tried again then."""
        ...

    def take(self, owner: str, now: str, until: str, *, source: str = "", before: int = 0) -> Incoming | None:
        """The oldest accepted row that nobody has (of a source, older than a row), leased; None: there is none.

        One whose source has an older row that is to be tried again, or is being, is not taken: the order is kept.
        """
        ...

    def older_left(self, source: str, before: int) -> bool:
        """Whether an accepted row of a source, older than a row, is to be tried again, or is being tried again."""
        ...

    def incoming(
        self, *, states: Sequence[InState] = (), source: str = "", text: str = "", before: int = 0, limit: int = 100
    ) -> Sequence[Incoming]:
        """Rows of the log, newest first, without messages. `text`: the beginning of a control id."""
        ...

    def backlogs(self) -> Sequence[Backlog]:
        """How the sources stand of which something waits or was refused, by name."""
        ...

    def one_in(self, row: int) -> Incoming | None:
        """A row with its message."""
        ...

    def replay_in(self, row: int, at: str) -> bool:
        """Have a refused row processed again, or one that was left. False: there is none, it is done, or its control
        id stands for another message.
        """
        ...


class Queues(Protocol):
    """What goes out."""

    def queue(self, drafts: Sequence[Draft], at: str) -> int:
        """Queue messages, durably; how many were new."""
        ...

    def lease(self, destination: str, owner: str, now: str, until: str) -> bool:
        """Take a destination, or keep it; False: another process has it, or its next try is not due."""
        ...

    def unlease(self, destination: str, owner: str) -> None:
        """Let a destination go."""
        ...

    def next_out(self, destination: str, limit: int = 1) -> Sequence[Outgoing]:
        """The first waiting rows of a queue, with their messages."""
        ...

    def sent(self, row: int, code: str, ack: bytes, at: str) -> None:
        """It was acknowledged."""
        ...

    def held(self, row: int, code: str, error: str, ack: bytes, at: str) -> None:
        """The destination refused it: it leaves the queue and waits for a person."""
        ...

    def failed(self, destination: str, row: int, error: str, not_before: str) -> int:
        """The try failed; the destination is tried again then. Gives how many tries have failed in a row."""
        ...

    def channels(self) -> Sequence[Channel]:
        """How the destinations stand that have or had messages, by name."""
        ...

    def outgoing(
        self,
        *,
        states: Sequence[OutState] = (),
        destination: str = "",
        text: str = "",
        before: int = 0,
        limit: int = 100,
    ) -> Sequence[Outgoing]:
        """Rows of the queues, newest first, without messages. `text`: the beginning of a control id."""
        ...

    def one_out(self, row: int) -> Outgoing | None:
        """A row with its message."""
        ...

    def replay_out(self, row: int) -> bool:
        """Queue a sent or held message again, behind what waits. False: there is none, or it waits."""
        ...


Compose = Callable[[RisView, Sequence[RisEvent]], Sequence[Draft]]


class Hl7Log(Inbox, Queues, Protocol):
    """Both, in one database."""

    def follow(self, destination: str, compose: Compose, at: str, *, longest: int) -> int:
        """Queue what the next events of the workflow mean to a destination: each event exactly once. How many there
        were; 0, too, while `longest` messages wait (the events wait instead).

        A destination that is followed for the first time begins with what happens from then on.
        """
        ...

    def take_over(self, owner: str) -> int:
        """The process that had this name is dead: whatever it had in hand is free. How many rows that were."""
        ...

    def prune(self, before: str) -> int:
        """Forget accepted and sent messages that are older; how many."""
        ...
