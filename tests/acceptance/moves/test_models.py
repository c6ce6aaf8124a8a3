"""Retrieval in the three information models, hierarchical and relational, and with every size of PDU."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydicom.dataset import Dataset
from tests.support.corpus import split_file
from tests.support.generate import ct, part10, uid
from tests.support.raw_dicom import CT
from tests.support.raw_peer import (
    LEVEL,
    PATIENT_ROOT,
    PATIENT_STUDY_ONLY,
    STUDY_ROOT,
    RawScu,
    Receiver,
    Retrieved,
    extended_negotiation,
    role_selection,
)
from tests.support.server import Server, running_server

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
PATIENT_ID, STUDY, SERIES, IMAGE = 0x00100020, 0x0020000D, 0x0020000E, 0x00080018
MODELS = {"patient root": PATIENT_ROOT, "study root": STUDY_ROOT, "patient/study only": PATIENT_STUDY_ONLY}


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver("KEEPER") as receiver:
        yield receiver


@pytest.fixture(scope="module")
def instances() -> list[Dataset]:
    """Two patients, three studies, four series."""
    return [
        *(ct("m1", series, n, patient_id="MA") for series in (1, 2) for n in (1, 2)),
        ct("m2", 1, 1, patient_id="MA"),
        ct("m3", 1, 1, patient_id="MB"),
    ]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver, instances: list[Dataset]) -> Iterator[Server]:
    config = f'[[peers]]\nname = "keeper"\nhost = "127.0.0.1"\nport = {receiver.port}\naet = "KEEPER"\n'
    with running_server(tmp_path_factory.mktemp("models"), config=config) as server:
        with RawScu.associate(server.dimse_port, [(CT, [EXPLICIT])]) as scu:
            for ds in instances:
                assert scu.store(CT, ds.SOPInstanceUID, EXPLICIT, split_file(part10(ds))[1]).status == 0
        yield server


def retrieve(
    server: Server, receiver: Receiver, verb: str, model: str, keys: dict[int, str], *, relational: bool = False
) -> Retrieved:
    """By C-GET or C-MOVE; what came is in `kept` either way."""
    sop_class = MODELS[model][verb]
    extra = role_selection(CT)
    if relational:
        extra += extended_negotiation(sop_class, b"\x01")
    with RawScu.associate(server.dimse_port, [(sop_class, [IMPLICIT]), (CT, [EXPLICIT])], extra=extra) as scu:
        if verb == "get":
            return scu.get(keys, sop_class)
        start = len(receiver.kept)
        moved = scu.move("KEEPER", keys, sop_class)
        return Retrieved(moved.pendings, moved.final, receiver.kept[start:])


CASES = [
    ("patient root", {LEVEL: "PATIENT", PATIENT_ID: "MA"}, 5),
    ("patient root", {LEVEL: "STUDY", PATIENT_ID: "MA", STUDY: uid("study", "m1")}, 4),
    ("patient root", {LEVEL: "SERIES", PATIENT_ID: "MA", STUDY: uid("study", "m1"), SERIES: uid("series", "m1", 2)}, 2),
    ("study root", {LEVEL: "STUDY", STUDY: f"{uid('study', 'm1')}\\{uid('study', 'm3')}"}, 5),
    ("study root", {LEVEL: "SERIES", STUDY: uid("study", "m1"), SERIES: uid("series", "m1", 1)}, 2),
    ("patient/study only", {LEVEL: "PATIENT", PATIENT_ID: "MB"}, 1),
    ("patient/study only", {LEVEL: "STUDY", PATIENT_ID: "MA", STUDY: uid("study", "m2")}, 1),
    # The patient does not have this study: nothing matches, and that is no error.
    ("patient root", {LEVEL: "STUDY", PATIENT_ID: "MB", STUDY: uid("study", "m1")}, 0),
]
REFUSED = [
    ("study root", {LEVEL: "PATIENT", PATIENT_ID: "MA"}),
    ("study root", {LEVEL: "SERIES", SERIES: uid("series", "m1", 1)}),
    ("study root", {LEVEL: "STUDY"}),
    ("study root", {STUDY: uid("study", "m1")}),
    ("study root", {LEVEL: "STUDY", STUDY: "*"}),
    ("patient root", {LEVEL: "STUDY", STUDY: uid("study", "m1")}),
    ("patient root", {LEVEL: "PATIENT", PATIENT_ID: "M*"}),
    ("patient/study only", {LEVEL: "SERIES", PATIENT_ID: "MA", STUDY: uid("study", "m1"), SERIES: "1.2"}),
]


@pytest.mark.parametrize("verb", ["get", "move"])
@pytest.mark.parametrize(("model", "keys", "count"), CASES)
def test_every_level_of_every_model_brings_what_it_names(
    server: Server, receiver: Receiver, verb: str, model: str, keys: dict[int, str], count: int
) -> None:
    got = retrieve(server, receiver, verb, model, keys)
    assert got.status == 0
    assert got.counts == (None, count, 0, 0)
    assert len({one.sop_instance for one in got.kept}) == count


@pytest.mark.parametrize("verb", ["get", "move"])
@pytest.mark.parametrize(("model", "keys"), REFUSED)
def test_an_identifier_that_does_not_fit_its_model_is_a900(
    server: Server, receiver: Receiver, verb: str, model: str, keys: dict[int, str]
) -> None:
    got = retrieve(server, receiver, verb, model, keys)
    assert got.status == 0xA900
    assert got.kept == []
    assert 0x901 in got.final.command


@pytest.mark.parametrize("verb", ["get", "move"])
def test_relational_retrieval_needs_only_the_key_of_its_level(
    server: Server, receiver: Receiver, instances: list[Dataset], verb: str
) -> None:
    image = {LEVEL: "IMAGE", IMAGE: f"{instances[0].SOPInstanceUID}\\{instances[5].SOPInstanceUID}"}
    assert retrieve(server, receiver, verb, "study root", image).status == 0xA900
    got = retrieve(server, receiver, verb, "study root", image, relational=True)
    assert (got.status, len(got.kept)) == (0, 2)
    series = {LEVEL: "SERIES", SERIES: instances[2].SeriesInstanceUID}
    got = retrieve(server, receiver, verb, "patient root", series, relational=True)
    assert (got.status, len(got.kept)) == (0, 2)


@pytest.mark.parametrize("maximum", [0, 128, 4096, 16384, 1 << 20, 0xFFFFFFFF])
def test_no_pdu_is_larger_than_the_requester_takes(server: Server, instances: list[Dataset], maximum: int) -> None:
    get = STUDY_ROOT["get"]
    contexts = [(get, [IMPLICIT]), (CT, [EXPLICIT])]
    with RawScu.associate(server.dimse_port, contexts, roles=[CT], maximum=maximum) as scu:
        sizes = []
        read = scu.pdu

        def watched() -> tuple[int, bytes]:
            kind, body = read()
            sizes.append(len(body))
            return kind, body

        scu.pdu = watched  # type: ignore[method-assign]
        got = scu.get({LEVEL: "STUDY", STUDY: instances[0].StudyInstanceUID})
    assert {one.dataset for one in got.kept} == {split_file(part10(ds))[1] for ds in instances[:4]}
    if maximum:
        assert max(sizes) <= maximum
