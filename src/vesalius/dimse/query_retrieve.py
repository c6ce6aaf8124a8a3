"""What C-FIND, C-MOVE and C-GET have in common on the requestor's side: one request, many responses, a cancel.

Theory. The responses are pending until the final one (PS3.7 9.1.2.2). Whoever stops listening before it cancels the
operation (PS3.7 9.3.2.3) and hears it to its end: a release in the middle of an open operation is a fault of ours, and
some peers hang on it. Where the iteration ends by an error, the cancel goes out and nobody waits.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from vesalius.dimse.association import Association
from vesalius.dimse.errors import is_pending
from vesalius.dimse.operations import Response
from vesalius.model.datasets import encode
from vesalius.model.entities import Values
from vesalius.model.errors import ClassNotSupported
from vesalius.standard.sop_classes import name_of
from vesalius.wire.dimse_commands import Command
from vesalius.wire.dimse_requests import c_cancel_rq


async def responses(
    assoc: Association,
    sop_class: str,
    request: Callable[[int, str], Command],
    identifier: Values,
    charsets: tuple[str, ...],
    timeout: float | None,
) -> AsyncGenerator[tuple[str, Response], None]:
    """Every response with its context's transfer syntax, the last one final. Leaving early cancels (C-CANCEL-RQ).

    `request` makes the command of a Message ID and a SOP class; `timeout` is for each response, seconds. Raises
    `ClassNotSupported`, `ConnectionGone`, `TimeoutError`.
    """
    contexts = assoc.contexts_for(sop_class)
    if not contexts:
        raise ClassNotSupported(f"the peer does not offer {name_of(sop_class)}")
    context = contexts[0]
    message_id = assoc.next_message_id()
    invocation = assoc.invoke(context, message_id)
    final = False
    try:
        assoc.send(
            context,
            request(message_id, context.abstract_syntax).encode(),
            encode(identifier, context.transfer_syntax, charsets),
        )
        async for response in invocation.responses(timeout or assoc.settings.response):
            final = not is_pending(response.status)
            yield context.transfer_syntax, response
    except GeneratorExit:
        if not final:
            final = True
            await assoc.cancel(context, invocation)
        raise
    finally:
        if not final:
            assoc.send(context, c_cancel_rq(message_id).encode())
        assoc.forget(invocation)
