"""``python -m bench.dashboard``: how soon the dashboard shows figures, over the published state of `make demo`.

Each round opens the page of the tenant with the most use in a fresh profile (nothing cached), and once more in the same
profile. What is timed is from the begin of the navigation to the first frame after the figures are in the page.
``--pictures`` takes the docs' pictures anew instead. The last line is one JSON object with every figure.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from bench.browser import chromium
from demo.postgres import EmbeddedPostgres, free_port, port_taken
from serving.tokens import mint_demo_token
from settings import ROOT, Settings, TailraceError, load_settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROUNDS, GOAL_MS = 7, 1_000
IMAGES = ROOT / "docs" / "images"
CARDS = ("totals", "people", "features", "activity", "ai", "entitlements", "users", "benchmarks")
# Resolves with [first card, all cards] in ms since the navigation began, each with the frame that shows it.
_PAINTED = """
names => new Promise(done => {
  let first = null;
  const look = () => {
    const shown = names.filter(name => performance.getEntriesByName(`tailrace-${name}`).length);
    if (shown.length && first === null) first = performance.now();
    if (shown.length === names.length) done([first, performance.now()]);
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})
"""


def main() -> None:
    options = _parser().parse_args()
    settings = load_settings()
    if not settings.analytics_path.exists():
        raise SystemExit("bench: nothing is published here; run make demo first")
    with serving(settings) as address, chromium() as browser:
        token = mint_demo_token(settings, most_used(settings))
        if options.pictures:
            take_pictures(browser, address, token)
        else:
            report(browser, f"{address}/#token={token}", rounds=options.rounds)


def report(browser: Browser, address: str, *, rounds: int) -> None:
    """Measure, print a table and a line of JSON."""
    found: dict[str, list[list[float]]] = {"cold": [], "warm": []}
    for _ in range(rounds):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        for kind in found:
            page = context.new_page()
            page.goto(address, wait_until="commit")
            found[kind].append(page.evaluate(_PAINTED, list(CARDS)))
            page.close()
        context.close()
    figures: dict[str, object] = {"rounds": rounds, "cores": os.cpu_count(), "goal_ms": GOAL_MS}
    print(f"figures painted, ms since the navigation began, median and worst of {rounds}")
    for kind, times in found.items():
        for name, column in (("first_figures", 0), ("all_figures", 1)):
            values = [each[column] for each in times]
            figures[f"{kind}_{name}_ms"] = round(statistics.median(values))
            figures[f"{kind}_{name}_worst_ms"] = round(max(values))
            print(f"  {kind}  {name.replace('_', ' '):<14} {statistics.median(values):>6.0f} {max(values):>6.0f}")
    figures["within_goal"] = all(each[0] <= GOAL_MS for times in found.values() for each in times)
    print(json.dumps(figures))


def take_pictures(browser: Browser, address: str, token: str) -> None:
    """The pictures of docs/dashboard.md: pseudonyms and the sample company only."""

    def opened(view: str, *, width: int = 1280, scheme: str = "light") -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            locale="en-GB",
        )
        page = context.new_page()
        page.goto(f"{address}/#{view}&token={token}")
        page.wait_for_selector(".card")
        page.wait_for_selector(".card.waiting:not([hidden]), .card[aria-busy]", state="detached")
        return page

    for name, view, width, scheme in (
        ("dashboard", "", 1280, "light"),
        ("dashboard-dark", "", 1280, "dark"),
        ("dashboard-phone", "", 360, "dark"),
        ("dashboard-feature", "feature=ai", 1280, "light"),
    ):
        page = opened(view, width=width, scheme=scheme)
        page.screenshot(path=IMAGES / f"{name}.png", full_page=width > 360)  # a phone's page is long
        print(f"  {Path(IMAGES / name).relative_to(ROOT)}.png")
        page.context.close()


def most_used(settings: Settings) -> str:
    """The id of the tenant with the most active users, of those that can be compared with peers if there are any."""
    with duckdb.connect(str(settings.analytics_path), read_only=True) as connection:
        row = connection.execute(
            "select tenant_id from rollups.rollup_tenant_usage_daily where tenant_id <> 'unattributed' "
            "group by tenant_id "
            "order by tenant_id in (select tenant_id from rollups.rollup_tenant_benchmarks_monthly) desc, "
            "max(active_users_28d) desc limit 1"
        ).fetchone()
    if row is None:
        raise TailraceError("the analytics file holds no usage; run make demo first")
    return str(row[0])


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """The demo's Postgres, if it is not running already, and the application in a process of its own. Yields where."""
    postgres = EmbeddedPostgres(settings.demo_dir / "postgres", port=settings.demo.postgres_port)
    started = not port_taken(settings.demo.postgres_port)
    if started:
        postgres.start()
    port = free_port()
    uvicorn = str(Path(sys.executable).with_name("uvicorn"))
    command = [
        uvicorn,
        "--factory",
        "serving.api:app",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--log-level",
        "error",
    ]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        _wait(f"http://127.0.0.1:{port}/healthz", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
        if started:
            postgres.stop()


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(address, timeout=1).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise TailraceError("the application does not start; run uvicorn --factory serving.api:app and read what it says")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.dashboard", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="fresh profiles to open the page in")
    parser.add_argument("--pictures", action="store_true", help="take the pictures of the docs anew instead")
    return parser


if __name__ == "__main__":
    main()
