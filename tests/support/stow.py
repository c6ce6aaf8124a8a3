"""Bodies of STOW-RS requests, and answers as sets of UIDs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tests.support.generate import ct, part10
from tests.support.web import Answer, Web
from vesalius.wire.multipart import closing, encode_part

BOUNDARY = "stow-boundary-7d1c"
STUDIES = "/studies"


def content_type(kind: str = "application/dicom", boundary: str = BOUNDARY) -> str:
    return f'multipart/related; type="{kind}"; boundary={boundary}'


def multipart(parts: Iterable[tuple[str | Mapping[str, str], bytes]], boundary: str = BOUNDARY) -> bytes:
    """A whole body; a part's headers may be its Content-Type alone."""
    made = [
        encode_part(boundary, {"Content-Type": headers} if isinstance(headers, str) else headers, body)
        for headers, body in parts
    ]
    return b"".join(made) + closing(boundary)


def files(*bodies: bytes) -> bytes:
    """A body of DICOM files."""
    return multipart(("application/dicom", body) for body in bodies)


def headers(kind: str = "application/dicom", **more: str) -> dict[str, str]:
    return {
        "Content-Type": content_type(kind),
        "Accept": "application/dicom+json",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }


def stored(answer: Mapping[str, Any] | bytes) -> set[str]:
    """SOP Instance UIDs of the Referenced SOP Sequence."""
    return {item["00081155"]["Value"][0] for item in _items(answer, "00081199")}


def failed(answer: Mapping[str, Any] | bytes) -> dict[str, int]:
    """Failure Reason by SOP Instance UID, from the Failed SOP Sequence."""
    return {item["00081155"]["Value"][0]: item["00081197"]["Value"][0] for item in _items(answer, "00081198")}


def others(answer: Mapping[str, Any] | bytes) -> list[int]:
    """Reasons of the Other Failures Sequence."""
    return [item["00081197"]["Value"][0] for item in _items(answer, "0008119A")]


def _items(answer: Mapping[str, Any] | bytes, tag: str) -> list[dict[str, Any]]:
    data = json.loads(answer) if isinstance(answer, bytes) else answer
    return list(data.get(tag, {}).get("Value", []))


def post(site: Web, body: bytes, path: str = STUDIES, **more: str) -> Answer:
    """Send a body of files."""
    return site.dicom_web(path, "POST", headers(**more), body)


_numbers = iter(range(1, 100_000))


def file(study: object = "s", **how: Any) -> tuple[str, bytes]:
    """A new instance: its UID and its file."""
    ds = ct(study=study, series=study, instance=next(_numbers), **how)
    return str(ds.SOPInstanceUID), part10(ds)
