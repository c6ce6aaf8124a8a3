"""STOW-RS: what is stored, and how the answer says so (service-answers F.3, F.4)."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest
from tests.support.archive import dataset_of
from tests.support.generate import ct, part10, uid
from tests.support.stow import STUDIES, failed, file, files, headers, post, stored
from tests.support.web import Web, web

from vesalius.dimse import errors as dimse_errors
from vesalius.model import errors
from vesalius.model.errors import IndexUnavailable, OutOfResources
from vesalius.web.stow_results import REASON_OF, reason_for


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("stow"), upload_idle=0.4, store_bytes=64 << 20, body_bytes=1 << 20) as made:
        yield made


def test_every_instance_of_a_request_is_stored_and_named_in_the_referenced_sequence(site: Web) -> None:
    made = [file("all") for _ in range(5)]
    answer = post(site, files(*(data for _, data in made)))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    body = answer.json()
    assert stored(body) == {name for name, _ in made}
    assert "00081198" not in body and "0008119A" not in body
    study = uid("study", "all")
    assert body["00081190"] == {"vr": "UR", "Value": [f"http://archive.test/dicom-web/studies/{study}"]}
    item = body["00081199"]["Value"][0]
    assert item["00081190"]["Value"][0].endswith(f"/instances/{item['00081155']['Value'][0]}")
    for name, data in made:
        assert site.archive.bytes_of(name) == dataset_of(data)


def test_the_provenance_says_stow_and_the_address(site: Web) -> None:
    name, data = file("provenance")
    post(site, files(data))
    kept = site.archive.find_one(name)
    assert kept is not None
    (found,) = [
        one
        for one in site.archive.blobs.scan(kept.member.pack)
        if one.member.header_offset == kept.member.header_offset
    ]
    assert found.label.provenance.how == "stow"
    assert found.label.provenance.address == "127.0.0.1"
    assert found.label.provenance.received_at


def test_several_studies_in_one_request_leave_the_studys_address_empty(site: Web) -> None:
    answer = post(site, files(file("one")[1], file("two")[1]))
    assert answer.status == 200
    assert answer.json()["00081190"] == {"vr": "UR"}


def test_the_answer_comes_in_xml_where_that_is_asked_for(site: Web) -> None:
    name, data = file("xml")
    bad = b"\0" * 128 + b"DICM nonsense"
    answer = post(site, files(data, bad), Accept="application/dicom+xml")
    assert answer.status == 202
    assert answer.headers["content-type"] == "application/dicom+xml"
    space = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
    root = ET.fromstring(answer.body)
    assert root.tag == f"{space}NativeDicomModel"
    by_keyword = {one.attrib["keyword"]: one for one in root}
    uids = [one.text for one in by_keyword["ReferencedSOPSequence"].iter(f"{space}Value")]
    assert name in uids
    assert [one.text for one in by_keyword["OtherFailuresSequence"].iter(f"{space}Value")] == [str(0xC000)]


def test_an_accept_header_that_cannot_be_met_is_refused_before_anything_is_stored(site: Web) -> None:
    name, data = file("accept")
    assert post(site, files(data), Accept="image/png").status == 406
    assert site.archive.find_one(name) is None


def test_the_same_instance_again_is_a_success_that_writes_nothing(site: Web) -> None:
    name, data = file("again")
    assert post(site, files(data)).status == 200
    before = site.archive.index.totals()
    answer = post(site, files(data, data))
    assert answer.status == 200
    assert stored(answer.body) == {name}
    assert site.archive.index.totals() == before


def test_other_content_under_the_same_uid_is_kept_beside_the_first(site: Web) -> None:
    ds = ct(study="conflict", instance=1)
    assert post(site, files(part10(ds))).status == 200
    other = ct(study="conflict", instance=1, seed=9)
    assert post(site, files(part10(other))).status == 200
    assert site.archive.bytes_of(str(ds.SOPInstanceUID)) == dataset_of(part10(ds))


def test_a_file_without_multipart_around_it_is_one_instance(site: Web) -> None:
    name, data = file("single")
    answer = site.dicom_web(STUDIES, "POST", {"Content-Type": "application/dicom"}, data)
    assert answer.status == 200 and stored(answer.body) == {name}


def test_values_of_reasons_are_decimal_numbers(site: Web) -> None:
    _, data = file("decimal", SOPClassUID="1.2.840.10008.1.1")
    answer = post(site, files(data))
    assert b'"00081197":{"vr":"US","Value":[290]}' in answer.body.replace(b" ", b"")  # 0122H


def test_every_failure_is_named_not_only_the_last(site: Web) -> None:
    good = file("many")
    bad = [file("many", SOPClassUID="1.2.840.10008.1.1") for _ in range(3)]
    answer = post(site, files(bad[0][1], good[1], bad[1][1], bad[2][1]))
    assert answer.status == 202
    assert failed(answer.body) == {name: 0x0122 for name, _ in bad}
    assert stored(answer.body) == {good[0]}


def test_resources_that_are_short_are_503_with_retry_after(site: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    name, data = file("full")

    def full(*_args: object, **_how: object) -> None:
        raise OutOfResources("the store's volume is full up to its watermark")

    monkeypatch.setattr(site.archive.blobs, "begin", full)
    answer = post(site, files(data))
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert failed(answer.body) == {name: 0xA700}


def test_an_index_that_is_away_is_503_and_a700(site: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    name, data = file("away")

    def away(_uids: object) -> None:
        raise IndexUnavailable("the index is away")

    monkeypatch.setattr(site.archive.index, "known", away)
    answer = post(site, files(data))
    assert answer.status == 503
    assert failed(answer.body) == {name: 0xA700}


def test_the_reasons_are_the_statuses_of_c_store() -> None:
    for kind, status in dimse_errors.STATUS_OF.items():
        if kind in REASON_OF and kind is not errors.CannotTranscode:
            assert REASON_OF[kind] == status
    assert reason_for(errors.VolumeReadOnly("x")) == 0xA700
    assert reason_for(errors.LimitExceeded("x")) == 0xA700
    assert reason_for(ValueError("x")) == 0xC001


def test_no_value_of_a_data_set_is_in_an_answer(site: Web) -> None:
    _, data = file("phi", patient_name="Geheim^Person", SOPClassUID="1.2.840.10008.1.1")
    assert b"Geheim" not in post(site, files(data)).body


def test_a_studies_resource_takes_only_its_methods(site: Web) -> None:
    answer = site.dicom_web(STUDIES, "PUT", headers(), b"")
    assert answer.status == 405
    assert "POST" in answer.headers["allow"]


def test_the_answer_is_valid_json_whatever_the_uids_hold(site: Web) -> None:
    _, data = file("quote")
    json.loads(post(site, files(data)).body)
