"""The real product in a process of its own: `vesalius serve` on free ports of loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.dcmtk import free_port

AET = "VESALIUS"


@dataclass
class Server:
    """A running `vesalius serve`."""

    data: Path
    dimse_port: int
    http_port: int
    log: Path
    process: subprocess.Popen[bytes]
    arguments: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of an HTTP GET."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def wait_ready(self, timeout: float = 30) -> None:
        """Until /ready says 200; the log is shown if it never does."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(f"serve ended with {self.process.returncode}:\n{self.log_text()[-4000:]}")
            try:
                if self.get("/ready")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"serve is not ready after {timeout} s:\n{self.log_text()[-4000:]}")

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL to the whole process group, as a power switch would."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(10)
        end = time.monotonic() + 30
        while left := list(_running_in(self.process.pid)):
            if time.monotonic() > end:
                raise AssertionError(f"processes {left} do not die")
            time.sleep(0.01)

    def stop(self, timeout: float = 20) -> int:
        """SIGTERM, then wait for the end; gives the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"serve did not end after SIGTERM:\n{self.log_text()[-4000:]}") from None
        return int(self.process.returncode)


def _running_in(group: int) -> Iterator[int]:
    """Processes of a group that still run; zombies, which somebody has yet to bury, do not."""
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = place.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(pgrp) == group and state not in "ZX":
            yield int(place.parent.name)


def vesalius(
    *args: str | Path, data: Path | None = None, check: bool = True, timeout: float = 120, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    command = [sys.executable, "-m", "vesalius", *map(str, args), *(["--data", str(data)] if data else [])]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False, env={**os.environ, **env}
    )
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


def listing(*args: str | Path, data: Path) -> list[dict[str, object]]:
    """The rows of a command that lists, by its --json."""
    text = vesalius(*args, "--json", data=data).stdout.strip()
    if text.startswith("["):
        return list(json.loads(text))
    return [json.loads(line) for line in text.splitlines() if line]


def start_server(
    data: Path,
    *extra: str,
    config: str = "",
    config_file: Path | None = None,
    workers: int = 1,
    prefix: Sequence[str] = (),
    env: dict[str, str] | None = None,
    ready: bool = True,
    log: Path | None = None,
) -> Server:
    """Start `vesalius serve` in its own process group and wait until it is ready."""
    data.mkdir(parents=True, exist_ok=True)
    dimse_port, http_port = free_port(), free_port()
    log = log or data.parent / f"{data.name}.log"
    arguments = [
        *("serve", "--data", str(data), "--host", "127.0.0.1", "--dimse-port", str(dimse_port)),
        *("--http-port", str(http_port), "--ae-title", AET, *(["--workers", str(workers)] if workers else []), *extra),
    ]
    if config:
        file = config_file or data.parent / f"{data.name}.toml"
        file.write_text(config)
        arguments += ["--config", str(file)]
    stream = log.open("ab")
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", "vesalius", *arguments],
        stdout=stream,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, **(env or {})},
    )
    stream.close()
    server = Server(data, dimse_port, http_port, log, process, arguments)
    if ready:
        try:
            server.wait_ready()
        except AssertionError:
            server.kill()
            raise
    return server


def start_again(server: Server) -> Server:
    """A service that ended, anew on its ports and data."""
    with server.log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "vesalius", *server.arguments],
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    again = Server(server.data, server.dimse_port, server.http_port, server.log, process, server.arguments)
    try:
        again.wait_ready(60)
    except AssertionError:
        again.kill()
        raise
    return again


@contextmanager
def running_server(folder: Path, *extra: str, config: str = "", workers: int = 1, **kwargs: object) -> Iterator[Server]:
    """`vesalius serve` on `folder`/data for the time of the block; ends it and fails if it had a traceback."""
    server = start_server(folder / "data", *extra, config=config, workers=workers, **kwargs)  # type: ignore[arg-type]
    try:
        yield server
    finally:
        server.stop()
    assert "Traceback" not in server.log_text(), server.log_text()[-4000:]
