"""UPS-RS straight through ASGI: whatever a body holds, the answer is one of the standard's, never a fault of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.web import Web, web
from tests.support.workitems import dataset, performed

from vesalius.model import workitems as w
from vesalius.standard.dictionary import vrs_of

JSON = {"Content-Type": "application/dicom+json"}
# What the rules of a workitem look at, and what they do not.
TAGS = sorted(
    {*w.TYPE_1, *w.TYPE_2, *w.NOT_SET, w.HUMAN_PERFORMERS, w.CANCELLED_AT, 0x00091001, w.PATIENT_NAME, 0x7FE00010}
)
TEXTS = st.text(max_size=12) | st.sampled_from(["SCHEDULED", "IN PROGRESS", "READY", "HIGH", "1.2.3", "20260101", ""])
ATOMS: Any = st.none() | st.booleans() | st.integers() | TEXTS | st.dictionaries(TEXTS, TEXTS, max_size=2)


def element(tag: int) -> Any:
    vrs = st.sampled_from([*(vrs_of(tag) or ("LO",)), "UN", "SQ", "XX"])
    items = st.lists(st.dictionaries(st.just("00080100"), st.just({"vr": "SH", "Value": ["X"]})), max_size=2)
    value = st.lists(ATOMS, max_size=2) | items
    return st.fixed_dictionaries({"vr": vrs}, optional={"Value": value}) | ATOMS


ELEMENTS = st.sampled_from(TAGS).flatmap(lambda tag: st.tuples(st.just(f"{tag:08X}"), element(tag)))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("ups")) as made:
        yield made


def good() -> dict[str, Any]:
    return dict(json.loads(dataset().to_json()))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(ELEMENTS, max_size=4),
    path=st.sampled_from(
        ["/workitems", "/workitems/1.2.3", "/workitems/1.2.3/state", "/workitems/1.2.3/cancelrequest"]
    ),
)
def test_no_body_makes_a_fault(served: Web, changes: list[tuple[str, Any]], path: str) -> None:
    served.dicom_web("/workitems?1.2.3", "POST", JSON, json.dumps(good()).encode())
    item = (good() if path == "/workitems" else {}) | dict(changes)
    method = "PUT" if path.endswith("/state") else "POST"
    answer = served.dicom_web(path, method, JSON, json.dumps(item).encode())
    assert answer.status in (200, 201, 202, 400, 409, 413), answer.body
    assert served.dicom_web("/workitems?includefield=all&limit=3").status == 200


def test_what_was_deleted_after_its_time_is_410_and_what_never_was_404(served: Web) -> None:
    uid, key = "1.2.840.7", "1.2.840.99"
    served.dicom_web(f"/workitems?workitem={uid}", "POST", JSON, json.dumps(good()).encode())

    def state(wanted: str) -> int:
        body = {"00741000": {"vr": "CS", "Value": [wanted]}, "00081195": {"vr": "UI", "Value": [key]}}
        return served.dicom_web(f"/workitems/{uid}/state", "PUT", JSON, json.dumps(body).encode()).status

    assert state("IN PROGRESS") == 200
    done = performed().to_json().encode()
    assert served.dicom_web(f"/workitems/{uid}?transaction-uid={key}", "POST", JSON, done).status == 200
    assert state("COMPLETED") == 200
    assert served.ctx.workitems is not None
    assert served.ctx.workitems.purge("2999-01-01T00:00:00.000000Z") >= 1
    assert served.dicom_web(f"/workitems/{uid}").status == 410
    assert state("COMPLETED") == 410
    assert served.dicom_web(f"/workitems/{uid}/subscribers/X", "POST").status == 410
    assert served.dicom_web(f"/workitems/{uid}0").status == 404
    again = served.dicom_web(f"/workitems?workitem={uid}", "POST", JSON, json.dumps(good()).encode())
    assert again.status == 409, "a UID is never used twice"
