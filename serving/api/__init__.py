"""The read API: one tenant's figures to whoever carries that tenant's token or API key."""

from fastapi import FastAPI

from serving.api.application import create_app
from settings import load_settings

__all__ = ["app", "create_app"]


def app() -> FastAPI:
    """The application of the configured deployment, for ``uvicorn --factory serving.api:app --workers 2``."""
    settings = load_settings()
    return create_app(settings, shared_limits=settings.region_dir / "api_limits")
