"""What is offered and proposed."""

from __future__ import annotations

from vesalius.dimse.contexts import (
    COMMON_STORAGE,
    COMPRESSED,
    MAXIMUM_CONTEXTS,
    QUERY_RETRIEVE,
    STORAGE_PREFERENCE,
    for_find,
    for_get,
    for_storing,
    service_for,
)
from vesalius.model.entities import Member, StoredInstance
from vesalius.model.query import Options, Root
from vesalius.standard import sop_classes as sop
from vesalius.standard import transfer_syntaxes as ts
from vesalius.wire.ul_pdus import CommonExtendedNegotiation

MEMBER = Member("pack", 0, 0, 0, 0, 0, "")


def stored(sop_class: str, transfer_syntax: str, number: int = 1) -> StoredInstance:
    return StoredInstance("P", "1.2", "1.2.3", sop_class, f"1.2.3.{number}", transfer_syntax, MEMBER)


def test_the_preference_holds_no_lossy_syntax_and_every_lossless_one_is_in_it_once() -> None:
    assert not any(ts.lookup(uid).lossy for uid in STORAGE_PREFERENCE)
    assert len(set(STORAGE_PREFERENCE)) == len(STORAGE_PREFERENCE)
    assert STORAGE_PREFERENCE[0] == ts.EXPLICIT_LE


def test_every_storage_class_is_served_in_both_roles() -> None:
    for uid in sop.STORAGE:
        service = service_for(uid, None)
        assert service is not None
        assert service.scp
        assert service.others is not None
        assert service.others("1.3.6.1.4.1.9999.7")


def test_query_retrieve_classes_are_served_with_extended_negotiation() -> None:
    for uid in QUERY_RETRIEVE:
        service = service_for(uid, None)
        assert service is not None
        assert service.extended is not None
        assert not service.scp


def test_other_services_are_not() -> None:
    for uid in ("1.2.840.10008.5.1.4.32.1", "1.2.840.10008.5.1.1.1", "nonsense", ""):
        assert service_for(uid, None) is None


def test_a_class_declared_as_storage_is_served_unless_the_standard_knows_it_better() -> None:
    declared = CommonExtendedNegotiation("1.2.840.10008.9.9", sop.STORAGE_SERVICE_CLASS)
    assert service_for("1.2.840.10008.9.9", declared) is not None
    assert service_for("1.2.840.10008.5.1.4.32.1", declared) is None
    assert service_for(sop.STORAGE_COMMITMENT, declared) == service_for(sop.STORAGE_COMMITMENT, None)


def test_stored_syntaxes_have_contexts_of_their_own_and_two_defaults_beside_them() -> None:
    ((proposals, classes),) = for_storing(
        [stored(sop.CT_IMAGE, ts.JPEG_LS_LOSSLESS), stored(sop.CT_IMAGE, ts.EXPLICIT_LE)]
    )
    assert classes == {sop.CT_IMAGE}
    assert [p.transfer_syntaxes for p in proposals] == [(ts.JPEG_LS_LOSSLESS,), (ts.EXPLICIT_LE,), (ts.IMPLICIT_LE,)]


def test_more_than_128_contexts_are_split_and_nothing_is_left_out() -> None:
    instances = [stored(f"1.2.3.{n}", ts.JPEG_LS_LOSSLESS, n) for n in range(100)]
    instances += [stored("1.2.3.0", f"1.9.{n}", 100 + n) for n in range(300)]
    groups = for_storing(instances)
    assert all(0 < len(proposals) <= MAXIMUM_CONTEXTS for proposals, _ in groups)
    assert frozenset().union(*(classes for _, classes in groups)) == {i.sop_class for i in instances}
    assert for_storing([]) == []


def test_a_get_proposes_within_128_contexts_and_takes_the_scp_role_for_storage_only() -> None:
    proposals = for_get(Root.PATIENT)
    assert len(proposals) <= MAXIMUM_CONTEXTS
    assert proposals[0].abstract_syntax == sop.PATIENT_ROOT_GET
    assert not proposals[0].as_scp
    assert all(p.as_scp for p in proposals[1:])
    assert sop.CT_IMAGE in {p.abstract_syntax for p in proposals}


def test_a_get_of_few_classes_gives_each_transfer_syntax_a_context_of_its_own() -> None:
    proposals = for_get(classes=[sop.CT_IMAGE, sop.MR_IMAGE])
    assert all(len(p.transfer_syntaxes) == 1 for p in proposals[1:])
    for count in range(64):
        proposals = for_get(classes=[f"1.2.3.{n}" for n in range(count)])
        assert len(proposals) <= MAXIMUM_CONTEXTS
        assert len({p.abstract_syntax for p in proposals}) == count + 1
        offered = {s for p in proposals[1:] for s in p.transfer_syntaxes}
        assert not count or offered >= {*COMPRESSED, ts.EXPLICIT_LE, ts.IMPLICIT_LE}


def test_the_common_classes_are_storage_classes_of_the_edition() -> None:
    assert len(COMMON_STORAGE) <= 63
    assert set(COMMON_STORAGE) <= set(sop.STORAGE)


def test_a_find_asks_for_options_only_when_told_to() -> None:
    assert for_find()[0].extended == b""
    assert for_find(options=Options(fuzzy_names=True))[0].extended[2] == 1
