"""The whole project built twice on a Snowflake emulator, with changed data in between, held against DuckDB row for row.

``python -m tests.on_snowflake --emulator .venv-emulator/bin/snowduck`` starts the emulator (snowduck, which reads
Snowflake's SQL with a parser of its own), lands the same rows in both engines, builds, lands more, late, twice and with
deletions, builds again, and compares every mart and rollup after each. Then the emulator builds everything anew, and
that is compared with what DuckDB has in increments, and retention is enforced there. The last line is one JSON object;
any difference is a failure, as is a mart that has no row. What the emulator itself gets wrong: docs/snowflake.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import snowflake.connector

from bench.landed import land_a_day, land_history
from pii_policies import load_contracts
from pii_policies.keys import ensure_keys_for_raw
from privacy import snowflake_retention
from settings import load_settings
from tests.dbt_project.landings import Landings
from tests.dbt_project.support import DbtProject, Deployment
from tests.privacy.support import CONFIG, RECEIPT_KEY
from warehouse import DuckDBWarehouse

PROJECT = Path(__file__).parents[1] / "dbt_project"
MACROS = Path(__file__).with_name("fixtures") / "emulator_macros.sql"
# Of a plain product of two years, and of a day after all else that lands: extraction times only ever rise.
EVENTS, TENANTS, DAY, DAY_NUMBER = 4_000, 12, 200, 890
# Of companies whose customers and books do everything: coupons, pauses, trials, credit notes, disputes, meters.
SEEDS, ROUND = range(2), 300
COMPARED = ("marts", "rollups")
# Of the run itself, not of the data.
_OF_THE_RUN = {"run_id", "restated_at"}
_PROFILE = """
tailrace:
  target: emulator
  outputs:
    emulator:
      type: snowflake
      account: test
      host: 127.0.0.1
      port: {port}
      protocol: http
      user: test
      password: test
      role: test
      warehouse: test
      database: TAILRACE
      schema: main
      threads: 1
