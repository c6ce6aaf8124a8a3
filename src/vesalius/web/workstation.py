"""The reading workstation: the viewer's files and pages, and addresses that open studies in it.

Theory. The viewer is a program of others (OHIF) that runs in the reader's browser with the reader's rights, so what it
may do is decided here and not in it (T11, T15; CVE-2026-12473, where an address with `url=` made it send credentials
to a foreign host):

* its page gets only the query parameters of `_PARAMETERS`, each checked; anything else (`url`, `configUrl`,
  `customization`, `token`, `datasources`) is taken out by a redirect before the viewer sees it;
* the Content-Security-Policy lets it connect to this origin alone, whatever it is told. Scripts come from here, none
  is inline, none is evaluated; styles may be inline, because its components make style elements;
* its workers, which decode pixels and have no page, may evaluate and compile WebAssembly: the decoders' glue is
  generated text (emscripten). A worker has the policy of its own answer, so the page has not.

`/workstation/studies/{uid}` is the address for others to link to: it knows which mode and arrangement suits the
study, refuses two patients on one screen, and redirects to nothing but a path of this origin.
`/workstation/IHEInvokeImageDisplay` is the same in the words of IHE RAD-106.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template
from urllib.parse import quote, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from vesalius.model.entities import Level, Values
from vesalius.model.identifiers import is_tolerable_uid
from vesalius.model.query import Options, Root
from vesalius.model.query_parser import parse
from vesalius.web.answers import answer, entity_tag
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.negotiation import choose_encoding
from vesalius.web.viewer_site import ViewerFolder, ViewerSite

_FILES = files("vesalius.web")
_PAGE = Template((_FILES / "templates" / "viewer.html").read_text(encoding="utf-8"))
_MISSING = Template((_FILES / "templates" / "no-viewer.html").read_text(encoding="utf-8"))
# What is ours in the viewer: its configuration, layouts, key images, what its segmentations lack, and colours.
_OWN = {
    name: ((_FILES / "static" / f"viewer-{name}").read_bytes(), kind)
    for name, kind in (
        ("config.js", "text/javascript"),
        ("layouts.js", "text/javascript"),
        ("key-images.js", "text/javascript"),
        ("segmentations.js", "text/javascript"),
        ("theme.css", "text/css"),
    )
}

MODES = ("viewer", "segmentation", "tmtv", "microscopy", "dynamic-volume", "usAnnotation")
COMPARE, MAMMOGRAMS = "@ohif/hpCompare", "vesalius.mg"
MOST_STUDIES = 20  # in one address

# Measured: without `style-src 'unsafe-inline'` and `img-src data: blob:` (thumbnails) it breaks; `blob:` media, objects
# and frames are how it shows videos and encapsulated PDFs.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: "
    "blob:; font-src 'self'; connect-src 'self'; media-src 'self' blob:; object-src 'self' blob:; frame-src 'self' "
    "blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
WORKER_POLICY = "default-src 'none'; script-src 'self' 'unsafe-eval' 'wasm-unsafe-eval'; connect-src 'self'"
FILE_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_KEEP = "public, max-age=31536000, immutable"
_ASK = "private, no-cache"

_UIDS = re.compile(r"[0-9.]{1,64}(?:,[0-9.]{1,64}){0,19}")
_NAME = re.compile(r"[@A-Za-z0-9/._ -]{1,64}")
_NUMBER = re.compile(r"[0-9]{1,9}")
_TEXT = re.compile(r"[^\x00-\x1f\x7f]{1,256}")
# What the viewer's page may be told, in lower case, as it reads it. The lower ones are the filters of its own list.
_PARAMETERS: dict[str, re.Pattern[str]] = {
    "studyinstanceuids": _UIDS,
    "initialseriesinstanceuid": _UIDS,
    "initialsopinstanceuid": _UIDS,
    "hangingprotocolid": _NAME,
    "stageid": _NAME,
    "multimonitor": _NAME,
    "screennumber": _NUMBER,
    **dict.fromkeys(("patientname", "mrn", "description", "accession", "modalities"), _TEXT),
    **dict.fromkeys(("startdate", "enddate", "sortby", "sortdirection"), _NAME),
    **dict.fromkeys(("pagenumber", "resultsperpage"), _NUMBER),
}

STUDY_INSTANCE_UID, PATIENT_ID, ISSUER = 0x0020000D, 0x00100020, 0x00100021
MODALITIES, ACCESSION, STUDY_DATE = 0x00080061, 0x00080050, 0x00080020
MODALITY, SERIES_INSTANCES = 0x00080060, 0x00201209

_SINGLE = frozenset({"MG", "CR", "DX", "IO", "PX"})  # each image stands for itself
_NO_IMAGES = frozenset(
    {"SR", "PR", "KO", "SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "RTRECORD", "RWV", "REG", "FID", "ANN", "ECG", "DOC"}
)


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """What is known of a study when it is opened."""

    uid: str
    patient: tuple[str, str]
    date: str


def clean(parameters: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The query parameters that the viewer may see, as they came."""
    kept = []
    for name, value in parameters:
        allowed = _PARAMETERS.get(name.lower())
        if allowed is not None and allowed.fullmatch(value):
            kept.append((name, value))
    return kept


