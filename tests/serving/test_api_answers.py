"""What each answer of the read API says, held to its model and to rows derived here."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal

import duckdb
import httpx
import pytest

from demo.postgres import EmbeddedPostgres
from serving.api import models
from tests.serving.api_support import bearer, serve
from tests.serving.conftest import AS_OF, FIRST_DAY, USAGE, Product, new_product

USERS = 7
PATHS: dict[str, type[models.Answer]] = {
    "/v1/usage": models.Usage,
    "/v1/features": models.Features,
    "/v1/entitlements": models.Entitlements,
    "/v1/ai": models.Ai,
    "/v1/users": models.Users,
    "/v1/benchmarks": models.Benchmarks,
    "/v1/freshness": models.Freshness,
    "/v1/rolling": models.Rolling,
}


@pytest.fixture(scope="module")
def published(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """Acorn and Birch with rows in every rollup, the others in those of usage; the tests that share it only read."""
    with new_product(postgres, tmp_path_factory.mktemp("product")) as made:
        made.build(1, days=40)
        with duckdb.connect(str(made.warehouse)) as warehouse:
            for scale, slug in ((1, "acorn"), (2, "birch")):
                fill(warehouse, made.tenants[slug].id, scale)
        made.publish(1)
        yield made


def fill(warehouse: duckdb.DuckDBPyConnection, tenant: str, scale: int) -> None:
    """Figures in proportion to ``scale``; of another tenant, another."""
    ai = [
        (tenant, FIRST_DAY + timedelta(days=day), model, scale, 100 * scale, Decimal(cents * scale) / 100)
        for day in range(40)
        for model, cents in (("large", 25), ("small", 1))
    ]
    warehouse.executemany("insert into rollups.rollup_tenant_ai_daily values (?, ?, ?, ?, ?, ?)", ai)
    limits = [
        (tenant, month, metric, "u", used * scale, 10, used * scale / 10, used * scale, 3, None, cost, cost)
        for month, used in ((date(2026, 1, 1), 8), (date(2026, 2, 1), 5))
        for metric, cost in (("seats", None), ("ai_tokens", Decimal(used * scale)))
    ]
    marks = ", ".join("?" * 12)
    warehouse.executemany(f"insert into rollups.rollup_tenant_entitlements_monthly values ({marks})", limits)  # noqa: S608
    users = [
        (tenant, f"{n + 100 * scale:064x}", FIRST_DAY, FIRST_DAY + timedelta(days=n // 2), n, n * scale, None)
        for n in range(USERS)
    ]
    warehouse.executemany("insert into rollups.rollup_tenant_users values (?, ?, ?, ?, ?, ?, ?)", users)
    peers = [
        (tenant, month, metric, scale / 10, 0.1, 0.2, 0.3, 10)
        for month in (date(2026, 1, 1), date(2026, 2, 1))
        for metric in ("seat_use", "stickiness")
    ]
    warehouse.executemany("insert into rollups.rollup_tenant_benchmarks_monthly values (?, ?, ?, ?, ?, ?, ?, ?)", peers)


@pytest.fixture(scope="module")
def client(published: Product) -> Iterator[httpx.Client]:
    with serve(published) as made:
        yield made


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("slug", ["acorn", "cedar", "deep-vault"])
def test_every_answer_is_of_its_model_to_the_last_key(
    published: Product, client: httpx.Client, path: str, slug: str
) -> None:
    answer = client.get(path, headers=bearer(published, slug))
    assert answer.status_code == 200
    told = PATHS[path].model_validate(answer.json()).model_dump(mode="json", by_alias=True)
    assert shape(told) == shape(answer.json())


def shape(value: object) -> object:
    """Keys all the way down, without values."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return None


@pytest.mark.parametrize("path", PATHS)
def test_before_the_first_publish_the_same_keys_hold_nothing(product: Product, path: str) -> None:
    with serve(product) as client:
        answer = client.get(path, headers=bearer(product, "acorn"))
    assert answer.status_code == 200
    told = PATHS[path].model_validate(answer.json())
    assert (told.version, told.as_of) == (None, None)
    assert set(answer.json()) == set(told.model_dump(by_alias=True))


def test_rolling_tells_the_whole_days_before_as_of_and_ranks_models_by_cost(
    published: Product, client: httpx.Client
) -> None:
    found = models.Rolling.model_validate(client.get("/v1/rolling", headers=bearer(published, "birch")).json())
    assert (found.version, found.as_of) == (1, AS_OF)
    assert found.last_day == AS_OF.date() - timedelta(days=1)
    days = (AS_OF.date() - FIRST_DAY).days
    assert found.activity is not None
    assert (found.activity.days, found.activity.workflow_runs) == (days, days)
    # 25 and 1 cents a day, twice as much for birch.
    assert [(each.rank, each.model, each.cost_usd) for each in found.models] == [
        (1, "large", Decimal(25 * 2 * days) / 100),
        (2, "small", Decimal(1 * 2 * days) / 100),
    ]
    assert {each.rank for each in found.features} == {1}, "as many events of each"


