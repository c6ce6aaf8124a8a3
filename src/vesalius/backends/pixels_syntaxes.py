"""Which transfer syntaxes the codecs read and write, and in which order they are preferred."""

from __future__ import annotations

from vesalius.backends.pixels_dataset import BIG, EXPLICIT, IMPLICIT, Encoding
from vesalius.standard.transfer_syntaxes import (
    DEFLATED_IMAGE_FRAME,
    DEFLATED_LE,
    ENCAPSULATED_UNCOMPRESSED_LE,
    EXPLICIT_BE,
    EXPLICIT_LE,
    HTJ2K,
    HTJ2K_LOSSLESS,
    HTJ2K_LOSSLESS_RPCL,
    IMPLICIT_LE,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS,
    JPEG_LOSSLESS_SV1,
    JPEG_LS_LOSSLESS,
    JPEG_LS_NEAR_LOSSLESS,
    RLE_LOSSLESS,
)

# 53 and 55 are retired: progressive JPEG, which the same decoder reads.
JPEG = frozenset(
    {JPEG_BASELINE, JPEG_EXTENDED, "1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55", JPEG_LOSSLESS, JPEG_LOSSLESS_SV1}
)
JPEG_LS = frozenset({JPEG_LS_LOSSLESS, JPEG_LS_NEAR_LOSSLESS})
J2K = frozenset({JPEG_2000_LOSSLESS, JPEG_2000, HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, HTJ2K})

NATIVE: dict[str, Encoding] = {
    IMPLICIT_LE: IMPLICIT,
    EXPLICIT_LE: EXPLICIT,
    DEFLATED_LE: EXPLICIT,
    EXPLICIT_BE: BIG,
}

DECODABLE: frozenset[str] = (
    JPEG | JPEG_LS | J2K | {RLE_LOSSLESS, DEFLATED_IMAGE_FRAME, ENCAPSULATED_UNCOMPRESSED_LE} | frozenset(NATIVE)
)

# What is written without loss, best first.
PREFERENCE: tuple[str, ...] = (
    EXPLICIT_LE,
    IMPLICIT_LE,
    DEFLATED_LE,
    EXPLICIT_BE,
    JPEG_LS_LOSSLESS,
    JPEG_2000_LOSSLESS,
    JPEG_LOSSLESS_SV1,
    HTJ2K_LOSSLESS_RPCL,
    HTJ2K_LOSSLESS,
    RLE_LOSSLESS,
)

# Written only for who asks for exactly this: with loss, 8 or 12 bits.
LOSSY: frozenset[str] = frozenset({JPEG_BASELINE, JPEG_EXTENDED})

ENCODABLE: frozenset[str] = frozenset(PREFERENCE) | LOSSY
