"""What an answer holds: numbers as they were written, the items that match, the zone only where it is known."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from tests.support.archive import dataset_of
from tests.support.generate import ct, part10

from vesalius.archive.search import Search
from vesalius.model.attributes import extract
from vesalius.model.elements import read_header
from vesalius.model.entities import Arrival, Level, Member, Provenance, Values
from vesalius.model.query import Options, Root
from vesalius.model.query_parser import parse
from vesalius.ports.index import Index
from vesalius.standard.transfer_syntaxes import EXPLICIT_LE

SERIES_NUMBER, INSTANCE_NUMBER, THICKNESS, WEIGHT = 0x00200011, 0x00200013, 0x00180050, 0x00101030
REQUEST, CODES, CODE, MEANING, PROCEDURE = 0x00400275, 0x00321064, 0x00080100, 0x00080104, 0x00401001
TIMEZONE, STUDY_DATE, IMAGE_TYPE = 0x00080201, 0x00080020, 0x00080008


def keep(index: Index, ds: Dataset, number: int = 1) -> None:
    data = dataset_of(part10(ds))
    index.ingest(
        [
            Arrival(
                record=extract(read_header(data, EXPLICIT_LE)),
                member=Member(
                    "pack", number * 4096, number * 4096 + 1536, 1000, number * 4096 + 1800, 700, f"{number:064x}"
                ),
                provenance=Provenance("import", received_at="2026-03-01T00:00:00.000000Z"),
                sop_class=str(ds.SOPClassUID),
                sop_instance=str(ds.SOPInstanceUID),
                transfer_syntax=EXPLICIT_LE,
            )
        ]
    )


def ask(index: Index, level: Level, values: Values) -> list[Values]:
    query = parse(values, Root.STUDY, level, Options(relational=True))
    search = Search(index, "VESALIUS")
    found = [answer for page in search.find(query) for answer in page]
    assert search.find_at_once(query) in (None, found)
    return found


def test_numbers_are_matched_by_value_and_answered_as_they_were_written(index: Index) -> None:
    ds = ct(instance=1)
    ds.SeriesNumber, ds.InstanceNumber, ds.SliceThickness, ds.PatientWeight = "007", "001", "5.000", "70"
    keep(index, ds)
    other = ct(instance=2)
    other.SeriesNumber, other.InstanceNumber, other.SliceThickness = "7", "2", "+5"
    keep(index, other, 2)
    asked: Values = {SERIES_NUMBER: (), INSTANCE_NUMBER: (), THICKNESS: ("5",), WEIGHT: ()}
    found = sorted(ask(index, Level.IMAGE, asked), key=lambda values: values[INSTANCE_NUMBER])
    assert [values[INSTANCE_NUMBER] for values in found] == [("001",), ("2",)]
    assert [values[THICKNESS] for values in found] == [("5.000",), ("+5",)]
    assert {values[SERIES_NUMBER] for values in found} == {("007",)}, "the first of a series stays"
    assert {values[WEIGHT] for values in found} == {("70",)}
    assert len(ask(index, Level.IMAGE, {INSTANCE_NUMBER: ("1",)})) == 1
    assert len(ask(index, Level.SERIES, {SERIES_NUMBER: ("0007",)})) == 1


def request(procedure: str, *codes: str) -> Dataset:
    item = Dataset()
    item.RequestedProcedureID = procedure
    inner = []
    for code in codes:
        one = Dataset()
        one.CodeValue, one.CodingSchemeDesignator, one.CodeMeaning = code, "L", f"about {code}"
        inner.append(one)
    item.RequestedProcedureCodeSequence = Sequence(inner)
    return item


@pytest.fixture
def requests(index: Index) -> Index:
    for number, items in enumerate(
        ([request("P1", "A", "B"), request("P2", "C")], [request("P3", "A")], [request("P4", "D")]), 1
    ):
        keep(index, ct(study=number, instance=1, RequestAttributesSequence=Sequence(items)), number)
    return index


def test_sequences_inside_sequences_are_matched(requests: Index) -> None:
    def studies(code: str, procedure: str = "") -> set[str]:
        item: Values = {CODES: ({CODE: (code,)},), PROCEDURE: (procedure,) if procedure else ()}
        answers = ask(requests, Level.SERIES, {REQUEST: (item,), 0x00080050: ()})
        return {str(values[0x00080050][0]) for values in answers}

    assert studies("A") == {"A1", "A2"}
    assert studies("C") == {"A1"}
    assert studies("?") == {"A1", "A2", "A3"}
    assert studies("A", "P3") == {"A2"}
    assert studies("A", "P2") == set(), "both keys must match in the same item"


def test_only_matching_items_come_back_and_only_with_the_keys_asked_for(requests: Index) -> None:
    (found,) = ask(requests, Level.SERIES, {REQUEST: ({PROCEDURE: ("P2",), CODES: ({MEANING: ()},)},)})
    assert found[REQUEST] == ({PROCEDURE: ("P2",), CODES: ({MEANING: ("about C",)},)},)
    (found,) = ask(requests, Level.SERIES, {REQUEST: ({PROCEDURE: ("P3",)},)})
    assert found[REQUEST] == ({PROCEDURE: ("P3",)},)


def test_an_unknown_key_inside_a_sequence_inside_a_sequence_is_told() -> None:
    query = parse({REQUEST: ({CODES: ({0x00400280: ()},)},)}, Root.STUDY, Level.SERIES, Options(relational=True))
    assert query.unsupported == (0x00400280,)


def test_the_time_zone_is_answered_where_it_is_known_and_never_empty(index: Index) -> None:
    keep(index, ct(study=1, TimezoneOffsetFromUTC="+0200"))
    keep(index, ct(study=2), 2)
    found = ask(index, Level.STUDY, {STUDY_DATE: (), TIMEZONE: ("+0100",)})
    assert sorted(values.get(TIMEZONE, ("absent",)) for values in found) == [("+0200",), ("absent",)]


def test_several_values_are_any_of_them_or_all_of_them_where_that_was_granted(index: Index) -> None:
    """PS3.4 C.2.2.2.8: all of them, in whatever order, of an attribute with several values; wildcards stay any."""
    kinds = (["ORIGINAL", "PRIMARY", "AXIAL"], ["DERIVED", "PRIMARY"], ["DERIVED", "SECONDARY", "AXIAL"])
    for number, kind in enumerate(kinds, 1):
        keep(index, ct(instance=number, ImageType=kind), number)

    def found(*values: str, granted: bool = True) -> list[str]:
        asked: Values = {IMAGE_TYPE: values, INSTANCE_NUMBER: ()}
        options = Options(relational=True, multiple_value_matching=granted)
        query = parse(asked, Root.STUDY, Level.IMAGE, options)
        return sorted(
            str(answer[INSTANCE_NUMBER][0]) for page in Search(index, "VESALIUS").find(query) for answer in page
        )

    assert found("PRIMARY", "DERIVED") == ["2"]
    assert found("AXIAL", "PRIMARY") == ["1"]
    assert found("AXIAL", "AXIAL") == found("AXIAL") == ["1", "3"]
    assert found("PRIMARY", "MIP") == []
    assert found("PRIMARY", "AXIAL", granted=False) == ["1", "2", "3"]
    assert found("ORIG*", "SECOND*") == ["1", "3"]
    many = tuple(f"NONE{number}" for number in range(30))
    assert found("PRIMARY", *many) == []
