"""What went wrong since the service began, and what to do about it: from the counters of all processes.

The counters say how often and by which code, never of whom: that stands in the log. Each code leads to one piece of
advice (`todo.…` in the catalogues); what nobody has advice for leads to the log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vesalius.standard.statuses import StatusKind, kind_of

_LINE = re.compile(rb"(vesalius_associations|vesalius_dimse_responses|vesalius_instances)_total\{([^}]*)\} ([0-9.e+]+)")
_LABEL = re.compile(rb'([a-z]+)="([^"]*)"')

# Result/source/reason of A-ASSOCIATE-RJ (PS3.8 Table 9-21).
_REJECTED = {
    "1/1/3": "rejected.caller",
    "1/1/7": "rejected.called",
    "2/3/2": "rejected.limit",
    "2/3/1": "rejected.stopping",
}
# Status codes (PS3.7 annex C, PS3.4 annexes B and C), by their beginning.
_STATUS = (
    ("A7", "resources"),
    ("A801", "destination"),
    ("A9", "mismatch"),
    ("C", "identifier"),
    ("0124", "unauthorized"),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that failed, as the page shows it. `what` and `todo` are keys of the catalogue, without prefix."""

    what: str
    count: int
    todo: str
    code: str = ""
    service: str = ""


def faults(metrics: bytes) -> tuple[Fault, ...]:
    """Read the Prometheus text form; the most frequent first."""
    return tuple(sorted(_found(metrics), key=lambda fault: -fault.count))


def _found(metrics: bytes) -> Iterator[Fault]:
    for match in _LINE.finditer(metrics):
        count = int(float(match[3]))
        labels = {name.decode(): value.decode() for name, value in _LABEL.findall(match[2])}
        if not count:
            continue
        if match[1] == b"vesalius_associations" and labels.get("outcome", "").startswith("rejected "):
            code = labels["outcome"].removeprefix("rejected ")
            yield Fault("rejected", count, _REJECTED.get(code, "rejected.other"), code)
        elif match[1] == b"vesalius_dimse_responses":
            code = labels.get("status", "")
            if kind_of(int(code, 16)) is StatusKind.FAILURE:
                todo = next((todo for begin, todo in _STATUS if code.startswith(begin)), "other")
                yield Fault("failed", count, todo, code, labels.get("service", ""))
        elif match[1] == b"vesalius_instances" and labels.get("verdict") == "refused":
            yield Fault("stored.refused", count, "refused")
