"""Rows D26 and D27 and every other rule of PS3.4 annex F, over a socket: what is answered, and what is kept of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.generate import uid
from tests.support.workflow_site import Workflow, running_workflow

from vesalius.backends.ris_sql import SqlRis
from vesalius.dimse import n_mpps, worklist
from vesalius.dimse.client import Association
from vesalius.dimse.n_services import NAnswer, n_invoke
from vesalius.model import performed
from vesalius.model.entities import Values
from vesalius.model.errors import IndexUnavailable
from vesalius.model.orders import Code, PerformedStep, ScheduledStep
from vesalius.model.performed import END_DATE, PERFORMED_SERIES, SCHEDULED_STEP_ATTRIBUTES, STATUS, STUDY_UID
from vesalius.model.steps import PerformedState, StepState
from vesalius.standard.sop_classes import PERFORMED_STEP, PERFORMED_STEP_RETRIEVE
from vesalius.wire.dimse_requests import n_action_rq, n_create_rq, n_delete_rq, n_get_rq

CT = "1.2.840.10008.5.1.4.1.1.2"
STEP = uid("performed", "step")
STATION, MODALITY, STARTED, NAME = 0x00400241, 0x00080060, 0x00400244, 0x00100010
REASON, COMMENTS, PROTOCOL, SERIES_UID = 0x00400281, 0x00400280, 0x00181030, 0x0020000E


def create_values(**more: Values) -> Values:
    """A step of nobody's plan."""
    return performed.in_progress(
        None, number="PPS1", station="CT1", modality="CT", start="20261124100000", study=uid("study", "own"), **more
    )


def done(state: str = "COMPLETED", *instances: str) -> Values:
    series = performed.series_item(uid("series", "own"), [(CT, one) for one in instances], protocol="HEAD")
    return performed.finished(state, end="20261124101500", series=[series])


def without(values: Values, *tags: int) -> Values:
    return {tag: value for tag, value in values.items() if tag not in tags}


def kept(at: Workflow, instance: str = STEP) -> PerformedStep | None:
    return at.hospital.ris.look(lambda view: view.first(PerformedStep, uid=instance))


