"""C-FIND, both roles (PS3.7 9.1.2, PS3.4 C.4.1).

Theory. As SCP the identifier is decoded and parsed, and pages of answers are taken from `archive.search` (or from the
worklist, `dimse/worklist.py`) in a thread; each page is encoded there too, while the event loop sends the page before.
The first answer leaves before the last row is read, nothing is collected, and a peer that reads slowly slows the query
down (U35). A C-CANCEL-RQ is looked for between answers and between pages, so it works within one page's time. What an
index answers with a handful of rows is answered in the event loop: changing threads would take longer.

Pending is FF00, or FF01 when a key of the identifier was neither matched nor returned (PS3.4 C.4.1.1.4).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from contextlib import aclosing, suppress
from dataclasses import dataclass

import structlog

from vesalius.archive.search import Search
from vesalius.dimse.association import Association
from vesalius.dimse.contexts import QUERY_RETRIEVE, Verb, class_of, find_options
from vesalius.dimse.errors import Answer, OperationFailed, answer_for, is_pending
from vesalius.dimse.link import ConnectionGone
from vesalius.dimse.operations import Collect, Operation, Sink
from vesalius.dimse.query_retrieve import responses
from vesalius.model.datasets import decode, encode_reply
from vesalius.model.entities import Values
from vesalius.model.errors import CannotUnderstand, OutOfResources, UnableToProcess, VesaliusError
from vesalius.model.query import Query, Root
from vesalius.model.query_parser import parse
from vesalius.standard import statuses
from vesalius.wire.dimse_requests import c_find_rq

log = structlog.get_logger()

# After so many answers in a row the event loop reads what has come in: a cancel, another association.
BREATH = 16
# Bytes of an identifier that is looked at in the event loop.
SHORT = 4096


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that was understood. `pages` are its answers, blocking; a page may be empty."""

    pages: Iterator[list[Values]]
    charset: tuple[str, ...] = ()  # in which it was asked
    unsupported: bool = False  # whether a key is neither matched nor returned


# From an identifier to its answers; the first page is not read yet. Raises errors of the one tree.
Ask = Callable[[Operation, Values], Asked]
# The same with all answers in one page, where they are found without waiting; None: they are not.
AskAtOnce = Callable[[Operation, Values], Asked | None]


class FindProvider:
    """The SCP: for the three information models of Query/Retrieve, and for what else is asked by C-FIND."""

    def __init__(
        self,
        ask: Ask,
        executor: Executor,
        refusal: Callable[[Operation], Answer | None],
        at_once: AskAtOnce | None = None,
    ) -> None:
        self._ask = ask
        self._at_once = at_once
        self._executor = executor
        self._refusal = refusal

    @classmethod
    def of_archive(cls, search: Search, executor: Executor) -> FindProvider:
        """Patients, studies, series and images."""

        def parsed(operation: Operation, values: Values) -> Query:
            assoc = operation.assoc
            root, _ = QUERY_RETRIEVE[operation.context.abstract_syntax]
            options = find_options(assoc.extended.get(operation.context.abstract_syntax, b""))
            return parse(values, root, None, options, limits=assoc.settings.query)

        def ask(operation: Operation, values: Values) -> Asked:
            query = parsed(operation, values)
            return Asked(iter(search.find(query)), query.charset, bool(query.unsupported))

        def at_once(operation: Operation, values: Values) -> Asked | None:
            query = parsed(operation, values)
            found = search.find_at_once(query)
            return None if found is None else Asked(iter((found,)), query.charset, bool(query.unsupported))

        return cls(ask, executor, lambda operation: refuse_query(operation, Verb.FIND, "query"), at_once)

    def __call__(self, operation: Operation) -> Sink | None:
        """Take the identifier, then answer in a task."""
        refusal = self._refusal(operation)
        if refusal is not None:
            return operation.refuse_after_data(refusal)
        limit = operation.assoc.settings.identifier_size
        return Collect(limit, lambda dataset: operation.run(self._perform(operation, dataset)))

    async def _perform(self, operation: Operation, dataset: bytes | None) -> None:
        answers: Answers | None = None
        try:
            if dataset is None:
                raise OutOfResources("the identifier is larger than this archive takes")
            answers = Answers(self._ask, operation, dataset)
            few = answers.at_once(self._at_once) if self._at_once is not None else None
            if few is None:
                await self._send_all(operation, answers)
            else:
                await _send_page(operation, few, answers.status)
            operation.respond(statuses.CANCEL if operation.cancelled else statuses.SUCCESS)
        except (ConnectionGone, asyncio.CancelledError):
            raise
        except Exception as error:
            if not isinstance(error, VesaliusError):
                log.exception("c-find-fault", association=operation.assoc.name)
            operation.refuse(answer_for(error))
        finally:
            if answers is not None:
                answers.close()

    async def _send_all(self, operation: Operation, answers: Answers) -> None:
        """Page by page, each being found while the one before is sent."""
        run = operation.assoc.loop.run_in_executor
        page = await run(self._executor, answers.page)
        while page is not None:
            following = run(self._executor, answers.page)
            try:
                await _send_page(operation, page, answers.status)
            finally:
                page = await following
            if operation.cancelled:
                return


