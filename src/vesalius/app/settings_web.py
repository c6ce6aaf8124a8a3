"""The settings of the HTTP edge: DICOMweb, the pages, uploads and the viewer."""

from __future__ import annotations

from typing import Annotated, Literal

from vesalius.app.settings_base import Section, setting


class WebSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How DICOMweb and the pages answer."""

    public_url: Annotated[
        str,
        setting(
            'Address of this service as its users reach it ("https://pacs.example.org"), for addresses in answers.',
            why="Empty: as the request says. Set it behind a proxy, which knows another address.",
            pattern=r"^(https?://[^\s/?#]+(/[^\s?#]*)?)?$",
        ),
    ] = ""
    no_match_status: Annotated[
        Literal[200, 204],
        setting(
            "HTTP status of a search without a match: 200 with an empty list, or 204 without a body.",
            why="200 since the edition of 2025 (PS3.18 10.6.3); some older clients know only 204.",
        ),
    ] = 200
    results: Annotated[
        int,
        setting(
            "Most answers of one search; a warning says how many more there are.",
            why="10,000 studies are 15 MB of JSON; a client that wants more pages with `offset`.",
            ge=1,
            le=1_000_000,
        ),
    ] = 10_000
    threads: Annotated[
        int,
        setting(
            "Threads of one HTTP process that read the index and the packs.",
            why="Reads release the interpreter; more than 8 only add memory.",
            ge=1,
            le=64,
        ),
    ] = 8
    body_size: Annotated[
        int,
        setting(
            "Largest request body that is held in memory; uploads stream and are not meant.",
            why="Metadata of a large series as JSON is some 20 MB.",
            unit="bytes",
            ge=1 << 16,
        ),
    ] = 64 << 20
    store_size: Annotated[
        int,
        setting(
            "Largest body of one STOW-RS request; 0: no limit but the disk.",
            why="Bodies stream with bounded memory. 64 GiB is more than any real request; what loops ends there.",
            unit="bytes",
            ge=0,
        ),
    ] = 64 << 30
    upload_size: Annotated[
        int,
        setting(
            "Largest file that the page uploads.",
            why="A ZIP of a whole patient, or a whole slide image: 64 GiB.",
            unit="bytes",
            ge=1 << 20,
        ),
    ] = 64 << 30
    upload_quota: Annotated[
        int,
        setting(
            "Room for all unfinished uploads together (`run/uploads` in the data directory).",
            why="Two of the largest at once; what is announced counts, not only what has come.",
            unit="bytes",
            ge=1 << 20,
        ),
    ] = 128 << 30
    upload_expiry: Annotated[
        float,
        setting(
            "An upload without news for this long is forgotten, finished or not.",
            why="A day: a laptop that was closed in the evening goes on in the morning.",
            unit="seconds",
            gt=0,
        ),
    ] = 86400.0
    upload_idle: Annotated[
        float,
        setting(
            "An upload that brings no byte for this long is ended.",
            why="As `limits.network`: a healthy sender never pauses in mid object.",
            unit="seconds",
            gt=0,
        ),
    ] = 60.0
    listeners: Annotated[
        int,
        setting(
            "Event streams (pages that show arrivals live) at once in one HTTP process; one more is answered 503.",
            why="One for each open page; each is a few kilobytes and a poll that all share.",
            ge=1,
        ),
    ] = 256
    metadata_memory: Annotated[
        int,
        setting(
            "Compressed metadata of series kept in the memory of one HTTP process.",
            why="A CT series of 300 images is 100 kB compressed: some 300 series are at hand at once.",
            unit="bytes",
            ge=0,
        ),
    ] = 32 << 20
    metadata_disk: Annotated[
        int,
        setting(
            "Compressed metadata of series kept in `run/metadata` of the data directory; 0: none.",
            why="A tenth of a per mille of the images; it may be removed at any time and is made again.",
            unit="bytes",
            ge=0,
        ),
    ] = 1 << 30
    volumes_disk: Annotated[
        int,
        setting(
            "Volumes of series kept as files in `run/volumes` of the data directory, for planes and chunks.",
            why="A CT of 500 images is 500 MiB as HU: some forty at hand. It may be removed at any time.",
            unit="bytes",
            ge=1 << 20,
        ),
    ] = 20 << 30
    assets: Annotated[
        str,
        setting(
            "Folder of the viewer's files; empty: the one that `make install` fills.",
            why="They come from npm and are not part of the source.",
        ),
    ] = ""
