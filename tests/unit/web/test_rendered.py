"""Rendered resources, thumbnails and WADO-URI: formats, parameters, presentation states, what is no picture."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageSequence
from pydicom.dataset import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage
from tests.support.archive import dataset_of
from tests.support.data import need_shared_data
from tests.support.elements import split_part10
from tests.support.generate import ct, part10, uid
from tests.support.multipart import split
from tests.support.web import Answer, Web, web

from vesalius.backends.pixels_codecs import PixelCodecs
from vesalius.model.entities import Claim
from vesalius.web.animation import ffmpeg

PNG = {"accept": "image/png"}


def ramp(study: int, instance: int, *, frames: int = 0, rows: int = 64, columns: int = 96) -> Dataset:
    """Brighter from left to right, unsigned 12 bits, no rescaling."""
    ds = ct(
        study, 1, instance, rows=rows, columns=columns, RescaleIntercept="0", WindowCenter="2048", WindowWidth="4096"
    )
    line = np.linspace(0, 4095, columns).astype("<u2")
    ds.PixelData = np.tile(line, (rows, 1)).tobytes() * max(frames, 1)
    if frames:
        ds.NumberOfFrames = str(frames)
        ds.FrameTime = "40"
    return ds


def path_of(ds: Dataset) -> str:
    return f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"


IMAGE, SECOND, CINE = ramp(1, 1), ramp(1, 2, rows=32, columns=48), ramp(2, 1, frames=5)


def state(image: Dataset) -> Dataset:
    """A presentation state of an image: inverse, turned, a box and a word in its middle."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = GrayscaleSoftcopyPresentationStateStorage, uid("state", image.SOPInstanceUID)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = image.StudyInstanceUID, uid("states", image.SeriesInstanceUID)
    ds.PatientID, ds.PatientName, ds.Modality = image.PatientID, image.PatientName, "PR"
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedImageSequence = image.SeriesInstanceUID, [reference]
    ds.ReferencedSeriesSequence = [series]
    ds.PresentationLUTShape = "INVERSE"
    ds.ImageRotation, ds.ImageHorizontalFlip = 90, "N"
    voi = Dataset()
    voi.WindowCenter, voi.WindowWidth = "1024", "2048"
    ds.SoftcopyVOILUTSequence = [voi]
    line = Dataset()
    line.GraphicAnnotationUnits, line.GraphicDimensions, line.NumberOfGraphicPoints = "PIXEL", 2, 2
    line.GraphicData, line.GraphicType, line.GraphicFilled = [48.0, 1.0, 48.0, 64.0], "POLYLINE", "N"
    word = Dataset()
    word.BoundingBoxAnnotationUnits, word.UnformattedTextValue = "DISPLAY", "lesion"
    word.BoundingBoxTopLeftHandCorner, word.BoundingBoxBottomRightHandCorner = [0.1, 0.1], [0.4, 0.2]
    layer = Dataset()
    layer.GraphicLayer, layer.GraphicObjectSequence, layer.TextObjectSequence = "L", [line], [word]
    ds.GraphicAnnotationSequence = [layer]
    return ds


STATE = state(IMAGE)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("rendered")
    with web(folder, cache=folder / "run") as opened:
        (folder / "run").mkdir()
        for ds in (IMAGE, SECOND, CINE, STATE):
            opened.archive.keep(ds)
        yield opened


def picture(answer: Answer) -> Image.Image:
    assert answer.status == 200, answer.body
    return Image.open(io.BytesIO(answer.body))


@pytest.mark.parametrize("media", ["image/jpeg", "image/png", "image/gif", "image/webp", "image/jp2"])
def test_every_format_shows_the_same(site: Web, media: str) -> None:
    answer = site.dicom_web(path_of(IMAGE) + "/rendered", headers={"accept": media})
    assert answer.headers["content-type"] == media
    found = imagecodecs.jpeg2k_decode(answer.body) if media == "image/jp2" else np.asarray(picture(answer).convert("L"))
    expected = np.asarray(picture(site.dicom_web(path_of(IMAGE) + "/rendered", headers=PNG)))
    assert found.shape == (64, 96)
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= (0 if media in ("image/gif", "image/jp2") else 6)
    assert expected[0, 0] == 0 and expected[0, -1] == 255


