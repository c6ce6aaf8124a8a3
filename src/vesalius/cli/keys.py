"""Keys of a query as people write them: `PatientName=Doe*`, `0010,0020=4711`, `StudyDate=20240101-`.

A key is a keyword of PS3.6, `gggg,eeee` or `ggggeeee`; inside a sequence `Sequence.Key`. Without `=` it is only
asked for. Several values are joined by a backslash, as in DICOM.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from vesalius.model.entities import Level, Values
from vesalius.model.errors import SettingsError
from vesalius.standard.dictionary import keyword_of, tag_of, vr_of

_TAG = re.compile(r"^\(?([0-9a-fA-F]{4}),?([0-9a-fA-F]{4})\)?$")

# What is asked for at each level where nothing else is said: what one looks for first.
DEFAULT_KEYS: dict[Level, tuple[str, ...]] = {
    Level.PATIENT: ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "NumberOfPatientRelatedStudies"),
    Level.STUDY: (
        "PatientName",
        "PatientID",
        "StudyDate",
        "ModalitiesInStudy",
        "StudyDescription",
        "AccessionNumber",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
        "StudyInstanceUID",
    ),
    Level.SERIES: (
        "PatientName",
        "PatientID",
        "StudyDate",
        "Modality",
        "SeriesNumber",
        "SeriesDescription",
        "NumberOfSeriesRelatedInstances",
        "SeriesInstanceUID",
    ),
    Level.IMAGE: ("PatientID", "StudyDate", "Modality", "SeriesNumber", "InstanceNumber", "SOPClassUID",
                  "SOPInstanceUID"),
}  # fmt: skip


def tag_of_key(text: str) -> int:
    """The tag of a key as people write it. Raises `SettingsError` with the nearest keyword."""
    match = _TAG.match(text.strip())
    if match:
        return int(match[1] + match[2], 16)
    tag = tag_of(text.strip())
    if tag is not None:
        return tag
    from vesalius.model.attributes import ATTRIBUTES

    near = difflib.get_close_matches(text, [row.keyword for row in ATTRIBUTES], 1, 0.6)
    raise SettingsError(
        f"{text!r} is no attribute of DICOM",
        hint=f"Did you mean {near[0]}?" if near else "Write a keyword (PatientID) or a tag (0010,0020).",
    )


def parse_keys(texts: Iterable[str]) -> Values:
    """`KEY`, `KEY=VALUE` and `SEQUENCE.KEY=VALUE` as an identifier. Raises `SettingsError`."""
    values: Values = {}
    for text in texts:
        path, _, value = text.partition("=")
        *parents, last = path.split(".")
        target = values
        for name in parents:
            tag = tag_of_key(name)
            if vr_of(tag) != "SQ":
                raise SettingsError(f"{name} is no sequence", hint="Write SEQUENCE.KEY=VALUE.")
            items = target.setdefault(tag, ({},))
            inner = items[0] if items else None
            if not isinstance(inner, dict):
                raise SettingsError(f"{name} is given twice in different forms")
            target = inner
        tag = tag_of_key(last)
        if vr_of(tag) == "SQ":
            target.setdefault(tag, ({},))
        else:
            target[tag] = tuple(value.split("\\")) if value else ()
    return values


def label(tag: int) -> str:
    """A tag as a column name: its keyword, else `gggg,eeee`."""
    return keyword_of(tag) or f"{tag >> 16:04X},{tag & 0xFFFF:04X}"


def as_row(values: Values) -> dict[str, Any]:
    """An answer by keyword: one value as text, several as a list, none as "", items as a list of objects."""
    row: dict[str, Any] = {}
    for tag, value in sorted(values.items()):
        if value and isinstance(value[0], dict):
            row[label(tag)] = [as_row(item) for item in value if isinstance(item, dict)]
        elif len(value) == 1:
            row[label(tag)] = value[0]
        else:
            row[label(tag)] = list(value) if value else ""
    return row
