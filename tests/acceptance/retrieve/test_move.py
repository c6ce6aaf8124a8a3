"""C-MOVE as PS3.4 C.4.2 and the list of what other servers get wrong want it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support.dimse_site import Site, dataset_of, running_site, until
from tests.support.generate import ct, part10, uid
from tests.support.patience import assert_within
from tests.support.raw_dicom import (
    ABORTED,
    CLOSE,
    EXPLICIT,
    HANG,
    IMPLICIT,
    STUDY_MOVE,
    VERIFICATION,
    Message,
    RawPeer,
    RawReceiver,
    cancel_rq,
    context,
    element,
    move_rq,
    text,
)
from tests.support.raw_dicom import uid as ui

CONTEXTS = [context(1, STUDY_MOVE, [IMPLICIT]), context(3, VERIFICATION, [IMPLICIT])]


@asynccontextmanager
async def moving(
    tmp_path: Path, receiver: RawReceiver, instances: int = 5, **settings: object
) -> AsyncIterator[tuple[Site, RawPeer]]:
    """A site with one study, a destination DEST, and a requester."""
    async with running_site(tmp_path, **settings) as site, receiver.listening():
        for n in range(1, instances + 1):
            site.keep(ct(instance=n))
        site.add_peer("DEST", receiver.port)
        peer = await RawPeer.associated(site.port, CONTEXTS, calling=b"ASKER")
        yield site, peer
        assert await peer.echo(3) == 0
        await peer.release()


def study(number: object = 1) -> bytes:
    keys = {0x00080052: text("STUDY"), 0x0020000D: ui(uid("study", number))}
    return b"".join(element(tag, value) for tag, value in keys.items())


async def move(peer: RawPeer, keys: bytes | None = None, message_id: int = 7) -> list[Message]:
    """All responses of a C-MOVE to DEST."""
    peer.send_message(1, move_rq("DEST", message_id=message_id), keys or study())
    return await responses(peer)


async def responses(peer: RawPeer, timeout: float = 8) -> list[Message]:
    answers = [await peer.message(timeout)]
    while answers[-1].status in (0xFF00, 0xFF01):
        answers.append(await peer.message(timeout))
    return answers


def counts(message: Message) -> tuple[int, int, int]:
    """Completed, failed, warning."""
    return message.number(0x1021), message.number(0x1022), message.number(0x1023)


def failed_list(message: Message) -> list[str]:
    if not message.dataset:
        return []
    return message.dataset[8:].decode().rstrip("\0 ").split("\\")


async def test_every_instance_arrives_as_stored_with_its_originator_and_success_is_told(tmp_path: Path) -> None:
    receiver = RawReceiver(delay=0.06)
    async with moving(tmp_path, receiver) as (_, peer):
        answers = await move(peer)
    final = answers[-1]
    assert final.status == 0
    assert counts(final) == (5, 0, 0)
    assert 0x1020 not in final.command
    assert not final.dataset
    assert [m.dataset for m in receiver.received] == [dataset_of(part10(ct(instance=n))) for n in range(1, 6)]
    assert {m.text(0x1030) for m in receiver.received} == {"ASKER"}
    assert {m.number(0x1031) for m in receiver.received} == {7}
    pendings = answers[:-1]
    assert pendings
    for pending in pendings:
        assert pending.number(0x1020) + sum(counts(pending)) == 5
        assert pending.number(0x1020) > 0


async def test_a_pending_comes_every_second_while_the_receiver_takes_its_time(tmp_path: Path) -> None:
    receiver = RawReceiver(delay=1.0)
    async with moving(tmp_path, receiver, instances=1, pending_interval=0.3) as (_, peer):
        answers = await move(peer)
    assert answers[-1].status == 0
    assert len(answers) >= 3


async def test_all_failed_is_a702_and_some_failed_is_b000_with_the_list(tmp_path: Path) -> None:
    receiver = RawReceiver(answer=lambda n, m: 0xA700)
    async with moving(tmp_path / "all", receiver, instances=2) as (_, peer):
        final = (await move(peer))[-1]
    assert final.status == 0xA702
    assert counts(final) == (0, 2, 0)
    assert failed_list(final) == [uid("instance", 1, 1, 1), uid("instance", 1, 1, 2)]
    receiver = RawReceiver(answer=lambda n, m: 0xC000 if n == 1 else 0)
    async with moving(tmp_path / "some", receiver, instances=3) as (_, peer):
        final = (await move(peer))[-1]
    assert final.status == 0xB000
    assert counts(final) == (2, 1, 0)
    assert failed_list(final) == [uid("instance", 1, 1, 2)]


async def test_warnings_are_counted_but_are_not_in_the_failed_list(tmp_path: Path) -> None:
    receiver = RawReceiver(answer=lambda n, m: 0xB000 if n == 0 else 0)
    async with moving(tmp_path, receiver, instances=2) as (_, peer):
        final = (await move(peer))[-1]
    assert final.status == 0xB000
    assert counts(final) == (1, 0, 1)
    assert failed_list(final) == []


@pytest.mark.parametrize("how", [CLOSE, ABORTED])
async def test_a_receiver_that_breaks_once_gets_the_rest_on_a_new_association(tmp_path: Path, how: int) -> None:
    receiver = RawReceiver(answer=lambda n, m: how if n == 2 else 0)
    async with moving(tmp_path, receiver) as (_, peer):
        final = (await move(peer))[-1]
    assert final.status == 0
    assert counts(final) == (5, 0, 0)
    assert receiver.associations == 2


async def test_a_receiver_that_always_breaks_ends_in_a702(tmp_path: Path) -> None:
    receiver = RawReceiver(answer=lambda n, m: CLOSE)
    async with moving(tmp_path, receiver) as (_, peer):
        final = (await move(peer))[-1]
    assert final.status == 0xA702
    assert counts(final) == (0, 5, 0)


async def test_a_receiver_that_hangs_never_hangs_the_requester(tmp_path: Path) -> None:
    receiver = RawReceiver(answer=lambda n, m: HANG if n == 1 else 0)
    async with moving(tmp_path, receiver, response=0.5) as (_, peer):
        began = time.monotonic()
        final = (await move(peer))[-1]
    assert_within(began, 4)
    assert final.status == 0xB000
    assert counts(final) == (1, 4, 0)


async def test_a_destination_that_never_answers_the_association_request_is_a702_in_time(tmp_path: Path) -> None:
    receiver = RawReceiver()
    async with moving(tmp_path, receiver, instances=1, connect=0.5) as (site, peer):
        silent = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        site.add_peer("SILENT", silent.sockets[0].getsockname()[1])
        peer.send_message(1, move_rq("SILENT"), study())
        final = (await responses(peer))[-1]
        assert final.status == 0xA702
        silent.close()


async def test_cancel_ends_with_fe00_and_counts_within_a_second(tmp_path: Path) -> None:
    receiver = RawReceiver(delay=0.1)
    async with moving(tmp_path / "slow", receiver, instances=30) as (_, peer):
        peer.send_message(1, move_rq("DEST", message_id=7), study())
        await peer.message()
        began = time.monotonic()
        peer.send_message(1, cancel_rq(7))
        final = (await responses(peer))[-1]
        assert_within(began, 1)
        assert final.status == 0xFE00
        assert final.number(0x1020) + sum(counts(final)) == 30
        assert final.number(0x1020) > 0
    receiver = RawReceiver(answer=lambda n, m: HANG)
    async with moving(tmp_path / "hung", receiver, pending_interval=0.1) as (_, peer):
        peer.send_message(1, move_rq("DEST", message_id=7), study())
        await peer.message()
        began = time.monotonic()
        peer.send_message(1, cancel_rq(7))
        assert (await responses(peer))[-1].status == 0xFE00
        assert_within(began, 1.2)


async def test_an_association_is_used_again_for_the_next_move_and_then_released(tmp_path: Path) -> None:
    receiver = RawReceiver()
    async with moving(tmp_path, receiver, reuse=2) as (_, peer):
        assert (await move(peer))[-1].status == 0
        assert (await move(peer, message_id=8))[-1].status == 0
        assert receiver.associations == 1
        assert receiver.released == 0
        await until(lambda: receiver.released == 1)
        assert (await move(peer, message_id=9))[-1].status == 0
        assert receiver.associations == 2


async def test_an_idle_association_is_released_when_the_one_that_asked_has_gone(tmp_path: Path) -> None:
    receiver = RawReceiver()
    async with moving(tmp_path, receiver, reuse=60) as (site, peer):
        other = await RawPeer.associated(site.port, CONTEXTS)
        assert (await move(other))[-1].status == 0
        assert receiver.released == 0
        await other.release()
        await until(lambda: receiver.released == 1)
        assert (await move(peer))[-1].status == 0
        assert receiver.associations == 2


async def test_an_idle_association_that_the_receiver_closed_is_replaced_without_a_failure(tmp_path: Path) -> None:
    receiver = RawReceiver(answer=lambda n, m: CLOSE if n == 5 else 0)  # the first of the second move
    async with moving(tmp_path, receiver, reuse=5) as (_, peer):
        assert (await move(peer))[-1].status == 0
        final = (await move(peer, message_id=8))[-1]
        assert final.status == 0
        assert counts(final) == (5, 0, 0)


async def test_different_destinations_are_served_at_the_same_time(tmp_path: Path) -> None:
    two = RawReceiver(delay=0.1)
    met: list[int] = []
    one = RawReceiver(delay=0.1, answer=lambda n, m: met.append(two.open) or 0)  # type: ignore[func-returns-value]
    async with moving(tmp_path, one) as (site, peer), two.listening():
        site.add_peer("OTHER", two.port)
        other = await RawPeer.associated(site.port, CONTEXTS)
        other.send_message(1, move_rq("OTHER"), study())
        first, second = await asyncio.gather(move(peer), responses(other))
        assert first[-1].status == second[-1].status == 0
        assert any(met), "one was served after the other"
        await other.release()


async def test_several_pipelines_to_one_destination_share_the_work(tmp_path: Path) -> None:
    receiver = RawReceiver(delay=0.05)
    async with moving(tmp_path, receiver, instances=9, move_pipelines=3) as (_, peer):
        final = (await move(peer))[-1]
    assert counts(final) == (9, 0, 0)
    assert receiver.most_open == 3


async def test_what_the_receiver_does_not_take_as_stored_is_transcoded_or_counted(tmp_path: Path) -> None:
    rle = "1.2.840.10008.1.2.5"
    receiver = RawReceiver(accept=lambda abstract, syntaxes: IMPLICIT if IMPLICIT in syntaxes else None)
    async with moving(tmp_path, receiver, instances=1) as (site, peer):
        compressed = ct(instance=2)
        compressed.file_meta = None
        from tests.support.generate import part10 as encoded

        from vesalius.backends.pixels_codecs import PixelCodecs

        codecs = PixelCodecs()
        raw = codecs.transcode(dataset_of(encoded(ct(instance=2))), EXPLICIT, rle)
        codecs.close()
        site.keep_bytes(str(compressed.SOPClassUID), str(compressed.SOPInstanceUID), rle, raw)
        unknown = ct(instance=3)
        site.keep_bytes(
            str(unknown.SOPClassUID), str(unknown.SOPInstanceUID), "1.2.3.4.5", dataset_of(encoded(unknown))
        )
        final = (await move(peer))[-1]
    assert final.status == 0xB000
    assert counts(final) == (2, 1, 0)
    assert failed_list(final) == [uid("instance", 1, 1, 3)]
    assert receiver.syntaxes == [IMPLICIT, IMPLICIT]


async def test_more_classes_than_one_association_can_carry_go_on_several(tmp_path: Path) -> None:
    receiver = RawReceiver()
    async with moving(tmp_path, receiver, instances=1) as (site, peer):
        for n in range(2, 82):
            site.keep(ct(instance=n, SOPClassUID=f"1.2.826.0.1.3680043.2.1143.{n}"))
        final = (await move(peer))[-1]
    assert final.status == 0
    assert counts(final) == (81, 0, 0)
    assert receiver.associations == 2


async def test_a_large_object_is_streamed_and_arrives_whole(tmp_path: Path) -> None:
    receiver = RawReceiver()
    async with moving(tmp_path, receiver, instances=1) as (site, peer):
        large = ct(study=2, rows=3000, columns=4000)  # 24 MB: over what is fetched whole
        site.keep(large)
        final = (await move(peer, study(2)))[-1]
        assert final.status == 0
    assert receiver.received[0].dataset == dataset_of(part10(large))


async def test_a_damaged_instance_is_never_sent(tmp_path: Path) -> None:
    receiver = RawReceiver()
    async with moving(tmp_path, receiver, instances=2) as (site, peer):
        first = next(iter(site.index.select(0, patient_id="PID-1")))  # type: ignore[arg-type]
        (pack,) = (tmp_path / "packs").glob("*.tar")
        with pack.open("r+b") as file:
            file.seek(first.member.dataset_offset + first.member.dataset_length - 10)
            file.write(b"\xff\x00\xff")
        final = (await move(peer))[-1]
    assert final.status == 0xB000
    assert failed_list(final) == [first.sop_instance]
    assert len(receiver.received) == 1
