"""A modality that asks for storage commitment and is told the result, by pynetdicom: a second implementation."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import generate_uid
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.sop_class import (
    CTImageStorage,
    InstanceAvailabilityNotification,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

TITLE = "PYMOD"


@dataclass
class Result:
    """One N-EVENT-REPORT."""

    event_type: int
    transaction: str
    committed: list[tuple[str, str]]
    failed: dict[str, int]
    on: str  # "new" | "same"
    retrieve_aet: str = ""
    role_selected: bool = False


@dataclass
class Modality:
    """Listens on `port` for results and asks the archive on `archive_port`."""

    port: int
    archive_port: int
    title: str = TITLE
    status: int = 0x0000  # of the answers to results
    results: list[Result] = field(default_factory=list)
    notices: list[Dataset] = field(default_factory=list)
    asked: list[Dataset] = field(default_factory=list)  # N-ACTIONs received: the other way round
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def _took(self, event: Event, on: str) -> int:
        info: Dataset = event.event_information
        result = Result(
            event.event_type,
            str(info.TransactionUID),
            [
                (str(i.ReferencedSOPClassUID), str(i.ReferencedSOPInstanceUID))
                for i in info.get("ReferencedSOPSequence", [])
            ],
            {str(i.ReferencedSOPInstanceUID): int(i.FailureReason) for i in info.get("FailedSOPSequence", [])},
            on,
            str(info.get("RetrieveAETitle", "")),
            bool(event.assoc.requestor.role_selection),
        )
        with self.arrived:
            self.results.append(result)
            self.arrived.notify_all()
        return self.status

    @contextmanager
    def listening(self, *handlers: tuple[Any, Callable[..., Any]], roles: bool = True) -> Iterator[Modality]:
        ae = AE(self.title)
        if roles:
            ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        else:
            ae.add_supported_context(StorageCommitmentPushModel)
        ae.add_supported_context(InstanceAvailabilityNotification)
        ae.add_supported_context(CTImageStorage)

        def noticed(event: Event) -> tuple[int, Dataset]:
            with self.arrived:
                self.notices.append(event.attribute_list)
                self.arrived.notify_all()
            return 0x0000, event.attribute_list

        def acted(event: Event) -> tuple[int, None]:
            with self.arrived:
                self.asked.append(event.action_information)
                self.arrived.notify_all()
            return 0x0000, None

        own: list[tuple[Any, Callable[..., Any]]] = [
            (evt.EVT_N_EVENT_REPORT, lambda event: (self._took(event, "new"), None)),
            (evt.EVT_N_CREATE, noticed),
            (evt.EVT_N_ACTION, acted),
            (evt.EVT_C_STORE, lambda event: 0x0000),
        ]
        overridden = {name for name, _ in handlers}
        server = ae.start_server(
            ("127.0.0.1", self.port),
            block=False,
            evt_handlers=[*handlers, *(one for one in own if one[0] not in overridden)],  # type: ignore[arg-type]
        )
        try:
            yield self
        finally:
            server.shutdown()  # type: ignore[union-attr]

    @contextmanager
    def associated(self, *contexts: Any, **options: Any) -> Iterator[Association]:
        """An association with the archive, on which a result may come, too."""
        ae = AE(self.title)
        ae.requested_contexts = [build_context(StorageCommitmentPushModel), build_context(CTImageStorage), *contexts]
        assoc = ae.associate(
            "127.0.0.1",
            self.archive_port,
            ae_title="VESALIUS",
            evt_handlers=[(evt.EVT_N_EVENT_REPORT, lambda event: (self._took(event, "same"), None))],
            **options,
        )
        assert assoc.is_established
        try:
            yield assoc
        finally:
            assoc.release()

    def ask(
        self, references: Sequence[tuple[str, str]], transaction: str | None = None, assoc: Association | None = None
    ) -> tuple[int, str]:
        """N-ACTION: the status and the Transaction UID."""
        dataset, uid = request(references, transaction)
        if assoc is not None:
            status, _ = assoc.send_n_action(dataset, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
            return int(status.Status), uid
        with self.associated() as opened:
            return self.ask(references, uid, opened)

    def wait(self, transaction: str, seconds: float = 60, count: int = 1) -> list[Result]:
        """The results of a transaction, once there are so many."""

        def mine() -> list[Result]:
            return [one for one in self.results if one.transaction == transaction]

        return self._until(mine, seconds, count)

    def wait_notices(self, count: int = 1, seconds: float = 60) -> list[Dataset]:
        return self._until(lambda: list(self.notices), seconds, count)

    def _until(self, found: Callable[[], list[Any]], seconds: float, count: int) -> list[Any]:
        end = time.monotonic() + seconds
        with self.arrived:
            while len(got := found()) < count:
                left = end - time.monotonic()
                assert left > 0, f"{len(got)} of {count} came in {seconds} s"
                self.arrived.wait(left)
        return got


def request(references: Sequence[tuple[str, str]], transaction: str | None = None) -> tuple[Dataset, str]:
    """The Action Information of a request."""
    dataset = Dataset()
    dataset.TransactionUID = transaction or generate_uid()
    items = []
    for sop_class, sop_instance in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_instance
        items.append(item)
    dataset.ReferencedSOPSequence = DicomSequence(items)
    return dataset, str(dataset.TransactionUID)


def tell(
    port: int, calling: str, transaction: str, committed: Sequence[tuple[str, str]], failed: dict[tuple[str, str], int],
    *, roles: bool = True, event_type: int | None = None,
) -> int:  # fmt: skip
    """N-EVENT-REPORT on a new association, as an archive that was asked tells its result; the status."""
    ae = AE(calling)
    ae.requested_contexts = [build_context(StorageCommitmentPushModel)]
    selection = [build_role(StorageCommitmentPushModel, scu_role=False, scp_role=True)] if roles else []
    assoc = ae.associate("127.0.0.1", port, ae_title="VESALIUS", ext_neg=selection)  # type: ignore[arg-type]
    assert assoc.is_established
    dataset, _ = request(committed, transaction)
    if failed:
        items = []
        for (sop_class, sop_instance), reason in failed.items():
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID, item.FailureReason = (
                sop_class,
                sop_instance,
                reason,
            )
            items.append(item)
        dataset.FailedSOPSequence = DicomSequence(items)
    if not committed:
        del dataset.ReferencedSOPSequence
    try:
        status, _ = assoc.send_n_event_report(
            dataset,
            event_type or (2 if failed else 1),
            StorageCommitmentPushModel,
            StorageCommitmentPushModelInstance,
        )
        return int(status.Status)
    finally:
        assoc.release()
