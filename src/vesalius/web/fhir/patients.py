"""Patient: the records of the workflow, read and searched. A merged record says by which one it was replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vesalius.model.errors import NoSuchRecord
from vesalius.model.names import fold, fold_groups
from vesalius.model.orders import Merge, Patient
from vesalius.ports.ris import Match, RisView, Term
from vesalius.web.fhir import mapping_patient
from vesalius.web.fhir.parameters import LAST_UPDATED, Asked, Given, Parameter
from vesalius.web.fhir.problems import Json, bad_parameter
from vesalius.web.fhir.references import patients_under
from vesalius.web.fhir.resources import Found, Reader, Resource, nothing_there, number_of
from vesalius.web.fhir.scan import Filter, scan
from vesalius.web.fhir.times import DateTest, moment

_STRING = ("exact", "contains")
PARAMETERS = (
    LAST_UPDATED,
    Parameter("identifier", "token", "Patient ID and issuer; that of a merged record finds the surviving one"),
    Parameter("name", "string", "the beginning of any part of the name", modifiers=_STRING),
    Parameter("family", "string", "the beginning of the family name", modifiers=_STRING),
    Parameter("given", "string", "the beginning of a given name", modifiers=_STRING),
    Parameter("birthdate", "date", "date of birth"),
    Parameter("gender", "token", "male, female, other, unknown"),
    Parameter("active", "token", "false: records that were merged into another one; they are left out otherwise"),
)  # fmt: skip

_PARTS: dict[str, tuple[int, ...]] = {"name": (0, 1, 2, 3, 4), "family": (0,), "given": (1, 2)}
_SEXES = {text: sex for sex, text in mapping_patient.GENDERS.items()}


def loaded(view: RisView, found: Sequence[Patient]) -> Sequence[Patient]:
    """Nothing is around a patient."""
    return found


def written(view: RisView, found: Sequence[Patient]) -> list[Json]:
    """The resources of some records."""
    changes = view.last_changes(Patient, [one.ref for one in found])
    made = []
    for one in found:
        replaced = [merge.gone for merge in view.find(Merge, survivor=one.ref, undone_at="")]
        made.append(mapping_patient.patient(one, changed=changes.get(one.ref, ""), replaces=replaced))
    return made


def read(reader: Reader, text: str) -> Json:
    """One record, a merged one too. Raises `FhirProblem` (404)."""

    def work(view: RisView) -> Json:
        return written(view, [view.get(Patient, number_of(text))])[0]

    try:
        return reader.look(work)
    except NoSuchRecord:
        raise nothing_there("Patient") from None


def read_many(reader: Reader, ids: Sequence[str]) -> list[Json]:
    """Some records."""
    refs = tuple(map(number_of, ids))
    return reader.look(lambda view: written(view, view.page(Patient, [(Term("id", Match.IN, refs),)])))


def search(reader: Reader, asked: Asked) -> Found:
    """Records that match."""

    def work(view: RisView) -> Found:
        wanted: Filter[Patient, Patient] = Filter()
        is_active: bool | None = True
        for given in asked.given:
            if given.name in ("_id", "active"):
                is_active = None  # a record that is named is answered whatever became of it
        for given in asked.given:
            if not wanted.common(given):
                _narrow(view, reader, wanted, given)
        if is_active:
            wanted.any_of("merged_into", (0,))
        found = scan(view, Patient, wanted, loaded, lambda one: one.ref, asked)
        return Found(tuple(written(view, found.records)), found.total, found.cursor)

    return reader.look(work)


def _narrow(view: RisView, reader: Reader, wanted: Filter[Patient, Patient], given: Given) -> None:
    match given.name:
        case "identifier":
            wanted.any_of("id", patients_under(view, reader.rules, given.tokens()))
        case "name" | "family" | "given":
            _by_name(wanted, given)
        case "birthdate":
            if not wanted.between("birth_date", given, lambda day: day.strftime("%Y%m%d")):
                dates = given.dates()
                wanted.tests.append(lambda one: _born(one, dates))
        case "gender":
            values = [token.value for token in given.tokens()]
            if unknown := [value for value in values if value not in (*_SEXES, "unknown")]:
                raise bad_parameter("gender", f"{len(unknown)} of the values are no administrative gender")
            sexes = frozenset(_SEXES.get(value, "") for value in values)
            wanted.tests.append(lambda one: one.sex in sexes)
        case "active":
            values = [token.value for token in given.tokens()]
            if not set(values) <= {"true", "false"}:
                raise bad_parameter("active", "is true or false")
            if values == ["true"]:
                wanted.any_of("merged_into", (0,))
            elif values == ["false"]:
                wanted.where.append((Term("merged_into", Match.FROM, (1,)),))


def _by_name(wanted: Filter[Patient, Patient], given: Given) -> None:
    """Strings match the beginning, without case and accents (search.html 3.1.1.4.8), as the column is folded."""
    parts = _PARTS[given.name]
    terms: list[Term] = []
    checks: list[Callable[[str], bool]] = []
    for value in given.strings():
        folded = fold(value.replace("^", " ").replace("=", " "))
        if given.modifier == "contains" or given.modifier == "exact":
            terms.append(Term("name", Match.CONTAINS, (folded,)))
        else:
            terms.append(Term("name", Match.PREFIX, (folded,)))
            terms += [Term("name", Match.CONTAINS, (f"{mark}{folded}",)) for mark in ("^", "=", " ", "-")]
        checks.append(_check(value, folded, given.modifier))
    wanted.where.append(tuple(terms))

    def holds(one: Patient) -> bool:
        sent = [group.split("^") for group in one.name.split("=")]
        if given.modifier == "exact":
            texts = [group[part].strip() for group in sent for part in parts if part < len(group)]
        else:
            groups = [group.split("^") for group in fold_groups(one.name)]
            texts = [group[part] for group in groups for part in parts if part < len(group)]
        return any(check(text) for text in texts if text for check in checks)

    wanted.tests.append(holds)


def _check(value: str, folded: str, modifier: str) -> Callable[[str], bool]:
    if modifier == "exact":
        return lambda text: text == value
    if modifier == "contains":
        return lambda text: folded in text
    return lambda text: (
        text.startswith(folded) or any(word.startswith(folded) for word in text.replace("-", " ").split())
    )


def _born(one: Patient, dates: Sequence[DateTest]) -> bool:
    day = moment(one.birth_date)
    return any(test.holds(day) for test in dates)


RESOURCE = Resource(
    "Patient",
    "The records of the workflow. A study whose patient has no record names its patient by identifier.",
    PARAMETERS,
    (),
    read,
    search,
    read_many,
)
