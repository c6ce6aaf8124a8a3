"""The header walker: what it holds, what it passes over, what it notes, and what it refuses (rows S1-S7, S9, S15)."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import pytest
from tests.support.elements import (
    ITEM_END,
    SEQUENCE_END,
    UNDEFINED,
    delimiter,
    explicit,
    implicit,
    item,
    pixels,
    undefined,
)

from vesalius.model.elements import Header, HeaderLimits, HeaderReader, read_header
from vesalius.model.errors import CannotUnderstand, LimitExceeded
from vesalius.standard.transfer_syntaxes import (
    DEFLATED_LE,
    EXPLICIT_BE,
    EXPLICIT_LE,
    GE_PRIVATE_BE_PIXELS,
    IMPLICIT_LE,
    JPEG_BASELINE,
    RLE_LOSSLESS,
)

PIXEL_DATA = 0x7FE00010
SHAPE = (
    explicit(0x00280002, "US", b"\1\0")
    + explicit(0x00280010, "US", b"\4\0")
    + explicit(0x00280011, "US", b"\4\0")
    + explicit(0x00280100, "US", b"\x08\0")
)
PATIENT = explicit(0x00100010, "PN", b"Doe^J ") + explicit(0x00100020, "LO", b"ID")


def codes(header: Header) -> list[tuple[str, int]]:
    return [(note.code, note.tag) for note in header.notes]


# -- what is held ------------------------------------------------------------------------------------------


def test_values_are_held_by_tag_with_their_vr() -> None:
    header = read_header(explicit(0x00080005, "CS", b"ISO_IR 100") + PATIENT, EXPLICIT_LE)
    assert header.elements[0x00100020] == ("LO", b"ID")
    assert header.text(0x00100010) == "Doe^J"
    assert header.charsets == ("ISO_IR 100",)
    assert header.notes == ()
    assert header.pixels is None


def test_absent_empty_and_multiple_values_are_told_apart() -> None:
    header = read_header(
        explicit(0x00080008, "CS", b"A\\B ") + explicit(0x00080050, "SH") + explicit(0x00280010, "US", b"\0\2"),
        EXPLICIT_LE,
    )
    assert header.text(0x00080060) is None
    assert header.text(0x00080050) == ""
    assert header.values(0x00080050) == header.values(0x00080060) == ()
    assert header.values(0x00080008) == ("A", "B")
    assert header.values(0x00280010) == ("512",)
    assert header.raw(0x00080050) == b""
    assert header.raw(0x00080060) is None
    assert 0x00080050 in header and 0x00080060 not in header


def test_implicit_elements_get_the_dictionarys_vr() -> None:
    data = implicit(0x00090010, b"ME") + implicit(0x00091001, b"\1\2") + implicit(0x00100020, b"ID")
    data += implicit(0x00280103, b"\1\0") + implicit(0x00280106, b"\xff\xff") + implicit(0x60000010, b"\2\0")
    header = read_header(data, IMPLICIT_LE)
    assert header.elements[0x00090010] == ("LO", b"ME")
    assert header.elements[0x00091001] == ("UN", b"\1\2")
    assert header.elements[0x00100020] == ("LO", b"ID")
    assert header.values(0x00280106) == ("-1",)
    assert header.elements[0x60000010] == ("US", b"\2\0")


def test_big_endian_numbers_are_read() -> None:
    data = explicit(0x00280010, "US", b"\2\0", order=">") + explicit(0x00281052, "DS", b"-1", order=">")
    data += undefined(0x00081032, "SQ", item(explicit(0x00280011, "US", b"\2\0", order=">"), order=">"), order=">")
    header = read_header(data, EXPLICIT_BE)
    assert header.values(0x00280010) == ("512",)
    assert header.items(0x00081032) == ({0x00280011: ("512",)},)


def test_sequences_are_held_and_decoded_when_asked() -> None:
    inner = explicit(0x00080100, "SH", b"CODE") + undefined(0x00081032, "SQ", item(b"", UNDEFINED))
    data = explicit(0x00081032, "SQ", item(inner)) + explicit(0x00081110, "SQ")
    data += undefined(0x00400275, "SQ", item(explicit(0x00400009, "SH", b"S1"), UNDEFINED), item())
    header = read_header(data, EXPLICIT_LE)
    assert header.items(0x00081032) == ({0x00080100: ("CODE",), 0x00081032: ({},)},)
    assert header.items(0x00081110) == ()
    assert header.items(0x00400275) == ({0x00400009: ("S1",)}, {})
    assert header.elements[0x00081032] == ("SQ", item(inner))
    assert header.vr(0x00081110) == "SQ"


def test_names_are_read_in_the_repertoire_of_the_data_set() -> None:
    data = explicit(0x00080005, "CS", b"ISO_IR 144") + explicit(0x00100010, "PN", "Люк".encode("iso8859_5") + b" ")
    assert read_header(data, EXPLICIT_LE).text(0x00100010) == "Люк"


def test_un_is_read_as_the_vr_of_the_dictionary() -> None:
    data = explicit(0x00100020, "UN", b"ID") + explicit(0x00280010, "UN", b"\0\2")
    data = explicit(0x00081032, "UN", item(implicit(0x00080100, b"AB"))) + data
    header = read_header(data, EXPLICIT_LE)
    assert header.text(0x00100020) == "ID"
    assert header.text(0x00280010) == "512"
    assert header.items(0x00081032) == ({0x00080100: ("AB",)},)
    assert header.notes == ()


# -- bounds ------------------------------------------------------------------------------------------------


def test_long_values_and_sequences_are_passed_over_not_held() -> None:
    big = explicit(0x00091001, "OB", b"\7" * 70_000)
    sequence = explicit(0x00091002, "SQ", item(explicit(0x00091003, "OB", b"\7" * 70_000)) * 100)
    for data in (big + sequence + PATIENT, PATIENT + pixels(b"\1" * 200_000)):
        header = read_header(data, JPEG_BASELINE)
        assert header.text(0x00100020) == "ID"
    header = read_header(big + sequence + PATIENT, EXPLICIT_LE)
    assert header.skipped == {0x00091001: ("OB", 70_000), 0x00091002: ("SQ", len(sequence) - 12)}
    assert header.raw(0x00091001) is None and 0x00091001 in header


def test_memory_does_not_grow_with_the_pixels() -> None:
    reader = HeaderReader(EXPLICIT_LE)
    chunk = bytes(1 << 20)
    reader.feed(PATIENT + SHAPE + explicit(PIXEL_DATA, "OW", b"", 1 << 30))
    tracemalloc.start()
    for _ in range(1 << 10):
        reader.feed(chunk)
    assert tracemalloc.get_traced_memory()[1] < 1 << 18
    tracemalloc.stop()
    header = reader.finish()
    assert header.pixels is not None
    assert header.pixels.length == 1 << 30
    assert header.length == len(PATIENT + SHAPE) + 12 + (1 << 30)


@pytest.mark.parametrize("kind", ["undefined sequence", "defined sequence", "fragments", "deflate"])
def test_memory_does_not_grow_with_anything_else(kind: str) -> None:
    syntax = JPEG_BASELINE
    part = item(explicit(0x00091001, "OB", bytes(60_000)))
    count = 2_000
    head = {
        "undefined sequence": explicit(0x00091000, "SQ", b"", UNDEFINED),
        "defined sequence": explicit(0x00091000, "SQ", b"", len(part) * count),
        "fragments": explicit(PIXEL_DATA, "OB", item(), UNDEFINED),
        "deflate": explicit(0x00091000, "SQ", b"", UNDEFINED),
    }[kind]
    tail = b"" if kind == "defined sequence" else delimiter()
    stream = zlib.compressobj(wbits=-15) if kind == "deflate" else None
    limits = HeaderLimits(inflated_ratio=2000)
    reader = HeaderReader(DEFLATED_LE if stream else syntax, limits)
    tracemalloc.start()
    for data in (head, *([part] * count), tail):
        reader.feed(stream.compress(data) if stream else data)
    if stream:
        reader.feed(stream.flush())
    header = reader.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20
    if kind == "fragments":
        assert header.pixels is not None and header.pixels.encapsulated
    else:
        assert header.skipped[0x00091000] == ("SQ", len(part) * count)


def test_a_header_beyond_the_limit_is_refused() -> None:
    data = b"".join(explicit(0x00091000 + number, "LT", b"x" * 60_000) for number in range(20))
    with pytest.raises(LimitExceeded):
        read_header(data, EXPLICIT_LE, HeaderLimits(kept_bytes=1 << 20))
    assert len(read_header(data, EXPLICIT_LE, HeaderLimits(kept_bytes=2 << 20)).elements) == 20


def test_sequences_beyond_the_budget_are_passed_over_before_anything_is_refused() -> None:
    part = explicit(0x00091001, "OB", bytes(60_000))
    data = b"".join(explicit(0x00091010 + number, "SQ", item(part)) for number in range(20)) + PATIENT
    header = read_header(data, EXPLICIT_LE, HeaderLimits(kept_bytes=1 << 20))
    assert 0 < len(header.skipped) < 20
    assert header.text(0x00100020) == "ID"


def test_too_many_elements_are_refused() -> None:
    limits = HeaderLimits(elements=1000)
    many = b"".join(explicit(0x00091000 + number, "LO", b"") for number in range(1001))
    with pytest.raises(LimitExceeded):
        read_header(many, EXPLICIT_LE, limits)
    with pytest.raises(LimitExceeded):
        read_header(explicit(0x00091000, "SQ", item() * 1001), EXPLICIT_LE, limits)
    with pytest.raises(LimitExceeded):
        read_header(explicit(0x00091000, "SQ", item(many[:-8] * 2) * 3), EXPLICIT_LE, limits)


def test_nested_values_may_be_long_whatever_the_element_limit() -> None:
    part = explicit(0x00091001, "OB", bytes(2 << 20))
    assert read_header(explicit(0x00091000, "SQ", item(part)), EXPLICIT_LE, HeaderLimits(elements=10)).elements


# -- S1: lengths that lie ----------------------------------------------------------------------------------

VRS = ["AE", "CS", "LO", "UI", "OB", "OW", "UN", "UT", "SQ", "US", "SV"]


@pytest.mark.parametrize("vr", VRS)
@pytest.mark.parametrize("length", [0xFFFFFFFE, 0x7FFFFFFF, 0x10000, 0xFFFF])
def test_a_length_beyond_the_data_set_is_refused_without_allocation(vr: str, length: int) -> None:
    long = vr in ("OB", "OW", "UN", "UT", "SQ", "SV")
    if not long and length > 0xFFFF:
        return
    data = PATIENT + explicit(0x00189999, vr, b"x" * 1000 if vr != "SQ" else b"", length)
    tracemalloc.start()
    with pytest.raises(CannotUnderstand) as caught:
        read_header(data, EXPLICIT_LE)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert caught.value.offending[0] == 0x00189999


def test_an_implicit_length_beyond_the_data_set_is_refused() -> None:
    with pytest.raises(CannotUnderstand) as caught:
        read_header(implicit(0x00100020, b"ID", 0xFFFFFFF0), IMPLICIT_LE)
    assert caught.value.offending == (0x00100020,)


def test_a_vr_yet_to_come_is_accepted_and_noise_is_not() -> None:
    header = read_header(explicit(0x00189999, "ZZ", b"1234") + PATIENT[:0], EXPLICIT_LE)
    assert header.elements[0x00189999] == ("UN", b"1234")
    assert codes(header) == [("unknown-vr", 0x00189999)]
    with pytest.raises(CannotUnderstand):
        read_header(struct.pack("<HH2sHI", 0x18, 0x9999, b"ZZ", 5, 0), EXPLICIT_LE)
    with pytest.raises(CannotUnderstand):
        read_header(struct.pack("<HH2sHI", 0x18, 0x9999, b"z9", 0, 0), EXPLICIT_LE)


# -- S2, S3: nesting and delimiters ------------------------------------------------------------------------


@pytest.mark.parametrize("length", ["defined", "undefined", "UN"])
@pytest.mark.parametrize("depth", [63, 64, 65, 2000])
def test_nesting_ends_at_the_limit(length: str, depth: int) -> None:
    data = b""
    for _ in range(depth):
        if length == "defined":
            data = explicit(0x00081032, "SQ", item(data))
        elif length == "undefined":
            data = undefined(0x00081032, "SQ", item(data, UNDEFINED))
        else:
            data = implicit(0x00081032, item(data, UNDEFINED) + delimiter(), UNDEFINED)
    if length == "UN":
        data = undefined(0x00091001, "UN", item(data))
    too_deep = depth + (length == "UN") > 64
    if not too_deep:
        assert read_header(data, EXPLICIT_LE).elements
        return
    with pytest.raises(CannotUnderstand) as caught:
        read_header(data, EXPLICIT_LE)
    assert "deep" in caught.value.message


BROKEN = {
    "undefined length of text": explicit(0x00104000, "UT", b"AB", UNDEFINED) + delimiter(),
    "undefined length of OB": explicit(0x00420011, "OB", b"AB", UNDEFINED) + delimiter(),
    "undefined length of LO in an item": explicit(0x00081032, "SQ", item(explicit(0x00104000, "UT", b"", UNDEFINED))),
    "stray item": item(),
    "stray item delimiter": delimiter(ITEM_END),
    "stray sequence delimiter": PATIENT + delimiter(),
    "stray delimiter in a defined item": explicit(0x00081032, "SQ", item(delimiter(ITEM_END))),
    "stray delimiter in a defined sequence": explicit(0x00081032, "SQ", item() + delimiter(SEQUENCE_END)),
    "item without delimiter": explicit(0x00081032, "SQ", item(b"", UNDEFINED)[:-8]),
    "sequence without delimiter": explicit(0x00081032, "SQ", item(), UNDEFINED),
    "sequence without delimiter, elements follow": explicit(0x00081032, "SQ", item(), UNDEFINED) + PATIENT,
    "element in place of an item": explicit(0x00081032, "SQ", PATIENT),
    "item longer than its sequence": explicit(0x00081032, "SQ", item(b"", 100)) + PATIENT * 5,
    "element longer than its item": explicit(0x00081032, "SQ", item(explicit(0x00100020, "LO", b"", 99))) + b"A" * 99,
    "nested sequence longer than its item": explicit(0x00081032, "SQ", item(explicit(0x00081032, "SQ", b"", 99)))
    + b"A" * 99,
    "rest of an item too short for an element": explicit(0x00081032, "SQ", item(b"\1\2\3")),
    "no VR": implicit(0x00100020, b"AB"),
    "no VR in an item": explicit(0x00081032, "SQ", item(PATIENT + implicit(0x00100020, b"AB"))),
    "cut in a header": PATIENT[:-5],
    "cut in a value": PATIENT[:-1],
    "cut in a long header": explicit(0x00091001, "UN", b"AB")[:10],
    "pixels cut": SHAPE + explicit(PIXEL_DATA, "OW", bytes(15), 16),
    "undefined length of native pixels": SHAPE + pixels(b"ab"),
    "undefined length of float pixels": explicit(0x7FE00008, "OF", b"", UNDEFINED) + delimiter(),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_structure_is_refused_with_the_offending_tag(name: str) -> None:
    with pytest.raises(CannotUnderstand) as caught:
        read_header(BROKEN[name], EXPLICIT_LE)
    assert caught.value.offending
    assert "Doe" not in caught.value.message


# -- S4 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", [EXPLICIT_LE, IMPLICIT_LE])
@pytest.mark.parametrize("tag", [0x00000002, 0x00000900, 0x00001031])
def test_a_command_element_in_a_data_set_is_refused(syntax: str, tag: int) -> None:
    vr = "UI" if tag == 2 else "US"
    data = implicit(tag, b"\1\0") if syntax == IMPLICIT_LE else explicit(tag, vr, b"\1\0")
    with pytest.raises(CannotUnderstand) as caught:
        read_header(data, syntax)
    assert caught.value.offending == (tag,)


DOUBLES = {
    "text": PATIENT + explicit(0x00100020, "LO", b"XX"),
    "far apart": explicit(0x00080050, "SH", b"A ") + PATIENT + explicit(0x00080050, "SH", b"B "),
    "private": explicit(0x00091001, "LO", b"A ") * 2,
    "sequence": explicit(0x00081032, "SQ", item()) * 2,
    "sequence and text": explicit(0x00081032, "SQ", item()) + explicit(0x00081032, "LO", b"A "),
    "long": explicit(0x00091001, "OB", bytes(70_000)) * 2,
    "pixels": (SHAPE + explicit(PIXEL_DATA, "OW", bytes(16)) + explicit(PIXEL_DATA, "OW", bytes(16))),
}


@pytest.mark.parametrize("name", DOUBLES)
def test_a_tag_that_occurs_twice_is_refused(name: str) -> None:
    with pytest.raises(CannotUnderstand) as caught:
        read_header(DOUBLES[name], EXPLICIT_LE)
    assert "twice" in caught.value.message


def test_order_odd_lengths_and_foreign_groups_are_noted_and_kept() -> None:
    data = explicit(0x00020010, "UI", b"1.2.840.1\0") + explicit(0x00100020, "LO", b"ODD")
    data += explicit(0x00080050, "SH", b"AB") + explicit(0x00280010, "US", b"\1\0") + explicit(0xFFFF0001, "LO", b"AB")
    header = read_header(data, EXPLICIT_LE)
    assert header.elements[0x00100020] == ("LO", b"ODD")
    assert header.elements[0x00080050] == ("SH", b"AB")
    assert codes(header) == [
        ("foreign-group", 0x00020010),
        ("odd-length", 0x00100020),
        ("tag-order", 0x00080050),
        ("foreign-group", 0xFFFF0001),
    ]


def test_a_vr_that_is_not_the_dictionarys_is_noted_and_kept() -> None:
    data = explicit(0x00080060, "LO", b"AB") + explicit(0x00100020, "UT", b"AB") + explicit(0x00189999, "OB", b"AB")
    data += explicit(0x00280010, "UL", b"\1\0\0\0") + explicit(0x00280106, "SS", b"\1\0")
    header = read_header(data, EXPLICIT_LE)
    assert codes(header) == [("vr-mismatch", 0x00080060), ("vr-mismatch", 0x00100020), ("vr-mismatch", 0x00280010)]
    assert header.elements[0x00100020] == ("UT", b"AB")
    assert header.values(0x00280010) == ("1",)


def test_notes_are_bounded_and_hold_no_values() -> None:
    data = b"".join(explicit(0x00180000 + 2 * number + 0x9000, "AE", b"SECRET") for number in range(500))
    header = read_header(data, EXPLICIT_LE)
    assert 0 < len(header.notes) <= 100
    assert not any("SECRET" in note.text for note in header.notes)


# -- native pixels -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "vr"), [(PIXEL_DATA, "OW"), (PIXEL_DATA, "OB"), (0x7FE00008, "OF"), (0x7FE00009, "OD")]
)
def test_native_pixels_are_found(tag: int, vr: str) -> None:
    data = SHAPE + explicit(tag, vr, bytes(16)) + explicit(0xFFFCFFFC, "OB", bytes(6))
    header = read_header(data, EXPLICIT_LE)
    assert header.pixels is not None
    assert (header.pixels.tag, header.pixels.offset, header.pixels.length) == (tag, len(SHAPE) + 12, 16)
    assert not header.pixels.encapsulated and header.pixels.frames == ()
    assert header.notes == ()
    assert header.skipped[tag] == (vr, 16)


def test_implicit_pixels_are_found_however_small() -> None:
    for syntax in (IMPLICIT_LE, GE_PRIVATE_BE_PIXELS):
        header = read_header(implicit(0x00280010, b"\1\0") + implicit(PIXEL_DATA, b"\1\2"), syntax)
        assert header.pixels is not None
        assert (header.pixels.offset, header.pixels.length) == (18, 2)


def shape(rows: bytes = explicit(0x00280010, "US", b"\4\0"), bits: bytes = b"\x08\0", frames: bytes = b"") -> bytes:
    """A description of 4 x 4 pixels, changed in one point."""
    head = explicit(0x00280008, "IS", frames) if frames else b""
    return head + rows + explicit(0x00280011, "US", b"\4\0") + explicit(0x00280100, "US", bits)


@pytest.mark.parametrize(
    "description",
    [
        shape(explicit(0x00280010, "US", b"\5\0")),
        shape(explicit(0x00280010, "UL", b"\0\0\0\1")),
        shape(b""),
        shape(bits=b""),
        shape(bits=b"\0\x10"),
        shape(frames=b"2147483647"),
        shape(frames=b"-1"),
        shape(frames=b"abc "),
    ],
)
def test_pixels_that_do_not_fit_their_description_are_noted(description: bytes) -> None:
    header = read_header(description + explicit(PIXEL_DATA, "OW", bytes(16)), EXPLICIT_LE)
    assert ("pixel-length", PIXEL_DATA) in codes(header)
    assert header.pixels is not None
    fitting = read_header(shape() + explicit(PIXEL_DATA, "OW", bytes(16)), EXPLICIT_LE)
    assert fitting.notes == ()


def test_native_pixels_in_an_encapsulated_syntax_are_noted() -> None:
    header = read_header(SHAPE + explicit(PIXEL_DATA, "OW", bytes(16)), JPEG_BASELINE)
    assert codes(header) == [("native-pixels", PIXEL_DATA)]
    assert header.pixels is not None and not header.pixels.encapsulated


# -- encapsulated pixels -----------------------------------------------------------------------------------

SOI = b"\xff\xd8\xff\xe0"


def frames_of(header: Header, data: bytes) -> list[bytes]:
    """The frames' bytes without item headers."""
    assert header.pixels is not None
    out = []
    for offset, length in header.pixels.frames:
        part, pos = b"", offset
        while pos < offset + length:
            assert data[pos : pos + 4] == b"\xfe\xff\x00\xe0"
            size = struct.unpack_from("<I", data, pos + 4)[0]
            part += data[pos + 8 : pos + 8 + size]
            pos += 8 + size
        out.append(part)
    return out