def test_entitlements_are_of_the_newest_month(published: Product, client: httpx.Client) -> None:
    found = client.get("/v1/entitlements", headers=bearer(published, "birch")).json()
    assert found["month"] == "2026-02-01"
    assert [(each["metric"], each["used"], each["included_usd"]) for each in found["entitlements"]] == [
        ("ai_tokens", 10, "10.000000"),  # 5 × 2
        ("seats", 10, None),
    ]


def test_ai_is_told_by_model_the_dearest_first_beside_the_range_before(
    published: Product, client: httpx.Client
) -> None:
    query = {"from": "2026-01-03", "to": "2026-01-06"}
    found = models.Ai.model_validate(client.get("/v1/ai", params=query, headers=bearer(published, "birch")).json())
    assert [(each.model, each.requests, each.tokens, each.cost_usd) for each in found.models] == [
        ("large", 8, 800, 2),  # 4 days: 2 requests, 200 tokens, 0.50 a day
        ("small", 8, 800, Decimal("0.08")),
    ]
    assert [each.day.day for each in found.models[0].days] == [3, 4, 5, 6]
    assert (found.totals.cost_usd, found.previous.cost_usd) == (Decimal("2.08"), Decimal("1.04"))  # two days before
    assert (found.spent_month_usd, found.spend_cap_usd) == (10, 10)


@pytest.mark.parametrize("sort", ["user_key", "-last_active_day", "last_active_day", "-events_28d", "active_days_28d"])
@pytest.mark.parametrize("limit", [1, 3, USERS, 50])
def test_pages_of_users_join_into_the_whole_list_in_order(
    published: Product, client: httpx.Client, sort: str, limit: int
) -> None:
    found: list[models.User] = []
    query: dict[str, str | int] = {"sort": sort, "limit": limit}
    while True:
        page = models.Users.model_validate(
            client.get("/v1/users", params=query, headers=bearer(published, "birch")).raise_for_status().json()
        )
        assert len(page.users) <= limit
        found += page.users
        if page.next_cursor is None:
            break
        query["cursor"] = page.next_cursor
    column = sort.removeprefix("-")
    expected = sorted(found, key=lambda user: user.user_key)
    expected.sort(key=lambda user: getattr(user, column), reverse=sort.startswith("-"))
    assert found == expected
    assert len({user.user_key for user in found}) == USERS


def test_benchmarks_are_of_the_newest_month(published: Product, client: httpx.Client) -> None:
    found = client.get("/v1/benchmarks", headers=bearer(published, "acorn")).json()
    assert found["month"] == "2026-02-01"
    assert found["benchmarks"][1] == {
        "metric": "stickiness", "value": 0.1, "p25": 0.1, "median": 0.2, "p75": 0.3, "peers": 10
    }  # fmt: skip


def test_weeks_and_months_add_up_to_the_days(published: Product, client: httpx.Client) -> None:
    """40 days from Thursday, 1 January 2026: 4 of the first ISO week, five whole weeks, 1 of the last; 31 and 9."""
    query = {"from": "2026-01-01", "to": "2026-02-09"}
    answers = {
        grain: client.get("/v1/usage", params=query | {"grain": grain}, headers=bearer(published, "acorn")).json()
        for grain in ("day", "week", "month")
    }
    sizes = {grain: [day["workflow_runs"] for day in answer["days"]] for grain, answer in answers.items()}
    assert sizes == {"day": [1] * 40, "week": [4, 7, 7, 7, 7, 7, 1], "month": [31, 9]}
    assert [day["day"] for day in answers["month"]["days"]] == ["2026-01-01", "2026-02-01"]
    assert answers["week"]["days"][0]["day"] == "2025-12-29"
    assert len({repr(answer["totals"]) for answer in answers.values()}) == 1


def test_windows_of_a_bucket_are_those_of_its_last_day(product: Product) -> None:
    with duckdb.connect(str(product.warehouse)) as warehouse:
        warehouse.execute(
            f"update rollups.{USAGE} set active_users = 11 - day(day), active_users_7d = day(day), "  # noqa: S608
            "active_users_28d = 2 * day(day)"
        )
    product.publish(1)
    with serve(product) as client:
        found = client.get("/v1/usage", params={"grain": "month"}, headers=bearer(product, "acorn")).json()["days"]
    (bucket,) = found
    assert (bucket["active_users"], bucket["active_users_7d"], bucket["active_users_28d"]) == (10, 10, 20)
