"""What commands say to other application entities: one association for one errand, from beginning to end.

Each function blocks. Whatever goes wrong at or on the way to the peer is `PeerUnreachable`, so that scripts can tell
"the other side" (exit code 3) from "our side".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from vesalius.cli import options
from vesalius.model.entities import Level, Peer, Values
from vesalius.model.errors import ClassNotSupported, PeerUnreachable, VesaliusError

if TYPE_CHECKING:
    from vesalius.app.settings import Settings
    from vesalius.app.wiring import Archive
    from vesalius.archive.ingest import Ingest
    from vesalius.cli.items import Item
    from vesalius.dimse.client import Association
    from vesalius.dimse.contexts import Proposal

T = TypeVar("T")

QUERY_RETRIEVE_LEVEL = 0x00080052
SOP_CLASSES_IN_STUDY = 0x00080062
UNIQUE_KEYS = {Level.PATIENT: 0x00100020, Level.STUDY: 0x0020000D, Level.SERIES: 0x0020000E, Level.IMAGE: 0x00080018}


@dataclass(slots=True)
class SendReport:
    """What became of each instance."""

    sent: int = 0
    bytes: int = 0
    warnings: list[tuple[str, str]] = field(default_factory=list)  # SOP Instance UID, why
    failed: list[tuple[str, str]] = field(default_factory=list)
    taken: list[tuple[str, str]] = field(default_factory=list)  # SOP Class and Instance UID


@dataclass(slots=True)
class RetrieveReport:
    """What a C-MOVE or C-GET came to."""

    status: int = 0
    completed: int = 0
    failed: int = 0
    warnings: int = 0
    comment: str = ""


def run(work: Coroutine[object, object, T]) -> T:
    """Run to the end; time-outs, broken associations and refusals become `PeerUnreachable`."""
    from vesalius.dimse.errors import OperationFailed
    from vesalius.dimse.link import ConnectionGone

    try:
        return asyncio.run(work)
    except TimeoutError:
        raise PeerUnreachable("the peer did not answer in time") from None
    except ConnectionGone as error:
        raise PeerUnreachable(f"the association broke: {error}") from None
    except OperationFailed as error:
        raise PeerUnreachable(error.message, hint=error.hint) from None


@asynccontextmanager
async def _associated(
    peer: Peer,
    proposals: Sequence[Proposal],
    settings: Settings,
    *,
    ingest: Ingest | None = None,
    calling_aet: str = "",
) -> AsyncIterator[Association]:
    from vesalius.app.limits import dimse_settings
    from vesalius.app.tls import client_tls
    from vesalius.dimse.client import Association

    async with Association.open(
        peer,
        proposals,
        calling_aet=calling_aet or settings.server.ae_title,
        settings=dimse_settings(settings),
        tls=client_tls(settings) if peer.tls else None,
        ingest=ingest,
    ) as assoc:
        yield assoc


def peer_and_settings(name: str, data: Path | None, config: Path | None) -> tuple[Peer, Settings]:
    """The peer of that name and the settings of this call."""
    with options.archive(data, config, must_exist=False) as archive:
        return options.peer_named(name, archive.peers()), archive.settings


def echo(name: str, *, data: Path | None, config: Path | None) -> tuple[Peer, float]:
    """C-ECHO. Gives the peer that answered and the seconds that it took; raises `PeerUnreachable`."""
    peer, settings = peer_and_settings(name, data, config)

    async def ask() -> float:
        from vesalius.dimse import c_echo
        from vesalius.dimse.contexts import for_verification
        from vesalius.standard.statuses import SUCCESS, describe

        began = time.perf_counter()
        async with _associated(peer, for_verification(), settings) as assoc:
            response = await c_echo.echo(assoc)
            if response.status != SUCCESS:
                raise PeerUnreachable(f"{name} answered {describe(response.status)}")
        return time.perf_counter() - began

    try:
        seconds = run(ask())
    except ClassNotSupported as error:
        raise PeerUnreachable(f"{name}: {error.message}") from None
    return peer, seconds


def find(
    name: str,
    identifier: Values,
    level: Level,
    *,
    limit: int | None,
    fuzzy: bool,
    data: Path | None,
    config: Path | None,
) -> Iterator[Values]:
    """C-FIND: the matches in the order in which they come, at most `limit`."""
    peer, settings = peer_and_settings(name, data, config)

    async def ask() -> list[Values]:
        from vesalius.dimse import c_find
        from vesalius.dimse.contexts import for_find
        from vesalius.model.query import Options, Root

        root = Root.PATIENT if level is Level.PATIENT else Root.STUDY
        wish = Options(relational=True, combined_datetime=True, fuzzy_names=fuzzy)
        asked: Values = {QUERY_RETRIEVE_LEVEL: (level.name,)} | identifier
        for at, tag in UNIQUE_KEYS.items():
            if at <= level and not (root is Root.STUDY and at is Level.PATIENT):
                asked.setdefault(tag, ())
        found: list[Values] = []
        async with _associated(peer, for_find(root, wish), settings) as assoc:
            answers = c_find.find(assoc, asked, root=root, charsets=_charsets(asked))
            async for answer in answers:
                found.append(answer)
                if limit is not None and len(found) >= limit:
                    break
            await answers.aclose()  # type: ignore[attr-defined]
        return found

    try:
        yield from run(ask())
    except ClassNotSupported as error:
        raise PeerUnreachable(f"{name}: {error.message}") from None


def worklist(
    name: str, question: Values, calling: str, *, limit: int | None, data: Path | None, config: Path | None
) -> Iterator[Values]:
    """C-FIND of a worklist, under the AE title `calling` or our own: the steps in the order in which they come."""
    peer, settings = peer_and_settings(name, data, config)

    async def ask() -> list[Values]:
        from vesalius.dimse import worklist as service

        found: list[Values] = []
        async with (
            _associated(peer, service.for_worklist(), settings, calling_aet=calling) as assoc,
            aclosing(service.find(assoc, question)) as answers,
        ):
            async for answer in answers:
                found.append(answer)
                if limit is not None and len(found) >= limit:
                    break
        return found

    try:
        yield from run(ask())
    except ClassNotSupported as error:
        raise PeerUnreachable(f"{name}: {error.message}") from None


def _charsets(values: Values) -> tuple[str, ...]:
    """UTF-8 where a key needs it; nothing where ASCII does."""

    def ascii_only(inner: Values) -> bool:
        return all(
            part.isascii() if isinstance(part, str) else ascii_only(part) for value in inner.values() for part in value
        )

    return () if ascii_only(values) else ("ISO_IR 192",)


def send(
    items: Sequence[Item], peer: Peer, settings: Settings, *, progress: Callable[[int], None] = lambda _count: None
) -> SendReport:
    """C-STORE each item; as many associations one after the other as their contexts need.

    An instance that the peer refuses, or that nothing turns into what it takes, is in the report; the others go on.
    Raises `PeerUnreachable`.
    """
    report = SendReport()

    async def go() -> None:
        from vesalius.dimse.contexts import for_storing

        for proposals, classes in for_storing(item.instance for item in items):
            mine = [item for item in items if item.instance.sop_class in classes]
            async with _associated(peer, proposals, settings) as assoc:
                for item in mine:
                    await _send_one(assoc, item, report)
                    progress(1)

    run(go())
    return report


async def _send_one(assoc: Association, item: Item, report: SendReport) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from vesalius.dimse import c_store
    from vesalius.standard.statuses import StatusKind, describe, kind_of

    instance = item.instance
    uid = instance.sop_instance
    accepted = tuple(assoc.takes(instance.sop_class))
    if not accepted:
        report.failed.append((uid, "the peer does not take this SOP Class"))
        return
    with ThreadPoolExecutor(1) as executor:
        loop = asyncio.get_running_loop()
        try:
            payload = await loop.run_in_executor(executor, item.payload, accepted)
            data: bytes | Iterator[bytes] = payload.chunks
            if payload.length <= 8 << 20:
                data = await loop.run_in_executor(executor, lambda: b"".join(payload.chunks))
        except VesaliusError as error:
            report.failed.append((uid, error.message))
            return
        outgoing = c_store.Outgoing(instance.sop_class, uid, payload.transfer_syntax, data, payload.length)
        response = await c_store.store(assoc, outgoing, executor=executor)
    kind = kind_of(response.status)
    if kind is StatusKind.FAILURE:
        comment = response.command.error_comment
        report.failed.append((uid, describe(response.status) + (f": {comment}" if comment else "")))
        return
    report.sent += 1
    report.taken.append((instance.sop_class, uid))
    report.bytes += payload.length
    if kind is StatusKind.WARNING:
        report.warnings.append((uid, describe(response.status)))


def retrieve(
    archive: Archive,
    peer: Peer,
    keys: Mapping[Level, Sequence[str]],
    level: Level,
    *,
    by_move: bool,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> RetrieveReport:
    """C-GET into this archive, or C-MOVE to its running service. `keys`: the unique keys, those above included.

    Raises `PeerUnreachable`.
    """
    from vesalius.model.query import Root

    root = Root.PATIENT if Level.PATIENT in keys else Root.STUDY
    identifier: Values = {QUERY_RETRIEVE_LEVEL: (level.name,)}
    for at, values in keys.items():
        identifier[UNIQUE_KEYS[at]] = tuple(values)

    async def go() -> RetrieveReport:
        from vesalius.dimse import c_get, c_move
        from vesalius.dimse.contexts import COMPRESSED, for_get, for_move

        report = RetrieveReport()
        settings = archive.settings
        if by_move:
            async with _associated(peer, for_move(root), settings) as assoc:
                responses = c_move.move(assoc, identifier, settings.server.ae_title, root=root)
                await _follow(responses, report, progress)
        else:
            classes = await _classes_there(peer, settings, keys)
            # What is there is asked for in every form, so that it comes as it is stored and not decoded.
            proposals = for_get(root, classes, (*COMPRESSED, *_rarer(COMPRESSED))) if classes else for_get(root)
            async with _associated(peer, proposals, settings, ingest=archive.ingest) as assoc:
                await _follow(c_get.get(assoc, identifier, root=root), report, progress)
        return report

    try:
        return run(go())
    except ClassNotSupported as error:
        raise PeerUnreachable(f"{peer.name}: {error.message}") from None


def _rarer(known: Sequence[str]) -> tuple[str, ...]:
    """Every other transfer syntax that an instance may be stored in, the current ones first."""
    from vesalius.standard.transfer_syntaxes import EXPLICIT_LE, IMPLICIT_LE, TRANSFER_SYNTAXES

    others = [one for uid, one in TRANSFER_SYNTAXES.items() if uid not in (*known, EXPLICIT_LE, IMPLICIT_LE)]
    return tuple(one.uid for one in sorted(others, key=lambda one: (one.private, one.retired and one.encapsulated)))


async def _classes_there(peer: Peer, settings: Settings, keys: Mapping[Level, Sequence[str]]) -> tuple[str, ...]:
    """The SOP classes in the study, if the peer tells: a C-GET must name what it takes, and 128 contexts are few."""
    from vesalius.dimse import c_find
    from vesalius.dimse.contexts import for_find
    from vesalius.dimse.link import ConnectionGone

    studies = keys.get(Level.STUDY, ())
    if len(studies) != 1:
        return ()
    found: dict[str, None] = {}
    identifier: Values = {
        QUERY_RETRIEVE_LEVEL: ("STUDY",),
        UNIQUE_KEYS[Level.STUDY]: (studies[0],),
        SOP_CLASSES_IN_STUDY: (),
    }
    try:
        async with _associated(peer, for_find(), settings) as assoc:
            async for answer in c_find.find(assoc, identifier):
                found.update(dict.fromkeys(uid for uid in answer.get(SOP_CLASSES_IN_STUDY, ()) if isinstance(uid, str)))
    except (VesaliusError, ConnectionGone, TimeoutError):
        return ()
    return tuple(found)


async def _follow(
    responses: AsyncIterator[object], report: RetrieveReport, progress: Callable[[int, int], None]
) -> None:
    from vesalius.dimse.operations import Response

    async for response in responses:
        if not isinstance(response, Response):
            continue
        command = response.command
        report.status = response.status
        report.completed = command.completed or report.completed
        report.failed = command.failed or report.failed
        report.warnings = command.warning or report.warnings
        report.comment = command.error_comment or ""
        done = report.completed + report.failed + report.warnings
        progress(done, done + (command.remaining or 0))
