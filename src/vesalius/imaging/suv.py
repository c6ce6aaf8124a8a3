"""Standardized Uptake Value: what a PET value would be in units of "spread evenly over the whole body".

Theory. SUV = activity concentration (Bq/ml) x size of the body / activity that is in the body (Bq), both at one moment.
A PET image says in Decay Correction (PS3.3 C.8.9.1.1.6) which moment its concentrations are corrected to: START, the
beginning of the scan, so that the injected dose must decay until then; or ADMIN, the injection, so that it must not.
The steps, and the order in which the beginning of the scan is looked for, are those of the vendor-neutral pseudo-code
of QIBA (RSNA, "SUV vendor neutral pseudo-code", the robust version); the tests hold it again, written by itself.

The beginning of the scan is Series Date and Time, unless they lie after the acquisition (a series that was made anew
later): then GE (0009,xx0D) or Siemens (0071,xx22) say it in private elements, or it follows from Frame Reference Time:
that is the distance of the mean count rate of a bed position from the beginning of the scan.

Sizes of the body: weight; lean body mass of Janmahasatian (Clin Pharmacokinet 2005; 44: 1051) or of James (1976, with
128 for men, as IBSI and SUV Type LBMJAMES128 have it); body surface area of Du Bois (1916); ideal body weight of
Sugawara (Radiology 1999; 213: 521). What is needed and missing, zero or implausible is refused with its name: an SUV
that is wrong by a factor looks like one that is right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pydicom.dataset import Dataset

from vesalius.imaging.dataset_values import datetime_of, items, moment, number, private, text, texts
from vesalius.imaging.space import Finding
from vesalius.model.errors import NoVolume


class NoValue(NoVolume):
    """The stored values cannot be turned into what was asked for; the message says which attribute is to blame."""


class SuvKind(StrEnum):
    """What the size of the body is."""

    BODY_WEIGHT = "suvbw"
    LEAN_JANMAHASATIAN = "suvlbm"
    LEAN_JAMES = "suvlbm-james"
    LEAN_JAMES_120 = "suvlbm-james120"
    SURFACE = "suvbsa"
    IDEAL_WEIGHT = "suvibw"


# UCUM units as PS3.16 CID 85 has them, and what people call them.
UNITS: dict[SuvKind, tuple[str, str]] = {
    SuvKind.BODY_WEIGHT: ("g/ml{SUVbw}", "SUVbw"),
    SuvKind.LEAN_JANMAHASATIAN: ("g/ml{SUVlbm(Janma)}", "SUVlbm (Janmahasatian)"),
    SuvKind.LEAN_JAMES: ("g/ml{SUVlbm(James128)}", "SUVlbm (James)"),
    SuvKind.LEAN_JAMES_120: ("g/ml{SUVlbm}", "SUVlbm (James, 120)"),
    SuvKind.SURFACE: ("cm2/ml{SUVbsa}", "SUVbsa"),
    SuvKind.IDEAL_WEIGHT: ("g/ml{SUVibw}", "SUVibw"),
}

# SUV Type (0054,1006), PS3.3 C.8.9.1.1.11; LBM alone is James as it was first written down, with 120 for men
# (PS3.16, 126411); LBMJAMES128 is what James had measured.
SUV_TYPES: dict[str, SuvKind] = {
    "": SuvKind.BODY_WEIGHT,
    "BW": SuvKind.BODY_WEIGHT,
    "LBM": SuvKind.LEAN_JAMES_120,
    "LBMJAMES128": SuvKind.LEAN_JAMES,
    "LBMJANMA": SuvKind.LEAN_JANMAHASATIAN,
    "BSA": SuvKind.SURFACE,
    "IBW": SuvKind.IDEAL_WEIGHT,
}

LEAST_DOSE_BQ = 1e5  # 0.1 MBq: a smaller "dose in Bq" was written in MBq or mCi
HEAVIEST_KG, TALLEST_M = 650.0, 2.8
LONGEST_DECAY = timedelta(days=5)  # between injection and scan; Zr-89 is scanned on day 6 at most by series time
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Suv:
    """SUV = rescaled value x `factor`, and what led to the factor."""

    kind: SuvKind
    factor: float
    unit: str  # UCUM
    label: str
    notes: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Activity:
    """Rescaled value x `scale` = Bq/ml, and the activity in the body at the moment of the image's correction."""

    scale: float
    bq: float
    notes: tuple[Finding, ...]


