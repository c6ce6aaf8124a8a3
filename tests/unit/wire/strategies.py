"""Hypothesis strategies for every PDU and item, within what can be encoded and told apart again."""

from __future__ import annotations

from hypothesis import strategies as st

from vesalius.wire.ul_pdus import (
    PDV,
    Abort,
    AcceptedContext,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    AsyncWindow,
    CommonExtendedNegotiation,
    ContextResult,
    ExtendedNegotiation,
    PDataTF,
    ProposedContext,
    ReleaseRP,
    ReleaseRQ,
    RoleSelection,
    UserIdentity,
    UserInformation,
)

uids = st.lists(st.integers(0, 99999).map(str), min_size=1, max_size=8).map(".".join)
aets = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="\\"), min_size=1, max_size=16)
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
byte = st.integers(0, 255)
secrets = st.binary(max_size=40)
roles = st.builds(RoleSelection, uids, st.booleans(), st.booleans())
extended = st.builds(ExtendedNegotiation, uids, st.binary(max_size=10))
common = st.builds(CommonExtendedNegotiation, uids, uids, st.lists(uids, max_size=3).map(tuple))
windows = st.builds(AsyncWindow, u16, u16)
identities = st.builds(UserIdentity, st.integers(1, 5), st.booleans(), secrets, secrets)


def information(*, request: bool) -> st.SearchStrategy[UserInformation]:
    """User information of an A-ASSOCIATE-RQ or -AC."""
    return st.builds(
        UserInformation,
        maximum_length=u32,
        implementation_class_uid=uids,
        implementation_version=aets,
        async_window=st.none() | windows,
        roles=st.lists(roles, max_size=4).map(tuple),
        extended=st.lists(extended, max_size=3).map(tuple),
        common_extended=st.lists(common, max_size=3).map(tuple) if request else st.just(()),
        identity=st.none() | identities if request else st.none(),
        identity_response=st.none() if request else st.none() | secrets,
    )


def _context_ids(count: int) -> st.SearchStrategy[list[int]]:
    return st.lists(
        st.integers(0, 127).map(lambda n: 2 * n + 1), min_size=count and 1, max_size=max(count, 5), unique=True
    )


def _proposed(ids: list[int]) -> st.SearchStrategy[tuple[ProposedContext, ...]]:
    return st.tuples(
        *(st.builds(ProposedContext, st.just(n), uids, st.lists(uids, min_size=1, max_size=4).map(tuple)) for n in ids)
    )


def _accepted(ids: list[int]) -> st.SearchStrategy[tuple[AcceptedContext, ...]]:
    return st.tuples(*(st.builds(AcceptedContext, st.just(n), st.sampled_from(ContextResult), uids) for n in ids))


requests = st.builds(AssociateRQ, aets, aets, _context_ids(5).flatmap(_proposed), information(request=True), uids, u16)
accepts = st.builds(AssociateAC, aets, aets, _context_ids(5).flatmap(_accepted), information(request=False), uids, u16)
rejects = st.builds(AssociateRJ, byte, byte, byte)
aborts = st.builds(Abort, byte, byte)
pdvs = st.builds(
    PDV, st.integers(0, 255), st.booleans(), st.booleans(), st.binary(max_size=60) | st.just(b"\xa5" * 5000)
)
data = st.builds(PDataTF, st.lists(pdvs, min_size=1, max_size=5).map(tuple))
pdus = st.one_of(requests, accepts, rejects, data, st.just(ReleaseRQ()), st.just(ReleaseRP()), aborts)
