"""What is agreed on at the start of an association, and that it is then kept."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
import struct
import subprocess
from pathlib import Path

import pytest
from tests.support.dimse_site import Site, dataset_of, running_site
from tests.support.generate import ct, part10, uid
from tests.support.raw_dicom import (
    ABORT,
    CT,
    DATA,
    EXPLICIT,
    IMPLICIT,
    RELEASE_RP,
    RELEASE_RQ,
    RJ,
    STUDY_FIND,
    STUDY_GET,
    VERIFICATION,
    RawPeer,
    associate_rq,
    context,
    element,
    find_rq,
    get_rq,
    item,
    p_data,
    pdu,
    pdv,
    store_rq,
    text,
)

from vesalius.dimse import c_echo
from vesalius.dimse.client import Association
from vesalius.dimse.contexts import Proposal, for_verification
from vesalius.dimse.link import ConnectionGone
from vesalius.dimse.server import DimseServer
from vesalius.dimse.services import DimseSettings
from vesalius.model.entities import Peer
from vesalius.model.errors import PeerUnreachable
from vesalius.wire.ul_negotiation import IdentityVerdict
from vesalius.wire.ul_pdus import UserIdentity


def items(ac_body: bytes) -> list[tuple[int, bytes]]:
    """Items of an A-ASSOCIATE-AC, the user information's sub-items after them."""
    found, at = [], 68
    while at < len(ac_body):
        kind, length = struct.unpack_from(">BxH", ac_body, at)
        value = ac_body[at + 4 : at + 4 + length]
        found.append((kind, value))
        if kind == 0x50:
            inner = 0
            while inner < length:
                sub, size = struct.unpack_from(">BxH", value, inner)
                found.append((sub, value[inner + 4 : inner + 4 + size]))
                inner += 4 + size
        at += 4 + length
    return found


def user_item(ac_body: bytes, kind: int) -> list[bytes]:
    return [value for found, value in items(ac_body) if found == kind]


def chosen(ac_body: bytes) -> dict[int, str]:
    """Context id -> transfer syntax of the accepted contexts."""
    return {v[0]: v[8:].decode().rstrip("\0") for v in user_item(ac_body, 0x21) if v[2] == 0}


def sop_item(kind: int, sop_class: str, rest: bytes) -> bytes:
    return item(kind, struct.pack(">H", len(sop_class)) + sop_class.encode() + rest)


@pytest.mark.parametrize(
    ("proposed", "taken"),
    [
        ([IMPLICIT, EXPLICIT], EXPLICIT),
        (["1.2.840.10008.1.2.4.50", IMPLICIT], IMPLICIT),
        (["1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.90"], "1.2.840.10008.1.2.4.90"),
        (["1.2.840.10008.1.2.4.50", "1.3.6.1.4.1.9999.7"], "1.2.840.10008.1.2.4.50"),
        (["1.3.6.1.4.1.9999.7"], "1.3.6.1.4.1.9999.7"),
    ],
    ids=["explicit-first", "never-lossy-if-avoidable", "lossless-first", "else-as-proposed", "unknown-private"],
)
async def test_one_of_several_transfer_syntaxes_is_taken_by_the_stated_preference(
    tmp_path: Path, proposed: list[str | bytes], taken: str
) -> None:
    async with running_site(tmp_path) as site:
        peer = await RawPeer.associated(site.port, [context(1, CT, proposed)])
        assert chosen(peer.accept_body) == {1: taken}
        await peer.release()


async def test_private_and_future_storage_classes_are_accepted_by_rule(tmp_path: Path) -> None:
    classes = ["1.3.6.1.4.1.9999.1.2", "1.2.840.10008.5.1.4.1.1.999.1", "1.2.840.10008.5.1.4.1.1.1"]
    async with running_site(tmp_path) as site:
        peer = await RawPeer.associated(
            site.port, [context(2 * n + 1, cls, [EXPLICIT]) for n, cls in enumerate(classes)]
        )
        assert sorted(chosen(peer.accept_body)) == [1, 3, 5]
        await peer.release()


async def test_extended_negotiation_is_answered_with_what_is_supported(tmp_path: Path) -> None:
    extra = sop_item(0x56, STUDY_FIND, bytes((1, 1, 1, 0, 1))) + sop_item(0x56, CT, bytes((2, 0, 0, 0, 1, 0)))
    async with running_site(tmp_path) as site:
        peer = await RawPeer.associated(
            site.port, [context(1, STUDY_FIND, [IMPLICIT]), context(3, CT, [EXPLICIT])], extra=extra
        )
        answers = user_item(peer.accept_body, 0x56)
        assert answers[0].endswith(bytes((1, 1, 1, 0, 0)))
        assert answers[1].endswith(bytes((2, 0, 3, 0, 0, 0)))
        await peer.release()