def suv_of(headers: Sequence[Dataset], kind: SuvKind = SuvKind.BODY_WEIGHT) -> Suv:
    """The factor of a PET series, of which all headers are given. Raises `NoValue`."""
    first = headers[0]
    corrected = {each.upper() for each in texts(first, "CorrectedImage")}
    if text(first, "Modality") != "PT":
        raise NoValue(f"an SUV is a value of PET; the modality is {text(first, 'Modality') or 'not said'}")
    # "DECAY" is what old equipment wrote (the pseudo-code of 2011 has it).
    missing = [
        name for name, found in (("ATTN", "ATTN" in corrected), ("DECY", corrected & {"DECY", "DECAY"})) if not found
    ]
    if missing:
        raise NoValue(
            f"Corrected Image (0028,0051) does not say {' and '.join(missing)}: no SUV without these corrections"
        )
    units = text(first, "Units").upper()
    unit, label = UNITS[kind]
    if units in ("GML", "CM2ML"):
        stored = SuvKind.SURFACE if units == "CM2ML" else SUV_TYPES.get(text(first, "SUVType").upper())
        if stored is None:
            raise NoValue("SUV Type (0054,1006) is none of PS3.3 C.8.9.1.1.11")
        factor = 1.0 if stored is kind else body(first, kind) / body(first, stored)
        return Suv(kind, factor, unit, label)
    if units == "CNTS":
        direct = _philips(first, 0x00)
        if direct is not None:
            ratio = 1.0 if kind is SuvKind.BODY_WEIGHT else body(first, kind) / body(first, SuvKind.BODY_WEIGHT)
            return Suv(kind, direct * ratio, unit, label)
    found = activity(headers)
    return Suv(kind, found.scale * body(first, kind) / found.bq, unit, label, found.notes)


def activity(headers: Sequence[Dataset]) -> Activity:
    """What makes Bq/ml of rescaled values, and the activity they are to be seen against. Raises `NoValue`."""
    first = headers[0]
    units = text(first, "Units").upper()
    scale: float | None = 1.0
    if units == "CNTS":
        scale = _philips(first, 0x09)
        if scale is None:
            raise NoValue("Units are CNTS, and no factor of Philips, (7053,xx00) or (7053,xx09), says what a count is")
    elif units != "BQML":
        raise NoValue(f"Units (0054,1001) are {units or 'not said'}: an SUV needs BQML, CNTS of Philips, GML or CM2ML")
    isotope = next(iter(items(first, "RadiopharmaceuticalInformationSequence")), None)
    if isotope is None:
        raise NoValue("there is no Radiopharmaceutical Information Sequence (0054,0016)")
    dose = _positive(isotope, "RadionuclideTotalDose", "Radionuclide Total Dose (0018,1074)")
    if dose < LEAST_DOSE_BQ:
        raise NoValue("Radionuclide Total Dose (0018,1074) is below 0.1 MBq: it was written in another unit than Bq")
    half_life = _positive(isotope, "RadionuclideHalfLife", "Radionuclide Half Life (0018,1075)")
    correction = text(first, "DecayCorrection").upper()
    if correction == "ADMIN":
        return Activity(scale or 1.0, dose, ())
    if correction != "START":
        raise NoValue(f"Decay Correction (0054,1102) is {correction or 'not said'}: an SUV needs START or ADMIN")
    scan, notes = scan_start(headers, half_life)
    injected, more = injection(first, isotope, scan)
    decayed = dose * math.pow(2.0, -(scan - injected).total_seconds() / half_life)
    return Activity(scale or 1.0, decayed, (*notes, *more))


def body(ds: Dataset, kind: SuvKind) -> float:
    """The size of the body: g, or cm2 for its surface. Raises `NoValue`."""
    weight = _positive(ds, "PatientWeight", "Patient's Weight (0010,1030)")
    if weight > HEAVIEST_KG:
        raise NoValue("Patient's Weight (0010,1030) is beyond what a person weighs in kg")
    if kind is SuvKind.BODY_WEIGHT:
        return weight * 1000
    height = _positive(ds, "PatientSize", "Patient's Size (0010,1020)")
    if height > TALLEST_M:
        raise NoValue("Patient's Size (0010,1020) is beyond what a person measures in m: it was written in cm")
    if kind is SuvKind.SURFACE:
        return 0.007184 * math.pow(weight, 0.425) * math.pow(height * 100, 0.725) * 1e4
    sex = text(ds, "PatientSex").upper()
    if sex not in ("M", "F"):
        raise NoValue("Patient's Sex (0010,0040) is neither M nor F, which the formula of this mass needs")
    if kind is SuvKind.LEAN_JANMAHASATIAN:
        index = weight / height**2
        return 1000 * 9270 * weight / ((6680 + 216 * index) if sex == "M" else (8780 + 244 * index))
    if kind in (SuvKind.LEAN_JAMES, SuvKind.LEAN_JAMES_120):
        of_men = 128 if kind is SuvKind.LEAN_JAMES else 120
        square = (weight / (height * 100)) ** 2
        lean = 1.10 * weight - of_men * square if sex == "M" else 1.07 * weight - 148 * square
        if lean <= 0:
            raise NoValue("the formula of James gives no lean mass for this weight and size", hint="Ask for suvlbm.")
        return 1000 * lean
    over = height * 100 - 152
    ideal = 48.0 + 1.06 * over if sex == "M" else 45.5 + 0.91 * over
    if ideal <= 0:
        raise NoValue("the formula of Sugawara gives no ideal weight for this size")
    return 1000 * ideal


