"""Figures of regions, and measurements that are kept.

    POST /api/roi/statistics           {"series": UID, "unit": ..., "roi": {...}}: mean, sd, extremes, percentiles
    POST /api/measurements             {"series": UID, "measurements": [...], "who": ...}: kept as a TID 1500 report
    GET  /api/measurements/{instance}  a report, read again

Theory. A region is in mm of a series' own space, or of another series' (`space`), from which a registration leads. What
is kept is worked out here from the stored pixels, never taken from a page: the figures of a report are the archive's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from vesalius.model.entities import Level
from vesalius.model.errors import NoSuchInstance, NoVolume
from vesalius.model.identifiers import is_tolerable_uid
from vesalius.web.answers import momentary
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.fusion import BODY, made_by
from vesalius.web.json_body import json_body
from vesalius.web.negotiation import JSON
from vesalius.web.openapi_types import JSON_ERROR, PART_NUMBER, UID_TEXT, WHO_TEXT, Operation, Value
from vesalius.web.spaces import read
from vesalius.web.volume_parameters import ERRORS, WISHES
from vesalius.web.volume_store import ClientLeft, Wanted, stay
from vesalius.web.volumes import LEFT

if TYPE_CHECKING:
    from vesalius.imaging.reports_sr import Measurement
    from vesalius.imaging.rois import Statistics
    from vesalius.imaging.space import Volume
    from vesalius.imaging.transforms import Transform
    from vesalius.imaging.volumes import VolumePlan

LARGEST_REPORT = 64 << 20
MOST_MEASUREMENTS = 200
PERCENTILES = (5.0, 25.0, 50.0, 75.0, 95.0)


class _Roi(msgspec.Struct):
    series: str
    roi: dict[str, Any]
    unit: str = "natural"
    part: int | float | None = None  # 1.0 is an integer, too (JSON Schema)
    space: str = ""  # the series in whose space the region was drawn; "": its own
    percentiles: list[float] = []


class _Measurements(msgspec.Struct):
    series: str
    measurements: list[dict[str, Any]]
    unit: str = "natural"
    part: int | float | None = None  # 1.0 is an integer, too (JSON Schema)
    who: str = ""
    description: str = ""


class Rois:
    """The handlers."""

    def __init__(self, ctx: WebContext) -> None:
        self._ctx = ctx

    async def statistics(self, request: Request) -> Response:
        """`/roi/statistics`."""
        asked = await json_body(request, self._ctx, _Roi, BODY)
        wanted = _wanted(asked.series, asked.unit, asked.part)
        if asked.space and not is_tolerable_uid(asked.space):
            raise Problem(400, "space is no Series Instance UID")
        try:
            volume = await self._ctx.volumes.fetch(self._ctx, request, wanted)

            def figures() -> dict[str, Any]:
                from vesalius.imaging.transforms import IDENTITY

                way: Transform = self._way(volume, asked.space) if asked.space else IDENTITY
                found = self._figures(volume, asked.roi, way, asked.percentiles or list(PERCENTILES))
                return {**told(found), "frame_of_reference": volume.frame_of_reference, "series": asked.series}

            answer = await stay(request, self._ctx.heavy_task(figures))
        except ClientLeft:
            return Response(None, LEFT)
        return momentary(answer)

    def _way(self, volume: Volume, series: str) -> Transform:
        """From points of the volume to points of another series' space."""
        from vesalius.imaging.reference_frames import Place
        from vesalius.imaging.volumes import chosen

        space = chosen(self._ctx.volumes.plans(Wanted(series)), None)
        return self._ctx.spaces.link(Place.of(volume), Place(space.frame_of_reference, series)).transform

    def _figures(self, volume: Volume, roi: Mapping[str, Any], way: Transform, percentiles: list[float]) -> Statistics:
        from vesalius.imaging.rois import region_of, statistics, statistics_of_mask

        if roi.get("type") == "segment":
            mask, transform = self._segment(volume, roi)
            return statistics_of_mask(volume, mask, transform=transform, percentiles=percentiles)
        return statistics(volume, region_of(roi), transform=way, percentiles=percentiles)

    def _segment(self, volume: Volume, roi: Mapping[str, Any]) -> tuple[Volume, Transform]:
        from vesalius.imaging.reference_frames import Place

        series, part = roi.get("series"), roi.get("part", 0)
        if not isinstance(series, str) or not is_tolerable_uid(series) or not isinstance(part, int) or part < 0:
            raise Problem(400, 'a segment is {"type": "segment", "series": UID, "part": 0}')
        self._plan(series, part)
        mask = self._ctx.volumes.get(series, part=part)
        return mask, self._ctx.spaces.link(Place.of(volume), Place.of(mask)).transform

    async def keep(self, request: Request) -> Response:
        """`POST /measurements`."""
        asked = await json_body(request, self._ctx, _Measurements, BODY)
        wanted = _wanted(asked.series, asked.unit, asked.part)
        if not 1 <= len(asked.measurements) <= MOST_MEASUREMENTS:
            raise Problem(400, f"a report has 1 to {MOST_MEASUREMENTS} measurements")
        made = made_by(self._ctx, asked.who, asked.description[:64] or "Measurements")
        try:
            volume = await self._ctx.volumes.fetch(self._ctx, request, wanted)
        except ClientLeft:
            return Response(None, LEFT)

        def write() -> dict[str, Any]:
            from vesalius.imaging.new_instance import keep
            from vesalius.imaging.reports_sr import report

            found = [self._measured(volume, each) for each in asked.measurements]
            headers = [header.dataset for header in self._ctx.volumes.source(asked.series).headers()]
            ds = report(headers, found, made, self._evidence(found))
            keep(ds, self._ctx.ingest, "measurements", self._ctx.view.ae_title)
            return {
                "instance": made.instance,
                "series": made.series,
                "study": str(ds.StudyInstanceUID),
                "measurements": [asdict(each) for each in found],
            }

        answer = await self._ctx.heavy(write)
        return Response(msgspec.json.encode(answer), 201, {}, JSON)

    def _measured(self, volume: Volume, asked: Mapping[str, Any]) -> Measurement:
        from vesalius.imaging import measure, reports_sr
        from vesalius.imaging.rois import region_of
        from vesalius.imaging.transforms import IDENTITY

        label = asked.get("label", "")
        if not isinstance(label, str) or len(label) > 64:
            raise Problem(400, "the label of a measurement is a text of at most 64 characters")
        kind, points = asked.get("type"), asked.get("points", [])
        if kind == "distance":
            return reports_sr.length_of(label or "length", points, measure.distance_mm(points))
        if kind == "angle":
            return reports_sr.angle_of(label or "angle", points, measure.angle_degrees(points))
        figures = self._figures(volume, asked, IDENTITY, list(PERCENTILES))
        if kind != "segment":
            return reports_sr.region_of_interest(label or "region", region_of(asked), figures)
        about = self._plan(str(asked.get("series")), int(asked.get("part", 0))).segment
        return reports_sr.region_of_interest(label or "segment", None, figures, about)

    def _plan(self, series: str, part: int) -> VolumePlan:
        """The segment that is meant. Raises `NoVolume`."""
        from vesalius.imaging.volumes import chosen

        plan = chosen(self._ctx.volumes.plans(Wanted(series)), part)
        if plan.segment is None:
            raise NoVolume(
                "the series of the segment is no segmentation"
                if plan.modality != "SEG"
                else "the segmentation is a label map: its segments are no volumes of their own"
            )
        return plan

    def _evidence(self, found: list[Measurement]) -> list[Any]:
        """The headers of the segmentations that are spoken of."""
        named = {each.segmentation[1] for each in found if each.segmentation is not None}
        held = []
        for uid in sorted(named):
            instance = next(iter(self._ctx.index.select(Level.IMAGE, instances=(uid,))), None)
            if instance is not None:
                source = self._ctx.volumes.source(instance.series)
                held += [header.dataset for header in source.headers() if header.sop_instance == uid]
        return held

    async def report(self, request: Request) -> Response:
        """`GET /measurements/{instance}`."""
        uid = request.path_params["instance"]
        if not is_tolerable_uid(uid):
            raise Problem(400, "the address holds no UID")

        def look() -> dict[str, Any]:
            from vesalius.imaging.reports_sr import measurements_of

            instance = next(iter(self._ctx.index.select(Level.IMAGE, instances=(uid,))), None)
            if instance is None or not instance.sop_class.startswith("1.2.840.10008.5.1.4.1.1.88."):
                raise NoSuchInstance("there is no such report")
            found = measurements_of(read(self._ctx.blobs, instance, LARGEST_REPORT))
            return {"instance": uid, "series": instance.series, "study": instance.study,
                    "measurements": [asdict(each) for each in found]}  # fmt: skip

        answer = await self._ctx.call(look)
        return momentary(answer)


