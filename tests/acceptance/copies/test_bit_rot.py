"""Copies in a running service: packs are copied as they grow, reads fall back by themselves, verify repairs."""

from __future__ import annotations

import json
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from tests.support.corpus import split_file
from tests.support.generate import ct, part10
from tests.support.raw_dicom import CT, STUDY_GET, STUDY_MOVE
from tests.support.raw_peer import LEVEL, RawScu, Receiver, Retrieved
from tests.support.server import Server, running_server, vesalius

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
DAMAGED = 5


@dataclass
class Site:
    server: Server
    copy: Path
    receiver: Receiver

    @property
    def packs(self) -> Path:
        return self.server.data / "packs"

    def store(self, instances: list[Dataset]) -> None:
        with RawScu.associate(self.server.dimse_port, [(CT, [EXPLICIT])]) as scu:
            for ds in instances:
                dataset = split_file(part10(ds))[1]
                assert scu.store(CT, ds.SOPInstanceUID, EXPLICIT, dataset).status == 0

    def get(self, study: str) -> Retrieved:
        contexts = [(STUDY_GET, [IMPLICIT]), (CT, [EXPLICIT])]
        with RawScu.associate(self.server.dimse_port, contexts, roles=[CT]) as scu:
            return scu.get({LEVEL: "STUDY", 0x0020000D: study})

    def move(self, study: str) -> Retrieved:
        with RawScu.associate(self.server.dimse_port, [(STUDY_MOVE, [IMPLICIT])]) as scu:
            return scu.move("KEEPER", {LEVEL: "STUDY", 0x0020000D: study})

    def wait_for_copies(self) -> None:
        """Until the further place holds every byte that the primary holds."""
        end = time.monotonic() + 20
        while True:
            if all(self._copied(pack) for pack in self.packs.glob("*.tar")):
                return
            assert time.monotonic() < end
            time.sleep(0.05)

    def _copied(self, pack: Path) -> bool:
        copy = self.copy / pack.name
        return copy.exists() and copy.read_bytes().rstrip(b"\0") == pack.read_bytes().rstrip(b"\0")

    def damage(self, folder: Path, ds: Dataset) -> None:
        """Flip one bit in the pixels of an instance, wherever under `folder` it lies."""
        pixels = ds.PixelData
        for pack in folder.glob("*.tar"):
            at = pack.read_bytes().find(pixels)
            if at >= 0:
                with pack.open("r+b") as file:
                    file.seek(at + len(pixels) // 2)
                    byte = file.read(1)[0]
                    file.seek(at + len(pixels) // 2)
                    file.write(bytes([byte ^ 0x10]))
                return
        raise AssertionError("the instance lies nowhere")

    def verify(self, *words: str) -> dict[str, object]:
        done = vesalius("verify", "--pace", "0", "--json", *words, data=self.server.data, check=False)
        return dict(json.loads(done.stdout)) | {"exit": done.returncode}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    copy = tmp_path / "second disk"
    with Receiver("KEEPER") as receiver:
        config = (
            f'[store]\ncopy_interval = 0.1\n[[store.copies]]\nname = "second"\npath = "{copy}"\n'
            f'[[peers]]\nname = "keeper"\nhost = "127.0.0.1"\nport = {receiver.port}\naet = "KEEPER"\n'
        )
        with running_server(tmp_path, config=config, config_file=tmp_path / "data/vesalius.toml", workers=2) as server:
            yield Site(server, copy, receiver)


def bytes_of(instances: list[Dataset]) -> dict[str, bytes]:
    return {ds.SOPInstanceUID: split_file(part10(ds))[1] for ds in instances}


def test_damage_in_the_primary_is_never_served_and_is_repaired_from_the_copy(site: Site) -> None:
    sent = [ct("rot", 1, n, rows=64, columns=64) for n in range(1, 7)]
    site.store(sent)
    site.wait_for_copies()
    for name in [pack.name for pack in site.packs.glob("*.tar")]:
        with tarfile.open(site.copy / name) as archive:
            assert all(member.name.endswith(".dcm") for member in archive), "a copy is a tar file at any time"

    for ds in sent[1:4]:
        site.damage(site.packs, ds)
    study = sent[0].StudyInstanceUID
    got = site.get(study)
    assert got.status == 0
    assert {one.sop_instance: one.dataset for one in got.kept} == bytes_of(sent)
    assert site.move(study).status == 0
    assert {one.sop_instance: one.dataset for one in site.receiver.kept} == bytes_of(sent)

    report = site.verify()
    assert (report["exit"], report["repaired"], report["damaged"]) == (0, 3, 0)
    report = site.verify()
    assert (report["exit"], report["repaired"], report["damaged"], report["instances"]) == (0, 0, 0, 6)
    assert report["copies"] == 12

    # The other way round: the copy is bad and the primary is good.
    site.damage(site.copy, sent[5])
    report = site.verify()
    assert (report["exit"], report["repaired"]) == (0, 1)
    assert site.verify()["repaired"] == 0


def test_what_is_damaged_everywhere_is_not_served_and_the_rest_is(site: Site, tmp_path: Path) -> None:
    sent = [ct("lost", 1, n, rows=64, columns=64) for n in range(1, 4)]
    site.store(sent)
    site.wait_for_copies()
    site.damage(site.packs, sent[1])
    site.damage(site.copy, sent[1])
    study = sent[0].StudyInstanceUID
    got = site.get(study)
    assert got.status == 0xB000
    assert got.counts == (None, 2, 1, 0)
    assert got.failed_instances == [sent[1].SOPInstanceUID]
    good = bytes_of([sent[0], sent[2]])
    assert {one.sop_instance: one.dataset for one in got.kept} == good
    moved = site.move(study)
    assert (moved.status, moved.counts) == (0xB000, (None, 2, 1, 0))
    report = site.verify()
    assert report["exit"] == DAMAGED
    assert report["damaged"] == 2, "in both places"
    done = vesalius("export", "--study", study, tmp_path / "out", data=site.server.data, check=False)
    assert done.returncode == DAMAGED
    out = {split_file(path.read_bytes())[1] for path in (tmp_path / "out").rglob("IM*")}
    assert out == set(good.values())


def test_a_primary_pack_that_is_gone_is_read_from_its_copy(site: Site) -> None:
    sent = [ct("gone", 1, n) for n in range(1, 4)]
    site.store(sent)
    site.wait_for_copies()
    for pack in site.packs.glob("*.tar"):
        pack.rename(pack.with_suffix(".away"))
    got = site.get(sent[0].StudyInstanceUID)
    assert got.status == 0
    assert {one.sop_instance: one.dataset for one in got.kept} == bytes_of(sent)


def test_a_further_place_that_goes_away_does_not_stop_the_archive(site: Site) -> None:
    site.store([ct("before", 1, 1)])
    site.wait_for_copies()
    away = site.copy.with_name("unplugged")
    site.copy.rename(away)
    site.copy.write_text("not a folder")
    sent = [ct("while", 1, n) for n in (1, 2)]
    site.store(sent)
    time.sleep(0.4)
    assert site.get(sent[0].StudyInstanceUID).status == 0
    site.copy.unlink()
    away.rename(site.copy)
    site.wait_for_copies()
