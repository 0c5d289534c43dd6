"""Compiled gates: treated columns of staging have the shape of their treatment, and what is dropped is not there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from pii_policies import load_contracts
from pii_policies.artefacts import GATES, stale, write
from pii_policies.compile import staging_name
from pii_policies.gates import SHAPES, gates_yml
from quality.contract_gates import check_staging, raw_expectations, staging_models
from settings import ROOT, TailraceError

PSEUDONYM, OTHER = "5c820b4a5aac8f31eb6741825bfecb8e97f00488d5edaed1ae2908c29d0b7e38", "0" * 64
GATE = """
raw: {}
staging:
  stg_app__people:
  - {type: expect_table_columns_to_match_ordered_list, kwargs: {column_list: [tenant_id, id, _extracted_at]}}
  - {type: expect_column_values_to_match_regex, kwargs: {column: id, regex: "^([0-9a-f]{64})$"}}
"""


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("create schema staging")
        connection.execute(
            "create table staging.stg_app__people (tenant_id varchar, id varchar, _extracted_at timestamptz)"
        )
        yield connection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "gates.yml").write_text(GATE)
    return tmp_path / "gates.yml"


def _build(con: duckdb.DuckDBPyConnection, minute: int, *ids: str | None) -> None:
    for each in ids:
        con.execute("insert into staging.stg_app__people values ('t', ?, ?)", [each, f"2026-01-01 00:{minute:02}:00Z"])


def test_a_value_that_a_treatment_left_as_it_was_is_refused_until_it_is_gone(
    con: duckdb.DuckDBPyConnection, path: Path
) -> None:
    _build(con, 1, PSEUDONYM, None)
    assert check_staging(con, "stg_app__people", path=path).passed
    _build(con, 2, OTHER, "jane@example.com", "Jane")
    for _ in range(2):
        (finding,) = check_staging(con, "stg_app__people", path=path).findings
        assert (finding.subject, finding.unexpected, finding.checked) == ("id", 2, 3)
        assert "jane" not in str(finding)
    con.execute("delete from staging.stg_app__people where length(id) < 64")
    assert check_staging(con, "stg_app__people", path=path).passed
    assert check_staging(con, "stg_app__people", path=path).checked == 0


def test_a_column_that_the_contract_drops_is_refused(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    con.execute("alter table staging.stg_app__people add column full_name varchar")
    (finding,) = check_staging(con, "stg_app__people", path=path).findings
    assert finding.subject == "full_name"


def test_a_model_without_a_gate_is_an_error(con: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(TailraceError, match="no gate of stg_app__nobody; run `tailrace policy compile`"):
        check_staging(con, "stg_app__nobody")


def test_every_table_and_model_of_the_contracts_has_its_gate() -> None:
    contracts = load_contracts()
    assert set(staging_models()) == {staging_name(table) for table in contracts.tables()}
    for table in (table for source in contracts.sources for table in contracts.raw_tables(source)):
        assert {each.subject for each in raw_expectations(f"{table.schema}.{table.name}")} >= set(table.key)


@pytest.mark.parametrize(
    "treatment", ["pseudonymise", "mask", "generalise_network", "generalise_month", "generalise_band"]
)
def test_whatever_a_treatment_gives_has_its_shape_and_what_it_was_given_has_not(treatment: str) -> None:
    vectors = json.loads((ROOT / "pii_policies/vectors.json").read_text("utf-8"))[treatment]
    label = treatment.replace("_", " to ") if treatment.startswith("generalise") else treatment
    shape = f"^({SHAPES[label]})$"
    with duckdb.connect() as con:
        fits = lambda value: con.execute("select regexp_full_match(?::varchar, ?)", [value, shape]).fetchall()[0][0]  # noqa: E731
        for vector in vectors:
            assert fits(vector["expected"]) is not False, vector
        plain = {"mask": "ada@example.com", "generalise_network": "203.0.113.9", "generalise_month": "2026-03-07"}
        assert fits(plain.get(treatment, "1234")) is False


def test_a_stale_gate_fails_the_check_and_is_compiled_anew(tmp_path: Path) -> None:
    contracts = load_contracts()
    write(contracts, tmp_path)
    assert stale(contracts, tmp_path) == []
    (tmp_path / GATES).write_text(gates_yml(contracts).replace("[0-9a-f]{64}", ".*"))
    assert stale(contracts, tmp_path) == [GATES]
    assert write(contracts, tmp_path) == [GATES]
