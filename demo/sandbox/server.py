"""HTTP around an API that answers one request at a time: requests in, JSON out, nothing of either in a log."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self
from urllib.parse import parse_qsl

import uvicorn

from demo.sandbox import faults
from demo.sandbox.exchange import Answer, Kind, Request
from settings import TailraceError

HOST = "127.0.0.1"


class Api(Protocol):
    """Answers requests one after the other; every answer is durable before it is given."""

    def answer(self, request: Request) -> Answer: ...

    def close(self) -> None: ...


class Running:
    """A sandbox in a thread of this process. ``url`` is where it answers; ``stop()`` ends it and closes its state."""

    def __init__(self, kind: Kind, api: Api, listener: socket.socket) -> None:
        self.url = f"http://{HOST}:{listener.getsockname()[1]}"
        self._api = api
        self._server = _server(kind, api)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="sandbox", daemon=True)
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._api.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def open_api(
    kind: Kind,
    state: Path,
    *,
    event_retention_days: int | None = None,
    after_retries: Literal["cancel", "unpaid"] = "cancel",
) -> Api:
    """The API of ``kind`` over the state file; the options are Stripe's alone. Raises TailraceError on a bad file."""
    from demo.sandbox.hubspot_api import HubSpotApi
    from demo.sandbox.salesforce_api import SalesforceApi
    from demo.sandbox.stripe_api import StripeApi

    if kind == "hubspot":
        return HubSpotApi(state)
    if kind == "salesforce":
        return SalesforceApi(state)
    return StripeApi(state, event_retention_days=event_retention_days, after_retries=after_retries)


def serve(
    kind: Kind,
    port: int = 0,
    state: Path | str = ":memory:",
    *,
    event_retention_days: int | None = None,
    after_retries: Literal["cancel", "unpaid"] = "cancel",
) -> Running:
    """Run a sandbox in a thread, on 127.0.0.1 and ``port`` (0: any free one).

    ``event_retention_days`` hides older events, as Stripe does after 30; ``after_retries`` is what becomes of a
    subscription whose payment failed for the last time. Raises TailraceError when the port is taken or the state file
    is not one.
    """
    listener = listen(port)
    try:
        api = open_api(kind, Path(state), event_retention_days=event_retention_days, after_retries=after_retries)
    except TailraceError:
        listener.close()
        raise
    return Running(kind, api, listener)


def run(kind: Kind, api: Api, listener: socket.socket) -> None:
    """Serve in the foreground until SIGINT or SIGTERM."""
    try:
        _server(kind, api).run([listener])
    finally:
        api.close()


def listen(port: int) -> socket.socket:
    """A listening socket, so that a taken port is known before anything else is done."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        taken = getattr(error, "errno", None) == errno.EADDRINUSE
        reason = "taken by another program" if taken else "not available"
        raise TailraceError(f"port {port} is {reason}; stop that program or choose another --port") from None
    return listener


def _server(kind: Kind, api: Api) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            _application(api, faults.Faults(kind)),
            interface="asgi3",
            lifespan="off",
            log_level="critical",  # an answer that is cut short on order is no error of the server's
            access_log=False,
            timeout_graceful_shutdown=2,
        )
    )


_Receive = Callable[[], Awaitable[dict[str, Any]]]
_Send = Callable[[dict[str, Any]], Awaitable[None]]


def _application(api: Api, ordered: faults.Faults) -> Callable[[dict[str, Any], _Receive, _Send], Awaitable[None]]:
    async def application(scope: dict[str, Any], receive: _Receive, send: _Send) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        request = Request(
            method=scope["method"],
            path=scope["path"],
            query=parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True),
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            body=body,
        )
        if request.path == faults.PATH:
            answer = ordered.control(request)
        else:
            fault = ordered.of(request)
            if fault is not None and fault.kind == "timeout":
                await asyncio.sleep(fault.seconds)
            if fault is not None and fault.kind == "cut":
                send.__self__.transport.abort()  # type: ignore[attr-defined]  # uvicorn has no other way to do it
                return
            request, told = ordered.before(fault, request)
            answer = ordered.after(fault, request, told or _answer(api, request))
        content = answer.body.encode()
        headers = {"content-type": "application/json", "content-length": str(len(content))} | answer.headers
        head = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": head})
        await send({"type": "http.response.body", "body": content})

    return application


def _answer(api: Api, request: Request) -> Answer:
    try:
        return api.answer(request)
    except (
        Exception
    ) as error:  # whatever breaks, the server goes on; what is logged must not hold a value of the request
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
        print(f"sandbox: {type(error).__name__} at {where} on {request.method}", file=sys.stderr, flush=True)
        message = '{"error":{"type":"api_error","message":"The sandbox failed; its log says where."}}'
        return Answer(500, message)
