"""Figures of three tenants that differ from day to day, in the warehouse's rollups: what the page is held against."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import duckdb

from tests.serving.conftest import Product, create_rollups

FIRST_DAY, DAYS = date(2026, 1, 5), 60
LAST_DAY = FIRST_DAY + timedelta(days=DAYS - 1)
THIS_MONTH = LAST_DAY.replace(day=1)
USERS = 23
SPEND_CAP = Decimal("40.00")
MODELS = ("large", "small")
Row = dict[str, Any]


def days() -> list[date]:
    return [FIRST_DAY + timedelta(days=n) for n in range(DAYS)]


def usage(scale: int) -> list[Row]:
    """A row a day; weekends are quieter. Every figure follows from the day's number and the tenant's scale."""
    rows = []
    for n, day in enumerate(days()):
        busy = 2 if day.weekday() >= 5 else 10
        ai_tokens = scale * busy * 1_000
        rows.append(
            {
                "day": day,
                "active_users": min(busy, USERS),
                "active_users_7d": 14,
                "active_users_28d": 20,
                "workflow_runs": scale * (busy + n % 7),
                "workflow_runs_failed": n % 3,
                "tasks_completed": scale * busy * 2,
                "comments": scale * busy,
                "api_requests": scale * busy * 30,
                "api_errors": n % 2,
                "ai_requests": scale * busy,
                "ai_tokens": ai_tokens,
                "ai_cost_usd": Decimal(ai_tokens) / 10_000,
            }
        )
    return rows


def features(scale: int) -> list[Row]:
    """Each feature's share of the day's users falls from the first to the last."""
    shares = {"workflows": "0.8", "api": "0.6", "tasks": "0.5", "comments": "0.3", "ai": "0.2"}
    rows = []
    for row in usage(scale):
        counts = {
            "workflows": row["workflow_runs"],
            "api": row["api_requests"],
            "tasks": row["tasks_completed"],
            "comments": row["comments"],
            "ai": row["ai_requests"],
        }
        for feature, share in shares.items():
            adoption = Decimal(share)
            users = int(adoption * row["active_users"])
            told = {"feature": feature, "day": row["day"], "active_users": users}
            rows.append(told | {"events": counts[feature], "adoption_share": adoption})
    return rows


def ai(scale: int) -> list[Row]:
    """Two models, of which the large one costs three times as much and together as much as the usage rollup says."""
    rows = []
    for row in usage(scale):
        for model, part in zip(MODELS, (Decimal("0.75"), Decimal("0.25")), strict=True):
            told = {
                "day": row["day"],
                "model": model,
                "requests": row["ai_requests"] // 2,
                "tokens": row["ai_tokens"] // 2,
            }
            rows.append(told | {"cost_usd": row["ai_cost_usd"] * part})
    return rows


def spent_this_month(scale: int) -> Decimal:
    return sum((row["ai_cost_usd"] for row in usage(scale) if row["day"] >= THIS_MONTH), Decimal(0))


def entitlements(scale: int) -> list[Row]:
    """One calm, one that will be reached, one that is over, one without limit."""
    base: Row = {"month": THIS_MONTH, "days_to_limit": None, "limit_day": None, "used_usd": None, "included_usd": None}
    spent = spent_this_month(scale)
    return [
        base | {"metric": "seats", "unit": "users", "used": 20, "included": 50, "forecast_month_end": 20},
        base
        | {"metric": "workflow_runs", "unit": "runs", "used": 600, "included": 1000, "forecast_month_end": 1500}
        | {"days_to_limit": 8, "limit_day": LAST_DAY + timedelta(days=9)},
        base
        | {"metric": "ai_tokens", "unit": "tokens", "used": 1_100_000, "included": 1_000_000}
        | {"forecast_month_end": 2_750_000, "days_to_limit": 0, "used_usd": spent, "included_usd": SPEND_CAP},
        base
        | {"metric": "api_requests", "unit": "requests", "used": 9_000, "included": None, "forecast_month_end": 22_000},
    ]


def benchmarks() -> list[Row]:
    figures = {
        "stickiness": ("0.52", "0.21", "0.34", "0.46"),
        "seat_use": ("0.40", "0.38", "0.55", "0.72"),
        "api_error_share": ("0.004", "0.01", "0.02", "0.05"),
    }
    names = ("value", "p25", "median", "p75")
    return [
        {"month": THIS_MONTH, "metric": metric, "peers": 20} | dict(zip(names, map(Decimal, told), strict=True))
        for metric, told in figures.items()
    ]


def user_key(tenant: str, n: int) -> str:
    """A pseudonym as the warehouse makes them: 64 hexadecimal digits."""
    return hashlib.sha256(f"{tenant}/{n}".encode()).hexdigest()


def users(tenant: str) -> list[Row]:
    return [
        {
            "user_key": user_key(tenant, n),
            "first_active_day": FIRST_DAY + timedelta(days=n),
            "last_active_day": LAST_DAY - timedelta(days=n),
            "active_days_28d": 20 - n % 20,
            "events_28d": 500 - n,
            "top_feature": ("workflows", "api", "tasks")[n % 3],
        }
        for n in range(USERS)
    ]


def fill(product: Product, *, scales: dict[str, int]) -> None:
    """The warehouse anew: rollups of the tenants in ``scales`` (slug → how much they use), the others without a row."""
    with duckdb.connect(str(product.warehouse)) as warehouse:
        create_rollups(warehouse)
        named = [(each.id, each.name, each.slug, each.tier, "us", False) for each in product.tenants.values()]
        warehouse.executemany("insert into marts.dim_tenants values (?, ?, ?, ?, ?, ?)", named)
        for slug, scale in scales.items():
            tenant = product.tenants[slug].id
            shares = [
                row | {"share_used": Decimal(row["used"]) / row["included"] if row["included"] else None}
                for row in entitlements(scale)
            ]
            insert(warehouse, "rollup_tenant_usage_daily", tenant, usage(scale))
            insert(warehouse, "rollup_tenant_feature_adoption_daily", tenant, features(scale))
            insert(warehouse, "rollup_tenant_ai_daily", tenant, ai(scale))
            insert(warehouse, "rollup_tenant_entitlements_monthly", tenant, shares)
            insert(warehouse, "rollup_tenant_benchmarks_monthly", tenant, benchmarks())
            insert(warehouse, "rollup_tenant_users", tenant, users(tenant))


def insert(warehouse: duckdb.DuckDBPyConnection, table: str, tenant: str, rows: Iterable[Row]) -> None:
    rows = list(rows)
    columns = ["tenant_id", *rows[0]]
    places = ", ".join("?" for _ in columns)
    warehouse.executemany(
        f"insert into rollups.{table} ({', '.join(columns)}) values ({places})",  # noqa: S608
        [[tenant, *row.values()] for row in rows],
    )
