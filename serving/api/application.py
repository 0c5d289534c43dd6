"""The application: routes, headers and the dashboard's files."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from serving.api import models, problems, queries
from serving.api.auth import KeySet, Verifier
from serving.api.store import Store
from settings import Settings

DASHBOARD = Path(__file__).parent.parent / "dashboard"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def create_app(settings: Settings) -> FastAPI:
    """The read API and the dashboard of one deployment; run it with uvicorn."""
    store = Store(settings)
    verifier = Verifier(
        KeySet(settings.serving.jwks), issuer=settings.serving.issuer, audience=settings.serving.audience
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        store.open()
        yield
        await store.close()

    # The generated documentation pages load scripts from another host, so only the document itself is served.
    app = FastAPI(title="Tailrace", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    problems.install(app)

    @app.middleware("http")
    async def harden(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers.update(_HEADERS)
        # Nobody in between keeps a tenant's figures.
        response.headers["Cache-Control"] = "no-store" if request.url.path.startswith("/v1/") else "no-cache"
        return response

    async def current_tenant(authorization: Annotated[str | None, Header()] = None) -> uuid.UUID:
        return await run_in_threadpool(verifier.tenant, authorization)  # an unknown key id reads the key set

    tenant_of = Depends(current_tenant)

    async def answer(query: queries.Query, tenant: uuid.UUID, nothing: models.Answer, *parameters: object) -> Response:
        """What PostgreSQL says, or ``nothing`` before the first publish."""
        asked = [None if each is None else str(each) for each in parameters]
        body = await store.ask(query, tenant, *asked)
        return Response(body or models.to_json(nothing), media_type="application/json")

    @app.get(
        "/v1/usage",
        response_model=models.Usage,
        summary="Usage by day, week or month, with totals and those of the range before",
    )
    async def usage(period: Annotated[models.UsageRange, Query()], tenant: uuid.UUID = tenant_of) -> Response:
        first, last = period.resolve(newest=_today())
        nothing = models.Usage(first=first, last=last, grain=period.grain)
        return await answer(queries.USAGE[period.grain], tenant, nothing, period.first, period.last)

    @app.get("/v1/features", response_model=models.Features, summary="Adoption of each feature by day")
    async def features(period: Annotated[models.DateRange, Query()], tenant: uuid.UUID = tenant_of) -> Response:
        first, last = period.resolve(newest=_today())
        return await answer(
            queries.FEATURES, tenant, models.Features(first=first, last=last), period.first, period.last
        )

    @app.get("/v1/entitlements", response_model=models.Entitlements, summary="What is left of what was bought")
    async def entitlements(_: Annotated[models.NoParameters, Query()], tenant: uuid.UUID = tenant_of) -> Response:
        return await answer(queries.ENTITLEMENTS, tenant, models.Entitlements())

    @app.get("/v1/ai", response_model=models.Ai, summary="AI by model and day, and what was spent of the cap")
    async def ai(period: Annotated[models.DateRange, Query()], tenant: uuid.UUID = tenant_of) -> Response:
        first, last = period.resolve(newest=_today())
        return await answer(queries.AI, tenant, models.Ai(first=first, last=last), period.first, period.last)

    @app.get("/v1/users", response_model=models.Users, summary="Users by pseudonym, page by page")
    async def users(page: Annotated[models.UsersPage, Query()], tenant: uuid.UUID = tenant_of) -> Response:
        return await answer(queries.USERS[page.sort], tenant, models.Users(), page.limit, *page.position)

    @app.get("/v1/benchmarks", response_model=models.Benchmarks, summary="The tenant among its peers")
    async def benchmarks(_: Annotated[models.NoParameters, Query()], tenant: uuid.UUID = tenant_of) -> Response:
        return await answer(queries.BENCHMARKS, tenant, models.Benchmarks())

    @app.get(
        "/v1/freshness",
        response_model=models.Freshness,
        summary="Which version is published, and which days it holds",
    )
    async def freshness(_: Annotated[models.NoParameters, Query()], tenant: uuid.UUID = tenant_of) -> Response:
        return await answer(queries.FRESHNESS, tenant, models.Freshness())

    @app.get("/healthz", summary="Whether the database answers")
    async def healthz() -> JSONResponse:
        healthy = await store.healthy()
        return JSONResponse({"status": "ok" if healthy else "unavailable"}, status_code=200 if healthy else 503)

    app.mount("/", StaticFiles(directory=DASHBOARD, html=True), name="dashboard")
    return app


def _today() -> date:
    return datetime.now(UTC).date()
