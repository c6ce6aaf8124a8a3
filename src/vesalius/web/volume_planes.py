"""The plane that a request wants: one of the main ones at a position, or any by a point and two directions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from vesalius.model.errors import NoVolume
from vesalius.web.errors import Problem
from vesalius.web.negotiation import single
from vesalius.web.openapi_types import Value
from vesalius.web.render_parameters import number_of
from vesalius.web.volume_parameters import Parameters, millimetres, one_of

if TYPE_CHECKING:
    from vesalius.imaging.space import Grid

OBLIQUE = "oblique"
PLANES = ("axial", "coronal", "sagittal", OBLIQUE)
_OF_OBLIQUE = ("centre", "right", "down")


def checked(parameters: Parameters) -> None:
    """That each of these parameters says something, before any volume is made for them. Raises `Problem` (400)."""
    one_of(parameters, "plane", PLANES)
    _spacing(parameters)
    for name in _OF_OBLIQUE:
        _triple(parameters, name)


def _fitting(parameters: Parameters) -> str:
    """The plane, of which all is said that it needs and nothing else. Raises `Problem` (400)."""
    plane = one_of(parameters, "plane", PLANES)
    given = [name for name in _OF_OBLIQUE if single(parameters, name) is not None]
    if plane != OBLIQUE and given:
        raise Problem(400, f"{given[0]} belongs to plane=oblique")
    if plane == OBLIQUE:
        if "right" not in given or "down" not in given:
            raise Problem(400, "an oblique plane has two directions: right=x,y,z and down=x,y,z (LPS)")
        if single(parameters, "position") is not None:
            raise Problem(400, "an oblique plane lies at centre=x,y,z, not at a position")
    return plane


def plane_of(parameters: Parameters, of: Grid) -> Grid:
    """The grid of the plane through a volume. Raises `Problem` (400), `NoVolume`."""
    from vesalius.imaging.reformat import main_plane, oblique

    plane, spacing = _fitting(parameters), _spacing(parameters)
    if plane != OBLIQUE:
        return main_plane(of, plane, millimetres(parameters, "position"), spacing)
    low, high = of.bounds()
    centre = _triple(parameters, "centre") or tuple((low + high) / 2)
    if any(not least <= at <= most for least, at, most in zip(low, centre, high, strict=True)):
        raise NoVolume(
            "the centre of the oblique plane does not lie in the volume",
            hint=f"The volume reaches from {_said(low)} to {_said(high)} mm (LPS).",
        )
    return oblique(of, centre, _triple(parameters, "right") or (), _triple(parameters, "down") or (), spacing)


def _said(point: Iterable[float]) -> str:
    return ", ".join(f"{each:.1f}" for each in point)


def _spacing(parameters: Parameters) -> float | None:
    spacing = millimetres(parameters, "spacing")
    if spacing is not None and not 0.05 <= spacing <= 100:
        raise Problem(400, "spacing is from 0.05 to 100 mm")
    return spacing


def _triple(parameters: Parameters, name: str) -> tuple[float, ...] | None:
    text = single(parameters, name)
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 3:
        raise Problem(400, f"{name} is x,y,z (LPS)")
    return tuple(number_of(each, name) for each in parts)


_NUMBER = r"-?[0-9]{1,4}(\.[0-9]{1,6})?"
_TRIPLE: Mapping[str, Any] = {"type": "string", "pattern": f"^{_NUMBER},{_NUMBER},{_NUMBER}$"}
_MM: Mapping[str, Any] = {"type": "number", "minimum": -10_000, "maximum": 10_000}
PLANE = (
    Value("plane", "which main plane, or oblique", {"type": "string", "enum": list(PLANES)}),
    Value("position", "mm along z, y or x (LPS) of a main plane; by default the middle", _MM),
    Value("centre", "a point of an oblique plane, x,y,z in mm (LPS); by default the middle", _TRIPLE),
    Value("right", "the direction to the right in an oblique plane, x,y,z (LPS)", _TRIPLE),
    Value("down", "the direction downwards in an oblique plane, x,y,z (LPS)", _TRIPLE),
    Value("spacing", "mm between pixels", {"type": "number", "minimum": 0.05, "maximum": 100}),
)
