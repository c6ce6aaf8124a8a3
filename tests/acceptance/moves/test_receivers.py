"""C-MOVE through the whole service to receivers of every temper: counts, statuses, failed lists, time, order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from tests.support import dcmtk
from tests.support.corpus import split_file
from tests.support.generate import ct, part10, uid
from tests.support.patience import assert_within, patient
from tests.support.raw_dicom import STUDY_MOVE, VERIFICATION, cancel_rq, move_rq
from tests.support.raw_peer import LEVEL, PATIENT_ROOT, Manners, RawScu, Receiver, Retrieved, identifier
from tests.support.server import Server, running_server, vesalius

IMPLICIT = "1.2.840.10008.1.2"
INSTANCES = 12
CONNECT, RESPONSE = 1.5, 1.5
STUDY = uid("study", "moved")


@dataclass
class Site:
    """The service, and a port for each destination that its configuration knows."""

    server: Server
    ports: dict[str, int]
    instances: list[Dataset]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("moves")
    receivers = ("ONE", "TWO", "NOBODY", "STORESCP")
    ports = {aet: dcmtk.free_port() for aet in receivers}
    peers = "".join(f'[[peers]]\nname = "{aet}"\nhost = "127.0.0.1"\nport = {port}\n' for aet, port in ports.items())
    limits = f"[limits]\nconnect = {CONNECT}\nresponse = {RESPONSE}\nnetwork = 3.0\n"
    with running_server(folder, config=limits + peers) as server:
        instances = [ct("moved", 1, n, patient_id="MOVED") for n in range(1, INSTANCES + 1)]
        instances += [ct("moved", 2, 1, patient_id="MOVED")]
        (folder / "files").mkdir()
        for n, ds in enumerate(instances):
            (folder / f"files/{n}.dcm").write_bytes(part10(ds))
        vesalius("import", folder / "files", data=server.data)
        yield Site(server, ports, instances)


@contextmanager
def receiving(site: Site, aet: str, manners: Manners | None = None) -> Iterator[Receiver]:
    with Receiver(aet, manners, port=site.ports[aet]) as receiver:
        yield receiver


def move(site: Site, aet: str, **keys: str) -> tuple[Retrieved, float]:
    """C-MOVE of the study (or what the keys name), and how long it took."""
    asked = {LEVEL: "STUDY", 0x0020000D: STUDY} | {int(tag[1:], 16): value for tag, value in keys.items()}
    with RawScu.associate(site.server.dimse_port, [(STUDY_MOVE, [IMPLICIT])]) as scu:
        began = time.monotonic()
        return scu.move(aet, asked), time.monotonic() - began


def series_two(site: Site) -> dict[str, str]:
    return {"_00080052": "SERIES", "_0020000E": site.instances[-1].SeriesInstanceUID}


def test_a_perfect_receiver_gets_every_byte_and_the_originator(site: Site) -> None:
    with receiving(site, "ONE") as receiver:
        moved, _ = move(site, "ONE")
    assert moved.status == 0
    assert moved.counts == (None, INSTANCES + 1, 0, 0)
    assert not moved.final.dataset
    sent = {ds.SOPInstanceUID: split_file(part10(ds))[1] for ds in site.instances}
    assert {one.sop_instance: one.dataset for one in receiver.kept} == sent
    assert {one.text(0x1030) for one in receiver.kept} == {"RAW"}
    assert {one.number(0x1031) for one in receiver.kept} == {1}


def test_every_level_moves_what_it_names(site: Site) -> None:
    one = site.instances[0]
    series = {"_00080052": "SERIES", "_0020000E": one.SeriesInstanceUID}
    image = {**series, "_00080052": "IMAGE", "_00080018": f"{one.SOPInstanceUID}\\{site.instances[1].SOPInstanceUID}"}
    with receiving(site, "ONE") as receiver:
        for keys, count in ((series, INSTANCES), (image, 2), (series_two(site), 1)):
            moved, _ = move(site, "ONE", **keys)
            assert moved.counts == (None, count, 0, 0)
        with RawScu.associate(site.server.dimse_port, [(PATIENT_ROOT["move"], [IMPLICIT])]) as scu:
            moved = scu.move("ONE", {LEVEL: "PATIENT", 0x00100020: "MOVED"}, PATIENT_ROOT["move"])
        assert moved.counts == (None, INSTANCES + 1, 0, 0)
    assert len(receiver.kept) == INSTANCES + 2 + 1 + INSTANCES + 1


def test_nothing_that_matches_is_a_success_of_nothing(site: Site) -> None:
    moved, _ = move(site, "NOBODY", _0020000D=uid("no such study"))
    assert moved.status == 0
    assert moved.counts == (None, 0, 0, 0)


def test_an_unknown_destination_is_a801_before_anything_is_looked_up(site: Site) -> None:
    moved, _ = move(site, "STRANGER")
    assert moved.status == 0xA801
    assert not moved.pendings


def test_a_destination_where_nobody_listens_is_a702_at_once(site: Site) -> None:
    moved, seconds = move(site, "NOBODY")
    assert moved.status == 0xA702
    assert moved.counts == (None, 0, INSTANCES + 1, 0)
    assert sorted(moved.failed_instances) == sorted(ds.SOPInstanceUID for ds in site.instances)
    assert seconds < CONNECT + 1


def _every(status: int) -> Callable[[str], int]:
    return lambda _uid: status


@pytest.mark.parametrize(
    ("manners", "status", "counts"),
    [
        (Manners(reject=True), 0xA702, (None, 0, 13, 0)),
        (Manners(ignore_associate=True), 0xA702, (None, 0, 13, 0)),
        (Manners(ignore_store=1), 0xA702, (None, 0, 13, 0)),
        (Manners(ignore_store=4), 0xB000, (None, 3, 10, 0)),
        (Manners(abort_at=1), 0xA702, (None, 0, 13, 0)),
        (Manners(close_at=1), 0xA702, (None, 0, 13, 0)),
        (Manners(close_at=5, broken_associations=1), 0x0000, (None, 13, 0, 0)),
        (Manners(abort_at=5, broken_associations=1), 0x0000, (None, 13, 0, 0)),
        (Manners(syntaxes=frozenset()), 0xA702, (None, 0, 13, 0)),
        (Manners(status_of=_every(0xA700)), 0xA702, (None, 0, 13, 0)),
        (Manners(status_of=_every(0xB000)), 0xB000, (None, 0, 0, 13)),
        (Manners(status_of=_every(0x0111)), 0xA702, (None, 0, 13, 0)),
    ],
    ids=[
        "rejects the association",
        "never answers the association request",
        "never answers a store",
        "never answers the fourth store",
        "aborts in mid object, always",
        "closes in mid object, always",
        "closes in mid object, once",
        "aborts in mid object, once",
        "takes no transfer syntax",
        "is full",
        "coerces everything",
        "has everything already",
    ],
)
def test_a_receiver_of_any_temper_ends_in_the_right_counts_and_in_time(
    site: Site, manners: Manners, status: int, counts: tuple[int | None, ...]
) -> None:
    with receiving(site, "ONE", manners) as receiver:
        moved, seconds = move(site, "ONE")
    assert moved.status == status
    assert moved.counts == counts
    assert len(moved.failed_instances) == counts[2]
    assert len(receiver.kept) >= (counts[1] or 0) + (counts[3] or 0)
    assert seconds < CONNECT + RESPONSE + 2
    # The service is none the worse for it.
    with receiving(site, "TWO"):
        assert move(site, "TWO", **series_two(site))[0].status == 0


def test_mixed_answers_are_counted_one_by_one(site: Site) -> None:
    uids = [ds.SOPInstanceUID for ds in site.instances]
    answers = dict.fromkeys(uids, 0x0000) | {uids[1]: 0xB000, uids[2]: 0xA700, uids[3]: 0xC123, uids[4]: 0xB007}
    with receiving(site, "ONE", Manners(status_of=lambda uid_: answers[uid_])):
        moved, _ = move(site, "ONE")
    assert moved.status == 0xB000
    assert moved.counts == (None, INSTANCES + 1 - 4, 2, 2)
    assert sorted(moved.failed_instances) == sorted(uids[2:4]), "warnings are no failures"


def test_pendings_count_down_and_come_at_least_every_second(site: Site) -> None:
    with receiving(site, "ONE", Manners(delay=0.25)):
        moved, seconds = move(site, "ONE")
    assert moved.status == 0
    assert len(moved.pendings) >= seconds - 1
    for message in moved.pendings:
        assert message.number(0x1020) + message.number(0x1021) == INSTANCES + 1
        assert not message.dataset
    remaining = [message.number(0x1020) for message in moved.pendings]
    assert remaining == sorted(remaining, reverse=True)


def test_a_cancel_ends_in_fe00_with_counts_within_a_second(site: Site) -> None:
    contexts = [(STUDY_MOVE, [IMPLICIT]), (VERIFICATION, [IMPLICIT])]
    with (
        receiving(site, "ONE", Manners(delay=0.2)) as receiver,
        RawScu.associate(site.server.dimse_port, contexts) as scu,
    ):
        number = scu.context(STUDY_MOVE)
        scu.send_message(number, move_rq("ONE", message_id=9), identifier({LEVEL: "STUDY", 0x0020000D: STUDY}))
        assert scu.message().status == 0xFF00
        began = time.monotonic()
        scu.send_message(number, cancel_rq(9))
        while (message := scu.message()).status == 0xFF00:
            continue
        assert message.status == 0xFE00
        assert_within(began, 1)
        remaining, completed = message.number(0x1020), message.number(0x1021)
        assert remaining > 0
        assert completed > 0
        assert remaining + completed + message.number(0x1022) == INSTANCES + 1
        assert scu.echo() == 0
        assert len(receiver.kept) <= completed + 1


def test_a_slow_destination_does_not_hold_up_another(site: Site) -> None:
    with receiving(site, "ONE", Manners(delay=0.5)), receiving(site, "TWO"):
        slow: list[tuple[Retrieved, float]] = []
        thread = threading.Thread(target=lambda: slow.append(move(site, "ONE")))
        thread.start()
        time.sleep(0.3)
        quick, seconds = move(site, "TWO")
        assert thread.is_alive()
        thread.join()
    assert quick.status == slow[0][0].status == 0
    assert seconds < slow[0][1] / 2


def test_series_after_series_goes_over_one_association_as_long_as_the_one_who_asks_stays(site: Site) -> None:
    keys = {LEVEL: "SERIES", 0x0020000D: STUDY, 0x0020000E: site.instances[-1].SeriesInstanceUID}
    with receiving(site, "ONE") as receiver:
        with RawScu.associate(site.server.dimse_port, [(STUDY_MOVE, [IMPLICIT])]) as scu:
            for _ in range(4):
                assert scu.move("ONE", keys).status == 0
            assert receiver.associations == 1
        ended = time.monotonic() + 5
        while receiver.open and time.monotonic() < ended:
            time.sleep(0.02)
        assert receiver.open == 0, "the receiver is let go when the one who asked has gone"
        with RawScu.associate(site.server.dimse_port, [(STUDY_MOVE, [IMPLICIT])]) as scu:
            assert scu.move("ONE", keys).status == 0
            time.sleep(1.2)
            assert receiver.open == 0, "and a second after the last, though the one who asked is still there"


@pytest.mark.parametrize("option", ["--refuse", "--abort-after", "--abort-during"])
def test_a_storescp_that_breaks_ends_in_a702(site: Site, option: str, tmp_path: Path) -> None:
    port = site.ports["STORESCP"]
    with dcmtk.background("storescp", option, "-od", tmp_path, str(port), port=port):
        moved, seconds = move(site, "STORESCP")
    assert moved.status == 0xA702
    assert moved.counts == (None, 0, INSTANCES + 1, 0)
    assert seconds < patient(5)


def test_a_requester_that_vanishes_ends_the_sending(site: Site) -> None:
    with receiving(site, "ONE", Manners(delay=0.3)) as receiver:
        scu = RawScu.associate(site.server.dimse_port, [(STUDY_MOVE, [IMPLICIT])])
        keys = identifier({LEVEL: "STUDY", 0x0020000D: STUDY})
        scu.send_message(scu.context(STUDY_MOVE), move_rq("ONE"), keys)
        assert scu.message().status == 0xFF00
        scu.close()
        time.sleep(1.0)
        came = len(receiver.kept)
        time.sleep(0.7)
        assert len(receiver.kept) <= came + 1
        assert came < INSTANCES
