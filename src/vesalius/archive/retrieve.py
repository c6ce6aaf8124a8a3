"""Giving back: which instances an identifier names, and their bytes in a form that the receiver takes.

Theory. C-MOVE and C-GET name instances by unique keys alone (PS3.4 C.4.2.1.4, C.4.3.1.3): one value for every
level above the one asked for, one value or a list of UIDs at that level (one patient, never a list of them). With
relational retrieval negotiated the upper keys may be absent (PS3.4 C.4.2.2.2). Other attributes are not part of
the contract; they neither widen nor narrow the selection.

Bytes go out as they came in when the receiver takes that transfer syntax; else in the best one of those it takes
that loses nothing, or not at all. Every byte served has passed its checksum: a damaged instance raises and is never
sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vesalius.archive.coerce import Coerce
from vesalius.archive.search import QUERY_RETRIEVE_LEVEL, UNIQUE_KEYS, unique_keys
from vesalius.model.entities import Level, StoredInstance, Values
from vesalius.model.errors import CannotTranscode, IdentifierMismatch
from vesalius.model.identifiers import is_tolerable_uid
from vesalius.model.query import Root
from vesalius.ports.blobs import BlobStore
from vesalius.ports.coercions import Coercions
from vesalius.ports.index import Index
from vesalius.ports.pixels import Transcoder

# Up to here a data set is read in one piece; larger ones are verified first and then streamed.
WHOLE_READ = 64 << 20
CHUNK = 1 << 20
# Turning pixels needs the whole data set in memory, here and once more in the worker process.
LARGEST_TRANSCODED = 1 << 30


@dataclass(frozen=True, slots=True)
class Payload:
    """A data set ready to send, without file meta information. `chunks` may raise `DamagedInstance`."""

    transfer_syntax: str
    length: int  # bytes of all chunks together
    chunks: Iterator[bytes]


class Retrieve:
    """Selects and reads. Stateless; everything blocks, use it from any thread."""

    def __init__(
        self,
        index: Index,
        blobs: BlobStore,
        transcoder: Transcoder,
        *,
        largest_transcoded: int = LARGEST_TRANSCODED,
        coercions: Coercions | None = None,
        system: str = "",
    ) -> None:
        """`largest_transcoded`: bytes of the largest data set that is turned into another transfer syntax.

        `system`: what calls itself the modifying system where a repair is applied on the way out.
        """
        self._index = index
        self._blobs = blobs
        self._transcoder = transcoder
        self._largest_transcoded = largest_transcoded
        self.coerce = Coerce(coercions, blobs, system)

    def select(
        self, values: Values, root: Root, level: Level | None = None, *, relational: bool = False
    ) -> list[StoredInstance]:
        """The current instances that an identifier names, in order of study, series, instance number.

        `level` None: taken from Query/Retrieve Level (0008,0052). Nothing found is an empty list, not an error.
        Raises `IdentifierMismatch` (A900) with the offending keys, `IndexUnavailable`.
        """
        if level is None:
            level = _level(values)
        _check_level(root, level)
        found: dict[Level, tuple[str, ...]] = {}
        for at, tag in UNIQUE_KEYS.items():
            if at > level or tag not in unique_keys(root, level):
                continue
            given = _texts(values, tag)
            if not given:
                if at == level or not relational:
                    raise IdentifierMismatch(
                        f"the {at.name} key is missing: one is required at {level.name} level", offending=(tag,)
                    )
                continue
            if len(given) > 1 and (at < level or at is Level.PATIENT):
                raise IdentifierMismatch(f"the {at.name} key must have a single value", offending=(tag,))
            if any(not _is_plain(at, value) for value in given):
                raise IdentifierMismatch(
                    f"the {at.name} key must be a {'plain value' if at is Level.PATIENT else 'UID'}", offending=(tag,)
                )
            found[at] = given
        patient = found.get(Level.PATIENT)
        return list(
            self._index.select(
                level,
                patient_id=patient[0] if patient else None,
                studies=found.get(Level.STUDY, ()),
                series=found.get(Level.SERIES, ()),
                instances=found.get(Level.IMAGE, ()),
            )
        )

    def choose(self, instance: StoredInstance, accepted: Sequence[str]) -> str | None:
        """The transfer syntax in which `payload` would send; None if there is none. Reads nothing."""
        if instance.transfer_syntax in accepted:
            return instance.transfer_syntax
        return self._transcoder.choose(instance.transfer_syntax, accepted)

    def can(self, instance: StoredInstance, wanted: str) -> bool:
        """Whether `turned` could give the instance in this transfer syntax, with loss or without. Reads nothing."""
        return instance.transfer_syntax == wanted or (
            self._transcoder.can(instance.transfer_syntax, wanted)
            and instance.member.dataset_length <= self._largest_transcoded
        )

    def turned(self, instance: StoredInstance, wanted: str, *, whole: int = WHOLE_READ) -> Payload:
        """The data set in exactly this transfer syntax, with loss where that is what it means.

        As stored, a data set of more than `whole` bytes comes in chunks. Raises `CannotTranscode`, `DamagedInstance`.
        """
        member = instance.member
        if wanted == instance.transfer_syntax:
            return self._as_stored(instance, whole)
        if member.dataset_length > self._largest_transcoded:
            raise CannotTranscode("the data set is too large to be turned into another transfer syntax")
        made = self._transcoder.transcode(self._blobs.read_verified(member), instance.transfer_syntax, wanted)
        made = self.coerce.whole(instance, made, wanted)
        return Payload(wanted, len(made), iter((made,)))

    def _as_stored(self, instance: StoredInstance, whole: int) -> Payload:
        """The bytes as they came, but for what a repair says (`archive/coerce.py`)."""
        member, syntax = instance.member, instance.transfer_syntax
        if member.dataset_length > whole:
            coerced = self.coerce.streamed(instance)
            if coerced is not None:
                return Payload(syntax, *coerced)
            if not instance.coerced:
                return Payload(syntax, member.dataset_length, self._blobs.stream_verified(member, CHUNK))
        data = self.coerce.whole(instance, self._blobs.read_verified(member), syntax)
        return Payload(syntax, len(data), iter((data,)))

    def payload(self, instance: StoredInstance, accepted: Sequence[str], *, whole: int = WHOLE_READ) -> Payload:
        """The data set in the first fitting way: as stored, else turned without loss into one of `accepted`.

        `whole` is that of `turned`.

        Raises `CannotTranscode` when no accepted transfer syntax fits, `DamagedInstance` when no copy of the
        bytes has its digest.
        """
        wanted = self.choose(instance, accepted)
        if wanted is None:
            raise CannotTranscode(
                f"stored in {instance.transfer_syntax}, which cannot be turned into any that the receiver accepts",
                hint="have the receiver accept the stored transfer syntax or Explicit VR Little Endian",
            )
        return self.turned(instance, wanted, whole=whole)


def _level(values: Values) -> Level:
    text = _texts(values, QUERY_RETRIEVE_LEVEL)
    if len(text) == 1 and text[0] in Level.__members__:
        return Level[text[0]]
    raise IdentifierMismatch("Query/Retrieve Level is missing or unknown", offending=(QUERY_RETRIEVE_LEVEL,))


def _check_level(root: Root, level: Level) -> None:
    if root is Root.STUDY and level is Level.PATIENT:
        raise IdentifierMismatch("Study Root has no PATIENT level", offending=(QUERY_RETRIEVE_LEVEL,))
    if root is Root.PATIENT_STUDY_ONLY and level > Level.STUDY:
        raise IdentifierMismatch("Patient/Study Only ends at STUDY level", offending=(QUERY_RETRIEVE_LEVEL,))


def _texts(values: Values, tag: int) -> tuple[str, ...]:
    return tuple(text for value in values.get(tag, ()) if isinstance(value, str) and (text := value.strip(" \0")))


def _is_plain(level: Level, value: str) -> bool:
    if level is Level.PATIENT:
        return "*" not in value and "?" not in value
    return is_tolerable_uid(value)
