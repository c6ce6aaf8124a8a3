"""The data directory as the service holds it: its folders, its lock, and the note that says what runs."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from vesalius.app.checks import Listeners
from vesalius.model.errors import SettingsError

log = structlog.get_logger()

STATE = "serve.json"


@dataclass(frozen=True, slots=True)
class Running:
    """What is known once everything listens; also written to `DATA/run/serve.json`."""

    pid: int
    listeners: Listeners
    ae_title: str
    data: str
    workers: int
    seconds: float  # from the start to ready


def make_folders(data: Path) -> Path:
    """The data directory and its `run` folder, which is given. Raises `SettingsError`."""
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o750)
        run = data / "run"
        run.mkdir(exist_ok=True, mode=0o750)
    except OSError as error:
        raise SettingsError(f"data: cannot make {error.filename}: {error.strerror}") from None
    return run


def take_lock(run: Path, patience: float = 5.0) -> int:
    """One service on one data directory: a descriptor to close. Waits a moment for one that is being killed."""
    try:
        descriptor = os.open(run / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise SettingsError(f"data: cannot write to {run}: {error.strerror}") from None
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < end:
                time.sleep(0.05)
                continue
            os.close(descriptor)
            raise SettingsError(
                f"data: {run.parent} is already served by another process",
                hint="Stop that one, or choose another --data.",
            ) from None
        else:
            return descriptor


@contextmanager
def service_lock(data: Path) -> Iterator[None]:
    """Hold the place of the service: for work that must have the archive to itself. Raises `SettingsError`."""
    descriptor = take_lock(make_folders(data), patience=0.0)
    try:
        yield
    finally:
        os.close(descriptor)


def write_state(run: Path, running: Running) -> None:
    """Note what runs. A full disk must not end a service whose archive can still be read."""
    http = running.listeners.http
    state = {
        "pid": running.pid,
        "ae_title": running.ae_title,
        "workers": running.workers,
        "dimse": [{"host": one.host, "port": one.port, "tls": one.tls} for one in running.listeners.dimse],
        "http": {"host": http.host, "port": http.port, "tls": http.tls},
        "hl7": [{"host": one.host, "port": one.port, "tls": one.tls} for one in running.listeners.hl7],
    }
    fresh = run / f"{STATE}.new"
    try:
        fresh.write_text(json.dumps(state) + "\n")
        fresh.replace(run / STATE)
    except OSError as error:
        log.warning("state-not-written", file=STATE, reason=error.strerror)
