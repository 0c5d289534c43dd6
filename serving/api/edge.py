"""What every answer passes through: the headers of a strict page, other origins, and the refusal of too much at once.

Plain ASGI, because it is in the way of every request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.api import problems

_API = "/v1/"
_SHOWN = "ETag, Retry-After, RateLimit, RateLimit-Policy, Content-Disposition, Tailrace-Version, Tailrace-As-Of"
_SENT = "Authorization, If-None-Match"


class Edge:
    """``saturated`` tells that nobody else can be served now; ``origins`` may embed the dashboard and ask the API."""

    def __init__(self, app: ASGIApp, *, saturated: Callable[[], bool], origins: Iterable[str], most: int) -> None:
        self._app = app
        self._saturated = saturated
        self._origins = frozenset(origins)
        self._most = most
        self._within = 0
        ancestors = " ".join(sorted(self._origins)) or "'none'"
        self._headers = {
            "Content-Security-Policy": (
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
                f"base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
            ),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        }
        self._raw = [(name.lower().encode(), value.encode()) for name, value in self._headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        origin = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"), None)
        path: str = scope["path"]
        asks_api = path.startswith(_API)

        async def finished(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._finish(message, origin=origin, asks_api=asks_api)
            await send(message)

        if scope["method"] == "OPTIONS" and origin in self._origins:
            await _preflight()(scope, receive, finished)
        elif asks_api and (self._within >= self._most or self._saturated()):
            await problems.of(problems.BusyError())(scope, receive, finished)
        else:
            # The server leaves the body of an answer to HEAD away.
            asked = dict(scope, method="GET") if scope["method"] == "HEAD" else scope
            self._within += 1
            try:
                await self._app(asked, receive, finished)
            finally:
                self._within -= 1

    def _finish(self, message: Message, *, origin: str | None, asks_api: bool) -> None:
        raw = message.setdefault("headers", [])
        raw.extend(self._raw)
        headers = MutableHeaders(raw=raw)
        if "cache-control" not in headers:
            headers["Cache-Control"] = "no-store" if asks_api else "no-cache"
        if self._origins:
            headers.add_vary_header("Origin")
            if origin in self._origins and origin is not None:
                headers["Access-Control-Allow-Origin"] = origin
                headers["Access-Control-Expose-Headers"] = _SHOWN


def _preflight() -> Response:
    return Response(
        status_code=204,
        headers={
            "Access-Control-Allow-Methods": "GET, HEAD",
            "Access-Control-Allow-Headers": _SENT,
            "Access-Control-Max-Age": "600",
        },
    )
