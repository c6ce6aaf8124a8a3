"""Performed steps told to a partner (MPPS as SCU): the real service, a scanner and a partner by pynetdicom."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest
from tests.support.dcmtk import free_port
from tests.support.generate import uid
from tests.support.mpps import Partner, Scanner, begun, ended, lost, until
from tests.support.server import Server, listing, running_server, vesalius

BOTH = ["IN PROGRESS", "COMPLETED"]


def config(partner: int, more: str = "") -> str:
    peer = '[[peers]]\nname = "{}"\nhost = "127.0.0.1"\nport = {}\naet = "{}"\n{}\n'
    return (
        peer.format("CT1", 104, "CT1", 'allow = ["worklist"]')
        + peer.format("RIS2", partner, "PARTNER", 'allow = ["worklist"]\nduties = ["forward-mpps"]')
        + f"[commitment]\nretry_first = 0.1\nretry_longest = 0.3\n[server]\ngrace = 2.0\n{more}"
    )


@dataclass
class Site:
    server: Server
    scanner: Scanner
    partner: Partner

    def jobs(self, step: str) -> list[str]:
        """The states of the jobs about a step."""
        return [state for state, _, _ in self.rows(step)]

    def rows(self, step: str) -> list[tuple[str, int, int]]:
        """State, attempts and number of each job about a step."""
        with closing(sqlite3.connect(f"file:{self.server.data}/index.db?mode=ro", uri=True)) as database:
            found = database.execute(
                "SELECT state, attempts, id FROM job WHERE kind = 'mpps.forward' AND key = ?", (f"RIS2 {step}",)
            )
            return list(found)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    port = free_port()
    with running_server(tmp_path_factory.mktemp("forward"), config=config(port), workers=2) as server:
        yield Site(server, Scanner(server.dimse_port), Partner(port))


def test_a_step_is_told_from_beginning_to_end_with_everything_that_was_sent(site: Site) -> None:
    step = uid("step", "told")
    with site.partner.listening() as partner:
        assert site.scanner.begin(step, begun(PatientName="Müller^Jörg", SpecificCharacterSet="ISO_IR 100")) == 0
        until(lambda: partner.of(step) == BOTH[:1])
        late = {"PerformedProcedureStepDescription": "Head", "CommentsOnThePerformedProcedureStep": "Moved"}
        assert site.scanner.set(step, ended(images=("a", "b"), **late)) == 0
        until(lambda: partner.of(step) == BOTH)
        had = partner.steps[step]
    assert str(had.PatientName) == "Müller^Jörg"
    assert had.PerformedStationAETitle == "CT1", "who performs stays who it is"
    assert had.PerformedProcedureStepDescription == "Head"
    assert had.CommentsOnThePerformedProcedureStep == "Moved", "the partner takes only what was created"
    told = [one.ReferencedSOPInstanceUID for one in had.PerformedSeriesSequence[0].ReferencedImageSequence]
    assert told == [uid("told", "a"), uid("told", "b")]
    assert had.PerformedProcedureStepEndTime == "101500"
    until(lambda: set(site.jobs(step)) == {"done"})


def test_a_partner_that_is_away_is_told_when_it_is_back_and_once(site: Site) -> None:
    step = uid("step", "away")
    assert site.scanner.begin(step) == 0
    assert site.scanner.set(step, ended("DISCONTINUED", images=())) == 0
    until(lambda: [state for state, attempts, _ in site.rows(step) if state == "open" and attempts > 1])
    with site.partner.listening() as partner:
        until(lambda: partner.of(step) == ["IN PROGRESS", "DISCONTINUED"])
        until(lambda: set(site.jobs(step)) == {"done"})
        assert partner.of(step) == ["IN PROGRESS", "DISCONTINUED"]


@pytest.mark.parametrize("which", ["create", "set"])
def test_a_lost_answer_changes_nothing_twice(site: Site, which: str) -> None:
    step = uid("step", "lost", which)
    with site.partner.listening() as partner:
        if which == "create":
            partner.instead = lost
        assert site.scanner.begin(step) == 0
        until(lambda: partner.of(step))
        until(lambda: set(site.jobs(step)) == {"done"})
        if which == "set":
            partner.instead = lost
        assert site.scanner.set(step, ended()) == 0
        until(lambda: partner.of(step) == BOTH)
        until(lambda: set(site.jobs(step)) == {"done"})
        assert partner.of(step) == BOTH
        again = 0x0111 if which == "create" else 0x0110
        assert [status for name, status in partner.refused if name == step] == [again], "it was asked again, once"


def test_a_refusal_is_tried_again_and_one_for_good_is_kept_for_a_person(site: Site) -> None:
    step = uid("step", "refused")
    with site.partner.listening() as partner:
        partner.status = 0x0110
        assert site.scanner.begin(step) == 0
        until(lambda: len([1 for name, _ in partner.refused if name == step]) > 1)
        partner.status = 0x0124
        until(lambda: site.jobs(step) == ["failed"])
        partner.status = 0
        ((_, _, number),) = site.rows(step)
        shown = {row["id"]: row for row in listing("jobs", "list", "--state", "failed", data=site.server.data)}
        assert "0124" in str(shown[number])
        vesalius("jobs", "replay", str(number), data=site.server.data)
        until(lambda: partner.of(step) == BOTH[:1])


def test_a_partner_that_forgot_the_step_is_told_anew(site: Site) -> None:
    step = uid("step", "forgot")
    with site.partner.listening() as partner:
        assert site.scanner.begin(step) == 0
        until(lambda: set(site.jobs(step)) == {"done"})
        del partner.steps[step]
        assert site.scanner.set(step, ended()) == 0
        until(lambda: partner.of(step) == ["IN PROGRESS", *BOTH])


def test_who_told_us_of_a_step_is_not_told_of_it(site: Site) -> None:
    step, after = uid("step", "theirs"), uid("step", "after")
    theirs = Scanner(site.server.dimse_port, "PARTNER")
    with site.partner.listening() as partner:
        assert theirs.begin(step, begun(aet="CT9")) == 0
        assert site.scanner.begin(after) == 0
        until(lambda: partner.of(after))
        assert partner.of(step) == []
        assert site.jobs(step) == []
