"""Character sets of HL7 messages (MSH-18, table 0211): bytes to text and back.

Theory. What MSH-18 declares is decoded strictly: bytes that are not of the declared repertoire are a data type error
(bad-input row L10), because a name that was guessed is a wrong name. An empty MSH-18 means what the source's settings
say. A byte order mark of UTF-8 speaks for itself. The whole message is decoded before it is cut, because the second
byte of a two-byte character may look like a delimiter. The repertoires and code extensions are those of DICOM.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence

from vesalius.model import charset as dicom
from vesalius.standard.hl7_tables import CHARSETS, Condition
from vesalius.wire.hl7_message import BadMessage, Place

_PLACE = Place("MSH", field=18)
_BOM = codecs.BOM_UTF8
# How senders write it, beside the words of the table.
_ALIASES = {
    "UTF-8": "UNICODE UTF-8",
    "UTF8": "UNICODE UTF-8",
    "UNICODE UTF8": "UNICODE UTF-8",
    "US-ASCII": "ASCII",
    "ISO IR 6": "ISO IR6",
    "ISO IR 13": "ISO IR13",
    "ISO IR 14": "ISO IR14",
    "ISO IR 87": "ISO IR87",
    "ISO IR 159": "ISO IR159",
    "KSX1001": "KS X 1001",
    "GB18030": "GB 18030-2000",
    "GB18030-2000": "GB 18030-2000",
}
_ISO_8859 = re.compile(r"ISO[ _-]?8859[-/](\d{1,2})")


def term_of(name: str) -> str | None:
    """The defined term of DICOM for a value of table 0211; None if it is none that is supported."""
    wanted = " ".join(name.upper().replace("_", " ").split())
    found = _ISO_8859.fullmatch(wanted)
    wanted = f"8859/{found[1]}" if found else _ALIASES.get(wanted, wanted)
    return CHARSETS.get(wanted)


def terms_of(declared: Sequence[str], default: str) -> tuple[str, ...]:
    """The terms of a message: of MSH-18, or of the default where it is empty. Raises `BadMessage` (103)."""
    names = [name.strip() for name in declared]
    if not any(names):
        names = [default]
    terms = [term_of(name) if name else "" for name in names]
    if any(term is None for term in terms):
        raise BadMessage(Condition.TABLE_VALUE, _PLACE, "a character set that is not supported")
    known = ["" if term == "ISO_IR 6" else term or "" for term in terms]
    if len(known) == 1:
        # A two-byte set alone still begins as ASCII and is reached by escapes.
        return ("", known[0]) if known[0].startswith("ISO 2022 IR") and known[0] != "ISO 2022 IR 13" else (known[0],)
    extended = [term.replace("ISO_IR", "ISO 2022 IR") for term in known]
    return (extended[0], *(term for term in extended[1:] if term))


def decode(raw: bytes, declared: Sequence[str], default: str) -> str:
    """The text of a message. Raises `BadMessage`."""
    if raw.startswith(_BOM):
        raw, declared = raw.removeprefix(_BOM), ["UNICODE UTF-8"]
    terms = terms_of(declared, default)
    codec = dicom.codec_of(terms)
    if codec is None and len(terms) == 1 and terms[0] == "ISO 2022 IR 13":
        codec = "shift_jis"
    try:
        if codec is not None:
            return raw.decode(codec)
        text = dicom.decode(raw, terms)
    except UnicodeDecodeError:
        text = "\ufffd"
    if "\ufffd" in text or (raw.isascii() is False and terms == ("",)):
        raise BadMessage(Condition.DATA_TYPE, _PLACE, "bytes that are not of the declared character set")
    return text


def encode(text: str, name: str) -> tuple[bytes, str]:
    """The bytes of a message in a character set of table 0211, and the one used: UTF-8 where the text does not fit."""
    if text.isascii():
        return text.encode("ascii"), name
    term = term_of(name)
    terms = terms_of([name], name) if term else ("ISO_IR 192",)
    try:
        return dicom.encode(text, terms), name
    except UnicodeEncodeError:
        return text.encode("utf_8"), "UNICODE UTF-8"
