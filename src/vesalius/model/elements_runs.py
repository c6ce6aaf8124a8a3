"""Runs of elements that were met before, which the walker takes in one step.

Theory. The instances of one series, and of one device, differ in few values and in fewer lengths. Where the bytes that
begin an element (tag, VR, length) are those of an element met before, the next one begins where the next one began
then; so, by induction, comparing its heads proves a whole run, and one `struct` format reads heads and values alike.
Where one length differs the run is proved up to there, and behind it the walk goes on with a run that begins there.
Nothing is assumed: what is not byte for byte the head of an element met before is walked as ever.

Only usual elements make a run (short form, even length, ascending tags, nothing to note), so a run is never judged
again. It is made when its first head is met for the second time, so what comes once costs little. A short
sequence is remembered by its bytes: the same bytes have the same structure. All this is kept per process, encoding and
limits; there is a bound, at which it is begun anew: hostile data can make the walk as slow as without, not slower.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice

from vesalius.model.elements_header import RawElement
from vesalius.model.encodings import Mode

LONGEST = 32  # elements of one run
SHORTEST = 3
MOST_RUNS = 512  # some 5 KB each; those that were met once included
LONGEST_SEQUENCE = 2048  # bytes
MOST_SEQUENCES = 256


class Run:
    """Elements in a row as they were met: what their heads are, and how to read heads and values together."""

    __slots__ = ("first", "heads", "last", "size", "tags", "unpack", "vrs")

    def __init__(self, buffer: bytes, start: int, elements: Sequence[tuple[int, RawElement]]) -> None:
        """`elements` stand at `start`, one behind the other, each with a head of eight bytes."""
        layout = struct.Struct("".join(f"8s{len(value)}s" for _, (_, value) in elements))
        self.unpack = layout.unpack_from
        self.heads = self.unpack(buffer, start)[::2]
        self.size = layout.size
        self.tags = tuple(tag for tag, _ in elements)
        self.vrs = tuple(vr for _, (vr, _) in elements)
        self.first = self.tags[0]
        self.last = self.tags[-1]

    def proved(self, heads: Sequence[bytes]) -> int:
        """How many elements, from the first on, have these heads."""
        count = 0
        for mine, theirs in zip(self.heads, heads, strict=True):
            if mine != theirs:
                break
            count += 1
        return count


class Runs:
    """What was met in one encoding. `find` has the run that begins with a head, `nested` what a sequence holds."""

    __slots__ = ("_runs", "_sequences", "find", "nested")

    def __init__(self) -> None:
        self._runs: dict[bytes, Run | None] = {}
        self._sequences: dict[bytes, int] = {}
        self.find = self._runs.get
        self.nested = self._sequences.get

    def learn(self, buffer: bytes, start: int, elements: Mapping[int, RawElement], held: int) -> None:
        """Usual elements were walked that begin at `start`: all of `elements` but the first `held`."""
        head = buffer[start : start + 8]
        if head in self._runs:
            self._runs[head] = Run(buffer, start, list(islice(elements.items(), held, None)))
            return
        if len(self._runs) >= MOST_RUNS:
            self._runs.clear()
        self._runs[head] = None

    def learn_sequence(self, value: bytes, nested: int) -> None:
        """A sequence of defined length was walked to its end: items and elements in it, at every depth."""
        if len(self._sequences) >= MOST_SEQUENCES:
            self._sequences.clear()
        self._sequences[value] = nested


@lru_cache(maxsize=16)
def runs_of(mode: Mode, value_bytes: int, depth: int) -> Runs:
    """Those of one encoding and the limits that decide what is usual."""
    return Runs()
