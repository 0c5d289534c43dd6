"""A namespace tenant's rollups: a schema of its own in the shared database, under the same rules as everybody's."""

# ruff: noqa: S608 - names are the test's own

from __future__ import annotations

import io
import uuid
from typing import Any

import duckdb
import psycopg
import pyarrow.parquet as pq
import pytest

from serving import migrate
from serving import rollback as rolling
from serving.homes import Home
from serving.tenants import Tenant, homes
from settings import TailraceError
from tests.serving.api_support import bearer, serve
from tests.serving.conftest import (
    AS_OF,
    DAYS,
    FEATURES,
    USAGE,
    Product,
    Resident,
    read_version,
    rollup_models,
    write_manifest,
)


def found_by_directory(product: Product, tenant: Resident) -> set[tuple[str | None, int]]:
    """What a reader sees that looks up the tenant's home first."""
    with product.connect("tailrace_reader") as reader:
        reader.execute("select set_config('app.current_tenant_id', %s, false)", [tenant.id])
        database, schema = reader.execute(
            'select database, "schema" from tenant_analytics.tenant_directory where tenant_id = %s', [tenant.id]
        ).fetchone()
        assert database == product.shared
        return read_version(reader, tenant.id, schema=schema)


def left_of(product: Product, tenant: Resident, home: Home) -> dict[str, int]:
    """Tables of a home that hold rows of the tenant → how many; the directory lists everyone."""
    found = {}
    with product.connect("postgres", home.database) as admin:
        for schema, table in admin.execute(
            "select table_schema, table_name from information_schema.columns where column_name = 'tenant_id' "
            "and table_schema = any(%s) and table_name <> 'tenant_directory'",
            [[home.schema, home.private]],
        ).fetchall():
            query = psycopg.sql.SQL(
                "select count(*) from {} as t where tenant_id = %s "
                "and to_jsonb(t) ->> 'rollup' is distinct from 'tenant_directory'"
            ).format(psycopg.sql.Identifier(schema, table))
            if rows := admin.execute(query, [tenant.id]).fetchone()[0]:
                found[f"{schema}.{table}"] = rows
    return found


def schemas(product: Product) -> set[str]:
    with product.connect("postgres") as admin:
        rows = admin.execute("select nspname from pg_namespace where nspname ~ 'analytics'").fetchall()
    return {name for (name,) in rows}


def shape(product: Product, home: Home) -> dict[str, Any]:
    """Columns, keys, security, policies, grants and comments of every table of a home, without the schemas' names."""
    with product.connect("postgres", home.database) as admin:
        rows = admin.execute(
            """
            select nspname, relname, relrowsecurity, relforcerowsecurity, relowner::regrole, relacl::text, reloptions,
                obj_description(pg_class.oid, 'pg_class'),
                (select array_agg(row(attname, format_type(atttypid, atttypmod), attnotnull, attstattarget,
                    attacl::text, col_description(attrelid, attnum))::text order by attname)
                    from pg_attribute where attrelid = pg_class.oid and attnum > 0),
                (select array_agg(pg_get_indexdef(indexrelid) order by indexrelid::regclass::text)
                    from pg_index where indrelid = pg_class.oid),
                (select array_agg(row(polname, polcmd, polroles::regrole[], pg_get_expr(polqual, polrelid))::text
                    order by polname) from pg_policy where polrelid = pg_class.oid),
                (select nspacl::text from pg_namespace where oid = relnamespace)
            from pg_class join pg_namespace on pg_namespace.oid = relnamespace
            where nspname = any(%s) and relkind = 'r'
            """,
            [[home.schema, home.private]],
        ).fetchall()
    kinds = {home.schema: "read", home.private: "own"}

    def plain(value: object) -> str:
        text = str(value)
        for name in (f'"{home.private}"', home.private, home.schema):
            text = text.replace(name, "here")
        return text

    found = {f"{kinds[row[0]]}.{row[1]}": [plain(each) for each in row[2:]] for row in rows}
    return {name: found[name] for name in found.keys() - {"read.residents", "read.publications"}}


def test_namespace_is_made_like_the_pool_in_every_respect(product: Product) -> None:
    product.publish(1)
    namespace = shape(product, product.home(product.tenants["cedar"]))
    assert namespace == shape(product, Home(product.shared))
    assert {f"read.{model['name']}" for model in rollup_models()} < set(namespace)


