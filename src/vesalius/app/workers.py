"""What each kind of process does between its fork and its end.

Every `*_main` builds its own archive (nothing of a database or a pack is carried over a fork), calls `ready`
once it does its work, and gives its exit code. SIGTERM asks for a graceful end; the supervisor sends SIGKILL to one
that takes too long, and nothing that was acknowledged depends on a graceful end.
"""

from __future__ import annotations

import asyncio
import ctypes
import dataclasses
import gc
import importlib
import os
import signal
import threading
from collections.abc import Callable
from functools import partial

import structlog

from vesalius.app.board import Board
from vesalius.app.checks import Listeners
from vesalius.app.settings import Settings
from vesalius.model.errors import VesaliusError

log = structlog.get_logger()

Ready = Callable[[], None]

# Imported once before the first fork, so that their pages are shared and a restart is quick.
PRELOADED = (
    "asyncio",
    "ssl",
    "uvloop",
    "prometheus_client.multiprocess",
    "vesalius.app.clinical",
    "vesalius.app.duties",
    "vesalius.app.hl7",
    "vesalius.app.metrics",
    "vesalius.app.wiring",
    "vesalius.archive.copies",
    "vesalius.archive.ingest",
    "vesalius.archive.reindex",
    "vesalius.archive.retrieve",
    "vesalius.archive.search",
    "vesalius.backends.blobs_packs",
    "vesalius.backends.database_sqlite",
    "vesalius.backends.index_sql",
    "vesalius.backends.pixels_codecs",
    "vesalius.dimse.server",
)


def preload() -> None:
    """Import everything that a worker will need. Starts no thread and opens nothing."""
    for name in PRELOADED:
        importlib.import_module(name)


def _settle() -> None:
    """After building: long-lived objects leave the collector's rounds, freed pages go back to the system."""
    gc.collect()
    gc.freeze()
    ctypes.CDLL(None).malloc_trim(0)


def _keep_freed_memory(kept: int) -> None:
    """Blocks of some hundred kilobytes come from the heap and stay in it: frames are read and sent thousands of times a
    second, and by default each would be mapped, faulted in page by page and unmapped again (a third of the rate).
    `kept`: bytes that stay at most.
    """
    m_trim_threshold, m_mmap_threshold = -1, -3  # malloc.h
    libc = ctypes.CDLL(None)
    libc.mallopt(m_mmap_threshold, 4 << 20)
    libc.mallopt(m_trim_threshold, kept)


def prepare_main(settings: Settings, ready: Ready, *, begins: bool = False) -> int:
    """Open (and migrate) the database once, and take up what dead processes left in their packs.

    `begins`: the service does, and whoever is subscribed to something of it hears of that.
    """
    from vesalius.app.limits import header_limits
    from vesalius.app.wiring import build
    from vesalius.archive.reindex import recover
    from vesalius.ris import subscriptions

    try:
        archive = build(settings)
        try:
            recover(archive.blobs, archive.index, log, limits=header_limits(settings))
            if begins and archive.workitems.look(lambda view: view.receivers()):
                archive.workitems.change(subscriptions.restarted, archive.clock.utc())
            if archive.index.outdated():
                log.warning(
                    "index-outdated",
                    hint="this version keeps other attributes than the index was made with: run `vesalius reindex`",
                )
        finally:
            archive.close()
    except VesaliusError as error:
        log.error("prepare-failed", error=error.message, hint=error.hint)
        return 1
    ready()
    return 0


