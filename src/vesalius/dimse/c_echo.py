"""C-ECHO: is anybody there? (PS3.7 9.1.5, PS3.4 A)."""

from __future__ import annotations

from vesalius.dimse.association import Association
from vesalius.dimse.operations import Operation, Response, Sink
from vesalius.model.errors import ClassNotSupported
from vesalius.standard import sop_classes, statuses
from vesalius.wire.dimse_requests import c_echo_rq


def provide(operation: Operation) -> Sink | None:
    """The SCP: always success; every known peer may ask."""
    operation.respond(statuses.SUCCESS)
    return None


async def echo(assoc: Association, *, timeout: float | None = None) -> Response:
    """The SCU. Raises `ClassNotSupported`, `ConnectionGone`, `TimeoutError`."""
    contexts = assoc.contexts_for(sop_classes.VERIFICATION)
    if not contexts:
        raise ClassNotSupported("the peer does not offer Verification")
    message_id = assoc.next_message_id()
    invocation = assoc.invoke(contexts[0], message_id)
    try:
        assoc.send(contexts[0], c_echo_rq(message_id).encode())
        return await invocation.response(timeout or assoc.settings.response)
    finally:
        assoc.forget(invocation)
