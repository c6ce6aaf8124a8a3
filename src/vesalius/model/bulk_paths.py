"""Where a value of bulk data stands in its data set, as the last part of a Bulk Data URI (PS3.18 8.1.5, F.2.2).

`7FE00010` is an element of the data set itself, `00880200/1/7FE00010` one inside the first item of a sequence: tags as
eight hexadecimal digits, items counted from one as frames are. The whole address is
`<DICOMweb root>/studies/<uid>/series/<uid>/instances/<uid>/bulkdata/<path>`; it is what our metadata say and what
`web/bulkdata.py` serves.
"""

from __future__ import annotations

import re

from vesalius.model.errors import UnableToProcess

DEPTH = 64  # sequences around an element; no real object comes near

_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_ITEM = re.compile(r"[1-9][0-9]{0,8}")


def bulk_path(steps: tuple[int, ...]) -> str:
    """(tag, item, tag, item, ..., tag) as text; items from one."""
    return "/".join(f"{step:08X}" if at % 2 == 0 else str(step) for at, step in enumerate(steps))


def parse_bulk_path(text: str) -> tuple[int, ...]:
    """The reverse of `bulk_path`. Raises `UnableToProcess` for what is no path."""
    parts = text.split("/")
    if len(parts) % 2 == 0 or len(parts) > 2 * DEPTH + 1:
        raise UnableToProcess("a bulk data path is tag, or tag/item/tag and so on")
    steps = []
    for at, part in enumerate(parts):
        if not (_TAG if at % 2 == 0 else _ITEM).fullmatch(part):
            raise UnableToProcess("a bulk data path holds tags of eight hexadecimal digits and items from 1")
        steps.append(int(part, 16) if at % 2 == 0 else int(part))
    return tuple(steps)
