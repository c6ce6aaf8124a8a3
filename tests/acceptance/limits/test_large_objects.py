"""Objects larger than memory should be: received, given back and exported while the processes stay small.

The object is made while it is sent, by a raw socket client that never holds it. What is watched is the resident memory
of every process of the service together, each page counted once (PSS), many times a second.
"""

from __future__ import annotations

import hashlib
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from tests.support.corpus import split_file
from tests.support.generate import ct, part10, uid
from tests.support.raw_dicom import STUDY_GET, STUDY_MOVE, Message, get_rq, parse_elements
from tests.support.raw_peer import LEVEL, RawScu, Receiver, identifier, store_rsp
from tests.support.server import Server, listing, running_server, vesalius

MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.7.3"  # Multi-frame Grayscale Word Secondary Capture
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
LIMIT = 300 << 20
BLOCK = bytes(range(256)) * 1024  # 256 KiB: half a frame


@dataclass
class Large:
    """A multi-frame object of so many bytes of pixels."""

    size: int
    number: int = 0  # another one of the same size
    study: str = ""
    series: str = ""
    instance: str = ""
    digest: str = ""
    length: int = 0

    def chunks(self) -> Iterator[bytes]:
        """The data set, block by block, each block with its number in it. Sets `digest` at the end."""
        ds = ct(f"large {self.size}"[:16], rows=512, columns=512, NumberOfFrames=str(self.size // (512 * 512 * 2)))
        ds.SOPClassUID = MULTI_FRAME
        ds.SOPInstanceUID = uid("large", self.size, self.number)
        self.study, self.series, self.instance = ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID
        ds.PixelData = b""
        head = split_file(part10(ds))[1]
        at = head.rindex(b"\xe0\x7f\x10\x00")
        head = head[:at] + b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<I", self.size)
        digest = hashlib.sha256(head)
        self.length = len(head)
        yield head
        for number in range(self.size // len(BLOCK)):
            block = struct.pack("<Q", number) + BLOCK[8:]
            digest.update(block)
            self.length += len(block)
            yield block
        self.digest = digest.hexdigest()


@dataclass
class Watch:
    """The most memory that a service had, in a thread beside the test."""

    server: Server
    peak: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def look(self) -> int:
        top = psutil.Process(self.server.process.pid)
        total = 0
        for process in (top, *top.children(recursive=True)):
            try:
                text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            except OSError:
                continue
            total += sum(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Pss:"))
        return total

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            self.peak = max(self.peak, self.look())


def fetch(scu: RawScu, study: str) -> tuple[int, str]:
    """C-GET of one large instance, digested as it comes: length and digest."""
    scu.send_message(scu.context(STUDY_GET), get_rq(STUDY_GET, 7), identifier({LEVEL: "STUDY", 0x0020000D: study}))
    digest, length, command = hashlib.sha256(), 0, b""
    while True:
        kind, body = scu.pdu()
        assert kind == 4
        at = 0
        while at < len(body):
            size, number, flags = struct.unpack_from(">IBB", body, at)
            data = body[at + 6 : at + 4 + size]
            at += 4 + size
            if flags & 1:
                command += data
            else:
                digest.update(data)
                length += len(data)
            if flags & 2 and flags & 1:
                message = _message(number, command)
                command = b""
                if message.number(0x100) == 0x8010:
                    assert message.status == 0 or message.status == 0xFF00
                    if message.status == 0:
                        return length, digest.hexdigest()
                else:
                    store = message
            elif flags & 2:
                scu.send_message(number, store_rsp(store, 0))


def _message(number: int, command: bytes) -> Message:
    return Message(number, parse_elements(command), b"")


@pytest.mark.parametrize(
    "size",
    [200 << 20, pytest.param(2 << 30, marks=[pytest.mark.slow, pytest.mark.timeout(900)])],
    ids=["200 MB", "2 GB"],
)
def test_a_large_multi_frame_object_goes_in_and_out_with_bounded_memory(size: int, tmp_path: Path) -> None:
    large = Large(size)
    with running_server(tmp_path, workers=2) as server:
        with Watch(server) as watch:
            with RawScu.associate(server.dimse_port, [(MULTI_FRAME, [EXPLICIT])], timeout=300) as scu:
                chunks = large.chunks()
                first = next(chunks)
                answer = scu.store(MULTI_FRAME, large.instance, EXPLICIT, _again(first, chunks))
                assert answer.status == 0
            contexts = [(STUDY_GET, [IMPLICIT]), (MULTI_FRAME, [EXPLICIT])]
            with RawScu.associate(server.dimse_port, contexts, roles=[MULTI_FRAME], timeout=300) as scu:
                assert fetch(scu, large.study) == (large.length, large.digest)
        assert watch.peak < LIMIT, f"{watch.peak >> 20} MiB"
        keys = (f"StudyInstanceUID={large.study}", "NumberOfFrames")
        (found,) = listing("find", "--level", "image", *keys, data=server.data)
        assert str(found["NumberOfFrames"]) == str(size // (512 * 512 * 2))
        # The command line streams as well.
        done = vesalius("export", "--study", large.study, tmp_path / "out", data=server.data, timeout=600)
        assert done.returncode == 0
        (path,) = (tmp_path / "out").rglob("IM*")
        assert path.stat().st_size > large.length
        (pack,) = (server.data / "packs").glob("*.tar")
        assert pack.stat().st_size > large.length


def _again(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def test_a_large_object_goes_to_a_move_destination_with_bounded_memory(tmp_path: Path) -> None:
    large = Large(100 << 20)
    with Receiver("KEEPER") as receiver:
        config = f'[[peers]]\nname = "keeper"\nhost = "127.0.0.1"\nport = {receiver.port}\naet = "KEEPER"\n'
        with running_server(tmp_path, config=config) as server:
            with RawScu.associate(server.dimse_port, [(MULTI_FRAME, [EXPLICIT])], timeout=60) as scu:
                chunks = large.chunks()
                first = next(chunks)
                assert scu.store(MULTI_FRAME, large.instance, EXPLICIT, _again(first, chunks)).status == 0
            with Watch(server) as watch, RawScu.associate(server.dimse_port, [(STUDY_MOVE, [IMPLICIT])]) as scu:
                moved = scu.move("KEEPER", {LEVEL: "STUDY", 0x0020000D: large.study})
            assert moved.status == 0
            assert watch.peak < LIMIT, f"{watch.peak >> 20} MiB"
        (kept,) = receiver.kept
        assert hashlib.sha256(kept.dataset).hexdigest() == large.digest


def test_an_object_over_the_limit_is_refused_at_its_end_and_leaves_no_trace(tmp_path: Path) -> None:
    large = Large(40 << 20)
    with running_server(tmp_path, config='[limits]\nobject_size = "20 MiB"\n') as server:
        with RawScu.associate(server.dimse_port, [(MULTI_FRAME, [EXPLICIT])]) as scu:
            chunks = large.chunks()
            first = next(chunks)
            answer = scu.store(MULTI_FRAME, large.instance, EXPLICIT, _again(first, chunks))
            assert answer.status == 0xA700
            assert answer.text(0x902)
        assert listing_count(server) == 0
        with RawScu.associate(server.dimse_port, [("1.2.840.10008.5.1.4.1.1.2", [EXPLICIT])]) as scu:
            ds = ct("after")
            dataset = split_file(part10(ds))[1]
            assert scu.store(ds.SOPClassUID, ds.SOPInstanceUID, EXPLICIT, dataset).status == 0


def listing_count(server: Server) -> int:
    done = vesalius("find", "--json", data=server.data, check=False)
    return len(done.stdout.splitlines())
