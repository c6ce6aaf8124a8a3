from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.elements import explicit, implicit, item, pixels, undefined

from vesalius.backends.pixels_dataset import BIG, EXPLICIT, IMPLICIT, WORD, Encoding, Reader, write
from vesalius.model.errors import CannotTranscode

VRS = ("US", "SS", "UL", "SL", "FL", "FD", "AT", "OB", "OW", "OD", "OL", "UN", "LO", "UT", "PN", "DS", "UV", "SV")


def element(tag: int, vr: str, raw: bytes) -> bytes:
    return explicit(tag, vr, raw[: len(raw) // WORD.get(vr, 2) * WORD.get(vr, 2)])


values = st.tuples(st.sampled_from(VRS), st.binary(max_size=40))
flat = st.lists(values, max_size=6).map(
    lambda found: b"".join(element(0x00091000 + n, vr, raw) for n, (vr, raw) in enumerate(found))
)
nested = st.recursive(
    flat,
    lambda inner: st.tuples(inner, st.lists(inner, max_size=3), st.booleans()).map(
        lambda parts: (
            parts[0]
            + (
                undefined(0x00111000, "SQ", *[item(each, 0xFFFFFFFF) for each in parts[1]])
                if parts[2]
                else explicit(0x00111000, "SQ", b"".join(map(item, parts[1])))
            )
        )
    ),
    max_leaves=8,
)


def turn(data: bytes, source: Encoding, target: Encoding) -> bytes:
    return write(Reader(data, source).read(), source, target)


@given(nested)
def test_to_big_endian_and_back_is_the_same_to_the_last_byte(data: bytes) -> None:
    assert turn(data, EXPLICIT, EXPLICIT) == data
    assert turn(turn(data, EXPLICIT, BIG), BIG, EXPLICIT) == data


@given(nested)
def test_implicit_keeps_every_value(data: bytes) -> None:
    assert turn(turn(data, EXPLICIT, IMPLICIT), IMPLICIT, IMPLICIT) == turn(data, EXPLICIT, IMPLICIT)


@given(st.binary(max_size=200), st.sampled_from([EXPLICIT, IMPLICIT, BIG]))
def test_no_bytes_bring_forth_anything_but_the_error(data: bytes, source: Encoding) -> None:
    try:
        turn(data, source, EXPLICIT)
    except CannotTranscode:
        return


@pytest.mark.parametrize(
    ("context", "tag", "vr"),
    [
        ({}, 0x00280106, "US"),
        ({0x00280103: 1}, 0x00280106, "SS"),
        ({0x00280103: 0}, 0x00280120, "US"),
        ({0x00280100: 8}, 0x7FE00010, "OB"),
        ({0x00280100: 16}, 0x7FE00010, "OW"),
        ({}, 0x00100010, "PN"),
        ({}, 0x00090010, "LO"),
        ({}, 0x00091001, "UN"),
        ({}, 0x60003000, "OW"),
    ],
)
def test_the_vr_that_implicit_does_not_say_is_found(context: dict[int, int], tag: int, vr: str) -> None:
    elements = {**{each: struct.pack("<H", value) for each, value in context.items()}, tag: b"ab"}
    data = b"".join(implicit(each, value) for each, value in sorted(elements.items()))
    found = turn(data, IMPLICIT, EXPLICIT)
    assert explicit(tag, vr, b"ab") in found


def test_an_item_inherits_what_decides_a_vr() -> None:
    inner = implicit(0x00280106, b"\1\0")
    data = implicit(0x00280103, b"\1\0") + implicit(0x00409096, item(inner))
    assert explicit(0x00280106, "SS", b"\1\0") in turn(data, IMPLICIT, EXPLICIT)


def test_a_sequence_hidden_in_un_is_kept_as_it_is() -> None:
    hidden = explicit(0x00091001, "UN", item(implicit(0x00091002, b"ab")), 0xFFFFFFFF) + b"\xfe\xff\xdd\xe0\0\0\0\0"
    assert turn(hidden, EXPLICIT, EXPLICIT) == hidden
    assert turn(turn(hidden, EXPLICIT, IMPLICIT), IMPLICIT, IMPLICIT) == hidden[:4] + hidden[8:]


def test_a_value_too_long_for_its_vr_becomes_un() -> None:
    data = implicit(0x00081030, b"x" * 70_000)
    assert turn(data, IMPLICIT, EXPLICIT) == explicit(0x00081030, "UN", b"x" * 70_000)


def test_fragments_pass_unharmed() -> None:
    data = pixels(b"ab", b"cdef", table=b"\0\0\0\0")
    assert turn(data, EXPLICIT, EXPLICIT) == data


def test_pixel_cells_of_32_bits_are_swapped_whole() -> None:
    data = explicit(0x00280100, "US", b"\x20\0") + explicit(0x7FE00010, "OW", b"\1\2\3\4")
    assert turn(data, EXPLICIT, BIG).endswith(b"\4\3\2\1")
