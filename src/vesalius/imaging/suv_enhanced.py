"""SUV of Enhanced PET (PS3.3 A.56) and of PET that was converted to it from classic images (A.70).

Theory. An Enhanced PET says by other attributes what a classic one says: which corrections were made stands in Decay
and Attenuation Corrected, to which moment it is corrected in Decay Correction DateTime (C.8.22.6), the dose is in MBq
and has a date and a time (C.8.22.4), each frame names the agents that it shows (Radiopharmaceutical Usage), and what a
stored value is in Bq/ml is said by its Real World Value Mapping, which every frame has (A.56.4). From there the SUV is
the same: concentration x size of the body / activity in the body at the moment of the correction. What a header does
not say, or says twice and differently, is refused with its name.

A legacy converted PET keeps the classic attributes in two sequences of "unassigned" ones (C.7.6.16.1.3), shared and for
each frame: they are put back where classic images have them, and are read as such, the dose in Bq.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydicom.dataset import Dataset

from vesalius.imaging import real_world
from vesalius.imaging.dataset_values import datetime_of, groups, items, number, of_frame, text
from vesalius.imaging.space import Finding
from vesalius.imaging.suv import LEAST_DOSE_BQ, LONGEST_DECAY, UNITS, NoValue, Suv, SuvKind, body, suv_of

ENHANCED, LEGACY = "1.2.840.10008.5.1.4.1.1.130", "1.2.840.10008.5.1.4.1.1.128.1"
BECQUERELS = "Bq/ml"  # UCUM, PS3.16 CID 84
UNASSIGNED_SHARED = "UnassignedSharedConvertedAttributesSequence"
UNASSIGNED_FRAME = "UnassignedPerFrameConvertedAttributesSequence"
BEFORE = timedelta(hours=1)  # a correction to the injection may be a little before what the injection's clock says


@dataclass(frozen=True, slots=True)
class Uptake:
    """An SUV and, where values become concentrations by a Real World Value Mapping, the unit of that mapping."""

    suv: Suv
    mapped: str = ""


def uptake_of(headers: Sequence[Dataset], kind: SuvKind) -> Uptake:
    """The factor of a PET series of any kind, of which all headers are given. Raises `NoValue`."""
    found = text(headers[0], "SOPClassUID")
    if found == ENHANCED:
        return _enhanced(headers, kind)
    if found == LEGACY:
        return Uptake(suv_of([each for ds in headers for each in _classic(ds)], kind))
    return Uptake(suv_of(headers, kind))


def with_classic_attributes(ds: Dataset) -> Dataset:
    """A legacy converted image with what all its frames have in common put back to the top; others as they are."""
    if text(ds, "SOPClassUID") != LEGACY:
        return ds
    return _merged(ds, (of_frame(ds, 0, UNASSIGNED_FRAME), of_frame(ds, 0, UNASSIGNED_SHARED)))


def _classic(ds: Dataset) -> Iterator[Dataset]:
    """The frames as the images that they were."""
    own, shared = items(ds, "PerFrameFunctionalGroupsSequence"), of_frame(ds, -1, UNASSIGNED_SHARED)
    for frame in range(max(1, len(own))):
        content = of_frame(ds, frame, "FrameContentSequence")
        made = _merged(ds, (of_frame(ds, frame, UNASSIGNED_FRAME), shared))
        if content is not None and "AcquisitionTime" not in made and "FrameAcquisitionDateTime" in content:
            made.AcquisitionDateTime = content.FrameAcquisitionDateTime
        yield made


def _merged(ds: Dataset, more: Sequence[Dataset | None]) -> Dataset:
    made = Dataset()
    for each in (*reversed(more), ds):
        if each is not None:
            made.update(each)
    return made


def _enhanced(headers: Sequence[Dataset], kind: SuvKind) -> Uptake:
    first = headers[0]
    for keyword, name in (
        ("AttenuationCorrected", "Attenuation Corrected (0018,9759)"),
        ("DecayCorrected", "Decay Corrected (0018,9758)"),
    ):
        if any(text(ds, keyword).upper() != "YES" for ds in headers):
            raise NoValue(f"{name} is not YES: no SUV without this correction")
    unit, label = UNITS[kind]
    units = {each.unit for each in real_world.mappings_of_frame(first, 0)}
    if BECQUERELS not in units:
        return Uptake(_stored(first, kind, units), _stored_unit(units))
    bq, notes = _activity(headers)
    return Uptake(Suv(kind, body(first, kind) / bq, unit, label, notes), BECQUERELS)


def _stored_unit(units: set[str]) -> str:
    return next((unit for unit, _ in UNITS.values() if unit in units), "")


def _stored(first: Dataset, kind: SuvKind, units: set[str]) -> Suv:
    """Where the mapping gives an SUV already. Raises `NoValue` where it gives something else."""
    stored = next((each for each, (unit, _) in UNITS.items() if unit in units), None)
    if stored is None:
        said = ", ".join(sorted(units)) or "none"
        raise NoValue(
            f"the Real World Value Mapping of the frames is not to Bq/ml (units: {said}): what a stored value is in "
            "activity is not known"
        )
    unit, label = UNITS[kind]
    return Suv(kind, 1.0 if stored is kind else body(first, kind) / body(first, stored), unit, label)


def _activity(headers: Sequence[Dataset]) -> tuple[float, tuple[Finding, ...]]:
    """Bq in the body at the moment that the images are corrected to. Raises `NoValue`."""
    isotope = _isotope(headers)
    moments = {datetime_of(ds, "DecayCorrectionDateTime") for ds in headers}
    at = moments.pop()
    if at is None or moments:
        raise NoValue(
            "Decay Correction DateTime (0018,9701) is missing or differs between the images of the series: it is not "
            "known to which moment they are corrected"
        )
    dose, notes = _dose(isotope)
    half_life = number(isotope, "RadionuclideHalfLife")
    if half_life is None or half_life <= 0:
        raise NoValue("Radionuclide Half Life (0018,1075) is missing or not above zero")
    passed = at - _injection(headers[0], isotope)
    if not -BEFORE <= passed <= LONGEST_DECAY:
        raise NoValue(
            "Radiopharmaceutical Start DateTime (0018,1078) does not lie in the days before Decay Correction DateTime "
            "(0018,9701)"
        )
    return dose * math.pow(2.0, -passed.total_seconds() / half_life), notes


def _isotope(headers: Sequence[Dataset]) -> Dataset:
    """The one agent that the frames show. Raises `NoValue`."""
    known: dict[float, Dataset] = {}
    for place, each in enumerate(items(headers[0], "RadiopharmaceuticalInformationSequence"), start=1):
        known[number(each, "RadiopharmaceuticalAgentNumber") or place] = each
    if not known:
        raise NoValue("there is no Radiopharmaceutical Information Sequence (0054,0016)")
    used: set[float | None] = set()
    for ds in headers:
        for frame in range(max(1, len(items(ds, "PerFrameFunctionalGroupsSequence")))):
            for group in groups(ds, frame):
                usage = items(group, "RadiopharmaceuticalUsageSequence")
                if usage:
                    used |= {number(each, "RadiopharmaceuticalAgentNumber") for each in usage}
                    break
    if not used and len(known) == 1:
        return next(iter(known.values()))
    if len(used) != 1:
        raise NoValue(
            "the frames show more than one radiopharmaceutical, or do not say which of several: the activity of one "
            "cannot be told from that of another"
        )
    found = known.get(used.pop() or 0)
    if found is None:
        raise NoValue("Radiopharmaceutical Agent Number (0018,9729) of the frames names none that is described")
    return found


def _dose(isotope: Dataset) -> tuple[float, tuple[Finding, ...]]:
    """The injected activity in Bq: written in MBq (PS3.3 C.8.22.4), or in Bq by who kept the habit of classic PET."""
    told = number(isotope, "RadionuclideTotalDose")
    if told is None or told <= 0:
        raise NoValue("Radionuclide Total Dose (0018,1074) is missing or not above zero")
    if told >= LEAST_DOSE_BQ:
        note = Finding("suv-dose-unit", "the dose stands in Bq where Enhanced PET has MBq; it was taken as Bq")
        return told, (note,)
    return told * 1e6, ()


def _injection(ds: Dataset, isotope: Dataset) -> datetime:
    whole = Dataset()
    whole.update(isotope)
    if "TimezoneOffsetFromUTC" in ds and "TimezoneOffsetFromUTC" not in whole:
        whole.TimezoneOffsetFromUTC = ds.TimezoneOffsetFromUTC
    found = datetime_of(whole, "RadiopharmaceuticalStartDateTime")
    if found is None:
        raise NoValue(
            "Radiopharmaceutical Start DateTime (0018,1078) is missing: it is not known how long the dose decayed"
        )
    return found


def scaled(mapping: real_world.Mapping, factor: float) -> real_world.Mapping:
    """A mapping whose quantities are so many times larger."""
    return replace(
        mapping,
        slope=None if mapping.slope is None else mapping.slope * factor,
        intercept=None if mapping.intercept is None else mapping.intercept * factor,
        table=None if mapping.table is None else mapping.table * factor,
    )
