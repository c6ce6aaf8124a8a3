"""Bodies that are dear to make: kept compressed in memory, and on disk for the next process.

Theory. A key names content, not a place: it holds the version of whatever the body was made of, so an entry is
never wrong, only forgotten, and two processes may write the same file at once. Memory holds whole answers by entity
tag and content coding; the folder holds the pieces that answers are put together from, one file each, and is
emptied from its least recently used end. It may be removed at any time, and nothing else lies in it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections import OrderedDict
from pathlib import Path

UNUSED = 7 * 86400.0  # seconds; a file that nobody asked for so long is removed
SWEEP = 64 << 20  # bytes written by this process between two looks at the folder


class MemoryCache:
    """The most recently used bodies, up to a number of bytes. Thread-safe."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._entries: OrderedDict[tuple[str, ...], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, *key: str) -> bytes | None:
        """A body, None where it is not held."""
        with self._lock:
            body = self._entries.get(key)
            if body is not None:
                self._entries.move_to_end(key)
            return body

    def put(self, body: bytes, *key: str) -> None:
        """Hold a body, unless it is more than a quarter of everything."""
        if len(body) * 4 > self._most:
            return
        with self._lock:
            self._held += len(body) - len(self._entries.pop(key, b""))
            self._entries[key] = body
            while self._held > self._most:
                self._held -= len(self._entries.popitem(last=False)[1])


class DiskCache:
    """Pieces in files of one folder. Never raises: what cannot be kept is made again. Thread-safe."""

    def __init__(self, folder: Path | None, most: int) -> None:
        self._folder = folder if most > 0 else None
        self._most = most
        self._written = SWEEP  # so that the first write looks at what other processes left
        self._lock = threading.Lock()

    def _path(self, key: tuple[str, ...]) -> Path | None:
        if self._folder is None:
            return None
        return self._folder / hashlib.sha256("\0".join(key).encode()).hexdigest()[:40]

    def get(self, *key: str) -> bytes | None:
        """A piece, None where it is not kept."""
        path = self._path(key)
        if path is None:
            return None
        try:
            body = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        return body

    def put(self, body: bytes, *key: str) -> None:
        """Keep a piece. It is whole or not there, whatever happens meanwhile; it need not survive a power cut."""
        path = self._path(key)
        if path is None:
            return
        fresh = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        try:
            path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            fresh.write_bytes(body)
            fresh.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                fresh.unlink()
            return
        with self._lock:
            self._written += len(body)
            if self._written < SWEEP:
                return
            self._written = 0
        self._sweep(path.parent)

    def _sweep(self, folder: Path) -> None:
        """Remove what is old, then the least recently used until the rest fits."""
        found = []
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    stat = entry.stat()
                    found.append((stat.st_mtime, stat.st_size, entry.path))
        held = sum(size for _, size, _ in found)
        limit = time.time() - UNUSED
        for used, size, path in sorted(found):
            if used > limit and held <= self._most:
                break
            with contextlib.suppress(OSError):
                Path(path).unlink()
                held -= size
