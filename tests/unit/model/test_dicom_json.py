"""DICOM JSON both ways: what is written for each VR, what is read, and what is refused."""

from __future__ import annotations

import base64
import io
import json
import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from vesalius.model import dicom_json, dicom_json_read
from vesalius.model.bulk_paths import bulk_path, parse_bulk_path
from vesalius.model.dicom_json_read import ENCAPSULATED, BulkReference
from vesalius.model.errors import CannotUnderstand, UnableToProcess, VesaliusError

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"


def encoded(ds: Dataset, syntax: str = EXPLICIT) -> bytes:
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = syntax != BIG, syntax == IMPLICIT
    write_dataset(out, ds)
    return out.getvalue()


def element(tag: int, vr: str, raw: bytes) -> bytes:
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    if vr in ("OB", "OW", "UN", "UT", "SQ", "UC", "UR", "OF", "UV", "SV"):
        return head + struct.pack("<HI", 0, len(raw)) + raw
    return head + struct.pack("<H", len(raw)) + raw


def written(data: bytes, syntax: str = EXPLICIT) -> dict[str, Any]:
    return json.loads(dicom_json.from_dataset(data, syntax, "b"))


def value(tag: int, vr: str, raw: bytes) -> Any:
    return written(element(tag, vr, raw))[f"{tag:08X}"]


@pytest.mark.parametrize(
    ("tag", "vr", "raw", "expected"),
    [
        (0x00100020, "LO", b"A\\\\B ", ["A", None, "B"]),
        (0x00100020, "LO", b"  ", None),
        (0x00100010, "PN", b"Doe^J==x ", [{"Alphabetic": "Doe^J", "Phonetic": "x"}]),
        (0x00100010, "PN", b"A\\\\=B", [{"Alphabetic": "A"}, None, {"Ideographic": "B"}]),
        (0x00200013, "IS", b"007 ", [7]),
        (0x00200013, "IS", b"+5", [5]),
        (0x00200013, "IS", b"1A", ["1A"]),
        (0x00180050, "DS", b"1.500 ", [1.5]),
        (0x00180050, "DS", b".5\\-1.\\1e-008", [0.5, -1, 1e-8]),
        (0x00180050, "DS", b"1e999", ["1e999"]),
        (0x00180050, "DS", b"1,5 ", ["1,5"]),
        (0x00280010, "US", b"\x00\x02", [512]),
        (0x00280106, "SS", b"\xff\xff", [-1]),
        (0x00181600, "FD", struct.pack("<d", 0.1), [0.1]),
        (0x00181600, "FL", struct.pack("<f", 0.1), [0.1]),
        (0x00181600, "FD", struct.pack("<dd", float("nan"), float("-inf")), ["NaN", "-inf"]),
        (0x00280009, "AT", b"\x18\x00\x63\x10", ["00181063"]),
        (0x00081190, "UR", b"http://x/ y  ", ["http://x/ y"]),
        (0x00104000, "LT", b" a\\b\r\n ", [" a\\b\r\n"]),
        (0x00091001, "UV", struct.pack("<QQ", 5, 1 << 60), [5, str(1 << 60)]),
        (0x00080018, "UI", b"1.2.3\0", ["1.2.3"]),
        (0x00080020, "DA", b"20240131", ["20240131"]),
    ],
)
def test_each_vr_has_its_form(tag: int, vr: str, raw: bytes, expected: list[Any] | None) -> None:
    found = value(tag, vr, raw)
    assert found["vr"] == vr and found.get("Value") == expected


def test_digits_of_a_decimal_string_are_kept() -> None:
    assert b'"Value":[1.50000]' in dicom_json.from_dataset(element(0x00180050, "DS", b"1.50000 "), EXPLICIT)


def test_text_is_utf_8_whatever_it_was() -> None:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName = "Müller^Jörg"
    found = written(encoded(ds))
    assert found["00100010"]["Value"] == [{"Alphabetic": "Müller^Jörg"}]
    assert found["00080005"]["Value"] == ["ISO_IR 192"]


def test_small_binary_is_inline_and_large_is_an_address() -> None:
    assert value(0x00091001, "OB", b"\1\2") == {"vr": "OB", "InlineBinary": "AQI="}
    assert value(0x00091001, "OB", bytes(1026)) == {"vr": "OB", "BulkDataURI": "b/00091001"}
    assert value(0x00283006, "US", bytes(20_000)) == {"vr": "US", "BulkDataURI": "b/00283006"}
    assert value(0x00091001, "OB", b"") == {"vr": "OB"}


