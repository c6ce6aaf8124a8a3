"""C-MOVE and C-GET to receivers that take few transfer syntaxes: the pixels arrive, whatever they were stored in.

Real images of every transfer syntax of the corpus go in; a receiver that takes one syntax alone gets them by C-MOVE.
pydicom (with GDCM and pylibjpeg, none of which the product decodes with) reads both ends, and the pixels must agree.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from tests.support import corpus
from tests.support.corpus import Item
from tests.support.data import need_shared_data
from tests.support.raw_dicom import STUDY_GET, STUDY_MOVE
from tests.support.raw_peer import LEVEL, Kept, Manners, RawScu, Receiver, studies_at
from tests.support.server import Server, running_server

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
NATIVE = {IMPLICIT, EXPLICIT, BIG, DEFLATED}
JPEG_LS, RLE = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.5"
# Decoders of lossy JPEG may differ in the last bit, and colour conversion adds another.
LOSSY = {f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 53, 55)}
MOST_OF_A_KIND = 1
# What each receiver takes, and nothing else.
TAKES = {"EXPLICIT": EXPLICIT, "IMPLICIT": IMPLICIT, "BIG": BIG, "DEFLATED": DEFLATED, "JPEGLS": JPEG_LS, "RLE": RLE}
FOLDERS = ("transfer-syntaxes/", "single-frame/", "multiframe/", "odd-and-broken/", "sr-ko-pr-seg-rt/seg")


@dataclass
class Loaded:
    server: Server
    receivers: dict[str, Receiver]
    items: dict[str, Item] = field(default_factory=dict)  # by SOP Instance UID
    decoded: dict[str, np.ndarray | None] = field(default_factory=dict)  # the same, their pixels as sent

    def before(self, uid: str) -> np.ndarray | None:
        """The pixels of an instance as it was sent, decoded once."""
        if uid not in self.decoded:
            item = self.items[uid]
            self.decoded[uid] = pixels(item.transfer_syntax, item.dataset)
        return self.decoded[uid]


def read(syntax: str, dataset: bytes) -> Dataset:
    """A data set as pydicom reads it."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    stream = BytesIO()
    pydicom.filewriter.write_file_meta_info(stream, meta, enforce_standard=False)
    return pydicom.dcmread(BytesIO(bytes(128) + b"DICM" + stream.getvalue() + dataset), force=True)


