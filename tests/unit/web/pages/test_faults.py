"""What failed is told with what to do about it."""

from __future__ import annotations

from vesalius.web.pages.faults import Fault, faults
from vesalius.web.pages.messages import Messages

METRICS = b"""# TYPE vesalius_associations counter
vesalius_associations_total{outcome="accepted"} 900.0
vesalius_associations_total{outcome="rejected 1/1/7"} 3.0
vesalius_associations_total{outcome="rejected 1/2/1"} 1.0
vesalius_dimse_responses_total{service="C-STORE",status="0000"} 70000.0
vesalius_dimse_responses_total{service="C-STORE",status="A700"} 5.0
vesalius_dimse_responses_total{service="C-FIND",status="C000"} 4.0
vesalius_dimse_responses_total{service="C-MOVE",status="A801"} 2.0
vesalius_dimse_responses_total{service="C-FIND",status="FE00"} 8.0
vesalius_instances_total{verdict="stored"} 70000.0
vesalius_instances_total{verdict="refused"} 6.0
"""


def test_failures_are_counted_by_code_the_most_frequent_first_and_successes_are_none() -> None:
    assert faults(METRICS) == (
        Fault("stored.refused", 6, "refused"),
        Fault("failed", 5, "resources", "A700", "C-STORE"),
        Fault("failed", 4, "identifier", "C000", "C-FIND"),
        Fault("rejected", 3, "rejected.called", "1/1/7"),
        Fault("failed", 2, "destination", "A801", "C-MOVE"),
        Fault("rejected", 1, "rejected.other", "1/2/1"),
    )


def test_every_fault_has_words_and_advice() -> None:
    t = Messages("en")
    for fault in faults(METRICS):
        assert t.has(f"fault.{fault.what}") and t.has(f"todo.{fault.todo}")
