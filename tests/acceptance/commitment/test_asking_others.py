"""This archive asks others to commit themselves, tells of availability and is told: pynetdicom is the other archive."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pynetdicom import AE, build_context, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import (
    InstanceAvailabilityNotification,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelMove,
)
from tests.support.commitments import config, send, until
from tests.support.dcmtk import free_port
from tests.support.generate import ct, uid
from tests.support.modality import TITLE, Modality, request, tell
from tests.support.server import Server, listing, running_server, start_server, vesalius

CT = "1.2.840.10008.5.1.4.1.1.2"


def serving(folder: Path, **how: Any) -> AbstractContextManager[Server]:
    """A service whose configuration the commands find, too."""
    return running_server(folder, config_file=folder / "data" / "vesalius.toml", **how)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Server, Modality]]:
    """A service, and a peer that is asked."""
    port = free_port()
    allowed = '"store", "query", "retrieve", "commit", "notify"'
    with serving(tmp_path, config=config(port, allow=allowed)) as server:
        yield server, Modality(port, server.dimse_port)


def commitment(data: Path) -> dict[str, object]:
    return listing("commitments", "--role", "scu", data=data)[0]


def test_a_peer_commits_itself_on_a_new_association(pair: tuple[Server, Modality]) -> None:
    server, peer = pair
    kept = send(peer, ct("asked", 1, 1), ct("asked", 1, 2))
    with peer.listening():
        vesalius("commit", "--peer", "MOD", "--study", uid("study", "asked"), data=server.data)
        until(lambda: peer.asked and commitment(server.data)["state"] == "asked")
        (action,) = peer.asked
        named = [(str(i.ReferencedSOPClassUID), str(i.ReferencedSOPInstanceUID)) for i in action.ReferencedSOPSequence]
        assert sorted(named) == sorted(kept)
        transaction = str(action.TransactionUID)
        assert tell(server.dimse_port, TITLE, transaction, kept, {}) == 0x0000
        row = commitment(server.data)
        assert (row["state"], row["failed"], row["instances"], row["study"]) == (
            "committed", 0, 2, uid("study", "asked"),
        )  # fmt: skip
        assert tell(server.dimse_port, TITLE, transaction, kept, {}) == 0x0000, "told again: acknowledged again"


def test_what_the_peer_does_not_keep_is_shown_by_instance(pair: tuple[Server, Modality]) -> None:
    server, peer = pair
    kept = send(peer, ct("some", 1, 1), ct("some", 1, 2))
    with peer.listening():
        vesalius("commit", "--peer", "MOD", "--study", uid("study", "some"), data=server.data)
        until(lambda: peer.asked)
        transaction = str(peer.asked[0].TransactionUID)
        assert tell(server.dimse_port, TITLE, transaction, kept[:1], {kept[1]: 0x0112}, roles=False) == 0x0000
    row = commitment(server.data)
    assert (row["state"], row["failed"]) == ("failed", 1)
    reasons = {r["instance"]: r["meaning"] for r in listing("commitments", str(row["id"]), data=server.data)}
    assert reasons == {kept[0][1]: "committed", kept[1][1]: "no such object instance"}


def test_a_result_on_the_same_association_is_taken_and_the_command_waits_for_it(pair: tuple[Server, Modality]) -> None:
    server, peer = pair
    kept = send(peer, ct("same", 1, 1))
    answered: list[int] = []

    def acted(event: Event) -> tuple[int, None]:
        def later() -> None:
            time.sleep(0.2)
            dataset, _ = request(kept, str(event.action_information.TransactionUID))
            status, _ = event.assoc.send_n_event_report(
                dataset, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
            )
            answered.append(int(status.Status))

        threading.Thread(target=later).start()
        return 0x0000, None

    with peer.listening((evt.EVT_N_ACTION, acted)):
        done = vesalius(
            "commit", "--peer", "MOD", "--study", uid("study", "same"), "--wait", "60", "--json", data=server.data
        )
    assert json.loads(done.stdout)["state"] == "committed"
    assert answered == [0x0000]


def test_a_request_waits_for_a_peer_that_is_away_and_outlives_a_restart(tmp_path: Path) -> None:
    port = free_port()
    server = start_server(tmp_path / "data", config=config(port), config_file=tmp_path / "data" / "vesalius.toml")
    try:
        kept = send(Modality(port, server.dimse_port), ct("away", 1, 1))
        vesalius("commit", "--peer", "MOD", "--study", uid("study", "away"), data=server.data)
        until(lambda: [job for job in listing("jobs", "list", data=server.data) if job["last_error"]])
        (job,) = listing("jobs", "list", "--kind", "commitment.ask", data=server.data)
        assert "cannot be reached" in str(job["last_error"])
    finally:
        server.stop()
    with serving(tmp_path, config=config(port)) as again, Modality(port, again.dimse_port).listening() as peer:
        until(lambda: peer.asked)
        assert tell(again.dimse_port, TITLE, str(peer.asked[0].TransactionUID), kept, {}) == 0x0000
        assert commitment(again.data)["state"] == "committed"


def test_a_peer_that_refuses_for_good_is_shown_and_asked_again_by_replay(pair: tuple[Server, Modality]) -> None:
    server, peer = pair
    send(peer, ct("refused", 1, 1))
    with peer.listening((evt.EVT_N_ACTION, lambda event: (0x0124, None))):
        done = vesalius(
            "commit", "--peer", "MOD", "--study", uid("study", "refused"), "--wait", "60", check=False, data=server.data
        )
        assert done.returncode == 1
    row = commitment(server.data)
    assert row["state"] == "refused"
    assert "0124" in str(row["remark"])
    (job,) = listing("jobs", "list", "--state", "failed", data=server.data)
    with peer.listening():
        vesalius("jobs", "replay", str(job["id"]), data=server.data)
        until(lambda: commitment(server.data)["state"] == "asked")
    assert vesalius("jobs", "replay", "999999", data=server.data, check=False).returncode == 4


def test_a_result_that_never_comes_expires(tmp_path: Path) -> None:
    port = free_port()
    settings = config(port).replace("[commitment]", "[commitment]\nexpiry = 1.0\nlinger = 0.0")
    with serving(tmp_path, config=settings) as server, Modality(port, server.dimse_port).listening() as peer:
        send(peer, ct("never", 1, 1))
        vesalius("commit", "--peer", "MOD", "--study", uid("study", "never"), data=server.data)
        until(lambda: commitment(server.data)["state"] == "expired")
        # Better late than never: an SCP may take longer than we waited.
        transaction = str(peer.asked[0].TransactionUID)
        assert tell(server.dimse_port, TITLE, transaction, [(CT, str(ct("never", 1, 1).SOPInstanceUID))], {}) == 0
        assert commitment(server.data)["state"] == "committed"


def test_what_was_sent_is_asked_for_where_the_peer_has_that_duty(tmp_path: Path) -> None:
    port = free_port()
    allowed = '"store", "query", "retrieve"'
    with serving(tmp_path, config=config(port, "ask-commitment", allow=allowed)) as server:
        peer = Modality(port, server.dimse_port)
        with peer.listening():
            kept = send(peer, ct("sent", 1, 1), ct("sent", 1, 2))
            ae = AE(TITLE)
            ae.requested_contexts = [build_context(StudyRootQueryRetrieveInformationModelMove)]
            assoc = ae.associate("127.0.0.1", server.dimse_port, ae_title="VESALIUS")
            keys = Dataset()
            keys.QueryRetrieveLevel, keys.StudyInstanceUID = "STUDY", uid("study", "sent")
            final = list(assoc.send_c_move(keys, TITLE, StudyRootQueryRetrieveInformationModelMove))[-1][0]
            assoc.release()
            assert final.Status == 0x0000
            until(lambda: peer.asked)
            named = {str(i.ReferencedSOPInstanceUID) for i in peer.asked[0].ReferencedSOPSequence}
            assert named == {instance for _, instance in kept}
            vesalius("send", "--peer", "MOD", kept[0][1], data=server.data)
            until(lambda: len(peer.asked) == 2)
            assert [str(i.ReferencedSOPInstanceUID) for i in peer.asked[1].ReferencedSOPSequence] == [kept[0][1]]


def test_a_peer_that_is_unknown_or_a_study_that_is_not_kept_is_told_at_once(pair: tuple[Server, Modality]) -> None:
    server, _ = pair
    assert vesalius("commit", "--peer", "MOD", "--study", "1.2.3", data=server.data, check=False).returncode == 4
    assert vesalius("commit", "--peer", "WHO", "--study", "1.2.3", data=server.data, check=False).returncode == 2


# -- what was promised is not deleted in silence ----------------------------------------------------------------------


def test_a_committed_instance_is_deleted_only_with_a_reason_and_a_warning(pair: tuple[Server, Modality]) -> None:
    server, modality = pair
    kept = send(modality, ct("promised", 1, 1), ct("promised", 1, 2))
    send(modality, ct("free", 1, 1))
    with modality.listening():
        _, transaction = modality.ask(kept[:1])
        modality.wait(transaction)
    study = f"/dicom-web/studies/{uid('study', 'promised')}"
    assert delete(server, study)[0] == 409
    status, warning, body = delete(server, f"{study}?reason=wrong%20patient")
    assert status == 200
    assert (body["committed"], body["instances"]) == (1, 2)
    assert "storage commitment" in warning
    assert body["reason"] == "wrong patient [storage commitment had been given for 1 of them]"
    assert delete(server, f"/dicom-web/studies/{uid('study', 'free')}")[0] == 200
    restored = vesalius("undelete", str(body["deletion"]), "--yes", data=server.data)
    assert restored.returncode == 0
    again = vesalius(
        "delete", uid("study", "promised"), "--reason", "again", "--yes", "--json", data=server.data
    )  # fmt: skip
    assert json.loads(again.stdout)["committed"] == 1
    assert "Storage commitment" in again.stderr


def delete(server: Server, path: str) -> tuple[int, str, dict[str, object]]:
    asked = urllib.request.Request(server.url + path, method="DELETE")
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return answer.status, answer.headers.get("Warning", ""), json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, "", {}


# -- instance availability --------------------------------------------------------------------------------------------


def test_a_study_that_has_gone_quiet_is_told_to_who_wants_it_once(tmp_path: Path) -> None:
    port = free_port()
    settings = config(port, "notify-availability", more="[availability]\nquiet = 4.0\n")
    with (
        serving(tmp_path, config=settings, workers=2) as server,
        Modality(port, server.dimse_port).listening() as ris,
    ):
        until(lambda: "availability" in str(relays(server.data)))
        kept = send(ris, ct("quiet", 1, 1), ct("quiet", 1, 2), ct("quiet", 2, 1))
        (notice,) = ris.wait_notices()
        assert str(notice.StudyInstanceUID) == uid("study", "quiet")
        assert "PatientName" not in notice, "PS3.4 R.3.2.1.1 forbids more than the table has"
        assert len(notice.ReferencedPerformedProcedureStepSequence) == 0
        items = [item for series in notice.ReferencedSeriesSequence for item in series.ReferencedSOPSequence]
        assert sorted(str(item.ReferencedSOPInstanceUID) for item in items) == sorted(i for _, i in kept)
        assert {(str(i.InstanceAvailability), str(i.RetrieveAETitle)) for i in items} == {("ONLINE", "VESALIUS")}
        until(lambda: [n for n in listing("availability", data=server.data) if n["state"] == "sent"])
        assert len(listing("availability", data=server.data)) == 1
        # On demand it is told again.
        vesalius("notify", "--peer", "MOD", "--study", uid("study", "quiet"), data=server.data)
        until(lambda: len(listing("availability", data=server.data)) == 2)
        ris.wait_notices(2)


def relays(data: Path) -> list[tuple[object, ...]]:
    from vesalius.backends.database import open_database

    database = open_database(f"sqlite:///{data / 'index.db'}", migrate=False)
    try:
        return [tuple(row) for row in database.lookup(lambda tx: tx.rows("SELECT name, last_event FROM relay"))]
    finally:
        database.close()


def test_a_notification_of_a_peer_is_kept_and_listed(pair: tuple[Server, Modality]) -> None:
    server, peer = pair
    notice = Dataset()
    notice.ReferencedPerformedProcedureStepSequence = DicomSequence([])
    notice.StudyInstanceUID = uid("study", "elsewhere")
    one = Dataset()
    one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = CT, uid("one")
    one.InstanceAvailability, one.RetrieveAETitle = "NEARLINE", "ELSEWHERE"
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedSOPSequence = uid("series"), DicomSequence([one])
    notice.ReferencedSeriesSequence = DicomSequence([series])
    with peer.associated(build_context(InstanceAvailabilityNotification)) as assoc:
        status, _ = assoc.send_n_create(notice, InstanceAvailabilityNotification, uid("notice"))
        assert status.Status == 0x0000
        status, _ = assoc.send_n_create(notice, InstanceAvailabilityNotification, uid("notice"))
        assert status.Status == 0x0111
    (row,) = listing("availability", "--role", "scp", data=server.data)
    assert (row["study"], row["instances"], row["peer"]) == (uid("study", "elsewhere"), 1, "MOD")
    content = row["content"]
    assert isinstance(content, dict)
    assert content["series"][0]["instances"][0]["availability"] == "NEARLINE"
