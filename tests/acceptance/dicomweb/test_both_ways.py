"""Each question is sent both ways, as C-FIND and as QIDO-RS, to the real service, and both find the same UIDs."""

from __future__ import annotations

import json
import random
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

import pytest
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pynetdicom import AE
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind
from tests.support.data import shared_data
from tests.support.generate import ct, part10
from tests.support.server import AET, Server, running_server, vesalius

from vesalius.model.attributes import ATTRIBUTES, SEQUENCES, ColumnKind
from vesalius.model.attributes_table import NESTED_VR
from vesalius.model.entities import Level
from vesalius.standard.dictionary import keyword_of

FOLDERS = ("charsets", "mr-series", "sr-ko-pr-seg-rt", "single-frame", "multiframe", "dicomdir")
FIND = StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]
NAMES = ("Müller^Jörg", "Doe^Jane", "Doe^John^Q")
PATH = {Level.STUDY: "/studies", Level.SERIES: "/series", Level.IMAGE: "/instances"}
pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR")  # wildcards, and what real data hold
UNIQUE = {Level.STUDY: "0020000D", Level.SERIES: "0020000E", Level.IMAGE: "00080018"}
# Application information of extended negotiation (PS3.4 C.5.1.1).
RELATIONAL, FUZZY_NAMES, EMPTY_VALUES = b"\x01", b"\x01\x00\x01", b"\x01\x00\x00\x00\x00\x01"
SUCCESS = 0x0000
REFUSED = {400: 0xC000, 413: 0xA700}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("both")
    (folder / "in").mkdir()
    for study in range(6):
        request = Dataset()
        request.ScheduledProcedureStepID, request.RequestedProcedureID = f"SPS{study}", f"RP{study % 2}"
        for number in (1, 2):
            ds = ct(
                study, 1, number, patient_id=f"P{study}", patient_name=NAMES[study % 3],
                StudyDate=f"2024013{study % 2}", StudyTime=f"0{study}3000", RequestAttributesSequence=[request],
                StudyDescription="" if study == 5 else f"HEAD {study}",
            )  # fmt: skip
            (folder / "in" / f"{study}-{number}.dcm").write_bytes(part10(ds))
    shared = shared_data()
    real = [shared / name for name in FOLDERS] if shared else []
    vesalius("import", folder / "in", *real, data=folder / "data", check=False)
    with running_server(folder) as running:
        yield running


def by_qido(server: Server, level: Level, query: list[tuple[str, str]]) -> set[str] | int:
    """The UIDs that a search finds, or the DIMSE status that means its refusal."""
    target = f"{server.url}/dicom-web{PATH[level]}?{urllib.parse.urlencode(query)}"
    try:
        with urllib.request.urlopen(target, timeout=30) as answer:
            return {one[UNIQUE[level]]["Value"][0] for one in json.loads(answer.read())}
    except urllib.error.HTTPError as error:
        return REFUSED[error.code]


class Find:
    """C-FIND on one association that negotiated everything."""

    def __init__(self, port: int, options: bytes) -> None:
        ae = AE()
        ae.add_requested_context(FIND)
        negotiation = SOPClassExtendedNegotiation()
        negotiation.sop_class_uid = FIND
        negotiation.service_class_application_information = options
        self.assoc = ae.associate("127.0.0.1", port, ae_title=AET, ext_neg=[negotiation])
        assert self.assoc.is_established

    def __enter__(self) -> Find:
        return self

    def __exit__(self, *_error: object) -> None:
        self.assoc.release()

    def ask(self, level: Level, query: list[tuple[str, str]]) -> set[str] | int:
        """The UIDs of the answers, or the final status."""
        identifier = Dataset()
        identifier.SpecificCharacterSet = "ISO_IR 192"
        identifier.QueryRetrieveLevel = level.name
        setattr(identifier, keyword_of(int(UNIQUE[level], 16)), "")
        for name, text in query:
            tags = [int(step, 16) for step in name.split(".")]
            ds = identifier
            for tag in tags[:-1]:
                if tag not in ds:
                    ds.add_new(tag, "SQ", [Dataset()])
                ds = ds[tag].value[0]
            vr = NESTED_VR.get(tags[-1], "LO")
            ds.add_new(Tag(tags[-1]), vr, text.replace(",", "\\") if vr == "UI" else text)
        found: set[str] = set()
        for status, answer in self.assoc.send_c_find(identifier, FIND):
            if status.Status in (0xFF00, 0xFF01):
                found.add(str(answer[int(UNIQUE[level], 16)].value))
            elif status.Status != SUCCESS:
                return int(status.Status)
        return found


