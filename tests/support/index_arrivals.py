"""Arrivals made by code: what the index is given, without images."""

from __future__ import annotations

import hashlib
from typing import Any

from vesalius.model.attributes import columns
from vesalius.model.entities import (
    Arrival,
    Level,
    Member,
    NestedValue,
    Note,
    PixelLayout,
    Provenance,
    Record,
    Scalar,
)
from vesalius.model.names import fold_groups

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"

_EMPTY: dict[Level, dict[str, Scalar]] = {
    level: dict.fromkeys(column.name for column in columns(level, computed=False)) for level in Level
}


def study_uid(study: int) -> str:
    return f"2.25.1{study:08d}"


def series_uid(study: int, series: int) -> str:
    return f"{study_uid(study)}.{series}"


def instance_uid(study: int, series: int, number: int) -> str:
    return f"{series_uid(study, series)}.{number}"


def arrival(
    study: int = 1,
    series: int = 1,
    number: int = 1,
    *,
    patient: int | None = None,
    content: str = "",
    pack: str = "pack-1",
    offset: int | None = None,
    sop_class: str = CT,
    modality: str = "CT",
    patient_values: dict[str, Any] | None = None,
    study_values: dict[str, Any] | None = None,
    series_values: dict[str, Any] | None = None,
    instance_values: dict[str, Any] | None = None,
    nested: tuple[NestedValue, ...] = (),
    notes: tuple[Note, ...] = (),
    pixels: PixelLayout | None = None,
) -> Arrival:
    """One instance; the same arguments make the same bytes, `content` others under the same UIDs."""
    person = study if patient is None else patient
    patient_of = _EMPTY[Level.PATIENT] | {
        "patient_id": f"P{person}",
        **_named(f"Person{person}^Some"),
        "patient_birth_date": "19700102",
        "patient_birth_date_norm": "19700102",
    }
    study_of = _EMPTY[Level.STUDY] | {"study_instance_uid": study_uid(study), "accession_number": f"A{study}"}
    series_of = _EMPTY[Level.SERIES] | {"series_instance_uid": series_uid(study, series), "modality": modality}
    uid = instance_uid(study, series, number)
    instance_of = _EMPTY[Level.IMAGE] | {
        "sop_instance_uid": uid,
        "sop_class_uid": sop_class,
        "available_transfer_syntax_uid": EXPLICIT_LE,
        "instance_number": number,
        "rows": 512,
    }
    record = Record(
        patient_of | (patient_values or {}),
        study_of | (study_values or {}),
        series_of | (series_values or {}),
        instance_of | (instance_values or {}),
        nested,
        notes,
    )
    header = (number - 1) * 4096 if offset is None else offset
    digest = hashlib.sha256(f"{uid} {content}".encode()).hexdigest()
    return Arrival(
        record=record,
        member=Member(pack, header, header + 1536, 2000, header + 2036, 1500, digest),
        provenance=Provenance("c-store", "SCU", "VESALIUS", "127.0.0.1", "a1", "2026-01-02T03:04:05.000006Z"),
        sop_class=sop_class,
        sop_instance=uid,
        transfer_syntax=EXPLICIT_LE,
        pixels=pixels,
    )


def _named(name: str) -> dict[str, Scalar]:
    return {"patient_name": name, "patient_name_folded": fold_groups(name)[0]}


def name_values(name: str) -> dict[str, Scalar]:
    """The columns of a patient's name."""
    return _named(name)
