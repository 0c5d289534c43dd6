"""The read API over real HTTP: a token's tenant, its own rows, and nothing to learn about others."""

from __future__ import annotations

import base64
import hmac
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import duckdb
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from demo.postgres import EmbeddedPostgres
from serving.tokens import ensure_demo_keys, mint_demo_token
from tests.serving.api_support import bearer, serve, signing_key, token
from tests.serving.conftest import (
    AS_OF,
    DAYS,
    FEATURE_NAMES,
    FEATURES,
    FIRST_DAY,
    USAGE,
    Product,
    days_from,
    new_product,
)

PATHS = ("/v1/usage", "/v1/features", "/v1/freshness")


@pytest.fixture(scope="module")
def published(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A product whose tenants' figures all differ, published; the tests that share it only read."""
    with new_product(postgres, tmp_path_factory.mktemp("product")) as made:
        with duckdb.connect(str(made.warehouse)) as warehouse:
            for tenant in made.tenants.values():
                own = [figure(made, tenant.slug), tenant.id]
                warehouse.execute(f"update rollups.{USAGE} set workflow_runs = ? where tenant_id = ?", own)  # noqa: S608
                warehouse.execute(f"update rollups.{FEATURES} set events = ? where tenant_id = ?", own)  # noqa: S608
        made.publish(1)
        yield made


@pytest.fixture(scope="module")
def client(published: Product) -> Iterator[httpx.Client]:
    with serve(published) as made:
        yield made


def figure(product: Product, slug: str) -> int:
    """What a tenant's every daily figure is, and no other tenant's."""
    return 100 + list(product.tenants).index(slug)


@pytest.mark.parametrize("slug", ["acorn", "birch", "cedar", "deep-vault"])
def test_tenant_of_every_tier_gets_its_own_figures(published: Product, client: httpx.Client, slug: str) -> None:
    own = figure(published, slug)
    usage = client.get("/v1/usage", headers=bearer(published, slug)).json()
    assert usage["tenant_name"] == published.tenants[slug].name
    assert [day["day"] for day in usage["days"]] == days_from(FIRST_DAY, DAYS)
    assert {day["workflow_runs"] for day in usage["days"]} == {own}
    assert usage["totals"]["workflow_runs"] == own * DAYS
    assert datetime.fromisoformat(usage["as_of"]) == AS_OF
    features = client.get("/v1/features", headers=bearer(published, slug)).json()["features"]
    assert {each["feature"]: each["events"] for each in features} == dict.fromkeys(FEATURE_NAMES, own * DAYS)
    assert all(each["average_adoption"] == 1 for each in features)


def test_range_is_inclusive_and_compared_with_the_range_before(published: Product, client: httpx.Client) -> None:
    query = {"from": "2026-01-03", "to": "2026-01-06"}
    usage = client.get("/v1/usage", params=query, headers=bearer(published, "acorn")).json()
    assert [day["day"] for day in usage["days"]] == days_from(date(2026, 1, 3), 4)
    assert (usage["from"], usage["to"]) == ("2026-01-03", "2026-01-06")
    own = figure(published, "acorn")
    assert usage["totals"]["workflow_runs"] == 4 * own
    assert usage["previous"]["workflow_runs"] == 2 * own, "two of the four days before hold data"


def test_freshness_names_version_stamp_and_days(published: Product, client: httpx.Client) -> None:
    found = client.get("/v1/freshness", headers=bearer(published, "acorn")).json()
    assert found["version"] == 1
    assert (found["first_day"], found["last_day"]) == (days_from(FIRST_DAY, DAYS)[0], days_from(FIRST_DAY, DAYS)[-1])
    assert datetime.fromisoformat(found["as_of"]) == AS_OF


def bad_authorization(product: Product) -> dict[str, str]:
    """Authorization headers that must not be let in, each by the fault that it has."""
    good = token(product)
    head, _, signature = good.split(".")
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = signing_key(product).public_key()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    past = datetime.now(UTC) - timedelta(minutes=5)
    tokens = {
        "garbage": "a.b.c",
        "expired": token(product, exp=past),
        "not yet good": token(product, nbf=datetime.now(UTC) + timedelta(minutes=5)),
        "another audience": token(product, aud="another"),
        "another issuer": token(product, iss="another"),
        "no expiry": token(product, exp=None),
        "no tenant": token(product, tenant_id=None),
        "tenant not an id": token(product, tenant_id="*"),
        "tenants a list": token(product, tenant_id=[product.tenants["acorn"].id]),
        "signed by another key": token(product, key=other),
        "unknown key id": token(product, header={"kid": "another"}),
        "key named in the header": token(product, key=other, header={"jku": "http://127.0.0.1:1/jwks", "kid": "../x"}),
        "hmac under the public key": signed_by_hmac(good, der),
        "unsigned": f"{encode({'alg': 'none', 'kid': jwt.get_unverified_header(good)['kid']})}.{good.split('.')[1]}.",
        "altered": f"{head}.{encode({'tenant_id': product.tenants['birch'].id})}.{signature}",
    }
    return {"no scheme": good, "another scheme": f"Basic {good}"} | {
        fault: f"Bearer {each}" for fault, each in tokens.items()
    }


def test_every_token_that_is_not_good_gets_the_same_refusal(published: Product, client: httpx.Client) -> None:
    refusal = client.get("/v1/usage")
    assert refusal.status_code == 401
    assert refusal.headers["content-type"] == "application/problem+json"
    assert refusal.headers["www-authenticate"] == "Bearer"
    told = {}
    for fault, authorization in bad_authorization(published).items():
        for path in PATHS:
            answer = client.get(path, headers={"Authorization": authorization})
            told[fault, path] = (answer.status_code, answer.text)
    assert {each: answer for each, answer in told.items() if answer != (401, refusal.text)} == {}
    assert client.get("/v1/usage", headers={"Authorization": f"Bearer {token(published)}"}).status_code == 200


def signed_by_hmac(good: str, secret: bytes) -> str:
    """The claims of a good token under HMAC, as if the public key were a secret; the library refuses to make one."""
    header = encode({"alg": "HS256", "kid": jwt.get_unverified_header(good)["kid"]})
    signed = f"{header}.{good.split('.')[1]}"
    return f"{signed}.{base64url(hmac.digest(secret, signed.encode(), 'sha256'))}"


def encode(part: dict[str, str]) -> str:
    return base64url(json.dumps(part).encode())


def base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def test_clock_skew_within_the_leeway_is_forgiven(published: Product, client: httpx.Client) -> None:
    skewed = token(published, exp=datetime.now(UTC) - timedelta(seconds=5))
    assert client.get("/v1/freshness", headers={"Authorization": f"Bearer {skewed}"}).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_another_tenants_id_in_the_query_is_refused_and_in_headers_without_effect(
    published: Product, client: httpx.Client, path: str
) -> None:
    other, own = published.tenants["birch"].id, bearer(published, "acorn")
    refused = client.get(path, params={"tenant_id": other}, headers=own)
    assert refused.status_code == 422
    assert other not in refused.text
    forced = own | {"X-Tenant-Id": other, "app.current_tenant_id": other, "Cookie": f"tenant_id={other}"}
    assert client.get(path, headers=forced).json() == client.get(path, headers=own).json()
    assert client.get(f"{path}/{other}", headers=own).status_code == 404


def test_tenant_that_does_not_exist_gets_what_an_empty_tenant_gets(published: Product, client: httpx.Client) -> None:
    stranger = {"Authorization": f"Bearer {mint_demo_token(published.settings, str(uuid.uuid4()))}"}
    usage = client.get("/v1/usage", headers=stranger)
    assert (usage.status_code, usage.json()["days"], usage.json()["tenant_name"]) == (200, [], None)
    assert client.get("/v1/features", headers=stranger).json()["features"] == []
    assert client.get("/v1/freshness", headers=stranger).json()["last_day"] is None


def test_before_the_first_publish_every_answer_is_empty(product: Product) -> None:
    with serve(product) as client:
        assert client.get("/v1/usage", headers=bearer(product, "acorn")).json()["days"] == []
        assert client.get("/v1/features", headers=bearer(product, "acorn")).json()["features"] == []
        assert set(client.get("/v1/freshness", headers=bearer(product, "acorn")).json().values()) == {None}
        product.publish(1)
        assert len(client.get("/v1/usage", headers=bearer(product, "deep-vault")).json()["days"]) == DAYS


@pytest.mark.parametrize(
    "query",
    [{"from": "2026-02-01", "to": "2026-01-01"}, {"from": "yesterday"}, {"from": "2020-01-01", "to": "2026-01-01"},
     {"grain": "hour"}, {"to": "9999-99-99"}],
)  # fmt: skip
def test_bad_range_is_a_problem_document_that_repeats_no_input(
    published: Product, client: httpx.Client, query: dict[str, str]
) -> None:
    answer = client.get("/v1/usage", params=query, headers=bearer(published, "acorn"))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) == {"type", "title", "status", "detail"}
    assert "yesterday" not in answer.text


