"""Small data sets: there and back in every encoding, as pydicom reads and writes them, refusing what is broken."""

from __future__ import annotations

import io
import struct
import zlib

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from tests.support.elements import UNDEFINED, explicit, implicit, item, undefined

from vesalius.model import datasets
from vesalius.model.entities import Values
from vesalius.model.errors import CannotUnderstand, LimitExceeded, UnableToProcess
from vesalius.standard.transfer_syntaxes import DEFLATED_LE, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE

SYNTAXES = [IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE, DEFLATED_LE]
UTF8 = ("ISO_IR 192",)

SAMPLE: Values = {
    0x00080005: UTF8,
    0x00080018: ("1.2.840.113619.2.55.3",),
    0x00080020: ("20240131",),
    0x00080030: ("101112.5",),
    0x00080050: (),
    0x00080061: ("CT", "MR"),
    0x00081115: (
        {0x0020000E: ("1.2.3",), 0x00081199: ({0x00081150: ("1.2",), 0x00081155: ("1.2.3.4",)}, {})},
        {0x0020000E: ("1.2.3.5",)},
    ),
    0x00100010: ("Müller^Jürgen", "王^小东"),
    0x00100020: ("ID 1",),
    0x00104000: ("line one\r\n  line two",),
    0x00181149: ("1", "-2"),
    0x00280010: ("512",),
    0x00280103: ("1",),
    0x00280106: ("-5",),
    0x00280009: ("00181063", "00189074"),
    0x00189087: ("0.1", "1e+300"),
    0x00186020: ("-7",),
    0x0018602C: ("0.1",),
    0x00091001: ("AAEC",),
    0x00090010: ("CREATOR",),
    0x7FE00010: ("AQI=",),
}


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_kind_of_value_goes_there_and_back(syntax: str) -> None:
    values = dict(SAMPLE)
    values[0x00091001] = ("AAECAw==",)
    assert datasets.decode(datasets.encode(values, syntax, UTF8), syntax) == values


@pytest.mark.parametrize("syntax", [IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE])
def test_pydicom_reads_what_is_written(syntax: str) -> None:
    data = datasets.encode(SAMPLE, syntax, UTF8)
    theirs = read_dataset(DicomBytesIO(data), syntax == IMPLICIT_LE, syntax != EXPLICIT_BE)
    assert theirs.SpecificCharacterSet == "ISO_IR 192"
    assert [str(name) for name in theirs.PatientName] == ["Müller^Jürgen", "王^小东"]
    assert theirs.ModalitiesInStudy == ["CT", "MR"]
    assert theirs.AccessionNumber == ""
    assert theirs.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3.4"
    assert len(theirs.ReferencedSeriesSequence[0].ReferencedSOPSequence) == 2
    assert (theirs.Rows, theirs.PatientComments) == (512, "line one\r\n  line two")
    assert theirs.FrameIncrementPointer == [0x00181063, 0x00189074]
    assert theirs.DiffusionBValue == [0.1, 1e300]


@pytest.mark.parametrize("syntax", [IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE])
@pytest.mark.parametrize("undefined_length", [False, True])
def test_what_pydicom_writes_is_read(syntax: str, undefined_length: bool) -> None:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName = "Jérôme^A"
    ds.Rows = 7
    ds.ImagePositionPatient = ["1.5", "-2", "3"]
    inner = Dataset()
    inner.CodeMeaning = "Été"
    inner.SpecificCharacterSet = "ISO_IR 192"
    ds.ProcedureCodeSequence = [inner, Dataset()]
    ds["ProcedureCodeSequence"].is_undefined_length = undefined_length
    for nested in ds.ProcedureCodeSequence:
        nested.is_undefined_length_sequence_item = undefined_length
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = syntax == IMPLICIT_LE, syntax != EXPLICIT_BE
    write_dataset(stream, ds)
    values = datasets.decode(stream.getvalue(), syntax)
    assert values[0x00100010] == ("Jérôme^A",)
    assert values[0x00280010] == ("7",)
    assert values[0x00200032] == ("1.5", "-2", "3")
    assert values[0x00081032] == ({0x00080005: UTF8, 0x00080104: ("Été",)}, {})


def test_an_item_may_have_a_repertoire_of_its_own() -> None:
    values: Values = {
        0x00100010: ("Jérôme",),
        0x00081032: ({0x00080005: ("ISO_IR 144",), 0x00080104: ("Люк",)}, {0x00080104: ("é",)}),
    }
    data = datasets.encode(values, EXPLICIT_LE, ("ISO_IR 100",))
    assert b"J\xe9r\xf4me" in data
    assert "Люк".encode("iso8859_5") in data
    assert datasets.decode(data, EXPLICIT_LE) == {0x00080005: ("ISO_IR 100",), **values}