def test_tenant_that_moves_into_a_namespace_and_back_leaves_nothing_behind(product: Product) -> None:
    before = schemas(product) | {"analytics_cedar", "analytics_cedar$private"}
    product.publish(1)
    product.build(2)
    product.publish(2)  # so that there is something to put back
    pool, tenant = product.home(product.tenants["birch"]), product.move("birch", "namespace")
    product.build(3)
    assert product.publish(3).dropped == ()
    assert product.seen(tenant) == found_by_directory(product, tenant) == {("run 3", 3)}
    assert left_of(product, tenant, pool) == {}
    with product.connect("tailrace_reader") as reader:
        assert read_version(reader, tenant.id) == set(), "nothing in the pool"
    namespace, tenant = product.home(tenant), product.move("birch", "pool")
    product.build(4)
    assert product.publish(4).dropped == (namespace,)
    assert product.seen(tenant) == found_by_directory(product, tenant) == {("run 4", 4)}
    assert schemas(product) == before
    assert product.publish(4).written == 0


@pytest.mark.parametrize(("tier", "point"), [
    ("namespace", "publish_before_commit"),
    ("pool", "publish_after_commit"),
    *(pytest.param(*each, marks=pytest.mark.operations) for each in [
        ("namespace", "publish_after_first_table"),
        ("namespace", "publish_after_commit"),
        ("pool", "publish_before_commit"),
        ("pool", "publish_before_drop"),
    ]),
])  # fmt: skip
def test_killed_amid_a_move_is_found_whole_and_the_next_run_finishes(product: Product, tier: str, point: str) -> None:
    slug = "birch" if tier == "namespace" else "cedar"
    product.publish(1)
    old, tenant = product.home(product.tenants[slug]), product.move(slug, tier)
    product.build(2)
    dying = product.publish_in_a_process(2, failpoint=point)
    assert dying.wait(timeout=60) == -9
    assert found_by_directory(product, tenant) in ({("run 1", 1)}, {("run 2", 2)})
    product.publish(2)
    assert found_by_directory(product, tenant) == product.seen(tenant) == {("run 2", 2)}
    assert left_of(product, tenant, old) == {}
    assert len(schemas(product)) == (6 if tier == "namespace" else 2)


