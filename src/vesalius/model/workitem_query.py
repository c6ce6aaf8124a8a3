"""A question to the workitems, and which of them it means: C-FIND, search by HTTP, filters of subscriptions (CC.2.8).

Theory. A question is a data set with conditions in it, as everywhere (PS3.4 C.2.2.2): each key that is not empty must
match, those inside a sequence on one item. A workitem is small and kept whole, so any attribute of it may be a key,
private ones and those inside sequences too; what the database has columns for (`Narrow`) only makes it quick. The
Transaction UID is no key and is never answered: it is the lock (PS3.4 CC.2.7.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vesalius.model import datetimes, reading
from vesalius.model import workitems as w
from vesalius.model.attributes import ColumnKind
from vesalius.model.entities import Values
from vesalius.model.errors import UnableToProcess
from vesalius.model.matching import value_matches
from vesalius.model.query import Condition, OneOf, Options, QueryLimits, Range, Wildcard
from vesalius.model.query_parser import LIMITS, NO_OPTIONS, condition_of
from vesalius.standard.dictionary import describe, vr_of
from vesalius.standard.sop_classes import UPS_PUSH

DEPTH = 8  # sequences in a question

_NOT_KEYS = frozenset((w.SPECIFIC_CHARACTER_SET, 0x00080052, 0x00080201, w.TRANSACTION_UID))
_KINDS = {
    "PN": ColumnKind.NAME, "DA": ColumnKind.DATE, "TM": ColumnKind.TIME, "DT": ColumnKind.DATETIME,
}  # fmt: skip
_TIMEZONE = 0x00080201


@dataclass(frozen=True, slots=True)
class Narrow:
    """What narrows a question down in the database; a superset of what matches may come."""

    uids: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    patient_id: str = ""
    study: str = ""
    label: str = ""  # Worklist Label
    begin: str = ""  # Scheduled Procedure Step Start DateTime, as its digits; a prefix compares
    end: str = ""
    names: tuple[str, ...] = ()  # folded; a group of Patient's Name begins with one of these


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one level: what must match, and what is answered."""

    conditions: tuple[tuple[int, Condition], ...] = ()
    returns: frozenset[int] = frozenset()
    inside: Mapping[int, Keys] = field(default_factory=dict)

    @property
    def asks(self) -> bool:
        """Whether there is a condition at all."""
        return bool(self.conditions or any(keys.asks for keys in self.inside.values()))

    def hold(self, item: Values, offset: int | None) -> bool:
        """Whether everything that is asked for is so. `offset`: of the workitem's times, minutes."""
        for tag, condition in self.conditions:
            if not _matches(tag, reading.texts(item, tag), condition, offset):
                return False
        return all(
            not keys.asks or any(keys.hold(one, offset) for one in reading.items(item, tag))
            for tag, keys in self.inside.items()
        )

    def cut(self, item: Values) -> Values:
        """What was asked for of an item; a sequence whole where nothing inside it was named."""
        answer: Values = {}
        for tag in self.returns:
            value = item.get(tag, ())
            keys = self.inside.get(tag)
            if keys is not None and keys.returns:
                answer[tag] = tuple(keys.cut(one) for one in value if isinstance(one, dict))
            else:
                answer[tag] = value
        return answer


@dataclass(frozen=True, slots=True)
class WorkitemQuery:
    """A question that was understood."""

    keys: Keys
    narrow: Narrow = Narrow()
    charset: tuple[str, ...] = ()

    def matches(self, item: w.Workitem) -> bool:
        """Whether a workitem is an answer."""
        return not item.gone and self.keys.hold(shown(item), datetimes.parse_offset(item.text(_TIMEZONE)))

    def answer(self, item: w.Workitem) -> Values:
        """What is answered of one that matches."""
        return self.keys.cut(shown(item))


def shown(item: w.Workitem) -> Values:
    """Everything that is told of a workitem: its values, and what it is called."""
    return {
        **item.values,
        w.SOP_CLASS_UID: (UPS_PUSH,),
        w.SOP_INSTANCE_UID: (item.uid,),
        w.STATE: (str(item.state),),
    }