def pixels(syntax: str, dataset: bytes) -> np.ndarray | None:
    """The decoded pixels, colours as RGB; None where no second decoder reads them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read(syntax, dataset).pixel_array
    except Exception:
        return None


def chosen() -> Iterator[Item]:
    """A few files of every kind: transfer syntax, photometric interpretation, bits, frames."""
    counts: dict[object, int] = {}
    used: set[str] = set()
    for item in corpus.items():
        if not item.name.startswith(FOLDERS) or not item.sop_instance or item.sop_instance in used:
            continue
        if len(item.dataset) > 1 << 20:
            continue
        try:
            ds = read(item.transfer_syntax, item.dataset)
            kind = (item.transfer_syntax, ds.PhotometricInterpretation, ds.BitsAllocated, "NumberOfFrames" in ds)
        except Exception:
            continue
        counts[kind] = counts.get(kind, 0) + 1
        if counts[kind] <= MOST_OF_A_KIND:
            used.add(item.sop_instance)
            yield item


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    need_shared_data()
    items = list(chosen())
    takes = {
        "EXPLICIT": EXPLICIT,
        "IMPLICIT": IMPLICIT,
        "BIG": BIG,
        "DEFLATED": DEFLATED,
        "JPEGLS": JPEG_LS,
        "RLE": RLE,
    }
    receivers = {aet: Receiver(aet, Manners(frozenset({syntax}))) for aet, syntax in takes.items()}
    config = "".join(
        f'[[peers]]\nname = "{aet.lower()}"\nhost = "127.0.0.1"\nport = {receiver.port}\naet = "{aet}"\n'
        for aet, receiver in receivers.items()
    )
    with running_server(tmp_path_factory.mktemp("transcoding"), config=config) as server:
        loaded = Loaded(server, receivers)
        pairs = list(dict.fromkeys((item.sop_class, item.transfer_syntax) for item in items))
        with RawScu.associate(server.dimse_port, [(uid, [syntax]) for uid, syntax in pairs]) as scu:
            for item in items:
                if scu.store(item.sop_class, item.sop_instance, item.transfer_syntax, item.dataset).status == 0:
                    loaded.items[item.sop_instance] = item
        yield loaded
    for receiver in receivers.values():
        receiver.__exit__()


def move(loaded: Loaded, aet: str) -> tuple[list[Kept], list[str]]:
    """Everything to one receiver: what came, and what could not be sent."""
    failed: list[str] = []
    receiver = loaded.receivers[aet]
    start = len(receiver.kept)
    with RawScu.associate(loaded.server.dimse_port, [(STUDY_MOVE, [IMPLICIT])], timeout=90) as scu:
        for study in studies_at(loaded.server.dimse_port):
            before = len(receiver.kept)
            moved = scu.move(aet, {LEVEL: "STUDY", 0x0020000D: study})
            _, completed, unsent, warnings_ = moved.counts
            assert completed == len(receiver.kept) - before
            assert warnings_ == 0
            assert unsent == len(moved.failed_instances)
            expected = 0 if not unsent else 0xB000 if completed else 0xA702
            assert moved.status == expected
            failed += moved.failed_instances
    return receiver.kept[start:], failed


@pytest.mark.parametrize("aet", ["EXPLICIT", "IMPLICIT"])
def test_a_receiver_of_one_native_syntax_gets_every_image_that_can_be_decoded(loaded: Loaded, aet: str) -> None:
    kept, failed = move(loaded, aet)
    assert sorted([one.sop_instance for one in kept] + failed) == sorted(loaded.items)
    wrong, compared = [], 0
    for one in kept:
        item = loaded.items[one.sop_instance]
        before, after = loaded.before(one.sop_instance), pixels(one.transfer_syntax, one.dataset)
        if before is None:
            continue  # the second decoder does not know it; the contract tests of the codecs do
        compared += 1
        if after is None or before.shape != after.shape:
            wrong.append(
                (item.name, item.transfer_syntax, "shape", before.shape, None if after is None else after.shape)
            )
            continue
        difference = int(np.max(np.abs(before.astype(np.int64) - after.astype(np.int64)), initial=0))
        if difference > (3 if item.transfer_syntax in LOSSY else 0):
            wrong.append((item.name, item.transfer_syntax, difference))
    assert not wrong
    assert compared > 40
    # What is native or losslessly compressed by a known method never fails; the rest is bytes that no decoder reads.
    assert [loaded.items[uid].name for uid in failed if loaded.before(uid) is not None] == []
    assert len(failed) < len(loaded.items) / 5


def test_everything_but_the_pixels_is_the_same_after_transcoding(loaded: Loaded) -> None:
    kept, _ = move(loaded, "EXPLICIT")
    changed = {"PhotometricInterpretation", "PlanarConfiguration", "PixelData"}
    wrong = []
    for one in kept:
        item = loaded.items[one.sop_instance]
        if item.name.startswith("odd-and-broken/"):
            continue
        before, after = read(item.transfer_syntax, item.dataset), read(one.transfer_syntax, one.dataset)
        for element in before:
            if element.keyword in changed or element.tag.element == 0 or element.VR in ("UN", "OB", "OW"):
                continue
            if element.tag.is_private and item.transfer_syntax == BIG:
                continue  # UN there: the bytes stay, and pydicom guesses their order from its private dictionary
            if element.tag not in after or after[element.tag].value != element.value:
                wrong.append((item.name, str(element.tag)))
    assert not wrong


@pytest.mark.parametrize("aet", ["BIG", "DEFLATED", "JPEGLS", "RLE"])
def test_a_receiver_of_a_rare_syntax_alone_gets_what_is_stored_so_and_the_rest_is_counted(
    loaded: Loaded, aet: str
) -> None:
    # A C-MOVE proposes the syntaxes that are stored, and the two that everyone has: nothing is compressed for it alone.
    kept, failed = move(loaded, aet)
    assert sorted([one.sop_instance for one in kept] + failed) == sorted(loaded.items)
    assert {one.transfer_syntax for one in kept} == {TAKES[aet]}
    bytes_of = {one.sop_instance: one.dataset for one in kept}
    for uid, item in loaded.items.items():
        if item.transfer_syntax == TAKES[aet]:
            assert bytes_of[uid] == item.dataset, item.name


def get(loaded: Loaded, syntax: str) -> tuple[dict[str, Kept], list[str]]:
    """Everything by C-GET in one transfer syntax."""
    classes = list(dict.fromkeys(item.sop_class for item in loaded.items.values()))
    contexts = [(STUDY_GET, [IMPLICIT]), *((uid, [syntax]) for uid in classes)]
    got: dict[str, Kept] = {}
    failed: list[str] = []
    with RawScu.associate(loaded.server.dimse_port, contexts, roles=classes, timeout=90) as scu:
        for study in studies_at(loaded.server.dimse_port):
            answer = scu.get({LEVEL: "STUDY", 0x0020000D: study})
            got |= {one.sop_instance: one for one in answer.kept}
            failed += answer.failed_instances
    return got, failed


@pytest.mark.parametrize("syntax", [BIG, DEFLATED, JPEG_LS, RLE], ids=["big endian", "deflated", "JPEG-LS", "RLE"])
def test_a_c_get_in_a_rare_syntax_gets_what_can_be_written_so_without_loss(loaded: Loaded, syntax: str) -> None:
    kept, failed = get(loaded, syntax)
    assert sorted([*kept, *failed]) == sorted(loaded.items)
    assert len(kept) > len(failed)
    compared = 0
    for uid, one in kept.items():
        item = loaded.items[uid]
        assert one.transfer_syntax == syntax
        before, after = loaded.before(uid), pixels(syntax, one.dataset)
        if before is None or after is None:
            continue
        compared += 1
        assert before.shape == after.shape, item.name
        difference = int(np.max(np.abs(before.astype(np.int64) - after.astype(np.int64)), initial=0))
        assert difference <= (3 if item.transfer_syntax in LOSSY else 0), item.name
    assert compared > 30


def test_a_c_get_of_one_native_syntax_gets_the_same_as_a_c_move(loaded: Loaded) -> None:
    by_move = {one.sop_instance: one.dataset for one in move(loaded, "EXPLICIT")[0]}
    assert {uid: one.dataset for uid, one in get(loaded, EXPLICIT)[0].items()} == by_move
