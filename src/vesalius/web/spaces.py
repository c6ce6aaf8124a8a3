"""Which series share space: registrations that the archive keeps, found for the series that a request is about.

Theory. Registrations are instances like any other: they are looked for in the studies of both series and among all
studies of their patient, read whole and checked, and remembered by their digest: bytes that are stored never change.
What makes an answer depend on them is their list: `Spaces.key` is part of the entity tag of whatever was resampled.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from io import BytesIO
from typing import TYPE_CHECKING

import structlog

from vesalius.archive.search import Search
from vesalius.model.datasets import inflate
from vesalius.model.entities import Level, StoredInstance, Values
from vesalius.model.errors import VesaliusError
from vesalius.model.query import Options, Root
from vesalius.model.query_parser import parse
from vesalius.ports.blobs import BlobStore
from vesalius.ports.index import Index
from vesalius.standard.transfer_syntaxes import EXPLICIT_LE, lookup

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from vesalius.imaging.reference_frames import Edge, Link, Place
    from vesalius.imaging.transforms import Transform

log = structlog.get_logger()

STUDY, SERIES, MODALITY, PATIENT_ID = 0x0020000D, 0x0020000E, 0x00080060, 0x00100020
LARGEST = 512 << 20  # bytes of a registration; deformation fields of whole bodies are some hundred megabytes
REMEMBERED = 32
MOST_SERIES = 200


class Spaces:
    """Registrations of an archive. Everything blocks; thread-safe."""

    def __init__(self, search: Search, index: Index, blobs: BlobStore) -> None:
        self._search = search
        self._index = index
        self._blobs = blobs
        self._edges: OrderedDict[str, tuple[Edge, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def registrations(self, series: Sequence[str]) -> list[StoredInstance]:
        """The registrations that may be about these series, in a lasting order."""
        from vesalius.imaging.reference_frames import REGISTRATIONS

        members = [next(iter(self._index.select(Level.SERIES, series=(uid,))), None) for uid in series]
        known = [member for member in members if member is not None]
        if not known:
            return []
        found = set(self._series({STUDY: tuple({member.study for member in known})}))
        for patient in {member.patient_id for member in known}:
            # An identifier with wildcards in it would find other people.
            if patient and not set(patient) & set("*?\\"):
                found.update(self._series({PATIENT_ID: (patient,)}))
        if not found:
            return []
        instances = self._index.select(Level.SERIES, series=tuple(sorted(found)))
        return sorted((each for each in instances if each.sop_class in REGISTRATIONS), key=lambda at: at.sop_instance)

    def key(self, series: Sequence[str]) -> str:
        """A text that changes whenever another registration is there."""
        parts = [each.member.sha256 for each in self.registrations(series)]
        return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]

    def link(self, fixed: Place, moving: Place, only: Collection[str] = ()) -> Link:
        """The way from one series to the other; `only`: by these registrations alone. Raises `NoCommonSpace`."""
        from vesalius.imaging.reference_frames import way

        found = self.registrations((fixed.series, moving.series))
        edges = [edge for each in found if not only or each.sop_instance in only for edge in self._of(each)]
        return way(fixed, moving, edges)

    def correction(self, instance: StoredInstance, frame: str, images: Collection[str]) -> Transform | None:
        """How a registration moves images within their frame of reference. Raises as `read`."""
        from vesalius.imaging.reference_frames import correction

        return correction(read(self._blobs, instance, LARGEST), frame, images)

    def _series(self, keys: Values) -> list[str]:
        asked: Values = {SERIES: (), MODALITY: ("REG",), **keys}
        query = parse(asked, Root.STUDY, Level.SERIES, Options(relational=True), limit=MOST_SERIES)
        return [str(values[SERIES][0]) for page in self._search.find(query) for values in page if values.get(SERIES)]

    def _of(self, instance: StoredInstance) -> tuple[Edge, ...]:
        from vesalius.imaging.reference_frames import edges_of

        digest = instance.member.sha256
        with self._lock:
            found = self._edges.get(digest)
            if found is not None:
                self._edges.move_to_end(digest)
                return found
        try:
            found = tuple(edges_of(read(self._blobs, instance, LARGEST)))
        except VesaliusError as error:
            log.warning("registration-unreadable", sop_instance=instance.sop_instance, error=error.message)
            found = ()
        with self._lock:
            self._edges[digest] = found
            while len(self._edges) > REMEMBERED:
                self._edges.popitem(last=False)
        return found


def read(blobs: BlobStore, instance: StoredInstance, most: int) -> Dataset:
    """An instance without pixels, whole. Raises `LimitExceeded`, `DamagedInstance`, `CannotUnderstand`."""
    from pydicom.filereader import read_dataset

    from vesalius.model.errors import CannotUnderstand, LimitExceeded

    if instance.member.dataset_length > most:
        raise LimitExceeded("the instance is too large to be looked into")
    data, syntax = blobs.read_verified(instance.member), lookup(instance.transfer_syntax)
    if syntax.deflated:
        data, syntax = inflate(data, most), lookup(EXPLICIT_LE)
    try:
        return read_dataset(BytesIO(data), not syntax.explicit, syntax.little_endian)
    except Exception as error:  # pydicom raises whatever the bytes lead it to
        raise CannotUnderstand("the instance cannot be read") from error
