"""Reading numbers as people send them: what is no number is None, never an error and never a guess.

The index keeps numbers as numbers, so that `1`, `01` and `+1` are the same Series Number to a query
(PS3.4 C.2.2.2.1: a single value matches by value). What was sent stays in the pack (bad-input D11).
"""

from __future__ import annotations

import math
import re

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LARGEST = (1 << 63) - 1


def integer_of(text: str) -> int | None:
    """A whole number that fits 64 bits, from an IS or a decimal rendering of a binary VR; else None."""
    text = text.strip()
    if not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if -_LARGEST <= number <= _LARGEST else None


def decimal_of(text: str) -> float | None:
    """A finite number, from a DS or a decimal rendering of a binary VR; `1e400`, `nan` and words are None."""
    text = text.strip()
    if not _DECIMAL.fullmatch(text):
        return None
    number = float(text)
    return (number + 0.0) if math.isfinite(number) else None


def decimal_text(number: float) -> str:
    """The shortest text that reads back as the same number, without a point where it is whole."""
    if number == int(number) and abs(number) < 1e15:
        return str(int(number))
    return repr(number)
