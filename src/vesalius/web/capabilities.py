"""Retrieve Capabilities (PS3.18 8.9): OPTIONS on the service and on each of its resources.

The default answer is WADL in XML as the standard asks for; JSON has the same content in a form that programs
read without a schema. Both are written from `transactions.py`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from xml.sax.saxutils import escape, quoteattr

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vesalius.web.answers import answer
from vesalius.web.context import WebContext
from vesalius.web.negotiation import DICOM_JSON, JSON, accepted, choose
from vesalius.web.transactions import Transaction, paths

WADL = "application/vnd.sun.wadl+xml"
NAMESPACE = "http://wadl.dev.java.net/2009/02"

_VARIABLE = re.compile(r"\{(\w+)(?::\w+)?\}")


def as_json(base: str, resources: dict[str, list[Transaction]]) -> bytes:
    """The resources as JSON."""
    return msgspec.json.encode(
        {
            "base": base,
            "resources": [
                {
                    "path": path,
                    "methods": [
                        {
                            "method": one.method,
                            "name": one.name,
                            "clause": f"PS3.18 {one.clause}",
                            "request": list(one.requests),
                            "response": list(one.responses),
                            "parameters": [
                                {"name": p.name, "text": p.text, "repeated": p.repeated} for p in one.parameters
                            ],
                            "statuses": list(one.statuses),
                        }
                        for one in found
                    ],
                }
                for path, found in resources.items()
            ],
        }
    )


def as_wadl(base: str, resources: dict[str, list[Transaction]]) -> bytes:
    """The resources as WADL (W3C submission of 2009, as PS3.18 8.9.4 names it)."""
    out = [f'<?xml version="1.0" encoding="UTF-8"?>\n<application xmlns="{NAMESPACE}">']
    out.append(f"<resources base={quoteattr(base + '/')}>")
    for path, found in resources.items():
        out.append(f"<resource path={quoteattr(path.lstrip('/'))}>")
        out += [f'<param name="{name}" style="template" required="true"/>' for name in _VARIABLE.findall(path)]
        for one in found:
            out.append(f"<method name={quoteattr(one.method)} id={quoteattr(_identifier(one))}>")
            out.append(f"<doc title={quoteattr(one.name)}>{escape('PS3.18 ' + one.clause)}</doc><request>")
            for parameter in one.parameters:
                repeating = ' repeating="true"' if parameter.repeated else ""
                out.append(
                    f'<param name={quoteattr(parameter.name)} style="query"{repeating}>'
                    f"<doc>{escape(parameter.text)}</doc></param>"
                )
            out += [f"<representation mediaType={quoteattr(media)}/>" for media in one.requests]
            out.append("</request>")
            good = [status for status in one.statuses if status < 400]
            out.append(f'<response status="{" ".join(map(str, good))}">')
            out += [f"<representation mediaType={quoteattr(media)}/>" for media in one.responses]
            bad = [status for status in one.statuses if status >= 400]
            out.append(f'</response><response status="{" ".join(map(str, bad))}">')
            out.append(f"<representation mediaType={quoteattr(JSON)}/></response></method>")
        out.append("</resource>")
    out.append("</resources></application>")
    return "".join(out).encode()


def _identifier(one: Transaction) -> str:
    return f"{one.method.lower()}{re.sub(r'[^A-Za-z0-9]+', '-', one.path)}"


def _respond(ctx: WebContext, request: Request, resources: dict[str, list[Transaction]]) -> Response:
    form = choose(accepted(request), (WADL, "application/xml", "text/xml", JSON, DICOM_JSON))
    base = ctx.dicom_web_url(request)
    is_json = form in (JSON, DICOM_JSON)
    body = as_json(base, resources) if is_json else as_wadl(base, resources)
    methods = {one.method for found in resources.values() for one in found} if len(resources) == 1 else {"GET"}
    allow = sorted({*methods, "OPTIONS", *(("HEAD",) if "GET" in methods else ())})
    return answer(request, body, JSON if is_json else form, headers={"Allow": ", ".join(allow)})


def routes(ctx: WebContext) -> list[Route]:
    """OPTIONS of the root and of every resource; GET of the root says the same to a person who looks."""

    def tell(resources: dict[str, list[Transaction]]) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            return _respond(ctx, request, resources)

        return handle

    everything = paths()
    whole = tell(everything)
    made = [Route("/", whole, methods=["OPTIONS", "GET"])]
    made += [Route(_route(path), tell({path: found}), methods=["OPTIONS"]) for path, found in everything.items()]
    return made


def _route(path: str) -> str:
    """The path of the table as the router takes it: what is named `path` may hold slashes."""
    return path.replace("{path}", "{path:path}")


def route_paths(transactions: Sequence[Transaction]) -> set[tuple[str, str]]:
    """(method, path) of transactions, in the router's form."""
    return {(one.method, _route(one.path)) for one in transactions}
