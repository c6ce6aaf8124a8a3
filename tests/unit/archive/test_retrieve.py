from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.archive import LocalArchive, claim_of, dataset_of, local_archive
from tests.support.generate import ct, part10, uid

from vesalius.model.entities import Level, Values
from vesalius.model.errors import CannotTranscode, DamagedInstance, IdentifierMismatch
from vesalius.model.query import Root

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
LEVEL, PATIENT, STUDY, SERIES, IMAGE = 0x00080052, 0x00100020, 0x0020000D, 0x0020000E, 0x00080018


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalArchive]:
    """Two patients; the first with two studies of two series of two instances."""
    with local_archive(tmp_path_factory.mktemp("archive")) as opened:
        for study in (1, 2):
            for series in (1, 2):
                for instance in (1, 2):
                    opened.keep(ct(study, series, instance))
        opened.keep(ct(3, 1, 1, patient_id="PID-2"))
        yield opened


def study(number: int) -> str:
    return uid("study", number)


def series(of: int, number: int) -> str:
    return uid("series", of, number)


def instance(of: int, series: int, number: int) -> str:
    return uid("instance", of, series, number)


@pytest.mark.parametrize(
    ("root", "values", "found"),
    [
        (Root.PATIENT, {LEVEL: ("PATIENT",), PATIENT: ("PID-1",)}, 8),
        (Root.PATIENT, {LEVEL: ("PATIENT",), PATIENT: ("PID-1 ",)}, 8),
        (Root.PATIENT, {LEVEL: ("STUDY",), PATIENT: ("PID-1",), STUDY: (study(1),)}, 4),
        (Root.PATIENT, {LEVEL: ("STUDY",), PATIENT: ("PID-2",), STUDY: (study(1),)}, 0),
        (Root.PATIENT_STUDY_ONLY, {LEVEL: ("STUDY",), PATIENT: ("PID-1",), STUDY: (study(1), study(2))}, 8),
        (Root.STUDY, {LEVEL: ("STUDY",), STUDY: (study(1),)}, 4),
        (Root.STUDY, {LEVEL: ("STUDY",), STUDY: (study(1), study(3), "1.2.3")}, 5),
        (Root.STUDY, {LEVEL: ("SERIES",), STUDY: (study(1),), SERIES: (series(1, 1),)}, 2),
        (Root.STUDY, {LEVEL: ("SERIES",), STUDY: (study(2),), SERIES: (series(1, 1),)}, 0),
        (
            Root.STUDY,
            {LEVEL: ("IMAGE",), STUDY: (study(1),), SERIES: (series(1, 2),), IMAGE: (instance(1, 2, 1), "1.2")},
            1,
        ),
        (Root.STUDY, {LEVEL: ("STUDY",), STUDY: ("1.2.3",)}, 0),
        (Root.STUDY, {LEVEL: ("STUDY",), STUDY: (study(1),), 0x00080005: ("ISO_IR 100",), 0x00100010: ("X*",)}, 4),
    ],
)
def test_unique_keys_alone_decide_what_is_selected(
    archive: LocalArchive, root: Root, values: Values, found: int
) -> None:
    assert len(archive.retrieve.select(values, root)) == found


@pytest.mark.parametrize(
    ("root", "values", "offending"),
    [
        (Root.STUDY, {}, LEVEL),
        (Root.STUDY, {LEVEL: ()}, LEVEL),
        (Root.STUDY, {LEVEL: ("FRAME",), STUDY: (study(1),)}, LEVEL),
        (Root.STUDY, {LEVEL: ("PATIENT",), PATIENT: ("PID-1",)}, LEVEL),
        (Root.PATIENT_STUDY_ONLY, {LEVEL: ("SERIES",), PATIENT: ("PID-1",), STUDY: (study(1),)}, LEVEL),
        (Root.STUDY, {LEVEL: ("STUDY",)}, STUDY),
        (Root.STUDY, {LEVEL: ("STUDY",), STUDY: ("",)}, STUDY),
        (Root.STUDY, {LEVEL: ("STUDY",), STUDY: ("1.2.*",)}, STUDY),
        (Root.STUDY, {LEVEL: ("STUDY",), STUDY: ("../1",)}, STUDY),
        (Root.PATIENT, {LEVEL: ("STUDY",), STUDY: (study(1),)}, PATIENT),
        (Root.PATIENT, {LEVEL: ("PATIENT",), PATIENT: ("PID-1", "PID-2")}, PATIENT),
        (Root.PATIENT, {LEVEL: ("PATIENT",), PATIENT: ("*",)}, PATIENT),
        (Root.STUDY, {LEVEL: ("SERIES",), SERIES: (series(1, 1),)}, STUDY),
        (Root.STUDY, {LEVEL: ("SERIES",), STUDY: (study(1), study(2)), SERIES: (series(1, 1),)}, STUDY),
        (Root.STUDY, {LEVEL: ("IMAGE",), STUDY: (study(1),), IMAGE: (instance(1, 1, 1),)}, SERIES),
    ],
)
def test_an_identifier_that_does_not_fit_is_refused_with_the_key(
    archive: LocalArchive, root: Root, values: Values, offending: int
) -> None:
    with pytest.raises(IdentifierMismatch) as caught:
        archive.retrieve.select(values, root)
    assert caught.value.offending == (offending,)


