"""What the API takes and gives. Days are UTC days; money is exact, so it travels as a string.

Answers are written by PostgreSQL (``queries``); these models are their description in OpenAPI, what the client parses
them into, and what the tests hold them to.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from serving.api.queries import DEFAULT_DAYS, MOST_DAYS, USER_SORTS

MOST_USERS = 500
Money = Annotated[Decimal, Field(examples=["12.345600"])]
Share = Annotated[float, Field(ge=0)]


class Grain(StrEnum):
    """Length of a bucket; weeks begin on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class _Parameters(BaseModel):
    """A parameter that is not known is refused: it would have no effect."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class NoParameters(_Parameters):
    pass


class DateRange(_Parameters):
    """``from`` and ``to``, both included; by default the last 30 days that hold data."""

    first: date | None = Field(default=None, alias="from", description="First UTC day.", examples=["2026-01-01"])
    last: date | None = Field(default=None, alias="to", description="Last UTC day.", examples=["2026-01-31"])

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.first and self.last:
            if self.first > self.last:
                raise ValueError("from is after to")
            if (self.last - self.first).days >= MOST_DAYS:
                raise ValueError(f"the range is longer than {MOST_DAYS} days")
        return self

    def resolve(self, *, newest: date) -> tuple[date, date]:
        """Both ends, the missing one filled in as ``queries`` does; ``newest`` is the newest day with data."""
        if self.first is None:
            last = self.last or newest
            return last - timedelta(days=min(DEFAULT_DAYS - 1, (last - date.min).days)), last
        longest = self.first + timedelta(days=min(MOST_DAYS - 1, (date.max - self.first).days))
        return self.first, self.last or min(max(newest, self.first), longest)


class AnyRange(_Parameters):
    """``from`` and ``to``, both included; without them, everything."""

    first: date | None = Field(default=None, alias="from", description="First UTC day.", examples=["2026-01-01"])
    last: date | None = Field(default=None, alias="to", description="Last UTC day.", examples=["2026-01-31"])


class UsageRange(DateRange):
    grain: Grain = Field(default=Grain.DAY, description="Length of a bucket; weeks begin on Monday.")


class UsersPage(_Parameters):
    limit: int = Field(default=50, ge=1, le=MOST_USERS, description="Users a page.")
    sort: str = Field(
        default="-last_active_day",
        description="Column to sort by, descending with a minus; equals go by user_key.",
        json_schema_extra={"enum": list(USER_SORTS)},
    )
    cursor: str | None = Field(
        default=None, max_length=400, description="next_cursor of the page before, asked with the same sort."
    )

    @property
    def position(self) -> tuple[str | None, str | None]:
        """Sorted value and user_key of the last user seen; none at the start."""
        return (None, None) if self.cursor is None else _position(self.cursor, sort=self.sort)

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.sort not in USER_SORTS:
            raise ValueError(f"sort is none of {', '.join(USER_SORTS)}")
        if self.cursor is not None:
            _position(self.cursor, sort=self.sort)
        return self


def _position(cursor: str, *, sort: str) -> tuple[str, str]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        known, value, user_key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        kind = USER_SORTS[sort][0]
        if kind == "date":
            date.fromisoformat(value)
        elif kind == "bigint" and not 0 <= int(value) < 2**63:
            raise ValueError
        if known != sort or not isinstance(user_key, str) or not isinstance(value, str) or "\0" in value + user_key:
            raise ValueError
    except (ValueError, TypeError, binascii.Error):
        raise ValueError("it is not a cursor of this list and sort") from None
    return value, user_key


class Answer(BaseModel):
    """``version`` and ``as_of``: which publication this is of, and until when it is complete; null before the first."""

    model_config = ConfigDict(populate_by_name=True)

    version: int | None = None
    as_of: datetime | None = None


class _RangeAnswer(Answer):
    first: date = Field(validation_alias=AliasChoices("from", "first"), serialization_alias="from")
    last: date = Field(validation_alias=AliasChoices("to", "last"), serialization_alias="to")


class Freshness(Answer):
    """Which version is published, and which days of the tenant it holds. All null before the first publish."""

    published_at: datetime | None = None
    first_day: date | None = None
    last_day: date | None = None


class UsageTotals(BaseModel):
    workflow_runs: int = 0
    workflow_runs_failed: int = 0
    tasks_completed: int = 0
    comments: int = 0
    api_requests: int = 0
    api_errors: int = 0
    ai_requests: int = 0
    ai_tokens: int = 0
    ai_cost_usd: Money = Decimal(0)


class UsageDay(UsageTotals):
    """``active_users`` did something on the day; ``_7d`` and ``_28d`` in the days that end with it.

    Of a longer bucket, ``day`` is its first, ``active_users`` those of its busiest day, and the windows end with its
    last day that has data.
    """

    day: date
    active_users: int
    active_users_7d: int
    active_users_28d: int


class Usage(_RangeAnswer):
    """A day without any use has no row. ``previous`` sums the range of the same length just before."""

    tenant_name: str | None = None
    grain: Grain = Grain.DAY
    days: list[UsageDay] = []
    totals: UsageTotals = UsageTotals()
    previous: UsageTotals = UsageTotals()


class FeatureDay(BaseModel):
    """``adoption_share``: its active users among the tenant's active users of the day, 0 to 1."""

    day: date
    active_users: int
    events: int
    adoption_share: Share


