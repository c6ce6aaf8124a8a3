"""How HL7 stands, as gauges: what waits, for how long, and what a person has to look at, by names of the settings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

from vesalius.ports.hl7 import Hl7Log

Rows: TypeAlias = "Sequence[tuple[dict[str, str], float]]"


def gauges(log: Hl7Log, now: str) -> list[tuple[str, str, Rows]]:
    """(name, help, rows) as `metrics.render` takes them. Blocks. Raises `IndexUnavailable`."""
    inbox, queues = log.backlogs(), log.channels()
    return [
        (
            "vesalius_hl7_inbox",
            "Messages of a source that are kept and not done: waiting, or refused (`vesalius hl7 list in`).",
            [
                ({"source": one.source, "state": state}, float(count))
                for one in inbox
                for state, count in (("waiting", one.waiting), ("refused", one.refused))
            ],
        ),
        (
            "vesalius_hl7_inbox_oldest_seconds",
            "Age of the oldest message of a source that is kept and not done.",
            [({"source": one.source}, _age(one.oldest, now)) for one in inbox],
        ),
        (
            "vesalius_hl7_queue",
            "Messages to a destination: waiting, or held for a person (`vesalius hl7 queues`).",
            [
                ({"destination": one.destination, "state": state}, float(count))
                for one in queues
                for state, count in (("waiting", one.waiting), ("held", one.held))
            ],
        ),
        (
            "vesalius_hl7_queue_oldest_seconds",
            "Age of the oldest message that waits for a destination.",
            [({"destination": one.destination}, _age(one.oldest, now)) for one in queues],
        ),
        (
            "vesalius_hl7_destination_failures",
            "Tries in a row that failed.",
            [({"destination": one.destination}, float(one.failures)) for one in queues],
        ),
    ]


def _age(moment: str, now: str) -> float:
    if not moment:
        return 0.0
    return max(0.0, (datetime.fromisoformat(now) - datetime.fromisoformat(moment)).total_seconds())