def listed(answer: NAnswer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Offending Element, and Attribute Identifier List."""
    return answer.command.offending, answer.command.attribute_identifiers


async def begin(at: Workflow, values: Values | None = None, instance: str = STEP, aet: str = "CT1") -> NAnswer:
    async with at.calling(aet) as assoc:
        return await n_mpps.create(assoc, instance, create_values() if values is None else values)


async def change(at: Workflow, values: Values, instance: str = STEP, aet: str = "CT1") -> NAnswer:
    async with at.calling(aet) as assoc:
        return await n_mpps.update(assoc, instance, values)


async def test_a_step_goes_from_in_progress_to_completed_and_is_read_back(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        assert (await begin(at)).status == 0
        assert (await change(at, {0x00400254: ("Head",)})).status == 0
        assert (await change(at, done("COMPLETED", "1.2.3.4"))).status == 0
        step = kept(at)
        assert step is not None
        assert (step.state, step.description, step.expected) == (PerformedState.COMPLETED, "Head", 1)
        assert (step.started, step.ended, step.creator) == ("20261124100000", "20261124101500", "CT1")
        async with at.calling() as assoc:
            answer = await n_mpps.get(assoc, STEP)
        assert answer.status == 0
        assert answer.dataset is not None
        assert answer.dataset[STATUS] == ("COMPLETED",)
        assert answer.dataset[PERFORMED_SERIES] == done("COMPLETED", "1.2.3.4")[PERFORMED_SERIES]
        assert len(at.changes) == 3, "whoever waits for changes was woken"


# -- N-CREATE ---------------------------------------------------------------------------------------------------------


async def test_d26_a_step_that_does_not_begin_in_progress_is_0106(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        for state in ("COMPLETED", "DISCONTINUED", "BUSY"):
            answer = await begin(at, create_values() | {STATUS: (state,)})
            assert (answer.status, answer.command.offending) == (0x0106, (STATUS,))
        assert kept(at) is None


@pytest.mark.parametrize("tag", performed.TYPE_1[None])
async def test_d26_what_is_of_type_1_and_missing_is_0120_and_empty_0121(tmp_path: Path, tag: int) -> None:
    async with running_workflow(tmp_path) as at:
        answer = await begin(at, without(create_values(), tag))
        assert answer.status == 0x0120
        assert listed(answer) == ((tag,), (tag,))
        answer = await begin(at, create_values() | {tag: ()})
        assert (answer.status, answer.command.offending) == (0x0121, (tag,))
        assert kept(at) is None


async def test_d26_type_1_inside_sequences_and_all_that_lacks_at_once(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        values = create_values()
        relation = without(values[SCHEDULED_STEP_ATTRIBUTES][0], STUDY_UID)
        answer = await begin(at, without(values, MODALITY) | {SCHEDULED_STEP_ATTRIBUTES: (relation,)})
        assert answer.status == 0x0120
        assert set(answer.command.offending) == {MODALITY, STUDY_UID}
        series = without(done()[PERFORMED_SERIES][0], PROTOCOL) | {SERIES_UID: ()}
        assert (await begin(at, values | {PERFORMED_SERIES: (series,)})).status == 0x0120
        assert (await begin(at, {})).status == 0x0120
        assert kept(at) is None


async def test_what_is_of_type_2_may_lack_and_is_read_back_empty(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        few = {tag: value for tag, value in create_values().items() if tag in performed.TYPE_1[None]}
        assert (await begin(at, few)).status == 0
        async with at.calling() as assoc:
            answer = await n_mpps.get(assoc, STEP)
        assert answer.dataset is not None
        assert set(performed.TYPE_2[None]) <= set(answer.dataset)


@pytest.mark.parametrize(
    ("tag", "value"), [(STARTED, "20261399"), (0x00400245, "25"), (END_DATE, "yesterday"), (STUDY_UID, "no-uid")]
)
async def test_a_date_time_or_uid_that_is_none_is_0106(tmp_path: Path, tag: int, value: str) -> None:
    async with running_workflow(tmp_path) as at:
        values = create_values() | {tag: (value,)}
        if tag == STUDY_UID:
            values = create_values() | {SCHEDULED_STEP_ATTRIBUTES: ({STUDY_UID: (value,)},)}
        answer = await begin(at, values)
        assert (answer.status, answer.command.offending) == (0x0106, (tag,))
        assert kept(at) is None


async def test_d26_a_uid_again_is_0111_and_changes_nothing(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        assert (await begin(at)).status == 0
        again = await begin(at, create_values() | {0x00400253: ("OTHER",)})
        assert again.status == 0x0111
        step = kept(at)
        assert step is not None
        assert step.number == "PPS1"


async def test_six_at_once_with_one_uid_are_one_step(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        answers = await asyncio.gather(*(begin(at) for _ in range(6)))
        assert sorted(answer.status for answer in answers) == [0, *[0x0111] * 5]


async def test_without_a_uid_one_is_made_and_one_that_is_none_is_0117(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        made = await begin(at, instance="")
        assert made.status == 0
        assert made.command.affected_instance.startswith("2.25.")
        assert kept(at, made.command.affected_instance) is not None
        assert (await begin(at, instance="no/uid")).status == 0x0117


# -- N-SET ------------------------------------------------------------------------------------------------------------


async def test_d27_an_unknown_step_is_0112(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        assert (await change(at, done(), "1.2.3.4")).status == 0x0112


@pytest.mark.parametrize("state", ["COMPLETED", "DISCONTINUED"])
async def test_d27_a_final_state_is_final_and_says_so_in_the_words_of_the_clause(tmp_path: Path, state: str) -> None:
    async with running_workflow(tmp_path) as at:
        assert (await begin(at)).status == 0
        assert (await change(at, done(state, "1.2.3.4"))).status == 0
        before = kept(at)
        for values in (done("COMPLETED"), done("DISCONTINUED"), {STATUS: ("IN PROGRESS",)}, {COMMENTS: ("late",)}):
            answer = await change(at, values)
            assert answer.status == 0x0110
            assert answer.command.error_comment == "Performed Procedure Step Object may no longer be updated"
            assert answer.command.error_id == 0xA710
        assert kept(at) == before


@pytest.mark.parametrize("state", ["COMPLETED", "DISCONTINUED"])
async def test_what_is_of_type_1_at_the_end_must_have_come_by_then(tmp_path: Path, state: str) -> None:
    async with running_workflow(tmp_path) as at:
        # N-CREATE gave the ends and the series as empty: without a value (note 2 of the table: not without a series).
        assert (await begin(at)).status == 0
        for tag in (END_DATE, 0x00400251, PERFORMED_SERIES):
            for values in (without(done(state), tag), done(state) | {tag: ()}):
                answer = await change(at, values)
                assert (answer.status, answer.command.offending) == (0x0121, (tag,))
        series = without(done()[PERFORMED_SERIES][0], SERIES_UID)
        answer = await change(at, done(state) | {PERFORMED_SERIES: (series,)})
        assert answer.status == 0x0120
        assert listed(answer) == ((SERIES_UID,), (SERIES_UID,))
        step = kept(at)
        assert step is not None
        assert step.state is PerformedState.IN_PROGRESS
        # What came with an earlier N-SET counts.
        assert (await change(at, without(done(state), STATUS))).status == 0
        assert (await change(at, {STATUS: (state,)})).status == 0


async def test_a_status_that_is_none_is_0106_and_an_empty_one_0121(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        assert (await begin(at)).status == 0
        answer = await change(at, {STATUS: ("SUSPENDED",)})
        assert (answer.status, answer.command.offending) == (0x0106, (STATUS,))
        assert (await change(at, {STATUS: ()})).status == 0x0121
        assert (await change(at, {END_DATE: ("20261399",)})).status == 0x0106


async def test_d27_what_may_not_be_set_stays_and_is_listed_with_0107(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        assert (await begin(at, create_values(patient={NAME: ("Doe^Jane",)}))).status == 0
        answer = await change(at, {NAME: ("Roe^Jane",), STATION: ("MR1",), 0x00400254: ("Head",), MODALITY: ("CT",)})
        assert answer.status == 0x0107
        assert listed(answer) == ((), (NAME, STATION)), "what is as it was is no matter"
        step = kept(at)
        assert step is not None
        assert (step.station, step.description) == ("CT1", "Head")


async def test_an_attribute_that_was_not_created_may_be_set(tmp_path: Path) -> None:
    """Lenient: a reason or a dose is not lost because the N-CREATE did not announce it (table F.7.2-1, note 5)."""
    async with running_workflow(tmp_path) as at:
        assert (await begin(at, without(create_values(), REASON))).status == 0
        code: Values = {0x00080100: ("110514",), 0x00080102: ("DCM",), 0x00080104: ("Incorrect worklist entry",)}
        assert (await change(at, done("DISCONTINUED") | {REASON: (code,), 0x0018115E: ("1.5",)})).status == 0
        step = kept(at)
        assert step is not None
        assert step.reason == Code("110514", "DCM", "Incorrect worklist entry")


async def test_t22_another_application_entity_changes_nothing_and_reads_what_its_worklist_shows(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        assert (await begin(at)).status == 0
        for other in ("MR1", "US1", "NOBODY"):
            assert (await change(at, done(), aet=other)).status == 0x0124
        seen = {}
        for other in ("CT1", "MR1", "US1", "NOBODY"):
            async with at.calling(other) as assoc:
                seen[other] = (await n_mpps.get(assoc, STEP)).status
        assert seen == {"CT1": 0, "MR1": 0, "US1": 0x0112, "NOBODY": 0x0112}
        step = kept(at)
        assert step is not None
        assert step.state is PerformedState.IN_PROGRESS


async def test_the_station_may_end_what_another_began_for_it(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        assert (await begin(at, aet="GATEWAY")).status == 0
        assert (await change(at, done(), aet="CT1")).status == 0


# -- N-GET ------------------------------------------------------------------------------------------------------------


async def test_n_get_gives_what_is_asked_for_and_lists_what_is_not_known(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        assert (await begin(at)).status == 0
        async with at.calling() as assoc:
            some = await n_mpps.get(assoc, STEP, [STATUS, COMMENTS])
            assert (some.status, some.dataset) == (0, {STATUS: ("IN PROGRESS",), COMMENTS: ()})
            odd = await n_mpps.get(assoc, STEP, [STATUS, 0x00280010])
            assert odd.status == 0x0001
            assert odd.succeeded
            assert listed(odd) == ((), (0x00280010,))
            assert odd.dataset == {STATUS: ("IN PROGRESS",)}
            assert (await n_mpps.get(assoc, "1.2.3.4")).status == 0x0112


async def test_character_sets_of_create_and_set_live_side_by_side(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        async with at.calling() as assoc:
            values = create_values(patient={NAME: ("Müller^Jörg",)})
            assert (await n_mpps.create(assoc, STEP, values, charsets=("ISO_IR 100",))).status == 0
            russian: Values = {0x00400254: ("Голова",)}
            assert (await n_mpps.update(assoc, STEP, russian, charsets=("ISO_IR 144",))).status == 0
            answer = await n_mpps.get(assoc, STEP)
        assert answer.dataset is not None
        assert (answer.dataset[NAME], answer.dataset[0x00400254]) == (("Müller^Jörg",), ("Голова",))


# -- what holds for all -----------------------------------------------------------------------------------------------


async def test_without_the_right_each_is_0124(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        at.site.add_peer("CT1", rights=frozenset({"query", "store"}))
        assert (await begin(at)).status == 0x0124
        assert (await change(at, done())).status == 0x0124
        async with at.calling() as assoc:
            assert (await n_mpps.get(assoc, STEP)).status == 0x0124
        assert kept(at) is None


async def test_d28_what_a_class_does_not_offer_is_0211(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at, at.calling() as assoc:
        for sop_class, make in (
            (PERFORMED_STEP, lambda number: n_get_rq(number, PERFORMED_STEP, STEP)),
            (PERFORMED_STEP, lambda number: n_delete_rq(number, PERFORMED_STEP, STEP)),
            (PERFORMED_STEP, lambda number: n_action_rq(number, PERFORMED_STEP, STEP, 1, has_dataset=False)),
            (
                PERFORMED_STEP_RETRIEVE,
                lambda number: n_create_rq(number, PERFORMED_STEP_RETRIEVE, STEP, has_dataset=False),
            ),
        ):
            assert (await n_invoke(assoc, sop_class, make)).status == 0x0211


class Away(SqlRis):
    """The database is away."""

    def change(self, work: Callable[..., object]) -> object:
        raise IndexUnavailable("the index database failed")

    look = change


class Broken(SqlRis):
    """A fault of ours, whose text may name a patient."""

    def change(self, work: Callable[..., object]) -> object:
        raise ValueError("Doe^Jane")

    look = change


async def _all_three(assoc: Association) -> list[NAnswer]:
    return [
        await n_mpps.create(assoc, STEP, create_values()),
        await n_mpps.update(assoc, STEP, done()),
        await n_mpps.get(assoc, STEP),
    ]


async def test_a_database_that_is_away_is_0213_and_a_fault_of_ours_0110_without_its_text(tmp_path: Path) -> None:
    async with running_workflow(tmp_path, ris=Away) as at, at.calling() as assoc:
        assert [answer.status for answer in await _all_three(assoc)] == [0x0213] * 3
    async with running_workflow(tmp_path / "second", ris=Broken) as at, at.calling() as assoc:
        answers = await _all_three(assoc)
        assert [answer.status for answer in answers] == [0x0110] * 3
        assert not any("Doe" in answer.command.error_comment for answer in answers)


async def test_a_data_set_over_the_limit_is_0213_and_none_at_all_lacks_everything(tmp_path: Path) -> None:
    async with running_workflow(tmp_path, identifier_size=2000) as at:
        assert (await begin(at, create_values() | {COMMENTS: ("x" * 3000,)})).status == 0x0213
        assert (await begin(at)).status == 0
        async with at.calling() as assoc:
            bare = await n_invoke(
                assoc, PERFORMED_STEP, lambda number: n_create_rq(number, PERFORMED_STEP, "1.2", has_dataset=False)
            )
            assert bare.status == 0x0120
            assert (await n_mpps.update(assoc, STEP, {})).status == 0, "nothing to change is no fault"


# -- the plan follows -------------------------------------------------------------------------------------------------


async def test_the_scheduled_step_leaves_the_worklist_when_it_begins_and_follows_to_its_end(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        _, order, _, step = at.hospital.planned("4711", name="Doe^Jane")
        (item,) = await at.ask(worklist.EVERYTHING)
        values = performed.in_progress(item, number="PPS1", station="CT1", modality="CT", start="20261124100000")
        assert (await begin(at, values)).status == 0
        assert await at.ask(worklist.EVERYTHING) == []
        assert state_of(at, step) is StepState.STARTED
        assert (await change(at, done("COMPLETED", "1.2.3.4"))).status == 0
        assert state_of(at, step) is StepState.COMPLETED
        assert str(at.hospital.get(order).state) == "COMPLETED"
        found = kept(at)
        assert found is not None
        assert (found.steps, found.order) == ((step.ref,), order.ref)


async def test_append_and_unscheduled_are_taken_and_said(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        at.hospital.planned("4711")
        (item,) = await at.ask(worklist.EVERYTHING)
        for number in ("1.2.1", "1.2.2"):
            values = performed.in_progress(item, number=number, station="CT1", modality="CT", start="20261124100000")
            assert (await begin(at, values, number)).status == 0
            assert (await change(at, done("COMPLETED", f"{number}.1"), number)).status == 0
        assert (await begin(at, create_values(patient={0x00100020: ("4711",)}), "1.2.3")).status == 0
        events = at.hospital.ris.look(lambda view: view.events(0))
        cases = [event.detail["case"] for event in events if event.kind == "performed-created"]
        assert cases == ["scheduled", "append", "unscheduled"]


def state_of(at: Workflow, step: ScheduledStep) -> StepState:
    found: ScheduledStep = at.hospital.get(step)
    return found.state
