"""Repaired values on their way out: the one place where what was received becomes what is answered.

Theory. `StoredInstance.coerced` says whether there is anything to do, so an instance without a repair costs nothing.
Of one with a repair only the header is written anew (`model/repairs.py`); its pixels pass as they are, and every byte
of both has passed its digest. All ways out go through here: C-STORE of C-GET, C-MOVE and `send`, WADO-RS and WADO-URI,
metadata, export, and what is written on rendered pictures.
"""

from __future__ import annotations

from collections.abc import Iterator

from vesalius.model.entities import StoredInstance
from vesalius.model.errors import DamagedInstance
from vesalius.model.repairs import Change, repaired
from vesalius.ports.blobs import BlobStore
from vesalius.ports.coercions import Coercion, Coercions
from vesalius.standard.transfer_syntaxes import lookup

CHUNK = 1 << 20
_REASONS = {"merge": "COERCE", "demographics": "CORRECT"}


class Coerce:
    """Stateless; blocks, use it from any thread."""

    def __init__(self, coercions: Coercions | None, blobs: BlobStore, system: str = "") -> None:
        """`system`: what the Original Attributes Sequence calls the modifying system."""
        self._coercions = coercions
        self._blobs = blobs
        self._system = system

    def changes(self, instance: StoredInstance) -> list[Change]:
        """What is to be changed in an instance."""
        if not instance.coerced or self._coercions is None:
            return []
        return [self._change(one) for one in self._coercions.of(instance.study)]

    def _change(self, one: Coercion) -> Change:
        reason = _REASONS.get(one.repair.kind, "CORRECT")
        return Change(one.tag, one.value, one.repair.at, self._system, reason)

    def whole(self, instance: StoredInstance, data: bytes, transfer_syntax: str) -> bytes:
        """A data set, whole in memory, as it is answered."""
        changes = self.changes(instance)
        return repaired(data, transfer_syntax, changes) if changes else data

    def streamed(self, instance: StoredInstance) -> tuple[int, Iterator[bytes]] | None:
        """Length and chunks of a large data set as stored; None where nothing is to be changed, or it must be whole.

        The chunks are of bytes that passed their digest; raises `DamagedInstance` as they are read.
        """
        changes = self.changes(instance)
        pixels = instance.pixels
        if not changes or pixels is None or lookup(instance.transfer_syntax).deflated:
            return None
        head = pixels.offset
        made = repaired(self._blobs.read(instance.member, 0, head), instance.transfer_syntax, changes)
        length = len(made) + instance.member.dataset_length - head
        return length, self._spliced(instance, head, made, changes)

    def _spliced(self, instance: StoredInstance, head: int, made: bytes, changes: list[Change]) -> Iterator[bytes]:
        waiting = bytearray()
        passed = False
        for chunk in self._blobs.stream_verified(instance.member, CHUNK):
            if passed:
                yield chunk
                continue
            waiting += chunk
            if len(waiting) >= head:
                if repaired(bytes(waiting[:head]), instance.transfer_syntax, changes) != made:
                    raise DamagedInstance("the header read first is not the one that has the digest")
                yield made
                if len(waiting) > head:
                    yield bytes(waiting[head:])
                waiting.clear()
                passed = True
