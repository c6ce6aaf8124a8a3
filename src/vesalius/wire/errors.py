"""Whose fault it is, is in the type: `LocalProtocolError` is ours, `RemoteProtocolError` the peer's.

The wire floor knows no other error. A `RemoteProtocolError` carries what the A-ABORT that answers it
should say (PS3.8 9.3.8); its message is for the log and never holds patient data.
"""

from __future__ import annotations


class ProtocolError(Exception):
    """Root of both."""


class LocalProtocolError(ProtocolError):
    """This side asked for something that the protocol does not allow in this state: a bug here."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol.

    `source` and `reason` are the fields of the A-ABORT PDU that answers it (PS3.8 Table 9-26).
    """

    def __init__(self, source: int, reason: int, message: str) -> None:
        super().__init__(message)
        self.source = source
        self.reason = reason
        self.message = message

    def __repr__(self) -> str:
        return f"RemoteProtocolError({int(self.source)}, {int(self.reason)}, {self.message!r})"