def test_an_address_inside_a_sequence_says_the_way() -> None:
    inner = element(0x00091001, "OB", bytes(2000))
    items = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(one)) + one for one in (b"", inner))
    found = value(0x00880200, "SQ", items)
    assert found["Value"] == [{}, {"00091001": {"vr": "OB", "BulkDataURI": "b/00880200/2/00091001"}}]


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
def test_the_encodings_say_the_same(syntax: str) -> None:
    inner = Dataset()
    inner.CodeValue = "1"
    ds = Dataset()
    ds.PatientID, ds.Rows, ds.PatientName = "4711", 5, "Doe"
    ds.ProcedureCodeSequence = [inner, Dataset()]
    ds.add_new(0x00282110, "CS", "00")
    ds.PixelData = b"\1\2\3\4"
    ds["PixelData"].VR = "OW"
    found = written(encoded(ds, syntax), syntax)
    assert found["00081032"]["Value"] == [{"00080100": {"vr": "SH", "Value": ["1"]}}, {}]
    assert found["00280010"]["Value"] == [5] and found["7FE00010"] == {"vr": "OW", "BulkDataURI": "b/7FE00010"}


def test_a_tag_that_stands_twice_or_out_of_order_stands_once_and_in_order() -> None:
    data = element(0x00100020, "LO", b"A ") + element(0x00080060, "CS", b"CT") + element(0x00100020, "LO", b"B ")
    writer = dicom_json.JsonWriter(EXPLICIT)
    writer.begin("")
    writer.feed(data)
    found = json.loads(writer.finish())
    assert list(found) == ["00080060", "00100020"] and found["00100020"]["Value"] == ["B"]


def test_group_lengths_are_left_out() -> None:
    assert written(element(0x00080000, "UL", b"\0\0\0\0") + element(0x00080060, "CS", b"CT")).keys() == {"00080060"}


def test_unknown_vr_with_a_known_tag_is_read_as_what_it_is() -> None:
    assert value(0x00100020, "UN", b"4711") == {"vr": "LO", "Value": ["4711"]}
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 10) + b"\x08\x00\x00\x01\x02\x00\x00\x001 "
    assert value(0x00081032, "UN", item)["Value"] == [{"00080100": {"vr": "SH", "Value": ["1"]}}]
    assert value(0x00081032, "UN", b"nonsense") == {"vr": "UN", "InlineBinary": base64.b64encode(b"nonsense").decode()}


def test_a_header_of_any_size_passes_through_small_pieces() -> None:
    data = b"".join(element(0x00091000 + n, "LO", b"x" * (2 * n)) for n in range(1, 200))
    data += element(0x00111001, "UT", b"y" * 5000)
    whole = dicom_json.from_dataset(data, EXPLICIT)
    for size in (64, 500, 4096):
        writer = dicom_json.JsonWriter(EXPLICIT)
        writer.begin("")
        start, step = 0, size
        while start < len(data):
            done = writer.feed(data[start : start + step], last=start + step >= len(data))
            start, step = (start + done, size) if done else (start, step * 2)
        assert writer.finish() == whole


@given(st.binary(max_size=300))
def test_whatever_bytes_come_are_written_or_refused(data: bytes) -> None:
    for syntax in (EXPLICIT, IMPLICIT, BIG):
        try:
            json.loads(dicom_json.from_dataset(data, syntax))
        except VesaliusError:
            pass


# -- reading


def read(text: str) -> Dataset:
    (attributes,) = dicom_json_read.parse(text.encode())
    return read_dataset(io.BytesIO(dicom_json_read.to_dataset(attributes)), False, True)


def test_what_is_written_is_read_again() -> None:
    inner = Dataset()
    inner.CodeValue, inner.CodeMeaning = "1", "日本"
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    ds.PatientID, ds.Rows, ds.PatientSize = "4711", 512, "1.75"
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.ProcedureCodeSequence = [inner]
    ds.add_new(0x00091010, "LO", "CREATOR")
    ds.add_new(0x00091001, "OB", b"\1\2\3\4")
    ds.add_new(0x00189087, "FD", [0.1, 1e300])
    ds.add_new(0x00280009, "AT", 0x00181063)
    data = encoded(ds)
    (attributes,) = dicom_json_read.parse(dicom_json.from_dataset(data, EXPLICIT))
    assert dicom_json_read.to_dataset(attributes) == data


