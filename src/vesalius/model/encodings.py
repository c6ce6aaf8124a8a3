"""How elements are laid out in each of the three encodings (PS3.5 7.1), as look-up tables.

The walker and the decoder of small data sets read millions of element headers, so what the dictionary says
about an element is precomputed under the very bytes that begin it: one look-up answers tag, VR and whether the
sender's VR is the dictionary's.
"""

from __future__ import annotations

import enum
import struct
from functools import cache

from vesalius.standard.dictionary import VR_OF, vr_of

UNDEFINED = 0xFFFFFFFF

# VRs with a 16-bit length in explicit encodings; all others have two reserved bytes and 32 bits (PS3.5 7.1.2).
SHORT_VRS = ("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL", "SS", "ST", "TM",
             "UI", "UL", "US")  # fmt: skip
LONG_VRS = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
SHORT = {vr.encode(): vr for vr in SHORT_VRS}
LONG = {vr.encode(): vr for vr in LONG_VRS}

# Float, Double Float and plain Pixel Data.
PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
# Elements that are signed where Pixel Representation is 1 (PS3.3 C.7.6.3): explicit encodings say it, implicit do not.
US_OR_SS = frozenset(tag for tag, printed in VR_OF.items() if printed.startswith("US or SS"))
PIXEL_REPRESENTATION = 0x00280103
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


class Mode(enum.IntEnum):
    """An encoding of elements. UN_LE is what stands inside UN of undefined length: implicit by PS3.5 6.2.2,
    explicit where a sender got it wrong, so each item is looked at first."""

    IMPLICIT_LE = 0
    EXPLICIT_LE = 1
    EXPLICIT_BE = 2
    UN_LE = 3


def mode_of(explicit: bool, little_endian: bool) -> Mode:
    """The encoding of a transfer syntax."""
    if not explicit:
        return Mode.IMPLICIT_LE
    return Mode.EXPLICIT_LE if little_endian else Mode.EXPLICIT_BE


def item_mode(mode: Mode, first: bytes) -> Mode:
    """The encoding of an item by the first six bytes of its first element.

    Devices write implicit items into explicit sequences and the reverse into UN; the VR bytes tell.
    """
    if mode is Mode.UN_LE:
        vr = first[4:6]
        return Mode.EXPLICIT_LE if vr in SHORT or vr in LONG else Mode.IMPLICIT_LE
    if mode is Mode.IMPLICIT_LE or first[:2] in (b"\xfe\xff", b"\xff\xfe"):
        return mode
    vr = first[4:6]
    return mode if (vr.isalpha() and vr.isupper()) else Mode.IMPLICIT_LE


def implicit_vr(tag: int) -> str:
    """The one VR to read an implicitly encoded element with (PS3.5 A.1): UN where the dictionary knows none."""
    vr = vr_of(tag)
    if vr is None or vr == "NONE":
        return "UN"
    if " or " in vr:
        return "OW" if "OW" in vr else "US"
    return vr


@cache
def explicit_short(little_endian: bool) -> dict[bytes, tuple[int, str]]:
    """Tag and VR bytes -> (tag, VR): elements with a 16-bit length whose VR is one the dictionary allows."""
    pack = struct.Struct("<HH" if little_endian else ">HH").pack
    table = {}
    for tag, printed in VR_OF.items():
        head = pack(tag >> 16, tag & 0xFFFF)
        for vr in printed.split(" or "):
            code = vr.encode()
            if code in SHORT:
                table[head + code] = (tag, vr)
    return table


@cache
def implicit_le() -> dict[bytes, tuple[int, str]]:
    """Tag bytes -> (tag, VR) of every element in the dictionary that is not a delimiter."""
    pack = struct.Struct("<HH").pack
    return {
        pack(tag >> 16, tag & 0xFFFF): (tag, implicit_vr(tag)) for tag, printed in VR_OF.items() if printed != "NONE"
    }


@cache
def implicit_flat() -> dict[bytes, tuple[int, str]]:
    """The same without sequences and pixels: elements whose value is a value and nothing else."""
    return {key: row for key, row in implicit_le().items() if row[1] != "SQ" and row[0] not in PIXEL_TAGS}


def same_kind(sent: str, printed: str) -> bool:
    """Whether a VR is one that the dictionary allows; UN always may stand for the real one (PS3.5 6.2.2)."""
    return sent == "UN" or sent in printed.split(" or ")
