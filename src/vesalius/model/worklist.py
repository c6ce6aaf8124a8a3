"""The keys of a modality worklist, what a question to it means, what an item of it says (PS3.4 K.6.1.2, table K.6-1).

Theory. An item of the worklist is a small data set: everything that is known of a scheduled step, its requested
procedure, order, visit and patient, of which an answer is the part that was asked for. A question is the same data set
with conditions in it: each key that is not empty must match, those in the items of a sequence on one item
(PS3.4 C.2.2.2.6). The start of a step is one moment: ranges of dates and of times together are one span, from the
earlier date at the earlier time to the later date at the later time (table K.6-1, Scheduled Procedure Step Start Date).

`narrow` is what a database can use of a question. It may let more through than matches, never less.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from vesalius.model import reading
from vesalius.model.attributes import ColumnKind
from vesalius.model.entities import Values
from vesalius.model.errors import IdentifierMismatch, UnableToProcess
from vesalius.model.matching import value_matches
from vesalius.model.orders import Code, Order, Patient, RequestedProcedure, ScheduledStep, Visit
from vesalius.model.query import Condition, OneOf, Options, QueryLimits, Range, Wildcard
from vesalius.model.query_parser import condition_of
from vesalius.standard.dictionary import describe, vr_of

STEP_SEQUENCE = 0x00400100
STATION, MODALITY, START_DATE, START_TIME, STEP_ID = 0x00400001, 0x00080060, 0x00400002, 0x00400003, 0x00400009
PATIENT_NAME, PATIENT_ID, ACCESSION, PROCEDURE_ID, STUDY_UID = (
    0x00100010,
    0x00100020,
    0x00080050,
    0x00401001,
    0x0020000D,
)
_NOT_KEYS = frozenset((0x00080005, 0x00080052, 0x00080201))
_CODE = (0x00080100, 0x00080102, 0x00080103, 0x00080104)
_REFERENCE = (0x00081150, 0x00081155)

# Sequence -> the keys of its items; None: the top level.
KEYS: dict[int | None, frozenset[int]] = {
    None: frozenset(
        (
            *(STEP_SEQUENCE, PROCEDURE_ID, 0x00321060, 0x00321064, STUDY_UID, 0x00081110, 0x00401003, 0x00401004),
            *(
                0x00401400,
                0x00401002,
                0x0040100A,
                ACCESSION,
                0x00321032,
                0x00080090,
                0x00321033,
                0x00402016,
                0x00402017,
            ),
            *(0x00402400, 0x00402004, 0x00402005, 0x00402008, 0x00402010, 0x00380010, 0x00380300, 0x00380008),
            *(PATIENT_NAME, PATIENT_ID, 0x00100021, 0x00101002, 0x00101001, 0x00100030, 0x00100032, 0x00100040),
            *(0x00101030, 0x00101020, 0x00102160, 0x00101040, 0x00102154, 0x00104000, 0x00403001, 0x00380500),
            *(0x001021C0, 0x00102000, 0x00102110, 0x00380050),
        )
    ),
    STEP_SEQUENCE: frozenset(
        (
            *(STATION, MODALITY, START_DATE, START_TIME, 0x00400006, 0x00400007, 0x00400008, STEP_ID, 0x00400010),
            *(0x00400011, 0x00400012, 0x00321070, 0x00400020, 0x00400400),
        )
    ),
    0x00400008: frozenset(_CODE),
    0x00321064: frozenset(_CODE),
    0x0040100A: frozenset(_CODE),
    0x00081110: frozenset(_REFERENCE),
    0x00101002: frozenset((PATIENT_ID, 0x00100021, 0x00100022)),
}
_KINDS = {"PN": ColumnKind.NAME, "DA": ColumnKind.DATE, "TM": ColumnKind.TIME, "SQ": ColumnKind.SEQUENCE}


@dataclass(slots=True)
class Narrow:
    """What a database can use of a question."""

    begin: str = ""
    end: str = ""
    stations: tuple[str, ...] = ()
    modality: str = ""
    patient_id: str = ""
    accession: str = ""
    procedure: str = ""
    step: str = ""
    study: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Keys:
    """The keys of one level of a question: what must match, and what is answered (None: everything)."""

    conditions: tuple[tuple[int, Condition], ...] = ()
    span: Range | None = None  # of the start, `YYYYMMDDHHMMSS.FFFFFF`
    returns: frozenset[int] | None = None
    inside: Mapping[int, _Keys] = field(default_factory=dict)

    def holds(self, item: Values) -> bool:
        if self.span is not None and not _in_span(item, self.span):
            return False
        for tag, condition in self.conditions:
            if not value_matches(reading.texts(item, tag), kind_of(tag), condition):
                return False
        return all(
            not keys.matches_anything or any(keys.holds(one) for one in reading.items(item, tag))
            for tag, keys in self.inside.items()
        )

    @property
    def matches_anything(self) -> bool:
        """Whether there is a condition at all."""
        return bool(self.conditions or self.span or any(keys.matches_anything for keys in self.inside.values()))

    def cut(self, item: Values) -> Values:
        """What was asked for of an item."""
        if self.returns is None:
            return item
        answer: Values = {}
        for tag in self.returns:
            value = item.get(tag, ())
            keys = self.inside.get(tag)
            if keys is not None:
                items = [one for one in value if isinstance(one, dict)]
                answer[tag] = tuple(keys.cut(one) for one in items if not keys.matches_anything or keys.holds(one))
            else:
                answer[tag] = value
        return answer


@dataclass(frozen=True, slots=True)
class WorklistQuery:
    """A question that was understood."""

    keys: _Keys
    narrow: Narrow
    unsupported: tuple[int, ...] = ()  # keys neither matched nor answered: FF01
    charset: tuple[str, ...] = ()

    def answer(self, item: Values) -> Values | None:
        """What is answered of an item; None where it does not match."""
        return self.keys.cut(item) if self.keys.holds(item) else None


def kind_of(tag: int) -> ColumnKind:
    """How the values of a key are compared."""
    return _KINDS.get(vr_of(tag) or "", ColumnKind.TEXT)


def parse(values: Values, options: Options, limits: QueryLimits) -> WorklistQuery:
    """Understand an identifier.

    Raises `IdentifierMismatch` (A900: what it is made of), `UnableToProcess` (C000: what a value says), `LimitExceeded`
    (A700), each with the offending tags.
    """
    unsupported: list[int] = []
    keys = _keys(None, values, options, limits, unsupported)
    charset = reading.texts(values, 0x00080005)
    return WorklistQuery(keys, _narrowed(keys), tuple(unsupported), charset)


def _keys(sequence: int | None, values: Values, options: Options, limits: QueryLimits, unsupported: list[int]) -> _Keys:
    conditions: dict[int, Condition] = {}
    inside: dict[int, _Keys] = {}
    returns: set[int] = set()
    for tag, value in values.items():
        if tag in _NOT_KEYS or tag & 0xFFFF == 0:
            continue
        if tag not in KEYS[sequence]:
            unsupported.append(tag)
            continue
        returns.add(tag)
        if tag in KEYS:
            inside[tag] = _keys(tag, _item(tag, value), options, limits, unsupported)
            continue
        texts = tuple(text for text in value if isinstance(text, str))
        if len(texts) != len(value):
            raise IdentifierMismatch(f"{describe(tag)} holds items where it should hold text", offending=(tag,))
        condition = condition_of(tag, vr_of(tag) or "LO", kind_of(tag), texts, options, "", limits)
        if condition is not None:
            conditions[tag] = condition
            _check(tag, condition)
    span = _span(conditions) if sequence == STEP_SEQUENCE else None
    everything = sequence is not None and not returns  # an empty item asks for all of it
    return _Keys(tuple(conditions.items()), span, None if everything else frozenset(returns), inside)


def _item(tag: int, value: Iterable[object]) -> Values:
    items = list(value)
    if len(items) > 1 or not all(isinstance(item, dict) for item in items):
        raise IdentifierMismatch(f"{describe(tag)} must hold at most one item", offending=(tag,))
    return items[0] if items else {}  # type: ignore[return-value]


def _check(tag: int, condition: Condition) -> None:
    if isinstance(condition, Range) and condition.low and condition.high and condition.low > condition.high:
        raise UnableToProcess(f"{describe(tag)} is a range that ends before it begins", offending=(tag,))


def _span(conditions: dict[int, Condition]) -> Range | None:
    """The start as one moment, where both its date and its time are ranges; they are no conditions any more then."""
    days, times = conditions.get(START_DATE), conditions.get(START_TIME)
    if not isinstance(days, Range) or not isinstance(times, Range) or days.low == days.high:
        return None
    if times.low is not None and times.high is not None and times.low[:4] == times.high[:4]:
        return None  # one time of day, on each of the days
    del conditions[START_DATE], conditions[START_TIME]
    low = None if days.low is None else days.low + (times.low or "000000.000000")
    high = None if days.high is None else days.high + (times.high or "235959.999999")
    return Range(low, high)


def _in_span(item: Values, span: Range) -> bool:
    start = f"{reading.text(item, START_DATE)}{reading.text(item, START_TIME).ljust(6, '0')}.000000"
    return (span.low is None or start >= span.low) and (span.high is None or start <= span.high)


def _narrowed(keys: _Keys) -> Narrow:
    narrow = Narrow()
    top = dict(keys.conditions)
    narrow.patient_id = _single(top.get(PATIENT_ID))
    narrow.accession = _single(top.get(ACCESSION))
    narrow.procedure = _single(top.get(PROCEDURE_ID))
    narrow.study = _single(top.get(STUDY_UID))
    step = keys.inside.get(STEP_SEQUENCE)
    if step is not None:
        inside = dict(step.conditions)
        narrow.step = _single(inside.get(STEP_ID))
        narrow.modality = _single(inside.get(MODALITY))
        stations = inside.get(STATION)
        narrow.stations = stations.values if isinstance(stations, OneOf) else ()
        days = inside.get(START_DATE)
        if step.span is not None:
            narrow.begin, narrow.end = (step.span.low or "")[:14], (step.span.high or "")[:14]
        elif isinstance(days, Range):
            narrow.begin = f"{days.low}000000" if days.low else ""
            narrow.end = f"{days.high}235959" if days.high else ""
    if narrow == Narrow():
        narrow.names = _prefixes(top.get(PATIENT_NAME))
    return narrow


def _single(condition: Condition | None) -> str:
    return condition.values[0] if isinstance(condition, OneOf) and len(condition.values) == 1 else ""


def _prefixes(condition: Condition | None) -> tuple[str, ...]:
    """What a name must begin with, where the question says so for its alphabetic group."""
    if isinstance(condition, OneOf):
        found: Iterable[str] = condition.values
    elif isinstance(condition, Wildcard):
        found = (pattern.split("*")[0].split("?")[0] for pattern in condition.patterns)
    else:
        return ()
    prefixes = tuple(dict.fromkeys(text.split("=")[0] for text in found))
    return prefixes if all(prefixes) else ()


# -- items


def item_of(
    step: ScheduledStep, procedure: RequestedProcedure, order: Order, patient: Patient, visit: Visit | None
) -> Values:
    """Everything that a worklist says of a scheduled step; empty where nothing is known."""
    named: Values = {
        STATION: step.stations,
        **_texts({
            MODALITY: step.modality,
            START_DATE: step.start[:8],
            START_TIME: step.start[8:],
            0x00400006: step.performing,
            0x00400007: step.description,
            STEP_ID: step.number,
            0x00400010: step.station_name,
            0x00400011: step.location,
            0x00400012: step.premedication,
            0x00321070: step.contrast,
            0x00400020: str(step.state),
            0x00400400: step.comments,
        }),
        0x00400008: codes(step.protocols),
    }  # fmt: skip
    return {
        STEP_SEQUENCE: (named,),
        **_of_procedure(procedure, order),
        **_of_patient(patient),
        **_texts({
            0x00380010: visit.number.value if visit else "",
            0x00380300: visit.location if visit else "",
            0x00380008: visit.state.upper() if visit else "",
        }),
    }  # fmt: skip


def _of_procedure(procedure: RequestedProcedure, order: Order) -> Values:
    return {
        **_texts({
            PROCEDURE_ID: procedure.number,
            0x00321060: procedure.description,
            STUDY_UID: procedure.study_uid,
            0x00401003: str(order.priority),
            0x00401004: order.transport,
            0x00401400: procedure.comments,
            0x00401002: procedure.reason or order.reason,
            ACCESSION: order.accession,
            0x00321032: order.ordering,
            0x00080090: order.referring,
            0x00321033: order.service,
            0x00402016: order.placer.value,
            0x00402017: order.filler.value,
            0x00402400: order.comments,
            0x00402004: order.entered_at[:10].replace("-", ""),
            0x00402005: order.entered_at[11:19].replace(":", ""),
            0x00402008: order.entered_by,
            0x00402010: order.callback,
        }),
        0x00321064: codes([procedure.code] if procedure.code else []),
        0x0040100A: codes([order.reason_code] if order.reason_code else []),
        0x00081110: (),
    }  # fmt: skip


def _of_patient(patient: Patient) -> Values:
    others = tuple(
        _texts({PATIENT_ID: one.value, 0x00100021: one.issuer, 0x00100022: "TEXT"}) for one in patient.others
    )
    return {
        **_texts({
            PATIENT_NAME: patient.name,
            PATIENT_ID: patient.identifier.value,
            0x00100021: patient.identifier.issuer,
            0x00100030: patient.birth_date,
            0x00100032: patient.birth_time,
            0x00100040: patient.sex,
            0x00101030: patient.weight,
            0x00101020: patient.size,
            0x00102160: patient.ethnic_group,
            0x00101040: patient.address,
            0x00102154: patient.telephone,
            0x00104000: patient.comments,
            0x00403001: patient.confidentiality,
            0x00380500: patient.state,
            0x001021C0: patient.pregnancy,
            0x00380050: patient.special_needs,
        }),
        0x00101001: patient.other_names,
        0x00102000: patient.alerts,
        0x00102110: patient.allergies,
        0x00101002: others,
    }  # fmt: skip


def codes(found: Iterable[Code]) -> tuple[Values, ...]:
    """Codes as the items of a code sequence (PS3.3 8.8)."""
    return tuple(
        _texts({0x00080100: code.value, 0x00080102: code.scheme, 0x00080103: code.version, 0x00080104: code.meaning})
        for code in found
    )


def _texts(values: Mapping[int, str]) -> Values:
    return {tag: (text,) if text else () for tag, text in values.items()}


def tags() -> Iterator[tuple[int | None, int]]:
    """Every key with the sequence that it stands in, for the conformance statement."""
    for sequence, keys in KEYS.items():
        yield from ((sequence, tag) for tag in sorted(keys))
