"""Every object of one process, built once and by hand: the only place that knows which back end is behind a port.

`build` is for one process and after its last fork: databases and packs hold threads and locks. Nothing here
decides anything; it turns settings into the arguments of the parts.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vesalius.app.limits import dimse_settings, header_limits, query_limits, spool_settings
from vesalius.app.settings import PeerSettings, Settings
from vesalius.app.tls import client_tls
from vesalius.model.entities import Peer
from vesalius.model.errors import SettingsError

if TYPE_CHECKING:
    from vesalius.app.jobs import Bell
    from vesalius.app.metrics import Metrics
    from vesalius.archive.commit import Commit
    from vesalius.archive.ingest import Ingest
    from vesalius.archive.retrieve import Retrieve
    from vesalius.archive.search import Search
    from vesalius.backends.database import Database
    from vesalius.dimse.services import Services
    from vesalius.ports.blobs import BlobStore
    from vesalius.ports.coercions import Coercions
    from vesalius.ports.commitments import Notices
    from vesalius.ports.index import Index
    from vesalius.ports.jobs import Jobs
    from vesalius.ports.pixels import Transcoder
    from vesalius.ports.ris import Ris
    from vesalius.ports.workitems import Workitems
    from vesalius.ris.rules import RisRules
    from vesalius.web.context import WebContext
    from vesalius.web.site import Site


class SystemClock:
    """The machine's clocks (`ports.clock.Clock`)."""

    def utc(self) -> str:
        """Now, ISO 8601 with microseconds and "Z"."""
        return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class Archive:
    """The archive of one process. Close it once."""

    settings: Settings
    clock: SystemClock
    blobs: BlobStore
    index: Index
    ingest: Ingest
    search: Search
    retrieve: Retrieve
    transcoder: Transcoder
    database: Database
    bell: Bell
    jobs: Jobs
    commit: Commit
    notices: Notices
    ris: Ris
    ris_rules: RisRules
    workitems: Workitems
    coercions: Coercions

    def peers(self) -> dict[str, Peer]:
        """Peers of the database and of the configuration by name; the configuration wins. Blocks."""
        peers = {peer.name: peer for peer in self.index.peers()}
        return peers | configured_peers(self.settings)

    def copy_lags(self) -> dict[str, int]:
        """Bytes of packs that each further place still lacks. Blocks."""
        packs = self.index.packs()
        lags = {}
        for place in self.blobs.places():
            there = {copy.pack: copy.copied_to for copy in self.index.copies(place)}
            goals = ((pack.name, pack.size if pack.state == "sealed" else pack.indexed_to) for pack in packs)
            lags[place] = sum(max(0, goal - there.get(name, 0)) for name, goal in goals)
        return lags

    def close(self) -> None:
        """Seal what has arrived, then release everything in the order that promises need."""
        self.ingest.close()
        self.transcoder.close()
        self.blobs.close()
        self.index.close()


def peer_from(peer: PeerSettings) -> Peer:
    """A `[[peers]]` table as the archive's noun."""
    return Peer(
        name=peer.name,
        host=peer.host,
        port=peer.port,
        aet=peer.aet or peer.name,
        rights=frozenset(peer.allow),
        move_to=peer.move_to,
        tls=peer.tls,
        refuse_conflicts=peer.refuse_conflicts,
        comment=peer.comment,
        duties=frozenset(peer.duties),
    )


def configured_peers(settings: Settings) -> dict[str, Peer]:
    """The peers of the configuration file by name."""
    return {peer.name: peer_from(peer) for peer in settings.peers}


def database_url(settings: Settings) -> str:
    """`database`, or the SQLite file in the data directory."""
    return settings.database or f"sqlite:///{(Path(settings.data) / 'index.db').absolute()}"


def index_file(settings: Settings) -> Path | None:
    """The file of an embedded index; None where a database server keeps it."""
    scheme, _, path = database_url(settings).partition(":///")
    return Path(path) if scheme == "sqlite" else None


