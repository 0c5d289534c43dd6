"""Answers as an older version of the API shows them, for who asks in its terms by ``Stripe-Version``.

Stripe turns each answer back, change by change, to the version that is asked for; so does the sandbox, for the breaking
changes of what it holds that https://docs.stripe.com/changelog tells since 2022-11-15. Older versions are answered as
that one, later ones as the sandbox's own. Events keep the shape of the version they were made in, as Stripe's do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from demo.sandbox.store import Json

BASIL, CLOVER = "2025-03-31", "2025-09-30"
Find = Callable[[str], Json | None]


def older(named: str | None) -> str | None:
    """The date of a version as a header names it, where the sandbox's own is later; None where there is no such."""
    date = re.match(r"\d{4}-\d\d-\d\d", named or "")
    return date[0] if date and date[0] < CLOVER else None


def seen_by(version: str, item: Any, find: Find) -> Any:
    """An answer, or a part of one, in the shape of ``version``; ``find`` gives an object by its id."""
    if isinstance(item, list):
        return [seen_by(version, member, find) for member in item]
    if not isinstance(item, dict) or item.get("object") == "event":
        return item
    shown: Json = {name: seen_by(version, member, find) for name, member in item.items()}
    for since, changes in _CHANGES:
        if version < since and (change := changes.get(str(item.get("object")))):
            shown = change(shown, find)
    return shown


def _promotion_code(item: Json, find: Find) -> Json:
    return _without(item, "promotion") | {"coupon": find(item["promotion"]["coupon"])}


def _discount(item: Json, find: Find) -> Json:
    return _without(item, "source") | {"coupon": find(item["source"]["coupon"])}


def _invoice(item: Json, find: Find) -> Json:
    details = item["parent"]["subscription_details"]
    return _without(item, "amount_overpaid", "parent", "total_taxes") | {
        "paid": item["status"] == "paid",
        "subscription": details["subscription"],
        "subscription_details": {"metadata": details["metadata"]},
        "tax": None,
        "total_tax_amounts": [],  # as everywhere here: the sandbox computes no taxes
    }


def _invoice_line(item: Json, find: Find) -> Json:
    details = item["parent"]["subscription_item_details"]
    return _without(item, "parent", "pricing", "taxes") | {
        "invoice_item": details["invoice_item"],
        "price": find(item["pricing"]["price_details"]["price"]),
        "proration": details["proration"],
        "proration_details": details["proration_details"],
        "subscription_item": details["subscription_item"],
        "tax_amounts": [],
        "tax_rates": [],
        "type": "subscription",
    }


def _subscription(item: Json, find: Find) -> Json:
    """All its items had one period then."""
    periods = [{name: each[name] for name in ("current_period_start", "current_period_end")} for each in _items(item)]
    return item | (periods[0] if periods else {})


def _credit_note(item: Json, find: Find) -> Json:
    refunds = [each["refund"] for each in item["refunds"]]
    return _without(item, "refunds", "total_taxes") | {"refund": refunds[0] if refunds else None, "tax_amounts": []}


def _credit_note_line(item: Json, find: Find) -> Json:
    return _without(item, "taxes") | {"tax_amounts": [], "tax_rates": []}


def _items(subscription: Json) -> list[Json]:
    return list(subscription["items"]["data"])


def _without(item: Json, *names: str) -> Json:
    return {name: value for name, value in item.items() if name not in names}


# Since when, newest first; the objects that were another shape before.
_CHANGES: tuple[tuple[str, Mapping[str, Callable[[Json, Find], Json]]], ...] = (
    (CLOVER, {"promotion_code": _promotion_code, "discount": _discount}),
    (
        BASIL,
        {
            "invoice": _invoice,
            "line_item": _invoice_line,
            "subscription": _subscription,
            "credit_note": _credit_note,
            "credit_note_line_item": _credit_note_line,
        },
    ),
)
