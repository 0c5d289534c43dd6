"""What holds the sandbox Stripe to Stripe's OpenAPI document notices each way to depart from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from demo.sandbox import serve
from demo.sandbox.stripe_objects import API_VERSION, customer
from tests.stripe_document import Document

Json = dict[str, Any]
DOCUMENT = Document()


def told(item: Json, *, path: str = "/v1/customers/cus_1", status: int = 200) -> list[str]:
    return list(DOCUMENT.problems("GET", path, status, json.dumps(item)))


def sound() -> Json:
    return customer("cus_1", now=1, prefix="A")


def event_of(item: Json) -> Json:
    return {
        "id": "evt_1",
        "object": "event",
        "api_version": API_VERSION,
        "created": 1,
        "data": {"object": item},
        "livemode": False,
        "pending_webhooks": 0,
        "request": {"id": None, "idempotency_key": None},
        "type": "customer.created",
    }


def test_the_document_is_of_the_version_that_the_sandbox_serves() -> None:
    assert DOCUMENT.version == API_VERSION


def test_a_sound_answer_is_passed() -> None:
    page = {"object": "list", "url": "/v1/customers", "has_more": False, "data": [sound()]}
    assert not told(sound())
    assert not told(page, path="/v1/customers")
    assert not told({"id": "cus_1", "object": "customer", "deleted": True})
    assert not told(event_of(sound()), path="/v1/events/evt_1")
    assert not told({"error": {"type": "invalid_request_error", "message": "No."}}, status=404)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda item: item.update(surprise=1),
        lambda item: item.pop("created"),
        lambda item: item.update(created="1"),
        lambda item: item.update(livemode=None),
        lambda item: item.update(tax_exempt="perhaps"),
        lambda item: item["invoice_settings"].update(surprise=1),
        lambda item: item.update(metadata={"key": 1}),
        lambda item: item.update(object="client"),
    ],
)
def test_a_departure_is_told_without_its_value(spoil: Callable[[Json], Any]) -> None:
    item = sound() | {"email": "someone@example.com"}
    spoil(item)
    page = {"object": "list", "url": "/v1/customers", "has_more": False, "data": [item]}
    for problems in (told(item), told(page, path="/v1/customers"), told(event_of(item), path="/v1/events/evt_1")):
        assert problems
        assert not any("someone" in each or "perhaps" in each for each in problems)


def test_an_answer_that_stripe_does_not_give_there_is_told() -> None:
    assert told(sound(), path="/v1/clients/cus_1")
    assert told(sound(), path="/v1/prices/price_1")
    assert told({"error": {"message": "No."}}, status=400)
    assert told({"error": {"type": "bad_luck"}}, status=400)
    assert told({"object": "list", "url": "/v1/customers", "data": []}, path="/v1/customers")


@pytest.mark.unlike_stripe
def test_every_answer_of_a_sandbox_is_looked_at(monkeypatch: pytest.MonkeyPatch, stripe_answers: set[str]) -> None:
    with serve("stripe") as server:
        headers = {"authorization": "Bearer sk_test_1"}
        httpx.post(f"{server.url}/v1/customers", headers=headers, data={"name": "x"}).raise_for_status()
        assert not stripe_answers
        monkeypatch.setattr("demo.sandbox.stripe_objects.customer", lambda *_, **__: {"id": "cus_1", "object": "cat"})
        httpx.post(f"{server.url}/v1/customers", headers=headers, data={"name": "x"})
    assert stripe_answers
