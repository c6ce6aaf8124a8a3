"""The change feed and the versions of series, on every back end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.support.index_arrivals import arrival, series_uid, study_uid

from vesalius.ports.index import Index


def test_everything_that_arrives_is_announced_once_and_in_order(index: Index) -> None:
    assert index.last_event() == 0 and index.events(0) == []
    one, two = arrival(), arrival(number=2)
    index.ingest([one])
    index.ingest([two, one])
    events = index.events(0)
    assert [(event.kind, event.sop_instance) for event in events] == [
        ("stored", one.sop_instance),
        ("stored", two.sop_instance),
    ]
    assert events[0].study == study_uid(1) and events[0].series == series_uid(1, 1)
    assert index.last_event() == events[-1].id
    assert index.events(events[0].id) == events[1:]
    assert index.events(0, limit=1) == events[:1]


def test_a_reader_that_remembers_the_last_event_misses_nothing_however_many_write(index: Index) -> None:
    with ThreadPoolExecutor(4) as pool:
        written = [pool.submit(index.ingest, [arrival(study=n % 4, series=1, number=n)]) for n in range(1, 41)]
        seen: list[int] = []
        while len(seen) < 40:
            seen += [event.id for event in index.events(seen[-1] if seen else 0)]
            if all(one.done() for one in written) and not index.events(seen[-1]):
                break
    assert len(seen) == 40 and seen == sorted(set(seen))


def test_the_version_of_a_series_changes_with_its_instances_and_no_others(index: Index) -> None:
    assert index.versions(study_uid(1)) == {}
    index.ingest([arrival(), arrival(series=2, number=9)])
    first = index.versions(study_uid(1))
    assert set(first) == {series_uid(1, 1), series_uid(1, 2)}
    assert index.versions(study_uid(1), series_uid(1, 2)) == {series_uid(1, 2): first[series_uid(1, 2)]}
    index.ingest([arrival()])  # a duplicate
    assert index.versions(study_uid(1)) == first
    index.ingest([arrival(number=2)])
    second = index.versions(study_uid(1))
    assert second[series_uid(1, 1)] != first[series_uid(1, 1)]
    assert second[series_uid(1, 2)] == first[series_uid(1, 2)]
    assert index.versions(study_uid(2), series_uid(1, 1)) == {}
