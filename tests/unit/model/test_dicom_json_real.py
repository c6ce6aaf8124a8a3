"""DICOM JSON of every real data set says what pydicom's JSON of it says."""

from __future__ import annotations

import io
import json
import math
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from tests.support import corpus
from tests.support.data import need_shared_data

from vesalius.model import dicom_json
from vesalius.model.errors import VesaliusError

# The oracle leaves these to be asked for apart too, or says them in its own way.
NOT_COMPARED = {"00080005"}


def parsed(item: corpus.Item) -> Dataset:
    data = item.dataset
    if item.transfer_syntax == corpus.DEFLATED_LE:
        data = zlib.decompressobj(-15).decompress(data)
    implicit = item.transfer_syntax == corpus.IMPLICIT_LE
    little = item.transfer_syntax != corpus.EXPLICIT_BE
    return read_dataset(io.BytesIO(data), implicit, little)


def oracle(item: corpus.Item) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = parsed(item)
        return ds.to_json_dict(
            bulk_data_threshold=dicom_json.BULK_BYTES,
            bulk_data_element_handler=lambda _: "x",
            suppress_invalid_tags=True,
        )


def differences(ours: dict[str, Any], theirs: dict[str, Any], path: str = "") -> Iterator[str]:
    """Where two JSON data sets say different things."""
    for tag in sorted(set(ours) | set(theirs)):
        if tag in NOT_COMPARED or tag.endswith("0000"):
            continue
        where = f"{path}{tag}"
        if tag not in theirs:
            continue  # the oracle leaves out what it finds invalid; we say what was sent
        if tag not in ours:
            yield f"{where}: missing"
            continue
        mine, other = ours[tag], theirs[tag]
        if mine["vr"] != other["vr"]:
            # Their private dictionary knows more than PS3.6; both keep what was sent.
            if int(tag[:4], 16) % 2 == 0:
                yield f"{where}: vr {mine['vr']} {other['vr']}"
            continue
        if "BulkDataURI" in mine or "BulkDataURI" in other:
            continue
        if mine["vr"] == "SQ":
            mine_items, other_items = mine.get("Value", []), other.get("Value", [])
            if len(mine_items) != len(other_items):
                yield f"{where}: items"
            for number, (a, b) in enumerate(zip(mine_items, other_items, strict=False)):
                yield from differences(a, b, f"{where}[{number}].")
        elif "InlineBinary" in mine or "InlineBinary" in other:
            if mine.get("InlineBinary") != other.get("InlineBinary"):
                yield f"{where}: binary"
        elif not same(mine.get("Value", []), other.get("Value", [])):
            yield f"{where}: {mine['vr']} {mine.get('Value')!r:.80} {other.get('Value')!r:.80}"


def same(a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        a, b = trimmed(a), trimmed(b)
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        a, b = ({k: v.strip(" \0") for k, v in one.items() if v.strip(" \0")} for one in (a, b))
        return a == b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-40)
    if isinstance(a, str) and isinstance(b, str):
        return a.strip(" \0\t\r\n") == b.strip(" \0\t\r\n")
    return (a or "") == (b or "") or str(a).strip() == str(b).strip()


def trimmed(values: list[Any]) -> list[Any]:
    return [] if values in ([None], [""], [{}]) else values


def compare(monkeypatch: pytest.MonkeyPatch, each: int) -> int:
    """Compare up to `each` data sets of one transfer syntax and folder; gives how many were."""
    need_shared_data()
    monkeypatch.setattr(config.settings, "reading_validation_mode", config.IGNORE)
    seen: Counter[tuple[str, str]] = Counter()
    compared, found = 0, []
    for item in corpus.items():
        kind = (item.transfer_syntax, str(Path(item.name).parent))
        if seen[kind] >= each:
            continue
        try:
            made = dicom_json.from_dataset(item.dataset, item.transfer_syntax, "bulk")
        except VesaliusError:
            continue
        try:
            theirs = oracle(item)
        except Exception:
            continue
        seen[kind] += 1
        compared += 1
        found += [f"{item.name}: {text}" for text in differences(json.loads(made), theirs)]
    assert not found, f"{len(found)} differences in {compared} files: {found[:5]}"
    return compared


def test_real_data_sets_of_every_kind_say_in_json_what_pydicom_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compare(monkeypatch, 2) > 100


@pytest.mark.slow
def test_every_real_data_set_says_in_json_what_pydicom_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compare(monkeypatch, 1_000_000) > 800
