"""Telling subscribers of workitems: what is decided before anything is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.workitems import LABEL, values

from vesalius.app.errands import Calling, Errands
from vesalius.app.jobs import Again, Closed, Outcome
from vesalius.app.settings_clinical import WorkitemSettings
from vesalius.app.wiring import SystemClock
from vesalius.app.workitems import TellJobs
from vesalius.backends.database import open_database
from vesalius.backends.jobs_sql import SqlJobs
from vesalius.backends.workitems_sql import TELL, SqlWorkitems
from vesalius.dimse.client import Association
from vesalius.dimse.services import DimseSettings
from vesalius.model.entities import Peer
from vesalius.model.errors import PeerUnreachable
from vesalius.model.orders import By
from vesalius.ports.workitems import WorkitemWork
from vesalius.ris import subscriptions, workitems


class Calls(Errands):
    """Whom the archive called; nobody answers."""

    def __init__(self) -> None:
        super().__init__(DimseSettings(ae_title="ARCHIVE"), None)
        self.called: list[str] = []

    async def connect(self, peer: Peer, *arguments: object, **more: object) -> Association:
        self.called.append(peer.aet)
        raise PeerUnreachable("nobody answers")


def tell(folder: Path, rights: Sequence[str]) -> tuple[Outcome, list[str], int]:
    """What becomes of the report to a subscriber with these rights, who is called, and what is left to tell."""
    database, clock, calls = open_database(f"sqlite:///{folder}/index.db"), SystemClock(), Calls()
    kept = SqlWorkitems(database)
    by = By("PLANNER", clock.utc())

    def subscribe(work: WorkitemWork) -> None:
        workitems.create(work, by, "1.1", values(), label=LABEL)
        subscriptions.subscribe(work, by, "1.1", "WATCH", locked=False, keys={})

    kept.change(subscribe, by.at)
    (lease,) = SqlJobs(database, clock).lease([TELL], "test", 60.0)
    peers = {"WATCH": Peer("WATCH", "127.0.0.1", 104, "WATCH", rights=frozenset(rights))}
    with ThreadPoolExecutor(1) as executor:
        jobs = TellJobs(kept, WorkitemSettings(), Calling(lambda: peers, clock, calls, executor))
        outcome = asyncio.run(jobs.tell(lease))
    left = len(kept.untold("WATCH"))
    database.close()
    return outcome, calls.called, left


def test_a_peer_with_the_right_is_called_until_it_answers(tmp_path: Path) -> None:
    assert tell(tmp_path, ["workitems"]) == (Again("nobody answers"), ["WATCH"], 1)


def test_a_peer_whose_right_was_taken_away_is_told_no_more(tmp_path: Path) -> None:
    assert tell(tmp_path, ["store", "query"]) == (Closed(), [], 0)
