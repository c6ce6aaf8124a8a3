"""Transfer syntaxes (PS3.5 annex A, PS3.6 table A-1): how a data set is turned into bytes.

An unknown UID is treated as encapsulated Explicit VR Little Endian: every transfer syntax added to the
standard since 1996 is of that form (PS3.5 A.4), and the bytes are kept as sent in any case.
"""

from __future__ import annotations

from dataclasses import dataclass

from vesalius.standard.edition import table

IMPLICIT_LE = "1.2.840.10008.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
ENCAPSULATED_UNCOMPRESSED_LE = "1.2.840.10008.1.2.1.98"
DEFLATED_LE = "1.2.840.10008.1.2.1.99"
EXPLICIT_BE = "1.2.840.10008.1.2.2"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
JPEG_LS_LOSSLESS = "1.2.840.10008.1.2.4.80"
JPEG_LS_NEAR_LOSSLESS = "1.2.840.10008.1.2.4.81"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_2000 = "1.2.840.10008.1.2.4.91"
JPIP_REFERENCED = "1.2.840.10008.1.2.4.94"
JPIP_REFERENCED_DEFLATE = "1.2.840.10008.1.2.4.95"
JPEG_XL_LOSSLESS = "1.2.840.10008.1.2.4.110"
JPEG_XL_RECOMPRESSION = "1.2.840.10008.1.2.4.111"
JPEG_XL = "1.2.840.10008.1.2.4.112"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"
HTJ2K_LOSSLESS_RPCL = "1.2.840.10008.1.2.4.202"
HTJ2K = "1.2.840.10008.1.2.4.203"
JPIP_HTJ2K_REFERENCED = "1.2.840.10008.1.2.4.204"
JPIP_HTJ2K_REFERENCED_DEFLATE = "1.2.840.10008.1.2.4.205"
RLE_LOSSLESS = "1.2.840.10008.1.2.5"
DEFLATED_IMAGE_FRAME = "1.2.840.10008.1.2.8.1"
PAPYRUS_3 = "1.2.840.10008.1.20"
GE_PRIVATE_BE_PIXELS = "1.2.840.113619.5.2"


@dataclass(frozen=True, slots=True)
class TransferSyntax:
    """One transfer syntax. `lossy` means that encoding to it can change pixels."""

    uid: str
    name: str
    explicit: bool = True
    little_endian: bool = True
    deflated: bool = False  # the whole data set is one deflate stream (PS3.5 A.5)
    encapsulated: bool = True
    lossy: bool = False
    retired: bool = False
    private: bool = False


_IMPLICIT = frozenset({IMPLICIT_LE, PAPYRUS_3, GE_PRIVATE_BE_PIXELS})
_DEFLATED = frozenset({DEFLATED_LE, JPIP_REFERENCED_DEFLATE, JPIP_HTJ2K_REFERENCED_DEFLATE})
_NATIVE = _IMPLICIT | _DEFLATED | {EXPLICIT_LE, EXPLICIT_BE, JPIP_REFERENCED, JPIP_HTJ2K_REFERENCED}
_LOSSLESS = frozenset({ENCAPSULATED_UNCOMPRESSED_LE, JPEG_LOSSLESS, "1.2.840.10008.1.2.4.58", JPEG_LOSSLESS_SV1,
                       "1.2.840.10008.1.2.4.65", "1.2.840.10008.1.2.4.66", JPEG_LS_LOSSLESS, JPEG_2000_LOSSLESS,
                       "1.2.840.10008.1.2.4.92", JPEG_XL_LOSSLESS, JPEG_XL_RECOMPRESSION, HTJ2K_LOSSLESS,
                       HTJ2K_LOSSLESS_RPCL, RLE_LOSSLESS, DEFLATED_IMAGE_FRAME}) | _NATIVE  # fmt: skip
# Carriers of something other than a data set (MIME, XML, real-time video): never offered for storage.
_NOT_DATA_SETS = ("1.2.840.10008.1.2.6.", "1.2.840.10008.1.2.7.")


def _entry(uid: str, name: str, *, retired: bool = False, private: bool = False) -> TransferSyntax:
    return TransferSyntax(
        uid,
        name,
        explicit=uid not in _IMPLICIT,
        little_endian=uid != EXPLICIT_BE,
        deflated=uid in _DEFLATED,
        encapsulated=uid not in _NATIVE,
        lossy=uid not in _LOSSLESS,
        retired=retired,
        private=private,
    )


def _build() -> dict[str, TransferSyntax]:
    known = {
        uid: _entry(uid, name, retired=bool(retired))
        for uid, (name, kind, retired) in table("uids")["uids"].items()
        if kind == "Transfer Syntax" and not uid.startswith(_NOT_DATA_SETS)
    }
    known[GE_PRIVATE_BE_PIXELS] = _entry(
        GE_PRIVATE_BE_PIXELS, "GE Private Implicit VR Little Endian with big endian Pixel Data", private=True
    )
    return known


# Every transfer syntax that can carry a stored data set, retired and known private ones included.
TRANSFER_SYNTAXES: dict[str, TransferSyntax] = _build()


def lookup(uid: str) -> TransferSyntax:
    """The transfer syntax of a UID; an unknown one is described as encapsulated Explicit VR Little Endian."""
    known = TRANSFER_SYNTAXES.get(uid)
    return known if known is not None else TransferSyntax(uid, uid, private=not uid.startswith("1.2.840.10008."))
