"""One instance on its way into a pack.

Theory. A small instance waits in memory and goes to disk with one positioned write when it is finished, into the
pack that the committer used last: a batch of small instances from many associations so lies in one pack and
one sync makes it durable. A larger one streams: it takes a pack for itself, leaves the header's place free, writes
behind it as bytes arrive, has write-back started for each full 2 MiB so that the last sync finds little to do, and
writes the header last. Neither holds more than a megabyte in memory, whatever the size of the object.

An aborted instance that waited in memory has left nothing; one that streamed is cut off its pack.
"""

from __future__ import annotations

import enum
import hashlib
import os
import time

from xxhash import xxh3_128

from vesalius.backends.packs_format import HEADER, PAGE, Written, encode_header, padded
from vesalius.backends.packs_open import OpenPack
from vesalius.backends.packs_pool import PackPool
from vesalius.model.entities import Claim, Member, Provenance
from vesalius.model.errors import OutOfResources, VesaliusError
from vesalius.model.file_meta import file_prefix
from vesalius.ports.blobs import MemberLabel

# Most pieces in one gathered write; IOV_MAX is 1024.
_MOST_PIECES = 512
_ZEROS = bytes(PAGE)
_MOST_HELD = 4  # times its own size
_READ_BACK = 1 << 30  # one call reads at most 2 GiB


class _State(enum.Enum):
    OPEN = enum.auto()
    FINISHED = enum.auto()
    ABORTED = enum.auto()


