"""Frames of reference: who shares space with whom, chains, refusals, and registrations that find a known way back."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from tests.support.dciodvfy import said_of
from tests.unit.imaging.test_resampling import grid, rotation, volume

from vesalius.imaging.new_instance import Made, part10
from vesalius.imaging.reference_frames import NoCommonSpace, Place, frame_of_reference, link
from vesalius.imaging.registration import register
from vesalius.imaging.registration_object import spatial_registration
from vesalius.imaging.resampling import resample
from vesalius.imaging.space import NoVolume
from vesalius.imaging.transforms import Affine, Deformation, chain

POINTS = np.array([[0.0, 0, 0], [10, -20, 30], [-7, 3.5, 88]])


def rigid(degrees: tuple[float, float, float], shift: tuple[float, float, float]) -> Any:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation(degrees), shift
    return matrix


def registration(
    target: str, matrices: dict[str, list[Any]], made: str = "20240101", kind: str = "RIGID", uid: str = "9.9"
) -> Dataset:
    ds = Dataset()
    ds.FrameOfReferenceUID, ds.SOPInstanceUID, ds.ContentDate, ds.ContentTime = target, uid, made, "120000"
    ds.RegistrationSequence = []
    for source, steps in matrices.items():
        item, holder = Dataset(), Dataset()
        item.FrameOfReferenceUID = source
        holder.MatrixSequence = []
        for step in steps:
            one = Dataset()
            one.FrameOfReferenceTransformationMatrixType = kind
            one.FrameOfReferenceTransformationMatrix = [float(each) for each in np.asarray(step).ravel()]
            holder.MatrixSequence.append(one)
        item.MatrixRegistrationSequence = [holder]
        ds.RegistrationSequence.append(item)
    return ds


def test_one_frame_of_reference_is_one_space() -> None:
    found = link(Place("1.1", "a"), Place("1.1", "b"))
    assert found.kind == "SAME"
    assert np.array_equal(found.transform.apply(POINTS), POINTS)


@pytest.mark.parametrize(
    ("fixed", "moving", "why"),
    [("1.1", "1.2", "different Frame"), (None, "1.2", "fixed series has no"), (None, None, "fixed and the moving")],
)
def test_without_a_common_frame_or_a_registration_it_is_refused_with_the_reason(
    fixed: str | None, moving: str | None, why: str
) -> None:
    with pytest.raises(NoCommonSpace, match=why) as raised:
        link(Place(fixed, "a"), Place(moving, "b"))
    assert "POST /api/registrations" in raised.value.hint


def test_a_registration_takes_source_points_to_registered_ones() -> None:
    matrix = rigid((10, 20, 30), (5, 6, 7))
    known = [registration("1.1", {"1.1": [np.eye(4)], "1.2": [matrix]})]
    onto_moving = link(Place("1.1"), Place("1.2"), known)
    assert onto_moving.kind == "RIGID"
    assert np.allclose(onto_moving.transform.apply(Affine(matrix).apply(POINTS)), POINTS)
    other_way = link(Place("1.2"), Place("1.1"), known)
    assert np.allclose(other_way.transform.apply(POINTS), Affine(matrix).apply(POINTS))


def test_matrices_of_one_item_are_applied_in_their_order() -> None:
    turn, shift = rigid((0, 0, 90), (0, 0, 0)), rigid((0, 0, 0), (10, 0, 0))
    found = link(Place("1.2"), Place("1.1"), [registration("1.1", {"1.2": [turn, shift]})])
    assert np.allclose(found.transform.apply([1.0, 0, 0]), [10, 1, 0])


def test_registrations_are_followed_in_chains_and_either_direction() -> None:
    a, b, c = rigid((1, 2, 3), (4, 5, 6)), rigid((9, 0, -4), (0, 1, 2)), rigid((0, 50, 0), (-3, 0, 1))
    known = [
        registration("1.1", {"1.2": [a]}, uid="9.1"),
        registration("1.3", {"1.2": [b]}, uid="9.2"),
        registration("1.4", {"1.3": [c]}, uid="9.3"),
    ]
    found = link(Place("1.1"), Place("1.4"), known)
    expected = c @ b @ np.linalg.inv(a)
    assert np.allclose(found.transform.apply(POINTS), Affine(expected).apply(POINTS))
    assert [edge.instance for edge in found.path] == ["9.1", "9.2", "9.3"]
    with pytest.raises(NoCommonSpace, match="no Spatial Registration links them"):
        link(Place("1.1"), Place("1.5"), known)


def test_the_newest_of_several_registrations_counts_and_a_note_says_so() -> None:
    old, new = rigid((0, 0, 0), (1, 0, 0)), rigid((0, 0, 0), (2, 0, 0))
    known = [registration("1.1", {"1.2": [new]}, "20240202", uid="9.2"), registration("1.1", {"1.2": [old]}, uid="9.1")]
    for order in (known, known[::-1]):
        found = link(Place("1.2"), Place("1.1"), order)
        assert found.transform.apply([0.0, 0, 0]).tolist() == [2, 0, 0]
        assert [each.code for each in found.notes] == ["several-registrations"]


def test_an_affine_registration_is_affine_and_a_singular_one_is_none() -> None:
    squeezed = np.diag([1.0, 1.2, 0.9, 1])
    squeezed[0, 1] = 0.3
    found = link(Place("1.2"), Place("1.1"), [registration("1.1", {"1.2": [squeezed]}, kind="AFFINE")])
    assert found.kind == "AFFINE"
    with pytest.raises(NoCommonSpace):
        link(Place("1.2"), Place("1.1"), [registration("1.1", {"1.2": [np.diag([1.0, 0, 1, 1])]})])


def test_images_moved_by_themselves_are_another_space_though_their_frame_is_one() -> None:
    ds = registration("1.1", {"1.2": [rigid((0, 0, 0), (3, 0, 0))]})
    item, image, series = ds.RegistrationSequence[0], Dataset(), Dataset()
    del item.FrameOfReferenceUID
    image.ReferencedSOPInstanceUID = "7.7"
    item.ReferencedImageSequence = [image]
    series.SeriesInstanceUID, series.ReferencedInstanceSequence = "b", [image]
    ds.ReferencedSeriesSequence = [series]
    found = link(Place("1.1", "a"), Place("1.1", "b"), [ds])
    assert found.transform.apply([3.0, 0, 0]).tolist() == [0, 0, 0]
    assert link(Place("1.1", "a"), Place("1.1", "c"), [ds]).kind == "SAME"


def deformable(target: str, source: str) -> tuple[Dataset, Deformation]:
    field = grid((5, 6, 7), (10, 10, 10), (-30, -25, -20))
    k, j, i = np.meshgrid(*(np.arange(n) for n in field.shape), indexing="ij")
    vectors = np.stack((np.sin(j / 2), 0.5 * np.cos(k), 0.1 * i), axis=-1).astype("<f4")
    pre, post = rigid((0, 0, 2), (1, 0, 0)), rigid((1, 0, 0), (0, 2, 0))
    ds, item, told = Dataset(), Dataset(), Dataset()
    ds.FrameOfReferenceUID, ds.SOPInstanceUID = target, "9.8"
    item.SourceFrameOfReferenceUID = source
    told.ImagePositionPatient, told.ImageOrientationPatient = [-30, -25, -20], [1, 0, 0, 0, 1, 0]
    told.GridDimensions, told.GridResolution, told.VectorGridData = [7, 6, 5], [10.0, 10.0, 10.0], vectors.tobytes()
    for name, matrix in (("Pre", pre), ("Post", post)):
        holder = Dataset()
        holder.FrameOfReferenceTransformationMatrix = [float(each) for each in matrix.ravel()]
        setattr(item, f"{name}DeformationMatrixRegistrationSequence", [holder])
    item.DeformableRegistrationGridSequence = [told]
    ds.DeformableRegistrationSequence = [item]
    return ds, Deformation(field, vectors, Affine(pre), Affine(post))


def test_a_deformable_registration_takes_registered_points_to_source_ones() -> None:
    ds, expected = deformable("1.1", "1.2")
    found = link(Place("1.1"), Place("1.2"), [ds])
    assert found.kind == "DEFORMABLE"
    inside = np.array([[-20.0, -15, 0], [5, 5, 5], [22, 18, 15]])
    assert np.allclose(found.transform.apply(inside), expected.apply(inside))
    # At a point of the grid, by hand: post(pre(p) + vector of the point).
    node = np.array([-20.0, -15, -20])
    by_hand = expected.post.apply(expected.pre.apply(node) + expected.vectors[0, 1, 1])
    assert np.allclose(found.transform.apply(node), by_hand, atol=1e-5)


def test_a_deformation_is_turned_around_point_by_point() -> None:
    ds, expected = deformable("1.1", "1.2")
    back = link(Place("1.2"), Place("1.1"), [ds])
    inside = np.random.default_rng(4).uniform(-18, 18, (50, 3))
    assert np.abs(back.transform.apply(expected.apply(inside)) - inside).max() < 0.01
    both = chain(expected, expected.inverse())
    assert both.matrix is None
    assert np.abs(both.apply(inside) - inside).max() < 0.01


def test_several_frames_of_reference_in_one_attribute_are_none() -> None:
    ds = Dataset()
    ds.FrameOfReferenceUID = ["1.1", "1.2"]
    assert frame_of_reference(ds) is None


# -- computing one


def body(matrix: Any, *, hot: bool = False) -> Any:
    """A head of ellipsoids as CT, or (hot) as another machine sees it: other contrasts, other grid."""
    on = grid((30, 64, 64), (3, 3, 4), (-95, -95, -60)) if not hot else grid((26, 48, 48), (4, 4, 4.5), (-92, -96, -58))
    k, j, i = np.meshgrid(*(np.arange(n) for n in on.shape), indexing="ij")
    points = Affine(matrix).apply(on.to_patient(np.stack((i, j, k), axis=-1)))

    def inside(centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Any:
        return (((points - centre) / radii) ** 2).sum(axis=-1) < 1

    values = np.full(on.shape, 0.0 if hot else -1000.0)
    values[inside((0, 0, 0), (70, 85, 55))] = 1.0 if hot else 1000.0
    values[inside((0, 0, 0), (64, 79, 49))] = 3.0 if hot else 40.0
    values[inside((25, 20, 10), (15, 25, 12))] = 9.0 if hot else 10.0
    values[inside((-20, -25, -5), (10, 12, 20))] = 0.5 if hot else -700.0
    noise = np.random.default_rng(7).normal(0, 0.1 if hot else 8, on.shape)
    return volume(on, (values + noise).astype(np.float32), frame_of_reference="1.2" if hot else "1.1")


@pytest.fixture(scope="module")
def moved() -> tuple[Any, Any, Any]:
    truth = rigid((4, -3, 8), (9, -6, 5))
    return truth, body(np.eye(4)), body(truth, hot=True)


def test_a_known_motion_between_two_machines_is_found(moved: Any) -> None:
    truth, fixed, moving = moved
    found = register(fixed, moving)
    corners = fixed.grid.corners() / 2
    error = np.linalg.norm(found.transform.apply(corners) - Affine(np.linalg.inv(truth)).apply(corners), axis=1)
    assert error.max() < 2.0  # half of a voxel
    assert found.residual_mm < 3.0
    assert found.information > found.before
    assert found.transform.kind == "RIGID"
    assert np.array_equal(register(fixed, moving).transform.matrix, found.transform.matrix)


def headers(frame: str, study: str, count: int) -> list[Dataset]:
    made = []
    for number in range(count):
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", f"{study}.{frame}.{number + 1}"
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, f"{study}.{frame}", frame
        ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Müller^Käthe", "P1", "19500101", "F"
        ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20240131", "101500", "1", "A1"
        made.append(ds)
    return made


def test_what_is_written_is_valid_and_leads_the_same_way_when_read_again(moved: Any, tmp_path: Path) -> None:
    _, fixed, moving = moved
    found = register(fixed, moving)
    made = Made("Doe^Jane", datetime(2026, 1, 31, 10, 15), "0.1", "CT to PET")
    ds = spatial_registration(headers("1.2.1", "1.2.7", 3), headers("1.2.2", "1.2.8", 2), found, made)
    path = tmp_path / "registration.dcm"
    path.write_bytes(part10(ds))
    import pydicom

    again = pydicom.dcmread(path)
    way = link(Place("1.2.1"), Place("1.2.2"), [again])
    assert np.abs(way.transform.apply(POINTS) - found.transform.apply(POINTS)).max() < 1e-6
    assert again.ContentCreatorName == "Doe^Jane"
    assert f"{found.residual_mm:.2f}" in again.ContentDescription
    assert again.PatientName == "Müller^Käthe"
    said = said_of(path)
    assert "Error" not in said, said


def test_two_series_of_one_frame_need_no_registration(moved: Any) -> None:
    _, fixed, moving = moved
    found = register(fixed, moving)
    with pytest.raises(NoVolume, match="one frame of reference"):
        spatial_registration(headers("1.1", "1.7", 1), headers("1.1", "1.8", 1), found, Made("X", datetime(2026, 1, 1)))


def test_series_with_nothing_in_common_are_refused(moved: Any) -> None:
    _, fixed, _ = moved
    noise = volume(grid((30, 40, 40), (4, 4, 4)), np.random.default_rng(3).normal(size=(30, 40, 40)).astype(np.float32))
    with pytest.raises(NoVolume):
        register(fixed, noise)
    with pytest.raises(NoVolume, match="too few slices"):
        register(fixed, volume(grid((2, 40, 40))))


def test_the_registered_picture_lies_on_the_fixed_one(moved: Any) -> None:
    truth, fixed, moving = moved
    found = register(fixed, moving)
    onto = resample(moving, fixed, transform=found.transform)
    perfect = resample(moving, fixed, transform=Affine(np.linalg.inv(truth)))
    both = onto.finite & perfect.finite
    assert np.corrcoef(onto.values[both], perfect.values[both])[0, 1] > 0.95
