"""STOW-RS of metadata and bulk data: JSON and XML, put together without anything being fetched (H12, H27, T10, T11)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from tests.support.generate import ct, uid
from tests.support.patience import assert_within
from tests.support.stow import failed, headers, multipart, stored
from tests.support.web import Answer, Web, web

from vesalius.model.file_meta import PREAMBLE

JSON, XML = "application/dicom+json", "application/dicom+xml"
SPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
JPEG = b"\xff\xd8\xff\xe0fake\xff\xd9x"  # an odd number of bytes


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("stow-metadata"), body_bytes=1 << 20) as made:
        yield made


def as_json(ds: Dataset, pixels: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = ds.to_json_dict(bulk_data_threshold=1 << 30)
    made.pop("7FE00010", None)
    if pixels is not None:
        made["7FE00010"] = {"vr": "OW", "BulkDataURI": pixels}
    return made


def send(site: Web, kind: str, *parts: tuple[Any, bytes], path: str = "/studies") -> Answer:
    return site.dicom_web(path, "POST", headers(kind), multipart(parts))


def bulk(location: str, kind: str = "application/octet-stream") -> dict[str, str]:
    return {"Content-Type": kind, "Content-Location": location}


def kept(site: Web, name: str) -> tuple[str, Dataset]:
    """Transfer syntax and data set of what was stored."""
    stored_instance = site.archive.find_one(name)
    assert stored_instance is not None
    from vesalius.model.entities import Claim
    from vesalius.model.file_meta import file_prefix

    claim = Claim(stored_instance.sop_class, name, stored_instance.transfer_syntax)
    return stored_instance.transfer_syntax, dcmread(BytesIO(file_prefix(claim) + site.archive.bytes_of(name)))


_numbers = iter(range(1, 1000))


def instance(study: object = "meta") -> Dataset:
    return ct(study=study, series=1, instance=next(_numbers), patient_name="Müller^Jürg")


def test_json_with_pixel_data_becomes_the_instance_that_it_describes(site: Web) -> None:
    ds = instance()
    answer = send(
        site, JSON,
        (JSON, json.dumps([as_json(ds, "bulk/1")]).encode()),
        (bulk("bulk/1"), ds.PixelData),
    )  # fmt: skip
    assert answer.status == 200 and stored(answer.body) == {ds.SOPInstanceUID}
    syntax, back = kept(site, ds.SOPInstanceUID)
    assert syntax == "1.2.840.10008.1.2.1"
    for element in ds:
        assert back[element.tag].value == element.value, element.keyword
    assert str(back.PatientName) == "Müller^Jürg"


def test_several_instances_share_a_request_and_their_bulk_data_come_in_any_order(site: Web) -> None:
    made = [instance() for _ in range(3)]
    metadata = [as_json(ds, f"https://example.org/bulk/{number}") for number, ds in enumerate(made)]
    parts: list[tuple[Any, bytes]] = [(JSON, json.dumps(metadata).encode())]
    parts += [(bulk(f"https://example.org/bulk/{number}"), made[number].PixelData) for number in (2, 0, 1)]
    assert stored(send(site, JSON, *parts).body) == {ds.SOPInstanceUID for ds in made}
    for ds in made:
        assert kept(site, ds.SOPInstanceUID)[1].PixelData == ds.PixelData


def test_metadata_without_bulk_data_are_an_instance_too(site: Web) -> None:
    ds = instance()
    del ds.PixelData
    assert send(site, JSON, (JSON, json.dumps(as_json(ds)).encode())).status == 200
    assert "PixelData" not in kept(site, ds.SOPInstanceUID)[1]


def test_odd_bulk_data_are_padded(site: Web) -> None:
    ds = instance()
    metadata = as_json(ds)
    metadata["00420011"] = {"vr": "OB", "BulkDataURI": "document"}
    assert send(site, JSON, (JSON, json.dumps(metadata).encode()), (bulk("document"), b"%PDF!")).status == 200
    assert kept(site, ds.SOPInstanceUID)[1].EncapsulatedDocument == b"%PDF!\0"


def test_compressed_frames_stay_compressed_each_a_fragment(site: Web) -> None:
    ds = instance()
    ds.NumberOfFrames = "2"
    jpeg = {**bulk("frames"), "Content-Type": "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50"}
    answer = send(site, JSON, (JSON, json.dumps([as_json(ds, "frames")]).encode()), (jpeg, JPEG), (jpeg, JPEG + b"2"))
    assert answer.status == 200
    syntax, back = kept(site, ds.SOPInstanceUID)
    assert syntax == "1.2.840.10008.1.2.4.50"
    frames = list(generate_frames(back.PixelData, number_of_frames=2))
    assert frames == [JPEG + b"\0" * (len(JPEG) & 1), JPEG + b"2" + b"\0" * (len(JPEG) + 1 & 1)]
    kept_instance = site.archive.find_one(ds.SOPInstanceUID)
    assert kept_instance is not None and kept_instance.pixels is not None
    assert len(kept_instance.pixels.frames) == 2


def test_a_compressed_type_without_transfer_syntax_means_its_default(site: Web) -> None:
    ds = instance()
    assert send(
        site, JSON, (JSON, json.dumps([as_json(ds, "x")]).encode()), (bulk("x", "image/jls"), b"\xff\xd8\xff\xd9")
    ).status == 200  # fmt: skip
    assert kept(site, ds.SOPInstanceUID)[0] == "1.2.840.10008.1.2.4.80"


def xml_of(ds: Dataset, pixels: str = "") -> bytes:
    rows = []
    for element in ds:
        if element.VR in ("SQ", "OW") or element.tag == 0x7FE00010:
            continue
        values = element.value if element.VM > 1 else [element.value]
        if element.VR == "PN":
            family, _, given = str(element.value).partition("^")
            inside = (
                '<PersonName number="1"><Alphabetic>'
                f"<FamilyName>{family}</FamilyName><GivenName>{given}</GivenName></Alphabetic></PersonName>"
            )
        else:
            inside = "".join(f'<Value number="{number}">{value}</Value>' for number, value in enumerate(values, 1))
        rows.append(f'<DicomAttribute tag="{int(element.tag):08X}" vr="{element.VR}">{inside}</DicomAttribute>')
    if pixels:
        rows.append(f'<DicomAttribute tag="7FE00010" vr="OW"><BulkData uri="{pixels}"/></DicomAttribute>')
    return f'<?xml version="1.0"?><NativeDicomModel xmlns="{SPACE}">{"".join(rows)}</NativeDicomModel>'.encode()


def test_xml_with_pixel_data_becomes_the_instance_that_it_describes(site: Web) -> None:
    made = [instance("xml") for _ in range(2)]
    parts: list[tuple[Any, bytes]] = [(XML, xml_of(ds, f"p{number}")) for number, ds in enumerate(made)]
    parts += [(bulk(f"p{number}"), ds.PixelData) for number, ds in enumerate(made)]
    answer = send(site, XML, *parts)
    assert stored(answer.body) == {ds.SOPInstanceUID for ds in made}
    for ds in made:
        back = kept(site, ds.SOPInstanceUID)[1]
        assert (back.PixelData, str(back.PatientName), back.Rows) == (ds.PixelData, str(ds.PatientName), ds.Rows)


# -- what is refused -----------------------------------------------------------------------------


def test_h12_bulk_data_that_are_missing_fail_their_instance_alone(site: Web) -> None:
    good, bad = instance(), instance()
    parts = [
        (JSON, json.dumps([as_json(good, "here"), as_json(bad, "not-here")]).encode()),
        (bulk("here"), good.PixelData),
    ]
    answer = send(site, JSON, *parts)
    assert answer.status == 202
    assert stored(answer.body) == {good.SOPInstanceUID}
    assert failed(answer.body) == {bad.SOPInstanceUID: 0xC000}


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:{port}/x", "file:///etc/passwd", "ftp://127.0.0.1:{port}/x", "//127.0.0.1:{port}/x"]
)
def test_h12_t11_no_address_is_ever_fetched(site: Web, uri: str) -> None:
    import socket

    with socket.socket() as canary:
        canary.bind(("127.0.0.1", 0))
        canary.listen()
        canary.settimeout(0.2)
        ds = instance()
        metadata = json.dumps([as_json(ds, uri.format(port=canary.getsockname()[1]))]).encode()
        answer = send(site, JSON, (JSON, metadata))
        assert answer.status == 409 and failed(answer.body) == {ds.SOPInstanceUID: 0xC000}
        with pytest.raises(TimeoutError):
            canary.accept()


DTD = '<?xml version="1.0"?><!DOCTYPE x [{}]>'
BOMB = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "declared",
    [
        '<!ENTITY x SYSTEM "file:///etc/passwd">',
        '<!ENTITY % p SYSTEM "http://127.0.0.1:9/x"> %p;',
        '<!ENTITY a0 "lol">' + BOMB,
        "",
    ],
)
def test_t10_a_document_type_is_400_at_once(site: Web, declared: str) -> None:
    ds = instance()
    body = xml_of(ds).replace(b'<?xml version="1.0"?>', DTD.format(declared).encode())
    began = time.monotonic()
    answer = send(site, XML, (XML, body.replace(b"HEAD", b"&a9;")))
    assert answer.status == 400
    assert_within(began, 0.25)
    assert site.archive.find_one(ds.SOPInstanceUID) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1]",
        b'[{"00080018": 5}]',
        b'[{"00080018": {"vr": "UI", "Value": ["1.2"]}, "00080018": {"vr": "UI", "Value": ["1.3"]}}]',
        b'[{"00280010": {"vr": "US", "Value": [NaN]}}]',
        b'[{"00280010": {"vr": "LO", "Value": ["x"]}}]',
        b'[{"00280010": {"vr": "ZZ", "Value": ["x"]}}]',
        b'[{"00280010": {"vr": "US", "Value": ["twelve"]}}]',
        b'[{"7FE00010": {"vr": "OW", "InlineBinary": "***"}}]',
        b'[{"0008XXXX": {"vr": "US", "Value": [1]}}]',
        b"[" * 100_000,
        b'{"00081140": {"vr": "SQ", "Value": [' * 1000,
    ],
)
def test_h27_metadata_that_break_the_rules_are_400_and_leave_nothing(site: Web, body: bytes) -> None:
    before = site.archive.index.totals()
    assert send(site, JSON, (JSON, body)).status == 400
    assert site.archive.index.totals() == before


def test_h27_inline_binary_beyond_the_limit_is_413(site: Web) -> None:
    ds = instance()
    metadata = as_json(ds)
    metadata["7FE00010"] = {"vr": "OW", "InlineBinary": "A" * (2 << 20)}
    assert send(site, JSON, (JSON, json.dumps(metadata).encode())).status == 413


def test_parts_that_do_not_belong_are_refused(site: Web) -> None:
    metadata = json.dumps([as_json(instance())]).encode()
    assert send(site, JSON, (bulk("x"), b"1234")).status == 415  # no metadata
    assert send(site, JSON, (XML, xml_of(instance()))).status == 415  # metadata of the other kind
    assert send(site, JSON, (JSON, metadata), ("application/octet-stream", b"1234")).status == 400  # no location
    assert send(site, JSON, (JSON, metadata), (bulk("x", "text/html"), b"1234")).status == 415
    assert send(site, JSON).status == 400


def test_an_instance_of_another_study_is_a_failure_here_too(site: Web) -> None:
    ds = instance("other")
    answer = send(site, JSON, (JSON, json.dumps([as_json(ds)]).encode()), path=f"/studies/{uid('study', 'meta')}")
    assert answer.status == 409 and failed(answer.body) == {ds.SOPInstanceUID: 0xA900}


def test_large_bulk_data_wait_on_disk_and_come_out_whole(site: Web) -> None:
    ds = instance()
    ds.Rows = ds.Columns = 4096
    pixels = bytes(range(256)) * (4096 * 4096 * 2 // 256)
    answer = send(site, JSON, (JSON, json.dumps([as_json(ds, "large")]).encode()), (bulk("large"), pixels))
    assert answer.status == 200
    assert kept(site, ds.SOPInstanceUID)[1].PixelData == pixels


def test_what_is_given_back_as_metadata_can_be_stored_again(site: Web) -> None:
    """The round trip of a client that changes a header: out as JSON, in as JSON under another UID."""
    ds = instance("round")
    send(site, JSON, (JSON, json.dumps([as_json(ds, "p")]).encode()), (bulk("p"), ds.PixelData))
    address = f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}/metadata"
    (metadata,) = site.dicom_web(address).json()
    metadata["00080018"]["Value"] = [uid("round again")]
    where = metadata["7FE00010"]["BulkDataURI"]
    answer = send(site, JSON, (JSON, json.dumps([metadata]).encode()), (bulk(where), ds.PixelData))
    assert answer.status == 200
    back = kept(site, uid("round again"))[1]
    assert back.PixelData == ds.PixelData and str(back.PatientName) == str(ds.PatientName)
    assert PREAMBLE.endswith(b"DICM")