def test_bulk_data_are_segments_with_their_lengths_around_them() -> None:
    text = (
        '{"00880200":{"vr":"SQ","Value":[{"7FE00010":{"vr":"OW","BulkDataURI":"icon"}}]},'
        '"7FE00010":{"vr":"OW","BulkDataURI":"pixels"}}'
    )
    (attributes,) = dicom_json_read.parse(text.encode())
    lengths = {"icon": 10, "pixels": 1 << 33 >> 2}
    segments = dicom_json_read.encode(attributes, lambda uri, _tag, _vr: lengths[uri])
    kinds = [one if isinstance(one, BulkReference) else bytes for one in segments]
    assert kinds == [bytes, BulkReference("icon", 0x7FE00010, "OW", 10), bytes,
                     BulkReference("pixels", 0x7FE00010, "OW", 1 << 31)]  # fmt: skip
    assert struct.unpack_from("<I", segments[0], 8)[0] == 8 + 12 + 10
    encapsulated = dicom_json_read.encode(attributes, lambda uri, *_: 10 if uri == "icon" else ENCAPSULATED)
    assert segments and bytes(encapsulated[2])[-12:] == b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff"


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[1]", '"x"', "{} {}", '{"0010":{"vr":"LO"}}', '{"00100020":1}', '{"00100020":{}}',
        '{"00100020":{"vr":"XX"}}', '{"00100020":{"vr":"PN","Value":["x"]}}', '{"00100020":{"vr":"LO","Value":"x"}}',
        '{"00100020":{"vr":"LO","Value":[1]}}', '{"00280010":{"vr":"US","Value":[70000]}}',
        '{"00280010":{"vr":"US","Value":["x"]}}', '{"00280010":{"vr":"US","Value":[1.5]}}',
        '{"00280010":{"vr":"US","Value":[true]}}', '{"00280010":{"vr":"US","InlineBinary":"AAA="}}',
        '{"00180050":{"vr":"DS","Value":[NaN]}}', '{"00180050":{"vr":"DS","Value":[Infinity]}}',
        '{"00091001":{"vr":"OB","InlineBinary":"%%"}}', '{"00091001":{"vr":"OB","Value":["x"]}}',
        '{"00091001":{"vr":"OB","InlineBinary":"AA==","BulkDataURI":"x"}}', '{"00091001":{"vr":"OB","BulkDataURI":1}}',
        '{"00091001":{"vr":"OB","BulkDataURI":"x"}}', '{"00081032":{"vr":"SQ","Value":[1]}}',
        '{"00081032":{"vr":"SQ","BulkDataURI":"x"}}', '{"00100010":{"vr":"PN","Value":[{"Nick":"x"}]}}',
        '{"00100010":{"vr":"PN","Value":[{"Alphabetic":"a=b"}]}}', '{"00100020":{"vr":"LO","Value":["a\\\\b"]}}',
        '{"FFFEE000":{"vr":"UN"}}', '{"00100020":{"vr":"LO"},"00100020":{"vr":"LO"}}',
        '{"00280009":{"vr":"AT","Value":["xyz"]}}', '{"001000aA":{"vr":"LO"},"001000AA":{"vr":"LO"}}',
        '{"00280010":{"vr":"US","Value":[1e999999999]}}', '{"00180050":{"vr":"DS","Value":[1' + "0" * 400 + "]}}",
        "[" * 100_000, '{"00081032":{"vr":"SQ","Value":[' * 5000, "9" * 10_000,
        '{"00081032":{"vr":"SQ","Value":[' * 70 + "{}" + "]}}" * 70,
    ],
)  # fmt: skip
def test_what_is_no_data_set_is_refused(text: str) -> None:
    with pytest.raises(CannotUnderstand):
        read(text)


def test_numbers_and_names_are_taken_in_every_form_that_the_standard_allows() -> None:
    ds = read(
        '{"00100010":{"vr":"PN","Value":[{"Alphabetic":"Doe^J","Ideographic":null},null]},'
        '"00200013":{"vr":"IS","Value":["7"]},"00180050":{"vr":"DS","Value":[0.1234567890123456789, 2, "1.50"]},'
        '"00091001":{"vr":"UV","Value":["18446744073709551615", 3]},"00280010":{"vr":"US","Value":[5.0]},'
        '"00100040":{"vr":"CS"},"00100030":{"vr":"DA","Value":[]}}'
    )
    assert ds.InstanceNumber == 7 and str(ds.PatientName[0]) == "Doe^J"
    assert [len(str(part)) <= 16 for part in ds.SliceThickness] == [True] * 3
    assert ds[0x00091001].value == [(1 << 64) - 1, 3] and ds.Rows == 5 and ds.PatientSex == ""


JSON_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["vr", "Value", "00100010"]), inner),
    max_leaves=10,
)
ELEMENT = st.fixed_dictionaries({"vr": st.sampled_from(sorted(dicom_json_read._VRS)) | st.text(max_size=2)}, optional={
    "Value": JSON_VALUE, "InlineBinary": st.text(max_size=8), "BulkDataURI": st.text(max_size=8)})  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["00100010", "00091001", "00280010", "00081032", "00200013"]), ELEMENT))
def test_whatever_json_comes_is_a_data_set_or_refused(attributes: dict[str, Any]) -> None:
    text = json.dumps(attributes).encode()
    try:
        (found,) = dicom_json_read.parse(text)
        data = dicom_json_read.to_dataset(found)
    except CannotUnderstand:
        return
    dicom_json.from_dataset(data, EXPLICIT)


# -- where bulk data stand


def test_a_bulk_path_is_read_as_it_is_written() -> None:
    for steps in ((0x7FE00010,), (0x00880200, 1, 0x7FE00010), (0x00081115, 12, 0x00081199, 3, 0x00091001)):
        assert parse_bulk_path(bulk_path(steps)) == steps


@pytest.mark.parametrize("text", ["", "x", "7FE0001", "7FE00010/", "7FE00010/1", "7FE00010/0/7FE00010", "../7FE00010/1",
                                  "00880200/-1/7FE00010", "00880200/1/" * 80 + "7FE00010"])  # fmt: skip
def test_what_is_no_bulk_path_is_refused(text: str) -> None:
    with pytest.raises(UnableToProcess):
        parse_bulk_path(text)
