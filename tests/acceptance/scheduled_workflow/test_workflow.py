"""IHE Scheduled Workflow over real sockets: from the order by HL7 to the guarantee, and where it is otherwise."""

from __future__ import annotations

from tests.acceptance.scheduled_workflow.conftest import Site, admit, order
from tests.support.commitments import until
from tests.support.department import TODAY

from vesalius.model.orders import Identifier
from vesalius.ris import reconcile
from vesalius.simulate.items import typed


def test_from_an_order_by_hl7_to_the_guarantee(site: Site) -> None:
    scanner = site.scanner("SWF1")
    # RAD-1, RAD-2, RAD-4: the patient is registered, the procedure ordered and planned.
    site.says(admit("SWF-1", "Sample^Berta"))
    site.says(order("SWF-1", "Sample^Berta", "PL-1", station="SWF1"))
    placed = site.desk.order(placer=Identifier("PL-1"))
    assert placed.state == "SCHEDULED" and placed.accession
    # RAD-5 to RAD-10: worklist, MPPS, images, MPPS, commitment.
    shift = scanner.run()
    assert scanner.heard() == [
        "begun", "mpps", "acquired", "stored", "mpps", "commitment-asked", "commitment", "deleted",
    ]  # fmt: skip
    (exam,) = shift.done
    assert scanner.files() == [] and all(image.committed for image in exam.images)
    # What everybody knows now.
    assert site.desk.order(placer=Identifier("PL-1")).state == "COMPLETED"
    (study,) = site.studies(study=exam.study)
    assert (study.patient_id, study.name, study.accession) == ("SWF-1", "Sample^Berta", placed.accession)
    assert sorted(study.instances) == sorted(image.uid for image in exam.images)
    until(lambda: site.desk.performed(exam.study)[0].images == "complete")
    until(lambda: {"ORM", "ORU"} <= {one.type for one in site.told("PL-1") if one.value("ORC", 5) == "CM"})
    states = [one.value("ORC", 5) for one in site.told("PL-1") if one.type == "ORM"]
    assert states[-2:] == ["IP", "CM"]
    assert site.desk.items(exam.study) == []


def test_an_unscheduled_case_is_reconciled_with_the_order_that_comes_later(site: Site) -> None:
    scanner = site.scanner("SWF2")
    site.says(admit("SWF-2", "Muster^Anton"))
    unplanned = typed("SWF-2", "Muster^Anton", birth_date="19700101", sex="F")
    (exam,) = scanner.run(unplanned=unplanned).done
    assert site.desk.performed(exam.study)[0].state == "COMPLETED"
    until(lambda: site.desk.items(exam.study))
    (item,) = site.desk.items(exam.study)
    assert item.trouble == "no-order"
    # RAD-3: the order is made up for what was done; the desk ties it to the images.
    now = exam.started
    site.says(order("SWF-2", "Muster^Anton", "PL-2", station="SWF2", start=now[:12]))
    made = site.desk.order(placer=Identifier("PL-2"))
    archive = site.desk.archive
    proposals = archive.ris.look(lambda view: reconcile.proposals(view, item.ref, archive.ris_rules))
    assert proposals[0].order.ref == made.ref, [one.why for one in proposals]
    archive.ris.change(
        lambda work: reconcile.repair(work, site.desk.by("unscheduled"), item.ref, made.ref, archive.ris_rules)
    )
    (study,) = site.studies(study=exam.study)
    assert (study.patient_id, study.accession) == ("SWF-2", made.accession)
    assert site.desk.items(exam.study) == []


def test_an_order_is_cancelled_and_made_anew_for_another_station(site: Site) -> None:
    first, second = site.scanner("SWF3"), site.scanner("SWF4")
    site.says(admit("SWF-3", "Exemple^Zoé"))
    site.says(order("SWF-3", "Exemple^Zoé", "PL-3", station="SWF3"))
    site.says(order("SWF-3", "Exemple^Zoé", "PL-3", station="SWF3", control="CA"))
    site.says(order("SWF-3", "Exemple^Zoé", "PL-4", station="SWF4", start=f"{TODAY}1100"))
    assert first.run().empty
    (exam,) = second.run().done
    assert site.desk.order(placer=Identifier("PL-3")).state == "CANCELLED"
    done = site.desk.order(placer=Identifier("PL-4"))
    assert (done.state, done.accession) == ("COMPLETED", exam.accession)
    assert [one.accession for one in site.studies(patient_id="SWF-3")] == [done.accession]


def test_a_step_that_is_moved_is_done_where_and_once(site: Site) -> None:
    first, second = site.scanner("SWF5"), site.scanner("SWF6")
    site.says(admit("SWF-5", "Esempio^Lucia"))
    site.says(order("SWF-5", "Esempio^Lucia", "PL-5", station="SWF5"))
    site.says(order("SWF-5", "Esempio^Lucia", "PL-5", station="SWF6", start=f"{TODAY}1200", control="XO"))
    assert first.run().empty
    (exam,) = second.run().done
    (study,) = site.studies(patient_id="SWF-5")
    assert study.study == exam.study
    (performed,) = site.desk.performed(exam.study)
    assert (performed.station, performed.state) == ("SWF6", "COMPLETED")
    assert second.run().empty


def test_a_cancelled_order_that_is_done_all_the_same_is_told_to_everybody(site: Site) -> None:
    """The scanner had asked its worklist before the cancellation."""
    scanner = site.scanner("SWF7")
    site.says(admit("SWF-7", "Próba^Ada"))
    site.says(order("SWF-7", "Próba^Ada", "PL-7", station="SWF7"))
    cancel = order("SWF-7", "Próba^Ada", "PL-7", station="SWF7", control="CA")
    scanner.on["begun"] = lambda: site.says(cancel)
    (exam,) = scanner.run().done
    assert all(image.committed for image in exam.images), "images are kept, whatever became of the order"
    assert site.desk.order(placer=Identifier("PL-7")).state == "COMPLETED", "what was done was done"

    def states() -> list[str]:
        return [one.value("ORC", 5) for one in site.told("PL-7") if one.type == "ORM"]

    until(lambda: "CM" in states())
    assert states()[-3:] == ["CA", "IP", "CM"]
    assert site.studies(study=exam.study)[0].accession == exam.accession
    # Somebody has to say whether that is right: the images are on the list until it is said.
    until(lambda: [(one.trouble, one.state) for one in site.desk.items(exam.study)] == [("cancelled-order", "open")])
