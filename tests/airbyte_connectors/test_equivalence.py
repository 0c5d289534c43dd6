"""What Airbyte's published connectors read of a sandbox becomes the same staging rows as what the embedded ones read.

Each connector runs unmodified, in the environment that ``make test-airbyte-connectors`` made for it, and believes that
it talks to the real API: an intercepting proxy hands the sandbox what it asks for.
"""

# ruff: noqa: S608 - names are the contracts'

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion.airbyte import manifest, raw_contract
from ingestion.airbyte.connectors import CONNECTORS
from ingestion.land import ensure_table, raw_table
from pii_policies import load_contracts
from pii_policies.compile import staging_name
from pii_policies.keys import ensure_keys_for_raw
from tests.airbyte_connectors.proxy import Proxy
from tests.ingestion.airbyte.landing import airbyte_columns, create_tables
from tests.ingestion.salesforce import support as salesforce
from tests.ingestion.worlds import open_world
from tests.pii_policies.support import Dbt

Json = dict[str, Any]
pytestmark = pytest.mark.airbyte
CONTRACTS = load_contracts()
HOSTS = {"stripe": "api.stripe.com", "hubspot": "api.hubapi.com", "salesforce": "login.salesforce.com"}
CONFIGS: Mapping[str, Json] = {
    "stripe": {"account_id": "acct_1", "client_secret": "sk_test_1", "start_date": "2020-01-01T00:00:00Z"},
    "hubspot": {
        "credentials": {"credentials_title": "Private App Credentials", "access_token": "pat-1"},
        "start_date": "2020-01-01T00:00:00Z",
    },
    "salesforce": {
        "auth_type": "Client",
        "client_id": "sandbox",
        "client_secret": "sandbox",
        "refresh_token": "sandbox",
        "start_date": "2025-01-01T00:00:00Z",
    },
}
# Columns in which the two differ, because they tell when a row was landed.
DIFFERENT = {"_extracted_at", "_deleted_at"}


def home_of(source: str) -> Path:
    return Path(os.environ["TAILRACE_AIRBYTE_CONNECTORS"]).resolve() / source


def run(source: str, command: str, files: Mapping[str, Path], *, proxy: Proxy | None = None) -> list[Json]:
    """The messages of a connector; fails the test when it ends with an error."""
    asked = [str(home_of(source) / "bin" / f"source-{source}"), command]
    asked += [part for name, path in files.items() for part in (f"--{name}", str(path))]
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    if proxy is not None:
        # the connectors' HTTP library heeds no variable for certificates: what is trusted is certifi's answer
        trusting = f"import certifi\ncertifi.where = lambda: {str(proxy.authority)!r}\n"
        (proxy.authority.parent / "sitecustomize.py").write_text(trusting)
        environment |= {"PYTHONPATH": str(proxy.authority.parent), "HTTPS_PROXY": proxy.url}
    done = subprocess.run(
        asked,
        env=environment,
        cwd=files["config"].parent,  # answers that come in bulk are kept there
        capture_output=True,
        text=True,
        timeout=600,
    )
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    errors = [each["trace"]["error"]["message"] for each in messages if each.get("trace", {}).get("type") == "ERROR"]
    assert not errors
    assert done.returncode == 0
    return messages


def read(source: str, target: str, folder: Path) -> dict[str, list[Json]]:
    """Stream → records that the connector reads of a sandbox, with the streams and sync modes of our connection."""
    config, catalog = folder / "config.json", folder / "catalog.json"
    config.write_text(json.dumps(CONFIGS[source]))
    with Proxy(HOSTS[source], target, folder) as proxy:
        (found,) = [
            each["catalog"] for each in run(source, "discover", {"config": config}, proxy=proxy) if "catalog" in each
        ]
        offered = {each["name"]: each for each in found["streams"]}
        wanted = manifest.part(source)["streams"]
        assert {each["name"] for each in wanted} <= offered.keys()
        for each in wanted:  # what a stream's schema does not have, no destination lands
            assert set(each["fields"]) <= offered[each["name"]]["json_schema"]["properties"].keys(), each["name"]
        streams = [
            {
                "stream": offered[each["name"]],
                "sync_mode": "incremental" if each["cursor"] else "full_refresh",
                "destination_sync_mode": "append_dedup",
                "cursor_field": [each["cursor"]] if each["cursor"] else [],
                "primary_key": [[name] for name in each["primary_key"]],
            }
            for each in wanted
        ]
        catalog.write_text(json.dumps({"streams": streams}))
        messages = run(source, "read", {"config": config, "catalog": catalog}, proxy=proxy)
    records: dict[str, list[Json]] = {each["name"]: [] for each in wanted}
    for message in messages:
        if message["type"] == "RECORD":
            records[message["record"]["stream"]].append(message["record"]["data"])
    return records


