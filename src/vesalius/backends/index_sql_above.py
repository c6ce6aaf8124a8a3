"""The rows above an instance: found or made, merged and counted, for one batch in one transaction.

Theory. The steady state is one more instance of a series that this process met before: one look for its
series, one UPDATE of the counters of each level. Merging, which reads rows, runs only when a record differs
from what was last merged into its series, which the process remembers. What it remembers is checked by that
one look: ids are never used again, so a series that another process removed and made anew has another id;
and merging only ever fills empty values, so what was merged once stays merged.

Merging (bad-input D12). The first value stays, an empty one is filled. A name or birth date that differs
from what is kept of the same Patient ID, or a study that comes under another patient, changes nothing and
leaves one note per study for the reconciliation of patients.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from vesalius.backends import coercions_sql, schema
from vesalius.backends.database import Transaction
from vesalius.backends.rows import ABOVE_COLUMNS, patient_identity
from vesalius.model.attributes import columns
from vesalius.model.attributes_table import Merge
from vesalius.model.entities import Arrival, Level, Note, Scalar

SeriesKey: TypeAlias = "tuple[str, str]"  # Study and Series Instance UID
Noter: TypeAlias = Callable[[Arrival, Note], None]

# CROSS JOIN keeps SQLite to this order, whatever its statistics say of an index that was still small.
_HOMES = (
    "SELECT study.study_instance_uid, series.series_instance_uid, series.id, study.id, study.patient_ref, "
    "study.modalities_in_study, study.sop_classes_in_study "
    "FROM series CROSS JOIN study WHERE study.id = series.study_ref AND series.series_instance_uid IN (?)"
)
_STUDIES = (
    "SELECT study_instance_uid, id, patient_ref, modalities_in_study, sop_classes_in_study "
    "FROM study WHERE study_instance_uid IN (?)"
)
_PATIENTS = "SELECT identity, id FROM patient WHERE identity IN (?)"
_UNION = "SELECT modalities_in_study, sop_classes_in_study FROM study WHERE id = ?"
_UNITE = "UPDATE study SET modalities_in_study = ?, sop_classes_in_study = ? WHERE id = ?"
_COUNT_PATIENT = (
    "UPDATE patient SET number_of_patient_related_studies = number_of_patient_related_studies + ?, "
    "number_of_patient_related_series = number_of_patient_related_series + ?, "
    "number_of_patient_related_instances = number_of_patient_related_instances + ? WHERE id = ?"
)
_COUNT_STUDY = (
    "UPDATE study SET number_of_study_related_series = number_of_study_related_series + ?, "
    "number_of_study_related_instances = number_of_study_related_instances + ? WHERE id = ?"
)
_COUNT_SERIES = (
    "UPDATE series SET number_of_series_related_instances = number_of_series_related_instances + ? WHERE id = ?"
)
_NOTED = "SELECT 1 FROM note WHERE study = ? AND code = ? LIMIT 1"
INSERT_NESTED = "INSERT INTO nested (level, owner, sequence, item, tag, value) VALUES (?, ?, ?, ?, ?, ?)"

_ABOVE = (Level.PATIENT, Level.STUDY, Level.SERIES)


def _filled(level: Level) -> tuple[tuple[int, tuple[str, ...]], ...]:
    """(tag, value column with its companions) of every attribute that a later instance may fill."""
    groups: dict[int, list[str]] = defaultdict(list)
    for column in columns(level, computed=False):
        if column.attribute.merge is Merge.FILL:
            groups[column.attribute.tag].append(column.name)
    return tuple((tag, tuple(names)) for tag, names in groups.items())


_FILLED = {level: _filled(level) for level in _ABOVE}
_EXTRA = {Level.PATIENT: ("identity", "patient_name_folded"), Level.STUDY: (), Level.SERIES: ()}
_READ = {
    level: f"SELECT {', '.join((*(names[0] for _, names in _FILLED[level]), *_EXTRA[level]))} "  # noqa: S608
    f"FROM {schema.TABLE_OF[level].name} WHERE id = ?"
    for level in _ABOVE
}
_PATIENT_ID, _NAME, _BIRTH_DATE, _SERIES_UID = 0x00100020, 0x00100010, 0x00100030, 0x0020000E


@dataclass(slots=True)
class Home:
    """Where the instances of one series go: the ids of its rows, and what its study unites."""

    series: int
    study: int
    patient: int
    modalities: str
    classes: str


@dataclass(frozen=True, slots=True)
class Merged:
    """What this process last merged into a series and the rows above it."""

    series: int
    patient_values: dict[str, Scalar]
    study_values: dict[str, Scalar]
    series_values: dict[str, Scalar]


def series_key(arrival: Arrival) -> SeriesKey:
    """The UIDs that say which series an instance belongs to."""
    record = arrival.record
    return str(record.study["study_instance_uid"]), str(record.series["series_instance_uid"])


class Above:
    """The levels above the instances of one batch. `merged` is to be remembered once it has committed."""

    def __init__(self, tx: Transaction, remembered: Mapping[SeriesKey, Merged], noter: Noter) -> None:
        self._tx = tx
        self._remembered = remembered
        self._note = noter
        self._homes: dict[SeriesKey, Home] = {}
        self._new_studies: dict[int, int] = defaultdict(int)  # by patient
        self._new_series: dict[int, int] = defaultdict(int)  # by study
        self._patient_of: dict[int, int] = {}  # of the studies above
        self._noted: set[tuple[str, str]] = set()
        self.merged: dict[SeriesKey, Merged] = {}
        # By the rows made here, the arrival whose values they were made of.
        self._maker: dict[tuple[Level, int], Arrival] = {}

    def made(self) -> list[tuple[Level, Arrival]]:
        """The rows that were made, each with the arrival that it was made for."""
        return [(level, arrival) for (level, _), arrival in self._maker.items()]

    # -- finding and making

    def place(self, arrivals: Sequence[Arrival]) -> list[Home]:
        """The home of each arrival, its rows made where they did not exist."""
        keys = [series_key(arrival) for arrival in arrivals]
        self._look({series for _, series in keys})
        missing = {key: arrival for key, arrival in zip(keys, arrivals, strict=True) if key not in self._homes}
        if missing:
            first = dict(zip(reversed(keys), reversed(arrivals), strict=True))
            self._make({key: first[key] for key in sorted(missing)})
        return [self._homes[key] for key in keys]

    def _look(self, series: set[str]) -> None:
        for row in self._tx.rows_in(_HOMES, list(series)):
            self._homes[row[0], row[1]] = Home(row[2], row[3], row[4], row[5] or "", row[6] or "")

    def _make(self, missing: dict[SeriesKey, Arrival]) -> None:
        studies = {study: arrival for (study, _), arrival in reversed(missing.items())}
        found = self._find_studies(sorted(studies))
        new = {study: studies[study] for study in sorted(studies) if study not in found}
        if new:
            self._make_studies(new)
            found = self._find_studies(sorted(studies))
        self._make_series(missing, {uid: row[1] for uid, row in found.items()})
        self._look({series for _, series in missing})

    def _find_studies(self, uids: Sequence[str]) -> dict[str, Sequence[Any]]:
        found: dict[str, Sequence[Any]] = {row[0]: row for row in self._tx.rows_in(_STUDIES, uids)}
        self._patient_of.update((row[1], row[2]) for row in found.values())
        return found

    def _make_studies(self, new: dict[str, Arrival]) -> None:
        coerced = coercions_sql.arriving(self._tx, new)
        shown = {uid: coerced[uid].arrival if uid in coerced else arrival for uid, arrival in new.items()}
        patients = self._patients(shown, new)
        rows, arrivals, owners = [], [], []
        for uid, arrival in new.items():
            record = shown[uid].record
            owner = patients[patient_identity(record.patient, uid)]
            number = coerced[uid].number if uid in coerced else 0
            rows.append((owner, number, *map(record.study.get, ABOVE_COLUMNS[Level.STUDY])))
            arrivals.append(arrival)
            owners.append(owner)
        names = ("patient_ref", "coerced", *ABOVE_COLUMNS[Level.STUDY])
        ids = self._tx.insert(schema.study, names, rows, ("study_instance_uid",))
        for arrival, owner, made in zip(arrivals, owners, ids, strict=True):
            if made is not None:
                self._new_studies[owner] += 1
                self._made(Level.STUDY, made, arrival)

    def _patients(self, shown: dict[str, Arrival], new: dict[str, Arrival]) -> dict[str, int]:
        """Ids by identity. `shown`: the arrivals as the index shall hold them (`coercions_sql`)."""
        uids = {patient_identity(arrival.record.patient, uid): uid for uid, arrival in reversed(shown.items())}
        wanted = {identity: shown[uid] for identity, uid in uids.items()}
        order = sorted(wanted)
        found: dict[str, int] = dict(self._tx.rows_in(_PATIENTS, order))
        missing = [identity for identity in order if identity not in found]
        if missing:
            names = ("identity", *ABOVE_COLUMNS[Level.PATIENT])
            rows = [
                (identity, *map(wanted[identity].record.patient.get, ABOVE_COLUMNS[Level.PATIENT]))
                for identity in missing
            ]
            ids = self._tx.insert(schema.patient, names, rows, ("identity",))
            for identity, made in zip(missing, ids, strict=True):
                if made is not None:
                    self._made(Level.PATIENT, made, new[uids[identity]])
            found = dict(self._tx.rows_in(_PATIENTS, order))
        return found

    def _make_series(self, missing: dict[SeriesKey, Arrival], studies: dict[str, int]) -> None:
        elsewhere = {series for _, series in missing if any(key[1] == series for key in self._homes)}
        names = ("study_ref", *ABOVE_COLUMNS[Level.SERIES])
        rows = [
            (studies[study], *map(arrival.record.series.get, ABOVE_COLUMNS[Level.SERIES]))
            for (study, _), arrival in missing.items()
        ]
        ids = self._tx.insert(schema.series, names, rows, ("series_instance_uid", "study_ref"))
        for ((study, series), arrival), made in zip(missing.items(), ids, strict=True):
            if made is None:
                continue
            self._new_series[studies[study]] += 1
            self._made(Level.SERIES, made, arrival)
            if series in elsewhere:
                text = "this Series Instance UID is used in another study too"
                self._note(arrival, Note("series-study-mismatch", _SERIES_UID, text))

    def _made(self, level: Level, row: int, arrival: Arrival) -> None:
        self._maker[level, row] = arrival
        values = [value for value in arrival.record.nested if value.level is level]
        if values:
            self._tx.many(
                INSERT_NESTED,
                [(int(level), row, value.sequence, value.item, value.tag, value.value) for value in values],
            )

    # -- merging and counting

    def count(self, arrivals: Sequence[Arrival], homes: Sequence[Home]) -> None:
        """Merge what new instances say of the levels above, and count them there."""
        merges: dict[Level, dict[int, list[Arrival]]] = {level: {} for level in _ABOVE}
        unions: dict[int, tuple[set[str], set[str]]] = {}
        for arrival, home in zip(arrivals, homes, strict=True):
            self._look_for_merges(arrival, home, merges)
            modality = str(arrival.record.series.get("modality") or "")
            if not (_within(modality, home.modalities) and _within(arrival.sop_class, home.classes)):
                union = unions.setdefault(home.study, (set(), set()))
                union[0].add(modality)
                union[1].add(arrival.sop_class)
        self._count_patients(homes, merges[Level.PATIENT])
        instances = _counted([home.study for home in homes])
        for row in sorted({*merges[Level.STUDY], *unions}):
            self._merge(Level.STUDY, row, merges[Level.STUDY].get(row, ()))
            if row in unions:
                self._unite(row, *unions[row])
        self._tx.many(_COUNT_STUDY, [(self._new_series.get(row, 0), instances[row], row) for row in sorted(instances)])
        for row in sorted(merges[Level.SERIES]):
            self._merge(Level.SERIES, row, merges[Level.SERIES][row])
        by_series = _counted([home.series for home in homes])
        self._tx.many(_COUNT_SERIES, [(by_series[row], row) for row in sorted(by_series)])

    def _count_patients(self, homes: Sequence[Home], merges: dict[int, list[Arrival]]) -> None:
        for row in sorted(merges):
            self._merge_patient(row, merges[row])
        instances = _counted([home.patient for home in homes])
        studies, series = self._new_studies, dict.fromkeys(instances, 0)
        for study, count in self._new_series.items():
            series[self._patient_of[study]] += count
        self._tx.many(
            _COUNT_PATIENT, [(studies.get(row, 0), series[row], instances[row], row) for row in sorted(instances)]
        )

    def _look_for_merges(self, arrival: Arrival, home: Home, merges: dict[Level, dict[int, list[Arrival]]]) -> None:
        key, record = series_key(arrival), arrival.record
        last = self.merged.get(key) or self._remembered.get(key)
        if last is None or last.series != home.series:
            for level, row in zip(_ABOVE, (home.patient, home.study, home.series), strict=True):
                if self._maker.get((level, row)) is not arrival:
                    merges[level].setdefault(row, []).append(arrival)
        else:
            changed = False
            if last.patient_values != record.patient:
                merges[Level.PATIENT].setdefault(home.patient, []).append(arrival)
                changed = True
            if last.study_values != record.study:
                merges[Level.STUDY].setdefault(home.study, []).append(arrival)
                changed = True
            if last.series_values != record.series:
                merges[Level.SERIES].setdefault(home.series, []).append(arrival)
                changed = True
            if not changed:
                return
        self.merged[key] = Merged(home.series, record.patient, record.study, record.series)

    def _merge_patient(self, row: int, arrivals: Sequence[Arrival]) -> None:
        kept = self._read(Level.PATIENT, row)
        same = []
        for arrival in arrivals:
            patient = arrival.record.patient
            if patient_identity(patient, series_key(arrival)[0]) != kept["identity"]:
                text = "the study is kept under the patient it first came with; this instance names another"
                self._note_once(arrival, Note("study-patient-mismatch", _PATIENT_ID, text))
            elif _differ(kept["patient_name_folded"], patient.get("patient_name_folded")):
                text = "the name differs from the one kept of this patient"
                self._note_once(arrival, Note("patient-mismatch", _NAME, text))
            elif _differ(kept["patient_birth_date"], patient.get("patient_birth_date")):
                text = "the birth date differs from the one kept of this patient"
                self._note_once(arrival, Note("patient-mismatch", _BIRTH_DATE, text))
            else:
                same.append(arrival)
        self._fill(Level.PATIENT, row, kept, same)

    def _merge(self, level: Level, row: int, arrivals: Sequence[Arrival]) -> None:
        if arrivals:
            self._fill(level, row, self._read(level, row), arrivals)

    def _read(self, level: Level, row: int) -> dict[str, Any]:
        found = self._tx.rows(_READ[level] + self._tx.for_update, (row,))[0]
        return dict(zip((*(names[0] for _, names in _FILLED[level]), *_EXTRA[level]), found, strict=True))

    def _fill(self, level: Level, row: int, kept: dict[str, Any], arrivals: Sequence[Arrival]) -> None:
        """Give empty attributes the first value that comes, together with its companions and nested values."""
        changes: dict[str, Scalar] = {}
        nested = []
        for arrival in arrivals:
            record = arrival.record
            values = (record.patient, record.study, record.series)[level]
            for tag, names in _FILLED[level]:
                if kept[names[0]] not in (None, "") or values.get(names[0]) in (None, ""):
                    continue
                kept[names[0]] = values[names[0]]
                changes.update((name, values.get(name)) for name in names)
                nested += [
                    (int(level), row, value.sequence, value.item, value.tag, value.value)
                    for value in record.nested
                    if value.level is level and value.sequence == tag
                ]
        if changes:
            table, assignments = schema.TABLE_OF[level].name, ", ".join(f"{name} = ?" for name in changes)
            self._tx.run(f"UPDATE {table} SET {assignments} WHERE id = ?", (*changes.values(), row))  # noqa: S608
        if nested:
            self._tx.many(INSERT_NESTED, nested)

    def _unite(self, study: int, modalities: set[str], classes: set[str]) -> None:
        kept = self._tx.rows(_UNION + self._tx.for_update, (study,))[0]
        self._tx.run(_UNITE, (_joined(kept[0], modalities), _joined(kept[1], classes), study))

    def _note_once(self, arrival: Arrival, note: Note) -> None:
        key = (series_key(arrival)[0], note.code)
        if key not in self._noted and not self._tx.rows(_NOTED, key):
            self._note(arrival, note)
        self._noted.add(key)


def _counted(rows: list[int]) -> dict[int, int]:
    # Counter(rows) costs two microseconds more, four times for every instance.
    return {rows[0]: 1} if len(rows) == 1 else Counter(rows)


def _within(value: str, joined: str) -> bool:
    return not value or f"\\{value}\\" in f"\\{joined}\\"


def _joined(kept: str | None, more: set[str]) -> str:
    return "\\".join(sorted({*(kept or "").split("\\"), *more} - {""}))


def _differ(kept: Scalar, other: Scalar) -> bool:
    return bool(kept and other and kept != other)
