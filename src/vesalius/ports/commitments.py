"""Requests for storage commitment and notices of availability, kept. Everything blocks, may raise `IndexUnavailable`.

What changes a state and closes a job does both in one durable transaction; `LeaseLost` means that neither happened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from vesalius.model.commitments import (
    Commitment,
    CommitmentInstance,
    CommitmentRequest,
    CommitmentResult,
    CommitmentState,
    Notice,
    Role,
)
from vesalius.ports.jobs import Job, Lease

JobOf = Callable[[int], Job]  # the job about the row of this id


class Commitments(Protocol):
    """Both sides of storage commitment."""

    def accept(
        self, request: CommitmentRequest, now: str, owner: str, seconds: float, check: JobOf, report: JobOf
    ) -> Lease:
        """Keep a peer's request and the job to check it. One whose Transaction UID is active is answered 0131 for all
        its instances: it has the job to report instead. The lease of the job is `owner`'s for so many seconds.
        """
        ...

    def plan(self, request: CommitmentRequest, now: str, ask: JobOf) -> int:
        """Keep a request of ours and the job to ask it."""
        ...

    def get(self, commitment: int) -> Commitment | None:
        """One request."""
        ...

    def instances(self, commitment: int) -> Sequence[CommitmentInstance]:
        """What a request names, in its order."""
        ...

    def list(
        self, *, role: Role | None = None, state: CommitmentState | None = None, peer: str = "", transaction: str = "",
        before: int = 0, limit: int = 100,
    ) -> Sequence[Commitment]:  # fmt: skip
        """Requests, newest first; those older than `before`."""
        ...

    def checked(self, lease: Lease, commitment: int, reasons: Sequence[int], now: str, seconds: float, report: Job) -> (
        Lease
    ):  # fmt: skip
        """The result is known: a reason for each instance. Closes the lease; gives that of the job to report it."""
        ...

    def tried(self, commitment: int) -> None:
        """A result is about to be sent, or a request made, once more."""
        ...

    def told(self, lease: Lease, commitment: int, now: str) -> None:
        """The peer acknowledged the result. Closes the lease."""
        ...

    def asked(self, lease: Lease, commitment: int, now: str, due: Job) -> None:
        """The peer acknowledged our request (its result may be here already). Closes the lease; `due` looks later."""
        ...

    def ended(
        self, lease: Lease, commitment: int, state: CommitmentState, remark: str, now: str, unless: bool = False
    ) -> None:
        """Nothing more will come of it; the job has failed. `unless`: where a result has come, it is done instead."""
        ...

    def result(self, result: CommitmentResult, aet: str, now: str) -> CommitmentState | None:
        """A peer's result for a request of ours. The state that follows; None: nothing of the kind was asked of it."""
        ...

    def promised(self, study: str, series: str = "", sop_instance: str = "") -> int:
        """How many kept instances under these keys this archive has committed itself to."""
        ...

    def promised_of(self, studies: Sequence[str]) -> Mapping[str, int]:
        """The same for each of many studies; none for those without a promise."""
        ...

    def counts(self) -> Mapping[tuple[Role, CommitmentState], int]:
        """How many requests there are."""
        ...


class Notices(Protocol):
    """Both sides of Instance Availability Notification."""

    def receive(self, notice: Notice) -> bool:
        """Keep a peer's notification; False where one with this SOP Instance UID is kept."""
        ...

    def plan(self, notice: Notice, send: JobOf) -> int:
        """Keep a notification of ours and the job to send it."""
        ...

    def get(self, notice: int) -> Notice | None:
        """One notification."""
        ...

    def list(self, *, role: Role | None = None, study: str = "", limit: int = 100) -> Sequence[Notice]:
        """Notifications, newest first."""
        ...

    def sent(self, lease: Lease, notice: int, now: str) -> None:
        """The peer acknowledged it. Closes the lease."""
        ...

    def failed(self, lease: Lease, notice: int, why: str, now: str) -> None:
        """It is given up. The job has failed."""
        ...