@dataclass(frozen=True, slots=True)
class Arrangement:
    """How a study is opened: mode, hanging protocol and stage of it by the viewer's names; None: its default."""

    mode: str
    protocol: str | None = None
    stage: str | None = None


def arrangement(series: Sequence[tuple[str, int]]) -> Arrangement:
    """What suits a study of these series (modality, number of instances)."""
    images = [(modality, count) for modality, count in series if modality not in _NO_IMAGES and count]
    modalities = {modality for modality, _ in images}
    if "SM" in modalities:
        return Arrangement("microscopy")
    if {"PT", "CT"} <= modalities:
        return Arrangement("tmtv")
    single = sum(count for modality, count in images if modality in _SINGLE)
    if "MG" in modalities and single > 2:
        return Arrangement("viewer", MAMMOGRAMS, "four")
    if single:
        return Arrangement("viewer", "vesalius.cr", "two" if single > 1 else "one")
    if "MR" in modalities:
        return Arrangement("viewer", "vesalius.mr", "four" if len(images) > 2 else "two" if len(images) > 1 else "one")
    if "CT" in modalities:
        return Arrangement("viewer", "vesalius.ct")
    return Arrangement("viewer")


def routes(ctx: WebContext) -> list[BaseRoute]:
    """The viewer below `view.viewer`, and the addresses that lead into it."""
    desk = _Workstation(ctx)
    viewer = ctx.view.viewer
    return [
        Route(viewer, desk.home, methods=["GET"]),
        *(Route(f"{viewer}/{name}", desk.own, methods=["GET"]) for name in _OWN),
        Route(f"{viewer}/{{build:str}}/{{name:path}}", desk.file, methods=["GET"]),
        Route(f"{viewer}/{{mode:path}}", desk.page, methods=["GET"]),
        Route("/workstation/IHEInvokeImageDisplay", desk.invoke, methods=["GET"]),
        Route("/workstation/studies/{study}", desk.study, methods=["GET"]),
        Route("/workstation/studies/{study}/series/{series}", desk.study, methods=["GET"]),
        Route("/workstation/studies/{study}/series/{series}/instances/{instance}", desk.study, methods=["GET"]),
    ]


