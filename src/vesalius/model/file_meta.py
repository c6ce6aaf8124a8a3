"""The beginning of a DICOM file as this archive writes it (PS3.10 7.1): preamble and file meta information.

The preamble is always zeros. The meta information says what the data set is, who wrote the file, and which
application entity the instance came from where that is known.
"""

from __future__ import annotations

from vesalius.model.entities import Claim
from vesalius.model.identifiers import IMPLEMENTATION_CLASS_UID

PREAMBLE = bytes(128) + b"DICM"
IMPLEMENTATION_VERSION = "VESALIUS_0"


def file_prefix(claim: Claim, source_aet: str = "") -> bytes:
    """Everything before the data set. A source that is no legal AE title is left out."""
    aet = source_aet if 0 < len(source_aet) <= 16 and source_aet.isascii() and source_aet.isprintable() else ""
    meta = b"".join(
        (
            _VERSION,
            _uid(0x0002, claim.sop_class),
            _uid(0x0003, claim.sop_instance),
            _uid(0x0010, claim.transfer_syntax),
            _IMPLEMENTATION,
            _text(0x0016, b"AE", aet) if aet else b"",
        )
    )
    return PREAMBLE + _short(0x0000, b"UL", len(meta).to_bytes(4, "little")) + meta


def _short(element: int, vr: bytes, value: bytes) -> bytes:
    return b"\x02\x00" + element.to_bytes(2, "little") + vr + len(value).to_bytes(2, "little") + value


def _uid(element: int, uid: str) -> bytes:
    value = uid.encode("ascii", "replace")[:64]
    return _short(element, b"UI", value + b"\0" if len(value) & 1 else value)


def _text(element: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii")
    return _short(element, vr, value + b" " if len(value) & 1 else value)


_VERSION = b"\x02\x00\x01\x00OB\x00\x00\x02\x00\x00\x00\x00\x01"
_IMPLEMENTATION = _uid(0x0012, IMPLEMENTATION_CLASS_UID) + _text(0x0013, b"SH", IMPLEMENTATION_VERSION)
