"""The parts of a STOW-RS request and the instances that they become (PS3.18 10.5.2).

Theory. A part that holds a file takes off what is not data set and hands the rest to `archive.ingest`; it never
raises, but remembers what refused it, so that the body around it can be read to its end. `Storing` gathers what has
come whole and waits for the group commit; the outcomes are in the order of the parts.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass

import structlog

from vesalius.archive.ingest import Ingest, Reception
from vesalius.archive.part10 import SOP_CLASS, SOP_INSTANCE, Pushed, PushedFile
from vesalius.model.entities import Claim, Provenance, Receipt
from vesalius.model.errors import CannotTranscode, CannotUnderstand, DataSetMismatch, VesaliusError
from vesalius.model.identifiers import is_valid_uid
from vesalius.standard.transfer_syntaxes import TRANSFER_SYNTAXES
from vesalius.web.negotiation import DICOM
from vesalius.web.stow_results import Outcome

log = structlog.get_logger()

# Instances of one request that may wait for their commit; those of small ones wait in memory.
MOST_UNDER_WAY = 64


class UnsupportedPart(CannotUnderstand):
    """A part of a media type that this request does not carry (H3)."""


@dataclass(slots=True)
class _UnderWay:
    """One instance that has come whole, and what will become of it."""

    claim: Claim
    future: Future[Receipt]


class Storing:
    """The instances of one request: handed to the group commit, their outcomes gathered in order."""

    def __init__(self, provenance: Provenance, ingest: Ingest) -> None:
        self._provenance = provenance
        self._ingest = ingest
        self._under_way: deque[_UnderWay] = deque()
        self.outcomes: list[Outcome] = []

    @property
    def any(self) -> bool:
        """Whether anything was handed over or failed so far."""
        return bool(self._under_way or self.outcomes)

    @property
    def full(self) -> bool:
        """Whether the oldest ought to be waited for."""
        return len(self._under_way) >= MOST_UNDER_WAY

    def add(self, claim: Claim, future: Future[Receipt]) -> None:
        """An instance that has come whole."""
        self._under_way.append(_UnderWay(claim, future))

    def fail(self, error: BaseException, claim: Claim | None = None) -> None:
        """A part of which nothing is stored."""
        future: Future[Receipt] = Future()
        future.set_exception(error)
        self.add(claim or Claim("", "", ""), future)

    async def settle(self, leave: int = 0) -> None:
        """Wait for the oldest until only `leave` are under way."""
        if len(self._under_way) > leave:
            self._ingest.hurry()
        while len(self._under_way) > leave:
            item = self._under_way.popleft()
            try:
                receipt = await asyncio.wrap_future(item.future)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                self.outcomes.append(Outcome(item.claim.sop_class, item.claim.sop_instance, error=error))
                if not isinstance(error, VesaliusError):
                    log.error("stow-fault", exc_info=error, association=self._provenance.association)
            else:
                self.outcomes.append(Outcome(item.claim.sop_class, receipt.sop_instance, receipt.study, receipt.series))

    async def done(self) -> list[Outcome]:
        """Every outcome."""
        await self.settle()
        failed = sum(outcome.error is not None for outcome in self.outcomes)
        log.info(
            "stow",
            association=self._provenance.association,
            address=self._provenance.address,
            stored=len(self.outcomes) - failed,
            failed=failed,
        )
        return self.outcomes


def check_claim(claim: Claim) -> None:
    """Refuse what cannot be named or kept. Raises `DataSetMismatch`, `CannotTranscode` (C122)."""
    missing = [tag for tag, uid in ((SOP_CLASS, claim.sop_class), (SOP_INSTANCE, claim.sop_instance)) if not uid]
    if missing:
        raise DataSetMismatch("the data set has no SOP Class or SOP Instance UID", offending=missing)
    syntax = claim.transfer_syntax
    # Any transfer syntax is kept as sent, a private or a future one too; but it must be one (H11).
    of_the_standard = syntax.startswith("1.2.840.10008.") and syntax not in TRANSFER_SYNTAXES
    carrier = syntax.startswith(("1.2.840.10008.1.2.6.", "1.2.840.10008.1.2.7."))
    if not is_valid_uid(syntax) or carrier or (of_the_standard and not syntax.startswith("1.2.840.10008.1.2.")):
        raise CannotTranscode("what the file names as its transfer syntax is none that data sets are kept in")


class FilePart:
    """One `application/dicom` part on its way in. Ends with `end` or `abort`."""

    __slots__ = (
        "_claim",
        "_file",
        "_ingest",
        "_provenance",
        "_reception",
        "_refused",
        "_storing",
        "_study",
        "_together",
        "received",
    )

    def __init__(
        self, ingest: Ingest, storing: Storing, provenance: Provenance, study: str, *, together: bool = False
    ) -> None:
        """`together`: other parts follow."""
        self.received = 0  # bytes
        self._ingest = ingest
        self._together = together
        self._storing = storing
        self._provenance = provenance
        self._study = study
        self._file: PushedFile | None = PushedFile()
        self._claim: Claim | None = None
        self._reception: Reception | None = None
        self._refused: BaseException | None = None

    def write(self, data: bytes | memoryview) -> None:
        """The next bytes. Never raises: a refusal is told at the end."""
        self.received += len(data)
        if self._reception is not None:
            self._reception.write(data)
        elif self._file is not None:
            self._open(data)

    def _open(self, data: bytes | memoryview | None) -> None:
        file = self._file
        if file is None:
            return
        try:
            opened = file.finish() if data is None else file.feed(data)
            if opened is not None:
                self._file = None
                self._receive(opened)
        except VesaliusError as error:
            self._file = None
            self._refused = error

    def _receive(self, opened: Pushed) -> None:
        self._claim = opened.claim
        check_claim(opened.claim)
        self._reception = self._ingest.receive(
            opened.claim, self._provenance, study=self._study, together=self._together
        )
        self._reception.write(opened.body)

    def end(self) -> None:
        """The part is whole."""
        if self._file is not None:
            self._open(None)
        if self._reception is not None and self._claim is not None:
            self._storing.add(self._claim, self._reception.finish())
        else:
            self._storing.fail(self._refused or CannotUnderstand("the part is empty"), self._claim)

    def abort(self) -> None:
        """The body broke off within the part: nothing of it stays."""
        if self._reception is not None:
            self._reception.abort()

    def lost(self) -> None:
        """As `abort`, and the answer shall say so."""
        self.abort()
        self._storing.fail(CannotUnderstand("the body broke off within this part"), self._claim)


class OtherPart:
    """A part that this request may not carry."""

    received = 0

    def __init__(self, storing: Storing) -> None:
        self._storing = storing

    def write(self, data: bytes | memoryview) -> None:
        """Nothing is kept of it."""

    def end(self) -> None:
        """It is among the failures."""
        self._storing.fail(UnsupportedPart("the media type of the part is not the one that was announced"))

    def abort(self) -> None:
        """There is nothing to take back."""

    lost = end


def is_dicom(content_type: str) -> bool:
    """Whether a part holds a file; a part that does not say is what the whole was announced to be."""
    return not content_type or content_type.partition(";")[0].strip().lower() == DICOM
