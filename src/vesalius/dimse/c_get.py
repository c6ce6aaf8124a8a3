"""C-GET, both roles (PS3.7 9.1.3, PS3.4 C.4.3).

As SCP the instances come back on the association of the request, in the contexts for which its requestor took the SCP
role (PS3.4 C.5.3.1); what has no such context counts as failed (D23). As SCU the instances that come are handed to an
`Ingest`, by the same provider that serves C-STORE.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import aclosing

import structlog

from vesalius.archive.retrieve import Retrieve
from vesalius.dimse.association import Association
from vesalius.dimse.c_find import refuse_query, understand
from vesalius.dimse.contexts import QUERY_RETRIEVE, Verb, class_of
from vesalius.dimse.errors import Answer, answer_for
from vesalius.dimse.link import ConnectionGone
from vesalius.dimse.operations import Collect, Operation, Response, Sink
from vesalius.dimse.pressure import Pressure
from vesalius.dimse.query_retrieve import responses
from vesalius.dimse.sub_operations import Lane, Progress
from vesalius.model.entities import StoredInstance, Values
from vesalius.model.errors import OutOfResources, VesaliusError
from vesalius.model.query import Root
from vesalius.standard import statuses
from vesalius.wire.dimse_requests import c_get_rq
from vesalius.wire.ul_negotiation import RetrieveOptions

log = structlog.get_logger()


async def selected(
    operation: Operation, retrieve: Retrieve, executor: Executor, dataset: bytes | None
) -> list[StoredInstance]:
    """The instances that the identifier of a C-MOVE or C-GET names. Raises what `Retrieve.select` does, or A701."""
    if dataset is None:
        raise OutOfResources("the identifier is larger than this archive takes")
    sop_class = operation.context.abstract_syntax
    root, _ = QUERY_RETRIEVE[sop_class]
    relational = RetrieveOptions.decode(operation.assoc.extended.get(sop_class, b"")).relational

    def select() -> list[StoredInstance]:
        values = understand(dataset, operation.context.transfer_syntax)
        return retrieve.select(values, root, None, relational=relational)

    return await operation.assoc.loop.run_in_executor(executor, select)


def retrieve_failure(operation: Operation, error: Exception) -> Answer:
    """The status for a retrieve that could not begin; out of resources is A701 here (PS3.4 C.4.2.1.5)."""
    if not isinstance(error, VesaliusError):
        log.error("retrieve-fault", exc_info=error, association=operation.assoc.name)
    answer = answer_for(error)
    if answer.status == statuses.OUT_OF_RESOURCES:
        return Answer(statuses.CANNOT_COUNT_MATCHES, answer.comment, answer.offending)
    return answer


class GetProvider:
    """The SCP for the three information models."""

    def __init__(self, retrieve: Retrieve, executor: Executor, pressure: Pressure) -> None:
        self._retrieve = retrieve
        self._executor = executor
        self._pressure = pressure

    def __call__(self, operation: Operation) -> Sink | None:
        """Take the identifier, then send in a task."""
        refusal = refuse_query(operation, Verb.GET, "retrieve")
        if refusal is not None:
            return operation.refuse_after_data(refusal)
        limit = operation.assoc.settings.identifier_size
        return Collect(limit, lambda dataset: operation.run(self._perform(operation, dataset)))

    async def _perform(self, operation: Operation, dataset: bytes | None) -> None:
        if not self._pressure.retrieves:
            operation.refuse(Answer(statuses.CANNOT_PERFORM_SUBOPERATIONS, "too many retrieves at once"))
            return
        self._pressure.retrieves -= 1
        progress: Progress | None = None
        try:
            instances = await selected(operation, self._retrieve, self._executor, dataset)
            progress = Progress(operation, len(instances))
            lane = Lane(
                operation.assoc, self._retrieve, self._executor, self._pressure, priority=operation.command.priority
            )
            await lane.send_all(deque(instances), progress)
            progress.finish()
        except TimeoutError:
            operation.assoc.abort(0, 0, "the requester of a C-GET did not answer a sub-operation")
        except (ConnectionGone, asyncio.CancelledError):
            raise
        except Exception as error:
            operation.refuse(retrieve_failure(operation, error))
        finally:
            self._pressure.retrieves += 1
            if progress is not None:
                progress.close()


async def get(
    assoc: Association,
    identifier: Values,
    *,
    root: Root = Root.STUDY,
    charsets: tuple[str, ...] = (),
    timeout: float | None = None,
) -> AsyncIterator[Response]:
    """The SCU: every response, the last one final. Leaving the iteration early cancels (C-CANCEL-RQ).

    The association must have been opened with an `Ingest` (`client.Association.open(ingest=...)`) and the storage
    contexts of `contexts.for_get`. Raises `ClassNotSupported`, `ConnectionGone`, `TimeoutError`.
    """
    async with aclosing(responses(assoc, class_of(root, Verb.GET), c_get_rq, identifier, charsets, timeout)) as answers:
        async for _, response in answers:
            yield response
