"""What stands around the answers: tags, limits, refusals, other origins, API keys, files; and the whole by contract."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import duckdb
import httpx
import psycopg
import pyarrow.parquet
import pytest
import schemathesis
from schemathesis.checks import CHECKS

from demo.postgres import EmbeddedPostgres
from serving.api import create_app, keys
from serving.api.limits import Limits
from serving.tokens import ensure_demo_keys
from settings import TailraceError
from tests.serving.api_support import bearer, serve
from tests.serving.conftest import DAYS, Product, new_product

ORIGIN = "https://app.example.com"
BEYOND_A_SCHEMA = ("from is after to", "the range is longer than", "not a cursor of this list")
"""rules about more than one parameter, and about what only the API itself has made"""


@pytest.fixture(scope="module")
def published(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """Every tenant with the same figures, published; Acorn's models of AI have names that a spreadsheet would run."""
    with new_product(postgres, tmp_path_factory.mktemp("product")) as made:
        serving = made.settings.serving.model_copy(update={"embed_origins": (ORIGIN,), "request_burst": 100_000})
        own = replace(made, settings=made.settings.model_copy(update={"serving": serving}))
        with duckdb.connect(str(made.warehouse)) as warehouse:
            for model in ("=cmd|' /C calc'!A0", "-1+1", "plain"):
                row = [made.tenants["acorn"].id, "2026-01-02", model, 1, 2, Decimal("0.5")]
                warehouse.execute("insert into rollups.rollup_tenant_ai_daily values (?, ?, ?, ?, ?, ?)", row)
        own.publish(1)
        yield own


@pytest.fixture(scope="module")
def client(published: Product) -> Iterator[httpx.Client]:
    with serve(published) as made:
        yield made


def test_an_answer_that_is_known_already_is_not_sent_again(published: Product, client: httpx.Client) -> None:
    own = bearer(published, "acorn")
    first = client.get("/v1/usage", headers=own)
    tag = first.headers["etag"]
    assert tag.startswith('"'), "strong"
    assert (first.headers["cache-control"], "Authorization" in first.headers["vary"]) == ("private, no-cache", True)
    for known in (tag, f'"x", W/{tag}', "*"):
        again = client.get("/v1/usage", headers=own | {"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.get("/v1/usage", headers=own | {"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("path", ["/v1/features", "/v1/benchmarks", "/v1/exports/features.csv"])
def test_tags_of_equal_answers_of_two_tenants_differ(published: Product, client: httpx.Client, path: str) -> None:
    acorn, birch = (client.get(path, headers=bearer(published, slug)) for slug in ("acorn", "birch"))
    assert acorn.content == birch.content
    assert acorn.headers["etag"] != birch.headers["etag"]
    crossed = client.get(path, headers=bearer(published, "birch") | {"If-None-Match": acorn.headers["etag"]})
    assert crossed.status_code == 200


def test_head_is_get_without_the_body(published: Product, client: httpx.Client) -> None:
    own = bearer(published, "acorn")
    head, whole = client.head("/v1/freshness", headers=own), client.get("/v1/freshness", headers=own)
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", whole.headers["etag"])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/v1/usage", 405), ("DELETE", "/v1/users", 405), ("GET", "/v1/nothing", 404), ("PUT", "/v1/x", 405),
     ("GET", "/v1/exports/secrets.csv", 422), ("GET", "/v1/exports/usage.xls", 422)],
)  # fmt: skip
def test_every_refusal_is_a_problem_document(
    published: Product, client: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path, headers=bearer(published, "acorn"))
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["status"] == status
    assert ("allow" in answer.headers) == (status == 405)
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("cursor", ["x", "e30", "WyJ1c2VyX2tleSIsIjEiXQ", "=" * 40, "é"])
def test_a_cursor_of_nothing_is_refused(published: Product, client: httpx.Client, cursor: str) -> None:
    query = {"cursor": cursor, "sort": "user_key"}
    assert client.get("/v1/users", params=query, headers=bearer(published, "acorn")).status_code == 422


