"""Volumes: a CT as HU against reading and decoding its pixels, resampling, memory, planes of a series that is kept.

The peer of the first is pydicom (and its plugins, of which the quickest that is installed decodes): every file read and
its pixel array made, nothing done with it. Ours is the way of `vesalius.open(folder)`: headers read, slices sorted,
cells masked, float32 HU in one array. Both in the same process, one after the other, files in the page cache.

The peer of resampling is SimpleITK's own filter with all its threads, from image to image: no copy into or out of NumPy
is counted against it. Grids are those of a real PET/CT.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from pydicom.filereader import read_dataset
from pydicom.uid import JPEGLSLossless
from tests.support import phantom
from tests.support.archive import dataset_of
from tests.support.generate import part10, uid
from tests.support.large_ct import OWN, loaded, write_large_ct
from tests.support.phantom import Scan

import vesalius
from benchmarks.peers import Start, scratch
from benchmarks.results import Sample
from benchmarks.web_client import Web, milliseconds
from vesalius.backends.pixels_codecs import PixelCodecs
from vesalius.imaging.resampling import resample
from vesalius.imaging.simpleitk import simpleitk
from vesalius.imaging.space import Grid, Volume

SLICES, SIDE = 500, 512
SCAN = Scan(rows=SIDE, columns=SIDE, slices=SLICES, between_rows=0.4, between_columns=0.4, step=0.25)
PLANES = 300
_NATIVE = "1.2.840.10008.1.2.1"


def write_ct(folder: Path, *, compressed: bool) -> str:
    """The phantom with noise like a scanner's, one file a slice; gives the Series Instance UID."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(1).normal(0, 12, (SIDE, SIDE))
    codecs = PixelCodecs()
    (ds,) = phantom.ct(Scan(rows=SIDE, columns=SIDE, slices=1, between_rows=0.4, between_columns=0.4))
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for place in range(SLICES):
        points = np.stack((columns, rows, np.full_like(rows, place)), axis=-1) @ SCAN.affine[:3, :3].T
        values = phantom.hounsfield(points + SCAN.affine[:3, 3]) + np.roll(noise, place * 7919)
        ds.PixelData = np.clip(np.rint(values) + 1024, 0, 4095).astype("<u2").tobytes()
        ds.SOPInstanceUID, ds.InstanceNumber = uid("benchmark", place), str(place)
        ds.ImagePositionPatient = [phantom.decimal(value) for value in SCAN.position(place)]
        file = part10(ds)
        if compressed:
            data = codecs.transcode(dataset_of(file), _NATIVE, str(JPEGLSLossless))
            file = part10(read_dataset(BytesIO(data), False, True), str(JPEGLSLossless))
        (folder / f"{place:05}.dcm").write_bytes(file)
    codecs.close()
    return str(ds.SeriesInstanceUID)


def _decoded(folder: Path) -> float:
    started = time.perf_counter()
    for file in sorted(folder.iterdir()):
        if pydicom.dcmread(file).pixel_array.shape != (SIDE, SIDE):
            raise RuntimeError(f"{file} was not decoded")
    return time.perf_counter() - started


def _loaded(folder: Path, series: str) -> float:
    with vesalius.open(folder) as library:
        started = time.perf_counter()
        volume = library.series(series).volume()
        taken = time.perf_counter() - started
    if volume.unit_label != "HU" or volume.values.shape != (SLICES, SIDE, SIDE):
        raise RuntimeError("that is not the volume")
    return taken


def load(rounds: int) -> Iterator[Sample]:
    """Seconds to HU in memory, beside seconds to read and decode."""
    for compressed, name in ((False, "native"), (True, "JPEG-LS")):
        with scratch() as folder:
            series = write_ct(folder / "ct", compressed=compressed)
            # Once before: modules, files and, on a virtual machine, memory that its host has to find first.
            _decoded(folder / "ct")
            _loaded(folder / "ct", series)
            label = f"500 slices 512 x 512 {name} to HU in memory"
            for turn in range(rounds):
                yield Sample(label, "vesalius", _loaded(folder / "ct", series), "s", turn, higher=False)
                yield Sample(label, "pydicom, decoding alone", _decoded(folder / "ct"), "s", turn, higher=False)


