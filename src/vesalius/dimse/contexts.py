"""What this archive offers on an association: SOP classes, roles, transfer syntaxes, extended negotiation.

Verification, every storage class by rule (`standard.sop_classes.is_storage`), and FIND, MOVE and GET in the three
information models of PS3.4 C.3. Storage is offered as SCP and, by role selection, as SCU for C-GET
(PS3.4 C.5.3.1). A storage context is accepted with any transfer syntax, unknown private ones included, because the
bytes are kept as sent; where one context proposes several, `STORAGE_PREFERENCE` decides: never a lossy one while a
lossless one is there, and explicit value representations before implicit ones, which lose those of private elements.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vesalius.model.entities import StoredInstance
from vesalius.model.identifiers import is_valid_uid
from vesalius.model.query import Options, Root
from vesalius.standard import sop_classes as sop
from vesalius.standard import transfer_syntaxes as ts
from vesalius.wire.ul_negotiation import QueryOptions, RetrieveOptions, Service, StorageOptions
from vesalius.wire.ul_pdus import CommonExtendedNegotiation

# PS3.8 9.3.2.2: context identifiers are the odd numbers of one byte.
MAXIMUM_CONTEXTS = 128


class Verb(enum.Enum):
    """What a Query/Retrieve SOP class does; the value is the operation's name in PS3.7."""

    FIND = "C-FIND"
    MOVE = "C-MOVE"
    GET = "C-GET"


# PS3.4 C.6: the SOP classes of Query/Retrieve and what they mean.
QUERY_RETRIEVE: dict[str, tuple[Root, Verb]] = {
    sop.PATIENT_ROOT_FIND: (Root.PATIENT, Verb.FIND),
    sop.PATIENT_ROOT_MOVE: (Root.PATIENT, Verb.MOVE),
    sop.PATIENT_ROOT_GET: (Root.PATIENT, Verb.GET),
    sop.STUDY_ROOT_FIND: (Root.STUDY, Verb.FIND),
    sop.STUDY_ROOT_MOVE: (Root.STUDY, Verb.MOVE),
    sop.STUDY_ROOT_GET: (Root.STUDY, Verb.GET),
    sop.PATIENT_STUDY_ONLY_FIND: (Root.PATIENT_STUDY_ONLY, Verb.FIND),
    sop.PATIENT_STUDY_ONLY_MOVE: (Root.PATIENT_STUDY_ONLY, Verb.MOVE),
    sop.PATIENT_STUDY_ONLY_GET: (Root.PATIENT_STUDY_ONLY, Verb.GET),
}

# For what carries no pixels: Verification and the identifiers of Query/Retrieve.
SERVICE_PREFERENCE: tuple[str, ...] = (ts.EXPLICIT_LE, ts.IMPLICIT_LE, ts.EXPLICIT_BE, ts.DEFLATED_LE)

# The order in which one of several proposed for a storage context is taken; what is not listed comes last, as proposed.
STORAGE_PREFERENCE: tuple[str, ...] = (
    ts.EXPLICIT_LE,
    ts.HTJ2K_LOSSLESS_RPCL,
    ts.HTJ2K_LOSSLESS,
    ts.JPEG_LS_LOSSLESS,
    ts.JPEG_2000_LOSSLESS,
    ts.JPEG_XL_LOSSLESS,
    ts.JPEG_XL_RECOMPRESSION,
    ts.JPEG_LOSSLESS_SV1,
    ts.JPEG_LOSSLESS,
    ts.RLE_LOSSLESS,
    ts.DEFLATED_IMAGE_FRAME,
    ts.ENCAPSULATED_UNCOMPRESSED_LE,
    ts.DEFLATED_LE,
    ts.IMPLICIT_LE,
    ts.EXPLICIT_BE,
)

# Enhanced multi-frame conversion is the one option that is not there.
QUERY_OPTIONS = QueryOptions(
    relational=True,
    combined_datetime=True,
    fuzzy_names=True,
    timezone_adjustment=True,
    empty_value_matching=True,
    multiple_value_matching=True,
)
# Annex K: relational queries and combined date-times mean nothing to a worklist, and its times are those of the house.
WORKLIST_OPTIONS = QueryOptions(fuzzy_names=True, empty_value_matching=True, multiple_value_matching=True)
RETRIEVE_OPTIONS = RetrieveOptions(relational=True)
# Level 2 (Full); signature level 3: bit preserving, so signatures stay valid; nothing is coerced (PS3.4 B.3.1, B.4.1).
STORAGE_OPTIONS = StorageOptions(level=2, signature=3, coercion=0)

