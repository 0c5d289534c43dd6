"""``python -m bench.clickhouse``: publishing API activity into the embedded ClickHouse, and reading it meanwhile.

The full publish is beside the same rows inserted into a table without aggregates, versions or comparisons. The last
line is one JSON object with every figure.
"""

# ruff: noqa: S608 - names are the bench's own

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import yaml

from serving.clickhouse.publish import publish
from serving.clickhouse.queries import MODEL, Snapshot
from serving.clickhouse.store import Store, connect
from serving.clickhouse.tables import qualified
from settings import ROOT, Settings, load_settings

ROWS, ROUNDS, TENANTS, DAYS, ASKED = 1_000_000, 3, 200, 50, 100
FIRST, LAST = date(2026, 1, 1), date(2026, 2, 19)
DATABASE = "bench"
_FILL = f"""
    insert into marts.{MODEL}
    select
        format('00000000-0000-4000-8000-{{:012d}}', i % {TENANTS}),
        date '{FIRST}' + (i // {TENANTS} % {DAYS})::int as day,
        timezone('UTC', day::timestamp) + to_minutes((hash(i) % 1440)::bigint), '/v1/' || hash(i, 1) % 40,
        if(hash(i, 2) % 3 = 0, 'POST', 'GET'), sha256((hash(i, 3) % 50)::varchar), (hash(i, 4) % 300)::bigint, 1,
        (hash(i, 5) % 50 = 0)::bigint, now()
    from range($rows) as calls (i)
    order by day
"""


def main() -> None:
    options = _parser().parse_args()
    seconds: dict[str, list[float]] = {"full": [], "insert": [], "one_percent": []}
    quiet: list[float] = []
    meanwhile: list[float] = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder, duckdb.connect() as warehouse:
            settings, manifest = _configured(Path(folder))
            _fill(warehouse, options.rows)
            with connect(_section(settings)) as store:
                seconds["full"].append(_timed(lambda: _publish(settings, warehouse, manifest, "full")))  # noqa: B023
                seconds["insert"].append(_insert(store, warehouse))
                quiet += [_ask(store, number) for number in range(ASKED)]
                # A fiftieth of the days of half of the tenants: 1%.
                warehouse.execute(
                    f"update marts.{MODEL} set failures = 1 - failures where day = ? and tenant_id < ?",
                    [LAST, _tenant(TENANTS // 2)],
                )
                done = threading.Event()
                reader = threading.Thread(target=_keep_asking, args=(store, meanwhile, done))
                reader.start()
                try:
                    seconds["one_percent"].append(
                        _timed(lambda: _publish(settings, warehouse, manifest, "1%"))  # noqa: B023
                    )
                finally:
                    done.set()
                    reader.join()
    median = {name: statistics.median(each) for name, each in seconds.items()}
    figures = {
        "rows": options.rows,
        "tenants": TENANTS,
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "rows_a_second": round(options.rows / median["full"]),
        "publish_vs_insert": round(median["full"] / median["insert"], 2),
        "one_percent_over_full": round(median["one_percent"] / median["full"], 3),
        "query_p50_ms": round(statistics.median(quiet) * 1000, 1),
        "query_p50_ms_while_publishing": round(statistics.median(meanwhile) * 1000, 1),
        "seconds": {name: [round(second, 2) for second in each] for name, each in seconds.items()},
    }
    print(f"{options.rows:,} rows of {TENANTS} tenants, medians of {options.rounds}")
    print(f"  full publish        {median['full']:.2f} s, {figures['rows_a_second']:,} rows/s")
    print(f"  plain insert        {median['insert']:.2f} s; publishing takes {figures['publish_vs_insert']} times that")
    print(f"  1% changed          {median['one_percent']:.2f} s")
    print(f"  a tenant's {DAYS} days by endpoint, p50   {figures['query_p50_ms']} ms, with two look-ups of versions")
    print(f"  while 1% is published              {figures['query_p50_ms_while_publishing']} ms")
    print(json.dumps(figures))


def _configured(folder: Path) -> tuple[Settings, Path]:
    nowhere = "postgresql://nobody@127.0.0.1:1/none"
    config, manifest = folder / "tailrace.yml", folder / "manifest.json"
    serving = {"publisher_dsn": nowhere, "reader_dsn": nowhere}
    sources = {
        "postgres": {"dsn": nowhere},
        "stripe": {"url": "http://127.0.0.1:1", "api_key_env": "NO_KEY"},
        "hubspot": {"url": "http://127.0.0.1:1", "token_env": "NO_TOKEN"},
    }
    clickhouse = {"path": str(folder / "clickhouse"), "database": DATABASE}
    body = {
        "region": "us",
        "state_dir": str(folder),
        "sources": sources,
        "serving": serving | {"clickhouse": clickhouse},
    }
    config.write_text(yaml.safe_dump(body))
    declared = ROOT / "dbt_project" / "models" / "marts" / "_api_activity__models.yml"
    (model,) = yaml.safe_load(declared.read_text())["models"]
    node = {
        **model,
        "resource_type": "model",
        "schema": "marts",
        "config": model["config"] | {"contract": {"enforced": True}},
        "columns": {column["name"]: column for column in model["columns"]},
    }
    manifest.write_text(json.dumps({"nodes": {"model": node}}))
    return load_settings(config_path=config), manifest


def _section(settings: Settings) -> Any:
    return settings.serving.clickhouse


def _fill(warehouse: duckdb.DuckDBPyConnection, rows: int) -> None:
    warehouse.execute("create schema marts")
    warehouse.execute(
        f"create table marts.{MODEL} (tenant_id varchar, day date, minute timestamptz, endpoint varchar, "
        "method varchar, user_key varchar, latency_ms bigint, requests bigint, failures bigint, "
        "_extracted_at timestamptz)"
    )
    warehouse.execute(_FILL, {"rows": rows})
    warehouse.execute(
        f"create table marts.dim_tenants as select distinct tenant_id, tenant_id as tenant_name, tenant_id as slug, "
        f"'pool' as tier, 'us' as region, false as is_deleted from marts.{MODEL}"
    )


def _tenant(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def _publish(settings: Settings, warehouse: duckdb.DuckDBPyConnection, manifest: Path, run: str) -> None:
    publish(settings, warehouse, manifest_path=manifest, run_id=run, as_of=datetime(2026, 3, 1, tzinfo=UTC))


def _insert(store: Store, warehouse: duckdb.DuckDBPyConnection) -> float:
    relation = Snapshot.open(store, DATABASE, _tenant(0)).publication.relations[MODEL]
    beside = qualified(DATABASE, "beside")
    store.run(f"create table {beside} as {qualified(DATABASE, relation)}")

    def load() -> None:
        reader = warehouse.sql(
            "select * exclude (_extracted_at) replace (make_timestamp(epoch_us(minute)) as minute), "
            f"0::ubigint as _generation from marts.{MODEL}"
        ).to_arrow_reader(500_000)
        for batch in reader:
            store.insert(beside, pa.Table.from_batches([batch]))

    return _timed(load)


def _ask(store: Store, number: int) -> float:
    tenant = _tenant(number % TENANTS)
    return _timed(lambda: Snapshot.open(store, DATABASE, tenant).endpoints(first=FIRST, last=LAST))


def _keep_asking(store: Store, took: list[float], done: threading.Event) -> None:
    number = 0
    while not done.is_set() or number < 5:
        took.append(_ask(store, number))
        number += 1


def _timed(act: Callable[[], Any]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.clickhouse", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="rows to publish")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="times each; medians are shown")
    return parser


if __name__ == "__main__":
    main()
