"""``make test-isolation``: every attempt against a sound product, then against products broken on purpose.

Prints its table; the last line is one JSON object: ``attempts``, ``leaks`` (attempts that learnt of another tenant),
``limits`` (that learnt what docs/isolation.md admits), ``mutants``, ``mutants_caught``, and ``attempts_that_caught``,
how many attempts failed against at least one mutant. ``--json`` prints that line alone; ``--write`` also puts the table
into docs/isolation.md. Exit code 1 when anything leaked or a mutant was called sound.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from settings import ROOT
from tests.isolation.attempts import load_all
from tests.isolation.judge import Verdict, judge
from tests.isolation.markers import Finder
from tests.isolation.mutants import MUTANTS
from tests.isolation.registry import ATTEMPTS
from tests.isolation.table import markdown, replaced, terminal
from tests.isolation.world import World, twins

_ENOUGH = 3
PAGE = ROOT / "docs" / "isolation.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.isolation", description="Can a tenant learn of another?")
    parser.add_argument("--json", action="store_true", help="print the last line alone")
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE.relative_to(ROOT)}")
    parser.add_argument("--only", default="", help="only mutants whose name holds this text")
    parser.add_argument("--whole", action="store_true", help="every attempt against every mutant, and not until three")
    parser.add_argument("--sound", action="store_true", help="the sound product alone, none of the broken ones")
    options = parser.parse_args()
    load_all()
    with tempfile.TemporaryDirectory(prefix="tailrace-isolation-") as folder, twins(Path(folder)) as worlds:
        finders = (Finder(worlds[0].marked), Finder(worlds[1].marked))
        verdicts = []
        for attempt in ATTEMPTS:
            verdicts.append(judge(attempt, worlds, finders))
            if not options.json:
                print(terminal(verdicts[-1:]), flush=True)
        if options.write:
            PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), markdown(verdicts)), encoding="utf-8")
        caught = {}
        if not options.sound:
            caught = against_mutants(
                worlds, finders, verdicts, chosen=options.only, whole=options.whole, quiet=options.json
            )
    leaks = [verdict for verdict in verdicts if verdict.outcome == "LEAK"]
    failed = [verdict for verdict in verdicts if verdict.outcome == "FAILED"]
    catchers = {name for names in caught.values() for name in names}
    result = {
        "attempts": len(verdicts),
        "leaks": len(leaks),
        "limits": sum(verdict.outcome == "limit" for verdict in verdicts),
        "mutants": len(caught),
        "mutants_caught": sum(map(bool, caught.values())),
        "attempts_that_caught": len(catchers),
    }
    if not options.json:
        idle = [each.name for each in ATTEMPTS if each.name not in catchers and not each.limit and not options.sound]
        print("\n".join(["", *(f"failed against no mutant: {name}" for name in idle)]))
    print(json.dumps(result))
    return 1 if leaks or failed or not all(caught.values()) else 0


def against_mutants(
    worlds: tuple[World, World],
    finders: tuple[Finder, Finder],
    sound: list[Verdict],
    *,
    chosen: str,
    whole: bool,
    quiet: bool,
) -> dict[str, list[str]]:
    """Mutant → the names of the attempts that it made fail and that a sound product withstands.

    After three failures a mutant counts as caught, unless it is one against which the whole set is run.
    """
    held = {verdict.attempt.name for verdict in sound if verdict.outcome == "held"}
    caught: dict[str, list[str]] = {}
    for each in MUTANTS:
        if chosen not in each.name:
            continue
        with ExitStack() as stack:
            for world in worlds:
                world.sound = False
                stack.enter_context(each.broken(world))
            attempts = [
                attempt
                for attempt in ATTEMPTS
                if attempt.channel in each.channels and attempt.name in held and attempt.name.startswith(each.only)
            ]
            enough = len(attempts) if whole or each.whole else _ENOUGH
            caught[each.name] = []
            for attempt in attempts:
                if len(caught[each.name]) < enough and judge(attempt, worlds, finders).learnt:
                    caught[each.name].append(attempt.name)
        if not quiet:
            print(
                f"{'caught' if caught[each.name] else 'MISSED':<10} {len(caught[each.name]):>4}  {each.name}",
                flush=True,
            )
    return caught


if __name__ == "__main__":
    sys.exit(main())
