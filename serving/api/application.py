"""The application: routes, who may ask them, and the dashboard's files."""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Literal

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles

from serving.api import exports, keys, models, openapi, problems, queries
from serving.api.auth import Believed, KeySet, Verifier, bearer
from serving.api.edge import Edge
from serving.api.limits import Limits
from serving.api.store import QUEUE, Store
from serving.homes import Home
from settings import Settings

DASHBOARD = Path(__file__).parent.parent / "dashboard"
_EXPORTS_AT_ONCE = 2
_KEPT = {"Cache-Control": "private, no-cache", "Vary": "Authorization"}


def create_app(settings: Settings, *, shared_limits: Path | None = None) -> FastAPI:
    """The read API and the dashboard of one deployment; run it with uvicorn.

    ``shared_limits``: a file in which the worker processes of one host count what tenants ask, together.
    """
    store = Store(settings)
    gate = _Gate(settings, store, shared_limits)
    exporting = asyncio.Semaphore(_EXPORTS_AT_ONCE)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        store.open()
        yield
        await store.close()

    # The generated documentation pages load scripts from another host, so only the document itself is served.
    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False)
    problems.install(app)
    openapi.install(app)
    app.add_middleware(
        Edge,
        saturated=lambda: store.saturated,
        origins=settings.serving.embed_origins,
        most=QUEUE + 2 * settings.serving.connections,
    )
    tenant_of = Depends(gate.tenant)

    async def answer(
        request: Request, query: queries.Query, tenant: uuid.UUID, nothing: models.Answer, *parameters: object
    ) -> Response:
        """What PostgreSQL says, or ``nothing`` before the first publish."""
        asked = [None if each is None else str(each) for each in parameters]
        body = await store.ask(query, tenant, *asked) or models.to_json(nothing)
        # Of the content and the tenant: two tenants never share a tag, whatever the two answers say.
        tag = f'"{hashlib.blake2b(body, key=tenant.bytes, digest_size=16).hexdigest()}"'
        headers = gate.headers(request) | _KEPT | {"ETag": tag}
        if _matches(request, tag):
            return Response(status_code=304, headers=headers)
        return Response(body, media_type="application/json", headers=headers)

    @app.get(
        "/v1/usage",
        response_model=models.Usage,
        responses=openapi.ANSWERED,
        summary="Usage by day, week or month, with totals and those of the range before",
    )
    async def usage(
        request: Request, period: Annotated[models.UsageRange, Query()], tenant: uuid.UUID = tenant_of
    ) -> Response:
        first, last = period.resolve(newest=_today())
        nothing = models.Usage(first=first, last=last, grain=period.grain)
        return await answer(request, queries.USAGE[period.grain], tenant, nothing, period.first, period.last)

    @app.get(
        "/v1/features",
        response_model=models.Features,
        responses=openapi.ANSWERED,
        summary="Adoption of each feature by day",
    )
    async def features(
        request: Request, period: Annotated[models.DateRange, Query()], tenant: uuid.UUID = tenant_of
    ) -> Response:
        first, last = period.resolve(newest=_today())
        nothing = models.Features(first=first, last=last)
        return await answer(request, queries.FEATURES, tenant, nothing, period.first, period.last)

    @app.get(
        "/v1/entitlements",
        response_model=models.Entitlements,
        responses=openapi.ANSWERED,
        summary="What is left of what was bought",
    )
    async def entitlements(
        request: Request, _: Annotated[models.NoParameters, Query()], tenant: uuid.UUID = tenant_of
    ) -> Response:
        return await answer(request, queries.ENTITLEMENTS, tenant, models.Entitlements())

    @app.get(
        "/v1/ai",
        response_model=models.Ai,
        responses=openapi.ANSWERED,
        summary="AI by model and day, and what was spent of the cap",
    )
    async def ai(
        request: Request, period: Annotated[models.DateRange, Query()], tenant: uuid.UUID = tenant_of
    ) -> Response:
        first, last = period.resolve(newest=_today())
        return await answer(request, queries.AI, tenant, models.Ai(first=first, last=last), period.first, period.last)

    @app.get(
        "/v1/users",
        response_model=models.Users,
        responses=openapi.ANSWERED,
        summary="Users by pseudonym, page by page",
    )
    async def users(
        request: Request, page: Annotated[models.UsersPage, Query()], tenant: uuid.UUID = tenant_of
    ) -> Response:
        return await answer(request, queries.USERS[page.sort], tenant, models.Users(), page.limit, *page.position)

    @app.get(
        "/v1/benchmarks",
        response_model=models.Benchmarks,
        responses=openapi.ANSWERED,
        summary="The tenant among its peers",
    )
    async def benchmarks(
        request: Request, _: Annotated[models.NoParameters, Query()], tenant: uuid.UUID = tenant_of
    ) -> Response:
        return await answer(request, queries.BENCHMARKS, tenant, models.Benchmarks())

    @app.get(
        "/v1/rolling",
        response_model=models.Rolling,
        responses=openapi.ANSWERED,
        summary="The last 28 whole days: activity with percentiles, features and AI models by rank",
    )
    async def rolling(
        request: Request, _: Annotated[models.NoParameters, Query()], tenant: uuid.UUID = tenant_of
    ) -> Response:
        return await answer(request, queries.ROLLING, tenant, models.Rolling())

    @app.get(
        "/v1/freshness",
        response_model=models.Freshness,
        responses=openapi.ANSWERED,
        summary="Which version is published, and which days it holds",
    )
    async def freshness(
        request: Request, _: Annotated[models.NoParameters, Query()], tenant: uuid.UUID = tenant_of
    ) -> Response:
        return await answer(request, queries.FRESHNESS, tenant, models.Freshness())

    @app.get(
        "/v1/exports/{name}.{kind}",
        response_class=Response,
        responses=openapi.EXPORTED,
        summary="A rollup's rows as a file",
    )
    async def export(
        request: Request,
        name: Literal["usage", "features", "ai", "users", "entitlements", "benchmarks"],
        kind: exports.Format,
        period: Annotated[models.AnyRange, Query()],
        tenant: uuid.UUID = tenant_of,
    ) -> Response:
        def write(home: Home) -> exports.Written:
            where, what = store.dsn(home.database), exports.EXPORTS[name]
            return exports.write(where, what, kind, tenant, schema=home.schema, first=period.first, last=period.last)

        if exporting.locked():
            raise problems.BusyError
        async with exporting:
            home = await store.home(tenant)
            written = await run_in_threadpool(write, home)
            if written.version is None and home.is_namespace:  # it moved, as in Store.ask
                written = await run_in_threadpool(write, await store.home(tenant, anew=True))
        tag = f'"{written.digest.hex()}"'
        headers = gate.headers(request) | _KEPT | {"ETag": tag}
        if written.version is not None and written.as_of is not None:
            headers |= {"Tailrace-Version": str(written.version), "Tailrace-As-Of": written.as_of.isoformat()}
        if _matches(request, tag):
            written.file.close()
            return Response(status_code=304, headers=headers)
        headers |= {
            "Content-Disposition": f'attachment; filename="{name}.{kind.value}"',
            "Content-Length": str(written.size),
        }
        return StreamingResponse(written.chunks(), media_type=kind.media_type, headers=headers)

    @app.get("/healthz", summary="Whether the database answers", responses=openapi.HEALTH)
    async def healthz() -> JSONResponse:
        healthy = await store.healthy()
        return JSONResponse({"status": "ok" if healthy else "unavailable"}, status_code=200 if healthy else 503)

    app.mount("/", StaticFiles(directory=DASHBOARD, html=True), name="dashboard")
    return app


