"""P12: the PostgreSQL server goes away under load, and comes back; or it is there and does not answer for a while."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fill import watch_ready
from tests.support.kills import CONFIG
from tests.support.ledger import Ledger, check
from tests.support.load import CONTEXTS, Load
from tests.support.postgres import PostgresServer, binaries, stop_server
from tests.support.postgres import start_server as start_postgres
from tests.support.raw_peer import RawScu
from tests.support.server import Server, start_server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

ROUNDS = 3
OUT_OF_RESOURCES = 0xA700


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """A server of its own: it is killed again and again."""
    if binaries() is None:
        pytest.skip("needs PostgreSQL's server programs (Debian: apt install postgresql)")
    server = start_postgres()
    yield server
    server.kill()
    stop_server(server)


def _serve(tmp_path: Path, url: str, workers: int = 2) -> Server:
    config = f'database = "{url}"\n' + CONFIG
    return start_server(tmp_path / "data", workers=workers, config=config, config_file=tmp_path / "config.toml")


@pytest.mark.parametrize("how", ["immediate", "kill"])
def test_no_success_without_a_commit_and_it_goes_on_by_itself(
    tmp_path: Path, postgres: PostgresServer, how: str
) -> None:
    ledger = Ledger(tmp_path / "ledger")
    url = postgres.create("away")
    server = _serve(tmp_path, url)
    refused = stored = 0
    try:
        for turn in range(ROUNDS):
            load = Load(server.dimse_port, ledger, 6, label=("away", how, turn))
            load.wait_stored(30)
            if how == "kill":
                postgres.kill()
            else:
                postgres.stop("immediate")
            before = load.stored
            end = time.monotonic() + 15
            while OUT_OF_RESOURCES not in load.statuses and time.monotonic() < end:
                time.sleep(0.02)
            load.run(1.0)
            # At most what was committed and not yet answered may still be acknowledged.
            assert load.stored - before <= 2 * 6, "instances are acknowledged without a database"
            watch_ready(server, 503)
            with RawScu.associate(server.dimse_port, CONTEXTS) as scu:
                assert scu.echo() == 0
            postgres.start()
            back = time.monotonic()
            load.wait_stored(load.stored + 30)
            print(f"stores again {time.monotonic() - back:.1f} s after the database is back")
            watch_ready(server, 200)
            load.stop()
            assert set(load.statuses) == {0, OUT_OF_RESOURCES}, load.statuses
            assert not any(sender.broken for sender in load.senders)
            refused += load.statuses[OUT_OF_RESOURCES]
            stored += load.stored
            check(server, ledger, rebuilt=None)
        found = check(server, ledger, rebuilt=url, more_when_rebuilt=True)
        print(f"{stored} stored, {refused} refused in {ROUNDS} rounds, {found}")
        assert "Traceback" not in server.log_text(), server.log_text()[-4000:]
        assert server.stop() == 0
    finally:
        server.kill()


def test_a_locked_table_delays_and_loses_nothing(tmp_path: Path, postgres: PostgresServer) -> None:
    ledger = Ledger(tmp_path / "ledger")
    url = postgres.create("locked")
    server = _serve(tmp_path, url)
    try:
        load = Load(server.dimse_port, ledger, 6, label="locked")
        load.wait_stored(20)
        sql = "BEGIN; LOCK TABLE instance IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(5); COMMIT;"
        subprocess.run([postgres.programs / "psql", url, "-qc", sql], check=True, capture_output=True)
        load.wait_stored(load.stored + 20)
        load.stop()
        assert set(load.statuses) <= {0, OUT_OF_RESOURCES}
        assert max(sender.slowest for sender in load.senders) >= 4
        check(server, ledger, rebuilt=url)
        assert server.stop() == 0
    finally:
        server.kill()


def test_a_service_that_starts_before_its_database_says_so_and_does_not_serve(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    url = postgres.create("late")
    postgres.stop("immediate")
    config = f'database = "{url}"\n'
    with pytest.raises(AssertionError, match=r"serve ended with [1-9]"):
        start_server(tmp_path / "data", config=config, config_file=tmp_path / "config.toml")
    postgres.start()
    server = start_server(tmp_path / "data", config=config, config_file=tmp_path / "config.toml")
    assert server.stop() == 0
