"""The first instances of a new patient, study and series from many associations at once make exactly one row each."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from tests.support.corpus import split_file
from tests.support.generate import ct, part10
from tests.support.raw_dicom import parse_elements
from tests.support.raw_peer import LEVEL, PATIENT_ROOT, RawScu, extended_negotiation
from tests.support.server import Server, running_server

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
FIND = PATIENT_ROOT["find"]
ASSOCIATIONS = 10


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> object:
    config = ""
    if request.param == "postgresql":
        config = f'database = "{request.getfixturevalue("postgres").create("first_instances")}"\n'
    with running_server(tmp_path_factory.mktemp("race"), config=config, workers=3) as running:
        yield running


def at_once(works: list[Callable[[], None]]) -> None:
    """Run all at the same moment, each in a thread; the first failure is raised here."""
    gate = threading.Barrier(len(works))
    failures: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            gate.wait(20)
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if failures:
        raise failures[0]


def rows(server: Server, patient: str, level: str) -> list[dict[int, bytes]]:
    """The answers of the archive about one patient."""
    keys = {LEVEL: level, 0x00100020: patient, 0x00201200: "", 0x00201202: "", 0x00201204: "", 0x00201208: ""}
    extra = extended_negotiation(FIND, b"\x01")
    with RawScu.associate(server.dimse_port, [(FIND, [IMPLICIT])], extra=extra) as scu:
        answers = scu.find(keys, FIND)
    assert answers[-1].status == 0
    return [parse_elements(answer.dataset) for answer in answers[:-1]]


def store_all(server: Server, shares: list[list[Dataset]]) -> None:
    """Each share on an association of its own, all at once."""

    def sender(share: list[Dataset]) -> Callable[[], None]:
        scu = RawScu.associate(server.dimse_port, [(CT, [EXPLICIT])])
        ready = [(ds.SOPInstanceUID, split_file(part10(ds))[1]) for ds in share]

        def send() -> None:
            with scu:
                for instance, dataset in ready:
                    assert scu.store(CT, instance, EXPLICIT, dataset).status == 0

        return send

    at_once([sender(share) for share in shares])


def check(server: Server, patient: str, instances: list[Dataset]) -> None:
    studies = {ds.StudyInstanceUID for ds in instances}
    series = {ds.SeriesInstanceUID for ds in instances}
    unique = {ds.SOPInstanceUID for ds in instances}
    (who,) = rows(server, patient, "PATIENT")
    assert [int(who[tag]) for tag in (0x00201200, 0x00201202, 0x00201204)] == [len(studies), len(series), len(unique)]
    found = [row[0x0020000D].decode().rstrip("\0 ") for row in rows(server, patient, "STUDY")]
    assert sorted(found) == sorted(studies)
    found = [row[0x0020000E].decode().rstrip("\0 ") for row in rows(server, patient, "SERIES")]
    assert sorted(found) == sorted(series)
    found = [row[0x00080018].decode().rstrip("\0 ") for row in rows(server, patient, "IMAGE")]
    assert sorted(found) == sorted(unique)


def test_ten_associations_with_the_first_instances_of_one_series(server: Server) -> None:
    for turn in range(5):
        patient = f"RACE-{turn}"
        instances = [ct(patient, 1, n, patient_id=patient) for n in range(ASSOCIATIONS * 3)]
        store_all(server, [instances[n::ASSOCIATIONS] for n in range(ASSOCIATIONS)])
        check(server, patient, instances)


_turn = iter(range(1_000_000))


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.lists(st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 4)), min_size=ASSOCIATIONS, max_size=40),
    st.integers(2, ASSOCIATIONS),
)
def test_any_mixture_of_new_studies_series_and_repeats_makes_one_row_each(
    server: Server, chosen: list[tuple[int, int, int]], associations: int
) -> None:
    patient = f"MIX-{next(_turn)}"
    instances = [ct(f"{patient}.{study}"[:16], series, n, patient_id=patient) for study, series, n in chosen]
    store_all(server, [share for n in range(associations) if (share := instances[n::associations])])
    check(server, patient, instances)


def test_the_same_instance_from_ten_associations_is_stored_once(server: Server, tmp_path: Path) -> None:
    ds = ct("same", patient_id="SAME")
    store_all(server, [[ds]] * ASSOCIATIONS)
    check(server, "SAME", [ds])


def test_ten_contents_of_one_instance_leave_one_current_and_nine_kept_beside_it(server: Server) -> None:
    variants = [ct("variants", patient_id="VARIANTS", seed=n) for n in range(ASSOCIATIONS)]
    store_all(server, [[ds] for ds in variants])
    check(server, "VARIANTS", variants[:1])
    with RawScu.associate(
        server.dimse_port, [("1.2.840.10008.5.1.4.1.2.2.3", [IMPLICIT]), (CT, [EXPLICIT])], roles=[CT]
    ) as scu:
        (kept,) = scu.get({LEVEL: "STUDY", 0x0020000D: variants[0].StudyInstanceUID}).kept
    assert kept.dataset in {split_file(part10(ds))[1] for ds in variants}, "one of them, never a mixture"
