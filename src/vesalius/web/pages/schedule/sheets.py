"""Forms that were sent: what was sent twice is placed once.

Theory. A person who sees nothing happen presses the button again, a browser that lost the answer sends the form again
on reload. Each form that is handed out carries a number of its own; the same number with the same fields is the same
sending, whenever it comes, also while the first is still being placed. Whoever goes back in the browser and changes
a field sends something else, and gets another order. Kept in the memory of one process, for the last thousand forms.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

NUMBER = "sheet"  # the field of a form that holds its number
KEPT = 1000


@dataclass(slots=True)
class Sheet:
    """One sending. Whoever places it holds `lock`; `order` is what it became, 0 as long as it is none."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    order: int = 0


class Sheets:
    """The last sendings of one process. For one event loop."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Sheet] = OrderedDict()

    @staticmethod
    def number() -> str:
        """A number for a form that is handed out."""
        return secrets.token_hex(8)

    def of(self, fields: Mapping[str, str]) -> Sheet:
        """The sheet of these fields; a new one for each sending of a form without a number."""
        if not fields.get(NUMBER):
            return Sheet()
        key = hashlib.sha256(repr(sorted(fields.items())).encode("utf-8", "surrogatepass")).digest()
        sheet = self._known.setdefault(key, Sheet())
        self._known.move_to_end(key)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return sheet
