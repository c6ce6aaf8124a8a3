"""The same content in other clothes is the same content; the least change of content is not."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from tests.support import dcmtk
from tests.support.data import part10_parts, real_files
from tests.support.generate import ct

from vesalius.model.same_content import MOST_ELEMENTS, same_content
from vesalius.standard.transfer_syntaxes import (
    DEFLATED_LE,
    EXPLICIT_BE,
    EXPLICIT_LE,
    IMPLICIT_LE,
    JPEG_BASELINE,
    RLE_LOSSLESS,
)

NATIVE = (IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE, DEFLATED_LE)


def encoded(ds: Dataset, syntax: str, *, undefined: bool = False) -> bytes:
    for element in ds:
        if element.VR == "SQ":
            element.is_undefined_length = undefined
            for item in element.value:
                item.is_undefined_length_sequence_item = undefined
    buffer = DicomBytesIO()
    buffer.is_little_endian = syntax != EXPLICIT_BE
    buffer.is_implicit_VR = syntax == IMPLICIT_LE
    write_dataset(buffer, ds)
    data = buffer.getvalue()
    if syntax == DEFLATED_LE:
        stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = stream.compress(data) + stream.flush()
    return data


def rich() -> Dataset:
    """A CT with sequences in sequences, numbers of every width, private elements and an odd value."""
    ds = ct(instance=1)
    code = Dataset()
    code.CodeValue = "T-D1100"
    code.CodingSchemeDesignator = "SRT"
    code.CodeMeaning = "Head"
    request = Dataset()
    request.RequestedProcedureID = "P1"
    request.RequestedProcedureCodeSequence = Sequence([code])
    ds.RequestAttributesSequence = Sequence([request, Dataset()])
    ds.ProcedureCodeSequence = Sequence([])
    ds.FrameIncrementPointer = 0x00181063
    ds.SelectorFDValue = [1.5, -2.25]
    ds.RecommendedDisplayFrameRateInFloat = 3.5
    ds.add_new(0x00090010, "LO", "VENDOR")
    ds.add_new(0x00091001, "UL", 305419896)
    ds.add_new(0x00091002, "OB", b"abc")
    ds.add_new(0x7FE00010, "OW", ds.PixelData)
    return ds


def element(tag: int, vr: str, value: bytes) -> bytes:
    long = vr in ("OB", "OW", "UN", "SQ", "UT")
    head = tag.to_bytes(4, "big")
    head = head[1::-1] + head[3:1:-1] + vr.encode()
    return head + (b"\0\0" + len(value).to_bytes(4, "little") if long else len(value).to_bytes(2, "little")) + value


@pytest.mark.parametrize("one", NATIVE)
@pytest.mark.parametrize("other", NATIVE)
def test_native_transfer_syntaxes_say_the_same(one: str, other: str) -> None:
    ds = rich()
    if EXPLICIT_BE in (one, other):
        ds.PixelData = bytes(range(256)) * 2
        ours, theirs = encoded(ds, one), encoded(ds, other)
        if one != other:  # pydicom does not turn the words of OW round; the standard does (PS3.5 7.3)
            del ds["PixelData"]
            ours, theirs = encoded(ds, one), encoded(ds, other)
    else:
        ours, theirs = encoded(ds, one), encoded(ds, other, undefined=True)
    assert same_content(ours, one, theirs, other)


def test_big_endian_words_are_turned_round() -> None:
    little = element(0x7FE00010, "OW", b"\x01\x02\x03\x04")
    big = b"\x7f\xe0\x00\x10OW\0\0\0\0\0\x04" + b"\x02\x01\x04\x03"
    assert same_content(little, EXPLICIT_LE, big, EXPLICIT_BE)
    assert not same_content(little, EXPLICIT_LE, big[:-4] + b"\x01\x02\x03\x04", EXPLICIT_BE)


def test_group_lengths_trailing_padding_and_lengths_of_sequences_are_no_content() -> None:
    ds = rich()
    plain = encoded(ds, EXPLICIT_LE)
    dressed = element(0x00080000, "UL", b"\x10\0\0\0") + encoded(ds, EXPLICIT_LE, undefined=True)
    dressed += element(0xFFFCFFFC, "OB", bytes(64))
    assert plain != dressed
    assert same_content(plain, EXPLICIT_LE, dressed, EXPLICIT_LE)


@pytest.mark.parametrize(
    ("vr", "one", "other", "same"),
    [
        ("LO", b"HEAD", b"HEAD  ", True),
        ("LO", b"HEAD", b"HEAT", False),
        ("LO", b"HEAD", b" HEAD", False),
        ("UI", b"1.2.3\0", b"1.2.3", True),
        ("OB", b"\1\2\3", b"\1\2\3\0", True),
        ("OB", b"\1\2\0\0", b"\1\2", False),
        ("UN", b"odd", b"odd ", True),
        ("US", b"\1\0", b"\1\0\0\0", False),
    ],
)
def test_only_padding_may_differ(vr: str, one: bytes, other: bytes, same: bool) -> None:
    tag = 0x00091001
    assert same_content(element(tag, vr, one), EXPLICIT_LE, element(tag, vr, other), EXPLICIT_LE) is same


def test_two_stated_vrs_must_agree_unless_one_is_unknown() -> None:
    signed, unsigned = (element(0x00280106, vr, b"\xff\xff") for vr in ("SS", "US"))
    assert not same_content(signed, EXPLICIT_LE, unsigned, EXPLICIT_LE)
    assert same_content(signed, EXPLICIT_LE, element(0x00280106, "UN", b"\xff\xff"), EXPLICIT_LE)


def test_a_change_of_any_element_is_other_content() -> None:
    before = encoded(rich(), EXPLICIT_LE)
    changes = 0
    for item in rich():
        if item.VR == "SQ" and not item.value:
            continue
        ds = rich()
        if item.VR == "SQ":
            ds[item.tag].value[0].RequestedProcedureID = "P2"
        elif item.VR in ("OB", "OW"):
            ds[item.tag].value = bytes(len(item.value) - 1) + b"\7"
        else:
            del ds[item.tag]
        changes += 1
        assert not same_content(before, EXPLICIT_LE, encoded(ds, IMPLICIT_LE, undefined=True), IMPLICIT_LE), item.tag
    assert changes > 20


def test_compressed_and_native_or_differently_compressed_are_in_doubt() -> None:
    pixels = element(0x7FE00010, "OB", b"\0" * 4)
    assert not same_content(pixels, EXPLICIT_LE, pixels, RLE_LOSSLESS)
    assert not same_content(pixels, JPEG_BASELINE, pixels, RLE_LOSSLESS)


def test_one_compressed_syntax_with_other_lengths_of_sequences_is_the_same() -> None:
    ds = rich()
    del ds["PixelData"]
    fragments = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + b"".join(
        b"\xfe\xff\x00\xe0" + len(part).to_bytes(4, "little") + part for part in (b"", b"\1\2\3\4", b"\5\6")
    )
    end = b"\xfe\xff\xdd\xe0\0\0\0\0"
    one = encoded(ds, EXPLICIT_LE) + fragments + end
    other = encoded(ds, EXPLICIT_LE, undefined=True) + fragments + end
    assert same_content(one, RLE_LOSSLESS, other, RLE_LOSSLESS)
    assert not same_content(one, RLE_LOSSLESS, other.replace(b"\5\6" + end, b"\5\7" + end), RLE_LOSSLESS)


def test_a_private_sequence_that_an_implicit_stream_hides_is_compared_item_by_item() -> None:
    inner_explicit = element(0x00091010, "LO", b"AB")
    inner_implicit = b"\x09\x00\x10\x10\x02\0\0\0AB"

    def sequence(inner: bytes, head: bytes) -> bytes:
        item = b"\xfe\xff\x00\xe0" + len(inner).to_bytes(4, "little") + inner
        return b"\x09\x00\x01\x10" + head + len(item).to_bytes(4, "little") + item

    explicit, implicit = sequence(inner_explicit, b"SQ\0\0"), sequence(inner_implicit, b"")
    assert same_content(explicit, EXPLICIT_LE, implicit, IMPLICIT_LE)
    assert not same_content(explicit, EXPLICIT_LE, implicit[:-1] + b"C", IMPLICIT_LE)


def test_too_many_elements_are_in_doubt() -> None:
    many = b"".join(element(0x00091000 + number, "US", b"\0\0") for number in range(1, 256))
    item = b"\xfe\xff\x00\xe0" + len(many).to_bytes(4, "little") + many
    data = element(0x00081140, "SQ", item * (MOST_ELEMENTS // 600))
    assert same_content(data, EXPLICIT_LE, data + element(0xFFFCFFFC, "OB", b""), EXPLICIT_LE)
    data = element(0x00081140, "SQ", item * (MOST_ELEMENTS // 255))
    assert not same_content(data, EXPLICIT_LE, data + element(0xFFFCFFFC, "OB", b""), EXPLICIT_LE)


@given(st.binary(max_size=200), st.binary(max_size=200), st.sampled_from(NATIVE), st.sampled_from(NATIVE))
def test_noise_never_raises(one: bytes, other: bytes, ours: str, theirs: str) -> None:
    assert same_content(one, ours, other, theirs) in (True, False)


@pytest.mark.parametrize("options", [("+ti",), ("+te", "-e"), ("+te", "+e", "+g"), ("+tb",)], ids=" ".join)
def test_what_dcmtk_writes_again_is_the_same(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Real files through DCMTK's encoder: every one that it writes with its pixels as they are."""
    compared, different = 0, []
    for file in real_files():
        if file.transfer_syntax not in (IMPLICIT_LE, EXPLICIT_LE) or file.path.stat().st_size > 2 << 20:
            continue
        target = tmp_path / "again.dcm"
        target.unlink(missing_ok=True)
        if dcmtk.run("dcmconv", *options, file.path, target, check=False).returncode or not target.exists():
            continue
        _, before = part10_parts(file.path)
        _, after = part10_parts(target)
        syntax = str(dcmread(target, stop_before_pixels=True).file_meta.TransferSyntaxUID)
        compared += 1
        if not same_content(before, file.transfer_syntax, after, syntax):
            different.append(str(file.path))
        if compared >= 40:
            break
    if not compared:
        pytest.skip("the real files are not here")
    assert not different
