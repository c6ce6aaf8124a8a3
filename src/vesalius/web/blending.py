"""What a blending presentation state lays over an image (PS3.3 C.11.14), sampled out of the archive.

Advanced blending states (C.11.33) come in by the same door; what they need is sampled by `blending_inputs.py`.

Theory. The superimposed images become a volume, kept as those of `volume_store.py` are, and the plane of one underlying
frame is cut out of it by the way of `spaces.py`: a frame of reference that both share, or a registration, which the
state may name. What has no such way, or of which images are missing, is refused: colours beside the organ that they
belong to are worse than none. The rest is done by the process that draws the image (`imaging/blending.py`).
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vesalius.archive.frames import Frames
from vesalius.imaging.presentation import ADVANCED_BLENDING, BLENDING_STATES, references_of
from vesalius.model.elements import Header, HeaderLimits, read_header
from vesalius.model.entities import Level, StoredInstance
from vesalius.model.errors import CannotTranscode, NoVolume
from vesalius.ports.pixels import PresentationSource
from vesalius.web.blending_inputs import MOST_PIXELS, Inputs
from vesalius.web.context import WebContext

if TYPE_CHECKING:
    from vesalius.imaging.advanced_blending import Advanced
    from vesalius.imaging.blending import Blending
    from vesalius.imaging.slices import Slice

# Palettes of 16 bits are 128 KiB a channel, and each input of an advanced blending state has its own.
LIMITS = HeaderLimits(value_bytes=1 << 20, sequence_bytes=16 << 20)
REMEMBERED_STATES = 8  # advanced ones that have been read
REMEMBERED = 16  # instances whose slices are known


@dataclass(slots=True)
class Blender:
    """Samples superimposed images. One for a process; thread-safe. Everything blocks."""

    ctx: WebContext
    frames: Frames
    inputs: Inputs
    _slices: OrderedDict[str, dict[int, Slice]] = field(default_factory=OrderedDict)
    _states: OrderedDict[str, Advanced] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def shown_by(self, state: PresentationSource) -> dict[str, tuple[int, ...]]:
        """The images that a state makes pictures of: SOP Instance UID -> frames from 0, () for all of them.

        Raises `CannotTranscode`.
        """
        if (advanced := self._advanced(state)) is not None:
            return self.inputs.shown_by(advanced)
        header = _header(state)
        if not _blends(header):
            return references_of(header)
        from vesalius.imaging.blending import shown_by

        return shown_by(header)

    def version(self, state: PresentationSource, instance: StoredInstance, index: int) -> str:
        """A text that changes whenever what the state lays over a frame may. Raises as `complete`."""
        if (advanced := self._advanced(state)) is not None:
            return self.inputs.version(advanced, instance, index)
        blending = self._blending(_header(state))
        if blending is None:
            return ""
        from vesalius.imaging.sources import digest_of

        images = self._superimposed(blending, instance)
        return f"{digest_of(images)} {self.ctx.spaces.key((instance.series, images[0].series))}"

    def complete(self, state: PresentationSource, instance: StoredInstance, index: int) -> PresentationSource:
        """The state with what it lays over frame `index` of an instance.

        Raises `CannotTranscode` with the reason why the two cannot be blended, `DamagedInstance`.
        """
        if (advanced := self._advanced(state)) is not None:
            above = self.inputs.layers(advanced, instance, index, lambda: self._slice(instance, index))
            return replace(state, above=above)
        header = _header(state)
        blending = self._blending(header)
        if blending is None:
            return state
        images = self._superimposed(blending, instance)
        try:
            return replace(state, above=self._sampled(header, blending, images, instance, index))
        except NoVolume as error:
            raise CannotTranscode(f"the two sets cannot be blended: {error.message}", hint=error.hint) from error

    def _advanced(self, state: PresentationSource) -> Advanced | None:
        """What an advanced blending state says; None for another one. Raises `CannotTranscode`."""
        if ADVANCED_BLENDING.encode() not in state.dataset:
            return None
        from vesalius.imaging.advanced_blending import advanced_of

        digest = hashlib.sha256(state.dataset).hexdigest()
        with self._lock:
            found = self._states.get(digest)
        if found is None:
            found = advanced_of(_header(state))
            if found is not None:
                # One request asks four times, and thousands of references are long to read.
                with self._lock:
                    self._states[digest] = found
                    while len(self._states) > REMEMBERED_STATES:
                        self._states.popitem(last=False)
        return found

    def _blending(self, header: Header) -> Blending | None:
        if not _blends(header):
            return None
        from vesalius.imaging.blending import blending_of

        return blending_of(header)

    def _superimposed(self, blending: Blending, below: StoredInstance) -> list[StoredInstance]:
        from vesalius.imaging.blending import superimposed_by

        series, images = superimposed_by(blending)
        found = [each for each in self.ctx.index.select(Level.SERIES, series=(series,)) if each.sop_instance in images]
        if len(found) < len(images):
            raise CannotTranscode(f"{len(images) - len(found)} of {len(images)} superimposed images are not kept here")
        if any(each.patient_id != below.patient_id for each in found):
            raise CannotTranscode("the superimposed images are of another patient")
        return found

    def _sampled(
        self, header: Header, blending: Blending, images: Sequence[StoredInstance], below: StoredInstance, index: int
    ) -> bytes:
        from vesalius.imaging.blending import colours, own_modality, rescaled
        from vesalius.imaging.reference_frames import Place
        from vesalius.imaging.reformat import grid_of, reformat
        from vesalius.imaging.resampling import is_label

        one = self._slice(below, index)
        if one.rows * one.columns > MOST_PIXELS:
            raise CannotTranscode(f"underlying images of more than {MOST_PIXELS >> 20} million pixels are not blended")
        said = own_modality(blending)
        whole = self.ctx.volumes.of_images(images, "natural" if said is None else "stored")
        if is_label(whole):
            raise CannotTranscode("segmentations and label maps are not laid over images by a presentation state")
        place = Place(one.frame_of_reference, below.series)
        link = self.ctx.spaces.link(place, Place.of(whole), blending.registrations)
        plane = reformat(whole, grid_of(one), transform=link.transform, frame_of_reference=one.frame_of_reference)
        return colours(rescaled(plane, said), rescaled(whole, said), blending, header).tobytes()

    def _slice(self, instance: StoredInstance, index: int) -> Slice:
        """Where a frame lies. Raises `NoVolume`."""
        digest = instance.member.sha256
        with self._lock:
            found = self._slices.get(digest)
        if found is None:
            from vesalius.imaging.colour_source import placeable
            from vesalius.imaging.slices import slices_of
            from vesalius.imaging.sources import StoredSource

            slices, refused = slices_of(placeable(StoredSource([instance], self.frames)).headers())
            if refused and not slices:
                raise NoVolume(f"where the underlying image lies is not known: {refused[0].reason}")
            found = {one.frame: one for one in slices if one.tile is None}
            with self._lock:
                self._slices[digest] = found
                while len(self._slices) > REMEMBERED:
                    self._slices.popitem(last=False)
        if index not in found:
            raise NoVolume("where the underlying image lies is not known")
        return found[index]


def may_be_about(state: StoredInstance, image: StoredInstance) -> bool:
    """Whether a state shows an image: of its own study, or of another one of the patient where it names studies."""
    if image.study == state.study:
        return True
    return state.sop_class in BLENDING_STATES and bool(image.patient_id) and image.patient_id == state.patient_id


def _header(state: PresentationSource) -> Header:
    return read_header(state.dataset, state.transfer_syntax, LIMITS)


def _blends(header: Header) -> bool:
    return 0x00700402 in header
