"""Message catalogues: every text of the pages stands in `locales/AREA.LANGUAGE.json` under a key.

English is the source: a test reads the templates and finds every key in it, and in every other language too. Figures go
in by name (`{count}`), and a message with a plural has two keys, `key.one` and `key`. Keys that begin with `js.` go to
the scripts of a page. What is wrong is told by the deeper floors in English; `told` gives it in the reader's language
where `error.…` has it.

A third language, `en-XA`, is English in accents and brackets, made here: where it is asked for, a text without brackets
is one that escaped the catalogue.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources import files

LANGUAGES: Mapping[str, str] = {"en": "English", "de": "Deutsch"}  # and how each calls itself
PSEUDO = "en-XA"
COOKIE = "language"
_FOLDER = files("vesalius.web.pages") / "locales"
_RANGE = re.compile(r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*q\s*=\s*([0-9.]{1,5}))?\s*")
_PLACE = re.compile(r"(\{[a-z]*\})")
_ACCENTS = str.maketrans("AEIOUYaceinouyz", "ÅÉÎÖÛÝàçéîñöûýž")


def _catalogue(language: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in sorted(_FOLDER.iterdir(), key=lambda each: each.name):
        if file.name.endswith(f".{language}.json"):
            found |= json.loads(file.read_text(encoding="utf-8"))
    return found


def pseudo(text: str) -> str:
    """A text as the pseudo-language writes it: its places for figures stay."""
    parts = _PLACE.split(text)
    return "⟦" + "".join(part if _PLACE.fullmatch(part) else part.translate(_ACCENTS) for part in parts) + "⟧"


CATALOGUES: Mapping[str, Mapping[str, str]] = {language: _catalogue(language) for language in LANGUAGES}
_PSEUDO = {key: text if key.startswith("form.") else pseudo(text) for key, text in CATALOGUES["en"].items()}


def language_of(header: str, chosen: str = "") -> str:
    """The language that was chosen (a cookie), or the best of ours for an Accept-Language header (RFC 9110 12.5.4)."""
    if chosen in LANGUAGES:
        return chosen
    best, found = 0.0, "en"
    for part in header.split(",")[:32]:
        match = _RANGE.fullmatch(part)
        if match is None:
            continue
        asked = match[1].lower()
        language = PSEUDO if asked == PSEUDO.lower() else asked.partition("-")[0]
        if language not in LANGUAGES and language != PSEUDO:
            continue
        try:
            weight = float(match[2] or 1)
        except ValueError:
            continue
        if weight > best:
            best, found = weight, language
    return found


class Messages:
    """The texts of one language. `messages("key", count=3)`."""

    def __init__(self, language: str = "en") -> None:
        self.language = language
        self._english = CATALOGUES["en"]
        self._own = _PSEUDO if language == PSEUDO else CATALOGUES[language]

    def __call__(self, key: str, /, **figures: object) -> str:
        """The text under a key; a key that is nowhere is shown as itself."""
        if figures.get("count") == 1 and f"{key}.one" in self._english:
            key = f"{key}.one"
        text = self._own.get(key) or self._english.get(key) or key
        if not figures:
            return text
        return text.format(**{k: self.number(v) if isinstance(v, int) else v for k, v in figures.items()})

    def has(self, key: str) -> bool:
        """Whether there is a text under a key."""
        return key in self._english

    def scripts(self) -> dict[str, str]:
        """The texts of the scripts, as the attributes that carry them: `js.undo` is `data-undo`."""
        keys = (key for key in self._english if key.startswith("js."))
        return {f"data-{key[3:].replace('.', '-')}": self(key) for key in keys}

    def told(self, text: str) -> str | None:
        """What went wrong, said in English, in this language; None where it has no words for it."""
        key = f"error.{text}"
        if self.language == "en":
            return text
        return self._own.get(key)

    def number(self, value: int) -> str:
        """Thousands as the language groups them."""
        return f"{value:,}".replace(",", self("form.thousands"))

    def decimal(self, value: float, digits: int) -> str:
        """A number with so many digits behind the mark that the language uses."""
        return f"{value:.{digits}f}".replace(".", self("form.decimals"))
