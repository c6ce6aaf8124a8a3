"""What the index knows of deletions, and packs that moved: the short half of `index_sql_delete`."""

from __future__ import annotations

from collections.abc import Sequence

from vesalius.backends.database import Database, Row, Transaction
from vesalius.model.entities import Deletion, Level, Member, PackInfo, Removed

_KEPT = (
    "SELECT study.study_instance_uid, series.series_instance_uid, instance.sop_instance_uid, pack.name, "
    "instance.header_offset, instance.file_offset, instance.file_length, instance.dataset_offset, "
    "instance.dataset_length, instance.sha256 FROM study CROSS JOIN series CROSS JOIN instance CROSS JOIN pack "
    "WHERE series.study_ref = study.id AND instance.series_ref = series.id AND pack.id = instance.pack_ref "
    "AND study.study_instance_uid = ?"
)
_ORDER = " ORDER BY pack.name, instance.file_offset"
_DELETIONS = (
    "SELECT uid, state, level, study, series, sop_instance, at, who, address, reason, instances, bytes FROM deletion "
)
_MEMBERS = (
    "SELECT deleted_member.study, deleted_member.series, deleted_member.sop_instance, pack, header_offset, "
    "file_offset, file_length, dataset_offset, dataset_length, sha256 FROM deletion CROSS JOIN deleted_member "
    "WHERE deleted_member.deletion_ref = deletion.id AND deletion.uid = ? ORDER BY pack, header_offset"
)
_IS_DELETED = (
    "SELECT 1 FROM deleted_member CROSS JOIN deletion WHERE deletion.id = deleted_member.deletion_ref "
    "AND deletion.state = 'deleted' AND deleted_member.study = ?"
)
_PACKS = (
    "SELECT DISTINCT deleted_member.pack FROM deletion CROSS JOIN deleted_member "
    "WHERE deleted_member.deletion_ref = deletion.id AND deletion.state = 'deleted'"
)


def kept(database: Database, study: str, series: str, sop_instance: str) -> list[Removed]:
    """See `DeletionIndex.kept`."""
    sql, params = _KEPT, [study]
    for condition, value in (("series.series_instance_uid", series), ("instance.sop_instance_uid", sop_instance)):
        if value:
            sql += f" AND {condition} = ?"
            params.append(value)
    return [_removed(row) for row in database.lookup(lambda tx: tx.rows(sql + _ORDER, params))]


def deletions(database: Database, study: str, deletion: str, state: str, before: str, limit: int) -> list[Deletion]:
    """See `DeletionIndex.deletions`."""
    conditions, params = [], []
    for condition, value in (("study = ?", study), ("uid = ?", deletion), ("state = ?", state), ("at < ?", before)):
        if value:
            conditions.append(condition)
            params.append(value)
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    sql = f"{_DELETIONS}{where}ORDER BY id DESC LIMIT ?"
    rows = database.lookup(lambda tx: tx.rows(sql, (*params, limit)))
    return [Deletion(row[0], row[1], Level(row[2]), *row[3:]) for row in rows]


def deleted_members(database: Database, deletion: str) -> list[Removed]:
    """See `DeletionIndex.deleted_members`."""
    return [_removed(row) for row in database.lookup(lambda tx: tx.rows(_MEMBERS, (deletion,)))]


def is_deleted(database: Database, study: str, series: str, sop_instance: str) -> bool:
    """See `DeletionIndex.is_deleted`."""
    sql, params = _IS_DELETED, [study]
    for condition, value in (("series", series), ("sop_instance", sop_instance)):
        if value:
            sql += f" AND deleted_member.{condition} = ?"
            params.append(value)
    return bool(database.lookup(lambda tx: tx.rows(sql + " LIMIT 1", params)))


def packs_with_deleted(database: Database) -> set[str]:
    """See `DeletionIndex.packs_with_deleted`."""
    return {row[0] for row in database.lookup(lambda tx: tx.rows(_PACKS))}


def move_pack(tx: Transaction, old: str, new: PackInfo, moves: Sequence[tuple[Member, Member]]) -> None:
    """See `DeletionIndex.move_pack`.

    The old pack's row gets the new name, so that its counters and everything that refers to it stay. A row of the new
    name may be there from a recovery that met the pack first and found every instance known: it refers to nothing.
    """
    refs = {row[1]: row[0] for row in tx.rows_in("SELECT id, name FROM pack WHERE name IN (?)", [old, new.name])}
    if old not in refs:
        return
    if new.name in refs:
        tx.run("DELETE FROM pack WHERE id = ?", (refs[new.name],))
    ref = refs[old]
    goal = {before.offset: after for before, after in moves}
    rows = tx.rows(f"SELECT id, file_offset FROM instance WHERE pack_ref = ?{tx.for_update}", (ref,))  # noqa: S608
    tx.many(
        "UPDATE instance SET header_offset = ?, file_offset = ?, dataset_offset = ? WHERE id = ?",
        [
            (goal[offset].header_offset, goal[offset].offset, goal[offset].dataset_offset, row)
            for row, offset in rows
            if offset in goal
        ],
    )
    tx.run("DELETE FROM damaged WHERE pack = ?", (old,))
    tx.run("DELETE FROM pack_copy WHERE pack = ?", (old,))
    tx.run(
        "UPDATE pack SET name = ?, state = ?, indexed_to = ?, size = ?, members = ?, dead_bytes = ?, sha256 = ? "
        "WHERE id = ?",
        (new.name, new.state, new.size, new.size, new.members, new.dead_bytes, new.sha256, ref),
    )


def _removed(row: Row) -> Removed:
    member = Member(row[3], row[4], row[5], row[6], row[7], row[8], bytes(row[9]).hex())
    return Removed(row[0], row[1], row[2], member)
