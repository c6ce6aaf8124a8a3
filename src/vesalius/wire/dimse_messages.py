"""Messages to fragments and back (PS3.7 6.3, PS3.8 Annex E). Signatures first; the body follows within the hour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vesalius.wire.dimse_commands import Command
from vesalius.wire.ul_pdus import PDV

MAXIMUM_COMMAND = 64 * 1024
"""Bytes of one command set; a longer one is an attack (bad-input U30)."""


@dataclass(slots=True)
class CommandReceived:
    """A whole command set arrived; `command.has_dataset` says whether data follow."""

    context_id: int
    command: Command


@dataclass(slots=True)
class DataReceived:
    """Bytes of the data set of the last command, in order; the last piece may be empty."""

    context_id: int
    data: bytes | memoryview
    is_last: bool


class Assembler:
    """PDVs in, commands and pieces of data sets out. Holds at most one command set."""

    def __init__(self, *, maximum_command: int = MAXIMUM_COMMAND) -> None: ...

    def feed(self, pdv: PDV) -> list[CommandReceived | DataReceived]:
        """One PDV. Raises `RemoteProtocolError` (0/0) for D1, U29, U30."""
        raise NotImplementedError

    def feed_pdvs(self, pdvs: Iterable[PDV]) -> list[CommandReceived | DataReceived]:
        """The PDVs of one PDU, adjacent data fragments joined: what a server calls. Raises as `feed`.

        The error comes after what was whole before it was returned: `failure` holds it then.
        """
        raise NotImplementedError


def fragments(
    context_id: int,
    command: bytes,
    dataset: bytes | memoryview | Iterable[bytes | memoryview] | None,
    peer_maximum: int,
    *,
    chunk: int = 512 * 1024,
) -> Iterator[bytes]:
    """A message as byte strings of whole P-DATA-TF PDUs, one PDV each, about `chunk` bytes per string.

    Command and start of the data set share the first string: a small message is one send. `peer_maximum`
    is the usable maximum, 12 or more. Raises `LocalProtocolError` otherwise.
    """
    raise NotImplementedError