def frames_element(count: bytes) -> bytes:
    return explicit(0x00280008, "IS", count)


def table(*offsets: int) -> bytes:
    return struct.pack(f"<{len(offsets)}I", *offsets)


FRAMINGS = {
    "one frame, one fragment": (b"", pixels(b"aabb"), [b"aabb"], []),
    "one frame, fragments": (b"1 ", pixels(b"aa", b"bb"), [b"aabb"], []),
    "a fragment a frame": (b"3 ", pixels(b"aa", b"bb", b"cc"), [b"aa", b"bb", b"cc"], []),
    "basic table": (b"2 ", pixels(b"aa", b"bb", b"cccc", table=table(0, 20)), [b"aabb", b"cccc"], []),
    "codestreams": (b"2 ", pixels(SOI, b"bb", SOI + b"ab", b"cc"), [SOI + b"bb", SOI + b"abcc"], []),
    "table beside": (b"2 ", pixels(b"aa", b"bb", table=table(0, 12)), [b"aa", b"bb"], ["frame-index"]),
    "table not from 0": (b"2 ", pixels(b"aa", b"bb", table=table(10, 20)), [b"aa", b"bb"], ["frame-index"]),
    "table descends": (b"3 ", pixels(b"a", b"b", b"c", table=table(0, 18, 9)), [b"a", b"b", b"c"], ["frame-index"]),
    "table of one": (b"2 ", pixels(b"aa", b"bb", table=table(0)), [b"aa", b"bb"], ["frame-index"]),
    "more fragments than a bad table": (b"2 ", pixels(b"aa", b"bb", b"cc", table=table(0, 8)), [], ["frame-index"]),
    "fewer fragments than frames": (b"5 ", pixels(b"aa", b"bb"), [], ["frame-index"]),
    "no fragments": (b"1 ", pixels(), [], ["frame-index"]),
    "empty fragment": (b"2 ", pixels(b"aa", b""), [b"aa", b""], ["frame-index"]),
    "table of three bytes": (b"1 ", pixels(b"aa", table=b"\0\0\0"), [b"aa"], ["frame-index"]),
    "zero frames": (b"0 ", pixels(b"aa"), [], ["frame-index"]),
    "nonsense frames": (b"abc ", pixels(b"aa"), [b"aa"], []),
    "delimiter inside": (b"2 ", pixels(delimiter(), delimiter() * 2), [delimiter(), delimiter() * 2], []),
}  # fmt: skip


