"""QIDO-RS without a server: parameters, answers, limits, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydicom.dataset import Dataset
from tests.support.generate import ct, uid
from tests.support.web import Answer, Web, web

from vesalius.web import qido, qido_headers

STUDY = uid("study", 1)
XML = 'multipart/related; type="application/dicom+xml"'


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("web"), results=40) as made:
        for study in range(1, 8):
            for instance in (1, 2):
                made.archive.keep(
                    ct(study, 1, instance, patient_id=f"P{study}", patient_name=f"Doe^{'ABCDEFGH'[study]}")
                )
        for instance in range(1, 61):
            made.archive.keep(ct("many", 1, instance, patient_id="MANY", patient_name="Müller^Jörg"))
        made.archive.keep(ct("mr", 5, 1, patient_id="MR", Modality="MR", Rows=4, Columns=4, StudyDate="20250101"))
        yield made


def names(answer: Answer, tag: str = "00100020") -> list[str]:
    assert answer.status == 200, answer.text
    return [one[tag]["Value"][0] for one in answer.json()]


def test_every_path_of_the_standard_answers(filled: Web) -> None:
    series = uid("series", 1, 1)
    for path, count in (
        ("/studies", 9),
        (f"/studies/{STUDY}/series", 1),
        (f"/studies/{STUDY}/instances", 2),
        (f"/studies/{STUDY}/series/{series}/instances", 2),
        ("/series", 9),
        (f"/series/{series}/instances", 2),
        ("/instances?limit=30", 30),
    ):
        answer = filled.dicom_web(path)
        assert answer.status == 200 and len(answer.json()) == count, path
        assert answer.headers["content-type"] == "application/dicom+json"


def test_several_values_mean_all_of_them_only_where_that_is_asked_for(filled: Web) -> None:
    """PS3.18 8.3.4.6, PS3.4 C.2.2.2.8: of an attribute with several values; without the parameter, any of them."""
    both = "/studies?ModalitiesInStudy=CT%5CSR"
    filled.archive.keep(ct("both", 1, 1, patient_id="BOTH"))
    filled.archive.keep(ct("both", 2, 1, patient_id="BOTH", Modality="SR"))
    try:
        assert names(filled.dicom_web(both + "&multiplevaluematching=true")) == ["BOTH"]
        assert names(filled.dicom_web("/studies?ModalitiesInStudy=CT%5CSR%5CMR&multiplevaluematching=true")) == []
        assert len(names(filled.dicom_web(both + "&multiplevaluematching=false"))) > 5
        assert len(names(filled.dicom_web(both))) > 5
        uids = ",".join((uid("study", 2), uid("study", 4)))
        one_of = filled.dicom_web(f"/studies?StudyInstanceUID={uids}&multiplevaluematching=true")
        assert sorted(names(one_of)) == ["P2", "P4"], "a list of UIDs is any of them (C.2.2.2.2)"
        assert filled.dicom_web(both + "&multiplevaluematching=perhaps").status == 400
    finally:
        filled.dicom_web(f"/studies/{uid('study', 'both')}?reason=test", "DELETE")


def test_an_answer_holds_the_attributes_of_the_table_and_where_to_retrieve_it(filled: Web) -> None:
    (study,) = filled.dicom_web("/studies?PatientID=P1").json()
    assert study["00081190"]["Value"] == [f"http://archive.test/dicom-web/studies/{STUDY}"]
    assert study["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Doe^B"}]}
    assert study["00201208"]["Value"] == [2] and study["00080061"]["Value"] == ["CT"]
    assert study["00080056"]["Value"] == ["ONLINE"] and study["00080005"]["Value"] == ["ISO_IR 192"]
    for tag in ("00080020", "00080030", "00080050", "00080090", "00100030", "00100040", "0020000D", "00200010"):
        assert tag in study
    for tag in ("00080060", "00080018", "0020000E", "00280010", "00080052", "00080054", "00080201"):
        assert tag not in study


def test_series_and_instances_hold_what_their_path_does_not_say(filled: Web) -> None:
    (series,) = filled.dicom_web(f"/studies/{STUDY}/series").json()
    assert series["00080060"]["Value"] == ["CT"] and series["00201209"]["Value"] == [2]
    assert "00100010" not in series
    assert "00100010" in filled.dicom_web("/series?PatientID=P1").json()[0]
    instance = filled.dicom_web(f"/studies/{STUDY}/instances").json()[0]
    assert instance["00280010"]["Value"] == [16] and "00080060" in instance and "00080020" not in instance
    assert instance["00081190"]["Value"][0].endswith(f"/instances/{uid('instance', 1, 1, 1)}")
    assert "00280008" not in instance


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("PatientID=P1", {"P1"}),
        ("00100020=P1", {"P1"}),
        ("PatientID=P?", {f"P{n}" for n in range(1, 8)}),
        ("PatientName=doe*&PatientID=P*", {f"P{n}" for n in range(1, 8)}),
        ("PatientName=muller^jorg", {"MANY"}),
        ("PatientName=M%C3%BCller*", {"MANY"}),
        ("PatientName=Mueler^Joerg&fuzzymatching=true", {"MANY"}),
        ("StudyDate=20250101", {"MR"}),
        ("StudyDate=20241201-", {"MR"}),
        ("ModalitiesInStudy=MR", {"MR"}),
        (f"StudyInstanceUID={STUDY},{uid('study', 2)}", {"P1", "P2"}),
        (f"StudyInstanceUID={STUDY}%5C{uid('study', 2)}", {"P1", "P2"}),
        (f"StudyInstanceUID={STUDY}&StudyInstanceUID={uid('study', 2)}", {"P1", "P2"}),
        ("AccessionNumber=A1&PatientID=P2", set()),
        ("AccessionNumber=%22%22&emptyvaluematching=true", set()),
    ],
)
def test_matching_is_that_of_c_find(filled: Web, query: str, found: set[str]) -> None:
    assert set(names(filled.dicom_web(f"/studies?{query}"))) == found


def test_no_match_is_an_empty_list(filled: Web) -> None:
    answer = filled.dicom_web("/studies?PatientID=NOBODY")
    assert (answer.status, answer.body) == (200, b"[]")
    assert answer.headers["content-type"] == "application/dicom+json"
    assert filled.dicom_web("/studies/1.2.3/series").json() == []


def test_204_is_a_setting(filled: Web, tmp_path: object) -> None:
    with web(tmp_path, no_match_status=204) as old:  # type: ignore[arg-type]
        answer = old.dicom_web("/studies")
        assert (answer.status, answer.body) == (204, b"")


def test_includefield_adds_up_and_all_means_the_level_and_above(filled: Web) -> None:
    one = filled.dicom_web("/studies?PatientID=P1&includefield=StudyDescription,00101010&includefield=PatientComments")
    study = one.json()[0]
    assert study["00081030"]["Value"] == ["HEAD"] and study["00101010"] == {"vr": "AS"}
    assert study["00104000"] == {"vr": "LT"}
    everything = filled.dicom_web("/studies?PatientID=P1&includefield=all").json()[0]
    assert len(everything) > 50 and "00080060" not in everything and "00280010" not in everything
    deep = filled.dicom_web(f"/studies/{STUDY}/instances?includefield=all").json()[0]
    assert deep["00281053"]["Value"] == [1] and deep["0008103E"]["Value"] == ["Series 1"]


def test_a_valid_field_that_is_not_kept_is_left_out_and_a_wrong_one_refused(filled: Web) -> None:
    assert filled.dicom_web("/studies?includefield=WaveformData,00091001,RedPaletteColorLookupTableData").status == 200
    assert filled.dicom_web("/studies?includefield=NoSuchKeyword").status == 400


def test_a_key_that_is_not_kept_is_ignored_with_a_warning(filled: Web) -> None:
    answer = filled.dicom_web("/studies?KVP=120&00091001=x&PatientID=P1")
    assert names(answer) == ["P1"]
    assert answer.headers["warning"].startswith("299 http://archive.test/dicom-web: These attributes are not")
    assert "KVP" in answer.headers["warning"] and "(0009,1001)" in answer.headers["warning"]


def test_limit_and_offset_walk_through_a_stable_order_and_say_what_is_left(filled: Web) -> None:
    path, seen = f"/studies/{uid('study', 'many')}/instances", []
    for offset in range(0, 60, 25):
        answer = filled.dicom_web(f"{path}?limit=25&offset={offset}")
        seen += names(answer, "00080018")
        left = 60 - offset - 25
        if left > 0:
            expected = f"299 http://archive.test/dicom-web: There are {left} additional results that can be requested"
            assert answer.headers["warning"] == expected
        else:
            assert "warning" not in answer.headers
    assert len(set(seen)) == len(seen) == 60
    assert filled.dicom_web(f"{path}?offset=60").json() == []
    assert filled.dicom_web(f"{path}?offset={10**12}").json() == []


def test_more_than_the_service_gives_is_a_page_of_it(filled: Web) -> None:
    answer = filled.dicom_web("/instances?limit=1000000000000")
    assert len(answer.json()) == 40
    assert answer.headers["warning"].endswith(": There are 35 additional results that can be requested")
    assert filled.dicom_web("/instances?limit=0").json() == []


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1", "limit=abc", "limit=1.5", "limit=", "offset=-1", "offset=x", "limit=1&limit=2",
        "fuzzymatching=maybe", "fuzzymatching=true&fuzzymatching=true", "emptyvaluematching=1",
        "PatientID=a&PatientID=b", "PatientID=a&00100020=b", "NoSuchKeyword=1", "0010002=1", "=1",
        "StudyDate=20240201-20240101", "StudyDate=20231301", "StudyDate=yesterday", "StudyTime=2300-0100",
        "StudyInstanceUID=../x", "StudyInstanceUID=1.2.x", "NumberOfStudyRelatedInstances=many",
        ".".join(["00400275"] * 50) + "=1", "PatientID.00400009=1", "00400275=1", "TimezoneOffsetFromUTC=MEZ",
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_refused_with_a_reason(filled: Web, query: str) -> None:
    answer = filled.dicom_web(f"/studies?{query}" if "0040" not in query else f"/series?{query}")
    assert answer.status == 400, answer.text
    assert set(answer.json()) == {"title", "detail", "hint"} and answer.headers["content-type"] == "application/json"


def test_too_many_wildcards_are_too_much(filled: Web) -> None:
    assert filled.dicom_web(f"/studies?PatientName={'a*' * 500}").status == 413


@pytest.mark.parametrize("uid_in_path", ["x", "1.2.a", "..", "1", "1.2." + "3" * 70, "%2e%2e%2fetc", "1.2%00"])
def test_an_address_with_what_is_no_uid_is_refused(filled: Web, uid_in_path: str) -> None:
    for path in (f"/studies/{uid_in_path}/series", f"/studies/{STUDY}/series/{uid_in_path}/instances"):
        assert filled.dicom_web(path).status in (400, 404)
    if "%2f" not in uid_in_path:
        assert filled.dicom_web(f"/studies/{uid_in_path}/series").status == 400


def test_other_methods_and_other_cases_are_no_searches(filled: Web) -> None:
    for method in ("PUT", "PATCH", "TRACE", "DELETE"):
        answer = filled.dicom_web("/studies", method)
        assert answer.status == 405 and "GET" in answer.headers["allow"]
    assert filled.dicom_web("/Studies").status == 404
    assert filled.ask("/DICOM-WEB/studies").status == 404


@pytest.mark.parametrize(
    ("accept", "status", "form"),
    [
        ("application/dicom+json", 200, "application/dicom+json"),
        ("application/json", 200, "application/json"),
        ("*/*", 200, "application/dicom+json"),
        ("application/*;q=0.5, text/html", 200, "application/dicom+json"),
        (XML, 200, "multipart/related"),
        (f"application/dicom+json;q=0.1, {XML};q=0.9", 200, "multipart/related"),
        ("multipart/related", 200, "multipart/related"),
        ("application/dicom+json;q=0", 406, "application/json"),
        ("application/dicom+json;q=0, */*", 200, "application/json"),
        ("text/html", 406, "application/json"),
        ('multipart/related; type="application/dicom"', 406, "application/json"),
        ("application", 400, "application/json"),
        ("application/dicom+json;q=7", 400, "application/json"),
        ('a/b;c="', 400, "application/json"),
    ],
)
def test_the_form_is_negotiated(filled: Web, accept: str, status: int, form: str) -> None:
    answer = filled.dicom_web("/studies?PatientID=P1", headers={"Accept": accept})
    assert answer.status == status and answer.headers["content-type"].startswith(form)


def test_the_accept_parameter_stands_in_for_the_header(filled: Web) -> None:
    answer = filled.dicom_web("/studies?accept=application/json", headers={"Accept": "text/html"})
    assert answer.status == 200 and answer.headers["content-type"] == "application/json"


def test_xml_is_one_document_for_each_answer(filled: Web) -> None:
    answer = filled.dicom_web("/studies?PatientID=MANY", headers={"Accept": XML})
    assert answer.body.count(b"<NativeDicomModel") == 1
    assert "<FamilyName>Müller</FamilyName>" in answer.text
    assert answer.headers["content-type"].split("boundary=")[1].strip('"').encode() in answer.body


def test_answers_are_compressed_as_the_client_likes(filled: Web) -> None:
    import gzip

    import zstandard

    path = "/studies?includefield=all"
    plain = filled.dicom_web(path)
    packed = filled.dicom_web(path, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip" and gzip.decompress(packed.body) == plain.body
    packed = filled.dicom_web(path, headers={"Accept-Encoding": "gzip, deflate, br, zstd"})
    assert packed.headers["content-encoding"] == "zstd"
    assert zstandard.ZstdDecompressor().decompress(packed.body) == plain.body
    assert "content-encoding" not in filled.dicom_web(path, headers={"Accept-Encoding": "zstd;q=0, gzip;q=0"}).headers
    assert "Accept-Encoding" in packed.headers["vary"]


def test_an_unchanged_answer_is_not_sent_again(filled: Web) -> None:
    first = filled.dicom_web("/studies")
    again = filled.dicom_web("/studies", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    assert filled.dicom_web("/studies?limit=1", headers={"If-None-Match": first.headers["etag"]}).status == 200
    assert "no-cache" in first.headers["cache-control"] and "private" in first.headers["cache-control"]


def test_times_are_compared_in_the_zone_of_the_question(tmp_path_factory: pytest.TempPathFactory) -> None:
    with web(tmp_path_factory.mktemp("zone")) as made:
        made.archive.keep(ct("z", StudyDate="20240131", StudyTime="233000", TimezoneOffsetFromUTC="+0100"))
        for query, count in (
            ("StudyDate=20240131&StudyTime=2300-2359", 1),
            ("StudyDate=20240201", 0),
            ("StudyDate=20240201&TimezoneOffsetFromUTC=%2B0300", 1),
            ("StudyDate=20240131&TimezoneOffsetFromUTC=%2B0300", 0),
        ):
            assert len(made.dicom_web(f"/studies?{query}").json()) == count, query


def test_a_sequence_is_matched_by_a_path_and_answered_with_what_was_asked(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with web(tmp_path_factory.mktemp("sequence")) as made:
        for number in (1, 2):
            request = Dataset()
            request.ScheduledProcedureStepID, request.RequestedProcedureID = f"S{number}", "R"
            request.RequestedProcedureDescription = "HEAD"
            made.archive.keep(ct(number, RequestAttributesSequence=[request]))
        (found,) = made.dicom_web("/series?00400275.00400009=S2").json()
        assert found["00400275"]["Value"] == [{"00400009": {"vr": "SH", "Value": ["S2"]}}]
        by_keyword = made.dicom_web("/series?RequestAttributesSequence.ScheduledProcedureStepID=S?").json()
        assert len(by_keyword) == 2
        (found,) = made.dicom_web("/series?00400275.00400009=S2&includefield=00400275.00321060").json()
        assert found["00400275"]["Value"][0]["00321060"]["Value"] == ["HEAD"]
        (found, _) = made.dicom_web("/series").json()
        assert set(found["00400275"]["Value"][0]) == {"00400009", "00401001"}


def test_what_is_left_is_counted_to_a_bound_and_no_further(filled: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qido, "MOST_COUNTED", 10)
    answer = filled.dicom_web("/instances?PatientName=M*&limit=1")
    assert "There are at least " in answer.headers["warning"]
    monkeypatch.setattr(qido, "MOST_COUNTED", 1000)
    answer = filled.dicom_web("/instances?PatientName=M*&limit=1")
    assert answer.headers["warning"].endswith(": There are 59 additional results that can be requested")


# -- what the index does not keep ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """Five instances: private attributes in another block each, beside a standard one that is not indexed."""
    with web(tmp_path_factory.mktemp("private")) as made:
        for number in range(5):
            ds = ct(
                "p", 1, number, GeneratorPower=str(100 + 10 * number), AcquisitionDeviceProcessingDescription="PROC"
            )
            block = ds.private_block(0x0009, "ACME", create=True) if number < 3 else None
            if block is None:
                ds.private_block(0x0009, "OTHER", create=True).add_new(1, "LO", f"V{number}")
                block = ds.private_block(0x0009, "ACME", create=True)
            block.add_new(1, "LO", f"V{number}")
            block.add_new(2, "PN", "Müller^Jörg")
            block.add_new(3, "DA", f"2024010{number + 1}")
            item = Dataset()
            item.CodeValue = f"C{number}"
            ds.ViewCodeSequence = [item]
            made.archive.keep(ds)
        yield made


PRIVATE = f"/studies/{uid('study', 'p')}/instances"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("00090010=ACME&00091001=V1", [1]), ("00090010=ACME&00091001=V4", [4]),
        ("00090010=ACME&00091001=V*", [0, 1, 2, 3, 4]),
        ("00090010=OTHER&00091001=V?", [3, 4]), ("00090010=NOBODY&00091001=V1", []), ("00091001=V1", [1]),
        ("00091001=V4", [4]), ("00090010=ACME&00091001=x", []), ("00090010=OTHER", [3, 4]),
        ("00090010=ACME&00091002=muller^jorg", [0, 1, 2, 3, 4]), ("00090010=ACME&00091003=20240102-20240103", [1, 2]),
        ("00090010=ACME&00091003=-20240102", [0, 1]), ("00090010=ACME&00091003=20240105-", [4]),
        ("GeneratorPower=120", [2]), ("GeneratorPower=120.0", [2]), ("GeneratorPower=120&00091001=V1", []),
        ("GeneratorPower=120&InstanceNumber=2", [2]), ("GeneratorPower=120&InstanceNumber=3", []),
        ("ViewCodeSequence.CodeValue=C3", [3]), ("00540220.00080100=C?", [0, 1, 2, 3, 4]),
        ("GeneratorPower=", [0, 1, 2, 3, 4]),
    ],
)  # fmt: skip
def test_instances_are_found_by_what_the_index_does_not_keep(private: Web, query: str, found: list[int]) -> None:
    answer = private.dicom_web(f"{PRIVATE}?{query}&includefield=InstanceNumber")
    assert answer.status == 200, answer.text
    assert [one["00200013"]["Value"][0] for one in answer.json()] == found
    assert "warning" not in answer.headers


def test_what_was_asked_for_is_answered_from_the_header_with_its_creator(private: Web) -> None:
    fields = "includefield=00091001,GeneratorPower&includefield=ViewCodeSequence.CodeValue"
    for one in private.dicom_web(f"{PRIVATE}?{fields}").json():
        number = one["00200013"]["Value"][0]
        assert one["00181170"] == {"vr": "IS", "Value": [100 + 10 * number]}
        assert one["00091001"]["Value"] == [f"V{number}"]
        assert one["00090010"]["Value"] == ["ACME" if number < 3 else "OTHER"]
        assert one["00540220"]["Value"][0]["00080100"]["Value"] == [f"C{number}"]
        assert list(one) == sorted(one)
    (one,) = private.dicom_web(f"{PRIVATE}?00090010=ACME&00091001=V4").json()
    assert one["00091101"]["Value"] == ["V4"] and one["00090011"]["Value"] == ["ACME"] and "00091001" not in one
    answer = private.dicom_web(f"{PRIVATE}?GeneratorPower=140&includefield=00091002", headers={"Accept": XML})
    assert answer.body.count(b"<NativeDicomModel") == 1 and "<FamilyName>Müller</FamilyName>" not in answer.text
    assert b'tag="00181170"' in answer.body


def test_pages_of_what_was_found_in_headers_say_what_is_left(private: Web) -> None:
    answer = private.dicom_web(f"{PRIVATE}?00090010=ACME&00091001=V*&limit=2&offset=1")
    assert [one["00200013"]["Value"][0] for one in answer.json()] == [1, 2]
    assert answer.headers["warning"].endswith(": There are 2 additional results that can be requested")
    assert private.dicom_web(f"{PRIVATE}?GeneratorPower=*&offset=9").json() == []


def test_more_headers_than_may_be_read_are_refused(private: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qido_headers, "MOST_READ", 4)
    answer = private.dicom_web("/instances?GeneratorPower=120")
    assert answer.status == 413 and "study" in answer.json()["hint"]
    assert len(private.dicom_web("/instances?GeneratorPower=120&InstanceNumber=2").json()) == 1
    assert private.dicom_web(f"/instances?GeneratorPower={'1*' * 101}").status == 413
    assert private.dicom_web("/instances?GeneratorPower=120&GeneratorPower=130").status == 400


def test_studies_and_series_have_no_header_to_look_into(private: Web) -> None:
    for path in ("/studies", "/series"):
        answer = private.dicom_web(f"{path}?GeneratorPower=1&00091001=x")
        assert len(answer.json()) == 1 and "GeneratorPower" in answer.headers["warning"]
