"""Every real file: in by C-STORE and back by C-GET, C-MOVE and export to the last byte, or refused with the right code.

The data sets go over the wire as they lie in the files (nothing is encoded again) and in their own transfer syntax.
Some files are one instance in several encodings; all but the first of those are sent under another SOP Instance UID
of the same length, so that every encoding is current and can come back.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom.charset import decode_bytes, python_encoding
from tests.support import corpus
from tests.support.corpus import DEFLATED_LE, Item
from tests.support.data import need_shared_data, real_files
from tests.support.raw_dicom import STUDY_GET, STUDY_MOVE, parse_elements
from tests.support.raw_peer import (
    LEVEL,
    PATIENT_ROOT,
    Kept,
    RawScu,
    Receiver,
    extended_negotiation,
    studies_at,
)
from tests.support.server import Server, running_server, vesalius

IMPLICIT = "1.2.840.10008.1.2"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
COLOR_PALETTE = "1.2.840.10008.5.1.4.39.1"

NO_UIDS = 0xA900
CANNOT_UNDERSTAND = 0xC000
INVALID_UID = 0x0117
NO_CONTEXT = -3  # the presentation context is rejected: abstract syntax not supported

# What a correct archive must refuse, and why. Everything else must go in.
REFUSED: dict[str, tuple[int, str]] = {
    r"charsets/chrSQEncoding\.dcm": (NO_UIDS, "no UIDs at all"),
    r"charsets/empty_charset_LEI\.dcm": (NO_UIDS, "a worklist answer: no UIDs, no SOP Class"),
    r"dicomdir/pydicom-dicomdirtests/(TINY_ALPHA/)?DICOMDIR[^/]*": (NO_CONTEXT, "a DICOMDIR is no instance"),
    r"ct-series/.*!.*/DIRFILE": (NO_CONTEXT, "a DICOMDIR under another name"),
    r"sr-ko-pr-seg-rt/color-palette/.*": (NO_CONTEXT, "of no patient and no study: Non-Patient Object (PS3.4 GG)"),
    r"odd-and-broken/dcmjs/no-meta-length-test\.dcm": (NO_UIDS, "the Study Instance UID is none"),
    r"odd-and-broken/pydicom/UN_sequence\.dcm": (NO_UIDS, "one sequence and nothing else"),
    r"odd-and-broken/pydicom/meta_missing_tsyntax\.dcm": (NO_UIDS, "no UIDs, no SOP Class"),
    r"odd-and-broken/pydicom/(nested_)?priv_SQ\.dcm": (NO_UIDS, "one private sequence and nothing else"),
    r"odd-and-broken/pydicom/no_meta_group_length\.dcm": (NO_UIDS, "no UIDs"),
    r"odd-and-broken/pydicom/no_meta\.dcm": (CANNOT_UNDERSTAND, "cut off in mid element"),
    r"odd-and-broken/pydicom/bad_sequence\.dcm": (INVALID_UID, "the SOP Instance UID is none"),
    r"odd-and-broken/pydicom/(MR|rtplan)_truncated\.dcm": (CANNOT_UNDERSTAND, "truncated"),
    r"odd-and-broken/pydicom/emri_small_jpeg_2k_lossless_too_short\.dcm": (CANNOT_UNDERSTAND, "truncated"),
    r"transfer-syntaxes/htj2k-deflate-frame/HTJ2K\w*_08_RGB\.dcm": (NO_UIDS, "no Study and Series Instance UID"),
    r"transfer-syntaxes/jpeg-ls/JLS[LN]_\w+\.dcm": (NO_UIDS, "no Study and Series Instance UID"),
    r"transfer-syntaxes/jpeg-ls/JPEGLSNearLossless_\d+\.dcm": (NO_UIDS, "no Study and Series Instance UID"),
    r"transfer-syntaxes/jpeg-ls/SC_rgb_jls_lossy_\w+\.dcm": (NO_UIDS, "no Study and Series Instance UID"),
    r"transfer-syntaxes/jpeg-baseline-colour/SC_rgb_jpeg\.dcm": (CANNOT_UNDERSTAND, "implicit, but says JPEG"),
    r"worklist/dcmtk-wlistdb/.*\.wl": (NO_UIDS, "worklist items: no Series and SOP Instance UID, no SOP Class"),
}


def expected(name: str) -> tuple[int, str]:
    return next((answer for pattern, answer in REFUSED.items() if re.fullmatch(pattern, name)), (0, ""))


@dataclass
class Loaded:
    """A running archive with the whole corpus in it."""

    server: Server
    receiver: Receiver
    answers: dict[str, int] = field(default_factory=dict)
    sent: dict[str, Item] = field(default_factory=dict)  # what was taken: SOP Instance UID -> data set
    names: dict[str, str] = field(default_factory=dict)  # SOP Instance UID -> file
    studies: list[str] = field(default_factory=list)


def claimed_class(item: Item) -> str:
    """The class of the request: that of the data set, or one to ask with where it has none."""
    if "DICOMDIR" in item.name or item.name.endswith("/DIRFILE"):
        return MEDIA_DIRECTORY
    return item.sop_class or SECONDARY_CAPTURE


def apart(items: Iterator[Item]) -> Iterator[Item]:
    """Each content under a SOP Instance UID of its own; deflated ones, which cannot be changed, come first."""
    seen: dict[str, dict[str, int]] = {}
    for item in sorted(items, key=lambda one: one.transfer_syntax != DEFLATED_LE):
        contents = seen.setdefault(item.sop_instance, {})
        digest = hashlib.sha256(item.dataset).hexdigest()
        rank = contents.setdefault(digest, len(contents))
        good = item.sop_instance and not expected(item.name)[0]
        yield corpus.with_other_instance(item, rank) if rank and good else item


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    need_shared_data()
    everything = list(apart(corpus.items()))
    with (
        Receiver("KEEPER") as receiver,
        running_server(
            tmp_path_factory.mktemp("corpus"),
            config=f'[[peers]]\nname = "keeper"\nhost = "127.0.0.1"\nport = {receiver.port}\naet = "KEEPER"\n',
        ) as server,
    ):
        loaded = Loaded(server, receiver)
        pairs = list(dict.fromkeys((claimed_class(item), item.transfer_syntax) for item in everything))
        with RawScu.associate(server.dimse_port, [(uid, [syntax]) for uid, syntax in pairs]) as scu:
            for item in everything:
                try:
                    answer = scu.store(
                        claimed_class(item), item.sop_instance or "1.2.3", item.transfer_syntax, item.dataset
                    )
                except LookupError:
                    loaded.answers[item.name] = NO_CONTEXT
                    continue
                loaded.answers[item.name] = answer.status
                if answer.status == 0:
                    loaded.sent[item.sop_instance] = item
                    loaded.names[item.sop_instance] = item.name
        loaded.studies = studies_at(server.dimse_port)
        yield loaded


def check(loaded: Loaded, kept: list[Kept]) -> None:
    """Every data set came back, once, as it was sent."""
    assert sorted(one.sop_instance for one in kept) == sorted(loaded.sent)
    for one in kept:
        item = loaded.sent[one.sop_instance]
        assert one.sop_class == item.sop_class, item.name
        assert one.transfer_syntax == item.transfer_syntax, item.name
        assert one.dataset == item.dataset, item.name


def test_every_real_file_is_taken_or_refused_with_the_right_code(loaded: Loaded) -> None:
    wrong = {
        name: f"{answer:04X} for {expected(name)[0]:04X} {expected(name)[1]}"
        for name, answer in loaded.answers.items()
        if answer != expected(name)[0]
    }
    assert not wrong
    assert len(loaded.answers) > 800
    assert len(loaded.sent) > 790
    used = {pattern for pattern in REFUSED if any(re.fullmatch(pattern, name) for name in loaded.answers)}
    assert used == set(REFUSED), "a row of the table meets no file"


def test_every_data_set_comes_back_by_c_get_as_it_was_sent(loaded: Loaded) -> None:
    pairs = list(dict.fromkeys((item.sop_class, item.transfer_syntax) for item in loaded.sent.values()))
    contexts = [(STUDY_GET, [IMPLICIT]), *((uid, [syntax]) for uid, syntax in pairs)]
    kept: list[Kept] = []
    with RawScu.associate(loaded.server.dimse_port, contexts, roles=(uid for uid, _ in pairs)) as scu:
        for study in loaded.studies:
            got = scu.get({LEVEL: "STUDY", 0x0020000D: study})
            assert got.status == 0, study
            assert got.counts == (None, len(got.kept), 0, 0)
            kept += got.kept
    check(loaded, kept)


def test_every_data_set_comes_by_c_move_as_it_was_sent(loaded: Loaded) -> None:
    with RawScu.associate(loaded.server.dimse_port, [(STUDY_MOVE, [IMPLICIT])]) as scu:
        for study in loaded.studies:
            before = len(loaded.receiver.kept)
            moved = scu.move("KEEPER", {LEVEL: "STUDY", 0x0020000D: study})
            assert moved.status == 0, study
            assert moved.counts == (None, len(loaded.receiver.kept) - before, 0, 0)
    check(loaded, loaded.receiver.kept)
    assert loaded.receiver.associations < len(loaded.studies), "associations are used again"


def test_every_data_set_is_exported_as_it_was_sent(loaded: Loaded, tmp_path: Path) -> None:
    words = [word for study in loaded.studies for word in ("--study", study)]
    vesalius("export", *words, tmp_path / "medium", data=loaded.server.data)
    kept = []
    for path in (tmp_path / "medium").rglob("*"):
        if path.is_file() and path.name != "DICOMDIR":
            raw = path.read_bytes()
            assert raw[:128] == bytes(128), path
            meta, dataset = corpus.split_file(raw)
            texts = {tag: value.decode("latin-1").rstrip("\0 ") for tag, value in meta.items()}
            kept.append(Kept(texts[0x00020002], texts[0x00020003], texts[0x00020010], dataset))
    check(loaded, kept)


COLUMNS = {
    0x00100020: "patient_id",
    0x0020000D: "study",
    0x0020000E: "series",
    0x00080060: "modality",
    0x00280010: "rows",
    0x00280011: "cols",
    0x00280008: "frames",
    0x00100010: "patient_name",
}
# Files that share a patient or a series but disagree on it: the one that came first is right in the index.
KEY_OF = {"patient_name": "patient_id", "modality": "series"}


def about(column: str, path: str, row: dict[str, str]) -> tuple[str, str]:
    """Of which entity a column tells."""
    return column, row[KEY_OF[column]] if column in KEY_OF else path


def test_the_index_says_of_every_file_what_a_second_reader_found(loaded: Loaded) -> None:
    rows = {item.path.as_posix(): item.row for item in real_files()}
    folder = need_shared_data().as_posix()
    find = PATIENT_ROOT["find"]
    scu = RawScu.associate(loaded.server.dimse_port, [(find, [IMPLICIT])], extra=extended_negotiation(find, b"\x01"))
    with scu:
        tags = (*COLUMNS, 0x00080018)
        keys = dict.fromkeys(tags, "")
        answers = scu.find({LEVEL: "IMAGE", 0x00080005: "ISO_IR 192", **keys}, find)
    assert answers[-1].status == 0
    assert len(answers) - 1 == len(loaded.sent)
    true: dict[tuple[str, str], set[str]] = {}
    for path, row in rows.items():
        for column in COLUMNS.values():
            true.setdefault(about(column, path, row), set()).add(row[column].strip().rstrip("^="))
    true["frames", f"{folder}/odd-and-broken/pydicom/badVR.dcm"] = {""}  # it says 1A
    wrong = []
    for answer in answers[:-1]:
        raw = parse_elements(answer.dataset)
        charsets = raw.get(0x00080005, b"").decode().strip()
        encoding = python_encoding.get(charsets, "ascii")
        name = loaded.names[raw[0x00080018].decode().rstrip("\0 ")]
        row = rows.get(f"{folder}/{name}")
        if row is None:
            continue
        texts = {tag: decode_bytes(value, [encoding], set()).rstrip("\0 ") for tag, value in raw.items()}
        for tag in (0x00280010, 0x00280011):
            texts[tag] = str(int.from_bytes(raw[tag], "little") or "") if raw[tag] else ""
        texts[0x00100010] = texts[0x00100010].rstrip("^=")
        for tag, column in COLUMNS.items():
            if texts[tag] not in true[about(column, f"{folder}/{name}", row)]:
                wrong.append((name, column, texts[tag], row[column]))
    assert not wrong
