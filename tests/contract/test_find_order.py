"""The order in which an index answers: that of arrival, or backwards for a page that shows what came last."""

from __future__ import annotations

import dataclasses

import pytest
from tests.support import population
from tests.support.questions import all_matches

from vesalius.model.entities import Level, Values
from vesalius.model.query import Options, Root
from vesalius.model.query_parser import parse
from vesalius.ports.index import Index, in_batches


@pytest.mark.parametrize("name", ["", "*a*", "M*"])
@pytest.mark.parametrize("offset", [0, 3, 1000])
def test_newest_first_is_the_order_of_arrival_backwards(index: Index, name: str, offset: int) -> None:
    made = (population.arrival(values, number=n) for n, values in enumerate(population.population(3, 120)))
    for batch in in_batches(made, 40):
        index.ingest(batch)
    asked: Values = {0x00100010: (name,) if name else (), 0x0020000D: ()}
    query = parse(asked, Root.STUDY, Level.STUDY, Options(relational=True))
    forwards = [match.values[0x0020000D] for match in all_matches(index, query)]
    backwards = dataclasses.replace(query, newest_first=True, offset=offset, limit=20)
    found = [match.values[0x0020000D] for match in all_matches(index, backwards)]
    assert len(forwards) > 3
    assert found == forwards[::-1][offset : offset + 20]
