"""What a portal is made of: object types with their properties, association types, pipelines."""

from __future__ import annotations

from dataclasses import dataclass

from demo.sandbox.store import Json


@dataclass(frozen=True)
class ObjectType:
    """An object type: ``types`` of the properties that can be set, ``shown`` those that need not be asked for."""

    types: dict[str, str]
    shown: tuple[str, ...]
    singular: str
    modified: str = "hs_lastmodifieddate"
    versions: int = 20
    """values of a property that its history keeps"""
    company: str | None = None
    """the property that names its primary company"""
    mergeable: bool = True


OWNED = {"hubspot_owner_id": "number"}
TYPES = {
    "companies": ObjectType(
        types={
            "name": "string",
            "domain": "string",
            "tenant_id": "string",
            "region": "string",
            "industry": "string",
            "numberofemployees": "number",
            "lifecyclestage": "string",
            **OWNED,
        },
        shown=("name", "domain"),
        singular="company",
    ),
    "contacts": ObjectType(
        types={
            "email": "string",
            "firstname": "string",
            "lastname": "string",
            "phone": "string",
            "jobtitle": "string",
            "lifecyclestage": "string",
            "associatedcompanyid": "number",
            **OWNED,
        },
        shown=("firstname", "lastname", "email"),
        singular="contact",
        modified="lastmodifieddate",
        versions=45,
        company="associatedcompanyid",
    ),
    "deals": ObjectType(
        types={
            "dealname": "string",
            "amount": "number",
            "deal_currency_code": "string",
            "dealstage": "string",
            "pipeline": "string",
            "closedate": "datetime",
            "hs_primary_associated_company": "number",
            **OWNED,
        },
        shown=("amount", "closedate", "dealname", "dealstage", "pipeline"),
        singular="deal",
        company="hs_primary_associated_company",
    ),
    "tickets": ObjectType(
        types={
            "subject": "string",
            "content": "string",
            "hs_pipeline": "string",
            "hs_pipeline_stage": "string",
            "hs_ticket_priority": "string",
            "closed_date": "datetime",
            **OWNED,
        },
        shown=("content", "hs_pipeline", "hs_pipeline_stage", "subject"),
        singular="ticket",
    ),
    "products": ObjectType(
        types={
            "name": "string",
            "description": "string",
            "hs_sku": "string",
            "price": "number",
            "recurringbillingfrequency": "string",
        },
        shown=("name", "description", "price"),
        singular="product",
        mergeable=False,
    ),
    "line_items": ObjectType(
        types={
            "name": "string",
            "quantity": "number",
            "price": "number",
            "amount": "number",
            "hs_product_id": "number",
            "hs_line_item_currency_code": "string",
        },
        shown=("hs_product_id", "quantity"),
        singular="line_item",
        mergeable=False,
    ),
}
READ_ONLY = {"hs_merged_object_ids": "string"}
"""Besides the stamps and the id."""
UNUSED = ("calls", "emails", "meetings", "notes", "tasks", "goal_targets", "leads", "deal_split", "form")
"""Object types that every portal has, and of which this one has no records."""
KIND_OF = {type_.singular: kind for kind, type_ in TYPES.items()} | {kind: kind for kind in TYPES}

# (from, to) → (type of the primary association or None, of the plain one), as HubSpot defines them.
ASSOCIATIONS: dict[tuple[str, str], tuple[int | None, int]] = {
    ("contacts", "companies"): (1, 279),
    ("companies", "contacts"): (2, 280),
    ("deals", "companies"): (5, 341),
    ("companies", "deals"): (6, 342),
    ("deals", "contacts"): (None, 3),
    ("contacts", "deals"): (None, 4),
    ("tickets", "companies"): (26, 339),
    ("companies", "tickets"): (25, 340),
    ("tickets", "contacts"): (None, 16),
    ("contacts", "tickets"): (None, 15),
    ("tickets", "deals"): (None, 28),
    ("deals", "tickets"): (None, 27),
    ("deals", "line_items"): (None, 19),
    ("line_items", "deals"): (None, 20),
}
PRIMARY = {1: 2, 2: 1, 5: 6, 6: 5, 25: 26, 26: 25}
"""A primary association's type → the type of the same one, seen from the other side."""


def _pipeline(identifier: str, label: str, stages: tuple[tuple[str, str, str], ...], measure: str) -> Json:
    return {
        "id": identifier,
        "label": label,
        "displayOrder": 0,
        "archived": False,
        "stages": [
            {"id": key, "label": name, "displayOrder": order, "archived": False, "metadata": {measure: value}}
            for order, (key, name, value) in enumerate(stages)
        ],
    }


PIPELINES: dict[str, Json] = {
    "deals": _pipeline(
        "default",
        "Sales Pipeline",
        (
            ("appointmentscheduled", "Appointment Scheduled", "0.2"),
            ("qualifiedtobuy", "Qualified To Buy", "0.4"),
            ("presentationscheduled", "Presentation Scheduled", "0.6"),
            ("decisionmakerboughtin", "Decision Maker Bought-In", "0.8"),
            ("contractsent", "Contract Sent", "0.9"),
            ("closedwon", "Closed Won", "1.0"),
            ("closedlost", "Closed Lost", "0.0"),
        ),
        "probability",
    ),
    "tickets": _pipeline(
        "0",
        "Support Pipeline",
        (
            ("1", "New", "OPEN"),
            ("2", "Waiting on contact", "OPEN"),
            ("3", "Waiting on us", "OPEN"),
            ("4", "Closed", "CLOSED"),
        ),
        "ticketState",
    ),
}
