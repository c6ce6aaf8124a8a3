"""Small multipart bodies, whole in memory (RFC 2046 5.1, RFC 2387)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def multipart(parts: Iterable[bytes], part_type: str) -> tuple[bytes, str]:
    """A multipart/related body and its Content-Type.

    The boundary is the digest of the parts: the same answer has the same bytes, and no part can hold it.
    """
    found = list(parts)
    digest = hashlib.blake2b(digest_size=20)
    for part in found:
        digest.update(part)
    boundary = digest.hexdigest().encode()
    out = []
    for part in found:
        out += [b"--", boundary, b"\r\nContent-Type: ", part_type.encode(), b"\r\n\r\n", part, b"\r\n"]
    out += [b"--", boundary, b"--\r\n"]
    return b"".join(out), f'multipart/related; type="{part_type}"; boundary="{boundary.decode()}"'