@pytest.mark.parametrize("name", FRAMINGS)
def test_frames_are_found(name: str) -> None:
    count, body, frames, notes = FRAMINGS[name]
    data = PATIENT + (frames_element(count) if count else b"") + body + explicit(0xFFFCFFFC, "OB", b"\0\0")
    header = read_header(data, JPEG_BASELINE)
    assert header.pixels is not None and header.pixels.encapsulated
    assert frames_of(header, data) == frames
    assert sorted({note.code for note in header.notes}) == notes
    start = data.index(b"\xe0\x7f\x10\x00") + 12
    assert (header.pixels.offset, header.pixels.length) == (start, len(body) - 12 - 8)
    assert 0xFFFCFFFC in header.elements


def test_an_extended_offset_table_is_used_and_checked() -> None:
    fragments = [b"aa", b"bbbb", b"cc"]
    for offsets, expected, noted in (((0, 10, 22), fragments, False), ((0, 11, 22), fragments, True)):
        eot = explicit(0x7FE00001, "OV", struct.pack("<3Q", *offsets))
        lengths = explicit(0x7FE00002, "OV", struct.pack("<3Q", 2, 4, 2))
        data = frames_element(b"3 ") + eot + lengths + pixels(*fragments)
        header = read_header(data, JPEG_BASELINE)
        assert frames_of(header, data) == expected
        assert any(note.code == "frame-index" for note in header.notes) is noted


