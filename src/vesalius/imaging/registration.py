"""Computing where one series lies in the space of another: rigid, by mutual information.

Theory. Two images of one body by different machines have no grey values in common but a statistical relation: the
mutual information of Mattes is highest where they fit (IEEE TMI 2003; 22: 120). SimpleITK searches six parameters,
three turns and three shifts, from coarse to fine, with a fixed seed, so that the same two series give the same result.
Without a hint the search begins with the centres of mass on each other; of two starts (centres of mass, centres of the
boxes) the better one is taken.

A number that comes out of this is not true because it came out: `residual_mm` is how far the corners of the fixed
volume miss themselves when they are taken there by this registration and back by one computed the other way round. It
is kept with the result, and what is beyond `WORST_MM` is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from vesalius.imaging.resampling import Abandoned
from vesalius.imaging.simpleitk import simpleitk
from vesalius.imaging.space import Floats, Volume
from vesalius.imaging.transforms import Affine
from vesalius.model.errors import NoVolume

HOW = "Mattes mutual information, rigid, 3 levels"
BINS, SEED = 50, 1543
SAMPLES = 20_000  # voxels that are compared at a level
COARSE_MM = 4.0  # the finest level works on voxels no smaller than a fourth of this
WORST_MM = 20.0
_ALONE = threading.Lock()  # the number of threads is of the whole process


@dataclass(frozen=True, slots=True)
class Registered:
    """A result and how good it is."""

    transform: Affine  # points of the fixed series to points of the moving one
    information: float  # mutual information at the end, nat; higher is better
    before: float  # the same before anything was moved
    residual_mm: float  # there and back: the worst corner's error
    iterations: int
    how: str = HOW


def register(fixed: Volume, moving: Volume, *, cancelled: Callable[[], bool] | None = None) -> Registered:
    """The rigid transform that fits `moving` to `fixed`. Blocks for seconds. Raises `NoVolume` where none does."""
    for name, volume in (("fixed", fixed), ("moving", moving)):
        if min(volume.grid.shape) < 4:
            raise NoVolume(f"the {name} series has too few slices to be registered")
    with _one_thread():
        there = _search(fixed, moving, cancelled)
        back = _search(moving, fixed, cancelled, hint=there.transform.inverse())
    corners = fixed.grid.corners()
    miss = np.linalg.norm(back.transform.apply(there.transform.apply(corners)) - corners, axis=1).max()
    if not np.isfinite(miss) or miss > WORST_MM or there.information <= 0:
        raise NoVolume(
            f"the two series could not be registered: there and back misses by {miss:.0f} mm",
            hint="They may show different parts of the body.",
        )
    return Registered(there.transform, there.information, there.before, float(miss), there.iterations + back.iterations)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums of several threads differ in their last digit from run to run, and a search makes millimetres of it."""
    process = simpleitk().ProcessObject
    with _ALONE:
        before = process.GetGlobalDefaultNumberOfThreads()
        process.SetGlobalDefaultNumberOfThreads(1)
        try:
            yield
        finally:
            process.SetGlobalDefaultNumberOfThreads(before)


def _search(
    fixed: Volume, moving: Volume, cancelled: Callable[[], bool] | None, hint: Affine | None = None
) -> Registered:
    sitk = simpleitk()
    one, other = _image(sitk, fixed), _image(sitk, moving)
    starts = [_start(sitk, one, other, fixed, hint)] if hint is not None else []
    if hint is None:
        centred, kinds = sitk.CenteredTransformInitializer, sitk.CenteredTransformInitializerFilter
        starts = [
            *(centred(one, other, sitk.Euler3DTransform(), kind) for kind in (kinds.MOMENTS, kinds.GEOMETRY)),
            _start(sitk, one, other, fixed, Affine(np.eye(4))),
        ]
    method = _method(sitk)
    worth = []
    for start in starts:
        method.SetInitialTransform(start, inPlace=False)
        try:
            worth.append(-float(method.MetricEvaluate(one, other)))
        except RuntimeError:  # no overlap at all
            worth.append(-np.inf)
    best = int(np.argmax(worth))
    if not np.isfinite(worth[best]):
        raise NoVolume("the two series do not overlap however they are laid on each other")
    if cancelled is not None:

        def watch() -> None:
            if cancelled():
                method.StopRegistration()

        method.AddCommand(sitk.sitkIterationEvent, watch)
    method.SetInitialTransform(starts[best], inPlace=False)
    try:
        found = method.Execute(one, other)
    except RuntimeError as error:
        raise NoVolume(
            "the registration found nothing in common", hint="The series may show different parts."
        ) from error
    if cancelled is not None and cancelled():
        raise Abandoned
    matrix = _matrix(sitk, found)
    return Registered(Affine(matrix), -float(method.GetMetricValue()), worth[-1], 0.0, method.GetOptimizerIteration())


def _method(sitk: Any) -> Any:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentagePerLevel([0.5, 0.2, 0.1], seed=SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0, minStep=1e-3, numberOfIterations=150, relaxationFactor=0.6, gradientMagnitudeTolerance=1e-6
    )
    # A degree moves the skin as far as some millimetres: the scales come from the images' own extent.
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    return method


def _start(sitk: Any, one: Any, _other: Any, fixed: Volume, hint: Affine) -> Any:
    start = sitk.Euler3DTransform()
    low, high = fixed.grid.bounds()
    start.SetCenter(((low + high) / 2).tolist())
    turn = hint.matrix[:3, :3]
    start.SetMatrix(turn.ravel().tolist(), 1e-3)
    centre = (low + high) / 2
    start.SetTranslation((hint.matrix[:3, 3] + turn @ centre - centre).tolist())
    return start


def _matrix(sitk: Any, transform: Any) -> Floats:
    """The whole map as a matrix, whatever it is made of."""
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    for axis in range(3):
        # Over a long way, so that nothing is lost to rounding.
        unit = [0.0, 0.0, 0.0]
        unit[axis] = 1000.0
        matrix[:3, axis] = (np.array(transform.TransformPoint(unit)) - origin) / 1000
    matrix[:3, 3] = origin
    return matrix


def _image(sitk: Any, volume: Volume) -> Any:
    """A volume as SimpleITK has it, thinned to voxels no smaller than the search needs."""
    spacing = volume.grid.spacing
    steps = [max(1, int(COARSE_MM / 2 / each)) for each in spacing]
    values = volume.values[:: steps[2], :: steps[1], :: steps[0]].astype(np.float32)
    if volume.padding is not None:
        hole = volume.padding[:: steps[2], :: steps[1], :: steps[0]]
        values = np.where(hole, values[~hole].min() if (~hole).any() else 0, values)
    # The long tails of a histogram (metal, a bladder full of tracer) would leave the body a few bins.
    low, high = np.percentile(values, (0.5, 99.8))
    image = sitk.GetImageFromArray(np.clip(values, low, high if high > low else low + 1))
    directions = volume.grid.directions
    if not volume.grid.is_orthogonal():
        raise NoVolume("a sheared volume is straightened before it is registered")
    image.SetSpacing((spacing * steps).tolist())
    image.SetOrigin(volume.grid.origin_mm.tolist())
    image.SetDirection(directions.ravel().tolist())
    return image
