"""UIDs and AE titles."""

from __future__ import annotations

import uuid

import pytest

from vesalius.model import identifiers


@pytest.mark.parametrize("uid", ["1.2", "0.0", "2.25.0", "1.2.840.10008.1.1", "1." + "2" * 62])
def test_legal_uids_are_accepted(uid: str) -> None:
    assert identifiers.is_valid_uid(uid)


@pytest.mark.parametrize(
    "uid", ["", "1", "1.", ".1", "1..2", "1.02", "1.2 ", "1.2\0", "1.a", "1.2/..", "1." + "2" * 63, "1.2\n", "1.٣"]
)
def test_illegal_uids_are_refused(uid: str) -> None:
    assert not identifiers.is_valid_uid(uid)


def test_leading_zeros_are_tolerable_but_not_valid() -> None:
    assert identifiers.is_tolerable_uid("1.2.030")
    assert not identifiers.is_valid_uid("1.2.030")
    assert not identifiers.is_tolerable_uid("1.2.../")
    assert not identifiers.is_tolerable_uid("1.2.3\n")


def test_padding_is_not_part_of_a_uid() -> None:
    assert identifiers.clean_uid("1.2.3\0") == "1.2.3"
    assert identifiers.clean_uid(" 1.2.3 ") == "1.2.3"


def test_new_uids_are_valid_and_differ() -> None:
    made = {identifiers.new_uid() for _ in range(100)}
    assert len(made) == 100
    assert all(identifiers.is_valid_uid(uid) for uid in made)
    assert identifiers.new_uid(uuid.UUID(int=7)) == "2.25.7"
    assert identifiers.is_valid_uid(identifiers.IMPLEMENTATION_CLASS_UID)


def test_ae_titles_keep_to_their_repertoire() -> None:
    assert identifiers.is_valid_aet("STORE SCP")
    assert identifiers.is_valid_aet("a-16-characters!")
    for title in ("", "   ", "SEVENTEEN_LETTERS", "BACK\\SLASH", "NEW\nLINE", "ÄRZTE", "TAB\t"):
        assert not identifiers.is_valid_aet(title)
    assert identifiers.clean_aet("  ARCHIVE        ") == "ARCHIVE"