class PackWriter:
    """Implements `ports.blobs.BlobWriter`. One caller at a time; the thread may change between calls."""

    __slots__ = (
        "_advised",
        "_at",
        "_length",
        "_limit",
        "_pack",
        "_pieces",
        "_pool",
        "_prefix",
        "_reserved",
        "_sha256",
        "_state",
        "_together",
        "_waiting",
        "_xxh3",
    )

    def __init__(self, pool: PackPool, claim: Claim, provenance: Provenance, *, together: bool = False) -> None:
        pool.volume.check()
        self._pool = pool
        self._together = together
        self._prefix = file_prefix(claim, provenance.calling_aet)
        self._sha256 = hashlib.sha256()
        self._xxh3 = xxh3_128()
        self._length = 0
        self._pieces: list[bytes | bytearray | memoryview] = []
        self._waiting = 0  # bytes in pieces
        self._limit = pool.settings.buffer  # of waiting bytes, before something must be done about them
        self._reserved = 0  # of the memory budget of all writers
        self._pack: OpenPack | None = None
        self._at = 0  # where the next byte goes in the pack
        self._advised = 0  # up to here write-back was started
        self._state = _State.OPEN

    @property
    def dataset_length(self) -> int:
        """Bytes of data set written so far."""
        return self._length

    def sha256(self) -> str:
        """Digest (hex) of the data set bytes written so far."""
        return self._sha256.hexdigest()

    def content(self) -> bytes:
        """The data set bytes written so far, read back. Raises `OutOfResources` once ended, `OSError`."""
        if self._state is not _State.OPEN:
            raise OutOfResources("the instance was finished or aborted already")
        pack = self._pack
        if pack is None:
            return b"".join(self._pieces)
        start = pack.end + HEADER + len(self._prefix)
        parts = []
        while start < self._at:
            parts.append(os.pread(pack.fd, min(self._at - start, _READ_BACK), start))
            start += len(parts[-1]) or self._at
        return b"".join([*parts, *self._pieces])

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append data set bytes. Raises `OutOfResources`, `VolumeReadOnly`; `abort` must follow."""
        self._sha256.update(data)
        self._xxh3.update(data)
        size = len(data)
        self._length += size
        self._waiting += size
        if self._waiting >= self._limit:
            self._pass_on(data)
        else:
            self._keep(data)

    def finish(self, label: MemberLabel) -> Member:
        """Write what waits and the header. Not durable until `BlobStore.sync`. Raises `OutOfResources`."""
        if self._state is not _State.OPEN:
            raise OutOfResources("the instance was finished or aborted already")
        if self._pool.volume.read_only is not None:
            self._pool.volume.check()
        return self._finish_streamed(self._pack, label) if self._pack is not None else self._finish_waiting(label)

    def abort(self) -> None:
        """Take every byte back. Never raises; harmless when ended already."""
        if self._state is not _State.OPEN:
            return
        self._state = _State.ABORTED
        self._forget_pieces()
        pack, self._pack = self._pack, None
        if pack is not None:
            self._pool.stream_ended()
            self._pool.take_back(pack)

    def _written(self, pack: OpenPack) -> Written:
        return Written(
            pack.name,
            pack.end,
            self._prefix,
            self._length,
            self._sha256.hexdigest(),
            time.time_ns(),
            self._xxh3.hexdigest(),
        )

    # -- in memory -------------------------------------------------------------------------------

    def _finish_waiting(self, label: MemberLabel) -> Member:
        pack = self._pool.take()
        try:
            written = self._written(pack)
            header = encode_header(written, label)
            end = pack.end + HEADER + padded(len(self._prefix) + self._length)
            self._pool.ensure(pack, end)
        except BaseException:
            self._pool.give(pack)
            raise
        try:
            self._write(pack, pack.end, [header, self._prefix, *self._pieces], pad=True)
        except VesaliusError:
            self._pool.take_back(pack)
            raise
        self._end(pack, end)
        return written.member

    # -- streamed --------------------------------------------------------------------------------

    def _keep(self, data: bytes | bytearray | memoryview) -> None:
        self._pieces.append(data if _lasts(data) else bytes(data))

    def _pass_on(self, data: bytes | bytearray | memoryview) -> None:
        """Enough waits, with `data` at its end: put it into the pack, or go on waiting if others stream already."""
        settings = self._pool.settings
        if self._pack is None:
            if self._state is not _State.OPEN:
                raise OutOfResources("the instance was finished or aborted already")
            pack = self._pool.take_to_stream(self._waiting, together=self._together)
            if pack is None:
                self._reserved += settings.buffer
                self._limit += settings.buffer
                self._keep(data)
                return
            self._pack = pack
            self._at = pack.end
            self._advised = self._at & ~(PAGE - 1)
            # Zeros in the header's place: to every reader they are the end of the archive.
            self._pieces[:0] = (_ZEROS[:HEADER], self._prefix)
            self._waiting += HEADER + len(self._prefix)
        else:
            pack = self._pack
        self._pool.ensure(pack, self._at + self._waiting + 512)
        self._write(pack, self._at, [*self._pieces, data], pad=True)
        self._at += self._waiting
        self._forget_pieces()
        self._limit = settings.stream_step
        if self._at - self._advised >= settings.write_back:
            upto = self._at & ~(PAGE - 1)
            os.posix_fadvise(pack.fd, self._advised, upto - self._advised, os.POSIX_FADV_DONTNEED)
            self._advised = upto

    def _finish_streamed(self, pack: OpenPack, label: MemberLabel) -> Member:
        written = self._written(pack)
        header = encode_header(written, label)
        if self._pieces:
            self._pool.ensure(pack, self._at + self._waiting + 512)
            self._write(pack, self._at, self._pieces, pad=True)
        self._write(pack, pack.end, [header], pad=False)
        self._pack = None
        self._pool.stream_ended()
        self._end(pack, pack.end + HEADER + padded(len(self._prefix) + self._length))
        return written.member

    # -- both ------------------------------------------------------------------------------------

    def _end(self, pack: OpenPack, end: int) -> None:
        self._state = _State.FINISHED
        self._forget_pieces()
        pack.end = end
        self._pool.give(pack)

    def _forget_pieces(self) -> None:
        self._pieces = []
        self._waiting = 0
        if self._reserved:
            self._pool.release_buffer(self._reserved)
            self._reserved = 0

    def _write(self, pack: OpenPack, at: int, pieces: list[bytes | bytearray | memoryview], *, pad: bool) -> None:
        """Write all of `pieces`; with `pad`, zeros to the end of the page too. Raises `OutOfResources`."""
        if len(pieces) > _MOST_PIECES:
            pieces = [b"".join(pieces)]
        size = sum(map(len, pieces))
        if pad and (rest_of_page := -(at + size) % PAGE):
            pieces = [*pieces, _ZEROS[:rest_of_page]]
            size += rest_of_page
        try:
            done = os.pwritev(pack.fd, pieces, at)
            if done != size:
                # Short writes come just before the volume or the largest file size is full.
                rest = memoryview(b"".join(pieces))
                while done < len(rest):
                    done += os.pwrite(pack.fd, rest[done:], at + done)
        except OSError as error:
            refusal = self._pool.volume.refusal(error, "write")
            if self._pool.volume.read_only is not None:
                self._pool.suspect(pack)
            raise refusal from error


def _lasts(data: bytes | bytearray | memoryview) -> bool:
    """Whether it may be held as it is.

    A caller may use its buffer again, but not one of bytes; a view of such must not hold much more than it shows.
    """
    if type(data) is memoryview:
        whole = data.obj
        return type(whole) is bytes and len(whole) <= _MOST_HELD * len(data)
    return type(data) is bytes