def parse(values: Values, options: Options = NO_OPTIONS, limits: QueryLimits = LIMITS) -> WorkitemQuery:
    """Understand a question. Raises `UnableToProcess` (C000), `LimitExceeded` (A700) with the offending tags."""
    keys = _keys(values, options, limits, DEPTH)
    return WorkitemQuery(keys, _narrowed(keys), reading.texts(values, w.SPECIFIC_CHARACTER_SET))


def _keys(values: Values, options: Options, limits: QueryLimits, depth: int) -> Keys:
    conditions: list[tuple[int, Condition]] = []
    inside: dict[int, Keys] = {}
    returns: set[int] = set()
    for tag, value in values.items():
        if tag in _NOT_KEYS or tag & 0xFFFF == 0:
            continue
        returns.add(tag)
        items = [one for one in value if isinstance(one, dict)]
        if items:
            if len(items) > 1 or len(items) != len(value) or not depth:
                raise UnableToProcess(f"{describe(tag)} must hold at most one item", offending=(tag,))
            inside[tag] = _keys(items[0], options, limits, depth - 1)
            continue
        texts = tuple(text for text in value if isinstance(text, str))
        vr = vr_of(tag) or "LO"
        kind = _KINDS.get(vr, ColumnKind.TEXT)
        condition = condition_of(tag, vr, kind, texts, options, "", limits)
        if condition is not None:
            if isinstance(condition, Range) and condition.low and condition.high and condition.low > condition.high:
                raise UnableToProcess(f"{describe(tag)} is a range that ends before it begins", offending=(tag,))
            conditions.append((tag, condition))
    return Keys(tuple(conditions), frozenset(returns), inside)


def _matches(tag: int, texts: tuple[str, ...], condition: Condition, offset: int | None) -> bool:
    kind = _KINDS.get(vr_of(tag) or "LO", ColumnKind.TEXT)
    if kind is ColumnKind.DATETIME and isinstance(condition, Range):
        for text in texts:
            instant = datetimes.normalize_datetime(text, offset)
            if instant is None:
                continue
            if (condition.low is None or instant >= condition.low) and (
                condition.high is None or instant <= condition.high
            ):
                return True
        return False
    return value_matches(texts, kind, condition)


def _narrowed(keys: Keys) -> Narrow:
    top = dict(keys.conditions)

    def several(tag: int) -> tuple[str, ...]:
        condition = top.get(tag)
        return condition.values if isinstance(condition, OneOf) else ()

    def single(tag: int) -> str:
        found = several(tag)
        return found[0] if len(found) == 1 else ""

    return Narrow(
        uids=several(w.SOP_INSTANCE_UID),
        states=several(w.STATE),
        patient_id=single(w.PATIENT_ID),
        study=single(w.STUDY_INSTANCE_UID),
        label=single(w.WORKLIST_LABEL),
        **_span(top.get(w.START)),
        names=_beginnings(top.get(w.PATIENT_NAME)),
    )


def _beginnings(condition: Condition | None) -> tuple[str, ...]:
    """What a group of a name must begin with; nothing where a pattern does not say."""
    wanted: tuple[str, ...] = ()
    if isinstance(condition, OneOf):
        wanted = condition.values
    elif isinstance(condition, Wildcard):
        wanted = condition.patterns
    # Of a pattern with `=` each group that it names must match, so one will do.
    found = dict.fromkeys(max((_literal(group) for group in name.split("=", 2)), key=len) for name in wanted)
    return tuple(found) if all(found) else ()


def _literal(pattern: str) -> str:
    return pattern.split("*")[0].split("?")[0]


def _span(condition: Condition | None) -> dict[str, str]:
    """The start as digits, a day wider on each side: zones move it by less than that."""
    if not isinstance(condition, Range):
        return {}
    found = {}
    for name, instant, minutes in (("begin", condition.low, -1440), ("end", condition.high, 1440)):
        moved = datetimes.shift(instant, minutes) if instant else None
        if moved is not None:
            found[name] = moved[:14]
    return found


def digits(text: str) -> str:
    """A date-time as the column of the start holds it: its digits without fraction and zone."""
    instant = datetimes.normalize_datetime(text.split("&")[0].rstrip())
    if instant is None:
        instant = datetimes.normalize_datetime(text)
    return instant[:14] if instant else ""