def dimse_main(settings: Settings, listeners: Listeners, board: Board, row: int, ready: Ready) -> int:
    """Associations on every DICOM port."""
    import uvloop

    from vesalius.app import affinity
    from vesalius.app.board_associations import tell
    from vesalius.app.clinical import Clinical
    from vesalius.app.duties import WorkerDuties
    from vesalius.app.hl7 import Hl7
    from vesalius.app.jobs import owner_of
    from vesalius.app.metrics import Metrics
    from vesalius.app.tls import server_tls
    from vesalius.app.wiring import build, services
    from vesalius.dimse.server import DimseServer

    _keep_freed_memory(6 << 20)
    metrics = Metrics()
    owner = owner_of(settings.data, f"dimse {board.rows()[row].number}")
    archive = build(settings, metrics=metrics, migrate=False, owner=owner)
    archive.bell.hear(partial(board.ring, row))
    duties = WorkerDuties(archive, board, row)
    allowed = frozenset(os.sched_getaffinity(0))
    home = None
    if not affinity.has_quota():
        home = affinity.processor_for(settings, board.rows()[row].number - 1, os.getppid(), allowed)

    async def main() -> None:
        stop = _stop_event()
        tls = server_tls(settings)
        clinical = Clinical(archive, owner, rung=board.rung, observe=metrics.job_ended)
        hl7 = Hl7(archive, owner, metrics.hl7_happened)
        servers = []
        pressure = None
        for listener in listeners.dimse:
            known = services(archive, loopback=listener.loopback, metrics=metrics)
            known = dataclasses.replace(
                known,
                thread_began=partial(affinity.free_again, allowed),
                availability=clinical.availability,
                commitment_begun=clinical.commitment_begun,
                sent=clinical.sent,
            )
            server = DimseServer(known, pressure=pressure)
            pressure = server.pressure  # limits are the process's, whatever number of ports it has
            await server.start(listener.host, listener.port, ssl=tls if listener.tls else None, reuse_port=True)
            servers.append(server)
        duties.start()
        clinical.start()
        await hl7.start(listeners.hl7)
        name = f"dimse {board.rows()[row].number}"
        telling = asyncio.create_task(tell(partial(board.set_associations, row), servers, name))
        _settle()
        affinity.keep_to(home)
        ready()
        await stop.wait()
        await clinical.stop()
        await hl7.stop(settings.server.grace)
        await asyncio.gather(*(server.stop(settings.server.grace) for server in servers))
        telling.cancel()

    uvloop.run(main())
    duties.stop()
    archive.close()
    return 0


def web_main(settings: Settings, listeners: Listeners, board: Board, row: int, ready: Ready) -> int:
    """DICOMweb, the pages, health, readiness and metrics."""
    from pathlib import Path

    import uvloop
    from granian.constants import Interfaces
    from granian.server.embed import Server

    from vesalius.app.duties import HouseDuties, WorkerDuties
    from vesalius.app.health import ArchiveSite
    from vesalius.app.metrics import Metrics
    from vesalius.app.wiring import build, web_context
    from vesalius.web.routes import create_app

    _keep_freed_memory(16 << 20)
    archive = build(settings, metrics=Metrics(), migrate=False)
    archive.bell.hear(partial(board.ring, row))
    context = web_context(archive, ArchiveSite(archive, board, listeners))
    duties = WorkerDuties(archive, board, row)
    stop_duties = threading.Event()
    if "work" not in board.kinds and board.kinds.index("web") == row:
        threading.Thread(target=HouseDuties(archive).run, args=(stop_duties,), name="duties", daemon=True).start()
    http = listeners.http
    certificate, key = settings.server.tls_certificate, settings.server.tls_key

    async def main() -> None:
        stop = _stop_event()
        server = Server(
            create_app(context),
            address=http.host,
            port=http.port,
            interface=Interfaces.ASGI,
            log_enabled=False,
            websockets=True,
            runtime_threads=1,
            ssl_cert=Path(certificate) if http.tls else None,
            ssl_key=Path(key or certificate) if http.tls else None,
        )
        serving = asyncio.create_task(server.serve())
        await _listening(http.host, http.port, serving)
        duties.start()
        _settle()
        ready()
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
            raise RuntimeError("the HTTP server ended by itself")
        context.closing.set()
        await asyncio.sleep(0.05)  # for web sockets to say that they are going away
        # What is still being answered when the time is over is broken off, and the HTTP server trips over that.
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        server.stop()  # type: ignore[no-untyped-call]
        await asyncio.wait((serving,), timeout=1.5)

    uvloop.run(main())
    stop_duties.set()
    duties.stop()
    context.shutdown()
    archive.close()
    return 0


def work_main(settings: Settings, listeners: Listeners, board: Board, row: int, ready: Ready) -> int:
    """What goes on behind: copies, orphaned packs, statistics of the planner."""
    from vesalius.app.duties import HouseDuties
    from vesalius.app.wiring import build

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    archive = build(settings, migrate=False)
    _settle()
    ready()
    HouseDuties(archive).run(stop)
    archive.close()
    return 0


def _stop_event() -> asyncio.Event:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    return stop


async def _listening(host: str, port: int, serving: asyncio.Task[None]) -> None:
    """Until the port takes connections, or the server has failed."""
    while not serving.done():
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.005)
        else:
            writer.close()
            return
    serving.result()
