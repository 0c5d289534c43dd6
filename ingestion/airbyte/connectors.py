"""What is particular to each of Airbyte's connectors: which streams it has, their cursors, how it shows deletes.

Read off source-stripe 5.14.1, source-hubspot 5.7.0, source-salesforce 2.10.3 and source-postgres as published. A stream
or field that a connector turns out not to have is refused by ``apply``, which asks the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pii_policies import Table

CDC_CURSOR = "_ab_cdc_lsn"
CDC_COLUMNS = ("_ab_cdc_lsn", "_ab_cdc_updated_at", "_ab_cdc_deleted_at")


@dataclass(frozen=True, kw_only=True)
class Connector:
    """One connector. ``tables`` None: whatever the source has; ``marker`` None: it does not show deletes in the row.

    ``marked`` None: all tables have the marker but those that are ``unmarked``.
    """

    source: str
    kind: str
    cursor: str
    tables: frozenset[str] | None = None
    absent_tables: frozenset[str] = frozenset()
    cursors: Mapping[str, str] | None = None
    marker: str | None = None
    marked: frozenset[str] | None = None
    unmarked: frozenset[str] = frozenset()
    absent_columns: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    """``table.column`` that the connector gives as text, whatever the contract's type"""

    @property
    def captures_changes(self) -> bool:
        """Whether rows carry the CDC columns themselves."""
        return self.cursor == CDC_CURSOR

    def lacks_table(self, table: str) -> bool:
        return table in self.absent_tables or (self.tables is not None and table not in self.tables)

    def lacks_column(self, table: str, column: str) -> bool:
        return f"{table}.{column}" in self.absent_columns

    def cursor_of(self, table: str) -> str:
        return (self.cursors or {}).get(table, self.cursor)

    def marker_of(self, table: str) -> str | None:
        """The boolean column that says that the source deleted the row."""
        marked = table not in self.unmarked if self.marked is None else table in self.marked
        return self.marker if marked else None

    def extra_columns(self, table: Table) -> tuple[str, ...]:
        """Columns that land beside the contract's own, because Airbyte's bookkeeping needs them."""
        if self.captures_changes:
            return CDC_COLUMNS
        if self.lacks_table(table.name):
            return ()
        named = {column.name for column in table.landed}
        wanted = (self.cursor_of(table.name), self.marker_of(table.name))
        return tuple(dict.fromkeys(name for name in wanted if name is not None and name not in named))


_STRIPE_DELETES = frozenset({"customers", "products", "prices", "coupons", "subscriptions", "invoices"})
_STRIPE_UPDATED = _STRIPE_DELETES | {
    "promotion_codes",
    "credit_notes",
    "charges",
    "payment_intents",
    "refunds",
    "disputes",
    "payouts",
}
_STRIPE_CREATED = frozenset({"events", "balance_transactions"})

CONNECTORS: Mapping[str, Connector] = {
    "app": Connector(source="app", kind="postgres", cursor=CDC_CURSOR),
    "stripe": Connector(
        source="stripe",
        kind="stripe",
        cursor="updated",
        tables=_STRIPE_UPDATED | _STRIPE_CREATED,
        cursors=dict.fromkeys(_STRIPE_CREATED, "created"),
        marker="is_deleted",
        marked=_STRIPE_DELETES,
        absent_columns=frozenset(
            {  # it asks in the terms of API version 2022-11-15
                "subscriptions.discounts",
                "invoices.parent",
                "promotion_codes.promotion",
                "credit_notes.pre_payment_amount",
                "credit_notes.post_payment_amount",
                "credit_notes.refunds",
            }
        ),
        texts=frozenset({"coupons.redeem_by"}),
    ),
    "hubspot": Connector(
        source="hubspot",
        kind="hubspot",
        cursor="updatedAt",
        tables=frozenset({"companies", "contacts", "deals", "tickets", "products", "line_items", "owners"}),
        marker="archived",
        absent_columns=frozenset({"tickets.company_id", "line_items.company_id", "line_items.deal_id", "owners.type"}),
    ),
    "salesforce": Connector(
        source="salesforce",
        kind="salesforce",
        cursor="SystemModstamp",
        cursors={"OpportunityFieldHistory": "CreatedDate"},
        absent_tables=frozenset({"RecordMerge"}),
        marker="IsDeleted",
        unmarked=frozenset({"User"}),
    ),
}
