"""Jobs: what has been promised and is still to be done, kept until it is done, whatever crashes.

Theory. A job is a row that is committed together with what it is about, so nothing is promised without a job and no job
is about nothing. Whoever has time takes a lease on it for some seconds; a process that dies lets its lease run out, and
another takes the job up again. So a job is done at least once, and exactly once where its effect is in the database:
the transaction that writes the effect closes the job, and closing fails (`LeaseLost`) for one whose lease somebody
else has taken meanwhile. The number of the lease (`Lease.attempt`) tells one lease from the next.

Of one kind and key there is at most one open job. Everything here blocks.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


class State(enum.Enum):
    """What became of a job."""

    OPEN = "open"
    DONE = "done"
    FAILED = "failed"  # given up: for a person to look at, and to replay


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do. Times are UTC, ISO 8601 with microseconds and "Z"; "" is at once, or never."""

    kind: str
    payload: Mapping[str, Any] = field(default_factory=dict)  # what JSON can hold; ids rather than patient data
    key: str | None = None  # at most one open job of a kind and key; None: as many as there are
    not_before: str = ""
    expires: str = ""  # after this moment it is given up instead of tried again


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to do a job, until it runs out."""

    id: int
    kind: str
    key: str | None
    payload: Mapping[str, Any]
    attempt: int  # from 1
    owner: str
    expires: str = ""
    created_at: str = ""


@dataclass(frozen=True, slots=True)
class JobRow:
    """What is known of a job."""

    id: int
    kind: str
    key: str | None
    payload: Mapping[str, Any]
    state: State
    attempts: int
    not_before: str
    expires: str
    lease_until: str
    lease_owner: str
    last_error: str
    created_at: str
    done_at: str


class LeaseLost(Exception):
    """The lease ran out and somebody else has the job, or it is closed: undo what was done in this transaction."""


class Jobs(Protocol):
    """The jobs of one archive, shared by all its processes. Everything may raise `IndexUnavailable`."""

    def put(self, job: Job) -> int | None:
        """Keep a job, durably; its id, or None where one of its kind and key is open already."""
        ...

    def announce(self) -> None:
        """Jobs were put in somebody's own transaction: wake whoever does them. Cheap; `put` does it itself."""
        ...

    def lease(self, kinds: Sequence[str], owner: str, seconds: float, limit: int = 1) -> list[Lease]:
        """Take what is due, the oldest first; nobody else has these for so many seconds. Empty: nothing is due."""
        ...

    def extend(self, lease: Lease, seconds: float) -> bool:
        """So many more seconds from now; False where the lease is lost."""
        ...

    def done(self, lease: Lease) -> None:
        """It is done. Raises `LeaseLost`."""
        ...

    def again(self, lease: Lease, at: str, why: str) -> None:
        """It is to be tried again at this time; after `expires` it fails instead. Raises `LeaseLost`."""
        ...

    def fail(self, lease: Lease, why: str) -> None:
        """Give it up. Raises `LeaseLost`."""
        ...

    def release(self, owner: str) -> int:
        """The owner is dead or ends: what it had is free at once. How many jobs that were."""
        ...

    def list(
        self, *, kind: str = "", state: State | None = None, job: int | None = None, limit: int = 100
    ) -> Sequence[JobRow]:
        """Jobs, newest first."""
        ...

    def replay(self, job: int) -> bool:
        """Open a failed or done job again, due at once; an open one is due at once. False: there is none, or another
        one of its kind and key is open.
        """
        ...

    def counts(self) -> Mapping[tuple[str, State], int]:
        """How many jobs there are, by kind and state."""
        ...

    def next_due(self, kinds: Sequence[str]) -> str:
        """When the next open job without a lease is due; "" where there is none."""
        ...

    def prune(self, before: str) -> int:
        """Forget jobs that were done before this time; failed ones stay. How many that were."""
        ...
