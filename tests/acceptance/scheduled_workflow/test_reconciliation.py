"""IHE Patient Information Reconciliation over real sockets: by HL7, with scanners that know nothing of it."""

from __future__ import annotations

import pytest
from tests.acceptance.scheduled_workflow.conftest import Site, admit, merge, order
from tests.support.commitments import until

from vesalius.model.orders import Identifier


def test_an_unidentified_emergency_patient_is_named_later(site: Site) -> None:
    scanner = site.scanner("PIR1")
    site.says(admit("EMERG-1", "Unknown^Male", "", event="A04"))
    site.says(order("EMERG-1", "Unknown^Male", "EM-1", station="PIR1", priority="S"))
    (exam,) = scanner.run().done
    assert site.studies(study=exam.study)[0].name == "Unknown^Male"
    # RAD-12: the patient is identified, under the same number.
    site.says(admit("EMERG-1", "Yamada^Tarou^^^^^L^A~山田^太郎^^^^^L^I~やまだ^たろう^^^^^L^P", "19800229", event="A08"))
    (study,) = site.studies(study=exam.study)
    assert study.name == "Yamada^Tarou=山田^太郎=やまだ^たろう"
    assert study.accession == site.desk.order(placer=Identifier("EM-1")).accession
    assert len(study.instances) == 4 and site.desk.items(exam.study) == []


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_temporary_record_is_merged(site: Site, when: str) -> None:
    kept, gone, station = f"KEPT-{when}", f"TEMP-{when}", f"PIR-{when}"
    scanner = site.scanner(station)
    site.says(admit(kept, "Doe^Jane"))
    site.says(admit(gone, "Unknown^Female", ""))
    site.says(order(gone, "Unknown^Female", f"EM-{when}", station=station, priority="S"))
    message = merge(kept, "Doe^Jane", gone)
    if when == "before":
        site.says(message)
    elif when == "during":  # the scanner has begun, and its images say the temporary number
        scanner.on["acquired"] = lambda: site.says(message)
    (exam,) = scanner.run().done
    assert exam.patient_id == (kept if when == "before" else gone)
    if when == "after":
        site.says(message)
    accession = site.desk.order(placer=Identifier(f"EM-{when}")).accession

    def seen() -> tuple[str, str, str]:
        (study,) = site.studies(study=exam.study)
        return study.patient_id, study.name, study.accession

    until(lambda: seen() == (kept, "Doe^Jane", accession))
    assert site.studies(patient_id=gone) == []
    assert len(site.studies(study=exam.study)[0].instances) == 4
    assert site.desk.order(placer=Identifier(f"EM-{when}")).state == "COMPLETED"
    assert site.desk.items(exam.study) == [], "the merge was somebody's decision already"
    assert scanner.files() == []
