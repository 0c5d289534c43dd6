"""What is compiled follows from the contracts, always the same way, and PostgreSQL does what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment
from psycopg import sql

from demo.postgres import EmbeddedPostgres
from pii_policies import load_contracts
from pii_policies.artefacts import artefacts, stale, write
from pii_policies.compile import grants_sql, publication_sql, staging_name
from settings import ROOT

CONTRACTS = load_contracts()
STAGING = ROOT / "dbt_project/models/staging"
POSTGRES_TYPES = {
    "VARCHAR": "text",
    "JSON": "jsonb",
    "DECIMAL(12,2)": "numeric(12,2)",
    "DECIMAL(12,6)": "numeric(12,6)",
}


def test_the_committed_artefacts_are_fresh() -> None:
    assert stale(CONTRACTS) == [], "run `python -m pii_policies compile`"


def test_compiling_is_deterministic_whatever_the_hash_seed() -> None:
    script = (
        "import hashlib; from pii_policies import load_contracts; from pii_policies.artefacts import artefacts; "
        "print(hashlib.sha256(repr(sorted(artefacts(load_contracts()).items())).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_a_missing_an_edited_and_an_orphaned_artefact_are_stale_until_compiled(tmp_path: Path) -> None:
    write(CONTRACTS, tmp_path)
    assert stale(CONTRACTS, tmp_path) == []
    missing, edited = sorted(artefacts(CONTRACTS))[:2]
    orphan = edited.with_name("treated_forgotten.sql")
    (tmp_path / missing).unlink()
    (tmp_path / edited).write_text("-- edited by hand")
    (tmp_path / orphan).write_text("-- of a source that is gone")
    assert set(stale(CONTRACTS, tmp_path)) == {missing, edited, orphan}
    write(CONTRACTS, tmp_path)
    assert stale(CONTRACTS, tmp_path) == []
    assert not (tmp_path / orphan).exists()


def test_every_table_of_a_contract_has_a_staging_model_and_no_model_is_without_one() -> None:
    models = {path.stem for path in STAGING.glob("*/*.sql")}
    assert models == {staging_name(table) for table in CONTRACTS.tables()}


def test_a_model_is_incremental_exactly_where_its_contract_says_it_grows() -> None:
    for table in CONTRACTS.tables():
        text = (STAGING / table.source / f"{staging_name(table)}.sql").read_text("utf-8")
        assert ("materialized='incremental'" in text) == table.grows, table.label


def test_sources_name_every_landed_column_and_none_that_never_lands() -> None:
    for source, contract in CONTRACTS.sources.items():
        document = yaml.safe_load((STAGING / source / f"_{source}__sources.yml").read_text("utf-8"))
        named = {t["name"]: [c["name"] for c in t["columns"]] for t in document["sources"][0]["tables"]}
        landed = {t.name: [c.name for c in t.landed] for t in CONTRACTS.raw_tables(source)}
        assert document["sources"][0]["schema"] == contract.schema
        assert named == landed


@pytest.fixture
def product(postgres: EmbeddedPostgres) -> psycopg.Connection:
    """A product database with every column of the contract, those that never land too, in two tenants' schemas."""
    name = "pii_policies_product"
    postgres.create_database(name)
    connection = psycopg.connect(postgres.superuser_dsn(name), autocommit=True)
    for schema in ("app", "t_one"):
        connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(schema)))
        for table in CONTRACTS.raw_tables("app"):
            columns = [
                sql.SQL("{} {}").format(sql.Identifier(c.name), sql.SQL(POSTGRES_TYPES.get(c.type, c.type.lower())))
                for c in table.columns
            ]
            key = sql.SQL("primary key ({})").format(sql.SQL(", ").join(map(sql.Identifier, table.key)))
            connection.execute(
                sql.SQL("create table if not exists {} ({})").format(
                    sql.Identifier(schema, table.name), sql.SQL(", ").join([*columns, key])
                )
            )
    return connection


