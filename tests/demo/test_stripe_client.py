"""Stripe's official client against the sandbox, unmodified but for the base address."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
import stripe as official

from demo.sandbox import billing, serve

START = 1_767_225_600
LISTS = (
    "customers",
    "products",
    "prices",
    "coupons",
    "promotion_codes",
    "tax_rates",
    "subscriptions",
    "subscription_schedules",
    "invoices",
    "credit_notes",
    "charges",
    "payment_intents",
    "refunds",
    "disputes",
    "balance_transactions",
    "payouts",
    "events",
)


@pytest.fixture
def url() -> Iterator[str]:
    with serve("stripe") as running:
        yield running.url


@pytest.fixture
def client(url: str) -> official.StripeClient:
    made = official.StripeClient("sk_test_1", base_addresses={"api": url}, max_network_retries=0)
    made.v1.test_helpers.test_clocks.advance("clock_sandbox", {"frozen_time": START})
    return made


def subscribed(client: official.StripeClient, card: str = "pm_card_visa") -> official.Subscription:
    customer = client.v1.customers.create(
        {"name": "Acme", "invoice_settings": {"default_payment_method": card}, "metadata": {"tenant_id": "acme"}}
    )
    product = client.v1.products.create({"name": "Plan"})
    price = client.v1.prices.create(
        {"product": product.id, "currency": "usd", "unit_amount": 1000, "recurring": {"interval": "month"}}
    )
    return client.v1.subscriptions.create({"customer": customer.id, "items": [{"price": price.id, "quantity": 3}]})


def test_it_sells_bills_refunds_and_reads_back(client: official.StripeClient) -> None:
    subscription = subscribed(client)
    assert subscription.status == "active"
    client.v1.test_helpers.test_clocks.advance("clock_sandbox", {"frozen_time": START + 40 * billing.DAY})
    invoices = client.v1.invoices.list({"subscription": subscription.id}).data
    assert [invoice.amount_paid for invoice in invoices] == [3000, 3000]
    (first, *_) = client.v1.charges.list({"customer": str(subscription.customer)}).data
    refund = client.v1.refunds.create({"charge": first.id, "amount": 500})
    refunded = client.v1.charges.retrieve(first.id, {"expand": ["refunds"]})
    assert refunded.amount_refunded == refund.amount == 500
    assert refunded.refunds is not None
    assert [each.id for each in refunded.refunds.data] == [refund.id]
    shown = client.v1.subscriptions.retrieve(subscription.id, {"expand": ["customer", "latest_invoice.lines"]})
    assert isinstance(shown.customer, official.Customer)
    assert shown.customer.metadata is not None
    assert shown.customer.metadata["tenant_id"] == "acme"
    assert isinstance(shown.latest_invoice, official.Invoice)
    assert [line.quantity for line in shown.latest_invoice.lines.data] == [3]
    client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    client.v1.subscriptions.cancel(subscription.id)
    assert client.v1.subscriptions.list({"status": "canceled"}).data[0].id == subscription.id
    told = [event.type for event in client.v1.events.list({"limit": 100}).auto_paging_iter()]
    assert told[0] == "customer.subscription.deleted"
    assert told.count("invoice.paid") == len(invoices)


def test_it_reads_every_list_page_by_page_as_the_api_itself_shows_it(client: official.StripeClient, url: str) -> None:
    for card in ("pm_card_visa", "pm_card_chargeCustomerFail", "pm_card_createDispute"):
        subscribed(client, card)
    meter = client.v1.billing.meters.create(
        {"display_name": "Calls", "event_name": "calls", "default_aggregation": {"formula": "sum"}}
    )
    client.v1.billing.meter_events.create(
        {"event_name": "calls", "payload": {"stripe_customer_id": client.v1.customers.list().data[0].id, "value": "2"}}
    )
    client.v1.test_helpers.test_clocks.advance("clock_sandbox", {"frozen_time": START + 70 * billing.DAY})
    assert [each.id for each in client.v1.billing.meters.list().auto_paging_iter()] == [meter.id]
    api = httpx.Client(base_url=url, headers={"authorization": "Bearer sk_test_1"})
    for name in LISTS:
        status = {"status": "all"} if name == "subscriptions" else {}
        found = [each.id for each in getattr(client.v1, name).list({"limit": 2, **status}).auto_paging_iter()]
        listed = api.get(f"/v1/{name}", params={"limit": 100, **status}).json()
        assert found[:100] == [each["id"] for each in listed["data"]]
        assert len(found) == len(set(found))
    api.close()


def test_it_understands_each_refusal(client: official.StripeClient, url: str) -> None:
    with pytest.raises(official.InvalidRequestError) as refused:
        client.v1.customers.retrieve("cus_none")
    assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")
    customer = client.v1.customers.create(
        {"invoice_settings": {"default_payment_method": "pm_card_chargeCustomerFail"}}, {"idempotency_key": "one"}
    )
    with pytest.raises(official.IdempotencyError):
        client.v1.customers.create({"name": "another"}, {"idempotency_key": "one"})
    product = client.v1.products.create({"name": "Plan"})
    price = client.v1.prices.create(
        {"product": product.id, "currency": "usd", "unit_amount": 1000, "recurring": {"interval": "month"}}
    )
    unpaid = client.v1.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}]})
    with pytest.raises(official.CardError):
        client.v1.invoices.pay(str(unpaid.latest_invoice))
    stranger = official.StripeClient("rk_live_1", base_addresses={"api": url})
    with pytest.raises(official.AuthenticationError):
        stranger.v1.customers.list()
    for kind, error in (("429", official.RateLimitError), ("500", official.APIError)):
        httpx.post(f"{url}/sandbox/faults", json={"faults": [{"kind": kind}]}).raise_for_status()
        with pytest.raises(error):
            client.v1.customers.list()