"""
_TYPES = (
    (r"UUID|VARCHAR", "varchar"),
    (r"JSON|.*\[\]", "variant"),
    (r"TIMESTAMP WITH TIME ZONE", "timestamp_tz"),
    (r"TIMESTAMP", "timestamp_ntz"),
    (r"DECIMAL(.*)", r"number\1"),
    (r"SMALLINT|INTEGER|BIGINT", "bigint"),
    (r"BOOLEAN", "boolean"),
    (r"DATE", "date"),
    (r"DOUBLE|FLOAT", "float"),
    (r"BLOB", "binary"),
)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.on_snowflake", description=str(__doc__).partition("\n\n")[0])
    parser.add_argument("--emulator", type=Path, required=True, help="the emulator's program")
    parser.add_argument("--keep", type=Path, help="a folder for logs and what was compiled, which stays")
    options = parser.parse_args(arguments)
    builds, rows, differing, incremental = 0, dict[str, int](), set[str](), set[str]()
    with tempfile.TemporaryDirectory(prefix="tailrace-snowflake-") as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        deployment = Deployment(folder, DbtProject(folder))
        local, landings = deployment.warehouse, Landings(seeds=SEEDS, events=ROUND)
        with _emulator(options.emulator, folder / "emulator.log") as port:
            (folder / "profiles.yml").write_text(_PROFILE.format(port=port), encoding="utf-8")
            for land in (_land_first, _land_more):
                builds += 1
                print(f"build {builds}", flush=True)
                land(deployment, landings)
                with local.writer("copy") as con, _connected(port) as remote:
                    ensure_keys_for_raw(con, load_contracts())
                    _copy_raw(con, remote)
                _dbt(folder, _for_the_emulator(folder / "project"), folder, "emulator", local)
                _dbt(folder, PROJECT, PROJECT, "dev", local)
                with local.writer("compare") as con, _connected(port) as remote:
                    for schema, table in _marts(con):
                        rows[f"{schema}.{table}"] = _count(con, schema, table)
                        for line in _differences(con, remote, schema, table):
                            differing.add(f"{schema}.{table}")
                            print(f"  {schema}.{table}: {line}", flush=True)
            print("everything anew", flush=True)
            _dbt(folder, folder / "project", folder, "emulator", local, "--full-refresh")
            with local.writer("compare") as con, _connected(port) as remote:
                for schema, table in _marts(con):
                    # When a slice last changed, a build of everything anew cannot know.
                    for line in _differences(con, remote, schema, table, without={*_OF_THE_RUN, "_extracted_at"}):
                        incremental.add(f"{schema}.{table}")
                        print(f"  {schema}.{table}: {line}", flush=True)
            with _connected(port) as remote:
                past_their_days, emptied, dated = _retention(folder, remote)
    empty = sorted(table for table, number in rows.items() if not number)
    print(
        json.dumps(
            {
                "builds": builds,
                "marts_compared": len(rows),
                "marts_differing": len(differing),
                "marts_differing_built_anew": len(incremental),
                "marts_empty": len(empty),
                "rows_compared": sum(rows.values()),
                "values_past_their_days": past_their_days,
                "values_emptied": emptied,
                "tables_with_an_end": dated,
                "differing": sorted(differing | incremental),
                "empty": empty,
            }
        )
    )
    retained = 0 < emptied == past_their_days and dated
    return 1 if differing or incremental or empty or not rows or not retained else 0


def _land_first(deployment: Deployment, landings: Landings) -> None:
    with deployment.connect() as con:
        land_history(con, events=EVENTS, tenants=TENANTS)
    landings.land(deployment, 0)


def _land_more(deployment: Deployment, landings: Landings) -> None:
    for number in (1, 2):
        landings.land(deployment, number)
    with deployment.connect() as con:
        land_a_day(con, events=DAY, number=DAY_NUMBER)


@contextmanager
def _emulator(program: Path, log: Path) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    with log.open("w") as output:
        server = subprocess.Popen([str(program), "--port", str(port)], stdout=output, stderr=subprocess.STDOUT)
        try:
            for _ in range(300):
                with socket.socket() as client:
                    if client.connect_ex(("127.0.0.1", port)) == 0:
                        break
                if server.poll() is not None:
                    sys.exit(f"the emulator ended at once; see {log}")
                time.sleep(0.2)
            yield port
        finally:
            server.terminate()
            server.wait()


def _retention(folder: Path, remote: Any) -> tuple[int, int, int]:
    """Enforce retention a hundred years on: comments with a text before, those without it now, and tables dated."""
    os.environ["TAILRACE_RECEIPT_KEY"] = RECEIPT_KEY
    config = folder / "tailrace.yml"
    config.write_text(CONFIG.format(home=folder), encoding="utf-8")
    counted = "select count(body) from raw_app.comments"
    remote.execute("use database TAILRACE")
    # A row that was deleted before it ever landed has a key, and no time to reckon from.
    remote.execute("update raw_app.comments set body = 'words' where created_at is not null")
    remote.execute(counted)
    ((before,),) = remote.fetchall()
    later = datetime(2126, 1, 1, tzinfo=UTC)
    given = {"databases": ["TAILRACE"], "actor": "a test", "now": later}
    (receipt,) = snowflake_retention.enforce(load_settings(config_path=config), remote, **given)
    if snowflake_retention.enforce(load_settings(config_path=config), remote, **given):
        sys.exit("retention: the second run found something to empty")
    remote.execute(counted)
    ((left,),) = remote.fetchall()
    return int(before), int(before - left), len(json.loads(receipt.read_text(encoding="utf-8"))["expiry"])


@contextmanager
def _connected(port: int) -> Iterator[Any]:
    connection = snowflake.connector.connect(
        account="test", host="127.0.0.1", port=port, protocol="http", user="test", password="test", database="TAILRACE"
    )
    try:
        yield connection.cursor()
    finally:
        connection.close()


def _copy_raw(con: duckdb.DuckDBPyConnection, remote: Any) -> None:
    """Raw tables and the vault, as they stand; what stood there goes."""
    for database in ("TAILRACE", "VAULT"):
        remote.execute(f"create database if not exists {database}")
    tables = con.execute(
        "select database_name, schema_name, table_name from duckdb_tables() "
        "where schema_name like 'raw_%' or table_name = 'tenant_keys' order by all"
    ).fetchall()
    for database, schema, table in tables:
        target = f"TAILRACE.{schema}.{table}"
        if database == "vault":
            target = f"VAULT.public.{table}"
        columns = con.execute(
            "select column_name, data_type from duckdb_columns() where database_name = ? and schema_name = ? "
            "and table_name = ? order by column_index",
            [database, schema, table],
        ).fetchall()
        remote.execute(f"create schema if not exists {target.rpartition('.')[0]}")
        types = ", ".join(f'"{name.upper()}" {_type(kind)}' for name, kind in columns)
        remote.execute(f"create or replace table {target} ({types})")
        rows = con.execute(f'select * from "{database}"."{schema}"."{table}"').fetchall()  # noqa: S608  names of ours
        for start in range(0, len(rows), 500):
            batch = ", ".join(
                "(" + ", ".join(_literal(value) for value in row) + ")" for row in rows[start : start + 500]
            )
            names = [f"c{number}" for number in range(len(columns))]
            taken = ", ".join(_taken(name, kind) for name, (_, kind) in zip(names, columns, strict=True))
            listed = f"(values {batch}) as given ({', '.join(names)})"
            remote.execute(f"insert into {target} select {taken} from {listed}")  # noqa: S608  values of ours


def _type(kind: str) -> str:
    for pattern, given in _TYPES:
        if re.fullmatch(pattern, kind):
            return re.sub(f"^{pattern}$", given, kind)
    raise SystemExit(f"on_snowflake: no type for {kind}; add it to _TYPES")


def _taken(column: str, kind: str) -> str:
    given = _type(kind)
    if given == "variant":
        return f"parse_json({column})"
    return f"to_binary({column}, 'HEX')" if given == "binary" else f"cast({column} as {given})"


def _literal(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bytes):
        return f"'{value.hex()}'"
    if isinstance(value, bool | int | Decimal):
        return str(value).lower()
    if isinstance(value, datetime):
        return f"'{value.isoformat(sep=' ')}'"
    if isinstance(value, list):
        value = json.dumps(value)
    return "'" + str(value).replace("\\", "\\\\").replace("'", "''") + "'"


def _for_the_emulator(copy: Path) -> Path:
    """The project without what the emulator cannot read: contracts of models, whose columns it does not take beside a
    query, and the macros of ``emulator_macros.sql``. No model is touched.
    """
    if not copy.exists():
        shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns("target", "logs"))
        for path in copy.rglob("*.yml"):
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace("enforced: true", "enforced: false"), encoding="utf-8")
        instead = MACROS.read_text(encoding="utf-8")
        for path in (copy / "macros").rglob("*.sql"):
            text = path.read_text(encoding="utf-8")
            for name in re.findall(r"macro (\w+)\(", instead):
                text = text.replace(f"macro {name}(", f"macro not_{name}(")
            path.write_text(text, encoding="utf-8")
        (copy / "macros" / MACROS.name).write_text(instead, encoding="utf-8")
    return copy


def _dbt(folder: Path, project: Path, profiles: Path, target: str, local: DuckDBWarehouse, *options: str) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TAILRACE_", "DBT_"))}
    with local.lease("dbt"):
        done = subprocess.run(
            [
                *(str(Path(sys.executable).with_name("dbt")), "--no-version-check", "--no-use-colors", "build"),
                *(
                    "--exclude-resource-type",
                    "unit_test",
                    "--project-dir",
                    str(project),
                    "--profiles-dir",
                    str(profiles),
                ),
                *("--target", target, "--target-path", str(folder / f"target-{target}")),
                *("--log-path", str(folder / f"logs-{target}")),
                *options,
            ],
            env={
                **inherited,
                "DO_NOT_TRACK": "1",
                "TAILRACE_WAREHOUSE_PATH": str(folder / "warehouse.duckdb"),
                "TAILRACE_VAULT_PATH": str(folder / "vault.duckdb"),
            },
            capture_output=True,
            text=True,
        )
    if done.returncode != 0:
        lines = [line for line in done.stdout.splitlines() if " OK " not in line and " PASS " not in line]
        raise SystemExit("\n".join(lines[-120:]) + f"\non_snowflake: dbt build on {target} failed")


def _marts(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    return con.execute(
        "select table_schema, table_name from information_schema.tables where table_schema in (select unnest(?)) "
        "and table_catalog = current_database() order by all",
        [list(COMPARED)],
    ).fetchall()


def _count(con: duckdb.DuckDBPyConnection, schema: str, table: str) -> int:
    return int(con.execute(f'select count(*) from "{schema}"."{table}"').fetchall()[0][0])  # noqa: S608  names of ours


def _differences(
    con: duckdb.DuckDBPyConnection, remote: Any, schema: str, table: str, *, without: Collection[str] = _OF_THE_RUN
) -> Iterator[str]:
    columns = [
        (name, kind)
        for name, kind in con.execute(
            "select column_name, data_type from duckdb_columns() where schema_name = ? and table_name = ? "
            "and database_name = current_database() order by column_index",
            [schema, table],
        ).fetchall()
        if name not in without
    ]
    ours = ", ".join(f'epoch_us("{c}")' if k.startswith("TIMESTAMP") else f'"{c}"' for c, k in columns)
    theirs = ", ".join(f"date_part(epoch_microsecond, {c})" if k.startswith("TIMESTAMP") else c for c, k in columns)
    found = sorted(map(_comparable, con.execute(f'select {ours} from "{schema}"."{table}"').fetchall()))  # noqa: S608
    other = sorted(map(_comparable, remote.execute(f"select {theirs} from TAILRACE.{schema}.{table}").fetchall()))  # noqa: S608
    only_here, only_there = sorted(set(found) - set(other)), sorted(set(other) - set(found))
    if len(found) != len(other):
        yield f"{len(found)} rows on DuckDB, {len(other)} on Snowflake"
    if only_here or only_there:
        yield f"{len(only_here)} rows only on DuckDB, {len(only_there)} only on Snowflake, of {len(found)}"
        yield f"  columns   {tuple(name for name, _ in columns)}"
        for row in only_here[:2]:
            yield f"  DuckDB    {row}"
        for row in only_there[:2]:
            yield f"  Snowflake {row}"


def _comparable(row: Sequence[object]) -> tuple[str, ...]:
    return tuple(_text(value) for value in row)


def _text(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int | float | Decimal):
        exact = Decimal(str(value)).normalize()
        return f"{exact:f}"
    return value.isoformat() if isinstance(value, date) else str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
