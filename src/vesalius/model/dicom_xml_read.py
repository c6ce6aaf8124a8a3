"""The Native DICOM Model (PS3.19 A.1) to the attributes of DICOM JSON: what clients send as metadata in XML.

Theory. Expat reads the text with everything forbidden that makes XML dangerous: a document type, entities, processing
instructions (threats T10). What comes out has the form of `dicom_json_read.parse`, so that one encoder checks and
writes both. Depth and number of elements are bounded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NoReturn
from xml.parsers import expat

from vesalius.model.dicom_json_read import DEPTH, Attributes
from vesalius.model.dicom_xml import NAMESPACE
from vesalius.model.errors import CannotUnderstand

MOST_ELEMENTS = 5_000_000  # of XML, in one document

_NUMERIC = frozenset({"US", "SS", "UL", "SL", "UV", "SV"})
_COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


@dataclass(slots=True)
class _Open:
    """An element of XML that has begun."""

    name: str
    attributes: dict[str, str]
    text: list[str] = field(default_factory=list)
    dataset: Attributes = field(default_factory=dict)  # of a model or an item
    values: dict[int, Any] = field(default_factory=dict)  # of an attribute, by number
    others: dict[str, str] = field(default_factory=dict)  # InlineBinary, BulkDataURI
    parts: dict[str, str] = field(default_factory=dict)  # groups of a name, components of a group


def parse(data: bytes) -> Attributes:
    """The attributes of one document. Raises `CannotUnderstand`."""
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    parser.StartDoctypeDeclHandler = _forbid
    parser.EntityDeclHandler = _forbid
    parser.UnparsedEntityDeclHandler = _forbid
    parser.ExternalEntityRefHandler = _forbid
    parser.ProcessingInstructionHandler = _forbid
    parser.buffer_text = True
    try:
        parser.Parse(data, True)
    except expat.ExpatError:
        raise CannotUnderstand("Native DICOM Model: the text is no well-formed XML") from None
    if reader.model is None:
        raise CannotUnderstand("Native DICOM Model: there is no NativeDicomModel")
    return reader.model


def _forbid(*_arguments: object) -> NoReturn:
    raise CannotUnderstand(
        "Native DICOM Model: document types, entities and processing instructions are not taken",
        hint="send the model without a DOCTYPE",
    )


class _Reader:
    """Keeps the open elements and builds the data sets as they close."""

    def __init__(self) -> None:
        self.model: Attributes | None = None
        self._open: list[_Open] = []
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        if namespace not in ("", NAMESPACE):
            raise CannotUnderstand("Native DICOM Model: an element is of another namespace")
        self._count += 1
        if len(self._open) > 3 * DEPTH or self._count > MOST_ELEMENTS:
            raise CannotUnderstand("Native DICOM Model: nested too deep or too long")
        if (local == "NativeDicomModel") != (not self._open):
            raise CannotUnderstand("Native DICOM Model: the root must be one NativeDicomModel")
        self._open.append(_Open(local, attributes))

    def characters(self, text: str) -> None:
        if self._open:
            self._open[-1].text.append(text)

    def end(self, _name: str) -> None:
        done = self._open.pop()
        if not self._open:
            self.model = done.dataset
            return
        parent = self._open[-1]
        finish = _FINISH.get((parent.name, done.name))
        if finish is None:
            raise CannotUnderstand(f"Native DICOM Model: {done.name[:64]} does not belong in {parent.name[:64]}")
        finish(parent, done)


def _attribute(parent: _Open, done: _Open) -> None:
    tag, vr = done.attributes.get("tag", ""), done.attributes.get("vr", "")
    if tag in parent.dataset:
        raise CannotUnderstand("Native DICOM Model: a tag stands twice in one data set")
    element: dict[str, Any] = {"vr": vr, **done.others}
    if done.values:
        last = max(done.values)
        empty: Any = {} if vr == "SQ" else None
        element["Value"] = [done.values.get(number, empty) for number in range(1, last + 1)]
    parent.dataset[tag] = element


def _number(parent: _Open, done: _Open) -> int:
    text = done.attributes.get("number", "")
    # A gap is empty values, which may be written; a hole of a million is an attack.
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not 0 < int(text) <= len(parent.values) + 1000:
        raise CannotUnderstand("Native DICOM Model: a value has no proper number")
    if int(text) in parent.values:
        raise CannotUnderstand("Native DICOM Model: a number stands twice")
    return int(text)


def _value(parent: _Open, done: _Open) -> None:
    text: Any = "".join(done.text)
    vr = parent.attributes.get("vr")
    if vr in _NUMERIC:
        try:
            text = int(text)
        except ValueError:
            raise CannotUnderstand(f"Native DICOM Model: a value is none of {vr}") from None
    parent.values[_number(parent, done)] = text


def _item(parent: _Open, done: _Open) -> None:
    parent.values[_number(parent, done)] = done.dataset


def _person(parent: _Open, done: _Open) -> None:
    parent.values[_number(parent, done)] = done.parts


def _group(parent: _Open, done: _Open) -> None:
    parent.parts[done.name] = "^".join(done.parts.get(name, "") for name in _COMPONENTS).rstrip("^")


def _component(parent: _Open, done: _Open) -> None:
    parent.parts[done.name] = "".join(done.text)


def _inline(parent: _Open, done: _Open) -> None:
    parent.others["InlineBinary"] = "".join("".join(done.text).split())


def _bulk(parent: _Open, done: _Open) -> None:
    parent.others["BulkDataURI"] = done.attributes.get("uri") or done.attributes.get("uuid", "")


_FINISH = {
    ("NativeDicomModel", "DicomAttribute"): _attribute,
    ("Item", "DicomAttribute"): _attribute,
    ("DicomAttribute", "Value"): _value,
    ("DicomAttribute", "Item"): _item,
    ("DicomAttribute", "PersonName"): _person,
    ("DicomAttribute", "InlineBinary"): _inline,
    ("DicomAttribute", "BulkData"): _bulk,
    **{("PersonName", group): _group for group in _GROUPS},
    **{(group, component): _component for group in _GROUPS for component in _COMPONENTS},
}
