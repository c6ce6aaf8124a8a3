"""Real names in real repertoires: found by their own bytes and by UTF-8, answered in what the asker can read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

import pydicom
import pytest
from pydicom.charset import convert_encodings
from pydicom.valuerep import PersonName
from tests.support import corpus
from tests.support.data import shared_data
from tests.support.generate import ct, part10
from tests.support.raw_dicom import STUDY_FIND, parse_elements
from tests.support.raw_peer import LEVEL, RawScu
from tests.support.server import running_server

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
CHARSET, NAME, STUDY = 0x00080005, 0x00100010, 0x0020000D


# Repertoires that no file of the corpus has: (Specific Character Set, Patient's Name), encoded by pydicom.
MADE = (
    ("GB18030", "Wang^XiaoDong=王^小东"),
    ("GBK", "Zhang^XiaoDong=张^小东"),
    ("\\ISO 2022 IR 58", "Zhang^XiaoDong=张^小东"),
    ("\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동"),
    ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    ("ISO 2022 IR 13\\ISO 2022 IR 87", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    ("ISO_IR 101", "Wałęsa^Świętosława"),
    ("ISO_IR 109", "Ċensu^Ġużeppa"),
    ("ISO_IR 110", "Bērziņš^Jānis"),
    ("ISO_IR 148", "Çavuşoğlu^Işıl"),
    ("ISO_IR 138", "כהן^דנה"),
    ("ISO_IR 166", "สมชาย^ใจดี"),
    ("ISO_IR 192", "Buc^Jérôme=王^小东"),
    ("ISO 2022 IR 100\\ISO 2022 IR 144\\ISO 2022 IR 126", "Dionysios=Люкceмбypг"),
)


# PS3.5 K.3: pydicom does not encode GB 2312 by ISO 2022 the way the standard's own example does.
_ESC = b"\x1b$)A"
_ZHANG, _XIAODONG = _ESC + "张".encode("gb2312"), _ESC + "小东".encode("gb2312")
BY_HAND = {
    "\\ISO 2022 IR 58": b"Zhang^XiaoDong="
    + _ESC
    + "张".encode("gb2312")
    + b"^"
    + _ESC
    + "小东".encode("gb2312")
    + b"=",
}


@dataclass(frozen=True)
class Person:
    """A file of the corpus and its patient, as pydicom reads them."""

    file: str
    study: str
    charset: bytes
    raw_name: bytes
    name: PersonName


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RawScu, list[Person]]]:
    folder = shared_data()
    files = sorted((folder / "charsets").glob("*.dcm")) if folder is not None else []
    found = []
    with running_server(tmp_path_factory.mktemp("repertoires")) as server:
        for path in files:
            item = corpus.item_of(path.name, path.read_bytes())
            if not item.sop_instance or not item.study:
                continue
            contexts = [(item.sop_class, [item.transfer_syntax])]
            with RawScu.associate(server.dimse_port, contexts) as scu:
                answer = scu.store(item.sop_class, item.sop_instance, item.transfer_syntax, item.dataset)
                assert answer.status == 0, path.name
            ds = pydicom.dcmread(path)
            charset = ds.get("SpecificCharacterSet", "") or ""
            text = charset if isinstance(charset, str) else "\\".join(charset)
            original = ds.PatientName.original_string
            raw = original if isinstance(original, bytes) else str(original).encode()
            found.append(Person(path.name, item.study, text.encode(), raw, ds.PatientName))
        with RawScu.associate(server.dimse_port, [(ct().SOPClassUID, [EXPLICIT])]) as scu:
            for n, (charset, name) in enumerate(MADE):
                raw = BY_HAND.get(charset, b"")
                ds = ct(f"made {n}", patient_id=f"M{n}", SpecificCharacterSet=charset.split("\\"), PatientName=name)
                if raw:
                    ds.PatientName = "#" * len(raw)
                dataset = corpus.split_file(part10(ds))[1].replace(b"#" * len(raw), raw, 1)
                assert scu.store(ds.SOPClassUID, ds.SOPInstanceUID, EXPLICIT, dataset).status == 0
                if not raw:
                    read = pydicom.dcmread(BytesIO(part10(ds))).PatientName
                    assert same(read, PersonName(name)), name
                    raw = read.original_string
                found.append(Person(charset, ds.StudyInstanceUID, charset.encode(), raw, PersonName(name)))
        with RawScu.associate(server.dimse_port, [(STUDY_FIND, [IMPLICIT])]) as scu:
            yield scu, found


def name_of(answer: dict[int, bytes]) -> PersonName:
    """The patient's name in an answer, decoded by pydicom in the repertoire that the answer names."""
    charset = answer.get(CHARSET, b"").decode().strip() or "ISO_IR 6"
    if "IR 58" in charset:
        return PersonName(answer[NAME].rstrip(b" \0").replace(_ESC, b"").decode("gb2312"))
    encodings = convert_encodings([part.strip() for part in charset.split("\\")])
    return PersonName(answer[NAME].rstrip(b" \0"), encodings)  # type: ignore[arg-type]


