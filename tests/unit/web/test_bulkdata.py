"""Bulk data by the addresses that metadata name, with ranges; pixel data at every level."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from tests.support.archive import dataset_of
from tests.support.elements import UNDEFINED, delimiter, explicit, item, pixels, undefined
from tests.support.generate import ct, part10
from tests.support.multipart import split
from tests.support.web import Answer, Web, web

from vesalius.model.element_places import find_value
from vesalius.model.encodings import Mode
from vesalius.model.entities import Claim
from vesalius.model.errors import CannotUnderstand

BIG, LS = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.4.80"
MULTIPART = {"accept": 'multipart/related; type="application/octet-stream"'}
ICON = bytes(range(256)) * 8
WORDS = np.arange(3000, dtype="<u2").tobytes()


def with_bulk(study: int) -> Dataset:
    ds = ct(study, 1, 1)
    icon = Dataset()
    icon.Rows = icon.Columns = 32
    icon.add_new(0x7FE00010, "OW", ICON)
    ds.IconImageSequence = [icon, icon]
    ds.add_new(0x00281201, "OW", WORDS)
    ds.add_new(0x00091010, "UN", bytes(5000))
    ds.add_new(0x00090010, "LO", "ACME")
    return ds


def path_of(ds: Dataset) -> str:
    return f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("bulk")) as opened:
        opened.archive.keep(with_bulk(1))
        ds = with_bulk(2)
        opened.archive.store(dataset_of(part10(ds, BIG)), Claim(str(ds.SOPClassUID), str(ds.SOPInstanceUID), BIG))
        ds = ct(3, 1, 1)
        turned = opened.ctx.transcoder.transcode(dataset_of(part10(ds)), "1.2.840.10008.1.2.1", LS)
        opened.archive.store(turned, Claim(str(ds.SOPClassUID), str(ds.SOPInstanceUID), LS))
        ds = ct(3, 1, 2)
        opened.archive.keep(ds)
        yield opened


def addresses(value: Any) -> Iterator[str]:
    """Every BulkDataURI of a JSON answer."""
    if isinstance(value, dict):
        if "BulkDataURI" in value:
            yield value["BulkDataURI"]
        for inner in value.values():
            yield from addresses(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from addresses(inner)


@pytest.mark.parametrize("study", [1, 2])
def test_every_address_that_metadata_name_gives_its_value(site: Web, study: int) -> None:
    ds = with_bulk(study)
    metadata = site.dicom_web(path_of(ds) + "/metadata").json()
    found = {address.rpartition("/bulkdata/")[2]: address for address in addresses(metadata)}
    assert {"00091010", "00281201", "00880200/1/7FE00010", "00880200/2/7FE00010", "7FE00010"} == set(found)
    values = {"00091010": bytes(5000), "00281201": WORDS, "00880200/2/7FE00010": ICON, "7FE00010": ds.PixelData}
    for place, expected in values.items():
        answer = site.ask(found[place].removeprefix("http://archive.test"))
        if study == 1 or place == "00091010":
            assert answer.body == expected, place
        else:  # written big endian by pydicom from little endian bytes: the numbers were swapped on the way in
            assert len(answer.body) == len(expected)
        assert answer.headers["content-type"] == "application/octet-stream"
        assert int(answer.headers["content-length"]) == len(answer.body)


def test_numbers_of_a_big_endian_data_set_come_out_little_endian(site: Web) -> None:
    ds = with_bulk(2)
    stored = dataset_of(part10(ds, BIG))
    at = stored.index(struct.pack(">HH", 0x28, 0x1201)) + 12
    expected = np.frombuffer(stored[at : at + len(WORDS)], ">u2").astype("<u2").tobytes()
    whole = site.dicom_web(path_of(ds) + "/bulkdata/00281201")
    assert whole.body == expected
    for first, last in ((0, 0), (1, 1), (1, 4), (5, 5998), (5999, 5999)):
        part = site.dicom_web(path_of(ds) + "/bulkdata/00281201", headers={"range": f"bytes={first}-{last}"})
        assert part.body == expected[first : last + 1]


@pytest.mark.parametrize(
    ("asked", "status", "content", "said"),
    [
        ("bytes=0-9", 206, slice(0, 10), "bytes 0-9/512"),
        ("bytes=500-", 206, slice(500, None), "bytes 500-511/512"),
        ("bytes=-12", 206, slice(500, None), "bytes 500-511/512"),
        ("bytes=0-99999", 206, slice(None), "bytes 0-511/512"),
        ("bytes=-9999", 206, slice(None), "bytes 0-511/512"),
        ("bytes=512-", 416, None, "bytes */512"),
        ("bytes=9-3", 416, None, "bytes */512"),
        ("bytes=abc", 416, None, "bytes */512"),
        ("bytes=-0", 416, None, "bytes */512"),
        ("bytes=0-1,5-6", 200, slice(None), None),
        ("lines=1-2", 200, slice(None), None),
    ],
)
def test_ranges(site: Web, asked: str, status: int, content: slice | None, said: str | None) -> None:
    ds = with_bulk(1)
    answer = site.dicom_web(path_of(ds) + "/bulkdata/7FE00010", headers={"range": asked})
    assert answer.status == status
    assert answer.headers.get("content-range") == said
    if content is not None:
        assert answer.body == ds.PixelData[content]


def test_a_range_with_a_stale_condition_is_the_whole(site: Web) -> None:
    path = path_of(with_bulk(1)) + "/bulkdata/7FE00010"
    tag = site.dicom_web(path).headers["etag"]
    assert site.dicom_web(path, headers={"range": "bytes=0-1", "if-range": tag}).status == 206
    assert site.dicom_web(path, headers={"range": "bytes=0-1", "if-range": '"other"'}).status == 200


def test_a_value_as_multipart_with_and_without_a_range(site: Web) -> None:
    ds = with_bulk(1)
    path = path_of(ds) + "/bulkdata/7FE00010"
    (part,) = parts(site.dicom_web(path, headers=MULTIPART))
    assert part.content == ds.PixelData
    assert part.fields["content-location"] == f"http://archive.test/dicom-web{path}"
    answer = site.dicom_web(path, headers={**MULTIPART, "range": "bytes=2-5"})
    (part,) = split(answer.headers["content-type"], answer.body)
    assert (answer.status, part.content, part.fields["content-range"]) == (206, ds.PixelData[2:6], "bytes 2-5/512")


def parts(answer: Answer) -> list[Any]:
    assert answer.status == 200, answer.body
    assert int(answer.headers.get("content-length", len(answer.body))) == len(answer.body)
    return split(answer.headers["content-type"], answer.body)


@pytest.mark.parametrize(
    ("place", "status"),
    [
        ("00100010", 200), ("00100099", 404), ("00880200/3/7FE00010", 404), ("00880200", 404), ("nonsense", 400),
        ("7FE00010/1", 400), ("00880200/0/7FE00010", 400), ("/".join(["00880200/1"] * 65) + "/7FE00010", 400),
        ("00100010/1/00100010", 404), ("", 404),
    ],
)  # fmt: skip
def test_places_that_are_none(site: Web, place: str, status: int) -> None:
    assert site.dicom_web(path_of(with_bulk(1)) + "/bulkdata/" + place).status in (status, 400 if not place else status)


def test_encapsulated_pixel_data_is_given_frame_by_frame(site: Web) -> None:
    ds = ct(3, 1, 1)
    path = path_of(ds) + "/bulkdata/7FE00010"
    assert [part.content for part in parts(site.dicom_web(path, headers=MULTIPART))] == [ds.PixelData]
    assert site.dicom_web(path, headers={"accept": "application/octet-stream"}).body == ds.PixelData
    as_stored = {"accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'}
    (part,) = parts(site.dicom_web(path, headers=as_stored))
    assert part.type == f"image/jls; transfer-syntax={LS}"


@pytest.mark.parametrize("levels", [3, 2, 1])
def test_pixel_data_of_every_level(site: Web, levels: int) -> None:
    path = "/".join(path_of(ct(3, 1, 1)).split("/")[: 1 + 2 * levels])
    answer = site.dicom_web(path + "/pixeldata", headers=MULTIPART)
    found = parts(answer)
    expected = [ct(3, 1, 1).PixelData] + ([ct(3, 1, 2).PixelData] if levels < 3 else [])
    assert [part.content for part in found] == expected
    assert site.dicom_web(path + "/pixeldata", headers={"accept": "text/html"}).status == 406


def located(answer: Answer) -> dict[str, Any]:
    """Parts by the last part of their address."""
    return {part.fields["content-location"].rpartition("/instances/")[2]: part for part in parts(answer)}


def test_all_bulk_data_of_an_instance_are_what_its_metadata_name(site: Web) -> None:
    ds = with_bulk(1)
    named = sorted(set(addresses(site.dicom_web(path_of(ds) + "/metadata").json())))
    answer = site.dicom_web(path_of(ds) + "/bulkdata", headers=MULTIPART)
    assert answer.headers["content-type"].startswith('multipart/related; type="application/octet-stream"')
    found = {part.fields["content-location"]: part.content for part in parts(answer)}
    assert sorted(found) == named
    for address, content in found.items():
        assert site.ask(address.removeprefix("http://archive.test")).body == content
    assert sorted(map(len, found.values())) == sorted([5000, len(WORDS), len(ICON), len(ICON), len(ds.PixelData)])


@pytest.mark.parametrize("levels", [3, 2, 1])
def test_all_bulk_data_of_every_level(site: Web, levels: int) -> None:
    path = "/".join(path_of(ct(3, 1, 1)).split("/")[: 1 + 2 * levels])
    found = located(site.dicom_web(path + "/bulkdata", headers=MULTIPART))
    first, second = ct(3, 1, 1), ct(3, 1, 2)
    # What is encapsulated comes frame by frame, the rest as the value that it is.
    expected = {f"{first.SOPInstanceUID}/frames/1": first.PixelData}
    if levels < 3:
        expected[f"{second.SOPInstanceUID}/bulkdata/7FE00010"] = second.PixelData
    assert {address: part.content for address, part in found.items()} == expected
    as_stored = {"accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'}
    found = located(site.dicom_web(path + "/bulkdata", headers=as_stored))
    assert found[f"{first.SOPInstanceUID}/frames/1"].type == f"image/jls; transfer-syntax={LS}"


def test_bulk_data_that_no_accepted_type_can_carry_are_counted(site: Web) -> None:
    path = path_of(with_bulk(1)) + "/bulkdata"
    answer = site.dicom_web(path, headers={"accept": 'multipart/related; type="image/jls"'})
    assert answer.status == 206 and "4 values could not be delivered" in answer.headers["warning"]
    (part,) = split(answer.headers["content-type"], answer.body)
    assert part.type.startswith("image/jls")
    for refused in ("application/dicom+json", "application/octet-stream"):
        assert site.dicom_web(path, headers={"accept": refused}).status == 406
    assert site.dicom_web("/studies/1.2.3/bulkdata").status == 404


def test_a_document_is_given_as_what_it_is_where_octets_are_not_accepted(site: Web) -> None:
    ds = document(7, "application/pdf")
    site.archive.keep(ds)
    found = located(site.dicom_web(path_of(ds) + "/bulkdata", headers=MULTIPART))
    assert [(part.type, part.content) for part in found.values()] == [("application/octet-stream", PDF)]
    pdf = {"accept": 'multipart/related; type="application/pdf"'}
    (part,) = parts(site.dicom_web(path_of(ds) + "/bulkdata", headers=pdf))
    assert (part.type, part.content) == ("application/pdf", PDF)
    assert site.dicom_web(path_of(ds) + "/pixeldata", headers=MULTIPART).status == 404


def test_what_a_data_set_says_of_its_document_never_becomes_a_header(site: Web) -> None:
    ds = document(8, "text/html\r\nSet-Cookie: a=b")
    site.archive.keep(ds)
    answer = site.dicom_web(path_of(ds) + "/bulkdata", headers={"accept": "multipart/related"})
    assert b"Set-Cookie" not in answer.body and parts(answer)[0].type == "application/octet-stream"


def test_an_instance_without_bulk_data_is_404(site: Web) -> None:
    ds = ct(9, 1, 1)
    del ds.PixelData
    site.archive.keep(ds)
    answer = site.dicom_web(path_of(ds) + "/bulkdata")
    assert answer.status == 404 and "bulk data" in answer.json()["detail"]


def test_pixels_whose_description_makes_no_sense_are_still_octets(site: Web) -> None:
    ds = ct(10, 1, 1)
    ds.Rows = 60000
    site.archive.keep(ds)
    (part,) = parts(site.dicom_web(path_of(ds) + "/bulkdata", headers=MULTIPART))
    assert part.content == ds.PixelData


PDF = b"%PDF-1.4 " + bytes(2001)


def document(study: int, media_type: str) -> Dataset:
    ds = ct(study, 1, 1)
    del ds.PixelData
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"
    ds.add_new(0x00420012, "LO", media_type)
    ds.EncapsulatedDocument = PDF
    return ds


# -- places ------------------------------------------------------------------------------------------

STUDY, INNER, TEXT = 0x00081115, 0x00081199, 0x00081155
_FIRST = item(explicit(0x00080018, "UI", b"x\0"))
_DEEPEST = undefined(INNER, "SQ", item(explicit(TEXT, "UI", b"1.2.3\0"), UNDEFINED))
_SECOND = item(_DEEPEST + explicit(0x00090001, "UN", b"ab"), UNDEFINED)
# A sequence in UN is implicit little endian (PS3.5 6.2.2).
_UNKNOWN = explicit(0x00091010, "UN", item(b"\x08\0\x55\x11\x02\0\0\0hi"), UNDEFINED) + delimiter()
NESTED = b"".join(
    (
        explicit(0x00080016, "UI", b"1.2\0"),
        undefined(STUDY, "SQ", _FIRST, _SECOND),
        _UNKNOWN,
        pixels(b"abcd", b"ef", table=b"\0\0\0\0"),
        explicit(0xFFFCFFFC, "OB", b"\0\0"),
    )
)


@pytest.mark.parametrize(
    ("steps", "value"),
    [
        ((0x00080016,), b"1.2\0"),
        ((STUDY, 1, 0x00080018), b"x\0"),
        ((STUDY, 2, INNER, 1, TEXT), b"1.2.3\0"),
        ((STUDY, 2, 0x00090001), b"ab"),
        ((0x00091010, 1, TEXT), b"hi"),
        ((0xFFFCFFFC,), b"\0\0"),
        ((STUDY, 3, TEXT), None),
        ((STUDY, 1, TEXT), None),
        ((0x00100010,), None),
    ],
)
def test_values_are_found_through_every_kind_of_nesting(steps: tuple[int, ...], value: bytes | None) -> None:
    place = find_value(lambda at, count: NESTED[at : at + count], len(NESTED), Mode.EXPLICIT_LE, steps)
    assert (place and NESTED[place.offset : place.offset + place.length]) == value


def test_fragments_are_the_pieces_of_a_value_without_their_table() -> None:
    place = find_value(lambda at, count: NESTED[at : at + count], len(NESTED), Mode.EXPLICIT_LE, (0x7FE00010,))
    assert place and [NESTED[at : at + size] for at, size in place.pieces] == [b"abcd", b"ef"]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(NESTED)), st.binary(max_size=4), st.sampled_from([(0xFFFCFFFC,), (STUDY, 2, INNER, 1, TEXT)]))
def test_broken_structure_is_an_error_or_nothing_never_a_crash(cut: int, junk: bytes, steps: tuple[int, ...]) -> None:
    data = NESTED[:cut] + junk + NESTED[cut + len(junk) :]
    try:
        place = find_value(lambda at, count: data[at : at + count], len(data), Mode.EXPLICIT_LE, steps)
    except CannotUnderstand:
        return
    assert place is None or place.offset <= len(data)


def test_nesting_without_end_meets_a_limit() -> None:
    deep = (explicit(STUDY, "SQ", b"", UNDEFINED) + b"\xfe\xff\x00\xe0\xff\xff\xff\xff") * 5000
    with pytest.raises(CannotUnderstand):
        find_value(lambda at, count: deep[at : at + count], len(deep), Mode.EXPLICIT_LE, (0x00100010,))
