"""The HTTP edge without a server: the real application over a real archive, asked straight through ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from tests.support.archive import FixedClock, LocalArchive, local_archive
from vesalius.archive.commit import Commit
from vesalius.archive.search import Search
from vesalius.backends.commitments_sql import SqlCommitments
from vesalius.backends.hl7_sql import SqlHl7Log
from vesalius.backends.jobs_sql import SqlJobs
from vesalius.backends.pixels_codecs import CodecLimits, PixelCodecs
from vesalius.backends.ris_sql import SqlRis
from vesalius.backends.workitems_sql import SqlWorkitems
from vesalius.hl7.raw import readable
from vesalius.model.entities import Peer
from vesalius.ris.rules import RisRules
from vesalius.web.context import WebContext, WebSettings
from vesalius.web.hl7_desk import Hl7Desk
from vesalius.web.routes import create_app
from vesalius.web.site import Facts, Place

PIECE = 417_792  # bytes of a body that the HTTP server hands over at once


class FakeSite:
    """A site whose facts are made up."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.name = "VESALIUS"

    def problems(self) -> list[str]:
        return self.found

    def metrics(self) -> bytes:
        return b"vesalius_ready 1.0\n"

    def facts(self) -> Facts:
        return Facts(
            version="1",
            ae_title=self.name,
            listeners=(f"{self.name}@127.0.0.1:11112",),
            store_commands=("echoscu",),
            workers=(2, 2),
            index="SQLite",
            patients=1,
            studies=2,
            series=3,
            instances=4_000,
            bytes=5_000_000,
            free_bytes=1 << 40,
            modalities=(("CT", 3),),
            conflicts=1,
            notes=0,
            places=(Place("other", 0),),
            problems=tuple(self.found),
            up_seconds=100,
        )


@dataclass
class Answer:
    """Status, headers (names in lower case) and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        import json

        return json.loads(self.body)


@dataclass
class Web:
    """An application and the archive behind it."""

    app: Starlette
    ctx: WebContext
    archive: LocalArchive
    site: FakeSite = field(default_factory=FakeSite)

    def ask(
        self, target: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """One request straight into the application; `target` is path and query."""
        return asyncio.run(ask(self.app, target, method, headers, body))

    def dicom_web(
        self, target: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """The same below the root of DICOMweb."""
        return self.ask(self.ctx.view.dicom_web + target, method, headers, body)


async def ask(
    app: Any, target: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b""
) -> Answer:
    """One request through ASGI, its answer read to the end."""
    from urllib.parse import unquote

    path, _, query = target.partition("?")
    messages: list[dict[str, Any]] = []
    pieces = [body[at : at + PIECE] for at in range(0, len(body), PIECE)] or [b""]

    async def receive() -> dict[str, Any]:
        if not pieces:
            await asyncio.sleep(3600)
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message: dict[str, Any]) -> None:
        # As the HTTP server does: the memory of a body may be used again once it has been sent.
        messages.append({**message, "body": bytes(message.get("body", b""))})

    given = {"host": "archive.test", **{name.lower(): value for name, value in (headers or {}).items()}}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "method": method, "path": unquote(path), "raw_path": path.encode(),
        "query_string": query.encode(), "headers": [(n.encode(), v.encode("latin-1")) for n, v in given.items()],
        "http_version": "1.1", "scheme": "http", "server": ("archive.test", 80), "client": ("127.0.0.1", 5),
        "root_path": "",
    }  # fmt: skip
    await app(scope, receive, send)
    start = messages[0]
    names = {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]}
    return Answer(start["status"], names, b"".join(message.get("body", b"") for message in messages[1:]))


@contextmanager
def web(folder: Path, **view: Any) -> Iterator[Web]:
    """The application over an archive below `folder`; keyword arguments are of `WebSettings`."""
    with local_archive(folder) as archive:
        codecs = PixelCodecs(CodecLimits(workers=1))
        site = FakeSite()

        def peers() -> dict[str, Peer]:
            return {peer.name: peer for peer in archive.index.peers()}

        pool = ThreadPoolExecutor(4, "web")
        ctx = WebContext(
            site=site,
            search=Search(archive.index, "VESALIUS"),
            retrieve=archive.retrieve,
            index=archive.index,
            blobs=archive.blobs,
            ingest=archive.ingest,
            transcoder=codecs,
            clock=FixedClock(),
            peers=peers,
            pool=pool,
            ris=SqlRis(archive.database),
            ris_rules=RisRules(default_issuer="HOSP"),
            commit=Commit(SqlCommitments(archive.database), archive.index, archive.blobs, FixedClock()),
            jobs=SqlJobs(archive.database, FixedClock()),
            hl7=Hl7Desk(SqlHl7Log(archive.database), readable, ("HIS",), ("EMR",)),
            workitems=SqlWorkitems(archive.database),
            view=WebSettings(**view),
        )
        try:
            yield Web(create_app(ctx), ctx, archive, site)
        finally:
            pool.shutdown()
            codecs.close()
