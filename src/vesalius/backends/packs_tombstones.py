"""Tombstones: members of a pack that are no instances but say which instances are deleted.

Theory. Packs only grow, so a deletion is something that is appended: a small JSON file, `vesalius-tombstones/
<deletion>-<offset>.json`, with the header that every member has (its label says what it is). It names each deleted
member by pack, offset and digest. Whoever makes the index anew from the packs, or recovers one after a crash, meets
it and knows; and `tar -xf` puts the reasons beside the images.
"""

from __future__ import annotations

import msgspec

from vesalius.model.entities import Level, Member, Provenance, Removed, Tombstone
from vesalius.ports.blobs import MemberLabel

# A tombstone of 20,000 members is some 8 MB; what says it is larger is none.
LARGEST = 64 << 20


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    """One deleted member, as short as JSON can be."""

    series: str
    sop_instance: str
    pack: str
    header_offset: int
    offset: int
    length: int
    dataset_offset: int
    dataset_length: int
    sha256: str
    study: str = ""  # where it is not that of the whole


class _Record(msgspec.Struct, frozen=True):
    version: int
    kind: str
    deletion: str
    level: str
    study: str
    series: str
    sop_instance: str
    at: str
    who: str
    address: str
    reason: str
    members: list[_Entry]


_decode = msgspec.json.Decoder(_Record).decode


def encode(tombstone: Tombstone) -> bytes:
    """The JSON that stands in the pack."""
    entries = [
        _Entry(
            one.series,
            one.sop_instance,
            one.member.pack,
            one.member.header_offset,
            one.member.offset,
            one.member.length,
            one.member.dataset_offset,
            one.member.dataset_length,
            one.member.sha256,
            "" if one.study == tombstone.study else one.study,
        )
        for one in tombstone.members
    ]
    return msgspec.json.encode(
        _Record(
            1,
            tombstone.kind,
            tombstone.id,
            tombstone.level.name,
            tombstone.study,
            tombstone.series,
            tombstone.sop_instance,
            tombstone.at,
            _clean(tombstone.who),
            _clean(tombstone.address),
            _clean(tombstone.reason),
            entries,
        )
    )


def decode(data: bytes) -> Tombstone | None:
    """A tombstone from its JSON; None for what is none."""
    try:
        record = _decode(data)
        level = Level[record.level]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
        return None
    return Tombstone(
        id=record.deletion,
        kind=record.kind,
        level=level,
        study=record.study,
        series=record.series,
        sop_instance=record.sop_instance,
        at=record.at,
        who=record.who,
        address=record.address,
        reason=record.reason,
        members=tuple(
            Removed(
                one.study or record.study,
                one.series,
                one.sop_instance,
                Member(
                    one.pack,
                    one.header_offset,
                    one.offset,
                    one.length,
                    one.dataset_offset,
                    one.dataset_length,
                    one.sha256,
                ),
            )
            for one in record.members
        ),
    )


def _clean(text: str) -> str:
    """Text that JSON can carry: lone surrogates replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")


def label_of(tombstone: Tombstone) -> MemberLabel:
    """What the header says of it."""
    return MemberLabel(
        study=tombstone.study,
        series=tombstone.series,
        sop_instance=tombstone.sop_instance,
        sop_class="",
        transfer_syntax="",
        provenance=Provenance(how=tombstone.kind, association=tombstone.id, received_at=tombstone.at),
    )
