"""What dashboards ask of API activity: a tenant's, of one version, by minute, endpoint and user.

with connect(section) as store:
    snapshot = Snapshot.open(store, "tailrace_us", tenant)
    for each in snapshot.endpoints(first=date(2026, 1, 1), last=date(2026, 1, 31)):
        ...
"""

# ruff: noqa: S608 - names are the contracts' and the configuration's, each quoted; values are bound

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Self

from serving.clickhouse import access
from serving.clickhouse.contract import DAY, GENERATION, aggregate_table
from serving.clickhouse.store import Store
from serving.clickhouse.tables import (
    PUBLICATIONS,
    SLICES,
    known_of,
    qualified,
    quantiles_function,
    quantiles_of,
    sum_of,
    unique_of,
)
from serving.clickhouse.versions import Publication, latest
from serving.contract import TENANT
from settings import TailraceError
from warehouse import quote

MODEL = "fct_api_activity_minutely"
HOURLY, USERS_DAILY = "hourly", "users_daily"
_LONGEST = timedelta(days=31)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Of some requests: ``failures`` were answered with 500 or above, ``users`` are distinct and known.

    Latencies, in ms, are ones that were measured: that share took no longer. None: none was taken.
    """

    requests: int
    failures: int
    users: int
    latency_ms_p50: int | None
    latency_ms_p95: int | None
    latency_ms_p99: int | None


@dataclass(frozen=True, kw_only=True)
class Minute(Figures):
    """``minute`` begins then, in UTC."""

    minute: datetime


@dataclass(frozen=True, kw_only=True)
class Hour(Figures):
    """``hour`` begins then, in UTC."""

    hour: datetime


@dataclass(frozen=True, kw_only=True)
class Endpoint(Figures):
    """One route and method."""

    endpoint: str | None
    method: str | None


@dataclass(frozen=True, kw_only=True)
class User:
    """``user_key`` is a pseudonym; None is for service keys, and for who was erased."""

    user_key: str | None
    requests: int
    failures: int
    active_days: int
    latency_ms_p50: int | None
    latency_ms_p95: int | None
    latency_ms_p99: int | None


class VersionGone(TailraceError):  # noqa: N818 - it says what happened
    """The version that was read has lost rows meanwhile: open another snapshot and ask again."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One version of what one tenant sees: whatever is asked of it belongs together, and is whole.

    Every answer is checked after it was read. A version lasts until the second publish after it, or an erasure: then
    VersionGone is raised.
    """

    store: Store
    database: str
    tenant: str
    publication: Publication

    @classmethod
    def open(cls, store: Store, database: str, tenant: str) -> Self:
        """The version that stands, for the tenant of this id. Raises TailraceError where nothing was published."""
        found = latest(store, database, access.as_tenant(store, database, tenant))
        if found is None or MODEL not in found.relations:
            raise TailraceError(f"ClickHouse {database}: {MODEL} was not published yet; `tailrace publish` does")
        return cls(store=store, database=database, tenant=tenant, publication=found)

    @property
    def as_of(self) -> datetime:
        """The data is complete until then."""
        return self.publication.as_of

    def minutes(self, *, since: datetime, until: datetime, endpoint: str | None = None) -> list[Minute]:
        """By minute from ``since`` until before ``until``, 31 days at most; minutes without a request are left out."""
        if since.tzinfo is None or until.tzinfo is None or until - since > _LONGEST:
            raise TailraceError("minutes: since and until have a time zone, and are 31 days apart at most")
        rows = self._ask(
            f"select minute, sum(requests), sum(failures), uniqExact(user_key), "
            f"{quantiles_function('')}(latency_ms, toUInt64(requests)), count(latency_ms) from {{source}} "
            "and minute >= {since:DateTime64(6, 'UTC')} and minute < {until:DateTime64(6, 'UTC')} "
            f"{_endpoint(endpoint)} group by minute order by minute",
            first=since.astimezone(UTC).date(),
            last=until.astimezone(UTC).date(),
            since=_instant(since),
            until=_instant(until),
            endpoint=endpoint,
        )
        return [Minute(minute=minute.replace(tzinfo=UTC), **_figures(rest)) for minute, *rest in rows]

    def hours(self, *, first: date, last: date, endpoint: str | None = None) -> list[Hour]:
        """By hour of the days from ``first`` to ``last``; hours without a request are left out."""
        rows = self._ask(
            f"select hour, {_MERGED} from {{source}} {_endpoint(endpoint)} group by hour order by hour",
            aggregate=HOURLY,
            first=first,
            last=last,
            endpoint=endpoint,
        )
        return [Hour(hour=hour.replace(tzinfo=UTC), **_figures(rest)) for hour, *rest in rows]

    def endpoints(self, *, first: date, last: date, limit: int = 100) -> list[Endpoint]:
        """By route and method, the most requested first."""
        rows = self._ask(
            f"select endpoint, method, {_MERGED} from {{source}} group by endpoint, method "
            f"order by sum({quote(sum_of('requests'))}) desc, endpoint, method limit {{limit:UInt32}}",
            aggregate=HOURLY,
            first=first,
            last=last,
            limit=limit,
        )
        return [Endpoint(endpoint=endpoint, method=method, **_figures(rest)) for endpoint, method, *rest in rows]

    def users(self, *, first: date, last: date, limit: int = 100) -> list[User]:
        """By user, who requested most first."""
        rows = self._ask(
            f"select user_key, sum({quote(sum_of('requests'))}), sum({quote(sum_of('failures'))}), uniqExact(day), "
            f"{_MERGED_LATENCIES} from {{source}} group by user_key "
            f"order by sum({quote(sum_of('requests'))}) desc, user_key limit {{limit:UInt32}}",
            aggregate=USERS_DAILY,
            first=first,
            last=last,
            limit=limit,
        )
        return [
            User(
                user_key=user,
                requests=requests,
                failures=failures,
                active_days=days,
                **_latencies(quantiles, known),
            )
            for user, requests, failures, days, quantiles, known in rows
        ]

    def total(self, *, first: date, last: date) -> Figures:
        """Everything of the days from ``first`` to ``last``: users are counted once, however often they come."""
        rows = self._ask(f"select {_MERGED} from {{source}}", aggregate=HOURLY, first=first, last=last)
        return Figures(**_figures(list(rows[0])))

    def _ask(
        self, query: str, *, first: date, last: date, aggregate: str | None = None, **parameters: Any
    ) -> list[tuple[Any, ...]]:
        """A query over ``{source}``: the tenant's rows of this version, of some days."""
        relation = self.publication.relations[MODEL]
        table = qualified(self.database, aggregate_table(relation, aggregate) if aggregate else relation)
        # The tenant first, by the query; where there are row policies they are the net.
        source = (
            f"{table} where {quote(TENANT)} = {{tenant:UUID}} and {quote(DAY)} between {{first:Date32}} "
            f"and {{last:Date32}} and ({quote(DAY)}, {quote(GENERATION)}) in (select day, argMax(generation, version) "
            f"from {qualified(self.database, SLICES)} where relation = {{relation:String}} "
            "and tenant_id = {tenant:UUID} and day between {first:Date32} and {last:Date32} and generation in "
            f"(select generation from {qualified(self.database, PUBLICATIONS)} where version <= {{version:UInt64}}) "
            "group by day)"
        )
        bound = {
            "tenant": self.tenant,
            "first": first,
            "last": last,
            "relation": relation,
            "version": self.publication.version,
            **{name: value for name, value in parameters.items() if value is not None},
        }
        settings = access.as_tenant(self.store, self.database, self.tenant)
        try:
            return self.store.rows(query.replace("{source}", source), bound, settings)
        finally:
            # After it was read, as rows, or the table, may have gone meanwhile.
            ((readable_from,),) = self.store.rows(
                f"select max(readable_from) from {qualified(self.database, PUBLICATIONS)}", settings=settings
            )
            if readable_from > self.publication.version:
                gone = f"version {self.publication.version} has gone; open another snapshot"
                raise VersionGone(f"ClickHouse {self.database}: {gone}") from None


_MERGED_LATENCIES = (
    f"{quantiles_function('Merge')}({quote(quantiles_of('latency_ms'))}), sum({quote(known_of('latency_ms'))})"
)
_MERGED = (
    f"sum({quote(sum_of('requests'))}), sum({quote(sum_of('failures'))}), "
    f"uniqExactMerge({quote(unique_of('user_key'))}), {_MERGED_LATENCIES}"
)


def _figures(values: list[Any]) -> dict[str, Any]:
    requests, failures, users, quantiles, known = values
    return {"requests": requests, "failures": failures, "users": users, **_latencies(quantiles, known)}


def _latencies(quantiles: list[int | None], known: int) -> dict[str, int | None]:
    names = ("latency_ms_p50", "latency_ms_p95", "latency_ms_p99")
    return dict(zip(names, quantiles, strict=True)) if known else dict.fromkeys(names)


def _endpoint(endpoint: str | None) -> str:
    return "" if endpoint is None else "and endpoint = {endpoint:String}"


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
