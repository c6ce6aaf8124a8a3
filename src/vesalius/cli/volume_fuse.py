"""`vesalius volume fuse`: one series in colour over another, as a picture, in the space that both share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vesalius.cli import options, output
from vesalius.cli.library import From, library

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom.dataset import Dataset

    from vesalius.app.library import Library


def fuse(
    fixed: Annotated[str, typer.Argument(metavar="FIXED", help="Series Instance UID of what is grey below.")],
    moving: Annotated[str, typer.Argument(metavar="MOVING", help="Series Instance UID of what is coloured above.")],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The picture (PNG).")] = Path("fusion.png"),
    plane: Annotated[str, typer.Option(help="axial, coronal or sagittal.")] = "axial",
    position: Annotated[
        float | None,
        typer.Option(metavar="MM", show_default=False, help="Of the plane, LPS mm; by default the middle."),
    ] = None,
    unit: Annotated[str, typer.Option(metavar="UNIT", help="Of the moving series: natural, suvbw, ...")] = "natural",
    colormap: Annotated[str, typer.Option(metavar="NAME", help="hot-iron, pet, hot-metal-blue, ...")] = "hot-iron",
    opacity: Annotated[float, typer.Option(min=0, max=1, help="Of the moving series.")] = 0.5,
    slab: Annotated[float, typer.Option(metavar="MM", min=0, help="Thickness, shown as its highest values.")] = 0.0,
    registration: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", show_default=False, help="A Spatial Registration that links two frames."),
    ] = None,
    place: From = None,
    data: options.Data = None,
    config: options.Config = None,
) -> None:  # fmt: skip
    """One series in colour over another, as a picture.

    Both must have one Frame of Reference UID, or a registration must be given that links them; else it is refused.
    """
    with library(place, data, config) as opened:
        to.write_bytes(_picture(opened, fixed, moving, plane, position, unit, colormap, opacity, slab, registration))
    output.note(f"{to} written")


def _picture(
    opened: Library,
    fixed: str,
    moving: str,
    plane: str,
    position: float | None,
    unit: str,
    colormap: str,
    opacity: float,
    slab: float,
    registration: Sequence[Path] | None,
) -> bytes:
    from vesalius.imaging.fusion import fused, png, usual_window
    from vesalius.imaging.reference_frames import Place, link
    from vesalius.imaging.reformat import Plane, Projection, Slab, main_plane, reformat
    from vesalius.imaging.values import Wish
    from vesalius.model.errors import SettingsError

    if plane not in [each.value for each in Plane]:
        raise SettingsError("--plane is axial, coronal or sagittal")
    if unit not in [each.value for each in Wish]:
        raise SettingsError(f"--unit: there is no {unit!r}", hint=f"One of {', '.join(Wish)}.")
    known = [_read(path) for path in registration or ()]
    below, above = opened.series(fixed).volume(), opened.series(moving).volume(unit)
    way = link(Place.of(below), Place.of(above), known)
    for each in way.notes:
        output.note(each.message)
    grid = main_plane(below.grid, plane, position)
    thick = Slab(slab, Projection.MIP)
    return png(
        fused(
            reformat(below, grid),
            reformat(above, grid, thick, transform=way.transform, frame_of_reference=below.frame_of_reference),
            usual_window(below),
            usual_window(above),
            colormap,
            opacity,
        )
    )


def _read(path: Path) -> Dataset:
    import pydicom

    from vesalius.model.errors import SettingsError

    try:
        return pydicom.dcmread(path)
    except Exception:  # pydicom raises whatever the bytes lead it to
        raise SettingsError(f"--registration: {path} cannot be read as DICOM") from None
