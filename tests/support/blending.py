"""Two machines' images of one patient, for pictures that blend them, and their values by SciPy's hands."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.data import get_palette_files
from pydicom.dataset import Dataset
from pydicom.uid import PositronEmissionTomographyImageStorage
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from tests.support.generate import ct, uid
from tests.support.rendered import Pixels

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

ROWS, COLUMNS, SLICES = 24, 40, 3
WIDE = 14  # columns of the PET, which does not cover all of the CT
# The other machine's patient lies turned and moved (points of the PET = TURN @ point + SHIFT).
TURN, SHIFT = Rotation.from_euler("xyz", (4, -3, 12), degrees=True).as_matrix(), np.array((3.0, -2.0, 5.0))


def wave(points: Floats) -> Floats:
    """What the second machine measures at a place: smooth, so that what lies between its voxels is known."""
    x, y, z = np.moveaxis(points, -1, 0)
    return np.asarray(600 + 500 * np.sin(x / 9.0) * np.cos(y / 8.0) + 6 * z)


def anatomy() -> list[Dataset]:
    """Three oblique CT images, brighter from left to right, with a window of their own that the state does not take."""
    along, down = TURN[0], TURN[1]
    found = []
    for number in range(SLICES):
        place = np.array((-15.0, -10.0, 4.0)) + np.cross(along, down) * 3.0 * number
        ds = ct("blend", 1, number + 1, rows=ROWS, columns=COLUMNS, patient_id="BLEND", WindowCenter="0",
                WindowWidth="2", ImagePositionPatient=[float(each) for each in place],
                ImageOrientationPatient=[float(each) for each in (*along, *down)])  # fmt: skip
        ds.PixelData = np.tile(np.linspace(784, 1304, COLUMNS).astype("<u2"), (ROWS, 1)).tobytes()
        found.append(ds)
    return found


def activity(
    series: str, *, study: str = "blend", patient: str = "BLEND", frame: str | None = None, slices: int = 12
) -> list[Dataset]:
    """Axial PET images, coarser than the CT; `frame`: of the machine where the patient lies turned and moved."""
    found = []
    for number in range(slices):
        ds = ct(study, series, number + 1, rows=20, columns=WIDE, patient_id=patient, Modality="PT",
                SOPClassUID=PositronEmissionTomographyImageStorage, PixelSpacing=[3.0, 2.5], Units="BQML",
                RescaleSlope="0.5", RescaleIntercept="0", RescaleType="", BitsStored=16, HighBit=15,
                ImagePositionPatient=[-25.0, -28.0, -16.0 + 3.5 * number], SliceThickness="3.5")  # fmt: skip
        i, j = np.meshgrid(np.arange(WIDE), np.arange(20))
        points = np.stack((-25 + 2.5 * i, -28 + 3.0 * j, np.full(i.shape, -16 + 3.5 * number)), axis=-1)
        if frame is not None:
            ds.FrameOfReferenceUID = uid("frame", frame)
            points = (points - SHIFT) @ TURN  # what is measured here lies there in the space of the CT
        ds.PixelData = np.rint(wave(points) * 2).astype("<u2").tobytes()
        found.append(ds)
    return found


def registration(fixed: Dataset, moving: Dataset) -> Dataset:
    """From the second machine to the first (PS3.3 C.20.2: source points to registered ones)."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.66.1", uid("registration", "blend")
    ds.StudyInstanceUID, ds.SeriesInstanceUID = fixed.StudyInstanceUID, uid("registrations", "blend")
    ds.PatientID, ds.PatientName, ds.Modality = "BLEND", fixed.PatientName, "REG"
    ds.ContentDate, ds.ContentTime, ds.ContentLabel = "20240131", "120000", "REGISTRATION"
    ds.FrameOfReferenceUID = fixed.FrameOfReferenceUID
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = TURN.T, -TURN.T @ SHIFT
    step, steps, item = Dataset(), Dataset(), Dataset()
    step.FrameOfReferenceTransformationMatrixType = "RIGID"
    step.FrameOfReferenceTransformationMatrix = [f"{each:.10f}" for each in matrix.ravel()]
    steps.MatrixSequence = [step]
    item.FrameOfReferenceUID, item.MatrixRegistrationSequence = moving.FrameOfReferenceUID, [steps]
    ds.RegistrationSequence = [item]
    return ds


def referenced(images: list[Dataset]) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedImageSequence = images[0].SeriesInstanceUID, []
    for image in images:
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
        series.ReferencedImageSequence.append(reference)
    return series


@cache
def palette(name: str = "hotiron") -> Dataset:
    """A well-known palette (PS3.6 B.1)."""
    (path,) = get_palette_files(f"{name}.dcm")
    return pydicom.dcmread(path)


def window(values: Floats, center: float, width: float) -> Floats:
    """PS3.3 C.11.2.1.2.1, word for word."""
    found = ((values - (center - 0.5)) / (width - 1) + 0.5) * 255
    found[values <= center - 0.5 - (width - 1) / 2] = 0
    found[values > center - 0.5 + (width - 1) / 2] = 255
    return found


def same(ours: Pixels, theirs: Pixels) -> bool:
    """But for pixels on the very edge of the other set and steps of the palette next to each other."""
    return ours.shape == theirs.shape and float((np.abs(ours - theirs).max(-1) > 3).mean()) < 0.004


def points_of(image: Dataset) -> Floats:
    """Where the pixels of an image lie (rows, columns, 3)."""
    j, i = np.mgrid[: image.Rows, : image.Columns]
    cosines, spacing = np.array(image.ImageOrientationPatient, float), [float(each) for each in image.PixelSpacing]
    across, down = i[..., None] * spacing[1] * cosines[:3], j[..., None] * spacing[0] * cosines[3:]
    return np.asarray(np.array(image.ImagePositionPatient, float) + across + down)


def sampled(
    image: Dataset, over: list[Dataset], *, moved: bool = False
) -> tuple[Floats, npt.NDArray[np.bool_], Floats]:
    """Stored values of the PET where the pixels of an image lie, where there is one, and the places in its voxels."""
    points = points_of(image)
    if moved:
        points = points @ TURN.T + SHIFT
    places = (points - (-25.0, -28.0, -16.0)) / (2.5, 3.0, 3.5)
    stored = np.stack([np.frombuffer(ds.PixelData, "<u2").reshape(20, WIDE) for ds in over]).astype(float)
    values = map_coordinates(stored, places[..., ::-1].reshape(-1, 3).T, order=1, mode="nearest")
    inside = ((places >= -0.5) & (places <= np.array((WIDE, 20, len(over))) - 0.5)).all(-1)
    return values.reshape(inside.shape), inside, places