class _Workstation:
    """The handlers."""

    def __init__(self, ctx: WebContext) -> None:
        self._ctx = ctx
        self._folder = ViewerFolder(ctx.view.assets)
        self._tags = {name: entity_tag(body) for name, (body, _) in _OWN.items()}

    def _prefix(self, request: Request) -> str:
        """The path that everything of this service is below as the browser sees it: "" or "/dicom"."""
        return urlsplit(self._ctx.base_url(request)).path.rstrip("/")

    async def home(self, request: Request) -> Response:
        return _redirect(f"{self._prefix(request)}{self._ctx.view.viewer}/")

    async def own(self, request: Request) -> Response:
        """A file of ours that the viewer's page loads: asked for each time, sent when it changed."""
        name = request.url.path.rpartition("/")[2]
        body, media_type = _OWN[name]
        return answer(request, body, media_type, tag=self._tags[name], headers={"Cache-Control": _ASK})

    async def page(self, request: Request) -> Response:
        """The viewer's one page, under every address that it makes for itself."""
        site = self._folder.site()
        mode, _, source = str(request.path_params["mode"]).partition("/")
        if (mode and mode not in MODES) or source not in ("", "vesalius"):
            raise Problem(404, "the viewer has no such page")
        given = request.query_params.multi_items()
        kept = clean(given)
        if kept != given:
            return _redirect(_with_query(f"{self._prefix(request)}{request.url.path.removeprefix(self._root(request))}",
                                         kept))  # fmt: skip
        if site is None:
            return self._missing(request)
        body = self._html(request, site)
        return answer(request, body, "text/html; charset=utf-8",
                      headers={"Cache-Control": _ASK, "Content-Security-Policy": PAGE_POLICY})  # fmt: skip

    def _root(self, request: Request) -> str:
        """The prefix as far as the path of a request shows it: a proxy may have taken it off."""
        return str(request.scope.get("app_root_path", request.scope.get("root_path", "")))

    def _html(self, request: Request, site: ViewerSite) -> bytes:
        prefix, view = self._prefix(request), self._ctx.view
        values = {
            "assets": f"{prefix}{view.viewer}/{site.build}/",
            "viewer": f"{prefix}{view.viewer}",
            "studies": f"{prefix}/",
            "dicom_web": f"{prefix}{view.dicom_web}",
            "entry": site.entry,
            "style": site.style,
        }
        return _PAGE.substitute({name: escape(value) for name, value in values.items()}).encode()

    def _missing(self, request: Request) -> Response:
        body = _MISSING.substitute(studies=escape(f"{self._prefix(request)}/")).encode()
        return Response(body, 503, media_type="text/html; charset=utf-8")

    async def file(self, request: Request) -> Response:
        """A file of the site. What is not of this build is not there: an old page is to be loaded again."""
        site = self._folder.site()
        name = request.path_params["name"]
        found = site.files.get(name) if site is not None and request.path_params["build"] == site.build else None
        if found is None:
            return await self.page(_as_page(request))
        coding = choose_encoding(request.headers.get("accept-encoding", "")) if found.coded else "identity"
        tag = f'"{request.path_params["build"]}-{coding}"'
        headers = {"Cache-Control": _KEEP, "ETag": tag, "Content-Security-Policy": FILE_POLICY}
        if found.worker:
            headers["Content-Security-Policy"] = WORKER_POLICY
        if found.coded:
            headers["Vary"] = "Accept-Encoding"
        if tag in request.headers.get("if-none-match", ""):
            return Response(None, 304, headers)
        if coding != "identity":
            headers["Content-Encoding"] = coding
        try:
            body = await self._ctx.call(found.read, coding)
        except OSError:
            raise Problem(404, "the viewer was changed", "Load the page again.") from None
        return Response(body, 200, headers, found.media_type)

    async def study(self, request: Request) -> Response:
        """Open a study, a series of it or an instance, next to an earlier study of the same patient (`prior`)."""
        parts = {name: _uid(request.path_params[name], name) for name in request.path_params}
        query = request.query_params
        priors = [_uid(value, "prior") for value in query.getlist("prior")]
        mode = query.get("mode")
        if mode is not None and mode not in MODES:
            raise Problem(400, f"mode is one of {', '.join(MODES)}")
        wanted = [parts["study"], *priors]
        if len(wanted) > MOST_STUDIES:
            raise Problem(400, f"more than {MOST_STUDIES} studies in one address")
        studies = await self._ctx.call(self._find, {STUDY_INSTANCE_UID: tuple(wanted)}, len(wanted))
        by_uid = {study.uid: study for study in studies}
        for uid in wanted:
            if uid not in by_uid:
                raise Problem(404, "there is no such study", "It may not have arrived yet, or it was removed.")
        return await self._open(
            request, [by_uid[uid] for uid in wanted], mode, parts.get("series"), parts.get("instance")
        )

    async def invoke(self, request: Request) -> Response:
        """IHE Invoke Image Display (RAD-106): by study, accession number or patient."""
        query = request.query_params
        kind = query.get("requestType")
        keys: Values = {STUDY_INSTANCE_UID: ()}
        most = MOST_STUDIES
        if kind == "STUDY" and query.get("studyUID"):
            keys[STUDY_INSTANCE_UID] = tuple(_uid(uid, "studyUID") for uid in query["studyUID"].split(","))
        elif kind == "STUDY" and query.get("accessionNumber"):
            keys[ACCESSION] = (_literal(query["accessionNumber"]),)
        elif kind == "PATIENT" and query.get("patientID"):
            identifier, _, issuer = query["patientID"].partition("^^^")
            keys[PATIENT_ID] = (_literal(identifier),)
            if issuer:
                keys[ISSUER] = (_literal(issuer),)
            if query.get("modalitiesInStudy"):
                keys[MODALITIES] = tuple(_literal(value) for value in query["modalitiesInStudy"].split(","))
            newest = query.get("mostRecentResults", "")
            most = max(1, min(MOST_STUDIES, int(newest))) if _NUMBER.fullmatch(newest) else MOST_STUDIES
        else:
            raise Problem(400, "requestType is STUDY (with studyUID or accessionNumber) or PATIENT (with patientID)")
        studies = await self._ctx.call(self._find, keys, 1000)
        if not studies:
            raise Problem(404, "there is no such study")
        studies.sort(key=lambda study: study.date, reverse=True)
        return await self._open(request, studies[:most])

    def _find(self, keys: Values, most: int) -> list[StudyFacts]:
        """Studies by their keys. Blocks."""
        asked: Values = {PATIENT_ID: (), ISSUER: (), STUDY_DATE: (), **keys}
        query = parse(asked, Root.STUDY, Level.STUDY, Options(relational=True), limit=most)
        found = []
        for page in self._ctx.search.find(query):
            found += [_facts(values) for values in page]
        return found

    def _series(self, study: str) -> list[tuple[str, int]]:
        """Modality and number of instances of the series of a study. Blocks."""
        asked: Values = {STUDY_INSTANCE_UID: (study,), MODALITY: (), SERIES_INSTANCES: ()}
        query = parse(asked, Root.STUDY, Level.SERIES, Options(relational=True), limit=1000)
        return [
            (_first(values, MODALITY), int(_first(values, SERIES_INSTANCES) or 0))
            for page in self._ctx.search.find(query)
            for values in page
        ]

    async def _open(
        self,
        request: Request,
        studies: Sequence[StudyFacts],
        mode: str | None = None,
        series: str | None = None,
        instance: str | None = None,
    ) -> Response:
        if len({study.patient for study in studies}) > 1:
            raise Problem(409, "these studies are of different patients", "Open them in windows of their own.")
        way = arrangement(await self._ctx.call(self._series, studies[0].uid))
        if mode is not None and mode != way.mode:
            way = Arrangement(mode)
        if len(studies) > 1 and way.mode == "viewer":
            mammograms = way.protocol == MAMMOGRAMS
            way = Arrangement(way.mode, MAMMOGRAMS, "prior") if mammograms else Arrangement(way.mode, COMPARE)
        told = {
            "StudyInstanceUIDs": ",".join(study.uid for study in studies),
            "initialSeriesInstanceUID": series,
            "initialSOPInstanceUID": instance,
            "hangingProtocolId": way.protocol,
            "stageId": way.stage,
        }
        query = [(name, value) for name, value in told.items() if value]
        return _redirect(_with_query(f"{self._prefix(request)}{self._ctx.view.viewer}/{way.mode}", query))


