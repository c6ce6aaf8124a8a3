"""The schedule, order entry and the arrivals desk: what they show, what they take, and what they refuse and how."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.support.generate import ct
from tests.support.ris import Hospital, by
from tests.support.web import Answer, Web, ask, web

from vesalius.model.orders import Code, Hours, Order, Patient, Procedure, ScheduledStep, Station
from vesalius.model.steps import StepState, StepVerb
from vesalius.ports.ris import Ris, RisView
from vesalius.ris import catalogue, orders, schedule
from vesalius.web.pages import ris_words
from vesalius.web.pages.schedule import days

TODAY = "20260131"  # a Saturday; the clock of `web` stands at 10:15 UTC
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import time

    with monkeypatch.context() as held:
        held.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Web]:
    with web(tmp_path) as made:
        house = Hospital(ris_of(made), made.ctx.ris_rules)
        house.stations()

        def work(unit: Any) -> None:
            catalogue.save_station(
                unit, by(), Station("CT2", "CT 2", "CT", "RAD", hours=(Hours("123456", "0800", "1200"),))
            )
            catalogue.save_procedure(unit, by(), Procedure(Code("USABDO", "99V", "US"), "US abdomen", "US", 25))

        house.ris.change(work)
        yield made


def ris_of(served: Web) -> Ris:
    assert served.ctx.ris is not None
    return served.ctx.ris


def house(served: Web) -> Hospital:
    return Hospital(ris_of(served), served.ctx.ris_rules)


def planned(served: Web, number: str = "P-1", at: str = "1000", name: str = "Doe^Jane", **more: Any) -> ScheduledStep:
    patient = house(served).patient(number, name, **more)
    _, procedure = house(served).order(patient)
    return house(served).step(procedure, start=TODAY + at, minutes=20)


def post(served: Web, path: str, body: object) -> Answer:
    return served.ask(f"/api/ris{path}", "POST", JSON, json.dumps(body).encode())


def step_of(served: Web, ref: int) -> ScheduledStep:
    return ris_of(served).look(lambda view: view.get(ScheduledStep, ref))


# -- the schedule


def test_a_day_has_a_column_for_each_station_with_its_steps_where_they_belong(served: Web) -> None:
    step = planned(served)
    text = served.ask(f"/schedule?day={TODAY}").text
    assert re.findall(r'class="column rows" data-station="(\w+)"', text) == ["CT1", "CT2", "MR1", "US1"]
    # From 7:00 in rows of five minutes: 10:00 is row 37; twenty minutes are four rows.
    assert f'<a class="step is-scheduled r37 s4 tight is-late" href="/schedule/steps/{step.ref}"' in text
    assert "<bdi>Doe, Jane</bdi>" in text and 'class="now r' in text


def test_closed_hours_are_shaded_and_tell_a_reader_so(served: Web) -> None:
    text = served.ask(f"/parts/schedule?day={TODAY}&station=CT2").text
    # Open from 8 to 12 of 7 to 18: rows 1 to 12 and 61 to 132.
    assert 'class="closed r1 s12"' in text and 'class="closed r61 s72"' in text and "Closed" in text


def test_every_row_has_a_class_in_the_style_sheet() -> None:
    css = (Path(days.__file__).parents[1] / "static" / "schedule-rows.css").read_text()
    for row in range(1, days.ROWS + 1):
        assert f".r{row}{{grid-row-start:{row}}}" in css and f".s{row}{{grid-row-end:span {row}}}" in css


def test_a_week_is_that_of_one_station_from_monday(served: Web) -> None:
    planned(served)
    text = served.ask(f"/schedule?day={TODAY}&view=week&station=CT1").text
    assert re.findall(r'data-station="CT1" data-day="(\d+)"', text) == [f"202601{day}" for day in range(26, 32)] + [
        "20260201"
    ]
    assert text.count('data-step="') >= 1


def test_filters_keep_stations_of_a_modality_or_a_department(served: Web) -> None:
    for query, shown in (
        ("modality=MR", ["MR1"]),
        ("department=GYN", ["US1"]),
        ("station=CT2", ["CT2"]),
        ("modality=XX", []),
    ):
        text = served.ask(f"/parts/schedule?day={TODAY}&{query}").text
        assert re.findall(r'class="column rows" data-station="(\w+)"', text) == shown, query
    assert "No station fits" in text


def test_what_begins_before_the_shown_hours_makes_the_day_longer(served: Web) -> None:
    planned(served, at="0310")
    text = served.ask(f"/parts/schedule?day={TODAY}").text
    assert 'data-first="3"' in text and 'class="step is-scheduled r3 s4' in text


def test_orders_without_a_time_and_missed_appointments_wait_beside_the_grid(served: Web) -> None:
    step = planned(served, name="Missed^One")
    patient = house(served).patient("P-2", "Waiting^One")
    _, procedure = house(served).order(patient)
    house(served).ris.change(lambda unit: schedule.advance(unit, by(), step.ref, StepVerb.MISS))
    text = served.ask(f"/parts/schedule?day={TODAY}").text
    waiting = text[text.index("<aside") :]
    assert f'data-procedure="{procedure.ref}"' in waiting and f'data-step="{step.ref}"' in waiting
    assert "Missed, One" in waiting and "Missed, One" not in text[: text.index("<aside")]


def test_where_there_are_no_stations_the_page_says_what_to_do(tmp_path: Path) -> None:
    with web(tmp_path) as empty:
        answer = empty.ask("/schedule")
        assert (
            answer.status == 200
            and "There are no stations yet" in answer.text
            and "vesalius ris stations add" in answer.text
        )


@pytest.mark.parametrize(
    "query", ["day=never", "day=00010101", "day=99991231", "day=2026-02-30", "view=x&station=%00", "day="]
)
def test_an_odd_address_shows_a_day_and_no_fault(served: Web, query: str) -> None:
    assert served.ask(f"/schedule?{query}").status == 200


# -- moving


def test_a_move_says_where_the_step_stood_so_that_it_can_be_undone(served: Web) -> None:
    step = planned(served)
    told = post(served, f"/steps/{step.ref}/move", {"station": "CT2", "start": TODAY + "0900"}).json()
    assert (told["station"], told["start"]) == ("CT2", TODAY + "090000")
    assert told["from"] == {"station": "CT1", "start": TODAY + "100000", "minutes": 20}
    back = post(
        served, f"/steps/{step.ref}/move", {**told["from"], "seen": {"station": "CT2", "start": TODAY + "090000"}}
    )
    assert back.status == 200 and step_of(served, step.ref).stations == ("CT1",)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"start": TODAY + "1110"}, "taken"),
        ({"station": "CT2", "start": TODAY + "1300"}, "closed"),
        ({"station": "MR1", "start": TODAY + "1300"}, "modality"),
        ({"start": TODAY + "1300", "seen": {"station": "CT1", "start": TODAY + "0800"}}, "changed"),
    ],
)
def test_a_time_that_cannot_be_had_is_refused_and_says_why(served: Web, body: dict[str, Any], code: str) -> None:
    step = planned(served)
    planned(served, "P-2", "1100")
    answer = post(served, f"/steps/{step.ref}/move", body)
    assert answer.status == 409 and answer.json()["code"] == code and answer.json()["hint"]
    if code == "taken":
        assert (answer.json()["begin"], answer.json()["end"]) == (TODAY + "110000", TODAY + "112000")
    assert step_of(served, step.ref).start == TODAY + "100000"


def test_a_closed_station_takes_an_emergency_with_its_reason_and_an_overlap_never(served: Web) -> None:
    step = planned(served)
    body = {"station": "CT2", "start": TODAY + "1300", "force": True, "reason": "stroke"}
    assert post(served, f"/steps/{step.ref}/move", body).status == 200
    moved = [one for one in served.ask("/api/ris/changes").json()["events"] if one["kind"] == "step-moved"]
    assert moved[-1]["why"] == "stroke" and moved[-1]["who"] == ris_words.WHO
    other = planned(served, "P-2", "1100")
    refused = post(served, f"/steps/{other.ref}/move", {**body, "start": TODAY + "1310"})
    assert refused.status == 409 and refused.json()["code"] == "taken"


def test_a_step_may_move_into_a_time_that_overlaps_its_own_old_one(served: Web) -> None:
    step = planned(served)
    assert post(served, f"/steps/{step.ref}/move", {"start": TODAY + "1010"}).status == 200


def test_what_is_done_is_not_moved(served: Web) -> None:
    step = planned(served)
    for verb in ("arrive", "start", "complete"):
        assert post(served, f"/steps/{step.ref}/advance", {"verb": verb}).status == 200
    assert post(served, f"/steps/{step.ref}/move", {"start": TODAY + "1300"}).status == 409


def test_an_order_that_waits_is_planned_once(served: Web) -> None:
    _, procedure = house(served).order(house(served).patient("P-9"))
    body = {"procedure": procedure.ref, "station": "CT1", "start": TODAY + "1500"}
    made = post(served, "/steps", body)
    assert made.status == 201 and made.json()["minutes"] == 20  # as the catalogue says
    again = post(served, "/steps", {**body, "start": TODAY + "1600"})
    assert again.status == 409 and again.json()["code"] == "changed"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/steps/1/move", {"start": "tomorrow"}, 400),
        ("/steps/1/move", {"start": "99991231235900"}, 400),
        ("/steps/1/move", {"minutes": 2000}, 400),
        ("/steps/1/move", {"station": "NOBODY"}, 404),
        ("/steps/99/move", {}, 404),
        ("/steps/1/advance", {"verb": "fly"}, 400),
        ("/steps/1/advance", {"verb": "move"}, 400),
        ("/steps/1/advance", {"verb": "cancel"}, 400),  # not without a reason
        ("/steps/1/advance", {"verb": "complete"}, 409),
        ("/steps", {"procedure": 1}, 400),
        ("/blocks", {"station": "CT1", "begin": TODAY + "1200", "end": TODAY + "1100", "note": "x"}, 400),
        ("/blocks", {"station": "CT1", "begin": TODAY + "1000", "end": TODAY + "1100", "note": "x"}, 409),
    ],
)
def test_what_is_wrong_is_refused_with_what_to_do(served: Web, path: str, body: object, status: int) -> None:
    planned(served)
    answer = post(served, path, body)
    assert answer.status == status and answer.json()["detail"]


def test_a_time_is_blocked_and_free_again(served: Web) -> None:
    made = post(
        served, "/blocks", {"station": "CT1", "begin": TODAY + "1200", "end": TODAY + "1300", "note": "service"}
    )
    assert made.status == 201 and "service" in served.ask(f"/parts/schedule?day={TODAY}").text
    slots = served.ask(f"/api/ris/slots?station=CT1&day={TODAY}&minutes=20").json()["slots"]
    assert TODAY + "114000" in slots and TODAY + "114500" not in slots and TODAY + "130000" in slots
    assert served.ask(f"/api/ris/blocks/{made.json()['block']}", "DELETE").status == 204
    assert "service" not in served.ask(f"/parts/schedule?day={TODAY}").text


# -- one step


def test_the_details_offer_what_the_grid_of_states_allows_and_no_more(served: Web) -> None:
    step = planned(served)

    def offered() -> list[str]:
        return re.findall(r'data-verb="(\w+)"', served.ask(f"/schedule/steps/{step.ref}").text)

    assert offered() == ["arrive", "prepare", "miss", "cancel", "start"]
    post(served, f"/steps/{step.ref}/advance", {"verb": "arrive"})
    assert offered() == ["prepare", "leave", "miss", "cancel", "start"]
    post(served, f"/steps/{step.ref}/advance", {"verb": "cancel", "reason": "pregnant"})
    assert offered() == ["start"]
    assert "pregnant" in served.ask(f"/parts/schedule/steps/{step.ref}").text


def test_a_button_works_without_a_script_and_leads_back_to_a_page_of_ours(served: Web) -> None:
    step = planned(served)
    for back, location in (("/arrivals?day=2026-01-31", "/arrivals?day=2026-01-31"), ("//evil.example", "/schedule")):
        answer = served.ask(
            f"/schedule/steps/{step.ref}", "POST", FORM, urlencode({"verb": "arrive", "back": back}).encode()
        )
        assert (answer.status, answer.headers["location"]) == (303, location)
        post(served, f"/steps/{step.ref}/advance", {"verb": "leave"})
    assert served.ask(f"/schedule/steps/{step.ref}", "POST", FORM, b"verb=cancel").status == 400
    assert step_of(served, step.ref).state is StepState.SCHEDULED


def test_a_page_with_forms_tells_the_browser_to_say_where_they_come_from(served: Web) -> None:
    assert served.ask("/orders/new").headers["referrer-policy"] == "same-origin"


def test_images_of_a_procedure_are_reached_from_its_step(served: Web) -> None:
    step = planned(served)
    uid = ris_of(served).look(lambda view: orders.procedures(view, step.order))[0].study_uid
    assert "/studies/" not in served.ask(f"/parts/schedule/steps/{step.ref}").text
    made = ct(1, 1, 1, patient_id="P-1")
    made.StudyInstanceUID = uid
    served.archive.keep(made)
    assert f'href="/studies/{uid}"' in served.ask(f"/parts/schedule/steps/{step.ref}").text
    assert 'class="pictures"' in served.ask(f"/parts/schedule?day={TODAY}").text
    assert served.ask(f"/api/ris/steps/{step.ref}").json()["images"] is True


# -- order entry


def order_form(**fields: str) -> bytes:
    usual = {
        "who": "new", "family": "Neu", "given": "Nina", "born": "1990-05-06", "sex": "F", "procedure": "CTHEAD\\99V",
        "priority": "HIGH", "reason": "headache", "ordering": "House, Rita", "do": "place",
    }  # fmt: skip
    return urlencode(usual | fields).encode()


def place(served: Web, **fields: str) -> Answer:
    return served.ask("/orders/new", "POST", FORM, order_form(**fields))


def test_an_order_for_a_new_patient_gets_numbers_and_its_time(served: Web) -> None:
    answer = place(served, slot=f"CT1@{TODAY}150000")
    assert answer.status == 303
    page = served.ask(answer.headers["location"])
    assert "Neu, Nina" in page.text and "headache" in page.text and "31 Jan 2026 15:00" in page.text
    order = ris_of(served).look(lambda view: view.find(Order))[0]
    assert order.accession and order.accession in page.text and order.ordering == "House^Rita"
    patient = ris_of(served).look(lambda view: view.get(Patient, order.patient))
    assert patient.identifier.value == "V00000001" and patient.identifier.issuer == "HOSP"


def sheet_of(served: Web) -> str:
    found = re.search(r'name="sheet" value="(\w+)"', served.ask("/orders/new").text)
    assert found
    return found[1]


def test_a_form_that_is_sent_twice_is_placed_once(served: Web) -> None:
    sheet = sheet_of(served)
    assert sheet != sheet_of(served)
    first = place(served, sheet=sheet)
    again = place(served, sheet=sheet)
    assert (first.status, again.status) == (303, 303)
    assert again.headers["location"] == first.headers["location"]
    assert len(ris_of(served).look(lambda view: view.find(Order))) == 1


def test_a_form_that_is_sent_again_while_it_is_being_placed_is_placed_once(served: Web) -> None:
    body = order_form(sheet=sheet_of(served))

    async def both() -> list[Answer]:
        return list(await asyncio.gather(*(ask(served.app, "/orders/new", "POST", FORM, body) for _ in range(5))))

    answers = asyncio.run(both())
    assert {answer.status for answer in answers} == {303}
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert len(ris_of(served).look(lambda view: view.find(Order))) == 1


def test_a_form_that_was_changed_or_refused_before_is_another_sending(served: Web) -> None:
    sheet = sheet_of(served)
    refused = place(served, sheet=sheet, family="")
    assert refused.status == 422 and f'value="{sheet}"' in refused.text
    first, other = place(served, sheet=sheet), place(served, sheet=sheet, family="Anders", born="1991-01-01")
    assert first.status == other.status == 303
    assert first.headers["location"] != other.headers["location"]


def test_an_order_without_a_time_waits_in_the_schedule(served: Web) -> None:
    assert "No time yet" in served.ask(place(served).headers["location"]).text
    assert "Neu, Nina" in served.ask(f"/parts/schedule?day={TODAY}").text


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"family": ""}, "family"),
        ({"family": "a^b"}, "family"),
        ({"born": ""}, "born"),
        ({"born": "1990-13-01"}, "born"),
        ({"procedure": ""}, "procedure"),
        ({"priority": "NOW"}, "priority"),
        ({"reason": ""}, "reason"),
        ({"ordering": ""}, "ordering"),
        ({"slot": "CT1@x"}, "slot"),
        ({"who": "known"}, "patient"),
    ],
)
def test_what_is_missing_is_told_at_its_field_and_nothing_typed_is_lost(
    served: Web, fields: dict[str, str], field: str
) -> None:
    answer = place(served, comments="keep me", **fields)
    assert answer.status == 422 and f'id="{field}-error"' in answer.text and "One thing is missing" in answer.text
    assert 'value="keep me"' in answer.text
    assert ris_of(served).look(lambda view: view.find(Order)) == []


def test_the_same_name_and_birth_date_must_be_confirmed_as_another_person(served: Web) -> None:
    known = house(served).patient("P-7", "Neu^Nina", birth_date="19900506")
    answer = place(served)
    assert (
        answer.status == 422 and "may be of the same person" in answer.text and f'data-use="{known.ref}"' in answer.text
    )
    assert place(served, another="1").status == 303
    part = served.ask("/parts/orders/twins?family=Neu&given=N&born=1990-05-06").text
    assert "may be of the same person" in part
    assert served.ask("/parts/orders/twins?family=Neu&given=Karl&born=1990-05-06").text.strip() == ""


def test_a_patient_id_is_never_given_twice(served: Web) -> None:
    known = house(served).patient("P-7", "Other^Person")
    answer = place(served, id="P-7", another="1")
    assert answer.status == 422 and "This ID is taken" in answer.text and f'data-use="{known.ref}"' in answer.text
    house(served).patient("V00000001", "Has^Number")
    order = place(served).headers["location"]
    assert "V00000002" in served.ask(order).text


def test_a_known_patient_is_found_by_name_id_and_birth_date(served: Web) -> None:
    house(served).patient("K-1", "Müller^Käthe", birth_date="19540120")
    for text in ("mull", "Müller, K", "Muller Kathe", "käthe", "K-1", "20.01.1954", "1954-01-20", "19540120"):
        assert "Müller, Käthe" in served.ask("/parts/orders/patients?" + urlencode({"q": text})).text, text
    assert "Nobody fits" in served.ask("/parts/orders/patients?q=zz").text


def test_the_slots_are_those_that_are_free_and_still_to_come(served: Web) -> None:
    planned(served, at="1100")
    text = served.ask("/parts/orders/slots?" + urlencode({"procedure": "CTHEAD\\99V", "day": "2026-01-31"})).text
    found = re.findall(r'value="(CT\d@\d+)"', text)
    assert f"CT1@{TODAY}101500" in found and f"CT1@{TODAY}101000" not in found  # now is 10:15
    assert f"CT1@{TODAY}104500" not in found and f"CT1@{TODAY}112000" in found
    assert f"CT2@{TODAY}114000" in found and f"CT2@{TODAY}114500" not in found  # closes at 12:00


def test_a_slot_that_was_taken_meanwhile_places_nothing(served: Web) -> None:
    planned(served, at="1500")
    answer = place(served, slot=f"CT1@{TODAY}150000")
    assert answer.status == 422 and "was taken meanwhile" in answer.text
    assert len(ris_of(served).look(lambda view: view.find(Order))) == 1
    assert len(ris_of(served).look(lambda view: view.find(Patient))) == 1


# -- arrivals


def test_the_desk_lists_the_day_with_birth_dates_and_who_is_late(served: Web) -> None:
    late, later = planned(served, "P-1", "0940"), planned(served, "P-2", "1130", "Roe^Richard")
    text = served.ask("/arrivals").text
    assert text.index(f'data-step="{late.ref}"') < text.index(f'data-step="{later.ref}"')
    assert "35 min late" in text and text.count("min late") == 1
    assert text.count("<strong>1 Jan 1970</strong>") == 2 and 'value="2026-01-31"' in text


def test_two_of_one_family_name_are_marked(served: Web) -> None:
    planned(served, "P-1", "1100", "Muster^Anton")
    planned(served, "P-2", "1130", "MUSTER^Antonia")
    planned(served, "P-3", "1200", "Alone^Al")
    assert served.ask("/arrivals").text.count("Same name today") == 2


@pytest.mark.parametrize(("text", "found"), [("roe", 1), ("P-2", 1), ("richard roe", 1), ("nobody", 0), ("", 2)])
def test_the_desk_is_searched_by_name_and_number(served: Web, text: str, found: int) -> None:
    planned(served, "P-1", "1100")
    planned(served, "P-2", "1130", "Röe^Richard")
    answer = served.ask("/parts/arrivals?" + urlencode({"q": text, "day": "2026-01-31"}))
    assert answer.text.count("<tr class=") - answer.text.count('<tr class="divider"') == found
    accession = ris_of(served).look(lambda view: view.find(Order))[0].accession
    assert served.ask(f"/parts/arrivals?q={accession}").text.count("data-state=") == 1


def test_what_is_over_stands_below_what_is_to_come(served: Web) -> None:
    done, open_ = planned(served, "P-1", "0800"), planned(served, "P-2", "1130")
    post(served, f"/steps/{done.ref}/advance", {"verb": "miss"})
    text = served.ask("/arrivals").text
    assert (
        text.index(f'data-step="{open_.ref}"')
        < text.index("Done, or did not come")
        < text.index(f'data-step="{done.ref}"')
    )


def test_an_arrival_is_taken_back_and_a_missed_one_comes_late(served: Web) -> None:
    step = planned(served)
    for verb, state in (("arrive", "ARRIVED"), ("leave", "SCHEDULED"), ("miss", "NO SHOW"), ("arrive", "ARRIVED")):
        assert post(served, f"/steps/{step.ref}/advance", {"verb": verb}).json()["state"] == state


# -- for programs


def test_a_day_is_read_as_json_with_the_event_that_it_is_as_of(served: Web) -> None:
    step = planned(served)
    told = served.ask(f"/api/ris/schedule?day={TODAY}&days=2").json()
    assert [one["step"] for one in told["steps"]] == [step.ref]
    assert told["steps"][0]["patient"]["id"] == "P-1" and told["last"] == served.ask("/api/ris/changes").json()["last"]
    assert served.ask(f"/api/ris/schedule?day={TODAY}&days=99").status == 400
    assert served.ask("/api/ris/patients?q=doe").json()["patients"][0]["id"] == "P-1"


def test_markup_in_a_name_is_text_on_every_page(served: Web) -> None:
    step = planned(served, "<b>1</b>", "1100", "<img src=x>^<script>1</script>")
    for path in (f"/schedule?day={TODAY}", "/arrivals", f"/schedule/steps/{step.ref}", f"/orders/{step.order}",
                 "/parts/orders/patients?q=%3Cb", f"/orders/new?patient={step.patient}"):  # fmt: skip
        text = served.ask(path).text
        assert "<img src=x" not in text and "<script>1" not in text and "<b>1" not in text, path


def test_the_search_of_every_page_finds_orders_and_the_next_appointment(served: Web) -> None:
    step = planned(served, "P-1", "1130", "Nextday^Ann")
    accession = ris_of(served).look(lambda view: view.get(Order, step.order)).accession
    assert f'href="/orders/{step.order}"' in served.ask(f"/parts/search?q={accession}").text
    found = served.ask("/parts/search?q=nextday").text
    assert f'href="/schedule/steps/{step.ref}"' in found and "31 Jan 2026 11:30" in found and "1 Jan 1970" in found
    post(served, f"/steps/{step.ref}/advance", {"verb": "miss"})
    assert "/schedule/steps/" not in served.ask("/parts/search?q=nextday").text


def test_the_schedule_with_all_that_it_loads_is_small(served: Web) -> None:
    import gzip

    for number in range(24):
        planned(served, f"P-{number}", f"{7 + number // 2:02}{number % 2 * 30:02}")
    for path in (f"/schedule?day={TODAY}", "/arrivals", "/orders/new?procedure=CTHEAD%5C99V"):
        page = served.ask(path, headers={"accept-encoding": "gzip"})
        text = gzip.decompress(page.body).decode()
        loaded = set(re.findall(r'(?:src|href)="(/assets/[^"]+)"', text))
        base = next(iter(loaded)).rpartition("/")[0]
        loaded |= {f"{base}/{name}" for name in ("upload.js", "resume.js", "search.js", "ris.js", "schedule-step.js")}
        total = len(page.body)
        for name in loaded:
            answer = served.ask(name, headers={"accept-encoding": "gzip"})
            assert answer.status == 200
            total += len(answer.body)
        assert total < 150 * 1024, (path, total)


def test_an_order_is_held_released_and_cancelled_with_a_reason(served: Web) -> None:
    step = planned(served)
    path = f"/orders/{step.order}"

    def do(verb: str, reason: str = "") -> int:
        return served.ask(path, "POST", FORM, urlencode({"verb": verb, "reason": reason}).encode()).status

    assert do("cancel") == 400 and do("fly", "x") == 400 and do("release") == 409
    assert do("hold", "no contrast left") == 303
    assert re.findall(r'name="verb" value="(\w+)"', served.ask(path).text) == ["cancel", "release"]
    assert do("release") == 303 and do("cancel", "pregnant") == 303
    assert "Cancelled" in served.ask(path).text and 'name="verb"' not in served.ask(path).text
    assert step_of(served, step.ref).state is StepState.CANCELLED
    assert f'data-step="{step.ref}"' not in served.ask(f"/parts/schedule?day={TODAY}").text


def test_a_nul_in_a_text_is_left_out_since_postgresql_keeps_none(served: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    view = type(ris_of(served).look(lambda held: held))
    found = view.patients

    def watched(self: RisView, **how: Any) -> list[Patient]:
        seen.append(how["text"])
        return found(self, **how)

    monkeypatch.setattr(view, "patients", watched)
    for path in ("/parts/orders/patients", "/api/ris/patients"):
        assert served.ask(f"{path}?q=do%00e").status == 200
    assert set(seen) == {"doe"}
    step = planned(served)
    assert post(served, f"/steps/{step.ref}/advance", {"verb": "cancel", "reason": "a\0b"}).status == 200
    assert "ab" in {one["why"] for one in served.ask("/api/ris/changes").json()["events"]}