def _wanted(series: str, unit: str, part: float | None) -> Wanted:
    if not is_tolerable_uid(series):
        raise Problem(400, "series is no Series Instance UID")
    if unit not in WISHES:
        raise Problem(400, f"unit is one of {', '.join(WISHES)}")
    if part is not None and (part != int(part) or part < 0):
        raise Problem(400, "part is the number of a volume, from 0")
    return Wanted(series, unit, None if part is None else int(part))


def told(found: Statistics) -> dict[str, Any]:
    """Figures as JSON."""
    return {
        "voxels": found.voxels,
        "unit": found.unit,
        "unit_label": found.label,
        "mean": found.mean,
        "sd": found.sd,
        "minimum": found.minimum,
        "maximum": found.maximum,
        "percentiles": {f"{which:g}": value for which, value in found.percentiles},
        "volume_mm3": found.volume_mm3,
        "area_mm2": found.area_mm2,
        "notes": [{"code": each.code, "message": each.message} for each in found.notes],
    }


def routes(ctx: WebContext) -> list[BaseRoute]:
    """Regions and measurements."""
    rois = Rois(ctx)
    return [
        Route("/roi/statistics", rois.statistics, methods=["POST"]),
        Route("/measurements", rois.keep, methods=["POST"]),
        Route("/measurements/{instance}", rois.report, methods=["GET"]),
    ]


