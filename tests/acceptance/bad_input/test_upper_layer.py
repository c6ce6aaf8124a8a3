"""Rows U1 to U36 of the table of malformed inputs, over real sockets, byte by byte.

After each input a valid C-ECHO on a new association succeeds within one second, nothing is stored that was not
acknowledged, and no association is left behind.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
import subprocess
import time
from pathlib import Path

import pytest
import structlog
from tests.support.dimse_site import Site, attacked, dataset_of, first_then_close, leftovers, running_site, until
from tests.support.generate import ct, part10
from tests.support.patience import assert_within
from tests.support.raw_dicom import (
    AB_USER,
    ABORT,
    AC,
    CT,
    DATA,
    EXPLICIT,
    IMPLICIT,
    RELEASE_RP,
    RELEASE_RQ,
    RJ,
    RQ,
    STUDY_FIND,
    VERIFICATION,
    RawPeer,
    associate_rq,
    cancel_rq,
    context,
    echo_rq,
    element,
    find_rq,
    item,
    p_data,
    pdu,
    pdv,
    store_rq,
    text,
    user_information,
)

CONTEXTS = [
    context(1, VERIFICATION, [IMPLICIT]),
    context(3, CT, [EXPLICIT]),
    context(5, STUDY_FIND, [IMPLICIT]),
]


def ab(reason: int) -> tuple[int, bytes]:
    """A-ABORT by the service provider."""
    return ABORT, bytes((0, 0, 2, reason))


def rj(result: int, source: int, reason: int) -> tuple[int, bytes]:
    return RJ, bytes((0, result, source, reason))


async def says(site: Site, *raw: bytes) -> list[tuple[int, bytes]]:
    """Connect, send, and hear everything until the server closes."""
    peer = await RawPeer.connect(site.port)
    peer.send(*raw)
    return await first_then_close(peer)


# -- before the association -------------------------------------------------------------------------------------------


async def test_u1_a_silent_connection_is_closed_by_artim_without_a_byte(tmp_path: Path) -> None:
    async with attacked(tmp_path, artim=0.3) as site:
        peer = await RawPeer.connect(site.port)
        began = time.monotonic()
        assert await peer.closed(3) == []
        assert time.monotonic() - began > 0.2
        assert_within(began, 2)
        await peer.close()


async def test_u2_a_request_at_a_byte_at_a_time_does_not_outlive_the_same_timer(tmp_path: Path) -> None:
    async with attacked(tmp_path, artim=0.4) as site:
        peer = await RawPeer.connect(site.port)
        began = time.monotonic()
        hearing = asyncio.create_task(peer.closed(3))
        for byte in associate_rq():
            if hearing.done():
                break
            peer.send(bytes((byte,)))
            await asyncio.sleep(0.02)
        assert await hearing == []
        assert time.monotonic() - began > 0.3
        assert_within(began, 2)
        await peer.close()


async def test_u3_http_on_the_dicom_port_is_aborted_with_a_hint_in_the_log(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        async with attacked(tmp_path) as site:
            assert await says(site, b"GET / HTTP/1.1\r\nHost: pacs\r\n\r\n") == [AB_USER]
    assert any(entry["event"] == "http-to-dicom-port" for entry in logs)


async def test_u4_tls_on_the_plain_port_is_aborted_with_a_hint_in_the_log(tmp_path: Path) -> None:
    hello = bytes.fromhex("1603010200010001fc0303") + bytes(500)
    with structlog.testing.capture_logs() as logs:
        async with attacked(tmp_path) as site:
            assert await says(site, hello) == [AB_USER]
    assert any(entry["event"] == "tls-to-plain-port" for entry in logs)


async def test_u5_plain_dicom_on_the_tls_port_gets_no_association(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", "/CN=localhost", "-days", "2", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate, key)
    client_side = ssl.create_default_context(cafile=str(certificate))
    client_side.check_hostname = False
    async with running_site(tmp_path, ssl=server_side) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(associate_rq())
        answer = await asyncio.wait_for(reader.read(), 4)
        assert answer[:1] in (b"", b"\x15")  # closed, or a TLS alert: never a DICOM PDU
        writer.close()
        peer = await RawPeer.connect(site.port, ssl=client_side)
        peer.send(associate_rq())
        assert (await peer.pdu())[0] == AC
        assert await peer.echo() == 0
        await peer.release()


@pytest.mark.parametrize(
    "first",
    [
        p_data(pdv(1, echo_rq(), command=True)),
        pdu(RELEASE_RQ, bytes(4)),
        pdu(AC, associate_rq()[6:]),
        pdu(RJ, bytes((0, 1, 1, 1))),
        pdu(RELEASE_RP, bytes(4)),
    ],
    ids=["P-DATA", "RELEASE-RQ", "AC", "RJ", "RELEASE-RP"],
)
async def test_u6_another_pdu_before_the_request_is_aborted(tmp_path: Path, first: bytes) -> None:
    async with attacked(tmp_path) as site:
        assert await says(site, first) == [AB_USER]


async def test_u7_an_abort_before_the_request_closes_silently(tmp_path: Path) -> None:
    async with attacked(tmp_path) as site:
        peer = await RawPeer.connect(site.port)
        peer.send(pdu(ABORT, bytes(4)))
        assert await peer.closed(2) == []
        await peer.close()


# -- in the association -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (associate_rq(), ab(2)),
        (pdu(AC, associate_rq()[6:]), ab(2)),
        (pdu(RJ, bytes((0, 1, 1, 1))), ab(2)),
        (pdu(RELEASE_RP, bytes(4)), ab(2)),
        (pdu(0x00, bytes(4)), ab(1)),
        (pdu(0x08, bytes(4)), ab(1)),
        (pdu(0xFF, bytes(4)), ab(1)),
    ],
    ids=["u8-RQ", "u8-AC", "u8-RJ", "u8-RELEASE-RP", "u9-00", "u9-08", "u9-FF"],
)
async def test_u8_u9_an_unexpected_or_unknown_pdu_in_an_association_is_aborted(
    tmp_path: Path, sent: bytes, answer: tuple[int, bytes]
) -> None:
    async with attacked(tmp_path) as site:
        peer = await RawPeer.associated(site.port)
        peer.send(sent)
        assert await first_then_close(peer) == [answer]


async def test_u10_after_our_reject_pdus_are_ignored_but_requests_and_nonsense_and_artim_closes(tmp_path: Path) -> None:
    async with attacked(tmp_path, artim=0.6) as site:
        peer = await RawPeer.connect(site.port)
        peer.send(associate_rq(called=b"WRONG"))
        assert await peer.pdu() == rj(1, 1, 7)
        peer.send(pdu(RELEASE_RQ, bytes(4)), p_data(pdv(1, echo_rq(), command=True)))
        assert await peer.is_silent(0.2)
        peer.send(associate_rq())
        assert (await peer.pdu())[0] == ABORT
        peer.send(pdu(0x42, b"??"))
        assert (await peer.pdu())[0] == ABORT
        assert await peer.closed(3) == []
        await peer.close()


# -- negotiation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_pdu", "answer"),
    [
        (associate_rq(version=2), rj(1, 2, 2)),
        (associate_rq(application_context=b"1.2.840.10008.3.1.1.2"), rj(1, 1, 2)),
        (associate_rq(called=b"NOBODY"), rj(1, 1, 7)),
        (associate_rq(called=b""), rj(1, 1, 7)),
        (associate_rq(called=b"vesalius"), rj(1, 1, 7)),
        (associate_rq(called=b"VESA\x07LIUS"), rj(1, 1, 7)),
        (associate_rq(calling=b""), rj(1, 1, 3)),
        (associate_rq(calling=b"\x1b[2J"), rj(1, 1, 3)),
        (associate_rq(calling=b"A\\B"), rj(1, 1, 3)),
    ],
    ids=["u11", "u12", "called-unknown", "called-blank", "called-case", "called-control", "calling-blank",
         "calling-control", "calling-backslash"],
)  # fmt: skip
async def test_u11_u12_u13_a_request_that_is_not_for_us_is_rejected_with_the_right_code(
    tmp_path: Path, request_pdu: bytes, answer: tuple[int, bytes]
) -> None:
    async with attacked(tmp_path) as site:
        assert await says(site, request_pdu) == [answer]
        assert all(code == tuple(answer[1][1:]) for code in site.seen.rejected)


async def test_u11_other_bits_of_the_protocol_version_are_ignored(tmp_path: Path) -> None:
    async with attacked(tmp_path) as site:
        peer = await RawPeer.associated(site.port, version=0xFFFF)
        await peer.release()


async def test_u13_spaces_around_titles_do_not_matter(tmp_path: Path) -> None:
    async with attacked(tmp_path) as site:
        peer = await RawPeer.associated(site.port, called=b"  VESALIUS", calling=b" RAW")
        await peer.release()


async def test_u13_an_unknown_caller_is_refused_by_default_and_a_known_one_by_its_address(tmp_path: Path) -> None:
    async with attacked(tmp_path / "a", allow_unknown=False) as site:
        site.add_peer("RAW")
        assert await says(site, associate_rq(calling=b"STRANGER")) == [rj(1, 1, 3)]
        peer = await RawPeer.associated(site.port)
        await peer.release()
    async with running_site(tmp_path / "b", allow_unknown=False, check_addresses=True) as site:
        site.add_peer("RAW")
        site.peers["FAR"] = site.add_peer("FAR").__class__("FAR", "192.0.2.7", 104, "FAR")
        assert await says(site, associate_rq(calling=b"FAR")) == [rj(1, 1, 3)]
        peer = await RawPeer.associated(site.port)
        await peer.release()


async def test_u15_over_the_limit_is_rejected_and_room_is_made_by_an_end(tmp_path: Path) -> None:
    async with attacked(tmp_path, associations=2) as site:
        one, two = await RawPeer.associated(site.port), await RawPeer.associated(site.port)
        assert await says(site, associate_rq()) == [rj(2, 3, 2)]
        await one.release()
        await until(lambda: site.server.pressure.associations == 1)
        three = await RawPeer.associated(site.port)
        two.reset()
        await three.release()


async def test_u15_while_shutting_down_new_associations_are_rejected_and_running_ones_go_on(tmp_path: Path) -> None:
    async with running_site(tmp_path) as site:
        peer = await RawPeer.associated(site.port)
        stopping = asyncio.create_task(site.server.stop(3))
        await asyncio.sleep(0.05)
        assert await says(site, associate_rq()) == [rj(2, 3, 1)]
        assert await peer.echo() == 0
        await peer.release()
        await asyncio.wait_for(stopping, 4)


@pytest.mark.parametrize("length", [0xFFFFFFFF, (1 << 20) + 1])
async def test_u16_a_request_longer_than_the_cap_is_aborted_before_it_is_read(tmp_path: Path, length: int) -> None:
    async with attacked(tmp_path) as site:
        assert await says(site, pdu(RQ, associate_rq()[6:], length=length)) == [AB_USER]


@pytest.mark.parametrize(
    "request_pdu",
    [
        pdu(RQ, associate_rq()[6:-3]),
        pdu(RQ, associate_rq()[6:] + item(0x20, b"", length=900)),
        associate_rq([item(0x20, b"\x01\0\0\0" + item(0x30, b"1.2.3", length=400))]),
        associate_rq(user=item(0x50, item(0x51, bytes(4), length=90))),
        pdu(RQ, b"\0\1"),
    ],
    ids=["cut", "item-past-pdu", "sub-item-past-item", "user-item-past-item", "no-fixed-part"],
)
async def test_u17_items_that_pass_the_end_are_aborted(tmp_path: Path, request_pdu: bytes) -> None:
    async with attacked(tmp_path) as site:
        assert await says(site, request_pdu) == [AB_USER]


@pytest.mark.parametrize(
    "request_pdu",
    [associate_rq([]), associate_rq(application_context=None), associate_rq(user=b"")],
    ids=["contexts", "application-context", "user-information"],
)
async def test_u18_a_request_without_a_mandatory_item_is_refused(tmp_path: Path, request_pdu: bytes) -> None:
    async with attacked(tmp_path) as site:
        assert await says(site, request_pdu) in ([AB_USER], [rj(1, 2, 1)])


@pytest.mark.parametrize(
    "contexts",
    [
        [context(0, VERIFICATION, [IMPLICIT])],
        [context(2, VERIFICATION, [IMPLICIT])],
        [context(1, VERIFICATION, [IMPLICIT]), context(1, CT, [IMPLICIT])],
        [context(1 + 2 * n & 0xFF, VERIFICATION, [IMPLICIT]) for n in range(129)],
    ],
    ids=["zero", "even", "twice", "129"],
)
async def test_u19_illegal_context_ids_are_aborted_or_rejected(tmp_path: Path, contexts: list[bytes]) -> None:
    async with attacked(tmp_path) as site:
        (kind, body), *_ = await says(site, associate_rq(contexts))
        assert (kind, body) == AB_USER or (kind == AC and b"\x21\0" in body)


def results(ac_body: bytes) -> dict[int, int]:
    """Context id -> result of an A-ASSOCIATE-AC."""
    found, at = {}, 68
    while at < len(ac_body):
        kind, length = struct.unpack_from(">BxH", ac_body, at)
        if kind == 0x21:
            found[ac_body[at + 4]] = ac_body[at + 6]
        at += 4 + length
    return found


async def test_u20_unknown_syntaxes_are_rejected_one_by_one_and_the_association_stands(tmp_path: Path) -> None:
    async with attacked(tmp_path) as site:
        peer = await RawPeer.associated(
            site.port,
            [context(1, "1.2.840.10008.5.1.1.1", [IMPLICIT]), context(3, VERIFICATION, ["1.2.840.10008.1.2.4.50"])],
        )
        assert results(peer.accept_body) == {1: 3, 3: 4}
        await peer.release()


async def test_u21_128_contexts_of_60_transfer_syntaxes_are_accepted(tmp_path: Path) -> None:
    async with attacked(tmp_path) as site:
        syntaxes: list[str | bytes] = [f"1.2.840.10008.1.2.4.{n}" for n in range(200, 259)] + [EXPLICIT]
        peer = await RawPeer.associated(site.port, [context(2 * n + 1, CT, syntaxes) for n in range(128)])
        assert set(results(peer.accept_body).values()) == {0}
        await peer.release()


async def test_u22_padded_uids_are_trimmed_and_illegal_ones_rejected(tmp_path: Path) -> None:
    async with attacked(tmp_path) as site:
        peer = await RawPeer.associated(
            site.port,
            [
                context(1, VERIFICATION.encode() + b"\0", [IMPLICIT.encode() + b"\0"]),
                context(3, CT.encode() + b" ", [EXPLICIT.encode() + b" "]),
                context(5, b"../etc/passwd", [IMPLICIT]),
                context(7, CT, [b"1.2.x\x00\xff"]),
            ],
        )
        assert results(peer.accept_body) == {1: 0, 3: 0, 5: 3, 7: 4}
        assert await peer.echo() == 0
        await peer.release()


async def test_u23_maximum_length_zero_means_no_limit_and_we_still_send(tmp_path: Path) -> None:
    async with attacked(tmp_path) as site:
        for maximum in (0, None):
            peer = await RawPeer.associated(site.port, maximum=maximum)
            assert await peer.echo() == 0
            await peer.release()


@pytest.mark.parametrize("maximum", [1, 6, 11])
async def test_u24_a_maximum_length_without_room_for_data_is_aborted(tmp_path: Path, maximum: int) -> None:
    async with attacked(tmp_path) as site:
        assert await says(site, associate_rq(maximum=maximum)) == [ab(6)]


async def test_u25_odd_user_items_are_ignored(tmp_path: Path) -> None:
    role = struct.pack(">H", len(CT)) + CT.encode() + b"\1\1"
    extra = item(0x54, role) + item(0x53, bytes(4)) + item(0x7F, b"whatever")
    async with attacked(tmp_path) as site:
        peer = await RawPeer.associated(site.port, extra=extra)
        assert await peer.echo() == 0
        await peer.release()


# -- data -------------------------------------------------------------------------------------------------------------


async def test_u26_a_p_data_longer_than_our_maximum_is_aborted(tmp_path: Path) -> None:
    async with attacked(tmp_path, max_pdu=16384) as site:
        peer = await RawPeer.associated(site.port)
        peer.send(p_data(pdv(1, bytes(20000), command=True)))
        assert await first_then_close(peer) == [ab(6)]


@pytest.mark.parametrize(
    "body",
    [
        pdv(1, echo_rq(), command=True, length=0),
        pdv(1, echo_rq(), command=True, length=1),
        pdv(1, echo_rq(), command=True) + b"\0\0\0",
        pdv(1, echo_rq(), command=True, length=5000),
        b"",
    ],
    ids=["zero", "one", "remainder", "past-end", "empty"],
)
async def test_u27_impossible_pdv_lengths_are_aborted(tmp_path: Path, body: bytes) -> None:
    async with attacked(tmp_path) as site:
        peer = await RawPeer.associated(site.port)
        peer.send(pdu(DATA, body))
        assert await first_then_close(peer) == [ab(6)]


async def test_u28_a_context_that_was_not_accepted_is_aborted(tmp_path: Path) -> None:
    async with attacked(tmp_path) as site:
        peer = await RawPeer.associated(site.port)
        peer.send_message(99, echo_rq())
        assert await first_then_close(peer) == [ab(6)]


@pytest.mark.parametrize(
    "parts",
    [
        [p_data(pdv(3, b"data", command=False))],
        [p_data(pdv(3, store_rq(), command=True)), p_data(pdv(3, echo_rq(), command=True))],
        [p_data(pdv(3, store_rq(), command=True)), p_data(pdv(1, b"data", command=False))],
        [p_data(pdv(3, store_rq()[:20], command=True, last=False)), p_data(pdv(1, echo_rq(), command=True))],
    ],
    ids=["data-first", "command-in-data", "other-context", "interleaved-commands"],
)
async def test_u29_fragments_out_of_order_are_aborted(tmp_path: Path, parts: list[bytes]) -> None:
    async with attacked(tmp_path) as site:
        peer = await RawPeer.associated(site.port, CONTEXTS)
        peer.send(*parts)
        assert await first_then_close(peer) == [AB_USER]
        assert site.stored() == 0


async def test_u30_a_command_without_end_is_aborted_in_bounded_memory(tmp_path: Path) -> None:
    async with attacked(tmp_path) as site:
        peer = await RawPeer.associated(site.port)
        for _ in range(5):
            peer.send(p_data(pdv(1, bytes(16000), command=True, last=False)))
        assert await first_then_close(peer) == [AB_USER]


async def test_u30_a_data_set_over_the_limit_is_answered_a700_when_it_ends(tmp_path: Path) -> None:
    from vesalius.archive.ingest import IngestLimits

    async with attacked(tmp_path, limits=IngestLimits(object_bytes=100_000)) as site:
        peer = await RawPeer.associated(site.port, CONTEXTS)
        raw = dataset_of(part10(ct(rows=512, columns=512)))
        peer.send(p_data(pdv(3, store_rq(sop_instance=str(ct().SOPInstanceUID)), command=True)))
        for at in range(0, len(raw), 16000):
            peer.send(p_data(pdv(3, raw[at : at + 16000], command=False, last=at + 16000 >= len(raw))))
        assert (await peer.message()).status == 0xA700
        assert site.stored() == 0
        await peer.release()


async def test_u31_tiny_fragments_and_an_empty_last_one_are_accepted(tmp_path: Path) -> None:
    async with attacked(tmp_path) as site:
        peer = await RawPeer.associated(site.port, CONTEXTS)
        raw = dataset_of(part10(ct()))
        peer.send(p_data(pdv(3, store_rq(sop_instance=str(ct().SOPInstanceUID)), command=True)))
        peer.send(*(p_data(pdv(3, raw[at : at + 1], command=False, last=False)) for at in range(len(raw))))
        peer.send(p_data(pdv(3, b"", command=False)))
        assert (await peer.message()).status == 0
        assert site.stored() == 1
        await peer.release()


# -- release ----------------------------------------------------------------------------------------------------------


async def test_u32_data_after_the_peers_own_release_request_are_aborted_or_not_read(tmp_path: Path) -> None:
    async with attacked(tmp_path) as site:
        peer = await RawPeer.associated(site.port, CONTEXTS)
        peer.send(pdu(RELEASE_RQ, bytes(4)), p_data(pdv(1, echo_rq(), command=True)))
        # Released at once, the data come in Sta13 and are ignored; in Sta8 they would be A-ABORT 2/2.
        (kind, body), *_ = await first_then_close(peer)
        assert kind == RELEASE_RP or (kind, body) == ab(2)


async def test_u33_a_release_collision_ends_in_the_order_of_the_table(tmp_path: Path) -> None:
    async with attacked(tmp_path) as site:
        peer = await RawPeer.associated(site.port)
        (assoc,) = site.server.connections
        releasing = asyncio.create_task(assoc.release())
        await asyncio.sleep(0)
        assert await peer.pdu() == (RELEASE_RQ, bytes(4))
        peer.send(pdu(RELEASE_RQ, bytes(4)))
        assert await peer.is_silent(0.2), "the acceptor waits: the requestor answers first"
        peer.send(pdu(RELEASE_RP, bytes(4)))
        assert await peer.pdu() == (RELEASE_RP, bytes(4))
        await peer.close()
        await asyncio.wait_for(releasing, 3)


# -- the line breaks, stalls, fills -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_u34_a_connection_that_breaks_in_mid_object_leaves_no_trace(tmp_path: Path, how: str) -> None:
    async with attacked(tmp_path) as site:
        peer = await RawPeer.associated(site.port, CONTEXTS)
        raw = dataset_of(part10(ct(rows=256, columns=256)))
        peer.send(p_data(pdv(3, store_rq(sop_instance=str(ct().SOPInstanceUID)), command=True)))
        peer.send(*(p_data(pdv(3, raw[at : at + 8000], command=False, last=False)) for at in range(0, 80000, 8000)))
        await peer.writer.drain()
        await asyncio.sleep(0.1)
        if how == "rst":
            peer.reset()
        else:
            await peer.close()
        await until(lambda: not site.server.connections)
        assert site.stored() == 0
        # And the same instance is welcome afterwards.
        site.keep(ct(rows=256, columns=256))
        assert site.stored() == 1


@pytest.mark.parametrize(
    "beginning",
    [
        p_data(pdv(3, store_rq(), command=True)) + p_data(pdv(3, bytes(100), command=False, last=False)),
        p_data(pdv(3, store_rq(), command=True)),
        p_data(pdv(1, echo_rq()[:30], command=True, last=False)),
        p_data(pdv(1, echo_rq(), command=True))[:20],
    ],
    ids=["data-set", "before-data-set", "command", "pdu"],
)
async def test_u34_what_stops_half_way_is_aborted_by_the_network_time_out(tmp_path: Path, beginning: bytes) -> None:
    async with attacked(tmp_path, network=0.4) as site:
        peer = await RawPeer.associated(site.port, CONTEXTS)
        peer.send(beginning)
        assert await first_then_close(peer) == [AB_USER]


async def test_an_idle_association_is_aborted(tmp_path: Path) -> None:
    async with attacked(tmp_path, idle=0.3) as site:
        peer = await RawPeer.associated(site.port)
        assert await first_then_close(peer) == [AB_USER]


async def test_u35_a_peer_that_does_not_read_answers_is_held_back_and_then_closed(tmp_path: Path) -> None:
    async with attacked(tmp_path, network=0.5) as site:
        for n in range(400):
            site.keep(ct(n, patient_name=f"Doe^{n}", patient_id=f"P{n}", StudyDescription="x" * 60))
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=1024)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        peer = RawPeer(reader, writer)
        writer.write(associate_rq(CONTEXTS))
        identifier = element(0x00080052, b"STUDY ") + element(0x00100010, b"") + element(0x00081030, b"")
        await asyncio.sleep(0.1)
        for message_id in range(1, 200):
            peer.send_message(5, find_rq(message_id=message_id), identifier)
        await until(lambda: not site.server.connections, 15)
        writer.transport.abort()


async def test_u36_cancels_for_nothing_are_ignored(tmp_path: Path) -> None:
    async with attacked(tmp_path) as site:
        peer = await RawPeer.associated(site.port, CONTEXTS)
        peer.send_message(5, cancel_rq(4711))
        identifier = element(0x00080052, text("STUDY")) + element(0x0020000D, b"")
        peer.send_message(5, find_rq(message_id=9), identifier)
        assert (await peer.message()).status == 0
        peer.send_message(5, cancel_rq(9))
        assert await peer.echo() == 0
        await peer.release()


async def test_a_thousand_rejected_and_aborted_associations_leave_nothing(tmp_path: Path) -> None:
    async with attacked(tmp_path) as site:
        tasks = len(asyncio.all_tasks())
        for n in range(500):
            peer = await RawPeer.connect(site.port)
            peer.send(associate_rq(called=b"WRONG"))
            assert (await peer.pdu())[0] == RJ
            await peer.close()
            peer = await RawPeer.associated(site.port, CONTEXTS)
            if n % 2:
                peer.send(p_data(pdv(3, store_rq(), command=True)), p_data(pdv(3, b"xx", command=False, last=False)))
            peer.send(pdu(ABORT, bytes(4)))
            await peer.close()
        await until(lambda: not list(leftovers(site.server)))
        await until(lambda: len(asyncio.all_tasks()) <= tasks)
        assert site.seen.opened == site.seen.closed == 500
        assert site.stored() == 0
        assert user_information() in associate_rq()
