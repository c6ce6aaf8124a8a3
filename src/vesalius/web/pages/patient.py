"""A study among the others of its patient: who it is, a time line of priors, and each study's series.

The address names a study, not a patient: no identity stands in addresses, logs of proxies or the browser's history.
A Patient ID means the same patient only under the same issuer; a study without one stands alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from vesalius.model.datetimes import normalize_date
from vesalius.model.entities import Level, Values
from vesalius.model.query import Options, Root
from vesalius.model.query_parser import parse
from vesalius.web.context import WebContext
from vesalius.web.pages.listing import PATIENT_ID, RETURNS, Row, row_of
from vesalius.web.pages.shell import Shell
from vesalius.web.pages.studies import series_of, study_of

MOST = 500  # studies of one patient
WIDTH, LANE, MARGIN, LABELS = 1000, 26, 24, 64  # of the time line
_SPECIAL = frozenset("*?\\")


@dataclass(frozen=True, slots=True)
class Mark:
    """A study on the time line."""

    x: float
    y: float
    study: Row
    modality: str


@dataclass(frozen=True, slots=True)
class TimeLine:
    """Where everything lies, in the units of the drawing."""

    marks: tuple[Mark, ...]
    lanes: tuple[tuple[str, float], ...]  # modality, y
    ticks: tuple[tuple[str, float], ...]  # year, x
    height: float


def priors(ctx: WebContext, study: Row) -> list[Row]:
    """The studies of the same patient, this one included, the newest first. Blocks."""
    if not study.id or _SPECIAL & set(study.id):
        return [study]
    asked: Values = {**dict.fromkeys(RETURNS, ()), PATIENT_ID: (study.id,)}
    query = parse(asked, Root.STUDY, Level.STUDY, Options(relational=True), limit=MOST)
    query = dataclasses.replace(query, newest_first=True)
    found = {study.uid: study}
    for page in ctx.search.find(query):
        for values in page:
            row = row_of(values)
            if row.issuer == study.issuer:
                found[row.uid] = row
    return sorted(found.values(), key=lambda row: (row.date, row.time), reverse=True)


def time_line(studies: Sequence[Row]) -> TimeLine | None:
    """Studies by date, a lane for each modality; None where there is nothing to compare."""
    dated: list[tuple[int, Row]] = []
    for row in studies:
        norm = normalize_date(row.date)
        if norm is not None:
            dated.append((date(int(norm[:4]), int(norm[4:6]), int(norm[6:])).toordinal(), row))
    if len(dated) < 2:
        return None
    begin, end = min(day for day, _ in dated), max(day for day, _ in dated)
    span = max(1, end - begin)
    left = MARGIN + LABELS

    def x(day: int) -> float:
        return round(left + (day - begin) / span * (WIDTH - left - MARGIN), 1)

    names = sorted({row.modalities[0] if row.modalities else "?" for _, row in dated})
    lanes = tuple((name, float(LANE * n + LANE)) for n, name in enumerate(names))
    height_of = dict(lanes)
    marks = tuple(
        Mark(x(day), height_of[name], row, name)
        for day, row in sorted(dated, key=lambda pair: pair[0])
        for name in (row.modalities[0] if row.modalities else "?",)
    )
    first, last = date.fromordinal(begin).year, date.fromordinal(end).year
    step = max(1, (last - first) // 10 + 1)
    ticks = tuple(
        (str(year), x(date(year, 1, 1).toordinal()))
        for year in range(first + 1, last + 1, step)
        if begin <= date(year, 1, 1).toordinal() <= end
    )
    return TimeLine(marks, lanes, ticks, float(LANE * len(lanes) + LANE + 16))


def routes(ctx: WebContext, shell: Shell) -> list[BaseRoute]:
    """`/studies/{study}`."""

    async def patient(request: Request) -> Response:
        study = await ctx.call(study_of, ctx, request.path_params["study"])
        all_ = await ctx.call(priors, ctx, study)
        series = await ctx.call(series_of, ctx, study.uid)
        return shell.render(
            request, "patient.html", room="studies", study=study, studies=all_, series=series, line=time_line(all_)
        )

    return [Route("/studies/{study}", shell.page(patient), methods=["GET"], name="patient")]