_ROI = {
    "type": "object",
    "required": ["series", "roi"],
    "properties": {
        "series": UID_TEXT,
        "unit": {"type": "string", "enum": list(WISHES)},
        "part": PART_NUMBER,
        "space": {"anyOf": [UID_TEXT, {"const": ""}]},
        "percentiles": {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 100}, "maxItems": 100},
        "roi": {"type": "object", "required": ["type"]},
    },
}
_REPORT = {
    "type": "object",
    "required": ["series", "measurements"],
    "properties": {
        "series": UID_TEXT,
        "unit": {"type": "string", "enum": list(WISHES)},
        "part": PART_NUMBER,
        "measurements": {
            "type": "array",
            "items": {"type": "object", "required": ["type"]},
            "minItems": 1,
            "maxItems": MOST_MEASUREMENTS,
        },
        "who": WHO_TEXT,
        "description": {"type": "string"},
    },
}
_TOLD = {"type": "object", "required": ["instance", "measurements"]}
OPERATIONS = (
    Operation("post", "/roi/statistics", "What the values in a region are", request={JSON: _ROI},
              responses={200: {"type": "object", "required": ["voxels", "unit"]}, 415: JSON_ERROR, **ERRORS}),
    Operation("post", "/measurements", "Measure, and keep it as a structured report", request={JSON: _REPORT},
              responses={201: _TOLD, 415: JSON_ERROR, **ERRORS}),
    Operation(
        "get", "/measurements/{instance}", "The measurements of a report",
        parameters=(Value("instance", "SOP Instance UID", UID_TEXT, "path", True),),
        responses={200: _TOLD, **ERRORS},
    ),
)  # fmt: skip
