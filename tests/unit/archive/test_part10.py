from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.archive import claim_of, dataset_of
from tests.support.generate import ct, part10

from vesalius.archive.part10 import HEAD, NotDicom, open_part10
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