@pytest.mark.parametrize("role", ["tailrace_reader", "app_rw"])
def test_reader_of_one_tenant_reads_nothing_in_the_schema_of_another(product: Product, role: str) -> None:
    product.publish(1)
    product.build(2)
    product.publish(2)
    home = product.home(product.tenants["cedar"])
    tables = [*(model["name"] for model in rollup_models()), "tenant_directory", "holds", "residents", "publications"]
    with product.connect(role) as connection:
        for setting in (None, "", product.tenants["acorn"].id, str(uuid.uuid4())):
            if setting is not None:
                connection.execute("select set_config('app.current_tenant_id', %s, false)", [setting])
            for table in tables:
                column = "version" if table == "publications" else "tenant_id"
                rows = connection.execute(f"select {column} from {home.schema}.{table}").fetchall()
                assert rows == [], table
        for table in ("slices", "undo_slices", f"undo_{USAGE}"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f'select * from "{home.private}".{table}')
        for attempt in (f"delete from {home.schema}.{USAGE}", f"create table {home.schema}.mine (a int)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(attempt)


def test_changed_contract_reaches_a_namespace_as_it_does_the_pool(product: Product) -> None:
    product.publish(1)
    models = rollup_models()
    usage = next(m for m in models if m["name"] == USAGE)
    next(c for c in usage["columns"] if c["name"] == "comments").update(data_type="decimal(20, 2)")
    next(m for m in models if m["name"] == FEATURES)["columns"].append(
        {"name": "remark", "data_type": "varchar", "description": "New."}
    )
    write_manifest(product.manifest, models)
    product.build(2)
    with duckdb.connect(str(product.warehouse)) as warehouse:
        warehouse.execute(f"alter table rollups.{FEATURES} add column remark varchar default 'x'")
    report = product.publish(2)
    assert all({f"replaced {USAGE}", f"added {FEATURES}.remark"} <= set(each.migrations) for each in report.homes)
    assert shape(product, product.home(product.tenants["cedar"])) == shape(product, Home(product.shared))
    assert all(product.seen(tenant) == {("run 2", 2)} for tenant in product.tenants.values())


def test_what_somebody_else_wrote_in_a_namespace_is_mended(product: Product) -> None:
    product.publish(1)
    home = product.home(product.tenants["cedar"])
    with product.connect("tailrace_publisher") as connection:
        connection.execute(f"update {home.schema}.{USAGE} set workflow_runs = 77 where day = '2026-01-03'")
    report = product.publish(1, verify=True)
    assert {each.home: each.mended for each in report.homes if each.mended} == {home: {USAGE: 1}}
    assert product.seen(product.tenants["cedar"]) == {("run 1", 1)}


def test_rollback_after_a_move_brings_back_figures_and_not_the_move(product: Product) -> None:
    product.publish(1)
    tenant = product.move("birch", "namespace")
    product.build(2)
    product.publish(2)
    restored = rolling.rollback(product.settings)
    assert product.home(tenant) not in {each.home for each in restored}, "nothing stood there before"
    assert found_by_directory(product, tenant) == {("run 2", 2)}
    assert left_of(product, tenant, Home(product.shared)) == {}
    assert found_by_directory(product, product.tenants["cedar"]) == {("run 1", 1)}
    with pytest.raises(TailraceError, match="there is no version before"):
        rolling.rollback(product.settings, tenant=tenant.id)


def test_schema_that_is_somebody_elses_is_left_alone(product: Product) -> None:
    with product.connect("postgres") as admin:
        admin.execute("create schema analytics_cedar authorization app_owner")
    with pytest.raises(TailraceError, match="is not tailrace_owner's"):
        product.publish(1)
    with product.connect("postgres") as admin:
        assert admin.execute("select 1 from pg_tables where schemaname = 'analytics_cedar'").fetchall() == []


def test_publisher_that_may_make_no_schema_says_what_is_missing(product: Product) -> None:
    with product.connect("postgres") as admin:
        admin.execute(f"revoke create on database {product.shared} from tailrace_owner")
    with pytest.raises(TailraceError, match="must own the schemas that it publishes to, or be able to create them"):
        product.publish(1)


def test_namespaces_of_two_tenants_are_never_one(product: Product) -> None:
    def tenant(slug: str) -> Tenant:
        return Tenant(id=str(uuid.uuid4()), name="A", slug=slug, tier="namespace", region="us")

    databases = {product.shared: ""}
    for pair in (("a-b", "a_b"), ("same", "same")):
        with pytest.raises(TailraceError, match="is that of tenant"):
            homes(product.settings, map(tenant, pair), databases)
    for slug in ('x"; drop schema app', "x$private", "x" * 60):
        with pytest.raises(TailraceError, match="cannot be the name of its schema"):
            homes(product.settings, [tenant(slug)], databases)
    serving = product.settings.serving.model_copy(update={"namespace_schemas": "tenant_*"})
    settings = product.settings.model_copy(update={"serving": serving})
    with pytest.raises(TailraceError, match="is everybody's"):
        homes(settings, [tenant("analytics")], databases)


def test_dropped_namespace_waits_for_its_readers_and_nobody_waits_for_it(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    product.publish(1)
    home = product.home(product.tenants["cedar"])
    product.move("cedar", "pool")
    product.build(2)
    monkeypatch.setattr(migrate, "PATIENCE_SECONDS", 0.3)
    with product.connect("tailrace_reader", autocommit=False) as reader:
        reader.execute(f"select tenant_id from {home.schema}.{USAGE}")
        with pytest.raises(TailraceError, match=f"dropping {home.name}: transactions that read"):
            product.publish(2)
        assert product.seen(product.tenants["birch"]) == {("run 2", 2)}
    assert product.publish(2).dropped == (home,)


def test_api_finds_the_tenant_that_moved(product: Product) -> None:
    product.publish(1)
    with serve(product) as client:

        def figures(slug: str, path: str = "/v1/usage") -> tuple[int, set[int]]:
            answer = client.get(path, headers=bearer(product, slug)).json()
            return answer["version"], {day["workflow_runs"] for day in answer["days"]}

        assert figures("cedar") == (1, {1})
        product.move("cedar", "pool")
        product.build(2)
        product.publish(2, as_of=AS_OF)
        assert figures("cedar") == (2, {2})
        file = client.get("/v1/exports/usage.csv", headers=bearer(product, "cedar"))
        assert file.headers["Tailrace-Version"] == "2"


def test_export_of_a_namespace_holds_its_rows(product: Product) -> None:
    product.publish(1)
    with serve(product) as client:
        for kind in ("csv", "parquet"):
            file = client.get(f"/v1/exports/usage.{kind}", headers=bearer(product, "cedar"))
            assert file.headers["Tailrace-Version"] == "1"
            rows = file.text.splitlines()[1:] if kind == "csv" else pq.read_table(io.BytesIO(file.content)).to_pylist()
            assert len(rows) == DAYS
