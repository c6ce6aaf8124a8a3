"""Orders placed by FHIR: what is kept, what is planned, what is refused and how; each answer held against its model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.fhir import FHIR, Client, got, issue, order
from tests.support.ris import RULES, Hospital, by
from tests.support.web import Web, web

from vesalius.model.orders import Code, Identifier, Order, Patient, Procedure, RequestedProcedure, ScheduledStep
from vesalius.ris import catalogue, patients, schedule

AE = "urn:vesalius:ae-title"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("create")) as made:
        assert made.ctx.ris is not None
        hospital = Hospital(made.ctx.ris)
        hospital.stations()
        hospital.patient("P1")
        yield made


@pytest.fixture
def hospital(site: Web) -> Hospital:
    assert site.ctx.ris is not None
    return Hospital(site.ctx.ris)


@pytest.fixture
def fhir(site: Web) -> Client:
    return Client(site)


@pytest.fixture
def count(hospital: Hospital) -> Iterator[Any]:
    """How many orders there are."""
    yield lambda: hospital.ris.look(lambda view: view.count(Order, []))


def numbered(value: str, **changes: Any) -> Any:
    return order(identifier=[{"system": "urn:oid:1.2.3.4", "value": value}], **changes)


def test_an_order_is_placed_with_everything_that_it_says(hospital: Hospital, fhir: Client, site: Web) -> None:
    sent = numbered(
        "FULL",
        priority="urgent",
        requester={"display": "Dr. Who"},
        reasonCode=[{"text": "Fall from a ladder"}],
        note=[{"text": "allergic to contrast"}],
        authoredOn="2026-11-24T08:30:00Z",
        bodySite=[{"text": "head"}],
        subject={"reference": "Patient/1"},
    )
    sent["identifier"].append({"type": {"coding": [{"code": "ACSN"}]}, "value": "ACC4711"})
    answer = fhir.post_raw("/ServiceRequest", json.dumps(sent).encode())
    made = got(answer, 201)
    assert answer.headers["location"] == f"http://archive.test/fhir/ServiceRequest/{made['id']}"
    assert fhir.get(f"/ServiceRequest/{made['id']}") == made
    assert (made["priority"], made["status"]) == ("urgent", "active")
    assert made["reasonCode"] == [{"text": "Fall from a ladder"}]
    assert made["note"] == [{"text": "allergic to contrast"}]
    assert {one["type"]["coding"][0]["code"]: one["value"] for one in made["identifier"]} == {
        "PLAC": "FULL", "FILL": made["identifier"][1]["value"], "ACSN": "ACC4711",
    }  # fmt: skip
    kept = hospital.ris.look(lambda view: view.get(Order, int(made["id"])))
    assert (kept.placer, kept.accession) == (Identifier("FULL", "1.2.3.4"), "ACC4711")
    assert kept.entered_at == "2026-11-24T08:30:00.000000Z"
    (procedure,) = hospital.ris.look(lambda view: view.find(RequestedProcedure, order_ref=kept.ref))
    assert procedure.code == Code("CTHEAD", "99V", "CT of the head")
    assert (procedure.description, procedure.body_part) == ("CT head", "HEAD")
    (event,) = [
        one for one in hospital.ris.look(lambda view: view.history(order=kept.ref)) if one.kind == "order-placed"
    ]
    assert (event.who, event.why) == ("fhir", "ordered by FHIR")


def test_a_code_that_the_catalogue_does_not_know_is_an_order_all_the_same(fhir: Client) -> None:
    made = fhir.post("/ServiceRequest", numbered("TEXT", code={"text": "Whatever helps"}))
    assert made["code"] == {"text": "Whatever helps"}
    sct = {"coding": [{"system": "http://snomed.info/sct", "code": "241541005", "display": "MRI of the foot"}]}
    made = fhir.post("/ServiceRequest", numbered("SCT", code=sct))
    assert made["code"]["coding"] == sct["coding"]


def test_an_order_with_a_time_is_planned_on_the_station_that_it_names_or_on_one_that_is_free(
    hospital: Hospital, fhir: Client
) -> None:
    station = [{"identifier": {"system": AE, "value": "CT1"}}]
    when = {"occurrenceDateTime": "2027-03-01T09:00:00"}
    named = fhir.post("/ServiceRequest", numbered("T1", performer=station, **when))
    assert named["performer"][0]["identifier"]["value"] == "CT1"
    assert named["occurrenceDateTime"].startswith("2027-03-01T09:00:00")
    (appointment,) = fhir.get(f"/Appointment?based-on={named['id']}")["entry"]
    assert appointment["resource"]["minutesDuration"] == 20, "as the catalogue says"
    taken = fhir.post("/ServiceRequest", numbered("T2", performer=station, **when), 409)
    assert issue(taken) == ("error", "conflict")
    assert fhir.ids("/ServiceRequest?identifier=T2") == [], "an order that could not be planned was not placed"
    free = fhir.post("/ServiceRequest", numbered("T3", **when))
    assert "performer" not in free, "the only station for it is taken: a person plans it"
    steps = hospital.ris.look(lambda view: view.find(ScheduledStep, order_ref=int(free["id"])))
    assert [(step.stations, step.modality) for step in steps] == [((), "CT")]
    later = fhir.post("/ServiceRequest", numbered("T4", occurrencePeriod={"start": "2027-03-01T10:00:00"}))
    assert later["performer"][0]["identifier"]["value"] == "CT1"
    unknown = fhir.post("/ServiceRequest", numbered("T5", code={"text": "x"}, **when))
    assert "occurrenceDateTime" not in unknown, "nobody knows on which machine"


def test_a_time_with_a_zone_is_brought_to_the_clocks_of_the_house(hospital: Hospital, fhir: Client) -> None:
    from datetime import datetime

    made = fhir.post("/ServiceRequest", numbered("ZONE", occurrenceDateTime="2027-04-01T09:00:00+09:00"))
    sent = datetime.fromisoformat("2027-04-01T09:00:00+09:00")
    assert datetime.fromisoformat(made["occurrenceDateTime"]) == sent


def test_the_same_order_sent_twice_is_one_order(fhir: Client, count: Any) -> None:
    fhir.post("/ServiceRequest", numbered("TWICE"))
    before = count()
    again = fhir.post("/ServiceRequest", numbered("TWICE"), 409)
    assert issue(again) == ("error", "duplicate")
    assert count() == before


def test_if_none_exist_answers_the_order_that_is_there_already(fhir: Client, count: Any) -> None:
    condition = {"If_None_Exist": "identifier=urn:oid:1.2.3.4|ONCE"}
    first = fhir.post("/ServiceRequest", numbered("ONCE"), 201, **condition)
    before = count()
    assert fhir.post("/ServiceRequest", numbered("ONCE"), 200, **condition) == first
    many = fhir.post("/ServiceRequest", numbered("NEW"), 412, If_None_Exist="patient=Patient/1")
    assert issue(many) == ("error", "multiple-matches")
    for bad in ("colour=blue", "", "_count=1"):
        assert issue(fhir.post("/ServiceRequest", numbered("NEW"), 400, If_None_Exist=bad))[0] == "error"
    assert count() == before


def test_the_client_says_what_it_wants_to_hear(fhir: Client) -> None:
    minimal = fhir.post_raw("/ServiceRequest", json.dumps(numbered("MIN")).encode(), Prefer="return=minimal")
    assert (minimal.status, minimal.body) == (201, b"")
    assert minimal.headers["location"].rpartition("/")[0].endswith("/fhir/ServiceRequest")
    told = fhir.post("/ServiceRequest", numbered("OO"), 201, Prefer="return=OperationOutcome")
    assert issue(told) == ("information", "informational")


def test_an_order_for_a_merged_patient_is_one_for_the_record_that_took_its_place(
    hospital: Hospital, fhir: Client
) -> None:
    keep, gone = hospital.patient("KEEP"), hospital.patient("GONE")
    hospital.ris.change(lambda work: patients.merge(work, by(), keep.ref, gone.ref, RULES))
    for subject in ({"reference": f"Patient/{gone.ref}"}, {"identifier": {"value": "GONE"}}):
        made = fhir.post("/ServiceRequest", order(identifier=None, subject=subject))
        assert made["subject"]["reference"] == f"Patient/{keep.ref}"


WHO = {"reference": "Patient/1"}


@pytest.mark.parametrize(
    ("changes", "status", "where"),
    [
        ({"resourceType": "Patient"}, 400, "resourceType"),
        ({"colour": "blue"}, 400, "ServiceRequest"),
        ({"status": None}, 400, "ServiceRequest.status"),
        ({"status": "done"}, 400, "ServiceRequest.status"),
        ({"status": "draft"}, 422, "ServiceRequest.status"),
        ({"intent": None}, 400, "ServiceRequest.intent"),
        ({"intent": "plan"}, 422, "ServiceRequest.intent"),
        ({"doNotPerform": True}, 422, "ServiceRequest.doNotPerform"),
        (
            {"modifierExtension": [{"url": "http://x.example/y", "valueBoolean": True}]},
            422,
            "ServiceRequest.modifierExtension",
        ),
        ({"implicitRules": "http://x.example"}, 422, "ServiceRequest.implicitRules"),
        ({"replaces": [WHO]}, 422, "ServiceRequest.replaces"),
        ({"subject": None}, 400, "ServiceRequest.subject"),
        ({"subject": []}, 400, "subject"),
        ({"subject": {"reference": "Patient/99"}}, 422, "ServiceRequest.subject.reference"),
        ({"subject": {"reference": "Group/1"}}, 422, "ServiceRequest.subject.reference"),
        (
            {"subject": {"reference": "http://elsewhere.example/fhir/Patient/1"}},
            422,
            "ServiceRequest.subject.reference",
        ),
        ({"subject": {"reference": "#p"}}, 422, "ServiceRequest.subject"),
        ({"subject": {"identifier": {"value": "NOBODY"}}}, 422, "ServiceRequest.subject.identifier"),
        ({"subject": {"reference": 1}}, 400, "ServiceRequest.subject.reference"),
        ({"code": None}, 422, "ServiceRequest.code"),
        ({"code": {"coding": ["x"]}}, 400, "coding"),
        ({"code": {"text": "x\u0000y"}}, 422, "ServiceRequest.code.text"),
        ({"code": {"text": "x" * 2000}}, 422, "ServiceRequest.code.text"),
        ({"priority": "now"}, 400, "ServiceRequest.priority"),
        ({"priority": ["stat"]}, 400, "ServiceRequest.priority"),
        ({"identifier": [{"value": "A"}, {"value": "B"}]}, 422, "ServiceRequest.identifier"),
        ({"identifier": [{"system": "urn:x"}]}, 400, "ServiceRequest.identifier.value"),
        ({"identifier": [{"type": {"coding": [{"code": "FILL"}]}, "value": "A"}]}, 422, "ServiceRequest.identifier"),
        (
            {"identifier": [{"type": {"coding": [{"code": "ACSN"}]}, "value": "A" * 17}]},
            422,
            "ServiceRequest.identifier",
        ),
        ({"authoredOn": "yesterday"}, 400, "ServiceRequest.authoredOn"),
        ({"occurrenceDateTime": "2027-03-01"}, 422, "ServiceRequest.occurrenceDateTime"),
        ({"occurrenceDateTime": "2027-13-01T09:00:00Z"}, 400, "ServiceRequest.occurrenceDateTime"),
        ({"occurrenceTiming": {"code": {"text": "daily"}}}, 422, "ServiceRequest.occurrenceTiming"),
        (
            {
                "occurrenceDateTime": "2027-03-09T09:00:00Z",
                "performer": [{"identifier": {"system": AE, "value": "XX9"}}],
            },
            422,
            "ServiceRequest.performer",
        ),
        ({"requester": {"display": "a\\b"}}, 422, "ServiceRequest.requester.display"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_the_element_and_leaves_nothing(
    fhir: Client, count: Any, changes: dict[str, Any], status: int, where: str
) -> None:
    before = count()
    told = fhir.post("/ServiceRequest", order(**{"identifier": None} | changes), status)
    assert told["issue"][0]["expression"] == [where]
    assert count() == before


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", FHIR, 400), (b"{", FHIR, 400), (b"[]", FHIR, 400), (b"null", FHIR, 400), (b"\xff\xfe", FHIR, 400),
        (b'{"resourceType": "\\ud800"}', FHIR, 400), (b"[" * 100_000, FHIR, 400),
        (b'{"resourceType": "ServiceRequest", "x": ' + b'{"a":' * 50_000, FHIR, 400), (b"{}", "", 415),
        (b"{}", "application/fhir+xml", 415), (b"{}", "application/json; charset=utf-16", 415),
        (b" " * (1 << 20) + b"{}", FHIR, 413),
    ],
)  # fmt: skip
def test_a_body_that_is_none_is_refused(site: Web, count: Any, body: bytes, kind: str, status: int) -> None:
    before = count()
    answer = site.ask("/fhir/ServiceRequest", "POST", {"content-type": kind}, body)
    assert issue(got(answer, status))[0] == "error"
    assert count() == before


def test_a_page_of_another_origin_places_no_order(site: Web, count: Any) -> None:
    before = count()
    headers = {"content-type": FHIR, "origin": "http://evil.example"}
    assert site.ask("/fhir/ServiceRequest", "POST", headers, json.dumps(numbered("EVIL")).encode()).status == 403
    assert count() == before


def test_without_a_system_two_patients_of_one_number_are_not_taken_for_each_other(
    hospital: Hospital, fhir: Client
) -> None:
    for issuer in ("A", "B"):
        hospital.ris.change(
            lambda work, issuer=issuer: patients.add(work, by(), Patient(Identifier("SAME", issuer), "X"), RULES)
        )  # type: ignore[misc]
    told = fhir.post("/ServiceRequest", numbered("SAME", subject={"identifier": {"value": "SAME"}}), 422)
    assert issue(told) == ("error", "multiple-matches")
    fhir.post("/ServiceRequest", numbered("SAME", subject={"identifier": {"system": "B", "value": "SAME"}}))


def test_a_station_that_is_closed_is_not_booked(hospital: Hospital, fhir: Client) -> None:
    from vesalius.model.orders import Station

    def closed(work: Any) -> None:
        catalogue.save_station(work, by(), Station("US2", "", "US", hours=catalogue.hours("12345 0700-1800")))
        catalogue.save_procedure(work, by(), Procedure(Code("US", "99V"), "Ultrasound", "US", 10))
        schedule.find_station(work, "US2")

    hospital.ris.change(closed)
    sent = numbered("NIGHT", occurrenceDateTime="2027-03-01T03:00:00", code={"coding": [{"code": "US"}]})
    station = [{"identifier": {"system": AE, "value": "US2"}}]
    assert issue(fhir.post("/ServiceRequest", sent | {"performer": station}, 409)) == ("error", "conflict")
