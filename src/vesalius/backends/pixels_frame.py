"""One frame at a time: decoded, remembered for a while, handed out or made a picture.

Decoding happens only inside a worker process.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

from vesalius.backends.pixels_layout import Layout, frame_layout
from vesalius.backends.pixels_messages import FrameWork
from vesalius.backends.pixels_syntaxes import NATIVE
from vesalius.imaging.description import Description, ImageHeader
from vesalius.model.elements import Header, HeaderLimits, read_header
from vesalius.model.errors import CannotTranscode
from vesalius.model.rendering import RenderRequest

# A palette has 128 KiB a channel, the functional groups of ten thousand frames some tens of megabytes.
LIMITS = HeaderLimits(kept_bytes=256 << 20, value_bytes=4 << 20, sequence_bytes=128 << 20)
MOST_HEADERS = 16


@dataclass(slots=True)
class DecodedFrame:
    """A frame as native cells, and what its data set says."""

    cells: bytes
    layout: Layout
    header: ImageHeader
    floating: bool


class Frames:
    """The last frames that were decoded, up to a number of bytes."""

    def __init__(self, largest: int, remembered: int) -> None:
        self._largest = largest
        self._remembered = remembered
        self._headers: OrderedDict[str, ImageHeader] = OrderedDict()
        self._frames: OrderedDict[str, DecodedFrame] = OrderedDict()
        self._bytes = 0

    def get(self, work: FrameWork, header: bytes, data: bytes) -> DecodedFrame | None:
        """The frame, decoded now or before; None where it was not sent and is not remembered."""
        found = self._frames.get(work.key)
        if found is not None:
            self._frames.move_to_end(work.key)
            return found
        if not work.sent:
            return None
        found = self._decoded(work, header, data)
        self._frames[work.key] = found
        self._bytes += len(found.cells)
        while self._bytes > self._remembered and len(self._frames) > 1:
            self._bytes -= len(self._frames.popitem(last=False)[1].cells)
        return found

    def _decoded(self, work: FrameWork, header: bytes, data: bytes) -> DecodedFrame:
        parsed = self._header(work, header)
        layout = frame_layout(parsed.header, floating=work.floating, largest=self._largest)
        if not work.encapsulated:
            # Reduced chrominance makes a native frame smaller than its samples say; the picture maker knows it.
            if len(data) < layout.frame_bytes and "422" not in layout.photometric:
                raise CannotTranscode("the frame is shorter than the attributes say")
            return DecodedFrame(data, layout, parsed, bool(work.floating))
        from vesalius.backends.pixels_decode import decode_frame

        cells, photometric = decode_frame(data, layout, work.transfer_syntax)
        return DecodedFrame(cells, replace(layout, photometric=photometric), parsed, bool(work.floating))

    def _header(self, work: FrameWork, header: bytes) -> ImageHeader:
        instance = work.key.rpartition("/")[0]
        found = self._headers.get(instance)
        if found is None:
            found = self._headers[instance] = ImageHeader(read_header(header, work.transfer_syntax, LIMITS))
            while len(self._headers) > MOST_HEADERS:
                self._headers.popitem(last=False)
        self._headers.move_to_end(instance)
        return found


def encoded(frame: DecodedFrame, wanted: str) -> bytes:
    """A decoded frame in a transfer syntax. Raises `CannotTranscode`."""
    if wanted in NATIVE:
        return frame.cells
    from vesalius.backends.pixels_encode import encode_frame

    if frame.floating:
        raise CannotTranscode("floating point pixels cannot be compressed")
    if "422" in frame.layout.photometric or "420" in frame.layout.photometric:
        raise CannotTranscode("native pixels with reduced chrominance cannot be compressed")
    return encode_frame(frame.cells, frame.layout, wanted)


def picture(frame: DecodedFrame, work: FrameWork, state: bytes, above: bytes, largest: int) -> bytes:
    """A decoded frame as a file to look at. Raises `CannotTranscode`."""
    request = work.request
    if request is None:
        raise CannotTranscode("no picture was asked for")
    fit = request.fit
    if fit is not None and (fit.width or 1) * (fit.height or 1) * 3 > largest:
        raise CannotTranscode("the picture would pass the limit")
    said = read_header(state, work.state_syntax, LIMITS) if work.state_syntax else None
    return shown(frame, frame.header.describe(work.index), work.index, request, said, above)


def shown(
    frame: DecodedFrame,
    description: Description,
    index: int,
    request: RenderRequest,
    state: Header | None = None,
    above: bytes = b"",
) -> bytes:
    """A decoded frame, described, as a file to look at. Raises `CannotTranscode`."""
    from vesalius.backends.pixels_images import encode_image
    from vesalius.imaging.picture import picture_of

    layout = frame.layout
    described = replace(
        description,
        allocated=layout.allocated,
        photometric=layout.photometric,
        planar=layout.planar,
        floating=frame.floating,
    )
    pixels, profile = picture_of(frame.cells, frame.header, described, index, request, state, above)
    return encode_image(pixels, request.format, request.quality, profile)
