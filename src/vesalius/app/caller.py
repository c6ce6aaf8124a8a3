"""Calling peers for the pages: one association for one errand (`web.caller.Caller`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from vesalius.model.entities import Peer, StoredInstance
from vesalius.model.errors import ClassNotSupported, PeerUnreachable, VesaliusError
from vesalius.web.caller import Sent

if TYPE_CHECKING:
    from vesalius.app.wiring import Archive
    from vesalius.dimse.client import Association
    from vesalius.dimse.contexts import Proposal

T = TypeVar("T")

HELD = 8 << 20  # a data set up to this is sent from memory; a larger one as it is read


class ArchiveCaller:
    """Over the archive of this process."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def echo(self, peer: Peer) -> float:
        """See `Caller`."""

        async def ask() -> float:
            from vesalius.dimse import c_echo
            from vesalius.dimse.contexts import for_verification
            from vesalius.standard.statuses import SUCCESS, describe

            began = time.perf_counter()
            async with self._associated(peer, for_verification()) as assoc:
                response = await c_echo.echo(assoc)
                if response.status != SUCCESS:
                    raise PeerUnreachable(f"{peer.name} answered {describe(response.status)}")
            return time.perf_counter() - began

        return _run(ask())

    def send(self, peer: Peer, instances: Sequence[StoredInstance], progress: Callable[[Sent], None]) -> Sent:
        """See `Caller`."""
        report = Sent()

        async def go() -> None:
            from vesalius.dimse.contexts import for_storing

            with ThreadPoolExecutor(1, "send") as executor:
                for proposals, classes in for_storing(iter(instances)):
                    async with self._associated(peer, proposals) as assoc:
                        for instance in instances:
                            if instance.sop_class in classes:
                                await self._send_one(assoc, instance, report, executor)
                                progress(report)

        _run(go())
        return report

    async def _send_one(
        self, assoc: Association, instance: StoredInstance, report: Sent, executor: ThreadPoolExecutor
    ) -> None:
        from vesalius.dimse import c_store
        from vesalius.standard.statuses import StatusKind, describe, kind_of

        uid = instance.sop_instance
        accepted = tuple(assoc.takes(instance.sop_class))
        if not accepted:
            report.failed.append((uid, "the peer does not take this SOP Class"))
            return
        loop = asyncio.get_running_loop()
        try:
            payload = await loop.run_in_executor(executor, self._archive.retrieve.payload, instance, accepted)
            data: bytes | Iterator[bytes] = payload.chunks
            if payload.length <= HELD:
                data = await loop.run_in_executor(executor, lambda: b"".join(payload.chunks))
        except VesaliusError as error:
            report.failed.append((uid, error.message))
            return
        outgoing = c_store.Outgoing(instance.sop_class, uid, payload.transfer_syntax, data, payload.length)
        response = await c_store.store(assoc, outgoing, executor=executor)
        if kind_of(response.status) is StatusKind.FAILURE:
            report.failed.append((uid, describe(response.status)))
        else:
            report.sent += 1

    @asynccontextmanager
    async def _associated(self, peer: Peer, proposals: Sequence[Proposal]) -> AsyncIterator[Association]:
        from vesalius.app.limits import dimse_settings
        from vesalius.app.tls import client_tls
        from vesalius.dimse.client import Association

        settings = self._archive.settings
        async with Association.open(
            peer,
            proposals,
            calling_aet=settings.server.ae_title,
            settings=dimse_settings(settings),
            tls=client_tls(settings) if peer.tls else None,
        ) as assoc:
            yield assoc


def _run(work: Coroutine[object, object, T]) -> T:
    """Run to the end; whatever goes wrong at or on the way to the peer is `PeerUnreachable`."""
    from vesalius.dimse.errors import OperationFailed
    from vesalius.dimse.link import ConnectionGone

    try:
        return asyncio.run(work)
    except TimeoutError:
        raise PeerUnreachable("the peer did not answer in time") from None
    except ConnectionGone as error:
        raise PeerUnreachable(f"the association broke: {error}") from None
    except (OperationFailed, ClassNotSupported) as error:
        raise PeerUnreachable(error.message, hint=error.hint) from None
