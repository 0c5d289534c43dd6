"""``python -m bench.sources``: how fast the API sources are read, and how much memory an account of 1 M records takes.

Each source is the sandbox in a process of its own, filled before the clock starts; each reading is a process, too, into
an empty warehouse. Sources take turns, figures are medians. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

from bench import report
from demo.sandbox import stripe_objects
from demo.sandbox.hubspot_store import Store as Portal
from demo.sandbox.salesforce_store import Store as Org
from demo.sandbox.stripe_store import Objects
from settings import ROOT, load_settings
from warehouse import open_warehouse

RECORDS, ROUNDS, LARGE = 20_000, 3, 1_000_000
SOURCES = ("stripe", "salesforce", "hubspot")
BEGAN = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
CREDENTIALS = {
    "BENCH_STRIPE_KEY": "sk_test_bench",
    "BENCH_HUBSPOT_TOKEN": "pat-bench",
    "BENCH_SALESFORCE_ID": "sandbox",
    "BENCH_SALESFORCE_SECRET": "sandbox",
}
CONFIG = """
region: us
state_dir: {home}
sources:
  postgres: {{dsn: postgresql://nobody@127.0.0.1:1/none}}
  stripe: {{url: "{url}", api_key_env: BENCH_STRIPE_KEY}}
  hubspot: {{url: "{url}", token_env: BENCH_HUBSPOT_TOKEN}}
  salesforce: {{url: "{url}", client_id_env: BENCH_SALESFORCE_ID, client_secret_env: BENCH_SALESFORCE_SECRET}}
serving: {{publisher_dsn: postgresql://nobody@127.0.0.1:1/none, reader_dsn: postgresql://nobody@127.0.0.1:1/none}}
residency: {{unattributed_region: us}}
"""


def main(arguments: list[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    if options.read:
        print(json.dumps(read(options.read, Path(options.config))))
        return
    conditions = report.conditions()
    sources = [each for each in options.only.split(",") if each]
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as folder:
        runs = measure(Path(folder), sources, records=options.records, rounds=options.rounds)
        peaks = measure(Path(folder), sources, records=options.large, rounds=1) if options.large else {}
    figures: dict[str, float | None] = dict.fromkeys(report.SOURCES_GOALS)
    for source, each in runs.items():
        figures[f"{source}_records_per_s"] = round(median(run["records"] / run["seconds"] for run in each))
    held = {source: round(max(run["rss_mb"] for run in each)) for source, each in peaks.items()}
    if options.large == LARGE and held:
        figures["peak_rss_mb_1m"] = max(held.values())
    result = {
        **figures,
        **conditions,
        "records": options.records,
        "rounds": options.rounds,
        "large": options.large,
        "seconds": {source: [round(run["seconds"], 2) for run in each] for source, each in runs.items()},
        "peak_rss_mb": held,
    }
    print(report.plain_table(result, report.SOURCES_GOALS))
    if all(figures.values()) and options.records == RECORDS:
        path = report.write(result, report.RESULTS, today=datetime.now(UTC).date(), kind="sources")
        print(f"written to {path}; `python -m bench.report` brings docs/performance.md up to date")
    print(json.dumps(result))


def measure(folder: Path, sources: list[str], *, records: int, rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Source → what each of its readings took: ``records``, ``seconds`` and ``rss_mb``, the most memory it held."""
    states = {}
    for source in sources:
        states[source] = folder / f"{source}-{records}.sqlite"
        print(f"filling {source} with {records:,} records", flush=True)
        FILL[source](states[source], records)
    runs: dict[str, list[dict[str, Any]]] = {source: [] for source in sources}
    for number in range(rounds):
        for source in sources:
            with _serving(source, states[source]) as url, tempfile.TemporaryDirectory(dir=folder) as home:
                config = Path(home) / "tailrace.yml"
                config.write_text(CONFIG.format(home=home, url=url))
                run = _in_a_process(source, config)
            runs[source].append(run | {"records": records})
            print(f"round {number + 1}: {source} {records / run['seconds']:,.0f} records/s", flush=True)
    for state in states.values():
        state.unlink()
    return runs


def read(source: str, config: Path) -> dict[str, float]:
    """Read a source whole into an empty warehouse, in this process."""
    settings = load_settings(config_path=config)
    sync = import_module(f"ingestion.{source}").sync
    began = time.monotonic()
    sync(settings, open_warehouse(settings))
    seconds = time.monotonic() - began
    return {"seconds": seconds, "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _in_a_process(source: str, config: Path) -> dict[str, float]:
    asked = [sys.executable, "-m", "bench.sources", "--read", source, "--config", str(config)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    done = subprocess.run(asked, cwd=ROOT, env=environment | CREDENTIALS, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench: reading {source} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


@contextmanager
def _serving(source: str, state: Path) -> Iterator[str]:
    """The sandbox over a state file, in a process of its own."""
    asked = [sys.executable, "-m", "demo.sandbox", source, "--port", "0", "--state", str(state)]
    with subprocess.Popen(asked, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().split(" on ")[1].split(": ")[0].strip()
        server.terminate()


# Every hundredth record is a company, or an account; records are a second apart, so that no run's overlap holds many.


def fill_stripe(state: Path, records: int) -> None:
    objects = Objects(state)
    with objects.state.transaction():
        for number in range(records):
            item = stripe_objects.customer(objects.new_id("cus"), now=BEGAN + number, prefix=f"B{number:07d}")
            item |= {"name": f"Customer {number}", "email": f"{number}@example.com"}
            item["metadata"] = {"tenant_id": f"tenant-{number % 500}", "region": "us"}
            objects.insert(item, now=BEGAN + number)
        objects.keep_counter()
        objects.state.set_meta("frozen_time", BEGAN + records)
    objects.state.close()


def fill_hubspot(state: Path, records: int) -> None:
    portal = Portal(state)
    with portal.transaction():
        for number in range(records):
            stamp = (BEGAN + number) * 1000
            if number % 100 == 0:
                named = {"name": f"Company {number}", "region": "us", "tenant_id": f"tenant-{number % 500}"}
                company = str(portal.create("companies", named, stamp=stamp).id)
                continue
            person = {"email": f"{number}@example.com", "firstname": "Sam", "lastname": f"Person {number}"}
            more = {"jobtitle": "Head of Workflows", "associatedcompanyid": company}
            portal.create("contacts", person | more, stamp=stamp)
        portal.set_now((BEGAN + records) * 1000)
    portal.search("contacts", "true", [], order="id", limit=1, offset=0)  # the index sees them all
    portal.close()


def fill_salesforce(state: Path, records: int) -> None:
    org = Org(state)
    with org.transaction():
        for number in range(records):
            stamp = (BEGAN + number) * 1000
            if number % 100 == 0:
                named = {"Name": f"Company {number}", "Region__c": "us", "Tenant_Id__c": f"tenant-{number % 500}"}
                account = org.create("Account", named, stamp=stamp)
                continue
            person = {"LastName": f"Person {number}", "FirstName": "Sam", "Email": f"{number}@example.com"}
            org.create("Contact", person | {"AccountId": account}, stamp=stamp)
        org.set_meta("now", (BEGAN + records) * 1000)
    org.close()


FILL: dict[str, Callable[[Path, int], None]] = {
    "stripe": fill_stripe,
    "hubspot": fill_hubspot,
    "salesforce": fill_salesforce,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.sources", description="How fast the API sources are read.")
    parser.add_argument("--records", type=int, default=RECORDS, help="records of each account")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="readings of each source")
    parser.add_argument(
        "--large", type=int, default=LARGE, help="records of the accounts that memory is measured on; 0: none"
    )
    parser.add_argument("--only", default=",".join(SOURCES), help="sources, separated by commas")
    parser.add_argument("--read", choices=SOURCES, help=argparse.SUPPRESS)
    parser.add_argument("--config", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
