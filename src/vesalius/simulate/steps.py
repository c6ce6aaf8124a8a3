"""What a scanner tells of an examination by MPPS: the two data sets, from its record."""

from __future__ import annotations

from collections.abc import Callable

from vesalius.model import performed
from vesalius.model.entities import Values
from vesalius.simulate.exams import DISCONTINUED, Exam
from vesalius.simulate.items import step_id
from vesalius.simulate.phantom import Device

# PS3.16 CID 9300.
GIVEN_UP: Values = {0x00080100: ("110513",), 0x00080102: ("DCM",), 0x00080104: ("Discontinued for unspecified reason",)}


def begins(exam: Exam, device: Device) -> Values:
    """N-CREATE: of the worklist item, or of what was typed at the console."""
    scheduled = bool(step_id(exam.item))
    return performed.in_progress(
        exam.item if scheduled else None, number=exam.number, station=device.aet, modality=device.modality,
        start=exam.started, study="" if scheduled else exam.study, patient=exam.item,
    )  # fmt: skip


def ends(exam: Exam, uids: Callable[[], str]) -> Values:
    """N-SET: the outcome, with every image that was made."""
    by_series: dict[str, list[tuple[str, str]]] = {}
    for image in exam.images:
        by_series.setdefault(image.series, []).append((image.sop_class, image.uid))
    if not by_series:  # a step that ends has a series, though nothing may be in it (PS3.4 table F.7.2-1)
        by_series[uids()] = []
    items = [performed.series_item(uid, images, protocol="Phantom") for uid, images in by_series.items()]
    reason = GIVEN_UP if exam.outcome == DISCONTINUED else None
    return performed.finished(exam.outcome, end=exam.ended, series=items, reason=reason)