_VERIFICATION = Service(SERVICE_PREFERENCE)
_FIND = Service(SERVICE_PREFERENCE, extended=QUERY_OPTIONS.answer)
_RETRIEVE = Service(SERVICE_PREFERENCE, extended=RETRIEVE_OPTIONS.answer)
_WORKLIST = Service(SERVICE_PREFERENCE, extended=WORKLIST_OPTIONS.answer)
# Both roles: a peer asks here, or tells the result of what was asked of it (PS3.4 J.3.3.1.2).
_COMMITMENT = Service(SERVICE_PREFERENCE, scu=True, scp=True)
_NORMALIZED = Service(SERVICE_PREFERENCE)
_STORAGE = Service(STORAGE_PREFERENCE, others=is_valid_uid, scu=True, scp=True, extended=STORAGE_OPTIONS.answer)

# PS3.4 CC.3.1.1: matching as of a worklist, over any attribute and in any zone.
_WORKITEMS = Service(
    SERVICE_PREFERENCE,
    scu=True,
    scp=True,
    extended=QueryOptions(fuzzy_names=True, empty_value_matching=True, multiple_value_matching=True).answer,
)

# Services of the workflow: what is asked of a worklist and told of what is done, in both roles.
NORMALIZED: dict[str, Service] = {
    sop.STORAGE_COMMITMENT: _COMMITMENT,
    sop.INSTANCE_AVAILABILITY: _NORMALIZED,
    sop.MODALITY_WORKLIST_FIND: _WORKLIST,
    sop.PERFORMED_STEP: _NORMALIZED,
    sop.PERFORMED_STEP_RETRIEVE: _NORMALIZED,
    **dict.fromkeys(sop.UPS_CLASSES, _WORKITEMS),
}


def service_for(abstract_syntax: str, common: CommonExtendedNegotiation | None) -> Service | None:
    """How a proposed abstract syntax is served; None: result 3, abstract syntax not supported.

    A class that its proposer declares to be of the Storage service class is one (PS3.4 B.3.1.3).
    """
    if abstract_syntax == sop.VERIFICATION:
        return _VERIFICATION
    if abstract_syntax in NORMALIZED:
        return NORMALIZED[abstract_syntax]
    meaning = QUERY_RETRIEVE.get(abstract_syntax)
    if meaning is not None:
        return _FIND if meaning[1] is Verb.FIND else _RETRIEVE
    if sop.is_storage(abstract_syntax):
        return _STORAGE
    if common is not None and common.service_class == sop.STORAGE_SERVICE_CLASS and is_valid_uid(abstract_syntax):
        return _STORAGE if abstract_syntax not in sop.SOP_CLASSES else None
    return None


def is_declared_storage(abstract_syntax: str) -> bool:
    """Whether an accepted context can only be one that its proposer declared to be of the Storage service class."""
    return service_for(abstract_syntax, None) is None


def find_options(info: bytes) -> Options:
    """What extended negotiation granted to a FIND class; `info` as the acceptor answered it."""
    granted = QueryOptions.decode(info)
    return Options(
        relational=granted.relational,
        combined_datetime=granted.combined_datetime,
        fuzzy_names=granted.fuzzy_names,
        timezone_adjustment=granted.timezone_adjustment,
        empty_value_matching=granted.empty_value_matching,
        multiple_value_matching=granted.multiple_value_matching,
    )


def class_of(root: Root, verb: Verb) -> str:
    """The SOP class for an information model and an operation."""
    return next(uid for uid, meaning in QUERY_RETRIEVE.items() if meaning == (root, verb))


@dataclass(frozen=True, slots=True)
class Proposal:
    """A presentation context to propose: one abstract syntax, some transfer syntaxes, and the role wanted."""

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...] = (ts.EXPLICIT_LE, ts.IMPLICIT_LE)
    as_scp: bool = False  # role selection: this side wants to be SCP (storage classes of a C-GET)
    extended: bytes = b""  # application information of extended negotiation


def for_verification() -> tuple[Proposal, ...]:
    """What a C-ECHO needs."""
    return (Proposal(sop.VERIFICATION),)


def for_find(root: Root = Root.STUDY, options: Options | None = None) -> tuple[Proposal, ...]:
    """What a C-FIND needs; with `options`, extended negotiation asks for them."""
    info = b""
    if options is not None:
        info = QueryOptions(
            relational=options.relational,
            combined_datetime=options.combined_datetime,
            fuzzy_names=options.fuzzy_names,
            timezone_adjustment=options.timezone_adjustment,
            empty_value_matching=options.empty_value_matching,
            multiple_value_matching=options.multiple_value_matching,
        ).encode()
    return (Proposal(class_of(root, Verb.FIND), extended=info),)


def for_move(root: Root = Root.STUDY) -> tuple[Proposal, ...]:
    """What a C-MOVE needs."""
    return (Proposal(class_of(root, Verb.MOVE)),)


