"""Asking an archive for what it has, as any workstation would: C-FIND at every level, C-GET of a study."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from vesalius.dimse import c_find, c_get
from vesalius.dimse.contexts import for_find, for_get
from vesalius.dimse.operations import Collect, Operation, Sink
from vesalius.model import reading
from vesalius.model.entities import Values
from vesalius.model.query import Root
from vesalius.simulate.lines import Line
from vesalius.standard import statuses
from vesalius.wire.dimse_commands import CommandField

LEVEL, PATIENT_ID, PATIENT_NAME, ACCESSION = 0x00080052, 0x00100020, 0x00100010, 0x00080050
STUDY_UID, SERIES_UID, INSTANCE_UID = 0x0020000D, 0x0020000E, 0x00080018
LARGEST = 64 << 20


@dataclass(slots=True)
class Found:
    """A study as the archive answers it."""

    study: str
    patient_id: str = ""
    name: str = ""
    accession: str = ""
    instances: list[str] = field(default_factory=list)  # SOP Instance UIDs, as often as they were answered


class Archive:
    """Questions to one archive under one AE title."""

    def __init__(self, line: Line, aet: str) -> None:
        self._line = line
        self._aet = aet

    async def _ask(self, level: str, keys: Values) -> list[Values]:
        async with self._line.open(self._aet, for_find()) as assoc:
            found = c_find.find(assoc, {LEVEL: (level,), **keys}, root=Root.STUDY, charsets=("ISO_IR 192",))
            return [answer async for answer in found]

    async def studies(self, **keys: str) -> list[Found]:
        """Studies; `patient_id` may have wildcards. Raises one of `AWAY`, `OperationFailed`."""
        asked: Values = {
            STUDY_UID: (), PATIENT_ID: (keys["patient_id"],) if keys.get("patient_id") else (),
            PATIENT_NAME: (), ACCESSION: (),
        }  # fmt: skip
        if keys.get("study"):
            asked[STUDY_UID] = (keys["study"],)
        return [
            Found(
                reading.text(one, STUDY_UID), reading.text(one, PATIENT_ID).strip(),
                reading.text(one, PATIENT_NAME).strip(), reading.text(one, ACCESSION).strip(),
            )
            for one in await self._ask("STUDY", asked)
        ]  # fmt: skip

    async def fill(self, found: Found) -> None:
        """Every instance of a study, series by series: an archive need not answer across levels."""
        series = await self._ask("SERIES", {STUDY_UID: (found.study,), SERIES_UID: ()})
        for uid in (reading.text(one, SERIES_UID) for one in series):
            images = await self._ask("IMAGE", {STUDY_UID: (found.study,), SERIES_UID: (uid,), INSTANCE_UID: ()})
            found.instances += [reading.text(one, INSTANCE_UID) for one in images]

    async def fetch(self, study: str, classes: set[str], check: Callable[[str, bytes], None]) -> int:
        """C-GET of a study; `check` gets each SOP Instance UID with its data set. How many came.

        Raises `ClassNotSupported` where the archive offers no C-GET, and as `studies`.
        """
        taking = _Taking(check)
        proposals = for_get(Root.STUDY, sorted(classes), ())
        async with self._line.open(self._aet, proposals, {CommandField.C_STORE_RQ: taking}) as assoc:
            async for _ in c_get.get(assoc, {LEVEL: ("STUDY",), STUDY_UID: (study,)}, root=Root.STUDY):
                continue
        return taking.count


class _Taking:
    """The SCP of the sub-operations: looks at each data set, and keeps none."""

    def __init__(self, check: Callable[[str, bytes], None]) -> None:
        self._check = check
        self.count = 0

    def __call__(self, operation: Operation) -> Sink | None:
        def then(dataset: bytes | None) -> None:
            if dataset is not None:
                self.count += 1
                self._check(operation.command.affected_instance, dataset)
            operation.respond(statuses.SUCCESS)

        return Collect(LARGEST, then)


def digest(data: bytes) -> str:
    """SHA-256."""
    return hashlib.sha256(data).hexdigest()
