"""Searching and reading by FHIR: the real application over a real database, every answer held against its model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.fhir import Client, issue
from tests.support.ris import RULES, Hospital, by
from tests.support.web import Web, web

from vesalius.model.orders import Identifier, Patient, Priority
from vesalius.model.steps import StepVerb
from vesalius.ris import orders, patients, schedule


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Web]:
    with web(tmp_path) as made:
        yield made


@pytest.fixture
def hospital(site: Web) -> Hospital:
    assert site.ctx.ris is not None
    made = Hospital(site.ctx.ris)
    made.stations()
    return made


@pytest.fixture
def fhir(site: Web) -> Client:
    return Client(site)


# -- patients


def test_a_patient_is_found_by_number_with_and_without_the_system_of_its_issuer(
    hospital: Hospital, fhir: Client
) -> None:
    here = hospital.patient("4711", "Doe^Jane")
    other = hospital.ris.change(
        lambda work: patients.add(work, by(), Patient(Identifier("4711", "1.2.3.4"), "Roe^Ann"), RULES)
    )
    first, second = str(here.ref), str(other.ref)
    assert fhir.ids("/Patient?identifier=4711") == [first, second]
    assert fhir.ids("/Patient?identifier=urn:vesalius:issuer:HOSP|4711") == [first]
    assert fhir.ids("/Patient?identifier=HOSP|4711") == [first], "the plain name of the issuer"
    assert fhir.ids("/Patient?identifier=|4711") == [first], "without an issuer: that of the house"
    assert fhir.ids("/Patient?identifier=urn:oid:1.2.3.4|4711") == [second]
    assert fhir.ids("/Patient?identifier=urn:oid:9.9|4711,nobody") == []
    found = fhir.get(f"/Patient/{first}")
    assert found["identifier"][0]["system"] == "urn:vesalius:issuer:HOSP"
    assert found["identifier"][0]["value"] == "4711"
    assert (found["gender"], found["birthDate"], found["active"]) == ("female", "1970-01-01", True)
    assert found["name"] == [{"use": "official", "family": "Doe", "given": ["Jane"]}]
    assert found["meta"]["lastUpdated"]


def test_names_are_found_by_the_beginning_of_a_part_without_case_and_accents(hospital: Hospital, fhir: Client) -> None:
    names = ("Müller^Anna Maria", "Muller^Bert", "Smith-Müller^Carl", "Yamada^Tarou=山田^太郎=やまだ^たろう")
    anna, bert, carl, taro = (str(hospital.patient(name=name).ref) for name in names)
    assert fhir.ids("/Patient?family=MULLER") == [anna, bert, carl]
    assert fhir.ids("/Patient?name=mul") == [anna, bert, carl]
    assert fhir.ids("/Patient?given=maria") == [anna]
    assert fhir.ids("/Patient?family=anna") == []
    assert fhir.ids("/Patient?family:exact=Müller") == [anna]
    assert fhir.ids("/Patient?family:contains=ller") == [anna, bert, carl]
    assert fhir.ids("/Patient?name=山田,bert") == [bert, taro]
    assert fhir.ids("/Patient?family=mu&given=b") == [bert]
    japanese = fhir.get(f"/Patient/{taro}")["name"]
    assert [one["family"] for one in japanese] == ["Yamada", "山田", "やまだ"]
    assert japanese[1]["extension"][0]["valueCode"] == "IDE"


BORN: dict[str, list[int]] = {
    "birthdate=1970-01-02": [1], "birthdate=1970": [0, 1, 2], "birthdate=1970-01": [0, 1],
    "birthdate=ge1970-01-02&birthdate=lt1971": [1, 2], "birthdate=gt1970-01": [2, 3], "birthdate=le1970-01-01": [0],
    "birthdate=ne1970-01-01": [1, 2, 3], "birthdate=1970-01-01,1971-01-01": [0, 3], "birthdate=lt1970-01-01": [],
    "gender=male": [1], "gender=unknown": [2], "gender=male,other": [1, 3], "gender=female&birthdate=1970": [0],
}  # fmt: skip


def test_birth_dates_and_gender_are_compared_as_asked_and_who_has_none_is_not_found_by_one(
    hospital: Hospital, fhir: Client
) -> None:
    people = [("19700101", "F"), ("19700102", "M"), ("19700301", ""), ("19710101", "O"), ("", "F")]
    refs = [str(hospital.patient(birth_date=day, sex=sex).ref) for day, sex in people]
    for asked, found in BORN.items():
        assert fhir.ids(f"/Patient?{asked}") == [refs[number] for number in found], asked
        assert fhir.total(f"/Patient?{asked}") == len(found), asked


def test_a_merged_record_says_by_which_one_it_was_replaced_and_its_number_finds_that_one(
    hospital: Hospital, fhir: Client
) -> None:
    keep, gone = hospital.patient("A"), hospital.patient("B")
    hospital.order(gone)
    done = hospital.ris.change(lambda work: patients.merge(work, by(), keep.ref, gone.ref, RULES))
    left = fhir.get(f"/Patient/{gone.ref}")
    assert left["active"] is False
    assert left["link"] == [{"other": {"reference": f"Patient/{keep.ref}"}, "type": "replaced-by"}]
    assert fhir.ids("/Patient?identifier=B") == [str(keep.ref)]
    assert fhir.ids("/Patient") == [str(keep.ref)]
    assert fhir.ids("/Patient?active=false") == [str(gone.ref)]
    kept = fhir.get(f"/Patient/{keep.ref}")
    assert {"other": {"reference": f"Patient/{gone.ref}"}, "type": "replaces"} in kept["link"]
    for asked in (f"patient=Patient/{gone.ref}", f"patient={keep.ref}", "patient.identifier=B", "subject.identifier=A"):
        assert fhir.total(f"/ServiceRequest?{asked}") == 1, asked
    hospital.ris.change(lambda work: patients.unmerge(work, by(), done.ref, RULES))
    assert "link" not in fhir.get(f"/Patient/{keep.ref}")
    assert fhir.ids("/Patient?identifier=B") == [str(gone.ref)]


# -- pages


def test_pages_have_a_link_to_the_next_one_until_all_were_given(hospital: Hospital, fhir: Client) -> None:
    refs = [str(hospital.patient(sex="F" if number % 3 else "M").ref) for number in range(23)]
    page = fhir.get("/Patient?_count=10")
    assert page["total"] == 23
    assert len(page["entry"]) == 10
    assert [link["relation"] for link in page["link"]] == ["self", "next"]
    assert page["link"][0]["url"] == "http://archive.test/fhir/Patient?_count=10"
    assert fhir.ids("/Patient?_count=10") == refs
    assert fhir.ids("/Patient?_count=4&gender=female") == [ref for number, ref in enumerate(refs) if number % 3]
    assert fhir.get("/Patient?_count=4&gender=female&_total=accurate")["total"] == 15
    assert "entry" not in fhir.get("/Patient?_count=0")
    assert fhir.total("/Patient?gender=male") == 8
    assert len(fhir.get("/Patient?_count=99999")["entry"]) == 23


def test_a_search_with_few_matches_among_many_rows_ends_its_page_early_and_goes_on(
    hospital: Hospital, fhir: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vesalius.web.fhir.scan.MOST_SCANNED", 10)
    monkeypatch.setattr("vesalius.web.fhir.scan.CHUNK", 5)
    refs = [str(hospital.patient(sex="M" if number == 27 else "F").ref) for number in range(30)]
    first = fhir.get("/Patient?gender=male")
    assert "entry" not in first
    assert first["link"][1]["relation"] == "next"
    assert fhir.ids("/Patient?gender=male") == [refs[27]]


# -- orders


def test_an_order_shows_its_numbers_its_state_and_when_it_is_done(hospital: Hospital, fhir: Client) -> None:
    patient = hospital.patient("P1")
    order, procedure = hospital.order(
        patient, placer=Identifier("PL1", "1.2.3"), priority=Priority.STAT, reason="Fall", ordering="Who^Doctor"
    )
    hospital.step(procedure)
    found = fhir.get(f"/ServiceRequest/{order.ref}")
    kinds = {one["type"]["coding"][0]["code"]: (one.get("system"), one["value"]) for one in found["identifier"]}
    assert kinds["PLAC"] == ("urn:oid:1.2.3", "PL1")
    assert kinds["ACSN"] == (None, order.accession)
    assert kinds["FILL"] == ("urn:vesalius:issuer:VESALIUS", order.filler.value)
    assert (found["status"], found["intent"], found["priority"]) == ("active", "order", "stat")
    assert found["code"]["coding"][0] == {
        "system": "urn:vesalius:scheme:99V", "code": "CTHEAD", "display": "CT head",
    }  # fmt: skip
    assert found["subject"] == {"reference": f"Patient/{patient.ref}", "display": "Jane Doe"}
    assert found["requester"] == {"display": "Doctor Who"}
    assert found["reasonCode"] == [{"text": "Fall"}]
    assert found["occurrenceDateTime"].startswith("2026-11-24T10:00:00")
    assert found["performer"][0]["identifier"] == {"system": "urn:vesalius:ae-title", "value": "CT1"}
    hospital.ris.change(lambda work: orders.cancel(work, by(), order.ref))
    assert fhir.get(f"/ServiceRequest/{order.ref}")["status"] == "revoked"


def test_orders_are_found_by_number_state_patient_priority_code_and_time(hospital: Hospital, fhir: Client) -> None:
    jane, john = hospital.patient("P1"), hospital.patient("P2")
    first, procedure = hospital.order(jane, placer=Identifier("PL1", "RIS"), priority=Priority.STAT)
    second, _ = hospital.order(john, placer=Identifier("PL1", "OTHER"), entered_at="20250301101500")
    hospital.step(procedure)
    hospital.ris.change(lambda work: orders.hold(work, by(), second.ref))
    one, two = str(first.ref), str(second.ref)
    for asked, wanted in {
        "identifier=PL1": [one, two], "identifier=RIS|PL1": [one], "identifier=urn:vesalius:issuer:OTHER|PL1": [two],
        f"identifier={first.accession}": [one], f"identifier={second.filler.value}": [two], "identifier=PL": [],
        "status=active": [one], "status=on-hold": [two], "status=active,on-hold": [one, two],
        "status:not=active": [two],
        f"patient=Patient/{jane.ref}": [one], f"subject={john.ref}": [two], "patient.identifier=HOSP|P2": [two],
        f"patient:Patient={jane.ref}": [one], f"patient=http://archive.test/fhir/Patient/{jane.ref}": [one],
        "patient=Practitioner/1": [], "intent=order": [one, two], "intent=plan": [], "priority=stat": [one],
        "priority=routine,urgent": [two], "code=CTHEAD": [one, two], "code=urn:vesalius:scheme:99V|CTHEAD": [one, two],
        "code=http://loinc.org|CTHEAD": [], "authored=2025-03": [two], "authored=ge2026": [one],
        "occurrence=2026-11-24": [one], "occurrence=gt2027": [], f"_id={one}": [one], f"_id={one},{two},x": [one, two],
        "_lastUpdated=ge2026-11-23": [one, two], "_lastUpdated=lt2026-11-23": [], "status=active&status=on-hold": [],
        "status=": [one, two],
    }.items():  # fmt: skip
        assert fhir.ids(f"/ServiceRequest?{asked}") == wanted, asked
        assert fhir.total(f"/ServiceRequest?{asked}") == len(wanted), asked


def test_what_is_referred_to_can_be_included(hospital: Hospital, fhir: Client) -> None:
    patient, order, _, step = hospital.planned("P1")
    found = fhir.get("/Appointment?_include=Appointment:patient&_include=Appointment:based-on")
    assert [(one["resource"]["resourceType"], one["search"]["mode"]) for one in found["entry"]] == [
        ("Appointment", "match"), ("Patient", "include"), ("ServiceRequest", "include"),
    ]  # fmt: skip
    assert found["entry"][1]["fullUrl"] == f"http://archive.test/fhir/Patient/{patient.ref}"
    everything = fhir.get(f"/Task?_id={step.ref}&_include=*")
    assert {one["resource"]["resourceType"] for one in everything["entry"]} == {"Task", "Patient", "ServiceRequest"}
    assert fhir.get(f"/ServiceRequest?_id={order.ref}&_include=ServiceRequest:patient:Patient")["entry"][1]


# -- steps


def test_an_appointment_and_a_task_follow_the_step(hospital: Hospital, fhir: Client) -> None:
    _, order, procedure, step = hospital.planned("P1")
    walk = [
        (None, "booked", "requested"), (StepVerb.ARRIVE, "arrived", "received"),
        (StepVerb.PREPARE, "checked-in", "ready"),
        (StepVerb.START, "fulfilled", "in-progress"), (StepVerb.COMPLETE, "fulfilled", "completed"),
    ]  # fmt: skip
    for verb, booked, done in walk:
        if verb is not None:
            hospital.ris.change(lambda work, verb=verb: schedule.advance(work, by(), step.ref, verb))  # type: ignore[misc]
        appointment, task = fhir.get(f"/Appointment/{step.ref}"), fhir.get(f"/Task/{step.ref}")
        assert (appointment["status"], task["status"]) == (booked, done)
        assert fhir.ids(f"/Appointment?status={booked}") == fhir.ids(f"/Task?status={done}") == [str(step.ref)]
    assert appointment["basedOn"] == task["basedOn"] == [{"reference": f"ServiceRequest/{order.ref}"}]
    assert appointment["participant"][1]["actor"]["identifier"]["value"] == "CT1"
    assert appointment["minutesDuration"] == 15
    assert task["output"][0]["valueReference"]["identifier"]["value"] == f"urn:oid:{procedure.study_uid}"


def test_a_task_tells_what_the_modality_said_and_what_arrived(hospital: Hospital, fhir: Client) -> None:
    _, _, _, step = hospital.planned("P1")
    hospital.begin("1.2.9", step)
    assert fhir.get(f"/Task/{step.ref}")["status"] == "in-progress"
    hospital.end("1.2.9", images={"1.2.10": ["1.2.10.1", "1.2.10.2"]})
    task = fhir.get(f"/Task/{step.ref}")
    assert task["status"] == "completed"
    assert task["executionPeriod"]["start"].startswith("2026-11-24T10:00:00")
    assert task["output"][1] == {"type": {"text": "images"}, "valueString": "waiting: 0 of 2"}


def test_steps_are_found_by_day_station_patient_and_order(hospital: Hospital, fhir: Client) -> None:
    patient = hospital.patient("P1")
    order, procedure = hospital.order(patient)
    early = hospital.step(procedure, "CT1", "202611240800")
    late = hospital.step(procedure, "MR1", "202611251200")
    one, two = str(early.ref), str(late.ref)
    for asked, wanted in {
        "date=2026-11-24": [one], "date=ge2026-11-24&date=lt2026-11-26": [one, two], "date=gt2026-11-24": [two],
        "date=2026-11-24,2026-11-25": [one, two], "date=2026-11-24T08:00": [one], "date=lt2026-11-24T08:00:00": [],
        f"patient={patient.ref}": [one, two], f"actor=Patient/{patient.ref}": [one, two], "actor:identifier=MR1": [two],
        "actor:identifier=urn:vesalius:ae-title|CT1": [one], f"based-on=ServiceRequest/{order.ref}": [one, two],
        f"based-on.identifier={order.accession}": [one, two], "based-on=999": [], f"identifier={early.number}": [one],
        f"identifier=urn:vesalius:scheduled-step|{late.number}": [two], "identifier=urn:other|SPS1": [],
    }.items():  # fmt: skip
        assert fhir.ids(f"/Appointment?{asked}") == wanted, asked
    for asked, wanted in {
        f"focus={order.ref}": [one, two], "owner:identifier=CT1": [one], "patient.identifier=P1": [one, two],
        f"based-on={order.ref}&period=2026-11-25": [two],
    }.items():  # fmt: skip
        assert fhir.ids(f"/Task?{asked}") == wanted, asked


# -- what is wrong with a question


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server with nobody in it, for questions that change nothing."""
    with web(tmp_path_factory.mktemp("bare")) as made:
        yield Client(made)


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("/Patient/999", {}, 404, "not-found"),
        ("/Patient/0", {}, 404, "not-found"),
        ("/Patient/%E0%A4%A1", {}, 404, "not-found"),
        ("/ServiceRequest/x", {}, 404, "not-found"),
        ("/Appointment/99999999999999999999999999", {}, 404, "not-found"),
        ("/ImagingStudy/1.2.3", {}, 404, "not-found"),
        ("/Endpoint/none", {}, 404, "not-found"),
        ("/Observation", {}, 404, "not-found"),
        ("/", {}, 404, "not-found"),
        ("/Patient?birthdate=yesterday", {}, 400, "invalid"),
        ("/Patient?birthdate=ap2020", {}, 400, "invalid"),
        ("/Patient?birthdate=2020-02-31", {}, 400, "invalid"),
        ("/Patient?birthdate=0000", {}, 400, "invalid"),
        ("/Patient?birthdate=9999-12-31T23:59:59%2B14:00", {}, 400, "invalid"),
        ("/Patient?gender=none", {}, 400, "invalid"),
        ("/Patient?identifier=a|b|c", {}, 400, "invalid"),
        ("/Patient?identifier=|", {}, 400, "invalid"),
        ("/Patient?name:missing=true", {}, 400, "invalid"),
        ("/Patient?_count=many", {}, 400, "invalid"),
        ("/Patient?_count=-1", {}, 400, "invalid"),
        ("/Patient?_cursor=abc", {}, 400, "invalid"),
        ("/ImagingStudy?_cursor=-5", {}, 400, "invalid"),
        ("/Patient?_summary=all", {}, 400, "invalid"),
        ("/Patient?_count=1&_count=2", {}, 400, "invalid"),
        (f"/Patient?name={'x' * 3000}", {}, 400, "invalid"),
        (f"/Patient?name={','.join('abcdefghijk' * 20)}", {}, 400, "invalid"),
        ("/Patient?" + "&".join(f"name=a{number}" for number in range(101)), {}, 400, "invalid"),
        ("/Patient?eyecolour=blue", {"Prefer": "handling=strict"}, 400, "not-supported"),
        ("/Patient?_sort=name", {"Prefer": 'respond-async, handling="strict"'}, 400, "not-supported"),
        ("/Patient?_include=Patient:organization", {"Prefer": "handling=strict"}, 400, "not-supported"),
        ("/Patient?_format=xml", {}, 406, "not-supported"),
        ("/Patient", {"Accept": "application/fhir+xml"}, 406, "not-supported"),
        ("/Patient", {"Accept": "application/fhir+json; fhirVersion=5.0"}, 406, "not-supported"),
        ("/Patient", {"Accept": "nonsense"}, 400, "invalid"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_as_an_operation_outcome(
    bare: Client, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    assert issue(bare.get(path, status, **headers)) == ("error", code)


def test_what_is_not_understood_is_left_out_of_the_search_and_told_unless_the_client_is_strict(
    hospital: Hospital, fhir: Client
) -> None:
    ref = str(hospital.patient().ref)
    found = fhir.get("/Patient?eyecolour=blue&gender=female&_sort=name")
    assert [one["search"]["mode"] for one in found["entry"]] == ["match", "outcome"]
    assert found["entry"][0]["resource"]["id"] == ref
    assert "eyecolour, _sort" in found["entry"][1]["resource"]["issue"][0]["details"]["text"]
    assert found["link"][0]["url"] == "http://archive.test/fhir/Patient?gender=female"


def test_a_method_that_an_address_does_not_have_is_told_with_those_that_it_has(bare: Client) -> None:
    for path, allowed in (
        ("/Patient/1", "GET, HEAD"), ("/Patient", "GET, HEAD"), ("/ServiceRequest", "GET, HEAD, POST"),
        ("/Patient/_search", "GET, HEAD, POST"), ("/metadata", "GET, HEAD"),
    ):  # fmt: skip
        answer = bare.site.ask(f"/fhir{path}", "DELETE")
        assert answer.status == 405, path
        assert issue(answer.json()) == ("error", "not-supported")
        assert answer.headers["allow"] == allowed


def test_a_search_may_be_posted_as_a_form(hospital: Hospital, site: Web, fhir: Client) -> None:
    ref = str(hospital.patient("P 1").ref)
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = site.ask("/fhir/Patient/_search?gender=female", "POST", form, b"identifier=P+1&_count=5")
    assert [one["resource"]["id"] for one in answer.json()["entry"]] == [ref]
    assert site.ask("/fhir/Patient/_search", "POST", form, b"name=%FF").status == 400
    assert site.ask("/fhir/Patient/_search", "POST", {"content-type": "text/plain"}, b"name=a").status == 415


def test_what_has_not_changed_is_not_sent_again(hospital: Hospital, site: Web) -> None:
    ref = hospital.patient().ref
    first = site.ask(f"/fhir/Patient/{ref}")
    assert first.headers["etag"].startswith('W/"')
    assert site.ask(f"/fhir/Patient/{ref}", headers={"If-None-Match": first.headers["etag"]}).status == 304
    hospital.ris.change(lambda work: patients.update(work, by(), ref, RULES, sex="M"))
    assert site.ask(f"/fhir/Patient/{ref}", headers={"If-None-Match": first.headers["etag"]}).status == 200


def test_json_is_given_under_each_of_its_names(bare: Client) -> None:
    for asked, headers, given in (
        ("", {}, "application/fhir+json"), ("?_format=json", {"Accept": "text/html"}, "application/fhir+json"),
        ("?_format=application/fhir%2Bjson", {}, "application/fhir+json"),
        ("?_format=application/fhir+json", {}, "application/fhir+json"),
        ("", {"Accept": "application/json"}, "application/json"),
        ("", {"Accept": "application/fhir+json;fhirVersion=4.0, */*;q=0.1"}, "application/fhir+json"),
    ):  # fmt: skip
        answer = bare.site.ask(f"/fhir/metadata{asked}", headers=headers)
        assert (answer.status, answer.headers["content-type"]) == (200, given)


def test_the_capability_statement_names_what_is_served_and_everything_that_it_names_is_served(bare: Client) -> None:
    told = bare.get("/metadata")
    assert told["fhirVersion"] == "4.0.1"
    served = {one["type"]: one for one in told["rest"][0]["resource"]}
    assert set(served) == {"Patient", "ServiceRequest", "Appointment", "ImagingStudy", "Endpoint", "Task"}
    values = {"date": "2020-01-01", "reference": "1", "token": "a", "string": "a"}
    for kind, one in served.items():
        for parameter in one["searchParam"]:
            value = {"gender": "male", "active": "true"}.get(parameter["name"], values[parameter["type"]])
            bare.get(f"/{kind}?{parameter['name']}={value}", Prefer="handling=strict")
        for name in one.get("searchInclude", ()):
            bare.get(f"/{kind}?_include={name}", Prefer="handling=strict")
    assert [one["type"] for one in told["rest"][0]["resource"] if {"code": "create"} in one["interaction"]] == [
        "ServiceRequest"
    ]


def test_the_endpoints_are_the_dicomweb_services_of_this_server(bare: Client) -> None:
    assert bare.ids("/Endpoint") == ["wado-rs", "qido-rs", "stow-rs"]
    assert bare.ids("/Endpoint?connection-type=dicom-wado-rs&status=active") == ["wado-rs"]
    assert bare.ids("/Endpoint?status=off") == []
    assert bare.get("/Endpoint/wado-rs")["address"] == "http://archive.test/dicom-web"
