"""Volumes of real series against other people's readers: where voxels lie and what they hold.

Four independent implementations: dcm2niix (C++), dicom2nifti and NiBabel (Python), GDCM through SimpleITK (C++).
Where one of them is known to be wrong or to do something else, the exception says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from tests.support import nifti
from tests.support.data import need_shared_data
from tests.support.nifti import AFFINE_MM, Array, Nifti, in_our_order, same_place
from tests.support.real_series import RealSeries, real_series, unpacked

import vesalius
from vesalius.imaging.space import Volume

SERIES = real_series()
each_series = pytest.mark.parametrize("series", SERIES, ids=str)

# Two of its three files have junk above Bits Stored, which not everybody masks; see the unit tests for those.
JUNK_ABOVE_BITS, WITHOUT_JUNK = "mr-series.siemens-mosaic-12bit-high-bits", "12bitUnsigned.dcm"


def files_of(series: RealSeries) -> Sequence[Path]:
    if series.name.startswith(JUNK_ABOVE_BITS):
        return [file for file in series.files if file.name == WITHOUT_JUNK]
    return series.files


@dataclass
class Ours:
    """A volume of ours, its files in order, and the frames of a single file."""

    volume: Volume
    files: list[Path]
    frames: list[int]
    positions: list[tuple[float, float, float]]
    told: float | None


@contextmanager
def volumes(series: RealSeries, folder: Path) -> Iterator[list[Ours]]:
    """Our volumes of one series, through the public door."""
    folder.mkdir()
    paths: dict[str, Path] = {}
    for number, file in enumerate(files_of(series)):
        (folder / f"{number:05}.dcm").symlink_to(file.resolve())
        paths.setdefault(str(pydicom.dcmread(file, specific_tags=["SOPInstanceUID"]).SOPInstanceUID), file)
    with vesalius.open(folder) as library:
        found = []
        for plan in library.series(series.uid).parts():
            slices = [one for one in plan.layout.slices if one is not None]
            instances = [plan.headers[one.index].sop_instance for one in slices]
            found.append(
                Ours(
                    plan.load(),
                    [paths[each] for each in dict.fromkeys(instances)],
                    [one.frame for one in slices],
                    [one.position for one in slices],
                    slices[0].step,
                )
            )
        yield found


def native(files: Sequence[Path], folder: Path) -> list[Path]:
    """The files with native pixels, decoded by pydicom's plugins: not every dcm2niix reads JPEG-LS."""
    folder.mkdir()
    out = []
    for number, file in enumerate(files):
        ds = pydicom.dcmread(file)
        if ds.file_meta.TransferSyntaxUID.is_compressed:
            ds.decompress()
            file = folder / f"{number:05}.dcm"
            ds.save_as(file)
        out.append(file)
    return out


def difference(ours: Volume, theirs: Nifti, turned: Array) -> float:
    """The largest of any voxel, as a part of the largest value."""
    values = in_our_order(theirs, turned).astype(np.float64)
    return float(np.abs(values - ours.values).max() / max(1.0, np.abs(values).max()))


def check(ours: Volume, theirs: Nifti) -> None:
    """One place, and one value everywhere (NIfTI keeps slope and intercept in single precision)."""
    turned = same_place(ours, theirs)
    assert turned is not None, f"other grids: {theirs.affine.tolist()} {ours.affine_ras.tolist()}"
    assert difference(ours, theirs, turned) <= 2e-7


@each_series
def test_every_voxel_lies_and_is_as_dcm2niix_has_it(series: RealSeries, tmp_path: Path) -> None:
    theirs = nifti.dcm2niix(native(files_of(series), tmp_path / "native"), tmp_path / "theirs")
    with volumes(series, tmp_path / "ours") as found:
        for ours in found:
            affines = nifti.other_steps(ours.volume, ours.positions, ours.told)
            fits = [
                (each, turned)
                for each in theirs
                for affine in affines
                if (turned := same_place(ours.volume, each, affine)) is not None
            ]
            assert fits, f"none of {[each.affine.tolist() for each in theirs]} is {ours.volume.affine_ras.tolist()}"
            assert min(difference(ours.volume, each, turned) for each, turned in fits) <= 2e-7


