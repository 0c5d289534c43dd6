"""Headless Chromium over the real application, over published rollups. Whatever a page asks or complains of is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from bench.browser import chromium
from demo.postgres import EmbeddedPostgres, free_port
from serving.tokens import mint_demo_token
from tests.browser import company
from tests.browser.server import Served, serve
from tests.serving.conftest import Product, new_product

PATIENCE_MS = 20_000  # of a machine that is busy with something else


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@dataclass
class Site:
    """The application over one product. ``other_port`` is that of a site that may embed the dashboard."""

    product: Product
    served: Served
    other_port: int

    def token(self, slug: str, *, lifetime: timedelta = timedelta(hours=1)) -> str:
        return mint_demo_token(self.product.settings, self.product.tenants[slug].id, lifetime=lifetime)

    def address(self, slug: str | None = "acorn", view: str = "") -> str:
        """The dashboard's address, with a pass for the tenant and a view in its fragment."""
        parts = [f"token={self.token(slug)}"] if slug else []
        return f"{self.served.address}/#{'&'.join([*parts, *([view] if view else [])])}"


@dataclass
class Watched:
    """A page, with every address it asked for and all it complained of."""

    page: Any
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def hosts(self) -> set[str]:
        return {urlsplit(address).netloc for address in self.asked if address.startswith(("http", "ws"))}


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    expect.set_options(timeout=PATIENCE_MS)
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="session")
def site(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two tenants with figures and two without any, published an hour ago. Tests that share it only read."""
    with new_product(postgres, tmp_path_factory.mktemp("site")) as product:
        with open_site(product) as opened:
            company.fill(product, scales={"acorn": 3, "deep-vault": 1})
            product.publish(1, as_of=datetime.now(UTC) - timedelta(hours=1))
            yield opened


@contextmanager
def open_site(product: Product) -> Iterator[Site]:
    """The application over a product, with a second site on another port of this machine that may embed it."""
    other = free_port()
    serving = product.settings.serving.model_copy(update={"embed_origins": (f"http://127.0.0.1:{other}",)})
    product.settings = product.settings.model_copy(update={"serving": serving})
    with serve(product.settings) as served:
        yield Site(product, served, other)


@pytest.fixture
def own_site(postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[Site]:
    """A site of the test's own, nothing published."""
    with new_product(postgres, tmp_path) as product, open_site(product) as opened:
        yield opened


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Watched]]:
    """Opens an address in a fresh profile: ``open_page(address, width=…, dark=…)``."""
    contexts = []

    def opened(address: str, *, width: int = 1280, height: int = 900, **options: Any) -> Watched:
        context = browser.new_context(viewport={"width": width, "height": height}, locale="en-GB", **options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        watched = Watched(page)
        page.on("request", lambda request: watched.asked.append(request.url))
        page.on(
            "console", lambda message: message.type in ("error", "warning") and watched.complaints.append(message.text)
        )
        page.on("pageerror", lambda error: watched.complaints.append(str(error)))
        page.goto(address)
        return watched

    yield opened
    for context in contexts:
        context.close()
