"""Several pictures as one that moves: GIF, joined from single ones, and MP4 by ffmpeg where it is installed.

Both stream: a picture is made when its turn has come, so a long cine needs no more memory than a short one.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import cache

from vesalius.model.errors import CannotTranscode

MOST_PICTURES = 5000
RATE = 10.0  # pictures a second where nothing says otherwise

_LOOP = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"


def joined_gif(pictures: Iterator[bytes], rate: float) -> Iterator[bytes]:
    """Single GIFs as one animation that repeats. Those that follow must not be larger than the first.

    Raises `CannotTranscode` for bytes that are no GIF.
    """
    delay = max(2, round(100 / max(rate, 0.1)))  # hundredths; browsers slow down anything below 2
    table = b""
    for number, picture in enumerate(pictures):
        colours, image = _parts(picture)
        if number == 0:
            table = colours
            yield picture[:13] + colours + _LOOP
        yield b"\x21\xf9\x04\x04" + struct.pack("<HBB", delay, 0, 0)
        yield _with_table(image, colours if colours != table else b"", picture[10])
    yield b"\x3b"


def _parts(picture: bytes) -> tuple[bytes, bytes]:
    """The colour table of a single GIF, and its image block."""
    if picture[:3] != b"GIF" or len(picture) < 14:
        raise CannotTranscode("a picture of an animation is no GIF")
    at = 13
    colours = b""
    if picture[10] & 0x80:
        size = 3 * (2 << (picture[10] & 7))
        colours = picture[at : at + size]
        at += size
    while picture[at : at + 1] == b"\x21":  # extensions
        at += 2
        while picture[at]:
            at += 1 + picture[at]
        at += 1
    if picture[at : at + 1] != b"\x2c":
        raise CannotTranscode("a picture of an animation has no image")
    return colours, picture[at : picture.rindex(b"\x3b")]


def _with_table(image: bytes, colours: bytes, flags: int) -> bytes:
    """An image block with its own colour table where it differs from the common one."""
    if not colours or image[9] & 0x80:
        return image
    return image[:9] + bytes((image[9] & 0x40 | 0x80 | flags & 7,)) + colours + image[10:]


@cache
def ffmpeg() -> str | None:
    """The encoder of video, where there is one; looked for once."""
    return shutil.which("ffmpeg")


def encoded_mp4(pictures: Iterator[bytes], columns: int, rows: int, rate: float) -> Iterator[bytes]:
    """RGB pictures of the same, even size as H.264 in MP4, in fragments that can be played as they come.

    Blocks. Raises `CannotTranscode` where there is no ffmpeg or it fails.
    """
    program = ffmpeg()
    if program is None:
        raise CannotTranscode("no video can be made: ffmpeg is not installed")
    process = subprocess.Popen(  # noqa: S603  (fixed arguments, no shell)
        [
            *(program, "-nostdin", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"),
            *("-s", f"{columns}x{rows}", "-r", f"{rate:.4g}", "-i", "pipe:0", "-an", "-c:v", "libx264"),
            *("-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p", "-threads", "2"),
            *("-movflags", "frag_keyframe+empty_moov+default_base_moof", "-f", "mp4", "pipe:1"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    failed: list[BaseException] = []
    writer = threading.Thread(target=_write, args=(process, pictures, columns * rows * 3, failed), daemon=True)
    writer.start()
    try:
        if process.stdout is None:
            raise CannotTranscode("ffmpeg could not be started")
        while data := process.stdout.read1(1 << 18):  # type: ignore[attr-defined]
            yield data
        writer.join()
        if failed:
            raise failed[0]
        if process.wait() != 0:
            raise CannotTranscode("ffmpeg could not make the video")
    finally:
        process.kill()
        process.wait()
        writer.join()
        if process.stdout is not None:
            process.stdout.close()


def _write(process: subprocess.Popen[bytes], pictures: Iterator[bytes], size: int, failed: list[BaseException]) -> None:
    if process.stdin is None:
        return
    try:
        for picture in pictures:
            if len(picture) == size:  # one of another size has no place in this video
                process.stdin.write(picture)
    except (BrokenPipeError, ValueError):
        return  # ffmpeg has ended; its exit status says why
    except Exception as error:  # told to the reader, whose thread answers the request
        failed.append(error)
    finally:
        with suppress(OSError):
            process.stdin.close()
