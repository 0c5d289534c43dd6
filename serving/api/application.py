"""The application: routes, headers and the dashboard's files."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from serving.api import models, problems
from serving.api.auth import KeySet, Verifier
from serving.api.store import Freshness, Store
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
        await store.open()
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

    @app.get("/v1/usage", summary="Usage by day, with totals and those of the range before")
    async def usage(period: Annotated[models.DateRange, Query()], tenant: uuid.UUID = tenant_of) -> models.Usage:
        name = await store.name(tenant)
        async with store.snapshot(tenant) as snapshot:
            freshness = await snapshot.freshness()
            first, last = period.resolve(newest=_newest(freshness))
            length = timedelta(days=min((last - first).days + 1, (first - date.min).days))
            rows = [models.UsageDay(**row) for row in await snapshot.usage(first - length, last)]
        days = [row for row in rows if row.day >= first]
        return models.Usage(
            tenant_name=name,
            version=freshness.version,
            as_of=freshness.as_of,
            first=first,
            last=last,
            days=days,
            totals=models.sum_usage(days),
            previous=models.sum_usage([row for row in rows if row.day < first]),
        )

    @app.get("/v1/features", summary="Adoption of each feature by day")
    async def features(period: Annotated[models.DateRange, Query()], tenant: uuid.UUID = tenant_of) -> models.Features:
        async with store.snapshot(tenant) as snapshot:
            freshness = await snapshot.freshness()
            first, last = period.resolve(newest=_newest(freshness))
            rows = await snapshot.features(first, last)
        return models.Features(
            version=freshness.version,
            as_of=freshness.as_of,
            first=first,
            last=last,
            features=models.group_features(
                [(str(row["feature"]), models.FeatureDay(**row)) for row in rows],
                active_days=len({row["day"] for row in rows}),
            ),
        )

    @app.get("/v1/freshness", summary="Which version is published, and which days it holds")
    async def freshness(_: Annotated[models.NoParameters, Query()], tenant: uuid.UUID = tenant_of) -> models.Freshness:
        async with store.snapshot(tenant) as snapshot:
            found = await snapshot.freshness()
        return models.Freshness.model_validate(found, from_attributes=True)

    @app.get("/healthz", summary="Whether the database answers")
    async def healthz() -> JSONResponse:
        healthy = await store.healthy()
        return JSONResponse({"status": "ok" if healthy else "unavailable"}, status_code=200 if healthy else 503)

    app.mount("/", StaticFiles(directory=DASHBOARD, html=True), name="dashboard")
    return app


def _newest(freshness: Freshness) -> date:
    """The newest day with data; for a tenant without any, today."""
    return freshness.last_day or datetime.now(UTC).date()
