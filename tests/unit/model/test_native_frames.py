"""What is worked out of native pixels at receipt is what a reader would find; nothing where it makes no sense."""

from __future__ import annotations

import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from tests.support import corpus
from tests.support.archive import dataset_of
from tests.support.data import need_shared_data
from tests.support.generate import ct, part10

from vesalius.model.elements import read_header
from vesalius.model.errors import CannotTranscode, CannotUnderstand
from vesalius.model.native_frames import cells_are_big_endian, laid_out, native_frames


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_frames_are_worked_out_at_receipt(syntax: str) -> None:
    ds = ct(rows=6, columns=4, NumberOfFrames=3)
    ds.PixelData *= 3
    pixels = laid_out(read_header(dataset_of(part10(ds, syntax)), syntax))
    assert pixels is not None and pixels.native is not None
    assert (pixels.native.count, pixels.native.bits, pixels.native.cell) == (3, 6 * 4 * 16, 16)
    assert pixels.native.place(2) == (96, 48, 0)


def test_cells_that_must_be_turned_around_are_left_to_the_reader() -> None:
    pixels = laid_out(read_header(dataset_of(part10(ct(), ExplicitVRBigEndian)), ExplicitVRBigEndian))
    assert pixels is not None and pixels.native is None


@pytest.mark.parametrize("wrong", [{"NumberOfFrames": 1000}, {"Rows": 0}, {"BitsAllocated": None}])
def test_a_description_that_makes_no_sense_is_left_to_the_reader(wrong: dict[str, object]) -> None:
    header = read_header(dataset_of(part10(ct(**wrong))), ExplicitVRLittleEndian)  # type: ignore[arg-type]
    pixels = laid_out(header)
    assert pixels is not None and pixels.native is None
    with pytest.raises(CannotTranscode):
        native_frames(header, pixels)


def test_a_data_set_without_pixels_has_no_layout() -> None:
    ds = ct()
    del ds.PixelData
    assert laid_out(read_header(dataset_of(part10(ds)), ExplicitVRLittleEndian)) is None


def test_of_every_real_native_image_frames_are_worked_out() -> None:
    need_shared_data()
    seen = 0
    for item in corpus.items():
        try:
            header = read_header(item.dataset, item.transfer_syntax)
        except CannotUnderstand:  # cut short, or the directory of a medium: nothing that is taken
            continue
        pixels = laid_out(header)
        if pixels is None or pixels.encapsulated or cells_are_big_endian(item.transfer_syntax):
            continue
        try:
            known = native_frames(header, pixels)
        except CannotTranscode:
            assert pixels.native is None
            continue
        assert pixels.native == known
        seen += 1
    assert seen > 50