async def _send_page(operation: Operation, page: list[bytes], status: int) -> None:
    for number, identifier in enumerate(page):
        if operation.cancelled:
            return
        operation.respond(status, dataset=identifier)
        if not operation.assoc.can_write:
            await operation.assoc.drain()
        elif number % BREATH == BREATH - 1:
            await asyncio.sleep(0)


class Answers:
    """A query being answered, page by page, each encoded for the wire. Everything blocks; one thread at a time."""

    def __init__(self, ask: Ask, operation: Operation, identifier: bytes) -> None:
        self._ask = ask
        self._operation = operation
        self._identifier = identifier
        self._transfer_syntax = operation.context.transfer_syntax
        self._pages: Iterator[list[Values]] | None = None
        self._charset: tuple[str, ...] = ()
        self.status = statuses.PENDING

    def at_once(self, ask: AskAtOnce) -> list[bytes] | None:
        """All answers, for an event loop; None: take pages. Raises as `page`."""
        if len(self._identifier) > SHORT:
            return None
        asked = ask(self._operation, understand(self._identifier, self._transfer_syntax))
        if asked is None:
            return None
        return [self._encode(values) for page in self._understood(asked) for values in page]

    def page(self) -> list[bytes] | None:
        """The next answers, none where a read found nothing; None at the end. The first call parses the identifier.

        Raises `IdentifierMismatch`, `UnableToProcess`, `LimitExceeded`, `IndexUnavailable`.
        """
        if self._pages is None:
            self._pages = self._begin()
        answers = next(self._pages, None)
        return None if answers is None else [self._encode(values) for values in answers]

    def _begin(self) -> Iterator[list[Values]]:
        return self._understood(self._ask(self._operation, understand(self._identifier, self._transfer_syntax)))

    def _understood(self, asked: Asked) -> Iterator[list[Values]]:
        self._charset = asked.charset
        if asked.unsupported:
            self.status = statuses.PENDING_UNSUPPORTED_KEYS
        return asked.pages

    def _encode(self, values: Values) -> bytes:
        return encode_reply(values, self._transfer_syntax, self._charset)

    def close(self) -> None:
        """Abandon what is left."""
        closing = getattr(self._pages, "close", None)
        if closing is not None:
            with suppress(ValueError):  # a thread is in it: it is dropped when that thread is done
                closing()


def understand(identifier: bytes, transfer_syntax: str) -> Values:
    """Decode an identifier. One that is no data set is unable to be processed: C000 (PS3.4 C.4.1.1.4)."""
    try:
        return decode(identifier, transfer_syntax)
    except CannotUnderstand as error:
        raise UnableToProcess(error.message, hint=error.hint, offending=error.offending) from error


def refuse_query(operation: Operation, verb: Verb, right: str) -> Answer | None:
    """What speaks against a query or retrieve before its identifier is read; None: nothing."""
    meaning = QUERY_RETRIEVE.get(operation.context.abstract_syntax)
    if meaning is None or meaning[1] is not verb:
        return Answer(statuses.UNRECOGNIZED_OPERATION, f"{verb.value} is not an operation of this SOP Class")
    if not operation.command.has_dataset:
        return Answer(statuses.MISTYPED_ARGUMENT, f"a {verb.value}-RQ without identifier")
    if not operation.assoc.may(right):
        return Answer(statuses.NOT_AUTHORIZED, f"no right to {right} here")
    return None


async def find(
    assoc: Association,
    identifier: Values,
    *,
    root: Root = Root.STUDY,
    charsets: tuple[str, ...] = (),
    timeout: float | None = None,
) -> AsyncIterator[Values]:
    """The SCU: each match as it comes. Leaving the iteration early cancels the query (C-CANCEL-RQ).

    `identifier` holds Query/Retrieve Level and keys; `timeout` is for each response. Raises `ClassNotSupported`,
    `OperationFailed` with the peer's status, `ConnectionGone`, `TimeoutError`.
    """
    async with aclosing(matches(assoc, class_of(root, Verb.FIND), identifier, charsets, timeout)) as found:
        async for values in found:
            yield values


async def matches(
    assoc: Association, sop_class: str, identifier: Values, charsets: tuple[str, ...], timeout: float | None
) -> AsyncGenerator[Values, None]:
    """The SCU of any class that is asked by C-FIND; as `find`."""
    async with aclosing(responses(assoc, sop_class, c_find_rq, identifier, charsets, timeout)) as answers:
        async for transfer_syntax, response in answers:
            if is_pending(response.status):
                if response.dataset is not None:
                    yield decode(response.dataset, transfer_syntax)
            elif response.status != statuses.SUCCESS:
                raise OperationFailed(Verb.FIND.value, response.status, response.command.error_comment)
