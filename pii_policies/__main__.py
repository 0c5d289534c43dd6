"""``python -m pii_policies compile | check | prove [--json] | publication [--alter] [schema …]``.

The same as ``tailrace policy …``, without the rest of the platform.
"""

from __future__ import annotations

import json
import sys

from pii_policies import commands
from settings import TailraceError

USAGE = "usage: python -m pii_policies compile | check | prove [--json] | publication [--alter] [schema …]"
_OPTIONS: dict[str, set[str]] = {"compile": set(), "check": set(), "prove": {"--json"}, "publication": {"--alter"}}


def main(arguments: list[str]) -> int:
    """Returns the exit code: 0; 1 for what is at fault, a line each on standard error; 2 for wrong usage."""
    command, *rest = arguments or [""]
    options = {each for each in rest if each.startswith("--")}
    names = [each for each in rest if not each.startswith("--")]
    if command not in _OPTIONS or not options <= _OPTIONS[command] or (names and command != "publication"):
        print(USAGE, file=sys.stderr)
        return 2
    try:
        match command:
            case "compile":
                commands.compile_all(print)
            case "check":
                commands.check_all()
            case "prove":
                proof = commands.proved()
                if "--json" in options:
                    print(json.dumps(proof.as_json(), indent=2))
                else:
                    print(proof.summary())
                commands.hold(proof)
            case _:
                print(commands.publication(names, alter="--alter" in options))
    except TailraceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
