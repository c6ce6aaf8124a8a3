"""Frames of stored instances: where they lie, their bytes, and what a worker process makes of them.

Theory. Where the frames of an instance lie was worked out at its receipt and stands in the index, so a frame is one
positioned read whose size is known before it is made. What could not be said then (cells that are turned around,
instances from before it was) follows from a few attributes, is worked out once and kept in a small memory by digest:
bytes that were stored never change. A frame cannot be checked against the digest of the whole; the store serves it
from a place that is not known as damaged, and the scrub finds the rest.

A data set in a deflated transfer syntax has no places in it: it is inflated under a cap, and the last ones stay in
memory. Pixels are never looked at here: what needs a codec goes to the worker processes.
"""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from vesalius.archive.coerce import Coerce
from vesalius.model.datasets import inflate
from vesalius.model.elements import Header, HeaderLimits, read_header
from vesalius.model.encodings import ITEM
from vesalius.model.entities import Member, NativeFrames, PixelLayout, StoredInstance
from vesalius.model.errors import CannotTranscode, DamagedInstance, LimitExceeded, NoSuchInstance
from vesalius.model.native_frames import (
    DOUBLE_PIXELS,
    FLOAT_PIXELS,
    cells_are_big_endian,
    frame_count,
    from_bit,
    little_endian,
    native_frames,
)
from vesalius.model.rendering import RenderRequest
from vesalius.ports.blobs import BlobStore
from vesalius.ports.pixels import FrameSource, PresentationSource, Transcoder
from vesalius.standard.transfer_syntaxes import EXPLICIT_LE, lookup

LARGEST_HEADER = 64 << 20  # bytes before the pixels; no real object comes near
LARGEST_INFLATED = 256 << 20  # of a deflated data set, in this process; larger ones can still be retrieved whole
LARGEST_STATE = 16 << 20  # of a presentation state or a report
HELD_INFLATED = 32 << 20  # inflated data sets in memory
KNOWN = 4096  # instances whose frames had to be looked up in the data set

_ITEM_HEAD = struct.Struct("<HHI")
# Only the description of the pixels is wanted: long values and sequences are passed over.
_LIMITS = HeaderLimits(value_bytes=1024, sequence_bytes=0)


ReadAtOnce = Callable[[Member, int, int], bytes | None]


@dataclass(frozen=True, slots=True)
class _Known:
    """What has been worked out of one instance."""

    count: int
    native: NativeFrames | None  # None: encapsulated
    word: int = 1  # bytes whose order is to be turned around; 1: none


