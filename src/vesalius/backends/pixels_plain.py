"""Pictures that no decoder has a part in, made in the process that was asked.

Theory. A worker process is there because a decoder is a large piece of C code that a stranger's bytes reach. Native
cells need none: they are counted, looked up in a table, and what the encoder then gets are octets of our own making,
rows times columns of them. On the way to a worker and back such a picture spends more time than in the making, so the
plainest and most frequent are made here: one small native frame of grey or RGB, a small header, nothing drawn on top,
no colour profile (its reader is C code, too), no enlargement that a header could ask for. Every size is bounded before
anything is allocated. Whatever is unusual, an error included, goes to a worker, which answers every case: this way is
only ever quicker, never different (a test compares the two).
"""

from __future__ import annotations

from vesalius.model.errors import VesaliusError
from vesalius.model.rendering import ColourProfile, Fit, ImageFormat, RenderRequest
from vesalius.ports.pixels import FrameSource

LARGEST_FRAME = 2 << 20  # bytes
LARGEST_HEADER = 64 << 10  # bytes; of a CT 4 to 20 KiB
LARGEST_SIDE = 1024  # pixels, of a picture with a size of its own
SQUARE_ENOUGH = 2.0  # how far a pixel may be from square: its picture is as much larger

_FORMATS = (ImageFormat.JPEG, ImageFormat.PNG)
_COLOURS = ("MONOCHROME1", "MONOCHROME2", "RGB")
_SHUTTER_SHAPE = 0x00181600


def is_plain(source: FrameSource, request: RenderRequest) -> bool:
    """Whether a picture may be made here, as far as can be told without the data set."""
    return (
        not source.encapsulated
        and not source.floating
        and 0 < source.size <= LARGEST_FRAME
        and request.format in _FORMATS
        and request.profile is ColourProfile.NONE
        and request.region is None
        and not (request.patient or request.technique or request.exact_size)
        and (request.fit is None or _is_small(request.fit))
    )


def _is_small(fit: Fit) -> bool:
    return fit.width is not None and fit.height is not None and max(fit.width, fit.height) <= LARGEST_SIDE


def plain_picture(source: FrameSource, request: RenderRequest) -> bytes | None:
    """The picture of a source for which `is_plain` holds; None where it is for a worker after all.

    Raises `DamagedInstance`, `NoSuchInstance`.
    """
    # Here and not above: NumPy and the encoders are loaded when the first picture is asked for.
    from vesalius.backends.pixels_frame import LIMITS, DecodedFrame, shown
    from vesalius.backends.pixels_layout import frame_layout
    from vesalius.imaging.description import ImageHeader
    from vesalius.model.elements import read_header

    said = source.header()
    if len(said) > LARGEST_HEADER:
        return None
    data = source.data()
    try:
        header = ImageHeader(read_header(said, source.transfer_syntax, LIMITS))
        layout = frame_layout(header.header, floating=0, largest=LARGEST_FRAME)
        if layout.photometric not in _COLOURS or layout.frame_bytes != len(data) or _SHUTTER_SHAPE in header.header:
            return None
        description = header.describe(source.index)
        if description.icc is not None or not 1 / SQUARE_ENOUGH <= description.aspect <= SQUARE_ENOUGH:
            return None
        return shown(DecodedFrame(data, layout, header, floating=False), description, source.index, request)
    except (VesaliusError, ValueError, ArithmeticError, LookupError, MemoryError):
        return None  # the worker says what is wrong