class _Gate:
    """Who asks, and whether they have not asked too often."""

    def __init__(self, settings: Settings, store: Store, shared: Path | None) -> None:
        serving = settings.serving
        self._store = store
        self._verifier = Verifier(KeySet(serving.jwks), issuer=serving.issuer, audience=serving.audience)
        self._believed = Believed()
        self._limits = Limits(per_second=serving.requests_per_second, burst=serving.request_burst, shared=shared)

    async def tenant(self, request: Request) -> uuid.UUID:
        """The tenant of the bearer. Raises UnauthorizedError, TooManyError, UnavailableError."""
        authorization = request.headers.get("authorization", "")
        tenant = self._believed.find(authorization, generation=self._verifier.generation)
        if tenant is None:
            tenant, until = await self._proved(bearer(authorization))
            self._believed.keep(authorization, tenant, until=until, generation=self._verifier.generation)
        allowance = self._limits.take(tenant)
        headers = {
            "RateLimit-Policy": self._limits.policy,
            "RateLimit": f'"tenant";r={allowance.remaining};t={allowance.reset}',
        }
        if allowance.retry:
            raise problems.TooManyError(allowance.retry, headers)
        request.state.limits = headers
        return tenant

    def headers(self, request: Request) -> dict[str, str]:
        """What is left of the tenant's share."""
        return dict(request.state.limits)

    async def _proved(self, token: str) -> tuple[uuid.UUID, float]:
        presented = keys.parse(token)
        if presented is None:
            return await run_in_threadpool(self._verifier.verify, token)  # it may have to read the key set
        if not await self._store.stands(presented):
            raise problems.UnauthorizedError
        return presented.tenant, time.time() + 3600


def _matches(request: Request, tag: str) -> bool:
    """Whether the asker has this very content already (RFC 9110, 13.1.2)."""
    given = request.headers.get("if-none-match")
    if given is None:
        return False
    known = [each.strip().removeprefix("W/") for each in given.split(",")]
    return tag in known or known == ["*"]


def _today() -> date:
    return datetime.now(UTC).date()