def test_a_browser_gets_a_jpeg(site: Web) -> None:
    browser = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
    assert site.dicom_web(path_of(IMAGE) + "/rendered", headers={"accept": browser}).status == 200
    answer = site.dicom_web(path_of(IMAGE) + "/rendered")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "private, no-cache"


def test_an_entity_tag_saves_the_second_picture(site: Web) -> None:
    for what in ("/rendered", "/thumbnail"):
        first = site.dicom_web(path_of(IMAGE) + what)
        again = site.dicom_web(path_of(IMAGE) + what, headers={"if-none-match": first.headers["etag"]})
        assert again.status == 304 and again.body == b""
        other = site.dicom_web(
            path_of(IMAGE) + what + "?viewport=20,20", headers={"if-none-match": first.headers["etag"]}
        )
        assert other.status == 200


def test_window_viewport_and_quality(site: Web) -> None:
    def ask(query: str) -> np.ndarray:
        return np.asarray(picture(site.dicom_web(path_of(IMAGE) + "/rendered?" + query, headers=PNG)).convert("L"))

    step = ask("window=2048,1,linear")
    assert set(np.unique(step)) == {0, 255} and step[0, 40] == 0 and step[0, 60] == 255
    assert len(np.unique(ask("window=2048,800,sigmoid"))) > 20
    assert ask("viewport=48,48").shape == (32, 48)
    assert ask("viewport=192,500").shape == (128, 192)
    part = ask("viewport=24,16,48,16,24,16")
    whole = ask("")
    assert np.array_equal(part, whole[16:32, 48:72])
    assert np.array_equal(ask("viewport=24,16,48,16,-24,16"), part[:, ::-1])
    sizes = [len(site.dicom_web(path_of(IMAGE) + f"/rendered?quality={q}").body) for q in (5, 95)]
    assert sizes[0] < sizes[1]


def test_names_are_burnt_in_only_when_asked_for(site: Web) -> None:
    plain = np.asarray(picture(site.dicom_web(path_of(IMAGE) + "/rendered", headers=PNG)))
    for names in ("patient", "technique", "patient,technique"):
        written = picture(site.dicom_web(path_of(IMAGE) + f"/rendered?annotation={names}", headers=PNG))
        assert (np.asarray(written.convert("L")) != plain).sum() > 30, names


@pytest.mark.parametrize(
    "query",
    [
        "viewport=1e9,1e9", "viewport=0,10", "viewport=10", "viewport=99999,99999", "viewport=16384,16384",
        "viewport=10,10,0,0,0,0", "viewport=10,10,nan,0", "viewport=a,b", "viewport=1,2,3,4,5,6,7",
        "window=1", "window=1,0", "window=1,-3", "window=a,b,linear", "window=1,2,cubic", "window=inf,2",
        "window=1,0.5",
        "quality=0", "quality=101", "quality=x", "quality=-1", "annotation=everything", "iccprofile=cmyk",
        "window=1,2&window=3,4", "presentationUID=nonsense",
    ],
)  # fmt: skip
def test_parameters_that_make_no_sense_are_400(site: Web, query: str) -> None:
    for what in ("/rendered", "/frames/1/rendered"):
        assert site.dicom_web(path_of(IMAGE) + what + "?" + query).status == 400


def test_a_region_outside_the_image_is_an_error_in_words(site: Web) -> None:
    assert site.dicom_web(path_of(IMAGE) + "/rendered?viewport=10,10,5000,5000").status == 406


@pytest.mark.parametrize(("levels", "count"), [(1, 2), (2, 2), (3, 1)])
def test_several_images_come_as_parts(site: Web, levels: int, count: int) -> None:
    path = "/".join(path_of(IMAGE).split("/")[: 1 + 2 * levels]) + "/rendered"
    answer = site.dicom_web(path, headers={"accept": 'multipart/related; type="image/jpeg"'})
    found = split(answer.headers["content-type"], answer.body)
    assert [part.type for part in found] == ["image/jpeg"] * count
    assert Image.open(io.BytesIO(found[0].content)).size == (96, 64)


