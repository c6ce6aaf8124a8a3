"""A private PostgreSQL server for tests, from Debian's binaries: temporary directory, own socket, free port."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.ports import free_port

_START_TIMEOUT_S = "240"


def binaries() -> Path | None:
    """The newest installed PostgreSQL server's programs."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(found, key=lambda path: int(path.parent.name.split(".")[0]), default=None)


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running cluster."""

    programs: Path
    home: Path  # holds the cluster and the socket
    port: int

    @property
    def _data(self) -> Path:
        return self.home / "data"

    def url(self, database: str = "postgres") -> str:
        """A URL that Vesalius takes as its `database` setting."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create(self, name: str) -> str:
        """A new empty database; answers its URL."""
        self._sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def restart(self, mode: str = "immediate") -> None:
        """Stop at once, as a crash does, and start again."""
        self._ctl("restart", "-m", mode)

    def stop(self, mode: str = "immediate") -> None:
        self._ctl("stop", "-m", mode)

    def start(self) -> None:
        if not self._postmasters():
            # After `kill` a dead postmaster may still be somebody's zombie, which PostgreSQL takes for a living one.
            for lock in (self._data / "postmaster.pid", self.home / f".s.PGSQL.{self.port}.lock"):
                lock.unlink(missing_ok=True)
        self._ctl("start")

    def kill(self) -> None:
        """SIGKILL to all of its processes, as when the power goes."""
        pids = [pid for one in self._postmasters() for pid in (one, *_children(one))]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while any(_is_running(pid) for pid in pids):
            time.sleep(0.02)

    def _postmasters(self) -> list[int]:
        """By their command lines: postmaster.pid may be on a disk that is gone."""
        found = []
        for place in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = place.read_bytes().split(b"\0")
                if words[0].endswith(b"postgres") and str(self._data).encode() in words:
                    found.append(int(place.parent.name))
        return found

    def _ctl(self, action: str, *more: str) -> None:
        command = [self.programs / "pg_ctl", action, "-D", self._data, "-w", "-t", _START_TIMEOUT_S, "-s", *more]
        try:
            _as_postgres([*command, "-l", self.home / "log"])
        except subprocess.CalledProcessError as error:
            log = self.home / "log"
            error.add_note(log.read_text(errors="replace")[-3000:] if log.exists() else "no log")
            raise

    def _sql(self, statement: str) -> None:
        _as_postgres(
            [self.programs / "psql", "-h", self.home, "-p", str(self.port), "-U", "postgres", "-qc", statement]
        )


def start_server(home: Path | None = None) -> PostgresServer:
    """Make a cluster and start it, with fsync as in earnest. The caller calls `stop_server`.

    `home`: an empty folder to hold it, in place of a temporary one.
    """
    programs = binaries()
    if programs is None:
        raise FileNotFoundError("no PostgreSQL server in /usr/lib/postgresql/*/bin (Debian: apt install postgresql)")
    home = home or Path(tempfile.mkdtemp(prefix="vesalius-pg-"))
    if os.geteuid() == 0:
        shutil.chown(home, *_owner())
    _as_postgres(
        [programs / "initdb", "-D", home / "data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8"]
    )
    port = free_port()
    with (home / "data" / "postgresql.conf").open("a") as conf:
        conf.write(
            f"listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{home}'\n"
            "fsync = on\nsynchronous_commit = on\nmax_connections = 200\nshared_buffers = 128MB\n"
        )
    server = PostgresServer(programs, home, port)
    server.start()
    return server


def stop_server(server: PostgresServer) -> None:
    """End the server and leave nothing behind."""
    try:
        server.stop()
    except subprocess.CalledProcessError:
        pass
    shutil.rmtree(server.home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for the whole run; each test makes databases of its own in it."""
    if binaries() is None:
        pytest.skip("needs PostgreSQL's server programs in /usr/lib/postgresql/*/bin (Debian: apt install postgresql)")
    server = start_server()
    yield server
    stop_server(server)


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def _owner() -> tuple[str, str]:
    user = pwd.getpwnam("postgres")
    return user.pw_name, "postgres"


def _as_postgres(command: list[str | Path]) -> None:
    # The server refuses to run as root.
    words = [str(word) for word in command]
    if os.geteuid() == 0:
        words = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *words]
    subprocess.run(words, check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
