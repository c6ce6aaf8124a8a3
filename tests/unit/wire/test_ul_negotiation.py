"""Negotiation: rejected for the association's own reasons only, everything else context by context."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from tests.unit.wire import strategies
from tests.unit.wire.machines import EXPLICIT, IMPLICIT, INFO, RQ, VERIFICATION

from vesalius.wire.errors import LocalProtocolError
from vesalius.wire.ul_codec import Decoder, encode
from vesalius.wire.ul_negotiation import (
    Capacity,
    IdentityVerdict,
    Offer,
    Proposal,
    QueryOptions,
    RetrieveOptions,
    Service,
    StorageOptions,
    agreement,
    negotiate,
    propose,
)
from vesalius.wire.ul_pdus import (
    AcceptedContext,
    AssociateAC,
    AssociateRJ,
    AsyncWindow,
    CommonExtendedNegotiation,
    ContextResult,
    ExtendedNegotiation,
    ProposedContext,
    RoleSelection,
    UserIdentity,
)

CT = "1.2.840.10008.5.1.4.1.1.2"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
JPEG = "1.2.840.10008.1.2.4.70"
STORAGE_CLASS = "1.2.840.10008.4.2"

SERVICES = {
    VERIFICATION: Service((EXPLICIT, IMPLICIT)),
    CT: Service((EXPLICIT, IMPLICIT), others=lambda uid: uid.startswith("1.2.840.10008.1.2."), scp=True),
    FIND: Service((EXPLICIT, IMPLICIT), extended=QueryOptions(relational=True, fuzzy_names=True).answer),
}


def service(uid, common):
    if common is not None and common.service_class == STORAGE_CLASS:
        return SERVICES[CT]
    return SERVICES.get(uid)


OFFER = Offer(
    service=service,
    called={"CALLED"}.__contains__,
    calling={"CALLING"}.__contains__,
    implementation_class_uid="1.2.3.4",
    implementation_version="VESALIUS",
)


def request(*contexts, **info):
    """A request for contexts given as (abstract syntax, transfer syntaxes...)."""
    proposed = tuple(ProposedContext(2 * n + 1, uid, tuple(ts)) for n, (uid, *ts) in enumerate(contexts))
    return replace(RQ, contexts=proposed, user_information=replace(INFO, **info))


def accepted(rq, offer=OFFER):
    ac = negotiate(rq, offer)
    assert isinstance(ac, AssociateAC)
    return ac


def results(rq, offer=OFFER):
    return [(int(c.result), c.transfer_syntax) for c in accepted(rq, offer).contexts]


@pytest.mark.parametrize(
    ("row", "rq", "offer", "codes"),
    [
        ("U11", replace(RQ, protocol_version=2), OFFER, (1, 2, 2)),
        ("U12", replace(RQ, application_context="1.2.840.10008.3.1.1.2"), OFFER, (1, 1, 2)),
        ("U13 called", replace(RQ, called_aet="OTHER"), OFFER, (1, 1, 7)),
        ("U13 blank", replace(RQ, called_aet=""), OFFER, (1, 1, 7)),
        ("U13 case", replace(RQ, called_aet="called"), OFFER, (1, 1, 7)),
        ("U13 control", replace(RQ, called_aet="CAL\nLED"), OFFER, (1, 1, 7)),
        ("U13 calling", replace(RQ, calling_aet="OTHER"), OFFER, (1, 1, 3)),
        ("U15 limit", RQ, replace(OFFER, capacity=Capacity.LIMIT_REACHED), (2, 3, 2)),
        ("U15 shutdown", RQ, replace(OFFER, capacity=Capacity.SHUTTING_DOWN), (2, 3, 1)),
    ],
)
def test_a_request_is_rejected_with_the_right_codes(row, rq, offer, codes):
    assert negotiate(rq, offer) == AssociateRJ(*codes)


def test_other_bits_of_the_protocol_version_are_ignored():
    assert isinstance(negotiate(replace(RQ, protocol_version=0xFFFF), OFFER), AssociateAC)


def test_spaces_around_titles_are_not_significant_u13():
    raw = encode(RQ).replace(b"CALLED          ", b"   CALLED       ")
    (rq,) = Decoder().feed(raw)
    assert isinstance(negotiate(rq, OFFER), AssociateAC)


def test_a_wrong_identity_is_rejected_and_a_right_one_answered_only_on_request_u14():
    seen = []

    def hook(identity):
        seen.append(identity)
        return IdentityVerdict(identity.secondary == b"right", b"ticket")

    offer = replace(OFFER, identity=hook)
    wrong = UserIdentity(2, True, b"user", b"wrong")
    right = UserIdentity(2, True, b"user", b"right")
    assert negotiate(request((VERIFICATION, IMPLICIT), identity=wrong), offer) == AssociateRJ(1, 1, 1)
    ac = accepted(request((VERIFICATION, IMPLICIT), identity=right), offer)
    assert ac.user_information.identity_response == b"ticket"
    quiet = replace(right, response_requested=False)
    ac = accepted(request((VERIFICATION, IMPLICIT), identity=quiet), offer)
    assert ac.user_information.identity_response is None
    assert seen == [wrong, right, quiet]
    assert accepted(request((VERIFICATION, IMPLICIT), identity=wrong)).user_information.identity_response is None


def test_secrets_of_an_identity_are_not_in_its_repr():
    assert "passcode" not in repr(UserIdentity(2, True, b"user", b"passcode"))


def test_unknown_classes_and_syntaxes_are_answered_3_and_4_and_still_accepted_u20():
    rq = request(("1.2.3.4", IMPLICIT), (VERIFICATION, "1.2.3.4"))
    assert [result for result, _ in results(rq)] == [3, 4]


def test_illegal_characters_in_uids_are_answered_3_and_4_u22():
    rq = request(("1.2.840.10008.1.1/..", IMPLICIT), (VERIFICATION, "1.2.840.\x00.1"), (VERIFICATION, "1" * 65))
    assert [result for result, _ in results(rq)] == [3, 4, 4]


def test_a_context_without_transfer_syntax_is_answered_4():
    assert results(request((VERIFICATION,))) == [(4, IMPLICIT)]


def test_our_preference_decides_and_other_syntaxes_follow_in_the_proposers_order():
    assert results(request((CT, JPEG, IMPLICIT, EXPLICIT))) == [(0, EXPLICIT)]
    assert results(request((CT, JPEG, "1.2.840.10008.1.2.5"))) == [(0, JPEG)]
    assert results(request((CT, "1.2.9", "1.2.840.10008.1.2.5", JPEG))) == [(0, "1.2.840.10008.1.2.5")]
    assert results(request((CT, "1.2.9"))) == [(4, "1.2.9")]


def test_128_contexts_are_all_answered_u21():
    rq = request(*((CT, JPEG),) * 128)
    assert results(rq) == [(0, JPEG)] * 128


def test_what_we_say_about_ourselves_is_in_the_answer():
    info = accepted(RQ).user_information
    assert (info.implementation_class_uid, info.implementation_version) == ("1.2.3.4", "VESALIUS")
    assert info.maximum_length == 1 << 20


def test_roles_are_granted_up_to_what_was_proposed_and_is_served():
    both = RoleSelection(CT, True, True)
    more = RoleSelection(VERIFICATION, True, True)
    ac = accepted(request((CT, IMPLICIT), (VERIFICATION, IMPLICIT), roles=(both, more)))
    assert ac.user_information.roles == (both, RoleSelection(VERIFICATION, True, False))
    only_scp = accepted(request((CT, IMPLICIT), roles=(RoleSelection(CT, False, True),)))
    assert only_scp.user_information.roles == (RoleSelection(CT, False, True),)


def test_a_context_on_which_no_role_is_left_is_rejected_by_the_user():
    rq = request((VERIFICATION, IMPLICIT), roles=(RoleSelection(VERIFICATION, False, True),))
    ac = accepted(rq)
    assert ac.contexts[0].result is ContextResult.USER_REJECTION
    assert ac.user_information.roles == ()


def test_a_role_for_a_class_not_proposed_is_ignored_u25():
    ac = accepted(request((VERIFICATION, IMPLICIT), roles=(RoleSelection(CT, True, True),)))
    assert ac.user_information.roles == ()


@pytest.mark.parametrize(
    ("ours", "theirs", "answer"),
    [
        (None, AsyncWindow(0, 0), None),
        (AsyncWindow(1, 1), None, None),
        (AsyncWindow(1, 1), AsyncWindow(0, 0), AsyncWindow(1, 1)),
        (AsyncWindow(8, 1), AsyncWindow(4, 0), AsyncWindow(4, 1)),
        (AsyncWindow(0, 0), AsyncWindow(0, 3), AsyncWindow(0, 3)),
    ],
)
def test_the_asynchronous_window_is_the_smaller_and_0_is_no_limit(ours, theirs, answer):
    ac = accepted(request((VERIFICATION, IMPLICIT), async_window=theirs), replace(OFFER, async_window=ours))
    assert ac.user_information.async_window == answer


def test_extended_negotiation_is_answered_for_accepted_classes_that_have_it():
    asked = (
        ExtendedNegotiation(FIND, b"\1\1\1"),
        ExtendedNegotiation(FIND, b"\0"),
        ExtendedNegotiation(VERIFICATION, b"\1"),
        ExtendedNegotiation(CT, b"\1"),
    )
    ac = accepted(request((FIND, IMPLICIT), (VERIFICATION, IMPLICIT), extended=asked))
    assert ac.user_information.extended == (ExtendedNegotiation(FIND, b"\1\0\1"),)


def test_common_extended_negotiation_tells_what_an_unknown_class_is():
    common = CommonExtendedNegotiation("1.2.3.4.5", STORAGE_CLASS, ())
    assert results(request(("1.2.3.4.5", IMPLICIT), common_extended=(common,))) == [(0, IMPLICIT)]


def test_both_sides_come_to_the_same_agreement():
    rq = propose(
        calling_aet="CALLING",
        called_aet="CALLED",
        proposals=[Proposal(FIND, (IMPLICIT,)), Proposal(CT, (JPEG,)), Proposal("1.2.3", (IMPLICIT,))],
        implementation_class_uid="1.2",
        implementation_version="V",
        roles=[RoleSelection(CT, False, True)],
        extended={FIND: QueryOptions(relational=True).encode()},
        async_window=AsyncWindow(3, 3),
    )
    ac = accepted(rq, replace(OFFER, async_window=AsyncWindow(1, 2)))
    (heard,) = Decoder().feed(encode(ac))
    agreed = agreement(rq, heard)
    assert agreed == agreement(rq, ac)
    assert set(agreed.contexts) == {1, 3}
    assert (agreed.contexts[3].requestor_scu, agreed.contexts[3].requestor_scp) == (False, True)
    assert (agreed.contexts[1].requestor_scu, agreed.contexts[1].requestor_scp) == (True, False)
    assert agreed.async_window == AsyncWindow(1, 2)
    assert QueryOptions.decode(agreed.extended[FIND]) == QueryOptions(relational=True)


def test_what_was_not_proposed_is_not_agreed():
    ac = accepted(RQ)
    strange = replace(
        ac,
        contexts=(
            AcceptedContext(1, ContextResult.ACCEPTANCE, JPEG),
            AcceptedContext(9, ContextResult.ACCEPTANCE, IMPLICIT),
        ),
        user_information=replace(
            ac.user_information, async_window=AsyncWindow(0, 0), roles=(RoleSelection(VERIFICATION, True, True),)
        ),
    )
    agreed = agreement(RQ, strange)
    assert agreed.contexts == {}
    assert agreed.async_window == AsyncWindow(1, 1)
    agreed = agreement(RQ, replace(strange, contexts=ac.contexts))
    assert not agreed.contexts[1].requestor_scp


@pytest.mark.parametrize("count", [0, 129])
def test_no_more_than_128_contexts_are_proposed_and_at_least_one(count):
    with pytest.raises(LocalProtocolError):
        propose(
            calling_aet="A",
            called_aet="B",
            proposals=[Proposal(CT, (IMPLICIT,))] * count,
            implementation_class_uid="1.2",
            implementation_version="V",
        )


@given(strategies.requests)
def test_any_request_is_answered_for_every_context_or_rejected(rq):
    offer = replace(OFFER, called=lambda _: True, calling=lambda _: True)
    answer = negotiate(rq, offer)
    (heard,) = Decoder().feed(encode(answer))
    assert heard == answer
    if isinstance(answer, AssociateAC):
        assert [c.context_id for c in answer.contexts] == [c.context_id for c in rq.contexts]


def test_query_options_are_read_and_answered_byte_by_byte():
    ours = QueryOptions(relational=True, combined_datetime=True, fuzzy_names=True, timezone_adjustment=True)
    assert ours.encode() == bytes((1, 1, 1, 1, 0, 0, 0))
    assert QueryOptions.decode(b"\1\0\1") == QueryOptions(relational=True, fuzzy_names=True)
    assert QueryOptions.decode(b"\2") == QueryOptions()
    assert ours.answer(b"\1\0\1") == b"\1\0\1"
    assert ours.answer(b"") == b"\0"
    assert ours.answer(b"\1" * 9) == bytes((1, 1, 1, 1, 0, 0, 0))
    assert RetrieveOptions(relational=True).answer(b"\1\1") == b"\1\0"
    assert RetrieveOptions.decode(b"\1") == RetrieveOptions(relational=True)
    assert RetrieveOptions(enhanced_multiframe=True).encode() == b"\0\1"


def test_storage_options_state_full_support_and_signatures_kept():
    assert StorageOptions().answer(bytes(6)) == bytes((2, 0, 3, 0, 0, 0))
    assert StorageOptions.decode(b"") == StorageOptions(3, 0, 2)
    assert StorageOptions.decode(bytes((2, 0, 3, 0, 1, 0, 9))) == StorageOptions(2, 3, 1)
