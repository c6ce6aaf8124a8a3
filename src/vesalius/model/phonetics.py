"""How a name sounds: the codes behind fuzzy matching of person names (PS3.4 C.2.2.2.1.1).

The standard leaves the algorithm to the archive. This one is of the family of Metaphone and the Cologne code,
made for names of many languages and not for English words: it keeps the consonants that an ear tells apart,
in order, writes those that a listener confuses alike, and drops vowels except at the beginning.

    P  b p              T  d t th dt           N  m n                 X  sh sch ch(e,i) tch cz zh j
    F  f ph v w pf      S  s z tz ts ss, c before e i y               K  k c q g ck gh gk, ch elsewhere
    L  l                R  r rh wr             A  any vowel, y and a sounded h at the beginning

Silent: h and y inside a word, gh before t or at the end, k in kn-, g in gn-, p in ps- and pn-, w in wr-. Doubled
sounds are one. Cyrillic and Greek letters are read as Latin ones first. A word of another script (kana, Chinese
characters) is its own code, so it matches itself.

A query matches a name when every code of the query is among the codes of the name, in any order and component:
`Smyth^Jon` finds `Smith^John^Q`. Whatever matches exactly also matches by sound.
"""

from __future__ import annotations

import re
from functools import lru_cache

from vesalius.model.names import fold

_WORD = re.compile(r"[^\W_]+")
_LATIN = re.compile(r"[a-z]+")

# A letter and how it is read.
_READ_AS = (
    "аa бb вv гg дd еe ёe жzh зz иi йy кk лl мm нn оo пp рr сs тt уu фf хkh цts чch шsh "
    "щsh ъ ыy ь эe юyu яya іi їi єe ґg ћch ђdj љl њn џdz јy "
    "αa βv γg δd εe ζz ηi θth ιi κk λl μm νn ξks οo πp ρr σs ςs τt υi φf χkh ψps ωo"
)
_READ = str.maketrans({letter[0]: letter[1:] for letter in _READ_AS.split()})

# Longest first; `>` marks the beginning of a word, `<` its end, `~` a vowel that is dropped later.
_RULES: tuple[tuple[str, str], ...] = (
    (r">(?:kn|gn|pn)", ">N"),
    (r">wr", ">R"),
    (r">ps", ">S"),
    (r">x", ">S"),
    (r">wh", ">F"),
    (r"tsch|tch|sch|tz?sh|sh|zh|cz|dj|sz(?=[aeiouy])", "X"),
    (r"ch(?=[eiy])", "X"),
    (r"ck|ch|kh|gk", "K"),
    (r"gh(?=t|<)", "~"),
    (r"gh", "K"),
    (r"ph|pf", "F"),
    (r"dt|th|tt|dd", "T"),
    (r"rh", "R"),
    (r"tz|ts|ss|sz", "S"),
    (r"c(?=[eiy])", "S"),
    (r"x", "KS"),
    (r"j", "X"),
)
_COMPILED = tuple((re.compile(pattern), code) for pattern, code in _RULES)
_LETTERS = str.maketrans(
    {
        "b": "P",
        "p": "P",
        "d": "T",
        "t": "T",
        "f": "F",
        "v": "F",
        "w": "F",
        "s": "S",
        "z": "S",
        "k": "K",
        "c": "K",
        "q": "K",
        "g": "K",
        "l": "L",
        "r": "R",
        "m": "N",
        "n": "N",
        **dict.fromkeys("aeiouyh", "~"),
    }
)
_DOUBLED = re.compile(r"([A-Z])\1+")


@lru_cache(maxsize=8192)
def sound_of(word: str) -> str:
    """The code of one folded word: capital letters; the word itself where it is not of letters that are read."""
    latin = word.translate(_READ)
    if not _LATIN.fullmatch(latin):
        return word
    code = f">{latin}<"
    for pattern, replacement in _COMPILED:
        code = pattern.sub(replacement, code)
    code = code[code.index(">") + 1 : -1].translate(_LETTERS)
    code = _DOUBLED.sub(r"\1", code)
    beginning = "A" if code.startswith("~") else ""
    return beginning + code.replace("~", "")


def sounds(name: str) -> tuple[str, ...]:
    """The codes of every word of a name (any of its groups and components), without repeats."""
    return tuple(dict.fromkeys(sound_of(word) for word in _WORD.findall(fold(name))))
