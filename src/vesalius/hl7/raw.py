"""The bytes of a message as they came: what makes two of them the same content, and their text for people."""

from __future__ import annotations

import hashlib
import re

from vesalius.hl7 import charsets
from vesalius.hl7.config import UTF_8
from vesalius.wire.hl7_message import BadMessage, parse

HEAD_BYTES = 4096  # the first segment is looked for in these


def digest_of(raw: bytes) -> bytes:
    """What makes two messages the same content: everything but the time of sending (MSH-7)."""
    head = re.split(rb"[\r\n]", raw, maxsplit=1)[0]
    at = head.find(b"MSH")
    if at >= 0 and len(head) > at + 3:
        separator = head[at + 3 : at + 4]
        fields = head.split(separator)
        if len(fields) > 6:
            fields[6] = b""
        raw = separator.join(fields) + raw[len(head) :]
    return hashlib.sha256(raw.rstrip(b"\r\n ")).digest()


def readable(raw: bytes) -> str:
    """The text of a message for people: in its own character set, or as near as it comes."""
    text = raw[:HEAD_BYTES].removeprefix(b"\xef\xbb\xbf").decode("latin_1")
    try:
        declared = parse(re.split(r"[\r\n]", text.lstrip("\r\n "), maxsplit=1)[0]).msh.repetitions(18)
        return charsets.decode(raw, declared, UTF_8)
    except BadMessage:
        return raw.decode("utf_8", "replace")
