"""Rows D24 and D28, and what else is wrong with N-ACTION, N-EVENT-REPORT and N-CREATE, byte by byte over a socket."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.dimse_site import Clock, Site, running_site
from tests.support.generate import uid
from tests.support.raw_dicom import IMPLICIT, Message, RawPeer, command_set, context, element, text, us
from tests.support.raw_dicom import uid as ui

from vesalius.archive.availability import Availability
from vesalius.archive.commit import Commit
from vesalius.backends.availability_sql import SqlNotices
from vesalius.backends.commitments_sql import SqlCommitments
from vesalius.backends.database import open_database
from vesalius.dimse.server import DimseServer
from vesalius.model.commitments import CommitmentRequest, CommitmentResult, CommitmentState, Reference
from vesalius.model.entities import Peer
from vesalius.model.errors import IndexUnavailable
from vesalius.ports.jobs import Lease

COMMITMENT, WELL_KNOWN = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
AVAILABILITY = "1.2.840.10008.5.1.4.33"
CT = "1.2.840.10008.5.1.4.1.1.2"
TRANSACTION, REFERENCED, FAILED, REASON = 0x00081195, 0x00081199, 0x00081198, 0x00081197
CLASS_UID, INSTANCE_UID, STATE, AET = 0x00081150, 0x00081155, 0x00080056, 0x00080054
STUDY, SERIES, SERIES_SEQUENCE = 0x0020000D, 0x0020000E, 0x00081115
COMMENT, OFFENDING = 0x902, 0x901
N_EVENT_REPORT, N_GET, N_SET, N_ACTION, N_CREATE, N_DELETE = 0x0100, 0x0110, 0x0120, 0x0130, 0x0140, 0x0150
PEER = Peer("RAW", "127.0.0.1", 104, "RAW")  # the title that RawPeer calls with


@dataclass
class Clinical:
    """A site with the services that need a database of jobs, and a peer on it."""

    site: Site
    peer: RawPeer
    commit: Commit
    notices: SqlNotices
    begun: list[Lease] = field(default_factory=list)
    sent: int = 0

    async def ask(self, number: int, elements: dict[int, bytes], dataset: bytes | None) -> Message:
        self.sent += 1
        follows = us(0x0101 if dataset is None else 0)
        self.peer.send_message(number, command_set({0x110: us(self.sent), 0x800: follows, **elements}), dataset)
        return await self.peer.message()

    async def action(
        self, dataset: bytes | None, *, action: int = 1, instance: str = WELL_KNOWN, field: int = N_ACTION
    ) -> Message:
        elements = {0x3: ui(COMMITMENT), 0x100: us(field), 0x1001: ui(instance), 0x1008: us(action)}
        return await self.ask(1, elements, dataset)

    async def event(self, dataset: bytes | None, *, event: int = 1, instance: str = WELL_KNOWN) -> Message:
        elements = {0x2: ui(COMMITMENT), 0x100: us(N_EVENT_REPORT), 0x1000: ui(instance), 0x1002: us(event)}
        return await self.ask(1, elements, dataset)

    async def create(self, dataset: bytes | None, instance: str | None = None) -> Message:
        elements = {0x2: ui(AVAILABILITY), 0x100: us(N_CREATE)}
        if instance is not None:
            elements[0x1000] = ui(instance)
        return await self.ask(3, elements, dataset)


class Away(SqlCommitments):
    """The database is away."""

    def accept(self, *args: object, **kwargs: object) -> Lease:
        raise IndexUnavailable("the index database failed")

    def result(self, result: CommitmentResult, aet: str, now: str) -> CommitmentState | None:
        raise IndexUnavailable("the index database failed")


class Broken(SqlCommitments):
    """A fault of ours, whose text may name a patient."""

    def accept(self, *args: object, **kwargs: object) -> Lease:
        raise ValueError("Doe^Jane")

    def result(self, result: CommitmentResult, aet: str, now: str) -> CommitmentState | None:
        raise ValueError("Doe^Jane")


class AwayNotices(SqlNotices):
    def receive(self, notice: object) -> bool:
        raise IndexUnavailable("the index database failed")


class BrokenNotices(SqlNotices):
    def receive(self, notice: object) -> bool:
        raise ValueError("Doe^Jane")


@asynccontextmanager
async def clinical(
    tmp_path: Path,
    kept: type[SqlCommitments] = SqlCommitments,
    notices: type[SqlNotices] = SqlNotices,
    peer: Peer | None = None,
    **settings: object,
) -> AsyncIterator[Clinical]:
    database = open_database(f"sqlite:///{tmp_path}/index.db")
    async with running_site(tmp_path, **settings) as site:
        commit = Commit(kept(database), site.index, site.blobs, Clock(), owner="test")
        kept_notices = notices(database)
        begun: list[Lease] = []
        services = dataclasses.replace(
            site.services,
            commit=commit,
            availability=Availability(kept_notices, site.index, Clock(), aet="VESALIUS"),
            commitment_begun=lambda lease, assoc: begun.append(lease),
        )
        if peer is not None:
            site.peers[peer.name] = peer
        server = DimseServer(services)
        _, port = await server.start("127.0.0.1", 0)
        contexts = [context(1, COMMITMENT, [IMPLICIT]), context(3, AVAILABILITY, [IMPLICIT])]
        raw = await RawPeer.associated(port, [*contexts, context(5, "1.2.840.10008.1.1", [IMPLICIT])])
        try:
            yield Clinical(site, raw, commit, kept_notices, begun)
            assert await raw.echo(5) == 0, "whatever was wrong, the association lives"
            await raw.release()
        finally:
            await server.stop(0)
    database.close()


def sequence(tag: int, *items: bytes) -> bytes:
    def item(body: bytes) -> bytes:
        return b"\xfe\xff\x00\xe0" + len(body).to_bytes(4, "little") + body

    return element(tag, b"".join(item(body) for body in items))


def reference(sop_instance: str, sop_class: str = CT) -> bytes:
    return element(CLASS_UID, ui(sop_class)) + element(INSTANCE_UID, ui(sop_instance))


def request(transaction: str | None = None, *items: bytes) -> bytes:
    head = element(TRANSACTION, ui(transaction)) if transaction is not None else b""
    return head + sequence(REFERENCED, *items)


def offending(message: Message) -> int:
    raw = message.command[OFFENDING]
    return int.from_bytes(raw[:2], "little") << 16 | int.from_bytes(raw[2:4], "little")


GOOD = request(uid("transaction"), reference(uid("one")))


async def test_a_good_request_is_0000_and_durable(tmp_path: Path) -> None:
    async with clinical(tmp_path) as at:
        answer = await at.action(GOOD)
        assert answer.status == 0
        assert (answer.text(0x2), answer.text(0x1000), answer.number(0x1008)) == (COMMITMENT, WELL_KNOWN, 1)
        (kept,) = at.commit.kept.list()
        assert (kept.transaction_uid, kept.state, kept.aet) == (uid("transaction"), CommitmentState.RECEIVED, "RAW")
        assert [lease.kind for lease in at.begun] == ["commitment.check"]


@pytest.mark.parametrize(
    ("dataset", "tag"),
    [
        (None, TRANSACTION),
        (request(None, reference(uid("one"))), TRANSACTION),
        (request("", reference(uid("one"))), TRANSACTION),
        (request("not.a.uid", reference(uid("one"))), TRANSACTION),
        (element(TRANSACTION, ui(uid("t"))), REFERENCED),
        (request(uid("t")), REFERENCED),
        (request(uid("t"), element(CLASS_UID, ui(CT))), REFERENCED),
        (request(uid("t"), reference(uid("one")), element(INSTANCE_UID, ui(uid("two")))), REFERENCED),
    ],
    ids=["nothing", "no-transaction", "empty-transaction", "no-uid", "no-sequence", "empty-sequence", "no-instance",
         "no-class"],
)  # fmt: skip
async def test_d24_what_is_missing_is_0115_with_the_element_and_nothing_is_kept(
    tmp_path: Path, dataset: bytes | None, tag: int
) -> None:
    async with clinical(tmp_path) as at:
        answer = await at.action(dataset)
        assert answer.status == 0x0115
        assert offending(answer) == tag
        assert at.commit.kept.list() == []
        assert at.begun == []


async def test_d24_action_type_2_is_0123_and_another_instance_is_0112(tmp_path: Path) -> None:
    async with clinical(tmp_path) as at:
        assert (await at.action(GOOD, action=2)).status == 0x0123
        assert (await at.action(GOOD, instance="1.2.3")).status == 0x0112
        assert at.commit.kept.list() == []


async def test_d28_operations_that_a_class_does_not_offer_are_0211(tmp_path: Path) -> None:
    async with clinical(tmp_path) as at:
        for field_ in (N_GET, N_DELETE, N_SET, N_CREATE):
            assert (await at.action(None, field=field_)).status == 0x0211
            assert (await at.action(GOOD, field=field_)).status == 0x0211
        elements = {0x3: ui(AVAILABILITY), 0x100: us(N_ACTION), 0x1001: ui("1.2.3"), 0x1008: us(1)}
        assert (await at.ask(3, elements, GOOD)).status == 0x0211


async def test_a_request_that_cannot_be_read_is_0110_and_one_over_the_cap_0213(tmp_path: Path) -> None:
    async with clinical(tmp_path, identifier_size=1000) as at:
        assert (await at.action(b"this is no data set")).status == 0x0110
        assert (await at.action(GOOD + element(0x00100010, b"x" * 2000))).status == 0x0213
        assert (await at.event(b"this is no data set")).status == 0x0110


async def test_a_database_that_is_away_is_0213_and_a_fault_of_ours_0110_without_its_text(tmp_path: Path) -> None:
    async with clinical(tmp_path, kept=Away, notices=AwayNotices) as at:
        assert (await at.action(GOOD)).status == 0x0213
        assert (await at.event(GOOD)).status == 0x0213
        assert (await at.create(notification())).status == 0x0213
    async with clinical(tmp_path / "second", kept=Broken, notices=BrokenNotices) as at:
        for answer in (await at.action(GOOD), await at.event(GOOD), await at.create(notification())):
            assert answer.status == 0x0110
            assert "Doe" not in answer.text(COMMENT)


# -- results ----------------------------------------------------------------------------------------------------------


def planned(at: Clinical, *instances: str, aet: str = "RAW") -> str:
    number = at.commit.plan(dataclasses.replace(PEER, aet=aet), [Reference(CT, one) for one in instances])
    found = at.commit.kept.get(number)
    assert found is not None
    return found.transaction_uid


async def test_a_result_is_taken_whatever_the_roles_and_again_and_once(tmp_path: Path) -> None:
    async with clinical(tmp_path) as at:
        transaction = planned(at, uid("one"), uid("two"))
        failed = reference(uid("two")) + element(REASON, us(0x0112))
        result = element(TRANSACTION, ui(transaction)) + sequence(FAILED, failed)
        result += sequence(REFERENCED, reference(uid("one")))
        assert (await at.event(result, event=2)).status == 0
        assert (await at.event(request(transaction, reference(uid("one")), reference(uid("two"))))).status == 0
        (kept,) = at.commit.kept.list()
        assert (kept.state, kept.failed) == (CommitmentState.FAILED, 1), "the first result stands"
        assert [one.reason for one in at.commit.kept.instances(kept.id)] == [0, 0x0112]


async def test_what_was_not_asked_or_is_no_result_is_refused_with_its_status(tmp_path: Path) -> None:
    async with clinical(tmp_path) as at:
        transaction = planned(at, uid("one"))
        assert (await at.event(GOOD)).status == 0x0115
        assert (await at.event(request(None, reference(uid("one"))))).status == 0x0115
        good = request(transaction, reference(uid("one")))
        assert (await at.event(good, event=3)).status == 0x0113
        assert (await at.event(good, instance="1.2.3")).status == 0x0112
        of_another = planned(at, uid("one"), aet="ANOTHER")
        assert (await at.event(request(of_another, reference(uid("one"))))).status == 0x0115
        assert {one.state for one in at.commit.kept.list()} == {CommitmentState.PLANNED}


async def test_an_instance_that_a_result_does_not_name_is_not_committed(tmp_path: Path) -> None:
    async with clinical(tmp_path) as at:
        transaction = planned(at, uid("one"), uid("two"))
        assert (await at.event(request(transaction, reference(uid("one"))))).status == 0
        (kept,) = at.commit.kept.list()
        assert kept.state is CommitmentState.FAILED
        assert [one.reason for one in at.commit.kept.instances(kept.id)] == [0, None]


async def test_0131_for_a_repetition_of_ours_is_no_news(tmp_path: Path) -> None:
    async with clinical(tmp_path) as at:
        transaction = planned(at, uid("one"))
        number = at.commit.kept.list()[0].id
        at.commit.kept.tried(number)
        at.commit.kept.tried(number)
        twice = element(TRANSACTION, ui(transaction))
        twice += sequence(FAILED, reference(uid("one")) + element(REASON, us(0x0131)))
        assert (await at.event(twice, event=2)).status == 0
        assert (await at.event(request(transaction, reference(uid("one"))))).status == 0
        assert at.commit.kept.list()[0].state is CommitmentState.COMMITTED


# -- instance availability --------------------------------------------------------------------------------------------


def notification(state: str = "ONLINE", *, study: bytes | None = None, instances: bool = True) -> bytes:
    one = element(AET, text("ARCHIVE")) + element(STATE, text(state)) + reference(uid("one"))
    series = sequence(REFERENCED, *([one] if instances else [])) + element(SERIES, ui(uid("series")))
    head = element(STUDY, ui(uid("study")) if study is None else study)
    return sequence(0x00081111) + sequence(SERIES_SEQUENCE, series) + head


async def test_a_notification_is_kept_once_under_its_uid_or_one_made_for_it(tmp_path: Path) -> None:
    async with clinical(tmp_path) as at:
        assert (await at.create(notification(), uid("notice"))).status == 0
        assert (await at.create(notification(), uid("notice"))).status == 0x0111
        made = await at.create(notification())
        assert made.status == 0
        assert made.text(0x1000).startswith("2.25."), "the performer makes the UID (PS3.7 10.1.5.1.4)"
        assert [(one.study, one.state, one.instances) for one in at.notices.list()] == [
            (uid("study"), "received", 1),
            (uid("study"), "received", 1),
        ]


async def test_a_notification_that_lacks_something_is_refused_with_the_element(tmp_path: Path) -> None:
    async with clinical(tmp_path) as at:
        assert (await at.create(None)).status == 0x0120
        assert (await at.create(sequence(SERIES_SEQUENCE))).status == 0x0120
        for dataset, status, tag in (
            (notification(study=b""), 0x0121, STUDY),
            (notification(instances=False), 0x0121, REFERENCED),
            (notification("HERE"), 0x0106, STATE),
            (element(STUDY, ui(uid("study"))), 0x0120, SERIES_SEQUENCE),
        ):
            answer = await at.create(dataset)
            assert (answer.status, offending(answer)) == (status, tag)
        assert (await at.create(notification(), "not/a/uid")).status == 0x0117
        assert at.notices.list() == []


async def test_without_its_right_each_is_0124(tmp_path: Path) -> None:
    async with clinical(tmp_path, peer=dataclasses.replace(PEER, rights=frozenset({"query"}))) as at:
        assert (await at.action(GOOD)).status == 0x0124
        assert (await at.create(notification())).status == 0x0124
        assert at.commit.kept.list() == []
        assert at.notices.list() == []


async def test_two_at_once_with_one_transaction_uid_are_one_request_and_one_0131(tmp_path: Path) -> None:
    async with clinical(tmp_path) as at:
        asked = CommitmentRequest(uid("t"), (Reference(CT, uid("one")),), aet="A")
        run = asyncio.get_running_loop().run_in_executor
        leases = await asyncio.gather(*(run(None, at.commit.accept, asked) for _ in range(6)))
        assert sorted(lease.kind for lease in leases) == ["commitment.check", *["commitment.report"] * 5]
        failed = [one.failed for one in at.commit.kept.list()]
        assert sorted(failed) == [0, 1, 1, 1, 1, 1]