def onto(rounds: int) -> Iterator[Sample]:
    """Seconds from the grid of a CT to that of its PET and back, linear."""
    sitk = simpleitk()
    random, upright = np.random.default_rng(0), np.eye(3)
    volumes = []
    for shape, spacing, origin in (
        ((267, 512, 512), (0.976, 0.976, 3.27), (-250.0, -250.0, -820.0)),
        ((267, 168, 168), (4.07, 4.07, 3.27), (-340.0, -341.0, -819.4)),
    ):
        values = random.normal(0, 300, shape).astype(np.float32)
        grid = Grid.of(shape, upright, np.array(spacing), np.array(origin))
        image = sitk.GetImageFromArray(values)
        image.SetSpacing(spacing)
        image.SetOrigin(origin)
        volumes.append((Volume(values, grid, "1", frame_of_reference="1.2.3"), image))
    (ct, ct_image), (pet, pet_image) = volumes
    cases = (
        ("a CT onto its PET's grid", ct, ct_image, pet, pet_image),
        ("a PET onto its CT's grid", pet, pet_image, ct, ct_image),
    )
    for name, moving, image, target, reference in cases:
        label = f"resampling {name}, linear"
        for turn in range(-1, rounds):  # once before: threads, and memory that has to be found first
            started = time.perf_counter()
            ours = resample(moving, target).values
            taken = time.perf_counter() - started
            started = time.perf_counter()
            theirs = sitk.Resample(image, reference, sitk.Transform(), sitk.sitkLinear, 0.0)
            peer = time.perf_counter() - started
            inside = slice(2, -2)
            if np.abs(ours - sitk.GetArrayViewFromImage(theirs))[inside, 60:100, 60:100].max() > 0.05:
                raise RuntimeError("the two do not agree")
            if turn >= 0:
                yield Sample(label, "vesalius", taken, "s", turn, higher=False)
                yield Sample(label, "SimpleITK, all threads", peer, "s", turn, higher=False)


def memory() -> Iterator[Sample]:
    """The largest resident size of a process that makes a CT of 2,000 slices a volume, in sizes of that volume."""
    with scratch() as folder:
        write_large_ct(folder / "ct")
        peak = loaded(folder / "ct")["peak"]
    yield Sample("2,000 slices 512 x 512 to HU: peak of memory", "vesalius", peak / OWN, "x its own size", higher=False)


def planes(peers: dict[str, Start], rounds: int) -> Iterator[Sample]:
    """`slice.png` of a CT of 500 slices that the service has at hand, each plane at other positions."""
    low, high = Grid((SLICES, SIDE, SIDE), SCAN.affine).bounds()
    for turn in range(rounds):
        with scratch() as folder:
            series = write_ct(folder / "ct", compressed=False)
            command = [sys.executable, "-m", "vesalius", "import", folder / "ct", "--data", folder / "data"]
            subprocess.run([str(part) for part in command], check=True, capture_output=True)
            with peers["vesalius"](data=folder / "data") as peer:
                client = Web(peer.http_port, f"/api/volumes/{series}")
                started = time.perf_counter()
                client.get("/slice.png", "image/png")
                first = (time.perf_counter() - started) * 1000
                yield Sample("slice.png, the first of a series of 500", peer.name, first, "ms", turn, higher=False)
                for axis, plane in enumerate(("sagittal", "coronal", "axial")):
                    places = np.linspace(low[axis] + 1, high[axis] - 1, PLANES)
                    paths = [f"/slice.png?plane={plane}&position={place:.2f}" for place in places]
                    label = f"slice.png of a kept series of 500, {plane}"
                    taken = sorted(milliseconds(client, paths))
                    yield Sample(label, peer.name, statistics.median(taken), "ms (p50)", turn, higher=False)
                    yield Sample(f"{label}, p95", peer.name, taken[int(0.95 * len(taken))], "ms", turn, higher=False)
                client.close()
