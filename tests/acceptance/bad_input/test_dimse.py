"""Rows D1 to D23 of the table of malformed inputs: commands and data sets over real sockets, byte by byte."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from tests.support.dimse_site import Site, attacked, dataset_of, first_then_close
from tests.support.generate import ct, part10, uid
from tests.support.raw_dicom import (
    AB_USER,
    CT,
    EXPLICIT,
    IMPLICIT,
    MR,
    STUDY_FIND,
    STUDY_GET,
    STUDY_MOVE,
    VERIFICATION,
    RawPeer,
    command_set,
    context,
    echo_rq,
    element,
    find_rq,
    get_rq,
    item,
    move_rq,
    p_data,
    pdv,
    store_rq,
    text,
    us,
)
from tests.support.raw_dicom import uid as ui

ECHO, STORE, FIND, MOVE, GET, PATIENT_FIND = 1, 3, 5, 7, 9, 11
CONTEXTS = [
    context(ECHO, VERIFICATION, [IMPLICIT]),
    context(STORE, CT, [EXPLICIT]),
    context(FIND, STUDY_FIND, [IMPLICIT]),
    context(MOVE, STUDY_MOVE, [IMPLICIT]),
    context(GET, STUDY_GET, [IMPLICIT]),
    context(PATIENT_FIND, "1.2.840.10008.5.1.4.1.2.1.1", [IMPLICIT]),
]
OFFENDING, COMMENT = 0x901, 0x902
INSTANCE = uid("instance", 1, 1, 1)


@asynccontextmanager
async def peer_of(tmp_path: Path, **settings: object) -> AsyncIterator[tuple[Site, RawPeer]]:
    """A site, and a raw peer with every context; the association must live to the end."""
    async with attacked(tmp_path, **settings) as site:
        peer = await RawPeer.associated(site.port, CONTEXTS)
        yield site, peer
        assert await peer.echo(ECHO) == 0
        await peer.release()


def identifier(level: str | None, *keys: tuple[int, bytes]) -> bytes:
    elements = dict(keys)
    if level is not None:
        elements[0x00080052] = text(level)
    return b"".join(element(tag, value) for tag, value in sorted(elements.items()))


def tags(raw: bytes) -> list[int]:
    return [group << 16 | number for group, number in struct.iter_unpack("<HH", raw)]


def raw_ct(**attributes: object) -> bytes:
    return dataset_of(part10(ct(**attributes)))


async def store(peer: RawPeer, dataset: bytes, sop_instance: str = INSTANCE, sop_class: str = CT) -> object:
    peer.send_message(STORE, store_rq(sop_class, sop_instance), dataset)
    return await peer.message()


# -- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        echo_rq()[:-5],
        b"\x00\x00\x00\x00UL\x04\x00\x38\x00\x00\x00",
        command_set({0x2: ui(VERIFICATION), 0x110: us(1), 0x800: us(0x0101)}),
        b"",
    ],
    ids=["truncated", "explicit-vr", "no-command-field", "empty"],
)
async def test_d1_a_command_set_that_cannot_be_read_is_aborted(tmp_path: Path, command: bytes) -> None:
    async with attacked(tmp_path) as site:
        peer = await RawPeer.associated(site.port)
        peer.send(p_data(pdv(1, command, command=True)))
        assert await first_then_close(peer) == [AB_USER]


async def test_d1_a_wrong_group_length_alone_is_accepted(tmp_path: Path) -> None:
    async with peer_of(tmp_path) as (_, peer):
        elements = {0x2: ui(VERIFICATION), 0x100: us(0x30), 0x110: us(5), 0x800: us(0x0101)}
        peer.send_message(ECHO, command_set(elements, group_length=9999))
        assert (await peer.message()).status == 0


@pytest.mark.parametrize("field", [0x7777, 0x0110, 0x0150, 0x0130], ids=["7777", "N-GET", "N-DELETE", "N-ACTION"])
@pytest.mark.parametrize("dataset", [None, b"1234"], ids=["bare", "with-data"])
async def test_d2_d28_an_operation_not_offered_is_answered_0211(
    tmp_path: Path, field: int, dataset: bytes | None
) -> None:
    async with peer_of(tmp_path) as (_, peer):
        elements = {0x2: ui(VERIFICATION), 0x100: us(field), 0x110: us(3), 0x800: us(0x0101 if dataset is None else 0)}
        peer.send_message(ECHO, command_set(elements), dataset)
        answer = await peer.message()
        assert answer.status == 0x0211
        assert answer.number(0x100) == field | 0x8000
        assert answer.number(0x120) == 3


async def test_d2_without_message_id_it_is_aborted(tmp_path: Path) -> None:
    async with attacked(tmp_path) as site:
        peer = await RawPeer.associated(site.port)
        peer.send_message(1, command_set({0x2: ui(VERIFICATION), 0x100: us(0x7777), 0x800: us(0x0101)}))
        assert await first_then_close(peer) == [AB_USER]


async def test_d3_a_response_that_was_never_asked_for_is_ignored(tmp_path: Path) -> None:
    async with peer_of(tmp_path) as (_, peer):
        elements = {0x2: ui(CT), 0x100: us(0x8001), 0x120: us(1), 0x800: us(0x0101), 0x900: us(0)}
        peer.send_message(STORE, command_set(elements))
        elements |= {0x100: us(0x8020), 0x800: us(0)}
        peer.send_message(FIND, command_set(elements), b"some data")


async def test_d4_a_message_id_that_is_still_open_is_answered_0210(tmp_path: Path) -> None:
    async with peer_of(tmp_path) as (site, peer):
        for n in range(40):
            site.keep(ct(n))
        # Both in one segment: the first query cannot be over when the second request is read.
        keys = identifier("STUDY", (0x0020000D, b""))
        one = p_data(pdv(FIND, find_rq(message_id=8), command=True)) + p_data(pdv(FIND, keys, command=False))
        peer.send(one, one)
        statuses = []
        while not {0x0000, 0x0210} <= set(statuses):
            statuses.append((await peer.message()).status)
        assert statuses.count(0x0210) == 1
        assert statuses.count(0xFF00) == 40


@pytest.mark.parametrize(
    ("number", "command", "dataset"),
    [
        (ECHO, store_rq(CT), b"data"),
        (STORE, echo_rq(), None),
        (STORE, store_rq(MR), b"data"),
        (FIND, find_rq(STUDY_MOVE), b"data"),
    ],
    ids=["store-on-echo", "echo-on-store", "mr-on-ct", "move-class-on-find"],
)
async def test_d5_a_request_on_a_context_of_another_class_is_answered_0122(
    tmp_path: Path, number: int, command: bytes, dataset: bytes | None
) -> None:
    async with peer_of(tmp_path) as (site, peer):
        peer.send_message(number, command, dataset)
        assert (await peer.message()).status == 0x0122
        assert site.stored() == 0


async def test_an_operation_that_is_not_one_of_the_class_is_answered_0211(tmp_path: Path) -> None:
    async with peer_of(tmp_path) as (_, peer):
        peer.send_message(STORE, find_rq(CT), identifier("STUDY"))
        assert (await peer.message()).status == 0x0211


# -- C-STORE ----------------------------------------------------------------------------------------------------------


async def test_d6_a_store_without_data_set_is_answered_0212(tmp_path: Path) -> None:
    async with peer_of(tmp_path) as (site, peer):
        peer.send_message(STORE, store_rq(dataset=False))
        assert (await peer.message()).status == 0x0212
        assert site.stored() == 0


@pytest.mark.parametrize("sop_instance", ["1.2.x", "1." + "2" * 70, "../../etc/passwd", "1..2", None])
async def test_d7_an_illegal_instance_uid_is_answered_0117(tmp_path: Path, sop_instance: str | None) -> None:
    async with peer_of(tmp_path) as (site, peer):
        peer.send_message(STORE, store_rq(CT, sop_instance), raw_ct())
        answer = await peer.message()
        assert answer.status == 0x0117
        assert len(answer.text(COMMENT)) <= 64
        assert site.stored() == 0


async def test_d8_a_data_set_of_another_instance_or_class_is_answered_a900_with_the_element(tmp_path: Path) -> None:
    async with peer_of(tmp_path) as (site, peer):
        answer = await store(peer, raw_ct(), uid("another"))
        assert (answer.status, tags(answer.command[OFFENDING])) == (0xA900, [0x00080018])
        assert 0 < len(answer.text(COMMENT)) <= 64
        answer = await store(peer, raw_ct(SOPClassUID=MR))
        assert (answer.status, tags(answer.command[OFFENDING])) == (0xA900, [0x00080016])
        assert site.stored() == 0


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"])
@pytest.mark.parametrize("how", ["missing", "empty"])
async def test_d9_missing_uids_are_answered_a900_and_never_invented(tmp_path: Path, keyword: str, how: str) -> None:
    ds = ct()
    if how == "missing":
        delattr(ds, keyword)
    else:
        setattr(ds, keyword, "")
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, False
    write_dataset(out, ds)
    async with peer_of(tmp_path) as (site, peer):
        answer = await store(peer, out.getvalue())
        assert answer.status == 0xA900
        assert site.stored() == 0


@pytest.mark.parametrize(
    "dataset",
    [
        b"this is no data set at all, not by any transfer syntax",
        raw_ct()[:300],
        b"",
    ],
    ids=["noise", "truncated", "empty"],
)
async def test_d10_a_data_set_that_does_not_parse_is_answered_c000_or_a900(tmp_path: Path, dataset: bytes) -> None:
    async with peer_of(tmp_path) as (site, peer):
        answer = await store(peer, dataset)
        assert answer.status >> 12 == 0xC or (answer.status == 0xA900 and not dataset)
        assert site.stored() == 0


async def test_d11_nonsense_values_are_stored_as_sent(tmp_path: Path) -> None:
    async with peer_of(tmp_path) as (site, peer):
        raw = raw_ct().replace(b"20240131", b"20231341")
        assert (await store(peer, raw)).status == 0
        assert site.stored() == 1


async def test_d12_a_study_under_another_patient_is_stored(tmp_path: Path) -> None:
    async with peer_of(tmp_path) as (site, peer):
        assert (await store(peer, raw_ct())).status == 0
        other = raw_ct(instance=2, patient_id="PID-2", patient_name="Roe^Jim")
        assert (await store(peer, other, uid("instance", 1, 1, 2))).status in (0, 0xB000)
        assert site.stored() == 2


async def test_d13_out_of_resources_is_answered_a700_and_the_association_stays(tmp_path: Path) -> None:
    from vesalius.archive.ingest import IngestLimits

    async with peer_of(tmp_path, limits=IngestLimits(object_bytes=100)) as (site, peer):
        answer = await store(peer, raw_ct())
        assert answer.status == 0xA700
        assert answer.text(COMMENT)
        assert site.stored() == 0


async def test_d14_without_the_right_every_service_answers_0124(tmp_path: Path) -> None:
    async with attacked(tmp_path) as site:
        site.add_peer("NORIGHTS", rights=frozenset())
        site.keep(ct())
        peer = await RawPeer.associated(site.port, CONTEXTS, calling=b"NORIGHTS")
        keys = identifier("STUDY", (0x0020000D, ui(ct().StudyInstanceUID)))
        assert await peer.echo(ECHO) == 0
        assert (await store(peer, raw_ct(instance=2), uid("instance", 1, 1, 2))).status == 0x0124
        for number, command in ((FIND, find_rq()), (MOVE, move_rq("NORIGHTS")), (GET, get_rq())):
            peer.send_message(number, command, keys)
            assert (await peer.message()).status == 0x0124
        assert site.stored() == 1
        await peer.release()


async def test_a_right_that_is_taken_away_ends_within_the_association(tmp_path: Path) -> None:
    async with attacked(tmp_path) as site:
        site.add_peer("MODALITY")
        peer = await RawPeer.associated(site.port, CONTEXTS, calling=b"MODALITY")
        assert (await store(peer, raw_ct())).status == 0
        site.add_peer("MODALITY", rights=frozenset({"query"}))
        for n in range(2, 60):
            answer = await store(peer, raw_ct(instance=n), uid("instance", 1, 1, n))
            if answer.status == 0x0124:
                break
            await asyncio.sleep(0.05)
        assert answer.status == 0x0124
        await peer.release()


async def test_d15_the_same_instance_again_is_a_success_and_writes_nothing(tmp_path: Path) -> None:
    async with peer_of(tmp_path) as (site, peer):
        assert (await store(peer, raw_ct())).status == 0
        before = site.index.totals()
        assert (await store(peer, raw_ct())).status == 0
        assert site.index.totals() == before


async def test_d16_other_content_is_kept_beside_the_first_or_refused_by_policy(tmp_path: Path) -> None:
    async with peer_of(tmp_path) as (site, peer):
        assert (await store(peer, raw_ct())).status == 0
        assert (await store(peer, raw_ct(seed=1))).status == 0
        assert (site.index.totals().instances, site.index.totals().conflicts) == (1, 1)
        site.add_peer("STRICT", refuse_conflicts=True)
        strict = await RawPeer.associated(site.port, CONTEXTS, calling=b"STRICT")
        answer = await store(strict, raw_ct(seed=2))
        assert answer.status == 0xC111
        assert answer.text(COMMENT)
        assert site.index.totals().conflicts == 1
        await strict.release()


# -- C-FIND -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "keys"),
    [
        (FIND, identifier(None, (0x0020000D, b""))),
        (FIND, identifier("NONSENSE", (0x0020000D, b""))),
        (FIND, identifier("PATIENT", (0x00100020, b""))),
        (FIND, identifier("IMAGE", (0x00080018, b""))),
        (FIND, identifier("SERIES", (0x0020000E, b""))),
        (PATIENT_FIND, identifier("STUDY", (0x0020000D, b""))),
    ],
    ids=["no-level", "unknown-level", "patient-in-study-root", "image-without-parents", "series-without-study",
         "study-without-patient"],
)  # fmt: skip
async def test_d17_an_identifier_that_does_not_fit_its_model_is_answered_a900(
    tmp_path: Path, number: int, keys: bytes
) -> None:
    async with peer_of(tmp_path) as (_, peer):
        root = "1.2.840.10008.5.1.4.1.2.1.1" if number == PATIENT_FIND else STUDY_FIND
        peer.send_message(number, find_rq(root), keys)
        answer = await peer.message()
        assert answer.status == 0xA900
        assert answer.command.get(OFFENDING) or answer.text(COMMENT)


@pytest.mark.parametrize(
    "key",
    [
        (0x00080020, b"20240301-20240101"[:16] + b"1 "),
        (0x00080020, text("20231345")),
        (0x0020000D, text("1.2.x\\1.3")),
    ],
    ids=["reversed", "bad-date", "bad-uid"],
)
async def test_d18_values_that_cannot_be_read_are_answered_c000_with_the_element(
    tmp_path: Path, key: tuple[int, bytes]
) -> None:
    async with peer_of(tmp_path) as (_, peer):
        peer.send_message(FIND, find_rq(), identifier("STUDY", key))
        answer = await peer.message()
        assert answer.status >> 12 == 0xC
        assert tags(answer.command[OFFENDING]) == [key[0]]


async def test_d19_unsupported_keys_are_told_by_ff01_and_neither_matched_nor_returned(tmp_path: Path) -> None:
    async with peer_of(tmp_path) as (site, peer):
        site.keep(ct())
        keys = identifier("STUDY", (0x0020000D, b""), (0x00281050, text("40")), (0x00091001, b"zz"))
        peer.send_message(FIND, find_rq(), keys)
        pending, final = await peer.message(), await peer.message()
        assert (pending.status, final.status) == (0xFF01, 0)
        assert struct.pack("<HH", 0x0028, 0x1050) not in pending.dataset


async def test_d20_a_hundred_thousand_uids_and_ten_thousand_wildcards_are_answered(tmp_path: Path) -> None:
    async with peer_of(tmp_path) as (site, peer):
        site.keep(ct())
        uids = "\\".join([f"1.2.3.{n}" for n in range(100_000)] + [str(ct().StudyInstanceUID)])
        peer.send(p_data(pdv(FIND, find_rq(), command=True)))
        raw = identifier("STUDY", (0x0020000D, text(uids)))
        for at in range(0, len(raw), 100_000):
            peer.send(p_data(pdv(FIND, raw[at : at + 100_000], command=False, last=at + 100_000 >= len(raw))))
        statuses = [(await peer.message(20)).status]
        while statuses[-1] == 0xFF00:
            statuses.append((await peer.message(20)).status)
        assert statuses in ([0xFF00, 0], [0xA700])
        peer.send_message(FIND, find_rq(), identifier("STUDY", (0x00081030, b"*a" * 10_000)))
        assert (await peer.message(20)).status in (0, 0xA700)


async def test_an_identifier_over_the_cap_is_answered_a700(tmp_path: Path) -> None:
    async with peer_of(tmp_path, identifier_size=10_000) as (_, peer):
        peer.send_message(FIND, find_rq(), identifier("STUDY", (0x00081030, b"x" * 20_000)))
        assert (await peer.message()).status == 0xA700


async def test_an_identifier_that_is_no_data_set_is_answered_cxxx(tmp_path: Path) -> None:
    async with peer_of(tmp_path) as (_, peer):
        peer.send_message(FIND, find_rq(), b"\x08\x00\x52\x00\xff\xff\x00\x00STUDY")
        assert (await peer.message()).status >> 12 == 0xC


@pytest.mark.parametrize(("number", "command"), [(FIND, find_rq()), (MOVE, move_rq("X")), (GET, get_rq())])
async def test_a_query_without_identifier_is_answered_0212(tmp_path: Path, number: int, command: bytes) -> None:
    async with peer_of(tmp_path) as (_, peer):
        bare = command.replace(element(0x800, us(0)), element(0x800, us(0x0101)))
        peer.send_message(number, bare)
        assert (await peer.message()).status == 0x0212


# -- C-MOVE and C-GET -------------------------------------------------------------------------------------------------

STUDY_KEYS = identifier("STUDY", (0x0020000D, ui(uid("study", 1))))


async def test_d21_an_unknown_destination_is_answered_a801(tmp_path: Path) -> None:
    async with peer_of(tmp_path) as (site, peer):
        site.keep(ct())
        peer.send_message(MOVE, move_rq("NOWHERE"), STUDY_KEYS)
        assert (await peer.message()).status == 0xA801


async def test_d21_a_destination_that_this_caller_may_not_name_is_answered_0124(tmp_path: Path) -> None:
    async with attacked(tmp_path) as site:
        site.keep(ct())
        reached = []
        listener = await asyncio.start_server(lambda r, w: reached.append(w), "127.0.0.1", 0)
        site.add_peer("DEST", listener.sockets[0].getsockname()[1])
        site.add_peer("WORKSTATION")
        peer = await RawPeer.associated(site.port, CONTEXTS, calling=b"WORKSTATION")
        peer.send_message(MOVE, move_rq("DEST"), STUDY_KEYS)
        assert (await peer.message()).status == 0x0124
        assert not reached
        listener.close()
        await peer.release()


async def test_d21_a_destination_that_refuses_is_answered_a702_with_all_failed(tmp_path: Path) -> None:
    async with peer_of(tmp_path) as (site, peer):
        site.keep(ct())
        site.keep(ct(instance=2))
        site.add_peer("DOWN", 1)
        peer.send_message(MOVE, move_rq("DOWN"), STUDY_KEYS)
        answer = await peer.message()
        assert answer.status == 0xA702
        assert (answer.number(0x1021), answer.number(0x1022), answer.number(0x1023)) == (0, 2, 0)
        assert 0x1020 not in answer.command
        assert INSTANCE.encode() in answer.dataset


@pytest.mark.parametrize(("number", "command"), [(MOVE, move_rq("DEST")), (GET, get_rq())], ids=["move", "get"])
async def test_d22_nothing_found_is_a_success_with_zero_completed(tmp_path: Path, number: int, command: bytes) -> None:
    async with peer_of(tmp_path) as (site, peer):
        site.add_peer("DEST", 1)
        peer.send_message(number, command, identifier("STUDY", (0x0020000D, ui("1.2.3.4"))))
        answer = await peer.message()
        assert answer.status == 0
        assert (answer.number(0x1021), answer.number(0x1022), answer.number(0x1023)) == (0, 0, 0)
        assert not answer.dataset


@pytest.mark.parametrize(("number", "command"), [(MOVE, move_rq("DEST")), (GET, get_rq())], ids=["move", "get"])
async def test_d17_a_retrieve_that_names_nothing_is_answered_a900(tmp_path: Path, number: int, command: bytes) -> None:
    async with peer_of(tmp_path) as (site, peer):
        site.add_peer("DEST", 1)
        for keys in (identifier(None), identifier("STUDY"), identifier("IMAGE", (0x00080018, ui("1.2")))):
            peer.send_message(number, command, keys)
            assert (await peer.message()).status == 0xA900


async def test_d23_a_get_without_the_scp_role_is_answered_a702(tmp_path: Path) -> None:
    async with peer_of(tmp_path) as (site, peer):
        site.keep(ct())
        peer.send_message(GET, get_rq(), STUDY_KEYS)
        answer = await peer.message()
        assert answer.status == 0xA702
        assert answer.number(0x1022) == 1
        assert INSTANCE.encode() in answer.dataset


async def test_d23_a_get_that_can_send_some_is_answered_b000(tmp_path: Path) -> None:
    async with attacked(tmp_path) as site:
        site.keep(ct())
        mr = ct(instance=2, SOPClassUID=MR)
        site.keep(mr)
        role = struct.pack(">H", len(CT)) + CT.encode() + b"\0\1"
        peer = await RawPeer.associated(site.port, CONTEXTS, extra=item(0x54, role))
        peer.send_message(GET, get_rq(), STUDY_KEYS)
        request = await peer.message()
        assert request.number(0x100) == 1
        assert request.dataset == raw_ct()
        done = {0x2: ui(CT), 0x100: us(0x8001), 0x120: us(request.number(0x110)), 0x800: us(0x0101), 0x900: us(0)}
        peer.send_message(STORE, command_set(done | {0x1000: ui(INSTANCE)}))
        answer = await peer.message()
        while answer.status == 0xFF00:
            answer = await peer.message()
        assert answer.status == 0xB000
        assert (answer.number(0x1021), answer.number(0x1022), answer.number(0x1023)) == (1, 1, 0)
        assert str(mr.SOPInstanceUID).encode() in answer.dataset
        assert INSTANCE.encode() not in answer.dataset
        await peer.release()
