"""Which random histories a run plays: ``TAILRACE_TEST_SEEDS=200`` the seeds 0 to 199, ``57-57`` that one alone."""

from __future__ import annotations

import os


def seeds(few: int) -> range:
    """The seeds asked for, or the first ``few``."""
    first, _, last = os.environ.get("TAILRACE_TEST_SEEDS", str(few)).rpartition("-")
    return range(int(first), int(last) + 1) if first else range(int(last))
