"""What became of each instance of one STOW-RS request, and how it is said (PS3.18 10.5.3, annex I.2).

Theory. Every instance is in exactly one of three sequences: Referenced SOP Sequence (stored), Failed SOP Sequence
(not stored, with a reason), Other Failures Sequence (not stored, and nobody can say which instance it was). The
reasons are the status codes of C-STORE, so that a sender learns the same whichever way it comes; the HTTP
status follows from the sequences alone: 200 all stored, 202 some, else 409 or what says better what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from xml.sax.saxutils import escape, quoteattr

import msgspec

from vesalius.model import errors
from vesalius.standard import statuses

# PS3.18 table I.2-2 knows this one beside those of C-STORE: the transfer syntax is not supported.
TRANSFER_SYNTAX_NOT_SUPPORTED = 0xC122
CONFLICT_REFUSED = 0xC111
INTERNAL_ERROR = 0xC001

# Failure Reason (0008,1197) by error class, as the DIMSE edge's table has it; a test compares them.
REASON_OF: dict[type[errors.VesaliusError], int] = {
    errors.VesaliusError: INTERNAL_ERROR,
    errors.OutOfResources: statuses.OUT_OF_RESOURCES,
    errors.DataSetMismatch: statuses.DATA_SET_MISMATCH,
    errors.CannotUnderstand: statuses.CANNOT_UNDERSTAND,
    errors.InvalidInstanceUID: statuses.INVALID_SOP_INSTANCE,
    errors.ClassNotSupported: statuses.SOP_CLASS_NOT_SUPPORTED,
    errors.NotAuthorized: statuses.NOT_AUTHORIZED,
    errors.DuplicateRefused: CONFLICT_REFUSED,
    errors.CannotTranscode: TRANSFER_SYNTAX_NOT_SUPPORTED,
}

# (tag, VR, keyword, values); the values of a sequence are items, each a list of these.
Element: TypeAlias = "tuple[str, str, str, Sequence[Any]]"


def reason_for(error: BaseException) -> int:
    """The Failure Reason of an error; anything outside the tree is a fault of ours."""
    for kind in type(error).__mro__:
        found = REASON_OF.get(kind)
        if found is not None:
            return found
    return INTERNAL_ERROR


@dataclass(frozen=True, slots=True)
class Outcome:
    """One instance or part. `error` None: it is stored."""

    sop_class: str = ""
    sop_instance: str = ""
    study: str = ""
    series: str = ""
    error: BaseException | None = None

    @property
    def named(self) -> bool:
        """Whether a failure can say which instance it is about."""
        return bool(self.sop_class and self.sop_instance)


def http_status(outcomes: Sequence[Outcome]) -> int:
    """The status of the whole (PS3.18 table 10.5.3-1)."""
    failures = [outcome.error for outcome in outcomes if outcome.error is not None]
    if not failures:
        return 200
    if len(failures) < len(outcomes):
        return 202
    if all(isinstance(error, errors.LimitExceeded) for error in failures):
        return 413
    if all(isinstance(error, errors.OutOfResources) for error in failures):
        return 503
    return 409


def response_elements(outcomes: Sequence[Outcome], root: str) -> list[Element]:
    """The data set of the answer; `root` is the address of the DICOMweb services."""
    stored = [outcome for outcome in outcomes if outcome.error is None]
    failed = [outcome for outcome in outcomes if outcome.error is not None and outcome.named]
    others = [outcome for outcome in outcomes if outcome.error is not None and not outcome.named]
    studies = {outcome.study for outcome in stored}
    # Of several studies none is the one: the attribute is then empty (type 2).
    address = [f"{root}/studies/{next(iter(studies))}"] if len(studies) == 1 else []
    elements: list[Element] = [("00081190", "UR", "RetrieveURL", address)]
    if failed:
        items = [[*_names(outcome), _reason(outcome)] for outcome in failed]
        elements.append(("00081198", "SQ", "FailedSOPSequence", items))
    if stored:
        items = [
            [
                *_names(outcome),
                (
                    "00081190",
                    "UR",
                    "RetrieveURL",
                    [f"{root}/studies/{outcome.study}/series/{outcome.series}/instances/{outcome.sop_instance}"],
                ),
            ]
            for outcome in stored
        ]
        elements.append(("00081199", "SQ", "ReferencedSOPSequence", items))
    if others:
        elements.append(("0008119A", "SQ", "OtherFailuresSequence", [[_reason(outcome)] for outcome in others]))
    return elements


def _names(outcome: Outcome) -> list[Element]:
    return [
        ("00081150", "UI", "ReferencedSOPClassUID", [outcome.sop_class]),
        ("00081155", "UI", "ReferencedSOPInstanceUID", [outcome.sop_instance]),
    ]


def _reason(outcome: Outcome) -> Element:
    reason = reason_for(outcome.error) if outcome.error is not None else 0
    return ("00081197", "US", "FailureReason", [reason])


def as_json(elements: Sequence[Element]) -> bytes:
    """DICOM JSON (PS3.18 F.2): one data set."""
    return msgspec.json.encode(_json(elements))


def _json(elements: Sequence[Element]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for tag, vr, _, values in elements:
        made[tag] = {"vr": vr}
        if values:
            made[tag]["Value"] = [_json(item) for item in values] if vr == "SQ" else list(values)
    return made


def as_xml(elements: Sequence[Element]) -> bytes:
    """The Native DICOM Model (PS3.19 A.1)."""
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    model = f'<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">{_xml(elements)}'
    return f"{head}{model}</NativeDicomModel>".encode()


def _xml(elements: Sequence[Element]) -> str:
    made = []
    for tag, vr, keyword, values in elements:
        inside = "".join(
            f'<Item number="{number}">{_xml(value)}</Item>'
            if vr == "SQ"
            else f'<Value number="{number}">{escape(str(value))}</Value>'
            for number, value in enumerate(values, 1)
        )
        made.append(f'<DicomAttribute tag="{tag}" vr="{vr}" keyword={quoteattr(keyword)}>{inside}</DicomAttribute>')
    return "".join(made)
