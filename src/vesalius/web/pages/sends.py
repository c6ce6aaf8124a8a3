"""Peers for the pages, and sending to them (our own interface, below `/api`).

    GET    /api/peers                who there is
    POST   /api/peers/{name}/echo    does it answer (C-ECHO)
    POST   /api/sends                {"peer": NAME, "study": UID}: sending begins
    GET    /api/sends/{id}           how far it is
    DELETE /api/sends/{id}           stop it

Theory. A sending goes on in this process whether or not anybody looks; what it has come to is written to a small file,
so that every web process can tell and a page finds it again after a reload. It ends with the process: what was sent by
then stays sent, and the state says so after `STALE` seconds of silence.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from vesalius.model.entities import Level, Peer, StoredInstance
from vesalius.model.errors import VesaliusError
from vesalius.model.identifiers import is_tolerable_uid
from vesalius.web.answers import momentary
from vesalius.web.caller import Caller, Canceled, Sent
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.json_body import json_body
from vesalius.web.negotiation import JSON
from vesalius.web.openapi_types import JSON_ERROR, Operation, Value

log = structlog.get_logger()

AT_ONCE = 2
WAITING = 32
KEPT = 24 * 3600.0  # seconds that a finished one can be asked for
STALE = 120.0
_ID = re.compile(r"[0-9a-f]{32}")
_BODY = 64 << 10
_SHOWN = 50


class _Wanted(msgspec.Struct):
    peer: str
    study: str


class _Failed(msgspec.Struct):
    instance: str
    reason: str


class SendState(msgspec.Struct):
    """What a sending has come to."""

    id: str
    peer: str
    study: str
    total: int
    state: str = "running"  # "running" | "done" | "canceled" | "failed"
    done: int = 0
    sent: int = 0
    error: str = ""
    failed: list[_Failed] = []


def folder_of(ctx: WebContext) -> Path | None:
    """Where the states of all web processes are written; None where there is no place for them."""
    return ctx.view.cache / "sends" if ctx.view.cache is not None else None


def _read(file: Path) -> SendState:
    """A state from its file. Raises `OSError`, `msgspec.MsgspecError`."""
    state = msgspec.json.decode(file.read_bytes(), type=SendState)
    if state.state == "running" and time.time() - file.stat().st_mtime > STALE:
        state.state, state.error = "failed", "the service was restarted meanwhile"
    return state


def recent(ctx: WebContext, most: int = 20) -> list[SendState]:
    """What is and was sent in the last day, whichever process does it, the newest first. Blocks."""
    folder = folder_of(ctx)
    found: list[tuple[float, SendState]] = []
    if folder is not None and folder.is_dir():
        for file in folder.glob("*.json"):
            try:
                found.append((file.stat().st_mtime, _read(file)))
            except (OSError, msgspec.MsgspecError):
                continue  # written anew or removed at this moment
    found.sort(key=lambda pair: (pair[1].state == "running", pair[0]), reverse=True)
    return [state for _, state in found[:most]]


class Sends:
    """Sendings of this process, told to all."""

    def __init__(self, ctx: WebContext, caller: Caller) -> None:
        self._ctx = ctx
        self._caller = caller
        self._folder = folder_of(ctx)
        self._memory: dict[str, SendState] = {}
        self._canceled: set[str] = set()
        self._lock = threading.Lock()
        self._running = 0
        self._pool = ThreadPoolExecutor(AT_ONCE, "sends")

    def start(self, peer: Peer, study: str) -> SendState:
        """Begin. Blocks for the look-up. Raises `Problem` (404, 503)."""
        instances = list(self._ctx.index.select(Level.STUDY, studies=(study,)))
        if not instances:
            raise Problem(404, "there is no such study")
        with self._lock:
            if self._running >= WAITING:
                raise Problem(503, "too many sendings are waiting")
            self._running += 1
        state = SendState(uuid.uuid4().hex, peer.name, study, len(instances))
        self._save(state)
        self._pool.submit(self._go, state, peer, instances)
        return state

    def _go(self, state: SendState, peer: Peer, instances: list[StoredInstance]) -> None:
        last = 0.0

        def progress(report: Sent) -> None:
            nonlocal last
            state.sent, state.done = report.sent, report.sent + len(report.failed)
            now = time.monotonic()
            if now - last >= 0.25:
                last = now
                self._save(state)
                if self._is_canceled(state.id):
                    raise Canceled

        try:
            report = self._caller.send(peer, instances, progress)
            state.failed = [_Failed(uid, why) for uid, why in report.failed[:_SHOWN]]
            state.state = "done" if not report.failed else "failed"
        except Canceled:
            state.state = "canceled"
        except VesaliusError as error:
            state.state, state.error = "failed", error.message
        except Exception:
            log.exception("send-fault", peer=peer.name)
            state.state, state.error = "failed", "internal error; see the log"
        finally:
            self._save(state)
            with self._lock:
                self._running -= 1

    def get(self, identifier: str) -> SendState:
        """How far it is. Raises `Problem` (404)."""
        if _ID.fullmatch(identifier):
            if identifier in self._memory:
                return self._memory[identifier]
            if self._folder is not None:
                try:
                    return _read(self._folder / f"{identifier}.json")
                except (OSError, msgspec.MsgspecError):
                    pass
        raise Problem(404, "there is no such sending")

    def cancel(self, identifier: str) -> None:
        """Stop it at its next instance. Raises `Problem` (404)."""
        self.get(identifier)
        self._canceled.add(identifier)
        if self._folder is not None:
            (self._folder / f"{identifier}.stop").touch()

    def _is_canceled(self, identifier: str) -> bool:
        return identifier in self._canceled or (
            self._folder is not None and (self._folder / f"{identifier}.stop").exists()
        )

    def _save(self, state: SendState) -> None:
        if self._folder is None:
            self._memory[state.id] = state
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o750)
            self._clean()
            made = self._folder / f"{state.id}.new"
            made.write_bytes(msgspec.json.encode(state))
            made.replace(self._folder / f"{state.id}.json")
        except OSError as error:
            log.warning("send-state-not-kept", error=error.strerror)
            self._memory[state.id] = state

    def _clean(self) -> None:
        if self._folder is not None:
            for file in self._folder.iterdir():
                if time.time() - file.stat().st_mtime > KEPT:
                    file.unlink(missing_ok=True)


def routes(ctx: WebContext) -> list[BaseRoute]:
    """Everything below `/peers` and `/sends`; the list of peers alone where there is nobody to call them."""

    async def listed(request: Request) -> Response:
        peers = await ctx.call(ctx.peers)
        told = [
            {"name": peer.name, "aet": peer.aet, "host": peer.host, "port": peer.port, "comment": peer.comment}
            for _, peer in sorted(peers.items())
        ]
        return momentary({"peers": told})

    found: list[BaseRoute] = [Route("/peers", listed, methods=["GET"], name="peers")]
    caller = ctx.caller
    if caller is None:
        return found
    sends = Sends(ctx, caller)

    async def named(name: str) -> Peer:
        peer = (await ctx.call(ctx.peers)).get(name)
        if peer is None:
            raise Problem(404, "there is no such peer")
        return peer

    async def echo(request: Request) -> Response:
        peer = await named(request.path_params["name"])
        try:
            seconds = await ctx.call(caller.echo, peer)
        except VesaliusError as error:
            raise Problem(502, error.message, error.hint) from None
        return Response(msgspec.json.encode({"milliseconds": round(seconds * 1000, 1)}), 200, {}, JSON)

    async def start(request: Request) -> Response:
        wanted = await json_body(request, ctx, _Wanted, _BODY)
        if not is_tolerable_uid(wanted.study):
            raise Problem(400, "the study is no UID")
        state = await ctx.call(sends.start, await named(wanted.peer), wanted.study)
        return Response(msgspec.json.encode(state), 202, {}, JSON)

    async def state(request: Request) -> Response:
        told = await ctx.call(sends.get, request.path_params["send"])
        return momentary(told)

    async def cancel(request: Request) -> Response:
        await ctx.call(sends.cancel, request.path_params["send"])
        return Response(None, 204)

    return [
        *found,
        Route("/peers/{name}/echo", echo, methods=["POST"], name="echo"),
        Route("/sends", start, methods=["POST"], name="send"),
        Route("/sends/{send}", state, methods=["GET"], name="sending"),
        Route("/sends/{send}", cancel, methods=["DELETE"], name="cancel-sending"),
    ]


_SEND = Value("send", "id of the sending", {"type": "string", "pattern": "^[0-9a-f]{32}$"}, "path", True)
LISTED = Operation(
    "get", "/peers", "The peers", responses={200: {"type": "object", "required": ["peers"]}}
)  # fmt: skip
OPERATIONS = (
    Operation(
        "post", "/peers/{name}/echo", "Ask a peer for an answer (C-ECHO)",
        parameters=(
            Value("name", "of the peer", {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}, "path", True),
        ),
        responses={200: {"type": "object", "required": ["milliseconds"]}, 404: JSON_ERROR, 502: JSON_ERROR,
                   503: JSON_ERROR},
    ),
    Operation(
        "post", "/sends", "Send a study to a peer",
        request={JSON: {"type": "object", "required": ["peer", "study"],
                        "properties": {"peer": {"type": "string"}, "study": {"type": "string"}}}},
        responses={202: {"type": "object", "required": ["id", "state"]}, 400: JSON_ERROR, 404: JSON_ERROR,
                   413: JSON_ERROR, 415: JSON_ERROR, 503: JSON_ERROR},
    ),
    Operation("get", "/sends/{send}", "How far it is", parameters=(_SEND,),
              responses={200: {"type": "object", "required": ["id", "state"]}, 404: JSON_ERROR}),
    Operation("delete", "/sends/{send}", "Stop it", parameters=(_SEND,), responses={204: None, 404: JSON_ERROR}),
)  # fmt: skip
