"""The nouns that travel between the floors: where an instance came from, where it lies, what became of it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TypeAlias

# A decoded data set, small enough to hold: tag -> values. A sequence holds one `Values` per item.
# Text is decoded; numbers of binary VRs are decimal strings; an empty tuple is an empty element.
Values: TypeAlias = "dict[int, tuple[str, ...] | tuple[Values, ...]]"

# What a column of the index can hold.
Scalar: TypeAlias = str | int | float | bytes | None


class Level(enum.IntEnum):
    """Query/Retrieve levels, from the root down (PS3.4 C.6)."""

    PATIENT = 0
    STUDY = 1
    SERIES = 2
    IMAGE = 3


@dataclass(frozen=True, slots=True)
class Claim:
    """What the sender says that it sends (PS3.7 9.1.1): checked against the data set itself."""

    sop_class: str
    sop_instance: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who sent it, how, from where and when. Kept in the pack beside the bytes."""

    how: str  # "c-store" | "c-get" | "import" | "stow" | "migrate"
    calling_aet: str = ""
    called_aet: str = ""
    address: str = ""
    association: str = ""
    received_at: str = ""  # UTC, ISO 8601 with microseconds and "Z"


@dataclass(frozen=True, slots=True)
class Note:
    """A finding of quality control: kept as sent, never repaired in silence."""

    code: str  # stable, kebab-case: "vr-mismatch", "tag-order", "odd-length", "bad-value", ...
    tag: int
    text: str  # without patient data


@dataclass(frozen=True, slots=True)
class Member:
    """Where the bytes of one instance lie: a DICOM file inside a pack."""

    pack: str  # the pack's name, unique for ever
    header_offset: int  # of the tar header (pax) of the member
    offset: int  # of the DICOM file (its preamble), from the start of the pack
    length: int  # of the DICOM file, bytes
    dataset_offset: int  # of the data set, from the start of the pack
    dataset_length: int  # bytes as received
    sha256: str  # of the data set as received, hex: the digest of record
    # XXH3-128 of the same bytes, hex; empty: not known. Quick to compare when they are read, no part of what they are.
    xxh3: str = field(default="", compare=False)

    @property
    def end(self) -> int:
        """The first byte after the member with its padding to 512 bytes: the next header's place."""
        return self.offset + (self.length + 511) // 512 * 512


@dataclass(frozen=True, slots=True)
class NativeFrames:
    """How many frames native pixels have, and how large each is."""

    count: int
    bits: int  # of one frame, without padding
    cell: int  # bits of one sample

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame that begins at a whole byte."""
        return (self.bits + 7) // 8

    def place(self, index: int) -> tuple[int, int, int]:
        """Of frame `index` (from 0): first byte and number of bytes within the value, bits before it in the first."""
        first = index * self.bits
        return first // 8, (first % 8 + self.bits + 7) // 8, first % 8


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """Where the pixels lie inside the data set, so that a frame is one read.

    Offsets count from the first byte of the data set as received; for a deflated data set, of the
    inflated one. `frames` holds one (offset, length) per frame of encapsulated pixel data, each range
    covering the frame's fragments with their item headers; it is empty for native pixel data, which has `native`
    instead (None: not worked out; nor where the description of the pixels makes no sense).
    """

    tag: int  # 7FE00010, 7FE00008 or 7FE00009
    offset: int  # of the value
    length: int  # of the value, delimiter excluded
    encapsulated: bool
    frames: tuple[tuple[int, int], ...] = ()
    native: NativeFrames | None = None


@dataclass(frozen=True, slots=True)
class NestedValue:
    """One value inside a sequence that the index can match: Request Attributes Sequence, ..."""

    level: Level
    sequence: int  # tag of the sequence
    item: int  # from 0
    tag: int
    value: str


@dataclass(frozen=True, slots=True)
class Record:
    """What the index keeps of one instance: columns by level, as `model/attributes.py` names them."""

    patient: dict[str, Scalar]
    study: dict[str, Scalar]
    series: dict[str, Scalar]
    instance: dict[str, Scalar]
    nested: tuple[NestedValue, ...] = ()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Arrival:
    """One instance, its bytes durable in a pack, on its way into the index."""

    record: Record
    member: Member
    provenance: Provenance
    sop_class: str
    sop_instance: str
    transfer_syntax: str
    pixels: PixelLayout | None = None


class Verdict(enum.Enum):
    """What became of an instance that was accepted."""

    STORED = "stored"
    DUPLICATE = "duplicate"  # same UID, same bytes: nothing written
    CONFLICT = "conflict"  # same UID, other bytes: the first stays current, this is kept beside it


@dataclass(frozen=True, slots=True)
class Receipt:
    """The archive's promise: the instance is durable and findable. PS3.4 B.2.3."""

    verdict: Verdict
    sop_instance: str
    study: str
    notes: tuple[Note, ...] = ()
    series: str = ""


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """One current instance as retrieval needs it."""

    patient_id: str
    study: str
    series: str
    sop_class: str
    sop_instance: str
    transfer_syntax: str
    member: Member
    pixels: PixelLayout | None = None
    coerced: int = 0  # which coercions are in force for its study; 0: none (`ports/coercions.py`)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that became of the archive: a row of the change feed."""

    id: int  # grows; a reader remembers the last one it saw
    kind: str  # "stored" | "conflict" | "deleted" | "restored"
    study: str
    series: str
    sop_instance: str
    at: str  # UTC, ISO 8601
    sender: str


