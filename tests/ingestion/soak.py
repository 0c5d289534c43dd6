"""What the soaks of all sources share: ten weeks, forty days of them without a reader, and faults."""

from __future__ import annotations

import os
import random
from typing import Any

DAYS = 70
OUTAGE = range(22, 62)
FAULTS = ("429", "500", "503", "cut", "truncated", "garbled", "duplicate")


def drawn() -> random.Random:
    """The life that TAILRACE_TEST_SEEDS asks for."""
    return random.Random(int(os.environ.get("TAILRACE_TEST_SEEDS", "1").partition("-")[0]))


def orders(rng: random.Random, *more: str, on: str = "") -> list[dict[str, Any]]:
    """Three faults somewhere in the next run, also of the kinds ``more``, which strike where the path has ``on``."""
    kinds = [rng.choice((*FAULTS, *more)) for _ in range(3)]
    return [
        {"kind": kind, "skip": rng.randint(0, 15), "retry_after": "0", "on": on if kind in more else ""}
        for kind in kinds
    ]
