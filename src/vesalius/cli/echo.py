"""`vesalius echo`: is a peer there, and does it speak with us?"""

from __future__ import annotations

from vesalius.cli import options


def echo(
    peer: options.PeerName, json: options.Json = False, data: options.Data = None, config: options.Config = None
) -> None:
    """Ask a peer for an answer (C-ECHO): network, AE titles and TLS are right if it comes.

    Example:

      vesalius echo --peer CT1

    Ends with 0 after a good answer, 3 if the peer could not be reached or refused.
    """
    from vesalius.cli import network, output

    found, seconds = network.echo(peer, data=data, config=config)
    milliseconds = round(seconds * 1000, 1)
    if json:
        output.facts({"peer": peer, "aet": found.aet, "answered": True, "milliseconds": milliseconds}, json=True)
    else:
        output.note(f"{peer} ({found.aet}@{found.host}:{found.port}) answered in {milliseconds} ms.")
