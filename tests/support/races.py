"""The same SOP Instance UID from many associations at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.ledger import Found, Ledger, check, dump
from tests.support.load import Instance, Load, instance
from tests.support.server import Server, start_server, vesalius


@dataclass
class Report:
    """What the races came to."""

    races: int = 0
    acknowledged: int = 0
    conflicts: int = 0
    found: Found = field(default_factory=Found)


def race(
    folder: Path,
    *,
    associations: int,
    races: int,
    workers: int,
    same_content: bool,
    sizes: tuple[int, ...] = (14_000, 400_000),
    database: str = "",
) -> Report:
    """All associations send one UID at once, then the next. Raises `AssertionError`."""
    ledger = Ledger(folder / "ledger")
    config = f'database = "{database}"\n' if database else ""
    server = start_server(folder / "data", workers=workers, config=config, config_file=folder / "config.toml")
    try:
        start = threading.Barrier(associations, timeout=60)

        def contents(sender: int) -> Iterator[Instance]:
            for n in range(races):
                start.wait()
                seed = "same" if same_content else sender
                yield instance(("race", n // 3), 1, n, seed=seed, size=sizes[n % len(sizes)])

        load = Load(server.dimse_port, ledger, associations, make=contents)
        for sender in load.senders:
            sender.join(300)
        load.stop()
        assert load.statuses == {0: races * associations}, load.statuses
        report = Report(races, load.stored)
        # Which of two contents stays current is settled by the index and may be the other one in an index made anew.
        report.found = check(server, ledger, rebuilt=(database or "") if same_content else None, more_when_rebuilt=True)
        assert report.found.instances == races
        url = database or f"sqlite:///{server.data / 'index.db'}"
        report.conflicts = _conflicts(server, url, races, 1 if same_content else associations)
        assert server.stop() == 0
        assert "Traceback" not in server.log_text(), server.log_text()[-4000:]
    finally:
        server.kill()
    return report


def _conflicts(server: Server, url: str, races: int, contents: int) -> int:
    """Each content is kept once: one current, the others beside it. Gives the number of the others."""
    rows = [dict(row) for row in dump(url)["instance"]]
    kept = {(row["sop_instance_uid"], bytes(row["sha256"])) for row in rows}
    assert len(kept) == len(rows), "the same bytes are kept twice under one UID"
    assert len(rows) == races * contents, f"{len(rows)} rows for {races} UIDs with {contents} contents each"
    current = [row["sop_instance_uid"] for row in rows if row["rank"] == 0]
    assert len(current) == len(set(current)) == races, "a UID has no current instance, or two"
    if contents > 1:
        notes = vesalius("notes", "--json", data=server.data, VESALIUS_DATABASE=url).stdout
        assert notes.count("conflict") >= races, notes[:500]
    return len(rows) - races
