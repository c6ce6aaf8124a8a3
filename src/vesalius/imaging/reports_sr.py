"""Measurements as a structured report: written by highdicom in the form of TID 1500, read back to the same figures.

Theory. A measurement is a shape in the patient, the figures that belong to it, and a name and UID by which it is
followed from study to study. Flat shapes (a length, an angle, a contour) are Planar ROI Measurements (TID 1410) with
their coordinates in space (SCOORD3D), spheres are Volumetric ROI Measurements (TID 1411) with the surface of an
ellipsoid, segments with a reference to the segment. Each figure is a NUM with its unit in UCUM and its derivation
(mean, sd, percentile); its double is written beside its decimal string, so that what is read is what was measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from vesalius.imaging.dataset_values import items, number, text
from vesalius.imaging.new_instance import MANUFACTURER, Made
from vesalius.imaging.rois import Contour, Region, Sphere, Statistics
from vesalius.model.errors import NoVolume
from vesalius.model.identifiers import new_uid

Code = tuple[str, str, str]  # value, scheme, meaning

LENGTH: Code = ("410668003", "SCT", "Length")
ANGLE: Code = ("1483009", "SCT", "Angle")
AREA: Code = ("42798000", "SCT", "Area")
VOLUME: Code = ("118565006", "SCT", "Volume")
ATTENUATION: Code = ("112031", "DCM", "Attenuation Coefficient")
SUV: Code = ("126400", "DCM", "Standardized Uptake Value")
VALUE: Code = ("pixel-value", "99VESALIUS", "Pixel value")
VOXELS: Code = ("voxels", "99VESALIUS", "Number of voxels")
DERIVATIONS: dict[str, Code] = {
    "mean": ("373098007", "SCT", "Mean"),
    "sd": ("386136009", "SCT", "Standard Deviation"),
    "minimum": ("255605001", "SCT", "Minimum"),
    "maximum": ("56851009", "SCT", "Maximum"),
    "median": ("373099004", "SCT", "Median"),
}
PROCEDURE: Code = ("363679005", "SCT", "Imaging procedure")


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a measurement."""

    name: str  # "length", "angle", "area", "volume", "voxels", "value"
    derivation: str  # "", "mean", "sd", "minimum", "maximum", "median", "p95" ...
    value: float
    unit: str  # UCUM


@dataclass(frozen=True, slots=True)
class Measurement:
    """A shape and its figures. `points`: POLYLINE of a length or an angle, POLYGON, or the six ends of an ELLIPSOID."""

    label: str
    shape: str  # POLYLINE, POLYGON, ELLIPSOID or SEGMENT
    points: tuple[tuple[float, float, float], ...]
    figures: tuple[Figure, ...]
    tracking: str = field(default_factory=new_uid)
    segmentation: tuple[str, str, int] | None = None  # SOP class, SOP instance, segment number


# -- what is to be written -----------------------------------------------------------------------------


def length_of(label: str, points: Sequence[Sequence[float]], mm: float) -> Measurement:
    """A length."""
    return Measurement(label, "POLYLINE", _points(points), (Figure("length", "", mm, "mm"),))


def angle_of(label: str, points: Sequence[Sequence[float]], degrees: float) -> Measurement:
    """An angle."""
    return Measurement(label, "POLYLINE", _points(points), (Figure("angle", "", degrees, "deg"),))


def region_of_interest(
    label: str, region: Region | None, found: Statistics, segmentation: tuple[str, str, int] | None = None
) -> Measurement:
    """A region with the figures of its values. Raises `NoVolume` where it holds no voxel."""
    figures = figures_of(found)
    if isinstance(region, Sphere):
        x, y, z = region.centre
        r = region.radius_mm
        ends = ((x - r, y, z), (x + r, y, z), (x, y - r, z), (x, y + r, z), (x, y, z - r), (x, y, z + r))
        return Measurement(label, "ELLIPSOID", ends, figures)
    if isinstance(region, Contour):
        return Measurement(label, "POLYGON", region.points, figures)
    return Measurement(label, "SEGMENT", (), figures, segmentation=segmentation)


