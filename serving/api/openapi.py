"""The description of the API: OpenAPI 3.1, with every answer that a route may give."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from serving.api import models, problems

_DESCRIPTION = """Figures of one tenant: of whom the bearer's token or API key names, and of nobody else.

Every answer is of one publication (`version`) and complete until `as_of`. Days are UTC days. Money is text, exact.
"""
Responses = dict[int | str, dict[str, Any]]


def _text(description: str, *, integer: bool = False) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "integer" if integer else "string"}}


_LIMITS = {
    "RateLimit-Policy": _text("Requests at once (q), and the seconds until all of them are there again (w)."),
    "RateLimit": _text("Requests left at once (r), and the seconds until all of them are there again (t)."),
}
_TAG = {"ETag": _text("Of the content and the tenant; send it as If-None-Match.")}
_RETRY = {"Retry-After": _text("Seconds to wait.", integer=True)}


def _problem(description: str, *, headers: dict[str, Any] | None = None) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {problems.MEDIA_TYPE: {"schema": schema}}, "headers": headers or {}}


_REFUSED: Responses = {
    304: {"description": "What the asker has is what there is.", "headers": _TAG | _LIMITS},
    401: _problem("No bearer, or one that is not accepted; why is not told.", headers={
        "WWW-Authenticate": _text("Bearer.")
    }),
    422: _problem("A parameter is unknown, or does not fit."),
    429: _problem("The tenant asks too often.", headers=_RETRY | _LIMITS),
    503: _problem("Too much is asked of the service, or its database is away.", headers=_RETRY),
}  # fmt: skip
ANSWERED: Responses = {200: {"headers": _TAG | _LIMITS}, **_REFUSED}
EXPORTED: Responses = {
    200: {
        "description": "The file.",
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
        },
        "headers": _TAG
        | _LIMITS
        | {
            "Content-Disposition": _text("The name of the file."),
            "Tailrace-Version": _text("The publication that this is of.", integer=True),
            "Tailrace-As-Of": _text("Until when it is complete."),
        },
    },
    **_REFUSED,
}
_STATUS = {"type": "object", "properties": {"status": {"type": "string"}}, "required": ["status"]}
HEALTH: Responses = {
    200: {"description": "It does.", "content": {"application/json": {"schema": _STATUS}}},
    503: {"description": "It does not.", "content": {"application/json": {"schema": _STATUS}}},
}


def install(app: FastAPI) -> None:
    """Give the app's document what the routes do not say themselves."""
    app.title, app.version, app.description = "Tailrace", "1", _DESCRIPTION
    generate = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = generate()
            components = made.setdefault("components", {})
            components.setdefault("schemas", {})["Problem"] = models.Problem.model_json_schema()
            components["securitySchemes"] = {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "RS256, by a key of the deployment's JWKS; claim `tenant_id`: whose figures.",
                },
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "trk_…",
                    "description": "Made by `tailrace api-key create` for one tenant.",
                },
            }
            for path, item in made["paths"].items():
                for operation in item.values():
                    operation["security"] = [{"token": []}, {"apiKey": []}] if path.startswith("/v1/") else []
                    operation["responses"].pop("422", None) if path == "/healthz" else None
            for unused in ("HTTPValidationError", "ValidationError"):
                components["schemas"].pop(unused, None)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
