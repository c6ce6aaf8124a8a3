"""One error tree, several look-ups: the same keys in each."""

from __future__ import annotations

from vesalius.cli.exit_codes import EXIT_CODE_OF, FAILED, exit_code
from vesalius.dimse.errors import STATUS_OF
from vesalius.model import errors


def tree(root: type[errors.VesaliusError]) -> set[type[errors.VesaliusError]]:
    found = {root} if root.__module__ == errors.__name__ else set()
    for inner in root.__subclasses__():
        found |= tree(inner)
    return found


def test_every_error_of_the_tree_has_an_exit_code_and_a_status() -> None:
    assert set(EXIT_CODE_OF) == set(STATUS_OF) == tree(errors.VesaliusError)


def test_a_subclass_without_its_own_code_takes_that_of_its_parent() -> None:
    class Special(errors.PeerUnreachable):
        pass

    assert exit_code(Special("x")) == 3
    assert exit_code(ValueError()) == FAILED


def test_no_error_is_a_success() -> None:
    assert all(code in (1, 2, 3, 4, 5) for code in EXIT_CODE_OF.values())
