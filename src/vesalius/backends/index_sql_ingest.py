"""The hot path of the index: a batch of arrivals becomes rows in one transaction.

Theory. An instance is looked up by its UID, its series found or made (`index_sql_above`), its row inserted,
and it is counted, noted and announced: one outbox row each, so that nothing that was stored can go
unannounced, and `pack.indexed_to`, from which a crash is recovered, in the same transaction.

The same UID again (service-answers D15, D16): with a digest that is kept already it is a duplicate, and
nothing is written. With another one it is kept as a conflict copy beside the first, in the first one's
series, whatever it says itself: nobody sees it until somebody decides. Where the first is known to be
damaged, the same bytes again take its place and heal it.

Many writers. On SQLite the writers' lock is held from the first look on. On PostgreSQL two transactions may
make the same patient, study or series at once: the second INSERT waits for the first, does nothing, and the
row is looked up again. An instance that lost such a race raises `LostRace`, and the whole batch runs again
on what the winner left. To keep transactions from waiting for each other in circles, all go through packs,
levels and rows in the same order.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vesalius.backends import schema
from vesalius.backends.database import Row, Transaction
from vesalius.backends.index_sql_above import INSERT_NESTED, Above, Merged, SeriesKey, series_key
from vesalius.backends.outbox_sql import announce
from vesalius.backends.rows import INSTANCE_COLUMNS, PLACE_COLUMNS, instance_row, place_row
from vesalius.model.entities import Arrival, Level, Note, Verdict

_TAKEN = "SELECT sop_instance_uid FROM instance WHERE sop_instance_uid IN (?) AND rank = 0"
_KEPT = "SELECT rank, sha256, id, series_ref, damaged, pack_ref, file_offset FROM instance WHERE sop_instance_uid = ?"
_PACK = "SELECT id, by_modality FROM pack WHERE name = ?"
_COUNT_PACK = (
    "UPDATE pack SET indexed_to = CASE WHEN indexed_to < ? THEN ? ELSE indexed_to END, "
    "size = CASE WHEN size < ? THEN ? ELSE size END, members = members + ?, new_patients = new_patients + ?, "
    "new_studies = new_studies + ?, new_series = new_series + ?, new_instances = new_instances + ?, "
    "new_conflicts = new_conflicts + ?, new_notes = new_notes + ?, new_bytes = new_bytes + ?, by_modality = ? "
    "WHERE id = ?"
)
_HEAL = f"UPDATE instance SET damaged = 0, {', '.join(f'{name} = ?' for name in PLACE_COLUMNS)} WHERE id = ?"  # noqa: S608
_HEALED = "DELETE FROM damaged WHERE pack = (SELECT name FROM pack WHERE id = ?) AND file_offset = ?"
_NOTE = "INSERT INTO note (at, code, tag, text, study, series, sop_instance, sender) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"

_SOP_UID = 0x00080018


class LostRace(Exception):
    """Another process made an instance known between our look and our INSERT: begin again."""


@dataclass(slots=True)
class _Tally:
    """What a batch adds to the counters of one pack."""

    id: int
    by_modality: dict[str, int]
    end: int = 0
    members: int = 0
    new: list[int] = field(default_factory=lambda: [0, 0, 0, 0])  # by level
    conflicts: int = 0
    notes: int = 0
    bytes: int = 0


class Batch:
    """One run over one transaction. `merged` is to be remembered once it has committed."""

    def __init__(self, tx: Transaction, remembered: Mapping[SeriesKey, Merged]) -> None:
        self._tx = tx
        self._above = Above(tx, remembered, self._note)
        self._tallies: dict[str, _Tally] = {}
        self._notes: list[tuple[Any, ...]] = []
        self._outbox: list[tuple[Any, ...]] = []

    @property
    def merged(self) -> dict[SeriesKey, Merged]:
        """What was merged into which series."""
        return self._above.merged

    def run(self, arrivals: Sequence[Arrival]) -> list[Verdict]:
        """Everything, in the order that keeps transactions from waiting for each other in circles."""
        self._take_packs(arrivals)
        uids = [arrival.sop_instance for arrival in arrivals]
        taken = {row[0] for row in self._tx.rows_in(_TAKEN, list(dict.fromkeys(uids)))}
        fresh: list[int] = []
        beside: list[int] = []
        for position, uid in enumerate(uids):
            (beside if uid in taken else fresh).append(position)
            taken.add(uid)
        if fresh:
            self._store(sorted((arrivals[position] for position in fresh), key=_uid))
        verdicts = [Verdict.STORED] * len(uids)
        for position in beside:
            verdicts[position] = self._keep_beside(arrivals[position])
        self._write_packs()
        if self._notes:
            self._tx.many(_NOTE, self._notes)
        announce(self._tx, self._outbox)
        return verdicts

    # -- instances

    def _store(self, fresh: Sequence[Arrival]) -> None:
        """Instances whose UID was not known a moment ago."""
        homes = self._above.place(fresh)
        rows = [
            instance_row(arrival, home.series, 0, self._tallies[arrival.member.pack].id)
            for arrival, home in zip(fresh, homes, strict=True)
        ]
        ids = self._tx.insert(schema.instance, INSTANCE_COLUMNS, rows, ("sop_instance_uid", "rank"))
        if None in ids:
            raise LostRace
        self._above.count(fresh, homes)
        for level, arrival in self._above.made():
            self._tallies[arrival.member.pack].new[level] += 1
        nested = []
        for arrival, row in zip(fresh, ids, strict=True):
            record, tally = arrival.record, self._tallies[arrival.member.pack]
            tally.new[Level.IMAGE] += 1
            tally.bytes += arrival.member.dataset_length
            modality = str(record.series.get("modality") or "")
            tally.by_modality[modality] = tally.by_modality.get(modality, 0) + 1
            if record.nested:
                nested += [
                    (int(Level.IMAGE), row, value.sequence, value.item, value.tag, value.value)
                    for value in record.nested
                    if value.level is Level.IMAGE
                ]
            for note in record.notes:
                self._note(arrival, note)
            self._announce("stored", arrival)
        if nested:
            self._tx.many(INSERT_NESTED, nested)

    def _keep_beside(self, arrival: Arrival) -> Verdict:
        """An instance whose UID is known, from before or from this batch."""
        rows = sorted(self._tx.rows(_KEPT + self._tx.for_update, (arrival.sop_instance,)))
        digest = bytes.fromhex(arrival.member.sha256)
        same = next((row for row in rows if bytes(row[1]) == digest), None)
        if same is not None:
            if not same[4]:
                return Verdict.DUPLICATE
            self._heal(arrival, same)
            return Verdict.STORED
        tally = self._tallies[arrival.member.pack]
        row = instance_row(arrival, rows[0][3], rows[-1][0] + 1, tally.id)
        if self._tx.insert(schema.instance, INSTANCE_COLUMNS, [row], ("sop_instance_uid", "rank")) == [None]:
            raise LostRace
        tally.conflicts += 1
        tally.bytes += arrival.member.dataset_length
        for note in arrival.record.notes:
            self._note(arrival, note)
        text = "another instance with this SOP Instance UID and other content is kept; this one is kept beside it"
        self._note(arrival, Note("conflict", _SOP_UID, text))
        self._announce("conflict", arrival)
        return Verdict.CONFLICT

    def _heal(self, arrival: Arrival, row: Row) -> None:
        """The same bytes again, in place of a member that lost them."""
        self._tx.run(_HEAL, (*place_row(arrival, self._tallies[arrival.member.pack].id), row[2]))
        self._tx.run(_HEALED, (row[5], row[6]))
        text = "the kept copy was damaged; the same content came again and took its place"
        self._note(arrival, Note("healed", _SOP_UID, text))
        self._announce("stored", arrival)

    def _note(self, arrival: Arrival, note: Note) -> None:
        study, series = series_key(arrival)
        origin = arrival.provenance
        at, sender = origin.received_at, origin.calling_aet
        self._notes.append((at, note.code, note.tag, note.text, study, series, arrival.sop_instance, sender))
        self._tallies[arrival.member.pack].notes += 1

    def _announce(self, kind: str, arrival: Arrival) -> None:
        origin = arrival.provenance
        self._outbox.append((kind, *series_key(arrival), arrival.sop_instance, origin.received_at, origin.calling_aet))

    # -- packs

    def _take_packs(self, arrivals: Sequence[Arrival]) -> None:
        by_pack: dict[str, list[Arrival]] = defaultdict(list)
        for arrival in arrivals:
            by_pack[arrival.member.pack].append(arrival)
        for name in sorted(by_pack):
            rows = self._tx.rows(_PACK + self._tx.for_update, (name,))
            if not rows:
                self._tx.insert(schema.pack, ("name", "state", "sha256"), [(name, "open", "")], ("name",))
                rows = self._tx.rows(_PACK + self._tx.for_update, (name,))
            end = max(arrival.member.end for arrival in by_pack[name])
            self._tallies[name] = _Tally(rows[0][0], json.loads(rows[0][1]), end, len(by_pack[name]))

    def _write_packs(self) -> None:
        self._tx.many(
            _COUNT_PACK,
            [
                (
                    *(tally.end, tally.end, tally.end, tally.end, tally.members),
                    *tally.new,
                    *(tally.conflicts, tally.notes, tally.bytes, json.dumps(tally.by_modality), tally.id),
                )
                for tally in self._tallies.values()
            ],
        )


def _uid(arrival: Arrival) -> str:
    return arrival.sop_instance
