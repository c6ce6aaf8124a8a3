"""The promise ledger, and the checker that holds the archive to it.

A sender writes down each instance before it is sent, and each acknowledgement, synced to a file of its own, before
the next request goes out. Whatever happened to the machine afterwards, `check` then asks the living server and looks at
its files:

- every acknowledged instance is found by C-FIND at every level and comes back by C-GET equal to the last byte;
- nothing is there that was never sent, and nothing is there with other bytes than were sent;
- the counts of patients, studies and series are those of the instances that are there;
- each pack is a tar archive that Python's `tarfile` reads to its end, with nothing behind it;
- no temporary file is left, and an index rebuilt from the packs alone equals the living one.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import tarfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa

from tests.support import raw_dicom as raw
from tests.support.raw_peer import PATIENT_ROOT, RawScu
from tests.support.server import Server, vesalius

STUDY, SERIES, SOP, PATIENT = 0x0020000D, 0x0020000E, 0x00080018, 0x00100020
OF_PATIENT, OF_STUDY, OF_SERIES = 0x00201204, 0x00201208, 0x00201209
SERIES_OF_STUDY = 0x00201206


class Sent(Protocol):
    """What is known of an instance that was sent."""

    @property
    def uid(self) -> str: ...
    @property
    def study(self) -> str: ...
    @property
    def series(self) -> str: ...
    @property
    def patient_id(self) -> str: ...
    @property
    def sha256(self) -> str: ...


@dataclass(frozen=True)
class Promise:
    """An acknowledged instance."""

    uid: str
    study: str
    series: str
    patient_id: str
    sha256: str
    at: float  # monotonic


class Page:
    """The ledger of one sender: a file that it alone writes."""

    def __init__(self, ledger: Ledger, path: Path) -> None:
        self._ledger = ledger
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def sent(self, one: Sent) -> None:
        """This is about to be sent."""
        self._ledger.attempts[one.uid].add(one.sha256)

    def acknowledged(self, one: Sent) -> None:
        """Success was answered."""
        promise = Promise(one.uid, one.study, one.series, one.patient_id, one.sha256, time.monotonic())
        os.write(self._fd, json.dumps(promise.__dict__).encode() + b"\n")
        os.fsync(self._fd)

    def __del__(self) -> None:
        os.close(self._fd)


class Ledger:
    """All promises of a test, in a folder that no fault touches."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.attempts: dict[str, set[str]] = defaultdict(set)  # SOP Instance UID -> digests that were sent
        self.dark: list[tuple[float, float]] = []  # when the power was off: nobody can have promised anything then
        self._pages = 0
        self._lock = threading.Lock()

    def page(self) -> Page:
        """A page for one more sender."""
        with self._lock:
            self._pages += 1
            return Page(self, self.folder / f"page-{self._pages}.jsonl")

    def promises(self) -> list[Promise]:
        """What was promised, as the files have it."""
        return [one for one in self._lines() if not self._in_the_dark(one)]

    def promised_in_the_dark(self) -> list[Promise]:
        """What a service that lived a moment longer than its disk still said yes to."""
        return [one for one in self._lines() if self._in_the_dark(one)]

    def _lines(self) -> Iterator[Promise]:
        for path in sorted(self.folder.glob("page-*.jsonl")):
            for line in path.read_text().splitlines():
                yield Promise(**json.loads(line))

    def _in_the_dark(self, one: Promise) -> bool:
        return any(start <= one.at < end for start, end in self.dark)


@dataclass
class Found:
    """What the checker met."""

    promised: int = 0
    instances: int = 0  # that the archive shows
    unpromised: int = 0  # ... of which nobody was told: allowed
    after_the_cut: int = 0  # acknowledged by a service that outlived its disk
    lost_after_the_cut: int = 0
    fetched: int = 0
    packs: int = 0
    members: int = 0  # in the packs, dead ones included
    by_study: dict[str, dict[str, set[str]]] = field(default_factory=dict, repr=False)


def check(
    server: Server,
    ledger: Ledger,
    *,
    packs: Path | None = None,
    rebuilt: str | None = "",
    fetch: bool = True,
    damaged: Iterable[str] = (),
    more_when_rebuilt: bool = False,
) -> Found:
    """Hold the archive to its promises. Raises `AssertionError`.

    `rebuilt`: the URL of the living index to compare with one made anew; "" is SQLite in the data directory, None
    leaves the comparison out. `damaged`: instances that may be refused. `more_when_rebuilt`: a new index may know
    instances of which no sender was told, and another one of two equal copies.
    """
    folder = packs or server.data / "packs"
    promises = ledger.promises()
    found = Found(promised=len({(p.uid, p.sha256) for p in promises}))
    contents = _check_packs(folder, ledger, promises, found)
    with RawScu.associate(
        server.dimse_port,
        [
            (raw.STUDY_FIND, [raw.IMPLICIT]),
            (PATIENT_ROOT["find"], [raw.IMPLICIT]),
            (raw.STUDY_GET, [raw.IMPLICIT]),
            (raw.CT, [raw.EXPLICIT]),
        ],
        calling="CHECKER",
        roles=[raw.CT],
        timeout=60,
    ) as scu:
        _check_find(scu, ledger, promises, found)
        if fetch:
            _check_get(scu, ledger, contents, found, set(damaged))
    if rebuilt is not None:
        _check_rebuilt(server, folder, rebuilt or f"sqlite:///{server.data / 'index.db'}", more_when_rebuilt)
    return found


