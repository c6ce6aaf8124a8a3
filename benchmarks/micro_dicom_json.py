"""Microseconds to write the metadata of one instance as DICOM JSON: alone, and among the others of its series.

Run: `python -m benchmarks.micro_dicom_json [FOLDER]`. The oracle's figure is pydicom's `to_json_dict` and `json.dumps`.
"""

from __future__ import annotations

import io
import json
import logging
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from pydicom.filereader import read_dataset
from tests.support.corpus import IMPLICIT_LE, Item, items

from vesalius.model import dicom_json
from vesalius.model.elements import read_header


def best(work: Callable[[], object], times: int) -> float:
    """The median of several runs, seconds."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def header_of(item: Item) -> bytes:
    """The part of a data set before its pixels."""
    pixels = read_header(item.dataset, item.transfer_syntax).pixels
    return item.dataset if pixels is None else item.dataset[: pixels.offset]


def alone(item: Item, header: bytes) -> None:
    """One instance by a writer that has seen nothing yet."""
    writer = dicom_json.JsonWriter(item.transfer_syntax)
    writer.begin("bulk")
    writer.feed(header)
    writer.finish()


def series(found: list[Item], headers: list[bytes]) -> None:
    """A whole series by one writer."""
    writer = dicom_json.JsonWriter(found[0].transfer_syntax)
    for header in headers:
        writer.begin("bulk")
        writer.feed(header)
        writer.finish()


def oracle(item: Item) -> None:
    """What pydicom needs for the same."""
    ds = read_dataset(io.BytesIO(item.dataset), item.transfer_syntax == IMPLICIT_LE, True)
    json.dumps(ds.to_json_dict(bulk_data_threshold=1024, bulk_data_element_handler=lambda _: "x"))


def main() -> None:
    """Print one line a series of the corpus."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    by_folder: dict[tuple[str, str], list[Item]] = {}
    for item in items():
        if only in item.name and "broken" not in item.name:
            by_folder.setdefault((str(Path(item.name).parent), item.transfer_syntax), []).append(item)
    print(f"{'instances':>9} {'elements':>8} {'alone':>9} {'in series':>9} {'pydicom':>9}  us an instance")
    for (folder, _), found in sorted(by_folder.items()):
        if len(found) < 20:
            continue
        headers = [header_of(item) for item in found]
        count = len(json.loads(dicom_json.from_dataset(found[0].dataset, found[0].transfer_syntax)))
        one = best(lambda f=found, h=headers: alone(f[0], h[0]), 20)
        many = best(lambda f=found, h=headers: series(f, h), 5) / len(found)
        theirs = best(lambda f=found: oracle(f[0]), 5)
        print(f"{len(found):>9} {count:>8} {one * 1e6:>9.0f} {many * 1e6:>9.0f} {theirs * 1e6:>9.0f}  {folder}")


if __name__ == "__main__":
    main()
