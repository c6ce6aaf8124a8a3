"""Random questions through a real association, answered as the plain Python oracle of the matching rules answers them.

A population of odd data sets goes in by C-STORE, encoded here and not by the product; a twin index in memory is given
the same. What the network answers must be what the oracle (`model/matching.py`) finds in the twin, value by value.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support import population
from tests.support.raw_dicom import Message, element, parse_elements
from tests.support.raw_peer import LEVEL, PATIENT_ROOT, STUDY_ROOT, RawScu
from tests.support.server import running_server

from vesalius.backends.index_memory import MemoryIndex
from vesalius.model.entities import Level, Values
from vesalius.model.errors import IdentifierMismatch, LimitExceeded, UnableToProcess
from vesalius.model.query import Options, Root
from vesalius.model.query_parser import parse

IMPLICIT = "1.2.840.10008.1.2"
STUDIES = 40
EVERYTHING = Options(*(True for _ in range(6)))
# Relational, combined date-time, fuzzy, time zone, enhanced multi-frame (declined), empty value, multiple value.
ASKED = b"\x01\x01\x01\x01\x00\x01\x01"
FIND = {Root.PATIENT: PATIENT_ROOT["find"], Root.STUDY: STUDY_ROOT["find"]}
_BINARY = {0x00280010}
_CARRIED = {0x00080005, LEVEL, 0x00080054, 0x00080056}


def encode(values: Values) -> bytes:
    """A data set in Implicit VR Little Endian, text in UTF-8."""
    out = b""
    for tag, value in sorted(values.items()):
        if value and not isinstance(value[0], str):
            items = [encode(item) for item in value if not isinstance(item, str)]
            raw = b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(item)) + item for item in items)
        elif tag in _BINARY:
            raw = b"".join(struct.pack("<H", int(str(part))) for part in value if part)
        else:
            raw = "\\".join(str(part) for part in value).encode()
            raw += b" " * (len(raw) % 2)
        out += element(tag, raw)
    return out


def decode(answer: Message) -> dict[int, str]:
    """The texts of an answer; sequences are left out."""
    found = {}
    for tag, raw in parse_elements(answer.dataset).items():
        if raw[:4] == b"\xfe\xff\x00\xe0":
            continue
        if tag in _BINARY:
            found[tag] = "\\".join(str(n) for (n,) in struct.iter_unpack("<H", raw))
        else:
            found[tag] = raw.decode("utf-8").rstrip(" \0")
    return found


@dataclass
class Site:
    granted: RawScu  # everything negotiated
    plain: RawScu  # nothing
    twin: MemoryIndex


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    twin = MemoryIndex()
    with running_server(tmp_path_factory.mktemp("oracle")) as server:
        classes = [(uid, [IMPLICIT]) for uid in (population.CT, population.MR)]
        with RawScu.associate(server.dimse_port, classes) as scu:
            for number, values in enumerate(population.population(7, STUDIES)):
                dataset = encode({**values, 0x00080005: ("ISO_IR 192",)})
                answer = scu.store(str(values[0x00080016][0]), str(values[0x00080018][0]), IMPLICIT, dataset)
                assert answer.status == 0
                twin.ingest([population.arrival(values, number=number)])
        contexts = [(uid, [IMPLICIT]) for uid in FIND.values()]
        extended = dict.fromkeys(FIND.values(), ASKED)
        with (
            RawScu.associate(server.dimse_port, contexts, extended=extended) as granted,
            RawScu.associate(server.dimse_port, contexts) as plain,
        ):
            yield Site(granted, plain, twin)


def _one(*values: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.sampled_from(values).map(lambda value: (value,))


_NAMES = (
    *population.NAMES, "doe*", "DOE^JANE*", "*^john", "m?ller*", "mueller^jorg", "smith*", "wang*=王*", "山田^太郎",
    "=*^花子", "и*", "50%*", "*[a-z]*", "*_*", "smythe^jon", "lukasiewicz^jan", "*", "",
)  # fmt: skip
_DATES = ("20200101", "20200101-20200131", "20200115-", "-20200101", "20240229", "", '""')
_TIMES = ("10", "1015", "101500", "0900-1200", "2300-", "-0030", "103000.5", "")
KEYS: dict[int, st.SearchStrategy[tuple[str, ...] | tuple[Values, ...]]] = {
    0x00100010: _one(*_NAMES, '""'),
    0x00100020: _one("P1", "P*", "*3", "p1", "P?", "P1\\P2", "", '""'),
    0x00100030: _one(*_DATES),
    0x00100040: _one("M", "F", "O", ""),
    0x00101001: _one(*_NAMES),
    0x0020000D: st.lists(st.integers(0, STUDIES + 5), max_size=4).map(lambda n: tuple(f"1.2.{x}" for x in n)),
    0x00080020: _one(*_DATES),
    0x00080030: _one(*_TIMES),
    0x00080201: _one("+0100", "-0500", "+0000"),
    0x00080050: _one("A1", "a1", "A*", "*", '""', "B1?", "A1\\A2"),
    0x00080090: _one(*_NAMES),
    0x00081030: _one(*population.TEXTS, "HEAD*", "*%*", "*[1]", "h*", "Abd?men"),
    0x00080061: _one("CT", "MR", "S?", "CT\\MR", "*", ""),
    0x00201206: _one("1", "2", ""),
    0x00201208: _one("1", "3", ""),
    0x00081032: st.builds(
        lambda code, scheme: ({0x00080100: (code,), 0x00080102: (scheme,)},),
        st.sampled_from(("T-1", "T*", "X*1", "")),
        st.sampled_from(("SRT", "DCM", "")),
    ),
    0x0020000E: _one("1.2.0.0", "1.2.5.1", ""),
    0x00080060: _one("CT", "MR", "SR", ""),
    0x00081070: _one(*_NAMES),
    0x00400244: _one(*_DATES),
    0x00400245: _one(*_TIMES),
    0x00400275: st.builds(
        lambda procedure, step: ({0x00401001: (procedure,), 0x00400009: (step,)},),
        st.sampled_from(("RP1", "R*", "")),
        st.sampled_from(("SPS1", "SPS2", "")),
    ),
    0x00080018: _one("1.2.0.0.0", "1.2.10.0.1", ""),
    0x00080016: _one(population.CT, ""),
    0x00200013: _one("1", "3", ""),
    0x00080008: _one("AXIAL", "ORIG*", "*", ""),
    0x0008002A: _one("2020", "20200101-20200102", "202001010900-", ""),
    0x00280010: _one("512", "16"),
}

_identifiers = st.lists(st.sampled_from(sorted(KEYS)), min_size=1, max_size=4, unique=True).flatmap(
    lambda tags: st.fixed_dictionaries({tag: KEYS[tag] for tag in tags})
)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(_identifiers, st.sampled_from(sorted(FIND, key=str)), st.sampled_from(list(Level)), st.booleans())
def test_any_question_over_the_wire_is_answered_as_the_oracle_answers_it(
    site: Site, values: Values, root: Root, level: Level, granted: bool
) -> None:
    options = EVERYTHING if granted else Options()
    asked = {tag: _split(tag, value) for tag, value in values.items()}
    scu = site.granted if granted else site.plain
    answers = scu.find(encode({**values, LEVEL: (level.name,), 0x00080005: ("ISO_IR 192",)}), FIND[root])
    try:
        query = parse({**asked, LEVEL: (level.name,)}, root, None, options)
    except (UnableToProcess, IdentifierMismatch, LimitExceeded) as error:
        code = {UnableToProcess: 0xC000, IdentifierMismatch: 0xA900, LimitExceeded: 0xA700}[type(error)]
        assert [answer.status for answer in answers] == [code]
        return
    assert answers[-1].status == 0
    pending = 0xFF01 if query.unsupported else 0xFF00
    assert {answer.status for answer in answers[:-1]} <= {pending}
    expected = [match.values for page in site.twin.find(query) for match in page]
    got = [decode(answer) for answer in answers[:-1]]
    for answer in got:
        assert answer[LEVEL] == level.name
        assert answer[0x00080054] == "VESALIUS"
        assert answer[0x00080056] == "ONLINE"
    assert sorted(_row(answer) for answer in got) == sorted(_expected_row(values) for values in expected)


def _split(tag: int, value: tuple[str, ...] | tuple[Values, ...]) -> tuple[str, ...] | tuple[Values, ...]:
    """As a decoder gives the values of an element."""
    if value and isinstance(value[0], str):
        return tuple(part for text in value for part in str(text).split("\\") if part or len(value) > 1)
    return value


def _row(answer: dict[int, str]) -> str:
    return repr(sorted((tag, text) for tag, text in answer.items() if tag not in _CARRIED and text))


def _expected_row(values: Values) -> str:
    texts = {
        tag: "\\".join(str(part) for part in value).rstrip(" ")
        for tag, value in values.items()
        if not value or isinstance(value[0], str)
    }
    return _row(texts)
