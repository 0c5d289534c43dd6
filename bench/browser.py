"""The system's Chromium, headless, driven by Playwright: for the tests of the dashboard and its bench."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# It asks nobody but the page's own server: no updates, no sync, no QUIC. Its profile is new each time.
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def executable() -> str:
    """The path of Chromium: what TAILRACE_CHROMIUM names, else the system's. Raises SystemExit where there is none."""
    known = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    found = os.environ.get("TAILRACE_CHROMIUM") or next(filter(None, known), None)
    if not found:
        raise SystemExit(
            "no Chromium is installed; install it (Debian: apt-get install chromium) or set TAILRACE_CHROMIUM"
        )
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser for the length of the block."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=list(FLAGS))
        yield browser
        browser.close()
