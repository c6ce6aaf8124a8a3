"""Counters of all processes, in the Prometheus text form.

Every worker counts into small mapped files (prometheus-client's multi-process mode) and the web process adds them
up, so one scrape sees the whole service and a restarted worker loses nothing. The files are in memory (`/dev/shm`),
not in the data directory: a mapped file on a full disk kills who writes to it, and counting must never cost an
association. The environment variable that switches that mode on must be set before the library is imported:
`prepare` does it, and this module imports the library nowhere else than inside its functions.

Labels are closed sets (services, verdicts, status codes): nothing that a peer sends becomes a label.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from vesalius.dimse.services import Observer as DimseObserver
from vesalius.model.entities import Arrival, Claim, Member, Provenance, Receipt, Verdict

if TYPE_CHECKING:
    from vesalius.ports.blobs import BlobStore
    from vesalius.ports.index import Index

ENVIRONMENT = "PROMETHEUS_MULTIPROC_DIR"
LINK = "metrics"
PREFIX = "vesalius-metrics-"
FILE_SIZE = 128 << 10  # several times what the counters of one process need
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)


def prepare(run: Path) -> Path:
    """An empty folder for this run's counters; call before the first fork.

    `DATA/run/metrics` is a link to it, by which the next run removes what a killed one has left.
    """
    link = run / LINK
    if link.is_symlink():
        left = link.readlink()
        if left.name.startswith(PREFIX):
            shutil.rmtree(left, ignore_errors=True)
        link.unlink()
    memory = Path("/dev/shm")  # noqa: S108  (mkdtemp makes a private folder in it)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=memory if os.access(memory, os.W_OK) else None))
    os.environ[ENVIRONMENT] = str(folder)
    with contextlib.suppress(OSError):  # a full disk: the folder will be left behind if this run is killed
        link.symlink_to(folder)
    return folder


def remove(folder: Path | None) -> None:
    """The run is over."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _reserve(folder: str) -> None:
    """Space for this process's counters, so that writing to their mapped files cannot fail."""
    for kind in ("counter", "histogram", "gauge_livesum"):
        descriptor = os.open(Path(folder) / f"{kind}_{os.getpid()}.db", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, FILE_SIZE)
        finally:
            os.close(descriptor)


