"""Bodies of STOW-RS requests, and answers as sets of UIDs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from vesalius.wire.multipart import closing, encode_part

BOUNDARY = "stow-boundary-7d1c"


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
