"""The store of workitems (Unified Procedure Step), their subscribers, and what each of these has yet to be told.

Theory. As in `ports/ris.py`, a verb is a function over a `WorkitemWork`, in one durable transaction: a change of state,
the reports to everybody who is subscribed, the job that delivers them and the event of the workflow's feed are
committed together or not at all. So no change goes untold, and none is told that did not happen. Whatever `get` answers
in a `WorkitemWork` is held until the transaction ends: of two that claim a workitem at once, one sees the other's.

Reports are rows, one a receiver, in the order of the changes. A DICOM receiver has been told when it answered
(`told`); a web socket receiver, when it was sent (`heard`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from vesalius.model.entities import Values
from vesalius.model.orders import By
from vesalius.model.workitem_query import Narrow
from vesalius.model.workitems import GlobalSubscription, Happening, Report, Subscription, Workitem
from vesalius.ports.jobs import Lease

T = TypeVar("T")


class WorkitemView(Protocol):
    """Looking. Raises `IndexUnavailable`."""

    def get(self, uid: str) -> Workitem | None:
        """A workitem, one whose content is gone included; None: it was never here."""
        ...

    def search(self, narrow: Narrow, *, after: int = 0, limit: int = 200) -> list[Workitem]:
        """Workitems that may match, in the order in which they were created, from behind the one numbered `after`."""
        ...

    def subscriptions(self, ref: int) -> list[Subscription]:
        """Who hears of a workitem."""
        ...

    def global_subscriptions(self) -> list[GlobalSubscription]:
        """Who will hear of new ones."""
        ...

    def receivers(self) -> list[str]:
        """The AE titles that have any subscription, in order."""
        ...


class WorkitemWork(WorkitemView, Protocol):
    """Changing, inside one transaction."""

    def add(self, item: Workitem) -> Workitem:
        """Keep a new one; answers it with its number. Raises `DuplicateRecord`."""
        ...

    def save(self, item: Workitem) -> None:
        """Keep what became of one."""
        ...

    def subscribe(self, ref: int, subscription: Subscription) -> None:
        """Keep a subscription in place of the one that this AE had of this workitem."""
        ...

    def unsubscribe(self, ref: int, aet: str) -> None:
        """Forget one."""
        ...

    def unsubscribe_all(self, aet: str, origins: Sequence[str]) -> None:
        """Forget all of an AE that came this way (`Subscription.origin`)."""
        ...

    def subscribe_globally(self, subscription: GlobalSubscription) -> None:
        """Keep a global subscription in place of the one of its kind that this AE had."""
        ...

    def suspend(self, aet: str, *, filtered: bool) -> bool:
        """Forget a global subscription; whether there was one."""
        ...

    def tell(self, aet: str, workitem: str, kind: Happening, values: Values) -> None:
        """Put a report to one receiver, and a job that delivers it."""
        ...

    def announce(self, kind: str, by: By, detail: Mapping[str, str]) -> None:
        """Write an event of the workflow's feed."""
        ...


class Workitems(Protocol):
    """The workitems of one archive, shared by all its processes. Thread-safe; everything blocks."""

    def look(self, work: Callable[[WorkitemView], T]) -> T:
        """Run `work`, which only reads."""
        ...

    def change(self, work: Callable[[WorkitemWork], T], now: str) -> T:
        """Run `work` in one durable transaction; it may run twice and must have no other effects."""
        ...

    def untold(self, aet: str, limit: int = 100) -> list[Report]:
        """What a DICOM receiver has yet to be told, oldest first."""
        ...

    def told(self, report: int, how: str) -> None:
        """A report needs no more delivery; `how`: "told", "refused", "expired", "none"."""
        ...

    def all_told(self, lease: Lease, aet: str, now: str) -> bool:
        """Close the job of a receiver unless there is more to tell by now. Raises `LeaseLost`."""
        ...

    def heard_to(self, aet: str) -> int:
        """The last report that a web socket receiver was sent; 0: none yet."""
        ...

    def unheard(self, aet: str, after: int, limit: int = 100) -> list[Report]:
        """What a web socket receiver is to be sent after a report, oldest first."""
        ...

    def heard(self, aet: str, report: int) -> None:
        """A web socket receiver was sent everything up to this report."""
        ...

    def last_report(self) -> int:
        """The number of the newest report; 0 where there is none."""
        ...

    def purge(self, before: str) -> int:
        """Delete the content of workitems that are final since before this time and that nobody locked, and reports
        as old; how many workitems that were."""
        ...
