"""Person names in the form in which they are searched: no case, no accents, no padding.

PS3.4 C.2.2.2.1.1 lets a name match without regard to case and diacritical marks; PS3.5 6.2.1 says what a name
is: up to three groups (alphabetic, ideographic, phonetic) parted by `=`, each of up to five components parted
by `^`, trailing delimiters left out. A query without `=` may match any of the groups; one with `=` says which
group is meant by where it stands, and an empty group in it matches whatever is there.

Folding is one function of one text, the same for what is stored and what is asked: compatibility decomposition,
combining accents dropped (the voicing marks of kana stay: they make other sounds), case folded, letters that
do not decompose (o with stroke, ligatures) spelled out, runs of spaces made one. Full-width forms of the
characters that mean something in a query or a name become spaces: folding never makes a delimiter.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

Groups = tuple[str, str, str]

_COMPONENTS = 5  # of a group, PS3.5 6.2.1

_SPELLED = str.maketrans(
    {
        "ø": "o",
        "æ": "ae",
        "œ": "oe",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "ı": "i",
        "ħ": "h",
        "ŧ": "t",
        "ŋ": "n",
        "ĸ": "k",
        "’": "'",
        "‘": "'",
        "ʼ": "'",
        "‐": "-",
        "‑": "-",
        "–": "-",
    }
)
_NO_DELIMITERS = str.maketrans(dict.fromkeys("＊？＝＾＼﹡﹖﹦﹨\x00", " "))


def fold(text: str) -> str:
    """A text without case, accents and doubled spaces. Folding twice changes nothing."""
    if text.isascii():
        return " ".join(text.lower().split())
    text = unicodedata.normalize("NFKD", text.translate(_NO_DELIMITERS))
    kept = "".join(char for char in text if not _is_accent(char))
    spelled = kept.casefold().translate(_SPELLED)
    again = unicodedata.normalize("NFKD", spelled)
    if again != spelled:
        again = "".join(char for char in again if not _is_accent(char)).casefold().translate(_SPELLED)
    return " ".join(unicodedata.normalize("NFC", again).split())


def _is_accent(char: str) -> bool:
    return "\u0300" <= char <= "\u036f" or "\u1ab0" <= char <= "\u1aff" or "\u1dc0" <= char <= "\u1dff"


def fold_group(group: str) -> str:
    """One component group: each component folded, trailing empty components dropped."""
    return "^".join(fold(component) for component in group.split("^")).rstrip("^")


@lru_cache(maxsize=4096)
def fold_groups(name: str) -> Groups:
    """Alphabetic, ideographic and phonetic group of one name, folded; empty where there is none."""
    groups = [fold_group(group) for group in name.split("=", 2)]
    groups += [""] * (3 - len(groups))
    return groups[0], groups[1], groups[2]


def fold_name(name: str) -> str:
    """All groups of one name, folded, trailing empty ones dropped: what an exact search compares."""
    return "=".join(fold_groups(name)).rstrip("=")


def name_patterns(pattern: str) -> tuple[str, ...]:
    """A name with `*` and `?` as the folded patterns of which any may match.

    A component that is left out is an empty one, so `doe^*` also finds `doe`, which nothing follows.
    """
    groups = [_group_patterns(group) for group in pattern.split("=", 2)]
    while len(groups) > 1 and groups[-1] == [""]:
        groups.pop()
    made = [""]
    for position, options in enumerate(groups):
        made = [before + ("=" if position else "") + option for before in made for option in options]
    return tuple(dict.fromkeys(made))


def _group_patterns(group: str) -> list[str]:
    components = [fold(component) for component in group.split("^")]
    while len(components) > 1 and not components[-1]:
        components.pop()
    patterns = ["^".join(components)]
    for _ in range(_COMPONENTS):
        if len(components) < 2 or components[-1].strip("*"):
            break
        components.pop()
        patterns.append("^".join(components))
    return patterns
