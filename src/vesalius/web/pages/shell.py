"""What every page has: the frame around it, its policy, its style and scripts, and how an error looks.

Theory. A page is made here, whole, and works without a script; the scripts then replace parts of it (`/parts/...`,
the same templates) and follow what arrives. Nothing is inline, so the policy allows scripts and styles of this origin
alone: a name that holds markup is text, and were it not, it would still do nothing (T15). Jinja escapes everything.

Own files lie under an address with their digest and are kept by the browser for good.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from vesalius.model.errors import VesaliusError
from vesalius.web.answers import answer
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem, status_of
from vesalius.web.pages import words
from vesalius.web.pages.messages import COOKIE, LANGUAGES, Messages, language_of
from vesalius.web.pages.rooms import ROOMS

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_KEEP = "public, max-age=31536000, immutable"
_STATIC = files("vesalius.web.pages") / "static"
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_OWN: dict[str, bytes] = {
    each.name: each.read_bytes() for each in _STATIC.iterdir() if each.name.rpartition(".")[2] in _TYPES
}
HTMX = "htmx.min.js"
_PATH = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]{0,1000}")
# What kind of page an error is: `state.KIND` and `state.KIND.hint` in the catalogues say what to do next.
_KINDS = {400: "wrong", 401: "forbidden", 403: "forbidden", 404: "missing", 409: "wrong", 503: "busy"}


def _link(path: str, **query: object) -> str:
    """An address with a query of what is not empty."""
    text = urlencode({name: str(value) for name, value in query.items() if value not in ("", None)})
    return f"{path}?{text}" if text else path


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("vesalius.web.pages", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["bytes"] = _in_language(words.human_bytes)
    made.filters["time"] = words.human_time
    made.filters["person"] = words.person
    made.filters["path"] = lambda text: quote(str(text), safe="")
    made.globals["age"] = _in_language(words.age)
    made.globals["duration"] = _in_language(words.human_duration)
    made.globals["date"] = _in_language(words.human_date)
    made.globals["moment"] = _in_language(words.human_moment)
    made.globals["link"] = _link
    made.globals["languages"] = LANGUAGES
    return made


def _in_language(function: Callable[..., str]) -> Callable[..., str]:
    """The same function in the language of the page."""

    @pass_context
    def said(context: Context, *values: Any) -> str:
        return function(*values, context["t"])

    return said


_ENVIRONMENT = _environment()


class Shell:
    """Renders pages of one service."""

    def __init__(self, ctx: WebContext) -> None:
        self.ctx = ctx
        self._files = dict(_OWN)
        htmx = _htmx(ctx.view.assets)
        if htmx is not None:
            self._files[HTMX] = htmx
        digest = hashlib.blake2b(digest_size=8)
        for name in sorted(self._files):
            digest.update(name.encode() + b"\0" + self._files[name])
        self.build = digest.hexdigest()

    def prefix(self, request: Request) -> str:
        """The path that everything of this service lies below as the browser sees it: "" or "/dicom"."""
        return urlsplit(self.ctx.base_url(request)).path.rstrip("/")

    def messages(self, request: Request) -> Messages:
        """The texts in the language of the reader."""
        return Messages(language_of(request.headers.get("accept-language", ""), request.cookies.get(COOKIE, "")))

    def render(self, request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
        """A page or a part of one. `room`: the name of the room that it stands in."""
        root = self.prefix(request)
        body = _ENVIRONMENT.get_template(template).render(
            t=self.messages(request),
            root=root,
            here=_here(request),
            dicom_web=root + self.ctx.view.dicom_web,
            api=root + self.ctx.view.api,
            assets=f"{root}/assets/{self.build}",
            htmx=HTMX in self._files,
            version=self.ctx.view.version,
            ae_title=self.ctx.view.ae_title,
            rooms=[each for each in ROOMS if each.shown(self.ctx)],
            **values,
        )
        headers = {
            "Content-Security-Policy": POLICY,
            "Vary": "Accept-Encoding, Accept-Language, Cookie",
            # A page names patients: no copy of it may stay on a disk that others use.
            "Cache-Control": "no-store",
            # A form that is sent under "no-referrer" says Origin: null, which the door takes for another origin's.
            "Referrer-Policy": "same-origin",
        }
        return answer(request, body.encode(), "text/html; charset=utf-8", status=status, headers=headers)

    async def language(self, request: Request) -> Response:
        """Choose a language, and back to the page of ours where that was done."""
        chosen, back = request.query_params.get("to", ""), request.query_params.get("back", "/")
        # One slash, no backslash: a path of this origin and never the name of a host.
        safe = back if _PATH.fullmatch(back) else "/"
        made = RedirectResponse(self.prefix(request) + safe, 303)
        if chosen in LANGUAGES:
            made.set_cookie(COOKIE, chosen, max_age=365 * 86400, path=self.prefix(request) or "/", samesite="lax",
                            httponly=True, secure=self.ctx.base_url(request).startswith("https:"))  # fmt: skip
        return made

    async def asset(self, request: Request) -> Response:
        """A file of our own. One of another build is not there: an old page is to be loaded again."""
        name = request.path_params["name"]
        body = self._files.get(name) if request.path_params["build"] == self.build else None
        if body is None:
            raise Problem(404, "there is no such file")
        kind = _TYPES[name.rpartition(".")[2]]
        return answer(request, body, kind, headers={"Cache-Control": _KEEP})

    def page(self, handler: Callable[[Request], Any]) -> Callable[[Request], Any]:
        """A handler whose errors are told as a page, in words, with what to do next."""

        async def guarded(request: Request) -> Response:
            try:
                return await handler(request)  # type: ignore[no-any-return]
            except Problem as error:
                status, detail, hint = error.status, error.detail, error.hint
            except VesaliusError as error:
                status, detail, hint = status_of(error), error.message, error.hint
            part = "/parts/" in request.url.path
            name = "error-part.html" if part else "error.html"
            kind = _KINDS.get(status, "fault")
            return self.render(request, name, status=status, room="", kind=kind, detail=detail, hint=hint)

        return guarded


def _here(request: Request) -> str:
    """The address of a page below the service's own prefix, with its query."""
    prefix = str(request.scope.get("app_root_path", request.scope.get("root_path", "")))
    path, query = request.url.path.removeprefix(prefix), request.url.query
    return f"{path}?{query}" if query else path


def _htmx(assets: Path | None) -> bytes | None:
    if assets is None:
        return None
    try:
        return (assets / "htmx" / HTMX).read_bytes()
    except OSError:
        return None


def asset_routes(shell: Shell) -> list[BaseRoute]:
    """Style and scripts, and the choice of a language."""
    return [
        Route("/assets/{build}/{name}", shell.asset, methods=["GET"]),
        Route("/language", shell.language, methods=["GET"], name="language"),
    ]