def scan_start(headers: Sequence[Dataset], half_life: float) -> tuple[datetime, tuple[Finding, ...]]:
    """The moment that START means. Raises `NoValue`."""
    first = headers[0]
    series = moment(first, "SeriesDate", "SeriesTime")
    acquired = [each for each in map(_acquired, headers) if each is not None]
    if not acquired:
        raise NoValue(
            "Acquisition Date and Time (0008,0022), (0008,0032) are missing: the beginning of the scan is not known"
        )
    earliest = min(acquired)
    if series is not None and series <= earliest:
        return series, ()
    note = "the series was made after the acquisition (Series Time is later): the beginning of the scan is taken from "
    for name, group, creator, element in (
        ("(0071,xx22) of Siemens", 0x0071, "SIEMENS MED PT", 0x22),
        ("(0009,xx0D) of GE", 0x0009, "GEMS_PETD_01", 0x0D),
    ):
        tag = private(first, group, creator, element)
        told = datetime_of(first, tag) if tag is not None else None
        # De-identification shifts the dates it knows; a private one that was forgotten is of another day.
        if told is not None and abs(told - earliest) < ONE_DAY:
            return told, (Finding("suv-scan-start", note + name),)
    computed = [each for each in (_back_computed(ds, half_life) for ds in headers) if each is not None]
    if computed:
        return min(computed), (Finding("suv-scan-start", note + "Frame Reference Time (0054,1300)"),)
    return earliest, (Finding("suv-scan-start", note + "the earliest Acquisition Time"),)


def _back_computed(ds: Dataset, half_life: float) -> datetime | None:
    """Acquisition time - Frame Reference Time + the moment of the mean count rate within the frame."""
    begun, reference = _acquired(ds), number(ds, "FrameReferenceTime")
    duration = number(ds, "ActualFrameDuration")
    if begun is None or not reference or not duration or reference <= 0 or duration <= 0:
        return None
    constant = math.log(2) / half_life
    during = constant * duration / 1000
    mean_at = math.log(during / -math.expm1(-during)) / constant
    return begun - timedelta(seconds=reference / 1000) + timedelta(seconds=mean_at)


def injection(ds: Dataset, isotope: Dataset, scan: datetime) -> tuple[datetime, tuple[Finding, ...]]:
    """When the dose was given. Raises `NoValue`."""
    if "TimezoneOffsetFromUTC" in ds and "TimezoneOffsetFromUTC" not in isotope:
        whole = Dataset()
        whole.update(isotope)
        whole.TimezoneOffsetFromUTC = ds.TimezoneOffsetFromUTC
        isotope = whole
    told = datetime_of(isotope, "RadiopharmaceuticalStartDateTime")
    if told is not None and timedelta() <= scan - told <= LONGEST_DECAY:
        return told, ()
    hour = text(isotope, "RadiopharmaceuticalStartTime").replace(":", "")
    if not hour and told is not None:
        raise NoValue("Radiopharmaceutical Start DateTime (0018,1078) does not lie in the days before the scan")
    begun = _of_day(scan, hour)
    if begun is None:
        raise NoValue(
            "Radiopharmaceutical Start Time (0018,1072) is missing: it is not known how long the dose decayed"
        )
    notes: tuple[Finding, ...] = ()
    if told is not None:
        notes = (
            Finding("suv-injection-date", "the date of the injection contradicts the scan's; its time of day was used"),
        )
    if begun > scan:
        # A time of day alone: given before midnight, scanned after it.
        begun -= ONE_DAY
        notes = (
            *notes,
            Finding("suv-midnight", "the injection's time of day is later than the scan's: the day before"),
        )
    return begun, notes


def _of_day(day: datetime, hour: str) -> datetime | None:
    stand_in = Dataset()
    stand_in.SeriesDate, stand_in.SeriesTime = day.strftime("%Y%m%d"), hour
    return moment(stand_in, "SeriesDate", "SeriesTime") if hour else None


def _acquired(ds: Dataset) -> datetime | None:
    return moment(ds, "AcquisitionDate", "AcquisitionTime") or datetime_of(ds, "AcquisitionDateTime")


def _philips(ds: Dataset, element: int) -> float | None:
    tag = private(ds, 0x7053, "Philips PET Private Group", element)
    found = number(ds, tag) if tag is not None else None
    return found if found is not None and found > 0 else None


def _positive(ds: Dataset, keyword: str, name: str) -> float:
    found = number(ds, keyword)
    if found is None or found <= 0:
        raise NoValue(f"{name} is missing or not above zero", hint="Ask for the values in Bq/ml instead.")
    return found