def packs_folder(settings: Settings) -> Path:
    """Where the packs lie."""
    return Path(settings.data) / settings.store.directory


def build(
    settings: Settings,
    *,
    metrics: Metrics | None = None,
    migrate: bool = True,
    must_exist: bool = False,
    owner: str = "",
) -> Archive:
    """Open the archive that the settings name; make it where it is not there yet unless `must_exist`.

    `owner` is the name of a process that does jobs (`jobs.owner_of`).

    Raises `SettingsError`, `IndexUnavailable`, `OutOfResources`.
    """
    from vesalius.app.jobs import LEASE_SECONDS, Bell
    from vesalius.app.ris import rules_of
    from vesalius.archive.commit import Commit
    from vesalius.archive.ingest import Ingest, IngestLimits
    from vesalius.archive.retrieve import Retrieve
    from vesalius.archive.search import Search
    from vesalius.backends.availability_sql import SqlNotices
    from vesalius.backends.blobs_packs import PackStore
    from vesalius.backends.coercions_sql import SqlCoercions
    from vesalius.backends.commitments_sql import SqlCommitments
    from vesalius.backends.database import open_database
    from vesalius.backends.index_sql import SqlIndex
    from vesalius.backends.jobs_sql import SqlJobs
    from vesalius.backends.packs_volume import PackSettings
    from vesalius.backends.pixels_codecs import CodecLimits, PixelCodecs
    from vesalius.backends.ris_sql import SqlRis
    from vesalius.backends.workitems_sql import SqlWorkitems

    data = Path(settings.data)
    if must_exist and not settings.database and not (data / "index.db").exists():
        raise SettingsError(f"data: there is no archive in {data}", hint="Name its folder with --data DIR.")
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o750)
    except OSError as error:
        raise SettingsError(f"data: cannot make {error.filename}: {error.strerror}") from None
    limits = settings.limits
    database = open_database(database_url(settings), migrate=migrate)
    index: Index = SqlIndex(database)
    store = settings.store
    blobs: BlobStore = PackStore(
        packs_folder(settings),
        settings=PackSettings(
            pack_size=store.pack_size,
            seal_after=store.seal_after,
            preallocate=store.preallocate,
            zero_ahead=store.zero_ahead,
            watermark=store.watermark,
            least_inodes=store.least_inodes,
        ),
        copies={copy.name: Path(copy.path) for copy in store.copies},
    )
    if metrics is not None:
        blobs, index = metrics.timed_blobs(blobs), metrics.timed_index(index)
    clock = SystemClock()
    transcoder = PixelCodecs(
        CodecLimits(
            workers=limits.transcode_workers,
            memory=limits.transcode_memory,
            cpu_seconds=max(1, int(limits.transcode_seconds)),
            seconds=limits.transcode_wait,
            decoded_bytes=limits.transcode_size,
        )
    )
    ingest_limits = IngestLimits(
        object_bytes=limits.object_size or 1 << 62,
        header=header_limits(settings),
        batch=limits.batch,
        compared_bytes=limits.compare_size,
    )
    bell = Bell()
    coercions = SqlCoercions(database)
    return Archive(
        settings=settings,
        clock=clock,
        blobs=blobs,
        index=index,
        ingest=Ingest(blobs, index, clock=clock, limits=ingest_limits, observe=metrics),
        search=Search(index, settings.server.ae_title),
        retrieve=Retrieve(
            index,
            blobs,
            transcoder,
            largest_transcoded=limits.transcode_size,
            coercions=coercions,
            system=settings.server.ae_title,
        ),
        transcoder=transcoder,
        database=database,
        bell=bell,
        jobs=SqlJobs(database, clock, bell),
        commit=Commit(
            SqlCommitments(database),
            index,
            blobs,
            clock,
            owner=owner,
            seconds=LEASE_SECONDS,
            expiry=settings.commitment.expiry,
        ),
        notices=SqlNotices(database),
        ris=SqlRis(database),
        ris_rules=rules_of(settings),
        workitems=SqlWorkitems(database, bell),
        coercions=coercions,
    )


