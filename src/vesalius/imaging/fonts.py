"""Letters for what is burnt into pictures: a font that has the characters of the text, found once and kept.

Pillow brings a font for Latin text. Names in other scripts need one of the system (Debian: `fonts-dejavu-core` for
Greek, Cyrillic and Arabic, `fonts-noto-cjk` for Chinese, Japanese and Korean); characters that no font has become `?`,
and the patient's ID beside the name tells who it is.
"""

from __future__ import annotations

from functools import lru_cache

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# File names that Pillow looks for in the places where the system keeps fonts, the first that fits is taken.
SYSTEM_FONTS = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "DroidSansFallbackFull.ttf",
    "wqy-microhei.ttc", "NotoSansArabic-Regular.ttf", "FreeSans.ttf",
)  # fmt: skip
_MISSING = "\uffff"  # no character: shown as what a font shows for those that it does not have


def font_for(text: str, size: int) -> Font:
    """The font that has most of a text's characters, in a size of pixels."""
    wanted = "".join(sorted({letter for letter in text if not letter.isspace()}))[:256]
    return _chosen(wanted, size)


def readable(line: str, font: Font) -> str:
    """A line without control characters, and with `?` for what the font does not have."""
    return "".join(
        letter if letter == " " or _has(font, letter) else "?"
        for letter in line.replace("\t", " ")
        if letter.isprintable()
    )


@lru_cache(maxsize=256)
def _chosen(wanted: str, size: int) -> Font:
    plain = ImageFont.load_default(size)
    best, most = plain, sum(_has(plain, letter) for letter in wanted)
    for name in SYSTEM_FONTS if most < len(wanted) else ():
        try:
            font = ImageFont.truetype(name, size)
        except OSError:
            continue
        found = sum(_has(font, letter) for letter in wanted)
        if found > most:
            best, most = font, found
        if most == len(wanted):
            break
    return best


def _has(font: Font, letter: str) -> bool:
    return " " < letter <= "~" or _shape(font, letter) != _shape(font, _MISSING)


@lru_cache(maxsize=4096)
def _shape(font: Font, letter: str) -> bytes:
    return bytes(font.getmask(letter))
