"""The modality worklist over a socket (PS3.4 annex K): what is asked, what is answered, and who sees it."""

from __future__ import annotations

import dataclasses
import fnmatch
import random
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from tests.support.ris import RULES, by
from tests.support.workflow_site import Workflow, running_workflow

from vesalius.backends.ris_sql import SqlRis
from vesalius.dimse import worklist
from vesalius.dimse.errors import OperationFailed
from vesalius.dimse.query_retrieve import responses
from vesalius.model.datasets import decode, encode
from vesalius.model.entities import Values
from vesalius.model.errors import IndexUnavailable
from vesalius.model.orders import Code, Patient, ScheduledStep
from vesalius.model.query import Options, QueryLimits
from vesalius.model.steps import StepVerb
from vesalius.model.worklist import KEYS, STEP_SEQUENCE
from vesalius.ris import patients, schedule
from vesalius.ris.rules import Scope
from vesalius.standard.sop_classes import MODALITY_WORKLIST_FIND, STUDY_ROOT_FIND
from vesalius.wire.dimse_commands import Command
from vesalius.wire.dimse_requests import c_find_rq

NAME, PATIENT, ACCESSION, STUDY = 0x00100010, 0x00100020, 0x00080050, 0x0020000D
STATION, MODALITY, DATE, TIME, STEP = 0x00400001, 0x00080060, 0x00400002, 0x00400003, 0x00400009
CHARSET = 0x00080005


def ask(inside: Values | None = None, **top: str) -> Values:
    """A question with the usual keys."""
    tags = {"name": NAME, "patient": PATIENT, "accession": ACCESSION, "study": STUDY}
    asked: Values = dict.fromkeys(tags.values(), ()) | {tags[key]: (value,) for key, value in top.items()}
    item: Values = dict.fromkeys((STATION, MODALITY, DATE, TIME, STEP), ()) | (inside or {})
    return asked | {STEP_SEQUENCE: (item,)}


def numbers(answers: list[Values]) -> list[str]:
    """The IDs of the steps answered."""
    return [answer[STEP_SEQUENCE][0][STEP][0] for answer in answers]


async def raw(
    at: Workflow,
    keys: Values,
    charsets: tuple[str, ...] = (),
    aet: str = "CT1",
    make: Callable[..., Command] = c_find_rq,
) -> list[tuple[int, Values | None, tuple[int, ...]]]:
    """Every response: status, identifier, Offending Element."""
    async with at.calling() as assoc:
        answers = responses(assoc, MODALITY_WORKLIST_FIND, make, keys, charsets, None)
        async with aclosing(answers):
            return [
                (one.status, decode(one.dataset, syntax) if one.dataset else None, one.command.offending)
                async for syntax, one in answers
            ]


# -- answers ----------------------------------------------------------------------------------------------------------