async def test_relational_queries_work_when_negotiated_and_only_then(tmp_path: Path) -> None:
    keys = element(0x00080018, b"") + element(0x00080052, text("IMAGE"))
    async with running_site(tmp_path) as site:
        site.keep(ct())
        for granted, statuses in ((b"\1", [0xFF00, 0]), (b"\0", [0xA900])):
            peer = await RawPeer.associated(
                site.port, [context(1, STUDY_FIND, [IMPLICIT])], extra=sop_item(0x56, STUDY_FIND, granted)
            )
            peer.send_message(1, find_rq(), keys)
            assert [(await peer.message()).status for _ in statuses] == statuses
            await peer.release()


async def test_roles_are_granted_for_storage_and_the_window_as_far_as_ours_goes(tmp_path: Path) -> None:
    extra = sop_item(0x54, CT, b"\0\1") + sop_item(0x54, STUDY_GET, b"\0\1") + item(0x53, struct.pack(">HH", 4, 0))
    async with running_site(tmp_path) as site:
        peer = await RawPeer.associated(
            site.port,
            [context(1, STUDY_GET, [IMPLICIT]), context(3, CT, [EXPLICIT]), context(5, VERIFICATION, [IMPLICIT])],
            extra=extra,
        )
        roles = {v[2:-2].decode(): v[-2:] for v in user_item(peer.accept_body, 0x54)}
        assert roles[CT] == b"\0\1"
        assert roles.get(STUDY_GET, b"\0\0") == b"\0\0"
        assert user_item(peer.accept_body, 0x53) == [struct.pack(">HH", 4, site.server.settings.operations)]
        await peer.release()


async def test_no_pdu_of_ours_is_longer_than_the_peer_takes(tmp_path: Path) -> None:
    async with running_site(tmp_path) as site:
        site.keep(ct(rows=100, columns=100))
        for maximum in (128, 16384, 1 << 17):
            peer = await RawPeer.associated(
                site.port,
                [context(1, STUDY_GET, [IMPLICIT]), context(3, CT, [EXPLICIT])],
                extra=sop_item(0x54, CT, b"\0\1"),
                maximum=maximum,
            )
            keys = element(0x00080052, text("STUDY")) + element(0x0020000D, text(uid("study", 1)))
            peer.send_message(1, get_rq(), keys)
            received = 0
            while received < len(part10(ct(rows=100, columns=100))) - 1000:
                kind, body = await peer.pdu()
                assert kind == DATA
                assert len(body) <= maximum
                received += len(body)
            peer.send(pdu(ABORT, bytes(4)))
            await peer.close()


async def test_operations_within_the_window_are_answered_whenever_each_is_done(tmp_path: Path) -> None:
    async with running_site(tmp_path) as site:
        peer = await RawPeer.associated(
            site.port,
            [context(1, VERIFICATION, [IMPLICIT]), context(3, CT, [EXPLICIT])],
            extra=item(0x53, struct.pack(">HH", 8, 1)),
        )
        parts = []
        for n in range(1, 9):
            parts.append(p_data(pdv(3, store_rq(CT, uid("instance", 1, 1, n), message_id=n), command=True)))
            parts.append(p_data(pdv(3, dataset_of(part10(ct(instance=n))), command=False)))
        peer.send(*parts)
        answers = [await peer.message() for _ in range(8)]
        assert {a.status for a in answers} == {0}
        assert {a.number(0x120) for a in answers} == set(range(1, 9))
        assert site.stored() == 8
        await peer.release()


async def test_more_operations_than_are_performed_at_once_wait_their_turn(tmp_path: Path) -> None:
    async with running_site(tmp_path, operations=2) as site:
        peer = await RawPeer.associated(site.port, [context(3, CT, [EXPLICIT])])
        for n in range(1, 41):
            peer.send_message(
                3, store_rq(CT, uid("instance", 1, 1, n), message_id=n), dataset_of(part10(ct(instance=n)))
            )
        answers = [await peer.message() for _ in range(40)]
        assert {a.status for a in answers} == {0}
        assert site.stored() == 40
        await peer.release()


async def test_a_release_request_waits_for_instances_that_are_whole(tmp_path: Path) -> None:
    async with running_site(tmp_path) as site:
        peer = await RawPeer.associated(site.port, [context(3, CT, [EXPLICIT])])
        raw = dataset_of(part10(ct()))
        peer.send(
            p_data(pdv(3, store_rq(CT, uid("instance", 1, 1, 1)), command=True)),
            p_data(pdv(3, raw, command=False)),
            pdu(RELEASE_RQ, bytes(4)),
        )
        assert (await peer.message()).status == 0
        assert (await peer.pdu())[0] == RELEASE_RP
        assert site.stored() == 1
        await peer.close()


