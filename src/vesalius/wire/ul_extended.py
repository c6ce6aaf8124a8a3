"""The service-class-application-information of SOP class extended negotiation (PS3.7 D.3.3.5).

One class per service class. Each reads what a requestor asked (`decode`), answers it (`answer`, made to be a
`Service.extended`), and writes what a requestor asks (`encode`). Bytes that a peer left out have their
default meaning; bytes that this edition does not know are not answered.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """Application information of the C-FIND classes (PS3.4 C.5.1.1, Tables C.5-1 and C.5-2)."""

    relational: bool = False
    combined_datetime: bool = False
    fuzzy_names: bool = False
    timezone_adjustment: bool = False
    enhanced_multiframe: bool = False
    empty_value_matching: bool = False
    multiple_value_matching: bool = False

    def encode(self) -> bytes:
        """All seven bytes."""
        return bytes(astuple(self))

    @classmethod
    def decode(cls, info: bytes) -> QueryOptions:
        """Bytes that are missing are 0; only 1 means yes."""
        return cls(*(byte == 1 for byte in info[:7]))

    def answer(self, info: bytes) -> bytes:
        """What both want, in as many bytes as were asked, at least one. `self` is what we support."""
        return _both(self.encode(), info)


@dataclass(frozen=True, slots=True)
class RetrieveOptions:
    """Application information of the C-MOVE and C-GET classes (PS3.4 C.5.2.1, C.5.3.1)."""

    relational: bool = False
    enhanced_multiframe: bool = False

    def encode(self) -> bytes:
        """Both bytes."""
        return bytes(astuple(self))

    @classmethod
    def decode(cls, info: bytes) -> RetrieveOptions:
        """Bytes that are missing are 0; only 1 means yes."""
        return cls(*(byte == 1 for byte in info[:2]))

    def answer(self, info: bytes) -> bytes:
        """What both want, in as many bytes as were asked, at least one. `self` is what we support."""
        return _both(self.encode(), info)


def _both(ours: bytes, asked: bytes) -> bytes:
    return bytes(1 if mine == 1 and theirs == 1 else 0 for mine, theirs in zip(ours, asked or b"\0", strict=False))


@dataclass(frozen=True, slots=True)
class StorageOptions:
    """Application information of the storage classes (PS3.4 B.3.1).

    `level`: 0, 1 or 2 (full), 3 where the sender is an SCU only. `signature`: 0 unspecified, 1 to 3 as the
    standard's levels. `coercion`: 0 does not coerce elements, 1 may, 2 where the sender is an SCU only.
    """

    level: int = 2
    signature: int = 3  # bit preserving: digital signatures stay valid (PS3.4 B.4.1)
    coercion: int = 0

    def encode(self) -> bytes:
        """Six bytes, every other one reserved."""
        return bytes((self.level, 0, self.signature, 0, self.coercion, 0))

    @classmethod
    def decode(cls, info: bytes) -> StorageOptions:
        """Bytes that are missing say that the sender did not tell: level 3, signature 0, coercion 2."""
        padded = info + bytes((3, 0, 0, 0, 2, 0))[len(info) :]
        return cls(padded[0], padded[2], padded[4])

    def answer(self, info: bytes) -> bytes:
        """The acceptor states its own support, whatever the requestor said."""
        return self.encode()