def test_frames_are_parts_too(site: Web) -> None:
    answer = site.dicom_web(path_of(CINE) + "/frames/1,5/rendered")
    assert len(split(answer.headers["content-type"], answer.body)) == 2
    assert site.dicom_web(path_of(CINE) + "/frames/1,5/rendered", headers={"accept": "image/jpeg"}).status == 406
    assert picture(site.dicom_web(path_of(CINE) + "/frames/5/rendered")).size == (96, 64)
    assert site.dicom_web(path_of(CINE) + "/frames/6/rendered").status == 404


def test_a_cine_moves(site: Web) -> None:
    answer = site.dicom_web(path_of(CINE) + "/rendered", headers={"accept": "image/gif"})
    moving = picture(answer)
    frames = [np.asarray(each.convert("L")) for each in ImageSequence.Iterator(moving)]
    assert len(frames) == 5 and moving.info["duration"] == 40 and moving.info["loop"] == 0
    still = np.asarray(picture(site.dicom_web(path_of(CINE) + "/rendered", headers=PNG)))
    assert all(np.array_equal(each, still) for each in frames)
    assert picture(site.dicom_web(path_of(CINE) + "/rendered")).format == "JPEG"


def test_a_series_moves_though_its_images_differ_in_size(site: Web) -> None:
    path = path_of(IMAGE).rpartition("/instances")[0] + "/rendered"
    moving = picture(site.dicom_web(path, headers={"accept": "image/gif"}))
    assert moving.size == (96, 64)
    assert sum(1 for _ in ImageSequence.Iterator(moving)) == 2


@pytest.mark.skipif(ffmpeg() is None, reason="ffmpeg is not installed")
def test_a_cine_is_a_video(site: Web) -> None:
    answer = site.dicom_web(path_of(CINE) + "/rendered", headers={"accept": "video/mp4"})
    assert answer.status == 200 and answer.headers["content-type"] == "video/mp4"
    assert answer.body[4:8] == b"ftyp" and len(answer.body) > 1000


@pytest.mark.skipif(ffmpeg() is not None, reason="ffmpeg is installed")
def test_without_ffmpeg_there_is_no_video_and_the_answer_says_so(site: Web) -> None:
    assert site.dicom_web(path_of(CINE) + "/rendered", headers={"accept": "video/mp4"}).status == 406


# -- presentation states -------------------------------------------------------------------------------


def test_a_presentation_state_is_shown_as_the_image_it_is_about(site: Web) -> None:
    shown = picture(site.dicom_web(path_of(STATE) + "/rendered", headers=PNG))
    assert shown.size == (64, 96)  # turned by 90 degrees
    found = np.asarray(shown.convert("RGB")).astype(int)
    grey = found[:, 2]
    assert grey[2, 0] > 240 and grey[60, 0] < 5  # inverse, its own window, left has become top
    yellow = (found[..., 0] > 200) & (found[..., 2] < 140)
    assert yellow[45:50].sum() > 40  # the line in the middle of the image is a row now
    assert yellow[5:30].sum() > 10  # the word


def test_an_image_can_be_asked_for_as_a_state_says(site: Web) -> None:
    by_state = site.dicom_web(path_of(STATE) + "/rendered", headers=PNG).body
    by_image = site.dicom_web(path_of(IMAGE) + f"/rendered?presentationUID={STATE.SOPInstanceUID}", headers=PNG).body
    assert by_state == by_image
    assert site.dicom_web(path_of(IMAGE) + "/rendered?presentationUID=1.2.3").status == 404
    # A state that is not about an image would show it wrongly.
    assert site.dicom_web(path_of(SECOND) + f"/rendered?presentationUID={STATE.SOPInstanceUID}").status == 400
    assert site.dicom_web(path_of(IMAGE) + f"/rendered?presentationUID={IMAGE.SOPInstanceUID}").status == 404


def test_a_state_whose_images_are_not_kept_has_no_picture(site: Web) -> None:
    lonely = state(ramp(77, 1))
    site.archive.keep(lonely)
    assert site.dicom_web(path_of(lonely) + "/rendered").status == 404


