"""The last hour in figures: steps of counters, by the minute that they ended in."""

from __future__ import annotations

from vesalius.web.pages.history import POINTS, Sample, rates, sample_of

METRICS = b"""# HELP vesalius_received_bytes_total x
vesalius_received_bytes_total 1.5e+06
vesalius_sent_bytes_total 2000.0
vesalius_instances_total{verdict="stored"} 12.0
vesalius_instances_total{verdict="known"} 3.0
vesalius_associations_open 4.0
vesalius_associations_open_else 9.0
"""


def test_the_counters_are_read_from_the_metrics() -> None:
    assert sample_of(METRICS, 7.0) == Sample(7.0, 1.5e6, 2000.0, 12.0, 4.0)
    assert sample_of(b"vesalius_sent_bytes_total what\n", 1.0) == Sample(1.0)


def test_steps_are_gathered_by_the_minute_and_what_is_older_is_gone() -> None:
    samples = [Sample(0.0), Sample(10.0, received=1e9), Sample(3540.0, received=1e9 + 600, sent=60, stored=2, open=1)]
    found = rates(samples, 4000.0)
    assert sum(found.received) * 60 == 600 and found.received[POINTS - 1 - 7] == 10.0
    assert (found.stored, found.received_bytes, found.sent_bytes, found.open) == (2, 600, 60, 1)


def test_a_restart_counts_as_nothing() -> None:
    samples = [Sample(0.0, received=1000, stored=10), Sample(15.0, received=5, stored=0)]
    assert rates(samples, 20.0).received_bytes == 0 and rates(samples, 20.0).stored == 0


def test_the_plot_stays_within_its_frame() -> None:
    found = rates([Sample(0.0), Sample(15.0, received=1 << 30)], 20.0)
    points = [tuple(map(float, point.split(","))) for point in found.line(found.received).split()]
    assert len(points) == POINTS and points[0][0] == 0.0 and points[-1][0] == 600.0
    assert all(0 <= y <= 96 for _, y in points) and min(y for _, y in points) == 4.0
    assert rates([], 0.0).open == 0 and rates([], 0.0).highest == 1.0
