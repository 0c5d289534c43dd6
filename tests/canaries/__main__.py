"""``make test-canaries``: unique personal values in every personal column, a whole run, then every byte outside raw.

The last line is one JSON object: ``planted`` values, ``found_outside_raw`` (place and form, one each), ``leaks_total``
leaks made on purpose and ``leaks_caught`` of them, ``false_alarms`` on look-alikes. Exit code 1 when anything is amiss.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote as url_quote

import duckdb
import yaml
from fastapi.testclient import TestClient
from psycopg import sql

from demo import services
from demo.postgres import EmbeddedPostgres
from pii_policies import load_contracts
from serving.api import create_app
from serving.tokens import mint_demo_token
from settings import ROOT, Settings
from tests.canaries import planting, search
from tests.canaries.search import MARK, Searcher, in_duckdb, in_file
from tests.end_to_end.conftest import configure

TENANTS, DAYS, SEED = 6, 5, 5


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="tailrace-canaries-") as folder:
        result, problems = _whole(Path(folder))
    for problem in problems:
        print(problem)
    print(json.dumps(result))
    return 1 if problems else 0


def _whole(folder: Path) -> tuple[dict[str, Any], list[str]]:
    settings, environment = configure(folder)
    contracts, canaries = load_contracts(), planting.Canaries()
    with services.running(settings) as postgres:
        settings = services.settle_size(settings, tenants=TENANTS, days=DAYS, seed=SEED)
        company = services.sample_company(settings, postgres)
        company.found()
        company.live(DAYS)
        tenants = [str(tenant.id) for tenant in company.tenants if tenant.region == settings.region]
    planting.in_stripe(canaries, contracts, settings.demo_dir / "stripe.sqlite")
    planting.in_hubspot(canaries, contracts, settings.demo_dir / "hubspot.sqlite")
    planting.in_salesforce(canaries, contracts, settings.demo_dir / "salesforce.sqlite")
    with services.running(settings) as postgres:
        with postgres.connect(f"product_{settings.region}") as connection:
            planting.in_product(canaries, contracts, connection)
        said = [_run(environment)]
        with duckdb.connect(str(settings.warehouse_path)) as warehouse:
            missing = planting.in_raw(canaries, contracts, warehouse)
        # An org that is asked again would put its own values back.
        said += [
            _run(_without_salesforce(settings, environment, folder)),
            _tailrace(environment, "status", "--json"),
            _tailrace(environment, "env"),
        ]
        searcher = Searcher(canaries.searched)
        with duckdb.connect(str(settings.warehouse_path), read_only=True) as warehouse:
            warehouse.execute("attach ? as vault (read_only)", [str(settings.vault_path)])  # staging's views read it
            never = [
                f"{table.label}.{column.name} did not reach raw, so nothing is proved of it"
                for table in contracts.tables()
                if table.derived_from is None
                for column in planting.personal(table)
                if column.lands and (table.label, column.name) not in missing
                if not planting.landed(warehouse, table, column)
            ]
            outside = [*_outside(settings, postgres, warehouse, tenants), *(("output", each) for each in said)]
        found = [f"{place}: {form}" for place, content in outside for form in sorted(searcher.find(content))]
        leaks, alarms = on_purpose(folder / "leaks", searcher)
    result = {
        "planted": sum(map(len, canaries.planted.values())),
        "columns": len(canaries.planted),
        "columns_without_rows": len(missing),
        "places_searched": len(outside),
        "bytes_searched": sum(len(content) for _, content in outside),
        "found_outside_raw": len(found),
        "leaks_total": len(leaks),
        "leaks_caught": sum(leaks.values()),
        "false_alarms": len(alarms),
    }
    missed = [f"a leak made on purpose was not caught: {name}" for name, caught in leaks.items() if not caught]
    return result, [*(f"found outside raw: {each}" for each in found), *missed, *alarms, *never]


def _without_salesforce(settings: Settings, environment: dict[str, str], folder: Path) -> dict[str, str]:
    document = yaml.safe_load(settings.config_path.read_text(encoding="utf-8"))
    document["sources"]["salesforce"] = None
    path = folder / "without_salesforce.yml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return environment | {"TAILRACE_CONFIG": str(path)}


def _outside(
    settings: Settings, postgres: EmbeddedPostgres, warehouse: duckdb.DuckDBPyConnection, tenants: list[str]
) -> Iterator[tuple[str, bytes]]:
    """Everything but raw, the vault and the sources themselves, as bytes and as engines read it."""
    for path in sorted(settings.region_dir.rglob("*")):
        if path.is_file() and not path.name.startswith(("warehouse.duckdb", "vault.duckdb")):
            for kind, content in in_file(path):
                yield f"{path.relative_to(settings.region_dir)} ({kind})", content
    for name, content in in_duckdb(warehouse, but="raw_"):
        yield f"warehouse, {name}", content
    for database in settings.rollup_databases():
        with postgres.connect(database) as connection:
            names = connection.execute(
                "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace "
                "where pg_get_userbyid(n.nspowner) = 'tailrace_owner' and c.relkind in ('r', 'p', 'v', 'm')"
            ).fetchall()
            for schema, name in names:
                rows = connection.execute(sql.SQL("select * from {}").format(sql.Identifier(schema, name))).fetchall()
                yield f"{database}, {schema}.{name}", "\n".join(map(str, rows)).encode()
    with TestClient(create_app(settings)) as client:
        for tenant in tenants:
            headers = {"Authorization": f"Bearer {mint_demo_token(settings, str(tenant))}"}
            for route in ("/v1/usage", "/v1/features", "/v1/freshness", "/healthz", "/v1/usage?first=x"):
                answer = client.get(route, headers=headers)
                yield f"API {route}", answer.content + str(answer.headers).encode()


def on_purpose(folder: Path, searcher: Searcher) -> tuple[dict[str, bool], list[str]]:
    """Leaks of every form in every kind of file, and look-alikes; whether each was caught, and who was accused."""
    folder.mkdir()
    value = f"{MARK}00001@example.com"
    texts = {
        "plain": value,
        "upper case": value.upper(),
        "url-encoded": url_quote(value, safe=""),
        "percent-encoded": "".join(f"%{byte:02X}" for byte in value.encode()),
        "hex": value.encode().hex(),
        "hex in capitals": value.encode().hex().upper(),
        "utf-16": value.encode("utf-16-le").decode("latin-1"),
        "a UUID": f"{search.UUID_MARK}-8000-000000000001",
    } | {f"base64 after {n} bytes": base64.b64encode(b"x" * n + value.encode() + b"y").decode() for n in range(3)}
    for name, text in texts.items():
        (folder / name.replace(" ", "_")).write_bytes(b"2026-11-22 INFO " + text.encode("latin-1") + b" landed")
    (folder / "gzip").write_bytes(gzip.compress(value.encode()))
    with duckdb.connect(str(folder / "table.duckdb")) as connection:
        # Compressed by dictionary and prefix: the bytes alone need not show it.
        connection.execute("create table leaked as select ? || '.' || (i % 7) as tag from range(100000) r(i)", [value])
        connection.execute("copy leaked to ? (format parquet, compression zstd)", [str(folder / "parquet")])
    caught = {path.name: any(searcher.find(content) for _, content in in_file(path)) for path in folder.iterdir()}
    look_alikes = {
        "its network": f"{search.NETWORK}0.0/24",
        "its date, as a month": "1811-03-01",
        "a pseudonym": "5c820b4a5aac8f31eb6741825bfecb8e97f00488d5edaed1ae2908c29d0b7e38",
        "another word": MARK[:-1],
        "a masked address": "k***@example.com",
        "base64 of another word": base64.b64encode(MARK[2:-2].encode()).decode(),
        "another UUID": "cafeca9b-0000-4000-8000-000000000001",
    }
    alarms = [f"false alarm: {name}" for name, text in look_alikes.items() if searcher.find(text.encode())]
    return caught, alarms


def _run(environment: dict[str, str]) -> bytes:
    return _tailrace(environment, "run", "--json")


def _tailrace(environment: dict[str, str], *arguments: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-c", "from orchestration.cli import main; main()", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
    )
    if done.returncode:
        raise SystemExit(f"tailrace {arguments[0]} failed: {done.stderr.decode().strip()[-500:]}")
    return done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main())