@pytest.mark.parametrize(
    "query", [{"from": "0001-01-01"}, {"to": "0001-01-02"}, {"from": "9999-12-30"}, {"to": "9999-12-31"}]
)
def test_far_dates_are_answered(published: Product, client: httpx.Client, query: dict[str, str]) -> None:
    for path in ("/v1/usage", "/v1/features"):
        assert client.get(path, params=query, headers=bearer(published, "acorn")).status_code == 200


def test_tokens_signed_by_a_rotated_key_are_good_without_a_restart(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.api.auth._LEAST_SECONDS_BETWEEN_READS", 0.0)
    with serve(product) as client:
        old = bearer(product, "acorn")
        assert client.get("/v1/freshness", headers=old).status_code == 200
        (product.settings.demo_dir / "jwt_key.pem").unlink()
        ensure_demo_keys(product.settings)
        assert client.get("/v1/freshness", headers=bearer(product, "acorn")).status_code == 200
        assert client.get("/v1/freshness", headers=old).status_code == 401, "its key is no longer published"


def test_unreachable_database_is_503_and_names_nothing(product: Product) -> None:
    with serve(product) as client, product.connect("postgres", "postgres") as admin:
        admin.execute(f'alter database "{product.shared}" with allow_connections false')
        admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [product.shared])
        try:
            answer = client.get("/v1/usage", headers=bearer(product, "acorn"))
            health = client.get("/healthz")
        finally:
            admin.execute(f'alter database "{product.shared}" with allow_connections true')
    assert (answer.status_code, health.status_code) == (503, 503)
    assert answer.headers["retry-after"]
    assert product.shared not in answer.text


@pytest.mark.parametrize("path", ["/", "/app.js", "/dashboard.css", "/v1/usage", "/healthz", "/nowhere"])
def test_every_answer_is_under_a_strict_policy(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_tenants_figures_are_stored_by_nobody_on_the_way(published: Product, client: httpx.Client) -> None:
    for path in PATHS:
        assert client.get(path, headers=bearer(published, "acorn")).headers["cache-control"] == "private, no-cache"


def test_private_key_of_the_demo_is_its_owners_only(published: Product) -> None:
    jwks = ensure_demo_keys(published.settings)
    assert (published.settings.demo_dir / "jwt_key.pem").stat().st_mode & 0o077 == 0
    assert all(not {"d", "p", "q"} & set(key) for key in json.loads(jwks.read_text())["keys"])
