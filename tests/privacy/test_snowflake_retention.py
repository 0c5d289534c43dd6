"""Retention by the SQL that Snowflake takes does what DuckDB's does, once, and says when it is gone.

DuckDB runs the same text; what only a server of Snowflake's can answer is given as one would.
"""

# ruff: noqa: S608 - the statements are the test's own

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from orchestration import rights
from pii_policies import load_contracts
from privacy import receipts, retention, snowflake_retention
from privacy.retention import document_rest, retained
from settings import Settings, TailraceError, load_settings
from tests.privacy.support import CONFIG, Home, receipt
from tests.privacy.test_expiry import Server, table
from tests.privacy.test_residency import AIRBYTE

NOW = datetime(2030, 1, 1, tzinfo=UTC)
OLD = "timestamptz '2026-03-01 12:00:00+00'"
SHOWN = [table("RAW_APP.COMMENTS", "TABLE", "1"), table("RAW_APP.AUDIT_LOG", "TRANSIENT", "0")]
COLUMNS = [
    (each.schema, each.name, column)
    for each, column, *_ in retained(load_contracts())
    if document_rest(load_contracts(), each, column) is None
]


class Remote(Server):
    """A warehouse's file that answers what Snowflake alone would."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        super().__init__(SHOWN)
        self._con, self._shows = con, False

    def execute(self, command: str) -> None:
        self._shows = command.startswith(("show", "select is_role_in_session"))
        if self._shows:
            super().execute(command)
        else:
            self._con.execute(command)

    def fetchall(self) -> list[tuple[Any, ...]]:
        if self._shows:
            return [(True,)] if "is_role" in self.asked[-1] else super().fetchall()
        return self._con.fetchall()


@pytest.fixture
def homes(make_home: Callable[[str], Home]) -> tuple[Home, Home]:
    """Two deployments alike, with rows that changed long ago and rows of late."""
    made = make_home("here"), make_home("there")
    for home in made:
        home.seed()
        with home.warehouse.writer("test") as con:
            for each in {(schema, name) for schema, name, _ in COLUMNS}:
                con.execute(f'update {each[0]}."{each[1]}" set _ab_cdc_updated_at = {OLD}')
            con.execute(f"update raw_app.comments set created_at = '{NOW:%Y-%m-%d}' where body like '%John%'")
    return made


def enforce(home: Home, *, now: datetime = NOW) -> list[Path]:
    with duckdb.connect(str(home.settings.warehouse_path)) as con:
        con.execute("set TimeZone = 'UTC'")
        return snowflake_retention.enforce(home.settings, Remote(con), databases=["TAILRACE"], actor="test", now=now)


def values(home: Home) -> dict[str, list[Any]]:
    with home.warehouse.reader() as con:
        tables = {f"{schema}.{name}" for schema, name in con.execute(
            "select schema_name, table_name from duckdb_tables() where starts_with(schema_name, 'raw_')"
        ).fetchall()}  # fmt: skip
        return {
            f"{schema}.{name}.{column}": con.execute(
                f'select "{column}"::varchar from {schema}."{name}" order by all'
            ).fetchall()
            for schema, name, column in COLUMNS
            if f"{schema}.{name}" in tables
        }


def test_the_same_values_go_as_on_duckdb_and_the_receipt_says_when(homes: tuple[Home, Home]) -> None:
    here, there = homes
    before = values(there)
    assert retention.enforce(here.rights(), now=NOW) is not None
    (path,) = enforce(there)
    assert values(there) == values(here) != before
    assert ("by John",) in values(there)["raw_app.comments.body"], "what is young stays"
    body = receipt(path)
    gone = {(each["table"], each["column"]): each["rows"] for each in body["emptied"]}
    assert gone["raw_app.comments", "body"] == 4
    assert {each["table"]: each["fail_safe_ends"][:10] for each in body["expiry"]} == {
        "TAILRACE.RAW_APP.COMMENTS": f"{NOW + timedelta(days=8):%Y-%m-%d}",
        "TAILRACE.RAW_APP.AUDIT_LOG": f"{NOW:%Y-%m-%d}",
    }
    (left,) = body["left"].values()
    assert ("raw_stripe.customers", "metadata") in {(each["table"], each["column"]) for each in left}
    assert receipts.verify(path).problems == ()
    assert enforce(there) == [], "nothing is due any more"


def test_killed_before_its_receipt_the_next_run_writes_it(
    homes: tuple[Home, Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, there = homes

    class KilledError(Exception):
        pass

    def kill(*given: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(receipts, "issue", kill)
        with pytest.raises(KilledError):
            enforce(there)
    (path,) = enforce(there, now=NOW + timedelta(minutes=1))
    assert receipt(path)["as_of"] == NOW.isoformat()
    assert {each["table"] for each in receipt(path)["emptied"]} >= {"raw_app.comments", "raw_app.audit_log"}


@pytest.mark.parametrize("sees", [True, False])
def test_a_session_that_sees_raw_masked_is_not_taken_for_one_with_nothing_due(sees: bool) -> None:
    class Session(Server):
        def fetchall(self) -> list[tuple[Any, ...]]:
            assert self.asked == ["select is_role_in_session('TAILRACE_TRANSFORMER')"]
            return [(sees,)]

    if sees:
        snowflake_retention.require_sight(Session([]))
    else:
        with pytest.raises(TailraceError, match="sees raw masked; grant it that"):
            snowflake_retention.require_sight(Session([]))


def test_a_deployment_on_snowflake_enforces_retention_there(
    homes: tuple[Home, Home], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, there = homes
    config = tmp_path / "snowflake.yml"
    config.write_text(f"{CONFIG.format(home=there.settings.state_dir)}{AIRBYTE}warehouse: {{kind: snowflake}}\n")
    monkeypatch.setenv("SNOWFLAKE_DATABASE", "MARTS")
    asked: list[str] = []

    @contextmanager
    def connect(settings: Settings) -> Iterator[Any]:
        with duckdb.connect(str(there.settings.warehouse_path)) as con:
            remote = Remote(con)
            yield SimpleNamespace(cursor=lambda: remote)
            asked.extend(remote.asked)

    monkeypatch.setattr(rights, "connect", connect)
    (path,) = rights.retain(load_settings(config_path=config))
    assert receipt(path)["kind"] == "retention"
    databases = [each.rpartition("database ")[2] for each in asked if "tables history" in each]
    assert databases == ['"MARTS"', '"d"']
    with there.warehouse.reader() as con:
        assert con.execute("select count(ip) from raw_app.audit_log").fetchall() == [(0,)]
