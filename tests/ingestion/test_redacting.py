"""Texts of a redacted class land redacted, whoever brings them; rows are known, compared and erased as before."""

# ruff: noqa: S608 - the statements are the test's own

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pytest

from ingestion import forgetting, land, redacting
from ingestion.rest.landing import Batch, Change, Lander, SyncReport
from ingestion.rest.residency import Residency
from pii_policies import Contracts, deeper, load_contracts
from settings import Redaction, TailraceError, load_settings
from warehouse import DuckDBWarehouse, transaction

PRESIDIO = Redaction(at_landing="presidio")
NOW = datetime(2026, 1, 2, tzinfo=UTC)
TENANT, ROW = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-000000000001"
SAID, LANDS = "ask bob@example.com", "ask [email]"


def classed(source: str, table: str, **classes: str) -> Contracts:
    """The contracts with other classes for some columns."""
    contracts = load_contracts()
    of_source = contracts.sources[source]
    of_table = of_source.tables[table]
    columns = tuple(
        replace(column, data_class=contracts.classes[classes.get(column.name, column.data_class.name)])
        for column in of_table.columns
    )
    tables = MappingProxyType({**of_source.tables, table: replace(of_table, columns=columns)})
    sources = {**contracts.sources, source: replace(of_source, tables=tables)}
    return replace(contracts, sources=MappingProxyType(sources))


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBWarehouse:
    return DuckDBWarehouse(tmp_path / "warehouse.duckdb", vault_path=tmp_path / "vault.duckdb")


@pytest.fixture
def comments(warehouse: DuckDBWarehouse) -> land.RawTable:
    contracts = classed("app", "comments", body="scanned_text")
    tables = land.landed_tables(contracts, "app", warehouse=warehouse, redaction=PRESIDIO)
    (table,) = (each for each in tables if each.name == "comments")
    return table


def bodies(warehouse: DuckDBWarehouse) -> list[Any]:
    with warehouse.reader() as con:
        return [body for (body,) in con.execute("select body from raw_app.comments order by id").fetchall()]


def rows(**more: Any) -> pa.Table:
    return pa.Table.from_pylist([{"tenant_id": TENANT, "id": ROW, "body": SAID, **more}])


def test_a_change_lands_redacted_and_a_value_that_is_not_repeated_stays(
    warehouse: DuckDBWarehouse, comments: land.RawTable
) -> None:
    with warehouse.writer("test") as con:
        land.ensure_table(con, comments)
        land.upsert(con, comments, rows(), extracted_at=NOW)
        land.upsert(con, comments, rows(body=None, _unchanged_body=True), extracted_at=NOW)
    assert bodies(warehouse) == [LANDS]


def test_a_copy_and_a_column_that_is_filled_land_redacted(warehouse: DuckDBWarehouse, comments: land.RawTable) -> None:
    with warehouse.writer("test") as con:
        land.ensure_table(con, comments)
        con.register("_chunk", rows())
        values = {column.name: "null" for column in comments.columns}
        values |= {name: f"n.{name}" for name in ("tenant_id", "id", "body")}
        land.append(
            con,
            comments,
            "_chunk as n",
            into=comments.sql,
            values=values,
            meta="""'{"origin": "db.app"}'::json""",
            ids="x",
            extracted_at=NOW,
            lsn=1,
        )
        assert con.execute("select body from raw_app.comments").fetchall() == [(LANDS,)]
        con.execute("update raw_app.comments set body = null")
        filled = rows().select(["tenant_id", "id", "body"])
        con.register("_filling", filled)
        given = "(select tenant_id::uuid as tenant_id, id::uuid as id, body from _filling)"
        land.fill(con, comments, given, ["body"], origin="db.app", extracted_at=NOW)
    assert bodies(warehouse) == [LANDS]


def test_who_is_forgotten_stays_so_and_others_are_redacted(warehouse: DuckDBWarehouse, comments: land.RawTable) -> None:
    jane, john = "00000000-0000-0000-0000-0000000000aa", "00000000-0000-0000-0000-0000000000bb"
    with warehouse.writer("test") as con:
        land.ensure_table(con, comments)
        forgetting.prepare(con)
        con.execute(
            f"insert into {forgetting.TOMBSTONES} values ({forgetting.hashed('app', '?')}, ?, 'r')", [jane, TENANT]
        )
        both = pa.concat_tables([rows(author_id=jane), rows(author_id=john, id=ROW[:-1] + "2")])
        land.upsert(con, comments, both, extracted_at=NOW)
    assert bodies(warehouse) == [None, LANDS]


def test_a_comparison_with_the_source_finds_no_difference(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    config = tmp_path / "tailrace.yml"
    config.write_text(
        "region: us\nsources: {postgres: {dsn: x}, stripe: {url: x, api_key_env: X}, hubspot: {url: x, token_env: X}}\n"
        "serving: {publisher_dsn: x, reader_dsn: x}\n"
    )
    settings = load_settings(config_path=config)
    contracts = classed("stripe", "customers", description="scanned_text")

    def landed() -> int:
        report = SyncReport(source="stripe")
        lander = Lander(
            source="stripe",
            contracts=contracts,
            residency=Residency(source="stripe", settings=settings),
            warehouse=warehouse,
            report=report,
            redaction=PRESIDIO,
        )
        lander.prepare(["customers"])
        batch = Batch()
        batch.put("customers", "cus_1", Change(lander.row("customers", {"id": "cus_1", "description": SAID})))
        lander.land(
            batch, stream="customers", position=lambda moved: {}, region_of=lambda subject: None, changed_only=True
        )
        return report.landed["customers"]

    assert [landed(), landed()] == [1, 0]
    with warehouse.reader() as con:
        assert con.execute("select description from raw_stripe.customers").fetchall() == [(LANDS,)]


def test_a_column_that_says_whose_a_row_is_is_not_redacted() -> None:
    for column in ("id", "author_id"):
        contracts = classed("app", "comments", **{column: "scanned_text"})
        if column == "author_id":
            table = replace(contracts.table("app", "comments"), subject=("author_id",))
            with pytest.raises(TailraceError, match=r"app.comments.author_id: is to be redacted"):
                redacting.texts(contracts, table)
        else:
            with pytest.raises(TailraceError, match=r"app.comments.id: is to be redacted"):
                redacting.texts(contracts, contracts.table("app", "comments"))


def test_a_table_that_wants_redaction_does_not_land_in_a_warehouse_that_cannot(
    warehouse: DuckDBWarehouse, comments: land.RawTable, tmp_path: Path
) -> None:
    other = DuckDBWarehouse(tmp_path / "other.duckdb", vault_path=tmp_path / "other_vault.duckdb")
    with other.writer("test") as con:
        land.ensure_table(con, comments)
        with pytest.raises(Exception, match="tailrace_redact"), transaction(con):
            land.upsert(con, comments, rows(), extracted_at=NOW)


def test_presidio_is_asked_for_at_once_even_where_no_column_needs_it(
    warehouse: DuckDBWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deeper, "find_spec", lambda name: None)
    with pytest.raises(TailraceError, match="not installed"):
        land.landed_tables(load_contracts(), "app", warehouse=warehouse, redaction=PRESIDIO)
    assert land.landed_tables(load_contracts(), "app", warehouse=warehouse, redaction=None)
