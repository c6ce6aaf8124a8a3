"""Advanced blending (PS3.3 A.33.7) of a real PET/CT and its segmentation, beside pydicom's pixels and SciPy's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from scipy.ndimage import map_coordinates
from tests.support.advanced_states import advanced_state, coloured, foreground, item, same, step, table
from tests.support.blending import Floats, Mask, points_of
from tests.support.data import need_shared_data
from tests.support.rendered import path_of, picture_site

CT_WINDOW, PET_WINDOW, HOT = (40.0, 400.0), (6000.0, 12000.0), 3000.0
PLACE = 70  # of the CT image, from below: through the tumour


def height(ds: Dataset) -> float:
    return float(ds.ImagePositionPatient[2])


def grid_places(points: Floats, first: Dataset, spacing: tuple[float, float, float]) -> Floats:
    """Places (i, j, k) among axial voxels, of which `first` holds the first."""
    return np.asarray((points - np.array(first.ImagePositionPatient, float)) / spacing)


def inside(places: Floats, size: tuple[int, int, int]) -> Mask:
    return np.asarray(((places >= -0.5) & (places <= np.array(size) - 0.5)).all(-1))


def activity(points: Floats, images: list[Dataset]) -> tuple[Floats, Mask]:
    """The PET at points, linear between its voxels."""
    step_ = (height(images[-1]) - height(images[0])) / (len(images) - 1)
    rows, columns = (float(each) for each in images[0].PixelSpacing)
    places = grid_places(points, images[0], (columns, rows, step_))
    values = np.stack([ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept) for ds in images])
    found = map_coordinates(values, places[..., ::-1].reshape(-1, 3).T, order=1, mode="nearest")
    return found.reshape(points.shape[:-1]), inside(places, values.shape[::-1])


def segment(points: Floats, ds: Dataset) -> Mask:
    """Where the one segment of a segmentation is, by the nearest voxel."""
    shared = ds.SharedFunctionalGroupsSequence[0]
    rows, columns = (float(each) for each in shared.PixelMeasuresSequence[0].PixelSpacing)
    assert np.allclose(np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float), (1, 0, 0, 0, 1, 0))
    frames = [each.PlanePositionSequence[0] for each in ds.PerFrameFunctionalGroupsSequence]
    order = np.argsort([height(each) for each in frames])
    step_ = height(frames[order[1]]) - height(frames[order[0]])
    places = grid_places(points, frames[order[0]], (columns, rows, step_))
    voxels = ds.pixel_array[order]
    size = voxels.shape[::-1]
    i, j, k = np.moveaxis(np.clip(np.floor(places + 0.5).astype(int), 0, np.array(size) - 1), -1, 0)
    return np.asarray((voxels[k, j, i] > 0) & inside(places, size))


def test_a_tumour_is_hot_and_outlined_where_it_is_in_the_ct(tmp_path: Path) -> None:
    root = need_shared_data() / "pet-ct/acrin-nsclc-fdg-pet-042"
    files = sorted((root / "ct").iterdir(), key=lambda each: height(pydicom.dcmread(each, stop_before_pixels=True)))
    image = pydicom.dcmread(files[PLACE])
    pet = sorted((pydicom.dcmread(each) for each in (root / "pt-ac").iterdir()), key=height)
    paths = {each: pydicom.dcmread(each) for each in (root / "seg").iterdir()}
    drawn, mask = next((path, ds) for path, ds in paths.items() if len(ds.SegmentSequence) == 1)
    said = advanced_state(
        image, "of a tumour", [
            item(1, [image], CT_WINDOW, GeometryForDisplay="TRUE"),
            item(2, pet, PET_WINDOW, colours="hotiron", keep=[("GREATER_OR_EQUAL", [HOT])], whole=True),
            item(3, [mask], colours="winter", keep=[("GREATER_THAN", [0.0])]),
        ], [step("FOREGROUND", [2, 1], 4, 0.5), step("FOREGROUND", [3, 4], None, 0.4)],
    )  # fmt: skip
    points = points_of(image)
    units = image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)
    below = coloured(units, np.ones(units.shape, bool), CT_WINDOW, "")
    values, there = activity(points, pet)
    hot = coloured(values, there & (values >= HOT), PET_WINDOW, "hotiron")
    tumour = segment(points, mask)
    assert tumour.mean() > 0.01 and hot[1].mean() > 0.01
    colour = [table("winter")[f"{each}PaletteColorLookupTableData"].value[255] for each in ("Red", "Green", "Blue")]
    over = np.broadcast_to(np.array(colour, float), below[0].shape), tumour
    theirs = np.rint(foreground(over, foreground(hot, below, 0.5), 0.4)[0]).astype(np.int64)
    with picture_site(tmp_path, [said], [files[PLACE], root / "pt-ac", drawn]) as site:
        assert same(site.get(f"/dicom-web{path_of(said)}/rendered").pixels, theirs)
