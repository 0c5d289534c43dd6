"""Named points at which a test may kill this process, as ``kill -9`` or a power cut would."""

from __future__ import annotations

import itertools
import os
import signal
from collections import defaultdict
from typing import Literal, get_args

CapturePoint = Literal[
    "after_slot_creation",
    "mid_chunk",
    "after_chunk",
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
    "publish_before_drop",
    "analytics_mid_copy",
    "analytics_before_swap",
]
ClickHousePoint = Literal[
    "clickhouse_after_tables",
    "clickhouse_after_slices",
    "clickhouse_mid_load",
    "clickhouse_after_load",
    "clickhouse_before_commit",
    "clickhouse_after_commit",
    "clickhouse_mid_sweep",
    "clickhouse_after_sweep",
]
ErasurePoint = Literal[
    "erase_after_journal",
    "erase_after_tombstones",
    "erase_after_quarantine",
    "erase_mid_raw",
    "erase_after_raw",
    "erase_after_derived",
    "erase_after_rebuild",
    "rewrite_mid_copy",
    "rewrite_before_swap",
    "erase_after_rewrite",
    "before_receipt",
    "after_receipt",
]
RightPoint = Literal[
    "restrict_after_aside",
    "lift_after_rows",
    "lift_after_rebuild",
    "lift_after_aside",
    "export_after_journal",
    "export_mid_file",
    "export_after_file",
    "rectify_after_journal",
    "rectify_after_resync",
    "rectify_after_rebuild",
    "leave_after_begun",
    "leave_after_keys",
    "leave_after_quarantine",
    "leave_after_raw",
    "leave_after_built",
    "leave_after_exports",
    "leave_after_rebuild",
    "leave_after_rewrite",
    "split_after_rows",
    "split_after_rebuild",
    "retention_after_rows",
]
"""Those of other rights than erasure; they pass through the points of rewriting and of the receipt as well."""
CAPTURE_POINTS: tuple[CapturePoint, ...] = get_args(CapturePoint)
PUBLISH_POINTS: tuple[PublishPoint, ...] = get_args(PublishPoint)
CLICKHOUSE_POINTS: tuple[ClickHousePoint, ...] = get_args(ClickHousePoint)
ERASURE_POINTS: tuple[ErasurePoint, ...] = get_args(ErasurePoint)
RIGHT_POINTS: tuple[RightPoint, ...] = get_args(RightPoint)


_passed: defaultdict[str, itertools.count[int]] = defaultdict(lambda: itertools.count(1))


def failpoint(name: CapturePoint | PublishPoint | ClickHousePoint | ErasurePoint | RightPoint) -> None:
    """Die here when ``TAILRACE_FAILPOINT`` names this point, or, as ``point:3``, when it is passed for the third time.

    The signal is real, nothing is cleaned up.
    """
    wanted, _, times = os.environ.get("TAILRACE_FAILPOINT", "").partition(":")
    if wanted == name and next(_passed[name]) >= int(times or 1):
        os.kill(os.getpid(), signal.SIGKILL)
