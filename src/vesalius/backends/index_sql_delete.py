"""Deletion in the index: rows that go, the rows above that are left empty, and counters that follow.

Theory. A tombstone names instances by the place of their bytes, so a row goes only if it is about these bytes: what
came under the same UID since has another place and stays. Of an instance all ranks go; if a conflict copy arrived
that the tombstone does not know, the oldest one left becomes current. Then the counts of series, study and patient go
down, what has none left goes too, and a study that stays unites what its series still have. Values that an instance
had filled in above stay: they were true of the study.

Many writers, as in `index_sql_ingest`, and in its order: pack, instances, patients, studies, series. A row above is
removed only if no other transaction is just adding to it: that one holds a lock on it for its foreign key, SKIP
LOCKED passes it by, and it gets its count up from zero. Whoever looked a row up just before it went runs
into its foreign key, and its transaction runs again. On SQLite there is one writer.

The counters of totals are sums over packs; a deletion's are negative and go to the pack that holds its tombstone.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vesalius.backends import schema
from vesalius.backends.database import Row, Transaction
from vesalius.backends.outbox_sql import announce
from vesalius.model.entities import Level, Member, Tombstone

_ROWS = (
    "SELECT instance.sop_instance_uid, instance.id, instance.rank, instance.dataset_length, pack.name, "
    "instance.header_offset, instance.file_offset, series.id, series.modality, study.id, study.patient_ref, "
    "instance.sha256 FROM instance CROSS JOIN series CROSS JOIN study CROSS JOIN pack "
    "WHERE series.id = instance.series_ref AND study.id = series.study_ref AND pack.id = instance.pack_ref "
    "AND instance.sop_instance_uid IN (?)"
)
_NOTES = "SELECT id, sop_instance FROM note WHERE study = ?"
_DROP_NESTED = "DELETE FROM nested WHERE level = ? AND owner = ?"
_DROP_INSTANCE = "DELETE FROM instance WHERE id = ?"
_DROP_DAMAGED = "DELETE FROM damaged WHERE pack = ? AND file_offset = ?"
_DROP_NOTE = "DELETE FROM note WHERE id = ?"
_PROMOTE = "UPDATE instance SET rank = 0 WHERE id = ?"
_TABLES = {Level.PATIENT: "patient", Level.STUDY: "study", Level.SERIES: "series"}
_LOCK_INSTANCES = "SELECT id FROM instance WHERE id IN (?)"
_LOCK = {level: f"SELECT id FROM {name} WHERE id IN (?)" for level, name in _TABLES.items()}  # noqa: S608
_COUNTS = {
    Level.SERIES: "number_of_series_related_instances",
    Level.STUDY: "number_of_study_related_instances",
    Level.PATIENT: "number_of_patient_related_instances",
}
_LESS = {
    Level.SERIES: "UPDATE series SET number_of_series_related_instances = number_of_series_related_instances - ? "
    "WHERE id = ?",
    Level.STUDY: "UPDATE study SET number_of_study_related_instances = number_of_study_related_instances - ?, "
    "number_of_study_related_series = number_of_study_related_series - ? WHERE id = ?",
    Level.PATIENT: "UPDATE patient SET number_of_patient_related_instances = number_of_patient_related_instances - ?, "
    "number_of_patient_related_series = number_of_patient_related_series - ?, "
    "number_of_patient_related_studies = number_of_patient_related_studies - ? WHERE id = ?",
}
_EMPTY = {
    level: f"SELECT id FROM {name} WHERE {_COUNTS[level]} = 0 AND id IN (?)"  # noqa: S608
    for level, name in _TABLES.items()
}
_OCCUPIED = {
    Level.SERIES: "SELECT DISTINCT series_ref FROM instance WHERE series_ref IN (?)",
    Level.STUDY: "SELECT DISTINCT study_ref FROM series WHERE study_ref IN (?)",
    Level.PATIENT: "SELECT DISTINCT patient_ref FROM study WHERE patient_ref IN (?)",
}
_DROP = {level: f"DELETE FROM {name} WHERE id = ?" for level, name in _TABLES.items()}  # noqa: S608
_MODALITIES = "SELECT DISTINCT modality FROM series WHERE study_ref = ?"
_CLASSES = (
    "SELECT DISTINCT instance.sop_class_uid FROM series CROSS JOIN instance "
    "WHERE instance.series_ref = series.id AND instance.rank = 0 AND series.study_ref = ?"
)
_UNITE = "UPDATE study SET modalities_in_study = ?, sop_classes_in_study = ? WHERE id = ?"
_PACK = "SELECT id, by_modality FROM pack WHERE name = ?"
_TALLY = (
    "UPDATE pack SET indexed_to = CASE WHEN indexed_to < ? THEN ? ELSE indexed_to END, "
    "size = CASE WHEN size < ? THEN ? ELSE size END, new_patients = new_patients - ?, new_studies = new_studies - ?, "
    "new_series = new_series - ?, new_instances = new_instances - ?, new_conflicts = new_conflicts - ?, "
    "new_notes = new_notes - ?, new_bytes = new_bytes - ?, by_modality = ? WHERE id = ?"
)
_DELETION = "SELECT id, state FROM deletion WHERE uid = ?"
_DELETION_COLUMNS = (
    *("uid", "state", "level", "study", "series", "sop_instance", "at", "who", "address", "reason"),
    *("instances", "bytes"),
)
_MORE = "UPDATE deletion SET instances = instances + ?, bytes = bytes + ? WHERE id = ?"
_STATE = "UPDATE deletion SET state = ? WHERE id = ?"
_REMEMBERED = "SELECT pack, header_offset FROM deleted_member WHERE deletion_ref = ?"
_MEMBER_COLUMNS = (
    *("deletion_ref", "pack", "header_offset", "file_offset", "file_length", "dataset_offset", "dataset_length"),
    *("sha256", "study", "series", "sop_instance"),
)


@dataclass(slots=True)
class _Gone:
    """What a deletion takes from the totals."""

    rows: dict[Level, int] = field(default_factory=lambda: dict.fromkeys(Level, 0))
    conflicts: int = 0
    notes: int = 0
    bytes: int = 0
    by_modality: Counter[str] = field(default_factory=Counter)


class Removal:
    """One tombstone over one transaction."""

    def __init__(self, tx: Transaction, tombstone: Tombstone, member: Member, told: bool) -> None:
        self._tx = tx
        self._tombstone = tombstone
        self._member = member
        self._told = told
        self._gone = _Gone()
        self._promoted: list[Row] = []  # conflict copies that become current

    def run(self) -> None:
        """Everything."""
        pack = take_pack(self._tx, self._member.pack)
        rows = self._find()
        if rows:
            self._drop_instances(rows)
            self._drop_above(rows)
        self._tally(pack)
        if self._remember():
            event = ("deleted", *_keys(self._tombstone), self._tombstone.at, self._tombstone.who)
            announce(self._tx, [event])

    # -- instances

    def _find(self) -> list[Row]:
        """The rows that are about the tombstone's bytes; copies left without a current one are promoted."""
        wanted = {(one.member.pack, one.member.header_offset, one.member.sha256) for one in self._tombstone.members}
        uids = list(dict.fromkeys(one.sop_instance for one in self._tombstone.members))
        if not uids:
            return []
        rows = self._tx.rows_in(_ROWS, uids)
        if rows and self._tx.for_update:
            # Another transaction may be removing the same: whoever waited for it looks again.
            self._tx.rows_in(_LOCK_INSTANCES + self._tx.for_update, sorted(row[1] for row in rows))
            rows = self._tx.rows_in(_ROWS, uids)
        by_uid: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            by_uid[row[0]].append(row)
        going: list[Row] = []
        for copies in by_uid.values():
            gone = [row for row in copies if (row[4], row[5], bytes(row[11]).hex()) in wanted]
            left = sorted((row for row in copies if row not in gone), key=lambda row: int(row[2]))
            going += gone
            if left and any(row[2] == 0 for row in gone):
                self._promoted.append(left[0])
        return going

    def _drop_instances(self, rows: Sequence[Row]) -> None:
        tx, gone = self._tx, self._gone
        ids = sorted(row[1] for row in rows)
        tx.many(_DROP_NESTED, [(int(Level.IMAGE), row) for row in ids])
        tx.many(_DROP_DAMAGED, [(row[4], row[6]) for row in rows])
        tx.many(_DROP_INSTANCE, [(row,) for row in ids])
        for row in rows:
            gone.bytes += row[3]
            if row[2] == 0:
                gone.rows[Level.IMAGE] += 1
                gone.by_modality[row[8] or ""] += 1
            else:
                gone.conflicts += 1
        for row in self._promoted:
            tx.run(_PROMOTE, (row[1],))
            gone.rows[Level.IMAGE] -= 1
            gone.by_modality[row[8] or ""] -= 1
            gone.conflicts += 1
        left = {row[0] for row in self._promoted}
        uids = {row[0] for row in rows} - left
        studies = {one.study for one in self._tombstone.members}
        notes = [note[0] for study in sorted(studies) for note in tx.rows(_NOTES, (study,)) if note[1] in uids]
        if notes:
            tx.many(_DROP_NOTE, [(note,) for note in notes])
            gone.notes = len(notes)

    # -- above

    def _drop_above(self, rows: Sequence[Row]) -> None:
        tx = self._tx
        promoted = Counter(row[7] for row in self._promoted)
        by_series = Counter(row[7] for row in rows if row[2] == 0)
        by_series.subtract(promoted)
        study_of = {row[7]: row[9] for row in rows}
        patient_of = {row[9]: row[10] for row in rows}
        ids: dict[Level, list[int]] = {
            Level.PATIENT: sorted(set(patient_of.values())),
            Level.STUDY: sorted(patient_of),
            Level.SERIES: sorted(study_of),
        }
        for level, found in ids.items():  # the order in which ingest takes them
            tx.rows_in(_LOCK[level] + tx.for_update, found)
        tx.many(_LESS[Level.SERIES], [(by_series[row], row) for row in ids[Level.SERIES]])
        series = self._sweep(Level.SERIES, ids[Level.SERIES])
        instances_of_study: Counter[int] = Counter()
        for row, count in by_series.items():
            instances_of_study[study_of[row]] += count
        series_of_study = Counter(study_of[row] for row in series)
        tx.many(
            _LESS[Level.STUDY],
            [(instances_of_study[row], series_of_study[row], row) for row in ids[Level.STUDY]],
        )
        studies = self._sweep(Level.STUDY, ids[Level.STUDY])
        self._drop_from_patients(ids[Level.PATIENT], patient_of, instances_of_study, series_of_study, studies)
        for row in ids[Level.STUDY]:
            if row not in studies:
                self._unite(row)

    def _drop_from_patients(
        self,
        patients: Sequence[int],
        patient_of: Mapping[int, int],
        instances: Mapping[int, int],
        series: Mapping[int, int],
        studies: set[int],
    ) -> None:
        less = {row: [0, 0, 0] for row in patients}
        for study, patient in patient_of.items():
            less[patient][0] += instances.get(study, 0)
            less[patient][1] += series.get(study, 0)
            less[patient][2] += study in studies
        self._tx.many(_LESS[Level.PATIENT], [(*less[row], row) for row in patients])
        self._sweep(Level.PATIENT, patients)

    def _sweep(self, level: Level, ids: Sequence[int]) -> set[int]:
        """Remove those of these rows that have nothing below any more."""
        tx = self._tx
        skip = " FOR UPDATE SKIP LOCKED" if tx.for_update else ""
        empty = {row[0] for row in tx.rows_in(_EMPTY[level] + skip, list(ids))}
        if empty:
            empty -= {row[0] for row in tx.rows_in(_OCCUPIED[level], sorted(empty))}
        if empty:
            tx.many(_DROP_NESTED, [(int(level), row) for row in sorted(empty)])
            tx.many(_DROP[level], [(row,) for row in sorted(empty)])
            self._gone.rows[level] += len(empty)
        return empty

    def _unite(self, study: int) -> None:
        modalities = _joined(row[0] for row in self._tx.rows(_MODALITIES, (study,)))
        classes = _joined(row[0] for row in self._tx.rows(_CLASSES, (study,)))
        self._tx.run(_UNITE, (modalities, classes, study))

    # -- what remains to be said

    def _tally(self, pack: Row) -> None:
        end = self._member.end if self._told else 0
        gone = self._gone
        counted = Counter(json.loads(pack[1]))
        counted.subtract(gone.by_modality)
        by_modality = json.dumps({modality: count for modality, count in counted.items() if count})
        levels = (gone.rows[Level.PATIENT], gone.rows[Level.STUDY], gone.rows[Level.SERIES], gone.rows[Level.IMAGE])
        self._tx.run(
            _TALLY, (end, end, end, end, *levels, gone.conflicts, gone.notes, gone.bytes, by_modality, pack[0])
        )

    def _remember(self) -> bool:
        """Rows for undelete and for the curious. Whether the deletion is new to the index."""
        tx, tombstone = self._tx, self._tombstone
        found = tx.rows(_DELETION, (tombstone.id,))
        if not found:
            described = (tombstone.id, "deleted", int(tombstone.level), *_keys(tombstone), tombstone.at)
            row = (*described, tombstone.who, tombstone.address, tombstone.reason, 0, 0)
            tx.insert(schema.deletion, _DELETION_COLUMNS, [row], ("uid",))
        ref = tx.rows(_DELETION, (tombstone.id,))[0][0]
        known = {(row[0], row[1]) for row in tx.rows(_REMEMBERED, (ref,))}
        new = [one for one in tombstone.members if (one.member.pack, one.member.header_offset) not in known]
        if new:
            tx.insert(
                schema.deleted_member,
                _MEMBER_COLUMNS,
                [
                    (
                        ref,
                        one.member.pack,
                        one.member.header_offset,
                        one.member.offset,
                        one.member.length,
                        one.member.dataset_offset,
                        one.member.dataset_length,
                        bytes.fromhex(one.member.sha256),
                        one.study,
                        one.series,
                        one.sop_instance,
                    )
                    for one in new
                ],
                ("deletion_ref", "pack", "header_offset"),
            )
            tx.run(_MORE, (len(new), sum(one.member.dataset_length for one in new), ref))
        return not found


