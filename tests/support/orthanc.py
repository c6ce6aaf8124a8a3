"""A real Orthanc as a peer: the current one if it was installed beside the project's peers, else Debian's own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.dcmtk import free_port

TREE = Path(os.environ.get("VESALIUS_ORTHANC_TREE", "/var/tmp/vesalius-peers/trixie"))


@dataclass
class Orthanc:
    """A running Orthanc."""

    dicom_port: int
    http_port: int
    version: str
    pid: int

    @property
    def dicom_web(self) -> str:
        """The root of its DICOMweb services, where it was started with them."""
        return f"http://127.0.0.1:{self.http_port}/dicom-web"

    def get(self, path: str) -> object:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=30) as answer:
            return json.loads(answer.read())

    def post(self, path: str, body: object) -> object:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", data=data, method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())


def command() -> list[str] | None:
    """How to start Orthanc on this machine; None if it is not installed."""
    if (TREE / "usr/sbin/Orthanc").exists() and os.geteuid() == 0:
        return ["chroot", str(TREE), "Orthanc"]
    found = shutil.which("Orthanc")
    return [found] if found else None


def has_dicomweb() -> bool:
    """Whether the DICOMweb plugin is there too."""
    start = command()
    return start is not None and ((TREE if start[0] == "chroot" else Path("/")) / PLUGIN).exists()


PLUGIN = "usr/share/orthanc/plugins/libOrthancDicomWeb.so"


@contextmanager
def running_orthanc(
    peers: dict[str, tuple[str, int]] | None = None,
    name: str = "interop",
    *,
    dicom_port: int = 0,
    dicomweb: bool = False,
    dicomweb_servers: dict[str, str] | None = None,
) -> Iterator[Orthanc]:
    """Orthanc on free ports with an empty store; `peers`: AE title -> (host, port).

    With `dicomweb` its DICOMweb plugin is loaded (Debian package orthanc-dicomweb); `dicomweb_servers`: name -> root
    of the servers that its own client may reach.
    """
    start = command()
    if start is None:
        pytest.skip("Orthanc is not installed (Debian package orthanc, or the tree in VESALIUS_ORTHANC_TREE)")
    in_tree = start[0] == "chroot"
    root = TREE if in_tree else Path("/")
    folder = Path(f"/var/tmp/vesalius-orthanc-{name}-{os.getpid()}")
    outside = root / folder.relative_to("/")
    shutil.rmtree(outside, ignore_errors=True)
    outside.mkdir(parents=True)
    if dicomweb and not (root / PLUGIN).exists():
        pytest.skip("Orthanc's DICOMweb plugin is not installed (Debian package orthanc-dicomweb)")
    dicom_port, http_port = dicom_port or free_port(), free_port()
    config: dict[str, object] = {
        "Name": "peer",
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "HttpPort": http_port,
        "DicomPort": dicom_port,
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomCheckCalledAet": False,
        "DicomModalities": {aet.lower(): [aet, host, port] for aet, (host, port) in (peers or {}).items()},
    }
    if dicomweb:
        config["Plugins"] = [f"/{PLUGIN}"]
        config["DicomWeb"] = {
            "Enable": True,
            "Root": "/dicom-web/",
            "Servers": {name: [url] for name, url in (dicomweb_servers or {}).items()},
        }
    (outside / "orthanc.json").write_text(json.dumps(config))
    with (outside / "log").open("wb") as log:
        process = subprocess.Popen(
            [*start, str(folder / "orthanc.json")],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TCP_NODELAY": "1"},
            start_new_session=True,
        )
    try:
        end = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{http_port}/system", timeout=2) as answer:
                    version = str(json.loads(answer.read())["Version"])
                break
            except OSError:
                if time.monotonic() > end or process.poll() is not None:
                    raise AssertionError((outside / "log").read_text(errors="replace")[-2000:]) from None
                time.sleep(0.1)
        yield Orthanc(dicom_port, http_port, version, process.pid)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(outside, ignore_errors=True)
