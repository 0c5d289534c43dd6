"""Named points at which a test may kill this process, as ``kill -9`` or a power cut would."""

from __future__ import annotations

import os
import signal
from typing import Literal, get_args

Point = Literal[
    "after_slot_creation",
    "mid_snapshot",
    "before_snapshot_commit",
    "after_snapshot_commit",
    "after_fetch",
    "before_commit",
    "after_commit",
    "after_advance",
]
POINTS: tuple[Point, ...] = get_args(Point)


def failpoint(name: Point) -> None:
    """Die here when ``TAILRACE_FAILPOINT`` names this point; the signal is real, nothing is cleaned up."""
    if os.environ.get("TAILRACE_FAILPOINT") == name:
        os.kill(os.getpid(), signal.SIGKILL)
