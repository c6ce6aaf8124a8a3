"""What an answer holds: the keys of every level and model, sequences, computed keys, the state of the archive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO

import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from tests.support.corpus import split_file
from tests.support.generate import ct, part10, uid
from tests.support.raw_dicom import Message
from tests.support.raw_peer import PATIENT_ROOT, PATIENT_STUDY_ONLY, STUDY_ROOT, RawScu
from tests.support.server import running_server

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
MR, SR = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.88.11"
PATIENT, STUDY, PSO = PATIENT_ROOT["find"], STUDY_ROOT["find"], PATIENT_STUDY_ONLY["find"]
RELATIONAL, COMBINED, FUZZY, EMPTY = b"\x01", b"\x01\x01", b"\x01\x00\x01", b"\x01\x00\x00\x00\x00\x01"


def code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def request(procedure: str, step: str) -> Dataset:
    item = Dataset()
    item.RequestedProcedureID, item.ScheduledProcedureStepID = procedure, step
    item.ScheduledProtocolCodeSequence = Sequence([code("P-1", "99LOCAL", "Protocol")])
    return item


def instances() -> Iterator[Dataset]:
    """Two patients; one has a study of three modalities and another study."""
    procedure = Sequence([code("CTHEAD", "99LOCAL", "CT of the head"), code("R-1", "SRT", "Other")])
    for modality, sop_class, series, count in (("CT", None, 1, 3), ("MR", MR, 2, 2), ("SR", SR, 3, 1)):
        for n in range(1, count + 1):
            ds = ct("one", series, n, patient_id="PA", patient_name="Alpha^Anna", ProcedureCodeSequence=procedure)
            ds.Modality = modality
            if modality == "MR":
                ds.BodyPartExamined = "HEAD"
            ds.RequestAttributesSequence = Sequence([request(f"RP{series}", f"SPS{series}"), request("RPX", "SPSX")])
            if sop_class:
                ds.SOPClassUID = sop_class
            yield ds
    yield ct("two", 1, 1, patient_id="PA", patient_name="Alpha^Anna", StudyDate="20250630", StudyTime="233000")
    yield ct("three", 1, 1, patient_id="PB", patient_name="Beta^Bert", StudyDate="20250701", StudyTime="003000")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running_server(tmp_path_factory.mktemp("answers")) as server:
        every = list(instances())
        classes = [(sop_class, [EXPLICIT]) for sop_class in dict.fromkeys(str(ds.SOPClassUID) for ds in every)]
        with RawScu.associate(server.dimse_port, classes) as scu:
            for ds in every:
                dataset = split_file(part10(ds))[1]
                assert scu.store(ds.SOPClassUID, ds.SOPInstanceUID, EXPLICIT, dataset).status == 0
        yield server.dimse_port


def encode(ds: Dataset) -> bytes:
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, True
    write_dataset(stream, ds)
    return stream.getvalue()


def find(
    port: int, level: str, model: str = STUDY, extended: bytes = b"", **keys: object
) -> tuple[list[Dataset], list[int]]:
    """The answers, read by pydicom, and the statuses of all responses."""
    ds = Dataset()
    ds.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(ds, keyword, value)
    negotiated: Mapping[str, bytes] = {model: extended} if extended else {}
    with RawScu.associate(port, [(model, [IMPLICIT])], extended=negotiated) as scu:
        messages: list[Message] = scu.find(encode(ds), model)
    read = [read_dataset(BytesIO(one.dataset), True, True) for one in messages if one.dataset]
    return read, [one.status for one in messages]


def test_every_answer_says_its_level_where_it_is_and_that_it_is_online(port: int) -> None:
    for level, keys in (
        ("STUDY", {}),
        ("SERIES", {"StudyInstanceUID": uid("study", "one")}),
        ("IMAGE", {"StudyInstanceUID": uid("study", "one"), "SeriesInstanceUID": uid("series", "one", 1)}),
    ):
        answers, statuses = find(port, level, **keys)
        assert statuses == [0xFF00] * 3 + [0]
        for answer in answers:
            assert answer.QueryRetrieveLevel == level
            assert answer.RetrieveAETitle == "VESALIUS"
            assert answer.InstanceAvailability == "ONLINE"


def test_the_unique_keys_of_all_levels_come_without_being_asked_for(port: int) -> None:
    answers, _ = find(port, "IMAGE", PATIENT, RELATIONAL, PatientID="PA")
    assert len(answers) == 7
    for answer in answers:
        for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            assert answer[keyword].value, keyword


def test_computed_keys_count_what_is_below(port: int) -> None:
    asked = dict.fromkeys(
        (
            "ModalitiesInStudy", "SOPClassesInStudy", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances",
            "NumberOfPatientRelatedStudies", "NumberOfPatientRelatedSeries", "NumberOfPatientRelatedInstances",
        ),
        "",
    )  # fmt: skip
    (one,), statuses = find(port, "STUDY", StudyInstanceUID=uid("study", "one"), **asked)
    assert statuses == [0xFF00, 0]
    assert sorted(one.ModalitiesInStudy) == ["CT", "MR", "SR"]
    assert sorted(one.SOPClassesInStudy) == sorted([ct().SOPClassUID, MR, SR])
    assert (one.NumberOfStudyRelatedSeries, one.NumberOfStudyRelatedInstances) == (3, 6)
    counts = (
        one.NumberOfPatientRelatedStudies,
        one.NumberOfPatientRelatedSeries,
        one.NumberOfPatientRelatedInstances,
    )
    assert counts == (2, 4, 7)
    series, _ = find(port, "SERIES", StudyInstanceUID=uid("study", "one"), NumberOfSeriesRelatedInstances="")
    assert sorted(answer.NumberOfSeriesRelatedInstances for answer in series) == [1, 2, 3]


def test_modalities_in_study_is_matched(port: int) -> None:
    assert len(find(port, "STUDY", ModalitiesInStudy="MR")[0]) == 1
    assert len(find(port, "STUDY", ModalitiesInStudy="CT")[0]) == 3
    assert len(find(port, "STUDY", ModalitiesInStudy=["MR", "SR"])[0]) == 1
    assert len(find(port, "STUDY", ModalitiesInStudy="US")[0]) == 0


def test_the_procedure_code_sequence_is_matched_and_answered(port: int) -> None:
    asked = Sequence([code("CTHEAD", "99LOCAL", "")])
    (one,), statuses = find(port, "STUDY", ProcedureCodeSequence=asked)
    assert statuses == [0xFF00, 0]
    assert [(item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning) for item in one.ProcedureCodeSequence] == [
        ("CTHEAD", "99LOCAL", "CT of the head"),
    ], "the items that match, and no others (PS3.4 C.2.2.2.6)"
    # The value of one item and the scheme of another: no single item matches (PS3.4 C.2.2.2.6).
    assert find(port, "STUDY", ProcedureCodeSequence=Sequence([code("CTHEAD", "SRT", "")]))[0] == []
    assert len(find(port, "STUDY", ProcedureCodeSequence=Sequence([code("CT*", "", "")]))[0]) == 1
    empty, _ = find(port, "STUDY", ProcedureCodeSequence=Sequence([]))
    assert len(empty) == 3, "a sequence without item matches everything"


def test_the_request_attributes_sequence_is_matched_and_answered(port: int) -> None:
    asked = Dataset()
    asked.RequestedProcedureID, asked.ScheduledProcedureStepID = "RP2", "SPS2"
    where = {"StudyInstanceUID": uid("study", "one")}
    (one,), statuses = find(port, "SERIES", **where, RequestAttributesSequence=Sequence([asked]), Modality="")
    assert statuses == [0xFF00, 0]
    assert one.Modality == "MR"
    assert {item.RequestedProcedureID for item in one.RequestAttributesSequence} == {"RP2"}
    asked.ScheduledProcedureStepID = "SPSX"
    assert find(port, "SERIES", **where, RequestAttributesSequence=Sequence([asked]))[0] == []
    asked.RequestedProcedureID = "RPX"
    assert len(find(port, "SERIES", **where, RequestAttributesSequence=Sequence([asked]))[0]) == 3


def test_keys_that_are_not_supported_are_not_matched_and_make_ff01(port: int) -> None:
    answers, statuses = find(port, "STUDY", ContrastBolusAgent="nothing like it", PatientID="PA")
    assert statuses == [0xFF01, 0xFF01, 0]
    assert all(not answer.get("ContrastBolusAgent") for answer in answers)
    below, statuses = find(port, "STUDY", SOPInstanceUID="1.2.3", PatientID="PA")
    assert statuses == [0xFF01, 0xFF01, 0]
    assert all(not answer.get("SOPInstanceUID") for answer in below)
    _, statuses = find(port, "STUDY", PatientID="PB")
    assert statuses == [0xFF00, 0]


def test_keys_that_are_kept_but_empty_come_back_empty(port: int) -> None:
    (one,), statuses = find(port, "STUDY", PatientID="PB", OtherPatientIDs="", PatientBirthTime="", StudyID="")
    assert statuses == [0xFF00, 0]
    assert "PatientBirthTime" in one
    assert one.PatientBirthTime in (None, "")
    assert one.StudyID == "1"


def test_patient_study_only_has_two_levels(port: int) -> None:
    assert {one.PatientID for one in find(port, "PATIENT", PSO)[0]} == {"PA", "PB"}
    assert len(find(port, "STUDY", PSO, PatientID="PA")[0]) == 2
    assert find(port, "SERIES", PSO, PatientID="PA", StudyInstanceUID=uid("study", "one"))[1] == [0xA900]


def test_the_hierarchy_is_required_unless_relational_queries_are_negotiated(port: int) -> None:
    assert find(port, "SERIES")[1] == [0xA900]
    assert find(port, "IMAGE", StudyInstanceUID=uid("study", "one"))[1] == [0xA900]
    assert find(port, "STUDY", PATIENT)[1] == [0xA900]
    assert find(port, "PATIENT")[1] == [0xA900], "Study Root has no PATIENT level"
    answers, statuses = find(port, "SERIES", STUDY, RELATIONAL, Modality="MR", PatientName="")
    assert statuses == [0xFF00, 0]
    assert answers[0].PatientName == "Alpha^Anna"


def test_keys_below_the_level_match_when_relational_queries_are_negotiated(port: int) -> None:
    series, instance = uid("series", "one", 2), uid("instance", "one", 2, 1)
    for keys in (
        {"SeriesInstanceUID": series},
        {"SOPInstanceUID": instance},
        {"SeriesInstanceUID": series, "SOPInstanceUID": instance, "Modality": "MR"},
        {"SeriesInstanceUID": [series, "1.2.3"], "StudyDescription": "HEAD"},
        {"Modality": "MR", "RequestAttributesSequence": Sequence([request("RP2", "SPS2")])},
    ):
        answers, statuses = find(port, "STUDY", STUDY, RELATIONAL, **keys)
        assert statuses == [0xFF00, 0], keys
        assert answers[0].StudyInstanceUID == uid("study", "one")
        assert answers[0].QueryRetrieveLevel == "STUDY"
        assert "SOPInstanceUID" not in answers[0]
        assert [one.PatientID for one in find(port, "PATIENT", PATIENT, RELATIONAL, **keys)[0]] == ["PA"]
    (one,), statuses = find(port, "SERIES", STUDY, RELATIONAL, SOPInstanceUID=instance)
    assert (one.SeriesInstanceUID, statuses) == (series, [0xFF00, 0])


def test_keys_below_the_level_match_in_one_series_together(port: int) -> None:
    both = {"Modality": "MR", "BodyPartExamined": "HEAD"}
    assert len(find(port, "STUDY", STUDY, RELATIONAL, **both)[0]) == 1
    for apart in (
        {"Modality": "SR", "BodyPartExamined": "HEAD"},
        {"Modality": "CT", "SeriesInstanceUID": uid("series", "one", 2)},
        {"Modality": "CT", "SOPInstanceUID": uid("instance", "one", 2, 1)},
    ):
        assert find(port, "STUDY", STUDY, RELATIONAL, **apart) == ([], [0]), apart


def test_keys_below_the_level_are_not_matched_unless_negotiated(port: int) -> None:
    for keys in ({"SeriesInstanceUID": "1.2.3"}, {"SOPInstanceUID": "1.2.3"}, {"Modality": "XX"}):
        assert find(port, "STUDY", **keys)[1] == [0xFF01] * 3 + [0], keys
    assert find(port, "STUDY", STUDY, RELATIONAL, Modality="")[1] == [0xFF01] * 3 + [0], "only asked for"


def test_a_date_range_and_a_time_range_are_one_span_only_when_negotiated(port: int) -> None:
    late = {"StudyDate": "20250630-20250701", "StudyTime": "230000-010000"}
    # Apart, the times would have to lie between 23:00 and 01:00 of any one day, which no time does.
    assert find(port, "STUDY", **late)[1] == [0xC000]
    answers, statuses = find(port, "STUDY", STUDY, COMBINED, **late)
    assert statuses == [0xFF00, 0xFF00, 0]
    assert {answer.StudyDate for answer in answers} == {"20250630", "20250701"}
    narrow = {"StudyDate": "20250630-20250701", "StudyTime": "234500-010000"}
    assert len(find(port, "STUDY", STUDY, COMBINED, **narrow)[0]) == 1
    apart = {"StudyDate": "20250630-20250701", "StudyTime": "000000-010000"}
    assert [answer.StudyDate for answer in find(port, "STUDY", **apart)[0]] == ["20250701"]


def test_names_that_sound_alike_match_only_when_negotiated(port: int) -> None:
    assert find(port, "STUDY", PatientName="Alfa^Ana")[0] == []
    answers, _ = find(port, "STUDY", STUDY, FUZZY, PatientName="Alfa^Ana")
    assert len(answers) == 2


def test_names_match_whatever_their_case_and_padding(port: int) -> None:
    for name in ("alpha^anna", "ALPHA^ANNA^^^", "Alpha^Anna ", "Alpha*", "*^anna", "A?pha^*"):
        assert len(find(port, "STUDY", PatientName=name)[0]) == 2, name
    for name in ("Alpha", "Anna", "Alpha^A", "?lpha"):
        assert find(port, "STUDY", PatientName=name)[0] == [], name


def test_texts_match_by_their_case(port: int) -> None:
    assert len(find(port, "STUDY", StudyDescription="HEAD")[0]) == 3
    assert find(port, "STUDY", StudyDescription="head")[0] == []
    assert len(find(port, "STUDY", StudyDescription="H*D")[0]) == 3


def test_a_list_of_uids_matches_any_of_them(port: int) -> None:
    uids = [uid("study", name) for name in ("one", "three", "missing")]
    assert len(find(port, "STUDY", StudyInstanceUID=uids)[0]) == 2


def test_the_same_question_is_answered_in_the_same_order(port: int) -> None:
    orders = {
        tuple(one.SOPInstanceUID for one in find(port, "IMAGE", PATIENT, RELATIONAL, PatientID="")[0]) for _ in range(3)
    }
    assert len(orders) == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [("StudyDate", "20250101-20240101"), ("StudyDate", "20231301"), ("StudyTime", "99"), ("StudyInstanceUID", "1.2.x")],
)
def test_a_value_that_cannot_be_read_is_refused_with_its_tag(port: int, key: str, value: str) -> None:
    ds = Dataset()
    ds.QueryRetrieveLevel = "STUDY"
    ds.add_new(key, "LO", value)
    with RawScu.associate(port, [(STUDY, [IMPLICIT])]) as scu:
        (answer,) = scu.find(encode(ds), STUDY)
    assert answer.status == 0xC000
    tag = ds[key].tag
    assert answer.command[0x901] == tag.group.to_bytes(2, "little") + tag.element.to_bytes(2, "little")
    assert value not in answer.text(0x902)


def test_questions_in_every_transfer_syntax_are_answered_in_it(port: int) -> None:
    for syntax in (IMPLICIT, EXPLICIT, "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"):
        ds = Dataset()
        ds.QueryRetrieveLevel, ds.PatientID, ds.StudyInstanceUID = "STUDY", "PA", ""
        stream = DicomBytesIO()
        stream.is_little_endian = syntax != "1.2.840.10008.1.2.2"
        stream.is_implicit_VR = syntax == IMPLICIT
        write_dataset(stream, ds)
        with RawScu.associate(port, [(STUDY, [syntax])]) as scu:
            data = stream.getvalue()
            answers = scu.find(_deflated(data) if syntax.endswith(".99") else data, STUDY)
        assert [one.status for one in answers] == [0xFF00, 0xFF00, 0], syntax
        raw = _inflated(answers[0].dataset) if syntax.endswith(".99") else answers[0].dataset
        read = read_dataset(BytesIO(raw), syntax == IMPLICIT, syntax != "1.2.840.10008.1.2.2")
        assert read.PatientID == "PA", syntax


def _deflated(data: bytes) -> bytes:
    import zlib

    squeeze = zlib.compressobj(wbits=-15)
    return squeeze.compress(data) + squeeze.flush()


def _inflated(data: bytes) -> bytes:
    import zlib

    return zlib.decompressobj(-15).decompress(data)
