"""The store on local disks: append-only packs that anyone can open with tar (implements `ports.blobs.BlobStore`).

The parts: `packs_format` (the bytes of a member), `packs_volume` (room, failures), `packs_pool` (open packs, their
locks), `packs_writer` (one instance on its way in), `packs_scan` (walking and recovery), `packs_seal`, `packs_read`
(digests and fall-back), `packs_copies`, `packs_tombstones`, `packs_purge` and `packs_compact` (deletion). Here they
are put together, and the one promise is kept that needs all
of them: `sync` returns only if every member is on the disk, and once it has failed nothing is promised any more.

Explained with figures in docs/explanation/packs.md and docs/adr/0002-packs.md.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import structlog

from vesalius.backends.packs_ahead import write_ahead
from vesalius.backends.packs_compact import compact
from vesalius.backends.packs_copies import PackCopies
from vesalius.backends.packs_format import PAGE
from vesalius.backends.packs_open import Leftover, hold
from vesalius.backends.packs_pool import PackPool
from vesalius.backends.packs_purge import purge, remove_pack
from vesalius.backends.packs_read import PRIMARY, PackReader
from vesalius.backends.packs_scan import digest_holds, recover_open, walk, walk_over_damage
from vesalius.backends.packs_seal import UNFINISHED, read_summary, seal
from vesalius.backends.packs_tombstone_writer import write as write_tombstone
from vesalius.backends.packs_volume import PACK, RETIRED, SIDECAR, SUSPECT, PackSettings, Volume, sync_folder
from vesalius.backends.packs_writer import PackWriter
from vesalius.model.entities import Claim, CopyInfo, Member, PackInfo, Provenance, Tombstone
from vesalius.ports.blobs import BlobWriter, FoundMember

__all__ = ["PackSettings", "PackStore"]

log = structlog.get_logger()


class PackStore:
    """Packs under `root`, with copies of them under further folders by name.

    `begin`, `write` and `abort` may be called from one thread, `finish`, `sync` and `discard` from another,
    reads from many. Other processes may have stores on the same folders at the same time.
    """

    def __init__(
        self, root: Path, *, settings: PackSettings | None = None, copies: Mapping[str, Path] | None = None
    ) -> None:
        """Makes the folder if need be; raises `OSError` where that fails. Looks at no pack yet."""
        settings = settings or PackSettings()
        copies = dict(copies or {})
        self._volume = Volume(root, settings)
        self._pool = PackPool(self._volume, settings)
        self._reader = PackReader(root, copies, settings.read_files)
        self._copies = PackCopies(self._volume, self._reader, copies)
        self._folders = copies

    @property
    def read_only(self) -> str | None:
        """Why the store takes nothing any more until it is started again; None while all is well."""
        return self._volume.read_only

    # -- writing ---------------------------------------------------------------------------------

    def begin(self, claim: Claim, provenance: Provenance, *, together: bool = False) -> BlobWriter:
        """A writer for one instance. Raises `OutOfResources` under the watermark, `VolumeReadOnly`."""
        return PackWriter(self._pool, claim, provenance, together=together)

    @property
    def spare(self) -> bool:
        """Whether a small instance may wait in memory."""
        return self._pool.spare

    def hasten(self, member: Member) -> None:
        """Have write-back of a finished member started: its full pages, for the last one is written to again."""
        pack = self._pool.held(member.pack)
        if pack is None:
            return
        start, end = member.header_offset & ~(PAGE - 1), member.end & ~(PAGE - 1)
        with pack.lock, contextlib.suppress(OSError):
            if pack.fd >= 0 and end > start:
                os.posix_fadvise(pack.fd, start, end - start, os.POSIX_FADV_DONTNEED)

    def sync(self, members: Sequence[Member]) -> None:
        """Make finished members durable: one fdatasync per pack. Raises `VolumeReadOnly`, for good."""
        for name in {member.pack for member in members}:
            if self._volume.read_only is not None:
                self._volume.check()
            pack = self._pool.held(name)
            if pack is None:
                continue  # sealed or closed in the meantime: synced there
            with pack.lock:
                if pack.fd < 0:
                    continue
                try:
                    os.fdatasync(pack.fd)
                    continue
                except OSError as error:
                    code = errno.errorcode.get(error.errno or 0, "unknown error")
            self._pool.suspect(pack)
            # Not even ENOSPC passes here: what the page cache says after a failed sync proves nothing.
            raise self._volume.fail(f"sync of pack {name} failed with {code}")

    def tombstone(self, tombstone: Tombstone) -> Member:
        """Write down a deletion, durably. Raises `OutOfResources`, `VolumeReadOnly`."""
        member = write_tombstone(self._pool, tombstone)
        self.sync((member,))
        return member

    def discard(self, member: Member, *, undone: bool = False) -> None:
        """Count a finished member as dead bytes; take them back where they are the last and surely unknown."""
        pack = self._pool.held(member.pack)
        if pack is None or (undone and self._pool.withdraw(pack, member.header_offset, member.end)):
            return
        pack.dead_bytes += member.end - member.header_offset

    def seal_idle(self, now: float) -> list[PackInfo]:
        """Seal packs of this process, and leftovers of earlier ones, that are full or idle. `now` is monotonic.

        Also gets the pack that comes next ready in a quiet moment: zeros are written ahead.
        """
        sealed = []
        for pack in self._pool.due(now):
            try:
                if pack.end == 0:
                    self._pool.remove_empty(pack)
                else:
                    sealed.append(seal(self._volume, pack))
                    log.info("pack-sealed", pack=pack.name, members=sealed[-1].members, size=pack.end)
            except OSError as error:
                self._pool.suspect(pack)
                self._volume.fail(f"sealing pack {pack.name} failed with {errno.errorcode.get(error.errno or 0, '')}")
                continue
            self._pool.drop(pack)
        write_ahead(self._pool, now)
        return sealed

    def close(self) -> None:
        """Close every open pack cleanly. They stay open packs and are taken up again after the next recovery."""
        self._pool.close()
        self._reader.close()

    # -- reading ---------------------------------------------------------------------------------

    def read(self, member: Member, offset: int, length: int) -> bytes:
        """A part of the data set; fewer bytes only at its end. Raises `DamagedInstance`."""
        return self._reader.read(member, offset, length)

    def read_at_once(self, member: Member, offset: int, length: int) -> bytes | None:
        """A part of the data set out of the page cache of this machine; None where it may not be there."""
        return self._reader.read_at_once(member, offset, length)

    def read_into_at_once(self, member: Member, offset: int, into: memoryview) -> bool:
        """The same into memory that is there already."""
        return self._reader.read_into_at_once(member, offset, into)

    def read_verified(self, member: Member) -> bytes:
        """The whole data set, its checksum compared. Raises `DamagedInstance`."""
        return self._reader.read_verified(member)

    def read_verified_into(self, member: Member, into: memoryview) -> None:
        """The same into memory that is there already."""
        self._reader.read_verified_into(member, into)

    def stream_verified(self, member: Member, chunk: int = 1 << 20) -> Iterator[bytes]:
        """The data set in chunks, its checksum compared before the first. Raises `DamagedInstance`."""
        return self._reader.stream_verified(member, chunk)

    def check(self, member: Member, place: str | None = None) -> bool:
        """Whether header, file meta information and data set are whole on the disk of a place."""
        return self._reader.check(member, place or PRIMARY)

    # -- packs as a whole ------------------------------------------------------------------------

    def packs(self) -> list[PackInfo]:
        """Every pack, as the files tell it, oldest first."""
        found: dict[str, PackInfo] = {}
        retired = self.retired()
        for folder in (self._volume.root, *self._folders.values()):
            try:
                with os.scandir(folder) as entries:
                    sizes = {entry.name: entry.stat().st_size for entry in entries}
            except OSError:
                continue
            for name, size in sizes.items():
                pack = name.removesuffix(PACK)
                if pack != name and pack not in found and pack not in retired:
                    found[pack] = self._info(pack, str(folder), size, sizes)
        return [found[pack] for pack in sorted(found)]

    @staticmethod
    def _info(pack: str, folder: str, size: int, names: Mapping[str, int]) -> PackInfo:
        if pack + SIDECAR in names:
            summary = read_summary(f"{folder}/{pack}{SIDECAR}")
            if summary is not None:
                return summary.info
        return PackInfo(name=pack, state="suspect" if pack + SUSPECT in names else "open", indexed_to=0, size=size)

    def scan(self, pack: str, from_offset: int = 0, *, verify: bool = False) -> Iterator[FoundMember]:
        """The members of a pack, from its file alone: the primary's, else the first further place's that has it.

        Without `verify` a broken header does not hide the members behind it.
        """
        for place in (PRIMARY, *self._reader.places):
            try:
                fd = os.open(self._reader.path(pack, place), os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                yield from (
                    walk(fd, pack, from_offset, verify=True) if verify else walk_over_damage(fd, pack, from_offset)
                )
            finally:
                os.close(fd)
            return

    def recover(
        self,
        pack: str,
        from_offset: int,
        on_cut: Callable[[int], None] | None = None,
        dead: Collection[int] = (),
    ) -> Iterator[FoundMember]:
        """After a crash: the whole members from `from_offset` on, and the torn tail is cut off.

        Yields nothing for a pack that a living process holds. Raises `VolumeReadOnly` if the pack cannot be synced.
        """
        try:
            fd = hold(self._volume.pack_path(pack))
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._volume.refusal(error, "opening a pack") from error
        if fd is None:
            return
        try:
            summary = read_summary(self._volume.sidecar_path(pack))
            if summary is not None:
                if from_offset < summary.size:
                    yield from self._whole(fd, walk_over_damage(fd, pack, from_offset), dead)
                return
            # Nobody else seals it now, so a sidecar that was not finished is what a crash left of a sealing.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._volume.sidecar_path(pack) + UNFINISHED)  # noqa: PTH108  paths here are strings
            yield from self._recover_open(fd, pack, from_offset, on_cut)
        except OSError as error:
            raise self._volume.refusal(error, "recovering a pack") from error
        finally:
            os.close(fd)

    @staticmethod
    def _whole(fd: int, members: Iterator[FoundMember], dead: Collection[int]) -> Iterator[FoundMember]:
        """Those whose digest holds. A sealed pack was synced, so the others are damaged, not torn."""
        for found in members:
            if found.member.header_offset in dead:
                continue
            if digest_holds(fd, found.member):
                yield found
            else:
                log.error("member-damaged", pack=found.member.pack, offset=found.member.header_offset, place="primary")

    def _recover_open(
        self, fd: int, pack: str, from_offset: int, on_cut: Callable[[int], None] | None
    ) -> Iterator[FoundMember]:
        size = os.fstat(fd).st_size
        suspect = os.path.exists(self._volume.suspect_path(pack))  # noqa: PTH110  paths here are strings
        if from_offset > size:
            log.error("pack-too-short", pack=pack, size=size, indexed_to=from_offset)
            return
        end = from_offset

        def cut(torn: int) -> None:
            log.warning("pack-tail-cut", pack=pack, offset=end, bytes=torn)
            if on_cut is not None:
                on_cut(torn)

        for found in recover_open(fd, pack, from_offset, cut):
            end = found.member.end
            yield found
        # A caller that asks from the end on has told the index everything before it.
        if not suspect and end == from_offset:
            stat = os.fstat(fd)
            self._pool.leave(Leftover(pack, end, stat.st_size, stat.st_mtime_ns, time.monotonic()))

    # -- deletion --------------------------------------------------------------------------------

    def purge(self, pack: str, members: Sequence[Member]) -> PackInfo | None:
        """Destroy the data sets of deleted members of a sealed pack everywhere. Raises `OutOfResources`."""
        return purge(self._volume, self._reader, pack, members)

    def compact(self, pack: str, living: Sequence[Member]) -> tuple[PackInfo, list[tuple[Member, Member]]]:
        """Copy the living of a sealed pack into a new one. Raises `DamagedInstance`, `OutOfResources`."""
        return compact(self._volume, self._reader, pack, living)

    def retire(self, pack: str, retired: bool = True) -> None:
        """Leave a pack out of `packs`, or take that back. Raises `OutOfResources`."""
        path = Path(self._volume.retired_path(pack))
        try:
            if retired:
                path.touch(mode=0o640)
            else:
                path.unlink(missing_ok=True)
            sync_folder(self._volume.root)
        except OSError as error:
            raise self._volume.refusal(error, "retiring a pack") from error

    def retired(self) -> dict[str, float]:
        """Packs that are left out, and for how many seconds."""
        now = time.time()
        found = {}
        try:
            with os.scandir(self._volume.root) as entries:
                for entry in entries:
                    if entry.name.endswith(RETIRED):
                        found[entry.name.removesuffix(RETIRED)] = now - entry.stat().st_mtime
        except OSError:
            return found
        return found

    def remove_pack(self, pack: str) -> None:
        """Remove a retired pack from every place. Raises `OutOfResources`."""
        remove_pack(self._volume, self._reader, pack)

    # -- further places --------------------------------------------------------------------------

    def places(self) -> tuple[str, ...]:
        """Names of the further places."""
        return self._reader.places

    def copy(self, pack: str, place: str, from_offset: int, to_offset: int) -> CopyInfo:
        """Append what a further place lacks of a pack, durably. Raises `OutOfResources`."""
        return self._copies.copy(pack, place, from_offset, to_offset)

    def repair(self, member: Member) -> bool:
        """Rewrite a bad primary member from a good copy; False where there is none. Raises `OutOfResources`."""
        return self._copies.repair(member)
