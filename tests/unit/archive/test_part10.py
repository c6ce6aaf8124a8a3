from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.archive import claim_of, dataset_of
from tests.support.generate import ct, part10

from vesalius.archive.part10 import HEAD, LARGEST_META, NotDicom, PushedFile, open_part10
from vesalius.model.entities import Claim
from vesalius.model.errors import CannotUnderstand, VesaliusError
from vesalius.model.file_meta import file_prefix

FILE = part10(ct())


class Dripping(BytesIO):
    """Gives at most seven bytes at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size if size is not None and size >= 0 else 7, 7))


@pytest.mark.parametrize("stream", [BytesIO, Dripping])
def test_body_and_rest_together_are_the_data_set(stream: type[BytesIO]) -> None:
    file = part10(ct(rows=512, columns=512))
    source = stream(file)
    opened = open_part10(source)
    assert opened.claim == claim_of(ct())
    rest = b"".join(iter(lambda: source.read(HEAD), b""))
    assert opened.body + rest == dataset_of(file)


@pytest.mark.parametrize(
    "syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"]
)
def test_the_claim_is_read_from_the_data_set_in_every_encoding(syntax: str) -> None:
    written = part10(ct(), syntax)
    stale = file_prefix(Claim("1.2.3", "4.5.6", syntax)) + dataset_of(written)
    assert open_part10(BytesIO(stale)).claim == claim_of(ct(), syntax)


def test_the_meta_information_steps_in_where_the_data_set_hides_its_uids() -> None:
    file = file_prefix(Claim("1.2.3", "4.5.6", "1.2.840.10008.1.2.1")) + b"\x08\0\x06\0SQ\0\0\xff\xff\xff\xff"
    assert open_part10(BytesIO(file)).claim == Claim("1.2.3", "4.5.6", "1.2.840.10008.1.2.1")


def test_what_is_no_dicom_file_is_told_apart() -> None:
    for data in (b"", b"DICO", b"hello", bytes(200), b"PK\x03\x04" * 50):
        with pytest.raises(NotDicom):
            open_part10(BytesIO(data))


@given(st.binary(max_size=300), st.integers(0, 400), st.booleans())
def test_no_bytes_bring_forth_anything_but_the_errors_of_the_tree(junk: bytes, at: int, raw: bool) -> None:
    for data in (junk, FILE[:at] + junk + FILE[at + len(junk) :], FILE[:at], bytes(128) + b"DICM" + junk):
        try:
            open_part10(BytesIO(data), raw_data_sets=raw)
        except VesaliusError as error:
            assert isinstance(error, CannotUnderstand)


@pytest.mark.parametrize("piece", [1, 100, HEAD - 1, HEAD, HEAD + 1, 200_000, 1 << 20])
@pytest.mark.parametrize("meta", [0, 3 * HEAD])
def test_a_file_that_is_pushed_is_opened_like_one_that_is_read(piece: int, meta: int) -> None:
    """Also one whose meta information is longer than what is looked at first."""
    file = part10(ct(rows=512, columns=512))
    prefix = len(file) - len(dataset_of(file))
    private = b"\x02\0\x02\x01OB\0\0" + meta.to_bytes(4, "little") + bytes(meta) if meta else b""
    file = file[:prefix] + private + file[prefix:]
    pushed, opened, at = PushedFile(), None, 0
    while opened is None and at < len(file):
        opened = pushed.feed(memoryview(file)[at : at + piece])
        at += piece
    opened = opened or pushed.finish()
    assert opened.claim == open_part10(BytesIO(file)).claim == claim_of(ct())
    assert bytes(opened.body) + file[at:] == dataset_of(part10(ct(rows=512, columns=512)))


def test_a_large_piece_that_is_pushed_is_not_copied() -> None:
    file = part10(ct(rows=512, columns=512))
    opened = PushedFile().feed(file)
    assert opened is not None
    assert opened.body.obj is file


def test_meta_information_that_never_ends_is_not_gathered_for_ever() -> None:
    endless = bytes(128) + b"DICM" + b"\x02\0\x02\x01OB\0\0\xff\xff\xff\x7f"
    pushed, given = PushedFile(), 0
    with pytest.raises(CannotUnderstand, match="cut short or longer"):
        while given < 8 * LARGEST_META:
            pushed.feed(endless if not given else bytes(HEAD))
            given += HEAD
    assert given <= 4 * LARGEST_META
