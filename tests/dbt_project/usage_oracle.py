"""A random product in use: rows as they land, batch by batch, and what the usage marts must say of them."""

from __future__ import annotations

import random
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

START = datetime(2026, 1, 1, tzinfo=UTC)
FEATURES: Mapping[str, tuple[str, str, str]] = {
    "workflow_runs": ("workflows", "started_by", "started_at"),
    "tasks": ("tasks", "assignee_id", "completed_at"),
    "comments": ("comments", "author_id", "created_at"),
    "api_requests": ("api", "user_id", "occurred_at"),
    "ai_requests": ("ai", "user_id", "occurred_at"),
}
"""table → feature, column of the user, column of the event's time"""


@dataclass(frozen=True)
class Used:
    """One live usage event, as far as the marts care."""

    feature: str
    user: str | None
    failed: bool
    tokens: int
    cost: Decimal


@dataclass
class Product:
    """Current rows of the product's tables, and which of them changed since they last landed."""

    seed: int
    tenants: list[str] = field(init=False)
    rows: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: {table: {} for table in FEATURES})
    changed: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        # Enough for each to have a crowd of peers.
        self.tenants = [self._id() for _ in range(12)]
        self.users = {tenant: [self._id() for _ in range(12)] for tenant in self.tenants}

    def live(self, days: range, events: int) -> None:
        """Events on any of ``days`` (late ones are just earlier days), and changes of rows that exist."""
        for _ in range(events):
            self._add(self.rng.choice(list(FEATURES)), self.rng.choice(self.tenants), self.rng.choice(days))
        for table, rows in self.rows.items():
            standing = sorted(key for key, row in rows.items() if not row["_deleted"])
            for key in self.rng.sample(standing, len(standing) // 20):
                self.rng.choice([self._delete, self._update])(table, key)
            self.changed[table] |= set(self.rng.sample(sorted(rows), len(rows) // 30))  # landed again as they are

    def delete_day(self, tenant: str, day: date) -> None:
        """Everything a tenant did on a day is deleted."""
        for table, (_, _, time) in FEATURES.items():
            for key, row in self.rows[table].items():
                if row["tenant_id"] == tenant and row[time] is not None and row[time].date() == day:
                    self._delete(table, key)

    def batches(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """What has changed since the last call, a table: standing rows whole, deleted ones by their key."""
        for table in FEATURES:
            rows = [self.rows[table][key] for key in sorted(self.changed[table])]
            yield table, [row for row in rows if not row["_deleted"]]
            yield table, [{k: row[k] for k in ("tenant_id", "id", "_deleted")} for row in rows if row["_deleted"]]
        self.changed.clear()

    def used(self) -> dict[tuple[str, date], list[Used]]:
        """Live events, a tenant and UTC day."""
        found = defaultdict(list)
        for table, (feature, user, time) in FEATURES.items():
            for row in self.rows[table].values():
                if not row["_deleted"] and row[time] is not None:
                    failed = row.get("status") == "failed" or (row.get("status_code") or 0) >= 500
                    tokens = (row.get("prompt_tokens") or 0) + (row.get("completion_tokens") or 0)
                    used = Used(feature, row[user], failed, tokens, row.get("cost_usd") or Decimal(0))
                    found[row["tenant_id"], row[time].date()].append(used)
        return dict(found)

    def _add(self, table: str, tenant: str, day: int) -> None:
        at = START + timedelta(days=day, seconds=self.rng.randrange(86_400))
        user = self.rng.choice(self.users[tenant])
        nobody_at_times = self.rng.choice([user, user, None])
        row: dict[str, Any] = {"tenant_id": tenant, "id": self._id(), "_deleted": False}
        match table:
            case "workflow_runs":
                row |= {"started_by": user, "trigger": "manual", "status": "running", "started_at": at}
            case "tasks":
                done = self.rng.random() < 0.7
                row |= {"assignee_id": nobody_at_times, "created_at": at, "completed_at": at if done else None}
                row |= {"status": "done" if done else "open"}
            case "comments":
                row |= {"author_id": user, "created_at": at}
            case "api_requests":
                row |= {"user_id": nobody_at_times, "status_code": self.rng.choice([200, 404, 500]), "occurred_at": at}
            case "ai_requests":
                tokens = {"prompt_tokens": self.rng.randrange(4_000), "completion_tokens": self.rng.randrange(900)}
                row |= {"model": self.rng.choice(["large", "small"])}
                row |= {"user_id": user, **tokens, "cost_usd": Decimal(self.rng.randrange(10**6)).scaleb(-6)}
                row |= {"occurred_at": at}
        self.rows[table][row["id"]] = row
        self.changed[table].add(row["id"])

    def _update(self, table: str, key: str) -> None:
        row = self.rows[table][key]
        if table == "workflow_runs":
            row["status"] = self.rng.choice(["succeeded", "failed"])
        elif table == "tasks" and row["completed_at"] is not None and self.rng.random() < 0.3:
            row |= {"status": "open", "completed_at": None}
        elif table == "tasks":  # for the first time, or anew on another day
            row |= {"status": "done", "completed_at": row["created_at"] + timedelta(hours=self.rng.randrange(480))}
        self.changed[table].add(key)

    def _delete(self, table: str, key: str) -> None:
        self.rows[table][key]["_deleted"] = True
        self.changed[table].add(key)

    def _id(self) -> str:
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))


def usage_daily(used: Mapping[tuple[str, date], list[Used]]) -> set[tuple[Any, ...]]:
    """Rows of rollup_tenant_usage_daily, in the order of its columns."""
    active = {slice_: {one.user for one in ones} - {None} for slice_, ones in used.items()}
    found = set()
    for (tenant, day), ones in used.items():
        count = {feature: sum(one.feature == feature for one in ones) for feature, _, _ in FEATURES.values()}
        failed = {feature: sum(one.feature == feature and one.failed for one in ones) for feature in count}
        windows = [
            len(set().union(*(active.get((tenant, day - timedelta(days=back)), set()) for back in range(length))))
            for length in (1, 7, 28)
        ]
        tokens, cost = sum(one.tokens for one in ones), sum((one.cost for one in ones), Decimal(0))
        found.add(
            (
                *(tenant, day, *windows, count["workflows"], failed["workflows"], count["tasks"], count["comments"]),
                *(count["api"], failed["api"], count["ai"], tokens, cost),
            )
        )
    return found


def feature_adoption(used: Mapping[tuple[str, date], list[Used]]) -> set[tuple[Any, ...]]:
    """Rows of rollup_tenant_feature_adoption_daily, in the order of its columns."""
    found = set()
    for (tenant, day), ones in used.items():
        everyone = {one.user for one in ones} - {None}
        for feature in {one.feature for one in ones}:
            users = {one.user for one in ones if one.feature == feature} - {None}
            events = sum(one.feature == feature for one in ones)
            share = Decimal(len(users)) / len(everyone) if everyone else Decimal(0)
            rounded = share.quantize(Decimal("0.000001"), ROUND_HALF_UP)
            found.add((tenant, day, feature, len(users), events, rounded))
    return found


def users(used: Mapping[tuple[str, date], list[Used]], *, until: date) -> list[tuple[Any, ...]]:
    """Rows of rollup_tenant_users but for the pseudonym; the 28 days end with ``until``."""
    seen: dict[tuple[str, str], list[tuple[date, str]]] = defaultdict(list)
    for (tenant, day), ones in used.items():
        for one in ones:
            if one.user is not None:
                seen[tenant, one.user].append((day, one.feature))
    found = []
    for (tenant, _), events in seen.items():
        recent = [(day, feature) for day, feature in events if until - timedelta(days=28) < day <= until]
        counts = {feature: sum(feature == each for _, each in recent) for _, feature in recent}
        top = min(counts, key=lambda feature: (-counts[feature], feature), default=None)
        days = {day for day, _ in events}
        found.append((tenant, min(days), max(days), len({day for day, _ in recent}), len(recent), top))
    return found
