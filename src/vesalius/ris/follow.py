"""Images follow their patient: what the record says is answered in place of what was received.

Theory. IHE Patient Information Reconciliation (RAD TF-1 4): a name that becomes known, a birth date that was corrected,
a record that was merged must show in the images that are here already. Nothing is rewritten: a repair is kept
(`ports/coercions.py`), with the values that differ and no others, and it can be taken back.
"""

from __future__ import annotations

from collections.abc import Iterable

from vesalius.model import repairs
from vesalius.model.orders import By, Order, Patient
from vesalius.ports.coercions import Repair
from vesalius.ports.ris import RisView, RisWork, StudyFacts
from vesalius.ris.rules import RisRules


def studies_of(view: RisView, patient: Patient, rules: RisRules) -> list[StudyFacts]:
    """The studies that are kept under the patient's ID."""
    identifier = rules.issued(patient.identifier)
    return view.studies_of(identifier, issuers=rules.issuers(identifier))


def differences(facts: StudyFacts, patient: Patient, rules: RisRules) -> dict[int, str]:
    """Attributes of the images that say something else than the patient's record; what the record lacks stays."""
    found: dict[int, str] = {}
    identifier = rules.issued(patient.identifier)
    if facts.identifier.value != identifier.value:
        found[repairs.PATIENT_ID] = identifier.value
    if facts.identifier.issuer not in rules.issuers(identifier):
        found[repairs.ISSUER_OF_PATIENT_ID] = identifier.issuer
    if patient.name and _plain(facts.name) != _plain(patient.name):
        found[repairs.PATIENT_NAME] = patient.name
    if patient.birth_date and "".join(filter(str.isdigit, facts.birth_date)) != patient.birth_date:
        found[repairs.BIRTH_DATE] = patient.birth_date
    if patient.sex and facts.sex != patient.sex:
        found[repairs.SEX] = patient.sex
    return found


def order_differences(facts: StudyFacts, order: Order) -> dict[int, str]:
    """The same for what an order says of its images."""
    found: dict[int, str] = {}
    if order.accession and facts.accession != order.accession:
        found[repairs.ACCESSION_NUMBER] = order.accession
    if order.referring and _plain(facts.referring) != _plain(order.referring):
        found[repairs.REFERRING_PHYSICIAN] = order.referring
    return found


def follow(
    work: RisWork, by: By, patient: Patient, studies: Iterable[StudyFacts], rules: RisRules, *, kind: str, why: str
) -> int:
    """Have these studies say what the patient's record says; the repair's number, 0 where they did already."""
    values = {facts.study: changed for facts in studies if (changed := differences(facts, patient, rules))}
    if not values:
        return 0
    return work.coerce(Repair(kind, by.at, by.who, why), values)


def _plain(name: str) -> str:
    return "=".join(group.strip().rstrip("^ ") for group in name.split("=")).rstrip("=")
