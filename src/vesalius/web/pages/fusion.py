"""*Fusion*: two series in one space, side by side and blended, with one cross-hair through both.

Theory. The page chooses among series of one patient alone: those of the study and of its priors, so that two people are
never on one picture. It says what may be laid over what by Frame of Reference UIDs, which the index knows; whether two
series really share space, and how, is the archive's own answer (`/api/volumes/values`), and so are all pictures and
figures. The address holds what is seen: series, point, window, colours; a colleague who opens it sees the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.fusion import COLOUR_MAPS
from vesalius.web.pages.listing import Row
from vesalius.web.pages.patient import priors
from vesalius.web.pages.shell import Shell
from vesalius.web.pages.studies import SeriesCard, series_of, study_of

MOST_PRIORS = 12  # studies whose series are offered
STOPS = 33  # colours of a map that the page draws its bars with
PRESETS = (
    ("soft", 40, 400), ("lung", -600, 1500), ("bone", 400, 1800), ("brain", 40, 80), ("liver", 70, 150),
    ("mediastinum", 50, 350),
)  # fmt: skip
UPTAKES = (5, 7, 10, 15, 25)  # upper ends of SUV
SLABS = (5, 10, 20, 50, 100)  # mm


@dataclass(frozen=True, slots=True)
class Choice:
    """A study and those of its series that may be volumes."""

    study: Row
    series: tuple[SeriesCard, ...]


def choices(ctx: WebContext, study: Row) -> list[Choice]:
    """The series to choose from: of this study, then of its priors, the newest first. Blocks."""
    others = [each for each in priors(ctx, study) if each.uid != study.uid][:MOST_PRIORS]
    found = [
        Choice(each, tuple(card for card in series_of(ctx, each.uid) if card.is_volume)) for each in (study, *others)
    ]
    return [each for each in found if each.series]


def pair_of(offered: Sequence[SeriesCard], fixed: str, moving: str) -> tuple[str, str]:
    """Which two to begin with where the address names none or one: a PET on the CT of its space, or what is nearest."""
    pairs = [
        (below, above)
        for below in offered
        for above in offered
        if below.uid != above.uid and fixed in ("", below.uid) and moving in ("", above.uid)
    ]
    best = max(
        pairs,
        key=lambda pair: (_fit(*pair), pair[0].modality in ("CT", "MR"), pair[0].images, pair[1].images),
        default=None,
    )
    return (fixed, moving) if best is None else (best[0].uid, best[1].uid)


def _fit(below: SeriesCard, above: SeriesCard) -> int:
    """How well one lies under the other, from what the index knows."""
    one_space = bool(below.frame_of_reference) and below.frame_of_reference == above.frame_of_reference
    colour, grey = above.modality in ("PT", "NM"), below.modality in ("CT", "MR")
    return 4 * one_space + 2 * (colour and grey) + (below.modality != above.modality)


def gradient(name: str) -> str:
    """The colours of a map as a script takes them: `rrggbb` after `rrggbb`, from the lowest value on."""
    from vesalius.imaging.fusion import colour_map

    table = colour_map(name)
    return "".join(bytes(table[round(at * 255 / (STOPS - 1))]).hex() for at in range(STOPS))


def routes(ctx: WebContext, shell: Shell) -> list[BaseRoute]:
    """`/studies/{study}/fusion`."""

    async def fusion(request: Request) -> Response:
        study = await ctx.call(study_of, ctx, request.path_params["study"])
        offered = await ctx.call(choices, ctx, study)
        cards = [card for each in offered for card in each.series]
        asked = [request.query_params.get(name, "") for name in ("fixed", "moving")]
        if not {*asked, ""} <= {"", *(card.uid for card in cards)}:
            raise Problem(404, "that series is not one of this patient's volumes", "Choose among those of the page.")
        # Without a wish, two of the study itself before any of a prior.
        own = [card for each in offered for card in each.series if each.study.uid == study.uid]
        fixed, moving = pair_of(cards if any(asked) or len(own) < 2 else own, *asked)
        maps = await ctx.call(lambda: [(name, gradient(name)) for name in COLOUR_MAPS])
        return shell.render(
            request, "fusion.html", room="studies", study=study, offered=offered, fixed=fixed, moving=moving,
            maps=maps, presets=PRESETS, uptakes=UPTAKES, slabs=SLABS, enough=len(cards) > 1,
        )  # fmt: skip

    return [Route("/studies/{study}/fusion", shell.page(fusion), methods=["GET"], name="fusion")]
