"""A pack is a tar file: GNU tar, Python's tarfile and DCMTK read it at any time."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import subprocess
import tarfile
import time
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.blobs import CT, EXPLICIT_LE, PROVENANCE, begin, label_of, noise, put
from tests.support.generate import ct

from vesalius.backends.blobs_packs import PackSettings, PackStore
from vesalius.backends.packs_format import HEADER, Written, encode_header, parse_header
from vesalius.model.entities import Claim, Provenance
from vesalius.model.errors import LimitExceeded
from vesalius.model.file_meta import file_prefix
from vesalius.ports.blobs import MemberLabel

PACK = "20260301-081530-0123456789abcdef"
PREFIX = file_prefix(Claim(CT, "1.2.3.4", EXPLICIT_LE), "MODALITY1")


def written(length: int = 1000, at: int = 0) -> Written:
    return Written(PACK, at, PREFIX, length, "ab" * 32, 1_772_352_930_123_456_789)


def raw_dataset(**attributes: object) -> bytes:
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ct(**attributes), implicit_vr=False, little_endian=True, enforce_file_format=False)
    return buffer.getvalue()


@pytest.fixture
def store(tmp_path: Path) -> PackStore:
    return PackStore(tmp_path / "packs", settings=PackSettings(preallocate=1 << 20))


def tar(*arguments: object) -> str:
    done = subprocess.run(["tar", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_header_always_takes_the_same_room() -> None:
    for at, length in ((0, 0), (10**12, 10**11), (512, 7)):
        header = encode_header(written(length, at), label_of(1))
        assert len(header) == HEADER
        found = parse_header(header + PREFIX, PACK, at)
        assert found is not None
        assert found.member == written(length, at).member
        assert found.label == label_of(1)
        assert found.stored_ns == 1_772_352_930_123_456_789


@given(how=st.text(max_size=300), aet=st.text(max_size=300), address=st.text(max_size=300), assoc=st.text(max_size=300))
def test_whatever_a_sender_calls_itself_the_header_can_be_read(how: str, aet: str, address: str, assoc: str) -> None:
    source = Provenance(how, aet, aet, address, assoc, "2026-03-01T08:15:30.123456Z")
    header = encode_header(written(), label_of(1, source))
    assert len(header) == HEADER
    found = parse_header(header + PREFIX, PACK, 0)
    assert found is not None
    assert found.member == written().member
    if all(len(text) <= 40 and text.isascii() and text.isprintable() for text in (how, aet, address, assoc)):
        assert found.label.provenance == source
    with tarfile.open(fileobj=io.BytesIO(header + PREFIX + bytes(5000))) as archive:
        assert archive.next() is not None


def test_every_bit_of_a_header_is_covered_by_a_check() -> None:
    whole = encode_header(written(), label_of(1)) + PREFIX
    spaces = range(whole.index(b"comment=crc32 ") + 22, 512 + 1536 - 1)
    for place in range(len(whole)):
        if place in spaces:  # the filling of the comment says nothing
            continue
        flipped = bytearray(whole)
        flipped[place] ^= 1 << (place % 8)
        assert parse_header(bytes(flipped), PACK, 0) is None, place


def test_a_header_of_another_pack_or_place_is_not_one() -> None:
    whole = encode_header(written(at=4096), label_of(1)) + PREFIX
    assert parse_header(whole, PACK, 4096) is not None
    assert parse_header(whole, PACK, 4608) is None
    assert parse_header(whole, PACK[:-1] + "0", 4096) is None
    assert parse_header(whole[:3000][:-500], PACK, 4096) is None
    assert parse_header(bytes(4096), PACK, 4096) is None
    assert parse_header(b"", PACK, 4096) is None


@given(st.binary(min_size=1536, max_size=1536))
def test_no_bytes_in_the_records_make_the_parser_raise(records: bytes) -> None:
    whole = bytearray(encode_header(written(), label_of(1)) + PREFIX)
    whole[512:2048] = records
    assert parse_header(bytes(whole), PACK, 0) is None


def test_a_uid_that_is_no_uid_is_harmless_as_a_path(tmp_path: Path) -> None:
    label = MemberLabel("../../etc", "..", "/etc/passwd\n", CT, EXPLICIT_LE, PROVENANCE)
    header = encode_header(written(0), label)
    found = parse_header(header + PREFIX, PACK, 0)
    assert found is not None
    assert found.label == label
    with tarfile.open(fileobj=io.BytesIO(header + PREFIX + bytes(5000))) as archive:
        assert archive.getnames() == ["_.._etc/_/_etc_passwd_.dcm"]


def test_identifiers_of_absurd_length_are_refused() -> None:
    label = dataclasses.replace(label_of(1), study="1." * 700)
    with pytest.raises(LimitExceeded):
        encode_header(written(), label)


def test_a_member_of_more_than_eight_gibibytes_is_listed_by_tar(tmp_path: Path) -> None:
    length = 9 << 30
    path = tmp_path / "large.tar"
    with path.open("wb") as file:
        file.write(encode_header(written(length), label_of(1)) + PREFIX)
        file.truncate(HEADER + (len(PREFIX) + length + 511) // 512 * 512 + 1024)  # sparse
    assert str(len(PREFIX) + length) in tar("-tvf", path)
    with tarfile.open(path) as archive:
        assert [member.size for member in archive] == [len(PREFIX) + length]
    found = parse_header(path.open("rb").read(4096), PACK, 0)
    assert found is not None
    assert found.member.dataset_length == length


def listed(kept: list[object]) -> str:
    return "".join(f"{one.label.study}/{one.label.series}/{one.label.sop_instance}.dcm\n" for one in kept)  # type: ignore[attr-defined]


def test_gnu_tar_reads_a_pack_at_any_time(store: PackStore, tmp_path: Path) -> None:
    kept = [put(store, noise(size), number) for number, size in enumerate((14_000, 400_000, 512, 0))]
    path = tmp_path / "packs" / f"{kept[0].member.pack}.tar"
    assert tar("-tf", path) == listed(kept)  # type: ignore[arg-type]
    writer = begin(store, 9)
    writer.write(noise(300_000))  # in the middle of a transfer
    assert tar("-tf", path) == listed(kept)  # type: ignore[arg-type]
    writer.abort()
    assert tar("-tf", path) == listed(kept)  # type: ignore[arg-type]
    kept.append(put(store, noise(100), 10))
    assert tar("-tf", path) == listed(kept)  # type: ignore[arg-type]
    store.close()
    assert tar("-tf", path) == listed(kept)  # type: ignore[arg-type]
    tar("-C", tmp_path, "-xf", path)
    for one in kept:
        extracted = tmp_path / one.label.study / one.label.series / f"{one.label.sop_instance}.dcm"
        assert extracted.read_bytes()[-len(one.data) :] == one.data or not one.data
        assert extracted.read_bytes()[:132] == bytes(128) + b"DICM"


def test_gnu_tar_reads_a_sealed_pack(store: PackStore, tmp_path: Path) -> None:
    kept = [put(store, noise(size), number) for number, size in enumerate((14_000, 400_000))]
    (info,) = store.seal_idle(time.monotonic() + 3600)
    assert tar("-tf", tmp_path / "packs" / f"{info.name}.tar") == listed(kept)  # type: ignore[arg-type]


def test_tarfile_finds_the_provenance(store: PackStore, tmp_path: Path) -> None:
    kept = put(store, noise(1000))
    with tarfile.open(tmp_path / "packs" / f"{kept.member.pack}.tar") as archive:
        (member,) = archive.getmembers()
        assert member.offset_data == kept.member.offset
        assert member.mtime == 1772352930
        file = archive.extractfile(member)
        assert file is not None
        assert file.read()[-1000:] == kept.data
    label = json.loads(member.pax_headers["SCHILY.xattr.user.vesalius"])
    assert label["sha256"] == kept.member.sha256
    assert label["calling_aet"] == "MODALITY1"
    assert label["address"] == "192.0.2.7"
    assert label["received_at"] == PROVENANCE.received_at


def test_tar_gives_the_provenance_as_an_extended_attribute(store: PackStore, tmp_path: Path) -> None:
    kept = put(store, noise(1000))
    path = tmp_path / "packs" / f"{kept.member.pack}.tar"
    try:
        os.setxattr(tmp_path, "user.vesalius.probe", b"1")
    except OSError:
        pytest.skip("no extended attributes here")
    tar("-C", tmp_path, "--xattrs", "--xattrs-include=user.*", "-xf", path)
    extracted = next(tmp_path.glob("2.25.*/*/*.dcm"))
    assert json.loads(os.getxattr(extracted, "user.vesalius"))["sha256"] == kept.member.sha256


def test_dicom_tools_read_an_extracted_member(store: PackStore, tmp_path: Path) -> None:
    data = raw_dataset(patient_id="P7")
    kept = put(store, data)
    tar("-C", tmp_path, "-xf", tmp_path / "packs" / f"{kept.member.pack}.tar")
    path = next(tmp_path.glob("2.25.*/*/*.dcm"))
    ds = pydicom.dcmread(path)
    assert ds.PatientID == "P7"
    assert ds.file_meta.SourceApplicationEntityTitle == "MODALITY1"
    assert ds.file_meta.TransferSyntaxUID == EXPLICIT_LE
    if shutil.which("dcmdump") is None:
        pytest.skip("DCMTK is not installed")
    done = subprocess.run(["dcmdump", "-q", "+P", "0010,0020", path], capture_output=True, text=True, check=True)
    assert "[P7]" in done.stdout
    assert done.stderr == ""