# Classes of nearly all real studies, the most frequent first: what a C-GET asks for when it does not know what comes.
# fmt: off
_COMMON = (
    "2", "4", "1", "1.1", "6.1", "3.1", "7", "1.2", "128", "20", "12.1", "12.2", "2.1", "4.1", "4.3", "1.2.1",
    "1.3", "1.1.1", "13.1.3", "13.1.1", "13.1.2", "7.1", "7.2", "7.3", "7.4", "66.4", "66.5", "66.1", "66.2",
    "66.3", "66", "67", "30", "130", "12.1.1", "12.2.1", "11.1", "11.2", "11.4", "11.8", "88.11", "88.22",
    "88.33", "88.34", "88.35", "88.59", "88.67", "88.68", "88.50", "104.1", "104.2", "104.3", "481.1", "481.2",
    "481.3", "481.5", "481.8", "77.1.1", "77.1.4", "77.1.6", "77.1.5.1", "77.1.5.4", "9.1.1",
)
# fmt: on
COMMON_STORAGE: tuple[str, ...] = tuple(sop.STORAGE_ROOT + tail for tail in _COMMON)
# How a C-GET asks for them: the compressed forms in order of how often they are met.
COMPRESSED: tuple[str, ...] = (
    ts.JPEG_BASELINE,
    ts.JPEG_LOSSLESS_SV1,
    ts.JPEG_2000_LOSSLESS,
    ts.JPEG_LS_LOSSLESS,
    ts.JPEG_2000,
    ts.RLE_LOSSLESS,
    ts.JPEG_EXTENDED,
    ts.HTJ2K_LOSSLESS_RPCL,
    ts.HTJ2K_LOSSLESS,
    ts.HTJ2K,
    ts.JPEG_LS_NEAR_LOSSLESS,
    ts.JPEG_LOSSLESS,
    ts.DEFLATED_LE,
)


def for_get(
    root: Root = Root.STUDY, classes: Iterable[str] = COMMON_STORAGE, compressed: Sequence[str] = COMPRESSED
) -> tuple[Proposal, ...]:
    """What a C-GET needs: the GET class, and each storage class with this side as SCP (PS3.4 C.5.3.1).

    The fewer classes, the more transfer syntaxes get a context of their own, so that more is sent as it is stored:
    a sender may use any accepted context of a class, but of the syntaxes in one context it has to choose one. At most
    63 classes fit into the 128 contexts; ask for the SOP Classes in Study (0008,0062) by C-FIND to name them.
    """
    wanted = list(dict.fromkeys(classes))[: (MAXIMUM_CONTEXTS - 1) // 2]
    proposals = [Proposal(class_of(root, Verb.GET))]
    apart = max(0, (MAXIMUM_CONTEXTS - 1) // max(1, len(wanted)) - 3)
    for uid in wanted:
        proposals += [Proposal(uid, (syntax,), as_scp=True) for syntax in compressed[:apart]]
        rest = tuple(compressed[apart:])
        if apart:
            proposals += [Proposal(uid, rest, as_scp=True)] if rest else []
            proposals += [Proposal(uid, (one,), as_scp=True) for one in (ts.EXPLICIT_LE, ts.IMPLICIT_LE)]
        else:
            proposals += [Proposal(uid, rest, as_scp=True), Proposal(uid, as_scp=True)]
    return tuple(proposals)


def for_storing(instances: Iterable[StoredInstance]) -> list[tuple[tuple[Proposal, ...], frozenset[str]]]:
    """What sending these instances needs: per class, its stored transfer syntaxes one by one and the two defaults.

    Each stored syntax has a context of its own, so that the receiver cannot choose one that would need
    transcoding while it takes another that does not. Where more than 128 contexts come together there are several
    groups, each for one association: (proposals, the SOP classes it is for).
    """
    syntaxes: dict[str, dict[str, None]] = {}
    for instance in instances:
        syntaxes.setdefault(instance.sop_class, {})[instance.transfer_syntax] = None
    groups: list[tuple[tuple[Proposal, ...], frozenset[str]]] = []
    current: list[Proposal] = []
    classes: set[str] = set()
    for sop_class, stored in syntaxes.items():
        apart = [uid for uid in stored if uid not in (ts.EXPLICIT_LE, ts.IMPLICIT_LE)][: MAXIMUM_CONTEXTS - 2]
        needed = [Proposal(sop_class, (uid,)) for uid in apart]
        needed += [Proposal(sop_class, (ts.EXPLICIT_LE,)), Proposal(sop_class, (ts.IMPLICIT_LE,))]
        if len(current) + len(needed) > MAXIMUM_CONTEXTS:
            groups.append((tuple(current), frozenset(classes)))
            current, classes = [], set()
        current += needed
        classes.add(sop_class)
    if current:
        groups.append((tuple(current), frozenset(classes)))
    return groups
