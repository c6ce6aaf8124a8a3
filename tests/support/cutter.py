"""A disk whose power can be cut: ext4 on a loop device, stopped by the file system's shutdown ioctl.

The ioctl makes ext4 drop everything that it has not written, as a power cut does; with `commit=60` the journal does not
save it by accident. What it does not model: torn sectors, and a disk that lies about its cache.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

import pytest

_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32): EXT4_IOC_SHUTDOWN


class Cut(IntEnum):
    """How the power goes."""

    LOG_FLUSHED = 1  # the journal is written first, the data are not
    NOTHING_FLUSHED = 2


class Disk:
    """A small ext4 file system that can lose its power. Use `disk`."""

    def __init__(self, folder: Path, name: str, size: int) -> None:
        self.image = folder / f"{name}.img"
        self.mount_point = folder / name
        self.mount_point.mkdir(parents=True)
        with self.image.open("wb") as image:
            image.truncate(size)
        _run("mkfs.ext4", "-q", "-F", self.image)
        self.mounted = False

    def mount(self) -> None:
        end = time.monotonic() + 120
        while True:
            _run("mount", "-o", "loop,commit=60", self.image, self.mount_point)
            self.mounted = True
            try:
                os.close(os.open(self.mount_point / ".alive", os.O_CREAT | os.O_WRONLY))
                return
            except OSError:
                # Somebody's mount namespace, such as that of `ip netns exec`, still holds the file system that was
                # cut, and the kernel has given us the same again.
                self.unmount()
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)

    def cut(self, how: Cut = Cut.NOTHING_FLUSHED) -> None:
        """Now. Every later write and sync fails; nothing that is only in memory is written any more."""
        fd = os.open(self.mount_point, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", how))
        finally:
            os.close(fd)

    def empty(self) -> None:
        """Remove everything that lies on it."""
        for entry in self.mount_point.iterdir():
            if entry.name != "lost+found":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        self.settle()

    def settle(self) -> None:
        """Write everything that is there by now: what a test prepares is not what it tests."""
        _run("sync", "-f", self.mount_point)

    def unmount(self) -> None:
        if not self.mounted:
            return
        end = time.monotonic() + 60
        while (done := subprocess.run(["umount", self.mount_point], capture_output=True, check=False)).returncode:
            if time.monotonic() > end:
                # A busy file system would be mounted again as it is, cut. So it must not be.
                subprocess.run(["umount", "-l", self.mount_point], check=False)
                raise AssertionError(f"somebody keeps the disk: {done.stderr.decode(errors='replace')}")
            time.sleep(0.05)
        self.mounted = False

    def power_on(self) -> None:
        """After a cut: unmount what is left, mount again, which replays the journal."""
        self.unmount()
        self.mount()


def need_disks() -> None:
    """Skip where a file system cannot be mounted."""
    if os.geteuid() != 0:
        pytest.skip("needs root: mounts ext4 on a loop device and cuts its power")
    for tool in ("mkfs.ext4", "mount", "umount"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed (Debian packages e2fsprogs and mount)")
    if not Path("/dev/loop-control").exists():
        pytest.skip("there are no loop devices here (/dev/loop-control)")


@contextmanager
def disk(folder: Path, name: str, size: int = 8 << 30) -> Iterator[Disk]:
    """A mounted disk for the time of the block; skips where that is impossible."""
    need_disks()
    made = Disk(folder, name, size)
    try:
        made.mount()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"cannot mount a loop device here: {error.stderr.decode(errors='replace').strip()}")
    try:
        yield made
    finally:
        made.unmount()
        made.image.unlink(missing_ok=True)


@contextmanager
def small_volume(folder: Path, name: str, size: int = 64 << 20, inodes: int = 0) -> Iterator[Path]:
    """A mounted tmpfs of a fixed size for the time of the block; skips where that is impossible."""
    if os.geteuid() != 0:
        pytest.skip("needs root: mounts a small tmpfs to fill it up")
    mount_point = folder / name
    mount_point.mkdir(parents=True)
    options = f"size={size}" + (f",nr_inodes={inodes}" if inodes else "")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", mount_point], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr.decode(errors='replace').strip()}")
    try:
        yield mount_point
    finally:
        for _ in range(40):
            if subprocess.run(["umount", mount_point], capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.05)
        else:
            subprocess.run(["umount", "-l", mount_point], check=False)


def _run(*command: str | Path) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
