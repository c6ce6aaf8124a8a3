"""In which form frames and pixel data go out: media type and transfer syntax by Accept (PS3.18 8.7.3.3, 8.7.3.5).

Native cells are application/octet-stream; every compressed transfer syntax has a media type of its own. What a client
asks for by media type alone is given as stored if the stored transfer syntax is of that type, else in the first of
its transfer syntaxes that can be written. `*` is as stored, with the media type that this has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from vesalius.standard.transfer_syntaxes import EXPLICIT_LE, IMPLICIT_LE, RLE_LOSSLESS, lookup
from vesalius.web.errors import Problem
from vesalius.web.negotiation import OCTETS, MediaType

_JPEG = "1.2.840.10008.1.2.4."

# Media type -> its transfer syntaxes, the default first (PS3.18 tables 8.7.3-3 to 8.7.3-5).
FAMILIES: dict[str, tuple[str, ...]] = {
    "image/jpeg": (_JPEG + "70", _JPEG + "57", _JPEG + "50", _JPEG + "51", _JPEG + "53", _JPEG + "55"),
    "image/jls": (_JPEG + "80", _JPEG + "81"),
    "image/jp2": (_JPEG + "90", _JPEG + "91"),
    "image/jpx": (_JPEG + "92", _JPEG + "93"),
    "image/jphc": (_JPEG + "201", _JPEG + "202", _JPEG + "203"),
    "image/jxl": (_JPEG + "110", _JPEG + "111", _JPEG + "112"),
    "image/dicom-rle": (RLE_LOSSLESS,),
    "application/x-deflate": ("1.2.840.10008.1.2.8.1",),
    "video/mpeg2": (_JPEG + "100", _JPEG + "101"),
    "video/mp4": (_JPEG + "102", _JPEG + "103", _JPEG + "104", _JPEG + "105", _JPEG + "106"),
    "video/h265": (_JPEG + "107", _JPEG + "108"),
}
# Names of older editions and of clients that never learned the new ones.
ALIASES: dict[str, str] = {
    "image/x-dicom-rle": "image/dicom-rle",
    "image/x-jls": "image/jls",
    "image/jhc": "image/jphc",
    "image/jll": "image/jpeg",
    "image/dicom+jpeg": "image/jpeg",
    "image/dicom+jls": "image/jls",
    "image/dicom+jp2": "image/jp2",
    "image/dicom+jpx": "image/jpx",
    "image/dicom+rle": "image/dicom-rle",
}
_TYPE_OF: dict[str, str] = {uid: media for media, uids in FAMILIES.items() for uid in uids}
# What is written for who takes any image: the quickest lossless one first.
_ANY_IMAGE = (_JPEG + "80", _JPEG + "201", _JPEG + "90")

Can = Callable[[str, str], bool]


@dataclass(frozen=True, slots=True)
class FrameForm:
    """How frames go out."""

    media_type: str
    transfer_syntax: str  # Explicit VR Little Endian for native cells
    multipart: bool
    q: float = 1.0

    @property
    def content_type(self) -> str:
        """Of a part, or of the answer where it is the only one."""
        return f"{self.media_type}; transfer-syntax={self.transfer_syntax}"

    @property
    def native(self) -> bool:
        """Whether native cells are asked for."""
        return self.transfer_syntax == EXPLICIT_LE


def media_type_of(transfer_syntax: str) -> str:
    """The media type of a frame as it is in a transfer syntax; that of octets where the standard knows none."""
    return _TYPE_OF.get(transfer_syntax, OCTETS)


def frame_form(ranges: Sequence[MediaType], stored: str, can: Can, *, single: bool) -> FrameForm:
    """The form that the client likes best. `can(stored, wanted)`: whether there is a codec; `single`: one frame.

    Raises `Problem` (406) where it takes none.
    """
    best: FrameForm | None = None
    rank = (0.0, False)
    stored_native = not lookup(stored).encapsulated
    refused = {wanted.part_type or wanted.essence for wanted in ranges if wanted.q <= 0}
    for wanted in ranges:
        if wanted.q <= 0:
            continue
        for form in _forms(wanted, stored, can, single=single):
            # Not `ranges`: "application/octet-stream; transfer-syntax=*" (OHIF and others) means as stored, whose
            # media type it does not name.
            if form.media_type in refused:
                continue
            # Of forms that are liked the same the one that needs no conversion: quick, and nothing is changed.
            as_stored = form.native if stored_native else form.transfer_syntax == stored
            if best is None or (form.q, as_stored) > rank:
                best, rank = form, (form.q, as_stored)
            break
    if best is None:
        raise Problem(
            406,
            "the frames cannot be given in any of the accepted media types",
            f"They are stored as {media_type_of(stored)}; accept transfer-syntax=* for that.",
        )
    return best


def _forms(wanted: MediaType, stored: str, can: Can, *, single: bool) -> Iterator[FrameForm]:
    if wanted.essence in ("*/*", "multipart/*", "multipart/related"):
        kind = wanted.part_type or ("*/*" if wanted.type == "*" else OCTETS)
        multipart = True
    elif single:
        kind, multipart = wanted.essence, False
    else:
        return
    for media, uid in _choices(kind, wanted.transfer_syntax, stored):
        if uid == stored or can(stored, uid):
            yield FrameForm(media, uid, multipart, wanted.q)


def _choices(kind: str, uid: str, stored: str) -> Iterator[tuple[str, str]]:
    """Media types and transfer syntaxes that a media range means, best first; whether they can be made is not asked."""
    stored_native = not lookup(stored).encapsulated
    as_stored = (OCTETS, EXPLICIT_LE) if stored_native else (media_type_of(stored), stored)
    named = ALIASES.get(kind, kind)
    if named in FAMILIES:
        family = FAMILIES[named]
        if uid not in ("", "*"):
            if uid in family:
                yield kind, uid
        elif stored in family:
            yield kind, stored
        else:
            yield from ((kind, each) for each in family)
    elif kind == "image/*":
        if as_stored[0].startswith("image/"):
            yield as_stored
        yield from ((media_type_of(each), each) for each in _ANY_IMAGE)
    elif kind == "video/*":
        if as_stored[0].startswith("video/"):
            yield as_stored
    elif kind in (OCTETS, "*/*", "application/*"):
        if uid == "*":
            yield as_stored
        elif uid in ("", EXPLICIT_LE, IMPLICIT_LE):
            yield OCTETS, EXPLICIT_LE
            if not uid:
                yield as_stored
        elif lookup(uid).encapsulated:
            yield media_type_of(uid), uid
