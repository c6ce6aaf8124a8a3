"""A day is planned by its seed alone, holds every kind and fault, and its messages are taken by our own HL7 side."""

from __future__ import annotations

from collections import Counter
from datetime import date

import pytest

from vesalius.simulate.faults import FAULTS
from vesalius.simulate.messages import errands, new_control_id
from vesalius.simulate.plan import Day, Kind, make_day
from vesalius.wire.hl7_message import parse

ON = date(2026, 11, 24)


def test_the_same_seed_is_the_same_day_and_another_is_another() -> None:
    one, same, other = (make_day(1, 60, ["CT", "MR"], seed, ON) for seed in (7, 7, 8))
    assert one == same and _said(one) == _said(same)
    assert one != other
    assert not {case.person.id for case in one.cases} & {case.person.id for case in other.cases}


@pytest.mark.parametrize("count", [1, 2, 12, 40, 500])
def test_no_two_are_at_one_place_at_one_time(count: int) -> None:
    day = make_day(1, count, ["CT", "MR", "US"], 3, ON)
    assert len(day.cases) == count
    places = Counter((case.station, case.start) for case in day.cases)
    places.update(case.before for case in day.cases if case.before is not None)
    assert max(places.values()) == 1
    assert len({case.placer for case in day.cases}) == count


def test_every_kind_and_every_fault_happens_on_a_day_that_has_room_for_them() -> None:
    day = make_day(1, 40, ["CT", "MR", "US"], 1, ON)
    assert {case.kind for case in day.cases} == set(Kind)
    assert {case.fault for case in day.cases} == {"", *FAULTS}
    assert {one.partner for one in day.outages} == {"archive", "ris", "hl7"}
    good = make_day(1, 40, ["CT"], 1, ON, faults=False, merges=False)
    assert {case.fault for case in good.cases} == {""} and good.outages == ()
    assert not any(case.kind.startswith("merge") for case in good.cases)


def test_every_message_says_what_it_should_and_in_order() -> None:
    day = make_day(1, 40, ["CT", "MR", "US"], 2, ON)
    spoken = errands(day)
    assert [one.at for one in spoken] == sorted(one.at for one in spoken)
    for case in day.cases:
        mine = [one for one in spoken if one.case == case.number]
        names = [one.name for one in mine]
        assert names.count("ADT^A40") == (case.kind.startswith("merge-"))
        assert ("ADT^A08" in names) == (case.kind is Kind.EMERGENCY)
        ordered = [one for one in mine if one.kind[0] in ("ORM", "OMI", "SIU")]
        assert bool(ordered) == (case.kind is not Kind.UNSCHEDULED)
        if case.is_done and case.kind is not Kind.UNSCHEDULED:
            assert max(one.at for one in ordered) < case.start, "known before it is done"
        for one in mine:
            message = parse(one.message(new_control_id(), one.at).decode())
            assert message.type == one.kind[0] and message.value("PID", 3) in (case.person.id, case.truth.id)


def _said(day: Day) -> list[bytes]:
    return [one.message("X", one.at) for one in errands(day)]
