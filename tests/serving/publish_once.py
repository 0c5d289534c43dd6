"""One publish in a process of its own, for tests that kill it: config, warehouse file, manifest, run id, as_of."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import duckdb

from serving.publish import publish
from settings import TailraceError, load_settings


def main() -> None:
    config, warehouse, manifest, run_id, as_of = sys.argv[1:]
    with duckdb.connect(warehouse, read_only=True) as connection:
        try:
            publish(
                load_settings(config_path=Path(config)),
                connection,
                manifest_path=Path(manifest),
                run_id=run_id,
                as_of=datetime.fromisoformat(as_of),
            )
        except TailraceError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
