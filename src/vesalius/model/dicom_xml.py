"""The Native DICOM Model (PS3.19 A.1) from DICOM JSON: the two say the same, so one is written from the other.

Numbers keep the digits they have in the JSON. Characters that XML 1.0 cannot hold, which DICOM text should not
hold either, become U+FFFD.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import msgspec

from vesalius.standard.dictionary import keyword_of

NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"

_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_decode = msgspec.json.Decoder(float_hook=str).decode


def from_json(data: bytes) -> bytes:
    """One DICOM JSON object as a Native DICOM Model document."""
    body = "".join(_attributes(_decode(data)))
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<NativeDicomModel xmlns="{NAMESPACE}" xml:space="preserve">'
        f"{body}</NativeDicomModel>"
    ).encode()


def _attributes(dataset: dict[str, dict[str, Any]]) -> Iterable[str]:
    for key, element in dataset.items():
        tag = int(key, 16)
        yield f'<DicomAttribute tag="{key}" vr="{element["vr"]}"'
        keyword = keyword_of(tag)
        if keyword:
            yield f' keyword="{keyword}"'
        if tag & 0x10000 and tag & 0xFFFF > 0xFF:
            creator = dataset.get(f"{tag >> 16:04X}{tag >> 8 & 0xFF:04X}", {}).get("Value") or ()
            if creator and isinstance(creator[0], str):
                yield f" privateCreator={quoteattr(_clean(creator[0]))}"
        yield ">"
        yield from _content(element)
        yield "</DicomAttribute>"


def _content(element: dict[str, Any]) -> Iterable[str]:
    if "InlineBinary" in element:
        yield f"<InlineBinary>{element['InlineBinary']}</InlineBinary>"
    elif "BulkDataURI" in element:
        yield f"<BulkData uri={quoteattr(_clean(element['BulkDataURI']))}/>"
    for number, value in enumerate(element.get("Value", ()), 1):
        if element["vr"] == "SQ":
            yield f'<Item number="{number}">'
            yield from _attributes(value)
            yield "</Item>"
        elif isinstance(value, dict):
            yield f'<PersonName number="{number}">'
            for group, name in value.items():
                yield f"<{group}>"
                for component, text in zip(_COMPONENTS, name.split("^"), strict=False):
                    if text:
                        yield f"<{component}>{escape(_clean(text))}</{component}>"
                yield f"</{group}>"
            yield "</PersonName>"
        elif value is not None:
            yield f'<Value number="{number}">{escape(_clean(str(value)))}</Value>'


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
