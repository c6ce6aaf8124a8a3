"""Inputs of an advanced blending state that are images of one slide, blended tile by tile (PS3.3 C.11.33, C.7.6.17.3).

Theory. What lies at the same place of the same glass is known where two images are cut into the same tiles
(`imaging/tiles.py`): the frame of the other image is decoded by a worker process and drawn as an input just as the
frame of the picture is. Optical paths of one image are such inputs, too: channels of fluorescence microscopy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vesalius.archive.frames import Frames
from vesalius.model.entities import StoredInstance
from vesalius.model.errors import CannotTranscode, NoVolume

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from vesalius.imaging.advanced_blending import Advanced, Input
    from vesalius.imaging.description import ImageHeader
    from vesalius.imaging.tiles import Tiles

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"


@dataclass(frozen=True, slots=True)
class TileInputs:
    """Draws tiles of other images. One for a process. Everything blocks."""

    frames: Frames

    def of_path(self, one: Input, image: StoredInstance) -> tuple[int, ...]:
        """The frames (from 0) of an image that are of the optical path of an input. Raises `CannotTranscode`."""
        path = _path(one)
        tiles, listed = self._opened(image)[1], one.images.get(image.sop_instance, ())
        found = tuple(each for each in tiles.frames(path) if not listed or each in listed)
        if not found:
            raise CannotTranscode(f"an image has no optical path {path}")
        return found

    def layer(
        self, one: Input, images: Sequence[StoredInstance], advanced: Advanced, below: StoredInstance, index: int
    ) -> npt.NDArray[np.uint8]:
        """The tile of an input at the place of a frame. Raises `CannotTranscode`, `NoVolume`, `DamagedInstance`."""
        from vesalius.imaging.blending_layers import affordable, layer_of_frame
        from vesalius.imaging.colour_source import as_decoded

        if one.registrations or one.segments:
            raise CannotTranscode("tiles of slides are blended without registrations, and not with segments")
        path, tiles = _path(one), self._opened(below)[1]
        for each in images:
            if each.sop_class != WHOLE_SLIDE:
                continue
            image, own = self._opened(each)
            frames = own.frames(path)
            if own.place == tiles.place and own.count == tiles.count and len(frames) >= own.count:
                if len(frames) > own.count:
                    raise CannotTranscode("its image has several optical paths, and the state does not say which")
                frame = frames[index % tiles.count]
                if not one.holds(each.series, each.sop_instance, frame):
                    continue
                opened = self.frames.open(each)
                description = as_decoded(image.describe(frame), opened.transfer_syntax)
                affordable(advanced, description.rows, description.columns)
                cells = opened.native(frame)
                return layer_of_frame(cells, description, image.header, one, each.sop_instance, frame)
        raise NoVolume(
            "none of its images is cut into the same tiles of the same slide",
            hint="Tiles are blended where frame of reference, total pixel matrix, origin, direction and the size of "
            "tiles are the same, and all tiles are there (TILED_FULL).",
        )

    def _opened(self, image: StoredInstance) -> tuple[ImageHeader, Tiles]:
        from vesalius.imaging.description import ImageHeader
        from vesalius.imaging.sources import StoredSource
        from vesalius.imaging.tiles import tiles_of

        header = ImageHeader(StoredSource([image], self.frames).headers()[0].header)
        tiles = tiles_of(header)
        if tiles is None:
            raise NoVolume("where each tile of a slide lies is not said by all being there (TILED_FULL)")
        return header, tiles


def _path(one: Input) -> str:
    if len(one.paths) > 1:
        raise CannotTranscode("an input is one optical path, or all of an image that has one")
    return next(iter(one.paths), "")
