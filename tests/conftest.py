"""Servers that tests share: one embedded Postgres a test process, on a free port, gone at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, cast

import pytest

from demo.postgres import EmbeddedPostgres, Version
from demo.sandbox import faults, stripe_versions
from demo.sandbox.exchange import Answer, Request
from tests.stripe_document import Document

os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "yes")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A running server, of the version that TAILRACE_TEST_POSTGRES names; make your own databases and roles in it."""
    version = cast(Version, os.environ.get("TAILRACE_TEST_POSTGRES", "18"))
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), version=version) as server:
        yield server


@pytest.fixture(scope="session")
def stripe_answers() -> Iterator[set[str]]:
    """Every answer that a sandbox Stripe of this process gives is held to Stripe's document; what departs from it."""
    document = Document()
    departures: set[str] = set()
    send = faults.Faults.after

    def checked(self: Any, fault: Any, request: Request, answer: Answer) -> Answer:
        sent = send(self, fault, request, answer)
        broken = fault is not None and fault.kind in ("garbled", "truncated")
        older = stripe_versions.older(request.headers.get("stripe-version"))  # the document is of one version
        if self.kind == "stripe" and not broken and not older:
            departures.update(document.problems(request.method, request.path, sent.status, sent.body))
        return sent

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faults.Faults, "after", checked)
        yield departures


@pytest.fixture(autouse=True)
def stripe_answers_as_its_document_says(request: pytest.FixtureRequest, stripe_answers: set[str]) -> Iterator[None]:
    """Fails a test in which the sandbox Stripe departed from the document, unless it is marked for doing so."""
    stripe_answers.clear()
    yield
    if request.node.get_closest_marker("unlike_stripe"):
        return
    departures = "\n".join(sorted(stripe_answers))
    assert not departures, f"the sandbox departs from Stripe's OpenAPI document:\n{departures}"