def _rows(scu: RawScu, keys: dict[int, str], sop_class: str = raw.STUDY_FIND) -> Iterator[dict[int, str]]:
    messages = scu.find(keys, sop_class)
    assert messages[-1].status == 0, f"C-FIND ended with {messages[-1].status:04X}"
    for message in messages[:-1]:
        elements = raw.parse_elements(message.dataset)
        yield {tag: value.decode("ascii").rstrip(" \0") for tag, value in elements.items()}


def _check_find(scu: RawScu, ledger: Ledger, promises: list[Promise], found: Found) -> None:
    by_patient: dict[str, int] = defaultdict(int)
    seen: dict[str, tuple[str, str, str]] = {}
    level = 0x00080052
    for study in _rows(scu, {level: "STUDY", STUDY: "", PATIENT: "", SERIES_OF_STUDY: "", OF_STUDY: ""}):
        of_study = found.by_study.setdefault(study[STUDY], {})
        for series in _rows(scu, {level: "SERIES", STUDY: study[STUDY], SERIES: "", OF_SERIES: ""}):
            images = list(_rows(scu, {level: "IMAGE", STUDY: study[STUDY], SERIES: series[SERIES], SOP: ""}))
            of_study[series[SERIES]] = {image[SOP] for image in images}
            assert len(images) == int(series[OF_SERIES]), f"series {series[SERIES]}: {series[OF_SERIES]} counted"
            assert images, f"series {series[SERIES]} is empty"
            seen |= {image[SOP]: (study[PATIENT], study[STUDY], series[SERIES]) for image in images}
        total = sum(map(len, of_study.values()))
        assert len(of_study) == int(study[SERIES_OF_STUDY]), f"study {study[STUDY]}: {study[SERIES_OF_STUDY]} series"
        assert total == int(study[OF_STUDY]), f"study {study[STUDY]}: {study[OF_STUDY]} counted, {total} found"
        assert total, f"study {study[STUDY]} is empty"
        by_patient[study[PATIENT]] += total
    patients = list(_rows(scu, {level: "PATIENT", PATIENT: "", OF_PATIENT: ""}, PATIENT_ROOT["find"]))
    assert {row[PATIENT]: int(row[OF_PATIENT]) for row in patients} == dict(by_patient)
    assert len(patients) == len(by_patient), "a patient has two rows"
    lost = [p for p in promises if seen.get(p.uid) != (p.patient_id, p.study, p.series)]
    assert not lost, f"LOST: {len(lost)} of {len(promises)} acknowledged instances are not found, such as {lost[0]}"
    unknown = [uid for uid in seen if uid not in ledger.attempts]
    assert not unknown, f"{len(unknown)} instances were never sent, such as {unknown[0]}"
    dark = ledger.promised_in_the_dark()
    found.after_the_cut = len(dark)
    found.lost_after_the_cut = sum(p.uid not in seen for p in dark)
    found.instances = len(seen)
    found.unpromised = len(seen.keys() - {p.uid for p in promises})


def _check_get(scu: RawScu, ledger: Ledger, contents: dict[str, list[str]], found: Found, damaged: set[str]) -> None:
    level = 0x00080052
    for study, of_study in found.by_study.items():
        expected = set().union(*of_study.values())
        got = scu.get({level: "STUDY", STUDY: study})
        assert expected - {one.sop_instance for one in got.kept} <= damaged, (
            f"C-GET of {study}: {len(got.kept)} of {len(expected)}, status {got.status:04X}"
        )
        for one in got.kept:
            digest = hashlib.sha256(one.dataset).hexdigest()
            assert digest in ledger.attempts[one.sop_instance], f"{one.sop_instance} came back with other bytes"
            assert digest in contents[one.sop_instance]
        found.fetched += len(got.kept)


def dataset_in(file: bytes) -> bytes:
    """The data set of a DICOM file (PS3.10 7.1): behind the file meta information, whose length comes first."""
    assert file[:132] == bytes(128) + b"DICM", "a member is no DICOM file"
    return file[144 + int.from_bytes(file[140:144], "little") :]


def members_of(path: Path) -> list[tuple[str, str]]:
    """(SOP Instance UID, digest of the data set) of every member of a pack, read as any other tar archive."""
    found = []
    with tarfile.open(path, "r:", ignore_zeros=False) as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            found.append((Path(member.name).stem, hashlib.sha256(dataset_in(file.read())).hexdigest()))
        end = tar.offset
    with path.open("rb") as raw_file:
        raw_file.seek(end)
        while piece := raw_file.read(1 << 20):
            assert not piece.strip(b"\0"), f"{path.name}: bytes behind the end of the archive at {end}"
    return found


