"""The inputs of an advanced blending state (PS3.3 C.11.33), sampled out of the archive onto the frame of a picture.

Theory. The pictures of such a state are the images of the input whose geometry they have. An input to which that frame
belongs is made of the frame itself by the process that draws. Every other input becomes a volume, kept as those of
`volume_store.py` are, and is sampled where the pixels of the frame lie in the patient: values are interpolated,
colours and labels taken from the nearest voxel. The way there is a frame of reference that both share or a
registration, of those that the state names if it names any; without one, or where images are missing or are of somebody
else, nothing is blended. Tiles of slides have ways of their own (`blending_tiles.py`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vesalius.archive.frames import Frames
from vesalius.model.entities import Level, StoredInstance
from vesalius.model.errors import CannotTranscode, NoVolume
from vesalius.web.blending_tiles import WHOLE_SLIDE, TileInputs
from vesalius.web.context import WebContext

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from vesalius.imaging.advanced_blending import Advanced, Input
    from vesalius.imaging.blending_layers import Own
    from vesalius.imaging.slices import Slice
    from vesalius.imaging.sources import SliceHeader
    from vesalius.imaging.space import Volume
    from vesalius.imaging.transforms import Transform
    from vesalius.model.rendering import Window

REMEMBERED = 64  # inputs of which it is known what their images say
MOST_FRAMES = 2048  # of one image that are asked what they say of themselves
MOST_PIXELS = 1 << 23  # of an image onto which others are sampled, in this process, whatever its header claims


@dataclass(slots=True)
class Inputs:
    """Samples inputs. One for a process; thread-safe. Everything blocks."""

    ctx: WebContext
    frames: Frames
    tiles: TileInputs
    _owns: OrderedDict[str, Own] = field(default_factory=OrderedDict)
    _corrections: OrderedDict[str, Transform | None] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def shown_by(self, advanced: Advanced) -> dict[str, tuple[int, ...]]:
        """The images that a state makes pictures of: SOP Instance UID -> frames from 0, () for all of them."""
        shape = advanced.geometry
        if shape.segments:
            raise CannotTranscode(
                "single segments do not give the geometry of what is blended",
                hint="Geometry for Display TRUE belongs to an input of whole images, frames or optical paths.",
            )
        found = dict(shape.images)
        if shape.paths:
            listed = self.ctx.index.select(Level.SERIES, series=(shape.series,)) if shape.series else ()
            with _named(shape):
                found.update({each.sop_instance: self.tiles.of_path(shape, each) for each in listed
                              if each.sop_instance in found and each.pixels is not None})  # fmt: skip
        elif not found and shape.series:
            listed = self.ctx.index.select(Level.SERIES, series=(shape.series,))
            found = {each.sop_instance: () for each in listed if each.pixels is not None}
        return found

    def version(self, advanced: Advanced, below: StoredInstance, index: int) -> str:
        """A text that changes whenever what is sampled for a frame may. Raises as `layers`."""
        from vesalius.imaging.sources import digest_of

        parts, series = [], {below.series}
        for one in self._elsewhere(advanced, below, index):
            with _named(one):
                images = self._images(one, below)
            parts.append(f"{one.number} {digest_of(images)}")
            series.add(one.series)
        return f"{' '.join(parts)} {self.ctx.spaces.key(sorted(series))}" if parts else ""

    def layers(self, advanced: Advanced, below: StoredInstance, index: int, place: Callable[[], Slice]) -> bytes:
        """What is not of the frame itself, for the process that draws. `place`: where the frame lies.

        Raises `CannotTranscode` with the reason why an input cannot be blended, `DamagedInstance`.
        """
        from vesalius.imaging.blending_layers import affordable, packed

        found: dict[int, npt.NDArray[np.uint8]] = {}
        for one in self._elsewhere(advanced, below, index):
            with _named(one):
                if below.sop_class == WHOLE_SLIDE:
                    found[one.number] = self.tiles.layer(one, self._images(one, below), advanced, below, index)
                    continue
                where = place()
                if where.rows * where.columns > MOST_PIXELS:
                    raise CannotTranscode(
                        f"nothing is sampled onto images of more than {MOST_PIXELS >> 20} million pixels"
                    )
                affordable(advanced, where.rows, where.columns)
                found[one.number] = self._layer(one, advanced, below, where)
        return packed(found)

    def _elsewhere(self, advanced: Advanced, below: StoredInstance, index: int) -> Iterator[Input]:
        """The inputs to which the frame does not belong, or not where it lies."""
        shape = advanced.geometry
        for one in advanced.inputs.values():
            moved = one.registrations and one.registrations != shape.registrations
            other = one.paths != shape.paths or bool(one.segments)
            if moved or other or not one.holds(below.series, below.sop_instance, index):
                yield one

    def _images(self, one: Input, below: StoredInstance) -> list[StoredInstance]:
        if one.paths and below.sop_class != WHOLE_SLIDE:
            raise CannotTranscode("a single optical path is blended over tiles of slides alone")
        found = [
            each
            for each in (self.ctx.index.select(Level.SERIES, series=(one.series,)) if one.series else ())
            if each.pixels is not None and (not one.images or each.sop_instance in one.images)
        ]
        if len(found) < len(one.images):
            raise CannotTranscode(f"{len(one.images) - len(found)} of its {len(one.images)} images are not kept here")
        if not found:
            raise CannotTranscode("its series is not kept here")
        if any(each.patient_id != below.patient_id for each in found):
            raise CannotTranscode("its images are of another patient")
        return found

    def _layer(self, one: Input, advanced: Advanced, below: StoredInstance, where: Slice) -> npt.NDArray[np.uint8]:
        from vesalius.imaging.blending import items_in, rescaled
        from vesalius.imaging.blending_layers import check_colour, layer_of_plane, own_modality
        from vesalius.imaging.description import MODALITY_LUTS
        from vesalius.imaging.fusion import usual_window
        from vesalius.imaging.reformat import grid_of, reformat
        from vesalius.imaging.resampling import Interpolation, is_label

        images, said = self._images(one, below), own_modality(one)
        if items_in(one.item, MODALITY_LUTS):
            raise CannotTranscode("a table as Modality LUT is not interpolated, only slope and intercept are")
        own = self._own(one, images)
        if own.colour:
            check_colour(one)
        whole = self._volume(one, images, own, stored=said is not None)
        way = self._way(one, images, advanced, below, where, whole)
        nearest = own.colour or is_label(whole)
        if nearest and whole.modality != "SEG" and not own.colour:
            # Values of 8 bits, as they are stored: amounts, not labels.
            whole, nearest = replace(whole, values=whole.values.astype("f4")), False
        plane = reformat(
            whole, grid_of(where), interpolation=Interpolation.NEAREST if nearest else Interpolation.LINEAR,
            transform=way, frame_of_reference=where.frame_of_reference,
        )  # fmt: skip

        def usual() -> Window:
            if whole.modality == "SEG":
                return _window_of_labels(whole)
            return usual_window(rescaled(whole, said))

        return layer_of_plane(plane if own.colour else rescaled(plane, said), one, own, usual)

    def _volume(self, one: Input, images: Sequence[StoredInstance], own: Own, *, stored: bool) -> Volume:
        from vesalius.imaging.colour_source import ColourSource
        from vesalius.imaging.sources import StoredSource

        source = StoredSource(images, self.frames)
        frames = {uid: frozenset(listed) for uid, listed in one.images.items() if listed}
        part = f"{sorted((uid, sorted(listed)) for uid, listed in frames.items())} {sorted(one.segments)}"

        def meant(header: SliceHeader, each: Slice) -> bool:
            listed = frames.get(header.sop_instance)
            return (listed is None or each.frame in listed) and (not one.segments or each.segment in one.segments)

        some = bool(frames or one.segments)
        return self.ctx.volumes.of_source(
            ColourSource(source) if own.colour else source,
            "stored" if stored or own.colour or own.plain else "natural",
            part if some else "", meant if some else None,
        )  # fmt: skip

    def _way(
        self, one: Input, images: Sequence[StoredInstance], advanced: Advanced, below: StoredInstance, where: Slice,
        whole: Volume,
    ) -> Transform:  # fmt: skip
        """From points of the frame to those of an input. Raises `NoVolume` where there is no way, or not the named one.

        A registration that the state names is followed within one frame of reference, too (C.11.33.1.1): small
        corrections are made that way.
        """
        from vesalius.imaging.reference_frames import Place
        from vesalius.imaging.transforms import IDENTITY, chain

        shape = advanced.geometry
        named = one.registrations | shape.registrations
        link = self.ctx.spaces.link(Place(where.frame_of_reference, below.series), Place.of(whole), named)
        if not named:
            return link.transform
        kept = {each.sop_instance: each for each in self.ctx.spaces.registrations((below.series, one.series))}
        if not named <= kept.keys():
            raise NoVolume("a registration that the state names is not kept here")
        used = {edge.instance for edge in link.path}
        own = [kept[uid] for uid in sorted(one.registrations - used)]
        others = [kept[uid] for uid in sorted(shape.registrations - used)]
        back = self._correction(own, whole.frame_of_reference, [each.sop_instance for each in images])
        forth = self._correction(others, where.frame_of_reference, [below.sop_instance])
        steps = [forth, link.transform, None if back is None else back.inverse()]
        moved = [each for each in steps if each is not None and each is not IDENTITY]
        return chain(*moved) if moved else IDENTITY

    def _correction(
        self, registrations: Sequence[StoredInstance], frame: str | None, images: Sequence[str]
    ) -> Transform | None:
        for each in registrations if frame is not None else ():
            key = f"{each.member.sha256} {frame} {' '.join(sorted(images))}"
            with self._lock:
                known = key in self._corrections
            if not known:
                found = self.ctx.spaces.correction(each, frame or "", frozenset(images))
                with self._lock:
                    self._corrections[key] = found
                    while len(self._corrections) > REMEMBERED:
                        self._corrections.popitem(last=False)
            with self._lock:
                transform = self._corrections.get(key)
            if transform is not None:
                return transform
        return None

    def _own(self, one: Input, images: Sequence[StoredInstance]) -> Own:
        """What the images say of themselves."""
        from vesalius.imaging.blending_layers import Own, is_colour
        from vesalius.imaging.description import ImageHeader
        from vesalius.imaging.sources import StoredSource, digest_of

        key = f"{digest_of(images)} {one.palette is None}"
        with self._lock:
            if key in self._owns:
                self._owns.move_to_end(key)
                return self._owns[key]
        headers = [each.header for each in StoredSource(images, self.frames).headers()]
        told = [ImageHeader(header) for header in headers]
        said = [each.describe(index) for each in told for index in range(min(max(1, each.frames), MOST_FRAMES))]
        colours = {is_colour(each, one) for each in said}
        if len(colours) > 1:
            raise CannotTranscode("some of its images are grey and others in colours")
        voi = {(each.window, each.voi_lut) for each in said}
        window, voi_lut = voi.pop() if len(voi) == 1 else (None, None)
        plain = all(each.slope == 1 and each.intercept == 0 and each.modality_lut is None for each in said)
        mapped = any(each.says(REAL_WORLD) for each in told)
        inverse = {each.photometric for each in said} == {"MONOCHROME1"}
        found = Own(colours.pop(), window, voi_lut, inverse, plain and mapped)
        with self._lock:
            self._owns[key] = found
            while len(self._owns) > REMEMBERED:
                self._owns.popitem(last=False)
        return found


REAL_WORLD = 0x00409096


def _window_of_labels(whole: Volume) -> Window:
    """From nothing to the highest label; to 1 for one segment."""
    from vesalius.imaging.fusion import window_between

    return window_between(0.0, max(1.0, float(whole.values.max())))


@contextmanager
def _named(one: Input) -> Iterator[None]:
    """Says which input it is that cannot be blended."""
    try:
        yield
    except (NoVolume, CannotTranscode) as error:
        hint = error.hint
        if hint.startswith(("Say which part", "Ask for irregular")):
            hint = "The state can name single images and frames of an input in Referenced Image Sequence."
        if one.time_series and isinstance(error, NoVolume):
            hint = "It is a time series, and a picture shows one point in time. " + hint
        raise CannotTranscode(f"input {one.number} cannot be blended: {error.message}", hint=hint.strip()) from error