async def test_an_answer_is_one_step_with_what_was_asked_for_and_nothing_else(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        patient, order, procedure, step = at.hospital.planned("4711", name="Doe^Jane")
        ((status, answer, _), (last, none, _)) = await raw(at, ask())
        assert (status, last, none) == (0xFF00, 0x0000, None)
        assert answer is not None
        assert set(answer) - {CHARSET} == set(ask())
        (item,) = answer[STEP_SEQUENCE]
        assert set(item) == {STATION, MODALITY, DATE, TIME, STEP}
        assert (answer[NAME], answer[PATIENT], answer[STUDY]) == (
            (patient.name,),
            ("4711",),
            (procedure.study_uid,),
        )
        assert (answer[ACCESSION], item[STEP]) == ((order.accession,), (step.number,))


async def test_every_key_of_the_table_is_returned_when_asked_for(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        at.hospital.planned()
        ((status, answer, _), _) = await raw(at, worklist.EVERYTHING)
        assert status == 0xFF00
        assert answer is not None
        assert set(answer) - {CHARSET} == set(KEYS[None])
        assert set(answer[STEP_SEQUENCE][0]) == set(KEYS[STEP_SEQUENCE])


async def test_an_empty_item_asks_for_the_whole_item_and_an_empty_sequence_too(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        at.hospital.planned()
        for empty in (({},), ()):
            (answer,) = await at.ask({PATIENT: (), STEP_SEQUENCE: empty})
            assert {STATION, MODALITY, DATE, TIME, STEP} <= set(answer[STEP_SEQUENCE][0])


async def test_a_key_that_is_not_supported_is_told_by_ff01_and_not_answered(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        at.hospital.planned()
        rows, inside = 0x00280010, 0x00181030
        for keys in (ask() | {rows: ("512",)}, ask({inside: ("x",)})):
            ((status, answer, _), (last, _, _)) = await raw(at, keys)
            assert (status, last) == (0xFF01, 0x0000), "it matched nothing away"
            assert answer is not None
            assert rows not in answer
            assert inside not in answer[STEP_SEQUENCE][0]


async def test_nothing_found_is_a_success_without_answers(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        assert await raw(at, ask()) == [(0x0000, None, ())]


# -- who sees what ----------------------------------------------------------------------------------------------------


async def test_t22_a_station_sees_its_department_and_no_question_widens_it(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        _, head = at.hospital.order(at.hospital.patient())
        ct, us = at.hospital.step(head, "CT1"), at.hospital.step(head, "US1", "202611241200")
        assert numbers(await at.ask(ask(), "MR1")) == [ct.number]
        assert numbers(await at.ask(ask(), "US1")) == [us.number]
        for keys in (ask({STATION: ("CT1",)}), ask({STATION: ("*",)}), ask(study=head.study_uid), worklist.EVERYTHING):
            assert ct.number not in numbers(await at.ask(keys, "US1"))
        # A title that no station has, that of this archive, and one that looks like a path (DCMTK #52868).
        for stranger in ("NOBODY", "VESALIUS", "..", "../RAD", "CT1/../CT1"):
            assert await at.ask(worklist.EVERYTHING, stranger) == []


async def test_the_house_may_show_each_its_own_or_everything(tmp_path: Path) -> None:
    for scope, seen in ((Scope.STATION, 1), (Scope.DEPARTMENT, 2), (Scope.ALL, 3)):
        rules = dataclasses.replace(RULES, worklist_scope=scope)
        async with running_workflow(tmp_path / scope.value, rules) as at:
            _, head = at.hospital.order(at.hospital.patient())
            for number, station in enumerate(("CT1", "MR1", "US1")):
                at.hospital.step(head, station, f"2026112410{number:02}")
            assert len(await at.ask(ask())) == seen


async def test_without_the_right_it_is_0124_and_the_right_to_query_images_is_another(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        at.hospital.planned()
        at.site.add_peer("CT1", rights=frozenset({"query", "retrieve", "store"}))
        at.site.add_peer("MR1", rights=frozenset({"worklist"}))
        assert await raw(at, ask()) == [(0x0124, None, ())]
        assert len(await at.ask(ask(), "MR1")) == 1


async def test_a_step_leaves_the_list_when_it_is_started_or_cancelled_and_stays_while_it_waits(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        steps = [at.hospital.planned()[3] for _ in range(3)]
        advance: Callable[[ScheduledStep, StepVerb], object] = lambda step, verb: at.hospital.ris.change(  # noqa: E731
            lambda work: schedule.advance(work, by(), step.ref, verb)
        )
        advance(steps[0], StepVerb.ARRIVE)
        advance(steps[1], StepVerb.CANCEL)
        at.hospital.begin("1.2.3", steps[2])
        assert numbers(await at.ask(ask())) == [steps[0].number]


# -- what matches -----------------------------------------------------------------------------------------------------


async def test_keys_inside_the_sequence_match_on_one_item_and_codes_inside_codes(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        _, head = at.hospital.order(at.hospital.patient())
        both = at.hospital.step(head, "CT1", "202611241000", protocols=(Code("P1", "99V", "Contrast"),))
        at.hospital.step(head, "MR1", "202611241100")
        code: Values = {0x00080100: ("P1",), 0x00080102: (), 0x00080104: ()}
        assert numbers(await at.ask(ask({0x00400008: (code,)}))) == [both.number]
        assert numbers(await at.ask(ask({STATION: ("CT1",), MODALITY: ("MR",)}))) == []
        assert numbers(await at.ask(ask({STATION: ("CT?",), TIME: ("1000-",)}))) == [both.number]


async def test_two_hundred_questions_are_answered_as_an_independent_reading_of_the_clause_says(tmp_path: Path) -> None:
    """Dates, times, both (table K.6-1: one span), wild cards, several keys at once, against a few lines of Python."""
    chance = random.Random(20261124)
    async with running_workflow(tmp_path) as at:
        names = ["Abel^Anna", "Abel^Bert", "Baker^Carl", "Mac Baker^Dora", "Cole^Eve"]
        planned: list[tuple[str, str, str, str, str]] = []  # number, station, day, time, name
        heads = [(name, at.hospital.order(at.hospital.patient(name=name))[1]) for name in names]
        slots = [(a, f"2027010{d}", f"{h:02}{m}") for a in ("CT1", "MR1") for d in (4, 5, 6, 7) for h in range(24)
                 for m in ("00", "15", "30")]  # fmt: skip
        for station, day, minute in chance.sample(slots, 60):
            name, head = chance.choice(heads)
            step = at.hospital.step(head, station, day + minute)
            planned.append((step.number, station, day, f"{minute}00", name))

        def wanted(station: str, days: str, times: str, name: str) -> set[str]:
            found = set()
            low_day, _, high_day = days.partition("-") if "-" in days else (days, "", days)
            low, _, high = times.partition("-") if "-" in times else (times, "", times)
            low, high = low.ljust(6, "0") if low else "000000", high.ljust(4, "5").ljust(6, "9") if high else "235959"
            one_span = "-" in days and "-" in times and low_day != high_day and low[:4] != high[:4]
            for number, its_station, day, at_time, its_name in planned:
                if not fnmatch.fnmatchcase(its_station, station or "*"):
                    continue
                if not fnmatch.fnmatchcase(its_name.upper(), (name or "*").upper()):
                    continue
                if one_span:
                    if not (low_day or "0") + low <= day + at_time <= (high_day or "9" * 8) + high:
                        continue
                elif not ((low_day or "0") <= day <= (high_day or "9" * 8) and low <= at_time <= high):
                    continue
                found.add(number)
            return found

        async with at.calling() as assoc:
            for _ in range(200):
                station = chance.choice(("", "", "CT1", "MR?", "*1", "C*"))
                first, last = sorted(chance.sample(("20270104", "20270105", "20270106", "20270107"), 2))
                days = chance.choice(("", first, f"{first}-{last}", f"{first}-", f"-{last}", f"{first}-{first}"))
                begin, end = sorted(chance.sample(("0000", "0600", "0930", "1200", "1815", "2345"), 2))
                times = chance.choice(("", f"{begin}-{end}", f"{begin}-", f"-{end}"))
                name = chance.choice(("", "", "abel*", "*BAKER*", "Cole^Eve", "?bel^*"))
                item: Values = {STATION: (station,), DATE: (days,), TIME: (times,)}
                async with aclosing(worklist.find(assoc, ask(item, name=name))) as answers:
                    found = numbers([one async for one in answers])
                assert set(found) == wanted(station, days, times, name), (station, days, times, name)
                assert len(found) == len(set(found))
                starts = {number: day + time for number, _, day, time, _ in planned}
                assert [starts[number] for number in found] == sorted(starts[number] for number in found)


async def test_names_that_sound_alike_match_where_that_was_negotiated(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        _, _, _, step = at.hospital.planned("1", name="Meyer^Anna")
        assert await at.ask(ask(name="Maier^Anna")) == []
        assert numbers(await at.ask(ask(name="Maier^Anna"), options=Options(fuzzy_names=True))) == [step.number]


async def test_a_changed_and_a_merged_patient_are_what_the_next_question_answers(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        gone, _, _, step = at.hospital.planned("OLD", name="Unknown^Emergency")
        stays = at.hospital.patient("NEW", name="Doe^Jane")
        at.hospital.ris.change(lambda work: patients.merge(work, by(), stays.ref, gone.ref, RULES))
        (answer,) = await at.ask(ask(patient="NEW"))
        assert (numbers([answer]), answer[NAME]) == ([step.number], ("Doe^Jane",))
        renamed: Callable[[Patient], object] = lambda one: at.hospital.ris.change(  # noqa: E731
            lambda work: patients.update(work, by(), one.ref, RULES, name="Roe^Jane")
        )
        renamed(stays)
        assert numbers(await at.ask(ask(name="roe*"))) == [step.number]


# -- repertoires ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("charsets", "pattern", "name"),
    [
        (("ISO_IR 100",), "müll*", "Müller^Jörg"),
        (("ISO_IR 144",), "Люк*", "Люкceмбypг"),
        (("ISO_IR 192",), "müll*", "Müller^Jörg"),
        (("", "ISO 2022 IR 87"), "yama*", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (("GB18030",), "wang*", "Wang^XiaoDong=王^小东"),
    ],
    ids=["latin", "cyrillic", "utf-8", "japanese", "chinese"],
)
async def test_asked_and_answered_in_the_repertoire_of_the_question(
    tmp_path: Path, charsets: tuple[str, ...], pattern: str, name: str
) -> None:
    async with running_workflow(tmp_path) as at:
        at.hospital.planned("1", name=name)
        at.hospital.planned("2", name="Other^One")
        ((status, answer, _), _) = await raw(at, ask(name=pattern), charsets)
        assert status == 0xFF00
        assert answer is not None
        assert answer[NAME] == (name,)
        assert answer[CHARSET] == tuple(charsets)


async def test_what_a_repertoire_does_not_hold_is_answered_in_utf_8(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        at.hospital.planned("1", name="Люкceмбypг")
        ((_, answer, _), _) = await raw(at, ask(), ("ISO_IR 100",))
        assert answer is not None
        assert (answer[NAME], answer[CHARSET]) == (("Люкceмбypг",), ("ISO_IR 192",))


# -- what is wrong with a question ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "status", "tag"),
    [
        (ask({DATE: ("20261399",)}), 0xC000, DATE),
        (ask({DATE: ("20261124-20261101",)}), 0xC000, DATE),
        (ask({TIME: ("25",)}), 0xC000, TIME),
        (ask(study="1.2.x"), 0xC000, STUDY),
        (ask() | {STEP_SEQUENCE: ({STATION: ()}, {STATION: ()})}, 0xA900, STEP_SEQUENCE),
        (ask(name="*a" * 2000), 0xA700, 0),
    ],
    ids=["no-day", "reversed", "no-time", "no-uid", "two-items", "patterns"],
)
async def test_a_question_that_cannot_be_answered_says_why(tmp_path: Path, keys: Values, status: int, tag: int) -> None:
    limits = QueryLimits(pattern_characters=1000)
    async with running_workflow(tmp_path, query=limits) as at:
        at.hospital.planned()
        assert await raw(at, keys) == [(status, None, (tag,) if tag else ())]
        assert len(await at.ask(ask())) == 1, "the next one is answered"


async def test_an_identifier_over_the_limit_is_a700_and_one_that_is_no_data_set_c000(tmp_path: Path) -> None:
    async with running_workflow(tmp_path, identifier_size=1000) as at:
        assert await raw(at, ask(name="x" * 2000)) == [(0xA700, None, ())]
        async with at.calling() as assoc:
            context = assoc.contexts_for(MODALITY_WORKLIST_FIND)[0]
            number = assoc.next_message_id()
            invocation = assoc.invoke(context, number)
            assoc.send(context, c_find_rq(number, MODALITY_WORKLIST_FIND).encode(), b"this is no data set at all")
            assert (await invocation.response(30)).status == 0xC000
            number = assoc.next_message_id()
            invocation = assoc.invoke(context, number)
            bare = Command({**c_find_rq(number, MODALITY_WORKLIST_FIND).elements, 0x00000800: 0x0101})
            assoc.send(context, bare.encode())
            assert (await invocation.response(30)).status == 0x0212


async def test_another_class_on_the_context_of_the_worklist_is_0122(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        at.hospital.planned()
        found = await raw(at, ask(), make=lambda number, _: c_find_rq(number, STUDY_ROOT_FIND))
        assert [status for status, _, _ in found] == [0x0122]


class Away(SqlRis):
    """The database is away."""

    def look(self, work: Callable[..., object]) -> object:
        raise IndexUnavailable("the index database failed")


class Broken(SqlRis):
    """A fault of ours, whose text may name a patient."""

    def look(self, work: Callable[..., object]) -> object:
        raise ValueError("Doe^Jane")


async def test_a_database_that_is_away_is_a700_and_a_fault_of_ours_c001_without_its_text(tmp_path: Path) -> None:
    for kind, status in ((Away, 0xA700), (Broken, 0xC001)):
        async with running_workflow(tmp_path / kind.__name__, ris=kind) as at:
            with pytest.raises(OperationFailed) as caught:
                await at.ask(ask())
            assert caught.value.status == status
            assert "Doe" not in str(caught.value)


async def test_a_cancel_ends_a_long_answer_with_fe00(tmp_path: Path) -> None:
    async with running_workflow(tmp_path) as at:
        _, head = at.hospital.order(at.hospital.patient())

        def many(work: object) -> None:
            for number in range(2500):
                step = ScheduledStep(
                    head.ref, head.order, head.patient, f"L{number}", ("CT1",), modality="CT", start="20270101120000"
                )
                work.add(step)

        at.hospital.ris.change(many)
        async with at.calling() as assoc:
            answers = worklist.find(assoc, ask())
            assert await anext(answers)
            await answers.aclose()
            assert len(numbers([one async for one in worklist.find(assoc, ask({STEP: ("L7",)}))])) == 1
        assert ("C-FIND", 0xFE00) in at.site.seen.done


def test_a_question_with_nested_items_is_encoded_and_decoded_to_itself() -> None:
    everything = worklist.EVERYTHING
    assert decode(encode(everything, "1.2.840.10008.1.2", ()), "1.2.840.10008.1.2") == everything
