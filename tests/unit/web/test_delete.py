"""DELETE, what was deleted, and taking it back, by HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset
from tests.support.archive import dataset_of
from tests.support.generate import ct, part10
from tests.support.stow import files, headers
from tests.support.web import Answer, Web, web


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("delete")) as made:
        yield made


def store(site: Web, study: object, count: int = 3) -> list[Dataset]:
    made = [ct(study=study, series=n % 2, instance=n, patient_id=f"P-{study}") for n in range(count)]
    answer = site.dicom_web("/studies", "POST", headers(), files(*(part10(ds) for ds in made)))
    assert answer.status == 200
    return made


def path(ds: Dataset, level: int = 3) -> str:
    parts = ("studies", ds.StudyInstanceUID, "series", ds.SeriesInstanceUID, "instances", ds.SOPInstanceUID)
    return "/" + "/".join(parts[: level * 2])


def undelete(site: Web, deletion: str, **more: Any) -> Answer:
    body = json.dumps({"deletion": deletion, **more}).encode()
    return site.ask("/api/undelete", "POST", {"Content-Type": "application/json"}, body)


def uids(site: Web, ds: Dataset) -> set[str]:
    answer = site.dicom_web(f"/studies/{ds.StudyInstanceUID}/instances")
    return {item["00080018"]["Value"][0] for item in answer.json()}


@pytest.mark.parametrize("level", [1, 2, 3])
def test_what_is_deleted_is_gone_from_every_address_and_comes_back(site: Web, level: int) -> None:
    made = store(site, f"level-{level}")
    first = made[0]
    answer = site.dicom_web(path(first, level) + "?reason=wrong%20patient", "DELETE")
    assert answer.status == 200
    told = answer.json()
    assert told["level"] == ("STUDY", "SERIES", "INSTANCE")[level - 1]
    assert (told["state"], told["reason"], told["address"]) == ("deleted", "wrong patient", "127.0.0.1")
    assert told["study"] == first.StudyInstanceUID
    assert told["until"] > told["at"]
    left = {ds.SOPInstanceUID for ds in made[1:]} if level == 3 else {made[1].SOPInstanceUID} if level == 2 else set()
    assert told["instances"] == 3 - len(left)
    assert uids(site, first) == left
    for address in (path(first), path(first) + "/metadata", path(first, level) + "/metadata"):
        gone = site.dicom_web(address)
        assert gone.status == 410, address
    assert site.dicom_web(path(first, level), "DELETE").status == 404
    back = undelete(site, told["deletion"], reason="a mistake")
    assert back.status == 200 and back.json()["state"] == "restored"
    assert uids(site, first) == {ds.SOPInstanceUID for ds in made}
    assert site.dicom_web(path(first)).status == 200
    for ds in made:
        assert site.archive.bytes_of(ds.SOPInstanceUID) == dataset_of(part10(ds))
    assert undelete(site, told["deletion"]).status == 409


def test_what_was_never_here_is_404_and_what_is_no_uid_400(site: Web) -> None:
    assert site.dicom_web("/studies/1.2.3", "DELETE").status == 404
    assert site.dicom_web("/studies/1.2.3/series/4.5", "DELETE").status == 404
    assert site.dicom_web("/studies/1.2.x", "DELETE").status == 400
    assert site.dicom_web("/studies/1.2.3?reason=" + "x" * 2000, "DELETE").status == 400
    assert site.dicom_web("/studies/1.2.3?reason=a&reason=b", "DELETE").status == 400
    assert undelete(site, "0" * 32).status == 404


def test_a_series_under_the_wrong_study_is_not_deleted(site: Web) -> None:
    one, other = store(site, "wrong-a")[0], store(site, "wrong-b")[0]
    address = f"/studies/{one.StudyInstanceUID}/series/{other.SeriesInstanceUID}"
    if one.SeriesInstanceUID != other.SeriesInstanceUID:
        assert site.dicom_web(address, "DELETE").status == 404
        assert len(uids(site, other)) == 3


def test_the_reason_may_come_in_a_header(site: Web) -> None:
    ds = store(site, "header")[0]
    answer = site.dicom_web(path(ds, 1), "DELETE", {"Deletion-Reason": "caf%C3%A9"})
    assert answer.json()["reason"] == "café"


def test_after_deletion_the_same_instance_is_a_new_arrival(site: Web) -> None:
    ds = store(site, "again", 1)[0]
    deletion = site.dicom_web(path(ds, 1), "DELETE").json()["deletion"]
    store(site, "again", 1)
    assert uids(site, ds) == {ds.SOPInstanceUID}
    assert site.dicom_web(path(ds)).status == 200
    assert undelete(site, deletion).status == 200  # the same bytes: nothing doubles
    assert uids(site, ds) == {ds.SOPInstanceUID}
    assert site.archive.index.totals().conflicts == 0


def test_deletions_are_listed_with_who_and_why(site: Web) -> None:
    ds = store(site, "listed")[0]
    site.dicom_web(path(ds, 2) + "?reason=first", "DELETE")
    site.dicom_web(path(ds, 1) + "?reason=second", "DELETE")
    answer = site.ask(f"/api/deletions?study={ds.StudyInstanceUID}")
    found = answer.json()["deletions"]
    assert [(one["reason"], one["level"], one["instances"]) for one in found] == [
        ("second", "STUDY", 1), ("first", "SERIES", 2)]  # fmt: skip
    assert len(site.ask("/api/deletions?limit=1").json()["deletions"]) == 1
    assert site.ask("/api/deletions?state=purged").json() == {"deletions": []}
    assert site.ask("/api/deletions?state=nonsense").status == 400


def test_the_change_feed_tells_of_deletion_and_return(site: Web) -> None:
    last = site.ask("/api/changes?limit=1000").json()["last"]
    ds = store(site, "feed", 1)[0]
    deletion = site.dicom_web(path(ds, 1), "DELETE").json()["deletion"]
    undelete(site, deletion)
    events = site.ask(f"/api/changes?since={last}").json()["events"]
    assert [event["kind"] for event in events] == ["stored", "deleted", "stored", "restored"]
    assert {event["study"] for event in events} == {ds.StudyInstanceUID}


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("text/plain", b"{}", 415),
        ("application/json", b"", 400),
        ("application/json", b"[]", 400),
        ("application/json", b'{"deletion": 5}', 400),
        ("application/json", b'{"deletion": "' + b"x" * 100_000 + b'"}', 413),
    ],
)
def test_a_request_to_undelete_that_is_none_is_refused(site: Web, kind: str, body: bytes, status: int) -> None:
    assert site.ask("/api/undelete", "POST", {"Content-Type": kind}, body).status == status


def test_metadata_follow_a_deletion_at_once(site: Web) -> None:
    made = store(site, "metadata")
    address = path(made[0], 1) + "/metadata"
    before = site.dicom_web(address)
    assert len(before.json()) == 3
    site.dicom_web(path(made[0]), "DELETE")
    after = site.dicom_web(address, headers={"If-None-Match": before.headers["etag"]})
    assert after.status == 200 and len(after.json()) == 2
