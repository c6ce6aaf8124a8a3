"""The Native DICOM Model both ways, and everything that makes XML dangerous refused."""

from __future__ import annotations

import time
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.support import corpus
from tests.support.data import need_shared_data
from tests.support.patience import assert_within

from vesalius.model import dicom_json, dicom_json_read, dicom_xml, dicom_xml_read
from vesalius.model.errors import CannotUnderstand, VesaliusError

NAMESPACE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
JSON = (
    '{"00080005":{"vr":"CS","Value":["ISO_IR 192"]},"00080008":{"vr":"CS","Value":["A",null,"C"]},'
    '"00081032":{"vr":"SQ","Value":[{"00080100":{"vr":"SH","Value":["<&>"]}},{}]},'
    '"00090010":{"vr":"LO","Value":["Dr \\"No\\""]},"00091001":{"vr":"OB","InlineBinary":"AQI="},'
    '"00091002":{"vr":"OB","BulkDataURI":"http://x/?a=1&b=2"},'
    '"00100010":{"vr":"PN","Value":[{"Alphabetic":"Doe^Jane^^Dr","Ideographic":"山田^太郎"}]},'
    '"00100020":{"vr":"LO"},"00180050":{"vr":"DS","Value":[1.500]},"00280010":{"vr":"US","Value":[512]}}'
).encode()


def model(content: str, head: str = "") -> bytes:
    return f'{head}<NativeDicomModel xmlns="{NAMESPACE[1:-1]}">{content}</NativeDicomModel>'.encode()


def test_the_model_says_what_the_json_says() -> None:
    root = ElementTree.fromstring(dicom_xml.from_json(JSON))
    found = {one.get("tag"): one for one in root}
    assert found["00080008"].get("keyword") == "ImageType"
    assert [(v.get("number"), v.text) for v in found["00080008"]] == [("1", "A"), ("3", "C")]
    assert found["00081032"][0][0][0].text == "<&>" and len(found["00081032"]) == 2
    assert found["00091001"].get("privateCreator") == 'Dr "No"'
    assert found["00091002"][0].get("uri") == "http://x/?a=1&b=2"
    name = found["00100010"][0]
    assert [part.text for part in name[0]] == ["Doe", "Jane", "Dr"] and name[1].tag == f"{NAMESPACE}Ideographic"
    assert found["00180050"][0].text == "1.500" and len(found["00100020"]) == 0


def test_what_is_written_is_read_again() -> None:
    again = dicom_xml_read.parse(dicom_xml.from_json(JSON))
    (direct,) = dicom_json_read.parse(JSON)
    lengths = lambda *_: 2  # noqa: E731
    assert dicom_json_read.encode(again, lengths) == dicom_json_read.encode(direct, lengths)


def test_characters_that_xml_has_not_become_replacements() -> None:
    data = dicom_xml.from_json(b'{"00100020":{"vr":"LO","Value":["a\\u0007\\u001bb\\uffff"]}}')
    assert ElementTree.fromstring(data)[0][0].text == "a\ufffd\ufffdb\ufffd"


def without_empty_components(attributes: dict[str, Any]) -> None:
    """The model has no place for components that are empty at the end of a group."""
    for element in attributes.values():
        for value in element.get("Value", ()):
            if element["vr"] == "PN" and isinstance(value, dict):
                value.update({group: "^".join(name.split("^")[:5]).rstrip("^") for group, name in value.items()})
            elif element["vr"] == "SQ":
                without_empty_components(value)


def test_every_real_data_set_comes_through_xml_as_through_json() -> None:
    need_shared_data()
    compared = 0
    for item in corpus.items():
        if compared >= 150:
            break
        try:
            text = dicom_json.from_dataset(item.dataset, item.transfer_syntax, "bulk")
            (direct,) = dicom_json_read.parse(text)
            without_empty_components(direct)
            expected = dicom_json_read.encode(direct, lambda *_: 2)
        except VesaliusError:
            continue
        found = dicom_json_read.encode(dicom_xml_read.parse(dicom_xml.from_json(text)), lambda *_: 2)
        if b"\xef\xbf\xbd" in b"".join(one for one in found if isinstance(one, bytes)):
            continue  # characters that XML has not
        assert found == expected, item.name
        compared += 1
    assert compared > 50


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "text",
    [
        model("", '<!DOCTYPE x SYSTEM "file:///etc/passwd">'),
        model("&e;", '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'),
        model("&e;", '<!DOCTYPE x [<!ENTITY e SYSTEM "http://127.0.0.1:9/">]>'),
        model("&l9;", f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]>'),
        model("", '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:9/"> %p;]>'),
        model("<?php x ?>"),
        model("&undefined;"),
        model("<x/>"),
        model('<DicomAttribute xmlns="urn:other" tag="00100020" vr="LO"/>'),
        model('<DicomAttribute tag="00100020" vr="LO"/>' * 2),
        model('<DicomAttribute tag="00100020" vr="LO"><Value number="0">x</Value></DicomAttribute>'),
        model('<DicomAttribute tag="00100020" vr="LO"><Value number="999999">x</Value></DicomAttribute>'),
        model('<DicomAttribute tag="00100020" vr="LO"><Value number="1"/><Value number="1"/></DicomAttribute>'),
        model('<DicomAttribute tag="00280010" vr="US"><Value number="1">x</Value></DicomAttribute>'),
        model("<Item/>"),
        b"<NativeDicomModel>", b"", b"{}", b"<other/>", b"<a/><b/>", b"\xff\xfe\x00",
        b"<NativeDicomModel>" * 2,
        b"<NativeDicomModel>" + b'<DicomAttribute tag="00081032" vr="SQ"><Item number="1">' * 100_000,
    ],
)  # fmt: skip
def test_what_is_dangerous_or_broken_is_refused_at_once(text: bytes) -> None:
    began = time.monotonic()
    with pytest.raises(CannotUnderstand):
        dicom_xml_read.parse(text)
    assert_within(began, 0.5)
