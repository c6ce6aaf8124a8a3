"""Any split of the bytes gives the same header; any bytes are read or refused, never anything else."""

from __future__ import annotations

import zlib

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.elements import UNDEFINED, delimiter, explicit, implicit, item, pixels, undefined

from vesalius.model import elements_reader
from vesalius.model.elements import Header, HeaderLimits, HeaderReader, read_header
from vesalius.model.elements_runs import runs_of
from vesalius.model.errors import VesaliusError
from vesalius.standard.transfer_syntaxes import DEFLATED_LE, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, JPEG_BASELINE

SMALL = HeaderLimits(
    kept_bytes=4096,
    value_bytes=70,
    sequence_bytes=300,
    depth=4,
    elements=60,
    inflated_bytes=20_000,
    offset_table_bytes=24,
)
VALUES = st.binary(max_size=120)
TAGS = st.sampled_from([0x00080005, 0x00080050, 0x00100010, 0x00100020, 0x00280008, 0x00280010, 0x00280100, 0x00091001,
                        0x00091002, 0x00189999, 0x7FE00001, 0xFFFCFFFC])  # fmt: skip
VRS = st.sampled_from(["LO", "PN", "US", "IS", "OB", "UN", "UT", "OV", "ZZ"])
PLAIN = st.builds(explicit, TAGS, VRS, VALUES)
FLAT = st.builds(lambda parts: b"".join(parts), st.lists(PLAIN, max_size=4))


def sequences(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    items = st.lists(st.builds(item, inner, st.sampled_from([None, UNDEFINED])), max_size=3).map(b"".join)
    tags = st.sampled_from([0x00081032, 0x00081115, 0x00091003, 0x00400275])
    whole = st.builds(explicit, tags, st.just("SQ"), items)
    open_ended = st.builds(undefined, tags, st.sampled_from(["SQ", "UN"]), items)
    return st.builds(lambda before, nested: before + nested, inner, st.one_of(whole, open_ended))


NESTED = st.recursive(FLAT, sequences, max_leaves=6)
FRAGMENTS = st.lists(st.one_of(VALUES, st.just(b"\xff\xd8\xff\xe0")), max_size=5)
PIXELS = st.one_of(
    st.just(b""),
    st.builds(lambda parts, table: pixels(*parts, table=table), FRAGMENTS, st.binary(max_size=32)),
    st.builds(explicit, st.just(0x7FE00010), st.just("OW"), VALUES),
)
TAILS = st.one_of(st.just(b""), st.just(b"\0"), st.binary(max_size=6), st.just(delimiter()))
DATA = st.builds(lambda *parts: b"".join(parts), NESTED, PIXELS, TAILS)
SYNTAXES = st.sampled_from([EXPLICIT_LE, JPEG_BASELINE, DEFLATED_LE, IMPLICIT_LE, EXPLICIT_BE])
CUTS = st.lists(st.integers(1, 60), min_size=1, max_size=40)


def outcome(reader: HeaderReader, chunks: list[bytes]) -> Header | tuple[type, str]:
    """The header, or the kind of error. What is offending may be seen earlier or later."""
    try:
        for chunk in chunks:
            reader.feed(chunk)
        return reader.finish()
    except VesaliusError as error:
        return type(error), ""


def split(data: bytes, sizes: list[int]) -> list[bytes]:
    chunks, pos, turn = [], 0, 0
    while pos < len(data):
        size = sizes[turn % len(sizes)]
        chunks.append(data[pos : pos + size])
        pos += size
        turn += 1
    return chunks


def whole(data: bytes, syntax: str, limits: HeaderLimits) -> Header | tuple[type, str]:
    try:
        return read_header(data, syntax, limits)
    except VesaliusError as error:
        return type(error), ""


def check(data: bytes, syntax: str, sizes: list[int], limits: HeaderLimits, window: int) -> None:
    kept = elements_reader._WINDOW
    elements_reader._WINDOW = window
    try:
        assert outcome(HeaderReader(syntax, limits), split(data, sizes)) == whole(data, syntax, limits)
    finally:
        elements_reader._WINDOW = kept


@settings(max_examples=400, deadline=None)
@given(data=DATA, syntax=SYNTAXES, sizes=CUTS, small=st.booleans(), window=st.sampled_from([1, 8, 64, 65536]))
def test_any_split_gives_the_same_header(data: bytes, syntax: str, sizes: list[int], small: bool, window: int) -> None:
    if syntax == DEFLATED_LE:
        stream = zlib.compressobj(wbits=-15)
        data = stream.compress(data) + stream.flush()
    check(data, syntax, sizes, SMALL if small else HeaderLimits(), window)


@settings(max_examples=300, deadline=None)
@given(data=DATA, place=st.integers(0, 1 << 30), byte=st.integers(0, 255), syntax=SYNTAXES, sizes=CUTS)
def test_one_wrong_byte_is_read_or_refused_the_same_way(
    data: bytes, place: int, byte: int, syntax: str, sizes: list[int]
) -> None:
    if data:
        place %= len(data)
        data = data[:place] + bytes([byte]) + data[place + 1 :]
    check(data, syntax, sizes, SMALL, 8)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=300), syntax=SYNTAXES, sizes=CUTS)
def test_noise_is_read_or_refused_the_same_way(data: bytes, syntax: str, sizes: list[int]) -> None:
    check(data, syntax, sizes, HeaderLimits(), 8)


@settings(max_examples=200, deadline=None)
@given(parts=st.lists(st.builds(implicit, TAGS, VALUES), max_size=12).map(b"".join), sizes=CUTS)
def test_implicit_data_sets_too(parts: bytes, sizes: list[int]) -> None:
    check(parts, IMPLICIT_LE, sizes, SMALL, 8)


@settings(max_examples=300, deadline=None)
@given(
    pool=st.lists(st.one_of(PLAIN, NESTED), min_size=1, max_size=6),
    orders=st.lists(st.lists(st.integers(0, 5), max_size=12), min_size=2, max_size=8),
    syntax=SYNTAXES,
    sizes=CUTS,
    small=st.booleans(),
)
def test_what_was_read_before_never_changes_a_header(
    pool: list[bytes], orders: list[list[int]], syntax: str, sizes: list[int], small: bool
) -> None:
    """Data sets made of the same pieces, one after the other, and each as if it were the first of all."""
    limits = SMALL if small else HeaderLimits()
    sets = [b"".join(pool[place % len(pool)] for place in sorted(order)) for order in orders] * 2
    runs_of.cache_clear()
    warm = [(outcome(HeaderReader(syntax, limits), split(data, sizes)), whole(data, syntax, limits)) for data in sets]
    for data, headers in zip(sets, warm, strict=True):
        runs_of.cache_clear()
        cold = whole(data, syntax, limits)
        assert headers == (cold, cold)


@settings(max_examples=200, deadline=None)
@given(data=DATA)
def test_whatever_was_accepted_can_be_asked_for(data: bytes) -> None:
    """Values and items of an accepted header are there as text, or `CannotUnderstand` for a UN that is no sequence."""
    try:
        header = read_header(data, JPEG_BASELINE)
    except VesaliusError:
        return
    for tag, (vr, _) in header.elements.items():
        if vr == "SQ":
            assert isinstance(header.items(tag), tuple)
        else:
            assert all(isinstance(value, str) for value in header.values(tag))
            header.text(tag)
