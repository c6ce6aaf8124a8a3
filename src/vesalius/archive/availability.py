"""Instance Availability Notification (PS3.4 annex R): telling others which instances can be had here, and being told.

Theory. The archive's change feed says what has arrived. A study of which nothing has arrived for a while is taken for
complete, and told to each peer that wants it: what is there at that moment, whatever came before (PS3.4 R.3.2.1.1
leaves the moment to the sender). What comes later leads to another notification of the whole study.

    arrivals --relay--> job "availability.study" (put off by each arrival) --> one job "availability.send" for each peer
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import structlog

from vesalius.archive.delete import moment
from vesalius.model.commitments import Notice, Role
from vesalius.model.entities import Event, Level, Peer, StoredInstance
from vesalius.model.errors import NoSuchInstance
from vesalius.model.identifiers import new_uid
from vesalius.ports.clock import Clock
from vesalius.ports.commitments import Notices
from vesalius.ports.index import Index
from vesalius.ports.jobs import Job

log = structlog.get_logger()

STUDY = "availability.study"
SEND = "availability.send"
DUTY = "notify-availability"


def studies_of(events: Iterable[Event]) -> list[str]:
    """The studies in which something has arrived, each once."""
    return list(dict.fromkeys(event.study for event in events if event.kind in ("stored", "restored")))


def study_job(study: str, now: str, quiet: float) -> Job:
    """The job that tells of a study once it has been quiet for so long."""
    return Job(STUDY, {"study": study}, study, moment(now, quiet))


class Availability:
    """The verbs. Everything blocks. `aet` is the title under which instances can be retrieved."""

    def __init__(self, kept: Notices, index: Index, clock: Clock, *, aet: str) -> None:
        self.kept = kept
        self._index = index
        self._clock = clock
        self._aet = aet

    def tell(self, study: str, peers: Sequence[Peer]) -> list[int]:
        """Keep a notification of a study for each of the peers; the service sends them. Raises `NoSuchInstance`."""
        instances = list(self._index.select(Level.STUDY, studies=(study,)))
        if not instances:
            raise NoSuchInstance("no instance of this study is kept here")
        content = content_of(study, instances, self._aet)
        made = [self.kept.plan(self._notice(study, peer, content, len(instances)), _send_job) for peer in peers]
        log.info("availability-planned", study=study, instances=len(instances), peers=len(made))
        return made

    def receive(self, sop_instance: str, aet: str, peer: str, content: dict[str, object], instances: int) -> bool:
        """Keep a notification of a peer; False where one of this UID is kept. Durable when this returns."""
        now = self._clock.utc()
        study = str(content.get("study", ""))
        notice = Notice(0, Role.SCP, sop_instance, peer, aet, study, "received", instances, content, now, now, "")
        return self.kept.receive(notice)

    def _notice(self, study: str, peer: Peer, content: dict[str, object], instances: int) -> Notice:
        now = self._clock.utc()
        return Notice(
            0, Role.SCU, new_uid(), peer.name, peer.aet, study, "open", instances, content, now, "", ""
        )  # fmt: skip


def _send_job(notice: int) -> Job:
    return Job(SEND, {"notice": notice}, str(notice))


def content_of(study: str, instances: Iterable[StoredInstance], aet: str) -> dict[str, object]:
    """What a notification says of a study: its series, their instances, and where each can be had."""
    series: dict[str, list[dict[str, str]]] = {}
    for one in instances:
        item = {"class": one.sop_class, "instance": one.sop_instance, "availability": "ONLINE", "aet": aet}
        series.setdefault(one.series, []).append(item)
    return {"study": study, "series": [{"series": uid, "instances": found} for uid, found in series.items()]}
