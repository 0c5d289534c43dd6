"""``python -m bench.cdc``: change data capture from PostgreSQL, measured beside its peers on this machine.

Starts its own PostgreSQL servers in a temporary folder. The last line is one JSON object with every figure; a run of
all of them at full size is also written to ``bench/results/``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from bench import report
from bench.contenders import DEBEZIUM_PYTHON
from bench.report import CDC_GOALS, GOAL_ROWS
from bench.scenarios import SCENARIOS, Bench, Figures
from settings import TailraceError

ROUNDS, CHANGES = 3, 120
RESULTS = Path(__file__).parent / "results"


def main(arguments: list[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    only = [key for key in options.only.split(",") if key]
    if unknown := sorted(set(only) - set(CDC_GOALS)):
        raise SystemExit(f"--only: there is no figure {unknown[0]}; there are {', '.join(CDC_GOALS)}")
    for name in [name for name in os.environ if name.startswith("TAILRACE_") and name != DEBEZIUM_PYTHON]:
        del os.environ[name]  # another deployment's

    def say(line: str) -> None:
        if not options.json:
            print(line, flush=True)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))  # servers and folders are cleared away
    began, conditions = time.monotonic(), report.conditions()
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-", dir=options.folder) as folder:
        bench = Bench(
            folder=Path(folder),
            rows=options.rows,
            rounds=options.rounds,
            history=options.history,
            debezium_python=os.environ.get(DEBEZIUM_PYTHON),
            changes=options.changes,
            say=say,
        )
        figures, failed = _measure(bench, only)
    result = report.result(bench, figures, conditions=conditions, seconds=time.monotonic() - began)
    say("")
    say(report.plain_table(result, CDC_GOALS))
    whole = not only and not failed and (bench.rows, bench.changes) == (GOAL_ROWS, CHANGES) and bench.rounds >= ROUNDS
    results = options.results or (RESULTS if whole else None)
    if results is not None:
        path = report.write(result, results, today=datetime.now(UTC).date())
        say(f"written to {path}; `python -m bench.report` brings docs/performance.md up to date")
    else:
        say("not written to bench/results: not every figure at full size")
    print(json.dumps(result))
    sys.exit(1 if failed else 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.cdc", description=str(__doc__).partition("\n\n")[0])
    parser.add_argument("--rows", type=int, default=GOAL_ROWS, help="rows that the figures call 1 M (%(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds to take medians of (default: %(default)s)")
    parser.add_argument("--changes", type=int, default=CHANGES, help="small changes a round (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="KEY,…", help="measure these figures alone")
    parser.add_argument(
        "--history",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="pgbench: with pgbench_history, a table without a key",
    )
    parser.add_argument("--json", action="store_true", help="print the last line alone")
    parser.add_argument("--results", type=Path, help="write the figures to this folder, whatever was measured")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made (default: the system's)")
    return parser


def _measure(bench: Bench, only: list[str]) -> tuple[Figures, bool]:
    """The figures, and whether a scenario failed; the others are measured all the same."""
    chosen = [each for each in SCENARIOS if not only or set(each.keys) & set(only)]
    figures: Figures = dict.fromkeys(CDC_GOALS)
    failed = False
    expected = {each.name: (each.makes + each.a_round * bench.rounds) * bench.rows / GOAL_ROWS for each in chosen}
    bench.say(
        f"{bench.rows:,} rows, {bench.rounds} rounds, {len(chosen)} scenarios; "
        f"about {_duration(sum(expected.values()))}, with about {bench.rows * 6 / 1e6:.0f} GB of disk"
    )
    for number, scenario in enumerate(chosen, 1):
        duration = _duration(expected[scenario.name])
        bench.say(f"[{number} of {len(chosen)}] {scenario.name}: {scenario.what}; about {duration}")
        try:
            given = scenario.measure(bench)
        except TailraceError as error:
            print(f"bench: {scenario.name}: {error}", file=sys.stderr, flush=True)
            failed = True
            continue
        for key, value in given.items():
            if not only or key in only:
                figures[key] = None if value is None else round(value, 3)
                bench.say(f"  {key:<26}{report.number(figures[key])}")
    return figures, failed


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(10, round(seconds, -1)):.0f} s"


if __name__ == "__main__":
    main(sys.argv[1:])
