"""``python -m bench.redact``: free text redacted in bulk, as staging does it, beside the pure function and Presidio.

The last line is one JSON object with every figure.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time

import duckdb

from pii_policies import deeper, treated_sql
from pii_policies.redaction import redact
from settings import Redaction

ROWS, LENGTH, ROUNDS, THREADS = 1_000_000, 200, 3, 2
GOAL_SECONDS = 30.0
SAMPLE = 5_000  # of the pure function, which takes too long for all
SAMPLE_OF_PRESIDIO = 1_000
# Two comments in five hold personal data; the others hold numbers, dates and ids, which are looked at in vain.
COMMENTS = """
    select i as number, left(
        case i % 5
            when 0 then 'Write to person' || i || '@example.com or call +49 30 ' || (10000000 + i) || ', re 2026-' || i
            when 1 then 'Card 4111 1111 1111 1111, IBAN DE89370400440532013000, from 203.0.113.7 on ' || i * 7919
            else 'The export of ' || i || ' rows took 12.5 s on 2026-11-22 10:00:00, see run 4fe9-' || i || ' for more'
        end || repeat('. Nothing else is to be said of it, but that it was done', 4), {length}
    ) as body
    from range({rows}) as rows (i)
"""


def main() -> None:
    options = _parser().parse_args()
    with duckdb.connect() as con:
        con.execute(f"set threads = {THREADS}")
        con.execute("create table comments as " + COMMENTS.format(length=LENGTH, rows=options.rows))
        expression = treated_sql.rendered("redact", "body")
        seconds, cpu_seconds = [], []
        for _ in range(options.rounds):
            began, used = time.perf_counter(), time.process_time()
            con.execute(f"create or replace table redacted as select number, {expression} as body from comments")  # noqa: S608
            seconds.append(time.perf_counter() - began)
            cpu_seconds.append(time.process_time() - used)
        marked = con.execute("select count(*) from redacted where contains(body, '[')").fetchall()[0][0]
        texts = con.execute("select body from comments order by number limit ?", [SAMPLE]).fetchall()
        same = con.execute("select body from redacted order by number limit ?", [SAMPLE]).fetchall()
    began = time.perf_counter()
    in_python = [(redact(body),) for (body,) in texts]
    python_seconds = time.perf_counter() - began
    if in_python != same:
        raise SystemExit("bench: the engine and the pure function differ; see tests/pii_policies/test_redaction.py")
    deeply = deeper.redactor(Redaction(at_landing="presidio"))
    deeply(texts[0][0])  # compiles its patterns
    used = time.process_time()
    for (body,) in texts[:SAMPLE_OF_PRESIDIO]:
        deeply(body)
    presidio_seconds = time.process_time() - used
    median = statistics.median(seconds)
    figures = {
        "rows": options.rows,
        "characters": LENGTH,
        "threads": THREADS,
        "cores": os.cpu_count(),
        "seconds": [round(each, 2) for each in seconds],
        "median_seconds": round(median, 2),
        "cpu_seconds": round(statistics.median(cpu_seconds), 2),
        "rows_a_second": round(options.rows / median),
        "rows_with_findings": marked,
        "python_rows_a_second": round(len(texts) / python_seconds),
        "presidio_rows_a_cpu_second": round(min(len(texts), SAMPLE_OF_PRESIDIO) / presidio_seconds),
        "goal_seconds": GOAL_SECONDS,
        "within_goal": median <= GOAL_SECONDS * options.rows / ROWS,
    }
    print(f"{options.rows:,} comments of {LENGTH} characters, {THREADS} threads")
    took = f"{median:.1f} s, {figures['cpu_seconds']} s of processors"
    print(f"  in DuckDB's SQL   {figures['rows_a_second']:>9,} rows/s   {took}")
    print(f"  the pure function {figures['python_rows_a_second']:>9,} rows/s")
    print(f"  Presidio          {figures['presidio_rows_a_cpu_second']:>9,} rows/s of one processor")
    print(json.dumps(figures))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.redact", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="comments to redact")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="times each; medians are shown")
    return parser


if __name__ == "__main__":
    main()
