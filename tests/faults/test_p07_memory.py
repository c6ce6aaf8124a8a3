"""P7: large objects, bombs and questions without end, under a limit of memory; the others notice nothing."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks import fill_index

from tests.support import raw_dicom as raw
from tests.support.kills import processes
from tests.support.ledger import Ledger, check
from tests.support.load import Instance, Load, instance
from tests.support.memory import limited
from tests.support.raw_peer import RawScu, identifier
from tests.support.server import start_server
from tests.support.watch import Echoes, Memory

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

LIMIT = 256 << 20
LARGE = int(os.environ.get("VESALIUS_LARGE_MIB", "1024")) << 20
MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.7.3"
DEFLATED = "1.2.840.10008.1.2.1.99"
BLOCK = bytes(range(256)) * 512  # one PDV


def _large(number: int) -> tuple[Instance, Iterator[bytes]]:
    """A multi-frame object that nobody ever holds as a whole: its head as an instance, and its pieces."""
    one = instance("large", 1, number, size=2_000)
    at = one.dataset.rindex(b"\xe0\x7f\x10\x00OW")
    # The class has another length: its element is written anew.
    place = one.dataset.index(b"\x08\x00\x16\x00UI")
    old = struct.unpack_from("<H", one.dataset, place + 6)[0]
    value = raw.uid(MULTI_FRAME)
    head = one.dataset[: place + 6] + struct.pack("<H", len(value)) + value + one.dataset[place + 8 + old : at]
    frames = b"\x28\x00\x08\x00IS" + struct.pack("<H", 6) + b"%-6d" % (LARGE // (512 * 512 * 2))
    rows = head.index(b"\x28\x00\x10\x00US")
    head = head[:rows] + frames + head[rows:]
    head += b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<I", LARGE)

    def pieces() -> Iterator[bytes]:
        yield head
        for n in range(LARGE // len(BLOCK)):
            yield struct.pack("<Q", n) + BLOCK[8:]

    return one, pieces()


def test_large_objects_stream_within_the_limit_while_others_work(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    server = start_server(tmp_path / "data", workers=2, config_file=tmp_path / "config.toml")
    statuses: list[int] = []
    digests: dict[str, str] = {}

    def upload(number: int) -> None:
        one, pieces = _large(number)
        digest = hashlib.sha256()

        def told() -> Iterator[bytes]:
            for piece in pieces:
                digest.update(piece)
                yield piece

        with RawScu.associate(
            server.dimse_port, [(MULTI_FRAME, [raw.EXPLICIT])], calling=f"LARGE{number}", timeout=300
        ) as scu:
            statuses.append(scu.store(MULTI_FRAME, one.uid, raw.EXPLICIT, told()).status)
        digests[one.uid] = digest.hexdigest()

    try:
        with limited(server, LIMIT) as how, Memory(server) as memory, Echoes(server.dimse_port) as echoes:
            load = Load(server.dimse_port, ledger, 3, label="beside")
            threads = [threading.Thread(target=upload, args=(n,)) for n in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(600)
            load.stop()
        assert statuses == [0, 0]
        assert set(load.statuses) == {0}
        assert not echoes.failures, echoes.failures[:3]
        grown = memory.peak - memory.before
        print(f"{how}: {2 * LARGE >> 20} MiB, {memory.before >> 20} -> {memory.peak >> 20} MiB, {load.stored} beside")
        assert grown < 100 << 20
        assert echoes.percentile(0.99) < 1.0
        with sqlite3.connect(server.data / "index.db") as index:
            rows = dict(index.execute("SELECT sop_instance_uid, lower(hex(sha256)) FROM instance"))
        assert digests.items() <= rows.items()
        assert server.stop() == 0
        assert "Traceback" not in server.log_text(), server.log_text()[-4000:]
    finally:
        server.kill()


def _bombs() -> Iterator[tuple[str, Instance, bytes]]:
    """Deflated data sets that are small on the wire and large behind it."""
    for number, where in enumerate(("pixels", "header", "text")):
        one = instance("bomb", 1, number, size=2_000)
        at = one.dataset.rindex(b"\xe0\x7f\x10\x00OW")
        size = 3 << 30 if where == "pixels" else 600 << 20
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        vr = b"OW" if where == "pixels" else b"UN" if where == "header" else b"UT"
        tag = b"\xe0\x7f\x10\x00" if where == "pixels" else b"\x08\x00\x05\x00"
        out = packer.compress(one.dataset[:at] if where == "pixels" else b"")
        out += packer.compress(tag + vr + b"\0\0" + struct.pack("<I", size))
        zeros = bytes(1 << 20)
        for _ in range(size >> 20):
            out += packer.compress(zeros)
        out += packer.flush()
        yield where, one, out + b"\0" * (len(out) % 2)


def test_deflate_bombs_are_refused_within_the_limit(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    server = start_server(tmp_path / "data", config_file=tmp_path / "config.toml")
    bombs = list(_bombs())
    try:
        worker = processes(server)[0]
        with limited(server, LIMIT), Memory(server, 0.02) as memory, Echoes(server.dimse_port) as echoes:
            load = Load(server.dimse_port, ledger, 2, label="beside bombs")
            for where, one, data in bombs:
                with RawScu.associate(server.dimse_port, [(raw.CT, [DEFLATED])], timeout=120) as scu:
                    status = scu.store(raw.CT, one.uid, DEFLATED, data).status
                print(f"{where}: {len(data)} bytes -> {status:04X}")
                assert status == 0xA700 or 0xC000 <= status <= 0xCFFF, f"{where}: {status:04X}"
            load.stop()
        assert processes(server) == [worker], "the worker died"
        assert set(load.statuses) == {0}
        assert not echoes.failures
        print(f"{memory.before >> 20} -> {memory.peak >> 20} MiB")
        assert memory.peak - memory.before < 150 << 20
        check(server, ledger)
        assert server.stop() == 0
    finally:
        server.kill()


def test_questions_with_very_many_answers_within_the_limit(tmp_path: Path) -> None:
    studies = int(os.environ.get("VESALIUS_ROWS", "30000"))
    fill_index.fill(tmp_path / "data", studies)
    server = start_server(tmp_path / "data", config_file=tmp_path / "config.toml")
    keys = identifier(
        {
            0x00080052: "STUDY",
            **dict.fromkeys((0x0020000D, 0x00100010, 0x00100020, 0x00080020, 0x00081030, 0x00080061, 0x00201208), ""),
        }
    )
    counts: list[int] = []

    def ask() -> None:
        with RawScu.associate(server.dimse_port, [(raw.STUDY_FIND, [raw.IMPLICIT])], timeout=300) as scu:
            counts.append(len(scu.find(keys)) - 1)

    try:
        with limited(server, LIMIT), Memory(server) as memory, Echoes(server.dimse_port) as echoes:
            threads = [threading.Thread(target=ask) for _ in range(5)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(600)
        assert counts == [studies] * 5
        assert not echoes.failures
        print(
            f"5 x {studies}: {memory.before >> 20} -> {memory.peak >> 20} MiB, echo p99 {echoes.percentile(0.99):.3f} s"
        )
        assert memory.peak - memory.before < 100 << 20
        assert server.stop() == 0
    finally:
        server.kill()
