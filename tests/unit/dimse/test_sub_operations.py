"""Counting sub-operations (PS3.4 C.4.2.1)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vesalius.dimse.sub_operations import Tally


@given(st.lists(st.sampled_from([0x0000, 0xB000, 0xB007, 0x0107, 0xA700, 0xC000, 0x0122, 0x0110])), st.integers(0, 5))
def test_the_counts_and_the_final_status_follow_from_what_happened(statuses: list[int], left: int) -> None:
    tally = Tally(len(statuses) + left)
    for number, status in enumerate(statuses):
        tally.count(str(number), status)
    warned = sum(s in (0xB000, 0xB007, 0x0107) for s in statuses)
    good = statuses.count(0)
    bad = len(statuses) - warned - good
    assert (tally.remaining, tally.completed, tally.failed, tally.warning) == (left, good, bad, warned)
    assert len(tally.failed_instances) == bad
    assert tally.counts(with_remaining=False).remaining is None
    final = tally.final_status()
    if not bad and not warned:
        assert final == 0
    elif bad == len(statuses):
        assert final == 0xA702
    else:
        assert final == 0xB000
