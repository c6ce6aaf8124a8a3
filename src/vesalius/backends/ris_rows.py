"""Between the nouns of the workflow and their rows: which table, which columns a noun is looked up by, and its JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from vesalius.backends import schema_ris as tables
from vesalius.backends.database import Row
from vesalius.model.names import fold_name
from vesalius.model.orders import (
    Appointment,
    Item,
    Link,
    Merge,
    Noun,
    Order,
    Patient,
    PerformedStep,
    Procedure,
    RequestedProcedure,
    Room,
    ScheduledStep,
    Station,
    Visit,
)

N = TypeVar("N", bound=Noun)


@dataclass(frozen=True, slots=True)
class Kind:
    """How nouns of one kind are kept. `columns`: what is written beside the noun itself, to look it up by."""

    noun: type[Any]
    table: sa.Table
    columns: Mapping[str, Callable[[Any], str | int]]
    unique: str = ""
    words: str = ""  # what it is called in an error

    @property
    def name(self) -> str:
        """Of the table."""
        return self.table.name


KINDS: dict[type[Any], Kind] = {
    kind.noun: kind
    for kind in (
        Kind(
            Patient,
            tables.ris_patient,
            {
                "identity": lambda one: one.identifier.key,
                "patient_id": lambda one: one.identifier.value,
                "name": lambda one: fold_name(one.name),
                "birth_date": lambda one: one.birth_date,
                "merged_into": lambda one: one.merged_into,
            },
            "identity",
            "patient",
        ),
        Kind(
            Visit,
            tables.ris_visit,
            {
                "patient": lambda one: one.patient,
                "number": lambda one: one.number.key,
                "state": lambda one: one.state,
            },
            words="visit",
        ),
        Kind(
            Order,
            tables.ris_order,
            {
                "patient": lambda one: one.patient,
                "visit": lambda one: one.visit,
                "placer": lambda one: one.placer.key,
                "filler": lambda one: one.filler.key,
                "accession": lambda one: one.accession,
                "state": lambda one: str(one.state),
            },
            words="order",
        ),
        Kind(
            RequestedProcedure,
            tables.ris_procedure,
            {
                "order_ref": lambda one: one.order,
                "patient": lambda one: one.patient,
                "number": lambda one: one.number,
                "study_uid": lambda one: one.study_uid,
            },
            words="requested procedure",
        ),
        Kind(
            ScheduledStep,
            tables.ris_step,
            {
                "procedure_ref": lambda one: one.procedure,
                "order_ref": lambda one: one.order,
                "patient": lambda one: one.patient,
                "number": lambda one: one.number,
                "modality": lambda one: one.modality,
                "start": lambda one: one.start,
                "state": lambda one: str(one.state),
            },
            words="scheduled step",
        ),
        Kind(
            PerformedStep,
            tables.ris_performed,
            {
                "uid": lambda one: one.uid,
                "order_ref": lambda one: one.order,
                "patient": lambda one: one.patient,
                "study_uid": lambda one: one.study_uid,
                "state": lambda one: str(one.state),
                "images": lambda one: str(one.images),
                "final_at": lambda one: one.final_at,
            },
            "uid",
            "performed step",
        ),
        Kind(
            Procedure,
            tables.ris_catalogue,
            {
                "code": lambda one: one.code.key,
                "modality": lambda one: one.modality,
            },
            "code",
            "procedure",
        ),
        Kind(
            Station,
            tables.ris_station,
            {
                "aet": lambda one: one.aet,
                "modality": lambda one: one.modality,
                "department": lambda one: one.department,
            },
            "aet",
            "station",
        ),
        Kind(Room, tables.ris_room, {"name": lambda one: one.name}, "name", "room"),
        Kind(
            Appointment,
            tables.ris_appointment,
            {
                "station": lambda one: one.station,
                "begin": lambda one: one.begin,
                "finish": lambda one: one.end,
                "step": lambda one: one.step,
                "active": lambda one: int(one.active),
            },
            words="appointment",
        ),
        Kind(
            Merge,
            tables.ris_merge,
            {
                "survivor": lambda one: one.survivor,
                "gone": lambda one: one.gone,
                "undone_at": lambda one: one.undone_at,
            },
            words="merge",
        ),
        Kind(
            Item,
            tables.ris_item,
            {
                "study": lambda one: one.study,
                "state": lambda one: one.state,
                "trouble": lambda one: str(one.trouble),
            },
            words="item to reconcile",
        ),
        Kind(
            Link,
            tables.ris_link,
            {"study": lambda one: one.study, "order_ref": lambda one: one.order},
            "study",
            "link",
        ),
    )
}


@cache
def _decoder(noun: type[Any]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(noun)


_encode = msgspec.json.Encoder().encode


def values_of(kind: Kind, noun: Noun) -> list[str | int]:
    """The values of `(*kind.columns, "data")`."""
    return [*(value(noun) for value in kind.columns.values()), _encode(noun).decode()]


def noun_of(kind: type[N], row: Row) -> N:
    """From (id, data)."""
    found: N = _decoder(kind).decode(row[1])
    return found if found.ref == row[0] else with_ref(found, row[0])


def with_ref(noun: N, ref: int) -> N:
    """The noun with its number."""
    changed: N = dataclasses.replace(noun, ref=ref)  # type: ignore[type-var]
    return changed