def ask(scu: RawScu, charset: bytes, name: bytes) -> dict[str, dict[int, bytes]]:
    """C-FIND by name: Study Instance UID -> answer."""
    keys = {LEVEL: "STUDY", NAME: name, STUDY: "", 0x00100020: ""}
    if charset:
        keys[CHARSET] = charset
    answers = scu.find(keys)
    assert answers[-1].status == 0
    read = [parse_elements(answer.dataset) for answer in answers[:-1]]
    return {one[STUDY].decode().rstrip("\0 "): one for one in read}


def same(one: PersonName, other: PersonName) -> bool:
    return str(one).rstrip("^=") == str(other).rstrip("^=")


def test_every_name_is_found_by_its_own_bytes_in_its_own_repertoire(people: tuple[RawScu, list[Person]]) -> None:
    scu, persons = people
    wrong = []
    for person in persons:
        answer = ask(scu, person.charset, person.raw_name).get(person.study)
        if answer is None:
            wrong.append((person.file, "not found"))
        elif not same(name_of(answer), person.name):
            wrong.append((person.file, str(name_of(answer)), str(person.name)))
    assert not wrong
    assert len(persons) >= len(MADE)


def test_every_name_is_found_in_utf_8_by_someone_who_reads_utf_8(people: tuple[RawScu, list[Person]]) -> None:
    scu, persons = people
    wrong = []
    for person in persons:
        answer = ask(scu, b"ISO_IR 192", str(person.name).encode()).get(person.study)
        if answer is None:
            wrong.append((person.file, "not found"))
        elif not same(name_of(answer), person.name) or answer.get(CHARSET, b"").strip() not in (b"", b"ISO_IR 192"):
            wrong.append((person.file, str(name_of(answer)), str(person.name)))
    assert not wrong


@pytest.mark.parametrize("charset", [b"", b"ISO_IR 100", b"ISO_IR 144", b"\\ISO 2022 IR 87", b"GB18030"])
def test_an_answer_that_the_asker_could_not_read_comes_in_utf_8(
    people: tuple[RawScu, list[Person]], charset: bytes
) -> None:
    scu, persons = people
    answers = ask(scu, charset, b"*")
    names = {person.study: person.name for person in persons}
    for study, answer in answers.items():
        said = answer.get(CHARSET, b"").strip()
        assert said in (b"", charset, b"ISO_IR 192"), names[study]
        assert same(name_of(answer), names[study]), names[study]
        if said == b"":
            assert answer[NAME].isascii()


def test_wildcards_see_characters_and_not_bytes(people: tuple[RawScu, list[Person]]) -> None:
    scu, persons = people
    for person in persons:
        groups = str(person.name).split("=")
        text = next((group for group in groups if not group.isascii()), groups[0])
        for at in (0, len(text) // 2, len(text) - 1):
            if text[at] in "^ =":
                continue
            pattern = text[:at] + "?" + text[at + 1 :]
            assert person.study in ask(scu, b"ISO_IR 192", pattern.encode()), (person.file, pattern)


def test_case_and_accents_of_any_script_do_not_matter(tmp_path_factory: pytest.TempPathFactory) -> None:
    names = ["Müller^Jörg", "ÅNGSTRÖM^Åsa", "Иванов^Иван", "Διονυσιος^Αγγελος", "Łukasz^Żak", "Straße^Groß"]
    asked = ["MULLER^JORG", "angstrom^asa", "ИВАНОВ^ИВАН", "ΔΙΟΝΥΣΙΟΣ^ΑΓΓΕΛΟΣ", "LUKASZ^zak", "STRASSE^GROSS"]
    with running_server(tmp_path_factory.mktemp("case")) as server:
        contexts = [(STUDY_FIND, [IMPLICIT]), (ct().SOPClassUID, [EXPLICIT])]
        with RawScu.associate(server.dimse_port, contexts) as scu:
            for n, name in enumerate(names):
                ds = ct(f"case {n}"[:16], patient_id=f"C{n}", patient_name=name)
                dataset = corpus.split_file(part10(ds))[1]
                assert scu.store(ds.SOPClassUID, ds.SOPInstanceUID, EXPLICIT, dataset).status == 0
            for name, question in zip(names, asked, strict=True):
                (answer,) = ask(scu, b"ISO_IR 192", question.encode()).values()
                assert str(name_of(answer)) == name
