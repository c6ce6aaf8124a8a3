"""Sending one message and hearing what became of it: the MLLP client.

Theory. A message counts as taken when an acknowledgement came that names its control id (MSA-2) with AA or CA. Whatever
else comes back, or nothing, is no acknowledgement: the message stays where it is (bad-input row L15). A connection on
which something unexpected was said is not used again, because nobody knows which answer belongs to which message.
"""

from __future__ import annotations

import asyncio
import enum
import ssl as tls
from collections.abc import Callable
from dataclasses import dataclass

from vesalius.hl7 import charsets
from vesalius.hl7.config import Destination
from vesalius.model.errors import PeerUnreachable
from vesalius.wire.hl7_message import BadMessage, parse
from vesalius.wire.mllp import BlockReader, MllpError, block

_CHUNK = 1 << 16
_LONGEST_ANSWER = 1 << 20


class Fate(enum.Enum):
    """What became of a message."""

    TAKEN = "taken"
    REFUSED = "refused"  # AR, CR: it will never be taken
    ERROR = "error"  # AE, CE: it was not taken this time


@dataclass(frozen=True, slots=True)
class Answer:
    """What the destination said."""

    fate: Fate
    code: str
    text: str  # the condition and its place, without the words of the other side, which may name patients
    raw: bytes


class MllpClient:
    """One connection to one destination, opened when it is needed."""

    def __init__(
        self,
        destination: Destination,
        *,
        ssl: Callable[[], tls.SSLContext | None] = lambda: None,
        connect_seconds: float = 10.0,
        ack_seconds: float = 30.0,
    ) -> None:
        self._destination = destination
        self._ssl = ssl
        self._connect_seconds = connect_seconds
        self._ack_seconds = ack_seconds
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, message: bytes, control_id: str) -> Answer:
        """Send a message and wait for its acknowledgement. Raises `PeerUnreachable`; the connection is closed then."""
        try:
            return await self._send(message, control_id)
        except (OSError, TimeoutError, MllpError, asyncio.IncompleteReadError) as error:
            await self.close()
            words = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise PeerUnreachable(f"{self._destination.name}: {words}") from None
        except BaseException:
            await self.close()
            raise

    async def _send(self, message: bytes, control_id: str) -> Answer:
        reader, writer = await self._connected()
        if reader.at_eof():
            # The other side has closed an idle connection; nothing of this message was sent yet.
            await self.close()
            reader, writer = await self._connected()
        writer.write(block(message))
        async with asyncio.timeout(self._ack_seconds):
            await writer.drain()
            content = await self._block(reader)
        answer = read_answer(content, control_id)
        if answer is None:
            await self.close()
            raise PeerUnreachable(f"{self._destination.name}: what came back is no acknowledgement of the message")
        return answer

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            destination = self._destination
            context = self._ssl() if destination.tls else None
            async with asyncio.timeout(self._connect_seconds):
                self._streams = await asyncio.open_connection(destination.host, destination.port, ssl=context)
        return self._streams

    async def _block(self, reader: asyncio.StreamReader) -> bytes:
        blocks = BlockReader(_LONGEST_ANSWER)
        while True:
            data = await reader.read(_CHUNK)
            if not data:
                raise ConnectionResetError(0, "the connection was closed without an acknowledgement")
            found = blocks.feed(data)
            if len(found) > 1 or (found and blocks.inside):
                raise ConnectionAbortedError(0, "more than one answer came to one message")
            if found:
                return found[0]

    async def close(self) -> None:
        """Close the connection; the next message opens another one."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()
            try:
                async with asyncio.timeout(1.0):
                    await streams[1].wait_closed()
            except (OSError, TimeoutError):
                pass


def read_answer(content: bytes, control_id: str) -> Answer | None:
    """What an acknowledgement says of the message with that control id; None: it is none, or of another message."""
    try:
        text = charsets.decode(content, (), "8859/1")
        message = parse(text)
        msa = message.first("MSA")
        if msa is None or msa.value(2).strip() != control_id:
            return None
        code = msa.value(1).strip().upper()
        error = message.first("ERR")
        condition = error.value(3) if error is not None else ""
        place = ".".join(filter(None, (error.value(2, 1), error.value(2, 3)))) if error is not None else ""
    except BadMessage:
        return None
    fate = {
        "AA": Fate.TAKEN, "CA": Fate.TAKEN, "AE": Fate.ERROR, "CE": Fate.ERROR, "AR": Fate.REFUSED, "CR": Fate.REFUSED,
    }.get(code)  # fmt: skip
    if fate is None:
        return None
    return Answer(fate, code, f"{code} {condition[:20]} {place[:20]}".strip(), content)
