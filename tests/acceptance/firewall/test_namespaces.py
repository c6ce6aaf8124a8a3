"""A workstation behind a firewall, and an archive that is open to a network: on two machines made of namespaces."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from tests.support import dcmtk
from tests.support.corpus import split_file
from tests.support.generate import ct, part10
from tests.support.netns import Firewall, Machine, two_machines
from tests.support.raw_dicom import CT, STUDY_FIND, STUDY_GET, STUDY_MOVE, VERIFICATION
from tests.support.raw_peer import LEVEL, RawScu, Receiver, Refused, role_selection
from tests.support.server import Server, start_server, vesalius

pytestmark = pytest.mark.root
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
CONNECT = 2.0
WORKSTATION_PORT = 11113


@pytest.fixture(scope="module")
def machines() -> Iterator[tuple[Machine, Machine]]:
    with two_machines("fw") as pair:
        yield pair


@contextmanager
def serving(machine: Machine, folder: Path, *words: str, config: str = "") -> Iterator[Server]:
    """The service on that machine."""
    server = start_server(folder / "data", *words, config=config, prefix=machine.prefix, ready=False)
    try:
        end = time.monotonic() + 30
        while '"event":"ready"' not in server.log_text():
            assert server.process.poll() is None, server.log_text()
            assert time.monotonic() < end, server.log_text()
            time.sleep(0.05)
        yield server
    finally:
        server.stop()


@dataclass
class Site:
    archive: Machine
    workstation: Machine
    server: Server
    instances: list[Dataset]

    def associate(self, *contexts: tuple[str, list[str]], calling: str = "WORKSTATION", **more: object) -> RawScu:
        """From the workstation to the archive."""
        with self.workstation.inside():
            return RawScu.associate(
                self.server.dimse_port,
                list(contexts),
                host=self.archive.address,
                calling=calling,
                **more,  # type: ignore[arg-type]
            )


RIGHTS = {
    "WORKSTATION": {"store", "query", "retrieve"},
    "MODALITY": {"store"},
    "READER": {"query"},
    "FETCHER": {"retrieve"},
    "NOTHING": set(),
}


@pytest.fixture(scope="module")
def site(machines: tuple[Machine, Machine], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    archive, workstation = machines
    folder = tmp_path_factory.mktemp("network")
    limits = f"[server]\ncheck_peer_addresses = true\n[limits]\nconnect = {CONNECT}\n"
    config = limits + "".join(
        f'[[peers]]\nname = "{aet}"\nhost = "{workstation.address}"\nport = {WORKSTATION_PORT}\n'
        f"allow = {json.dumps(sorted(rights))}\n"
        for aet, rights in RIGHTS.items()
    )
    words = ("--host", archive.address, "--insecure-plain-dicom")
    with serving(archive, folder, *words, config=config) as server:
        instances = [ct("network", 1, n, patient_id="NETWORK") for n in (1, 2, 3)]
        (folder / "files").mkdir()
        for n, ds in enumerate(instances):
            (folder / f"files/{n}.dcm").write_bytes(part10(ds))
        vesalius("import", folder / "files", data=server.data)
        yield Site(archive, workstation, server, instances)


def test_behind_a_firewall_c_move_ends_in_time_and_c_get_brings_the_study(site: Site) -> None:
    study = {LEVEL: "STUDY", 0x0020000D: site.instances[0].StudyInstanceUID}
    with Firewall(site.workstation, WORKSTATION_PORT), site.associate((STUDY_MOVE, [IMPLICIT])) as scu:
        began = time.monotonic()
        moved = scu.move("WORKSTATION", study)
        seconds = time.monotonic() - began
        assert moved.status == 0xA702
        assert moved.counts == (None, 0, 3, 0)
        assert len(moved.failed_instances) == 3
        assert CONNECT - 0.2 < seconds < CONNECT + 2, "the firewall says nothing, so the time-out must"
        assert len(moved.pendings) >= 1, "signs of life meanwhile"
        with site.associate((STUDY_GET, [IMPLICIT]), (CT, [EXPLICIT]), roles=[CT]) as other:
            got = other.get(study)
    assert got.status == 0
    sent = {ds.SOPInstanceUID: split_file(part10(ds))[1] for ds in site.instances}
    assert {one.sop_instance: one.dataset for one in got.kept} == sent


def test_behind_a_firewall_getscu_brings_the_study(site: Site, tmp_path: Path) -> None:
    study = site.instances[0].StudyInstanceUID
    words = ("-S", "+B", "-aet", "WORKSTATION", "-aec", "VESALIUS", "-od", str(tmp_path))
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}")
    where = (site.archive.address, str(site.server.dimse_port))
    command = [*site.workstation.prefix, dcmtk.need("getscu"), *words, *keys, *where]
    subprocess.run(command, check=True, env=dcmtk.ENVIRONMENT, capture_output=True, timeout=30)
    got = {split_file(path.read_bytes())[1] for path in tmp_path.iterdir()}
    assert got == {split_file(part10(ds))[1] for ds in site.instances}


def test_without_the_firewall_the_same_c_move_succeeds(site: Site) -> None:
    with site.workstation.inside():
        receiver = Receiver("WORKSTATION", host=site.workstation.address, port=WORKSTATION_PORT)
    with receiver, site.associate((STUDY_MOVE, [IMPLICIT])) as scu:
        moved = scu.move("WORKSTATION", {LEVEL: "STUDY", 0x0020000D: site.instances[0].StudyInstanceUID})
    assert moved.status == 0
    assert len(receiver.kept) == 3


def test_an_unknown_caller_from_the_network_is_refused_before_anything_else(site: Site) -> None:
    for calling in ("STRANGER", "workstation", "VESALIUS", "ANY-SCU"):
        with pytest.raises(Refused) as refused:
            site.associate((VERIFICATION, [IMPLICIT]), calling=calling)
        assert refused.value.args[0] == (1, 1, 3)
    with pytest.raises(Refused) as refused:
        site.associate((VERIFICATION, [IMPLICIT]), called="OTHER")
    assert refused.value.args[0] == (1, 1, 7)


def test_a_known_title_from_another_address_is_refused(site: Site) -> None:
    with site.archive.inside(), pytest.raises(Refused) as refused:
        RawScu.associate(
            site.server.dimse_port,
            [(VERIFICATION, [IMPLICIT])],
            host=site.archive.address,  # the archive's own machine, whose address is not that of the peer
            calling="WORKSTATION",
        )
    assert refused.value.args[0] == (1, 1, 3)


@pytest.mark.parametrize("aet", RIGHTS)
def test_every_peer_may_do_what_its_rights_say_and_nothing_else(site: Site, aet: str) -> None:
    rights = RIGHTS[aet]
    ds = ct(f"by {aet}"[:16], patient_id=aet)
    study = {LEVEL: "STUDY", 0x0020000D: site.instances[0].StudyInstanceUID}
    contexts = [(uid, [IMPLICIT]) for uid in (VERIFICATION, STUDY_FIND, STUDY_MOVE, STUDY_GET)]
    with site.associate(*contexts, (CT, [EXPLICIT]), calling=aet, extra=role_selection(CT, scu=True)) as scu:
        seen = {
            "echo": scu.echo(),
            "store": scu.store(CT, ds.SOPInstanceUID, EXPLICIT, split_file(part10(ds))[1]).status,
            "query": scu.find(study)[-1].status,
            "get": scu.get(study).status,
            "move": scu.move(aet, study).status,
        }
    allowed = {
        "echo": 0,
        "store": 0 if "store" in rights else 0x0124,
        "query": 0 if "query" in rights else 0x0124,
        "get": 0 if "retrieve" in rights else 0x0124,
        # Nobody listens at the workstation now: that it was tried at all is the right.
        "move": 0xA702 if "retrieve" in rights else 0x0124,
    }
    assert seen == allowed


def test_a_peer_may_only_move_to_itself_unless_it_is_said(site: Site) -> None:
    study = {LEVEL: "STUDY", 0x0020000D: site.instances[0].StudyInstanceUID}
    with site.associate((STUDY_MOVE, [IMPLICIT])) as scu:
        assert scu.move("READER", study).status == 0x0124
        assert scu.move("NOWHERE", study).status == 0xA801


@pytest.fixture(scope="module")
def quiet_machines() -> Iterator[tuple[Machine, Machine]]:
    """Two machines on which nothing runs yet."""
    with two_machines("qu") as pair:
        yield pair


def test_by_default_nothing_is_open_to_the_network(quiet_machines: tuple[Machine, Machine], tmp_path: Path) -> None:
    archive, workstation = quiet_machines
    words = [*archive.prefix, sys.executable, "-m", "vesalius", "serve", "--data", str(tmp_path / "data")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            for line in process.stdout or ():
                if '"event":"ready"' in line:
                    break
            open_there = archive.listening()
            ports = sorted({port for _, port in open_there})
            assert len(ports) >= 2, "DICOM and HTTP"
            for address, _ in open_there:
                assert address == "0100007F", "loopback alone"
            with workstation.inside():
                answers = [port for port in (*ports, 104, 2762, 4242, 80, 443) if _connects(archive.address, port)]
            assert answers == []
        finally:
            process.terminate()
            process.wait(20)


def _connects(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0


def test_a_network_address_without_tls_is_refused_with_the_setting_by_name(
    quiet_machines: tuple[Machine, Machine], tmp_path: Path
) -> None:
    archive, _ = quiet_machines
    words = [*archive.prefix, sys.executable, "-m", "vesalius", "serve", "--data", str(tmp_path / "data")]
    for host in (archive.address, "0.0.0.0"):
        done = subprocess.run([*words, "--host", host], capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 2
        assert "insecure_plain_dicom" in done.stderr
    assert archive.listening() == []
    assert not (tmp_path / "data").exists()
