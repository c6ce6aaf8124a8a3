"""The unit of what the Modality LUT gives: Hounsfield units where the standard makes it so, PET units, and others.

Theory. Rescale Type (PS3.3 C.11.1.1.2) names the unit; a CT without one is in Hounsfield units (C.8.2.1.1.2), unless it
is a localizer or a map of a material, which others show as HU all the same. Units (0054,1001) names it for PET.
"""

from __future__ import annotations

from pydicom.dataset import Dataset

from vesalius.imaging.dataset_values import items, number, of_frame, text, texts
from vesalius.imaging.space import Finding
from vesalius.imaging.suv import SUV_TYPES, UNITS, SuvKind

HOUNSFIELD = ("[hnsf'U]", "HU")
# Rescale Type (0028,1054), PS3.3 C.11.1.1.2: UCUM unit and label.
RESCALE_TYPES: dict[str, tuple[str, str]] = {
    "HU": HOUNSFIELD,
    "HU_MOD": ("[hnsf'U]", "HU (modified)"),
    "OD": ("10*-3{OD}", "10^-3 OD"),
    "MGML": ("mg/ml", "mg/ml"),
    "PCT": ("%", "%"),
    "Z_EFF": ("{Z_eff}", "Z eff"),
    "ED": ("10*23/ml", "10^23 electrons/ml"),
    "EDW": ("{EDW}", "electron density / water"),
    "US": ("1", ""),
}
# Units (0054,1001), PS3.3 C.8.9.1.1.3.
PET_UNITS: dict[str, tuple[str, str]] = {
    "BQML": ("Bq/ml", "Bq/ml"),
    "CNTS": ("{counts}", "counts"),
    "CPS": ("{counts}/s", "counts/s"),
    "CM2ML": UNITS[SuvKind.SURFACE],
    "PROPCNTS": ("{propcounts}", "proportional to counts"),
    "PROPCPS": ("{propcounts}/s", "proportional to counts/s"),
    "MLMING": ("ml/min/g", "ml/min/g"),
    "MLG": ("ml/g", "ml/g"),
    "MLML": ("ml/ml", "ml/ml"),
    "PCNT": ("%", "%"),
    "1CM": ("/cm", "1/cm"),
    "UMOLML": ("umol/ml", "umol/ml"),
    "UMOLMLMIN": ("umol/ml/min", "umol/ml/min"),
    "MLMINML": ("ml/min/ml", "ml/min/ml"),
    "MGMINML": ("mg/min/ml", "mg/min/ml"),
    "STDDEV": ("{stddev}", "standard deviations"),
    "NONE": ("1", ""),
}
# Image Type value 4 of multi-energy CT that is no attenuation (PS3.3 C.8.15.2.1.1.4).
_NO_ATTENUATION = frozenset(("MAT_SPECIFIC", "MAT_FRACTIONAL", "MAT_VALUE_BASED", "EFF_ATOMIC_NUM", "ELECTRON_DENSITY"))


def unit_of(ds: Dataset, frame: int, kind: str, *, plain: bool) -> tuple[str, str]:
    """UCUM unit and label by Rescale Type `kind`, "" where nothing says it; `plain`: there is no Modality LUT."""
    modality = text(ds, "Modality")
    if modality == "PT":
        units = text(ds, "Units").upper()
        if units == "GML":
            return UNITS[SUV_TYPES.get(text(ds, "SUVType").upper(), SuvKind.BODY_WEIGHT)]
        return PET_UNITS.get(units, ("", ""))
    if modality == "CT":
        return _ct_unit(ds, frame, kind, plain=plain)
    if kind in RESCALE_TYPES and kind != "US":
        return RESCALE_TYPES[kind]
    if modality == "NM" and not kind:
        return "{counts}", "counts"
    return "", "" if kind in ("", "US") else kind


def _ct_unit(ds: Dataset, frame: int, kind: str, *, plain: bool) -> tuple[str, str]:
    """HU where the standard makes it so (PS3.3 C.8.2.1.1.2, C.8.15.3.10): never of a localizer or a derived map."""
    if _no_hounsfield(ds, frame, kind, plain=plain):
        return ("1", "") if kind in ("", "HU", "US") else RESCALE_TYPES.get(kind, ("1", kind))
    return RESCALE_TYPES.get(kind or "HU", ("1", kind))


def _no_hounsfield(ds: Dataset, frame: int, kind: str, *, plain: bool) -> str:
    """Why the values of a CT are not in Hounsfield units; "" where they are."""
    types = _image_type(ds, frame)
    if len(types) > 2 and types[2] == "LOCALIZER":
        return "the image is a localizer: its values are sums along lines"
    if len(types) > 3 and types[3] in _NO_ATTENUATION and kind in ("", "HU"):
        return f"the image is a map of {types[3]}"
    if plain:
        return "there is no rescale slope and no Modality LUT"
    if kind not in ("", "HU", "HU_MOD"):
        return f"Rescale Type (0028,1054) is {kind}"
    return ""


def hounsfield_notes(ds: Dataset, unit: str) -> tuple[Finding, ...]:
    """Why a CT is not in Hounsfield units, where it is not."""
    if text(ds, "Modality") != "CT" or unit == HOUNSFIELD[0]:
        return ()
    transformation = of_frame(ds, 0, "PixelValueTransformationSequence") or ds
    plain = number(transformation, "RescaleSlope") is None and not items(ds, "ModalityLUTSequence")
    why = _no_hounsfield(ds, 0, text(transformation, "RescaleType").upper(), plain=plain)
    return (Finding("not-hounsfield", f"the values are not in Hounsfield units: {why}"),) if why else ()


def _image_type(ds: Dataset, frame: int) -> tuple[str, ...]:
    own = of_frame(ds, frame, "CTImageFrameTypeSequence")
    found = texts(own, "FrameType") if own is not None else ()
    return tuple(each.upper() for each in found or texts(ds, "ImageType"))
