"""DCMTK's tools as peers nobody here wrote."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.ports import free_port as free_port

# Debian builds leave Nagle's algorithm on: each exchange would wait 40 ms for a delayed ACK.
ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1", "DCMDICTPATH": "/usr/share/libdcmtk17/dicom.dic"}
if not Path(ENVIRONMENT["DCMDICTPATH"]).exists():
    del ENVIRONMENT["DCMDICTPATH"]


def need(tool: str) -> str:
    """The path of a DCMTK tool, or a skip that says which package is missing.

    Not in the virtual environment, which has programs of the same names (pynetdicom's) and may be first in the PATH.
    """
    places = [place for place in os.get_exec_path() if Path(place) != Path(sys.executable).parent]
    found = shutil.which(tool, path=os.pathsep.join(places))
    if found is None:
        pytest.skip(f"{tool} is not installed (Debian package dcmtk)")
    return found


def run(tool: str, *args: str | Path, timeout: float = 60, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a tool to its end; its output is text, both streams in one."""
    done = subprocess.run(
        [need(tool), *map(str, args)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(f"{tool} {' '.join(map(str, args))} ended with {done.returncode}:\n{done.stdout}")
    return done


def wait_for_port(port: int, timeout: float = 60) -> None:
    """Until something accepts connections there."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        with socket.socket() as probe:
            probe.settimeout(0.5)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port} after {timeout} s")


@contextmanager
def background(tool: str, *args: str | Path, port: int, cwd: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """A tool that listens, for the time of the block."""
    with subprocess.Popen(
        [need(tool), *map(str, args)],
        env=ENVIRONMENT,
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            wait_for_port(port)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def storescp(folder: Path, aet: str = "DST", extra: Sequence[str] = ("+xa",)) -> Iterator[int]:
    """A storage SCP that writes into `folder`; gives its port."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with background("storescp", "-aet", aet, *extra, "-od", folder, str(port), port=port):
        yield port


@contextmanager
def dcmqrscp(folder: Path, aet: str = "DCMQR", peers: dict[str, tuple[str, int]] | None = None) -> Iterator[int]:
    """DCMTK's archive; `peers` are its move destinations: AE title -> (host, port). Gives its port."""
    storage = folder / "db"
    storage.mkdir(parents=True, exist_ok=True)
    hosts = "\n".join(
        f"peer{n} = ({aet_}, {host}, {port_})" for n, (aet_, (host, port_)) in enumerate((peers or {}).items())
    )
    names = ", ".join(f"peer{n}" for n in range(len(peers or {})))
    port = free_port()
    config = folder / "dcmqrscp.cfg"
    config.write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 131072\nMaxAssociations = 16\n"
        f"HostTable BEGIN\n{hosts}\n{'all = ' + names if names else ''}\nHostTable END\n"
        "VendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\n{aet} {storage} RW (100000, 16384mb) ANY\nAETable END\n"
    )
    with background("dcmqrscp", "-c", config, port=port):
        yield port