def remove(tx: Transaction, tombstone: Tombstone, member: Member, told: bool) -> None:
    """See `DeletionIndex.remove`."""
    Removal(tx, tombstone, member, told).run()


def restored(tx: Transaction, tombstone: Tombstone, member: Member, told: bool) -> None:
    """See `DeletionIndex.restored`."""
    pack = take_pack(tx, member.pack)
    end = member.end if told else 0
    tx.run(_TALLY, (end, end, end, end, 0, 0, 0, 0, 0, 0, 0, pack[1], pack[0]))
    for ref, state in tx.rows(_DELETION + tx.for_update, (tombstone.id,)):
        if state == "deleted":
            tx.run(_STATE, ("restored", ref))
            announce(tx, [("restored", *_keys(tombstone), tombstone.at, tombstone.who)])


def purged(tx: Transaction, deletion: str) -> None:
    """See `DeletionIndex.purged`."""
    for ref, state in tx.rows(_DELETION + tx.for_update, (deletion,)):
        if state == "deleted":
            tx.run(_STATE, ("purged", ref))


def take_pack(tx: Transaction, name: str) -> Row:
    """The row of a pack (id, by_modality), made where it is not there yet, held to the end of the transaction."""
    rows = tx.rows(_PACK + tx.for_update, (name,))
    if not rows:
        tx.insert(schema.pack, ("name", "state", "sha256"), [(name, "open", "")], ("name",))
        rows = tx.rows(_PACK + tx.for_update, (name,))
    return rows[0]


def _keys(tombstone: Tombstone) -> tuple[str, str, str]:
    return tombstone.study, tombstone.series, tombstone.sop_instance


def _joined(values: Iterable[Any]) -> str:
    return "\\".join(sorted({str(value) for value in values if value}))