def test_a_long_extended_offset_table_is_held() -> None:
    count = 20_000
    eot = explicit(0x7FE00001, "OV", struct.pack(f"<{count}Q", *range(0, count * 10, 10)))
    data = frames_element(b"20000 ") + eot + pixels(*[b"ab"] * count)
    header = read_header(data, RLE_LOSSLESS)
    assert header.pixels is not None
    assert len(header.pixels.frames) == count
    assert header.notes == ()


def test_a_basic_offset_table_beyond_the_limit_is_passed_over() -> None:
    data = frames_element(b"2 ") + pixels(b"aa", b"bb", table=table(0, 10) * 100)
    header = read_header(data, JPEG_BASELINE, HeaderLimits(offset_table_bytes=100))
    assert frames_of(header, data) == [b"aa", b"bb"]
    assert [note.code for note in header.notes] == ["frame-index"]


@pytest.mark.parametrize(
    "body",
    [
        pixels(b"ab", end=False),
        pixels(b"ab", end=False) + item(b"", UNDEFINED),
        pixels(b"ab", end=False) + PATIENT,
        pixels(b"ab", end=False) + item(b"ab", 100),
        explicit(PIXEL_DATA, "LO", b"", 0)[:4] + b"UT\0\0" + b"\xff" * 4 + item() + delimiter(),
    ],
)
def test_broken_encapsulation_is_refused(body: bytes) -> None:
    with pytest.raises(CannotUnderstand) as caught:
        read_header(SHAPE + body, JPEG_BASELINE)
    assert PIXEL_DATA in caught.value.offending


