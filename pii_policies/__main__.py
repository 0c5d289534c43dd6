"""``python -m pii_policies compile`` writes the generated files, ``check`` fails when one is stale.

``publication SCHEMA…`` prints the SQL that publishes a product database, its directory standing in the first schema;
with ``--alter`` the one that changes a publication in place.
"""

from __future__ import annotations

import sys

from pii_policies.compile import publication_sql, stale, validate, write
from pii_policies.contracts import load_contracts
from settings import TailraceError

USAGE = "usage: python -m pii_policies compile | check | publication [--alter] [schema …]"


def main(arguments: list[str]) -> int:
    """Returns the exit code: 0, 1 for a contract at fault or a stale file, 2 for wrong usage."""
    command, *schemas = arguments or [""]
    if command not in ("compile", "check", "publication") or (schemas and command != "publication"):
        print(USAGE, file=sys.stderr)
        return 2
    try:
        contracts = load_contracts()
        if command == "publication":
            named = [schema for schema in schemas if schema != "--alter"] or ["app"]
            print(publication_sql(contracts, schemas=named, exists="--alter" in schemas) + ";")
            return 0
        validate(contracts)
        if command == "compile":
            for path in write(contracts):
                print(path)
            return 0
        differing = stale(contracts)
    except TailraceError as error:
        print(error, file=sys.stderr)
        return 1
    for path in differing:
        print(f"{path}: stale; run `python -m pii_policies compile`", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
