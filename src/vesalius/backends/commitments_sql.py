"""Requests for storage commitment in the database (implements `ports.commitments.Commitments`).

Theory. Every change of a state is one durable transaction that also closes the job which brought it about and opens the
next one, so a crash leaves the state before or the state after, each with the job that leads on. Of the requests of
peers the Transaction UID belongs to one row, the `active` one, from the acknowledgement of the request to that of the
result (PS3.4 J.3.2, J.3.3); a partial unique index says so to all processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vesalius.backends import schema_jobs
from vesalius.backends.database import Database, Row, Transaction
from vesalius.backends.jobs_sql import close, enqueue, enqueue_leased, fail
from vesalius.backends.listing_sql import newest, older_than
from vesalius.backends.ris_sql import in_transaction
from vesalius.model.commitments import (
    COMMITTED,
    DUPLICATE_TRANSACTION,
    Commitment,
    CommitmentInstance,
    CommitmentRequest,
    CommitmentResult,
    CommitmentState,
    Role,
)
from vesalius.model.orders import By, Link, RequestedProcedure, ScheduledStep
from vesalius.ports.commitments import JobOf
from vesalius.ports.jobs import Job, Lease, LeaseLost
from vesalius.ports.ris import RisWork

_FIELDS = (
    "id, role, transaction_uid, peer, aet, called_aet, address, association, state, instances, failed, reports, study, "
    "at, checked_at, done_at, remark"
)
_COLUMNS = (
    "role", "transaction_uid", "peer", "aet", "called_aet", "address", "association", "state", "active", "instances",
    "failed", "reports", "study", "at", "checked_at", "done_at", "remark",
)  # fmt: skip
_ACTIVE = "SELECT id FROM commitment WHERE active = 1 AND transaction_uid = ?"
_BY_ID = f"SELECT {_FIELDS} FROM commitment WHERE id = ?"  # noqa: S608
_OURS = f"SELECT {_FIELDS} FROM commitment WHERE role = 'scu' AND transaction_uid = ?"  # noqa: S608
_ADD = (
    "INSERT INTO commitment_instance (commitment_ref, number, sop_class, sop_instance, reason) VALUES (?, ?, ?, ?, ?)"
)
_NAMED = "SELECT sop_class, sop_instance, reason FROM commitment_instance WHERE commitment_ref = ? ORDER BY number"
_REASON = "UPDATE commitment_instance SET reason = ? WHERE commitment_ref = ? AND number = ?"
_CHECKED = (
    "UPDATE commitment SET state = 'checked', failed = ?, checked_at = ? WHERE id = ? AND state = 'received' "
    "RETURNING association"
)
_TRIED = "UPDATE commitment SET reports = reports + 1 WHERE id = ?"
_TOLD = "UPDATE commitment SET state = 'told', active = 0, done_at = ?, remark = '' WHERE id = ?"
_ASKED = (
    "UPDATE commitment SET state = 'asked', checked_at = ?, remark = '' WHERE id = ? "
    "AND state IN ('planned', 'refused', 'expired')"
)
_ENDED = "UPDATE commitment SET state = ?, active = 0, done_at = ?, remark = ? WHERE id = ?"
_RESULT = "UPDATE commitment SET state = ?, failed = ?, done_at = ?, remark = '' WHERE id = ?"
_COUNTS = "SELECT role, state, COUNT(*) FROM commitment GROUP BY role, state"
# Of rows that are current and of those that are conflict copies alike: the promise was about a SOP Instance UID.
_IS_PROMISED = (
    "FROM study CROSS JOIN series CROSS JOIN instance "
    "CROSS JOIN commitment_instance CROSS JOIN commitment WHERE series.study_ref = study.id "
    "AND instance.series_ref = series.id AND commitment_instance.sop_instance = instance.sop_instance_uid "
    "AND commitment.id = commitment_instance.commitment_ref AND commitment_instance.reason = 0 "
    "AND commitment.role = 'scp' AND study.study_instance_uid"
)
_PROMISED = f"SELECT COUNT(DISTINCT instance.sop_instance_uid) {_IS_PROMISED} = ?"
_PROMISED_OF = (
    f"SELECT study.study_instance_uid, COUNT(DISTINCT instance.sop_instance_uid) {_IS_PROMISED} IN (?) "
    "GROUP BY study.study_instance_uid"
)
# The studies that the committed instances of a request lie in, with how many.
_STUDIES = (
    "SELECT study.study_instance_uid, COUNT(DISTINCT instance.sop_instance_uid) FROM commitment_instance "
    "CROSS JOIN instance CROSS JOIN series CROSS JOIN study WHERE commitment_instance.commitment_ref = ? "
    "AND commitment_instance.reason = 0 AND instance.sop_instance_uid = commitment_instance.sop_instance "
    "AND series.id = instance.series_ref AND study.id = series.study_ref GROUP BY study.study_instance_uid"
)
_OPEN = (CommitmentState.PLANNED, CommitmentState.ASKED, CommitmentState.REFUSED, CommitmentState.EXPIRED)


class SqlCommitments:
    """`ports.commitments.Commitments` over a `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def accept(
        self, request: CommitmentRequest, now: str, owner: str, seconds: float, check: JobOf, report: JobOf
    ) -> Lease:
        """See `Commitments.accept`."""

        def act(tx: Transaction) -> Lease:
            made = None
            if not tx.rows(_ACTIVE, (request.transaction_uid,)):
                made = _insert(tx, request, Role.SCP, CommitmentState.RECEIVED, now, active=True)
            if made is not None:
                _name(tx, made, request, None)
                job = check(made)
            else:
                made = _insert(tx, request, Role.SCP, CommitmentState.CHECKED, now, failed=len(request.references))
                if made is None:
                    raise LookupError("a row that is not active cannot be in anybody's way")
                _name(tx, made, request, DUPLICATE_TRANSACTION)
                job = report(made)
            lease = enqueue_leased(tx, job, now, owner, seconds)
            if lease is None:
                raise LookupError("the job of a new row cannot be there already")
            return lease

        return self._database.transaction(act, durable=True)

    def plan(self, request: CommitmentRequest, now: str, ask: JobOf) -> int:
        """See `Commitments.plan`."""

        def act(tx: Transaction) -> int:
            made = _insert(tx, request, Role.SCU, CommitmentState.PLANNED, now)
            if made is None:
                raise LookupError("a row that is not active cannot be in anybody's way")
            _name(tx, made, request, None)
            enqueue(tx, ask(made), now)
            return made

        return self._database.transaction(act, durable=True)

    def get(self, commitment: int) -> Commitment | None:
        """See `Commitments.get`."""
        rows = self._database.lookup(lambda tx: tx.rows(_BY_ID, (commitment,)))
        return _commitment(rows[0]) if rows else None

    def instances(self, commitment: int) -> list[CommitmentInstance]:
        """See `Commitments.instances`."""
        rows = self._database.lookup(lambda tx: tx.rows(_NAMED, (commitment,)))
        return [CommitmentInstance(*row) for row in rows]

    def list(
        self, *, role: Role | None = None, state: CommitmentState | None = None, peer: str = "", transaction: str = "",
        before: int = 0, limit: int = 100,
    ) -> list[Commitment]:  # fmt: skip
        """See `Commitments.list`."""
        equal = {
            "role": role.value if role else "",
            "state": state.value if state else "",
            "peer": peer,
            "transaction_uid": transaction,
        }
        more = older_than(before)
        rows = newest(self._database, "commitment", _FIELDS, limit, equal=equal, more=more)
        return [_commitment(row) for row in rows]

    def checked(
        self, lease: Lease, commitment: int, reasons: Sequence[int], now: str, seconds: float, report: Job
    ) -> Lease:
        """See `Commitments.checked`."""
        failed = sum(reason != COMMITTED for reason in reasons)

        def act(tx: Transaction) -> Lease:
            close(tx, lease, now)
            if not tx.rows(_CHECKED, (failed, now, commitment)):
                raise LeaseLost
            tx.many(_REASON, [(reason, commitment, number) for number, reason in enumerate(reasons)])
            following = enqueue_leased(tx, report, now, lease.owner, seconds)
            if following is None:
                raise LeaseLost
            _tell_workflow(tx, commitment, now)
            return following

        return self._database.transaction(act, durable=True)

    def tried(self, commitment: int) -> None:
        """See `Commitments.tried`."""
        self._database.transaction(lambda tx: tx.run(_TRIED, (commitment,)), durable=False)

    def told(self, lease: Lease, commitment: int, now: str) -> None:
        """See `Commitments.told`."""

        def act(tx: Transaction) -> None:
            close(tx, lease, now)
            tx.run(_TOLD, (now, commitment))

        self._database.transaction(act, durable=True)

    def asked(self, lease: Lease, commitment: int, now: str, due: Job) -> None:
        """See `Commitments.asked`."""

        def act(tx: Transaction) -> None:
            close(tx, lease, now)
            tx.run(_ASKED, (now, commitment))
            enqueue(tx, due, now)

        self._database.transaction(act, durable=True)

    def ended(
        self, lease: Lease, commitment: int, state: CommitmentState, remark: str, now: str, unless: bool = False
    ) -> None:
        """See `Commitments.ended`."""

        def act(tx: Transaction) -> None:
            found = tx.rows(_BY_ID + tx.for_update, (commitment,))
            if unless and found and _commitment(found[0]).state in (CommitmentState.COMMITTED, CommitmentState.FAILED):
                close(tx, lease, now)
                return
            fail(tx, lease, remark, now)
            tx.run(_ENDED, (state.value, now, remark, commitment))

        self._database.transaction(act, durable=True)

    def result(self, result: CommitmentResult, aet: str, now: str) -> CommitmentState | None:
        """See `Commitments.result`."""

        def act(tx: Transaction) -> CommitmentState | None:
            rows = tx.rows(_OURS + tx.for_update, (result.transaction_uid,))
            found = next((one for one in map(_commitment, rows) if one.aet == aet), None)
            if found is None or found.state not in _OPEN:
                return found.state if found else None
            named = [CommitmentInstance(*row) for row in tx.rows(_NAMED, (found.id,))]
            reasons = [_told(result, one.sop_instance) for one in named]
            if found.reports > 1 and set(reasons) == {DUPLICATE_TRANSACTION}:
                return found.state  # about a repetition of ours, made because no answer had come: the first one counts
            failed = sum(reason != COMMITTED for reason in reasons)
            state = CommitmentState.FAILED if failed else CommitmentState.COMMITTED
            tx.many(_REASON, [(reason, found.id, number) for number, reason in enumerate(reasons)])
            tx.run(_RESULT, (state.value, failed, now, found.id))
            return state

        return self._database.transaction(act, durable=True)

    def promised(self, study: str, series: str = "", sop_instance: str = "") -> int:
        """See `Commitments.promised`."""
        sql, params = _PROMISED, [study]
        for column, value in (("series.series_instance_uid", series), ("instance.sop_instance_uid", sop_instance)):
            if value:
                sql += f" AND {column} = ?"
                params.append(value)
        return int(self._database.lookup(lambda tx: tx.rows(sql, params))[0][0])

    def promised_of(self, studies: Sequence[str]) -> Mapping[str, int]:
        """See `Commitments.promised_of`."""
        if not studies:
            return {}
        rows = self._database.lookup(lambda tx: tx.rows_in(_PROMISED_OF, list(dict.fromkeys(studies))))
        return {row[0]: row[1] for row in rows}

    def counts(self) -> Mapping[tuple[Role, CommitmentState], int]:
        """See `Commitments.counts`."""
        rows = self._database.lookup(lambda tx: tx.rows(_COUNTS))
        return {(Role(row[0]), CommitmentState(row[1])): row[2] for row in rows}


def _tell_workflow(tx: Transaction, commitment: int, now: str) -> None:
    """The orders that the committed images belong to hear of it: the last statements of the transaction."""
    found = [(row[0], row[1]) for row in tx.rows(_STUDIES, (commitment,))]
    if not found:
        return
    asker = tx.rows(_BY_ID, (commitment,))[0]

    def work(unit: RisWork) -> None:
        for study, instances in found:
            procedure = unit.first(RequestedProcedure, study_uid=study)
            link = unit.first(Link, study=study)
            order = link.order if link is not None else procedure.order if procedure is not None else 0
            if not order:
                continue
            step = unit.first(ScheduledStep, procedure_ref=procedure.ref) if procedure is not None else None
            unit.announce(
                "images-committed",
                By(asker[3] or asker[4], now),
                order=order,
                step=step.ref if step is not None else 0,
                study=study,
                images=str(instances),
            )

    in_transaction(tx, work)


def _told(result: CommitmentResult, sop_instance: str) -> int | None:
    """What a result says of an instance; a failure goes before a commitment, silence stays silence."""
    if sop_instance in result.failed:
        return result.failed[sop_instance]
    return COMMITTED if sop_instance in result.committed else None


def _insert(
    tx: Transaction,
    request: CommitmentRequest,
    role: Role,
    state: CommitmentState,
    now: str,
    *,
    active: bool = False,
    failed: int = 0,
) -> int | None:
    row = (
        role.value, request.transaction_uid, request.peer, request.aet, request.called_aet, request.address,
        request.association, state.value, int(active), len(request.references), failed, 0, request.study, now,
        now if state is CommitmentState.CHECKED else "", "", "",
    )  # fmt: skip
    return tx.insert(schema_jobs.commitment, _COLUMNS, [row], ("transaction_uid",))[0]


def _name(tx: Transaction, commitment: int, request: CommitmentRequest, reason: int | None) -> None:
    tx.many(
        _ADD,
        [
            (commitment, number, one.sop_class, one.sop_instance, reason)
            for number, one in enumerate(request.references)
        ],
    )


def _commitment(row: Row) -> Commitment:
    values: list[Any] = list(row)
    values[1] = Role(values[1])
    values[8] = CommitmentState(values[8])
    return Commitment(*values)
