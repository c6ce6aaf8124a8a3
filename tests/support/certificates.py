"""Certificates for tests, made by the openssl command: an authority, a server, clients good and bad."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, in files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """A certificate authority of its own in a folder."""

    folder: Path
    name: str = "ca"

    @property
    def certificate(self) -> Path:
        return self.folder / f"{self.name}.pem"

    @property
    def _key(self) -> Path:
        return self.folder / f"{self.name}.key"

    def issue(self, name: str, *, days: int = 30, names: str = "DNS:localhost,IP:127.0.0.1") -> Certificate:
        """A certificate for `names`, good for so many days from now; a negative number: expired."""
        key, request, certificate = (self.folder / f"{name}.{end}" for end in ("key", "csr", "pem"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\nbasicConstraints=CA:FALSE\n")
        _openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        words = ["x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial"]
        _openssl(*words, "-days", str(days), "-sha256", "-extfile", extensions, "-out", certificate)
        return Certificate(certificate, key)


def authority(folder: Path, name: str = "ca") -> Authority:
    """A new authority; skips where there is no openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command")
    folder.mkdir(parents=True, exist_ok=True)
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-sha256", "-subj", f"/CN=Test {name}"]
    _openssl(*words, "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem")
    return Authority(folder, name)


def client_context(trusted: Authority, shown: Certificate | None = None) -> ssl.SSLContext:
    """What a careful client uses."""
    context = ssl.create_default_context(cafile=str(trusted.certificate))
    if shown is not None:
        context.load_cert_chain(shown.certificate, shown.key)
    return context


def _openssl(*words: str | Path) -> None:
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"openssl {words[0]}: {done.stderr}")
