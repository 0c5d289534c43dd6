"""The shapes of Stripe's objects, as its API of 2025-09-30 answers them: every field is there, even if null."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from demo.sandbox.store import Json

API_VERSION = "2025-09-30.clover"
_SELF = {"type": "self"}
ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")


def customer(identifier: str, *, now: int, prefix: str) -> Json:
    return {
        "id": identifier,
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": now,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": prefix,
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def product(identifier: str, *, now: int, name: str) -> Json:
    return {
        "id": identifier,
        "object": "product",
        "active": True,
        "created": now,
        "default_price": None,
        "description": None,
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": {},
        "name": name,
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "type": "service",
        "unit_label": None,
        "updated": now,
        "url": None,
    }


def price(
    identifier: str, *, now: int, product: str, currency: str, unit_amount: int, interval: str, count: int
) -> Json:
    return {
        "id": identifier,
        "object": "price",
        "active": True,
        "billing_scheme": "per_unit",
        "created": now,
        "currency": currency,
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": None,
        "metadata": {},
        "nickname": None,
        "product": product,
        "recurring": {
            "interval": interval,
            "interval_count": count,
            "meter": None,
            "trial_period_days": None,
            "usage_type": "licensed",
        },
        "tax_behavior": "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring",
        "unit_amount": unit_amount,
        "unit_amount_decimal": str(unit_amount),
    }


def _plan(price: Json) -> Json:
    """A price in its older form, which subscription items still carry."""
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": price["billing_scheme"],
        "created": price["created"],
        "currency": price["currency"],
        "interval": price["recurring"]["interval"],
        "interval_count": price["recurring"]["interval_count"],
        "livemode": False,
        "metadata": price["metadata"],
        "meter": None,
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }


def coupon(identifier: str, *, now: int, duration: str) -> Json:
    return {
        "id": identifier,
        "object": "coupon",
        "amount_off": None,
        "created": now,
        "currency": None,
        "duration": duration,
        "duration_in_months": None,
        "livemode": False,
        "max_redemptions": None,
        "metadata": {},
        "name": None,
        "percent_off": None,
        "redeem_by": None,
        "times_redeemed": 0,
        "valid": True,
    }


def discount(identifier: str, *, coupon: str, customer: str, subscription: str, start: int, end: int | None) -> Json:
    return {
        "id": identifier,
        "object": "discount",
        "checkout_session": None,
        "customer": customer,
        "customer_account": None,
        "end": end,
        "invoice": None,
        "invoice_item": None,
        "promotion_code": None,
        "source": {"coupon": coupon, "type": "coupon"},
        "start": start,
        "subscription": subscription,
        "subscription_item": None,
    }


def subscription_item(
    identifier: str, *, now: int, subscription: str, price: Json, quantity: int, start: int, end: int
) -> Json:
    return {
        "id": identifier,
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": now,
        "current_period_end": end,
        "current_period_start": start,
        "discounts": [],
        "metadata": {},
        "plan": _plan(price),
        "price": price,
        "quantity": quantity,
        "subscription": subscription,
        "tax_rates": [],
    }


def with_price(item: Json, *, price: Json, quantity: int) -> Json:
    """The subscription item at another price or quantity."""
    return item | {"price": price, "plan": _plan(price), "quantity": quantity}


def list_of(data: Sequence[Json], *, url: str) -> Json:
    return {"object": "list", "data": list(data), "has_more": False, "url": url}


def items_of(subscription: str, items: Sequence[Json]) -> Json:
    return list_of(items, url=f"/v1/subscription_items?subscription={subscription}")


def subscription(identifier: str, *, now: int, customer: str, currency: str, status: str, anchor: int) -> Json:
    return {
        "id": identifier,
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": anchor,
        "billing_cycle_anchor_config": None,
        "billing_mode": {"type": "classic"},
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically",
        "created": now,
        "currency": currency,
        "customer": customer,
        "customer_account": None,
        "days_until_due": None,
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {
            "account_tax_ids": None,
            "custom_fields": None,
            "description": None,
            "footer": None,
            "issuer": _SELF,
        },
        "items": items_of(identifier, []),
        "latest_invoice": None,
        "livemode": False,
        "metadata": {},
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": now,
        "status": status,
        "test_clock": None,
        "transfer_data": None,
        "trial_end": None,
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
        "trial_start": None,
    }


def line_item(
    identifier: str, *, item: Json, amount: int, start: int, end: int, proration: bool, description: str
) -> Json:
    """A line for a subscription item; ``invoice`` and the discounts are filled in when an invoice takes it up."""
    return {
        "id": identifier,
        "object": "line_item",
        "amount": amount,
        "currency": item["price"]["currency"],
        "description": description,
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": {},
        "parent": {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": proration,
                "proration_details": None,
                "subscription": item["subscription"],
                "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        },
        "period": {"end": end, "start": start},
        "pretax_credit_amounts": [],
        "pricing": {
            "price_details": {"price": item["price"]["id"], "product": item["price"]["product"]},
            "type": "price_details",
            "unit_amount_decimal": item["price"]["unit_amount_decimal"],
        },
        "quantity": item["quantity"],
        "quantity_decimal": str(item["quantity"]),
        "subscription": item["subscription"],
        "subtotal": amount,
        "taxes": [],
    }


def invoice(
    identifier: str,
    *,
    now: int,
    customer: Json,
    subscription: Json,
    currency: str,
    reason: str,
    lines: Sequence[Json],
    period: tuple[int, int],
    discounts: dict[str, int],
) -> Json:
    """A draft. ``lines`` hold amounts before discounts, ``discounts`` what each takes off the whole."""
    subtotal = sum(line["amount"] for line in lines)
    total = subtotal - sum(discounts.values())
    due = max(0, total)
    return {
        "id": identifier,
        "object": "invoice",
        "account_country": "US",
        "account_name": None,
        "account_tax_ids": None,
        "amount_due": due,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": due,
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "automatically_finalizes_at": None,
        "billing_reason": reason,
        "collection_method": "charge_automatically",
        "created": now,
        "currency": currency,
        "custom_fields": None,
        "customer": customer["id"],
        "customer_account": None,
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_shipping": None,
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": subscription["discounts"],
        "due_date": None,
        "effective_at": None,
        "ending_balance": None,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": _SELF,
        "last_finalization_error": None,
        "latest_revision": None,
        "lines": list_of(lines, url=f"/v1/invoices/{identifier}/lines"),
        "livemode": False,
        "metadata": {},
        "next_payment_attempt": None,
        "number": None,
        "on_behalf_of": None,
        "parent": {
            "quote_details": None,
            "subscription_details": {"metadata": subscription["metadata"], "subscription": subscription["id"]},
            "type": "subscription_details",
        },
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": None,
        },
        "period_end": period[1],
        "period_start": period[0],
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": 0,
        "statement_descriptor": None,
        "status": "draft",
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal,
        "test_clock": None,
        "total": total,
        "total_discount_amounts": discount_amounts(discounts.items()),
        "total_excluding_tax": total,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": now,
    }


def discount_amounts(amounts: Any) -> list[Json]:
    return [{"amount": amount, "discount": identifier} for identifier, amount in amounts]


def charge(
    identifier: str, *, now: int, amount: int, currency: str, customer: Json, payment_method: str, succeeds: bool
) -> Json:
    return {
        "id": identifier,
        "object": "charge",
        "amount": amount,
        "amount_captured": amount if succeeds else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": {
            "address": customer["address"] or dict.fromkeys(ADDRESS),
            "email": customer["email"],
            "name": customer["name"],
            "phone": customer["phone"],
            "tax_id": None,
        },
        "calculated_statement_descriptor": None,
        "captured": succeeds,
        "created": now,
        "currency": currency,
        "customer": customer["id"],
        "description": "Subscription update" if succeeds else None,
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None if succeeds else "card_declined",
        "failure_message": None if succeeds else "Your card was declined.",
        "fraud_details": {},
        "livemode": False,
        "metadata": {},
        "on_behalf_of": None,
        "outcome": {
            "advice_code": None if succeeds else "try_again_later",
            "network_advice_code": None,
            "network_decline_code": None,
            "network_status": "approved_by_network" if succeeds else "declined_by_network",
            "reason": None if succeeds else "generic_decline",
            "seller_message": "Payment complete." if succeeds else "The bank did not return any further details.",
            "type": "authorized" if succeeds else "issuer_declined",
        },
        "paid": succeeds,
        "payment_intent": None,
        "payment_method": payment_method,
        "payment_method_details": {
            "card": {
                "brand": "visa",
                "country": "US",
                "exp_month": 12,
                "exp_year": 2034,
                "funding": "credit",
                "last4": "4242" if succeeds else "0341",
                "network": "visa",
            },
            "type": "card",
        },
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "succeeded" if succeeds else "failed",
        "transfer_data": None,
        "transfer_group": None,
    }


def refund(identifier: str, *, now: int, charge: Json, amount: int, reason: str | None) -> Json:
    return {
        "id": identifier,
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": now,
        "currency": charge["currency"],
        "destination_details": {"card": {"type": "refund"}, "type": "card"},
        "metadata": {},
        "payment_intent": None,
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def event(
    identifier: str, *, now: int, kind: str, item: Json, previous: Json | None, request: tuple[str | None, str | None]
) -> Json:
    """``request``: id and idempotency key of the request that caused it; nulls when time alone did."""
    return {
        "id": identifier,
        "object": "event",
        "api_version": API_VERSION,
        "created": now,
        "data": {"object": item} if previous is None else {"object": item, "previous_attributes": previous},
        "livemode": False,
        "pending_webhooks": 0,
        "request": {"id": request[0], "idempotency_key": request[1]},
        "type": kind,
    }


def test_clock(identifier: str, *, now: int, created: int) -> Json:
    return {
        "id": identifier,
        "object": "test_helpers.test_clock",
        "created": created,
        "deletes_after": now + 30 * 86_400,
        "frozen_time": now,
        "livemode": False,
        "name": "sandbox",
        "status": "ready",
        "status_details": {},
    }