# -- user identity ----------------------------------------------------------------------------------------------------


def identity(kind: int, name: bytes, secret: bytes = b"", *, answer: bool = True) -> bytes:
    fields = struct.pack(">H", len(name)) + name + struct.pack(">H", len(secret)) + secret
    return item(0x58, bytes((kind, answer)) + fields)


async def _identifying(site: Site, seen: list[UserIdentity]) -> DimseServer:
    async def identify(who: UserIdentity, calling: str) -> IdentityVerdict:
        seen.append(who)
        return IdentityVerdict(who.secondary == b"right", b"")

    return DimseServer(dataclasses.replace(site.services, identify=identify))


async def test_u14_the_identity_hook_decides_and_its_answer_is_sent(tmp_path: Path) -> None:
    async with running_site(tmp_path) as site:
        seen: list[UserIdentity] = []
        server = await _identifying(site, seen)
        _, port = await server.start("127.0.0.1", 0)
        peer = await RawPeer.associated(port, extra=identity(2, b"anna", b"right"))
        assert user_item(peer.accept_body, 0x59) == [b"\0\0"]
        await peer.release()
        refused = await RawPeer.connect(port)
        refused.send(associate_rq(extra=identity(2, b"anna", b"wrong")))
        assert await refused.pdu() == (RJ, bytes((0, 1, 1, 1)))
        await refused.close()
        assert [who.primary for who in seen] == [b"anna", b"anna"]
        await server.stop(0)


async def test_an_identity_without_a_hook_is_accepted_without_an_answer(tmp_path: Path) -> None:
    async with running_site(tmp_path) as site:
        peer = await RawPeer.associated(site.port, extra=identity(5, b"a.b.c"))
        assert user_item(peer.accept_body, 0x59) == []
        await peer.release()


# -- our requestor ----------------------------------------------------------------------------------------------------


async def test_our_requestor_says_why_a_peer_refused(tmp_path: Path) -> None:
    async with running_site(tmp_path, associations=1) as site:
        with pytest.raises(PeerUnreachable, match="called AE title"):
            await Association.connect(site.as_peer("OTHER"), for_verification())
        async with Association.open(site.as_peer(), for_verification()) as assoc:
            assert (await c_echo.echo(assoc)).status == 0
            with pytest.raises(PeerUnreachable, match="limit"):
                await Association.connect(site.as_peer(), for_verification())
        with pytest.raises(PeerUnreachable, match="cannot be reached"):
            await Association.connect(dataclasses.replace(site.as_peer(), port=1), for_verification())


async def test_our_requestor_gives_up_on_a_silent_peer(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(PeerUnreachable, match="did not answer within"):
        await Association.connect(
            Peer("silent", "127.0.0.1", port, "X"), for_verification(), settings=DimseSettings(connect=0.2)
        )
    server.close()


async def test_an_aborting_peer_ends_what_waits(tmp_path: Path) -> None:
    async with running_site(tmp_path) as site:
        assoc = await Association.connect(site.as_peer(), for_verification())
        (accepted,) = site.server.connections
        waiting = assoc.invoke(assoc.contexts_for(VERIFICATION)[0], 99)
        accepted.abort()
        with pytest.raises(ConnectionGone, match="aborted"):
            await waiting.response(2)
        await assoc.release()


async def test_both_sides_speak_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    accepting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    accepting.load_cert_chain(certificate, key)
    asking = ssl.create_default_context(cafile=str(certificate))
    async with running_site(tmp_path, ssl=accepting) as site:
        there = dataclasses.replace(site.as_peer(), tls=True)
        async with Association.open(there, for_verification(), tls=asking) as assoc:
            assert assoc.secure
            assert (await c_echo.echo(assoc)).status == 0
        with pytest.raises(PeerUnreachable):
            await Association.connect(there, for_verification(), tls=ssl.create_default_context())
        with pytest.raises(PeerUnreachable, match="TLS"):
            await Association.connect(there, for_verification())


async def test_the_requestor_sees_only_the_contexts_that_were_accepted(tmp_path: Path) -> None:
    proposals = (*for_verification(), Proposal("1.2.840.10008.5.1.1.1"), Proposal(CT, (EXPLICIT,)))
    async with running_site(tmp_path) as site, Association.open(site.as_peer(), proposals) as assoc:
        assert {ctx.abstract_syntax for ctx in assoc.contexts.values()} == {VERIFICATION, CT}
        assert assoc.contexts_for("1.2.840.10008.5.1.1.1") == []
