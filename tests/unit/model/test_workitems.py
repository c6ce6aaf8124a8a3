"""The grid of a workitem's states: every cell of Table CC.1.1-2, and what no order of events can do."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.workitems import DONE, values

from vesalius.model import workitems as w
from vesalius.model.entities import Values
from vesalius.model.errors import WrongState
from vesalius.model.query import Options
from vesalius.model.workitem_query import parse
from vesalius.model.workitems import GRID, Cell, Refused, Workitem, WorkitemState, WorkitemVerb, missing_for, step

S, V = WorkitemState, WorkitemVerb

# As Table CC.1.1-2 prints it. Columns: SCHEDULED, IN PROGRESS, COMPLETED, CANCELED.
PRINTED = {
    (V.CLAIM, True): ("IN PROGRESS", 0xC302, 0xC300, 0xC300),
    (V.CLAIM, False): (0xC301, 0xC301, 0xC301, 0xC301),
    (V.RETURN, True): (0xC303, 0xC303, 0xC303, 0xC303),
    (V.RETURN, False): (0xC303, 0xC303, 0xC303, 0xC303),
    (V.COMPLETE, True): (0xC310, "COMPLETED", 0xB306, 0xC300),
    (V.COMPLETE, False): (0xC301, 0xC301, 0xC301, 0xC301),
    (V.CANCEL, True): (0xC310, "CANCELED", 0xC300, 0xB304),
    (V.CANCEL, False): (0xC301, 0xC301, 0xC301, 0xC301),
    (V.ASK_TO_CANCEL, True): ("CANCELED", "IN PROGRESS", 0xC311, 0xB304),
    (V.ASK_TO_CANCEL, False): ("CANCELED", "IN PROGRESS", 0xC311, 0xB304),
    # PS3.4 CC.2.6
    (V.UPDATE, True): (0xC310, "IN PROGRESS", 0xC300, 0xC300),
    (V.UPDATE, False): ("SCHEDULED", 0xC301, 0xC300, 0xC300),
}


@pytest.mark.parametrize(("verb", "key"), PRINTED)
def test_the_grid_is_the_printed_table(verb: WorkitemVerb, key: bool) -> None:
    for state, printed in zip(S, PRINTED[verb, key], strict=True):
        cell = GRID[state, verb, key]
        assert (cell.to if isinstance(printed, str) else cell.status) == printed, (state, verb)


def test_the_grid_has_a_cell_for_everything_that_can_be_asked_of_every_state() -> None:
    assert set(GRID) == set(itertools.product(S, V, (True, False)))
    refused = {cell.status for cell in GRID.values() if cell.to is None}
    assert refused <= set(w.MEANING)


@given(st.lists(st.tuples(st.sampled_from(V), st.sampled_from(["", "1.2.3", "1.2.4"])), max_size=30))
def test_no_order_of_events_leaves_a_final_state_or_takes_a_key_from_its_owner(
    events: list[tuple[WorkitemVerb, str]],
) -> None:
    item = Workitem("1.2", S.SCHEDULED)
    for verb, key in events:
        before = item
        try:
            cell: Cell = step(item.state, verb, w.claimed_by(item, key))
        except Refused:
            continue
        if cell.to is None:
            continue
        lock = key if verb is V.CLAIM else item.lock or ("9.9" if cell.to in w.FINAL else "")
        item = Workitem("1.2", cell.to, lock=lock)
        assert before.state not in w.FINAL
        assert not before.lock or item.lock == before.lock
        if item.state is not before.state and before.state is S.IN_PROGRESS:
            assert key == before.lock
        if item.state is S.COMPLETED:
            assert before.state is S.IN_PROGRESS


def test_a_refusal_is_a_wrong_state_with_its_status_and_says_what_is_so() -> None:
    with pytest.raises(WrongState) as caught:
        step(S.COMPLETED, V.UPDATE, True)
    assert isinstance(caught.value, Refused)
    assert caught.value.status == 0xC300
    assert caught.value.hint == "it is COMPLETED"


def test_completed_needs_station_times_and_code_of_what_was_performed() -> None:
    assert missing_for(S.COMPLETED, values()) == (w.PERFORMED,)
    assert missing_for(S.COMPLETED, DONE) == ()
    (item,) = DONE[w.PERFORMED]
    assert isinstance(item, dict)
    without_end: Values = {**item, 0x00404051: ()}
    assert missing_for(S.COMPLETED, {w.PERFORMED: (without_end,)}) == (0x00404051,)


def item_of(**more: tuple[str, ...]) -> Workitem:
    return Workitem("1.2.840.1", S.SCHEDULED, values(**more))


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({}, True),
        ({w.STATE: ("SCHEDULED",)}, True),
        ({w.STATE: ("COMPLETED",)}, False),
        ({w.SOP_INSTANCE_UID: ("1.2.840.1",)}, True),
        ({w.PATIENT_NAME: ("doe*",)}, True),
        ({w.PATIENT_NAME: ("ro*",)}, False),
        ({w.LABEL: ("Lung*",)}, True),
        ({w.START: ("20260101-20260102",)}, True),
        ({w.START: ("20260102-",)}, False),
        ({w.START: ("202601010900-202601011000",)}, True),
        ({w.STATION_NAMES: ({0x00080100: ("CAD1",)},)}, True),
        ({w.STATION_NAMES: ({0x00080100: ("CAD2",)},)}, False),
        ({w.STATION_NAMES: ({0x00080100: ("CAD1",), 0x00080102: ("OTHER",)},)}, False),
        ({w.REFERENCED_REQUESTS: ({0x00080050: ("A1",)},)}, False),
        ({w.TRANSACTION_UID: ("9.9.9",)}, True),
    ],
)
def test_questions_match_as_everywhere(keys: dict[int, tuple[object, ...]], found: bool) -> None:
    assert parse(keys).matches(item_of()) is found  # type: ignore[arg-type]


def test_a_lock_is_never_answered_even_where_it_is_asked_for() -> None:
    meaning: Values = {0x00080104: ()}
    query = parse({w.TRANSACTION_UID: (), w.STATE: (), w.LABEL: (), w.STATION_NAMES: (meaning,)})
    answer = query.answer(Workitem("1.2", S.IN_PROGRESS, values(), lock="9.9.9"))
    assert answer == {
        w.STATE: ("IN PROGRESS",),
        w.LABEL: ("Lung CAD",),
        w.STATION_NAMES: ({0x00080104: ("CAD station 1",)},),
    }


def test_an_empty_value_is_matched_where_that_was_agreed() -> None:
    options = Options(empty_value_matching=True)
    assert parse({w.STUDY_INSTANCE_UID: ('""',)}, options).matches(item_of())
    assert not parse({w.PATIENT_ID: ('""',)}, options).matches(item_of())
