"""Messages to fragments and back (PS3.7 6.3, PS3.8 Annex E).

What this promises: a message is a command and, if the command says so, a data set, both on one presentation
context, never interleaved with another message; anything else raises. Only a command set is ever held, and
it is bounded: pieces of a data set are handed on as they come. Fragments never pass the peer's maximum.

Both directions are on the hot path, hence views into the buffers and one join per send.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vesalius.wire.dimse_commands import Command, decode
from vesalius.wire.errors import LocalProtocolError, RemoteProtocolError
from vesalius.wire.ul_pdus import PDV, AbortReason, AbortSource, PduType

MAXIMUM_COMMAND = 64 * 1024
"""Bytes of one command set; a longer one is an attack (bad-input U30)."""

_PDV_OVERHEAD = 6  # PDV length, context id, message control header
_HEADER = struct.Struct(">BBIIBB")  # PDU header and PDV header of a PDU with one PDV

_COMMAND, _LAST = 0x01, 0x02  # message control header (PS3.8 E.2)


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

    __slots__ = ("_command", "_context", "_in_data", "_maximum")

    def __init__(self, *, maximum_command: int = MAXIMUM_COMMAND) -> None:
        self._maximum = maximum_command
        self._command = bytearray()
        self._context = 0  # of the message under way; 0: none
        self._in_data = False

    @property
    def is_mid_message(self) -> bool:
        """Whether a message has begun to arrive and is not whole yet."""
        return self._context != 0

    def feed(self, pdv: PDV) -> list[CommandReceived | DataReceived]:
        """One PDV. Raises `RemoteProtocolError` (0/0) for a message that breaks the rules: D1, U29, U30."""
        return self.feed_pdvs((pdv,))

    def feed_pdvs(self, pdvs: Iterable[PDV]) -> list[CommandReceived | DataReceived]:
        """The PDVs of one PDU, adjacent data fragments joined: what a server calls. Raises as `feed`.

        After an error the association is to be aborted; what the PDU held before the error is dropped.
        """
        out: list[CommandReceived | DataReceived] = []
        pieces: list[bytes | memoryview] = []
        for context_id, is_command, is_last, data in pdvs:
            if context_id != self._context:
                if self._context:
                    raise _violation("fragments of two messages interleaved")
                self._context = context_id
            if is_command:
                if self._in_data:
                    raise _violation("a command fragment before the last data set fragment")
                self._command += data
                if len(self._command) > self._maximum:
                    raise _violation("a command set without end")
                if is_last:
                    out.append(self._end_of_command())
                continue
            if not self._in_data:
                raise _violation("a data set fragment that no command announced")
            pieces.append(data)
            if is_last:
                out.append(DataReceived(context_id, _joined(pieces), True))
                pieces = []
                self._in_data = False
                self._context = 0
        if pieces:
            out.append(DataReceived(self._context, _joined(pieces), False))
        return out

    def _end_of_command(self) -> CommandReceived:
        received = CommandReceived(self._context, decode(self._command))
        self._command = bytearray()
        self._in_data = received.command.has_dataset
        if not self._in_data:
            self._context = 0
        return received


def _joined(pieces: list[bytes | memoryview]) -> bytes | memoryview:
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _violation(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(AbortSource.SERVICE_USER, AbortReason.NOT_SPECIFIED, what)


def fragments(
    context_id: int,
    command: bytes,
    dataset: bytes | memoryview | Iterable[bytes | memoryview] | None,
    peer_maximum: int,
    *,
    chunk: int = 512 * 1024,
) -> Iterator[bytes]:
    """A message as byte strings of whole P-DATA-TF PDUs, one PDV each, about `chunk` bytes per string.

    One PDV per PDU because some receivers know no more. The command and the start of the data set share the
    first string: a small message is one send. `peer_maximum` is the usable maximum, 12 or more; fragments
    hold an even number of bytes (PS3.8 E.1), but for the end of an odd data set. Raises `LocalProtocolError`
    for a maximum below 12.
    """
    room = (peer_maximum - _PDV_OVERHEAD) & ~1
    if room < 6:
        raise LocalProtocolError(f"a maximum length of {peer_maximum} leaves no room for data")
    parts: list[bytes | memoryview] = []
    _cut(parts, context_id, _COMMAND, memoryview(command), room, last=True)
    if dataset is None:
        return iter((b"".join(parts),))
    if isinstance(dataset, bytes | bytearray | memoryview):
        return _from_whole(parts, context_id, memoryview(dataset), room, chunk)
    return _from_pieces(parts, context_id, dataset, room, chunk)


def _cut(
    parts: list[bytes | memoryview], context_id: int, control: int, data: memoryview, room: int, *, last: bool
) -> None:
    """Append the fragments of `data` to `parts`; with `last`, the last one says so (and may be empty)."""
    end = len(data)
    full = _HEADER.pack(PduType.P_DATA_TF, 0, room + _PDV_OVERHEAD, room + 2, context_id, control)
    position = 0
    while end - position > room:
        parts.append(full)
        parts.append(data[position : position + room])
        position += room
    if last or position < end:
        rest = end - position
        control |= _LAST if last else 0
        parts.append(_HEADER.pack(PduType.P_DATA_TF, 0, rest + _PDV_OVERHEAD, rest + 2, context_id, control))
        parts.append(data[position:])


def _from_whole(
    parts: list[bytes | memoryview], context_id: int, data: memoryview, room: int, chunk: int
) -> Iterator[bytes]:
    step = max(room, chunk // room * room)
    position, end = 0, len(data)
    while end - position > step:
        _cut(parts, context_id, 0, data[position : position + step], room, last=False)
        position += step
        yield b"".join(parts)
        parts = []
    _cut(parts, context_id, 0, data[position:], room, last=True)
    yield b"".join(parts)


def _from_pieces(
    parts: list[bytes | memoryview],
    context_id: int,
    dataset: Iterable[bytes | memoryview],
    room: int,
    chunk: int,
) -> Iterator[bytes]:
    """Pieces of any size, cut anew at whole fragments; the last fragment is held back until the end is known."""
    step = max(room, chunk // room * room)
    held: list[bytes | memoryview] = []
    size = 0
    for piece in dataset:
        held.append(piece)
        size += len(piece)
        if size <= step:
            continue
        data = memoryview(held[0] if len(held) == 1 else b"".join(held))
        position = 0
        while size - position > step:
            _cut(parts, context_id, 0, data[position : position + step], room, last=False)
            position += step
            yield b"".join(parts)
            parts = []
        held, size = [data[position:]], size - position
    _cut(parts, context_id, 0, memoryview(b"".join(held)), room, last=True)
    yield b"".join(parts)
