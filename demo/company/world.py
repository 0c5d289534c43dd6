"""What the simulator knows of a tenant, and what it is about to do: the vocabulary of planning.

Ids are strings in canonical lower case, which sort as Postgres sorts uuid; instants are milliseconds since the epoch.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

Row = dict[str, Any]

UNITS_A_DAY = 2
# Tasks and comments are edited and deleted within this many days of their making, so no more of them is remembered.
RECENT_DAYS = 3
FEATURES = {
    "workflow_runs": "workflows",
    "tasks_completed": "tasks",
    "comments": "comments",
    "api_requests": "api",
    "ai_requests": "ai",
}
MEASURES = (
    "workflow_runs",
    "workflow_runs_failed",
    "tasks_completed",
    "comments",
    "api_requests",
    "api_errors",
    "ai_requests",
    "ai_tokens",
    "ai_cost_microusd",
)
_HOUR = 3_600_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Standing:
    """Where a tenant stands commercially at a day's end; ``status`` is trial, active or churned."""

    plan: str
    status: str
    seats: int
    stripe_customer_id: str


@dataclass(slots=True)
class Task:
    created: int
    assignee: str | None
    completed: int | None = None


@dataclass(slots=True)
class Comment:
    created: int
    task: str
    author: str


@dataclass(slots=True)
class Run:
    started: int
    by: str


@dataclass
class TenantState:
    """The part of the tenant's rows that planning looks at; equal whether remembered or read from the database."""

    standing: tuple[str, str, int] | None = None  # plan, status, seats
    users: dict[str, str] = field(default_factory=dict)  # id → status
    workspaces: set[str] = field(default_factory=set)  # not archived
    members: set[tuple[str, str]] = field(default_factory=set)  # workspace, user
    projects: set[str] = field(default_factory=set)  # not archived
    tasks: dict[str, Task] = field(default_factory=dict)  # open, or recent
    comments: dict[str, Comment] = field(default_factory=dict)  # recent
    runs: dict[str, Run] = field(default_factory=dict)  # not finished
    entitlements: dict[str, str] = field(default_factory=dict)  # feature → the open one's id
    audit_id: int = 0
    _crowd: tuple[list[str], list[float]] | None = field(default=None, compare=False)

    def set_user(self, user_id: str, status: str | None) -> None:
        """Note a user's status; None forgets the user."""
        if status is None:
            del self.users[user_id]
        else:
            self.users[user_id] = status
        self._crowd = None

    def crowd(self) -> tuple[list[str], list[float]]:
        """Active users in order of id with cumulative weights: some people use the product far more than others."""
        if self._crowd is None:
            ids = sorted(user for user, status in self.users.items() if status == "active")
            weights = ((0.08 + int(user[:8], 16) / 2**32) ** 2 for user in ids)
            self._crowd = ids, list(itertools.accumulate(weights))
        return self._crowd

    def forget_before(self, instant: int) -> None:
        """Drop what is no longer recent: done tasks and comments made before ``instant``."""
        self.tasks = {k: t for k, t in self.tasks.items() if t.completed is None or t.created >= instant}
        self.comments = {k: c for k, c in self.comments.items() if c.created >= instant}


@dataclass
class Batch:
    """One transaction of the product, and what the ledger learns from it.

    ``updates`` maps (table, columns set) to rows that carry the key and those columns; ``deletes`` holds key columns.
    """

    tenant_id: str
    inserts: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    updates: dict[tuple[str, tuple[str, ...]], list[Row]] = field(default_factory=lambda: defaultdict(list))
    deletes: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    activity: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # (day, user, feature) → events
    usage: Counter[tuple[str, str]] = field(default_factory=Counter)  # (day, measure) → amount

    def insert(self, table: str, **values: Any) -> None:
        self.inserts[table].append({"tenant_id": self.tenant_id, **values})

    def update(self, table: str, key: Mapping[str, Any], **values: Any) -> None:
        self.updates[table, tuple(values)].append({"tenant_id": self.tenant_id, **key, **values})

    def delete(self, table: str, **key: Any) -> None:
        self.deletes[table].append({"tenant_id": self.tenant_id, **key})

    def count(self, measure: str, instant: int, user: str | None = None, n: int = 1) -> None:
        """The ledger's entry: ``n`` more (or, below zero, fewer) of a measure on the UTC day of ``instant``."""
        day = day_of(instant)
        self.usage[day, measure] += n
        if user is not None and measure in FEATURES:
            self.activity[day, user, FEATURES[measure]] += n


def midnight(start: date, day: int) -> int:
    """The instant at which the company's ``day``-th day begins, UTC."""
    return (
        round((datetime(start.year, start.month, start.day, tzinfo=UTC) - _EPOCH).total_seconds() + day * 86_400) * 1000
    )


def stamp(instant: int) -> str:
    """An instant as ISO 8601 in UTC, milliseconds kept."""
    return (_EPOCH + timedelta(milliseconds=instant)).isoformat()


def day_of(instant: int) -> str:
    """The UTC date of an instant, ISO 8601."""
    return (_EPOCH + timedelta(milliseconds=instant)).date().isoformat()


def unit_bounds(start: date, day: int, unit: int) -> tuple[int, int]:
    """First instant of the unit and first instant after it; the units of a day are its halves."""
    begin = midnight(start, day) + unit * 24 // UNITS_A_DAY * _HOUR
    return begin, begin + 24 // UNITS_A_DAY * _HOUR
