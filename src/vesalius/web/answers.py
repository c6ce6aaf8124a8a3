"""Answers whose body is ready: content codings, entity tags and conditional requests (RFC 9110 8.8, 13).

An entity tag is weak where the same content may come in several codings, which is everywhere here.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping

import msgspec
import zstandard
from starlette.requests import Request
from starlette.responses import Response

from vesalius.web.negotiation import JSON, choose_encoding

SMALLEST_COMPRESSED = 1024  # bytes; below this a coding costs more than it saves

# What a browser may keep but must ask about each time: patient data never outlives a change or a lost right.
REVALIDATE = {"Cache-Control": "private, no-cache", "Vary": "Accept, Accept-Encoding"}


def entity_tag(*parts: bytes | str) -> str:
    """A weak entity tag that says the same for the same parts."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part if isinstance(part, bytes) else part.encode())
        digest.update(b"\0")
    return f'W/"{digest.hexdigest()}"'


def not_modified(request: Request, tag: str) -> Response | None:
    """304 where the client has this already (If-None-Match, weak comparison)."""
    known = request.headers.get("if-none-match")
    if known is None:
        return None
    tags = {part.strip().removeprefix("W/") for part in known.split(",")}
    if tag.removeprefix("W/") in tags or "*" in tags:
        return Response(None, 304, {"ETag": tag, **REVALIDATE})
    return None


def momentary(body: object, status: int = 200) -> Response:
    """What is so at this moment, as JSON that nobody keeps."""
    return Response(msgspec.json.encode(body), status, {"Cache-Control": "no-store"}, JSON)


def compress(body: bytes, coding: str) -> bytes:
    """A body in a content coding."""
    if coding == "zstd":
        return zstandard.ZstdCompressor(level=1).compress(body)
    if coding == "gzip":
        return gzip.compress(body, compresslevel=1, mtime=0)
    return body


def answer(
    request: Request,
    body: bytes,
    media_type: str,
    *,
    tag: str | None = None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A body in the coding that the client likes best, or 304 where it has it already."""
    if tag is None:
        tag = entity_tag(media_type, body)
    if status == 200 and (known := not_modified(request, tag)) is not None:
        # A cache takes over the headers of a 304 (RFC 9111 3.2): a policy that is missing here would be replaced.
        known.headers.update(headers or {})
        return known
    sent = {**REVALIDATE, "ETag": tag, **(headers or {})}
    coding = choose_encoding(request.headers.get("accept-encoding", ""))
    if coding != "identity" and len(body) >= SMALLEST_COMPRESSED:
        body = compress(body, coding)
        sent["Content-Encoding"] = coding
    return Response(body, status, sent, media_type)
