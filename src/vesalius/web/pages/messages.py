"""Message catalogues: every text of the pages stands in `locales/*.json` under a key, one file for a language.

English is complete by a test; another language falls back to it key by key. Figures go in by name (`{count}`), and a
message with a plural has two keys, `key.one` and `key`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources import files

_FOLDER = files("vesalius.web.pages") / "locales"
LANGUAGES = ("en", "de")
CATALOGUES: Mapping[str, Mapping[str, str]] = {
    language: json.loads((_FOLDER / f"{language}.json").read_text(encoding="utf-8")) for language in LANGUAGES
}
_RANGE = re.compile(r"\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9-]*)?\s*(?:;\s*q\s*=\s*([0-9.]{1,5}))?\s*")


def language_of(header: str) -> str:
    """The best of our languages for an Accept-Language header (RFC 9110 12.5.4)."""
    best, found = 0.0, LANGUAGES[0]
    for part in header.split(",")[:32]:
        match = _RANGE.fullmatch(part)
        if match is None or match[1].lower() not in LANGUAGES:
            continue
        try:
            weight = float(match[2] or 1)
        except ValueError:
            continue
        if weight > best:
            best, found = weight, match[1].lower()
    return found


class Messages:
    """The texts of one language. `messages("key", count=3)`."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._own = CATALOGUES[language]
        self._english = CATALOGUES["en"]

    def __call__(self, key: str, /, **figures: object) -> str:
        """The text under a key; a key that is nowhere is shown as itself."""
        if figures.get("count") == 1 and (f"{key}.one" in self._own or f"{key}.one" in self._english):
            key = f"{key}.one"
        text = self._own.get(key) or self._english.get(key) or key
        if not figures:
            return text
        return text.format(**{k: self.number(v) if isinstance(v, int) else v for k, v in figures.items()})

    def number(self, value: int) -> str:
        """Thousands as the language groups them."""
        text = f"{value:,}"
        return text.replace(",", ".") if self.language == "de" else text
