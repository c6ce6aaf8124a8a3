"""*System*: is it well, how much is kept, who is connected or can be called, what was found and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from vesalius.archive.uploads import Upload, UploadSpool
from vesalius.model.entities import CopyInfo, Deletion, PackInfo, Peer
from vesalius.model.errors import IndexUnavailable
from vesalius.web.context import WebContext
from vesalius.web.deletions import verbs
from vesalius.web.pages import flow, sends
from vesalius.web.pages.faults import Fault, faults
from vesalius.web.pages.history import History
from vesalius.web.pages.shell import Shell
from vesalius.web.site import Facts

MOST_PACKS = 50
MOST_FINDINGS = 20
MOST_JOBS = 12


@dataclass(frozen=True, slots=True)
class Keeping:
    """What the index says of the store; empty where it does not answer."""

    packs: tuple[PackInfo, ...] = ()
    pack_count: int = 0
    pack_bytes: int = 0
    dead_bytes: int = 0
    copies: tuple[CopyInfo, ...] = ()
    damaged: int = 0
    findings: tuple[tuple[str, int, str, str], ...] = ()  # code, how often, tag, an example study
    deletions: tuple[tuple[Deletion, str], ...] = ()  # and until when it can be taken back
    peers: tuple[Peer, ...] = ()


def keeping(ctx: WebContext) -> Keeping:
    """Ask the index. Blocks."""
    try:
        packs = sorted(ctx.index.packs(), key=lambda pack: pack.name, reverse=True)
        undo = verbs(ctx)
        found: dict[str, tuple[int, str, str]] = {}
        for note in ctx.index.notes(limit=500):
            count, tag, study = found.get(note.get("code", ""), (0, note.get("tag", ""), note.get("study", "")))
            found[note.get("code", "")] = (count + 1, tag, study)
        ranked = sorted(found.items(), key=lambda pair: -pair[1][0])
        return Keeping(
            packs=tuple(packs[:MOST_PACKS]),
            pack_count=len(packs),
            pack_bytes=sum(pack.size for pack in packs),
            dead_bytes=sum(pack.dead_bytes for pack in packs),
            copies=tuple(ctx.index.copies()),
            damaged=len(ctx.index.damaged()),
            findings=tuple((code, *rest) for code, rest in ranked[:MOST_FINDINGS]),
            deletions=tuple((one, undo.ends(one)) for one in ctx.index.deletions(state="deleted", limit=20)),
            peers=tuple(peer for _, peer in sorted(ctx.peers().items())),
        )
    except IndexUnavailable:
        return Keeping()


@dataclass(frozen=True, slots=True)
class Jobs:
    """What goes on behind the pages, and what of it failed."""

    sends: tuple[sends.SendState, ...] = ()
    uploads: tuple[Upload, ...] = ()


def jobs(ctx: WebContext) -> Jobs:
    """Read the states of sendings and uploads, of all web processes. Blocks."""
    uploads = UploadSpool(ctx.view.uploads).known() if ctx.view.uploads is not None else []
    return Jobs(tuple(sends.recent(ctx, MOST_JOBS)), tuple(uploads[:MOST_JOBS]))


def recent_faults(ctx: WebContext) -> tuple[Fault, ...]:
    """What failed since the service began. Blocks."""
    return faults(ctx.site.metrics())[:MOST_FINDINGS]


def used(facts: Facts, kept: Keeping) -> float:
    """How full the volume is with packs, 0 to 100."""
    total = facts.free_bytes + kept.pack_bytes
    return round(100 * kept.pack_bytes / total, 1) if total else 0.0


def routes(ctx: WebContext, shell: Shell, history: History) -> list[BaseRoute]:
    """`/system` and what of it moves."""

    async def moving() -> dict[str, Any]:
        """What changes by itself."""
        facts = await ctx.call(ctx.site.facts)
        await history.take()
        return {"facts": facts, "rates": history.rates(), "jobs": await ctx.call(jobs, ctx),
                "faults": await ctx.call(recent_faults, ctx)}  # fmt: skip

    async def system(request: Request) -> Response:
        history.start()
        kept = await ctx.call(keeping, ctx)
        now = await moving()
        facts = await ctx.call(ctx.site.facts)
        return shell.render(request, "system.html", room="system", kept=kept, used=used(facts, kept),
                            can_call=ctx.caller is not None, **now)  # fmt: skip

    async def now(request: Request) -> Response:
        return shell.render(request, "system-now.html", room="system", **await moving())

    async def attention(request: Request) -> Response:
        facts = await ctx.call(ctx.site.facts)
        count = len(facts.problems) + len(facts.notices)
        waiting = await ctx.call(flow.waiting, ctx)
        return shell.render(
            request, "attention.html", room="", count=count, bad=bool(facts.problems), waiting=waiting
        )  # fmt: skip

    return [
        Route("/system", shell.page(system), methods=["GET"], name="system"),
        Route("/parts/system", shell.page(now), methods=["GET"]),
        Route("/parts/attention", shell.page(attention), methods=["GET"]),
    ]
