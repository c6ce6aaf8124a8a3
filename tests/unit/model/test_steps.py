"""The state grids: what the tables must hold, whatever else is put into them."""

from __future__ import annotations

from typing import Any

import pytest

from vesalius.model.errors import WrongState
from vesalius.model.steps import (
    ORDER_DONE,
    ORDER_GRID,
    PERFORMED_GRID,
    STEP_DONE,
    STEP_GRID,
    OrderState,
    OrderVerb,
    PerformedState,
    PerformedVerb,
    StepState,
    StepVerb,
    advance,
    can,
)

GRIDS: list[tuple[Any, Any, Any, Any]] = [
    (ORDER_GRID, OrderState, OrderVerb, OrderState.PLACED),
    (STEP_GRID, StepState, StepVerb, StepState.SCHEDULED),
    (PERFORMED_GRID, PerformedState, PerformedVerb, PerformedState.IN_PROGRESS),
]


@pytest.mark.parametrize(("grid", "states", "verbs", "first"), GRIDS)
def test_every_state_is_reached_and_every_verb_does_something(grid: Any, states: Any, verbs: Any, first: Any) -> None:
    reached, left = {first}, [first]
    while left:
        state = left.pop()
        for (held, _), (after, clause) in grid.items():
            assert clause
            if held == state and after not in reached:
                reached.add(after)
                left.append(after)
    assert reached == set(states)
    assert {verb for _, verb in grid} == set(verbs)


@pytest.mark.parametrize(("grid", "states", "verbs", "first"), GRIDS)
def test_what_has_no_cell_is_refused_with_what_is_possible(grid: Any, states: Any, verbs: Any, first: Any) -> None:
    for state in states:
        for verb in verbs:
            if can(grid, state, verb):
                assert advance(grid, state, verb) == grid[state, verb][0]
                continue
            with pytest.raises(WrongState) as refused:
                advance(grid, state, verb)
            assert str(state) in refused.value.message
            assert all(str(other) in refused.value.hint for held, other in grid if held == state)


def test_a_final_performed_step_has_no_way_out() -> None:
    assert {state for state, _ in PERFORMED_GRID} == {PerformedState.IN_PROGRESS}


def test_whatever_was_planned_a_modality_may_begin() -> None:
    assert all(can(STEP_GRID, state, StepVerb.START) for state in StepState)
    assert all(can(ORDER_GRID, state, OrderVerb.START) for state in OrderState)


def test_what_is_done_is_not_moved_by_the_desk_but_to_plan_it_again() -> None:
    for state in STEP_DONE - {StepState.NO_SHOW, StepState.DISCONTINUED}:
        assert {verb for held, verb in STEP_GRID if held == state} == {StepVerb.START}
    for state in ORDER_DONE:
        assert {verb for held, verb in ORDER_GRID if held == state} <= {OrderVerb.START, OrderVerb.SCHEDULE}