def services(archive: Archive, *, loopback: bool, metrics: Metrics | None = None) -> Services:
    """The archive as one DIMSE listener needs it. Unknown callers have rights on loopback at most."""
    from vesalius.dimse.services import Observer, Services
    from vesalius.ris.worklist import Worklist

    settings = archive.settings
    mapping: Mapping[str, object] = {"observer": metrics if metrics is not None else Observer()}
    return dataclasses.replace(
        Services(
            ingest=archive.ingest,
            search=archive.search,
            retrieve=archive.retrieve,
            peers=archive.peers,
            clock=archive.clock,
            settings=dimse_settings(settings, allow_unknown=loopback and settings.server.allow_unknown_on_loopback),
            client_tls=client_tls(settings),
            commit=archive.commit,
            worklist=Worklist(archive.ris, archive.ris_rules),
            ris=archive.ris,
            ris_rules=archive.ris_rules,
            workitems=archive.workitems,
            worklist_label=settings.workitems.label,
            workflow_changed=archive.bell,
        ),
        **mapping,  # type: ignore[arg-type]
    )


def web_context(archive: Archive, site: Site) -> WebContext:
    """The archive as the HTTP edge needs it. Its pool ends with the process."""
    from concurrent.futures import ThreadPoolExecutor

    from vesalius import __version__
    from vesalius.app.caller import ArchiveCaller
    from vesalius.backends.hl7_sql import SqlHl7Log
    from vesalius.hl7.raw import readable
    from vesalius.web.context import WebContext, WebSettings
    from vesalius.web.hl7_desk import Hl7Desk

    settings = archive.settings
    web = settings.web
    return WebContext(
        site=site,
        search=archive.search,
        retrieve=archive.retrieve,
        index=archive.index,
        blobs=archive.blobs,
        ingest=archive.ingest,
        transcoder=archive.transcoder,
        clock=archive.clock,
        peers=archive.peers,
        pool=ThreadPoolExecutor(web.threads, "web"),
        promised=archive.commit.kept.promised,
        caller=ArchiveCaller(archive),
        ris=archive.ris,
        ris_rules=archive.ris_rules,
        workitems=archive.workitems,
        commit=archive.commit,
        jobs=archive.jobs,
        hl7=Hl7Desk(
            SqlHl7Log(archive.database),
            readable,
            tuple(one.name for one in settings.hl7.sources),
            tuple(one.name for one in settings.hl7.destinations),
        ),
        view=WebSettings(
            ae_title=settings.server.ae_title,
            version=__version__,
            public_url=web.public_url,
            hosts=own_hosts(settings),
            no_match_status=web.no_match_status,
            results=web.results,
            query=query_limits(settings),
            body_bytes=web.body_size,
            listeners=web.listeners,
            cache=Path(settings.data) / "run",
            metadata_memory=web.metadata_memory,
            metadata_disk=web.metadata_disk,
            volumes_disk=web.volumes_disk,
            assets=assets_folder(settings),
            upload_idle=web.upload_idle,
            store_bytes=web.store_size,
            worklist_label=settings.workitems.label,
            undelete_window=settings.store.undelete_window,
            uploads=spool_settings(settings),
        ),
    )


def own_hosts(settings: Settings) -> frozenset[str] | None:
    """The names that a service of this machine alone is reached by; None where it serves a network."""
    from vesalius.app.checks import is_loopback
    from vesalius.web.door import LOOPBACK_HOSTS

    host = settings.server.http_host
    if not is_loopback(host):
        return None
    outside = urlsplit(settings.web.public_url).hostname or "localhost"
    return LOOPBACK_HOSTS | {host.lower(), outside.lower()}


def assets_folder(settings: Settings) -> Path | None:
    """Where the viewer's files lie: `web.assets`, else `web-assets` beside the source or in the package."""
    if settings.web.assets:
        return Path(settings.web.assets)
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "web-assets", package.parents[1] / "web-assets"):
        if folder.is_dir():
            return folder
    return None
