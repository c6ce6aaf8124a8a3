"""Whether two series lie in one space, and how to get from one to the other.

Theory. Two sets of images share a coordinate system if, and only if, they have one Frame of Reference UID (PS3.3
C.7.4.1.1.1); that they look alike, or are of one study, proves nothing. Beside that only a Spatial Registration
(A.39.1) or a Deformable Spatial Registration (A.39.2) says where one frame lies in another. Each of their items is an
edge from a source frame to the registered one; edges may be followed in either direction, and in chains. What has no
way is refused here, with the reason: a picture of two bodies in a wrong place is worse than none.

Directions: a Spatial Registration's matrix takes source points to registered ones (C.20.2.1.1), a deformation takes
registered points to source ones (C.20.3.1.3). `link` gives what resampling needs: fixed points to moving points.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from vesalius.imaging.dataset_values import items, numbers, text, texts, value
from vesalius.imaging.space import Finding, Grid, Volume
from vesalius.imaging.transforms import IDENTITY, Affine, Deformation, Transform, chain
from vesalius.model.errors import NoVolume

SPATIAL, DEFORMABLE = "1.2.840.10008.5.1.4.1.1.66.1", "1.2.840.10008.5.1.4.1.1.66.3"
REGISTRATIONS = (SPATIAL, DEFORMABLE)
LONGEST_CHAIN = 8


class NoCommonSpace(NoVolume):
    """Nothing says where one series lies in the space of the other."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A registration from one node to another; nodes are `frame:UID` and `series:UID`."""

    source: str
    target: str
    transform: Transform  # points of the source to points of the target
    instance: str  # SOP Instance UID of the registration
    made: str  # content date and time: the newest of several counts
    kind: str  # RIGID, RIGID_SCALE, AFFINE, DEFORMABLE


@dataclass(frozen=True, slots=True)
class Link:
    """How points of the fixed series are found in the moving one."""

    transform: Transform
    path: tuple[Edge, ...] = ()  # () where both have one frame of reference
    notes: tuple[Finding, ...] = ()

    @property
    def kind(self) -> str:
        """SAME, or the loosest kind on the way."""
        order = ("RIGID", "RIGID_SCALE", "AFFINE", "DEFORMABLE")
        return max((edge.kind for edge in self.path), key=order.index, default="SAME")


@dataclass(frozen=True, slots=True)
class Place:
    """What a link needs to know of a series."""

    frame_of_reference: str | None
    series: str = ""

    @classmethod
    def of(cls, volume: Volume) -> Place:
        """Of a volume."""
        return cls(volume.frame_of_reference, volume.series)


def link(fixed: Place, moving: Place, registrations: Iterable[Dataset] = ()) -> Link:
    """The way from the fixed to the moving series. Raises `NoCommonSpace`."""
    return way(fixed, moving, [edge for each in registrations for edge in edges_of(each)])


def way(fixed: Place, moving: Place, edges: Sequence[Edge]) -> Link:
    """The same with registrations that were read before."""
    moved = {node for edge in edges for node in (edge.source, edge.target) if node.startswith("series:")}
    own = {f"series:{fixed.series}", f"series:{moving.series}"}
    shared = fixed.frame_of_reference and fixed.frame_of_reference == moving.frame_of_reference
    # Within one frame a registration may still move the images of a series by themselves.
    if shared and (len(own) == 1 or moved.isdisjoint(own)):
        return Link(IDENTITY)
    path = _way(_nodes(fixed, moved), _nodes(moving, moved), edges)
    if path is None:
        raise _refusal(fixed, moving, edges)
    used = tuple(edge for edge, _ in path)
    steps = [edge.transform if forward else edge.transform.inverse() for edge, forward in path]
    return Link(chain(*steps) if steps else IDENTITY, used, _ambiguous(used, edges))


