"""The limits among the settings: every one has a stated answer when it is passed."""

from __future__ import annotations

from typing import Annotated

from vesalius.app.settings_base import Section, setting


class LimitSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of anything one peer may ask for. A passed limit has a stated answer, never a crash."""

    associations: Annotated[
        int,
        setting(
            "Associations at once in one worker process; one more is refused (RJ 2/3/2).",
            why="200: the p99 of a small hospital is 20; memory for one is well under 1 MiB.",
            ge=1,
        ),
    ] = 200
    artim: Annotated[
        float,
        setting(
            "ARTIM: from connection to a complete A-ASSOCIATE-RQ, and from reject or abort to the close (PS3.8 9.1.5).",
            why="Slow starters on bad lines need seconds, not minutes.",
            unit="seconds",
            gt=0,
        ),
    ] = 30.0
    idle: Annotated[
        float,
        setting(
            "An association without traffic for this long is aborted (A-ABORT 0/0).",
            why="Workstations keep associations open between clicks; ten minutes outlasts them.",
            unit="seconds",
            gt=0,
        ),
    ] = 600.0
    network: Annotated[
        float,
        setting(
            "A message that has begun, or a peer that does not read, may stall for this long.",
            why="Finds half-open connections; a healthy sender never pauses in mid object.",
            unit="seconds",
            gt=0,
        ),
    ] = 60.0
    connect: Annotated[
        float,
        setting(
            "Time to reach a peer and be accepted when this archive opens the association.",
            why="A broken C-MOVE destination must not hang its requester.",
            unit="seconds",
            gt=0,
        ),
    ] = 10.0
    response: Annotated[
        float,
        setting(
            "Time that a peer may take to answer an operation of this archive (a C-STORE of a C-MOVE, a C-FIND).",
            why="Two minutes: a receiver may write a large object to a slow disk; one that hangs fails what is left.",
            unit="seconds",
            gt=0,
        ),
    ] = 120.0
    max_pdu: Annotated[
        int,
        setting(
            "Largest P-DATA-TF that this archive says it takes (PS3.8 D.1).",
            why="1 MiB: few headers a megabyte; more brings nothing measurable.",
            unit="bytes",
            ge=4096,
            le=128 << 20,
        ),
    ] = 1 << 20
    object_size: Annotated[
        int,
        setting(
            "Largest data set that is taken; larger ones are refused (A700). 0: no limit but the disk.",
            why="Whole slide images and long ultrasound loops are many gigabytes and stream with bounded memory.",
            unit="bytes",
            ge=0,
        ),
    ] = 0
    header_size: Annotated[
        int,
        setting(
            "Most of a data set before Pixel Data that is kept in memory for indexing.",
            why="Real headers, presentation states and structured reports are smaller; a bomb is not.",
            unit="bytes",
            ge=1 << 16,
        ),
    ] = 64 << 20
    inflated_size: Annotated[
        int,
        setting(
            "Most that a deflated data set may inflate to while it is indexed.",
            why="Besides the fixed ratio (100 x its size + 16 MiB): against decompression bombs.",
            unit="bytes",
            ge=1 << 20,
        ),
    ] = 4 << 30
    sequence_depth: Annotated[
        int,
        setting("Deepest nesting of sequences.", why="Structured reports reach 20; 64 is beyond any real object.",
                ge=1, le=256),
    ] = 64  # fmt: skip
    sub_operations: Annotated[
        int,
        setting(
            "Retrieve operations (C-MOVE, C-GET) at once in one worker process.",
            why="Each holds a destination's association; the disk is shared by all.",
            ge=1,
        ),
    ] = 32
    move_pipelines: Annotated[
        int,
        setting("Associations at once to one move destination.", why="One keeps the order and is never refused.",
                ge=1, le=16),
    ] = 1  # fmt: skip
    transcode_seconds: Annotated[
        float,
        setting(
            "Processor time that decoding one instance may take.",
            why="A malformed code stream may loop; its worker process is ended.",
            unit="seconds",
            gt=0,
        ),
    ] = 60.0
