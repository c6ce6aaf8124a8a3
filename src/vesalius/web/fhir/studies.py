"""ImagingStudy: the studies of the archive, read and searched, whoever ordered them (R4 imagingstudy.html).

Theory. Studies come from the index through `archive/search` as every other answer, so a repair or a merge shows here
as it does in QIDO-RS; patient and order are looked up beside. A page also ends where its studies have `MOST_INSTANCES`
instances together: every instance is listed, and a page has to end somewhere. `_summary=true` leaves them out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from vesalius.model.entities import Level, Values
from vesalius.model.orders import Identifier, Link, Patient, RequestedProcedure
from vesalius.model.query import Condition, OneOf, Options, Query, Range, Root
from vesalius.ports.ris import Match, RisView, Term
from vesalius.ris import patients
from vesalius.web.fhir import endpoints, times
from vesalius.web.fhir import mapping_study as mapping
from vesalius.web.fhir.mapping_study import FullStudy, imaging_study, text
from vesalius.web.fhir.parameters import CURSOR, Asked, Given, Parameter
from vesalius.web.fhir.problems import FhirProblem, Json, bad_parameter
from vesalius.web.fhir.references import orders_meant, patients_meant, targets
from vesalius.web.fhir.resources import Found, Reader, Resource, nothing_there, number_of
from vesalius.web.fhir.service_requests import one_of
from vesalius.web.fhir.terms import DICOM_UID, OID, issuers_of

MOST_INSTANCES = 20_000  # on a page
CHUNK = 200
MOST_SCANNED = 20_000
_UID_LENGTH = 64
_DAYS = (timedelta(days=-1), timedelta(days=1))

PARAMETERS = (
    Parameter("identifier", "token", "urn:dicom:uid|urn:oid:UID of the study, or an accession number"),
    Parameter("patient", "reference", "whom it shows", ("identifier",)),
    Parameter("subject", "reference", "the same", ("identifier",)),
    Parameter("started", "date", "when the study began"),
    Parameter("modality", "token", "one of the modalities of its series"),
    Parameter("status", "token", "available is the only one"),
    Parameter("basedon", "reference", "the order", ("identifier",)),
    Parameter("endpoint", "reference", "where it can be retrieved"),
)
INCLUDES = ("ImagingStudy:patient", "ImagingStudy:subject", "ImagingStudy:basedon", "ImagingStudy:endpoint")
_ENDPOINT = f"Endpoint/{endpoints.WADO}"


@dataclass(slots=True)
class _Wanted:
    """What a search asks the index, and what it tests of the answers."""

    conditions: list[tuple[int, Condition]] = field(default_factory=list)
    tests: list[Callable[[Values], bool]] = field(default_factory=list)
    nothing: bool = False

    def any_of(self, tag: int, values: Sequence[str]) -> None:
        """The attribute has one of these values."""
        if values:
            self.conditions.append((tag, OneOf(tuple(dict.fromkeys(values)))))
        else:
            self.nothing = True

    def query(self, *, limit: int | None, offset: int, returns: frozenset[int]) -> Query:
        """The question; two conditions on one attribute are two questions, of which the index takes one."""
        merged: dict[int, Condition] = {}
        for tag, condition in self.conditions:
            before = merged.get(tag)
            if isinstance(before, OneOf) and isinstance(condition, OneOf):
                condition = OneOf(tuple(value for value in before.values if value in condition.values))
                self.nothing = self.nothing or not condition.values
            elif isinstance(before, Range) and isinstance(condition, Range):
                low = max(filter(None, (before.low, condition.low)), default=None)
                high = min(filter(None, (before.high, condition.high)), default=None)
                condition = Range(low, high)
            merged[tag] = condition
        return Query(
            Root.STUDY, Level.STUDY, tuple(merged.items()), returns, options=Options(relational=True), limit=limit,
            offset=offset,
        )  # fmt: skip


def read(reader: Reader, name: str) -> Json:
    """One study. Raises `FhirProblem` (404, 410)."""
    wanted = _Wanted()
    wanted.any_of(mapping.STUDY, [name])
    found = _asked_of_index(reader, wanted.query(limit=1, offset=0, returns=mapping.OF_STUDY))
    if not found:
        if len(name) <= _UID_LENGTH and reader.ctx.index.is_deleted(name, "", ""):
            raise FhirProblem(410, "this study is deleted", "It can be brought back for a while.")
        raise nothing_there("ImagingStudy")
    return _written(reader, found, with_instances=True)[0][0]


def read_many(reader: Reader, names: Sequence[str]) -> list[Json]:
    """Some studies."""
    wanted = _Wanted()
    wanted.any_of(mapping.STUDY, names)
    found = _asked_of_index(reader, wanted.query(limit=None, offset=0, returns=mapping.OF_STUDY)) if names else []
    return _written(reader, found, with_instances=True)[0]


def search(reader: Reader, asked: Asked) -> Found:
    """Studies that match. Blocks. Raises `FhirProblem` (400)."""
    wanted = reader.look(lambda view: _understood(view, reader, asked))
    offset = number_of(asked.cursor) if asked.cursor else 0
    if asked.cursor and not offset:
        raise bad_parameter(CURSOR, "is not one that this server gave")
    wanted.query(limit=1, offset=0, returns=frozenset())  # says whether two conditions exclude each other
    if wanted.nothing:
        return Found(total=0)
    if asked.counts_only:
        return Found(total=_count(reader, wanted))
    found, cursor = _page(reader, wanted, asked, offset)
    resources, orders, people = _written(reader, found, with_instances=asked.summary != "true")
    total = len(found) if not offset and not cursor else None
    if total is None and (asked.total or not wanted.conditions):
        total = _count(reader, wanted)
    included = {
        "ImagingStudy:patient": people,
        "ImagingStudy:subject": people,
        "ImagingStudy:basedon": orders,
        "ImagingStudy:endpoint": [_ENDPOINT],
    }
    return Found(tuple(resources), total, cursor, included)


def _page(reader: Reader, wanted: _Wanted, asked: Asked, offset: int) -> tuple[list[Values], str]:
    """The studies of a page, and where the next one begins."""
    found: list[Values] = []
    instances = seen = 0
    chunk = CHUNK if wanted.tests else asked.count + 1
    while seen < MOST_SCANNED:
        studies = _asked_of_index(reader, wanted.query(limit=chunk, offset=offset, returns=mapping.OF_STUDY))
        for study in studies:
            if all(test(study) for test in wanted.tests):
                size = mapping.number(study, mapping.STUDY_INSTANCES) or 0
                full = asked.summary != "true" and found and instances + size > MOST_INSTANCES
                if len(found) == asked.count or full:
                    return found, str(offset)
                found.append(study)
                instances += size
            offset += 1
            seen += 1
        if len(studies) < chunk:
            return found, ""
    return found, str(offset)


def _count(reader: Reader, wanted: _Wanted) -> int:
    if not wanted.conditions and not wanted.tests:
        return reader.ctx.index.totals().studies
    returns = mapping.OF_STUDY if wanted.tests else frozenset((mapping.STUDY,))
    query = wanted.query(limit=None, offset=0, returns=returns)
    return sum(all(test(study) for test in wanted.tests) for page in reader.ctx.search.find(query) for study in page)


def _asked_of_index(reader: Reader, query: Query) -> list[Values]:
    return [values for page in reader.ctx.search.find(query) for values in page]


def _below(reader: Reader, level: Level, uids: Sequence[str], returns: frozenset[int]) -> dict[str, list[Values]]:
    """Series or instances of some studies, by study."""
    query = Query(Root.STUDY, level, ((mapping.STUDY, OneOf(tuple(uids))),), returns, options=Options(relational=True))
    found: dict[str, list[Values]] = {uid: [] for uid in uids}
    for values in _asked_of_index(reader, query) if uids else ():
        found[text(values, mapping.STUDY)].append(values)
    return found


def _written(
    reader: Reader, studies: Sequence[Values], *, with_instances: bool
) -> tuple[list[Json], list[str], list[str]]:
    """The resources, and references to the orders and patients that they name."""
    uids = [text(study, mapping.STUDY) for study in studies]
    series = _below(reader, Level.SERIES, uids, mapping.OF_SERIES)
    instances = _below(reader, Level.IMAGE, uids, mapping.OF_INSTANCE) if with_instances else {}
    people, orders = reader.look(lambda view: (_people(view, reader, studies), _orders(view, uids)))
    full = [
        FullStudy(
            study, series[uid], instances.get(uid, ()), people.get(_identifier(reader, study).key, 0),
            orders.get(uid, ()),
        )
        for study, uid in zip(studies, uids, strict=True)
    ]  # fmt: skip
    return (
        [imaging_study(one, _ENDPOINT) for one in full],
        [f"ServiceRequest/{ref}" for one in full for ref in one.orders],
        [f"Patient/{one.patient}" for one in full if one.patient],
    )


def _identifier(reader: Reader, study: Values) -> Identifier:
    return reader.rules.issued(Identifier(text(study, mapping.PATIENT_ID), text(study, mapping.ISSUER)))


def _people(view: RisView, reader: Reader, studies: Sequence[Values]) -> dict[str, int]:
    """Key of an identifier -> the record that it means."""
    keys = [_identifier(reader, study).key for study in studies if text(study, mapping.PATIENT_ID)]
    found: dict[str, int] = {}
    for start in range(0, len(keys), CHUNK):
        for one in view.page(Patient, [_texts("identity", keys[start : start + CHUNK])]):
            found[one.identifier.key] = patients.surviving(view, one).ref
    return found


def _texts(column: str, values: Sequence[str]) -> tuple[Term, ...]:
    return (Term(column, Match.IN, tuple(dict.fromkeys(values))),)


def _orders(view: RisView, uids: Sequence[str]) -> dict[str, list[int]]:
    """Study -> the orders that it is of: by what the workflow tied it to, else by the UID that was given to it."""
    found: dict[str, list[int]] = {}
    if uids:
        for procedure in view.page(RequestedProcedure, [_texts("study_uid", uids)]):
            found.setdefault(procedure.study_uid, []).append(procedure.order)
        found |= {link.study: [link.order] for link in view.page(Link, [_texts("study", uids)]) if link.order}
    return {uid: list(dict.fromkeys(orders)) for uid, orders in found.items()}


def _understood(view: RisView, reader: Reader, asked: Asked) -> _Wanted:
    wanted = _Wanted()
    for given in asked.given:
        match given.name:
            case "_id":
                wanted.any_of(mapping.STUDY, given.strings())
            case "identifier":
                _by_identifier(wanted, given)
            case "patient" | "subject":
                _by_patient(view, reader, wanted, given)
            case "started":
                _by_start(wanted, given)
            case "modality":
                wanted.any_of(mapping.MODALITIES, [token.value for token in given.tokens()])
            case "status":
                wanted.nothing |= mapping.STATUS not in {token.value for token in given.tokens()}
            case "basedon":
                orders = orders_meant(view, given, reader.base)
                wanted.any_of(mapping.STUDY, _studies_of(view, orders))
            case "endpoint":
                wanted.nothing |= endpoints.WADO not in targets(given, "Endpoint", reader.base)
    return wanted


def _by_identifier(wanted: _Wanted, given: Given) -> None:
    uids, accessions = [], []
    for token in given.tokens():
        if token.system == DICOM_UID or token.value.startswith(OID):
            uids.append(token.value.removeprefix(OID))
        elif token.value:
            accessions.append(token.value)
    if uids and accessions:
        raise bad_parameter("identifier", "takes study UIDs or accession numbers, not both at once")
    wanted.any_of(mapping.STUDY if uids else mapping.ACCESSION, uids or accessions)


def _by_patient(view: RisView, reader: Reader, wanted: _Wanted, given: Given) -> None:
    """Images are under the ID of the record, or under one that it had; without a record, under the ID itself."""
    rules = reader.rules
    numbers: list[Identifier] = []
    anyone: set[str] = set()
    for ref in patients_meant(view, rules, given, reader.base):
        record = view.get(Patient, ref)
        numbers += [record.identifier, *record.others]
    for token in given.tokens() if given.chain == "identifier" else ():
        if token.system is None:
            anyone.add(token.value)
        else:
            numbers += [rules.issued(Identifier(token.value, issuer)) for issuer in issuers_of(token.system)]
    meant = {(one.value, issuer) for one in numbers if one.value for issuer in rules.issuers(one)}
    wanted.any_of(mapping.PATIENT_ID, [*anyone, *(value for value, _ in meant)])

    def holds(study: Values) -> bool:
        value = text(study, mapping.PATIENT_ID)
        return value in anyone or (value, text(study, mapping.ISSUER)) in meant

    wanted.tests.append(holds)


def _by_start(wanted: _Wanted, given: Given) -> None:
    tests = given.dates()
    bounds = tests[0].bounds
    if len(tests) == 1 and bounds is not None:
        # A day more on both sides: where it is which day, the offset of the study says.
        low, high = (
            f"{bound + side:%Y%m%d}" if bound is not None else None for bound, side in zip(bounds, _DAYS, strict=True)
        )
        wanted.conditions.append((mapping.STUDY_DATE, Range(low, high)))

    def holds(study: Values) -> bool:
        began = times.moment(_start(study))
        return any(test.holds(began) for test in tests)

    wanted.tests.append(holds)


def _start(study: Values) -> str:
    """When a study began, on the clocks of the house, as it is answered."""
    return times.date_time(
        text(study, mapping.STUDY_DATE), text(study, mapping.STUDY_TIME), text(study, mapping.TIMEZONE)
    )


def _studies_of(view: RisView, orders: Sequence[int]) -> list[str]:
    if not orders:
        return []
    linked = [link.study for link in view.page(Link, [one_of("order_ref", orders)])]
    return linked + [
        one.study_uid for one in view.page(RequestedProcedure, [one_of("order_ref", orders)]) if one.study_uid
    ]


RESOURCE = Resource(
    "ImagingStudy",
    "The studies of the archive with their series and instances.",
    PARAMETERS,
    INCLUDES,
    read,
    search,
    read_many,
)
