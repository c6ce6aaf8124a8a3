"""What a handler of a message gets, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from vesalius.hl7.config import Source
from vesalius.hl7.faults import Fault
from vesalius.hl7.mapping import FieldMap
from vesalius.hl7.values import identifier
from vesalius.model.orders import By, Identifier
from vesalius.ports.ris import RisWork
from vesalius.ris.rules import RisRules
from vesalius.standard.hl7_tables import Condition
from vesalius.wire.hl7_message import BadMessage, Message, Segment


@dataclass(frozen=True, slots=True)
class Context:
    """One message with everything that tells what it means here."""

    message: Message
    source: Source
    fields: FieldMap
    by: By
    rules: RisRules

    @property
    def issuer(self) -> str:
        """The issuer of identifiers that do not say theirs; empty: the default issuer of the workflow."""
        return self.source.issuer

    def need(self, segments: Sequence[Segment], name: str) -> str:
        """The text of a row that must be there. Raises `BadMessage` (101)."""
        text = self.fields.text(segments, name)
        if not text:
            raise BadMessage(Condition.REQUIRED_FIELD_MISSING, self.fields.place(segments, name), "nothing is there")
        return text

    def identifiers(self, segments: Sequence[Segment], name: str) -> list[Identifier]:
        """The identifiers at the first filled place of a row."""
        segment, path = self.fields.found(segments, name)
        if segment is None:
            return []
        found = (identifier(text, segment.delimiters, self.issuer) for text in segment.repetitions(path.field))
        return [one for one in found if one.value]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a message did. `notes` are told to the sender though the message is accepted."""

    note: str = ""
    notes: tuple[Fault, ...] = ()
    structure: tuple[str, str, str] | None = None
    extra: tuple[Segment, ...] = field(default=())


Handler: TypeAlias = "Callable[[RisWork, Context], Outcome]"
