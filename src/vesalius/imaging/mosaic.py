"""Siemens mosaics: all slices of one point in time as tiles of one image.

Theory. Siemens wrote the slices of a functional MR volume side by side into one frame of n x n tiles. The standard
knows nothing of it: Image Position (Patient) is that of the whole picture, as if it were one slice of the size of
the mosaic around the same centre, so the corner of a tile lies half of what the mosaic is larger further in. How
many tiles hold slices and in which direction these follow each other stands in the private CSA header (0029,1010),
a table of named text values; newer systems write the number into (0019,100A) also.
"""

from __future__ import annotations

import struct
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import replace
from math import ceil, sqrt

from vesalius.imaging.slices import (
    COLUMNS,
    IMAGE_TYPE,
    ROWS,
    STEP,
    THICKNESS,
    Refusal,
    Slice,
    normal_of,
    number,
    slice_of,
    whole,
)
from vesalius.model.elements import Header

CSA_IMAGE, CSA_SERIES, IMAGES_IN_MOSAIC = 0x00291010, 0x00291020, 0x0019100A
MOST_VALUES = 1024  # of one element of the table
MOST_TILES = 1024

_ELEMENT = struct.Struct("<64si4siii")  # name, multiplicity, VR, syngo type, items, a mark
_ITEM = struct.Struct("<4i")


def is_mosaic(header: Header) -> bool:
    """Whether a frame is a mosaic: Image Type says so."""
    return "MOSAIC" in header.values(IMAGE_TYPE)


def csa_values(raw: bytes) -> dict[str, tuple[str, ...]]:
    """The table of a CSA header, either of its two forms; what cannot be read ends it."""
    second = raw[:4] == b"SV10"
    at = 16 if second else 8
    if len(raw) < at:
        return {}
    (count,) = struct.unpack_from("<I", raw, at - 8)
    found: dict[str, tuple[str, ...]] = {}
    shift: int | None = None  # the first form keeps lengths that much too large: the items of its first element
    for _ in range(min(count, 4096)):
        if at + _ELEMENT.size > len(raw):
            break
        name, _multiplicity, _vr, _type, items, _mark = _ELEMENT.unpack_from(raw, at)
        at += _ELEMENT.size
        shift = items if shift is None else shift
        values: list[str] = []
        for _item in range(min(max(items, 0), MOST_VALUES)):
            if at + _ITEM.size > len(raw):
                return found
            lengths = _ITEM.unpack_from(raw, at)
            at += _ITEM.size
            length = lengths[1] if second else lengths[0] - shift
            if length < 0 or at + length > len(raw):
                break
            text = raw[at : at + length].split(b"\0", 1)[0].decode("latin-1").strip()
            if text:
                values.append(text)
            at += (length + 3) // 4 * 4
        found[name.split(b"\0", 1)[0].decode("latin-1")] = tuple(values)
    return found


def _csa(header: Header) -> dict[str, tuple[str, ...]]:
    raw = header.raw(CSA_IMAGE)
    return csa_values(raw) if raw else {}


def mosaic_slices(header: Header, index: int) -> Sequence[Slice | Refusal]:
    """The tiles of a mosaic that hold slices."""
    table = _csa(header)
    count = whole(header.values(IMAGES_IN_MOSAIC)) or whole(table.get("NumberOfImagesInMosaic", ()))
    if not count:
        count = _packed_count(header)
    if not 1 <= count <= MOST_TILES:
        return [Refusal("a mosaic that does not say how many slices it holds")]
    across = ceil(sqrt(count))
    rows, columns = whole(header.values(ROWS)) // across, whole(header.values(COLUMNS)) // across
    picture = slice_of(header.values, index, 0)
    if isinstance(picture, Refusal):
        return [picture]
    if rows < 1 or columns < 1 or whole(header.values(ROWS)) % across or whole(header.values(COLUMNS)) % across:
        return [Refusal("a mosaic whose size is no multiple of its tiles")]
    step = number(header.values(STEP)) or number(header.values(THICKNESS))
    if not step:
        return [Refusal("a mosaic without Spacing Between Slices")]
    right = (picture.columns - columns) / 2 * picture.between_columns
    down = (picture.rows - rows) / 2 * picture.between_rows
    normal = normal_of(picture)
    told = [float(text) for text in table.get("SliceNormalVector", ()) if _is_number(text)]
    if len(told) == 3 and sum(a * b for a, b in zip(told, normal, strict=True)) < 0:
        step = -step
    slices = []
    for place in range(count):
        x, y, z = (
            start + right * along + down * below + place * step * deep
            for start, along, below, deep in zip(
                picture.position, picture.along_row, picture.along_column, normal, strict=True
            )
        )
        tile = (place // across * rows, place % across * columns)
        slices.append(replace(picture, position=(x, y, z), rows=rows, columns=columns, tile=tile, step=abs(step)))
    return slices


def _packed_count(header: Header) -> int:
    """(0019,100A) where its VR was lost on the way: two bytes, little endian."""
    text = next(iter(header.values(IMAGES_IN_MOSAIC)), "")
    try:
        raw = b64decode(text, validate=True)
    except ValueError:
        return 0
    return int.from_bytes(raw[:2], "little") if len(raw) in (2, 4) else 0


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
