"""Between the nouns of the archive and the rows of the index: nothing here touches a database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vesalius.backends.database import Row
from vesalius.model.attributes import columns
from vesalius.model.entities import Arrival, Level, Member, NativeFrames, PixelLayout, Scalar, StoredInstance

STORAGE_COLUMNS: tuple[str, ...] = (
    "series_ref",
    "rank",
    "pack_ref",
    "header_offset",
    "file_offset",
    "file_length",
    "dataset_offset",
    "dataset_length",
    "sha256",
    "xxh3",
    "pixel_tag",
    "pixel_offset",
    "pixel_length",
    "pixel_encapsulated",
    "frame_table",
    "how",
    "calling_aet",
    "called_aet",
    "address",
    "association",
    "received_at",
)
# Where the bytes lie: what changes when a damaged instance is replaced by a whole one.
PLACE_COLUMNS: tuple[str, ...] = STORAGE_COLUMNS[2:10]

# The UIDs that the sender and the data set agreed on are taken from the arrival itself.
_AGREED = ("sop_instance_uid", "sop_class_uid", "available_transfer_syntax_uid")
_ATTRIBUTES: tuple[str, ...] = tuple(
    column.name for column in columns(Level.IMAGE, computed=False) if column.name not in _AGREED
)
INSTANCE_COLUMNS: tuple[str, ...] = (*STORAGE_COLUMNS, *_AGREED, *_ATTRIBUTES)

ABOVE_COLUMNS: dict[Level, tuple[str, ...]] = {
    level: tuple(column.name for column in columns(level, computed=False))
    for level in (Level.PATIENT, Level.STUDY, Level.SERIES)
}

# What `stored_instance` reads, in its order; the tables are named as in `schema`.
STORED_COLUMNS: tuple[str, ...] = (
    "patient.patient_id",
    "study.study_instance_uid",
    "series.series_instance_uid",
    "instance.sop_class_uid",
    "instance.sop_instance_uid",
    "instance.available_transfer_syntax_uid",
    "pack.name",
    "instance.header_offset",
    "instance.file_offset",
    "instance.file_length",
    "instance.dataset_offset",
    "instance.dataset_length",
    "instance.sha256",
    "instance.pixel_tag",
    "instance.pixel_offset",
    "instance.pixel_length",
    "instance.pixel_encapsulated",
    "instance.frame_table",
    "study.coerced",
    "instance.xxh3",
)


def patient_identity(patient: dict[str, Scalar], study: str) -> str:
    """What makes two instances the same patient's: Patient ID and its issuer (PS3.3 C.2.2).

    Without a Patient ID nobody can tell, so every study has a patient of its own.
    """
    patient_id = str(patient.get("patient_id") or "")
    if not patient_id:
        return f"study:{study}"
    # The length keeps the two apart whatever characters they hold.
    issuer = str(patient.get("issuer_of_patient_id") or "")
    return f"{len(patient_id)}:{patient_id}{issuer}"


def place_row(arrival: Arrival, pack_ref: int) -> tuple[Any, ...]:
    """The values of `PLACE_COLUMNS`."""
    member = arrival.member
    return (
        pack_ref,
        member.header_offset,
        member.offset,
        member.length,
        member.dataset_offset,
        member.dataset_length,
        bytes.fromhex(member.sha256),
        bytes.fromhex(member.xxh3) or None,
    )


def instance_row(arrival: Arrival, series_ref: int, rank: int, pack_ref: int) -> tuple[Any, ...]:
    """The values of `INSTANCE_COLUMNS`."""
    pixels = arrival.pixels
    origin = arrival.provenance
    return (
        series_ref,
        rank,
        *place_row(arrival, pack_ref),
        *(
            (None, None, None, None, None)
            if pixels is None
            else (pixels.tag, pixels.offset, pixels.length, int(pixels.encapsulated), pack_frames(pixels))
        ),
        origin.how,
        origin.calling_aet,
        origin.called_aet,
        origin.address,
        origin.association,
        origin.received_at,
        arrival.sop_instance,
        arrival.sop_class,
        arrival.transfer_syntax,
        *map(arrival.record.instance.get, _ATTRIBUTES),
    )


def stored_instance(row: Row) -> StoredInstance:
    """From a row of `STORED_COLUMNS`; further columns may follow."""
    pixels = None
    if row[13] is not None:
        pixels = layout(row[13], row[14], row[15], bool(row[16]), row[17])
    return StoredInstance(
        patient_id=row[0] or "",
        study=row[1],
        series=row[2],
        sop_class=row[3] or "",
        sop_instance=row[4],
        transfer_syntax=row[5] or "",
        member=Member(
            row[6], row[7], row[8], row[9], row[10], row[11], bytes(row[12]).hex(), bytes(row[19] or b"").hex()
        ),
        pixels=pixels,
        coerced=row[18],
    )


def pack_frames(pixels: PixelLayout) -> bytes | None:
    """The frame table in few bytes: gap to the end of the frame before, then length, in base 128.

    Frames mostly follow each other, so a frame costs a zero and two or three bytes. Of native frames it holds the
    three numbers that say what they look like.
    """
    if not pixels.encapsulated:
        native = pixels.native
        return None if native is None else _packed((native.count, native.bits, native.cell))
    numbers = []
    end = pixels.offset
    for offset, length in pixels.frames:
        gap = offset - end
        # Zigzag: frames may overlap or go backwards in a broken offset table.
        numbers += [(gap << 1) if gap >= 0 else (-gap << 1) - 1, length]
        end = offset + length
    return _packed(numbers) or None


def layout(tag: int, offset: int, length: int, encapsulated: bool, table: bytes | None) -> PixelLayout:
    """The inverse of `pack_frames`, with the other columns."""
    numbers = _unpacked(table or b"")
    if not encapsulated:
        native = NativeFrames(*numbers) if len(numbers) == 3 else None
        return PixelLayout(tag, offset, length, False, native=native)
    frames = []
    end = offset
    for zigzag, size in zip(numbers[::2], numbers[1::2], strict=True):
        start = end + (zigzag >> 1 if not zigzag & 1 else -((zigzag + 1) >> 1))
        frames.append((start, size))
        end = start + size
    return PixelLayout(tag, offset, length, True, tuple(frames))


def _packed(numbers: Iterable[int]) -> bytes:
    """Numbers of seven bits a byte, the lowest first; the highest bit says that more follow."""
    packed = bytearray()
    for number in numbers:
        while number > 0x7F:
            packed.append(number & 0x7F | 0x80)
            number >>= 7
        packed.append(number)
    return bytes(packed)


def _unpacked(packed: bytes) -> list[int]:
    numbers = []
    number = shift = 0
    for byte in packed:
        number |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
        else:
            numbers.append(number)
            number = shift = 0
    return numbers
