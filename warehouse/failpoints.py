"""Named points at which a test may kill this process, as ``kill -9`` or a power cut would."""

from __future__ import annotations

import os
import signal
from typing import Literal, get_args

CapturePoint = Literal[
    "after_slot_creation",
    "mid_snapshot",
    "before_snapshot_commit",
    "after_snapshot_commit",
    "after_fetch",
    "before_commit",
    "after_commit",
    "after_advance",
]
PublishPoint = Literal[
    "publish_after_load",
    "publish_after_migrate",
    "publish_after_first_table",
    "publish_before_commit",
    "publish_after_commit",
    "analytics_mid_copy",
    "analytics_before_swap",
]
CAPTURE_POINTS: tuple[CapturePoint, ...] = get_args(CapturePoint)
PUBLISH_POINTS: tuple[PublishPoint, ...] = get_args(PublishPoint)


def failpoint(name: CapturePoint | PublishPoint) -> None:
    """Die here when ``TAILRACE_FAILPOINT`` names this point; the signal is real, nothing is cleaned up."""
    if os.environ.get("TAILRACE_FAILPOINT") == name:
        os.kill(os.getpid(), signal.SIGKILL)