def test_relational_retrieval_needs_no_upper_keys(archive: LocalArchive) -> None:
    values: Values = {LEVEL: ("IMAGE",), IMAGE: (instance(1, 1, 1), instance(2, 2, 2))}
    assert len(archive.retrieve.select(values, Root.STUDY, relational=True)) == 2
    with pytest.raises(IdentifierMismatch):
        archive.retrieve.select({LEVEL: ("IMAGE",)}, Root.STUDY, relational=True)


def test_the_level_may_be_given_by_the_caller(archive: LocalArchive) -> None:
    assert len(archive.retrieve.select({STUDY: (study(1),)}, Root.STUDY, Level.STUDY)) == 4


def test_instances_come_in_the_order_of_series_and_number(archive: LocalArchive) -> None:
    chosen = archive.retrieve.select({STUDY: (study(1),)}, Root.STUDY, Level.STUDY)
    by_series = [each.series for each in chosen]
    assert len({by_series.index(each) for each in by_series}) == 2
    assert [each.sop_instance for each in chosen if each.series == series(1, 1)] == [
        instance(1, 1, 1),
        instance(1, 1, 2),
    ]


def test_bytes_go_out_as_stored_when_they_are_taken(archive: LocalArchive) -> None:
    (one,) = archive.retrieve.select({LEVEL: ("IMAGE",), IMAGE: (instance(1, 1, 1),)}, Root.STUDY, relational=True)
    payload = archive.retrieve.payload(one, [IMPLICIT, EXPLICIT])
    data = b"".join(payload.chunks)
    assert (payload.transfer_syntax, payload.length) == (EXPLICIT, len(data))
    assert data == dataset_of(part10(ct()))


def test_else_they_are_turned_into_the_best_that_is(archive: LocalArchive) -> None:
    (one,) = archive.retrieve.select({LEVEL: ("IMAGE",), IMAGE: (instance(1, 1, 1),)}, Root.STUDY, relational=True)
    payload = archive.retrieve.payload(one, [BIG, IMPLICIT])
    data = b"".join(payload.chunks)
    assert (payload.transfer_syntax, payload.length) == (IMPLICIT, len(data))
    assert data == dataset_of(part10(ct(), IMPLICIT))
    assert archive.retrieve.choose(one, [BIG]) == BIG
    assert archive.retrieve.choose(one, ["1.2.840.10008.1.2.4.50"]) is None
    with pytest.raises(CannotTranscode):
        archive.retrieve.payload(one, ["1.2.840.10008.1.2.4.50"])


def test_a_large_object_is_verified_and_streamed(tmp_path: Path) -> None:
    ds = ct(rows=1024, columns=1024)
    with local_archive(tmp_path) as archive:
        data = dataset_of(part10(ds))
        archive.store(data, claim_of(ds), piece=100_000)
        kept = archive.find_one(ds.SOPInstanceUID)
        assert kept is not None
        payload = archive.retrieve.payload(kept, [EXPLICIT], whole=1 << 20)
        chunks = list(payload.chunks)
        assert len(chunks) > 1
        assert b"".join(chunks) == data
        damage(tmp_path, kept.member.pack, kept.member.dataset_offset + len(data) - 10)
        with pytest.raises(DamagedInstance):
            next(iter(archive.retrieve.payload(kept, [EXPLICIT], whole=1 << 20).chunks))


def damage(folder: Path, pack: str, offset: int) -> None:
    path = next(each for each in (folder / "packs").iterdir() if each.name.startswith(pack))
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))


def test_a_damaged_instance_is_never_served(tmp_path: Path) -> None:
    with local_archive(tmp_path) as archive:
        archive.keep(ct())
        kept = archive.find_one(ct().SOPInstanceUID)
        assert kept is not None
        damage(tmp_path, kept.member.pack, kept.member.dataset_offset + 100)
        for accepted in ([EXPLICIT], [IMPLICIT]):
            with pytest.raises(DamagedInstance):
                archive.retrieve.payload(kept, accepted)
