"""A header is shown whole, in order, private elements by name where somebody said it."""

from __future__ import annotations

from typing import Any

from vesalius.web.pages import dump
from vesalius.web.pages.dump import LONGEST, compare, flatten, private_name

SEQUENCE: dict[str, Any] = {
    "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane", "Phonetic": "do"}]},
    "00400275": {"vr": "SQ", "Value": [{"00400009": {"vr": "SH", "Value": ["S1"]}}, {"00400009": {"vr": "SH"}}]},
    "7FE00010": {"vr": "OW", "BulkDataURI": "/x"},
}


def test_items_stand_below_their_sequence_and_have_a_place() -> None:
    rows = flatten(SEQUENCE)
    assert [(row.path, row.depth) for row in rows] == [
        ("00080016", 0),
        ("00100010", 0),
        ("00400275", 0),
        ("00400275[1]", 1),
        ("00400275[1].00400009", 2),
        ("00400275[2]", 1),
        ("00400275[2].00400009", 2),
        ("7FE00010", 0),
    ]
    by_path = {row.path: row for row in rows}
    assert by_path["00400275"].items and by_path["00400275"].value == "2"
    assert by_path["00400275[1].00400009"].name == "Scheduled Procedure Step ID"
    assert by_path["00400275[1].00400009"].tag == "(0040,0009)"
    assert by_path["00100010"].value == "Doe^Jane==do"
    assert by_path["7FE00010"].value == "…"


def test_private_elements_have_the_names_of_their_creator() -> None:
    rows = flatten(
        {
            "00290010": {"vr": "LO", "Value": ["SIEMENS CSA HEADER"]},
            "00291008": {"vr": "CS", "Value": ["IMAGE NUM 4"]},
            "00291108": {"vr": "CS", "Value": ["of nobody"]},
        }
    )
    assert [(row.name, row.creator, row.private) for row in rows] == [
        ("Private Creator", "", True),
        (private_name("SIEMENS CSA HEADER", 0x00291008), "SIEMENS CSA HEADER", True),
        ("", "", True),
    ]
    assert "CSA" in rows[1].name and private_name("NOBODY AT ALL", 0x00291008) == ""


def test_long_values_and_long_headers_are_cut() -> None:
    (row,) = flatten({"00081030": {"vr": "LO", "Value": ["x" * 4000]}})
    assert len(row.value) == LONGEST + 1 and row.value.endswith("…")
    (row,) = flatten({"00420011": {"vr": "OB", "InlineBinary": "A" * 100}})
    assert row.value == "A" * 64 + "… (base64)"
    many = {f"{0x00090000 + 0x1000 + n:08X}": {"vr": "LO"} for n in range(0xEFFF)}
    assert len(flatten(many)) == dump.MOST


def test_two_headers_are_compared_place_by_place() -> None:
    other = {**SEQUENCE, "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^John"}]}, "00200013": {"vr": "IS"}}
    other["00400275"] = {"vr": "SQ", "Value": [{"00400009": {"vr": "SH", "Value": ["S1"]}}]}
    found = {row.path: (row.left, row.right) for row in compare(flatten(SEQUENCE), flatten(other)) if row.differs}
    assert found == {
        "00100010": ("Doe^Jane==do", "Doe^John"),
        "00200013": (None, ""),
        "00400275": ("2", "1"),
        "00400275[2]": ("", None),
        "00400275[2].00400009": ("", None),
    }
    assert [row.path for row in compare(flatten(SEQUENCE), [])] == [row.path for row in flatten(SEQUENCE)]