@each_series
def test_every_voxel_is_bit_for_bit_what_gdcm_reads(series: RealSeries, tmp_path: Path) -> None:
    itk = pytest.importorskip("SimpleITK")
    if series.name.startswith(JUNK_ABOVE_BITS):
        pytest.skip("GDCM does not know mosaics")
    with volumes(series, tmp_path / "ours") as found:
        for ours in found:
            reader = itk.ImageSeriesReader()
            reader.SetFileNames([str(file) for file in ours.files])
            image = itk.ReadImage(str(ours.files[0])) if len(ours.files) == 1 else reader.Execute()
            values = itk.GetArrayFromImage(image)
            if len(ours.files) == 1:
                values = values[ours.frames]  # in our order
            assert np.array_equal(values.astype(ours.volume.values.dtype), ours.volume.values)
            affine = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
            assert np.abs(affine[:, :2] - ours.volume.affine[:3, :2]).max() <= AFFINE_MM
            if len(ours.files) > 1:
                assert np.abs(affine[:, 2] - ours.volume.affine[:3, 2]).max() <= AFFINE_MM
                assert np.abs(np.array(image.GetOrigin()) - ours.volume.grid.origin_mm).max() <= AFFINE_MM


@each_series
def test_every_voxel_lies_and_is_as_dicom2nifti_has_it(series: RealSeries, tmp_path: Path) -> None:
    import dicom2nifti.settings
    from dicom2nifti import convert_dicom

    dicom2nifti.settings.disable_validate_slicecount()
    dicom2nifti.settings.disable_validate_orthogonal()
    with volumes(series, tmp_path / "ours") as found:
        headers = [pydicom.dcmread(file) for file in found[0].files]
        if "LOCALIZER" in headers[0].ImageType or headers[0].SOPClassUID.name.startswith("Enhanced CT"):
            pytest.skip("dicom2nifti refuses localizers, and does not rescale enhanced CT")
        image = convert_dicom.dicom_array_to_nifti(headers, None, reorient_nifti=False)["NII"]
        values = np.asarray(image.dataobj)
        check(found[0].volume, Nifti("dicom2nifti", values if values.ndim == 3 else values[..., 0], image.affine))


@each_series
def test_every_slice_lies_where_nibabel_has_it(series: RealSeries, tmp_path: Path) -> None:
    from nibabel.nicom.dicomwrappers import wrapper_from_data

    with volumes(series, tmp_path / "ours") as found:
        ours = found[0].volume
        wrapped = wrapper_from_data(pydicom.dcmread(found[0].files[0]))
        if len(found[0].files) == 1 and len(set(found[0].frames)) > 1 and not wrapped.is_mosaic:
            pytest.skip("NiBabel wants all dimensions of a multi-frame object at once")
        affine = wrapped.affine[:, [1, 0, 2, 3]]  # theirs counts (row, column, slice)
        assert np.abs(affine[:3, :2] - ours.affine[:3, :2]).max() <= AFFINE_MM
        assert np.abs(affine[:3, 3] - ours.affine[:3, 3]).max() <= AFFINE_MM
        if wrapped.is_mosaic:
            assert np.abs(affine - ours.affine).max() <= AFFINE_MM
            assert np.array_equal(np.asarray(wrapped.get_data()).transpose(2, 0, 1), ours.values)


def test_a_whole_ct_with_a_note_beside_it_is_as_dcm2niix_has_it(tmp_path: Path) -> None:
    need_shared_data()
    (tmp_path / "unpacked").mkdir()
    files = list(unpacked(tmp_path / "unpacked"))
    with vesalius.open(tmp_path / "unpacked") as library:
        (uid,) = library.series_uids()
        volume = library.series(uid).volume()
    assert volume.grid.shape == (28, 512, 512) and volume.unit_label == "HU"
    (theirs,) = nifti.dcm2niix(files, tmp_path / "theirs")
    check(volume, theirs)


def test_the_data_are_here() -> None:
    """The list above is not empty by accident."""
    need_shared_data()
    assert len(SERIES) >= 20
