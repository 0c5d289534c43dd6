"""Stripe's objects and events in SQLite: one sequence orders them all, and identifiers grow with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.sandbox import billing
from demo.sandbox.store import Json, State, dumps

SCHEMA = """
create table if not exists objects (
    seq integer primary key autoincrement,
    kind text not null,
    id text not null unique,
    created integer not null,
    customer text,
    parent text,
    tag text,
    due integer,
    deleted integer not null default 0,
    body text not null
);
create index if not exists objects_by_kind on objects (kind, seq);
create index if not exists objects_by_tag on objects (kind, tag, seq);
create index if not exists objects_by_customer on objects (customer, kind, seq) where kind <> 'event';
create index if not exists objects_by_parent on objects (parent, kind, seq) where parent is not null;
create index if not exists objects_by_due on objects (due, kind, seq) where due is not null;
create table if not exists answers (key text primary key, fingerprint text not null, status integer, body text)
"""
# What an object hangs on, for the lists that filter by it.
_PARENT = {
    "price": "product",
    "refund": "charge",
    "discount": "subscription",
    "proration": "subscription",
    "charge": "payment_intent",
    "credit_note": "invoice",
    "dispute": "charge",
    "balance_transaction": "source",
    "meter_use": "use",
}
_TAG = {
    "event": "type",
    "customer": "email",
    "product": "active",
    "price": "active",
    "promotion_code": "active",
    "tax_rate": "active",
    "balance_transaction": "type",
    "meter_use": "time",
}


@dataclass(frozen=True)
class Page:
    """Bodies, newest first, and whether there are more in the direction that was asked for."""

    bodies: list[str]
    more: bool


class Objects:
    """Objects by id and in order of creation. Writes belong in a transaction of ``state``."""

    def __init__(self, path: Path) -> None:
        self.state = State(path, kind="stripe", schema=SCHEMA)
        self._execute = self.state.connection.execute
        self._counter: int = self.state.meta("counter") or 0

    def new_id(self, prefix: str) -> str:
        """An identifier that sorts after all that were given before: byte order is order of creation."""
        self._counter += 1
        return f"{prefix}_{self._counter:014d}"

    def request_id(self) -> str:
        """An identifier for a request; it takes no number, so that requests without effect leave no gap."""
        return f"req_{self._counter + 1:014d}"

    def keep_counter(self) -> None:
        """Before a commit: no identifier is ever given twice."""
        self.state.set_meta("counter", self._counter)

    def reset_counter(self) -> None:
        """After a rollback."""
        self._counter = self.state.meta("counter") or 0

    def insert(self, item: Json, *, now: int) -> None:
        kind = item["object"]
        self._execute(
            "insert into objects (kind, id, created, customer, parent, tag, due, body) values (?, ?, ?, ?, ?, ?, ?, ?)",
            [kind, item["id"], now, *_columns(kind, item, now), dumps(item)],
        )

    def replace(self, item: Json, *, now: int) -> None:
        self._execute(
            "update objects set customer = ?, parent = ?, tag = ?, due = ?, body = ? where id = ?",
            [*_columns(item["object"], item, now), dumps(item), item["id"]],
        )

    def reschedule(self, item: Json, *, now: int) -> None:
        self._execute(
            "update objects set due = ? where id = ?", [billing.next_due(item["object"], item, now=now), item["id"]]
        )

    def delete(self, identifier: str) -> None:
        """Hide it from lists; its row stays, so that references to it still resolve."""
        self._execute("update objects set deleted = 1, due = null where id = ?", [identifier])

    def erase(self, identifier: str) -> None:
        self._execute("delete from objects where id = ?", [identifier])

    def body(self, kind: str, identifier: str) -> tuple[str, bool] | None:
        """Text of an object and whether it was deleted; None if there never was one."""
        row = self._execute(
            "select body, deleted from objects where id = ? and kind = ?", [identifier, kind]
        ).fetchone()
        return None if row is None else (row[0], bool(row[1]))

    def get(self, identifier: str) -> Json | None:
        row = self._execute("select body from objects where id = ? and kind <> 'proration'", [identifier]).fetchone()
        return None if row is None else json.loads(row[0])

    def of_kind(self, kind: str) -> list[Json]:
        rows = self._execute("select body from objects where kind = ? and deleted = 0 order by seq", [kind])
        return [json.loads(body) for (body,) in rows]

    def hanging_on(self, kind: str, parent: str) -> list[Json]:
        """What ``parent`` has of ``kind``, oldest first."""
        rows = self._execute(
            "select body from objects where parent = ? and kind = ? and deleted = 0 order by seq", [parent, kind]
        )
        return [json.loads(body) for (body,) in rows]

    def of_customer(self, kind: str, customer: str) -> list[Json]:
        rows = self._execute(
            "select body from objects where customer = ? and kind = ? and deleted = 0 order by seq", [customer, kind]
        )
        return [json.loads(body) for (body,) in rows]

    def numbered_invoices(self, customer: str) -> int:
        sql = "select count(*) from objects where customer = ? and kind = 'invoice' and tag <> 'draft'"
        return int(self._execute(sql, [customer]).fetchone()[0])

    def next_due(self, until: int) -> tuple[int, Json] | None:
        """What falls due first, until ``until``: discounts end before invoices are tried, these before renewals."""
        row = self._execute(
            "select due, body from objects where due <= ? order by due, kind, seq limit 1", [until]
        ).fetchone()
        return None if row is None else (row[0], json.loads(row[1]))

    def newest(self) -> int:
        """When the last object was made; 0 if there is none."""
        row = self._execute("select created from objects order by seq desc limit 1").fetchone()
        return 0 if row is None else int(row[0])

    def sequence(self, kind: str, identifier: str) -> int | None:
        row = self._execute("select seq from objects where id = ? and kind = ?", [identifier, kind]).fetchone()
        return None if row is None else int(row[0])

    def page(
        self,
        kind: str,
        conditions: Sequence[tuple[str, Sequence[Any]]],
        *,
        limit: int,
        after: int | None = None,
        before: int | None = None,
    ) -> Page:
        """``limit`` objects older than sequence ``after`` or newer than ``before``.

        ``conditions`` are SQL texts written in this program, with the values to bind.
        """
        wanted: list[tuple[str, Sequence[Any]]] = [("kind = ?", [kind]), ("deleted = 0", []), *conditions]
        if after is not None:
            wanted.append(("seq < ?", [after]))
        if before is not None:
            wanted.append(("seq > ?", [before]))
        where = " and ".join(text for text, _ in wanted)
        order = "asc" if before is not None else "desc"
        values = [value for _, bound in wanted for value in bound]
        sql = f"select body from objects where {where} order by seq {order} limit ?"  # noqa: S608 - own texts only
        bodies = [body for (body,) in self._execute(sql, [*values, limit + 1])]
        more = len(bodies) > limit
        bodies = bodies[:limit]
        return Page(bodies=bodies[::-1] if before is not None else bodies, more=more)

    # answers to requests that carried an idempotency key

    def answered(self, key: str) -> tuple[str, int, str] | None:
        """Fingerprint of the request, status and body of the answer."""
        row = self._execute("select fingerprint, status, body from answers where key = ?", [key]).fetchone()
        return None if row is None else (row[0], row[1], row[2])

    def remember(self, key: str, fingerprint: str, status: int, body: str) -> None:
        self._execute("insert into answers values (?, ?, ?, ?)", [key, fingerprint, status, body])


def _columns(kind: str, item: Json, now: int) -> list[Any]:
    parent = item.get(_PARENT.get(kind, ""))
    if kind == "invoice":
        parent = item["parent"]["subscription_details"]["subscription"]
    tag = item.get(_TAG.get(kind, "status"))
    customer = item.get("customer") if kind != "event" else None
    return [customer, parent, str(tag).lower() if isinstance(tag, bool) else tag, billing.next_due(kind, item, now=now)]
