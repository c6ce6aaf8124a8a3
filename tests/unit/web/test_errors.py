"""The table from errors to HTTP statuses, and the form that everything wrong is told in."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

import pytest
from starlette.requests import Request

from vesalius.dimse.errors import STATUS_OF as DIMSE_STATUS_OF
from vesalius.model import errors as tree
from vesalius.web.errors import STATUS_OF, Problem, on_archive_error, on_fault, on_problem, status_of

REQUEST = Request({"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""})


def test_every_error_of_the_tree_has_an_http_status_and_no_other_has() -> None:
    assert set(STATUS_OF) == set(DIMSE_STATUS_OF)


def test_every_status_is_an_error_of_http() -> None:
    assert all(400 <= HTTPStatus(status) < 600 for status in STATUS_OF.values())


def test_an_error_from_outside_the_tree_is_500_and_keeps_its_text_to_itself() -> None:
    assert status_of(ValueError("Doe^Jane")) == 500
    answer = asyncio.run(on_fault(REQUEST, ValueError("Doe^Jane")))
    assert answer.status_code == 500 and b"Doe" not in answer.body


@pytest.mark.parametrize("kind", sorted(STATUS_OF, key=lambda kind: kind.__name__))
def test_what_is_wrong_is_told_in_one_form(kind: type[tree.VesaliusError]) -> None:
    answer = asyncio.run(on_archive_error(REQUEST, kind("what is wrong", hint="what to do")))
    body = json.loads(answer.body)
    assert body == {"title": HTTPStatus(answer.status_code).phrase, "detail": "what is wrong", "hint": "what to do"}
    assert (answer.status_code == 503) == ("retry-after" in answer.headers)


def test_a_problem_brings_its_own_headers() -> None:
    answer = asyncio.run(on_problem(REQUEST, Problem(413, "too much", headers={"Connection": "close"})))
    assert answer.status_code == 413 and answer.headers["connection"] == "close"