def figures_of(found: Statistics) -> tuple[Figure, ...]:
    """The figures of a region. Raises `NoVolume` where there are none."""
    if not found.voxels:
        raise NoVolume("the region holds no voxel: there is nothing to be reported")
    told = [("mean", found.mean), ("sd", found.sd), ("minimum", found.minimum), ("maximum", found.maximum)]
    told += [("median" if which == 50 else f"p{which:g}", value) for which, value in found.percentiles]
    figures = [Figure("value", how, value, found.unit) for how, value in told if value is not None]
    figures.append(Figure("voxels", "", float(found.voxels), "{voxels}"))
    figures.append(Figure("volume", "", found.volume_mm3, "mm3"))
    if found.area_mm2 is not None:
        figures.append(Figure("area", "", found.area_mm2, "mm2"))
    return tuple(figures)


def report(
    headers: Sequence[Dataset], measurements: Sequence[Measurement], made: Made, segmentations: Sequence[Dataset] = ()
) -> Dataset:
    """The report, in the study of the images (`headers`: of the series that was measured). Raises `NoVolume`.

    `segmentations`: the headers of those that measurements are about.
    """
    hd = _highdicom()
    frame = text(headers[0], "FrameOfReferenceUID")
    if not frame:
        raise NoVolume("the images have no Frame of Reference UID: a place in space cannot be reported")
    sr = hd.sr
    person = sr.ObserverContext(
        observer_type=sr.CodedConcept("121006", "DCM", "Person"),
        observer_identifying_attributes=sr.PersonObserverIdentifyingAttributes(name=made.who),
    )
    series = text(headers[0], "SeriesInstanceUID")
    groups = [_group(sr, each, frame, series) for each in measurements]
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_person_context=person),
        procedure_reported=sr.CodedConcept(*PROCEDURE),
        imaging_measurements=groups,
    )
    made_of = sr.Comprehensive3DSR(
        evidence=[*headers, *segmentations],
        content=content[0],
        series_number=9001,
        instance_number=1,
        series_instance_uid=made.series,
        sop_instance_uid=made.instance,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description=(made.description or "Measurements")[:64],
    )
    ds: Dataset = made_of
    # Names come as text from any repertoire; ours holds all of them.
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName = str(headers[0].get("PatientName", ""))
    return ds


def _group(sr: Any, told: Measurement, frame: str, series: str) -> Any:
    tracking = sr.TrackingIdentifier(uid=told.tracking, identifier=told.label[:64] or "measurement")
    figures = [_num(sr, each) for each in told.figures]
    if told.shape == "SEGMENT":
        if told.segmentation is None:
            raise NoVolume("a segment is reported with its segmentation")
        sop_class, instance, segment = told.segmentation
        referenced = sr.ReferencedSegment(
            sop_class_uid=sop_class,
            sop_instance_uid=instance,
            segment_number=segment,
            source_series=sr.SourceSeriesForSegmentation(series),
        )
        return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking, referenced_segment=referenced, measurements=figures
        )
    points = np.array(told.points, np.float64)
    if told.shape == "ELLIPSOID":
        surface = sr.VolumeSurface(
            graphic_type=sr.GraphicTypeValues3D.ELLIPSOID,
            graphic_data=points,
            frame_of_reference_uid=frame,
            source_series=sr.SourceSeriesForSegmentation(series),
        )
        return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking, referenced_volume_surface=surface, measurements=figures
        )
    if told.shape == "POLYGON" and told.points[0] != told.points[-1]:
        points = np.vstack((points, points[:1]))  # closed, PS3.3 C.18.9.1.2
    region = sr.ImageRegion3D(
        graphic_type=sr.GraphicTypeValues3D(told.shape), graphic_data=points, frame_of_reference_uid=frame
    )
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking, referenced_region=region, measurements=figures
    )