def _check_leftovers(folder: Path, patience: float = 15) -> None:
    """Nothing temporary stays. A pack that is being sealed right now has such a file for a moment."""
    end = time.monotonic() + patience
    known = (".tar", ".index.jsonl", ".left", ".suspect")
    while strange := [path.name for path in folder.iterdir() if not path.name.endswith(known)]:
        assert time.monotonic() < end, f"left over: {strange}"
        time.sleep(0.1)


def _check_packs(folder: Path, ledger: Ledger, promises: list[Promise], found: Found) -> dict[str, list[str]]:
    contents: dict[str, list[str]] = defaultdict(list)
    _check_leftovers(folder)
    for path in sorted(folder.iterdir()):
        if path.suffix != ".tar" or path.stat().st_size == 0:
            continue
        found.packs += 1
        for uid, digest in members_of(path):
            assert digest in ledger.attempts.get(uid, ()), f"{path.name} holds bytes of {uid} that were never sent"
            contents[uid].append(digest)
            found.members += 1
    lost = [p for p in promises if p.sha256 not in contents.get(p.uid, ())]
    assert not lost, f"LOST: the bytes of {len(lost)} acknowledged instances are in no pack, such as {lost[0]}"
    return contents


# -- the index made anew ------------------------------------------------------------------------------------------


def _check_rebuilt(server: Server, packs: Path, url: str, more: bool) -> None:
    fresh = server.data.parent / f"{server.data.name}-rebuilt-{time.monotonic_ns()}"
    vesalius("reindex", "--json", data=fresh, VESALIUS_STORE_DIRECTORY=str(packs), timeout=600)
    living, again = dump(url), dump(f"sqlite:///{fresh / 'index.db'}")
    if more:
        missing = _contents(living) - _contents(again)
        assert not missing, f"{len(missing)} instances are not in the index made anew"
        return
    for table, rows in living.items():
        if rows != again[table]:
            missing = [row for row in rows if row not in again[table]]
            surplus = [row for row in again[table] if row not in rows]
            raise AssertionError(
                f"table {table}: the living index has {len(rows)} rows, the one made anew {len(again[table])}; "
                f"only living {missing[:2]}, only anew {surplus[:2]}"
            )


def _contents(tables: dict[str, list[tuple[Any, ...]]]) -> set[tuple[str, bytes]]:
    rows = map(dict, tables["instance"])
    return {(row["sop_instance_uid"], row["sha256"]) for row in rows}


def dump(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Patients, studies, series, instances, nested values and notes of an index, without the ids of its rows."""
    engine = sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(url.removeprefix("sqlite:///")))
    if not url.startswith("sqlite"):
        from vesalius.backends.database import open_database

        database = open_database(url, migrate=False)
        try:
            return database.read(_dump)
        finally:
            database.close()
    with engine.connect() as connection:
        try:
            return _dump(connection)
        finally:
            connection.close()
            engine.dispose()


_KEYS = {"patient": "identity", "study": "study_instance_uid", "series": "series_instance_uid"}
_REFERENCES = {"patient_ref": "patient", "study_ref": "study", "series_ref": "series", "pack_ref": "pack"}
_LEVELS = {0: "patient", 1: "study", 2: "series", 3: "instance"}


def _dump(connection: sa.Connection) -> dict[str, list[tuple[Any, ...]]]:
    names: dict[str, dict[int, str]] = {}
    tables: dict[str, list[tuple[Any, ...]]] = {}
    for row in connection.execute(sa.text("SELECT id, name FROM pack")).all():
        names.setdefault("pack", {})[row[0]] = row[1]
    names.setdefault("pack", {})
    for table in ("patient", "study", "series", "instance", "note"):
        result = connection.execute(sa.text(f"SELECT * FROM {table}"))
        columns = list(result.keys())
        rows = []
        for values in result.mappings().all():
            key = values.get(_KEYS.get(table, "sop_instance_uid")) if table != "note" else None
            if table != "note":
                names.setdefault(table, {})[values["id"]] = f"{key}/{values.get('rank', '')}"
            rows.append(
                tuple(
                    (
                        column,
                        _plain(names[_REFERENCES[column]][values[column]] if column in _REFERENCES else values[column]),
                    )
                    for column in columns
                    if column != "id"
                )
            )
        tables[table] = sorted(rows, key=repr)
    nested = connection.execute(sa.text("SELECT level, owner, sequence, item, tag, value FROM nested")).all()
    tables["nested"] = sorted(
        ((*(row[:1]), names.get(_LEVELS.get(row[0], ""), {}).get(row[1], str(row[1])), *row[2:]) for row in nested),
        key=repr,
    )
    return tables


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, (bytes, memoryview)) else value
