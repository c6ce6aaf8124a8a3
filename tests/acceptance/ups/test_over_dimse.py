"""Unified Procedure Step as its users see it (PS3.4 annex CC): the real service, and pynetdicom at the other end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid
from tests.support.dcmtk import free_port
from tests.support.server import running_server
from tests.support.ups_site import FILTERED, GLOBAL, PULL, PUSH, QUERY, WATCH, System, config
from tests.support.workitems import code, dataset, performed

ALL = '"workitems"'


class Site:
    """The archive with two systems that work together and one that has no right to."""

    def __init__(self, archive_port: int, ports: list[int]) -> None:
        self.planner = System("PLANNER", ports[0], archive_port)
        self.doer = System("DOER", ports[1], archive_port)
        self.stranger = System("STRANGER", ports[2], archive_port)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    ports = [free_port() for _ in range(3)]
    settings = config(("PLANNER", ports[0], ALL), ("DOER", ports[1], ALL), ("STRANGER", ports[2], '"worklist"'))
    with running_server(tmp_path_factory.mktemp("ups"), config=settings, workers=2) as server:
        site = Site(server.dimse_port, ports)
        with site.planner.listening(), site.doer.listening(roles=False):
            yield site


@pytest.fixture
def uid() -> str:
    return str(generate_uid())


@pytest.fixture
def key() -> str:
    return str(generate_uid())


def test_a_workitem_is_pushed_pulled_done_and_watched(site: Site, uid: str, key: str) -> None:
    assert site.planner.create(dataset(name="Müller^Jürgen", SpecificCharacterSet="ISO_IR 100"), uid) == (0x0000, uid)
    assert site.planner.subscribe(uid) == 0x0000
    question = Dataset()
    question.ProcedureStepState = "SCHEDULED"
    question.WorklistLabel = "CAD"
    question.SOPInstanceUID = question.PatientName = ""
    found, last = site.doer.find(question, PULL)
    assert last == 0x0000
    (mine,) = [one for one in found if one.SOPInstanceUID == uid]
    assert str(mine.PatientName) == "Müller^Jürgen"
    assert site.doer.change(uid, "IN PROGRESS", key) == 0x0000
    half = Dataset()
    half.ProcedureStepProgressInformationSequence = Sequence([Dataset()])
    half.ProcedureStepProgressInformationSequence[0].ProcedureStepProgress = "50"
    assert site.doer.set(uid, half, key) == 0x0000
    assert site.doer.set(uid, performed(), key) == 0x0000
    assert site.doer.change(uid, "COMPLETED", key) == 0x0000
    told = site.planner.wait(uid, 4)
    assert [(one.kind, one.state) for one in told] == [
        (1, "SCHEDULED"), (1, "IN PROGRESS"), (3, ""), (1, "COMPLETED"),
    ]  # fmt: skip
    assert told[2].values.ProcedureStepProgressInformationSequence[0].ProcedureStepProgress == 50
    assert told[0].values.InputReadinessState == "READY"
    assert all(one.role_selected for one in told), "the archive proposes the SCP role for itself"
    status, result = site.planner.get(uid, context=WATCH)
    assert status == 0x0000
    assert result is not None
    assert result.ProcedureStepState == "COMPLETED"
    step = result.UnifiedProcedureStepPerformedProcedureSequence[0]
    assert step.PerformedStationNameCodeSequence[0].CodeValue == "CAD1"
    assert "TransactionUID" not in result


def test_the_lock_belongs_to_its_performer(site: Site, uid: str, key: str) -> None:
    site.planner.create(dataset(), uid)
    assert site.doer.change(uid, "COMPLETED", key) == 0xC310
    assert site.doer.change(uid, "IN PROGRESS", "") == 0xC301
    assert site.doer.change(uid, "IN PROGRESS", key) == 0x0000
    assert site.doer.change(uid, "IN PROGRESS", key) == 0xC302
    assert site.planner.change(uid, "IN PROGRESS", str(generate_uid())) == 0xC301
    assert site.planner.change(uid, "SCHEDULED", key) == 0xC303
    assert site.planner.set(uid, performed(), str(generate_uid())) == 0xC301
    assert site.planner.set(uid, performed()) == 0xC301
    assert site.doer.change(uid, "COMPLETED", key) == 0xC304, "nothing was said of what was performed"
    assert site.doer.set(uid, performed(), key) == 0x0000
    assert site.doer.change(uid, "COMPLETED", key) == 0x0000
    assert site.doer.change(uid, "COMPLETED", key) == 0xB306
    assert site.doer.change(uid, "CANCELED", key) == 0xC300
    assert site.doer.set(uid, performed(), key) == 0xC300
    assert site.planner.cancel(uid) == 0xC311


def test_what_is_scheduled_is_set_without_a_key_only(site: Site, uid: str, key: str) -> None:
    site.planner.create(dataset(), uid)
    change = Dataset()
    change.ScheduledProcedureStepPriority = "HIGH"
    assert site.planner.set(uid, change) == 0x0000
    assert site.planner.set(uid, change, key) == 0xC310
    wrong = Dataset()
    wrong.ProcedureStepState = "COMPLETED"
    assert site.planner.set(uid, wrong) == 0x0106
    ours = Dataset()
    ours.ScheduledProcedureStepModificationDateTime = "19000101"
    ours.CommentsOnTheScheduledProcedureStep = "with contrast"
    assert site.planner.set(uid, ours) == 0xB305
    status, result = site.planner.get(uid, 0x00741200, 0x00741000, 0x00081195)
    assert status == 0x0000
    assert result is not None
    assert (result.ScheduledProcedureStepPriority, result.ProcedureStepState) == ("HIGH", "SCHEDULED")
    assert len(result) == 2, "the lock is not answered even where it is asked for"


def test_creation_has_its_rules(site: Site, uid: str) -> None:
    patient = str(generate_uid())[-20:]
    assert site.planner.create(dataset(patient), None)[0] == 0x0000
    question = Dataset()
    question.PatientID, question.SOPInstanceUID = patient, ""
    (made,) = site.planner.find(question)[0]
    assert made.SOPInstanceUID.startswith("2.25."), "this archive made one"
    assert site.planner.create(dataset(), uid) == (0x0000, uid)
    assert site.planner.create(dataset(), uid)[0] == 0x0111
    assert site.planner.create(dataset(ProcedureStepState="IN PROGRESS"), str(generate_uid()))[0] == 0xC309
    assert site.planner.create(dataset(label=""), str(generate_uid()))[0] == 0xB300
    lacking = dataset()
    del lacking.InputReadinessState
    assert site.planner.create(lacking, str(generate_uid()))[0] == 0x0120
    assert site.planner.create(dataset(ScheduledProcedureStepPriority=""), str(generate_uid()))[0] == 0x0121
    assert site.planner.create(dataset(), GLOBAL)[0] == 0x0117


def test_a_cancel_is_done_told_or_refused(site: Site, uid: str, key: str) -> None:
    site.planner.create(dataset(), uid)
    site.planner.subscribe(uid)
    assert site.planner.cancel(uid, "ordered twice") == 0x0000
    told = site.planner.wait(uid, 3)
    assert [one.state for one in told] == ["SCHEDULED", "IN PROGRESS", "CANCELED"]
    assert told[2].values.ReasonForCancellation == "ordered twice"
    assert site.planner.cancel(uid) == 0xB304
    other = str(generate_uid())
    site.planner.create(dataset(), other)
    site.doer.change(other, "IN PROGRESS", key)
    assert site.planner.cancel(other) == 0xC312, "the performer has not subscribed"
    site.doer.subscribe(other)
    assert site.planner.cancel(other, "patient left", context=WATCH) == 0x0000
    asked = site.doer.wait(other, 2)[1]
    assert (asked.kind, asked.values.RequestingAE) == (2, "PLANNER")
    assert site.doer.change(other, "CANCELED", key) == 0x0000
    assert site.doer.wait(other, 3)[2].values.ProcedureStepDiscontinuationReasonCodeSequence[0].CodeValue == "110513"


def test_global_subscriptions_are_filtered_suspended_and_ended(site: Site, key: str) -> None:
    label = str(generate_uid())[-16:]
    first, second, third, other = (str(generate_uid()) for _ in range(4))
    site.planner.create(dataset(label=label), first)
    keys = Dataset()
    keys.WorklistLabel = label
    assert site.doer.subscribe(FILTERED, keys=keys) == 0x0000
    site.planner.create(dataset(label=label), second)
    site.planner.create(dataset(label="other"), other)
    assert site.doer.suspend(FILTERED) == 0x0000
    site.planner.create(dataset(label=label), third)
    site.planner.change(first, "IN PROGRESS", key)
    assert [(one.kind, one.state) for one in site.doer.wait(first, 2)] == [(1, "SCHEDULED"), (1, "IN PROGRESS")]
    assert [(one.kind, one.state) for one in site.doer.wait(second, 2)] == [(1, "SCHEDULED"), (5, "")]
    assert not [one for one in site.doer.told if one.workitem in (third, other)]
    assert site.doer.unsubscribe(FILTERED) == 0x0000
    site.planner.change(second, "IN PROGRESS", key)
    # What is told later is told after it: nothing of the second came in between.
    assert site.doer.subscribe(third) == 0x0000
    site.doer.wait(third, 1)
    assert len([one for one in site.doer.told if one.workitem == second]) == 2
    assert site.doer.suspend(third) == 0xC314
    assert site.doer.subscribe(FILTERED) == 0x0115


def test_each_class_has_its_operations(site: Site, uid: str, key: str) -> None:
    site.planner.create(dataset(), uid)
    ds = Dataset()
    ds.ProcedureStepState, ds.TransactionUID = "IN PROGRESS", key
    assert site.doer.act(ds, 1, uid, WATCH) == 0x0123
    assert site.doer.act(ds, 1, uid, PUSH) == 0x0123
    assert site.doer.act(ds, 2, uid, PULL) == 0x0123
    assert site.doer.act(ds, 9, uid, PULL) == 0x0123
    with site.planner.associated(WATCH) as assoc:
        response, _ = assoc.send_n_set(dataset(), PUSH, uid)
        assert response.Status == 0x0211
    for model in (PULL, WATCH, QUERY):
        question = Dataset()
        question.SOPInstanceUID = uid
        found, last = site.doer.find(question, model)
        assert ([one.SOPInstanceUID for one in found], last) == ([uid], 0x0000)


def test_unknown_workitems_receivers_and_well_known_instances(site: Site, uid: str, key: str) -> None:
    assert site.planner.get(uid)[0] == 0xC307
    assert site.doer.change(uid, "IN PROGRESS", key) == 0xC307
    assert site.doer.set(uid, performed(), key) == 0xC307
    assert site.planner.cancel(uid) == 0xC307
    assert site.planner.subscribe(uid) == 0xC307
    assert site.planner.unsubscribe(uid) == 0xC307
    assert site.doer.change(GLOBAL, "IN PROGRESS", key) == 0xC314
    site.planner.create(dataset(), uid)
    assert site.planner.subscribe(uid, receiver="NOBODY") == 0xC308
    assert site.planner.subscribe(uid, receiver="STRANGER") == 0xC308, "it could not ask for workitems itself"


def test_a_peer_without_the_right_does_nothing(site: Site, uid: str) -> None:
    assert site.stranger.create(dataset(), uid)[0] == 0x0124
    assert site.stranger.get(uid)[0] == 0x0124
    assert site.stranger.subscribe(uid) == 0x0124
    question = Dataset()
    question.SOPInstanceUID = ""
    assert site.stranger.find(question) == ([], 0x0124)


def test_a_question_with_sequences_ranges_and_names(site: Site) -> None:
    patient = str(generate_uid())[-20:]
    early, late = str(generate_uid()), str(generate_uid())
    site.planner.create(dataset(patient, "Ωmega^Anna", SpecificCharacterSet="ISO_IR 192"), early)
    later = dataset(patient, ScheduledProcedureStepStartDateTime="20260301120000")
    later.ScheduledStationNameCodeSequence = Sequence([code("CAD2", "CAD station 2")])
    site.planner.create(later, late)

    def found(**keys: object) -> list[str]:
        ds = Dataset()
        ds.PatientID = patient
        ds.SOPInstanceUID = ""
        for keyword, value in keys.items():
            setattr(ds, keyword, value)
        answers, last = site.doer.find(ds)
        assert last == 0x0000
        return [str(one.SOPInstanceUID) for one in answers]

    station = Dataset()
    station.CodeValue = "CAD2"
    assert found() == [early, late]
    assert found(ScheduledProcedureStepStartDateTime="20260201-") == [late]
    assert found(ScheduledStationNameCodeSequence=Sequence([station])) == [late]
    assert found(PatientName="doe*") == [late]
    assert found(ProcedureStepState="COMPLETED") == []


def test_a_report_that_is_not_taken_comes_again(site: Site, uid: str) -> None:
    site.planner.create(dataset(), uid)
    site.planner.status = 0x0213
    try:
        site.planner.subscribe(uid)
        site.planner.wait(uid, 2)
    finally:
        site.planner.status = 0x0000
    came = len(site.planner.wait(uid, 2))
    site.planner.wait(uid, came)
    assert {one.state for one in site.planner.told if one.workitem == uid} == {"SCHEDULED"}
