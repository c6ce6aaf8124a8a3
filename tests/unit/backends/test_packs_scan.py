"""After a crash: whatever was acknowledged is found, whatever is torn is cut off, whatever is forged is not seen."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.blobs import Put, begin, label_of, noise, put

from vesalius.backends.blobs_packs import PackSettings, PackStore
from vesalius.backends.packs_format import HEADER, Written, encode_header, filler_end, fillers
from vesalius.backends.packs_scan import data_after
from vesalius.model.entities import Claim
from vesalius.model.file_meta import file_prefix

SETTINGS = PackSettings(preallocate=1 << 20, buffer=32 << 10, write_back=64 << 10)


def open_store(folder: Path, **changes: object) -> PackStore:
    return PackStore(folder, settings=SETTINGS)


def leave(store: PackStore) -> None:
    """End a store as a kill does: descriptors close, nothing is tidied up."""
    for pack in store._pool._held.values():
        os.close(pack.fd)
    store._pool._held.clear()
    store._pool._free.clear()


def recovered(store: PackStore, pack: str, start: int = 0) -> tuple[list[Put], list[int]]:
    cut: list[int] = []
    found = list(store.recover(pack, start, cut.append))
    if found:  # all of it is told to the index: the pack may be appended to
        assert list(store.recover(pack, found[-1].member.end)) == []
    return found, cut  # type: ignore[return-value]


def test_a_pack_of_which_not_all_is_told_is_not_appended_to(tmp_path: Path) -> None:
    path, kept = crashed(tmp_path, (1000, 70_000))
    store = open_store(tmp_path)
    assert len(list(store.recover(path.stem, kept[0].member.end))) == 1
    assert put(store, noise(50), 9).member.pack != path.stem


def crashed(folder: Path, sizes: tuple[int, ...]) -> tuple[Path, list[Put]]:
    store = open_store(folder)
    kept = [put(store, noise(size, number), number) for number, size in enumerate(sizes)]
    leave(store)
    return folder / f"{kept[0].member.pack}.tar", kept


def test_a_whole_pack_is_taken_up_again_where_it_ended(tmp_path: Path) -> None:
    path, kept = crashed(tmp_path, (1000, 70_000, 300))
    store = open_store(tmp_path)
    found, cut = recovered(store, path.stem)
    assert [one.member for one in found] == [one.member for one in kept]
    assert cut == []
    further = put(store, noise(50), 9)
    assert (further.member.pack, further.member.header_offset) == (path.stem, kept[-1].member.end)
    assert [one.member for one in store.scan(path.stem, verify=True)] == [*(one.member for one in kept), further.member]


def test_recovery_begins_where_the_index_ends(tmp_path: Path) -> None:
    path, kept = crashed(tmp_path, (1000, 70_000, 300))
    store = open_store(tmp_path)
    assert [one.member for one in recovered(store, path.stem, kept[1].member.end)[0]] == [kept[2].member]
    assert recovered(store, path.stem, kept[2].member.end) == ([], [])


def boundaries(last: Put) -> list[int]:
    member = last.member
    marks = [
        member.header_offset,
        member.header_offset + 512,
        member.header_offset + 2048,
        member.offset,
        member.offset + 132,
        member.dataset_offset,
        member.dataset_offset + member.dataset_length,
    ]
    return sorted({at + step for at in marks for step in (-1, 0, 1)} | set(range(member.offset, member.end, 4096)))


def test_a_pack_cut_short_anywhere_in_its_last_member_loses_that_member_alone(tmp_path: Path) -> None:
    path, kept = crashed(tmp_path / "made", (1000, 20_000))
    whole = path.read_bytes()
    end = kept[1].member.dataset_offset + kept[1].member.dataset_length
    for at in boundaries(kept[1]):
        if not kept[0].member.end <= at < end:
            continue
        folder = tmp_path / str(at)
        folder.mkdir()
        (folder / path.name).write_bytes(whole[:at])
        store = open_store(folder)
        found, _ = recovered(store, path.stem)
        assert [one.member for one in found] == [kept[0].member], at
        further = put(store, noise(77), 9)
        assert further.member.header_offset == kept[0].member.end
        assert [one.member for one in store.scan(path.stem, verify=True)] == [kept[0].member, further.member]
        leave(store)


def test_a_byte_wrong_anywhere_in_the_last_member_cuts_that_member_alone(tmp_path: Path) -> None:
    path, kept = crashed(tmp_path / "made", (1000, 20_000))
    whole = path.read_bytes()
    for at in boundaries(kept[1]):
        if not kept[1].member.header_offset <= at < kept[1].member.dataset_offset + kept[1].member.dataset_length:
            continue
        folder = tmp_path / str(at)
        folder.mkdir()
        (folder / path.name).write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        store = open_store(folder)
        found, cut = recovered(store, path.stem)
        if [one.member for one in found] == [one.member for one in kept]:
            assert whole[at : at + 1] == b" ", "only the filling of the comment may change"
            continue
        assert [one.member for one in found] == [kept[0].member], at
        assert len(cut) == 1
        assert data_after(os.open(folder / path.name, os.O_RDONLY), kept[0].member.end) == 0


def test_pages_that_never_reached_the_disk_cut_the_member(tmp_path: Path) -> None:
    path, kept = crashed(tmp_path, (1000, 90_000))
    with path.open("r+b") as file:
        file.seek(kept[1].member.offset // 4096 * 4096 + 8192)
        file.write(bytes(4096))
    found, cut = recovered(open_store(tmp_path), path.stem)
    assert [one.member for one in found] == [kept[0].member]
    assert cut[0] > 90_000


def test_data_without_a_header_are_cut_off(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    kept = put(store, noise(100), 1)
    writer = begin(store, 2)
    writer.write(noise(500_000))  # streams into the pack; the process dies before finish
    leave(store)
    path = tmp_path / f"{kept.member.pack}.tar"
    assert path.read_bytes()[kept.member.end :].strip(b"\0")
    found, cut = recovered(open_store(tmp_path), path.stem)
    assert [one.member for one in found] == [kept.member]
    assert cut[0] >= 400_000
    assert not path.read_bytes()[kept.member.end :].strip(b"\0")


@pytest.mark.parametrize("broken", [(1,), (0, 1), (1, 2), (0, 2)])
@pytest.mark.parametrize("part", ["header", "data", "everything"])
def test_damage_before_whole_members_cuts_nothing(tmp_path: Path, broken: tuple[int, ...], part: str) -> None:
    """Bit rot looks like a torn tail, but what follows was acknowledged."""
    path, kept = crashed(tmp_path, (1000, 70_000, 300, 40))
    with path.open("r+b") as file:
        for number in broken:
            member = kept[number].member
            if part == "header":
                file.seek(member.header_offset + 600)
                file.write(b"\xee")
            elif part == "data":
                file.seek(member.dataset_offset + 9)
                file.write(b"\xee\xee\xee")
            else:  # pages that never reached the disk
                file.seek(member.header_offset)
                file.write(bytes(member.end - member.header_offset))
    store = open_store(tmp_path)
    found, cut = recovered(store, path.stem)
    whole = [one.member for number, one in enumerate(kept) if number not in broken]
    assert [one.member for one in found] == whole
    assert cut == []
    further = put(store, noise(9), 9)
    assert (further.member.pack, further.member.header_offset) == (path.stem, kept[-1].member.end)
    again = [one.member for one in store.scan(path.stem)]
    assert [member for member in again if store.check(member)] == [*whole, further.member]
    names = subprocess.run(["tar", "-tf", path], capture_output=True, text=True, check=False)
    assert (names.returncode, names.stderr) == (0, "")
    listed = names.stdout.splitlines()
    for number, one in enumerate(kept):
        shown = f"{one.label.study}/{one.label.series}/{one.label.sop_instance}.dcm" in listed
        assert shown == (number not in broken or part == "data")
    assert any(name.startswith("vesalius-damaged/") for name in listed) == (part != "data")
    assert recovered(open_store(tmp_path), path.stem)[0] == []  # held


def test_a_gap_of_more_than_eight_gibibytes_is_stepped_over() -> None:
    blocks = dict(fillers(1024, 20 << 30))
    at = 1024
    while at < 20 << 30:
        after = filler_end(blocks[at], at)
        assert after is not None
        at = after
    assert at == 20 << 30
    assert len(blocks) == 3


@pytest.mark.timeout(20)
@pytest.mark.parametrize("left", [0, 1, 100, 3999])
def test_a_scan_of_a_pack_that_ends_inside_its_last_member_ends(tmp_path: Path, left: int) -> None:
    """As a power cut leaves it: the header is there, and the file is too short for the data set."""
    store = open_store(tmp_path)
    kept = [put(store, noise(4000, n), n).member for n in range(3)]
    store.close()
    path = tmp_path / f"{kept[0].pack}.tar"
    os.truncate(path, kept[-1].dataset_offset + left)
    assert [found.member for found in open_store(tmp_path).scan(kept[0].pack)] == kept[:-1]
    assert [found.member for found in open_store(tmp_path).recover(kept[0].pack, 0)] == kept[:-1]


def test_a_scan_goes_on_behind_a_broken_header(tmp_path: Path) -> None:
    path, kept = crashed(tmp_path, (1000, 70_000, 300))
    with path.open("r+b") as file:
        file.seek(kept[1].member.header_offset + 600)
        file.write(b"\xee")
    assert [one.member for one in open_store(tmp_path).scan(path.stem)] == [kept[0].member, kept[2].member]


def forged(pack: str, at: int) -> bytes:
    """A member as an attacker would make it who knows everything but the pack's name and his offset in it."""
    data = b"forged!!"
    prefix = file_prefix(Claim("1.2", "6.6.6", "1.2.840.10008.1.2.1"))
    digest = __import__("hashlib").sha256(data).hexdigest()
    header = encode_header(Written(pack, at, prefix, len(data), digest, 1), label_of("forged"))
    return (header + prefix + data).ljust(HEADER + 1024, b"\0")