# -- thumbnails ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_every_level_has_a_thumbnail_that_is_made_once(site: Web, levels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/".join(path_of(IMAGE).split("/")[: 1 + 2 * levels]) + "/thumbnail"
    first = site.dicom_web(path)
    assert max(picture(first).size) <= 160
    # From now on there is no codec to make it with.
    monkeypatch.setattr(PixelCodecs, "render", None)
    for _ in range(3):
        assert site.dicom_web(path).body == first.body


def test_a_thumbnail_of_a_frame_in_another_size(site: Web) -> None:
    path = path_of(CINE) + "/frames/3/thumbnail?viewport=32,32"
    assert picture(site.dicom_web(path, headers=PNG)).size == (32, 21)
    assert site.dicom_web(path_of(CINE) + "/frames/9/thumbnail").status == 404


def test_a_thumbnail_follows_what_arrives(site: Web) -> None:
    path = f"/studies/{ramp(5, 1).StudyInstanceUID}/thumbnail"
    assert site.dicom_web(path).status == 404
    site.archive.keep(ramp(5, 1))
    first = site.dicom_web(path)
    bright = ramp(5, 2)
    bright.PixelData = b"\xff\x0f" * (64 * 96)
    site.archive.keep(bright)
    assert site.dicom_web(path).body != first.body


def test_a_thumbnail_survives_in_the_cache_of_the_disk(site: Web, tmp_path: Path) -> None:
    folder = site.ctx.view.cache
    assert folder is not None and any((folder / "thumbnails").iterdir())


def test_what_is_no_image_has_no_picture(site: Web) -> None:
    file = need_shared_data() / "sr-ko-pr-seg-rt/rt-small/rtplan.dcm"
    syntax, dataset = split_part10(file.read_bytes())
    from pydicom import dcmread

    ds = dcmread(file, force=True)
    site.archive.store(dataset, Claim(str(ds.SOPClassUID), str(ds.SOPInstanceUID), syntax))
    assert site.dicom_web(path_of(ds) + "/rendered").status == 406
    assert site.dicom_web(path_of(ds) + "/thumbnail").status == 404
    assert site.dicom_web(path_of(ds) + "/frames/1").status == 404


def test_an_encapsulated_document_is_its_own_rendering(site: Web) -> None:
    ds = ct(8, 1, 1)
    del ds.PixelData
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    ds.EncapsulatedDocument = b"%PDF-1.7 " + bytes(3000) + b"\n"
    site.archive.keep(ds)
    answer = site.dicom_web(path_of(ds) + "/rendered")
    assert (answer.headers["content-type"], answer.body) == ("application/pdf", ds.EncapsulatedDocument)
    assert answer.headers["content-disposition"] == "attachment", "it is not opened on this origin"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert site.dicom_web(path_of(ds) + "/rendered", headers={"accept": "image/png"}).status == 406


# -- WADO-URI ------------------------------------------------------------------------------------------


def uri(ds: Dataset, **more: str) -> str:
    query = {
        "requestType": "WADO",
        "studyUID": ds.StudyInstanceUID,
        "seriesUID": ds.SeriesInstanceUID,
        "objectUID": ds.SOPInstanceUID,
    } | more
    return "/wado?" + "&".join(f"{name}={value}" for name, value in query.items())


def test_wado_uri_gives_a_jpeg_of_one_frame_and_a_file_of_several(site: Web) -> None:
    assert site.ask(uri(IMAGE)).headers["content-type"] == "image/jpeg"
    answer = site.ask(uri(CINE))
    assert answer.headers["content-type"] == "application/dicom"
    assert answer.body[128:132] == b"DICM"
    assert site.dicom_web(uri(IMAGE)).status == 200


def test_wado_uri_gives_files_in_the_transfer_syntax_that_is_asked_for(site: Web) -> None:
    dicom = {"contentType": "application/dicom"}
    assert dataset_of(site.ask(uri(IMAGE, **dicom)).body) == dataset_of(part10(IMAGE))
    turned = site.ask(uri(IMAGE, **dicom, transferSyntax="1.2.840.10008.1.2.4.80"))
    assert split_part10(turned.body)[0] == "1.2.840.10008.1.2.4.80"
    for forbidden in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "x"):
        assert site.ask(uri(IMAGE, **dicom, transferSyntax=forbidden)).status == 400
    as_stored = site.ask(uri(IMAGE, **dicom, transferSyntax="*"))
    assert (as_stored.status, dataset_of(as_stored.body)) == (200, dataset_of(part10(IMAGE)))
    # What cannot be made is answered with the default.
    other = site.ask(uri(IMAGE, **dicom, transferSyntax="1.2.840.10008.1.2.4.102"))
    assert split_part10(other.body)[0] == "1.2.840.10008.1.2.1"


