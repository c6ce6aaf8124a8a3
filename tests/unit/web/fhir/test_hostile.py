"""Whatever is asked or sent: an answer that is FHIR, never a fault of ours, and nothing left behind."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.fhir import Client, order, valid
from tests.support.ris import Hospital
from tests.support.web import web

from vesalius.model.orders import Code, Identifier, Order, Patient, RequestedProcedure, ScheduledStep
from vesalius.web.fhir import mapping_order, mapping_patient, mapping_step, mapping_study
from vesalius.web.fhir.edge import TABLE
from vesalius.web.fhir.mapping_order import FullOrder
from vesalius.web.fhir.mapping_step import FullStep
from vesalius.web.fhir.parameters import COMMON, LONGEST

PIECES = (
    *("", " ", ",", "|", "||", "\\", "\\,", "a|b", "|b", "a|", "%", "_", "'", '"', ";--", "\x00", "\x1f", "\ud7ff"),
    *("\U0001f9e0", "é", "山", "1970", "ge1970-01-01", "ne2020", "eq", "2020-02-30", "99999999999999999999", "-1"),
    *("0", "1", "Patient/1", "Patient/", "/", "//1", "http://x/Patient/1", "urn:oid:1.2.3", "urn:oid:", "*", "?"),
    *("urn:vesalius:issuer:%ZZ", "^", "=", "true", "a" * (LONGEST + 1), "x," * 120, "ImagingStudy:patient"),
    *("1.2.3", "CT"),
)
NAMES = sorted(
    {parameter.name for one in TABLE.values() for parameter in (*COMMON, *one.parameters)}
    | {"_count", "_summary", "_total", "_cursor", "_include", "_sort", "_format", "unknown", "", "a b", ":", "_id:x"}
)
MODIFIERS = (
    "",
    "",
    "",
    ":exact",
    ":contains",
    ":not",
    ":identifier",
    ":missing",
    ":Patient",
    ".identifier",
    ".name",
    "::",
)


@pytest.fixture(scope="module")
def fhir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with web(tmp_path_factory.mktemp("hostile")) as made:
        assert made.ctx.ris is not None
        hospital = Hospital(made.ctx.ris)
        hospital.stations()
        hospital.planned("P1")
        yield Client(made)


def test_no_question_is_a_fault_of_ours(fhir: Client) -> None:
    chance = random.Random(4)
    seen = set()
    for _ in range(600):
        kind = chance.choice([*TABLE, "Patient", "ServiceRequest"])
        pairs = [
            f"{quote(chance.choice(NAMES) + chance.choice(MODIFIERS))}="
            f"{quote(''.join(chance.choices(PIECES, k=chance.randint(1, 3))))}"
            for _ in range(chance.randint(1, 3))
        ]
        address = f"/fhir/{kind}?{'&'.join(pairs)}"
        strict = {"Prefer": "handling=strict"} if chance.random() < 0.2 else {}
        answer = fhir.site.ask(address, headers=strict)
        assert answer.status in (200, 400, 406), (answer.status, address, answer.text[:500])
        valid(answer.json())
        seen.add(answer.status)
    assert seen == {200, 400, 406}


WRONG = (
    *(None, "", " ", 0, -1, 1.5, True, [], {}, [None], [[]], {"a": 1}, "x" * 70, "x" * 5000, "a\\b", "\x00", "\ud7ff"),
    *({"coding": None}, {"coding": [None]}, [{"value": 7}], "2027-01-01T00:00:00Z", "0000-00-00", "Patient/1", "#a"),
)


def mutated(chance: random.Random, value: Any) -> Any:
    """The same, with something wrong somewhere."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(sorted(value))
        if chance.random() < 0.2:
            return {name: one for name, one in value.items() if name != key}
        return value | {key: mutated(chance, value[key])}
    if isinstance(value, list) and value and chance.random() < 0.8:
        at = chance.randrange(len(value))
        return [*value[:at], mutated(chance, value[at]), *value[at + 1 :]]
    return chance.choice(WRONG)


