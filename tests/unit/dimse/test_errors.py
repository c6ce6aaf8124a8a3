"""The table from errors to statuses."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vesalius.dimse.errors import STATUS_OF, answer_for, error_comment
from vesalius.model import errors


def _tree(cls: type[errors.VesaliusError]) -> set[type[errors.VesaliusError]]:
    return {cls}.union(*(_tree(sub) for sub in cls.__subclasses__() if sub.__module__ == errors.__name__))


def test_every_error_of_the_tree_has_a_status_and_no_other_has() -> None:
    assert set(STATUS_OF) == _tree(errors.VesaliusError)


def test_an_error_from_outside_the_tree_keeps_its_text_to_itself() -> None:
    answer = answer_for(ValueError("Doe^Jane"))
    assert answer.status >> 12 == 0xC
    assert "Doe" not in answer.comment


def test_a_subclass_of_the_tree_is_answered_as_its_parent() -> None:
    class Special(errors.OutOfResources):
        pass

    answer = answer_for(Special("no room", offending=(0x00080018,)))
    assert (answer.status, answer.offending) == (0xA700, (0x00080018,))


@given(st.text())
def test_an_error_comment_is_a_legal_lo_whatever_it_is_made_of(text: str) -> None:
    comment = error_comment(text)
    assert len(comment) <= 64
    assert all(" " <= c <= "~" and c != "\\" for c in comment)
