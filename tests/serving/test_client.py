"""The client against the real app: typed answers, all pages, patience, and errors that say what was refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from demo.postgres import EmbeddedPostgres
from serving.api import models
from serving.client import Client, ClientError
from serving.tokens import mint_demo_token
from tests.serving.api_support import serve
from tests.serving.conftest import DAYS, FIRST_DAY, Product, new_product

USERS = 23


@pytest.fixture(scope="module")
def published(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with new_product(postgres, tmp_path_factory.mktemp("product")) as made:
        with duckdb.connect(str(made.warehouse)) as warehouse:
            users = [(made.tenants["acorn"].id, f"{n:064x}", FIRST_DAY, FIRST_DAY, 1, n, "api") for n in range(USERS)]
            warehouse.executemany("insert into rollups.rollup_tenant_users values (?, ?, ?, ?, ?, ?, ?)", users)
        made.publish(1)
        yield made


@pytest.fixture(scope="module")
def address(published: Product) -> Iterator[str]:
    with serve(published) as http:
        yield str(http.base_url)


def token(product: Product) -> str:
    return mint_demo_token(product.settings, product.tenants["acorn"].id)


def test_every_answer_comes_typed(published: Product, address: str) -> None:
    with Client(address, lambda: token(published)) as client:
        usage = client.usage(first=FIRST_DAY, last=FIRST_DAY + timedelta(days=6), grain="week")
        answers = [client.features(), client.ai(), client.entitlements(), client.benchmarks(), client.rolling()]
        answers.append(client.freshness())
    assert (usage.first, usage.last, usage.grain) == (date(2026, 1, 1), date(2026, 1, 7), models.Grain.WEEK)
    assert {each.version for each in (usage, *answers)} == {1}


def test_all_users_come_once_however_long_a_page_is(published: Product, address: str) -> None:
    with Client(address, token(published)) as client:
        for page in (1, 10, USERS, 500):
            assert [int(user.user_key, 16) for user in client.users(page=page)] == list(range(USERS))


def test_a_publish_between_two_pages_loses_and_doubles_no_user(product: Product) -> None:
    def users(numbers: range, events: int) -> None:
        with duckdb.connect(str(product.warehouse)) as warehouse:
            rows = [(product.tenants["acorn"].id, f"{n:064x}", FIRST_DAY, FIRST_DAY, 1, events, None) for n in numbers]
            warehouse.execute("delete from rollups.rollup_tenant_users")
            warehouse.executemany("insert into rollups.rollup_tenant_users values (?, ?, ?, ?, ?, ?, ?)", rows)

    users(range(10), 1)
    product.publish(1)
    with serve(product) as http, Client(str(http.base_url), token(product)) as client:
        found = client.users(page=4)
        seen = [next(found)]
        users(range(12), 2)
        product.publish(2)
        seen += found
    assert [int(user.user_key, 16) for user in seen] == list(range(12))


def test_a_file_is_written_whole(published: Product, address: str, tmp_path: Path) -> None:
    with Client(address, token(published)) as client:
        assert client.export("usage", tmp_path / "usage.csv") == 1
    assert len((tmp_path / "usage.csv").read_text().splitlines()) == 1 + DAYS


def test_it_waits_as_long_as_it_is_told_and_asks_again(published: Product) -> None:
    serving = published.settings.serving.model_copy(update={"requests_per_second": 0.1, "request_burst": 1})
    slow = replace(published, settings=published.settings.model_copy(update={"serving": serving}))
    waited: list[float] = []
    with serve(slow) as http, Client(str(http.base_url), token(slow), sleep=waited.append, tries=3) as client:
        client.freshness()
        with pytest.raises(ClientError) as refused:
            client.freshness()
    assert refused.value.status == 429
    assert len(waited) == 2
    assert all(8 <= seconds <= 10 for seconds in waited)


def test_a_refusal_says_why_and_is_not_asked_again(published: Product, address: str) -> None:
    waited: list[float] = []
    with Client(address, "nothing", sleep=waited.append) as client, pytest.raises(ClientError, match="401: A valid"):
        client.usage()
    with Client(address, token(published), sleep=waited.append) as client, pytest.raises(ClientError, match="422"):
        client.usage(first=date(2026, 2, 1), last=date(2026, 1, 1))
    with Client("http://127.0.0.1:1", "x") as client, pytest.raises(ClientError, match=r"^0: "):
        client.freshness()
    assert waited == []
