"""Tables of HL7 v2 (chapter 2 and the chapters of the messages) that an imaging department meets.

The numbers are HL7's own table numbers. What is supported of messages stands in `MESSAGES`: the reference page and the
listener read the same rows.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Ack(enum.StrEnum):
    """Table 0008: what an acknowledgement says."""

    AA = "AA"  # application accept
    AE = "AE"  # application error
    AR = "AR"  # application reject
    CA = "CA"  # commit accept (enhanced mode)
    CE = "CE"
    CR = "CR"


class Condition(enum.IntEnum):
    """Table 0357: what was wrong, in ERR-3."""

    ACCEPTED = 0
    SEGMENT_SEQUENCE = 100
    REQUIRED_FIELD_MISSING = 101
    DATA_TYPE = 102
    TABLE_VALUE = 103
    VALUE_TOO_LONG = 104
    UNSUPPORTED_MESSAGE_TYPE = 200
    UNSUPPORTED_EVENT = 201
    UNSUPPORTED_PROCESSING_ID = 202
    UNSUPPORTED_VERSION = 203
    UNKNOWN_KEY = 204
    DUPLICATE_KEY = 205
    RECORD_LOCKED = 206
    INTERNAL = 207


CONDITION_TEXT: dict[Condition, str] = {
    Condition.ACCEPTED: "Message accepted",
    Condition.SEGMENT_SEQUENCE: "Segment sequence error",
    Condition.REQUIRED_FIELD_MISSING: "Required field missing",
    Condition.DATA_TYPE: "Data type error",
    Condition.TABLE_VALUE: "Table value not found",
    Condition.VALUE_TOO_LONG: "Value too long",
    Condition.UNSUPPORTED_MESSAGE_TYPE: "Unsupported message type",
    Condition.UNSUPPORTED_EVENT: "Unsupported event code",
    Condition.UNSUPPORTED_PROCESSING_ID: "Unsupported processing id",
    Condition.UNSUPPORTED_VERSION: "Unsupported version id",
    Condition.UNKNOWN_KEY: "Unknown key identifier",
    Condition.DUPLICATE_KEY: "Duplicate key identifier",
    Condition.RECORD_LOCKED: "Application record locked",
    Condition.INTERNAL: "Application internal error",
}

# Chapter 2.9.2.2: what is rejected (AR) rather than in error (AE) is the message as such, not what it says.
REJECTED = frozenset(
    {
        Condition.UNSUPPORTED_MESSAGE_TYPE,
        Condition.UNSUPPORTED_EVENT,
        Condition.UNSUPPORTED_PROCESSING_ID,
        Condition.UNSUPPORTED_VERSION,
    }
)

# Table 0104, as far as the segments that are read did not change their meaning.
VERSIONS = frozenset({"2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8", "2.8.1",
                      "2.8.2", "2.9", "2.9.1"})  # fmt: skip

PROCESSING_IDS = frozenset({"P", "T", "D"})  # table 0103


@dataclass(frozen=True, slots=True)
class MessageKind:
    """A message that is taken: its type and event (table 0003), the segments without which it says nothing, and what
    becomes of it.
    """

    type: str
    event: str
    required: tuple[str, ...]
    does: str


MESSAGES: tuple[MessageKind, ...] = (
    MessageKind("ADT", "A01", ("PID", "PV1"), "admits: patient added or updated, visit opened"),
    MessageKind("ADT", "A04", ("PID", "PV1"), "registers: as A01"),
    MessageKind("ADT", "A05", ("PID", "PV1"), "pre-admits: as A01"),
    MessageKind("ADT", "A08", ("PID",), "updates patient and visit; AE 204 for a patient that is not known"),
    MessageKind("ADT", "A11", ("PID", "PV1"), "cancels the admission: visit cancelled"),
    MessageKind("ADT", "A13", ("PID", "PV1"), "cancels the discharge: visit open again"),
    MessageKind("ADT", "A28", ("PID",), "adds a person; AE 205 for one that is known with other data"),
    MessageKind("ADT", "A31", ("PID",), "updates a person, or adds one that is not known"),
    MessageKind("ADT", "A40", ("PID", "MRG"), "merges MRG-1 into PID-3; only from sources with `merges`"),
    MessageKind("ADT", "A47", ("PID", "MRG"), "changes the identifier MRG-1 to PID-3; as A40"),
    MessageKind("ORM", "O01", ("ORC",), "orders by ORC-1 (`ORDER_CONTROLS`)"),
    MessageKind("OMG", "O19", ("ORC",), "as ORM"),
    MessageKind("OMI", "O23", ("ORC",), "as ORM, with accession number and study UID in IPC"),
    MessageKind("SIU", "S12", ("SCH",), "books an appointment; where its order is not known, one is placed for AIS-3"),
    MessageKind("SIU", "S13", ("SCH",), "moves the appointment"),
    MessageKind("SIU", "S14", ("SCH",), "changes the appointment"),
    MessageKind("SIU", "S15", ("SCH",), "cancels the appointment"),
    MessageKind("QBP", "Q22", ("QPD", "RCP"), "finds candidates: answered with RSP^K22"),
)

MESSAGE_OF: dict[tuple[str, str], MessageKind] = {(kind.type, kind.event): kind for kind in MESSAGES}
TYPES = frozenset(kind.type for kind in MESSAGES)

# Table 0119 as far as a filler understands it: what is done with an order.
ORDER_CONTROLS: dict[str, str] = {
    "NW": "place",
    "SN": "place",
    "XO": "change",
    "XX": "change",
    "CA": "cancel",
    "OC": "cancel",
    "DC": "discontinue",
    "OD": "discontinue",
    "HD": "hold",
    "OH": "hold",
    "RL": "release",
    "OE": "release",
    "SC": "status",
}

# ORC-5 (table 0038) of a status message, to what is done; every other value is taken note of.
STATUS_CONTROLS: dict[str, str] = {"CA": "cancel", "DC": "discontinue", "HD": "hold"}

# Table 0211 to the defined terms of DICOM (PS3.3 C.12.1.1.2). Repetitions after the first are reached by escapes.
CHARSETS: dict[str, str] = {
    "ASCII": "ISO_IR 6",
    "8859/1": "ISO_IR 100",
    "8859/2": "ISO_IR 101",
    "8859/3": "ISO_IR 109",
    "8859/4": "ISO_IR 110",
    "8859/5": "ISO_IR 144",
    "8859/6": "ISO_IR 127",
    "8859/7": "ISO_IR 126",
    "8859/8": "ISO_IR 138",
    "8859/9": "ISO_IR 148",
    "8859/15": "ISO_IR 203",
    "ISO IR6": "ISO_IR 6",
    "ISO IR13": "ISO 2022 IR 13",
    "ISO IR14": "ISO 2022 IR 13",
    "ISO IR87": "ISO 2022 IR 87",
    "ISO IR159": "ISO 2022 IR 159",
    "KS X 1001": "ISO 2022 IR 149",
    "GB 18030-2000": "GB18030",
    "UNICODE UTF-8": "ISO_IR 192",
    "UNICODE": "ISO_IR 192",  # "world wide standard" without an encoding: on a byte stream it is UTF-8
}

# Table 0001, to Patient's Sex (0010,0040).
SEX: dict[str, str] = {"F": "F", "M": "M", "O": "O", "A": "O", "N": "O", "U": "", "": ""}

# Table 0485 / 0027 (ORC-7.6, TQ1-9), to the priority of a requested procedure (PS3.3 C.4.11: 0040,1003).
PRIORITY: dict[str, str] = {
    "S": "STAT",
    "A": "HIGH",
    "R": "ROUTINE",
    "P": "MEDIUM",
    "C": "MEDIUM",
    "T": "MEDIUM",
    "": "ROUTINE",
}
