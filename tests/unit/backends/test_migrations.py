"""From nothing, or from an older schema, to this code's; never from a newer one."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from tests.support.postgres import PostgresServer
from tests.support.ris import Hospital

from vesalius.backends import migrations
from vesalius.backends.database import open_database
from vesalius.backends.migrations import runner
from vesalius.backends.ris_sql import SqlRis
from vesalius.backends.schema import FINGERPRINT, metadata
from vesalius.model.errors import SettingsError

_numbers = itertools.count(1)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/index.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    yield server.create(f"migrations_{next(_numbers)}")


def test_the_migrations_make_exactly_the_tables_of_the_schema(url: str) -> None:
    database = open_database(url)

    def differences(connection: sa.Connection) -> list[object]:
        options = {"compare_type": True, "compare_server_default": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    found = database.read(differences)
    database.close()
    assert found == [], "write a migration for what the attribute table or the schema changed"


def test_an_open_database_is_at_the_head_and_remembers_the_attribute_table(url: str) -> None:
    open_database(url).close()
    database = open_database(url)
    assert database.read(migrations.revision) == migrations.HEAD
    rows = database.lookup(lambda tx: tx.rows("SELECT value FROM meta WHERE key = 'attributes'"))
    database.close()
    assert [row[0] for row in rows] == [FINGERPRINT]


def test_the_head_is_the_newest_script_and_history_is_one_line() -> None:
    scripts = ScriptDirectory.from_config(runner.config())
    assert scripts.get_heads() == [migrations.HEAD]
    assert len(scripts.get_bases()) == 1


def test_a_database_of_a_newer_vesalius_is_refused_and_left_alone(url: str) -> None:
    database = open_database(url)
    database.write(lambda connection: connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    for _ in range(2):
        with pytest.raises(SettingsError, match="newer") as caught:
            open_database(url)
        assert caught.value.hint


def test_a_failed_upgrade_leaves_the_database_as_it_was(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = runner.upgrade

    def fail(connection: sa.Connection) -> None:
        real(connection)
        raise ZeroDivisionError

    monkeypatch.setattr(runner, "upgrade", fail)
    with pytest.raises(ZeroDivisionError):
        open_database(url)
    monkeypatch.undo()
    database = open_database(url, migrate=False)
    assert database.read(lambda connection: sa.inspect(connection).get_table_names()) == []
    database.close()


def test_processes_that_start_together_upgrade_once(url: str) -> None:
    code = "import sys; from vesalius.backends.database import open_database; open_database(sys.argv[1]).close()"
    processes = [subprocess.Popen([sys.executable, "-c", code, url]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]


def test_opening_an_upgraded_database_does_not_import_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/index.db"
    open_database(url).close()
    code = (
        "import sys; from vesalius.backends.database import open_database; open_database(sys.argv[1]).close(); "
        "sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, url], check=False).returncode == 0


def test_0008_finds_the_further_groups_of_names_that_were_kept_before(url: str) -> None:
    database = open_database(url)
    named = ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Doe^Jane", "=王^小东")
    hospital = Hospital(SqlRis(database))
    patients = [hospital.patient(name=name) for name in named]
    select = "SELECT patient, name FROM ris_patient_group ORDER BY patient, name"
    kept = [tuple(row) for row in database.lookup(lambda tx: tx.rows(select))]

    def as_before(connection: sa.Connection) -> None:
        connection.exec_driver_sql("ALTER TABLE instance DROP COLUMN xxh3")
        connection.exec_driver_sql("DROP TABLE ris_patient_group")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0007'")

    database.write(as_before)
    database.close()
    database = open_database(url)
    found = [tuple(row) for row in database.lookup(lambda tx: tx.rows(select))]
    database.close()
    assert found == kept
    assert [patient for patient, _ in found] == [patients[0].ref, patients[0].ref, patients[2].ref]
