"""From the worklist to the images, as a scanner goes about it: pynetdicom, DCMTK and the command line at a service."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage
from tests.support import dcmtk
from tests.support.generate import ct, part10, uid
from tests.support.mpps import Scanner, begun, ended, question, until
from tests.support.ris import Hospital
from tests.support.server import Server, listing, start_again, start_server, vesalius

from vesalius.backends.database import open_database
from vesalius.backends.ris_sql import SqlRis
from vesalius.model.orders import Images, PerformedStep

CONFIG = """
[ris]
images_grace = 1
[[peers]]
name = "CT1"
host = "127.0.0.1"
port = 104
aet = "CT1"
allow = ["worklist", "store"]
[[peers]]
name = "US1"
host = "127.0.0.1"
port = 104
aet = "US1"
allow = ["worklist"]
[[peers]]
name = "PACS"
host = "127.0.0.1"
port = 104
aet = "PACS"
allow = ["query", "store"]
"""


@dataclass
class Site:
    """A service with one order that is planned, and a second system that asks it."""

    server: Server
    scanner: Scanner
    other: Path  # configuration of the second system
    hospital: Hospital

    def step(self, uid: str) -> PerformedStep:
        found = self.hospital.ris.look(lambda view: view.first(PerformedStep, uid=uid))
        assert found is not None
        return found

    def ris(self, *words: str) -> list[dict[str, Any]]:
        return listing("ris", *words, data=self.server.data)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("scanner")
    server = start_server(folder / "data", config=CONFIG)
    site = None
    database = open_database(f"sqlite:///{server.data}/index.db")
    try:
        hospital = Hospital(SqlRis(database))
        hospital.stations()
        _, procedure = hospital.order(hospital.patient("4711", name="Müller^Jörg", sex="M"))
        hospital.step(procedure, "CT1", "202701040900")
        other = folder / "other.toml"
        other.write_text(
            f'[server]\nae_title = "CT1"\n[[peers]]\nname = "RIS"\nhost = "127.0.0.1"\nport = {server.dimse_port}\n'
            'aet = "VESALIUS"\nallow = []\n'
        )
        site = Site(server, Scanner(server.dimse_port), other, hospital)
        yield site
    finally:
        database.close()
        (site.server if site is not None else server).stop()


def test_findscu_and_the_command_line_see_what_is_planned(site: Site, tmp_path: Path) -> None:
    keys = ["-k", "PatientName", "-k", "ScheduledProcedureStepSequence[0].ScheduledStationAETitle=CT1"]
    keys += ["-k", "ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartDate=20270101-20270131"]
    port = str(site.server.dimse_port)
    heard = dcmtk.run("findscu", "-W", "-aet", "CT1", "-aec", "VESALIUS", *keys, "127.0.0.1", port)
    assert heard.stdout.count("20270104") == 1, heard.stdout
    asked = vesalius(
        "worklist", "--peer", "RIS", "--station", "CT1", "PatientName=müll*", "--json", "--config", site.other,
        data=tmp_path / "other",
    )  # fmt: skip
    (answer,) = map(json.loads, asked.stdout.splitlines())
    assert (answer["PatientName"], answer["PatientID"]) == ("Müller^Jörg", "4711")
    assert answer["ScheduledProcedureStepSequence"][0]["ScheduledProcedureStepStartDate"] == "20270104"


def test_t22_another_department_and_one_without_the_right_see_nothing(site: Site, tmp_path: Path) -> None:
    assert Scanner(site.server.dimse_port, "US1").ask(question()) == []
    for title, code in (("US1", 4), ("PACS", 3)):
        asked = vesalius(
            "worklist", "--peer", "RIS", "--as", title, "--config", site.other, data=tmp_path / "other", check=False
        )
        assert asked.returncode == code, asked.stderr
    assert "0124" in asked.stderr


def test_a_series_of_which_one_image_is_lost_raises_an_alert(site: Site) -> None:
    step = uid("step", "day")
    (item,) = site.scanner.ask(question())
    assert site.scanner.begin(step, begun(item)) == 0
    assert site.scanner.ask(question()) == [], "it is at the scanner now"
    images = [
        ct("day", 1, n, patient_id="4711", StudyInstanceUID=item.StudyInstanceUID, AccessionNumber=item.AccessionNumber)
        for n in (1, 2, 3)
    ]
    _store(site, images[:2])
    assert site.scanner.set(step, ended(images=tuple(str(ds.SOPInstanceUID) for ds in images))) == 0
    assert site.scanner.set(step, ended()) == 0x0110, "a final state is final"
    until(lambda: site.step(step).arrived == 2, "two of three are counted")
    # What is overdue is looked for at the start, and every minute.
    site.server.stop()
    site.server = start_again(site.server)
    until(lambda: site.step(step).images is Images.MISSING, "the alert")
    assert [row["uid"] for row in site.ris("performed", "--images", "missing")] == [step]
    (event,) = [row for row in site.ris("events") if row["kind"] == "images-missing"]
    assert (event["detail"]["images"], event["detail"]["expected"]) == ("2", "3")
    (shown,) = site.ris("performed", step)
    assert shown["missing"] == [str(images[2].SOPInstanceUID)]
    assert shown["attributes"]["PerformedProcedureStepStatus"] == "COMPLETED"
    until(lambda: 'vesalius_performed_steps{images="missing"} 1' in site.server.get("/metrics")[1], "the metric")
    assert "images-missing" in site.server.log_text()
    # It turns up after all.
    _store(site, images[2:])
    until(lambda: site.step(step).images is Images.COMPLETE, "all images are here")
    status, known = Scanner(site.server.dimse_port).get(step)
    assert (status, known.PerformedProcedureStepStatus, str(known.PatientName)) == (0, "COMPLETED", "Müller^Jörg")


def test_a_step_whose_scanner_is_gone_is_ended_by_a_person(site: Site) -> None:
    step = uid("step", "gone")
    assert site.scanner.begin(step) == 0
    vesalius("ris", "discontinue", step, "--why", "the scanner was replaced", data=site.server.data)
    assert site.step(step).state == "DISCONTINUED"
    assert site.step(step).ended
    assert site.scanner.set(step, ended()) == 0x0110, "a modality that comes back late is told (F.7.2.2.3, note 2)"
    assert vesalius("ris", "discontinue", step, "--why", "again", data=site.server.data, check=False).returncode


def _store(site: Site, images: list[pydicom.Dataset]) -> None:
    ae = AE("CT1")
    ae.add_requested_context(CTImageStorage, "1.2.840.10008.1.2.1")
    assoc = ae.associate("127.0.0.1", site.server.dimse_port, ae_title="VESALIUS")
    assert assoc.is_established
    for ds in images:
        assert assoc.send_c_store(pydicom.dcmread(io.BytesIO(part10(ds)))).Status == 0
    assoc.release()