@dataclass(frozen=True, slots=True)
class Removed:
    """One instance that a deletion takes away, conflict copies included, and where its bytes lie."""

    study: str
    series: str
    sop_instance: str
    member: Member


@dataclass(frozen=True, slots=True)
class Tombstone:
    """The record of a deletion, or of its being taken back, as it stands in a pack for ever."""

    id: str  # of the deletion, hex
    kind: str  # "deleted" | "restored"
    level: Level
    study: str
    series: str  # "" at study level
    sop_instance: str  # "" above instance level
    at: str  # UTC, ISO 8601
    who: str
    address: str
    reason: str
    members: tuple[Removed, ...]


@dataclass(frozen=True, slots=True)
class Deletion:
    """What the index knows of a deletion."""

    id: str
    state: str  # "deleted" | "restored" | "purged": its bytes are destroyed
    level: Level
    study: str
    series: str
    sop_instance: str
    at: str
    who: str
    address: str
    reason: str
    instances: int
    bytes: int  # of data sets


# What a peer may be allowed to do here.
RIGHTS = ("store", "query", "retrieve", "commit", "worklist", "notify", "workitems")
# What this archive may do for a peer by itself, and how.
DUTIES = ("ask-commitment", "commit-same-association", "notify-availability", "forward-mpps")


@dataclass(frozen=True, slots=True)
class Peer:
    """Another application entity: where it listens and what it may do here (default: nothing)."""

    name: str
    host: str
    port: int
    aet: str
    rights: frozenset[str] = frozenset()
    # Peers by name that this one may name as C-MOVE destination; empty: itself only. "*": any known peer.
    move_to: tuple[str, ...] = ()
    tls: bool = False
    refuse_conflicts: bool = False
    comment: str = ""
    duties: frozenset[str] = frozenset()  # of `DUTIES`


@dataclass(frozen=True, slots=True)
class PackInfo:
    """What the index knows of a pack."""

    name: str
    state: str  # "open" | "sealed" | "suspect"
    indexed_to: int  # every member before this offset is in the index
    size: int
    members: int = 0
    dead_bytes: int = 0
    sha256: str = ""  # of a sealed pack
    tombstones: int = -1  # of a sealed pack; -1: not known


@dataclass(frozen=True, slots=True)
class CopyInfo:
    """How much of a pack a further place holds."""

    pack: str
    place: str
    copied_to: int
    verified_at: str = ""


@dataclass(slots=True)
class Totals:
    """Counts for `vesalius stats` and the metrics."""

    patients: int = 0
    studies: int = 0
    series: int = 0
    instances: int = 0
    bytes: int = 0
    conflicts: int = 0
    notes: int = 0
    packs: int = 0
    by_modality: dict[str, int] = field(default_factory=dict)
