"""What the server and its pixel workers say to each other over a pipe.

A request is an operation, its arguments as JSON and up to two runs of bytes; a reply is a status and one run of bytes.
Runs that fit lie in a piece of memory that both have (`SHARED`), larger ones go through the pipe, where half a megabyte
costs each side as much as reading it from a file. Bytes that a worker may still have from an earlier request are
named (`key`) and sent only when it says `MISSING`.
"""

from __future__ import annotations

import enum
import struct

import msgspec

from vesalius.model.rendering import RenderRequest

HEAD = struct.Struct("<BIQQ")  # operation, length of the arguments, of the first and of the second run
REPLY = struct.Struct("<BQ")  # status, length
SHARED = 4 << 20  # bytes: both runs of a request, then the run of its reply


class Operation(enum.IntEnum):
    """What a worker does."""

    TRANSCODE = 1  # first run: the data set
    FRAME = 2  # first run: the header, second: the frame
    RENDER = 3  # the same


class Status(enum.IntEnum):
    """How it went."""

    DONE = 0
    FAILED = 1  # the run is a message
    MISSING = 2  # nothing is remembered under the key: ask again with the bytes


class Transcoding(msgspec.Struct, frozen=True):
    """Arguments of TRANSCODE."""

    stored: str
    wanted: str


class FrameWork(msgspec.Struct, frozen=True, kw_only=True):
    """Arguments of FRAME and RENDER."""

    key: str
    index: int
    transfer_syntax: str
    encapsulated: bool
    floating: int
    sent: bool  # whether the runs hold header and frame
    wanted: str = ""  # FRAME: a transfer syntax
    request: RenderRequest | None = None  # RENDER
    state_syntax: str = ""  # RENDER: a presentation state stands before the header in the first run
    state_length: int = 0
    above_length: int = 0  # and between the two what it lays over the image