def test_the_default_repertoire_is_not_spelled_out() -> None:
    data = datasets.encode({0x00080005: ("ISO_IR 192",), 0x00100020: ("A",)}, IMPLICIT_LE, ())
    assert datasets.decode(data, IMPLICIT_LE) == {0x00100020: ("A",)}


def test_tags_are_written_in_order_and_values_padded() -> None:
    data = datasets.encode({0x00100020: ("A",), 0x00080018: ("1.2.3",)}, IMPLICIT_LE)
    assert data == implicit(0x00080018, b"1.2.3\0") + implicit(0x00100020, b"A ")


def test_a_value_too_long_for_sixteen_bits_is_written_as_un() -> None:
    uids = tuple(f"1.2.840.113619.2.55.3.{number}" for number in range(4000))
    data = datasets.encode({0x00080058: uids}, EXPLICIT_LE)
    assert data[4:6] == b"UN"
    assert datasets.decode(data, EXPLICIT_LE) == {0x00080058: uids}
    assert datasets.decode(datasets.encode({0x00080058: uids}, IMPLICIT_LE), IMPLICIT_LE) == {0x00080058: uids}


def test_unknown_elements_are_read_as_the_dictionary_knows_them() -> None:
    data = explicit(0x00100010, "UN", b"Doe^J ") + explicit(0x00280010, "UN", b"\x00\x02")
    data += explicit(0x00400275, "UN", item(implicit(0x00400009, b"SPS1")))
    assert datasets.decode(data, EXPLICIT_LE) == {
        0x00100010: ("Doe^J",),
        0x00280010: ("512",),
        0x00400275: ({0x00400009: ("SPS1",)},),
    }


def test_a_private_sequence_in_un_of_undefined_length_is_read() -> None:
    nested = item(implicit(0x00091002, b"ABCD") + implicit(0x00100020, b"ID"), UNDEFINED)
    data = explicit(0x00090010, "LO", b"ME") + undefined(0x00091001, "UN", nested) + explicit(0x00100020, "LO", b"X ")
    values = datasets.decode(data, EXPLICIT_LE)
    assert values[0x00091001] == ({0x00091002: ("QUJDRA==",), 0x00100020: ("ID",)},)
    assert values[0x00100020] == ("X",)


def test_explicit_items_in_un_and_implicit_items_in_sq_are_read() -> None:
    data = undefined(0x00091001, "UN", item(explicit(0x00100020, "LO", b"ID")))
    assert datasets.decode(data, EXPLICIT_LE) == {0x00091001: ({0x00100020: ("ID",)},)}
    data = explicit(0x00081032, "SQ", item(implicit(0x00080100, b"CODE")))
    assert datasets.decode(data, EXPLICIT_LE) == {0x00081032: ({0x00080100: ("CODE",)},)}


def test_new_vrs_and_empty_things_are_read() -> None:
    data = explicit(0x00080005, "CS") + explicit(0x00081032, "SQ")
    data += explicit(0x0009_1001, "SV", struct.pack("<q", -5)) + explicit(0x00091002, "UV", struct.pack("<Q", 1 << 63))
    data += explicit(0x00091003, "OV", b"\1" * 8)
    assert datasets.decode(data, EXPLICIT_LE) == {
        0x00080005: (),
        0x00081032: (),
        0x00091001: ("-5",),
        0x00091002: (str(1 << 63),),
        0x00091003: ("AQEBAQEBAQE=",),
    }


