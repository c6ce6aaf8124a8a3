"""A server of its own for a simulated hospital: everything on free ports of loopback, stopped at the end."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vesalius.model.errors import PeerUnreachable

START_SECONDS = 120
CONFIG = """\
[server]
dimse_port = {dimse}
http_port = {http}

[hl7]
listen = true
port = {hl7}

[[hl7.sources]]
name = "SIMHIS"
application = "SIMHIS"
merges = true
"""


@contextmanager
def running(folder: Path) -> Iterator[tuple[Path, Path]]:
    """`vesalius serve` for the time of the block: its data directory and configuration. What it holds stays."""
    folder.mkdir(parents=True, exist_ok=True)
    data, config = folder / "data", folder / "vesalius.toml"
    dimse, http, hl7 = _free_ports(3)
    config.write_text(CONFIG.format(dimse=dimse, http=http, hl7=hl7), encoding="utf-8")
    command = [sys.executable, "-m", "vesalius", "serve", "--data", str(data), "--config", str(config)]
    with (folder / "serve.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)  # noqa: S603 - our own program
    try:
        _wait(process, f"http://127.0.0.1:{http}/ready", folder / "serve.log")
        yield data, config
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - http on loopback
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    raise PeerUnreachable("the server of the simulated hospital does not start", hint=f"see {log}")
