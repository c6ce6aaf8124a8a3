"""UIDs and application entity titles: what is legal, and how new UIDs are made."""

from __future__ import annotations

import re
import uuid

# PS3.5 9.1: components without leading zeros, digits and dots only; 64 characters at most.
_UID = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))+")
# Digits and dots only: what a UID with leading zeros, which some devices make, still is.
_TOLERABLE = re.compile(r"[0-9]+(?:\.[0-9]+)+")
# PS3.5 6.2, AE: ISO 646 without backslash and control characters.
_AET = re.compile(r"[ -\[\]-~]{1,16}")

# Implementation Class UID of this software (PS3.7 D.3.3.2): derived from a UUID (PS3.5 B.2), fixed for ever.
IMPLEMENTATION_CLASS_UID = "2.25.214703651850143960425381437093842519313"


def is_valid_uid(uid: str) -> bool:
    """Whether a UID obeys the construction rules of PS3.5 9.1, without padding."""
    return len(uid) <= 64 and _UID.fullmatch(uid) is not None


def is_tolerable_uid(uid: str) -> bool:
    """Whether a UID is digits and dots, at most 64: legal but for leading zeros, which real devices emit."""
    return len(uid) <= 64 and _TOLERABLE.fullmatch(uid) is not None


def clean_uid(text: str) -> str:
    """A UID without the padding that senders add: NUL by PS3.5 6.2, spaces by mistake."""
    return text.strip("\0 ")


def new_uid(random: uuid.UUID | None = None) -> str:
    """A fresh UID under 2.25 (PS3.5 B.2); `random` fixes it for tests."""
    return f"2.25.{(random or uuid.uuid4()).int}"


def is_valid_aet(title: str) -> bool:
    """Whether an application entity title is legal (PS3.5 6.2, AE): 1 to 16 characters, not only spaces."""
    return _AET.fullmatch(title) is not None and title.strip(" ") != ""


def clean_aet(title: str) -> str:
    """An application entity title without its insignificant leading and trailing spaces (PS3.8 9.3.2)."""
    return title.strip(" \0")
