"""Siemens mosaics: tiles of one picture become slices where they lie; both forms of the CSA header."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from pydicom.dataset import Dataset
from tests.support import phantom
from tests.support.phantom import Scan
from tests.support.volumes import load, load_all

from vesalius.imaging.mosaic import csa_values
from vesalius.model.errors import NoVolume

SCAN = phantom.oblique(Scan(rows=16, columns=20, slices=7, between_rows=9.0, between_columns=8.0, step=9.0))
VALUES = phantom.material(SCAN.points()) * 100


def csa(values: dict[str, list[str]], *, second: bool = True) -> bytes:
    """A CSA header that holds the values; the lengths of the first form are shifted by the first element's items."""
    out = b"SV10\4\3\2\1" if second else b""
    out += struct.pack("<II", len(values), 77)
    shift = len(next(iter(values.values())))
    for name, texts in values.items():
        out += struct.pack("<64si4siii", name.encode(), len(texts), b"FD\0\0", 0, len(texts), 77)
        for text in texts:
            raw = text.encode() + b"\0"
            length = len(raw)
            out += struct.pack("<4i", length if second else length + shift, length, 77, length)
            out += raw + b"\0" * (-length % 4)
    return out


def mosaic(*, second: bool = True, flipped: bool = False, count: int | None = 7) -> Dataset:
    """Seven slices in nine tiles; `flipped`: the first tile is the last slice along the normal."""
    (ds,) = phantom.mr(Scan(rows=48, columns=60, slices=1))
    order = range(6, -1, -1) if flipped else range(7)
    picture = np.zeros((48, 60), np.uint16)
    for tile, place in enumerate(order):
        row, column = tile // 3 * 16, tile % 3 * 20
        picture[row : row + 16, column : column + 20] = VALUES[place]
    ds.PixelData = picture.tobytes()
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]
    ds.PixelSpacing = ["9", "8"]
    ds.SpacingBetweenSlices = "9"
    ds.ImageOrientationPatient = [phantom.decimal(value) for value in (*SCAN.along_row, *SCAN.along_column)]
    # Of the whole picture, as if it were one slice around the same centre.
    corner = SCAN.position(order[0]) - np.array(SCAN.along_row) * 8 * 20 - np.array(SCAN.along_column) * 9 * 16
    ds.ImagePositionPatient = [phantom.decimal(value) for value in corner]
    block = ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    normal = SCAN.normal * (-1 if flipped else 1)
    told = {"SliceNormalVector": [f"{value:.8f}" for value in normal]}
    if count is not None:
        told["NumberOfImagesInMosaic"] = [str(count)]
    block.add_new(0x10, "OB", csa(told, second=second))
    return ds


@pytest.mark.parametrize("second", [True, False], ids=["SV10", "first form"])
@pytest.mark.parametrize("flipped", [False, True])
def test_the_tiles_of_a_mosaic_are_slices_where_they_lie(second: bool, flipped: bool) -> None:
    volume = load([mosaic(second=second, flipped=flipped)])
    assert np.array_equal(volume.values, VALUES)
    assert np.abs(volume.affine - SCAN.affine).max() < 1e-5


def test_mosaics_of_several_points_in_time_are_as_many_volumes() -> None:
    first, second = mosaic(), mosaic()
    second.SOPInstanceUID += ".1"
    second.InstanceNumber, second.AcquisitionTime = "2", "101602.5"
    second.PixelData = (np.frombuffer(second.PixelData, "<u2") + 1).tobytes()
    found = load_all([second, first])
    assert [int(volume.values.min()) for volume in found] == [0, 1]


def test_a_mosaic_that_does_not_say_how_many_slices_it_holds_is_refused() -> None:
    with pytest.raises(NoVolume, match="how many slices"):
        load([mosaic(count=None)])


@pytest.mark.parametrize(
    "raw", [b"", b"SV10", b"SV10" + b"\xff" * 40, bytes(200), b"\xff" * 400, csa({"A": ["1"]})[:60]]
)
def test_a_broken_csa_header_says_nothing_and_harms_nobody(raw: bytes) -> None:
    assert all(isinstance(values, tuple) for values in csa_values(raw).values())


def test_a_csa_header_is_read_in_both_forms() -> None:
    values = {"First": ["1", "two"], "None": [], "Long": ["x" * 100]}
    for second in (True, False):
        found = csa_values(csa(values, second=second))
        assert found == {name: tuple(texts) for name, texts in values.items()}