def edges_of(ds: Dataset) -> Iterator[Edge]:
    """The edges of a registration object; () where it is none."""
    target = text(ds, "FrameOfReferenceUID")
    if not target:
        return
    instance = text(ds, "SOPInstanceUID")
    made = text(ds, "ContentDate") + text(ds, "ContentTime")
    for item in items(ds, "RegistrationSequence"):
        matrix = _matrices(items(item, "MatrixRegistrationSequence"))
        if matrix is not None:
            for source in _sources(ds, item, "FrameOfReferenceUID"):
                if source != f"frame:{target}":
                    yield Edge(source, f"frame:{target}", matrix, instance, made, matrix.kind)
    for item in items(ds, "DeformableRegistrationSequence"):
        back = _deformation(item)
        if back is not None:
            kind = back.kind if isinstance(back, Affine) else "DEFORMABLE"
            for source in _sources(ds, item, "SourceFrameOfReferenceUID"):
                if source != f"frame:{target}":
                    # Written from registered to source: the edge is named the way it maps.
                    yield Edge(f"frame:{target}", source, back, instance, made, kind)


def correction(ds: Dataset, frame: str, images: Collection[str]) -> Transform | None:
    """How a registration moves some images within their own frame of reference: their points to those of the frame.

    None where it does not. Such an item is no edge: it is followed only where somebody says that it is to be (PS3.3
    C.11.33.1.1).
    """
    if text(ds, "FrameOfReferenceUID") != frame:
        return None
    for item in items(ds, "RegistrationSequence"):
        found = _matrices(items(item, "MatrixRegistrationSequence"))
        still = found is None or np.allclose(found.matrix, np.eye(4), rtol=0, atol=1e-9)
        if not still and _is_about(item, "FrameOfReferenceUID", frame, images):
            return found
    for item in items(ds, "DeformableRegistrationSequence"):
        back = _deformation(item)
        if back is not None and _is_about(item, "SourceFrameOfReferenceUID", frame, images):
            return back.inverse()
    return None


def _is_about(item: Dataset, keyword: str, frame: str, images: Collection[str]) -> bool:
    listed = {text(image, "ReferencedSOPInstanceUID") for image in items(item, "ReferencedImageSequence")}
    return text(item, keyword) == frame and (not listed or not listed.isdisjoint(images))


def _sources(ds: Dataset, item: Dataset, keyword: str) -> list[str]:
    """What an item is about: a frame of reference, or the series of images that it lists without one."""
    uid = text(item, keyword)
    if uid:
        return [f"frame:{uid}"]
    listed = {text(image, "ReferencedSOPInstanceUID") for image in items(item, "ReferencedImageSequence")}
    found = {}
    studies = items(ds, "StudiesContainingOtherReferencedInstancesSequence")
    for series in (*items(ds, "ReferencedSeriesSequence"),
                   *(each for study in studies for each in items(study, "ReferencedSeriesSequence"))):  # fmt: skip
        held = {text(each, "ReferencedSOPInstanceUID") for each in items(series, "ReferencedInstanceSequence")}
        if held & listed:
            found[f"series:{text(series, 'SeriesInstanceUID')}"] = True
    return list(found)


def _matrices(sequence: Sequence[Dataset]) -> Affine | None:
    """The matrices of Matrix Registration Sequence, applied in order (PS3.3 C.20.2.1.1)."""
    whole = np.eye(4)
    for registration in sequence[:1]:
        # A deformable registration holds one matrix without the sequence around it.
        for step in items(registration, "MatrixSequence") or (registration,):
            found = numbers(step, "FrameOfReferenceTransformationMatrix", 16)
            if found is None:
                return None
            matrix = np.array(found).reshape(4, 4)
            if not np.allclose(matrix[3], (0, 0, 0, 1)) or abs(np.linalg.det(matrix[:3, :3])) < 1e-9:
                return None
            whole = matrix @ whole
    return Affine(whole)


