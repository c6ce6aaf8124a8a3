"""Every setting of Vesalius: its default, its unit and the reason for both.

The classes below are the only list of settings. The TOML file, the environment (`VESALIUS_*`), `vesalius
serve --set`, the page `docs/reference/settings.md` and the error messages are all read from them, so a
setting that is not documented cannot exist. `app/settings_load.py` fills them in; nothing here reads anything.

Sizes are bytes and may be written as text ("64 MiB"); durations are seconds. A value that the field's
constraint forbids is refused with the setting's name. Values here are what was asked for: what follows from
them (a free port, the number of workers) is settled in `app/lifecycle.py`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from vesalius.app.settings_base import Section, setting
from vesalius.app.settings_clinical import AvailabilitySettings, CommitmentSettings, JobSettings, WorkitemSettings
from vesalius.app.settings_hl7 import Hl7Settings
from vesalius.app.settings_limits import LimitSettings
from vesalius.app.settings_ris import RisSettings
from vesalius.app.settings_web import WebSettings


class ServerSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the archive listens, under which name, and with how many processes."""

    host: Annotated[
        str,
        setting(
            "Address that the DICOM ports bind to.",
            why="Loopback: DICOM has no sign-in of its own, so nothing is open to a network until somebody says so.",
        ),
    ] = "127.0.0.1"
    dimse_port: Annotated[
        int,
        setting(
            "Port for plain DICOM; 0 takes a free one.",
            why="11112 is the registered port that needs no privilege (PS3.8 9.1.1).",
            ge=0,
            le=65535,
        ),
    ] = 11112
    dimse_tls_port: Annotated[
        int,
        setting(
            "Port for DICOM over TLS; unused without `tls_certificate`; 0 takes a free one.",
            why="2762 is the registered port for secure DICOM (PS3.15 B.1).",
            ge=0,
            le=65535,
        ),
    ] = 2762
    tls_certificate: Annotated[
        str,
        setting("PEM file with the server's certificate chain; empty: no TLS port.", why="There is none to ship."),
    ] = ""
    tls_key: Annotated[
        str, setting("PEM file with the key of the certificate; empty: it is in the same file.", why="As most tools.")
    ] = ""
    tls_ca: Annotated[
        str,
        setting(
            "PEM file with the authorities whose client certificates are accepted.",
            why="Empty: the authorities of the operating system are not trusted for clients.",
        ),
    ] = ""
    tls_require_client_certificate: Annotated[
        bool,
        setting(
            "Whether a TLS client must present a certificate that `tls_ca` signed.",
            why="On: an AE title alone is a label, not a proof (PS3.15 B.9). Only asked for where `tls_ca` is set.",
        ),
    ] = True
    http_host: Annotated[
        str,
        setting(
            "Address that the HTTP port binds to.",
            why="Loopback: whoever reaches the port sees patients; there is no sign-in yet.",
        ),
    ] = "127.0.0.1"
    http_port: Annotated[
        int,
        setting("Port for HTTP (DICOMweb, pages, health, metrics); 0 takes a free one.", why="8042 is the custom here.",
                ge=0, le=65535),
    ] = 8042  # fmt: skip
    ae_title: Annotated[
        str,
        setting(
            "Application entity title of this archive: up to 16 characters (PS3.5 6.2).",
            why="What peers call; set it to what your modalities have configured.",
            min_length=1,
            max_length=16,
        ),
    ] = "VESALIUS"
    any_called_ae_title: Annotated[
        bool,
        setting(
            "Accept associations that call another AE title than `ae_title`.",
            why="Off: a wrong called AE title is a wrong address (PS3.8 9.3.4).",
        ),
    ] = False
    workers: Annotated[
        int,
        setting(
            "DIMSE processes that share the ports; 0: one per processor, at most 8.",
            why="One process uses one processor; more than 8 only help where many modalities send at once.",
            ge=0,
            le=256,
        ),
    ] = 0
    pin_workers: Annotated[
        bool,
        setting(
            "Keep each DIMSE process to a processor of its own, where there are enough and no CPU quota is set.",
            why="On: a quarter less processor time for a small instance. Turn it off where other services that keep to "
            "processors share the machine.",
        ),
    ] = True
    web_workers: Annotated[
        int,
        setting(
            "HTTP processes that share the port; 0: one for every four processors, at least 1, at most 4.",
            why="One serves what two processors can read from a disk; each further one is 70 MB resident.",
            ge=0,
            le=64,
        ),
    ] = 0
    insecure_plain_dicom: Annotated[
        bool,
        setting(
            "Serve DICOM without TLS on an address that is not loopback.",
            why="Off: images and names would cross the network readable and unproven. Say it aloud to have it.",
        ),
    ] = False
    insecure_plain_http: Annotated[
        bool,
        setting(
            "Serve HTTP without TLS on an address that is not loopback.",
            why="Off: the same rule as for DICOM. With `tls_certificate` the HTTP port speaks TLS there.",
        ),
    ] = False
    check_peer_addresses: Annotated[
        bool,
        setting(
            "A peer must call from the address it is configured with; from another one it is refused (RJ 1/1/3).",
            why="Off: host names, several interfaces and address translation are common. Turn it on where addresses "
            "are fixed: an AE title alone is a label.",
        ),
    ] = False
    allow_unknown_on_loopback: Annotated[
        bool,
        setting(
            "Where the port listens on loopback alone, callers that are no peers may store, query and retrieve.",
            why="On: the first steps work. On any other address an unknown caller is refused (RJ 1/1/3).",
        ),
    ] = True
    grace: Annotated[
        float,
        setting(
            "How long associations on which something is going on may go on after a request to stop.",
            why="Long enough for the instance on the wire; new associations are refused meanwhile (RJ 2/3/1) and idle "
            "ones aborted.",
            unit="seconds",
            ge=0,
        ),
    ] = 10.0


class CopySettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A further place that holds every pack."""

    name: Annotated[
        str,
        setting("Name of the place, kept in the index.", why="Required.", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$"),
    ]
    path: Annotated[
        str, setting("Folder, best on another disk or machine.", why="Required.", min_length=1)
    ]  # fmt: skip


class StoreSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where and how the bytes are kept."""

    directory: Annotated[
        str,
        setting("Folder of the packs, relative to the data directory unless absolute.", why="All in one place."),
    ] = "packs"
    pack_size: Annotated[
        int,
        setting(
            "Size at which a pack is sealed; an instance is never split.",
            why="1 GiB: one object of object storage, one file to copy or verify in a minute.",
            unit="bytes",
            ge=1 << 20,
        ),
    ] = 1 << 30
    seal_after: Annotated[
        float,
        setting(
            "A pack without new instances for this long is sealed.",
            why="Ten minutes: the studies of one morning share a pack, and a quiet night leaves none open.",
            unit="seconds",
            ge=1,
        ),
    ] = 600.0
    preallocate: Annotated[
        int,
        setting(
            "Space reserved ahead in an open pack.",
            why="64 MiB: the file system allocates in one run and a sync has less to write.",
            unit="bytes",
            ge=0,
        ),
    ] = 64 << 20
    zero_ahead: Annotated[
        int,
        setting(
            "Space of an open pack that is written with zeros in idle time; 0: none.",
            why="A sync into space that was written before needs no journal commit: it takes half the time.",
            unit="bytes",
            ge=0,
        ),
    ] = 128 << 20
    least_inodes: Annotated[
        int,
        setting(
            "Free inodes under which storing is refused (A700) while queries go on.",
            why="The database and the packs need new files to end well.",
            ge=0,
        ),
    ] = 1024
    watermark: Annotated[
        int,
        setting(
            "Free space under which storing is refused (A700) while queries go on.",
            why="The index and the open packs need room to end well: 256 MiB.",
            unit="bytes",
            ge=0,
        ),
    ] = 256 << 20
    copy_interval: Annotated[
        float,
        setting(
            "How often the copier looks for bytes that a further place lacks.",
            why="The time that a copy may lag behind; two seconds cost nothing when there is nothing to do.",
            unit="seconds",
            ge=0.05,
        ),
    ] = 2.0
    undelete_window: Annotated[
        float,
        setting(
            "How long what was deleted can be brought back; after that its bytes are destroyed, copies included.",
            why="Thirty days: a mistake is noticed when the next doctor looks for the images.",
            unit="seconds",
            ge=0,
        ),
    ] = 30 * 86400.0
    compact_dead: Annotated[
        float,
        setting(
            "Share of a sealed pack that must be dead before its living are copied and it is removed.",
            why="Half: what is copied is never more than what is won. Destroyed data take no room before either.",
            gt=0,
            le=1,
        ),
    ] = 0.5
    purge_interval: Annotated[
        float,
        setting(
            "How often deletions whose window has ended are looked for.",
            why="A quarter of an hour; the work itself is done by the work process, behind everything else.",
            unit="seconds",
            ge=0.05,
        ),
    ] = 900.0
    copies: Annotated[
        tuple[CopySettings, ...],
        setting("Further places that hold every pack: `[[store.copies]]`.", why="Your other disk is yours to name."),
    ] = ()


class VerifySettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How stored bytes are re-read and compared with their digests."""

    pace: Annotated[
        int,
        setting(
            "Bytes re-read a second by `vesalius verify`; 0: as fast as the disk.",
            why="50 MiB/s leaves the disk to those who wait for images and reads a terabyte in six hours.",
            unit="bytes",
            ge=0,
        ),
    ] = 50 << 20


class LogSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is logged and how. No level above DEBUG names a patient."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        setting("Least severity that is logged.", why="One line an association, one a restart; none an instance."),
    ] = "info"
    format: Annotated[
        Literal["auto", "json", "text"],
        setting("JSON lines, or text for people; auto: text on a terminal.", why="Machines read logs, people do too."),
    ] = "auto"


class PeerSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another application entity and what it may do here. `vesalius peers add` keeps the same in the database."""

    name: Annotated[str, setting("Name in commands and in `move_to`.", why="Required.", min_length=1, max_length=64)]
    host: Annotated[str, setting("Host name or address.", why="Required.", min_length=1)]
    port: Annotated[int, setting("Port that it listens on.", why="Required.", ge=1, le=65535)]
    aet: Annotated[
        str, setting("Its AE title; empty: the same as the name.", why="Mostly they are.", max_length=16)
    ] = ""  # fmt: skip
    allow: Annotated[
        tuple[Literal["store", "query", "retrieve", "commit", "worklist", "notify", "workitems"], ...],
        setting("What it may do here.", why="Nothing, until it is written down: default deny."),
    ] = ()
    move_to: Annotated[
        tuple[str, ...],
        setting('Peers that it may name as C-MOVE destination; "*": any.', why="Empty: itself only."),
    ] = ()
    tls: Annotated[bool, setting("Reach it over TLS.", why="Off: most peers still cannot.")] = False
    refuse_conflicts: Annotated[
        bool,
        setting(
            "Refuse its instance when another one with the same UID and other content is kept.",
            why="Off: it is kept beside the first, so that no acknowledged byte is lost.",
        ),
    ] = False
    duties: Annotated[
        tuple[Literal["ask-commitment", "commit-same-association", "notify-availability", "forward-mpps"], ...],
        setting(
            "What this archive does for it by itself: asks it to commit to what was sent to it, sends the results of "
            "its own requests for commitment on the same association while that is open, tells it of studies that are "
            "available, forwards performed procedure steps to it.",
            why="Nothing, until it is written down: many peers refuse what they did not ask for.",
        ),
    ] = ()
    comment: Annotated[str, setting("For people.", why="Yours.")] = ""


class Settings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration."""

    data: Annotated[
        str,
        setting("The data directory: packs, index, run files.", why="`./data`: what a first `vesalius serve` makes."),
    ] = "data"
    database: Annotated[
        str,
        setting(
            "Where the index lives: `postgresql://user@host/name`; empty: SQLite, `index.db` in the data directory.",
            why="SQLite needs nobody to run it and holds millions of instances; PostgreSQL serves many machines.",
        ),
    ] = ""
    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    limits: LimitSettings = LimitSettings()
    web: WebSettings = WebSettings()
    jobs: JobSettings = JobSettings()
    commitment: CommitmentSettings = CommitmentSettings()
    availability: AvailabilitySettings = AvailabilitySettings()
    workitems: WorkitemSettings = WorkitemSettings()
    ris: RisSettings = RisSettings()
    hl7: Hl7Settings = Hl7Settings()
    verify: VerifySettings = VerifySettings()
    log: LogSettings = LogSettings()
    peers: Annotated[
        tuple[PeerSettings, ...],
        setting("Peers in the file: `[[peers]]`.", why="Add more with `vesalius peers add`; the file wins by name."),
    ] = ()
