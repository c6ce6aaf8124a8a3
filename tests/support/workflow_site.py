"""An archive with its workflow and a DIMSE server in the test's own event loop: a real database, real sockets."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.dimse_site import Site, running_site
from tests.support.ris import RULES, Hospital
from vesalius.backends.database import open_database
from vesalius.backends.ris_sql import SqlRis
from vesalius.dimse import n_mpps, worklist
from vesalius.dimse.client import Association
from vesalius.dimse.server import DimseServer
from vesalius.model.entities import Values
from vesalius.model.query import Options
from vesalius.ris.rules import RisRules
from vesalius.ris.worklist import Worklist


@dataclass
class Workflow:
    """A hospital whose worklist is asked on `port`."""

    site: Site
    port: int
    hospital: Hospital
    changes: list[int]

    @asynccontextmanager
    async def calling(self, aet: str = "CT1", options: Options | None = None) -> AsyncIterator[Association]:
        """An association for worklist and performed steps."""
        peer = dataclasses.replace(self.site.as_peer(), port=self.port)
        proposals = worklist.for_worklist(options) + n_mpps.for_performing()
        async with Association.open(peer, proposals, calling_aet=aet) as assoc:
            yield assoc

    async def ask(self, keys: Values, aet: str = "CT1", options: Options | None = None) -> list[Values]:
        """The answers to one question."""
        async with self.calling(aet, options) as assoc, aclosing(worklist.find(assoc, keys)) as found:
            return [answer async for answer in found]


@asynccontextmanager
async def running_workflow(
    folder: Path, rules: RisRules = RULES, url: str = "", ris: type[SqlRis] = SqlRis, **settings: object
) -> AsyncIterator[Workflow]:
    """A site with stations CT1 and MR1 of one department and US1 of another."""
    database = open_database(url or f"sqlite:///{folder}/workflow.db")
    store = ris(database)
    hospital = Hospital(SqlRis(database), rules)
    hospital.stations()
    changes: list[int] = []
    async with running_site(folder, **settings) as site:
        services = dataclasses.replace(
            site.services,
            worklist=Worklist(store, rules),
            ris=store,
            ris_rules=rules,
            workflow_changed=lambda: changes.append(1),
        )
        server = DimseServer(services)
        _, port = await server.start("127.0.0.1", 0)
        try:
            yield Workflow(site, port, hospital, changes)
        finally:
            await server.stop(0)
    database.close()