def _deformation(item: Dataset) -> Transform | None:
    pre = _matrices(items(item, "PreDeformationMatrixRegistrationSequence"))
    post = _matrices(items(item, "PostDeformationMatrixRegistrationSequence"))
    if pre is None or post is None:
        return None
    grids = items(item, "DeformableRegistrationGridSequence")
    if not grids:
        return chain(pre, post)
    told = grids[0]
    position, axes = numbers(told, "ImagePositionPatient", 3), numbers(told, "ImageOrientationPatient", 6)
    size, spacing = numbers(told, "GridDimensions", 3), numbers(told, "GridResolution", 3)
    raw = value(told, "VectorGridData")
    if position is None or axes is None or size is None or spacing is None or not isinstance(raw, bytes):
        return None
    columns, rows, slices = (int(each) for each in size)
    if min(columns, rows, slices) < 1 or len(raw) < columns * rows * slices * 12:
        return None
    order = ">f4" if told.original_encoding[1] is False else "<f4"
    vectors = np.frombuffer(raw, order, columns * rows * slices * 3).reshape(slices, rows, columns, 3)
    along, down = np.array(axes[:3]), np.array(axes[3:])
    directions = np.stack((along, down, np.cross(along, down)), axis=1)
    try:
        grid = Grid.of((slices, rows, columns), directions, np.array(spacing), np.array(position))
    except NoVolume:
        return None
    return Deformation(grid, vectors.astype(np.float32, copy=False), pre, post)


def _nodes(place: Place, moved: set[str]) -> tuple[str, ...]:
    """Where a series stands in the graph: at its own node where a registration moves its images, else at its frame."""
    own = f"series:{place.series}"
    if own in moved:
        return (own,)
    return (f"frame:{place.frame_of_reference}",) if place.frame_of_reference else ()


def _way(begins: Sequence[str], ends: Sequence[str], edges: Sequence[Edge]) -> list[tuple[Edge, bool]] | None:
    """The shortest way; of edges between the same two nodes the newest."""
    goal, newest = set(ends), sorted(edges, key=lambda edge: edge.made, reverse=True)
    reached: dict[str, list[tuple[Edge, bool]]] = {begin: [] for begin in begins}
    if goal & set(reached):
        return []
    front = list(begins)
    for _ in range(LONGEST_CHAIN):
        further = []
        for node in front:
            for edge in newest:
                for start, end, forward in ((edge.source, edge.target, True), (edge.target, edge.source, False)):
                    if start == node and end not in reached:
                        reached[end] = [*reached[node], (edge, forward)]
                        if end in goal:
                            return reached[end]
                        further.append(end)
        front = further
    return None


def _ambiguous(used: Sequence[Edge], edges: Sequence[Edge]) -> tuple[Finding, ...]:
    ends = [frozenset((edge.source, edge.target)) for edge in used]
    others = {edge.instance for edge in edges if frozenset((edge.source, edge.target)) in ends}
    others -= {edge.instance for edge in used}
    if not others:
        return ()
    return (
        Finding("several-registrations", f"{len(others) + 1} registrations link these frames: the newest was taken"),
    )


def _refusal(fixed: Place, moving: Place, edges: Sequence[Edge]) -> NoCommonSpace:
    missing = [name for name, place in (("fixed", fixed), ("moving", moving)) if not place.frame_of_reference]
    if missing:
        why = (
            f"the {' and the '.join(missing)} series {'has' if len(missing) == 1 else 'have'} no Frame of Reference UID"
        )
    else:
        why = "the two series have different Frame of Reference UIDs"
    why += ", and no Spatial Registration links them" if edges else ", and there is no Spatial Registration"
    return NoCommonSpace(why, hint="Compute a registration (POST /api/registrations), look at it, and ask again.")


def frame_of_reference(ds: Dataset) -> str | None:
    """The Frame of Reference UID of an image; None where it has none, or several (which is none at all)."""
    found = texts(ds, "FrameOfReferenceUID")
    return found[0] if len(found) == 1 and found[0] else None
