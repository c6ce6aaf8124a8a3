"""The printed table is the standard's, and what we add to it is said."""

from __future__ import annotations

from pynetdicom.fsm import TRANSITION_TABLE

from vesalius.wire.ul_table import ACTIONS, EXTENSIONS, STANDARD, TABLE, Cause, State


def test_the_table_has_the_standards_123_cells_of_247():
    assert len(STANDARD) == 123
    assert len(Cause) * len(State) == 247


def test_every_cell_equals_a_second_implementation():
    ours = {(cause.value, state.value): action for (cause, state), action in STANDARD.items()}
    assert ours == TRANSITION_TABLE


def test_extensions_fill_only_blank_cells_and_each_has_its_reason():
    for extension in EXTENSIONS:
        assert (extension.cause, extension.state) not in STANDARD
        assert TABLE[extension.cause, extension.state] == extension.action
        assert len(extension.reason) > 20
    assert len(TABLE) == len(STANDARD) + len(EXTENSIONS)


def test_every_action_of_the_table_is_described_and_every_description_is_used():
    assert set(TABLE.values()) == set(ACTIONS)
    assert {name for name, action in ACTIONS.items() if len(action.next_states) == 2} == {"AE-6", "AR-8"}
