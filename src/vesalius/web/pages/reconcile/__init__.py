"""The list "to reconcile": studies that fit no order, or the wrong one, and what a person does about them.

Theory. A case is decided by one form: the images belong to this order, or to this patient, or are right as they are;
whatever was decided can be taken back from the list of what is closed. The verbs are those of `ris/reconcile.py`; what
was received is never touched. After a decision the list comes back and says what was done, with the way back beside it.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from vesalius.model.errors import BadRecord, NoSuchRecord
from vesalius.model.orders import By, Item
from vesalius.ports.ris import Ris, RisView, RisWork
from vesalius.ris import reconcile as verbs
from vesalius.ris.rules import RisRules
from vesalius.web.context import WebContext
from vesalius.web.pages import flow, ris_words
from vesalius.web.pages.reconcile.cases import STATES, Candidate, Case, case, cases, proposed, searched
from vesalius.web.pages.schedule.api import ref_of
from vesalius.web.pages.schedule.steps import form_of
from vesalius.web.pages.shell import Shell

PAGE = 50
LONGEST_REASON = 200
Act = Callable[[RisWork, By, int, dict[str, str], RisRules], Item]


def _order(work: RisWork, by: By, item: int, form: dict[str, str], rules: RisRules) -> Item:
    return verbs.repair(work, by, item, _number(form, "order"), rules, procedure=_number(form, "procedure", "0"))


def _patient(work: RisWork, by: By, item: int, form: dict[str, str], rules: RisRules) -> Item:
    return verbs.repair_patient(work, by, item, _number(form, "patient"), rules)


def _accept(work: RisWork, by: By, item: int, _form: dict[str, str], _rules: RisRules) -> Item:
    return verbs.accept(work, by, item)


def _undo(work: RisWork, by: By, item: int, _form: dict[str, str], rules: RisRules) -> Item:
    return verbs.undo(work, by, item, rules)


_ACTS: dict[str, Act] = {"order": _order, "patient": _patient, "accept": _accept, "undo": _undo}


def _number(form: dict[str, str], name: str, otherwise: str = "") -> int:
    text = form.get(name, otherwise)
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise BadRecord(f"the form names no {name}")
    return int(text)


def routes(ctx: WebContext, shell: Shell) -> list[BaseRoute]:
    """`/reconcile` and below; nothing where there is no workflow."""
    return [] if ctx.ris is None else _routes(ctx, shell, ctx.ris)


def _routes(ctx: WebContext, shell: Shell, ris: Ris) -> list[BaseRoute]:
    rules = ctx.ris_rules

    async def _list(request: Request, template: str) -> Response:
        query = request.query_params
        state = query.get("state", "")
        state = state if state in (*STATES, "all") else "open"
        before, just = _row(query.get("before", "")), _row(query.get("done", ""))

        def look(view: RisView) -> tuple[list[Case], Case | None, int]:
            done = None
            if just:
                try:
                    done = case(view, just)
                except NoSuchRecord:
                    done = None
            return cases(view, "" if state == "all" else state, PAGE + 1, before), done, view.last_event()

        found, done, last = await ctx.call(ris.look, look)
        tabs = await ctx.call(flow.tabs, ctx) if template == "reconcile.html" else ()
        return shell.render(
            request, template, room="flow", tabs=tabs, tab="reconcile", cases=found[:PAGE], more=len(found) > PAGE,
            state=state, states=(*STATES, "all"), done=done, last=last, before=before,
        )  # fmt: skip

    async def page(request: Request) -> Response:
        return await _list(request, "reconcile.html")

    async def part(request: Request) -> Response:
        return await _list(request, "reconcile-list.html")

    async def one(request: Request) -> Response:
        ref, text = ref_of(request, "item"), request.query_params.get("q", "")[:64]

        def look(view: RisView) -> tuple[Case, list[Candidate], list[Candidate], int]:
            found = case(view, ref)
            others = verbs.items(view, limit=PAGE)
            following = next((each.ref for each in others if each.ref < ref), 0)
            return found, proposed(view, found, rules), searched(view, found, text, rules), following

        found, machine, hand, following = await ctx.call(ris.look, look)
        tabs = await ctx.call(flow.tabs, ctx)
        return shell.render(
            request, "reconcile-case.html", room="flow", tabs=tabs, tab="reconcile", case=found, proposals=machine,
            hand=hand, sought=text, following=following,
        )  # fmt: skip

    async def act(request: Request) -> Response:
        ref, form = ref_of(request, "item"), await form_of(ctx, request)
        verb = _ACTS.get(form.get("act", ""))
        if verb is None:
            raise BadRecord("the form does not say what is to be done")
        by = ris_words.by(ctx, form.get("reason", "")[:LONGEST_REASON])
        await ctx.call(ris.change, lambda work: verb(work, by, ref, form, rules))
        back = f"/reconcile/{ref}" if form["act"] == "undo" else f"/reconcile?done={ref}"
        return RedirectResponse(shell.prefix(request) + back, 303)

    return [
        Route("/reconcile", shell.page(page), methods=["GET"], name="reconcile"),
        Route("/parts/reconcile", shell.page(part), methods=["GET"]),
        Route("/reconcile/{item}", shell.page(one), methods=["GET"]),
        Route("/reconcile/{item}", shell.page(act), methods=["POST"]),
    ]


def _row(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0