def test_only_named_origins_may_ask_and_frame(published: Product, client: httpx.Client) -> None:
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    allowed = client.options("/v1/usage", headers=asked)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (204, ORIGIN)
    own = bearer(published, "acorn")
    assert client.get("/v1/usage", headers=own | {"Origin": ORIGIN}).headers["access-control-allow-origin"] == ORIGIN
    for other in ("https://evil.example", "null", f"{ORIGIN}.evil.example"):
        refused = [
            client.options("/v1/usage", headers=asked | {"Origin": other}),
            client.get("/v1/usage", headers=own | {"Origin": other}),
        ]
        assert not any("access-control-allow-origin" in each.headers for each in refused)
    assert f"frame-ancestors {ORIGIN}" in client.get("/").headers["content-security-policy"]
    assert not any("access-control-allow-credentials" in each.headers for each in (allowed, client.get("/")))


def test_a_tenant_that_asks_too_often_is_told_when_to_come_back_and_harms_nobody_else(published: Product) -> None:
    serving = published.settings.serving.model_copy(update={"requests_per_second": 0.01, "request_burst": 3})
    few = replace(published, settings=published.settings.model_copy(update={"serving": serving}))
    with serve(few) as client:
        answers = [client.get("/v1/freshness", headers=bearer(few, "acorn")) for _ in range(5)]
        other = client.get("/v1/freshness", headers=bearer(few, "birch"))
    assert [each.status_code for each in answers] == [200, 200, 200, 429, 429]
    assert [each.headers["ratelimit"].split(";")[1] for each in answers] == ["r=2", "r=1", "r=0", "r=0", "r=0"]
    assert answers[0].headers["ratelimit-policy"] == '"tenant";q=3;w=300'  # 3 at once, 100 s each
    assert 90 <= int(answers[3].headers["retry-after"]) <= 100
    assert other.status_code == 200


def test_processes_count_what_a_tenant_asks_together(tmp_path: Any) -> None:
    one, two = (Limits(per_second=0.001, burst=4, shared=tmp_path / "limits") for _ in range(2))
    tenant = uuid.uuid4()
    assert [each.take(tenant).remaining for each in (one, two, one, two)] == [3, 2, 1, 0]
    assert one.take(tenant).retry > 0 < two.take(tenant).retry
    assert one.take(uuid.uuid4()).retry == 0


def test_a_full_table_of_limits_forgets_who_has_waited_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.api.limits._SLOTS", 16)
    limits = Limits(per_second=1, burst=50)
    tenants = [uuid.uuid4() for _ in range(40)]
    assert all(limits.take(tenant).retry == 0 for tenant in tenants)


@pytest.fixture
def key(published: Product) -> tuple[str, keys.ApiKey]:
    return keys.create(published.settings, tenant=published.tenants["acorn"].id, label="nightly", days=1)


def test_a_machine_is_let_in_by_its_key_as_its_tenant(
    published: Product, client: httpx.Client, key: tuple[str, keys.ApiKey]
) -> None:
    secret, made = key
    usage = client.get("/v1/usage", headers={"Authorization": f"Bearer {secret}"}).json()
    assert usage["tenant_name"] == published.tenants["acorn"].name
    other = secret.replace(uuid.UUID(made.tenant).hex, uuid.UUID(published.tenants["birch"].id).hex)
    refusal = client.get("/v1/usage")
    for wrong in (other, secret[:-1] + ("A" if secret[-1] != "A" else "B"), secret.replace(made.key_id, "0" * 12)):
        answer = client.get("/v1/usage", headers={"Authorization": f"Bearer {wrong}"})
        assert (answer.status_code, answer.content) == (401, refusal.content)


def test_a_key_that_was_revoked_or_has_expired_is_refused(
    published: Product, client: httpx.Client, key: tuple[str, keys.ApiKey]
) -> None:
    secret, made = key
    keys.revoke(published.settings, made.key_id)
    assert client.get("/v1/usage", headers={"Authorization": f"Bearer {secret}"}).status_code == 401
    late, second = keys.create(published.settings, tenant=made.tenant, label="old", days=1)
    with published.connect("tailrace_publisher") as writer:
        writer.execute("update tenant_analytics.api_keys set expires_at = now() where key_id = %s", [second.key_id])
    assert client.get("/v1/usage", headers={"Authorization": f"Bearer {late}"}).status_code == 401