def _num(sr: Any, figure: Figure) -> Any:
    name = {"length": LENGTH, "angle": ANGLE, "area": AREA, "volume": VOLUME, "voxels": VOXELS}.get(figure.name)
    if name is None:
        name = ATTENUATION if figure.unit == "[hnsf'U]" else SUV if "{SUV" in figure.unit else VALUE
    derivation = None
    if figure.derivation:
        told = DERIVATIONS.get(figure.derivation)
        derivation = sr.CodedConcept(
            *(told or (figure.derivation, "99VESALIUS", f"Percentile {figure.derivation[1:]}"))
        )
    return sr.Measurement(
        name=sr.CodedConcept(*name),
        value=figure.value,
        unit=sr.CodedConcept(figure.unit, "UCUM", figure.unit),
        derivation=derivation,
    )


# -- reading ----------------------------------------------------------------------------------------------

_NAMES = {LENGTH[0]: "length", ANGLE[0]: "angle", AREA[0]: "area", VOLUME[0]: "volume", VOXELS[0]: "voxels"}
_HOW = {code: name for name, (code, _, _) in DERIVATIONS.items()}


def measurements_of(ds: Dataset) -> tuple[Measurement, ...]:
    """The measurements of a TID 1500 report, ours or another's; what is not understood is left out."""
    return tuple(_read_group(each) for each in _walk(ds) if _name(each) == "125007")


def _walk(ds: Dataset) -> Iterator[Dataset]:
    for item in items(ds, "ContentSequence"):
        yield item
        yield from _walk(item)


def _name(item: Dataset) -> str:
    return next((text(each, "CodeValue") for each in items(item, "ConceptNameCodeSequence")), "")


def _code(item: Dataset, sequence: str = "ConceptCodeSequence") -> str:
    return next((text(each, "CodeValue") for each in items(item, sequence)), "")


def _read_group(group: Dataset) -> Measurement:
    label, tracking, shape, segmentation = "", "", "", None
    points: tuple[tuple[float, float, float], ...] = ()
    figures: list[Figure] = []
    for item in items(group, "ContentSequence"):
        kind, name = text(item, "ValueType"), _name(item)
        if name == "112039":
            label = text(item, "TextValue")
        elif name == "112040":
            tracking = text(item, "UID")
        elif kind == "SCOORD3D":
            raw = item.GraphicData
            shape = text(item, "GraphicType")
            points = tuple((float(raw[at]), float(raw[at + 1]), float(raw[at + 2])) for at in range(0, len(raw), 3))
            if shape == "POLYGON" and len(points) > 1 and points[0] == points[-1]:
                points = points[:-1]
        elif kind == "IMAGE" and name == "121191":
            for about in items(item, "ReferencedSOPSequence"):
                shape = "SEGMENT"
                segmentation = (
                    text(about, "ReferencedSOPClassUID"),
                    text(about, "ReferencedSOPInstanceUID"),
                    int(number(about, "ReferencedSegmentNumber") or 0),
                )
        elif kind == "NUM":
            figures += _read_figure(item, name)
    return Measurement(label, shape, points, tuple(figures), tracking, segmentation)


def _read_figure(item: Dataset, name: str) -> Iterator[Figure]:
    how = ""
    for part in items(item, "ContentSequence"):
        if _name(part) == "121401":
            code = _code(part)
            how = _HOW.get(code, code)
    for value in items(item, "MeasuredValueSequence"):
        exact = number(value, "FloatingPointValue")
        found = number(value, "NumericValue") if exact is None else exact
        if found is not None:
            yield Figure(_NAMES.get(name, "value"), how, found, _code(value, "MeasurementUnitsCodeSequence"))


def _points(points: Sequence[Sequence[float]]) -> tuple[tuple[float, float, float], ...]:
    return tuple((float(x), float(y), float(z)) for x, y, z in points)


def _highdicom() -> Any:
    try:
        import highdicom
    except ImportError as error:
        raise NoVolume(
            "highdicom is not installed: measurements cannot be saved", hint="pip install 'vesalius[imaging]'"
        ) from error
    return highdicom
