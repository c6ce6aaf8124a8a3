"""Volumes kept as files that are mapped into memory: filled once, then at hand for every process of the machine.

Theory. A volume of a large CT is gigabytes, too much for the memory of a server process and too slow to make for every
picture. So it is filled straight into a file and mapped: the memory that it takes belongs to the page cache, which all
processes share and the kernel takes back when it must. The name of a folder is the digest of everything that the
values follow from (the content of the instances, the wish, how uneven or tilted stacks are treated, the version of this
code), so an entry is never wrong, only forgotten: the folder is emptied from its least recently used end and may be
removed at any time. A volume becomes visible by the renaming of its folder, whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vesalius.imaging.fill import VolumePlan
from vesalius.imaging.space import Finding, Grid, Volume
from vesalius.model.errors import LimitExceeded, OutOfResources

FORMAT = "1"  # of what is written, and of what the values mean: another number forgets everything
UNUSED = 7 * 86400.0  # seconds; a volume that nobody asked for so long is removed
_BROKEN_OFF = 3600.0  # seconds after which a folder that never became a volume is removed


class VolumeFiles:
    """A folder of volumes, up to so many bytes. Thread-safe; any number of processes may share it."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._most = most
        self._lock = threading.Lock()

    def key(self, *parts: str) -> str:
        """The name of a volume by what it follows from."""
        return hashlib.sha256("\0".join((FORMAT, *parts)).encode()).hexdigest()[:40]

    def get(self, key: str) -> Volume | None:
        """A volume whose values are a read-only map of its file; None where it is not kept."""
        place = self._folder / key
        try:
            told = json.loads((place / "volume.json").read_bytes())
            os.utime(place)
            return _mapped(place, told)
        except (OSError, ValueError, KeyError):
            return None

    def put(self, key: str, plan: VolumePlan, cancelled: Callable[[], bool] | None = None) -> Volume:
        """Fill a volume and keep it. Blocks. Raises as `VolumePlan.load`, `LimitExceeded`, `OutOfResources`."""
        if plan.nbytes > self._most:
            raise LimitExceeded(
                f"the volume has {plan.nbytes >> 20} MiB, more than this service keeps for all of them",
                hint="Raise web.volumes_disk, or export the volume on the command line.",
            )
        try:
            self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._sweep(plan.nbytes)
            fresh = Path(tempfile.mkdtemp(prefix="making-", dir=self._folder))
        except OSError as error:
            raise OutOfResources(f"the folder of volumes cannot be written: {error.strerror}") from error
        try:
            return self._filled(key, plan, fresh, cancelled)
        except OSError as error:
            raise OutOfResources(f"the volume cannot be written: {error.strerror}") from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _filled(self, key: str, plan: VolumePlan, fresh: Path, cancelled: Callable[[], bool] | None) -> Volume:
        with (fresh / "values").open("wb") as stream:
            # Room is taken before the first byte: a full disk shows here, not as a broken map (SIGBUS).
            os.posix_fallocate(stream.fileno(), 0, plan.nbytes)
        values = np.memmap(fresh / "values", plan.dtype, "r+", shape=plan.grid.shape)
        made = plan.load(out=values, cancelled=cancelled)
        values.flush()
        if made.padding is not None:
            made.padding.tofile(fresh / "padding")
        (fresh / "volume.json").write_text(json.dumps(_told(made)))
        place = self._folder / key
        with contextlib.suppress(OSError):  # another process was quicker: its volume is the same
            fresh.rename(place)
        return self.get(key) or made

    def _sweep(self, wanted: int) -> None:
        """Remove what is old or broken off, then the least recently used until there is room."""
        with self._lock:
            found = []
            now = time.time()
            for place in self._folder.iterdir():
                with contextlib.suppress(OSError):
                    used = place.stat().st_mtime
                    held = sum(file.stat().st_size for file in place.iterdir())
                    if place.name.startswith("making-"):
                        used -= UNUSED - _BROKEN_OFF
                    found.append((used, held, place))
            room = self._most - wanted - sum(held for _, held, _ in found)
            for used, held, place in sorted(found):
                if now - used < UNUSED and (room >= 0 or place.name.startswith("making-")):
                    continue
                shutil.rmtree(place, ignore_errors=True)
                room += held


def _told(volume: Volume) -> dict[str, Any]:
    return {
        "shape": volume.grid.shape,
        "affine": volume.affine.tolist(),
        "dtype": volume.values.dtype.str,
        "unit": volume.unit,
        "unit_label": volume.unit_label,
        "frame_of_reference": volume.frame_of_reference,
        "modality": volume.modality,
        "series": volume.series,
        "study": volume.study,
        "padding": volume.padding is not None,
        "notes": [[note.code, note.message] for note in volume.notes],
    }


def _mapped(place: Path, told: dict[str, Any]) -> Volume:
    slices, rows, columns = told["shape"]
    shape = (int(slices), int(rows), int(columns))
    return Volume(
        values=np.memmap(place / "values", np.dtype(told["dtype"]), "r", shape=shape),
        grid=Grid(shape, np.array(told["affine"])),
        unit=told["unit"],
        unit_label=told["unit_label"],
        frame_of_reference=told["frame_of_reference"],
        modality=told["modality"],
        series=told["series"],
        study=told["study"],
        padding=np.memmap(place / "padding", np.bool_, "r", shape=shape) if told["padding"] else None,
        notes=tuple(Finding(code, message) for code, message in told["notes"]),
    )