def test_of_a_key_only_a_hash_is_kept_and_only_its_tenant_sees_that(
    published: Product, key: tuple[str, keys.ApiKey]
) -> None:
    secret, made = key
    with published.connect("tailrace_publisher") as writer:
        kept = repr(writer.execute("select * from tenant_analytics.api_keys").fetchall())
    assert secret.rsplit("_", 1)[1] not in kept
    assert made.key_id in {each.key_id for each in keys.listed(published.settings, tenant=made.tenant)}
    with published.connect("tailrace_reader") as reader:
        query = "select count(*) from (select key_id from tenant_analytics.api_keys) as seen"
        for tenant, seen in (("", False), (published.tenants["birch"].id, False), (made.tenant, True)):
            reader.execute("select set_config('app.current_tenant_id', %s, false)", [tenant])
            assert bool(reader.execute(query).fetchone()[0]) == seen
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("select label from tenant_analytics.api_keys")
    with pytest.raises(TailraceError, match="no published tenant"):
        keys.create(published.settings, tenant=str(uuid.uuid4()), label="", days=1)


@pytest.mark.parametrize("name", ["usage", "features", "ai", "users", "entitlements", "benchmarks"])
def test_a_file_holds_the_tenants_rows_the_same_in_both_formats(
    published: Product, client: httpx.Client, name: str
) -> None:
    own = bearer(published, "acorn")
    text = client.get(f"/v1/exports/{name}.csv", headers=own)
    table = client.get(f"/v1/exports/{name}.parquet", headers=own)
    assert text.headers["content-disposition"] == f'attachment; filename="{name}.csv"'
    assert (text.headers["tailrace-version"], table.headers["tailrace-version"]) == ("1", "1")
    rows = list(csv.DictReader(io.StringIO(text.text)))
    exact = pyarrow.parquet.read_table(io.BytesIO(table.content)).to_pylist()
    assert len(rows) == len(exact) == {"usage": DAYS, "features": 2 * DAYS, "ai": 3}.get(name, 0)
    written = [{key: "" if value is None else str(value) for key, value in row.items()} for row in exact]
    assert [{key: value.removeprefix("'") for key, value in row.items()} for row in rows] == written


def test_a_file_runs_no_formula_and_keeps_to_its_range(published: Product, client: httpx.Client) -> None:
    own = bearer(published, "acorn")
    models = [row["model"] for row in csv.DictReader(io.StringIO(client.get("/v1/exports/ai.csv", headers=own).text))]
    assert sorted(models) == sorted(["'=cmd|' /C calc'!A0", "'-1+1", "plain"])
    query = {"from": "2026-01-03", "to": "2026-01-04"}
    days = csv.DictReader(io.StringIO(client.get("/v1/exports/usage.csv", params=query, headers=own).text))
    assert [row["day"] for row in days] == ["2026-01-03", "2026-01-04"]


def test_before_the_first_publish_a_file_has_columns_and_no_rows(product: Product) -> None:
    with serve(product) as client:
        text = client.get("/v1/exports/usage.csv", headers=bearer(product, "acorn")).text
        table = client.get("/v1/exports/usage.parquet", headers=bearer(product, "acorn")).content
    assert list(csv.DictReader(io.StringIO(text))) == []
    assert text.startswith("day,active_users,")
    assert pyarrow.parquet.read_table(io.BytesIO(table)).num_rows == 0


def test_the_api_keeps_to_its_own_description(published: Product, client: httpx.Client) -> None:
    """Schemathesis: what fits the description is answered as described, what does not is refused as described."""
    ensure_demo_keys(published.settings)
    schema = schemathesis.openapi.from_dict(create_app(published.settings).openapi())
    schema.config.generation.update(max_examples=8)
    headers = bearer(published, "acorn")
    checks = [CHECKS.get_one(name) for name in CHECKS.get_all_names() if name != "max_response_time"]
    asked = 0
    for operation in schema.get_all_operations():
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            found = operation.ok().as_strategy(generation_mode=mode)
            for case in examples(found, 8):
                answer = case.call(base_url=str(client.base_url), headers=headers)
                beyond = answer.status_code == 422 and any(rule in answer.text for rule in BEYOND_A_SCHEMA)
                left_out = [CHECKS.get_one("positive_data_acceptance")] if beyond else []
                case.validate_response(answer, headers=headers, checks=checks, excluded_checks=left_out)
                asked += 1
    assert asked > 50


def examples(strategy: Any, count: int) -> list[Any]:
    """The same on every run."""
    from hypothesis import HealthCheck, Phase, given, seed, settings

    found: list[Any] = []

    @seed(7)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def collect(case: Any) -> None:
        found.append(case)

    try:
        collect()
    except Exception as error:  # nothing that does not fit can be made of an operation without parameters
        if "Unsatisfiable" not in type(error).__name__:
            raise
    return found
