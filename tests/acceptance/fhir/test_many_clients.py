"""The same order sent at once by many clients, to two web processes over PostgreSQL: one order, and all hear of it."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.fhir import FHIR, order, valid
from tests.support.postgres import PostgresServer
from tests.support.server import Server, running_server, vesalius

CLIENTS = 8


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("fhir-postgres")
    config = f'database = "{postgres.create("fhir")}"\n[server]\nweb_workers = 2\n[ris]\ndefault_issuer = "HOSP"\n'
    with running_server(folder, config=config, config_file=folder / "data/vesalius.toml") as running:
        vesalius("ris", "stations", "add", "CT1", "CT", data=running.data)
        vesalius("ris", "procedures", "add", "CTHEAD", "CT of the head", "CT", "--scheme", "99V", data=running.data)
        vesalius("ris", "patients", "add", "P1", "Doe^Jane", data=running.data)
        yield running


def post(server: Server, condition: str = "", **changes: object) -> tuple[int, str]:
    """Status, and the id of the order that is told of."""
    headers = {"Content-Type": FHIR, **({"If-None-Exist": condition} if condition else {})}
    body = json.dumps(order(**changes)).encode()
    request = urllib.request.Request(f"{server.url}/fhir/ServiceRequest", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, valid(json.loads(answer.read()))["id"]
    except urllib.error.HTTPError as error:
        valid(json.loads(error.read()))
        return error.code, ""


def at_once(server: Server, *calls: dict[str, object]) -> list[tuple[int, str]]:
    gate = threading.Barrier(len(calls))

    def send(call: dict[str, object]) -> tuple[int, str]:
        gate.wait(60)
        return post(server, **call)  # type: ignore[arg-type]

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(send, calls))


def total(server: Server, query: str) -> int:
    status, text = server.get(f"/fhir/ServiceRequest?{query}&_summary=count")
    assert status == 200
    return int(json.loads(text)["total"])


def test_the_same_order_at_once_is_placed_once_and_all_get_it(server: Server) -> None:
    found = at_once(server, *[{"condition": "identifier=urn:oid:1.2.3.4|PL-1"}] * CLIENTS)
    assert Counter(status for status, _ in found) == {201: 1, 200: CLIENTS - 1}
    assert len({number for _, number in found}) == 1
    assert total(server, "identifier=urn:oid:1.2.3.4|PL-1") == 1


def test_without_a_condition_one_is_placed_and_the_others_are_told_that_it_is_there(server: Server) -> None:
    number = [{"system": "urn:oid:1.2.3.4", "value": "PL-2"}]
    found = at_once(server, *[{"identifier": number}] * CLIENTS)
    assert Counter(status for status, _ in found) == {201: 1, 409: CLIENTS - 1}
    assert total(server, "identifier=PL-2") == 1


def test_one_time_on_one_station_goes_to_one_of_those_who_want_it(server: Server) -> None:
    station = [{"identifier": {"system": "urn:vesalius:ae-title", "value": "CT1"}}]
    calls = [
        {
            "identifier": [{"system": "urn:oid:1.2.3.4", "value": f"SLOT-{client}"}],
            "performer": station,
            "occurrenceDateTime": "2027-05-01T09:00:00",
        }
        for client in range(CLIENTS)
    ]
    found = at_once(server, *calls)
    assert Counter(status for status, _ in found) == {201: 1, 409: CLIENTS - 1}
    status, text = server.get("/fhir/Appointment?date=2027-05-01&actor:identifier=CT1")
    assert status == 200
    (entry,) = valid(json.loads(text))["entry"]
    assert entry["resource"]["status"] == "booked"


def test_searches_of_every_resource_work_on_this_database_too(server: Server) -> None:
    for query in (
        "Patient?name=doe&birthdate=ne2020&gender=unknown", "Patient?identifier=P1&_lastUpdated=ge2020",
        "ServiceRequest?identifier=PL&code=CTHEAD&authored=ge2020", "ServiceRequest?patient.identifier=HOSP|P1",
        "Appointment?status:not=cancelled&date=ge2027", "Task?_lastUpdated=lt2100&status=requested",
        "ImagingStudy?patient.identifier=P1&started=ge2020&modality=CT", "Endpoint", "Patient?name=%25_%27",
    ):  # fmt: skip
        status, text = server.get(f"/fhir/{query}&_total=accurate" if "?" in query else f"/fhir/{query}")
        assert status == 200, text
        valid(json.loads(text))
