"""A Spatial Registration as an instance (PS3.3 A.39.1, C.20.2): what was computed, by whom, how and how well.

The registered frame of reference is the fixed series'; its own item holds the identity, the moving series' the matrix
from its points to fixed ones. How well it fits stands in the comment of the matrix and in Content Description, for the
standard has no attribute for it; who asked for it is the Content Creator.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from vesalius.imaging.dataset_values import text
from vesalius.imaging.new_instance import Made, code, new_instance
from vesalius.imaging.reference_frames import SPATIAL, frame_of_reference
from vesalius.imaging.registration import Registered
from vesalius.imaging.space import Floats
from vesalius.imaging.transforms import Affine
from vesalius.model.errors import NoVolume

CONTENT_BASED = ("125024", "DCM", "Image Content-based Alignment")
IDENTITY_OF_FRAMES = ("125021", "DCM", "Frame of Reference Identity")


def spatial_registration(fixed: Sequence[Dataset], moving: Sequence[Dataset], found: Registered, made: Made) -> Dataset:
    """The instance; `fixed` and `moving` are the headers of the two series. Raises `NoVolume`."""
    registered, source = frame_of_reference(fixed[0]), frame_of_reference(moving[0])
    if registered is None or source is None:
        raise NoVolume("a registration needs the Frame of Reference UID of both series")
    if registered == source:
        raise NoVolume("the two series have one frame of reference: there is nothing to be registered")
    ds = new_instance(fixed[0], SPATIAL, "REG", made)
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = registered, text(fixed[0], "PositionReferenceIndicator")
    ds.ContentLabel = "REGISTRATION"
    ds.ContentDescription = f"residual {found.residual_mm:.2f} mm there and back"[:64]
    ds.ContentCreatorName = made.who
    ds.InstanceNumber = 1
    back = found.transform.inverse()
    ds.RegistrationSequence = [
        _item(registered, fixed, Affine(np.eye(4)), IDENTITY_OF_FRAMES, ""),
        _item(source, moving, back, CONTENT_BASED, f"MI {found.information:.3f}, residual {found.residual_mm:.2f} mm"),
    ]
    _references(ds, fixed, moving)
    return ds


def _item(frame: str, headers: Sequence[Dataset], matrix: Affine, kind: tuple[str, str, str], comment: str) -> Dataset:
    item, registration, step = Dataset(), Dataset(), Dataset()
    item.FrameOfReferenceUID = frame
    item.ReferencedImageSequence = [_reference(each) for each in headers]
    step.FrameOfReferenceTransformationMatrixType = matrix.kind
    step.FrameOfReferenceTransformationMatrix = decimals(matrix.matrix)
    registration.MatrixSequence = [step]
    registration.RegistrationTypeCodeSequence = [code(*kind)]
    if comment:
        registration.FrameOfReferenceTransformationComment = comment[:64]
    item.MatrixRegistrationSequence = [registration]
    return item


def decimals(matrix: Floats) -> list[str]:
    """A matrix as 16 decimal strings, row by row, as exact as 16 characters are (PS3.5 6.2, DS)."""
    return [format_number_as_ds(float(each)) for each in np.asarray(matrix).ravel()]


def _reference(ds: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    return item


def _references(ds: Dataset, *series: Sequence[Dataset]) -> None:
    """The Common Instance Reference module (PS3.3 C.12.2): own study first, others apart."""
    own: list[Dataset] = []
    others: dict[str, list[Dataset]] = {}
    for headers in series:
        item = Dataset()
        item.SeriesInstanceUID = headers[0].SeriesInstanceUID
        item.ReferencedInstanceSequence = [_reference(each) for each in headers]
        study = text(headers[0], "StudyInstanceUID")
        if study == ds.StudyInstanceUID:
            own.append(item)
        else:
            others.setdefault(study, []).append(item)
    if own:
        ds.ReferencedSeriesSequence = own
    if others:
        ds.StudiesContainingOtherReferencedInstancesSequence = []
        for study, items in others.items():
            holder = Dataset()
            holder.StudyInstanceUID, holder.ReferencedSeriesSequence = study, items
            ds.StudiesContainingOtherReferencedInstancesSequence.append(holder)