BROKEN = {
    "cut in a header": explicit(0x00100020, "LO", b"AB")[:5],
    "cut in a long header": explicit(0x00091001, "UN", b"AB")[:10],
    "cut in a value": explicit(0x00100020, "LO", b"AB", 200),
    "4 GB": explicit(0x00091001, "UN", b"AB", 0xFFFFFFF0),
    "no VR": implicit(0x00100020, b"AB"),
    "undefined length of text": explicit(0x00104000, "UT", b"AB", UNDEFINED),
    "stray item delimiter": struct.pack("<HHI", 0xFFFE, 0xE00D, 0),
    "stray sequence delimiter": struct.pack("<HHI", 0xFFFE, 0xE0DD, 0),
    "item without delimiter": explicit(0x00081032, "SQ", struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED)),
    "sequence without delimiter": explicit(0x00081032, "SQ", item(), UNDEFINED),
    "element in place of an item": explicit(0x00081032, "SQ", explicit(0x00100020, "LO", b"AB")),
    "item longer than its sequence": explicit(0x00081032, "SQ", item(b"", 100)),
    "element longer than its item": explicit(0x00081032, "SQ", item(explicit(0x00100020, "LO", b"", 8))) + b"A" * 8,
    "sequence longer than all": explicit(0x00081032, "SQ", b"", 100),
    "end in an item header": explicit(0x00081032, "SQ", item()[:6]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_structure_is_refused(name: str) -> None:
    with pytest.raises(CannotUnderstand):
        datasets.decode(BROKEN[name], EXPLICIT_LE)


@pytest.mark.parametrize("nested", [False, True])
def test_nesting_has_a_limit(nested: bool) -> None:
    data = b""
    for _ in range(10_000):
        data = undefined(0x00081032, "SQ", item(data, UNDEFINED)) if nested else explicit(0x00081032, "SQ", item(data))
        if len(data) > 100_000:
            break
    with pytest.raises(CannotUnderstand) as caught:
        datasets.decode(data, EXPLICIT_LE)
    assert caught.value.offending


def test_deflate_bombs_and_truncated_deflate_are_refused() -> None:
    bomb = zlib.compressobj(wbits=-15)
    data = bomb.compress(b"\0" * (80 << 20)) + bomb.flush()
    with pytest.raises(LimitExceeded):
        datasets.decode(data, DEFLATED_LE)
    good = datasets.encode(SAMPLE, DEFLATED_LE, UTF8)
    with pytest.raises(CannotUnderstand):
        datasets.decode(good[: len(good) // 2], DEFLATED_LE)
    with pytest.raises(CannotUnderstand):
        datasets.decode(b"\xff" * 20, DEFLATED_LE)


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (0x00280010, ("many",)),
        (0x00280010, ("70000",)),
        (0x00100010, ("王",)),
        (0x7FE00010, ("no Base64!",)),
        (0x00280009, ("xyz",)),
        (0x00189087, ("high",)),
        (0x00081032, ("text",)),
        (0x00080060, ("é",)),
    ],
)
def test_what_cannot_be_encoded_is_named(tag: int, value: tuple[str, ...]) -> None:
    with pytest.raises(UnableToProcess) as caught:
        datasets.encode({tag: value}, EXPLICIT_LE, ("ISO_IR 100",))
    assert caught.value.offending == (tag,)
    assert value[0] not in caught.value.message


characters = st.characters(codec="utf-8", exclude_characters="\\\0", exclude_categories=("C", "Z"))
text = st.text(alphabet=characters, min_size=1, max_size=20)
integers = st.integers(0, 0xFFFF).map(str)
leaf = st.fixed_dictionaries(
    {},
    optional={
        0x00080060: st.lists(st.sampled_from(["CT", "MR", "PT"]), max_size=3).map(tuple),
        0x00100010: st.lists(text, max_size=2).map(tuple),
        0x00100020: st.lists(text, max_size=2).map(tuple),
        0x00280010: st.lists(integers, max_size=3).map(tuple),
        0x00186020: st.lists(st.integers(-(2**31), 2**31 - 1).map(str), max_size=2).map(tuple),
        0x00189087: st.lists(st.floats(allow_nan=False).map(str), max_size=2).map(tuple),
        0x0018602C: st.lists(st.floats(allow_nan=False).map(str), max_size=2).map(tuple),
        0x00281199: st.just(("1.2.3",)),
    },
)
trees = st.recursive(
    leaf, lambda inner: st.tuples(leaf, st.lists(inner, max_size=3)).map(lambda t: {**t[0], 0x00400275: tuple(t[1])})
)


@given(values=trees, syntax=st.sampled_from(SYNTAXES))
def test_any_tree_goes_there_and_back(values: Values, syntax: str) -> None:
    values.pop(0x00080005, None)
    assert datasets.decode(datasets.encode(values, syntax, UTF8), syntax) == {0x00080005: UTF8, **values}


floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(number=floats)
def test_a_float_keeps_its_bits(number: float) -> None:
    data = explicit(0x0018602C, "FD", struct.pack("<d", number)) + explicit(0x00186030, "FL", struct.pack("<f", number))
    values = datasets.decode(data, EXPLICIT_LE)
    assert float(values[0x0018602C][0]) == number  # type: ignore[arg-type]
    assert struct.pack("<f", float(values[0x00186030][0])) == struct.pack("<f", number)  # type: ignore[arg-type]


@given(data=st.binary(max_size=200), syntax=st.sampled_from([IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE]))
def test_any_bytes_are_read_or_refused(data: bytes, syntax: str) -> None:
    try:
        datasets.decode(data, syntax)
    except CannotUnderstand as error:
        assert error.message


def test_worklist_items_of_dcmtk_are_read_as_pydicom_reads_them() -> None:
    ds = Dataset()
    step = Dataset()
    step.Modality, step.ScheduledStationAETitle, step.ScheduledProcedureStepStartDate = "CT", "AA", "20240131"
    ds.ScheduledProcedureStepSequence = [step]
    ds.PatientName, ds.PatientBirthDate, ds.PatientWeight = "A^B", "19700101", "70.5"
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, ds, implicit_vr=False, little_endian=True, enforce_file_format=False)
    assert datasets.decode(stream.getvalue(), EXPLICIT_LE) == {
        0x00100010: ("A^B",),
        0x00100030: ("19700101",),
        0x00101030: ("70.5",),
        0x00400100: ({0x00080060: ("CT",), 0x00400001: ("AA",), 0x00400002: ("20240131",)},),
    }
