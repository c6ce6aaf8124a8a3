"""Instance Availability Notification, both roles (PS3.4 annex R): an N-CREATE tells which instances can be had where.

As SCP a notification is kept as it was told and answered 0000 when it is durable; one told again under its UID is 0111.
As SCU it holds the attributes of Table R.3.2-1 and no others, which the clause forbids: no patient, no procedure.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor

from vesalius.archive.availability import Availability
from vesalius.dimse.association import Association
from vesalius.dimse.contexts import Proposal
from vesalius.dimse.n_commitment import (
    REFERENCED_SOP_CLASS_UID,
    REFERENCED_SOP_INSTANCE_UID,
    REFERENCED_SOP_SEQUENCE,
    RETRIEVE_AE_TITLE,
    NameOf,
)
from vesalius.dimse.n_services import NAnswer, NRefused, NReply, NRequest, n_invoke
from vesalius.model import reading
from vesalius.model.commitments import Notice
from vesalius.model.entities import Values
from vesalius.model.identifiers import is_tolerable_uid, new_uid
from vesalius.standard import statuses
from vesalius.standard.sop_classes import INSTANCE_AVAILABILITY
from vesalius.wire.dimse_requests import n_create_rq

INSTANCE_AVAILABILITY_STATE = 0x00080056
REFERENCED_PERFORMED_STEPS = 0x00081111
REFERENCED_SERIES_SEQUENCE = 0x00081115
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E

# PS3.3 C.4.23.1.1
AVAILABILITIES = ("ONLINE", "NEARLINE", "OFFLINE", "UNAVAILABLE")


class AvailabilityProvider:
    """The SCP."""

    def __init__(self, availability: Availability, executor: Executor, name_of: NameOf) -> None:
        self._availability = availability
        self._executor = executor
        self._name_of = name_of

    async def perform(self, request: NRequest) -> NReply:
        """Keep a notification. Raises `NRefused`, `IndexUnavailable`."""
        if request.dataset is None:
            raise NRefused(statuses.MISSING_ATTRIBUTE, "no attributes", offending=(STUDY_INSTANCE_UID,))
        if request.sop_instance and not is_tolerable_uid(request.sop_instance):
            raise NRefused(statuses.INVALID_SOP_INSTANCE, "the SOP Instance UID is no UID")
        # PS3.7 10.1.5.1.4: without a UID the performer makes one.
        made = request.sop_instance or new_uid()
        content, instances = content_of(request.dataset)
        assoc = request.assoc
        kept = await assoc.loop.run_in_executor(
            self._executor,
            self._availability.receive,
            made,
            assoc.calling_aet,
            self._name_of(assoc),
            content,
            instances,
        )
        if not kept:
            raise NRefused(statuses.DUPLICATE_SOP_INSTANCE, "a notification of this UID is kept already")
        return NReply(sop_instance=made)


def content_of(dataset: Values) -> tuple[dict[str, object], int]:
    """What a notification says, and of how many instances (PS3.4 Table R.3.2-1). Raises `NRefused`."""
    study = _needed(dataset, STUDY_INSTANCE_UID)
    series = []
    count = 0
    for item in _items(dataset, REFERENCED_SERIES_SEQUENCE):
        instances = []
        for one in _items(item, REFERENCED_SOP_SEQUENCE):
            state = _needed(one, INSTANCE_AVAILABILITY_STATE)
            if state not in AVAILABILITIES:
                raise NRefused(
                    statuses.INVALID_ATTRIBUTE_VALUE,
                    "Instance Availability is none of its terms",
                    offending=(INSTANCE_AVAILABILITY_STATE,),
                )
            instances.append(
                {
                    "class": _needed(one, REFERENCED_SOP_CLASS_UID),
                    "instance": _needed(one, REFERENCED_SOP_INSTANCE_UID),
                    "availability": state,
                    "aet": _needed(one, RETRIEVE_AE_TITLE),
                }
            )
        count += len(instances)
        series.append({"series": _needed(item, SERIES_INSTANCE_UID), "instances": instances})
    steps = [
        reading.text(item, REFERENCED_SOP_INSTANCE_UID)
        for item in dataset.get(REFERENCED_PERFORMED_STEPS, ())
        if not isinstance(item, str)
    ]
    content: dict[str, object] = {"study": study, "series": series}
    if any(steps):
        content["performed_steps"] = steps
    return content, count


def _needed(values: Values, tag: int) -> str:
    found = reading.text(values, tag)
    if not found:
        status = statuses.MISSING_ATTRIBUTE_VALUE if tag in values else statuses.MISSING_ATTRIBUTE
        raise NRefused(status, "an attribute of type 1 is missing or empty", offending=(tag,))
    return found


def _items(values: Values, tag: int) -> list[Values]:
    found = [item for item in values.get(tag, ()) if not isinstance(item, str)]
    if not found:
        status = statuses.MISSING_ATTRIBUTE_VALUE if tag in values else statuses.MISSING_ATTRIBUTE
        raise NRefused(status, "a sequence of type 1 is missing or empty", offending=(tag,))
    return found


# -- the invoker ------------------------------------------------------------------------------------------------------


def for_notifying() -> tuple[Proposal, ...]:
    """The context for telling a peer."""
    return (Proposal(INSTANCE_AVAILABILITY),)


async def notify(assoc: Association, notice: Notice) -> NAnswer:
    """N-CREATE of a notification (PS3.4 R.3.2.1). Raises as `n_invoke`."""
    return await n_invoke(
        assoc,
        INSTANCE_AVAILABILITY,
        lambda number: n_create_rq(number, INSTANCE_AVAILABILITY, notice.sop_instance),
        dataset_of(notice.content),
    )


def dataset_of(content: Mapping[str, object]) -> Values:
    """The data set of a notification; the performed step is of type 2, and not known here."""
    series = content.get("series")
    items: list[Values] = []
    for one in series if isinstance(series, list) else ():
        references: tuple[Values, ...] = tuple(
            {
                REFERENCED_SOP_CLASS_UID: (reference["class"],),
                REFERENCED_SOP_INSTANCE_UID: (reference["instance"],),
                INSTANCE_AVAILABILITY_STATE: (reference["availability"],),
                RETRIEVE_AE_TITLE: (reference["aet"],),
            }
            for reference in one["instances"]
        )
        items.append({SERIES_INSTANCE_UID: (one["series"],), REFERENCED_SOP_SEQUENCE: references})
    return {
        REFERENCED_PERFORMED_STEPS: (),
        STUDY_INSTANCE_UID: (str(content.get("study", "")),),
        REFERENCED_SERIES_SEQUENCE: tuple(items),
    }
