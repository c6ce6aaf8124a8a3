"""The log of storage commitment: both roles, failures with their reasons, asking and telling once more."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.generate import ct, uid
from tests.support.web import Web, web

from vesalius.archive.commit import ASK, REPORT, Commit
from vesalius.model.commitments import CommitmentRequest, CommitmentResult, CommitmentState, Reference, Role
from vesalius.model.entities import Peer
from vesalius.ports.jobs import State
from vesalius.web.pages.commitments import SHOWN, again
from vesalius.web.routes import create_app

CT_CLASS, MR_CLASS = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
FORM = {"content-type": "application/x-www-form-urlencoded"}
PACS2 = Peer("PACS2", "127.0.0.1", 11999, "PACS2", frozenset({"store"}))


class Promises:
    def __init__(self, made: Web) -> None:
        ctx = dataclasses.replace(made.ctx, peers=lambda: {"PACS2": PACS2})
        self.web = dataclasses.replace(made, ctx=ctx, app=create_app(ctx))
        assert ctx.commit is not None and ctx.jobs is not None
        self.commit: Commit = ctx.commit
        self.jobs = ctx.jobs
        ds = ct("kept", 1, 1)
        made.archive.keep(ds)
        self.kept = Reference(CT_CLASS, str(ds.SOPInstanceUID))

    def asked_of_us(self, *named: Reference, transaction: str = "1.2.3.4") -> int:
        lease = self.commit.accept(CommitmentRequest(transaction, named, aet="CT1", address="127.0.0.1"))
        self.lease = self.commit.check(lease)
        return int(lease.payload["commitment"])


@pytest.fixture
def promises(tmp_path: Path) -> Iterator[Promises]:
    with web(tmp_path) as made:
        yield Promises(made)


def test_failures_come_first_and_have_their_reason_in_words(promises: Promises) -> None:
    number = promises.asked_of_us(
        promises.kept, Reference(CT_CLASS, "1.2.999"), Reference(MR_CLASS, promises.kept.sop_instance)
    )
    page = promises.web.ask(f"/commitments/{number}").text
    assert page.index("is not kept here") < page.index('good">committed')
    assert "is kept under another SOP class" in page and "CT Image Storage" in page and "Asked of us by" in page
    listed = promises.web.ask("/commitments").text
    assert "A peer asks us" in listed and "CT1" in listed and "Result is on its way" in listed
    assert promises.web.ask("/commitments/999").status == 404


def test_a_result_that_was_never_taken_is_told_again(promises: Promises) -> None:
    number = promises.asked_of_us(promises.kept)
    assert promises.web.ask(f"/commitments/{number}/again", "POST", FORM).status == 409, "it goes on by itself"
    promises.commit.give_up(promises.lease, CommitmentState.EXPIRED, "nobody answers")
    page = promises.web.ask(f"/commitments/{number}").text
    assert "Given up" in page and "nobody answers" in page and "Tell the result again" in page
    answer = promises.web.ask(f"/commitments/{number}/again", "POST", FORM)
    assert (answer.status, answer.headers["location"]) == (303, f"/commitments/{number}")
    (job,) = promises.jobs.list(kind=REPORT, state=State.OPEN)
    assert job.key == str(number)


def test_a_peer_is_asked_again_for_the_same_instances_under_a_new_transaction(promises: Promises) -> None:
    first = promises.commit.plan(PACS2, [promises.kept], uid("study", "kept"))
    one = promises.commit.kept.get(first)
    assert one is not None
    (lease,) = promises.jobs.lease([ASK], "me", 30)
    promises.commit.asked(lease)
    promises.commit.result(
        CommitmentResult(one.transaction_uid, frozenset(), {promises.kept.sop_instance: 0x0110}), "PACS2"
    )
    page = promises.web.ask(f"/commitments/{first}").text
    assert "Not everything committed" in page and "cannot be read as it was received" in page
    answer = promises.web.ask(f"/commitments/{first}/again", "POST", FORM)
    number = int(answer.headers["location"].rpartition("/")[2])
    assert number > first
    fresh = promises.commit.kept.get(number)
    assert fresh is not None and (fresh.state, fresh.role) == (CommitmentState.PLANNED, Role.SCU)
    assert fresh.transaction_uid != one.transaction_uid
    assert [each.sop_instance for each in promises.commit.kept.instances(number)] == [promises.kept.sop_instance]


def test_lists_filter_and_page(promises: Promises) -> None:
    for number in range(53):
        promises.asked_of_us(promises.kept, transaction=f"1.2.3.{number}")
    promises.commit.plan(PACS2, [promises.kept])
    first = promises.web.ask("/commitments").text
    assert first.count("row-link") == 50 and "Older" in first
    assert promises.web.ask("/commitments?before=5").text.count("row-link") == 4
    assert promises.web.ask("/commitments?role=scu").text.count("row-link") == 1
    assert promises.web.ask("/commitments?peer=PACS2&state=planned").text.count("row-link") == 1
    assert "No request fits" in promises.web.ask("/commitments?state=failed").text
    assert promises.web.ask("/commitments?role=odd&state=odd&before=x").status == 200


def test_a_long_request_is_cut_and_says_so(promises: Promises) -> None:
    many = [Reference(CT_CLASS, f"1.2.9.{number}") for number in range(1, SHOWN + 3)]
    number = promises.asked_of_us(*many)
    page = promises.web.ask(f"/commitments/{number}").text
    assert page.count("is not kept here") == SHOWN and "2 more instances" in page


def test_another_origin_cannot_ask_again(promises: Promises) -> None:
    number = promises.asked_of_us(promises.kept)
    promises.commit.give_up(promises.lease, CommitmentState.EXPIRED, "x")
    for path in (f"/commitments/{number}/again", f"/api/commitments/{number}/again"):
        assert promises.web.ask(path, "POST", {**FORM, "origin": "https://evil.example"}).status == 403
    assert promises.jobs.list(kind=REPORT, state=State.OPEN) == []


def test_scripts_list_show_and_ask_again(promises: Promises) -> None:
    number = promises.asked_of_us(promises.kept, Reference(CT_CLASS, "1.2.999"))
    (one,) = promises.web.ask("/api/commitments?role=scp").json()["commitments"]
    assert (one["id"], one["instances"], one["failed"], one["aet"]) == (number, 2, 1, "CT1")
    named = promises.web.ask(f"/api/commitments/{number}").json()["named"]
    assert [(each["reason"], each["meaning"]) for each in named] == [
        (0, "committed"), (0x0112, "no such object instance"),
    ]  # fmt: skip
    assert promises.web.ask(f"/api/commitments/{number}/again", "POST").status == 409
    promises.commit.give_up(promises.lease, CommitmentState.EXPIRED, "x")
    assert promises.web.ask(f"/api/commitments/{number}/again", "POST").json()["id"] == number
    for wrong in ("role=x", "state=x", "limit=0", "before=x"):
        assert promises.web.ask(f"/api/commitments?{wrong}").status == 400
    assert again.__doc__
