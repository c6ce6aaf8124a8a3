"""Character repertoires (PS3.5 6.1, PS3.3 C.12.1.1.2): bytes to text and back.

Decoding never fails: an archive keeps what it was sent, and a value that cannot be read in the repertoire it
claims is still worth finding by the part that can. Undecodable bytes become U+FFFD; an unknown term falls back
to UTF-8 where the bytes are valid UTF-8, else to Latin-1, so that no byte is lost from sight.
Encoding is strict: text goes out whole in the repertoire asked for, or `UnicodeEncodeError` says that it cannot.

With several values in (0008,0005), or one ISO 2022 term, code extension by ISO/IEC 2022 is in force: escape
sequences switch the code element G0 (bytes below 80H) or G1 (bytes from 80H up), and the state returns to that
of the first value at each line end and value delimiter, in a name also at "^" and "=" (PS3.5 6.1.2.5.3).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence

DEFAULT: tuple[str, ...] = ()
UTF_8 = ("ISO_IR 192",)

# VRs whose values are text in the Specific Character Set (PS3.5 6.1.2.2); all others are ISO 646.
TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})

# Term without "ISO_IR "/"ISO 2022 IR " -> Python codec of the single-byte repertoires.
_SINGLE = {
    "6": "ascii",
    "100": "latin_1",
    "101": "iso8859_2",
    "109": "iso8859_3",
    "110": "iso8859_4",
    "144": "iso8859_5",
    "127": "iso8859_6",
    "126": "iso8859_7",
    "138": "iso8859_8",
    "148": "iso8859_9",
    "203": "iso8859_15",
    "13": "shift_jis",
    "166": "iso8859_11",
}
# Repertoires that stand alone: multi-byte without code extension (PS3.5 6.1.2.5.4).
_WHOLE = {"ISO_IR 192": "utf_8", "GB18030": "gb18030", "GBK": "gbk"}

# Multi-byte code elements: (codec of the EUC form, prefix byte in that form, into G1).
_EUC = {"87": ("euc_jp", b"", False), "159": ("euc_jp", b"\x8f", False),
        "149": ("euc_kr", b"", True), "58": ("gb2312", b"", True)}  # fmt: skip

# Escape sequences of PS3.3 tables C.12-3 and C.12-4, without ESC: bytes -> (is G1, code element).
_ESCAPES: dict[bytes, tuple[bool, str]] = {
    b"(B": (False, "6"),
    b"-A": (True, "100"),
    b"-B": (True, "101"),
    b"-C": (True, "109"),
    b"-D": (True, "110"),
    b"-L": (True, "144"),
    b"-G": (True, "127"),
    b"-F": (True, "126"),
    b"-H": (True, "138"),
    b"-M": (True, "148"),
    b"-b": (True, "203"),
    b"-T": (True, "166"),
    b"(J": (False, "14"),
    b")I": (True, "13"),
    b"$B": (False, "87"),
    b"$@": (False, "87"),
    b"$(D": (False, "159"),
    b"$)C": (True, "149"),
    b"$)A": (True, "58"),
}
# What an encoder writes to reach each code element.
_ESCAPE_TO = {element: b"\x1b" + bytes_ for bytes_, (_, element) in _ESCAPES.items() if bytes_ != b"$@"}

_TERM = re.compile(r"ISO[_ ]?(?:IR|2022[_ ]?IR)[_ ]?(\d+)", re.IGNORECASE)
_RESETS = frozenset(b"\\\r\n\f\t")
_RESETS_PN = frozenset(b"\\\r\n\f\t^=")


def _element(term: str) -> str | None:
    """The ISO-IR number of a defined term, tolerant of the misspellings that occur; None if it has none."""
    match = _TERM.fullmatch(term.strip())
    return match[1] if match else None


def codec_of(charsets: Sequence[str]) -> str | None:
    """The one Python codec that decodes everything under these terms; None if code extension is needed."""
    if not charsets or charsets == ("",):
        return "ascii"
    if len(charsets) > 1:
        return None
    term = charsets[0].strip()
    whole = _WHOLE.get(term)
    if whole is not None:
        return whole
    number = _element(term)
    if number is None or "2022" in term:
        # A lone ISO 2022 term allows escapes into itself only; one without escapes is its first code element.
        return None
    return _SINGLE.get(number)


def is_known(charsets: Sequence[str]) -> bool:
    """Whether every term is one of PS3.3 C.12.1.1.2."""
    for index, term in enumerate(charsets):
        if term.strip() == "" and index == 0:
            continue
        number = _element(term)
        if term.strip() not in _WHOLE and number not in _SINGLE and number not in _EUC:
            return False
    return True


def decode(raw: bytes, charsets: Sequence[str], vr: str = "LO") -> str:
    """Text of an encoded value, delimiters included, padding not removed. Never raises."""
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii")
    if vr not in TEXT_VRS:
        return raw.decode("latin_1")
    codec = codec_of(charsets)
    if codec == "ascii":
        return _guess(raw)
    if codec is not None:
        return raw.decode(codec, "replace")
    if not is_known(charsets):
        return _guess(raw)
    whole = _WHOLE.get(charsets[0].strip()) if charsets else None
    if whole is not None:
        # GB18030, GBK and UTF-8 forbid code extension; extra values are a mistake to read past.
        return raw.decode(whole, "replace")
    return _decode_extended(raw, charsets, _RESETS_PN if vr == "PN" else _RESETS)


def _guess(raw: bytes) -> str:
    """Text of bytes whose repertoire is not declared or unknown."""
    try:
        return raw.decode("utf_8")
    except UnicodeDecodeError:
        return raw.decode("latin_1")


def _initial(charsets: Sequence[str]) -> tuple[str, str]:
    """(G0, G1) code elements in force at the start of a value."""
    number = (_element(charsets[0]) if charsets else None) or "6"
    if number == "13":
        return "14", "13"
    if number in _EUC:
        return ("6", number) if _EUC[number][2] else (number, "")
    return "6", (number if number != "6" else "")


def _decode_extended(raw: bytes, charsets: Sequence[str], resets: frozenset[int]) -> str:
    """Text under ISO 2022 code extension: a small machine over runs of one code element."""
    g0, g1 = initial = _initial(charsets)
    # A first value of a multi-byte G0 set only names what may be escaped to: plain bytes stay ISO 646.
    if g0 in _EUC:
        g0, g1 = initial = "6", ""
    out: list[str] = []
    pos, end = 0, len(raw)
    while pos < end:
        byte = raw[pos]
        if byte == 0x1B:
            size = 3 if raw[pos + 1 : pos + 4] in _ESCAPES else 2
            found = _ESCAPES.get(raw[pos + 1 : pos + 1 + size])
            if found is None:
                out.append("�")
                pos += 1
                continue
            if found[0]:
                g1 = found[1]
            else:
                g0 = found[1]
            pos += 1 + size
        elif byte < 0x80 and g0 not in _EUC:
            stop = pos
            while stop < end and raw[stop] < 0x80 and raw[stop] != 0x1B and raw[stop] not in resets:
                stop += 1
            if stop == pos:
                g0, g1 = initial
                stop += 1
            out.append(raw[pos:stop].decode("ascii"))
            pos = stop
        elif byte < 0x80:
            if byte < 0x21:
                # Control characters and space are outside a 94-set: they stand for themselves.
                if byte in resets:
                    g0, g1 = initial
                out.append(chr(byte))
                pos += 1
                continue
            codec, prefix, _ = _EUC[g0]
            pair = raw[pos : pos + 2]
            out.append((prefix + bytes(b | 0x80 for b in pair)).decode(codec, "replace"))
            pos += 2
        else:
            stop = pos
            while stop < end and raw[stop] >= 0x80:
                stop += 1
            codec = _EUC[g1][0] if g1 in _EUC else _SINGLE.get(g1, "")
            out.append(raw[pos:stop].decode(codec, "replace") if codec else _guess(raw[pos:stop]))
            pos = stop
    return "".join(out)


def encode(text: str, charsets: Sequence[str], vr: str = "LO") -> bytes:
    """Bytes of a text (delimiters included, no padding). Raises `UnicodeEncodeError` if it does not fit."""
    if text.isascii():
        return text.encode("ascii")
    if vr not in TEXT_VRS:
        return text.encode("ascii")  # raises: these VRs are ISO 646 (PS3.5 6.1.2.2)
    codec = codec_of(charsets)
    if codec is not None:
        return _checked(text, codec)
    if not is_known(charsets):
        raise UnicodeEncodeError("ascii", text, 0, len(text), "the Specific Character Set is unknown")
    whole = _WHOLE.get(charsets[0].strip())
    if whole is not None:
        return _checked(text, whole)
    return _encode_extended(text, charsets, "\\\r\n\f\t^=" if vr == "PN" else "\\\r\n\f\t")


def _checked(text: str, codec: str) -> bytes:
    """Encode; under ISO-IR 13 only JIS X 0201 fits, though its codec knows more."""
    raw = text.encode(codec)
    if codec == "shift_jis" and len(raw) != len(text):
        raise UnicodeEncodeError(codec, text, 0, len(text), "outside JIS X 0201")
    return raw


def _one(char: str, element: str) -> bytes | None:
    """A character in one code element (without escape); None if it is not in it."""
    try:
        if element in _EUC:
            codec, prefix, into_g1 = _EUC[element]
            raw = char.encode(codec)
            if raw[:1] == b"\x8e" or (raw[:1] == b"\x8f") is not bool(prefix) or len(raw) < 2:
                return None
            raw = raw[len(prefix) :]
            return raw if into_g1 else bytes(b & 0x7F for b in raw)
        raw = char.encode(_SINGLE[element])
    except UnicodeEncodeError:
        return None
    return raw if len(raw) == 1 and raw[0] >= 0x80 else None


def _encode_extended(text: str, charsets: Sequence[str], resets: str) -> bytes:
    """Bytes under ISO 2022 code extension: escapes only where needed, initial state at every delimiter."""
    elements = [number for term in charsets if (number := _element(term) or "6") != "6"]
    start_g0, start_g1 = _initial(charsets)
    if start_g0 in _EUC:
        start_g0 = "6"
    g0, g1 = start_g0, start_g1
    out = bytearray()
    for char in text:
        if char.isascii():
            if g0 in _EUC:
                # Text in a 94x94 set ends before the next plain character (PS3.5 6.1.2.5.3).
                out += _ESCAPE_TO[start_g0]
                g0 = start_g0
            if char in resets:
                g0, g1 = start_g0, start_g1
            out += char.encode("ascii")
            continue
        current = g0 if g0 in _EUC else g1
        for element in [current, *elements] if current in elements else elements:
            raw = _one(char, element)
            if raw is None:
                continue
            if element in _EUC and not _EUC[element][2]:
                if g0 != element:
                    out += _ESCAPE_TO[element]
                    g0 = element
            elif g1 != element:
                out += _ESCAPE_TO[element]
                g1 = element
            if raw[0] >= 0x80 and g0 in _EUC:
                out += _ESCAPE_TO[start_g0]
                g0 = start_g0
            out += raw
            break
        else:
            raise UnicodeEncodeError("iso2022", char, 0, 1, "outside every repertoire of the data set")
    if g0 in _EUC:
        out += _ESCAPE_TO[start_g0]
    return bytes(out)


def fits(text: str, charsets: Sequence[str], vr: str = "PN") -> bool:
    """Whether a text can be encoded under these terms."""
    try:
        encode(text, charsets, vr)
    except UnicodeEncodeError:
        return False
    return True


def choose_reply(texts: Sequence[str], requested: Sequence[str]) -> tuple[str, ...]:
    """The Specific Character Set of an answer: none if all is ISO 646, what was asked in if it fits, else UTF-8.

    PS3.4 C.4.1.1.3.1 lets an SCP answer in any repertoire; the requester certainly reads the one it asked in.
    """
    if all(text.isascii() for text in texts):
        return DEFAULT
    wanted = tuple(requested)
    if wanted and is_known(wanted) and all(fits(text, wanted) for text in texts):
        return wanted
    return UTF_8


# Fail at import, not at the first value, if this Python lacks a codec.
for _name in {*_SINGLE.values(), *_WHOLE.values(), *(row[0] for row in _EUC.values())}:
    codecs.lookup(_name)
