"""A series fetched from a DICOMweb service into a folder, for `vesalius.open("https://...")`.

Theory. QIDO-RS says to which study a series belongs, WADO-RS sends its instances as they are stored (PS3.18 10.4.1.1.1,
`transfer-syntax=*`), and each part is written to a file as it arrives: what a series costs in memory is one piece.
Whatever DICOMweb service it is, its pixels are decoded here, so the values are those that the archive's own would be.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from email.message import Message
from pathlib import Path
from typing import BinaryIO

from vesalius.model.errors import NoSuchInstance, NotAuthorized, PeerUnreachable
from vesalius.wire.multipart import MultipartError, MultipartParser, PartBegins, PartData, PartEnds

INSTANCES = 'multipart/related; type="application/dicom"; transfer-syntax=*'
PIECE = 1 << 18
SECONDS = 60.0
STUDY, SERIES = "0020000D", "0020000E"
PAGE = 1000


class RemoteSeries:
    """The series of one service. `url` is its root: `http://host:8042/dicom-web`."""

    def __init__(self, url: str, *, seconds: float = SECONDS) -> None:
        self._url = url.rstrip("/")
        self._seconds = seconds

    def names(self) -> Sequence[str]:
        """The UIDs of all series. Blocks. Raises `PeerUnreachable`."""
        found: list[str] = []
        while True:
            page = self._search({"limit": str(PAGE), "offset": str(len(found))})
            found += [uid for row in page if (uid := _value(row, SERIES))]
            if len(page) < PAGE:
                return found

    def fetch(self, uid: str, folder: Path) -> int:
        """Every instance of a series as a file in `folder`; how many. Blocks.

        Raises `NoSuchInstance`, `PeerUnreachable`.
        """
        study = next(
            (_value(row, STUDY) for row in self._search({"SeriesInstanceUID": uid, "includefield": STUDY})), ""
        )
        if not study:
            raise NoSuchInstance("the service does not know this series")
        place = f"/studies/{urllib.parse.quote(study)}/series/{urllib.parse.quote(uid)}"
        with self._get(place, INSTANCES) as answer:
            try:
                return _save(answer, folder)
            except (OSError, http.client.HTTPException, MultipartError) as error:
                raise PeerUnreachable(f"the service broke off in the middle of the series: {error}") from error

    def _search(self, parameters: dict[str, str]) -> list[dict[str, object]]:
        with self._get(f"/series?{urllib.parse.urlencode(parameters)}", "application/dicom+json") as answer:
            body = answer.read()
        if not body:
            return []
        try:
            rows = json.loads(body)
        except ValueError as error:
            raise PeerUnreachable("the service does not answer a search as DICOMweb does") from error
        return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []

    def _get(self, place: str, accept: str) -> http.client.HTTPResponse:
        request = urllib.request.Request(self._url + place, headers={"Accept": accept})  # noqa: S310  (checked before)
        try:
            answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=self._seconds)  # noqa: S310
        except urllib.error.HTTPError as error:
            with error:
                if error.code in (401, 403):
                    raise NotAuthorized(f"the service answers {error.code}") from error
                if error.code == 404:
                    raise NoSuchInstance("the service knows no such address or series") from error
                raise PeerUnreachable(f"the service answers {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            raise PeerUnreachable(f"the service cannot be reached: {error}") from error
        return answer


def _value(row: dict[str, object], tag: str) -> str:
    element = row.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return str(values[0]) if isinstance(values, list) and values else ""


def _save(answer: http.client.HTTPResponse, folder: Path) -> int:
    """The parts of a multipart body as files."""
    headers: Message = answer.headers
    boundary = headers.get_param("boundary")
    if headers.get_content_maintype() != "multipart" or not isinstance(boundary, str):
        raise PeerUnreachable("the service does not send instances as multipart/related")
    parser = MultipartParser(boundary)
    count = 0
    target: BinaryIO | None = None
    try:
        while piece := answer.read(PIECE):
            for event in parser.feed(piece):
                if isinstance(event, PartBegins):
                    count += 1
                    target = (folder / f"{count:06}.dcm").open("wb")
                elif isinstance(event, PartData) and target is not None:
                    target.write(event.data)
                elif isinstance(event, PartEnds) and target is not None:
                    target.close()
                    target = None
        parser.finish()
    finally:
        if target is not None:
            target.close()
    return count
