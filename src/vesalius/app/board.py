"""The notice board: what the supervisor knows of its processes, readable by all of them.

One anonymous shared mapping, made before the first fork: a row of fixed size for each process of the service.
Only the supervisor writes identity and state; the process itself writes its own flags. Every field is eight
bytes and aligned, so a reader sees an old or a new value, never a mixture.
"""

from __future__ import annotations

import enum
import mmap
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

from vesalius.app.board_associations import AssociationBoard
from vesalius.web.site import LiveAssociation

_FIELD = struct.Struct("<q")
_FIELDS = 6  # state, pid, restarts, since, read_only, rung
_ROW = _FIELDS * _FIELD.size


class State(enum.IntEnum):
    """Where a process of the service stands."""

    DOWN = 0
    STARTING = 1
    READY = 2
    STOPPING = 3


@dataclass(frozen=True, slots=True)
class Row:
    """What the board says of one process."""

    kind: str
    number: int
    state: State
    pid: int
    restarts: int
    since: int  # Unix time of the last change of state
    read_only: bool


class Board:
    """Shared by fork. Rows are addressed by their place in `kinds`."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds = tuple(kinds)
        self._map = mmap.mmap(-1, max(1, len(self.kinds)) * _ROW)
        self._associations = AssociationBoard(len(self.kinds))

    def _set(self, row: int, field: int, value: int) -> None:
        _FIELD.pack_into(self._map, row * _ROW + field * _FIELD.size, value)

    def _get(self, row: int, field: int) -> int:
        return int(_FIELD.unpack_from(self._map, row * _ROW + field * _FIELD.size)[0])

    def set_state(self, row: int, state: State, pid: int | None = None) -> None:
        """The supervisor's word on a process."""
        self._set(row, 3, int(time.time()))
        if pid is not None:
            self._set(row, 1, pid)
        self._set(row, 0, state)
        if state is State.DOWN:  # who was connected to it is no more
            self._associations.write(row, ())

    def count_restart(self, row: int) -> None:
        """One more restart of the process in this row."""
        self._set(row, 2, self._get(row, 2) + 1)

    def set_read_only(self, row: int, read_only: bool) -> None:
        """A process's own word: its volume refused a write."""
        self._set(row, 4, int(read_only))

    def set_associations(self, row: int, associations: Sequence[LiveAssociation]) -> None:
        """A process's own word: who is connected to it."""
        self._associations.write(row, associations)

    def associations(self) -> tuple[list[LiveAssociation], int]:
        """Who is connected, in all processes, and how many they are."""
        return self._associations.read()

    def ring(self, row: int) -> None:
        """A process's own word: it has put something to do, and the others may look for it."""
        self._set(row, 5, time.monotonic_ns())

    def rung(self) -> int:
        """A number that changes when any process has rung."""
        return sum(self._get(row, 5) for row in range(len(self.kinds)))

    def rows(self) -> list[Row]:
        """A copy of the whole board."""
        numbers: dict[str, int] = {}
        rows = []
        for at, kind in enumerate(self.kinds):
            numbers[kind] = numbers.get(kind, 0) + 1
            state, pid, restarts, since, read_only = (self._get(at, field) for field in range(5))
            rows.append(Row(kind, numbers[kind], State(state), pid, restarts, since, bool(read_only)))
        return rows
