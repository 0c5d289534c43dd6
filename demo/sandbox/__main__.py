"""``python -m demo.sandbox stripe|hubspot|salesforce --port N --state FILE.sqlite``"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from demo.sandbox.server import listen, open_api, run
from settings import TailraceError


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; 1 and one line when the port is taken or the state cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.sandbox", description="A stand-in for an API, for demo and tests."
    )
    parser.add_argument("kind", choices=["stripe", "hubspot", "salesforce"])
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1; 0 for any free one")
    parser.add_argument("--state", type=Path, required=True, help="SQLite file; made if missing")
    parser.add_argument(
        "--event-retention-days", type=_days, default=None, help="hide older Stripe events (the real one: 30)"
    )
    parser.add_argument(
        "--after-retries",
        choices=["cancel", "unpaid"],
        default="cancel",
        help="what becomes of a subscription whose payment failed for the last time",
    )
    given = parser.parse_args(arguments)
    try:
        listener = listen(given.port)
        api = open_api(
            given.kind,
            given.state,
            event_retention_days=given.event_retention_days,
            after_retries=given.after_retries,
        )
    except TailraceError as error:
        print(f"sandbox {given.kind}: {error}", file=sys.stderr)
        return 1
    host, port = listener.getsockname()
    print(f"sandbox {given.kind} on http://{host}:{port}: a stand-in for demo and tests only", flush=True)
    try:
        run(given.kind, api, listener)
    except KeyboardInterrupt:
        pass
    return 0


def _days(text: str) -> int:
    days = int(text)
    if days < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return days


if __name__ == "__main__":
    sys.exit(main())
