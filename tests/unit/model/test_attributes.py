"""The attribute table against PS3.6, and what is taken from data sets: real ones, nonsense ones, and fast."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import DicomDictionary
from tests.support.data import shared_data

from vesalius.model import datasets
from vesalius.model.attributes import (
    ATTRIBUTES,
    BY_TAG,
    COMPUTED,
    DATE_TIME_PAIRS,
    FINGERPRINT,
    SEQUENCES,
    UNIQUE_KEYS,
    KeyType,
    Role,
    columns,
    describe,
    extract,
)
from vesalius.model.attributes_extract import MAX_ITEMS, MAX_LONG, items_from_json
from vesalius.model.attributes_table import NESTED_VR
from vesalius.model.elements import Header, read_header
from vesalius.model.entities import Level, Record, Values
from vesalius.model.errors import DataSetMismatch
from vesalius.standard.transfer_syntaxes import EXPLICIT_LE

EXPLICIT_BE = "1.2.840.10008.1.2.2"
IDENTITY: dict[int, tuple[str, bytes]] = {
    0x00080016: ("UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
    0x00080018: ("UI", b"1.2.3.4\0"),
    0x0020000D: ("UI", b"1.2"),
    0x0020000E: ("UI", b"1.2.3\0"),
}


def record(*elements: tuple[int, str, bytes], charsets: tuple[str, ...] = (), syntax: str = EXPLICIT_LE) -> Record:
    made = {**IDENTITY, **{tag: (vr, value) for tag, vr, value in elements}}
    return extract(Header.of(syntax, made, charsets))


def items(*inside: Values) -> bytes:
    encoded = [datasets.encode(item, EXPLICIT_LE, ()) for item in inside]
    return b"".join(b"\xfe\xff\x00\xe0" + len(item).to_bytes(4, "little") + item for item in encoded)


def test_the_table_says_what_the_dictionary_says() -> None:
    for row in ATTRIBUTES:
        vr, vm, _, _, keyword = DicomDictionary[row.tag]
        assert (row.keyword, row.vr) == (keyword, vr)
        # An instance is kept in one transfer syntax, whatever the VM allows an answer to say.
        assert row.multi == (vm != "1") or row.keyword == "AvailableTransferSyntaxUID"
    for sequence, inside in SEQUENCES.items():
        assert DicomDictionary[sequence][0] == "SQ"
        for tag in inside:
            assert DicomDictionary[tag][0] == NESTED_VR[tag]
    for date, time in DATE_TIME_PAIRS.items():
        assert (BY_TAG[date].vr, BY_TAG[time].vr) == ("DA", "TM")
        assert BY_TAG[date].level is BY_TAG[time].level


@pytest.mark.parametrize(
    ("level", "required"),
    [
        (Level.PATIENT, {"PatientName", "PatientBirthDate", "PatientSex"}),
        (Level.STUDY, {"StudyDate", "StudyTime", "AccessionNumber", "StudyID"}),
        (Level.SERIES, {"Modality", "SeriesNumber"}),
        (Level.IMAGE, {"InstanceNumber"}),
    ],
)
def test_every_required_and_unique_key_is_there(level: Level, required: set[str]) -> None:
    rows = [row for row in ATTRIBUTES if row.level is level]
    assert required <= {row.keyword for row in rows if row.key is KeyType.REQUIRED}
    assert [row.tag for row in rows if row.key is KeyType.UNIQUE] == [UNIQUE_KEYS[level]]


def test_columns_have_one_name_each_and_fit_what_is_extracted() -> None:
    found = record()
    for level, kept in zip(Level, (found.patient, found.study, found.series, found.instance), strict=True):
        names = [column.name for column in columns(level, computed=False)]
        assert len(set(names)) == len(names)
        assert list(kept) == names
    assert {row.keyword for row in COMPUTED} >= {"ModalitiesInStudy", "SOPClassesInStudy"}
    assert len(FINGERPRINT) == 16
    assert len(list(describe())) == len(ATTRIBUTES)


@pytest.mark.parametrize("tag", IDENTITY)
@pytest.mark.parametrize("value", [b"", b"\0", b"1.2..3", b"../../etc", b"1.2\\1.3", b"1." + b"2" * 64])
def test_without_legal_uids_there_is_no_record(tag: int, value: bytes) -> None:
    with pytest.raises(DataSetMismatch) as refused:
        record((tag, "UI", value))
    assert refused.value.offending == (tag,)
    assert "etc" not in refused.value.message


def test_names_have_a_form_for_searching() -> None:
    found = record((0x00100010, "PN", "Müller^Jörg=山田 ".encode()), charsets=("ISO_IR 192",)).patient
    assert found["patient_name"] == "Müller^Jörg=山田"
    assert found["patient_name_folded"] == "muller^jorg"
    assert found["patient_name_ideographic"] == "山田"
    assert found["patient_name_phonetic"] is None
    assert str(found["patient_name_sounds"]).startswith(" NLR ")


def test_text_is_read_in_its_repertoire() -> None:
    greek = record((0x00100010, "PN", "Διονυσιος".encode("iso8859_7")), charsets=("ISO_IR 126",))
    assert greek.patient["patient_name"] == "Διονυσιος"
    japanese = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"
    found = record((0x00100010, "PN", japanese), charsets=("", "ISO 2022 IR 87"))
    assert found.patient["patient_name_ideographic"] == "山田^太郎"
    broken = record((0x00100020, "LO", b"P\xff\0x "), charsets=("ISO_IR 192",)).patient
    assert broken["patient_id"] == "P\ufffd\ufffdx"


@pytest.mark.parametrize(
    ("tag", "vr", "value", "column", "norm"),
    [
        (0x00080020, "DA", b"20231301", "study_date", "study_date_norm"),
        (0x00080030, "TM", b"256161", "study_time", "study_time_norm"),
        (0x0008002A, "DT", b"yesterday", "acquisition_date_time", "acquisition_date_time_norm"),
    ],
)
def test_a_nonsense_date_is_kept_as_sent_and_noted(tag: int, vr: str, value: bytes, column: str, norm: str) -> None:
    found = record((tag, vr, value))
    kept = {**found.study, **found.instance}
    assert kept[column] == value.decode()
    assert kept[norm] is None
    assert [(note.code, note.tag) for note in found.notes] == [("bad-value", tag)]
    assert value.decode() not in found.notes[0].text


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00180050, "DS", b"1e400 "),
        (0x00200013, "IS", b"abc "),
        (0x00280010, "US", b"\1"),
        (0x00280008, "IS", b"99999999999999999999"),
        (0x00180050, "DS", b"nan "),
    ],
)
def test_a_nonsense_number_is_none_and_noted(tag: int, vr: str, value: bytes) -> None:
    found = record((tag, vr, value))
    assert found.instance[BY_TAG[tag].column] is None
    assert vr == "US" or tag in [note.tag for note in found.notes]


def test_a_value_longer_than_its_vr_is_kept_and_noted_and_one_beyond_reason_is_not_indexed() -> None:
    found = record((0x00080050, "SH", b"A" * 65))
    assert found.study["accession_number"] == "A" * 65
    assert [note.code for note in found.notes] == ["value-too-long"]
    assert record((0x00100020, "LO", b"P" * 9000)).patient["patient_id"] is None


def test_numbers_are_read_in_the_byte_order_of_the_data_set() -> None:
    assert record((0x00280010, "US", b"\x00\x02")).instance["rows"] == 512
    assert record((0x00280010, "US", b"\x02\x00"), syntax=EXPLICIT_BE).instance["rows"] == 512
    assert record((0x00280010, "UN", b"\x00\x02")).instance["rows"] == 512
    assert record((0x00280010, "UL", b"\x00\x02\0\0")).instance["rows"] == 512
    assert record((0x00280010, "OB", b"\x00\x02")).instance["rows"] is None


def test_instants_are_known_where_the_data_set_says_its_zone() -> None:
    day = ((0x00080020, "DA", b"20200101"), (0x00080030, "TM", b"233000"))
    assert record(*day).study["study_date_utc"] is None
    zoned = record(*day, (0x00080201, "SH", b"-0500 "), (0x0008002A, "DT", b"20200101233000"))
    assert zoned.study["study_date_utc"] == "20200102043000.000000"
    assert zoned.instance["acquisition_date_time_norm"] == "20200102043000.000000"


def test_sequences_are_kept_as_items_and_as_values_to_match() -> None:
    code: Values = {0x00080100: ("T-1",), 0x00080102: ("SRT",), 0x00080104: ("Head",)}
    request: Values = {0x00401001: ("RP1",), 0x00400009: ("SPS1",), 0x00321064: (code,), 0x00100010: ("X",)}
    found = record((0x00081032, "SQ", items(code, code)), (0x00400275, "SQ", items(request)))
    assert items_from_json(str(found.study["procedure_code_sequence"])) == (code, code)
    kept = items_from_json(str(found.series["request_attributes_sequence"]))
    assert kept == ({0x00401001: ("RP1",), 0x00400009: ("SPS1",), 0x00321064: (code,)},)
    values = {(n.level, n.sequence, n.item, n.tag, n.value) for n in found.nested}
    assert (Level.STUDY, 0x00081032, 1, 0x00080100, "T-1") in values
    assert (Level.SERIES, 0x00400275, 0, 0x00400009, "SPS1") in values


def test_a_sequence_of_many_items_is_cut_and_noted() -> None:
    found = record((0x00081032, "SQ", items(*[{0x00080100: (str(n),)} for n in range(MAX_ITEMS + 5)])))
    assert len(items_from_json(str(found.study["procedure_code_sequence"]))) == MAX_ITEMS
    assert [note.code for note in found.notes] == ["value-too-long"]


def test_shared_functional_groups_fill_what_the_top_level_lacks() -> None:
    shared: Values = {
        0x00289110: ({0x00280030: ("0.5", "0.5"), 0x00180050: ("2",)},),
        0x00209116: ({0x00200037: ("1", "0", "0", "0", "1", "0")},),
        0x00289145: ({0x00281052: ("-1024",), 0x00281053: ("1",), 0x00281054: ("HU",)},),
    }
    found = record((0x52009229, "SQ", items(shared)), (0x00180050, "DS", b"3 ")).instance
    assert found["pixel_spacing"] == "0.5\\0.5"
    assert found["slice_thickness"] == 3.0
    assert found["image_orientation_patient"] == "1\\0\\0\\0\\1\\0"
    assert (found["rescale_intercept"], found["rescale_slope"], found["rescale_type"]) == (-1024.0, 1.0, "HU")


def test_what_is_remembered_of_one_series_is_never_another_s() -> None:
    one, other = record((0x00080060, "CS", b"CT")), record((0x00080060, "CS", b"MR"))
    assert (one.series["modality"], other.series["modality"]) == ("CT", "MR")
    one.series["modality"] = "changed"
    assert record((0x00080060, "CS", b"CT")).series["modality"] == "CT"


def test_companions_are_named_after_their_attribute() -> None:
    assert {column.role for column in columns(Level.PATIENT)} >= {Role.FOLDED, Role.SOUNDS, Role.NORM}


def test_real_headers_are_extracted() -> None:
    data = shared_data()
    if data is None:
        pytest.skip("no shared data")
    path = min((data / "ct-series").rglob("*.dcm"))
    raw = path.read_bytes()
    length = int.from_bytes(raw[140:144], "little")
    found = extract(read_header(raw[144 + length :], EXPLICIT_LE))
    assert found.series["modality"] == "CT"
    assert isinstance(found.instance["rows"], int)
    assert found.instance["rescale_slope"] is not None


_VRS = st.sampled_from(
    (
        *("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UI", "UT"),
        *("US", "SS", "UL", "SL", "FL", "FD", "UN", "OB", "SQ", "AT"),
    )
)


@given(
    st.dictionaries(
        st.sampled_from([row.tag for row in ATTRIBUTES]), st.tuples(_VRS, st.binary(max_size=24)), max_size=8
    ),
    st.sampled_from(["1.2.840.10008.1.2", EXPLICIT_LE, EXPLICIT_BE]),
    st.sampled_from([(), ("ISO_IR 192",), ("", "ISO 2022 IR 87"), ("GB18030",), ("nonsense",)]),
)
def test_whatever_bytes_come_there_is_a_record_or_a_named_refusal(
    elements: dict[int, tuple[str, bytes]], syntax: str, charsets: tuple[str, ...]
) -> None:
    try:
        found = extract(Header.of(syntax, {**IDENTITY, **elements}, charsets))
    except DataSetMismatch as refused:
        assert refused.offending
        return
    for kept in (found.patient, found.study, found.series, found.instance):
        assert all("\0" not in value for value in kept.values() if isinstance(value, str))
        assert all(len(value) <= 4 * MAX_LONG for value in kept.values() if isinstance(value, str))
