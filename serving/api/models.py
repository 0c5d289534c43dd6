"""What the API takes and gives. Days are UTC days; money is exact, so it travels as a string."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_DAYS = 400
_DEFAULT_DAYS = 30


class DateRange(BaseModel):
    """``from`` and ``to``, both included; by default the last 30 days that hold data. Other parameters are refused."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    first: date | None = Field(default=None, alias="from", description="First UTC day.")
    last: date | None = Field(default=None, alias="to", description="Last UTC day.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.first and self.last:
            if self.first > self.last:
                raise ValueError("from is after to")
            if (self.last - self.first).days >= MOST_DAYS:
                raise ValueError(f"the range is longer than {MOST_DAYS} days")
        return self

    def resolve(self, *, newest: date) -> tuple[date, date]:
        """Both ends, the missing one filled in; ``newest`` is the newest day with data."""
        if self.first is None:
            last = self.last or newest
            return last - timedelta(days=min(_DEFAULT_DAYS - 1, (last - date.min).days)), last
        longest = self.first + timedelta(days=min(MOST_DAYS - 1, (date.max - self.first).days))
        return self.first, self.last or min(max(newest, self.first), longest)


class NoParameters(BaseModel):
    """Any query parameter is refused: none would have an effect."""

    model_config = ConfigDict(extra="forbid")


class Freshness(BaseModel):
    """``as_of``: the figures are complete until then. All null before the first publish."""

    version: int | None
    as_of: datetime | None
    published_at: datetime | None
    first_day: date | None
    last_day: date | None


class UsageTotals(BaseModel):
    workflow_runs: int = 0
    workflow_runs_failed: int = 0
    tasks_completed: int = 0
    comments: int = 0
    api_requests: int = 0
    api_errors: int = 0
    ai_requests: int = 0
    ai_tokens: int = 0
    ai_cost_usd: Decimal = Decimal(0)


class UsageDay(UsageTotals):
    """``active_users`` did something on the day; ``_7d`` and ``_28d`` in the days that end with it."""

    day: date
    active_users: int
    active_users_7d: int
    active_users_28d: int


class Usage(BaseModel):
    """A day without any use has no row. ``previous`` sums the range of the same length just before."""

    tenant_name: str | None
    version: int | None
    as_of: datetime | None
    first: date = Field(serialization_alias="from")
    last: date = Field(serialization_alias="to")
    days: list[UsageDay]
    totals: UsageTotals
    previous: UsageTotals


class FeatureDay(BaseModel):
    """``adoption_share``: its active users among the tenant's active users of the day, 0 to 1."""

    day: date
    active_users: int
    events: int
    adoption_share: float


class Feature(BaseModel):
    """``average_adoption`` is the mean share over the days on which the tenant was active."""

    feature: str
    events: int
    average_adoption: float
    days: list[FeatureDay]


class Features(BaseModel):
    version: int | None
    as_of: datetime | None
    first: date = Field(serialization_alias="from")
    last: date = Field(serialization_alias="to")
    features: list[Feature]


def sum_usage(days: list[UsageDay]) -> UsageTotals:
    """Each measure summed. Active users are not summed: the same person counts once a day."""
    return UsageTotals(**{name: sum(getattr(day, name) for day in days) for name in UsageTotals.model_fields})


def group_features(rows: list[tuple[str, FeatureDay]], *, active_days: int) -> list[Feature]:
    """Feature by feature, the most adopted first."""
    by_name: dict[str, list[FeatureDay]] = {}
    for name, day in rows:
        by_name.setdefault(name, []).append(day)
    features = [
        Feature(
            feature=name,
            events=sum(day.events for day in days),
            average_adoption=round(sum(day.adoption_share for day in days) / max(active_days, 1), 6),
            days=days,
        )
        for name, days in by_name.items()
    ]
    return sorted(features, key=lambda each: (-each.average_adoption, each.feature))
