"""The radiology workflow in the service: its rules from the settings, and the relay that reads what arrives."""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog

from vesalius.app.settings import Settings
from vesalius.backends import outbox_sql, ris_sql
from vesalius.backends.database import Database, Transaction
from vesalius.backends.jobs_sql import relay_step
from vesalius.model.entities import Event
from vesalius.model.errors import BadRecord, SettingsError
from vesalius.model.orders import By
from vesalius.model.steps import StepState
from vesalius.ports.clock import Clock
from vesalius.ris import images
from vesalius.ris.accession import check_pattern
from vesalius.ris.rules import RisRules, Scope

log = structlog.get_logger()

RELAY = "ris-images"
OVERDUE_EVERY = 60.0  # seconds


def rules_of(settings: Settings) -> RisRules:
    """The rules of the house. Raises `SettingsError`."""
    ris = settings.ris
    try:
        check_pattern(ris.accession_pattern)
    except BadRecord as error:
        raise SettingsError(f"ris.accession_pattern: {error.message}", hint=error.hint) from None
    return RisRules(
        default_issuer=ris.default_issuer,
        accession=ris.accession_pattern,
        filler_issuer=ris.filler_issuer,
        system=settings.server.ae_title,
        worklist_states=tuple(StepState(state) for state in ris.worklist_states),
        worklist_scope=Scope(ris.worklist_scope),
        worklist_open=ris.worklist_open,
        images_grace=ris.images_grace,
        reconcile=ris.reconcile,
        reconcile_days=ris.reconcile_days,
        follow_merges=ris.follow_merges,
    )


class ImagesRelay:
    """What arrives is counted, tied to its order or put on the list; once a minute what is overdue is told."""

    def __init__(self, database: Database, clock: Clock, rules: RisRules) -> None:
        self._database = database
        self._clock = clock
        self._rules = rules
        self._looked = 0.0

    def step(self) -> int:
        """One batch, in one transaction; how many events there were. Blocks."""
        by = By("VESALIUS", self._clock.utc(), "images arrived")

        def write(tx: Transaction, events: Sequence[Event]) -> None:
            ris_sql.in_transaction(tx, lambda work: images.take_events(work, by, events, self._rules))

        done = relay_step(self._database, RELAY, outbox_sql.after, write)
        if not done and time.monotonic() - self._looked > OVERDUE_EVERY:
            self._looked = time.monotonic()
            self.overdue()
        return done

    def overdue(self) -> int:
        """Alerts for images that did not come; how many. Blocks."""
        by = By("VESALIUS", self._clock.utc(), "images did not arrive")
        found = self._database.transaction(
            lambda tx: ris_sql.in_transaction(tx, lambda work: images.overdue(work, by, self._rules)), durable=True
        )
        if found:
            log.warning("images-missing", steps=found, hint="vesalius ris performed --images missing")
        return found