class Feature(BaseModel):
    """``average_adoption`` is the mean share over the days on which the tenant was active."""

    feature: str
    events: int
    average_adoption: Share
    days: list[FeatureDay]


class Features(_RangeAnswer):
    """The most adopted feature first."""

    features: list[Feature] = []


class Entitlement(BaseModel):
    """What is left of a limit. ``included`` null is without limit; ``limit_day`` null: not this month, or already.

    ``used_usd`` and ``included_usd`` are of what has a cost of its own (AI tokens).
    """

    metric: str
    unit: str | None
    used: int
    included: int | None
    share_used: Share | None
    forecast_month_end: int
    days_to_limit: int | None
    limit_day: date | None
    used_usd: Money | None
    included_usd: Money | None


class Entitlements(Answer):
    """Of the newest month that has any; null without."""

    month: date | None = None
    entitlements: list[Entitlement] = []


class AiTotals(BaseModel):
    requests: int = 0
    tokens: int = 0
    cost_usd: Money = Decimal(0)


class AiDay(AiTotals):
    day: date


class AiModel(AiTotals):
    model: str
    days: list[AiDay]


class Ai(_RangeAnswer):
    """The dearest model first. ``spent_month_usd`` against ``spend_cap_usd`` is of the newest month, not of the range:
    what the tokens used, and those included, cost at that month's mean price; null without a limit or use."""

    spend_cap_usd: Money | None = None
    spent_month_usd: Money | None = None
    models: list[AiModel] = []
    totals: AiTotals = AiTotals()
    previous: AiTotals = AiTotals()


class User(BaseModel):
    """``user_key`` is a pseudonym. Windows of 28 days end with the day the figures stand at."""

    user_key: str
    first_active_day: date
    last_active_day: date
    active_days_28d: int
    events_28d: int
    top_feature: str | None


class Users(Answer):
    """``next_cursor`` null: there are no more."""

    users: list[User] = []
    next_cursor: str | None = None


class Benchmark(BaseModel):
    """``peers``: at least so many, in whole tens. Fewer than the least crowd, and the metric is left out."""

    metric: str
    value: float
    p25: float
    median: float
    p75: float
    peers: int


class Benchmarks(Answer):
    """Of the newest month that has any; null without."""

    month: date | None = None
    benchmarks: list[Benchmark] = []


class Activity(BaseModel):
    """Of the window's days that have data, of which there are ``days``; percentiles are of their daily figures."""

    days: int
    active_users_28d: int
    daily_active_users_median: float
    daily_active_users_p90: float
    workflow_runs: int | None
    api_requests: int | None
    daily_api_requests_p95: float | None
    ai_cost_usd: Money | None


class RankedFeature(BaseModel):
    """``rank`` by events, the most first; equals share one."""

    rank: int
    feature: str
    events: int
    daily_active_users_median: float
    daily_active_users_max: int
    adoption_share_mean: Share


class RankedModel(BaseModel):
    """``rank`` by cost, the dearest first; equals share one."""

    rank: int
    model: str
    requests: int
    tokens: int | None
    daily_tokens_p95: float | None
    cost_usd: Money | None


class Rolling(Answer):
    """The last 28 whole days. Right after a publish it may be of the version before, which ``version`` says.

    ``activity`` and the days are null for who did nothing in them.
    """

    first_day: date | None = None
    last_day: date | None = None
    activity: Activity | None = None
    features: list[RankedFeature] = []
    models: list[RankedModel] = []


class Problem(BaseModel):
    """RFC 9457."""

    type: str = Field(default="about:blank", examples=["about:blank"])
    title: str = Field(examples=["Unauthorized"])
    status: int = Field(examples=[401])
    detail: str


def to_json(answer: BaseModel) -> bytes:
    return answer.model_dump_json(by_alias=True).encode()
