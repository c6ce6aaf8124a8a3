"""Pixels turned into other pixels: another transfer syntax, one frame, a picture to look at.

CPU work on the bytes of strangers: whoever implements this runs it in processes that may die, wherever a decoder is
part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vesalius.model.rendering import RenderRequest


@dataclass(frozen=True, slots=True)
class FrameSource:
    """One frame of a stored instance. What is expensive to read is read only when it is needed."""

    key: str  # names the frame for ever: the same key has the same pixels
    index: int  # from 0
    transfer_syntax: str  # of the header, and of an encapsulated frame
    encapsulated: bool  # else the frame is native cells, little endian, beginning at a whole byte
    floating: int  # bits of a floating point cell (Float Pixel Data); 0 for integers
    header: Callable[[], bytes]  # the data set before its Pixel Data, never deflated
    data: Callable[[], bytes]  # the frame: a codestream without item headers, or native cells
    size: int = 0  # bytes of native cells that are handed out as they lie; 0: not known before they are read


@dataclass(frozen=True, slots=True)
class PresentationSource:
    """A presentation state (PS3.3 A.33) to be applied to a picture."""

    transfer_syntax: str  # never a deflated one
    dataset: bytes
    above: bytes = b""  # RGBA for each pixel of the image: what a blending state lays over it (PS3.3 C.11.14)


class Transcoder(Protocol):
    """What retrieval needs when a receiver does not take what is stored as it is stored."""

    def choose(self, stored: str, accepted: Sequence[str]) -> str | None:
        """The best of the accepted transfer syntaxes that `stored` can be turned into without loss; None if none."""
        ...

    def can(self, stored: str, wanted: str) -> bool:
        """Whether there is a codec from one transfer syntax to the other, with loss or without."""
        ...

    def transcode(self, dataset: bytes, stored: str, wanted: str) -> bytes:
        """The whole data set in the wanted transfer syntax. Raises `CannotTranscode`."""
        ...

    def frame(self, source: FrameSource, wanted: str) -> bytes:
        """One frame as the wanted transfer syntax has it: native cells or a codestream. Raises `CannotTranscode`."""
        ...

    def render(self, source: FrameSource, request: RenderRequest, state: PresentationSource | None = None) -> bytes:
        """One frame as a picture. Raises `CannotTranscode`."""
        ...

    def close(self) -> None:
        """End the worker processes."""
        ...
