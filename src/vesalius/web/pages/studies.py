"""*Studies*: the list, as a page and as a part of one, and the series of a row that is opened."""

from __future__ import annotations

from dataclasses import dataclass, replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from vesalius.model.entities import Level, Values
from vesalius.model.identifiers import is_tolerable_uid
from vesalius.model.query import Options, Root
from vesalius.model.query_parser import parse
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.pages.listing import PAGE, RETURNS, STUDY_UID, Row, Studies, asked_from, first, row_of
from vesalius.web.pages.series_kinds import Kind, kinds_of
from vesalius.web.pages.shell import Shell

MODALITY, SERIES_NUMBER, SERIES_DESCRIPTION, SERIES_UID = 0x00080060, 0x00200011, 0x0008103E, 0x0020000E
SERIES_INSTANCES, BODY_PART, SERIES_DATE, SERIES_TIME = 0x00201209, 0x00180015, 0x00080021, 0x00080031
FRAME_OF_REFERENCE = 0x00200052
MOST_SERIES = 500
IMAGES = Kind()

# What has no picture of its own: its card shows what it is.
NO_PICTURE = frozenset(
    ("SR", "PR", "KO", "SEG", "RTSTRUCT", "RTPLAN", "RTRECORD", "RWV", "REG", "FID", "ANN", "ECG", "DOC", "AU", "HD",
     "EPS", "PLAN", "STAIN", "TEXTUREMAP", "M3D", "SMR", "KER", "RESP", "EEG", "EMG", "OSS", "ASMT", "IVUSTXT", "LEN")
)  # fmt: skip
# Whose images may be slices of a volume; whether they are is known when it is made.
VOLUMES = frozenset(("CT", "MR", "PT", "NM", "RTDOSE", "SEG", "OT"))
MODALITIES = ("CR", "CT", "DX", "ES", "MG", "MR", "NM", "OT", "PT", "PX", "RF", "RTSTRUCT", "SM", "SR", "US", "XA")


@dataclass(frozen=True, slots=True)
class SeriesCard:
    """A series as its card shows it."""

    uid: str
    modality: str
    number: str
    description: str
    body_part: str
    date: str
    time: str
    images: int
    frame_of_reference: str = ""
    kind: Kind = IMAGES  # what it is, where it is no images

    @property
    def is_volume(self) -> bool:
        """Whether it may be a volume."""
        return self.modality in VOLUMES and self.images > 0

    @property
    def pictured(self) -> bool:
        """Whether there is something to see."""
        return self.modality not in NO_PICTURE and not self.kind.read and self.images > 0


def study_of(ctx: WebContext, uid: str) -> Row:
    """One study. Blocks. Raises `Problem` (400, 404)."""
    if not is_tolerable_uid(uid):
        raise Problem(400, "the address holds no UID")
    asked: Values = {**dict.fromkeys(RETURNS, ()), STUDY_UID: (uid,)}
    query = parse(asked, Root.STUDY, Level.STUDY, Options(relational=True), limit=1)
    for page in ctx.search.find(query):
        for values in page:
            return row_of(values)
    raise Problem(404, "there is no such study", "It may not have arrived yet, or it was deleted.")


def series_of(ctx: WebContext, study: str) -> list[SeriesCard]:
    """The series of a study in order of their numbers. Blocks."""
    tags = (SERIES_UID, MODALITY, SERIES_NUMBER, SERIES_DESCRIPTION, BODY_PART, SERIES_DATE, SERIES_TIME,
            SERIES_INSTANCES, FRAME_OF_REFERENCE)  # fmt: skip
    asked: Values = {**dict.fromkeys(tags, ()), STUDY_UID: (study,)}
    query = parse(asked, Root.STUDY, Level.SERIES, Options(relational=True), limit=MOST_SERIES)
    cards = []
    for page in ctx.search.find(query):
        for values in page:
            count = first(values, SERIES_INSTANCES)
            cards.append(
                SeriesCard(
                    uid=first(values, SERIES_UID),
                    modality=first(values, MODALITY),
                    number=first(values, SERIES_NUMBER),
                    description=first(values, SERIES_DESCRIPTION),
                    body_part=first(values, BODY_PART),
                    date=first(values, SERIES_DATE),
                    time=first(values, SERIES_TIME),
                    images=int(count) if count.isdigit() else 0,
                    frame_of_reference=first(values, FRAME_OF_REFERENCE),
                )
            )
    kinds = kinds_of(ctx, study, [(card.uid, card.modality, card.images) for card in cards])
    cards = [replace(card, kind=kinds[card.uid]) for card in cards]
    cards.sort(key=lambda card: (int(card.number) if card.number.lstrip("-").isdigit() else 1 << 30, card.uid))
    return cards


def routes(ctx: WebContext, shell: Shell) -> list[BaseRoute]:
    """`/`, the list as a part, and the strip of a study."""
    studies = Studies(ctx.search, ctx.view.query)

    async def listed(request: Request, template: str) -> Response:
        asked = asked_from(request.query_params)
        found = await ctx.call(studies.find, asked)
        return shell.render(
            request, template, room="studies", asked=asked, found=found, modalities=MODALITIES, page_size=PAGE
        )

    async def home(request: Request) -> Response:
        return await listed(request, "studies.html")

    async def part(request: Request) -> Response:
        return await listed(request, "studies-part.html")

    async def strip(request: Request) -> Response:
        study = await ctx.call(study_of, ctx, request.path_params["study"])
        series = await ctx.call(series_of, ctx, study.uid)
        return shell.render(request, "strip.html", study=study, series=series)

    return [
        Route("/", shell.page(home), methods=["GET"], name="studies"),
        Route("/parts/studies", shell.page(part), methods=["GET"]),
        Route("/parts/studies/{study}", shell.page(strip), methods=["GET"]),
    ]
