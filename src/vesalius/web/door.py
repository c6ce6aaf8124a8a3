"""What is true of every request and every answer, whatever its address.

Requests. Two ways to say how long a body is make two servers disagree where it ends (H7): 400. The HTTP server below
hides one of them, a Content-Length beside Transfer-Encoding, from us; so after any body in chunks the connection is
closed, as RFC 9112 6.1 demands for these, and nothing that follows is taken for a request. A Host that is no host name
is 400. Where the port listens on loopback alone, a Host that is not this machine is 421: a page of
a stranger whose name suddenly means 127.0.0.1 (DNS rebinding) would read patients through the browser of the one
who sits here. What changes something is not taken from a page of another origin, nor is a web socket opened for one,
which no rule of browsers forbids: 403.

Answers. Nothing may be framed, sniffed, kept by a shared cache or run that is not ours (T15); a handler that needs
another policy sets its own. A 405 names every method that the address has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vesalius.web.errors import problem_response

HEADERS = (
    (b"content-security-policy", b"default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
                                 b"frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)  # fmt: skip

# Status, what is wrong, what to do about it, headers.
Refusal: TypeAlias = "Callable[[int, str, str, Mapping[str, str]], Response]"

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_CLOSE = {"Connection": "close"}


class Door:
    """The outermost middleware."""

    def __init__(
        self,
        app: ASGIApp,
        routes: Sequence[BaseRoute],
        hosts: frozenset[str] | None = None,
        public_url: str = "",
        forms: Mapping[str, Refusal] | None = None,
    ) -> None:
        """`forms`: the beginning of addresses -> how what is wrong is told there, where it is not as everywhere."""
        self._app = app
        self._routes = routes
        self._hosts = hosts
        self._public = public_url.encode().lower()
        self._forms = forms or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it at the door."""
        if scope["type"] == "websocket":
            if self._refuse(scope) is None:
                await self._app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008})  # before it is open: 403
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = dict(scope)
        chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                if message["status"] == 405:
                    allowed = ", ".join(sorted(_methods(self._routes, asked)))
                    headers = [pair for pair in headers if pair[0].lower() != b"allow"]
                    headers.append((b"allow", allowed.encode()))
                there = {name.lower() for name, _ in headers}
                if chunked and b"connection" not in there:
                    headers.append((b"connection", b"close"))
                message["headers"] = [*headers, *(pair for pair in HEADERS if pair[0] not in there)]
            await send(message)

        refused = self._refuse(scope)
        if refused is not None:
            await refused(scope, receive, with_headers)
        else:
            await self._app(scope, receive, with_headers)

    def _refuse(self, scope: Scope) -> Response | None:
        """What is not let in, and why."""
        tell = next(
            (form for start, form in self._forms.items() if scope["path"].startswith(f"{start}/")), problem_response
        )
        host = origin = site = b""
        lengths = hosts = 0
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
                hosts += 1
            elif name == b"content-length" or name == b"transfer-encoding":
                lengths += 1
            elif name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
        if lengths > 1:
            return tell(400, "the length of the body is said in more than one way", "", _CLOSE)
        match = _HOST.fullmatch(host)
        if hosts > 1 or (host and match is None):
            return tell(400, "the Host header is no host name", "", _CLOSE)
        if self._hosts is not None and match is not None and match[1].decode().lower() not in self._hosts:
            return tell(
                421,
                "this service answers under the names of its own machine alone",
                "Reach it as localhost, or say its name in web.public_url.",
                {},
            )
        # Opening a web socket is a GET, but what is heard on it is read by the page that opened it.
        guarded = scope["type"] == "websocket" or scope["method"] not in _SAFE
        if guarded and (site == b"cross-site" or self._is_foreign(origin, host)):
            return tell(403, "a page of another origin may not change anything here", "", {})
        return None

    def _is_foreign(self, origin: bytes, host: bytes) -> bool:
        """Whether an origin is that of another host or port; "null" always is."""
        if not origin:
            return False
        origin = origin.lower()
        return origin.partition(b"://")[2] != host.lower() and not (
            self._public and f"{self._public.decode()}/".startswith(f"{origin.decode('latin-1')}/")
        )


def _methods(routes: Iterable[BaseRoute], scope: Scope) -> set[str]:
    """Every method that the address of a request has, whichever route serves it."""
    found: set[str] = set()
    for route in routes:
        match, child = route.matches(scope)
        if match is Match.NONE:
            continue
        if isinstance(route, Mount):
            found |= _methods(route.routes, {**scope, **child})
        elif isinstance(route, Route) and route.methods:
            found |= route.methods
    return found
