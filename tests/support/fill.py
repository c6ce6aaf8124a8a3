"""Filling a volume under a living service, and emptying it again."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import raw_dicom as raw
from tests.support.ledger import Found, Ledger, check
from tests.support.load import Load, Sender, instance
from tests.support.raw_peer import RawScu
from tests.support.server import Server, start_server

OUT_OF_RESOURCES = 0xA700
BALLAST = "ballast"


@dataclass
class Filling:
    """What happened."""

    stored: int = 0
    refused: int = 0
    free_at_refusal: int = 0
    found: Found = field(default_factory=Found)


def watch_ready(server: Server, wanted: int, timeout: float = 10) -> str:
    """Until /ready has this status; gives its body."""
    end = time.monotonic() + timeout
    while True:
        status, body = server.get("/ready")
        if status == wanted:
            return body
        if time.monotonic() > end:
            raise AssertionError(f"/ready says {status} and never {wanted}: {body}")
        time.sleep(0.1)


def lives(server: Server, study: str | None = None) -> None:
    """C-ECHO, a query and a retrieve are answered as ever."""
    contexts = [
        (raw.VERIFICATION, [raw.IMPLICIT]),
        (raw.STUDY_FIND, [raw.IMPLICIT]),
        (raw.STUDY_GET, [raw.IMPLICIT]),
        (raw.CT, [raw.EXPLICIT]),
    ]
    with RawScu.associate(server.dimse_port, contexts, calling="WATCH", roles=[raw.CT]) as scu:
        assert scu.echo() == 0
        found = scu.find({0x00080052: "STUDY", 0x0020000D: study or ""})
        assert found[-1].status == 0
        if study is not None:
            assert len(found) == 2
            got = scu.get({0x00080052: "STUDY", 0x0020000D: study})
            assert got.status == 0
            assert got.kept


def free(volume: Path) -> int:
    """Bytes that are left."""
    found = os.statvfs(volume)
    return found.f_bavail * found.f_frsize


def fill(
    folder: Path,
    *,
    packs: Path,
    volume: Path,
    data: Path | None = None,
    associations: int = 4,
    by_files: bool = False,
    size: int = 300_000,
    log: Path | None = None,
    restart: bool = True,
) -> Filling:
    """Store until it is refused, look around, make room, and go on; then `restart`. Raises `AssertionError`."""
    report = Filling()
    ledger = Ledger(folder / "ledger")
    server = start_server(
        data or folder / "data",
        config=f'[store]\ndirectory = "{packs}"\npack_size = "8 MiB"\n',
        config_file=folder / "config.toml",
        log=log or folder / "server.log",
    )
    ballast = volume / BALLAST
    try:
        first = instance("first", 1, 1)
        before = Sender(server.dimse_port, ledger, iter([first]))
        before.run()
        assert before.stored == 1, f"a small volume is refused from the beginning: {before.statuses}"
        if by_files:
            _take_inodes(volume)
        elif packs.is_relative_to(volume):
            ballast.write_bytes(bytes(free(volume) // 3))
        else:
            ballast.write_bytes(bytes(free(volume) - (3 << 20)))
        load = Load(server.dimse_port, ledger, associations, label="fill", sizes=(size, 14_000))
        _until_refused(load)
        report.free_at_refusal = free(volume)
        # Refusals go on while nothing else suffers.
        load.run(1.0)
        _nothing_died(server)
        lives(server, first.study)
        watch_ready(server, 503)
        load.stop()
        report.stored, report.refused = load.stored, load.statuses[OUT_OF_RESOURCES]
        assert set(load.statuses) == {0, OUT_OF_RESOURCES}, load.statuses
        assert not any(sender.broken for sender in load.senders), "an association was lost"
        check(server, ledger, packs=packs, rebuilt=None)

        ballast.unlink(missing_ok=True)
        for path in volume.glob(f"{BALLAST}-*"):
            path.unlink()
        watch_ready(server, 200)
        again = Load(server.dimse_port, ledger, associations, label="again", sizes=(14_000,))
        again.wait_stored(2 * associations)
        again.stop()
        assert set(again.statuses) == {0}, again.statuses
        report.found = check(server, ledger, packs=packs, more_when_rebuilt=True, rebuilt=None)
        assert server.stop() == 0
        _nothing_died(server)

        if not restart:
            return report
        # And after a restart it is the same archive.
        server = start_server(
            data or folder / "data",
            config=f'[store]\ndirectory = "{packs}"\n',
            config_file=folder / "config.toml",
            log=log or folder / "server.log",
        )
        check(server, ledger, packs=packs, more_when_rebuilt=True)
        assert "Traceback" not in server.log_text(), server.log_text()[-4000:]
        assert server.stop() == 0
    finally:
        server.kill()
    return report


def _nothing_died(server: Server) -> None:
    text = server.log_text()
    for sign in ("process-ended", "Traceback"):
        assert sign not in text, f"{sign}: {text[text.index(sign) - 300 :][:4000]}"


def _until_refused(load: Load, timeout: float = 60) -> None:
    end = time.monotonic() + timeout
    while OUT_OF_RESOURCES not in load.statuses:
        if time.monotonic() > end or not any(sender.is_alive() for sender in load.senders):
            raise AssertionError(f"never refused: {load.statuses}")
        time.sleep(0.02)


def _take_inodes(volume: Path) -> None:
    """All but a few."""
    left = os.statvfs(volume).f_favail
    for number in range(max(0, left - 4)):
        (volume / f"{BALLAST}-{number}").touch()
