"""The read API: one tenant's figures to whoever carries that tenant's token."""

from fastapi import FastAPI

from serving.api.application import create_app
from settings import load_settings

__all__ = ["app", "create_app"]


def app() -> FastAPI:
    """The application of the configured deployment, for ``uvicorn --factory serving.api:app``."""
    return create_app(load_settings())
