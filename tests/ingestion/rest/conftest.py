"""Sandbox APIs over HTTP, and what reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from demo.sandbox import serve
from tests.ingestion.rest.support import HUBSPOT_TOKEN, STRIPE_KEY, Deployments, Fault, FaultyProxy, SandboxClient


@pytest.fixture
def faulty() -> Iterator[Callable[[str, Fault], FaultyProxy]]:
    """Start a faulty proxy before a server."""
    with ExitStack() as stack:

        def start(target: str, fault: Fault) -> FaultyProxy:
            proxy = FaultyProxy(target, fault)
            stack.callback(proxy.stop)
            return proxy

        yield start


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployments:
    """``deployment(stripe=url, hubspot=url, region=…)``: its settings and warehouse, with credentials exported."""
    for name in ("TAILRACE_HOME", "TAILRACE_REGION", "TAILRACE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TEST_STRIPE_KEY", STRIPE_KEY)
    monkeypatch.setenv("TEST_HUBSPOT_TOKEN", HUBSPOT_TOKEN)
    return Deployments(tmp_path / "deployment")


@pytest.fixture
def stripe_sandbox(tmp_path: Path) -> Iterator[SandboxClient]:
    server = serve("stripe", 0, tmp_path / "stripe.sqlite")
    yield SandboxClient(server.url, STRIPE_KEY)
    server.stop()


@pytest.fixture
def hubspot_sandbox(tmp_path: Path) -> Iterator[SandboxClient]:
    server = serve("hubspot", 0, tmp_path / "hubspot.sqlite")
    yield SandboxClient(server.url, HUBSPOT_TOKEN)
    server.stop()
