"""What the workflow asks the index about images, and which instances it waits for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from vesalius.backends.database import Row, Transaction
from vesalius.model.orders import Identifier
from vesalius.ports.ris import StudyFacts

_FACTS = (
    "SELECT study.study_instance_uid, patient.patient_id, patient.issuer_of_patient_id, patient.patient_name, "
    "patient.patient_birth_date, patient.patient_sex, study.accession_number, study.study_date_norm, "
    "study.study_time_norm, study.study_description, study.modalities_in_study, "
    "study.number_of_study_related_instances, study.referring_physician_name, study.coerced "
    "FROM study CROSS JOIN patient WHERE patient.id = study.patient_ref AND "
)
_BY_UID = f"{_FACTS} study.study_instance_uid IN (?)"
_BY_PATIENT = f"{_FACTS} patient.patient_id = ? ORDER BY study.id"
# One instance of each series is enough to say where the series came from.
_STATIONS = (
    "SELECT study.study_instance_uid, series.station_name, MIN(instance.calling_aet) "
    "FROM study CROSS JOIN series CROSS JOIN instance WHERE series.study_ref = study.id "
    "AND instance.series_ref = series.id AND study.study_instance_uid IN (?) "
    "GROUP BY study.study_instance_uid, series.id, series.station_name"
)
_KEPT = "SELECT sop_instance_uid FROM instance WHERE rank = 0 AND sop_instance_uid IN (?)"
_FORGET = "DELETE FROM ris_expected WHERE performed = ?"
_EXPECT = "INSERT INTO ris_expected (sop_instance, performed, arrived) VALUES (?, ?, ?)"
_ARRIVED = "UPDATE ris_expected SET arrived = 1 WHERE arrived = 0 AND sop_instance IN (?) RETURNING performed"
_EXPECTING = "SELECT performed, COUNT(*) FROM ris_expected WHERE arrived = 0 AND sop_instance IN (?) GROUP BY performed"
_MISSING = "SELECT sop_instance FROM ris_expected WHERE performed = ? AND arrived = 0 ORDER BY sop_instance LIMIT ?"
CHUNK = 500


def studies(tx: Transaction, uids: Sequence[str]) -> dict[str, StudyFacts]:
    """See `RisView.studies`."""
    if not uids:
        return {}
    stations: dict[str, set[str]] = defaultdict(set)
    for study, name, aet in tx.rows_in(_STATIONS, uids):
        stations[study].update(text for text in (name, aet) if text)
    return {row[0]: _facts(row, stations.get(row[0], set())) for row in tx.rows_in(_BY_UID, uids)}


def studies_of(tx: Transaction, identifier: Identifier, issuers: Sequence[str]) -> list[StudyFacts]:
    """See `RisView.studies_of`."""
    wanted = {identifier.issuer, *issuers}
    rows = tx.rows(_BY_PATIENT, (identifier.value,))
    return [_facts(row, set()) for row in rows if (row[2] or "") in wanted]


def _facts(row: Row, stations: set[str]) -> StudyFacts:
    return StudyFacts(
        study=row[0],
        identifier=Identifier(row[1] or "", row[2] or ""),
        name=row[3] or "",
        birth_date=row[4] or "",
        sex=row[5] or "",
        accession=row[6] or "",
        date=row[7] or "",
        time=(row[8] or "")[:6],
        description=row[9] or "",
        modalities=tuple((row[10] or "").split("\\")) if row[10] else (),
        stations=tuple(sorted(stations)),
        instances=row[11],
        referring=row[12] or "",
        coerced=bool(row[13]),
    )


def kept(tx: Transaction, sop_instances: Sequence[str]) -> set[str]:
    """See `RisView.kept`."""
    found: set[str] = set()
    for start in range(0, len(sop_instances), CHUNK):
        found.update(row[0] for row in tx.rows_in(_KEPT, list(sop_instances[start : start + CHUNK])))
    return found


def expect(tx: Transaction, performed: int, sop_instances: Sequence[str]) -> int:
    """See `RisWork.expect`."""
    uids = list(dict.fromkeys(sop_instances))
    here = kept(tx, uids)
    tx.run(_FORGET, (performed,))
    if uids:
        tx.many(_EXPECT, [(uid, performed, int(uid in here)) for uid in uids])
    return len(here)


def arrived(tx: Transaction, sop_instances: Sequence[str]) -> None:
    """See `RisWork.arrived`."""
    for start in range(0, len(sop_instances), CHUNK):
        tx.rows_in(_ARRIVED, list(sop_instances[start : start + CHUNK]))


def expecting(tx: Transaction, sop_instances: Sequence[str]) -> dict[int, int]:
    """See `RisView.expecting`."""
    found: dict[int, int] = defaultdict(int)
    for start in range(0, len(sop_instances), CHUNK):
        for performed, count in tx.rows_in(_EXPECTING, list(sop_instances[start : start + CHUNK])):
            found[performed] += count
    return dict(found)


def missing(tx: Transaction, performed: int, limit: int) -> list[str]:
    """See `RisView.missing`."""
    return [row[0] for row in tx.rows(_MISSING, (performed, limit))]