def test_members_forged_inside_an_aborted_transfer_are_never_seen(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    first = put(store, noise(100), 1)
    pack = first.member.pack
    # The worst case: the attacker even knows the pack's name, and fills every block with a fitting member.
    start = first.member.end + HEADER
    start += len(
        file_prefix(Claim("1.2.840.10008.5.1.4.1.1.2", label_of(2).sop_instance, "1.2.840.10008.1.2.1"), "MODALITY1")
    )
    filling = b" " * (-start % 512)
    at = start + len(filling)
    writer = begin(store, 2)
    writer.write(filling)
    for number in range(200):
        writer.write(forged(pack, at + number * (HEADER + 1024)))
    writer.abort()
    second = put(store, noise(10), 3)
    path = tmp_path / f"{pack}.tar"
    assert b"forged!!" not in path.read_bytes()
    assert [one.member for one in store.scan(pack)] == [first.member, second.member]
    leave(store)
    found, _ = recovered(open_store(tmp_path), pack)
    assert [one.member for one in found] == [first.member, second.member]


def test_members_forged_inside_a_stored_data_set_are_never_seen(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    data = b"".join(forged("20260301-000000-0000000000000000", at) for at in range(0, 100_000, 3584))
    kept = [put(store, data, 1), put(store, noise(100), 2)]
    assert [one.member for one in store.scan(kept[0].member.pack)] == [one.member for one in kept]
    # Even where the header before them is broken, and every block is looked at.
    path = tmp_path / f"{kept[0].member.pack}.tar"
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xee")
    assert [one.member for one in store.scan(kept[0].member.pack)] == [kept[1].member]


def test_a_pack_that_a_living_process_holds_is_left_alone(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    kept = put(store, noise(100), 1)
    writer = begin(store, 2)
    writer.write(noise(200_000))
    other = open_store(tmp_path)
    assert recovered(other, kept.member.pack) == ([], [])
    assert recovered(store, kept.member.pack) == ([], [])
    store.sync([member := writer.finish(label_of(2))])
    assert store.read_verified(member) == noise(200_000)


def test_a_sealed_pack_that_the_index_lags_behind_is_told_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    kept = [put(store, noise(100, n), n) for n in range(3)]
    store.seal_idle(time.monotonic() + 3600)
    pack = kept[0].member.pack
    assert [one.member for one in recovered(store, pack, kept[0].member.end)[0]] == [one.member for one in kept[1:]]
    assert recovered(store, pack, kept[2].member.end) == ([], [])


def test_a_missing_pack_is_no_reason_to_fail(tmp_path: Path) -> None:
    assert recovered(open_store(tmp_path), "20260101-000000-aaaaaaaaaaaaaaaa") == ([], [])


WRITER = """
import os, sys, hashlib, random
from pathlib import Path
from tests.support.blobs import begin, label_of, noise
from vesalius.backends.blobs_packs import PackSettings, PackStore
store = PackStore(Path(sys.argv[1]), settings=PackSettings(preallocate=1 << 20, buffer=32 << 10, write_back=64 << 10))
chance = random.Random(int(sys.argv[2]))
for pack in store.packs():
    if found := list(store.recover(pack.name, 0)):
        list(store.recover(pack.name, found[-1].member.end))
number = 0
while True:
    batch = []
    for _ in range(chance.randint(1, 4)):
        number += 1
        name = f"{sys.argv[2]}-{number}"
        data = noise(chance.choice((100, 14_000, 60_000, 300_000)), name)
        writer = begin(store, name)
        for at in range(0, len(data), 16384):
            writer.write(data[at : at + 16384])
        if chance.random() < 0.2:
            writer.abort()
        else:
            batch.append((name, writer.finish(label_of(name))))
    store.sync([member for _, member in batch])
    for name, member in batch:
        os.write(1, f"ack {name} {member.pack} {member.header_offset} {member.sha256}\\n".encode())
"""


def wait_for_the_first(writer: subprocess.Popen[bytes]) -> bytes:
    lines = iter(writer.stdout.readline, b"")  # type: ignore[union-attr]
    return next(line for line in lines if line.startswith(b"ack "))


def test_nothing_acknowledged_is_lost_by_killing_the_writers(tmp_path: Path) -> None:
    """Two processes write side by side and are killed at random, again and again."""
    chance = random.Random(5)
    acknowledged: dict[tuple[str, int], str] = {}
    for turn in range(5):
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(turn * 2 + n)], stdout=subprocess.PIPE)
            for n in range(2)
        ]
        first_lines = [wait_for_the_first(writer) for writer in writers]
        time.sleep(chance.uniform(0.0, 0.15))
        for writer, first in zip(writers, first_lines, strict=True):
            writer.send_signal(signal.SIGKILL)
            rest = writer.stdout.read()  # type: ignore[union-attr]
            writer.wait()
            for line in (first + rest).decode().splitlines(keepends=True):
                if line.startswith("ack ") and line.endswith("\n"):
                    _, _, pack, at, digest = line.split()
                    acknowledged[pack, int(at)] = digest
    store = open_store(tmp_path)
    found = {}
    for info in store.packs():
        for one in store.recover(info.name, 0):
            found[one.member.pack, one.member.header_offset] = one.member.sha256
            assert store.check(one.member)
    assert len(acknowledged) > 10
    assert acknowledged.items() <= found.items()
    for info in store.packs():
        done = subprocess.run(
            ["tar", "-tf", tmp_path / f"{info.name}.tar"], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert len(done.stdout.splitlines()) == sum(pack == info.name for pack, _ in found)


def test_a_sidecar_tells_every_member(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    kept = [put(store, noise(100, n), n) for n in range(3)]
    (info,) = store.seal_idle(time.monotonic() + 3600)
    lines = [json.loads(line) for line in (tmp_path / f"{info.name}.index.jsonl").read_text().splitlines()]
    assert lines[0]["members"] == 3
    assert [line["sha256"] for line in lines[1:]] == [one.member.sha256 for one in kept]
    with pytest.raises(KeyError):
        lines[1]["patient_id"]
