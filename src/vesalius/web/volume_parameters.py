"""What a request says about a volume: which of a series, in which unit, and how uneven stacks are treated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

from starlette.requests import Request

from vesalius.model.identifiers import is_tolerable_uid
from vesalius.web.errors import Problem
from vesalius.web.negotiation import number, single
from vesalius.web.openapi_types import JSON_ERROR, PART_NUMBER, UID_TEXT, Schema, Value
from vesalius.web.qido import uid_of
from vesalius.web.render_parameters import number_of
from vesalius.web.volume_store import Wanted

Parameters = Mapping[str, Sequence[str]]
Choice = TypeVar("Choice", bound=str)

# `imaging.values.Wish`, which is not imported before a volume is asked for; a test holds them together.
WISHES = (
    "natural",
    "stored",
    "suvbw",
    "suvlbm",
    "suvlbm-james",
    "suvlbm-james120",
    "suvbsa",
    "suvibw",
    "rwv",
    "precise",
)
IRREGULAR: tuple[Literal["refuse", "resample"], ...] = ("refuse", "resample")
TILT: tuple[Literal["correct", "keep"], ...] = ("correct", "keep")
INTERPOLATIONS = ("linear", "nearest", "bspline", "lanczos")
MOST_MM = 100_000.0


def wanted_of(request: Request, parameters: Parameters, series: str | None = None) -> Wanted:
    """The volume that a request is about. Raises `Problem` (400)."""
    onto = onto_of(parameters)
    return Wanted(
        series=uid_of(request, "series") or "" if series is None else series,
        wish=one_of(parameters, "unit", WISHES),
        part=number(parameters, "part"),
        irregular=one_of(parameters, "irregular", IRREGULAR),
        tilt=one_of(parameters, "tilt", TILT),
        onto=onto,
        interpolation="linear" if onto is None else one_of(parameters, "interpolation", INTERPOLATIONS),
    )


def onto_of(parameters: Parameters) -> str | None:
    """The series whose grid is wanted. Raises `Problem` (400)."""
    uid = single(parameters, "onto")
    if uid is not None and not is_tolerable_uid(uid):
        raise Problem(400, "onto is no UID")
    return uid


def one_of(parameters: Parameters, name: str, choices: Sequence[Choice]) -> Choice:
    """A parameter with a few values, the first by default. Raises `Problem` (400)."""
    text = single(parameters, name)
    if text is None:
        return choices[0]
    found = next((choice for choice in choices if choice == text), None)
    if found is None:
        raise Problem(400, f"{name} is one of {', '.join(choices)}")
    return found


def millimetres(parameters: Parameters, name: str) -> float | None:
    """A parameter in mm. Raises `Problem` (400)."""
    text = single(parameters, name)
    if text is None:
        return None
    value = number_of(text, name)
    if abs(value) > MOST_MM:
        raise Problem(400, f"{name} is farther away than any patient")
    return value


SERIES = Value("series", "Series Instance UID", UID_TEXT, "path", True)
CHOICES = (
    Value("unit", "natural: HU, Bq/ml, Gy, as the images say; or another", {"type": "string", "enum": list(WISHES)}),
    Value("part", "which volume of several, from 0", PART_NUMBER),
    Value(
        "irregular", "of an uneven stack: refuse it or interpolate slices", {"type": "string", "enum": list(IRREGULAR)}
    ),
    Value("tilt", "of a tilted stack: straighten it or keep it sheared", {"type": "string", "enum": list(TILT)}),
    Value("onto", "on the grid of this series: of one frame of reference, or linked by a registration",
          UID_TEXT),
)  # fmt: skip
INTERPOLATION = Value(
    "interpolation", "how values come onto another grid", {"type": "string", "enum": list(INTERPOLATIONS)}
)
ERRORS: dict[int, Schema | None] = {
    400: JSON_ERROR, 404: JSON_ERROR, 406: JSON_ERROR, 413: JSON_ERROR, 422: JSON_ERROR, 500: JSON_ERROR,
    503: JSON_ERROR,
}  # fmt: skip
