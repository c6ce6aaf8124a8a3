"""Rows S1 to S11 and S15 of the table of malformed inputs: data sets, right into `Ingest` and over C-STORE.

S12 to S14 are ways of import: `tests/acceptance/import/test_media.py`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage
from tests.support.archive import LocalArchive, local_archive
from tests.support.dimse_site import running_site
from tests.support.elements import ITEM_END, UNDEFINED, delimiter, explicit, implicit, item, pixels, undefined
from tests.support.generate import ct, uid
from tests.support.raw_dicom import CT, VERIFICATION, RawPeer, context, store_rq

from vesalius.model.entities import Claim, Level, Values, Verdict
from vesalius.model.errors import CannotTranscode, CannotUnderstand, DataSetMismatch, LimitExceeded, VesaliusError
from vesalius.model.query import Match, OneOf, Query, Root

IMPLICIT, EXPLICIT, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"
BASELINE, J2K = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90"
FOUR_GB = 0xFFFFFFFE
HUGE = struct.pack("<I", FOUR_GB)


def even(text: str | bytes, pad: bytes = b" ") -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return raw + pad * (len(raw) & 1)


def base(instance: str) -> dict[int, bytes]:
    return {
        0x00080016: explicit(0x00080016, "UI", even(str(CTImageStorage), b"\0")),
        0x00080018: explicit(0x00080018, "UI", even(instance, b"\0")),
        0x00080060: explicit(0x00080060, "CS", b"CT"),
        0x00100010: explicit(0x00100010, "PN", b"Doe^Jane"),
        0x00100020: explicit(0x00100020, "LO", b"PID1"),
        0x0020000D: explicit(0x0020000D, "UI", even(uid("study"), b"\0")),
        0x0020000E: explicit(0x0020000E, "UI", even(uid("series"), b"\0")),
        0x00280010: explicit(0x00280010, "US", b"\x08\0"),
        0x00280011: explicit(0x00280011, "US", b"\x08\0"),
        0x00280100: explicit(0x00280100, "US", b"\x08\0"),
        0x00280101: explicit(0x00280101, "US", b"\x08\0"),
        0x00280102: explicit(0x00280102, "US", b"\x07\0"),
        0x00280103: explicit(0x00280103, "US", b"\0\0"),
    }


@dataclass(frozen=True)
class Row:
    """One bad data set and its right answer: an error, or None where it must be stored bit by bit."""

    name: str
    answer: type[VesaliusError] | tuple[type[VesaliusError], ...] | None
    elements: dict[int, bytes]
    transfer_syntax: str = EXPLICIT
    tail: bytes = b""
    head: bytes = b""
    change: Callable[[bytes], bytes] | None = None
    note: str = ""

    @property
    def instance(self) -> str:
        return uid(self.name)

    def dataset(self) -> bytes:
        merged = base(self.instance) | self.elements
        body = self.head + b"".join(merged[tag] for tag in sorted(merged)) + self.tail
        return self.change(body) if self.change is not None else body

    def claim(self) -> Claim:
        return Claim(str(CTImageStorage), self.instance, self.transfer_syntax)


def one(tag: int, vr: str, value: bytes = b"", length: int | None = None) -> dict[int, bytes]:
    return {tag: explicit(tag, vr, value, length)}


BAD = CannotUnderstand
DEEP = (explicit(0x00081140, "SQ", b"", UNDEFINED) + item(b"", UNDEFINED)[:8]) * 10_000
PRIVATE_UN = explicit(0x00091001, "UN", b"", UNDEFINED) + item(
    implicit(0x00091010, b"abcd") + implicit(0x00091011, b"", UNDEFINED) + item(implicit(0x00091012, b"xy"), UNDEFINED)
    + delimiter(),
    UNDEFINED,
) + delimiter()  # fmt: skip

ROWS = [
    *(
        Row(f"s1-four-gigabytes-of-{vr}", BAD, one(tag, vr, b"abcd", FOUR_GB))
        for vr, tag in (("OB", 0x00091001), ("UN", 0x00091001), ("SQ", 0x00081140), ("UT", 0x00091001))
    ),
    Row("s1-four-gigabytes-of-pixels", BAD, one(0x7FE00010, "OW", b"abcd", FOUR_GB)),
    Row("s1-an-item-of-four-gigabytes", BAD, one(0x00081140, "SQ", item(b"abcd", FOUR_GB), 12)),
    Row("s1-an-unknown-vr", BAD, {0x00090010: b"\x09\0\x10\0\x01\x02\0\0" + HUGE}),
    Row("s2-ten-thousand-deep", BAD, {0x00081140: DEEP}),
    Row("s2-ten-thousand-deep-in-un", BAD, {0x00091001: explicit(0x00091001, "UN", b"", UNDEFINED) + (
        item(b"", UNDEFINED)[:8] + implicit(0x00081140, b"", UNDEFINED)) * 10_000}),
    Row("s3-undefined-length-of-text", BAD, one(0x00091001, "UT", b"abcd", UNDEFINED)),
    Row("s3-undefined-length-of-ob", BAD, one(0x00091001, "OB", b"abcd", UNDEFINED)),
    Row("s3-no-sequence-end", BAD, {0x00081140: explicit(0x00081140, "SQ", item(b""), UNDEFINED)}),
    Row("s3-no-item-end", BAD, {0x00081140: undefined(0x00081140, "SQ", item(b"", UNDEFINED)[:8])}),
    Row("s3-a-stray-sequence-end", BAD, {0x00081140: delimiter()}),
    Row("s3-a-stray-item-end", BAD, {0x00081140: delimiter(ITEM_END)}),
    Row("s3-a-stray-item", BAD, {0x00081140: item(b"")}),
    Row("s4-a-tag-twice", BAD, one(0x00100030, "DA"), tail=explicit(0x00100030, "DA")),
    Row("s4-the-instance-uid-twice", BAD, {}, tail=explicit(0x00080018, "UI", b"1.2.3\0")),
    Row("s4-a-command-element", BAD, {}, head=explicit(0x00000002, "UI", b"1.2.3\0")),
    Row("s4-tags-out-of-order", None, {}, tail=explicit(0x00080090, "PN", b"Roe^Jim "), note="tag-order"),
    Row("s4-an-odd-length", None, one(0x00081030, "LO", b"HEAD1"), note="odd-length"),
    Row("s5-rows-as-ul", None, one(0x00280010, "UL", b"\x08\0\0\0")),
    Row("s5-fewer-pixels-than-announced", None, one(0x7FE00010, "OB", b"1234")),
    *(
        Row(f"s5-{name}-frames", None, one(0x00280008, "IS", text) | one(0x7FE00010, "OB", b"12" * 32))
        for name, text in (("two-billion", b"2147483647"), ("no", b"0 "), ("nonsense", b"abc "))
    ),
    Row("s6-high-bit-outside", None, one(0x00280102, "US", b"\x20\0")),
    *(Row(f"s6-{bits}-bits-stored", None, one(0x00280101, "US", struct.pack("<H", bits))) for bits in (0, 17, 33)),
    Row("s6-a-lut-of-two-entries", None, one(0x00281101, "US", b"\xff\xff\0\0\x10\0") | one(0x00281201, "OW", b"1234")),
    Row("s7-bad-offsets", None, {0x7FE00010: pixels(b"aa", b"bb", table=struct.pack("<3I", 5, 1, 99))}, BASELINE),
    Row("s7-empty-fragments", None, {0x7FE00010: pixels(b"", b"", b"")}, BASELINE),
    Row("s7-ten-thousand-fragments", None, {0x7FE00010: pixels(*[b"\xff\xd8"] * 10_000)}, BASELINE),
    Row("s7-more-frames-than-fragments", None, one(0x00280008, "IS", b"99") | {0x7FE00010: pixels(b"aa")}, BASELINE),
    Row("s7-a-fragment-without-length", BAD, {0x7FE00010: pixels(b"")[:-8] + item(b"a", UNDEFINED)[:9]}, BASELINE),
    Row("s7-no-end", BAD, {0x7FE00010: pixels(b"aa", end=False)}, BASELINE),
    Row("s8-a-broken-codestream", None, {0x7FE00010: pixels(b"\xff\xd8\xff\xc0rubbish.")}, BASELINE),
    Row("s8-65535-by-65535", None, {0x7FE00010: pixels(
        b"\xff\xd8\xff\xc0\x00\x0b\x08\xff\xff\xff\xff\x01\x01\x11\x00\0")}, BASELINE),
    Row("s9-a-deflate-bomb", (LimitExceeded, CannotUnderstand), {}, DEFLATED,
        tail=explicit(0x7FE00010, "OB", bytes(64 << 20)), change=lambda body: zlib.compress(body, 9, wbits=-15)),
    Row("s9-truncated-deflate", BAD, {}, DEFLATED, change=lambda body: zlib.compress(body, wbits=-15)[:-9]),
    Row("s9-not-deflated", BAD, {}, DEFLATED),
    Row("s10-an-unknown-repertoire", None, one(0x00080005, "CS", b"ISO_IR 999")),
    Row("s10-invalid-utf8", None, one(0x00080005, "CS", b"ISO_IR 192") | one(0x00100010, "PN", b"M\xffller^A")),
    Row("s10-an-escape-at-the-end", None, one(0x00080005, "CS", b"\\ISO 2022 IR 87 ")
        | one(0x00100010, "PN", b"Doe\x1b$B")),
    Row("s10-nul-in-a-name", None, one(0x00100010, "PN", b"Doe\0\0Jan")),
    *(
        Row(f"s11-a-name-with-{name}", None, one(0x00080005, "CS", b"ISO_IR 192") | one(0x00100010, "PN", even(text)))
        for name, text in {
            "line-ends": "Doe\r\nx: y",
            "ansi": "Doe\x1b[2J\x1b[31m",
            "rtl": "Doe\u202etxt.exe",
            "printf": "%n%s%p",
            "template": "{{7*7}}",
            "script": "<script>x</script>",
            "sql": "'; DROP TABLE instances;--",
        }.items()
    ),
    Row("s11-a-study-uid-that-climbs", DataSetMismatch, one(0x0020000D, "UI", b"1.2/../../etc\0")),
    Row("s11-a-series-uid-with-a-line-end", DataSetMismatch, one(0x0020000E, "UI", b"1.2\n.3")),
    Row("s15-private-sequence-as-un", None, {0x00091001: PRIVATE_UN}),
    Row("s15-new-numbers", None, one(0x00091001, "SV", bytes(8)) | one(0x00091002, "UV", bytes(8))
        | one(0x00091003, "OV", bytes(16))),
    Row("s15-empty-repertoire", None, one(0x00080005, "CS")),
    Row("s15-an-empty-sequence", None, one(0x00081140, "SQ")),
    Row("s15-an-empty-sequence-with-delimiter", None, {0x00081140: undefined(0x00081140, "SQ")}),
    Row("d11-nonsense-values", None, one(0x00080020, "DA", b"20231301") | one(0x00180050, "DS", b"1e400 ")
        | one(0x00200010, "SH", b"x" * 66)),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_bad_data_set_is_refused_without_trace_or_kept_as_sent(tmp_path: Path, row: Row) -> None:
    dataset = row.dataset()
    with local_archive(tmp_path) as archive:
        if row.answer is not None:
            with pytest.raises(row.answer):
                archive.store(dataset, row.claim(), piece=65536)
            assert archive.index.totals().instances == 0
            assert not any(list(archive.blobs.scan(pack.name)) for pack in archive.blobs.packs())
        else:
            receipt = archive.store(dataset, row.claim(), piece=777)
            assert receipt.verdict is Verdict.STORED
            assert archive.bytes_of(row.instance) == dataset
            if row.note:
                assert row.note in {note.code for note in receipt.notes}
        assert archive.keep(ct(instance=77)).verdict is Verdict.STORED


async def test_over_c_store_every_row_gets_its_status_and_the_association_lives(tmp_path: Path) -> None:
    syntaxes = [EXPLICIT, DEFLATED, BASELINE]
    contexts = [context(1, VERIFICATION, [IMPLICIT])]
    contexts += [context(2 * number + 3, CT, [syntax]) for number, syntax in enumerate(syntaxes)]
    async with running_site(tmp_path) as site:
        peer = await RawPeer.associated(site.port, contexts)
        stored = 0
        for message, row in enumerate(ROWS, start=2):
            command = store_rq(CT, row.instance, message)
            peer.send_message(2 * syntaxes.index(row.transfer_syntax) + 3, command, row.dataset())
            status = (await peer.message(30)).status
            if row.answer is None:
                assert status == 0, row.name
                stored += 1
            elif row.answer is DataSetMismatch:
                assert status == 0xA900, row.name
            else:
                assert status >> 12 == 0xC or (status == 0xA700 and isinstance(row.answer, tuple)), row.name
            assert site.stored() == stored
            assert await peer.echo() == 0
        await peer.release()


def peak_of(action: Callable[[], object]) -> int:
    """How many bytes the resident memory of this process grew at its peak."""

    def resident(name: str) -> int:
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
        return int(line.split()[1]) << 10

    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    action()
    return resident("VmHWM") - before


def test_a_deflate_bomb_of_half_a_gigabyte_takes_no_memory(tmp_path: Path) -> None:
    body = b"".join(base(uid("bomb")).values())
    machine = zlib.compressobj(9, wbits=-15)
    parts = [machine.compress(body + explicit(0x7FE00010, "OB", b"", 512 << 20))]
    parts += [machine.compress(bytes(1 << 20)) for _ in range(512)]
    bomb = b"".join([*parts, machine.flush()])
    assert len(bomb) < 1 << 20
    claim = Claim(str(CTImageStorage), uid("bomb"), DEFLATED)
    with local_archive(tmp_path) as archive:

        def attack() -> None:
            with pytest.raises((LimitExceeded, CannotUnderstand)):
                archive.store(bomb, claim, piece=65536)

        assert peak_of(attack) < 64 << 20


def answers(archive: LocalArchive, *conditions: tuple[int, OneOf]) -> list[Values]:
    query = Query(Root.STUDY, Level.STUDY, conditions, frozenset({0x00100010, 0x0020000D}))
    return [match.values for page in archive.index.find(query) for match in page if isinstance(match, Match)]


def test_s10_a_name_in_a_wrong_repertoire_is_found_by_its_valid_rest(tmp_path: Path) -> None:
    row = next(row for row in ROWS if row.name == "s10-invalid-utf8")
    with local_archive(tmp_path) as archive:
        archive.store(row.dataset(), row.claim())
        assert len(answers(archive, (0x00100020, OneOf(("PID1",))))) == 1


def test_s8_broken_pixels_cannot_be_turned_but_go_out_as_stored(tmp_path: Path) -> None:
    row = next(row for row in ROWS if row.name == "s8-a-broken-codestream")
    with local_archive(tmp_path) as archive:
        archive.store(row.dataset(), row.claim())
        instance = archive.find_one(row.instance)
        assert instance is not None
        with pytest.raises(CannotTranscode):
            archive.retrieve.payload(instance, [EXPLICIT])
        payload = archive.retrieve.payload(instance, [EXPLICIT, BASELINE])
        assert (payload.transfer_syntax, b"".join(payload.chunks)) == (BASELINE, row.dataset())
