"""`vesalius volume`: what volumes series hold, their values, and volumes as files for other tools."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vesalius.cli import options
from vesalius.cli.library import From, library
from vesalius.cli.volume_fuse import fuse

if TYPE_CHECKING:
    from vesalius.app.library import Series
    from vesalius.imaging.space import Volume
    from vesalius.imaging.volumes import VolumePlan

app = typer.Typer(no_args_is_help=True, help="Volumes: values with units in patient space, from images of a series.")


class Format(enum.StrEnum):
    """What a volume is written as."""

    NIFTI = "nifti"
    ZARR = "zarr"


class Irregular(enum.StrEnum):
    """What becomes of an uneven stack."""

    REFUSE = "refuse"
    RESAMPLE = "resample"


class Tilt(enum.StrEnum):
    """What becomes of a tilted stack."""

    CORRECT = "correct"
    KEEP = "keep"


Uids = Annotated[list[str], typer.Argument(metavar="SERIES...", help="Series Instance UIDs.", show_default=False)]
Unit = Annotated[
    str,
    typer.Option(
        metavar="UNIT", help="natural (HU, Bq/ml, Gy, as the images say), stored, suvbw, suvlbm, suvbsa, rwv, ..."
    ),
]
Part = Annotated[
    int | None,
    typer.Option(metavar="N", min=0, help="Which of several volumes, from 0 (default: all).", show_default=False),
]
Uneven = Annotated[Irregular, typer.Option("--irregular", help="Uneven stacks: refuse them, or interpolate slices.")]
Tilted = Annotated[Tilt, typer.Option("--tilt", help="Tilted stacks: straighten them, or keep them sheared.")]


def _wish(unit: str) -> str:
    from vesalius.imaging.values import Wish
    from vesalius.model.errors import SettingsError

    known = [wish.value for wish in Wish]
    if unit not in known:
        raise SettingsError(f"--unit: there is no {unit!r}", hint=f"One of {', '.join(known)}.")
    return unit


def _plans(
    series: Series, unit: str, part: int | None, irregular: Irregular, tilt: Tilt
) -> list[tuple[int, VolumePlan]]:
    """The volumes that are meant, with their numbers; localizers only where they are alone or named."""
    from vesalius.model.errors import NoVolume

    found = list(enumerate(series.parts(_wish(unit), irregular=irregular.value, tilt=tilt.value)))
    if part is not None:
        if part >= len(found):
            raise NoVolume(f"there is no part {part} in series {series.uid}: it has {len(found)}, counted from 0")
        return [found[part]]
    return [(number, plan) for number, plan in found if not plan.localizer] or found


def _row(number: int, plan: VolumePlan) -> dict[str, Any]:
    columns, rows, slices = plan.grid.size
    return {
        "series": plan.source.series,
        "part": number,
        "label": plan.label,
        "modality": plan.modality,
        "size": f"{columns} x {rows} x {slices}",
        "spacing mm": " x ".join(f"{value:.4g}" for value in plan.grid.spacing),
        "unit": plan.unit_label or plan.unit,
        "notes": "; ".join(note.message for note in plan.notes),
    }


def _facts(number: int, plan: VolumePlan) -> dict[str, Any]:
    from vesalius.imaging.volumes import facts

    return {"series": plan.source.series, "study": plan.source.study, "part": number, **facts(plan)}


def info(
    series: Uids,
    unit: Unit = "natural",
    irregular: Uneven = Irregular.REFUSE,
    tilt: Tilted = Tilt.CORRECT,
    place: From = None,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """What volumes series hold: size, spacing, unit, and whatever is odd. Reads headers alone.

    A series with several echoes, b-values, phases or points in time holds a volume of each; localizers are listed
    apart. With --json also the affine from (column, row, slice) to LPS mm.

    Examples:

      vesalius volume info 1.2.840.113619.2.55.3.1

      vesalius volume info 1.2.3.4 --unit suvbw --json

      vesalius volume info 1.2.3.4 --from ./folder-of-dicom

    Ends with 1 if a series is no volume (the reason is told), 4 if one is not known.
    """
    from vesalius.cli import output

    with library(place, data, config) as opened:
        rows = [
            (_facts if json else _row)(number, plan)
            for uid in series
            for number, plan in enumerate(
                opened.series(uid).parts(_wish(unit), irregular=irregular.value, tilt=tilt.value)
            )
        ]
    output.listing(rows, ["series", "part", "label", "modality", "size", "spacing mm", "unit", "notes"], json=json)


def export(
    series: Uids,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder to write to; made if need be.")] = Path(),
    form: Annotated[Format, typer.Option("--format", help="NIfTI-1 (.nii.gz), or OME-Zarr 0.5.")] = Format.NIFTI,
    part: Part = None,
    unit: Unit = "natural",
    irregular: Uneven = Irregular.REFUSE,
    tilt: Tilted = Tilt.CORRECT,
    place: From = None,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """Write volumes as NIfTI-1 (.nii.gz) or OME-Zarr 0.5 (a folder .zarr) for other tools.

    A file is named after its series, with the number of the part where a series holds several. NIfTI is written slice
    by slice, whatever its size. A file that is there already is not touched.

    Examples:

      vesalius volume export 1.2.3.4 --to ./niftis

      vesalius volume export 1.2.3.4 1.2.3.5 --format zarr --to ./stores --unit suvbw

    Ends with 1 if a series is no volume (the reason is told), 4 if one is not known.
    """
    from vesalius.cli import output

    rows = []
    to.mkdir(parents=True, exist_ok=True)
    with library(place, data, config) as opened:
        for uid in series:
            plans = _plans(opened.series(uid), unit, part, irregular, tilt)
            for number, plan in plans:
                name = uid if len(plans) == 1 and part is None else f"{uid}-{number}"
                target = to / f"{name}.{'nii.gz' if form is Format.NIFTI else 'zarr'}"
                _write(plan, target, form)
                rows.append({"file": str(target), "label": plan.label, "unit": plan.unit_label or plan.unit})
    output.listing(rows, ["file", "label", "unit"], json=json)


def _write(plan: VolumePlan, target: Path, form: Format) -> None:
    """One volume, whole or not at all."""
    from vesalius.cli import output
    from vesalius.imaging import nifti_export, ome_zarr
    from vesalius.model.errors import NoVolume

    if target.exists():
        raise NoVolume(f"{target} is there already", hint="Remove it, or name another folder with --to.")
    with output.progress(target.name, plan.grid.shape[0]) as advance:
        if form is Format.ZARR:
            ome_zarr.write(plan.load(), target)
            return
        fresh = target.with_name(f".{target.name}.part")
        try:
            with fresh.open("wb") as stream:
                for piece in nifti_export.gzipped(_counted(nifti_export.pieces(plan), advance)):
                    stream.write(piece)
            fresh.rename(target)
        finally:
            fresh.unlink(missing_ok=True)


def _counted(pieces: Iterator[bytes], advance: Any) -> Iterator[bytes]:
    for number, piece in enumerate(pieces):
        if number:
            advance(1)
        yield piece


def hu(
    series: Uids,
    at: Annotated[
        list[str],
        typer.Option("--at", metavar="X,Y,Z", help="A point in LPS mm; may be repeated.", show_default=False),
    ] = [],  # noqa: B006  (typer copies it)
    part: Part = None,
    unit: Unit = "natural",
    irregular: Uneven = Irregular.REFUSE,
    tilt: Tilted = Tilt.CORRECT,
    place: From = None,
    json: options.Json = False,
    data: options.Data = None,
    config: options.Config = None,
) -> None:
    """The values of volumes: are they HU, what range do they have, what is at a point of the patient.

    Padding is no value and not counted. Points are in mm to the left, to the back and to the head (LPS), as
    Image Position (Patient) is; the value is that of the nearest voxel.

    Examples:

      vesalius volume hu 1.2.3.4

      vesalius volume hu 1.2.3.4 --at=-12.5,80,-340 --at=0,0,0

      vesalius volume hu 1.2.3.5 --unit suvbw --json

    Ends with 1 if a series is no volume (the reason is told), 4 if one is not known.
    """
    from vesalius.cli import output

    points = [_point(text) for text in at]
    rows = []
    with library(place, data, config) as opened:
        for uid in series:
            for number, plan in _plans(opened.series(uid), unit, part, irregular, tilt):
                volume = plan.load()
                row = {"series": uid, "part": number, "label": plan.label, "unit": volume.label, **_statistics(volume)}
                for text, point in zip(at, points, strict=True):
                    row[text] = _value(volume, point)
                row["notes"] = "; ".join(note.message for note in volume.notes)
                rows.append(row)
    output.listing(rows, list(rows[0]) if rows else [], json=json)


def _point(text: str) -> tuple[float, float, float]:
    from vesalius.model.errors import SettingsError

    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(
            f"--at: {text!r} is no point", hint="Three numbers in mm, as in --at=-12.5,80,-340"
        ) from None
    return x, y, z


def _statistics(volume: Volume) -> dict[str, Any]:
    """Of all voxels that hold a value, slice by slice: nothing as large as the volume is made."""
    import numpy as np

    count, total, low, high = 0, 0.0, np.inf, -np.inf
    for place, plane in enumerate(volume.values):
        kept = plane if volume.padding is None else plane[~volume.padding[place]]
        if kept.size:
            count += kept.size
            total += float(kept.sum(dtype=np.float64))
            low, high = min(low, float(kept.min())), max(high, float(kept.max()))
    if not count:
        return {"voxels": 0, "min": None, "mean": None, "max": None}
    return {"voxels": count, "min": low, "mean": round(total / count, 6), "max": high}


def _value(volume: Volume, point: tuple[float, float, float]) -> float | None:
    """The value of the voxel at a point; None outside and where there is none."""
    import numpy as np

    i, j, k = (int(index) for index in np.rint(volume.grid.to_index(point)))
    inside = all(0 <= index < side for index, side in zip((i, j, k), volume.grid.size, strict=True))
    if not inside or (volume.padding is not None and volume.padding[k, j, i]):
        return None
    return float(volume.values[k, j, i])


for _command in (info, export, hu, fuse):
    app.command(_command.__name__, help=options.help_of(_command))(_command)