def test_wado_uri_shows_windows_regions_sizes_and_frames(site: Web) -> None:
    png = {"contentType": "image/png"}
    whole = np.asarray(picture(site.ask(uri(IMAGE, **png))))
    part = np.asarray(picture(site.ask(uri(IMAGE, **png, region="0.5,0.25,1,0.5"))))
    assert np.array_equal(part, whole[16:32, 48:])
    assert picture(site.ask(uri(IMAGE, **png, rows="32"))).size == (48, 32)
    assert picture(site.ask(uri(IMAGE, **png, rows="100", columns="48"))).size == (48, 32)
    step = np.asarray(picture(site.ask(uri(IMAGE, **png, windowCenter="2048", windowWidth="1"))))
    assert set(np.unique(step)) == {0, 255}
    assert picture(site.ask(uri(CINE, **png, frameNumber="5"))).size == (96, 64)
    assert site.ask(uri(IMAGE, imageQuality="5")).status == 200
    assert site.ask(uri(IMAGE, annotation="patient")).status == 200
    moving = picture(site.ask(uri(CINE, contentType="image/gif")))
    assert sum(1 for _ in ImageSequence.Iterator(moving)) == 5


def test_wado_uri_sends_a_picture_once(site: Web) -> None:
    first = site.ask(uri(IMAGE, rows="32"))
    again = site.ask(uri(IMAGE, rows="32"), headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"") and "private" in first.headers["cache-control"]
    for other in (
        {"rows": "33"},
        {"rows": "32", "contentType": "image/png"},
        {"rows": "32", "windowCenter": "1", "windowWidth": "2"},
    ):
        assert site.ask(uri(IMAGE, **other), headers={"If-None-Match": first.headers["etag"]}).status == 200


def test_wado_uri_shows_an_image_as_a_state_says(site: Web) -> None:
    names = {"presentationUID": STATE.SOPInstanceUID, "presentationSeriesUID": STATE.SeriesInstanceUID}
    answer = site.ask(uri(IMAGE, contentType="image/png", **names))
    assert answer.body == site.dicom_web(path_of(STATE) + "/rendered", headers=PNG).body
    assert site.ask(uri(SECOND, contentType="image/png", **names)).status == 400
    assert site.ask(uri(IMAGE, presentationUID=STATE.SOPInstanceUID)).status == 400
    assert site.ask(uri(IMAGE, windowCenter="1", windowWidth="2", **names)).status == 400


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"requestType": "other"}, 400), ({"studyUID": ""}, 400), ({"objectUID": "a"}, 400),
        ({"objectUID": "1.2.3"}, 404),
        ({"contentType": "text/html"}, 406), ({"frameNumber": "0"}, 400), ({"frameNumber": "2"}, 404),
        ({"frameNumber": "x"}, 400), ({"rows": "0"}, 400), ({"rows": "1e9"}, 400), ({"columns": "-1"}, 400),
        ({"rows": "16384", "columns": "16384"}, 400), ({"region": "0,0,2,1"}, 400), ({"region": "0.5,0,0.5,1"}, 400),
        ({"region": "0,0,1"}, 400), ({"windowCenter": "1"}, 400), ({"windowCenter": "a", "windowWidth": "2"}, 400),
        ({"imageQuality": "0"}, 400), ({"anonymize": "yes"}, 400), ({"transferSyntax": "1.2.840.10008.1.2.1"}, 400),
        ({"contentType": "application/dicom", "rows": "2"}, 400),
        ({"contentType": "application/dicom", "frameNumber": "1"}, 400),
    ],
)  # fmt: skip
def test_wado_uri_refuses_what_does_not_go_together(site: Web, more: dict[str, str], status: int) -> None:
    assert site.ask(uri(IMAGE, **more)).status == status
