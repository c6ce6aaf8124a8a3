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
    connections: Annotated[
        int,
        setting(
            "Connections to a worker process besides its associations (not asked yet, or refused); one more is closed.",
            why="256: a burst of callers waits its turn, a port scan does not eat the descriptors.",
            ge=1,
        ),
    ] = 256
    operations: Annotated[
        int,
        setting(
            "Operations of one association at once (asynchronous operations window); the peer is not read meanwhile.",
            why="16: what one sync serves at a time; more only waits in memory.",
            ge=1,
            le=1000,
        ),
    ] = 16
    identifier_size: Annotated[
        int,
        setting(
            "Largest identifier of a query or retrieve; a larger one is refused (A700, A701).",
            why="100,000 UIDs in a list are 4 MB.",
            unit="bytes",
            ge=1 << 10,
            le=1 << 30,
        ),
    ] = 16 << 20
    query_wildcards: Annotated[
        int,
        setting(
            "Wildcards (`*` and `?`) in one query; more is refused (A700, HTTP 400).",
            why="A person types a handful; each costs a look at every candidate.",
            ge=1,
        ),
    ] = 100
    query_patterns: Annotated[
        int,
        setting("Values with wildcards in one key; more is refused (A700, HTTP 400).", why="As above.", ge=1),
    ] = 1000
    query_pattern_size: Annotated[
        int,
        setting(
            "Characters of all values with wildcards in one key; more is refused (A700, HTTP 400).",
            why="Real patterns are shorter than a name.",
            ge=16,
        ),
    ] = 20_000
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
    reuse: Annotated[
        float,
        setting(
            "An association to a move destination is kept for the next C-MOVE for this long, as long as the one that "
            "asked is still there; 0: released at once.",
            why="Enough for a workstation that asks series by series; soon enough for one that waits for the release.",
            unit="seconds",
            ge=0,
        ),
    ] = 0.2
    pending_interval: Annotated[
        float,
        setting(
            "At the latest after this long a requester of C-MOVE or C-GET hears a Pending.",
            why="Requesters give up on silence, some after a few seconds.",
            unit="seconds",
            gt=0,
        ),
    ] = 1.0
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
            why="Besides the ratio: against decompression bombs.",
            unit="bytes",
            ge=1 << 20,
        ),
    ] = 4 << 30
    inflated_ratio: Annotated[
        int,
        setting(
            "Bytes that a received byte of a deflated data set may inflate to, beyond 16 MiB.",
            why="Real headers and pixels reach 20; a bomb 1000.",
            ge=2,
        ),
    ] = 100
    elements: Annotated[
        int,
        setting(
            "Elements of one data set, those in sequences included; more is refused (A700).",
            why="The largest real objects (segmentations, slides) have some hundred thousand.",
            ge=10_000,
        ),
    ] = 4_000_000
    compare_size: Annotated[
        int,
        setting(
            "Largest data set that is compared by content with the one kept under its UID, where the bytes differ; "
            "a larger one is a conflict. 0: every difference is one.",
            why="Senders that encode anew (another native transfer syntax, lengths of sequences) send what is known.",
            unit="bytes",
            ge=0,
            le=1 << 30,
        ),
    ] = 64 << 20
    batch: Annotated[
        int,
        setting(
            "Instances made durable by one sync and one transaction at most.",
            why="A sync for 256 costs as much as for one; more makes the first wait.",
            ge=1,
            le=10_000,
        ),
    ] = 256
    sequence_depth: Annotated[
        int,
        setting("Deepest nesting of sequences.", why="Structured reports reach 20; 64 is beyond any real object.",
                ge=1, le=256),
    ] = 64  # fmt: skip
    zip_entries: Annotated[
        int,
        setting("Entries of one ZIP archive that are imported; the rest is refused.", why="A million is a trap.", ge=1),
    ] = 200_000
    zip_size: Annotated[
        int,
        setting(
            "Bytes that all entries of one ZIP archive may unpack to; the rest is refused.",
            why="Counted as they come out, whatever their headers claim.",
            unit="bytes",
            ge=1 << 20,
        ),
    ] = 256 << 30
    zip_ratio: Annotated[
        int,
        setting("Bytes that a byte of a ZIP archive may unpack to, beyond 16 MiB.", why="Images reach 10.", ge=2),
    ] = 200
    dicomdir_size: Annotated[
        int,
        setting("Largest DICOMDIR that is read.", why="A medium of a million images has 200 MB.", unit="bytes",
                ge=1 << 16, le=2 << 30),
    ] = 256 << 20  # fmt: skip
    sub_operations: Annotated[
        int,
        setting(
            "Retrieve operations (C-MOVE, C-GET) at once in one worker process.",
            why="Each holds a destination's association; the disk is shared by all.",
            ge=1,
        ),
    ] = 32
    retrieve_memory: Annotated[
        int,
        setting(
            "Data sets held whole for C-MOVE and C-GET in one worker process, read ahead included; more is streamed.",
            why="Whole reads are verified and sent in one go; streaming reads the disk twice and needs no memory.",
            unit="bytes",
            ge=0,
        ),
    ] = 256 << 20
    large_transcodings: Annotated[
        int,
        setting(
            "Data sets over 16 MiB being turned for C-MOVE and C-GET in one worker process at once; others wait.",
            why="Each is whole in memory, before and after.",
            ge=1,
            le=64,
        ),
    ] = 1
    threads: Annotated[
        int,
        setting(
            "Threads of one worker process that query the index and read packs.",
            why="Reads release the interpreter; a slow query does not hold up seven others.",
            ge=1,
            le=64,
        ),
    ] = 8
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
    transcode_wait: Annotated[
        float,
        setting(
            "Time that decoding one instance may take by the clock, the wait for disk and processor included.",
            why="Three times the processor time: other work goes on beside it.",
            unit="seconds",
            gt=0,
        ),
    ] = 180.0
    transcode_memory: Annotated[
        int,
        setting(
            "Address space of one process that decodes.",
            why="Room for the largest data set before and after, and for the codec.",
            unit="bytes",
            ge=256 << 20,
        ),
    ] = 4 << 30
    transcode_size: Annotated[
        int,
        setting(
            "Largest data set, frame or picture that is decoded; a larger one goes out as it is stored or not at all.",
            why="It is in memory whole.",
            unit="bytes",
            ge=1 << 20,
        ),
    ] = 1 << 30
    transcode_workers: Annotated[
        int,
        setting(
            "Processes of one worker that decode; they are started when first needed. 0: one per processor.",
            why="Decoding is bound by processors.",
            ge=0,
            le=64,
        ),
    ] = 0