def test_the_publication_holds_what_lands_and_nothing_that_never_does(product: psycopg.Connection) -> None:
    with product:
        product.execute("drop publication if exists tailrace")
        product.execute(publication_sql(CONTRACTS, schemas=["app"]))
        assert _published(product) == {("app", t.name, c.name) for t in CONTRACTS.raw_tables("app") for c in t.landed}
        product.execute(publication_sql(CONTRACTS, schemas=["app", "t_one"], exists=True))
        published = _published(product)
        assert ("t_one", "users", "email") in published
        assert ("t_one", "tenants", "id") not in published, "a namespace has no directory of its own"
        never = {c.name for t in CONTRACTS.raw_tables("app") for c in t.columns if not c.lands}
        assert "password_hash" in never
        assert not never & {column for _, _, column in published}
        product.execute("update app.users set email = 'changed'")  # the key is published, or this would fail
        product.execute(publication_sql(CONTRACTS, schemas=["app"], directory=False, exists=True))
        assert not {"plans", "tenants"} & {table for _, table, _ in _published(product)}


def test_the_capturing_role_cannot_read_what_never_lands(product: psycopg.Connection) -> None:
    with product:
        product.execute("create role pii_policies_cdc")
        try:
            for statement in grants_sql(CONTRACTS, role="pii_policies_cdc", schemas=["app"]):
                product.execute(statement)
            product.execute("set role pii_policies_cdc")
            product.execute("select email from app.users")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                product.execute("select password_hash from app.users")
        finally:
            product.execute("reset role")
            product.execute("drop owned by pii_policies_cdc")
            product.execute("drop role pii_policies_cdc")


def _published(connection: psycopg.Connection) -> set[tuple[str, str, str]]:
    rows = connection.execute("select schemaname, tablename, unnest(attnames) from pg_publication_tables").fetchall()
    return {(str(schema), str(table), str(column)) for schema, table, column in rows}


def test_snowflake_closes_every_personal_column_and_whatever_nobody_classified() -> None:
    text = artefacts(CONTRACTS)[Path("deploy/snowflake_policies.sql")]
    for contract in CONTRACTS.sources.values():
        assert f"alter schema {contract.schema} set tag governance.data_class = 'restricted';" in text
        for table in CONTRACTS.raw_tables(contract.source):
            _, _, rest = text.partition(f'alter table if exists {contract.schema}."{table.name.upper()}" modify\n')
            statement = rest.partition(";")[0]
            for column in table.landed:
                tag = f"column \"{column.name.upper()}\" set tag governance.data_class = '{column.data_class.name}'"
                assert tag in statement, f"{table.label}.{column.name}"
    opened = text.partition("current_column('governance.data_class') in (")[2].partition(")")[0]
    kept = {name for name, each in CONTRACTS.classes.items() if each.treatment == "keep"}
    assert {name.strip(" '") for name in opened.split(",")} == kept


@pytest.mark.parametrize("target", ["snowflake", "duckdb"])
def test_every_relation_that_is_shown_is_made_with_a_row_access_policy(target: str) -> None:
    text = artefacts(CONTRACTS)[Path("deploy/snowflake_policies.sql")]
    assert "create row access policy if not exists governance.tenant_rows as (row_tenant varchar)" in text
    project = yaml.safe_load((ROOT / "dbt_project/dbt_project.yml").read_text())
    shown = [project["models"]["tailrace"][layer] for layer in ("staging", "marts", "rollups")]
    for layer in [*shown, project["snapshots"]["tailrace"]]:
        rendered = NativeEnvironment().from_string(layer["+row_access_policy"]).render(target={"type": target})
        assert rendered == ("governance.tenant_rows on (tenant_id)" if target == "snowflake" else None)
    for path in (ROOT / "dbt_project/models").glob("*/**/_*models.yml"):
        if path.relative_to(ROOT / "dbt_project/models").parts[0] in ("staging", "marts", "rollups"):
            for model in yaml.safe_load(path.read_text())["models"]:
                assert "tenant_id" in [column["name"] for column in model["columns"]], model["name"]


def test_the_inventory_names_every_personal_column() -> None:
    lines = artefacts(CONTRACTS)[Path("docs/data-inventory.md")].splitlines()
    for table in CONTRACTS.tables():
        if table.derived_from is None:
            row = next(line for line in lines if line.startswith(f"| `{table.schema}.{table.name}` |"))
            personal = [c.name for c in table.columns if c.derived is None and c.data_class.treatment != "keep"]
            assert all(f"`{name}`" in row for name in personal), table.label
