"""pynetdicom in both roles: a second implementation of everything that is negotiated."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.sop_class import (
    CTImageStorage,
    MRImageStorage,
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)
from tests.interop.conftest import Site
from tests.support.generate import ct, part10, uid
from tests.support.server import listing, vesalius

EXPLICIT = "1.2.840.10008.1.2.1"
STORAGE = "1.2.840.10008.4.2"


@contextmanager
def associated(site: Site, *contexts: object, **options: object) -> Iterator[Association]:
    ae = AE("PYNET")
    ae.requested_contexts = [c if not isinstance(c, str) else build_context(c) for c in contexts]
    assoc = ae.associate("127.0.0.1", site.port, ae_title="VESALIUS", **options)  # type: ignore[arg-type]
    assert assoc.is_established
    try:
        yield assoc
    finally:
        assoc.release()


@contextmanager
def providing(site: Site, *handlers: tuple[object, Callable[..., object]], aet: str = "PYNET") -> Iterator[None]:
    """A pynetdicom provider of everything on the port of the peer PYNET."""
    ae = AE(aet)
    for sop_class in (Verification, CTImageStorage, MRImageStorage):
        ae.add_supported_context(sop_class, scu_role=True, scp_role=True)
    for sop_class in (
        PatientRootQueryRetrieveInformationModelFind,
        PatientRootQueryRetrieveInformationModelGet,
        PatientRootQueryRetrieveInformationModelMove,
        StudyRootQueryRetrieveInformationModelFind,
        StudyRootQueryRetrieveInformationModelGet,
        StudyRootQueryRetrieveInformationModelMove,
    ):
        ae.add_supported_context(sop_class)
    server = ae.start_server(("127.0.0.1", site.ports["PYNET"]), block=False, evt_handlers=list(handlers))  # type: ignore[arg-type]
    try:
        yield
    finally:
        server.shutdown()  # type: ignore[union-attr]


def with_meta(ds: Dataset) -> pydicom.FileDataset:
    return pydicom.dcmread(pydicom.filebase.DicomBytesIO(part10(ds)))


def study_query(study: str, level: str = "STUDY") -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = level
    query.StudyInstanceUID = study
    return query


def facts(site: Site, *args: str | Path) -> dict[str, object]:
    done = vesalius(*args, "--json", data=site.data, check=False)
    return dict(json.loads(done.stdout)) | {"exit": done.returncode}


# -- pynetdicom asks us -----------------------------------------------------------------------------------------------


def test_128_contexts_of_one_class_are_all_accepted_and_all_usable(site: Site) -> None:
    with associated(site, *(build_context(CTImageStorage, EXPLICIT) for _ in range(128))) as assoc:
        assert len(assoc.accepted_contexts) == 128
        assert assoc.send_c_store(with_meta(ct("many contexts"))).Status == 0


def test_each_context_is_answered_on_its_own(site: Site) -> None:
    contexts = [
        build_context(Verification),
        build_context("1.2.840.10008.5.1.1.9"),  # Basic Grayscale Print Management: not offered
        build_context(CTImageStorage, ["1.2.840.10008.1.2.4.90", EXPLICIT, "1.2.840.10008.1.2"]),
        build_context(MRImageStorage, ["1.2.840.10008.1.2.4.50"]),
        build_context("1.3.6.1.4.1.99999.1.1", EXPLICIT),  # private storage
    ]
    with associated(site, *contexts) as assoc:
        got = {c.abstract_syntax: c.transfer_syntax[0] for c in assoc.accepted_contexts}
        rejected = {c.abstract_syntax: c.result for c in assoc.rejected_contexts}
    assert rejected == {"1.2.840.10008.5.1.1.9": 3}
    assert got[CTImageStorage] == EXPLICIT, "the preferred one, not the first"
    assert got[MRImageStorage] == "1.2.840.10008.1.2.4.50"
    assert "1.3.6.1.4.1.99999.1.1" in got


def test_an_asynchronous_operations_window_is_answered_within_what_was_asked(site: Site) -> None:
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = 5
    window.maximum_number_operations_performed = 3
    with associated(site, Verification, ext_neg=[window]) as assoc:
        (item,) = [
            one for one in assoc.acceptor.user_information if isinstance(one, AsynchronousOperationsWindowNegotiation)
        ]
        # Seen from the requestor: it may invoke at most 5, and perform at most 3 (PS3.7 D.3.3.3).
        assert 1 <= (item.maximum_number_operations_invoked or 0) <= 5
        assert 1 <= (item.maximum_number_operations_performed or 0) <= 3
        assert assoc.send_c_echo().Status == 0


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5])
def test_a_user_identity_that_nobody_judges_is_accepted_and_not_confirmed(site: Site, kind: int) -> None:
    identity = UserIdentityNegotiation()
    identity.user_identity_type = kind
    identity.primary_field = b"someone"
    if kind == 2:
        identity.secondary_field = b"a secret"
    identity.positive_response_requested = True
    with associated(site, Verification, ext_neg=[identity]) as assoc:
        assert assoc.send_c_echo().Status == 0
        assert not [one for one in assoc.acceptor.user_information if isinstance(one, UserIdentityNegotiation)]
    assert "a secret" not in site.server.log_text()


def test_extended_negotiation_of_queries_is_answered(site: Site) -> None:
    asked = SOPClassExtendedNegotiation()
    asked.sop_class_uid = StudyRootQueryRetrieveInformationModelFind
    asked.service_class_application_information = b"\x01\x01\x01\x01\x01"
    with associated(site, StudyRootQueryRetrieveInformationModelFind, ext_neg=[asked]) as assoc:
        granted = assoc.acceptor.sop_class_extended[StudyRootQueryRetrieveInformationModelFind]
        # Relational, combined date-time, fuzzy names, time zone: yes. Enhanced multi-frame conversion: no.
        assert granted == b"\x01\x01\x01\x01\x00"
        query = Dataset()
        query.QueryRetrieveLevel = "IMAGE"
        query.PatientName = "Dooe^Jaine"
        query.PatientID = "INTEROP-1"
        query.SOPInstanceUID = ""
        found = [status.Status for status, _ in assoc.send_c_find(query, StudyRootQueryRetrieveInformationModelFind)]
    assert found == [0xFF00] * 6 + [0]


def test_a_class_that_is_declared_to_be_of_storage_is_taken(site: Site) -> None:
    private = "1.2.840.10008.5.1.4.1.1.999.1"
    common = SOPClassCommonExtendedNegotiation()
    common.sop_class_uid = private
    common.service_class_uid = STORAGE
    common.related_general_sop_class_identification = [CTImageStorage]
    with associated(site, build_context(private, EXPLICIT), ext_neg=[common]) as assoc:
        ds = with_meta(ct("declared"))
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = private
        assert assoc.send_c_store(ds).Status == 0


@pytest.mark.parametrize(
    "model", [StudyRootQueryRetrieveInformationModelGet, PatientRootQueryRetrieveInformationModelGet]
)
def test_c_get_with_role_selection(site: Site, model: str) -> None:
    received: list[bytes] = []

    def keep(event: Event) -> int:
        received.append(event.request.DataSet.getvalue())
        return 0x0000

    query = study_query(site.first[0].StudyInstanceUID)
    query.PatientID = "INTEROP-1"
    options = {"ext_neg": [build_role(CTImageStorage, scp_role=True)], "evt_handlers": [(evt.EVT_C_STORE, keep)]}
    with associated(site, model, build_context(CTImageStorage, EXPLICIT), **options) as assoc:
        responses = [status for status, _ in assoc.send_c_get(query, model)]
    assert responses[-1].Status == 0
    assert responses[-1].NumberOfCompletedSuboperations == 6
    assert sorted(received) == sorted(
        part10(ds)[144 + int.from_bytes(part10(ds)[140:144], "little") :] for ds in site.first
    )


def test_c_get_without_the_role_sends_nothing_and_says_so(site: Site) -> None:
    model = StudyRootQueryRetrieveInformationModelGet
    with associated(site, model, build_context(CTImageStorage, EXPLICIT)) as assoc:
        responses = list(assoc.send_c_get(study_query(site.first[0].StudyInstanceUID), model))
    status, failed = responses[-1]
    assert status.Status == 0xA702
    assert status.NumberOfFailedSuboperations == 6
    assert len(failed.FailedSOPInstanceUIDList) == 6


def test_the_statuses_of_a_c_get_follow_the_receiver(site: Site) -> None:
    answers = {
        ds.SOPInstanceUID: status for ds, status in zip(site.first, (0, 0xB000, 0xA700, 0, 0xC000, 0xB007), strict=True)
    }

    def keep(event: Event) -> int:
        return answers[event.request.AffectedSOPInstanceUID]

    model = StudyRootQueryRetrieveInformationModelGet
    options = {"ext_neg": [build_role(CTImageStorage, scp_role=True)], "evt_handlers": [(evt.EVT_C_STORE, keep)]}
    with associated(site, model, build_context(CTImageStorage, EXPLICIT), **options) as assoc:
        status, failed = list(assoc.send_c_get(study_query(site.first[0].StudyInstanceUID), model))[-1]
    assert status.Status == 0xB000
    counts = (
        status.NumberOfCompletedSuboperations,
        status.NumberOfFailedSuboperations,
        status.NumberOfWarningSuboperations,
    )
    assert counts == (2, 2, 2)
    assert "NumberOfRemainingSuboperations" not in status
    assert sorted(failed.FailedSOPInstanceUIDList) == sorted(
        uid_ for uid_, answer in answers.items() if answer in (0xA700, 0xC000)
    )


def test_c_move_tells_the_receiver_who_asked(site: Site) -> None:
    seen: list[tuple[str, int, str]] = []

    def keep(event: Event) -> int:
        request = event.request
        seen.append(
            (
                request.MoveOriginatorApplicationEntityTitle,
                request.MoveOriginatorMessageID,
                event.assoc.requestor.ae_title,
            )
        )
        return 0x0000

    model = StudyRootQueryRetrieveInformationModelMove
    with providing(site, (evt.EVT_C_STORE, keep)), associated(site, model) as assoc:
        query = study_query(site.first[0].StudyInstanceUID)
        responses = [status for status, _ in assoc.send_c_move(query, "PYNET", model, msg_id=4711)]
    assert responses[-1].Status == 0
    assert responses[-1].NumberOfCompletedSuboperations == 6
    assert seen == [("PYNET", 4711, "VESALIUS")] * 6


def test_pendings_count_down(site: Site) -> None:
    def slow(_event: Event) -> int:
        time.sleep(0.15)
        return 0x0000

    model = StudyRootQueryRetrieveInformationModelMove
    with providing(site, (evt.EVT_C_STORE, slow)), associated(site, model) as assoc:
        responses = [s for s, _ in assoc.send_c_move(study_query(site.first[0].StudyInstanceUID), "PYNET", model)]
    pendings = [s for s in responses if s.Status == 0xFF00]
    assert len(pendings) >= 3
    for status in pendings:
        assert status.NumberOfRemainingSuboperations + status.NumberOfCompletedSuboperations == 6
    assert [s.NumberOfRemainingSuboperations for s in pendings] == sorted(
        (s.NumberOfRemainingSuboperations for s in pendings), reverse=True
    )


# -- we ask pynetdicom ------------------------------------------------------------------------------------------------


def test_we_send_and_report_what_the_receiver_says(site: Site) -> None:
    answers = {
        ds.SOPInstanceUID: status for ds, status in zip(site.first, (0, 0xB000, 0xA700, 0, 0xC000, 0x0122), strict=True)
    }

    def keep(event: Event) -> int:
        return answers[event.request.AffectedSOPInstanceUID]

    with providing(site, (evt.EVT_C_STORE, keep)):
        report = facts(site, "send", "--peer", "pynet", site.first[0].StudyInstanceUID)
    assert report["exit"] == 1
    assert report["sent"] == 3
    assert [w["instance"] for w in report["warnings"]] == [site.first[1].SOPInstanceUID]  # type: ignore[attr-defined]
    failed = {f["instance"]: f["reason"] for f in report["failed"]}  # type: ignore[attr-defined]
    assert set(failed) == {site.first[n].SOPInstanceUID for n in (2, 4, 5)}
    assert "A700" in failed[site.first[2].SOPInstanceUID]


def test_we_find_what_a_handler_answers_in_its_own_repertoire(site: Site) -> None:
    asked: list[Dataset] = []

    def answer(event: Event) -> Iterator[tuple[int, Dataset | None]]:
        asked.append(event.identifier)
        for name in ("山田^太郎", "Иванов^Иван", "Müller^Jörg"):
            ds = Dataset()
            ds.SpecificCharacterSet = "ISO_IR 192"
            ds.QueryRetrieveLevel = "STUDY"
            ds.PatientName = name
            ds.StudyInstanceUID = uid(name)
            yield 0xFF00, ds

    with providing(site, (evt.EVT_C_FIND, answer)):
        rows = listing("find", "--peer", "pynet", "PatientName=*", "StudyDate=20240101-", data=site.data)
    assert [row["PatientName"] for row in rows] == ["山田^太郎", "Иванов^Иван", "Müller^Jörg"]
    assert asked[0].StudyDate == "20240101-"
    assert asked[0].QueryRetrieveLevel == "STUDY"


def test_a_limit_cancels_the_query_at_the_peer(site: Site) -> None:
    cancelled: list[bool] = []

    def answer(event: Event) -> Iterator[tuple[int, Dataset | None]]:
        for n in range(200):
            if event.is_cancelled:
                cancelled.append(True)
                yield 0xFE00, None
                return
            ds = Dataset()
            ds.QueryRetrieveLevel = "STUDY"
            ds.StudyInstanceUID = f"1.2.{n}"
            yield 0xFF00, ds
            time.sleep(0.01)

    with providing(site, (evt.EVT_C_FIND, answer)):
        rows = listing("find", "--peer", "pynet", "--limit", "5", data=site.data)
    assert len(rows) == 5
    assert cancelled == [True]


def test_a_query_that_the_peer_refuses_is_its_fault_in_the_exit_code(site: Site) -> None:
    def answer(_event: Event) -> Iterator[tuple[int, Dataset | None]]:
        yield 0xA700, None

    with providing(site, (evt.EVT_C_FIND, answer)):
        done = vesalius("find", "--peer", "pynet", data=site.data, check=False)
    assert done.returncode == 3
    assert "A700" in done.stderr or "resources" in done.stderr


def test_we_retrieve_by_c_get_from_a_handler(site: Site) -> None:
    sent = [with_meta(ct("fetched", 1, n)) for n in (1, 2, 3)]

    def give(_event: Event) -> Iterator[object]:
        yield len(sent)
        for ds in sent:
            yield 0xFF00, ds

    def tell(_event: Event) -> Iterator[tuple[int, Dataset | None]]:
        yield 0xC000, None

    study = str(sent[0].StudyInstanceUID)
    with providing(site, (evt.EVT_C_GET, give), (evt.EVT_C_FIND, tell)):
        report = facts(site, "retrieve", "--peer", "pynet", "--study", study)
    assert (report["exit"], report["completed"], report["failed"]) == (0, 3, 0)
    assert len(listing("find", "--level", "image", f"StudyInstanceUID={study}", data=site.data)) == 3


def test_we_retrieve_by_c_move_from_a_handler(site: Site) -> None:
    sent = [with_meta(ct("moved", 1, n)) for n in (1, 2, 3)]

    def give(_event: Event) -> Iterator[object]:
        yield "127.0.0.1", site.port, {"ae_title": "VESALIUS", "contexts": [build_context(CTImageStorage, EXPLICIT)]}
        yield len(sent)
        for ds in sent:
            yield 0xFF00, ds

    study = str(sent[0].StudyInstanceUID)
    with providing(site, (evt.EVT_C_MOVE, give)):
        report = facts(site, "retrieve", "--peer", "pynet", "--study", study, "--method", "move")
    assert (report["exit"], report["completed"], report["failed"]) == (0, 3, 0)
    assert len(listing("find", "--level", "image", f"StudyInstanceUID={study}", data=site.data)) == 3


def test_a_peer_that_aborts_in_mid_query_is_reported(site: Site) -> None:
    def answer(event: Event) -> Iterator[tuple[int, Dataset | None]]:
        event.assoc.abort()
        yield 0xFF00, Dataset()

    with providing(site, (evt.EVT_C_FIND, answer)):
        done = vesalius("find", "--peer", "pynet", data=site.data, check=False)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
