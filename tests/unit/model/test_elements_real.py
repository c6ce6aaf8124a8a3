"""The walker against pydicom on every real file: the same elements, bytes, items and frames; any split the same."""

from __future__ import annotations

import random
import warnings
import zlib
from functools import cache

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from tests.support.data import need_shared_data
from tests.support.elements import dicom_files, split_part10

from vesalius.model.elements import Header, HeaderLimits, HeaderReader, read_header
from vesalius.model.errors import CannotUnderstand
from vesalius.standard.dictionary import vr_of
from vesalius.standard.transfer_syntaxes import EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, lookup

BOUNDLESS = HeaderLimits(kept_bytes=1 << 32, value_bytes=1 << 31, sequence_bytes=1 << 31)
PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)

# What a correct archive must refuse, and the tag it must name.
REFUSED = {
    "odd-and-broken/pydicom/MR_truncated.dcm": 0x7FE00010,
    "odd-and-broken/pydicom/emri_small_jpeg_2k_lossless_too_short.dcm": 0x7FE00010,
    "odd-and-broken/pydicom/rtplan_truncated.dcm": 0x300A00B0,
    # An item that is longer than its sequence (a DICOMDIR, never stored).
    "dicomdir/pydicom-dicomdirtests/DICOMDIR-nooffset": 0x00041220,
    # Implicit VR under a transfer syntax of explicit VR.
    "transfer-syntaxes/jpeg-baseline-colour/SC_rgb_jpeg.dcm": 0x00080008,
}
# Files without file meta information, of which the name tells the encoding.
BARE = {"ExplVR_BigEndNoMeta.dcm": EXPLICIT_BE, "ExplVR_LitEndNoMeta.dcm": EXPLICIT_LE}


@cache
def real() -> tuple[tuple[str, str, bytes], ...]:
    """(name, transfer syntax, data set) of every real file."""
    out = []
    for name, data in dicom_files(need_shared_data()):
        syntax, dataset = split_part10(data)
        out.append((name, syntax or BARE.get(name.rsplit("/", 1)[-1], IMPLICIT_LE), dataset))
    return tuple(out)


def by_pydicom(syntax: str, dataset: bytes) -> tuple[Dataset, bytes]:
    known = lookup(syntax)
    body = zlib.decompress(dataset, -15) if known.deflated else dataset
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_dataset(DicomBytesIO(body), not known.explicit, known.little_endian), body


def assert_same_items(name: str, header: Header, tag: int, theirs: Dataset) -> None:
    items = header.items(tag)
    assert len(items) == len(theirs[tag].value), (name, hex(tag))
    for ours, item in zip(items, theirs[tag].value, strict=True):
        assert sorted(ours) == sorted(int(key) for key in item.keys()), (name, hex(tag))  # noqa: SIM118


def assert_same_pixels(name: str, header: Header, body: bytes, value: bytes) -> int:
    """The pixels are where pydicom finds them; the number of frames."""
    layout = header.pixels
    assert layout is not None, name
    if not layout.encapsulated:
        assert body[layout.offset : layout.offset + layout.length] == value, name
        return 0
    assert value[: layout.length] == body[layout.offset : layout.offset + layout.length], name
    number = int(header.text(0x00280008) or 1)
    theirs = list(generate_frames(value, number_of_frames=number))
    ours = []
    for offset, length in layout.frames:
        part, pos = b"", offset
        while pos < offset + length:
            assert body[pos : pos + 4] == b"\xfe\xff\x00\xe0", name
            size = int.from_bytes(body[pos + 4 : pos + 8], "little")
            part += body[pos + 8 : pos + 8 + size]
            pos += 8 + size
        ours.append(part)
    assert ours == theirs, name
    return len(ours)


@pytest.mark.timeout(300)
def test_every_real_data_set_reads_as_pydicom_reads_it() -> None:
    frames = files = 0
    for name, syntax, dataset in real():
        if name in REFUSED:
            continue
        header = read_header(dataset, syntax, BOUNDLESS)
        theirs, body = by_pydicom(syntax, dataset)
        assert sorted(int(tag) for tag in theirs.keys()) == sorted({*header.elements, *header.skipped}), name  # noqa: SIM118
        for tag in theirs.keys():  # noqa: SIM118
            raw = theirs.get_item(tag)
            if not isinstance(raw, RawDataElement):
                if raw.VR == "SQ":
                    assert_same_items(name, header, int(tag), theirs)
                else:
                    assert header.elements[int(tag)][1] == b"", (name, tag)
            elif int(tag) in PIXELS:
                frames += assert_same_pixels(name, header, body, raw.value)
            else:
                vr, value = header.elements[int(tag)]
                assert value == (raw.value or b""), (name, tag)
                if raw.VR is not None:
                    assert vr == raw.VR, (name, tag)
                else:
                    assert vr == "UN" or vr in (vr_of(int(tag)) or ""), (name, tag)
        files += 1
    assert files > 800
    assert frames > 500


def test_real_data_sets_that_are_broken_are_refused_with_the_offending_tag() -> None:
    found = set()
    for name, syntax, dataset in real():
        if name in REFUSED:
            found.add(name)
            with pytest.raises(CannotUnderstand) as caught:
                read_header(dataset, syntax)
            assert caught.value.offending[0] == REFUSED[name], name
    assert found == set(REFUSED)


def test_real_data_sets_give_the_same_header_however_they_are_split() -> None:
    chance = random.Random(20240131)
    for index, (name, syntax, dataset) in enumerate(real()):
        if name in REFUSED or (index % 7 and "transfer-syntaxes" not in name and "odd" not in name):
            continue
        whole = read_header(dataset, syntax)
        reader = HeaderReader(syntax)
        pos = 0
        while pos < len(dataset):
            size = chance.choice((1, 2, 7, 100, 4096, 70_000, 1 << 20))
            reader.feed(memoryview(dataset)[pos : pos + size])
            pos += size
        assert reader.finish() == whole, name


def test_any_cut_of_a_real_data_set_is_refused_or_ends_between_elements() -> None:
    chance = random.Random(7)
    cuts = 0
    for name, syntax, dataset in real():
        if name in REFUSED or chance.random() > 0.15 or not dataset:
            continue
        whole = read_header(dataset, syntax)
        for _ in range(4):
            cut = chance.randrange(len(dataset))
            try:
                part = read_header(dataset[:cut], syntax)
            except CannotUnderstand:
                continue
            cuts += 1
            assert part.elements.items() <= whole.elements.items(), name
    assert cuts < 60


def test_what_is_odd_in_real_files_is_noted() -> None:
    seen = {
        note.code for name, syntax, data in real() if name not in REFUSED for note in read_header(data, syntax).notes
    }
    assert seen >= {"vr-mismatch", "odd-length", "pixel-length", "unknown-charset", "trailing-bytes"}
