"""A system that works with workitems, by pynetdicom: SCU of Push, Pull, Watch and Query, and receiver of events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.events import Event

PUSH, WATCH, PULL, EVENT, QUERY = (f"1.2.840.10008.5.1.4.34.6.{number}" for number in range(1, 6))
GLOBAL = "1.2.840.10008.5.1.4.34.5"
FILTERED = "1.2.840.10008.5.1.4.34.5.1"


@dataclass(frozen=True)
class Told:
    """One N-EVENT-REPORT."""

    kind: int
    workitem: str
    values: Dataset
    role_selected: bool

    @property
    def state(self) -> str:
        return str(self.values.get("ProcedureStepState", ""))


@dataclass
class System:
    """Listens on `port` for events and works with the archive on `archive_port`."""

    title: str
    port: int
    archive_port: int
    status: int = 0x0000
    told: list[Told] = field(default_factory=list)
    before_answer: Callable[[Told], None] = lambda told: None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def listening(self, *, roles: bool = True) -> Iterator[System]:
        """With or without a word about roles in the negotiation."""
        ae = AE(self.title)
        if roles:
            ae.add_supported_context(EVENT, scu_role=True, scp_role=True)
        else:
            ae.add_supported_context(EVENT)

        def took(event: Event) -> tuple[int, None]:
            request: Any = event.request
            told = Told(
                event.event_type or 0,
                str(request.AffectedSOPInstanceUID),
                event.event_information,
                bool(event.assoc.requestor.role_selection),
            )
            assert request.AffectedSOPClassUID == PUSH
            with self._changed:
                self.told.append(told)
                self._changed.notify_all()
            self.before_answer(told)
            return self.status, None

        handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, took)]
        server = ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        try:
            yield self
        finally:
            server.shutdown()  # type: ignore[union-attr]

    @contextmanager
    def associated(self, *classes: Any) -> Iterator[Association]:
        ae = AE(self.title)
        for sop_class in classes or (PUSH, PULL, WATCH, QUERY):
            ae.add_requested_context(sop_class)
        assoc = ae.associate("127.0.0.1", self.archive_port, ae_title="VESALIUS")
        assert assoc.is_established
        try:
            yield assoc
        finally:
            assoc.release()

    def create(self, ds: Dataset, uid: str | None) -> tuple[int, str]:
        with self.associated(PUSH) as assoc:
            response, _ = assoc.send_n_create(ds, PUSH, uid)
            return int(response.Status), str(uid)

    def act(self, ds: Dataset, action: int, uid: str, context: Any = PULL) -> int:
        with self.associated(context) as assoc:
            response, _ = assoc.send_n_action(ds, action, PUSH, uid)
            return int(response.Status)

    def change(self, uid: str, state: str, transaction: str) -> int:
        ds = Dataset()
        ds.ProcedureStepState = state
        if transaction:
            ds.TransactionUID = transaction
        return self.act(ds, 1, uid)

    def cancel(self, uid: str, reason: str = "", context: Any = PUSH) -> int:
        ds = Dataset()
        ds.ReasonForCancellation = reason
        return self.act(ds, 2, uid, context)

    def subscribe(self, uid: str, *, lock: bool = False, receiver: str = "", keys: Dataset | None = None) -> int:
        ds = Dataset()
        if keys is not None:
            ds.update(keys)
        ds.ReceivingAE = receiver or self.title
        ds.DeletionLock = "TRUE" if lock else "FALSE"
        return self.act(ds, 3, uid, WATCH)

    def unsubscribe(self, uid: str) -> int:
        return self.act(self._receiver(), 4, uid, WATCH)

    def suspend(self, uid: str) -> int:
        return self.act(self._receiver(), 5, uid, WATCH)

    def _receiver(self) -> Dataset:
        ds = Dataset()
        ds.ReceivingAE = self.title
        return ds

    def set(self, uid: str, ds: Dataset, transaction: str = "") -> int:
        if transaction:
            ds.TransactionUID = transaction
        with self.associated(PULL) as assoc:
            response, _ = assoc.send_n_set(ds, PUSH, uid)
            return int(response.Status)

    def get(self, uid: str, *tags: int, context: Any = PULL) -> tuple[int, Dataset | None]:
        with self.associated(context) as assoc:
            response, ds = assoc.send_n_get([Tag(tag) for tag in tags], PUSH, uid)
            return int(response.Status), ds

    def find(self, ds: Dataset, model: Any = QUERY) -> tuple[list[Dataset], int]:
        with self.associated(model) as assoc:
            found, last = [], -1
            for response, identifier in assoc.send_c_find(ds, model):
                last = int(response.Status)
                if identifier is not None:
                    found.append(identifier)
            return found, last

    def wait(self, uid: str, count: int, seconds: float = 60) -> list[Told]:
        """What was told of a workitem, once it is so much."""
        end = time.monotonic() + seconds

        def mine() -> list[Told]:
            return [one for one in self.told if one.workitem == uid]

        with self._changed:
            while len(mine()) < count:
                left = end - time.monotonic()
                assert left > 0, f"{len(mine())} of {count} reports came: {self.told}"
                self._changed.wait(left)
            return mine()


def config(*systems: tuple[str, int, str], more: str = "") -> str:
    """Peers (title, port, rights), and short waits between two calls."""
    peers = "".join(
        f'[[peers]]\nname = "{title}"\nhost = "127.0.0.1"\nport = {port}\nallow = [{rights}]\n'
        for title, port, rights in systems
    )
    return f"{peers}[workitems]\nretry_first = 0.2\nretry_longest = 0.5\n[server]\ngrace = 2.0\n{more}"
