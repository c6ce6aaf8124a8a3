"""The data dictionary (PS3.6, and PS3.7 annex E for group 0000): what an element is, by its tag.

Tags are integers, group in the upper 16 bits. Where the standard allows several value representations the
entry reads as printed, "US or SS"; `vrs_of` splits it. Repeating groups (60xx, 50xx, ...) are found by mask.
Private elements are unknown here by design: their meaning depends on the private creator.
"""

from __future__ import annotations

from functools import cache

from vesalius.standard.edition import table


def _build() -> tuple[dict[int, str], dict[int, str], dict[str, int]]:
    """VR, keyword and tag look-ups. Group 0000 is included."""
    vr_of: dict[int, str] = {}
    keyword_of: dict[int, str] = {}
    for text, (vr, _, keyword, _, _) in table("dictionary")["elements"].items():
        tag = int(text, 16)
        vr_of[tag] = vr
        keyword_of[tag] = keyword
    return vr_of, keyword_of, {keyword: tag for tag, keyword in keyword_of.items() if keyword}


# Tag -> VR as printed in PS3.6; "NONE" for item and delimiter tags.
VR_OF: dict[int, str]
VR_OF, _KEYWORD_OF, _TAG_OF = _build()


@cache
def _repeaters() -> tuple[tuple[int, int, str, str], ...]:
    """(mask, value, VR, keyword) of the repeating groups."""
    rows = []
    for text, (vr, _, keyword, _, _) in table("dictionary")["repeaters"].items():
        mask = int("".join("0" if c == "x" else "F" for c in text), 16)
        rows.append((mask, int(text.replace("x", "0"), 16), vr, keyword))
    return tuple(rows)


def is_private(tag: int) -> bool:
    """Whether the group number is odd (PS3.5 7.8)."""
    return bool(tag & 0x10000)


def _repeating(tag: int) -> tuple[str, str] | None:
    """(VR, keyword) of an element of a repeating group; None if it is none."""
    if tag & 0x10000:
        return None
    for mask, value, vr, keyword in _repeaters():
        if tag & mask == value:
            return vr, keyword
    return None


def vr_of(tag: int) -> str | None:
    """VR as printed in PS3.6, "UL" for any group length, "LO" for a private creator; None if unknown."""
    vr = VR_OF.get(tag)
    if vr is not None:
        return vr
    if tag & 0xFFFF == 0:
        return "UL"
    if tag & 0x10000:
        return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else None
    found = _repeating(tag)
    return found[0] if found else None


def vrs_of(tag: int) -> tuple[str, ...]:
    """Every VR that the dictionary allows for a tag; empty if the tag is unknown."""
    vr = vr_of(tag)
    return tuple(vr.split(" or ")) if vr else ()


def keyword_of(tag: int) -> str:
    """Keyword of PS3.6, "" if the tag has none."""
    keyword = _KEYWORD_OF.get(tag)
    if keyword is not None:
        return keyword
    found = _repeating(tag)
    return found[1] if found else ""


def tag_of(keyword: str) -> int | None:
    """Tag of a keyword such as "PatientID"; None if there is no such keyword."""
    return _TAG_OF.get(keyword)


def describe(tag: int) -> str:
    """A tag for people: "(0010,0020) PatientID"."""
    text = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
    keyword = keyword_of(tag)
    return f"{text} {keyword}" if keyword else text


def name_of(tag: int) -> str:
    """Name as printed in PS3.6, "" if unknown. Slower than the other look-ups: for documents."""
    row = table("dictionary")["elements"].get(f"{tag:08X}")
    return str(row[3]) if row else ""


def vm_of(tag: int) -> str:
    """Value multiplicity as printed in PS3.6 ("1", "1-n", "2-2n"), "" if unknown."""
    row = table("dictionary")["elements"].get(f"{tag:08X}")
    return str(row[1]) if row else ""


def is_retired(tag: int) -> bool:
    """Whether PS3.6 marks the element as retired."""
    row = table("dictionary")["elements"].get(f"{tag:08X}")
    return bool(row and row[4])
