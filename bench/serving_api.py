"""The read API under an open loop: requests come when they are due, whether or not the ones before were answered.

    python -m bench.serving_api [--rows 10000000] [--seconds 20] [--soak 900]

A Postgres of its own with the usage of 2,000 tenants, published as every rollup is, the app under uvicorn with two
workers, all on this machine and over loopback. Latency counts from when a request was due. Prints its figures as
JSON, the last line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
import httpx
import psycopg

from bench.rollups import Product, fill, new_product, server
from demo.postgres import free_port
from serving.tokens import mint_demo_token
from settings import ROOT

OFFERED = 300
CONNECTIONS = 32
MOST_CONNECTIONS = 256
PATHS = ("/v1/usage", "/v1/usage?grain=week", "/v1/freshness", "/v1/usage?from=2026-01-01&to=2026-03-01")


class Asker:
    """Keep-alive connections that speak just enough HTTP: a heavier client would be measured instead."""

    def __init__(self, port: int, tokens: list[str]) -> None:
        self._port = port
        self._tokens = tokens
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._open = 0
        self._rng = random.Random(7)
        self.took: list[float] = []
        self.status: Counter[int] = Counter()

    async def ask(self, due: float) -> None:
        if not self._free and self._open >= MOST_CONNECTIONS:
            self.status[0] += 1  # nothing to ask with: the service lets everyone wait
            return
        try:
            while True:
                reused = bool(self._free)
                reader, writer = self._free.pop() if reused else await self._connect()
                path, token = self._rng.choice(PATHS), self._rng.choice(self._tokens)
                writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
                try:
                    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode("latin-1").lower()
                    break
                except (ConnectionError, asyncio.IncompleteReadError):
                    if not reused:  # else the server had closed it for idleness, and every client asks again
                        raise
                    self._open -= 1
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            await reader.readexactly(length)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, IndexError):
            self._open -= 1
            self.status[-1] += 1
            return
        self._free.append((reader, writer))
        status = int(head.split(" ")[1])
        self.status[status] += 1
        if status == 200:
            self.took.append(time.perf_counter() - due)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._open += 1
        return await asyncio.open_connection("127.0.0.1", self._port)

    async def offer(self, rate: float, seconds: float) -> dict[str, Any]:
        """``rate`` requests a second for ``seconds``; latencies in ms, of what was answered with 200."""
        self.took, self.status = [], Counter()
        began, tasks = time.perf_counter(), set()
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            task = asyncio.create_task(self.ask(due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        lasted = time.perf_counter() - began
        took = sorted(self.took) or [float("nan")]
        return {
            "offered": rate,
            "answered_rps": round(len(self.took) / lasted, 1),
            "p50_ms": round(1000 * took[len(took) // 2], 2),
            "p95_ms": round(1000 * took[int(0.95 * (len(took) - 1))], 2),
            "p99_ms": round(1000 * took[int(0.99 * (len(took) - 1))], 2),
            "status": dict(sorted(self.status.items())),
        }


def raw_sql(product: Product, tenants: list[str], count: int) -> dict[str, float]:
    """The API's own statements, one after the other on one connection, prepared: ms."""
    from serving.api.queries import FRESHNESS, Query
    from serving.api.queries import USAGE as BY_GRAIN

    rng, took = random.Random(7), []
    asked: list[tuple[Query, tuple[str | None, ...]]] = [
        (BY_GRAIN["day"], (None, None)),
        (BY_GRAIN["week"], (None, None)),
        (FRESHNESS, ()),
    ]
    asked.append((BY_GRAIN["day"], ("2026-01-01", "2026-03-01")))
    with psycopg.RawCursor(product.connect("tailrace_reader")) as cursor:
        for _ in range(count):
            query, range_ = rng.choice(asked)
            tenant = rng.choice(tenants)
            began = time.perf_counter()
            cursor.execute("select set_config('app.current_tenant_id', $1, true)", [tenant], prepare=True)
            cursor.execute(query.sql, [tenant, *range_], prepare=True).fetchone()
            took.append(1000 * (time.perf_counter() - began))
            cursor.connection.rollback()
    return {"p50_ms": round(statistics.median(took), 2), "p95_ms": round(sorted(took)[int(0.95 * len(took))], 2)}


def measure(*, rows: int, seconds: float, soak: float) -> dict[str, Any]:
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        product = new_product(stack.enter_context(server(home)), home, "product")
        with duckdb.connect(str(home / "warehouse.duckdb")) as warehouse:
            fill(warehouse, rows)
            product.publish(warehouse)
            tenants = [row[0] for row in warehouse.execute("select tenant_id from marts.dim_tenants").fetchall()]
        with product.server.connect(product.database) as admin:
            admin.execute("vacuum analyze")
        settings = product.settings
        tokens = [mint_demo_token(settings, each) for each in tenants]
        port = free_port()
        api = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "--factory", "serving.api:app", "--no-access-log", "--workers", "2",
             "--host", "127.0.0.1", "--port", str(port), "--log-level", "error"],
            env=os.environ | {"TAILRACE_CONFIG": str(settings.config_path), "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )  # fmt: skip
        stack.callback(api.wait)
        stack.callback(os.killpg, api.pid, signal.SIGTERM)
        _wait(port)
        return asyncio.run(_measured(Asker(port, tokens), product, tenants, api.pid, seconds=seconds, soak=soak))


async def _measured(
    asker: Asker, product: Product, tenants: list[str], pid: int, *, seconds: float, soak: float
) -> dict[str, Any]:
    await asker.offer(100, min(5, seconds))  # plans, caches, tokens
    found: dict[str, Any] = {"machine": f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"}
    found["raw_sql"] = raw_sql(product, tenants, 1000)
    found["at_300"] = await asker.offer(OFFERED, seconds)
    found["steps"] = [await asker.offer(rate, seconds / 2) for rate in (600, 900, 1200, 1600, 2000)]
    if soak:
        before = _held(product, pid)
        parts = [await asker.offer(OFFERED, soak / 10) for _ in range(10)]
        found["soak"] = {"before": before, "after": _held(product, pid), "p95_ms": [part["p95_ms"] for part in parts]}
    found["api_p50_ms"], found["api_p95_ms"] = found["at_300"]["p50_ms"], found["at_300"]["p95_ms"]
    found["api_max_rps"] = max(step["answered_rps"] for step in (found["at_300"], *found["steps"]))
    return found


def _held(product: Product, pid: int) -> dict[str, int]:
    """Memory of the server's processes in MB, and its connections."""
    group = [path for path in Path("/proc").glob("[0-9]*") if _group(path) == pid]
    pages = sum(int((path / "statm").read_text().split()[1]) for path in group)
    with product.server.connect(product.database) as admin:
        row = admin.execute("select count(*) from pg_stat_activity where usename = 'tailrace_reader'").fetchone()
    return {"memory_mb": pages * os.sysconf("SC_PAGE_SIZE") >> 20, "connections": row[0] if row else 0}


def _group(path: Path) -> int:
    try:
        return int((path / "stat").read_text().rsplit(")", 1)[1].split()[2])
    except (OSError, IndexError):
        return 0


def _wait(port: int) -> None:
    for _ in range(600):
        try:
            if httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit("the API does not start")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--soak", type=float, default=0.0)
    given = parser.parse_args()
    found = measure(rows=given.rows, seconds=given.seconds, soak=given.soak)
    for step in (found["at_300"], *found["steps"]):
        print(step)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