def test_no_order_is_a_fault_of_ours_and_what_is_refused_leaves_nothing(fhir: Client) -> None:
    chance = random.Random(7)
    whole = order(
        priority="stat",
        authoredOn="2026-11-24T08:00:00Z",
        occurrenceDateTime="2027-03-01T09:00:00Z",
        performer=[{"identifier": {"system": "urn:vesalius:ae-title", "value": "CT1"}}],
        requester={"display": "Who"},
        reasonCode=[{"coding": [{"system": "http://snomed.info/sct", "code": "1"}], "text": "Fall"}],
        note=[{"text": "x"}],
        bodySite=[{"text": "HEAD"}],
        orderDetail=[{"text": "y"}],
        encounter={"reference": "Encounter/1"},
    )
    ris = fhir.site.ctx.ris
    assert ris is not None
    placed = ris.look(lambda view: view.count(Order, []))
    seen = set()
    for _ in range(400):
        body = whole
        for _ in range(chance.randint(1, 2)):
            body = mutated(chance, body)
        answer = fhir.post_raw("/ServiceRequest", json.dumps(body).encode())
        assert answer.status in (201, 400, 409, 422), (answer.status, body, answer.text[:500])
        valid(answer.json())
        placed += answer.status == 201
        seen.add(answer.status)
    assert ris.look(lambda view: view.count(Order, [])) == placed
    assert seen == {201, 400, 409, 422}


TEXT = st.text(st.characters(blacklist_categories=("Cs",)), max_size=20)
CODES = st.builds(Code, TEXT, TEXT, TEXT, TEXT)
NUMBERS = st.builds(Identifier, TEXT, TEXT, TEXT)
MOMENTS = st.datetimes().map(lambda at: f"{at:%Y%m%d%H%M%S}".rjust(14, "0"))
DATES = st.one_of(TEXT, MOMENTS.map(lambda text: text[:8]), MOMENTS)
PERSONS = st.one_of(TEXT, st.lists(TEXT, max_size=6).map("^".join))
PATIENTS = st.builds(
    Patient, NUMBERS, PERSONS, DATES, st.sampled_from(["", "M", "F", "O"]),
    others=st.lists(NUMBERS, max_size=2).map(tuple), other_names=st.lists(TEXT, max_size=2).map(tuple), address=TEXT,
    telephone=TEXT, merged_into=st.integers(0, 3), ref=st.just(7),
)  # fmt: skip
ORDERS = st.builds(
    Order, st.just(7), placer=NUMBERS, filler=NUMBERS, accession=TEXT, accession_issuer=TEXT, reason=TEXT,
    reason_code=st.one_of(st.none(), CODES), ordering=TEXT, entered_at=DATES, comments=TEXT, ref=st.just(8),
)  # fmt: skip
PROCEDURES = st.builds(
    RequestedProcedure, st.just(8), st.just(7), study_uid=st.sampled_from(["", "1.2.3"]),
    code=st.one_of(st.none(), CODES),     description=TEXT, body_part=TEXT,
)  # fmt: skip
STEPS = st.builds(
    ScheduledStep, st.just(9), st.just(8), st.just(7), number=TEXT, stations=st.lists(TEXT, max_size=2).map(tuple),
    station_name=TEXT, description=TEXT, start=MOMENTS, comments=TEXT,
    minutes=st.integers(0, 90), ref=st.just(9),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(PATIENTS, ORDERS, st.lists(PROCEDURES, min_size=1, max_size=2), STEPS)
def test_whatever_the_records_hold_is_written_as_valid_fhir(
    patient: Patient, placed: Order, procedures: list[RequestedProcedure], step: ScheduledStep
) -> None:
    valid(mapping_patient.patient(patient, changed="2026-11-24T09:00:00.000000Z"))
    valid(mapping_order.service_request(FullOrder(placed, patient, procedures, [step])))
    full = FullStep(step, placed, procedures[0], patient)
    valid(mapping_step.appointment(full))
    valid(mapping_step.task(full))


UIDS = st.sampled_from(["1.2.3", "1.2.840.10008.5.1.4.1.1.2"])


def values(tags: frozenset[int]) -> st.SearchStrategy[dict[int, tuple[str, ...]]]:
    """Of an index, as whatever device wrote them."""
    uid_tags = {mapping_study.STUDY, mapping_study.SERIES, mapping_study.INSTANCE, mapping_study.SOP_CLASS}
    return st.fixed_dictionaries(
        {tag: st.tuples(UIDS if tag in uid_tags else st.one_of(TEXT, DATES, st.just("7"))) for tag in sorted(tags)}
    )


@settings(max_examples=100, deadline=None)
@given(values(mapping_study.OF_STUDY), values(mapping_study.OF_SERIES), values(mapping_study.OF_INSTANCE))
def test_whatever_images_say_is_written_as_a_valid_study(study: Any, series: Any, instance: Any) -> None:
    valid(mapping_study.imaging_study(mapping_study.FullStudy(study, [series], [instance]), "Endpoint/wado-rs"))
    bare = {mapping_study.STUDY: ("1.2.3",)}
    valid(mapping_study.imaging_study(mapping_study.FullStudy(bare, [{mapping_study.SERIES: ("1.2",)}]), "Endpoint/x"))
