"""Storage commitment as a modality sees it (PS3.4 annex J): the real service, and pynetdicom at the other end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from tests.support.commitments import config, send, states, until
from tests.support.dcmtk import free_port
from tests.support.generate import ct, uid
from tests.support.modality import Modality
from tests.support.rot import flip_bit, places
from tests.support.server import Server, listing, running_server, start_server, vesalius

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
HANGING_PROTOCOL = "1.2.840.10008.5.1.4.38.1"


@dataclass
class Site:
    server: Server
    modality: Modality
    kept: list[tuple[str, str]]

    @property
    def data(self) -> Path:
        return self.server.data

    def commitments(self, *extra: str) -> list[dict[str, object]]:
        return listing("commitments", *extra, data=self.data)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    port = free_port()
    with running_server(tmp_path_factory.mktemp("commitment"), config=config(port), workers=2) as server:
        modality = Modality(port, server.dimse_port)
        kept = send(modality, *(ct("committed", 1, n) for n in range(1, 6)))
        with modality.listening():
            yield Site(server, modality, kept)


def test_all_instances_are_committed_on_a_new_association_with_role_selection(site: Site) -> None:
    status, transaction = site.modality.ask(site.kept)
    assert status == 0x0000
    (result,) = site.modality.wait(transaction)
    assert result.event_type == 1
    assert result.committed == site.kept, "the complete list, in the order in which it was asked for"
    assert result.failed == {}
    assert (result.on, result.role_selected, result.retrieve_aet) == ("new", True, "VESALIUS")
    told = until(lambda: [c for c in site.commitments() if c["transaction"] == transaction and c["state"] == "told"])
    assert (told[0]["instances"], told[0]["failed"], told[0]["peer"]) == (5, 0, "MOD")


def test_d25_each_instance_that_is_not_kept_has_its_reason_and_the_rest_is_committed(site: Site) -> None:
    unknown, other = uid("never", "sent"), site.kept[1][1]
    asked = [site.kept[0], (CT, unknown), (MR, other), (HANGING_PROTOCOL, uid("hanging"))]
    status, transaction = site.modality.ask(asked)
    assert status == 0x0000
    (result,) = site.modality.wait(transaction)
    assert result.event_type == 2
    assert result.committed == [site.kept[0]]
    assert result.failed == {unknown: 0x0112, other: 0x0119, uid("hanging"): 0x0122}
    number = next(c["id"] for c in site.commitments() if c["transaction"] == transaction)
    rows = listing("commitments", str(number), data=site.data)
    assert [row["reason"] for row in rows] == [0, 0x0112, 0x0119, 0x0122]


def test_d25_a_transaction_uid_that_is_active_is_0131_and_the_first_request_keeps_its_result(site: Site) -> None:
    transaction = f"{uid('twice')}"
    site.modality.status = 0x0110  # the result is not taken, so the transaction stays active
    try:
        assert site.modality.ask(site.kept, transaction)[0] == 0x0000
        site.modality.wait(transaction)
        assert site.modality.ask(site.kept[:2], transaction)[0] == 0x0000
        until(lambda: {0x0131} in [set(r.failed.values()) for r in site.modality.wait(transaction)])
    finally:
        site.modality.status = 0x0000
    results = site.modality.wait(transaction)
    refused = next(r for r in results if r.failed)
    assert (refused.event_type, set(refused.failed)) == (2, {instance for _, instance in site.kept[:2]})
    until(lambda: states(site.data, transaction) == ["told", "told"])
    assert any(r.event_type == 1 and r.committed == site.kept for r in site.modality.wait(transaction))
    # Now it is not active any more (PS3.4 J.3.3), and what is asked is looked at.
    site.modality.results.clear()
    assert site.modality.ask(site.kept[:1], transaction)[0] == 0x0000
    (result,) = site.modality.wait(transaction)
    assert result.event_type == 1


def test_a_result_is_told_again_until_it_is_answered_0000(site: Site) -> None:
    site.modality.status = 0x0110
    try:
        _, transaction = site.modality.ask(site.kept[:2])
        site.modality.wait(transaction, count=3)
        assert states(site.data, transaction) == ["checked"]
    finally:
        site.modality.status = 0x0000
    until(lambda: states(site.data, transaction) == ["told"])
    after = len(site.modality.wait(transaction))
    time.sleep(1.0)  # twice the longest wait between two calls
    assert len(site.modality.wait(transaction)) == after, "once it is answered nothing more is told"


def test_on_the_same_association_where_the_peer_wants_it(tmp_path: Path) -> None:
    port = free_port()
    with running_server(tmp_path, config=config(port, "commit-same-association"), workers=2) as server:
        modality = Modality(port, server.dimse_port)
        kept = send(modality, ct("same", 1, 1))
        with modality.associated() as assoc:
            status, transaction = modality.ask(kept, assoc=assoc)
            assert status == 0x0000
            (result,) = modality.wait(transaction)
        assert (result.on, result.event_type, result.committed) == ("same", 1, kept)
        # Released at once: then it comes on a new one.
        with modality.listening():
            _, transaction = modality.ask(kept)
            (result,) = modality.wait(transaction)
            assert result.event_type == 1


def test_a_peer_that_knows_no_role_selection_is_told_all_the_same(tmp_path: Path) -> None:
    port = free_port()
    with running_server(tmp_path, config=config(port)) as server:
        modality = Modality(port, server.dimse_port)
        kept = send(modality, ct("roles", 1, 1))
        with modality.listening(roles=False):
            _, transaction = modality.ask(kept)
            until(lambda: states(server.data, transaction) in (["told"], ["checked"]))


def test_a_caller_that_is_no_peer_is_told_on_its_own_association_or_not_at_all(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        modality = Modality(free_port(), server.dimse_port, title="NOBODY")
        kept = send(modality, ct("nobody", 1, 1))
        with modality.associated() as assoc:
            _, transaction = modality.ask(kept, assoc=assoc)
            (result,) = modality.wait(transaction)
            assert (result.on, result.committed) == ("same", kept)
        _, transaction = modality.ask(kept)
        site = Site(server, modality, kept)
        until(lambda: states(site.data, transaction) in (["expired"], ["told"]))


def test_without_the_right_a_request_is_0124_and_nothing_is_kept(tmp_path: Path) -> None:
    port = free_port()
    with running_server(tmp_path, config=config(port, allow='"store"')) as server:
        modality = Modality(port, server.dimse_port)
        kept = send(modality, ct("right", 1, 1))
        status, _ = modality.ask(kept)
        assert status == 0x0124
        assert listing("commitments", data=server.data) == []


def test_a_result_that_could_not_be_told_is_told_after_a_restart(tmp_path: Path) -> None:
    port = free_port()
    settings = config(port)
    server = start_server(tmp_path / "data", config=settings)
    try:
        modality = Modality(port, server.dimse_port)
        kept = send(modality, ct("restart", 1, 1))
        status, transaction = modality.ask(kept)  # nobody listens
        assert status == 0x0000
    finally:
        server.stop()
    with running_server(tmp_path, config=settings) as again, modality.listening():
        (result,) = modality.wait(transaction)
        assert (result.event_type, result.committed) == (1, kept)
        until(lambda: states(again.data, transaction) == ["told"])


def test_bytes_that_changed_on_the_disk_are_never_committed_to(tmp_path: Path) -> None:
    port = free_port()
    with running_server(tmp_path, config=config(port)) as server, Modality(port, server.dimse_port).listening() as mod:
        kept = send(mod, ct("rot", 1, 1), ct("rot", 1, 2))
        spoil(server.data, server.data / "packs", kept[0][1])
        _, transaction = mod.ask(kept)
        (result,) = mod.wait(transaction)
        assert (result.event_type, result.committed) == (2, [kept[1]])
        assert result.failed == {kept[0][1]: 0x0110}


def test_every_copy_is_read_again_and_one_that_lags_is_brought_up_first(tmp_path: Path) -> None:
    port = free_port()
    copy = tmp_path / "copy"
    more = f'[store]\ncopy_interval = 3600.0\n[[store.copies]]\nname = "second"\npath = "{copy}"\n'
    with (
        running_server(tmp_path, config=config(port, more=more)) as server,
        Modality(port, server.dimse_port).listening() as mod,
    ):
        kept = send(mod, ct("copies", 1, 1), ct("copies", 1, 2))
        _, transaction = mod.ask(kept)
        (result,) = mod.wait(transaction)
        assert (result.event_type, result.committed) == (1, kept)
        assert list(copy.glob("*.tar")), "the copier had not been there"
        # The copy rots: it is made good from the primary, and then committed to.
        spoil(server.data, copy, kept[0][1])
        _, transaction = mod.ask(kept)
        (result,) = mod.wait(transaction)
        assert (result.event_type, result.committed) == (1, kept)
    assert vesalius("verify", data=server.data).returncode == 0


def test_a_place_that_is_away_is_resource_limitation_after_the_patience(tmp_path: Path) -> None:
    port = free_port()
    away = tmp_path / "file-instead-of-a-folder"
    away.write_text("")
    more = f'[store]\ncopy_interval = 3600.0\n[[store.copies]]\nname = "away"\npath = "{away}"\n'
    settings = config(port, more=more).replace("[commitment]", "[commitment]\npatience = 0.5")
    with running_server(tmp_path, config=settings) as server, Modality(port, server.dimse_port).listening() as mod:
        kept = send(mod, ct("away", 1, 1))
        _, transaction = mod.ask(kept)
        (result,) = mod.wait(transaction)
        assert (result.event_type, result.failed) == (2, {kept[0][1]: 0x0213})


def spoil(data: Path, packs: Path, sop_instance: str) -> None:
    """Flip one bit of an instance's data set."""
    flip_bit(next(place for place in places(data / "index.db", packs) if place.uid == sop_instance), Random(1))
