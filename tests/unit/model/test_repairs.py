"""Data sets with repaired values: only what is named changes, in every encoding, and what was there is told."""

from __future__ import annotations

import io
from typing import Any

import pydicom
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from tests.support.generate import ct

from vesalius.model import repairs
from vesalius.model.datasets import inflate
from vesalius.model.errors import BadRecord, CannotUnderstand
from vesalius.model.repairs import Change, check, repaired

IMPLICIT, EXPLICIT, BIG, DEFLATED = (
    "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99",
)  # fmt: skip
AT = "2026-11-24T09:00:00.000000Z"


def encoded(ds: Dataset, syntax: str = EXPLICIT) -> bytes:
    out = DicomBytesIO()
    out.is_little_endian = syntax != BIG
    out.is_implicit_VR = syntax == IMPLICIT
    write_dataset(out, ds)
    data = out.getvalue()
    if syntax == DEFLATED:
        import zlib

        stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = stream.compress(data) + stream.flush()
        data += b"\0" * (len(data) % 2)
    return data


def decoded(data: bytes, syntax: str = EXPLICIT) -> Dataset:
    if syntax == DEFLATED:
        data, syntax = inflate(data), EXPLICIT
    ds = pydicom.filereader.read_dataset(io.BytesIO(data), syntax == IMPLICIT, syntax != BIG)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    return ds


def change(tag: int, value: str, **fields: Any) -> Change:
    return Change(tag, value, **({"at": AT, "system": "VESALIUS"} | fields))


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG, DEFLATED])
def test_only_what_is_named_changes_in_every_encoding(syntax: str) -> None:
    ds = ct(AccessionNumber="")
    del ds.PatientSex
    made = decoded(
        repaired(
            encoded(ds, syntax),
            syntax,
            [
                change(repairs.PATIENT_ID, "NEW-1"),
                change(repairs.SEX, "F"),
                change(repairs.ISSUER_OF_PATIENT_ID, "HOSP"),
                change(repairs.PATIENT_NAME, "Doe^Jane"),  # as it is
            ],
        ),
        syntax,
    )
    assert (made.PatientID, made.PatientSex, made.IssuerOfPatientID) == ("NEW-1", "F", "HOSP")
    (item,) = made.OriginalAttributesSequence
    (before,) = item.ModifiedAttributesSequence
    assert {e.keyword: e.value or "" for e in before} == {
        "PatientID": "PID-1", "PatientSex": "", "IssuerOfPatientID": "",
    }  # fmt: skip
    assert (item.AttributeModificationDateTime, item.ModifyingSystem) == ("20261124090000+0000", "VESALIUS")
    del made.OriginalAttributesSequence, made.PatientSex, made.IssuerOfPatientID
    made.PatientID = ds.PatientID
    assert made == ds


def test_nothing_to_change_is_the_same_bytes() -> None:
    data = encoded(ct())
    assert repaired(data, EXPLICIT, [change(repairs.PATIENT_ID, "PID-1")]) == data


@pytest.mark.parametrize("undefined", [False, True])
def test_what_others_changed_before_stays_in_the_original_attributes(undefined: bool) -> None:
    ds = ct()
    item, modified = Dataset(), Dataset()
    modified.PatientID = "OLDEST"
    item.ModifiedAttributesSequence = [modified]
    item.ModifyingSystem = "ROUTER"
    ds.OriginalAttributesSequence = [item]
    ds["OriginalAttributesSequence"].is_undefined_length = undefined
    ds.OriginalAttributesSequence[0].is_undefined_length_sequence_item = undefined
    made = decoded(repaired(encoded(ds), EXPLICIT, [change(repairs.PATIENT_ID, "NEW")]))
    assert [one.ModifyingSystem for one in made.OriginalAttributesSequence] == ["ROUTER", "VESALIUS"]
    assert [one.ModifiedAttributesSequence[0].PatientID for one in made.OriginalAttributesSequence] == [
        "OLDEST",
        "PID-1",
    ]
    assert made.PixelData == ds.PixelData


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
def test_a_name_that_the_character_set_cannot_hold_turns_every_text_to_utf8(syntax: str) -> None:
    ds = ct()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.StudyDescription = "Schädel"
    code = Dataset()
    code.CodeValue, code.CodeMeaning = "1", "Schläfe"
    ds.ProcedureCodeSequence = [code]
    made = decoded(repaired(encoded(ds, syntax), syntax, [change(repairs.PATIENT_NAME, "Yamada^T=山田^太郎")]), syntax)
    made.decode()
    assert made.SpecificCharacterSet == "ISO_IR 192"
    assert str(made.PatientName) == "Yamada^T=山田^太郎"
    assert (made.StudyDescription, made.ProcedureCodeSequence[0].CodeMeaning) == ("Schädel", "Schläfe")
    assert str(made.OriginalAttributesSequence[0].ModifiedAttributesSequence[0].PatientName) == "Doe^Jane"


def test_a_name_that_it_can_hold_leaves_the_character_set() -> None:
    ds = ct()
    ds.SpecificCharacterSet = "ISO_IR 100"
    made = decoded(repaired(encoded(ds), EXPLICIT, [change(repairs.PATIENT_NAME, "Müller^Jürgen")]))
    made.decode()
    assert (made.SpecificCharacterSet, str(made.PatientName)) == ("ISO_IR 100", "Müller^Jürgen")


def test_the_part_before_the_pixels_is_repaired_like_the_whole() -> None:
    ds = ct()
    data = encoded(ds)
    head = len(data) - len(ds.PixelData)
    changes = [change(repairs.PATIENT_ID, "NEW")]
    assert repaired(data[:head], EXPLICIT, changes) + data[head:] == repaired(data, EXPLICIT, changes)


def test_a_data_set_that_cannot_be_followed_is_no_data_set() -> None:
    with pytest.raises(CannotUnderstand):
        repaired(encoded(ct())[:200] + b"\0" * 3, EXPLICIT, [change(repairs.PATIENT_ID, "NEW")])


@pytest.mark.parametrize(
    ("tag", "value"),
    [(0x0020000D, "1.2"), (0x00100020, ""), (0x00100020, "x" * 65), (0x00080050, "a\\b"), (0x00100010, "a\rb")],
)
def test_what_no_repair_may_say_is_refused(tag: int, value: str) -> None:
    with pytest.raises(BadRecord):
        check(tag, value)