def forget_process(pid: int) -> None:
    """A worker is gone: what it had open is open no more."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


class Metrics(DimseObserver):
    """One process's counters. It is the observer of the DIMSE edge and of `archive/ingest.py` at once."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        with contextlib.suppress(OSError):
            _reserve(os.environ[ENVIRONMENT])
        registry = CollectorRegistry()
        self._associations = Counter(
            "vesalius_associations", "Associations by outcome.", ["outcome"], registry=registry
        )
        self._open = Gauge(
            "vesalius_associations_open", "Associations open now.", registry=registry, multiprocess_mode="livesum"
        )
        self._instances = Counter(
            "vesalius_instances", "Instances received, by what became of them.", ["verdict"], registry=registry
        )
        self._received = Counter("vesalius_received_bytes", "Data set bytes received.", registry=registry)
        self._sent = Counter("vesalius_sent_bytes", "Data set bytes sent.", registry=registry)
        self._responses = Counter(
            "vesalius_dimse_responses", "Final responses by service and status.", ["service", "status"],
            registry=registry,
        )  # fmt: skip
        self._durations = Histogram(
            "vesalius_dimse_seconds", "From a request to its final response.", ["service"], buckets=_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._sync = Histogram(
            "vesalius_sync_seconds", "Making a batch durable in the packs.", buckets=_SECONDS, registry=registry
        )
        self._index = Histogram(
            "vesalius_index_seconds", "The index transaction of a batch.", buckets=_SECONDS, registry=registry
        )
        self._jobs = Counter(
            "vesalius_jobs", "Ends of attempts at jobs, by kind: done, again, failed, lost.", ["kind", "outcome"],
            registry=registry,
        )  # fmt: skip
        self._hl7 = Counter(
            "vesalius_hl7_messages",
            "HL7 messages by way (in, out), source or destination, and what became of them.",
            ["way", "partner", "outcome"],
            registry=registry,
        )
        self._hl7_connections = Counter(
            "vesalius_hl7_connections", "Connections to the MLLP listener by outcome.", ["outcome"], registry=registry
        )
        self._by_response: dict[tuple[str, int], tuple[Any, Any]] = {}
        self._by_verdict = {verdict: self._instances.labels(verdict.value) for verdict in Verdict}
        self._refused = self._instances.labels("refused")

    def job_ended(self, kind: str, outcome: str) -> None:
        """An attempt at a job ended (`app.jobs.JobRunner`)."""
        self._jobs.labels(kind, outcome).inc()

    def hl7_happened(self, way: str, partner: str, what: str) -> None:
        """A message came or went, or somebody connected (`app.hl7.Hl7`). `partner` is a name of the settings."""
        if way == "connection":
            self._hl7_connections.labels(what).inc()
        else:
            self._hl7.labels(way, partner or "unknown", what).inc()

    def association_opened(self, calling_aet: str) -> None:
        """See `dimse.services.Observer`."""
        self._associations.labels("accepted").inc()
        self._open.inc()

    def association_closed(self, calling_aet: str) -> None:
        """See `dimse.services.Observer`."""
        self._open.dec()

    def association_rejected(self, result: int, source: int, reason: int) -> None:
        """See `dimse.services.Observer`."""
        self._associations.labels(f"rejected {result}/{source}/{reason}").inc()

    def operation_done(self, name: str, status: int, seconds: float) -> None:
        """See `dimse.services.Observer`."""
        children = self._by_response.get((name, status))
        if children is None:
            children = self._responses.labels(name, f"{status:04X}"), self._durations.labels(name)
            self._by_response[name, status] = children
        children[0].inc()
        children[1].observe(seconds)

    def bytes_received(self, count: int) -> None:
        """See `dimse.services.Observer`; counted by `stored`, which sees every way in."""

    def bytes_sent(self, count: int) -> None:
        """See `dimse.services.Observer`."""
        self._sent.inc(count)

    def stored(self, receipt: Receipt, claim: Claim, provenance: Provenance, length: int) -> None:
        """See `archive.ingest.Observer`."""
        self._by_verdict[receipt.verdict].inc()
        self._received.inc(length)

    def refused(self, error: BaseException, claim: Claim, provenance: Provenance) -> None:
        """See `archive.ingest.Observer`."""
        self._refused.inc()

    def timed_blobs(self, blobs: BlobStore) -> BlobStore:
        """The same store, its syncs timed."""
        return cast("BlobStore", _TimedBlobs(blobs, self._sync))

    def timed_index(self, index: Index) -> Index:
        """The same index, its transactions timed."""
        return cast("Index", _TimedIndex(index, self._index))


class _Delegate:
    """Everything goes to the object inside, methods looked up once and then kept: a proxy that costs nothing."""

    def __init__(self, inner: object, histogram: Any) -> None:
        self._inner = inner
        self._histogram = histogram

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if callable(value):  # a property has to be asked each time
            setattr(self, name, value)
        return value


class _TimedBlobs(_Delegate):
    def sync(self, members: Sequence[Member]) -> None:
        started = time.perf_counter()
        self._inner.sync(members)  # type: ignore[attr-defined]
        self._histogram.observe(time.perf_counter() - started)


class _TimedIndex(_Delegate):
    def ingest(self, batch: Sequence[Arrival]) -> list[Verdict]:
        started = time.perf_counter()
        verdicts: list[Verdict] = self._inner.ingest(batch)  # type: ignore[attr-defined]
        self._histogram.observe(time.perf_counter() - started)
        return verdicts


def _sample(name: str, help_text: str, kind: str, rows: Sequence[tuple[dict[str, str], float]]) -> Any:
    from prometheus_client.core import Metric

    metric = Metric(name, help_text, kind)
    for labels, value in rows:
        metric.add_sample(name, labels, value)
    return metric


def render(gauges: Sequence[tuple[str, str, Sequence[tuple[dict[str, str], float]]]]) -> bytes:
    """The exposition: every process's counters and the given gauges (name, help, [(labels, value)])."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    class _Gauges:
        def collect(self) -> list[Any]:
            return [_sample(name, text, "gauge", rows) for name, text, rows in gauges]

    registry = CollectorRegistry(auto_describe=False)
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    registry.register(_Gauges())
    return generate_latest(registry)