def test_an_encapsulated_icon_inside_a_sequence_is_passed_over() -> None:
    icon = explicit(0x00280010, "US", b"\1\0") + pixels(b"ab", b"cd", table=table(0))
    data = undefined(0x00880200, "SQ", item(icon, UNDEFINED)) + pixels(b"xy")
    header = read_header(data, JPEG_BASELINE)
    assert frames_of(header, data) == [b"xy"]
    with pytest.raises(CannotUnderstand):
        read_header(explicit(0x00880200, "SQ", item(pixels(b"ab", end=False))), JPEG_BASELINE)


# -- S9: deflate -------------------------------------------------------------------------------------------


def deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(9, wbits=-15)
    return stream.compress(data) + stream.flush()


def test_deflated_data_sets_are_read_with_their_pad_byte() -> None:
    data = PATIENT + SHAPE + explicit(PIXEL_DATA, "OB", bytes(range(16)))
    header = read_header(deflate(data) + b"\0", DEFLATED_LE)
    assert header.text(0x00100020) == "ID"
    assert header.pixels is not None and header.pixels.offset == len(data) - 16
    assert header.notes == ()
    assert codes(read_header(deflate(data) + b"\0\0\0", DEFLATED_LE)) == [("trailing-bytes", 0)]


def test_truncated_and_corrupt_deflate_is_refused() -> None:
    data = deflate(PATIENT * 1 + explicit(0x00104000, "LT", bytes(range(32, 127)) * 20))
    for broken in (data[:-1], data[: len(data) // 2], b"", b"\xff\xff\xff\xff", deflate(PATIENT[:-1])):
        with pytest.raises(CannotUnderstand):
            read_header(broken, DEFLATED_LE)


@pytest.mark.parametrize("chunk", [100, 1 << 20])
def test_a_deflate_bomb_is_stopped_at_the_cap(chunk: int) -> None:
    size = 256 << 20
    stream = zlib.compressobj(9, wbits=-15)
    bomb = stream.compress(PATIENT + explicit(PIXEL_DATA, "OW", b"", size))
    bomb += b"".join(stream.compress(bytes(1 << 20)) for _ in range(256)) + stream.flush()
    assert len(bomb) < 300_000
    reader = HeaderReader(DEFLATED_LE)
    tracemalloc.start()
    with pytest.raises(LimitExceeded):
        for pos in range(0, len(bomb), chunk):
            reader.feed(bomb[pos : pos + chunk])
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    assert read_header(bomb, DEFLATED_LE, HeaderLimits(inflated_ratio=2000)).pixels is not None
    with pytest.raises(LimitExceeded):
        read_header(bomb, DEFLATED_LE, HeaderLimits(inflated_ratio=2000, inflated_bytes=1 << 20))


# -- S10, S15: must be accepted ----------------------------------------------------------------------------


def test_unknown_and_wrong_repertoires_are_noted_and_read_as_far_as_they_go() -> None:
    data = explicit(0x00080005, "CS", b"ISO_IR 999") + explicit(0x00100010, "PN", b"M\xc3\xbcl\xff\0")
    header = read_header(data, EXPLICIT_LE)
    assert codes(header) == [("unknown-charset", 0x00080005)]
    assert header.text(0x00100010) == "MÃ¼lÿ"
    data = explicit(0x00080005, "CS", b"ISO_IR 192") + explicit(0x00100010, "PN", b"M\xc3\xbcl\xff\0")
    assert read_header(data, EXPLICIT_LE).text(0x00100010) == "Mül�"
    data = explicit(0x00080005, "CS") + explicit(0x00100010, "PN", b"Doe^\x1b$")
    assert read_header(data, EXPLICIT_LE).text(0x00100010) == "Doe^\x1b$"


def test_private_sequences_new_vrs_and_empty_things_are_accepted() -> None:
    nested = implicit(0x00091002, b"AB") + implicit(
        0x00091003, item(implicit(0x00100020, b"ID")) + delimiter(), UNDEFINED
    )
    data = explicit(0x00080005, "CS") + explicit(0x00081110, "SQ") + undefined(0x00081115, "SQ")
    data += explicit(0x00090010, "LO", b"ME") + undefined(0x00091001, "UN", item(nested, UNDEFINED), item(nested))
    data += undefined(0x00091002, "SQ", item(explicit(0x00091003, "LO", b"AB"), UNDEFINED))
    data += (
        explicit(0x00091004, "SV", bytes(8))
        + explicit(0x00091005, "UV", bytes(8))
        + explicit(0x00091006, "OV", bytes(8))
    )
    data += PATIENT
    header = read_header(data, EXPLICIT_LE)
    assert header.charsets == ()
    assert header.elements[0x00081110] == header.elements[0x00081115] == ("SQ", b"")
    assert header.vr(0x00091001) == "UN"
    assert header.items(0x00091001)[0][0x00091003] == ({0x00100020: ("ID",)},)
    assert header.items(0x00091002) == ({0x00091003: ("QUI=",)},) or header.items(0x00091002) == (
        {0x00091003: ("AB",)},
    )
    assert header.text(0x00100020) == "ID"
    assert header.notes == ()


def test_a_private_sequence_of_undefined_length_in_implicit_is_accepted() -> None:
    data = implicit(0x00091001, item(implicit(0x00091002, b"AB"), UNDEFINED) + delimiter(), UNDEFINED)
    header = read_header(data + implicit(0x00100020, b"ID"), IMPLICIT_LE)
    assert header.items(0x00091001) == ({0x00091002: ("QUI=",)},)
    assert header.text(0x00100020) == "ID"


def test_items_in_another_encoding_than_their_sequence_are_accepted_and_noted() -> None:
    data = explicit(0x00081032, "SQ", item(implicit(0x00080100, b"AB") + implicit(0x00081032, item(), 8)))
    header = read_header(data + undefined(0x00091001, "UN", item(PATIENT)), EXPLICIT_LE)
    assert header.items(0x00081032) == ({0x00080100: ("AB",), 0x00081032: ({},)},)
    assert header.items(0x00091001)[0][0x00100020] == ("ID",)
    assert codes(header) == [("implicit-item", 0x00081032)]


def test_a_few_zero_bytes_at_the_end_are_noted_and_others_refused() -> None:
    assert codes(read_header(PATIENT + b"\0", EXPLICIT_LE)) == [("trailing-bytes", 0)]
    with pytest.raises(CannotUnderstand):
        read_header(PATIENT + b"\1", EXPLICIT_LE)
    with pytest.raises(CannotUnderstand):
        read_header(PATIENT + bytes(8), EXPLICIT_LE)


def test_the_wrong_transfer_syntax_is_refused() -> None:
    implicit_data = implicit(0x00080005, b"ISO_IR 100") + implicit(0x00100020, b"ID")
    for data, syntax in (
        (implicit_data, EXPLICIT_LE),
        (implicit_data, EXPLICIT_BE),
        (PATIENT, IMPLICIT_LE),
        (PATIENT, EXPLICIT_BE),
        (PATIENT, DEFLATED_LE),
        (explicit(0x00100020, "LO", b"ID", order=">"), EXPLICIT_LE),
    ):
        with pytest.raises(CannotUnderstand):
            read_header(data, syntax)


def test_an_empty_data_set_has_no_elements() -> None:
    assert read_header(b"", EXPLICIT_LE).elements == {}
    assert HeaderReader(EXPLICIT_LE).finish().elements == {}


def test_the_bytes_given_may_be_reused() -> None:
    buffer = bytearray(PATIENT)
    reader = HeaderReader(EXPLICIT_LE)
    reader.feed(memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    assert reader.finish().text(0x00100020) == "ID"
