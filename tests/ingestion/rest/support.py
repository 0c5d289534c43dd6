"""Deployments that read a sandbox, the truth to compare them with, and a proxy that breaks what passes through it."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3

from pii_policies import load_contracts
from settings import ROOT, Region, Settings, load_settings
from warehouse import DuckDBWarehouse, open_warehouse

STRIPE_KEY = "sk_test_sources0123456789"
HUBSPOT_TOKEN = "pat-eu1-sources0123456789"
CONFIG = """
region: us
state_dir: {home}
sources:
  postgres: {{dsn: postgresql://nobody@127.0.0.1:1/none}}
  stripe: {stripe}
  hubspot: {{url: "{hubspot}", token_env: TEST_HUBSPOT_TOKEN}}
serving: {{publisher_dsn: postgresql://nobody@127.0.0.1:1/none, reader_dsn: postgresql://nobody@127.0.0.1:1/none}}
residency: {{unattributed_region: us}}
"""

REGIONS: tuple[Region, ...] = ("us", "eu")
FAULTS = ("429", "500", "truncated", "garbled", "dropped")

Fault = Callable[[int, str], str | None]


class FaultyProxy:
    """Forwards to ``target``, but for the requests for which ``fault(number, path)`` names a fault.

    Faults: ``429``, ``500``, ``503`` (after a ``;`` the seconds of ``Retry-After``), ``slow``, ``truncated`` (the
    connection ends within the body), ``garbled`` (half a body, as if whole), ``dropped`` (no answer at all).
    """

    def __init__(self, target: str, fault: Fault) -> None:
        self.asked: list[str] = []
        proxy, host = self, urlsplit(target).netloc

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                proxy.asked.append(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                named = fault(len(proxy.asked), self.path)
                if named and named[:3].isdigit():
                    self._answer(int(named[:3]), b'{"error": {"code": "lock_timeout"}}', retry_after=named[4:])
                    return
                if named == "dropped":
                    self.close_connection = True
                    return
                if named == "slow":
                    time.sleep(1.0)
                upstream = http.client.HTTPConnection(host, timeout=30)
                headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
                upstream.request(self.command, self.path, body=body or None, headers=headers)
                answer = upstream.getresponse()
                content = answer.read()
                upstream.close()
                if named == "garbled":
                    content = content[: len(content) // 2]
                cut = len(content) // 2 if named == "truncated" else None
                self._answer(answer.status, content, cut=cut)

            def do_POST(self) -> None:
                self.do_GET()

            def _answer(self, status: int, content: bytes, *, retry_after: str = "", cut: int | None = None) -> None:
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(content)))
                    if retry_after:
                        self.send_header("Retry-After", retry_after)
                    self.end_headers()
                    self.wfile.write(content[:cut])
                except OSError:
                    self.close_connection = True  # the client gave up waiting
                if cut is not None:
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Deployments:
    """Deployments of this test, a directory each, reading the given APIs."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def __call__(
        self,
        *,
        stripe: str = "http://127.0.0.1:1",
        hubspot: str = "http://127.0.0.1:1",
        region: Region = "us",
        accounts: dict[str, Any] | None = None,
    ) -> tuple[Settings, DuckDBWarehouse]:
        """``accounts``: names of several Stripe accounts, each with its key's variable, or with that and its url."""
        self._home.mkdir(exist_ok=True)
        config = self._home / "tailrace.yml"
        source: dict[str, Any] = {"url": stripe, "api_key_env": "TEST_STRIPE_KEY"}
        if accounts:
            several = {
                name: {"api_key_env": given} if isinstance(given, str) else {"api_key_env": given[0], "url": given[1]}
                for name, given in accounts.items()
            }
            source = {"url": stripe, "accounts": several}
        config.write_text(CONFIG.format(home=self._home, stripe=json.dumps(source), hubspot=hubspot))
        settings = load_settings(region=region, config_path=config)
        return settings, open_warehouse(settings)


class SandboxClient:
    """The product's and the sales team's side of a sandbox: writes objects, and reads the truth to compare with."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._http = urllib3.PoolManager(headers={"Authorization": f"Bearer {token}"}, retries=False)

    def form(self, path: str, method: str = "POST", **fields: Any) -> dict[str, Any]:
        """A Stripe write; nested fields are written ``items[0][price]``, by a dict."""
        sent = self._http.request_encode_body(method, self.url + path, fields=fields, encode_multipart=False)
        return self._answer(sent)

    def json(self, path: str, body: Any = None, method: str = "POST") -> dict[str, Any]:
        return self._answer(self._http.request(method, self.url + path, json=body))

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        return self._answer(self._http.request("GET", self.url + path, fields=query))

    @staticmethod
    def _answer(answer: urllib3.BaseHTTPResponse) -> dict[str, Any]:
        assert answer.status < 300, f"{answer.status}: {answer.data[:300]!r}"
        return answer.json() if answer.data else {}


def live_rows(warehouse: DuckDBWarehouse, table: str) -> dict[str, dict[str, Any]]:
    """Id → row of the rows that the source has not deleted; fails if an id stands there twice."""
    with warehouse.reader() as con:
        cursor = con.execute(f"from {table} where _ab_cdc_deleted_at is null")
        names = [column[0] for column in cursor.description]
        found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    rows = {row["id"]: row for row in found}
    assert len(rows) == len(found)
    return rows


def assert_equal_rows(warehouse: DuckDBWarehouse, source: str, stream: str, objects: list[dict[str, Any]]) -> None:
    """The raw table holds exactly these objects, in every column that its contract lets land."""
    table = load_contracts().table(source, stream)
    rows = live_rows(warehouse, f"raw_{source}.{stream}")
    assert set(rows) == {item["id"] for item in objects}
    for item in objects:
        for column in table.landed:
            found, expected = rows[item["id"]][column.name], item.get(column.name)
            if column.type == "JSON" and found is not None:
                found = json.loads(found)
            elif column.type == "TIMESTAMPTZ" and expected is not None:
                expected = datetime.fromisoformat(expected)
            elif column.type.startswith("DECIMAL") and expected is not None:
                expected = Decimal(str(expected))
            assert found == expected, f"{stream}.{column.name} of {item['id']}"


def sync_in_a_process(settings: Settings, source: str) -> subprocess.Popen[bytes]:
    """A real process that syncs, a few objects a transaction, so that it can be killed anywhere."""
    code = (
        f"import sys\nimport ingestion.{source} as source\nfrom settings import load_settings\n"
        "from warehouse import open_warehouse\nfrom pathlib import Path\nsource.BATCH = 10\n"
        "from ingestion.rest import landing\nlanding.BATCH = 10\n"
        "settings = load_settings(config_path=Path(sys.argv[1]))\nsource.sync(settings, open_warehouse(settings))\n"
    )
    return subprocess.Popen([sys.executable, "-c", code, str(settings.config_path)], cwd=ROOT)