def _as_page(request: Request) -> Request:
    """A request for `{build}/{name}` as one for `{mode}`."""
    path = f"{request.path_params['build']}/{request.path_params['name']}"
    return Request({**request.scope, "path_params": {"mode": path}})


def _first(values: Values, tag: int) -> str:
    value = values.get(tag, ())
    return str(value[0]) if value else ""


def _facts(values: Values) -> StudyFacts:
    uid = _first(values, STUDY_INSTANCE_UID)
    identifier = _first(values, PATIENT_ID)
    # Two patients without an identifier are not the same one.
    patient = (identifier, _first(values, ISSUER)) if identifier else (uid, "")
    return StudyFacts(uid, patient, _first(values, STUDY_DATE))


def _uid(text: str, name: str) -> str:
    if not is_tolerable_uid(text):
        raise Problem(400, f"{name} is no UID")
    return text


def _literal(text: str) -> str:
    """A value that matches itself alone: what would be a wildcard is no identifier."""
    if not _TEXT.fullmatch(text) or set(text) & set("*?\\"):
        raise Problem(400, "an identifier has no control characters, wildcards or backslashes")
    return text


def _with_query(path: str, query: Iterable[tuple[str, str]]) -> str:
    text = urlencode(list(query), safe=",@/")
    return f"{path}?{text}" if text else path


def _redirect(path: str) -> Response:
    """To a path of this origin: one slash at its beginning, so that it can never name a host."""
    return Response(None, 302, {"Location": "/" + quote(path.lstrip("/"), safe="/?=&,@%+.:;~_-")})
