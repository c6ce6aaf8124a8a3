"""The entities of the index in memory: patients, studies, series and instances, and how values meet in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from vesalius.model.attributes import ATTRIBUTES, BY_TAG, ColumnKind, Merge, Role
from vesalius.model.attributes_extract import items_from_json
from vesalius.model.coercion import decimal_text
from vesalius.model.entities import Arrival, Level, Removed, Scalar, StoredInstance, Values
from vesalius.model.matching import answered_items
from vesalius.model.query import Query

Columns = dict[str, Scalar]


@dataclass(slots=True)
class Entity:
    """One patient, study or series: its columns and what lies below, in order of arrival."""

    level: Level
    columns: Columns
    above: Entity | None = None
    below: dict[str, Entity] = field(default_factory=dict)


@dataclass(slots=True)
class Kept:
    """One instance, current or a conflict copy."""

    arrival: Arrival
    entity: Entity
    state: str  # "current" | "conflict"


def cell_values(tag: int, cell: Scalar) -> tuple[str, ...] | tuple[Values, ...]:
    """The values of an attribute from its column: as an answer holds them."""
    if cell is None or cell == "":
        return ()
    row = BY_TAG[tag]
    if row.kind is ColumnKind.SEQUENCE:
        return items_from_json(str(cell))
    if isinstance(cell, float):
        return (decimal_text(cell),)
    text = str(cell)
    return tuple(text.split("\\")) if row.multi else (text,)


def add(entity: Entity, column: str) -> None:
    """One more of what a column counts."""
    number = entity.columns.get(column)
    entity.columns[column] = (number if isinstance(number, int) else 0) + 1


def unite(entity: Entity, column: str, value: Scalar) -> None:
    """One more value in a set (`Merge.UNION`)."""
    if isinstance(value, str) and value:
        held = entity.columns.get(column)
        entity.columns[column] = "\\".join(sorted({*(held.split("\\") if isinstance(held, str) else ()), value}))


def fill(entity: Entity, columns: Columns) -> None:
    """Values that were empty until now (`Merge.FILL`), each with its companions."""
    for row in ATTRIBUTES:
        if row.level is entity.level and row.merge is Merge.FILL and entity.columns.get(row.column) in (None, ""):
            for name in (row.column, row.column + Role.SENT.value):
                entity.columns[name] = columns.get(name)


def values_of(entity: Entity) -> Values:
    """Everything known of an entity, with the levels above: what the oracle looks at."""
    values: Values = {}
    at: Entity | None = entity
    while at is not None:
        for row in ATTRIBUTES:
            if row.level is at.level:
                sent = at.columns.get(row.column + Role.SENT.value)
                values[row.tag] = cell_values(row.tag, at.columns.get(row.column) if sent is None else sent)
        at = at.above
    return values


def within(entity: Entity, level: Level) -> Iterator[Entity]:
    """The entities of a level, its own or one below, that lie in an entity; itself where it is of that level."""
    if entity.level is level:
        yield entity
    else:
        for below in entity.below.values():
            yield from within(below, level)


def answer(tag: int, value: tuple[str, ...] | tuple[Values, ...], query: Query) -> tuple[str, ...] | tuple[Values, ...]:
    """A value as the question wants it answered: items of a sequence with the keys that were asked for."""
    if BY_TAG[tag].kind is not ColumnKind.SEQUENCE:
        return value
    return answered_items(tag, [item for item in value if not isinstance(item, str)], query)


def order(kept: Kept) -> tuple[str, str, int, str]:
    """Study, series, instance number: the order of `Index.select`."""
    number = kept.arrival.record.instance["instance_number"]
    return (
        str(kept.arrival.record.study["study_instance_uid"]),
        str(kept.arrival.record.series["series_instance_uid"]),
        number if isinstance(number, int) else 0,
        kept.arrival.sop_instance,
    )


def stored(kept: Kept) -> StoredInstance:
    """What retrieval needs of an instance."""
    arrival = kept.arrival
    return StoredInstance(
        patient_id=str(arrival.record.patient["patient_id"] or ""),
        study=str(arrival.record.study["study_instance_uid"]),
        series=str(arrival.record.series["series_instance_uid"]),
        sop_class=arrival.sop_class,
        sop_instance=arrival.sop_instance,
        transfer_syntax=arrival.transfer_syntax,
        member=arrival.member,
        pixels=arrival.pixels,
    )


def removed_of(kept: Kept) -> Removed:
    """A kept instance as a deletion names it; a conflict copy lies in the series of the first."""
    arrival, entity = kept.arrival, kept.entity
    study = entity.above.columns if entity.above is not None else {}
    return Removed(
        str(study.get("study_instance_uid")),
        str(entity.columns["series_instance_uid"]),
        arrival.sop_instance,
        arrival.member,
    )