def questions(server: Server, level: Level, rng: random.Random) -> list[list[tuple[str, str]]]:
    """Questions made of what is stored: each attribute that has a value, whole, in part, as range, and together."""
    target = f"{server.url}/dicom-web{PATH[level]}?includefield=all"
    with urllib.request.urlopen(target, timeout=30) as answer:
        stored = json.loads(answer.read())
    made: list[list[tuple[str, str]]] = []
    for row in ATTRIBUTES:
        key = f"{row.tag:08X}"
        elements = [one[key] for one in stored if one.get(key, {}).get("Value")]
        if row.level > level or not elements or row.vr in ("DS", "US") or row.keyword == "SpecificCharacterSet":
            continue
        values = [element["Value"] for element in rng.sample(elements, min(2, len(elements)))]
        for value in values:
            if row.kind is ColumnKind.SEQUENCE:
                for inner in SEQUENCES[row.tag]:
                    text = (value[0] or {}).get(f"{inner:08X}", {}).get("Value")
                    if text and isinstance(text[0], str):
                        made.append([(f"{key}.{inner:08X}", text[0])])
                continue
            text = value[0] if not isinstance(value[0], dict) else value[0].get("Alphabetic", "*")
            if text is None:
                continue
            text = str(text)
            if "\\" in text or "," in text or not text.strip():
                continue
            made.append([(key, text)])
            if row.vr == "DA" and len(text) == 8:
                made += [[(key, f"{text}-")], [(key, f"-{text}")], [(key, f"{text[:4]}0101-{text}")]]
            elif row.vr == "TM" and text[:4].isdigit():
                made += [[(key, f"{text[:4]}-")], [(key, text[:2])]]
            elif row.vr in ("PN", "LO", "SH", "CS"):
                made += [[(key, f"{text[:3]}*")], [(key, f"*{text[-2:]}")], [(key, f"?{text[1:]}")]]
    singles = [question for question in made if len(question) == 1]
    for _ in range(25):
        pair = rng.sample(singles, 2)
        if pair[0][0][0] != pair[1][0][0] and "." not in pair[0][0][0] + pair[1][0][0]:
            made.append([pair[0][0], pair[1][0]])
    return made


@pytest.mark.parametrize("level", [Level.STUDY, Level.SERIES, Level.IMAGE])
def test_both_ways_find_the_same(server: Server, level: Level) -> None:
    rng = random.Random(level.name)
    asked = questions(server, level, rng)
    assert len(asked) > 40
    found = 0
    with Find(server.dimse_port, RELATIONAL) as find:
        for query in rng.sample(asked, min(50, len(asked))):
            one, other = by_qido(server, level, query), find.ask(level, query)
            assert one == other, (level, query)
            found += bool(one)
    assert found > 15


FUZZY = [[("00100010", name), ("fuzzymatching", "true")] for name in ("Muller^Jorg", "Miller", "Doh^Jain", "Do", "Jon")]


@pytest.mark.parametrize("query", FUZZY)
def test_both_ways_hear_names_alike(server: Server, query: list[tuple[str, str]]) -> None:
    with Find(server.dimse_port, FUZZY_NAMES) as find:
        assert by_qido(server, Level.STUDY, query) == find.ask(Level.STUDY, query[:1])


@pytest.mark.parametrize("tag", ["00081030", "00100040", "00080050", "00080020", "00080090"])
def test_both_ways_find_what_is_empty(server: Server, tag: str) -> None:
    query = [(tag, '""')]
    found = by_qido(server, Level.STUDY, [*query, ("emptyvaluematching", "true")])
    with Find(server.dimse_port, EMPTY_VALUES) as find:
        assert found == find.ask(Level.STUDY, query)
    assert tag != "00081030" or found


@pytest.mark.parametrize(
    "query",
    [
        [("00080020", "20240201-20240101")],
        [("00080020", "20231301")],
        [("00080030", "2500")],
        [("0020000D", "1.2.x")],
        [("00080030", "2300-0100")],
    ],
)
def test_both_ways_refuse_the_same(server: Server, query: list[tuple[str, str]]) -> None:
    assert by_qido(server, Level.STUDY, query) == 0xC000
    with Find(server.dimse_port, RELATIONAL) as find:
        assert find.ask(Level.STUDY, query) == 0xC000
