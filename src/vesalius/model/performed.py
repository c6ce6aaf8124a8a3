"""A modality performed procedure step as a data set: table F.7.2-1 of PS3.4 as data, and what follows from it.

Theory. The table says of each attribute whether it must be there when a step is created, whether it may be changed
afterwards, and what must be known when it ends. `gaps_at_create` and `gaps_at_end` answer what is wrong with a data
set, so that whoever refuses it can name every element. What is of type 2 and was not sent is taken as sent empty
(`with_type_2`): many modalities leave it out, and nothing of meaning is lost; whoever is told of the step gets it as
the table wants it. `in_progress` and `finished` make data sets that keep every line of the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vesalius.model import reading
from vesalius.model.datetimes import normalize_date, normalize_time
from vesalius.model.entities import Values
from vesalius.model.identifiers import is_tolerable_uid

CHARACTER_SET = 0x00080005
STATUS = 0x00400252
SCHEDULED_STEP_ATTRIBUTES = 0x00400270
PERFORMED_SERIES = 0x00400340
END_DATE, END_TIME = 0x00400250, 0x00400251
START_DATE, START_TIME = 0x00400244, 0x00400245
STUDY_UID, SERIES_UID = 0x0020000D, 0x0020000E
ACCESSION, PROCEDURE_ID, STEP_ID = 0x00080050, 0x00401001, 0x00400009
STEP_SEQUENCE = 0x00400100
REASON = 0x00400281
_PROTOCOL_NAME = 0x00181030
_REFERENCED_IMAGES, _REFERENCED_OTHERS = 0x00081140, 0x00400220
_CLASS_UID, _INSTANCE_UID = 0x00081150, 0x00081155

IN_PROGRESS, COMPLETED, DISCONTINUED = "IN PROGRESS", "COMPLETED", "DISCONTINUED"
FINAL = (COMPLETED, DISCONTINUED)

# Table F.7.2-1, N-CREATE, SCP: type 1 and 2; sequence -> those of its items.
TYPE_1: Mapping[int | None, tuple[int, ...]] = {
    None: (
        SCHEDULED_STEP_ATTRIBUTES,
        0x00400253,  # Performed Procedure Step ID
        0x00400241,  # Performed Station AE Title
        START_DATE,
        START_TIME,
        STATUS,
        0x00080060,  # Modality
    ),
    SCHEDULED_STEP_ATTRIBUTES: (STUDY_UID,),
    PERFORMED_SERIES: (_PROTOCOL_NAME, SERIES_UID),
    _REFERENCED_IMAGES: (_CLASS_UID, _INSTANCE_UID),
    _REFERENCED_OTHERS: (_CLASS_UID, _INSTANCE_UID),
}
TYPE_2: Mapping[int | None, tuple[int, ...]] = {
    None: (
        *(0x00100010, 0x00100020, 0x00100030, 0x00100040, 0x00081120),  # patient
        *(0x00400242, 0x00400243, 0x00400254, 0x00400255, 0x00081032),  # station, location, descriptions, procedures
        *(END_DATE, END_TIME, 0x00200010, 0x00400260, PERFORMED_SERIES),
    ),
    SCHEDULED_STEP_ATTRIBUTES: (*(0x00081110, ACCESSION, PROCEDURE_ID, 0x00321060, STEP_ID, 0x00400007, 0x00400008),),
    PERFORMED_SERIES: (0x00081050, 0x00081070, 0x0008103E, 0x00080054, _REFERENCED_IMAGES, _REFERENCED_OTHERS),
}
# Where the N-SET column says "Not allowed": the relationship, the patient, and what is known when a step begins.
FIXED = frozenset(
    {
        *(0x00080012, 0x00080013, 0x00080014, 0x00080016, 0x00080018, 0x00080201),  # SOP Common
        *(SCHEDULED_STEP_ATTRIBUTES, 0x00100010, 0x00100020, 0x00100021, 0x00100024, 0x00101002, 0x00100030),
        *(0x00100040, 0x00081120, 0x00380010, 0x00380011, 0x00380014, 0x00380060, 0x00380062, 0x00380064),
        *(0x00400253, 0x00400241, 0x00400242, 0x00400243, START_DATE, START_TIME, 0x00080060, 0x00200010),
    }
)
# Further attributes of type 3 that a step may have: what may be asked for by N-GET without a remark.
OPTIONAL = frozenset(
    {
        *(0x00400280, REASON, 0x0040030E, 0x00400301, 0x00400300, 0x00400302, 0x00400303, 0x00400310),
        *(0x00400312, 0x00400314, 0x00400316, 0x00400318, 0x0018115E, 0x00400321, 0x00400324, 0x00400320),
        *(0x00180012, 0x00402016, 0x00402017, CHARACTER_SET),
    }
)
# Comments, and the radiation dose as far as it is told by MPPS.
_LATER = (0x00400280, 0x00400300, 0x00400301, 0x0040030E, 0x00400310, 0x0018115E)
KNOWN = frozenset(TYPE_1[None]) | frozenset(TYPE_2[None]) | FIXED | OPTIONAL


_SEQUENCES = frozenset(tag for tag in TYPE_1 if tag is not None)
_UIDS = (STUDY_UID, SERIES_UID, _CLASS_UID, _INSTANCE_UID)


@dataclass(frozen=True, slots=True)
class Gaps:
    """What a data set lacks of type 1: elements that are not there, and those without a value."""

    absent: tuple[int, ...] = ()
    empty: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.absent or self.empty)


def gaps_at_create(values: Values) -> Gaps:
    """What an N-CREATE lacks (PS3.4 F.7.2.1.2)."""
    return _gaps(values, TYPE_1[None])


def gaps_in_changes(values: Values) -> Gaps:
    """What an N-SET names without a value where one is needed (PS3.4 F.7.2.2.2)."""
    return _gaps(values, [STATUS] if STATUS in values else [])


def gaps_at_end(values: Values) -> Gaps:
    """What a step lacks that is to become final, with all that was sent before (Final State, notes 1 and 2)."""
    return _gaps(values, (END_DATE, END_TIME, PERFORMED_SERIES))


def _gaps(values: Values, needed: Iterable[int]) -> Gaps:
    """Of `needed`, and of what is of type 1 in the items of sequences, at any depth."""
    absent = [tag for tag in needed if tag not in values]
    empty = [tag for tag in needed if tag in values and not _has_value(values[tag])]
    for sequence in _SEQUENCES & values.keys():
        for item in reading.items(values, sequence):
            found = _gaps(item, TYPE_1[sequence])
            absent += found.absent
            empty += found.empty
    return Gaps(tuple(dict.fromkeys(absent)), tuple(dict.fromkeys(empty)))


def wrong_values(values: Values) -> tuple[int, ...]:
    """Elements whose value cannot be one: dates and times of the step, and UIDs in its sequences."""
    wrong = [tag for tag in (START_DATE, END_DATE) if not all(map(normalize_date, _texts(values, tag)))]
    wrong += [tag for tag in (START_TIME, END_TIME) if not all(map(normalize_time, _texts(values, tag)))]
    wrong += [tag for tag in _UIDS if not all(map(is_tolerable_uid, _texts(values, tag)))]
    for sequence in _SEQUENCES & values.keys():
        wrong += [tag for item in reading.items(values, sequence) for tag in wrong_values(item)]
    return tuple(dict.fromkeys(wrong))


def _texts(values: Values, tag: int) -> list[str]:
    return [stripped for text in reading.texts(values, tag) if (stripped := text.strip(" \0"))]


def _has_value(value: Sequence[object]) -> bool:
    return any(not isinstance(one, str) or one.strip(" \0") for one in value)


def with_type_2(values: Values, sequence: int | None = None) -> Values:
    """The data set with every attribute of type 2, empty where it was not sent."""
    whole: Values = dict.fromkeys(TYPE_2.get(sequence, ()), ()) | values
    for tag in (SCHEDULED_STEP_ATTRIBUTES, PERFORMED_SERIES) if sequence is None else ():
        if whole.get(tag):
            whole[tag] = tuple(with_type_2(item, tag) for item in reading.items(whole, tag))
    return whole


def as_created(values: Values) -> Values:
    """A step that went on, as one tells another of its beginning: IN PROGRESS, without an end.

    What may come later is there without a value, since only what was created may be set (F.7.2.1.2).
    """
    later: Values = dict.fromkeys(_LATER, ())
    return with_type_2(later | values) | {STATUS: (IN_PROGRESS,), END_DATE: (), END_TIME: (), REASON: ()}


def changeable(values: Values) -> Values:
    """What an N-SET may hold of a data set."""
    return {tag: value for tag, value in values.items() if tag not in FIXED and tag != CHARACTER_SET}


# -- data sets of one who performs


def in_progress(
    item: Values | None,
    *,
    number: str,
    station: str,
    modality: str,
    start: str,
    study: str = "",
    patient: Values | None = None,
    more: Values | None = None,
) -> Values:
    """What begins (N-CREATE), from a worklist item; without one (unscheduled), of `patient` and a `study` of one's own.

    `start` is local, `YYYYMMDDHHMMSS`; `more` is laid over it.
    """
    item = item or {}
    step = reading.item(item, STEP_SEQUENCE)
    relation: Values = {tag: item.get(tag, ()) for tag in (STUDY_UID, 0x00081110, ACCESSION, PROCEDURE_ID, 0x00321060)}
    relation |= {tag: step.get(tag, ()) for tag in (STEP_ID, 0x00400007, 0x00400008)}
    if study:
        relation[STUDY_UID] = (study,)
    named = {tag: (patient or item).get(tag, ()) for tag in (0x00100010, 0x00100020, 0x00100030, 0x00100040)}
    if issuer := (patient or item).get(0x00100021):
        named[0x00100021] = issuer
    values: Values = {
        SCHEDULED_STEP_ATTRIBUTES: (relation,),
        **named,
        0x00400253: (number,),
        0x00400241: (station,),
        START_DATE: (start[:8],),
        START_TIME: (start[8:],),
        STATUS: (IN_PROGRESS,),
        0x00400254: item.get(0x00321060, ()),
        0x00081032: item.get(0x00321064, ()),
        0x00400260: step.get(0x00400008, ()),
        0x00080060: (modality,),
        REASON: (),
    }
    return with_type_2(values | (more or {}))


def finished(
    state: str, *, end: str, series: Sequence[Values], reason: Values | None = None, more: Values | None = None
) -> Values:
    """What ends (N-SET): COMPLETED or DISCONTINUED, with every series. `end` is local, `YYYYMMDDHHMMSS`."""
    values: Values = {
        STATUS: (state,),
        END_DATE: (end[:8],),
        END_TIME: (end[8:],),
        PERFORMED_SERIES: tuple(series),
    }
    if reason is not None:
        values[REASON] = (reason,)
    return values | (more or {})


def series_item(
    series: str,
    instances: Sequence[tuple[str, str]],
    *,
    protocol: str,
    retrieve_aet: str = "",
    description: str = "",
    operator: str = "",
    physician: str = "",
) -> Values:
    """An item of Performed Series Sequence; `instances` are pairs of SOP Class and Instance UID."""
    texts = {
        SERIES_UID: series,
        _PROTOCOL_NAME: protocol,
        0x0008103E: description,
        0x00080054: retrieve_aet,
        0x00081070: operator,
        0x00081050: physician,
    }
    item: Values = {tag: (text,) if text else () for tag, text in texts.items()}
    references: list[Values] = [{_CLASS_UID: (one,), _INSTANCE_UID: (uid,)} for one, uid in instances]
    item[_REFERENCED_IMAGES] = tuple(references)
    item[_REFERENCED_OTHERS] = ()
    return item