class FrameSet:
    """The frames of one instance, numbered from 0. Everything blocks."""

    def __init__(
        self,
        instance: StoredInstance,
        pixels: PixelLayout,
        syntax: str,
        known: _Known,
        read: Callable[[int, int], bytes],
        transcoder: Transcoder,
        coerce: Coerce,
    ) -> None:
        self._coerce = coerce
        self.instance = instance
        self.pixels = pixels
        self.transfer_syntax = syntax  # of the frames: Explicit VR Little Endian where the data set is deflated
        self.count = known.count
        self.native_frames = known.native
        self.word = known.word
        self._read = read
        self._transcoder = transcoder

    @property
    def encapsulated(self) -> bool:
        """Whether the frames are codestreams."""
        return self.native_frames is None

    @property
    def form(self) -> str:
        """The transfer syntax of what `stored` gives: native cells are always Explicit VR Little Endian."""
        return self.transfer_syntax if self.encapsulated else EXPLICIT_LE

    def check(self, index: int) -> None:
        """Raises `NoSuchInstance` where there is no such frame."""
        if not 0 <= index < self.count:
            raise NoSuchInstance(f"there is no frame {index + 1}: the instance has {self.count}")

    def length(self, index: int) -> int:
        """About how many bytes `stored` reads."""
        return self.native_frames.frame_bytes if self.native_frames is not None else self.pixels.frames[index][1]

    def stored(self, index: int) -> bytes:
        """The frame as stored: a codestream without its item headers, or native cells in little endian order.

        Raises `NoSuchInstance`, `DamagedInstance`.
        """
        self.check(index)
        native = self.native_frames
        if native is None:
            offset, length = self.pixels.frames[index]
            return _without_items(self._read(offset, length))
        first, size, skip = native.place(index)
        if self.word == 1:
            data = self._read(self.pixels.offset + first, size)
        else:
            lead = first % self.word
            whole = -(-(lead + size) // self.word) * self.word
            data = little_endian(self._read(self.pixels.offset + first - lead, whole), self.word)[lead : lead + size]
        return from_bit(data, skip, native.bits) if skip or native.bits % 8 else data

    def as_it_lies(self, index: int) -> tuple[int, int] | None:
        """Offset and length, in the data set, of a native frame that goes out as it lies there; None for any other."""
        native = self.native_frames
        if native is None or not 0 <= index < self.count:
            return None
        first, size, skip = native.place(index)
        return None if skip or native.bits % 8 or self.word != 1 else (self.pixels.offset + first, size)

    def codestream_at_once(self, index: int, read: ReadAtOnce) -> bytes | None:
        """What `stored` gives of an encapsulated frame, where it is in memory; None otherwise. Raises
        `DamagedInstance`."""
        if not self.encapsulated or not 0 <= index < self.count:
            return None
        data = read(self.instance.member, *self.pixels.frames[index])
        return _without_items(data) if data is not None else None

    def native(self, index: int) -> bytes:
        """The frame as native cells in little endian order, decoded where need be. Raises `CannotTranscode` also."""
        return self.stored(index) if not self.encapsulated else self.encoded(index, EXPLICIT_LE)

    def encoded(self, index: int, wanted: str) -> bytes:
        """The frame in another transfer syntax, by a worker process. Raises as `native`."""
        if self.encapsulated and wanted == self.transfer_syntax:
            return self.stored(index)
        return self._transcoder.frame(self.source(index), wanted)

    def header(self) -> Header:
        """What the data set says before its pixels. Raises `CannotTranscode`, `DamagedInstance`."""
        return read_header(self._header(), self.transfer_syntax)

    def _header(self) -> bytes:
        """What is said of the frames, repaired: it is written on pictures."""
        data = _header(self._read, self.pixels, self.transfer_syntax)
        return self._coerce.whole(self.instance, data, self.transfer_syntax)

    def picture(self, index: int, request: RenderRequest, state: PresentationSource | None = None) -> bytes:
        """The frame as a picture, by a worker process where a decoder is needed. Raises as `native`."""
        return self._transcoder.render(self.source(index), request, state)

    def source(self, index: int) -> FrameSource:
        """The frame as the worker processes take it. Raises `NoSuchInstance`."""
        self.check(index)
        return FrameSource(
            key=f"{self.instance.member.sha256}/{self.instance.coerced}/{index}",
            index=index,
            transfer_syntax=self.transfer_syntax,
            encapsulated=self.encapsulated,
            floating={FLOAT_PIXELS: 32, DOUBLE_PIXELS: 64}.get(self.pixels.tag, 0),
            header=self._header,
            data=partial(self.stored, index),
            size=place[1] if (place := self.as_it_lies(index)) is not None else 0,
        )


class Frames:
    """Opens the frames of stored instances. Thread-safe; one for a process."""

    def __init__(self, blobs: BlobStore, transcoder: Transcoder, coerce: Coerce | None = None) -> None:
        self._blobs = blobs
        self._coerce = coerce or Coerce(None, blobs)
        self._transcoder = transcoder
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._inflated: OrderedDict[str, bytes] = OrderedDict()

    def open(self, instance: StoredInstance) -> FrameSet:
        """The frames of an instance. Blocks.

        Raises `NoSuchInstance` where it has none, `CannotTranscode` where its description of them makes no sense,
        `DamagedInstance`.
        """
        pixels = instance.pixels
        if pixels is None:
            raise NoSuchInstance("the instance has no frames")
        syntax = instance.transfer_syntax
        read = partial(self._blobs.read, instance.member)
        if lookup(syntax).deflated:
            read, syntax = partial(self._read_inflated, instance), EXPLICIT_LE
        known = _at_receipt(pixels, syntax) or self._looked_up(instance.member.sha256, read, pixels, syntax)
        return FrameSet(instance, pixels, syntax, known, read, self._transcoder, self._coerce)

    def open_at_once(self, instance: StoredInstance) -> FrameSet | None:
        """The same without waiting for a disk; None where that is not possible. Raises `CannotTranscode` as `open`."""
        pixels, syntax = instance.pixels, instance.transfer_syntax
        if pixels is None or lookup(syntax).deflated:
            return None
        known = _at_receipt(pixels, syntax) or self._known.get(instance.member.sha256)
        if known is None:
            return None
        read = partial(self._blobs.read, instance.member)
        return FrameSet(instance, pixels, syntax, known, read, self._transcoder, self._coerce)

    def _looked_up(self, digest: str, read: Callable[[int, int], bytes], pixels: PixelLayout, syntax: str) -> _Known:
        """What has to be read from the data set, once. Raises as `open`."""
        with self._lock:
            known = self._known.get(digest)
            if known is not None:
                self._known.move_to_end(digest)
                return known
        known = _work_out(read, pixels, syntax)
        with self._lock:
            self._known[digest] = known
            while len(self._known) > KNOWN:
                self._known.popitem(last=False)
        return known

    def state(self, instance: StoredInstance) -> PresentationSource:
        """The whole data set of a presentation state or a report. Raises `CannotTranscode` for one too large."""
        if instance.member.dataset_length > LARGEST_STATE:
            raise CannotTranscode("the presentation state or report is too large to be shown")
        dataset, syntax = self._blobs.read_verified(instance.member), instance.transfer_syntax
        dataset = self._coerce.whole(instance, dataset, syntax)
        if lookup(syntax).deflated:
            dataset, syntax = inflate(dataset, LARGEST_STATE), EXPLICIT_LE
        return PresentationSource(syntax, dataset)

    def inflated(self, instance: StoredInstance) -> bytes:
        """The data set of a deflated transfer syntax, inflated. Raises `CannotTranscode` for one too large."""
        digest = instance.member.sha256
        with self._lock:
            found = self._inflated.get(digest)
        if found is None:
            if instance.member.dataset_length > LARGEST_INFLATED:
                raise CannotTranscode("the deflated data set is too large to be looked into")
            try:
                found = inflate(self._blobs.read_verified(instance.member), LARGEST_INFLATED)
            except LimitExceeded as error:
                raise CannotTranscode("the deflated data set is too large to be looked into") from error
            with self._lock:
                self._inflated[digest] = found
                while sum(map(len, self._inflated.values())) > HELD_INFLATED and self._inflated:
                    self._inflated.popitem(last=False)
        return found

    def _read_inflated(self, instance: StoredInstance, offset: int, length: int) -> bytes:
        return self.inflated(instance)[offset : offset + length]


def _at_receipt(pixels: PixelLayout, syntax: str) -> _Known | None:
    """What the index says of the frames; None where the data set has to be asked."""
    if pixels.encapsulated:
        if not lookup(syntax).encapsulated:
            raise CannotTranscode("the pixels are encapsulated, which their transfer syntax does not allow")
        if not pixels.frames:
            raise NoSuchInstance(
                "the frames of the instance cannot be told from its fragments",
                hint="the instance itself can be retrieved as it was stored",
            )
        return _Known(len(pixels.frames), None)
    return None if pixels.native is None else _Known(pixels.native.count, pixels.native)


def _work_out(read: Callable[[int, int], bytes], pixels: PixelLayout, syntax: str) -> _Known:
    """What native pixels look like, from the header before them."""
    header = read_header(_header(read, pixels, syntax), syntax, _LIMITS)
    frame_count(header)
    native = native_frames(header, pixels)
    word = 1
    if cells_are_big_endian(syntax):
        # Cells of bytes and bits are turned around in pairs where they were written as words (PS3.5 7.3).
        explicit = lookup(syntax).explicit
        as_words = explicit and read(pixels.offset - 8, 2) == b"OW"
        word = max(native.cell // 8, 2 if as_words else 1)
    return _Known(native.count, native, word)


def _header(read: Callable[[int, int], bytes], pixels: PixelLayout, syntax: str) -> bytes:
    """The data set before the element that holds the pixels."""
    end = pixels.offset - (12 if lookup(syntax).explicit else 8)
    if end > LARGEST_HEADER:
        raise CannotTranscode("what stands before the pixels is too large")
    return read(0, end)


def _without_items(data: bytes) -> bytes:
    """The fragments of a frame, joined. Raises `DamagedInstance` where they are not what the index says."""
    parts = []
    at = 0
    while at + 8 <= len(data):
        group, element, length = _ITEM_HEAD.unpack_from(data, at)
        if group << 16 | element != ITEM or at + 8 + length > len(data):
            raise DamagedInstance("a frame does not lie where the index says")
        parts.append(data[at + 8 : at + 8 + length])
        at += 8 + length
    return parts[0] if len(parts) == 1 else b"".join(parts)
