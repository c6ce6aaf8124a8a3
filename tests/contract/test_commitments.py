"""Promises for many studies at once, the event of a guarantee, the histories of many orders: on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.support.index_arrivals import arrival, instance_uid, study_uid
from tests.support.ris import Hospital

from vesalius.backends.commitments_sql import SqlCommitments
from vesalius.backends.database import Database, open_database
from vesalius.backends.index_sql import SqlIndex
from vesalius.backends.ris_sql import SqlRis
from vesalius.model.commitments import CommitmentRequest, Reference, Role
from vesalius.model.orders import Link
from vesalius.ports.jobs import Job

NOW = "2026-11-24T09:00:00.000000Z"
CT = "1.2.840.10008.5.1.4.1.1.2"


def check(number: int) -> Job:
    return Job("commitment.check", {"commitment": number}, str(number))


def report(number: int) -> Job:
    return Job("commitment.report", {"commitment": number}, str(number))


@dataclass
class Site:
    database: Database

    def __post_init__(self) -> None:
        self.kept = SqlCommitments(self.database)
        self.index = SqlIndex(self.database)
        self.hospital = Hospital(SqlRis(self.database))
        self.hospital.stations()

    def promise(self, *instances: str, transaction: str, reasons: tuple[int, ...] = ()) -> int:
        """A peer asks, and this is what was found out."""
        named = tuple(Reference(CT, one) for one in instances)
        lease = self.kept.accept(CommitmentRequest(transaction, named, aet="CT1"), NOW, "me", 60, check, report)
        number = int(lease.payload["commitment"])
        self.kept.checked(lease, number, reasons or (0,) * len(instances), NOW, 60, report(number))
        return number


@pytest.fixture
def site(database_url: str) -> Iterator[Site]:
    database = open_database(database_url)
    made = Site(database)
    yield made
    database.close()


def test_promises_are_counted_for_each_study_once_for_each_instance(site: Site) -> None:
    site.index.ingest([arrival(study, 1, number) for study in (1, 2, 3) for number in (1, 2, 3)])
    first, second = instance_uid(1, 1, 1), instance_uid(1, 1, 2)
    site.promise(first, second, transaction="1.2.1")
    site.promise(first, transaction="1.2.2")
    site.promise(instance_uid(2, 1, 1), instance_uid(2, 1, 2), transaction="1.2.3", reasons=(0, 0x0110))
    assert site.kept.promised_of([study_uid(1), study_uid(2), study_uid(3), "1.2"]) == {
        study_uid(1): 2,
        study_uid(2): 1,
    }
    assert site.kept.promised_of([]) == {}
    assert site.kept.promised(study_uid(1)) == 2


def test_what_we_asked_of_a_peer_is_no_promise_of_ours(site: Site) -> None:
    site.index.ingest([arrival(1, 1, 1)])
    request = CommitmentRequest("1.2.9", (Reference(CT, instance_uid(1, 1, 1)),), peer="PACS2", aet="PACS2")
    number = site.kept.plan(request, NOW, check)
    assert site.kept.promised_of([study_uid(1)]) == {}
    assert [one.id for one in site.kept.list(role=Role.SCU)] == [number]
    assert site.kept.list(before=number) == []


def test_a_guarantee_is_an_event_of_the_order_whose_images_they_are(site: Site) -> None:
    site.index.ingest([arrival(study, 1, number) for study in (1, 2) for number in (1, 2)])
    _, order, _, _ = site.hospital.planned()
    site.hospital.ris.change(lambda work: work.add(Link(study_uid(1), order.ref, 0, "accession")))
    before = site.hospital.ris.look(lambda view: view.last_event())
    site.promise(instance_uid(1, 1, 1), instance_uid(1, 1, 2), instance_uid(2, 1, 1), transaction="1.2.1")
    (event,) = site.hospital.ris.look(lambda view: view.events(before))
    assert (event.kind, event.order, event.who, event.at) == ("images-committed", order.ref, "CT1", NOW)
    assert event.detail == {"study": study_uid(1), "images": "2"}
    site.promise(instance_uid(1, 1, 1), transaction="1.2.2", reasons=(0x0110,))
    assert site.hospital.ris.look(lambda view: view.events(event.id)) == [], "what failed is no guarantee"


def test_histories_of_many_orders_come_in_one_order_of_time(site: Site) -> None:
    one, other, third = (site.hospital.planned()[1] for _ in range(3))
    found = site.hospital.ris.look(lambda view: view.histories([one.ref, other.ref, one.ref]))
    single = site.hospital.ris.look(lambda view: [*view.history(order=one.ref), *view.history(order=other.ref)])
    assert found == sorted(single, key=lambda event: event.id)
    assert third.ref not in {event.order for event in found}
    assert site.hospital.ris.look(lambda view: view.histories([])) == []
