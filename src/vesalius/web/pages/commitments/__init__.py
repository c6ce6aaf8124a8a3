"""The log of storage commitment, in both roles: what peers asked of this archive, and what it asked of peers.

Theory. A request is shown with what became of each instance, failures first and with their reason in words. What ended
without success can be tried once more: a result that a peer never took is told again (its own job is opened again), and
a peer is asked again by a new request for the same instances, since a Transaction UID is used once (PS3.4 J.3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from vesalius.archive.commit import REPORT, Commit
from vesalius.model.commitments import (
    COMMITTED,
    Commitment,
    CommitmentInstance,
    CommitmentState,
    Reference,
    Role,
)
from vesalius.model.errors import WrongState
from vesalius.ports.jobs import State
from vesalius.standard.sop_classes import name_of
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.pages import flow
from vesalius.web.pages.schedule.api import ref_of
from vesalius.web.pages.shell import Shell

PAGE = 50
SHOWN = 500  # instances of one request
_JOBS = 2000
_LOOK = {
    CommitmentState.RECEIVED: "going",
    CommitmentState.CHECKED: "going",
    CommitmentState.TOLD: "good",
    CommitmentState.PLANNED: "going",
    CommitmentState.ASKED: "going",
    CommitmentState.COMMITTED: "good",
    CommitmentState.FAILED: "bad",
    CommitmentState.REFUSED: "bad",
    CommitmentState.EXPIRED: "bad",
}
_ASK_AGAIN = frozenset({CommitmentState.FAILED, CommitmentState.REFUSED, CommitmentState.EXPIRED})


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be listed."""

    role: Role | None = None
    state: CommitmentState | None = None
    peer: str = ""
    before: int = 0

    def address(self, **changes: object) -> dict[str, object]:
        """The query of an address that lists this, with changes."""
        known = {"role": self.role.value if self.role else "", "state": self.state.value if self.state else "",
                 "peer": self.peer, "before": self.before or ""}  # fmt: skip
        return known | changes


@dataclass(frozen=True, slots=True)
class Line:
    """A request for the page: how its state is drawn, and what can be done with it."""

    one: Commitment
    look: str
    again: str  # "ask" | "tell" | ""

    @property
    def peer(self) -> str:
        """By name, else by AE title."""
        return self.one.peer or self.one.aet


@dataclass(frozen=True, slots=True)
class Told:
    """An instance: its class by name, and what became of it. `key` is that of the catalogue: `reason.0112`."""

    sop_class: str
    instance: str
    reason: int | None
    key: str


def line_of(one: Commitment) -> Line:
    """A request for the page."""
    look = "warn" if one.failed and _LOOK[one.state] == "good" else _LOOK[one.state]
    again = ""
    if one.role is Role.SCU and one.state in _ASK_AGAIN:
        again = "ask"
    elif one.role is Role.SCP and one.state is CommitmentState.EXPIRED:
        again = "tell"
    return Line(one, look, again)


def instances_of(found: Sequence[CommitmentInstance]) -> list[Told]:
    """The instances, those that failed first."""
    told = [
        Told(
            name_of(one.sop_class), one.sop_instance, one.reason,
            "reason.none" if one.reason is None else f"reason.{one.reason:04X}",
        )
        for one in found
    ]  # fmt: skip
    return sorted(told, key=lambda each: each.reason in (COMMITTED, None))


def again(ctx: WebContext, commit: Commit, number: int) -> int:
    """Ask or tell once more; the number of the request that goes on. Blocks. Raises `Problem`, `WrongState`."""
    one = commit.kept.get(number)
    if one is None:
        raise Problem(404, "there is no such request")
    line = line_of(one)
    if line.again == "ask":
        peer = ctx.peers().get(one.peer)
        if peer is None:
            raise WrongState("the peer is not configured any more")
        named = [Reference(each.sop_class, each.sop_instance) for each in commit.kept.instances(number)]
        return commit.plan(peer, named, one.study)
    if line.again == "tell" and ctx.jobs is not None:
        failed = ctx.jobs.list(kind=REPORT, state=State.FAILED, limit=_JOBS)
        job = next((each.id for each in failed if each.key == str(number)), 0)
        if job and ctx.jobs.replay(job):
            return number
    raise WrongState("there is nothing to be done again: it goes on by itself, or it is done")


def routes(ctx: WebContext, shell: Shell) -> list[BaseRoute]:
    """`/commitments` and below; nothing where there is none."""
    return [] if ctx.commit is None else _routes(ctx, shell, ctx.commit)


def _asked(request: Request) -> Asked:
    query = request.query_params
    role = next((one for one in Role if one.value == query.get("role")), None)
    state = next((one for one in CommitmentState if one.value == query.get("state")), None)
    before = query.get("before", "")
    return Asked(
        role, state, query.get("peer", "")[:64],
        int(before) if before.isascii() and before.isdigit() and len(before) <= 18 else 0,
    )  # fmt: skip


def _routes(ctx: WebContext, shell: Shell, commit: Commit) -> list[BaseRoute]:
    async def _list(request: Request, template: str) -> Response:
        asked = _asked(request)

        def read() -> tuple[list[Line], list[str]]:
            found = commit.kept.list(
                role=asked.role, state=asked.state, peer=asked.peer, before=asked.before, limit=PAGE + 1
            )
            return [line_of(one) for one in found], sorted(ctx.peers())

        lines, peers = await ctx.call(read)
        tabs = await ctx.call(flow.tabs, ctx) if template == "commitments.html" else ()
        return shell.render(
            request, template, room="flow", tabs=tabs, tab="commitments", asked=asked, lines=lines[:PAGE],
            more=len(lines) > PAGE, peers=peers, roles=list(Role), states=list(CommitmentState),
        )  # fmt: skip

    async def page(request: Request) -> Response:
        return await _list(request, "commitments.html")

    async def part(request: Request) -> Response:
        return await _list(request, "commitments-list.html")

    async def one(request: Request) -> Response:
        number = ref_of(request, "commitment")

        def read() -> tuple[Line, list[Told]]:
            found = commit.kept.get(number)
            if found is None:
                raise Problem(404, "there is no such request")
            return line_of(found), instances_of(commit.kept.instances(number))

        line, instances = await ctx.call(read)
        tabs = await ctx.call(flow.tabs, ctx)
        return shell.render(
            request, "commitments-one.html", room="flow", tabs=tabs, tab="commitments", line=line,
            instances=instances[:SHOWN], left=max(0, len(instances) - SHOWN),
            committed=sum(each.reason == COMMITTED for each in instances),
        )  # fmt: skip

    async def once_more(request: Request) -> Response:
        number = await ctx.call(again, ctx, commit, ref_of(request, "commitment"))
        return RedirectResponse(f"{shell.prefix(request)}/commitments/{number}", 303)

    return [
        Route("/commitments", shell.page(page), methods=["GET"], name="commitments"),
        Route("/parts/commitments", shell.page(part), methods=["GET"]),
        Route("/commitments/{commitment}", shell.page(one), methods=["GET"]),
        Route("/commitments/{commitment}/again", shell.page(once_more), methods=["POST"]),
    ]
