"""Parts of an answer by the Range header (RFC 9110 14)."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from vesalius.web.errors import Problem


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `first` to `last`, both included, of `total`."""

    first: int
    last: int
    total: int

    @property
    def length(self) -> int:
        """How many bytes."""
        return self.last - self.first + 1

    @property
    def content_range(self) -> str:
        """The header that says so."""
        return f"bytes {self.first}-{self.last}/{self.total}"


def span_of(request: Request, total: int, tag: str = "") -> Span | None:
    """The one range that is asked for; None where the whole is to be given.

    A unit that is not bytes, several ranges at once and a stale If-Range are answered with the whole (RFC 9110 14.2).
    Raises `Problem` (416; H22) for a range that cannot be satisfied or read.
    """
    text = request.headers.get("range", "").strip()
    unit, _, ranges = text.partition("=")
    if unit.strip().lower() != "bytes" or "," in ranges or request.method != "GET":
        return None
    condition = request.headers.get("if-range")
    if condition is not None and condition != tag:
        return None
    start, dash, end = (part.strip() for part in ranges.partition("-"))
    if not dash or not (start or end) or not all(part.isascii() and part.isdecimal() for part in (start, end) if part):
        raise _unsatisfiable(total)
    if not start:
        first, last = max(0, total - int(end[:20])), total - 1
    else:
        first, last = int(start[:20]), min(int(end[:20]) if end else total - 1, total - 1)
    if first > last or first >= total:
        raise _unsatisfiable(total)
    return Span(first, last, total)


def _unsatisfiable(total: int) -> Problem:
    return Problem(416, "the range lies outside the value", headers={"Content-Range": f"bytes */{total}"})
