"""The worklist and DCMTK: its findscu asks us, and its wlmscpfs answers the same questions about the same items.

The items and eight of the questions are DCMTK's own examples; more questions are drawn by chance, of what both match
on: wlmscpfs has no wild cards but in names and accession numbers, takes names letter by letter, and answers an empty
item with a selection of its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import ModalityWorklistInformationFind
from tests.support import dcmtk
from tests.support.data import need_shared_data
from tests.support.mpps import question
from tests.support.ris import by
from tests.support.server import Server, running_server

from vesalius.backends.database import open_database
from vesalius.backends.ris_sql import SqlRis
from vesalius.model.orders import (
    Identifier,
    Order,
    Patient,
    Priority,
    RequestedProcedure,
    ScheduledStep,
    Station,
)
from vesalius.ris import catalogue

AET = "OFFIS"  # the name of the folder, which is how wlmscpfs finds its items
NUMBER_OF_QUESTIONS = 60
# The items of one patient disagree about his alerts and allergies; here a patient is one record.
NOT_COMPARED = ("SpecificCharacterSet", "MedicalAlerts", "Allergies")


@dataclass
class Both:
    """Two worklists with the same items."""

    ours: int  # ports
    theirs: int
    items: list[Dataset]
    queries: Path


def text(ds: Dataset, keyword: str) -> str:
    return str(ds.get(keyword, "") or "")


def keep(work: Any, item: Dataset) -> None:
    """An item of DCMTK as nouns of ours."""
    step = item.ScheduledProcedureStepSequence[0]
    name = text(item, "PatientName")
    known = work.first(Patient, identity=Identifier(text(item, "PatientID"), "").key)
    patient = known or work.add(
        Patient(
            Identifier(text(item, "PatientID"), ""),
            name,
            text(item, "PatientBirthDate"),
            text(item, "PatientSex"),
            alerts=tuple(filter(None, [text(item, "MedicalAlerts")])),
            allergies=tuple(filter(None, [text(item, "Allergies")])),
        )
    )
    priority = text(item, "RequestedProcedurePriority")
    order = work.add(
        Order(
            patient.ref,
            accession=text(item, "AccessionNumber"),
            ordering=text(item, "RequestingPhysician"),
            **({"priority": Priority(priority)} if priority else {}),
        )
    )
    procedure = work.add(
        RequestedProcedure(
            order.ref,
            patient.ref,
            text(item, "RequestedProcedureID"),
            text(item, "StudyInstanceUID"),
            description=text(item, "RequestedProcedureDescription"),
        )
    )
    work.add(
        ScheduledStep(
            procedure.ref,
            order.ref,
            patient.ref,
            text(step, "ScheduledProcedureStepID"),
            titles_of(step),
            modality=step.Modality,
            start=text(step, "ScheduledProcedureStepStartDate") + text(step, "ScheduledProcedureStepStartTime"),
            performing=text(step, "ScheduledPerformingPhysicianName"),
            description=text(step, "ScheduledProcedureStepDescription"),
            station_name=text(step, "ScheduledStationName"),
            location=text(step, "ScheduledProcedureStepLocation"),
            premedication=text(step, "PreMedication"),
            contrast=text(step, "RequestedContrastAgent"),
            comments=text(step, "CommentsOnTheScheduledProcedureStep"),
        )
    )


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    dcmtk.need("wlmscpfs")
    source = need_shared_data() / "worklist"
    folder = tmp_path_factory.mktemp("worklist")
    lists, queries = folder / "lists", folder / "queries"
    (lists / AET).mkdir(parents=True)
    queries.mkdir()
    (lists / AET / "lockfile").touch()
    items = []
    for number, path in enumerate(sorted((source / "dcmtk-wlistdb/OFFIS").glob("*.wl"))):
        items.append(pydicom.dcmread(path, force=True))
        (lists / AET / f"{number}.wl").write_bytes(path.read_bytes())
    for path in sorted((source / "dcmtk-wlistqry").glob("*.dump")):
        dcmtk.run("dump2dcm", "+te", path, queries / f"{path.stem}.dcm")
    port = dcmtk.free_port()
    serving = dcmtk.background("wlmscpfs", "-dfp", lists, "-dfr", str(port), port=port)
    with running_server(folder, config='[ris]\nworklist_scope = "all"\n') as server, serving:
        fill(server, items)
        yield Both(server.dimse_port, port, items, queries)


def fill(server: Server, items: list[Dataset]) -> None:
    database = open_database(f"sqlite:///{server.data}/index.db")

    def work(unit: Any) -> None:
        catalogue.save_station(unit, by(), Station("FINDSCU", modality="OT"))
        for item in items:
            keep(unit, item)

    SqlRis(database).change(work)
    database.close()


def flat(ds: Dataset) -> dict[str, str]:
    """What an answer says, without what is empty: the two differ in how they return what they do not know."""
    found = {}
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                found.update({f"{element.keyword}.{key}": value for key, value in flat(item).items()})
        elif element.keyword not in NOT_COMPARED and str(element.value or ""):
            found[element.keyword] = str(element.value)
    return found


def answers(found: list[Dataset]) -> list[dict[str, str]]:
    return sorted((flat(one) for one in found), key=str)


@pytest.mark.parametrize("number", range(8))
def test_findscu_hears_the_same_of_both_to_the_example_questions(both: Both, tmp_path: Path, number: int) -> None:
    query = both.queries / f"wlistqry{number}.dcm"
    heard = []
    for port in (both.ours, both.theirs):
        folder = tmp_path / str(port)
        folder.mkdir()
        dcmtk.run("findscu", "-W", "-X", "-od", folder, "-aec", AET if port == both.theirs else "VESALIUS",
                  "127.0.0.1", str(port), query)  # fmt: skip
        heard.append(answers([pydicom.dcmread(path, force=True) for path in sorted(folder.glob("rsp*.dcm"))]))
    here, there = heard
    asked = pydicom.dcmread(query)
    if "ScheduledProcedureStepSequence" in asked and not asked.ScheduledProcedureStepSequence[0]:
        assert all(sum(one.items() <= ours.items() for ours in here) == 1 for one in there)
    else:
        assert here == there
    assert len(here) == len(there) == (6, 6, 0, 6, 0, 4, 0, 0)[number]


def titles_of(step: Dataset) -> tuple[str, ...]:
    titles = step.ScheduledStationAETitle
    return (titles,) if isinstance(titles, str) else tuple(titles)


@contextmanager
def asking(port: int, called: str) -> Iterator[Callable[[Dataset], list[Dataset]]]:
    ae = AE("FINDSCU")
    ae.add_requested_context(ModalityWorklistInformationFind)
    assoc = ae.associate("127.0.0.1", port, ae_title=called)
    assert assoc.is_established

    def put(keys: Dataset) -> list[Dataset]:
        got = list(assoc.send_c_find(keys, ModalityWorklistInformationFind))
        assert got[-1][0].Status == 0x0000
        return [found for _, found in got[:-1] if found is not None]

    try:
        yield put
    finally:
        assoc.release()


def test_questions_drawn_by_chance_are_answered_alike(both: Both) -> None:
    chance = random.Random(52868)
    steps = [item.ScheduledProcedureStepSequence[0] for item in both.items]
    days = sorted({str(step.ScheduledProcedureStepStartDate) for step in steps})
    matched = 0
    with asking(both.ours, "VESALIUS") as ours, asking(both.theirs, AET) as theirs:
        for _ in range(NUMBER_OF_QUESTIONS):
            item = chance.choice(both.items)
            step = item.ScheduledProcedureStepSequence[0]
            first, last = sorted(chance.choices(days, k=2))
            inside = {
                "Modality": chance.choice(("", "", str(step.Modality))),
                "ScheduledStationAETitle": chance.choice(("", "", chance.choice(titles_of(step)))),
                "ScheduledProcedureStepStartDate": chance.choice(
                    ("", str(step.ScheduledProcedureStepStartDate), f"{first}-{last}", f"{first}-", f"-{last}")
                ),
                "ScheduledProcedureStepStartTime": "",
            }
            family = str(item.PatientName).split("^")[0]
            keys = {
                "PatientName": chance.choice(("", "", f"{family}*", f"{family[:2]}*", f"*{family[-2:]}*")),
                "PatientID": chance.choice(("", "", "", str(item.PatientID))),
                "AccessionNumber": chance.choice(("", "", "", str(item.AccessionNumber))),
            }
            asked = question(inside, **keys)
            here, there = answers(ours(asked)), answers(theirs(asked))
            assert here == there, (inside, keys)
            matched += len(here)
    assert matched > NUMBER_OF_QUESTIONS / 2, "the questions found something"