def land(con: duckdb.DuckDBPyConnection, source: str, records: Mapping[str, Iterable[Json]]) -> None:
    """As Airbyte's destination does: the selected fields in its types, the last record of a key."""
    create_tables(con, source)
    part = manifest.part(source)
    keys = {each["name"]: each["primary_key"] for each in part["streams"]}
    at = datetime.now(UTC)
    for stream, found in records.items():
        columns = airbyte_columns(source, stream)
        last = {tuple(str(each[name]) for name in keys[stream]): each for each in found}
        for each in last.values():
            row = {"_airbyte_raw_id": "r", "_airbyte_extracted_at": at, "_airbyte_generation_id": 0}
            row |= {name: _value(each.get(name)) for name in columns if name in each}
            listed = ", ".join(f'"{name}"' for name in row)
            con.execute(
                f"insert into {part['namespace']}.{stream} ({listed}) values ({', '.join('?' * len(row))})",
                list(row.values()),
            )
    raw_contract.complete(con, CONTRACTS, CONNECTORS[source], engine="duckdb", lacking=part["connector_lacks"])
    assert raw_contract.findings(con, CONTRACTS, CONNECTORS[source]) == []
    for table in CONTRACTS.raw_tables(source):  # Snowflake has one type for whole numbers, DuckDB has several
        ensure_table(con, raw_table(table), retype=True)


def _value(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if isinstance(value, list | dict) else value


def staged(dbt: Dbt, source: str) -> dict[str, list[Json]]:
    """Stream → its staging rows, live ones, in the order of their keys."""
    with duckdb.connect(str(dbt.warehouse)) as con:
        con.execute(f"attach if not exists '{dbt.vault}' as vault")
        con.execute("set TimeZone = 'UTC'")
        for contract in CONTRACTS.sources:
            for table in CONTRACTS.raw_tables(contract):
                if contract != source:
                    ensure_table(con, raw_table(table))
        ensure_keys_for_raw(con, CONTRACTS)
    dbt.run("run", "--select", f"staging.{source}")
    found = {}
    with duckdb.connect(str(dbt.warehouse)) as con:
        con.execute(f"attach if not exists '{dbt.vault}' as vault")
        con.execute("set TimeZone = 'UTC'")
        for table in CONTRACTS.raw_tables(source):
            cursor = con.execute(f"select * from staging.{staging_name(table)}")
            names = [str(entry[0]) for entry in cursor.description or ()]
            documents = {str(entry[0]) for entry in cursor.description or () if str(entry[1]) == "JSON"}
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
            for row in rows:
                row |= {name: _document(row[name]) for name in documents if row[name] is not None}
            key = next(column.staged_as for column in table.columns if column.name == table.key[0])
            live = [row for row in rows if not row["is_deleted"]]
            found[table.name] = sorted(live, key=lambda row: str(row[key]))
    return found


def _document(text: str) -> str:
    """A JSON document so that two are the same text when they are the same value: 1 and 1.0 are one number."""

    def number(text: str) -> list[str]:
        return ["number", str(Decimal(text).normalize())]

    return json.dumps(json.loads(text, parse_int=number, parse_float=number), sort_keys=True)


@pytest.mark.parametrize("source", HOSTS)
def test_airbytes_connector_and_ours_give_the_same_staging_rows(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (home_of(source) / "bin" / f"source-{source}").exists():
        pytest.skip(f"airbyte-source-{source} is not installed")
    server, world = open_world(source, tmp_path / "state.sqlite")
    places = {name: tmp_path / name for name in ("ours", "airbytes", "connector", "deployment")}
    for place in places.values():
        place.mkdir()
    if source == "salesforce":
        world.names = salesforce.NAMES
    try:
        world.found()
        world.live()
        settings, warehouse = world.deployment(places["deployment"], monkeypatch)
        world.sync(settings, warehouse)
        records = read(source, server.url, places["connector"])
    finally:
        server.stop()
    ours, theirs = Dbt(places["ours"]), Dbt(places["airbytes"])
    ours.warehouse.write_bytes(settings.warehouse_path.read_bytes())
    with duckdb.connect(str(theirs.warehouse)) as con:
        con.execute("set TimeZone = 'UTC'")
        land(con, source, records)
    expected = staged(ours, source)
    theirs.vault.write_bytes(ours.vault.read_bytes())  # pseudonyms are the same under the same keys
    found = staged(theirs, source)

    lacking = manifest.part(source)["connector_lacks"]
    counted = 0
    for stream in manifest.part(source)["streams"]:
        name, absent = stream["name"], _absent(source, stream["name"], lacking) | DIFFERENT
        own, other = [
            [{n: v for n, v in row.items() if n not in absent} for row in each]
            for each in (expected[name], found[name])
        ]
        assert len(own) == len(other), name
        for one, two in zip(own, other, strict=True):
            assert {n for n in one if one[n] != two[n]} == set(), name
        counted += len(own)
    assert counted > 30, "a refused request passes as a success with no record"


def _absent(source: str, stream: str, lacking: Iterable[str]) -> set[str]:
    """The columns of staging that are read from what the connector does not give."""
    lost = {name.partition(".")[2] for name in lacking if name.startswith(f"{stream}.")}
    columns = CONTRACTS.table(source, stream).columns
    return {c.staged_as for c in columns if (c.derived.column if c.derived is not None else c.name) in lost}
