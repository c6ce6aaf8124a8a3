"""Modality Performed Procedure Step, both roles (PS3.4 annex F): N-CREATE and N-SET tell, N-GET asks.

Theory. The form of a request is checked here against table F.7.2-1 (`model/performed.py`), what it means by the verbs
of `ris/performed_steps.py`, both in one transaction; the answer leaves when it is durable. A step is changed by the
application entity that created it or performs it, and by no other (T22).

Reading is lenient where nothing is lost by it: what is of type 2 and missing is taken as empty, and an attribute that
an N-SET may hold is taken although the N-CREATE did not mention it (F.7.2.2.2 asks that of the SCU). What a change may
not touch stays as it is, and the answer is the warning 0107 with its list. What is of type 1 is asked for: 0120, 0121.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import TypeVar

from vesalius.dimse.association import Association
from vesalius.dimse.contexts import Proposal
from vesalius.dimse.n_services import NAnswer, NRefused, NReply, NRequest, n_invoke
from vesalius.model import performed as table
from vesalius.model import reading
from vesalius.model.entities import Values
from vesalius.model.errors import NoSuchRecord
from vesalius.model.identifiers import is_tolerable_uid, new_uid
from vesalius.model.orders import By, PerformedStep
from vesalius.model.performed import Gaps
from vesalius.model.steps import PerformedState
from vesalius.ports.clock import Clock
from vesalius.ports.ris import Ris, RisView, RisWork
from vesalius.ris import performed_steps
from vesalius.ris.rules import RisRules
from vesalius.standard import statuses
from vesalius.standard.sop_classes import PERFORMED_STEP, PERFORMED_STEP_RETRIEVE
from vesalius.wire.dimse_requests import n_create_rq, n_get_rq, n_set_rq

T = TypeVar("T")

# Table F.7.2-2
NO_LONGER_UPDATED = "Performed Procedure Step Object may no longer be updated"
NO_LONGER_UPDATED_ID = 0xA710


class PerformedProvider:
    """The SCP. `changed` is called in a thread when a change is durable."""

    def __init__(
        self, ris: Ris, rules: RisRules, clock: Clock, executor: Executor, changed: Callable[[], None] = lambda: None
    ) -> None:
        self._ris = ris
        self._rules = rules
        self._clock = clock
        self._executor = executor
        self._changed = changed

    async def create(self, request: NRequest) -> NReply:
        """N-CREATE (PS3.4 F.7.2.1). Raises `NRefused`, `DuplicateRecord`, `BadRecord`, `IndexUnavailable`."""
        # PS3.7 10.1.5.1.4: without a UID the performer makes one.
        uid = request.sop_instance or new_uid()
        if not is_tolerable_uid(uid):
            raise NRefused(statuses.INVALID_SOP_INSTANCE, "the SOP Instance UID is no UID")
        values = request.dataset or {}
        _refuse_gaps(table.gaps_at_create(values))
        _refuse_wrong(values)
        if reading.text(values, table.STATUS).strip() != table.IN_PROGRESS:
            raise NRefused(
                statuses.INVALID_ATTRIBUTE_VALUE, "a performed step begins IN PROGRESS", offending=(table.STATUS,)
            )
        by, caller = self._by(request), request.assoc.calling_aet
        kept = table.with_type_2(values)

        def create(work: RisWork) -> PerformedStep:
            return performed_steps.create(work, by, uid, kept, self._rules, creator=caller)

        await self._in_thread(request, lambda: self._ris.change(create))
        return NReply(sop_instance=uid)

    async def set(self, request: NRequest) -> NReply:
        """N-SET (PS3.4 F.7.2.2). Raises `NRefused`, `NoSuchRecord`, `BadRecord`, `IndexUnavailable`."""
        sent = {tag: value for tag, value in (request.dataset or {}).items() if tag != table.CHARACTER_SET}
        values = table.changeable(sent)
        _refuse_gaps(table.gaps_in_changes(values))
        _refuse_wrong(values)
        by, caller = self._by(request), request.assoc.calling_aet

        def update(work: RisWork) -> tuple[int, ...]:
            before = performed_steps.by_uid(work, request.sop_instance)
            if not performed_steps.may_change(before, caller):
                raise NRefused(statuses.NOT_AUTHORIZED, "another application entity performs this step")
            if before.state is not PerformedState.IN_PROGRESS:
                raise NRefused(statuses.PROCESSING_FAILURE, NO_LONGER_UPDATED, error_id=NO_LONGER_UPDATED_ID)
            had = performed_steps.values_of(before)
            if reading.text(values, table.STATUS).strip() in table.FINAL:
                _refuse_gaps(table.gaps_at_end({**had, **values}))
            performed_steps.update(work, by, before.uid, values, self._rules)
            return tuple(tag for tag in sent if tag in table.FIXED and sent[tag] != had.get(tag))

        kept_back = await self._in_thread(request, lambda: self._ris.change(update))
        if kept_back:
            return NReply(statuses.ATTRIBUTE_LIST_ERROR, comment="some attributes may not be set", offending=kept_back)
        return NReply()

    async def get(self, request: NRequest) -> NReply:
        """N-GET (PS3.4 F.8.2.1). Raises `NoSuchRecord`, `IndexUnavailable`."""
        caller = request.assoc.calling_aet

        def look(view: RisView) -> Values:
            found = performed_steps.by_uid(view, request.sop_instance)
            if not performed_steps.may_see(view, found, caller, self._rules):
                raise NoSuchRecord("there is no performed step with this SOP Instance UID")
            return performed_steps.values_of(found)

        values = await self._in_thread(request, lambda: self._ris.look(look), changed=False)
        asked = request.command.attribute_identifiers
        if not asked:
            return NReply(dataset=values)
        found: Values = {tag: values.get(tag, ()) for tag in asked if tag in values or tag in table.KNOWN}
        unknown = tuple(tag for tag in asked if tag not in found)
        if not unknown:
            return NReply(dataset=found)
        comment = "some optional attributes are not supported"
        return NReply(statuses.OPTIONAL_ATTRIBUTES_UNSUPPORTED, found, comment, unknown)

    def _by(self, request: NRequest) -> By:
        return By(f"dicom:{request.assoc.calling_aet}", self._clock.utc())

    async def _in_thread(self, request: NRequest, act: Callable[[], T], *, changed: bool = True) -> T:
        def run() -> T:
            result = act()
            if changed:
                self._changed()
            return result

        return await request.assoc.loop.run_in_executor(self._executor, run)


def _refuse_gaps(gaps: Gaps) -> None:
    if gaps.absent:
        raise NRefused(statuses.MISSING_ATTRIBUTE, "an attribute of type 1 is missing", offending=gaps.absent)
    if gaps.empty:
        raise NRefused(statuses.MISSING_ATTRIBUTE_VALUE, "an attribute of type 1 is empty", offending=gaps.empty)


def _refuse_wrong(values: Values) -> None:
    wrong = table.wrong_values(values)
    if wrong:
        raise NRefused(statuses.INVALID_ATTRIBUTE_VALUE, "a date, time or UID is none", offending=wrong)


# -- the invoker ------------------------------------------------------------------------------------------------------


def for_performing() -> tuple[Proposal, ...]:
    """The contexts for telling of steps, and for asking what is known of them."""
    return (Proposal(PERFORMED_STEP), Proposal(PERFORMED_STEP_RETRIEVE))


async def create(
    assoc: Association, uid: str, values: Values, *, charsets: tuple[str, ...] = (), timeout: float | None = None
) -> NAnswer:
    """N-CREATE. Without a `uid` the SCP makes one, which `answer.command.affected_instance` is. As `n_invoke`."""
    return await n_invoke(
        assoc,
        PERFORMED_STEP,
        lambda number: n_create_rq(number, PERFORMED_STEP, uid or None),
        values,
        charsets=charsets,
        timeout=timeout,
    )


async def update(
    assoc: Association, uid: str, values: Values, *, charsets: tuple[str, ...] = (), timeout: float | None = None
) -> NAnswer:
    """N-SET, with or without another state. As `n_invoke`."""
    return await n_invoke(
        assoc,
        PERFORMED_STEP,
        lambda number: n_set_rq(number, PERFORMED_STEP, uid),
        values,
        charsets=charsets,
        timeout=timeout,
    )


async def get(assoc: Association, uid: str, tags: Sequence[int] = (), *, timeout: float | None = None) -> NAnswer:
    """N-GET of these attributes, or of all. As `n_invoke`."""
    return await n_invoke(
        assoc, PERFORMED_STEP_RETRIEVE, lambda number: n_get_rq(number, PERFORMED_STEP_RETRIEVE, uid, tags),
        timeout=timeout,
    )  # fmt: skip
