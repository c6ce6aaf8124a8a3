"""Is a message one that is taken, and whole? The checks that need nothing but the message (chapter 2.9.2)."""

from __future__ import annotations

from vesalius.hl7.config import Hl7Settings
from vesalius.hl7.faults import Fault
from vesalius.standard.hl7_tables import MESSAGE_OF, PROCESSING_IDS, TYPES, VERSIONS, Condition
from vesalius.wire.hl7_message import Message, Place

# In which order the segments stand that are read; a message with another order means something else.
_ORDER = {
    "ADT": ("EVN", "PID", "PV1"),
    "ORM": ("PID", "PV1", "ORC", "OBR"),
    "OMG": ("PID", "PV1", "ORC", "OBR"),
    "OMI": ("PID", "PV1", "ORC", "OBR"),
    "SIU": ("SCH", "PID", "RGS"),
    "QBP": ("QPD", "RCP"),
}
_LONGEST_CONTROL_ID = 199


def check(message: Message, settings: Hl7Settings) -> list[Fault]:
    """What is wrong with the header and the segments of a message, worst first; nothing for one that is taken."""
    return _header(message, settings) or _segments(message)


def _header(message: Message, settings: Hl7Settings) -> list[Fault]:
    msh = message.msh
    if not message.type:
        return [Fault(Condition.REQUIRED_FIELD_MISSING, Place("MSH", 1, 9), "no message type")]
    if message.type not in TYPES:
        return [Fault(Condition.UNSUPPORTED_MESSAGE_TYPE, Place("MSH", 1, 9, 1, 1), "this type is not taken here")]
    if (message.type, message.event) not in MESSAGE_OF:
        return [Fault(Condition.UNSUPPORTED_EVENT, Place("MSH", 1, 9, 1, 2), "this event is not taken here")]
    version = msh.value(12).strip()
    if version not in VERSIONS:
        return [Fault(Condition.UNSUPPORTED_VERSION, Place("MSH", 1, 12), "this version is not known")]
    processing = msh.value(11).strip()
    if processing not in PROCESSING_IDS or (processing != "P" and not settings.accept_test):
        return [
            Fault(Condition.UNSUPPORTED_PROCESSING_ID, Place("MSH", 1, 11), "only messages of production are taken")
        ]
    control_id = message.control_id
    place = Place("MSH", 1, 10)
    if not control_id:
        return [Fault(Condition.REQUIRED_FIELD_MISSING, place, "no control id")]
    if len(control_id) > _LONGEST_CONTROL_ID:
        return [Fault(Condition.VALUE_TOO_LONG, place, f"more than {_LONGEST_CONTROL_ID} characters")]
    if not control_id.isprintable():
        return [Fault(Condition.DATA_TYPE, place, "control characters")]
    return []


def _segments(message: Message) -> list[Fault]:
    first: dict[str, int] = {}
    for at, segment in enumerate(message.segments):
        first.setdefault(segment.name, at)
    kind = MESSAGE_OF[message.type, message.event]
    missing = [name for name in kind.required if name not in first]
    if missing:
        return [Fault(Condition.SEGMENT_SEQUENCE, Place(name), f"there is no {name} segment") for name in missing]
    before = ""
    for name in _ORDER[message.type]:
        if name not in first:
            continue
        if before and first[name] < first[before]:
            return [Fault(Condition.SEGMENT_SEQUENCE, Place(name), f"{name} stands before {before}")]
        before = name
    return []
