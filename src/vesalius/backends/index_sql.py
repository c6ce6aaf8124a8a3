"""The index in a SQL database: `ports.index.Index` over `backends.database.Database`.

Theory. This module only joins the parts: `index_sql_ingest` writes arrivals, `query_sql` answers questions,
`index_sql_select` finds instances for retrieval, `peers_sql` keeps peers; packs and their copies are short
enough to stand here. What the packs can tell again is written without waiting for the disk, everything else
durably (see `database`).

`indexed_to` of a pack only ever grows, by arrivals and by `save_pack` alike: the store of bytes does not know
how far the index has come and says 0.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from vesalius.backends import (
    index_sql_delete,
    index_sql_deletions,
    index_sql_select,
    outbox_sql,
    peers_sql,
    query_sql,
    schema,
)
from vesalius.backends.database import Database, Transaction, upsert
from vesalius.backends.index_sql_above import Merged, SeriesKey
from vesalius.backends.index_sql_ingest import Batch, LostRace
from vesalius.model.attributes import FINGERPRINT
from vesalius.model.entities import (
    Arrival,
    CopyInfo,
    Deletion,
    Event,
    Level,
    Member,
    PackInfo,
    Peer,
    Removed,
    StoredInstance,
    Tombstone,
    Totals,
    Verdict,
)
from vesalius.model.errors import IndexUnavailable
from vesalius.model.query import Match, Query

# Series whose merged values a process remembers; a few kilobytes each.
REMEMBERED_SERIES = 2000
# Runs of a batch that lost a race each time; every run leaves fewer instances to lose.
ATTEMPTS = 10

_KNOWN = (
    "SELECT instance.sop_instance_uid, instance.sha256, study.study_instance_uid "
    "FROM instance CROSS JOIN series CROSS JOIN study WHERE series.id = instance.series_ref "
    "AND study.id = series.study_ref AND instance.rank = 0 AND instance.damaged = 0 "
    "AND instance.sop_instance_uid IN (?)"
)
_PACK_COLUMNS = "name, state, indexed_to, size, members, dead_bytes, sha256"
_TOTALS = (
    "SELECT COUNT(*), COALESCE(SUM(new_patients), 0), COALESCE(SUM(new_studies), 0), COALESCE(SUM(new_series), 0), "
    "COALESCE(SUM(new_instances), 0), COALESCE(SUM(new_bytes), 0), COALESCE(SUM(new_conflicts), 0), "
    "COALESCE(SUM(new_notes), 0) FROM pack"
)
# Children first: references point up.
TOLD_AGAIN = (
    schema.deleted_member,
    schema.deletion,
    schema.nested,
    schema.instance,
    schema.series,
    schema.study,
    schema.patient,
    schema.note,
    schema.outbox,
    schema.damaged,
    schema.pack_copy,
    schema.pack,
)
_NOTE_COLUMNS = ("at", "code", "tag", "text", "study", "series", "sop_instance", "sender")


class SqlIndex:
    """Implements `ports.index.Index`. Thread-safe; open one in each process, after forks."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered: dict[SeriesKey, Merged] = {}

    @property
    def at_once(self) -> bool:
        """See `Index.at_once`."""
        return self._database.at_once

    # -- instances

    def known(self, sop_instances: Sequence[str]) -> dict[str, tuple[str, str]]:
        """See `Index.known`. A damaged instance is not known, so that the same bytes may heal it."""
        rows = self._database.lookup(lambda tx: tx.rows_in(_KNOWN, sop_instances)) if sop_instances else ()
        return {row[0]: (bytes(row[1]).hex(), row[2]) for row in rows}

    def ingest(self, batch: Sequence[Arrival]) -> list[Verdict]:
        """See `Index.ingest`."""
        if not batch:
            return []

        def work(tx: Transaction) -> tuple[list[Verdict], dict[SeriesKey, Merged]]:
            run = Batch(tx, self._remembered)
            return run.run(batch), run.merged

        for _ in range(ATTEMPTS):
            try:
                verdicts, merged = self._database.transaction(work, durable=False)
            except LostRace:
                continue
            if merged:
                self._remember(merged)
            return verdicts
        raise IndexUnavailable("the index is too busy: other processes were first each time", hint="send it again")

    def _remember(self, merged: dict[SeriesKey, Merged]) -> None:
        # A new dict instead of a changed one: another thread may be reading.
        kept = self._remembered if len(self._remembered) < REMEMBERED_SERIES else {}
        self._remembered = kept | merged

    def find(self, query: Query) -> Iterator[list[Match]]:
        """See `Index.find`."""
        return query_sql.find(self._database, query)

    def find_at_once(self, query: Query) -> list[Match] | None:
        """See `Index.find_at_once`."""
        return query_sql.find_at_once(self._database, query)

    def select(
        self,
        level: Level,
        *,
        patient_id: str | None = None,
        studies: Sequence[str] = (),
        series: Sequence[str] = (),
        instances: Sequence[str] = (),
    ) -> Iterator[StoredInstance]:
        """See `Index.select`. Without any key: everything."""
        return index_sql_select.select(self._database, patient_id, studies, series, instances)

    def versions(self, study: str, series: str | None = None) -> dict[str, str]:
        """See `Index.versions`."""
        return index_sql_select.versions(self._database, study, series)

    def events(self, since: int, limit: int = 1000) -> list[Event]:
        """See `Index.events`."""
        return outbox_sql.events(self._database, since, limit)

    def last_event(self) -> int:
        """See `Index.last_event`."""
        return outbox_sql.last_event(self._database)

    # -- deletion

    def kept(self, study: str, series: str = "", sop_instance: str = "") -> list[Removed]:
        """See `DeletionIndex.kept`."""
        return index_sql_deletions.kept(self._database, study, series, sop_instance)

    def remove(self, tombstone: Tombstone, member: Member, *, told: bool = True) -> None:
        """See `DeletionIndex.remove`."""
        self._database.transaction(lambda tx: index_sql_delete.remove(tx, tombstone, member, told), durable=True)

    def restored(self, tombstone: Tombstone, member: Member, *, told: bool = True) -> None:
        """See `DeletionIndex.restored`."""
        self._database.transaction(lambda tx: index_sql_delete.restored(tx, tombstone, member, told), durable=True)

    def purged(self, deletion: str) -> None:
        """See `DeletionIndex.purged`."""
        self._database.transaction(lambda tx: index_sql_delete.purged(tx, deletion), durable=True)

    def deletions(
        self, *, study: str = "", deletion: str = "", state: str = "", before: str = "", limit: int = 1000
    ) -> list[Deletion]:
        """See `DeletionIndex.deletions`."""
        return index_sql_deletions.deletions(self._database, study, deletion, state, before, limit)

    def deleted_members(self, deletion: str) -> list[Removed]:
        """See `DeletionIndex.deleted_members`."""
        return index_sql_deletions.deleted_members(self._database, deletion)

    def is_deleted(self, study: str, series: str = "", sop_instance: str = "") -> bool:
        """See `DeletionIndex.is_deleted`."""
        return index_sql_deletions.is_deleted(self._database, study, series, sop_instance)

    def packs_with_deleted(self) -> set[str]:
        """See `DeletionIndex.packs_with_deleted`."""
        return index_sql_deletions.packs_with_deleted(self._database)

    def move_pack(self, old: str, new: PackInfo, moves: Sequence[tuple[Member, Member]]) -> None:
        """See `DeletionIndex.move_pack`."""
        self._database.transaction(lambda tx: index_sql_deletions.move_pack(tx, old, new, moves), durable=True)

    # -- members

    def members(self, pack: str | None = None) -> Iterator[tuple[StoredInstance, str]]:
        """See `Index.members`; the state is "current", "conflict" or "damaged"."""
        return index_sql_select.members(self._database, pack)

    def mark_damaged(self, member: Member, place: str, damaged: bool) -> None:
        """See `Index.mark_damaged`. `place` is "" for the primary."""
        key = {"pack": member.pack, "file_offset": member.offset, "place": place}
        ref = sa.select(schema.pack.c.id).where(schema.pack.c.name == member.pack).scalar_subquery()
        here = (schema.instance.c.pack_ref == ref) & (schema.instance.c.file_offset == member.offset)

        def write(connection: sa.Connection) -> None:
            if damaged:
                upsert(connection, schema.damaged, key)
            else:
                same = [schema.damaged.c[name] == value for name, value in key.items()]
                connection.execute(sa.delete(schema.damaged).where(*same))
            if not place:
                connection.execute(sa.update(schema.instance).where(here).values(damaged=int(damaged)))

        self._database.write(write)

    def damaged(self) -> list[tuple[str, int, str]]:
        """See `Index.damaged`."""
        sql = "SELECT pack, file_offset, place FROM damaged ORDER BY pack, file_offset, place"
        return [(row[0], row[1], row[2]) for row in self._database.lookup(lambda tx: tx.rows(sql))]

    # -- packs and copies

    def packs(self) -> list[PackInfo]:
        """See `Index.packs`; by name."""
        sql = f"SELECT {_PACK_COLUMNS} FROM pack ORDER BY name"  # noqa: S608 - a constant
        return [PackInfo(*row) for row in self._database.lookup(lambda tx: tx.rows(sql))]

    def save_pack(self, pack: PackInfo) -> None:
        """See `Index.save_pack`, durably; `indexed_to` never goes back."""
        table = schema.pack
        values: dict[str, Any] = {
            "state": pack.state,
            "size": pack.size,
            "members": pack.members,
            "dead_bytes": pack.dead_bytes,
            "sha256": pack.sha256,
        }
        # MAX(a, b) is SQLite's alone, GREATEST PostgreSQL's: CASE is everyone's.
        later = sa.case((table.c.indexed_to < pack.indexed_to, pack.indexed_to), else_=table.c.indexed_to)
        update = sa.update(table).where(table.c.name == pack.name).values(**values, indexed_to=later)

        def write(connection: sa.Connection) -> None:
            if connection.execute(update).rowcount == 0:
                connection.execute(sa.insert(table).values(name=pack.name, indexed_to=pack.indexed_to, **values))

        self._database.write(write)

    def copies(self, place: str | None = None) -> list[CopyInfo]:
        """See `Index.copies`."""
        table = schema.pack_copy
        statement = sa.select(table).order_by(table.c.pack, table.c.place)
        if place is not None:
            statement = statement.where(table.c.place == place)
        return self._database.read(lambda connection: [CopyInfo(*row) for row in connection.execute(statement)])

    def save_copy(self, copy: CopyInfo) -> None:
        """See `Index.save_copy`, durably."""
        values = {
            "pack": copy.pack,
            "place": copy.place,
            "copied_to": copy.copied_to,
            "verified_at": copy.verified_at,
        }
        self._database.write(lambda connection: upsert(connection, schema.pack_copy, values))

    # -- peers

    def peers(self) -> list[Peer]:
        """See `Index.peers`."""
        return peers_sql.all_peers(self._database)

    def save_peer(self, peer: Peer) -> None:
        """See `Index.save_peer`."""
        peers_sql.save(self._database, peer)

    def remove_peer(self, name: str) -> bool:
        """See `Index.remove_peer`."""
        return peers_sql.remove(self._database, name)

    # -- the whole

    def totals(self) -> Totals:
        """See `Index.totals`: sums over the packs, whose counters each arrival advances."""

        def read(tx: Transaction) -> Totals:
            packs, patients, studies, series, instances, kept, conflicts, notes = tx.rows(_TOTALS)[0]
            by_modality: Counter[str] = Counter()
            for row in tx.rows("SELECT by_modality FROM pack"):
                by_modality.update(json.loads(row[0]))
            made = Totals(patients, studies, series, instances, int(kept), conflicts, notes, packs, dict(by_modality))
            for name in ("patients", "studies", "series", "instances", "conflicts", "notes"):
                setattr(made, name, int(getattr(made, name)))  # PostgreSQL sums bigint as numeric
            return made

        return self._database.lookup(read)

    def notes(self, study: str | None = None, limit: int = 1000) -> list[dict[str, str]]:
        """See `Index.notes`; the tag as 8 hex digits."""
        table = schema.note
        statement = sa.select(*(table.c[name] for name in _NOTE_COLUMNS)).order_by(table.c.id.desc()).limit(limit)
        if study is not None:
            statement = statement.where(table.c.study == study)

        def read(connection: sa.Connection) -> list[dict[str, str]]:
            rows = connection.execute(statement).mappings()
            return [{**row, "tag": f"{row['tag']:08X}"} for row in rows]

        return self._database.read(read)

    def outdated(self) -> bool:
        """See `Index.outdated`."""
        statement = sa.select(schema.meta.c.value).where(schema.meta.c.key == "attributes")
        found = self._database.read(lambda connection: connection.execute(statement).scalar())
        return found is not None and found != FINGERPRINT

    def clear(self) -> None:
        """See `Index.clear`, durably. What is written from here on follows this code's attribute table."""

        def write(connection: sa.Connection) -> None:
            for table in TOLD_AGAIN:
                connection.execute(sa.delete(table))
            upsert(connection, schema.meta, {"key": "attributes", "value": FINGERPRINT})

        self._database.write(write)
        self._remembered = {}

    def optimise(self) -> None:
        """See `Index.optimise`."""
        self._database.optimise()

    def ping(self) -> None:
        """See `Index.ping`."""
        self._database.lookup(lambda tx: tx.rows("SELECT 1"))

    def close(self) -> None:
        """See `Index.close`."""
        self._database.close()
