"""The HL7 transactions that the integration statement claims, one by one, over MLLP against the real service."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.dcmtk import free_port
from tests.support.fhir import valid
from tests.support.hl7_site import adt, msh, orm
from tests.support.mllp import Destination, Mllp, destination
from tests.support.server import Server, listing, running_server, vesalius

from vesalius.wire.hl7_message import Message

CONFIG = """
[ris]
default_issuer = "H"

[hl7]
listen = true
port = {port}
retry_first = 0.2
retry_longest = 0.5

[[hl7.sources]]
name = "HIS"
application = "HIS"
merges = true

[[hl7.destinations]]
name = "PLACER"
host = "127.0.0.1"
port = {told}
sends = ["orders", "schedule"]
"""
DOE = "4711^^^H^MR||Doe^Jane||19700101|F"


@dataclass
class Site:
    """The department, and who talks to it."""

    server: Server
    his: Mllp
    placer: Destination

    def says(self, text: str) -> Message:
        reply = self.his.ask(text)
        assert reply.value("MSA", 1) == "AA", reply.text()
        return reply

    def rows(self, *words: str) -> list[dict[str, Any]]:
        return listing("ris", *words, data=self.server.data)

    def patient(self, number: str) -> list[dict[str, Any]]:
        return [row for row in self.rows("patients", "list") if row["patient_id"] == number]

    def order(self, placer: str) -> dict[str, Any]:
        """As FHIR tells of it."""
        status, text = self.server.get(f"/fhir/ServiceRequest?identifier={placer}")
        assert status == 200
        (entry,) = valid(json.loads(text))["entry"]
        found: dict[str, Any] = entry["resource"]
        return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("ihe")
    port = free_port()
    with destination() as placer, running_server(folder, config=CONFIG.format(port=port, told=placer.port)) as server:
        for aet in ("CT1", "CT2"):
            vesalius("ris", "stations", "add", aet, "CT", data=server.data)
        vesalius("ris", "procedures", "add", "CTHEAD", "CT of the head", "CT", "--scheme", "L", data=server.data)
        with Mllp(port) as his:
            yield Site(server, his, placer)


def test_rad_1_a_patient_is_registered_and_admitted(site: Site) -> None:
    for number, event in (("R1", "A01"), ("R4", "A04"), ("R5", "A05")):
        site.says(adt(event, f"{number}^^^H^MR||Doe^Jane||19700101|F"))
        (found,) = site.patient(number)
        assert (found["name"], found["birth_date"], found["sex"]) == ("Doe^Jane", "19700101", "F")
    site.says(adt("A11", "R1^^^H^MR||Doe^Jane"))


def test_rad_2_a_placer_orders_and_cancels(site: Site) -> None:
    site.says(adt("A04", DOE))
    site.says(orm("NW", "PL2", pid=DOE, kind="OMG^O19"))
    assert site.order("PL2")["status"] == "active"
    site.says(orm("CA", "PL2", pid=DOE, kind="OMG^O19"))
    assert site.order("PL2")["status"] == "revoked"


def test_rad_3_the_placer_is_told_of_the_state_of_its_order_and_rad_48_of_the_appointment(site: Site) -> None:
    site.says(adt("A04", DOE))
    site.says(orm("NW", "PL3", pid=DOE, orc="SC||1^^^20270301090000"))
    told: dict[str, Message] = {}
    end = time.monotonic() + 60
    while len(told) < 2:
        assert time.monotonic() < end, "the placer was not told"
        time.sleep(0.05)
        for one in list(site.placer.received):
            if (one.type == "ORM" and one.value("ORC", 2) == "PL3") or one.type == "SIU":
                told[one.type] = one
    assert (told["ORM"].value("ORC", 1), told["ORM"].value("ORC", 5)) == ("SC", "SC")
    assert told["SIU"].event == "S12"


def test_rad_4_and_rad_13_a_scheduled_procedure_is_taken_over_and_updated(site: Site) -> None:
    site.says(adt("A04", DOE))
    placed = "IPC|ACC4|RP4|1.2.3.4.5|SPS4|CT|||CT two|CT2\rTQ1|1||||||20270302110000||R"
    site.says(orm("NW", "PL4", pid=DOE, kind="OMI^O23", more=placed))
    order = site.order("PL4")
    assert "ACC4" in [one["value"] for one in order["identifier"]]
    assert order["occurrenceDateTime"].startswith("2027-03-02T11:00:00")
    (step,) = site.rows("worklist", "CT2", "--date", "20270302")
    assert (step["accession"], step["station"], step["time"]) == ("ACC4", "CT2", "110000")
    moved = placed.replace("CT2", "CT1").replace("20270302110000", "20270303120000").replace("CT two", "CT one")
    site.says(orm("XO", "PL4", pid=DOE, kind="OMI^O23", more=moved))
    (step,) = site.rows("worklist", "CT1", "--date", "20270303")
    assert (step["accession"], step["station"], step["time"]) == ("ACC4", "CT1", "120000")
    site.says(orm("CA", "PL4", pid=DOE, kind="OMI^O23"))
    assert site.rows("worklist", "CT1", "--date", "20270303") == []


def test_rad_12_a_patient_is_updated_merged_and_gets_another_number(site: Site) -> None:
    site.says(adt("A04", "U1^^^H^MR||Doe^Jane"))
    site.says(adt("A08", "U1^^^H^MR||Roe^Jane||19800101|F"))
    assert site.patient("U1")[0]["name"] == "Roe^Jane"
    site.says(adt("A04", "U2^^^H^MR||Unknown^Woman"))
    site.says(adt("A40", "U1^^^H^MR||Roe^Jane", "MRG|U2^^^H^MR"))
    assert site.patient("U2") == []
    site.says(adt("A47", "U3^^^H^MR||Roe^Jane", "MRG|U1^^^H^MR"))
    assert [row["name"] for row in site.patient("U3")] == ["Roe^Jane"]


def test_a_merge_that_came_by_hl7_is_found_and_taken_back_from_the_command_line(site: Site) -> None:
    for number in ("M1", "M2"):
        site.says(adt("A04", f"{number}^^^H^MR||Doe^{number}"))
    site.says(orm("NW", "PLM", pid="M2^^^H^MR||Doe^M2"))
    site.says(adt("A40", "M1^^^H^MR||Doe^M1", "MRG|M2^^^H^MR"))
    assert site.order("PLM")["subject"]["display"] == "M1 Doe"
    (merge,) = site.rows("patients", "merges", "M2^H")
    assert (merge["survivor"], merge["gone"], merge["who"], merge["taken_back"]) == ("M1", "M2", "hl7:HIS", "")
    vesalius("ris", "patients", "unmerge", str(merge["merge"]), "--why", "two people", data=site.server.data)
    assert site.order("PLM")["subject"]["display"] == "M2 Doe"
    assert [row["name"] for row in site.patient("M2")] == ["Doe^M2"]
    (merge,) = site.rows("patients", "merges", "M1^H")
    assert merge["taken_back"]
    again = vesalius("ris", "patients", "unmerge", str(merge["merge"]), data=site.server.data, check=False)
    assert again.returncode != 0
    assert "taken back already" in again.stderr


def test_iti_21_a_question_for_candidates_is_answered(site: Site) -> None:
    site.says(adt("A04", "Q1^^^H^MR||Quest^Ann||19900101|F"))
    reply = site.says(msh("QBP^Q22") + "QPD|IHE PDQ Query|T1|@PID.5.1^Quest\rRCP|I|5\r")
    assert (reply.type, reply.event) == ("RSP", "K22")
    assert (reply.value("PID", 5), reply.value("PID", 5, 2)) == ("Quest", "Ann")
