"""Multipart answers taken apart, by the smallest reader possible and none of the product's."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass
class Part:
    """Header fields (names in lower case) and content."""

    fields: dict[str, str]
    content: bytes

    @property
    def type(self) -> str:
        return self.fields["content-type"]


def split(content_type: str, body: bytes) -> list[Part]:
    """The parts of a multipart/related body; fails where it is not closed."""
    found = re.search(r'boundary="?([^";]+)"?', content_type)
    assert content_type.startswith("multipart/related") and found, content_type
    boundary = b"--" + found[1].encode()
    assert body.startswith(boundary + b"\r\n")
    assert body.endswith(b"\r\n" + boundary + b"--\r\n")
    parts = []
    for raw in body[: -len(boundary) - 6].split(boundary + b"\r\n")[1:]:
        head, _, content = raw.removesuffix(b"\r\n").partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        parts.append(Part({name.lower(): value for name, value in fields.items()}, content))
    return parts
