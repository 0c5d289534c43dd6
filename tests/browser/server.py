"""The real application under uvicorn, with a door in front of it that can be shut, and a page of somebody else's."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import uvicorn

from demo.postgres import free_port
from serving.api import create_app
from serving.tokens import ensure_demo_keys
from settings import Settings


class Door:
    """ASGI: lets requests through to the application, and holds those whose path is in ``held`` until it is not."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self.held: set[str] = set()
        self.asked: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            self.asked.append(scope["path"])
            while scope["path"] in self.held:
                await asyncio.sleep(0.02)
        await self._application(scope, receive, send)


class Served:
    """The application on a port that stays its own, so that it can go away and come back."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.port = free_port()
        self.door: Door
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        ensure_demo_keys(self._settings)
        self.door = Door(create_app(self._settings))
        config = uvicorn.Config(
            self.door,
            host="127.0.0.1",
            port=self.port,
            log_level="critical",
            lifespan="on",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self.door.held.clear()
            self._server.should_exit = True
            self._thread.join()
            self._server = None


@contextmanager
def serve(settings: Settings) -> Iterator[Served]:
    served = Served(settings)
    served.start()
    try:
        yield served
    finally:
        served.stop()


@contextmanager
def host_page(pages: dict[str, str], *, port: int, policy: str) -> Iterator[str]:
    """Somebody else's site on ``port``: each path's HTML under its own strict policy. Yields the site's origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path)
            kind = "text/javascript" if self.path.endswith(".js") else "text/html"
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            self.wfile.write((body or "").encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
