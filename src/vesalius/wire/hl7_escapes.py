r"""Escape sequences of HL7 v2 (chapter 2.7): what stands for a delimiter in text, and formatting.

Theory. A message is split at its delimiters first and the pieces are decoded afterwards, so whatever an escape sequence
stands for, a delimiter or the end of a segment included, is data and never structure (bad-input row L12). Decoding:

- `\F\ \S\ \T\ \R\ \E\ \P\`: the delimiters of this very message (and the truncation character);
- `\X..\`: bytes in hexadecimal, read as UTF-8 where they are that, else as ISO 8859-1;
- `\.br\`, `\.sp n\`, `\.ce\`: line ends; `\.sk n\`: spaces; `\H\ \N\` and the other formatting commands: nothing;
- everything else (`\Z..\`, `\C..\`, `\M..\`, a lone escape character) stays as it was written.

Encoding is strict: every delimiter and every control character is escaped, so nothing that a text holds can become
structure at the receiver (T16).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FORMATS = re.compile(r"\.(br|ce|sp|sk|in|ti|fi|nf)\s*([+-]?\d{0,3})", re.IGNORECASE)
_HEX = re.compile(r"X((?:[0-9A-Fa-f]{2})+)")
_LEFT_ALONE = re.compile(r"Z[^\r]*|[CM][0-9A-Fa-f]{4,6}")


@dataclass(frozen=True, slots=True)
class Delimiters:
    """MSH-1 and MSH-2 of one message."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"  # empty: the message has none
    subcomponent: str = "&"  # empty: the message has none
    truncation: str = ""

    @property
    def msh2(self) -> str:
        """The encoding characters as MSH-2 writes them."""
        return self.component + self.repetition + self.escape + self.subcomponent + self.truncation


STANDARD = Delimiters()


def decode(text: str, delimiters: Delimiters = STANDARD) -> str:
    """The text that a piece of a message stands for."""
    escape = delimiters.escape
    if not escape or escape not in text:
        return text
    pieces = text.split(escape)
    out = [pieces[0]]
    position = 1
    # Between two escape characters stands a sequence; the last piece has no closing one.
    while position < len(pieces) - 1:
        sequence = pieces[position]
        meant = f"{escape}{sequence}{escape}" if _LEFT_ALONE.fullmatch(sequence) else _meaning(sequence, delimiters)
        if meant is None:
            out.append(escape + sequence)  # no sequence: its closing character may open the next one
            position += 1
            continue
        out.append(meant)
        out.append(pieces[position + 1])
        position += 2
    if position < len(pieces):
        out.append(escape + pieces[position])
    return "".join(out)


def _meaning(sequence: str, delimiters: Delimiters) -> str | None:
    if len(sequence) == 1:
        return {
            "F": delimiters.field,
            "S": delimiters.component,
            "T": delimiters.subcomponent or "&",
            "R": delimiters.repetition,
            "E": delimiters.escape,
            "P": delimiters.truncation or "#",
            "H": "",
            "N": "",
        }.get(sequence)
    hexadecimal = _HEX.fullmatch(sequence)
    if hexadecimal is not None:
        raw = bytes.fromhex(hexadecimal[1])
        try:
            return raw.decode("utf_8")
        except UnicodeDecodeError:
            return raw.decode("latin_1")
    format_ = _FORMATS.fullmatch(sequence)
    if format_ is None:
        return None
    count = min(abs(int(format_[2])) if format_[2].lstrip("+-") else 1, 100)
    return {"br": "\n", "ce": "\n", "sp": "\n" * count, "sk": " " * count}.get(format_[1].lower(), "")


def encode(text: str, delimiters: Delimiters = STANDARD) -> str:
    """A text as a piece of a message: no character of it is structure."""
    escape = delimiters.escape
    if not escape:
        raise ValueError("without an escape character nothing can be written safely")
    out = []
    for char in text:
        if char == escape:
            letter = "E"
        elif char == delimiters.field:
            letter = "F"
        elif char == delimiters.component:
            letter = "S"
        elif char == delimiters.subcomponent:
            letter = "T"
        elif char == delimiters.repetition:
            letter = "R"
        elif char == delimiters.truncation:
            letter = "P"
        elif char < " " or char == "\x7f":
            letter = f"X{ord(char):02X}"
        else:
            out.append(char)
            continue
        out.append(f"{escape}{letter}{escape}")
    return "".join(out)
