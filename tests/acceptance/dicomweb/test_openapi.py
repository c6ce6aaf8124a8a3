"""schemathesis holds the server against its own OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import missing_required_header, unsupported_method
from tests.support.generate import ct
from tests.support.web import Web, web

from vesalius.archive.uploads import SpoolSettings

# An event stream never ends, so it is no answer that could be read whole.
ENDLESS = r"/api/(ris/)?events"
# Uploads refuse a missing header with their own reasons, and a router knows which methods there are.
LEFT_OUT = [missing_required_header, unsupported_method]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("openapi")
    with web(folder, uploads=SpoolSettings(folder / "uploads")) as made:
        made.archive.keep(ct())
        yield made


def test_the_server_does_what_its_document_says(served: Web) -> None:
    described = schemathesis.openapi.from_asgi("/api/openapi.json", served.app).exclude(path_regex=ENDLESS)
    names = []
    for found in described.get_all_operations():
        operation = found.ok()
        names.append(operation.label)

        @settings(
            max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(case=operation.as_strategy())
        def hold(case: schemathesis.Case) -> None:
            case.call_and_validate(excluded_checks=LEFT_OUT)

        hold()
    assert "GET /api/changes" in names and "PATCH /api/uploads/{upload}" in names
