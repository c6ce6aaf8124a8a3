"""Headers out of packs: for every transfer syntax what the whole data set says, and nothing hides the others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import corpus
from tests.support.archive import LocalArchive, claim_of, dataset_of, local_archive
from tests.support.data import need_shared_data
from tests.support.generate import ct, part10, uid

from vesalius.archive import headers
from vesalius.archive.headers import Headers
from vesalius.model import dicom_json
from vesalius.model.dicom_json import JsonWriter
from vesalius.model.entities import Claim
from vesalius.model.errors import CannotUnderstand, VesaliusError

EACH = 2  # data sets of one transfer syntax and folder


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[LocalArchive]:
    with local_archive(tmp_path) as opened:
        yield opened


def test_every_transfer_syntax_says_from_the_pack_what_it_says_whole(archive: LocalArchive) -> None:
    need_shared_data()
    seen: Counter[tuple[str, str]] = Counter()
    expected: dict[str, object] = {}
    for item in corpus.items():
        kind = (item.transfer_syntax, Path(item.name).parent.name)
        if seen[kind] >= EACH or item.sop_instance in expected:
            continue
        try:
            archive.store(item.dataset, Claim(item.sop_class, item.sop_instance, item.transfer_syntax), piece=1 << 20)
            whole = dicom_json.from_dataset(item.dataset, item.transfer_syntax, item.sop_instance)
        except VesaliusError:
            continue
        seen[kind] += 1
        expected[item.sop_instance] = json.loads(whole)
    found = archive.everything()
    texts = Headers(archive.blobs).json(found, lambda instance: instance.sop_instance)
    for instance, text in zip(found, texts, strict=True):
        assert json.loads(text) == expected[instance.sop_instance], instance.transfer_syntax
    assert len(found) > 60 and len({instance.transfer_syntax for instance in found}) >= 15


def test_a_long_header_passes_through_a_small_buffer(archive: LocalArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    ds = ct()
    for number in range(200):
        ds.add_new(0x00091000 + number, "LT", "x" * number)
    ds.add_new(0x00111001, "UT", "y" * 20_000)
    archive.keep(ds)
    whole = list(Headers(archive.blobs).json(archive.everything(), lambda _: "b"))
    monkeypatch.setattr(headers, "FIRST_READ", 300)
    assert list(Headers(archive.blobs).json(archive.everything(), lambda _: "b")) == whole
    monkeypatch.setattr(headers, "LARGEST_ELEMENT", 1000)
    (text,) = Headers(archive.blobs).json(archive.everything(), lambda _: "b")
    assert json.loads(text)["00080018"]["Value"] == [uid("instance", 1, 1, 1)] and b"00111001" not in text


def test_an_instance_that_cannot_be_read_does_not_hide_the_others(
    archive: LocalArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        archive.keep(ct(1, 1, number))
    feed = JsonWriter.feed
    calls: list[int] = []

    def broken(self: JsonWriter, data: bytes, *, last: bool = True) -> int:
        calls.append(1)
        if len(calls) == 2:
            raise CannotUnderstand("nonsense in a sequence")
        return feed(self, data, last=last)

    monkeypatch.setattr(JsonWriter, "feed", broken)
    texts = [json.loads(text) for text in Headers(archive.blobs).json(archive.everything(), lambda _: "b")]
    assert [text["00080018"]["Value"][0] for text in texts] == [uid("instance", 1, 1, n) for n in (1, 2, 3)]
    assert "00280010" not in texts[1] and "00280010" in texts[2]


def test_what_follows_the_pixels_is_part_of_the_header(archive: LocalArchive) -> None:
    ds = ct()
    data = dataset_of(part10(ds)) + b"\xfc\xff\xfc\xffOB\0\0\4\0\0\0abcd"
    archive.store(data, claim_of(ds))
    (text,) = Headers(archive.blobs).json(archive.everything(), lambda _: "b")
    found = json.loads(text)
    assert found["FFFCFFFC"]["InlineBinary"] and found["7FE00010"]["BulkDataURI"] == "b/7FE00010"
