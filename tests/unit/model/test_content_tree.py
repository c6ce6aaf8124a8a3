"""Content trees of structured reports: what they say, and what happens when they are no trees."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from tests.support.archive import dataset_of
from tests.support.generate import part10, uid

from vesalius.model import content_tree
from vesalius.model.content_tree import Item, is_document, read_document, references_of
from vesalius.model.elements import Header, read_header
from vesalius.model.errors import CannotUnderstand, LimitExceeded

EXPLICIT = "1.2.840.10008.1.2.1"


def code(value: str, meaning: str, keyword: str = "CodeValue") -> Sequence:
    ds = Dataset()
    setattr(ds, keyword, value)
    ds.CodingSchemeDesignator, ds.CodeMeaning = "99TEST", meaning
    return Sequence([ds])


def item(kind: str, relationship: str = "CONTAINS", **attributes: object) -> Dataset:
    ds = Dataset()
    ds.ValueType, ds.RelationshipType = kind, relationship
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def header_of(*items: Dataset, **attributes: object) -> Header:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.33", uid("report")
    ds.ValueType, ds.ConceptNameCodeSequence, ds.ContentSequence = "CONTAINER", code("1", "Report"), list(items)
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return read_header(dataset_of(part10(ds)), EXPLICIT)


def number(text: str | None, unit: str = "mm") -> Dataset:
    measured = Dataset()
    measured.MeasurementUnitsCodeSequence = code(unit, "millimeter")
    if text is not None:
        measured.NumericValue = text
    return item("NUM", ConceptNameCodeSequence=code("2", "Diameter"), MeasuredValueSequence=[measured])


def test_items_know_their_place_their_value_and_what_is_below() -> None:
    finding = item("CODE", ConceptNameCodeSequence=code("3", "Finding"), ConceptCodeSequence=code("4", "Nodule"))
    finding.ContentSequence = [item("TEXT", "HAS PROPERTIES", TextValue="round"), number("12.5")]
    back = Dataset()
    back.RelationshipType, back.ReferencedContentItemIdentifier = "INFERRED FROM", [1, 1, 2]
    root = read_document(header_of(finding, back)).root
    found, again = root.items
    assert (found.place, found.code and found.code.meaning) == ("1.1", "Nodule")
    assert [(each.place, each.relationship, each.texts) for each in found.items] == [
        ("1.1.1", "HAS PROPERTIES", ("round",)), ("1.1.2", "CONTAINS", ("12.5",)),
    ]  # fmt: skip
    assert found.items[1].code is not None and found.items[1].code.value == "mm"
    assert (again.kind, again.target, again.relationship) == ("REFERENCE", "1.1.2", "INFERRED FROM")


@pytest.mark.parametrize("keyword", ["CodeValue", "LongCodeValue", "URNCodeValue"])
def test_codes_of_every_length_are_read(keyword: str) -> None:
    long = "urn:lex:us:federal:codified.regulation" if keyword == "URNCodeValue" else "621566751000087104"
    value = long[:16] if keyword == "CodeValue" else long
    coded = item("CODE", ConceptNameCodeSequence=code("3", "Finding"),
                 ConceptCodeSequence=code(value, "Nodule", keyword))  # fmt: skip
    (found,) = read_document(header_of(coded)).root.items
    assert found.code is not None and found.code.value == value


def test_a_measurement_without_a_number_says_why() -> None:
    empty = item("NUM", ConceptNameCodeSequence=code("2", "Diameter"), MeasuredValueSequence=[])
    empty.NumericValueQualifierCodeSequence = code("114000", "Not a number")
    (found,) = read_document(header_of(empty)).root.items
    assert found.texts == () and found.qualifier is not None and found.qualifier.meaning == "Not a number"


def test_references_say_which_part_and_where_it_belongs() -> None:
    shown = Dataset()
    shown.ReferencedSOPClassUID, shown.ReferencedSOPInstanceUID = "1.2", "1.2.3"
    shown.ReferencedFrameNumber, shown.ReferencedSegmentNumber = [2, 5], [1]
    sop = Dataset()
    sop.ReferencedSOPClassUID, sop.ReferencedSOPInstanceUID = "1.2", "1.2.3"
    series, study = Dataset(), Dataset()
    series.SeriesInstanceUID, series.ReferencedSOPSequence = "9.2", [sop]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = "9.1", [series]
    document = read_document(
        header_of(item("IMAGE", ReferencedSOPSequence=[shown]), CurrentRequestedProcedureEvidenceSequence=[study])
    )
    (reference,) = references_of(document.root)
    assert (reference.frames, reference.segments) == (("2", "5"), ("1",))
    assert document.evidence == {"1.2.3": ("9.1", "9.2")}


def test_an_instance_without_a_tree_is_no_document() -> None:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.11", uid("empty")
    with pytest.raises(CannotUnderstand):
        read_document(read_header(dataset_of(part10(ds)), EXPLICIT))


def test_a_tree_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_tree, "MOST_ITEMS", 50)
    with pytest.raises(LimitExceeded):
        read_document(header_of(*(item("TEXT", TextValue="x") for _ in range(60))))


def test_items_of_unknown_types_stay_and_say_nothing() -> None:
    strange = item("HOLOGRAM", ConceptNameCodeSequence=code("7", "Strange"))
    nothing = Dataset()
    nothing.RelationshipType = "CONTAINS"
    found = read_document(header_of(strange, nothing)).root.items
    assert isinstance(found[0], Item) and found[0].kind == "HOLOGRAM" and found[1].kind == ""


def test_reports_and_key_objects_are_documents_and_images_are_not() -> None:
    assert is_document("1.2.840.10008.5.1.4.1.1.88.59") and is_document("1.2.840.10008.5.1.4.1.1.88.11")
    assert not is_document("1.2.840.10008.5.1.4.1.1.2") and not is_document("1.2.840.10008.5.1.4.1.1.104.1")
