"""Modality Worklist, both roles (PS3.4 annex K): what is planned for whom, when, on which machine.

Theory. It is a C-FIND like that of Query/Retrieve, on a SOP class of its own and without levels: a question is one item
of the worklist with conditions in it (`model/worklist.py`), an answer is one scheduled step. Who asks decides what
there is to see, by the calling AE title as access control let it in (`ris/worklist.py`); no question widens it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from concurrent.futures import Executor
from contextlib import aclosing

from vesalius.dimse.association import Association
from vesalius.dimse.c_find import Asked, FindProvider, matches
from vesalius.dimse.contexts import Proposal, find_options
from vesalius.dimse.errors import Answer
from vesalius.dimse.operations import Operation
from vesalius.model import charset, reading
from vesalius.model.entities import Values
from vesalius.model.query import Options
from vesalius.model.worklist import KEYS, MODALITY, START_DATE, STATION, STEP_SEQUENCE
from vesalius.ris.worklist import Worklist
from vesalius.standard import statuses
from vesalius.standard.sop_classes import MODALITY_WORKLIST_FIND
from vesalius.wire.ul_negotiation import QueryOptions

RIGHT = "worklist"


def provider(worklist: Worklist, executor: Executor) -> FindProvider:
    """The SCP."""

    def ask(operation: Operation, values: Values) -> Asked:
        assoc = operation.assoc
        options = find_options(assoc.extended.get(MODALITY_WORKLIST_FIND, b""))
        query = worklist.understand(values, options, assoc.settings.query)
        return Asked(worklist.pages(query, assoc.calling_aet), query.charset, bool(query.unsupported))

    return FindProvider(ask, executor, _refusal)


def _refusal(operation: Operation) -> Answer | None:
    if not operation.command.has_dataset:
        return Answer(statuses.MISTYPED_ARGUMENT, "a C-FIND-RQ without identifier")
    if not operation.assoc.may(RIGHT):
        return Answer(statuses.NOT_AUTHORIZED, f"no right to {RIGHT} here")
    return None


# -- the invoker ------------------------------------------------------------------------------------------------------


def _everything(sequence: int | None) -> Values:
    return {tag: (_everything(tag),) if tag in KEYS else () for tag in KEYS[sequence]}


# Every key of our own worklist, empty: what one asks with who wants to know all of a step.
EVERYTHING: Values = _everything(None)


def keys_for(*, station: str = "", modality: str = "", day: str = "") -> Values:
    """`EVERYTHING` of the steps of a station and modality on a day, or in a range of days ("20260101-20260107")."""
    conditions = {STATION: station, MODALITY: modality, START_DATE: day}
    item = _everything(STEP_SEQUENCE) | {tag: (text,) for tag, text in conditions.items() if text}
    return EVERYTHING | {STEP_SEQUENCE: (item,)}


def for_worklist(options: Options | None = None) -> tuple[Proposal, ...]:
    """The context for asking; with `options`, extended negotiation asks for them (PS3.4 K.5.1.3)."""
    info = b""
    if options is not None:
        info = QueryOptions(
            fuzzy_names=options.fuzzy_names,
            empty_value_matching=options.empty_value_matching,
            multiple_value_matching=options.multiple_value_matching,
        ).encode()
    return (Proposal(MODALITY_WORKLIST_FIND, extended=info),)


async def find(
    assoc: Association, keys: Values, *, charsets: tuple[str, ...] = (), timeout: float | None = None
) -> AsyncGenerator[Values, None]:
    """The SCU: each scheduled step as it comes. Leaving the iteration early cancels the query (C-CANCEL-RQ).

    The question is written in `charsets`; where none are given, in UTF-8 if ASCII does not do.
    Raises `ClassNotSupported`, `OperationFailed` with the peer's status, `ConnectionGone`, `TimeoutError`.
    """
    charsets = charsets or charset.choose_reply(list(reading.all_texts(keys)), ())
    async with aclosing(matches(assoc, MODALITY_WORKLIST_FIND, keys, charsets, timeout)) as found:
        async for values in found:
            yield values
