"""A volume as OME-Zarr 0.5 (Zarr 3): chunks and levels of less detail, each made when it is asked for.

Theory. A multiscale image is a group with an array for every level; each level has half the voxels of the one before
along every axis, a voxel being the mean of those that it covers (of labels the first, since a mean of labels is no
label). Metadata are documents that follow from the grid alone, and a chunk follows from the volume and its place, so
nothing has to be written down beforehand: the same functions serve a chunk over HTTP and write a folder. OME-Zarr
knows scale and translation along z, y, x only, so where the volume lies in the patient stands in the attributes
beside it (`vesalius`: the affine from (i, j, k) to LPS mm, the unit, the Frame of Reference).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

from vesalius.imaging.space import Volume
from vesalius.model.errors import NoSuchInstance, NoVolume

CHUNK = 64  # voxels along each axis
SMALLEST = 64  # a level that fits into this is the last
_CHUNK_NAME = re.compile(r"([0-9])/c/([0-9]{1,5})/([0-9]{1,5})/([0-9]{1,5})")
_ARRAY_NAME = re.compile(r"([0-9])/zarr\.json")

Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Pyramid:
    """A volume as a multiscale image."""

    volume: Volume

    @property
    def shapes(self) -> list[Shape]:
        """(slices, rows, columns) of every level, the whole first."""
        found = [self.volume.grid.shape]
        while max(found[-1]) > SMALLEST and len(found) < 10:
            k, j, i = (-(-side // 2) for side in found[-1])
            found.append((k, j, i))
        return found

    def get(self, name: str) -> bytes:
        """A document or a chunk by its place in the store: `zarr.json`, `0/zarr.json`, `0/c/1/2/3`.

        Raises `NoSuchInstance` where there is none.
        """
        if name == "zarr.json":
            return json.dumps(self.group()).encode()
        array = _ARRAY_NAME.fullmatch(name)
        if array is not None and int(array[1]) < len(self.shapes):
            return json.dumps(self.array(int(array[1]))).encode()
        chunk = _CHUNK_NAME.fullmatch(name)
        if chunk is not None and int(chunk[1]) < len(self.shapes):
            level, k, j, i = map(int, chunk.groups())
            shape = self.shapes[level]
            if all(place * CHUNK < side for place, side in zip((k, j, i), shape, strict=True)):
                return zstandard.ZstdCompressor(level=1).compress(self.chunk(level, (k, j, i)).tobytes())
        raise NoSuchInstance("the volume has no such document or chunk")

    def names(self) -> Iterator[str]:
        """Every document and chunk of the store."""
        yield "zarr.json"
        for level, shape in enumerate(self.shapes):
            yield f"{level}/zarr.json"
            for k, j, i in product(*(range(-(-side // CHUNK)) for side in shape)):
                yield f"{level}/c/{k}/{j}/{i}"

    def group(self) -> dict[str, Any]:
        """The group: what the levels are, and where the volume lies."""
        volume, spacing = self.volume, self.volume.grid.spacing[::-1]
        levels = []
        for level in range(len(self.shapes)):
            scale = [float(each) * 2**level for each in spacing]
            # The first of eight voxels lies where it was, their mean in their midst.
            half = (2**level - 1) / 2 if volume.values.dtype.kind == "f" else 0.0
            shift = [float(each) * half for each in spacing]
            levels.append(
                {
                    "path": str(level),
                    "coordinateTransformations": [
                        {"type": "scale", "scale": scale},
                        {"type": "translation", "translation": shift},
                    ],
                }
            )
        axes = [{"name": name, "type": "space", "unit": "millimeter"} for name in "zyx"]
        ome = {"version": "0.5", "multiscales": [{"name": "volume", "axes": axes, "datasets": levels}]}
        own = {
            "affine_lps_mm": volume.affine.tolist(),
            "unit": volume.unit,
            "unit_label": volume.unit_label,
            "modality": volume.modality,
            "series": volume.series,
            "study": volume.study,
            "frame_of_reference": volume.frame_of_reference,
            "notes": [{"code": note.code, "message": note.message} for note in volume.notes],
        }
        return {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome, "vesalius": own}}

    def array(self, level: int) -> dict[str, Any]:
        """The array of a level."""
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.shapes[level]),
            "data_type": self.volume.values.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [CHUNK] * 3}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "zstd", "configuration": {"level": 1, "checksum": False}},
            ],
            "dimension_names": ["z", "y", "x"],
            "attributes": {},
        }

    def chunk(self, level: int, place: Shape) -> npt.NDArray[Any]:
        """The voxels of a chunk, whole in size, 0 beyond the edge."""
        values, step = self.volume.values, 2**level
        box = tuple(
            slice(at * CHUNK * step, min((at + 1) * CHUNK * step, side))
            for at, side in zip(place, values.shape, strict=True)
        )
        part = values[box]
        for _ in range(level):
            part = _halved(part)
        out = np.zeros((CHUNK, CHUNK, CHUNK), values.dtype.newbyteorder("<"))
        out[: part.shape[0], : part.shape[1], : part.shape[2]] = part
        return out


def _halved(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Half as many along each axis: the mean of what each covers; of labels and stored integers the first."""
    if values.dtype.kind != "f":
        return values[::2, ::2, ::2]
    for axis in range(3):
        if values.shape[axis] == 1:
            continue
        whole = values.shape[axis] // 2 * 2
        first = np.take(values, range(0, whole, 2), axis)
        first = (first + np.take(values, range(1, whole, 2), axis)) * values.dtype.type(0.5)
        if whole < values.shape[axis]:
            first = np.concatenate((first, np.take(values, [whole], axis)), axis)
        values = first
    return values


def write(volume: Volume, folder: Path) -> int:
    """The whole store as files in a folder, which is made; how many. Raises `NoVolume` where it is there already."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise NoVolume(f"{folder} is there already", hint="Name a folder that is not.") from error
    pyramid = Pyramid(volume)
    count = 0
    for name in pyramid.names():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pyramid.get(name))
        count += 1
    return count
