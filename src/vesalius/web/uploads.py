"""Uploads that may break off and go on, for the page and for scripts (our own interface, below `/api`).

    POST   /api/uploads          Upload-Length, optional Upload-Name, Upload-Sha256   201, Location, Upload-Offset
    PATCH  /api/uploads/{id}     Upload-Offset, a body, optional Content-Digest       204, Upload-Offset
    HEAD   /api/uploads/{id}     how far it is                                         200, Upload-Offset
    GET    /api/uploads/{id}     how far, and what became of it                        200, JSON
    DELETE /api/uploads/{id}     forget it                                             204

Theory. `archive/uploads.py` does the work; here are only headers. What has come of a piece when its connection
breaks is counted, so the sender asks HEAD and goes on from there; only a piece with a Content-Digest (RFC 9530)
counts whole or not at all. A request from a page of another origin can set none of these headers without a
permission that is never given.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from vesalius.archive.uploads import DigestDiffers, Piece, Upload, UploadBusy, UploadSpool, UploadState, WrongOffset
from vesalius.model.errors import LimitExceeded, VesaliusError
from vesalius.web.body import CLOSE, Body
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem

log = structlog.get_logger()

_SHA256 = re.compile(r"sha-256\s*=\s*:([A-Za-z0-9+/]+={0,2}):")


def routes(ctx: WebContext) -> list[BaseRoute]:
    """Everything below `/uploads`; nothing where there is no spool."""
    if ctx.view.uploads is None:
        return []
    uploads = Uploads(ctx, UploadSpool(ctx.view.uploads))
    return [
        Route("/uploads", uploads.create, methods=["POST"], name="create-upload"),
        Route("/uploads/{upload}", uploads.append, methods=["PATCH"], name="append-to-upload"),
        Route("/uploads/{upload}", uploads.state, methods=["GET", "HEAD"], name="upload"),
        Route("/uploads/{upload}", uploads.remove, methods=["DELETE"], name="remove-upload"),
    ]


class Uploads:
    """The handlers."""

    def __init__(self, ctx: WebContext, spool: UploadSpool) -> None:
        self._ctx = ctx
        self._spool = spool
        # One at a time: an import keeps a disk busy by itself, and readers share the other threads.
        self._importing = ThreadPoolExecutor(1, "upload")
        self._tasks: set[asyncio.Future[None]] = set()

    async def create(self, request: Request) -> Response:
        """Announce."""
        length = request.headers.get("upload-length", "")
        if not (length.isascii() and length.isdigit() and len(length) <= 18):
            raise Problem(400, "Upload-Length must say how many bytes will come")
        upload = await self._ctx.call(
            self._spool.create,
            unquote(request.headers.get("upload-name", "")),
            int(length),
            sha256=request.headers.get("upload-sha256", "").lower(),
            address=request.client.host if request.client is not None else "",
        )
        return Response(None, 201, {"Location": f"{self._ctx.base_url(request)}{self._path(upload)}", **_told(upload)})

    async def append(self, request: Request) -> Response:
        """The next piece."""
        offset = request.headers.get("upload-offset", "")
        if not (offset.isascii() and offset.isdigit() and len(offset) <= 18):
            raise Problem(400, "Upload-Offset must say where the piece begins", headers=CLOSE)
        digest = _content_digest(request)
        view = self._ctx.view
        size = view.uploads.size if view.uploads is not None else 0
        body = Body(request, limit=size, idle=view.upload_idle)
        try:
            piece = await self._ctx.call(self._spool.append, request.path_params["upload"], int(offset))
        except WrongOffset as error:
            headers = {"Upload-Offset": str(error.offset), **CLOSE}
            raise Problem(409, error.message, error.hint, headers=headers) from None
        except UploadBusy as error:
            raise Problem(409, error.message, error.hint, headers=CLOSE) from None
        upload = await self._receive(body, piece, digest)
        if upload.state is UploadState.RECEIVED:
            self._import(upload.id)
        return Response(None, 204, _told(upload))

    async def _receive(self, body: Body, piece: Piece, digest: bytes | None) -> Upload:
        try:
            while data := await body.read():
                piece.write(data)
            return await self._ctx.call(piece.commit, digest)
        except DigestDiffers as error:
            raise Problem(400, error.message, error.hint, headers={"Upload-Offset": str(piece.upload.offset)}) from None
        except LimitExceeded as error:
            raise Problem(413, error.message, headers=CLOSE) from None
        except Problem:
            # What came before the break counts, so that little is sent twice.
            if digest is None:
                await self._ctx.call(piece.commit)
            raise
        finally:
            piece.abort()

    async def state(self, request: Request) -> Response:
        """How far it is, and what became of it."""
        upload = await self._ctx.call(self._spool.get, request.path_params["upload"])
        if request.method == "HEAD":
            return Response(None, 200, _told(upload))
        known = {
            "id": upload.id,
            "name": upload.name,
            "size": upload.size,
            "offset": upload.offset,
            "state": upload.state.value,
            "taken": upload.taken,
            "known": upload.known,
            "conflicts": upload.conflicts,
            "refused": upload.refused,
            "skipped": upload.skipped,
            "reasons": [{"name": name, "reason": reason} for name, reason in upload.reasons],
            "stopped": upload.stopped,
        }
        return Response(msgspec.json.encode(known), 200, _told(upload), "application/json")

    async def remove(self, request: Request) -> Response:
        """Forget it."""
        try:
            await self._ctx.call(self._spool.remove, request.path_params["upload"])
        except UploadBusy as error:
            raise Problem(409, error.message, error.hint) from None
        return Response(None, 204)

    def _import(self, upload: str) -> None:
        """In the background; the work process does it where this one does not come to it."""

        def take() -> None:
            try:
                self._spool.take(upload, self._ctx.ingest)
            except VesaliusError as error:
                log.warning("upload-not-taken", upload=upload, error=error.message)
            except Exception:
                log.exception("upload-fault", upload=upload)

        task: asyncio.Future[None] = asyncio.get_running_loop().run_in_executor(self._importing, take)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _path(self, upload: Upload) -> str:
        return f"{self._ctx.view.api}/uploads/{upload.id}"


def _told(upload: Upload) -> dict[str, str]:
    return {
        "Upload-Offset": str(upload.offset),
        "Upload-Length": str(upload.size),
        "Cache-Control": "no-store",
    }


def _content_digest(request: Request) -> bytes | None:
    """The SHA-256 of a Content-Digest header (RFC 9530). Raises `Problem` (400) where it is malformed."""
    header = request.headers.get("content-digest")
    if header is None:
        return None
    match = _SHA256.search(header)
    try:
        digest = base64.b64decode(match[1], validate=True) if match is not None else b""
    except binascii.Error:
        digest = b""
    if len(digest) != 32:
        raise Problem(400, "Content-Digest holds no sha-256", headers=CLOSE)
    return digest
