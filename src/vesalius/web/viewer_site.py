"""The files of the diagnostic viewer as `tools/viewer.py` wrote them: names, codings, media types.

Theory. The site lies under a folder named after its own digest (`/viewer/3f9c.../app.bundle.js`), so that nothing in it
ever changes: a browser keeps every file for good, and a new build is new addresses. Only what `index.json` names is
served, by the entry's own path, so that no text of a request ever becomes part of a file name (T5). Compressible
files exist compressed alone; who takes neither coding gets them unpacked on the way.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import msgspec

SUFFIX_OF = {"zstd": ".zst", "gzip": ".gz"}


class _Entry(msgspec.Struct, frozen=True):
    type: str
    size: int
    coded: bool
    worker: bool


class _Index(msgspec.Struct, frozen=True):
    version: str
    build: str
    entry: str
    style: str
    files: dict[str, _Entry]


@dataclass(frozen=True, slots=True)
class ViewerFile:
    """One file of the site. `coded`: it lies there as `.gz` and `.zst`, not as itself."""

    path: Path
    media_type: str
    size: int
    coded: bool
    worker: bool

    def read(self, coding: str) -> bytes:
        """The body in "zstd", "gzip" or "identity". Blocks. Raises OSError."""
        if not self.coded:
            return self.path.read_bytes()
        if coding in SUFFIX_OF:
            return self.path.with_name(self.path.name + SUFFIX_OF[coding]).read_bytes()
        return gzip.decompress(self.path.with_name(self.path.name + ".gz").read_bytes())


@dataclass(frozen=True, slots=True)
class ViewerSite:
    """One build of the viewer."""

    version: str
    build: str
    entry: str
    style: str
    files: dict[str, ViewerFile]


class ViewerFolder:
    """The folder that the viewer is installed into, now or later: it is looked at again when its index changes."""

    def __init__(self, assets: Path | None) -> None:
        self._folder = assets / "viewer" if assets is not None else None
        self._seen = 0
        self._site: ViewerSite | None = None

    def site(self) -> ViewerSite | None:
        """The viewer, None where it is not installed (or what is there cannot be read)."""
        if self._folder is None:
            return None
        try:
            seen = (self._folder / "index.json").stat().st_mtime_ns
            if seen != self._seen:
                self._site = _read(self._folder)
                self._seen = seen
        except (OSError, msgspec.MsgspecError):
            self._site, self._seen = None, 0
        return self._site


def _read(folder: Path) -> ViewerSite:
    index = msgspec.json.decode((folder / "index.json").read_bytes(), type=_Index)
    files = {
        name: ViewerFile(folder / name, entry.type, entry.size, entry.coded, entry.worker)
        for name, entry in index.files.items()
    }
    return ViewerSite(index.version, index.build, index.entry, index.style, files)
