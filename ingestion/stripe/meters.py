"""What customers used of meters, a day (UTC) at a time: Stripe lists it for one meter and customer only."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ingestion.rest.client import ApiError, Json, RestClient
from ingestion.rest.landing import Lander

DAY = 86_400
_PAGE = 100
_STREAM = "meter_event_summaries"


def pairs(lander: Lander, *, since: int) -> list[tuple[str, str]]:
    """The (meter, customer) that may have use since a moment (Unix seconds).

    Customers whose subscription has a price of the meter; where no price has it, all that have a subscription. Only
    those of this region have landed, so no other is asked for.
    """
    own, values = "", {"since": since, **({"account": lander.account} if lander.account else {})}
    if lander.account:
        own = "and _airbyte_meta->>'origin' = $account"
    with lander.reader() as con:
        rows = con.execute(
            f"""
            with live as (
                select id, customer from raw_stripe.subscriptions
                where _ab_cdc_deleted_at is null and (ended_at is null or ended_at >= $since) {own}
            ),
            priced as (
                select price->>'$.recurring.meter' as meter, live.customer
                from raw_stripe.subscription_items as item join live on live.id = item.subscription
                where item._ab_cdc_deleted_at is null
            )
            select meter.id, customer from raw_stripe.meters as meter
            join (select meter, customer from priced where meter is not null) as p on p.meter = meter.id
            where meter._ab_cdc_deleted_at is null {own.replace("_airbyte_meta", "meter._airbyte_meta")}
            union
            select meter.id, live.customer from raw_stripe.meters as meter cross join live
            where meter._ab_cdc_deleted_at is null {own.replace("_airbyte_meta", "meter._airbyte_meta")}
                and meter.id not in (select meter from priced where meter is not null)
            order by all
            """,  # noqa: S608 - own texts only
            values,
        ).fetchall()
    return [(str(meter), str(customer)) for meter, customer in rows]


def summaries(
    client: RestClient, pool: ThreadPoolExecutor, wanted: list[tuple[str, str]], *, since: int, until: int
) -> Iterator[Json]:
    """The days of ``since`` to ``until`` (midnights, Unix seconds) on which there was use; several pairs at a time."""

    def ask(pair: tuple[str, str]) -> list[Json]:
        meter, customer = pair
        window = [("start_time", str(since)), ("end_time", str(until)), ("value_grouping_window", "day")]
        found: list[Json] = []
        more, after = True, None
        while more:
            page = [("limit", str(_PAGE)), *([("starting_after", after)] if after else [])]
            path = f"/v1/billing/meters/{meter}/event_summaries"
            try:
                answer = client.get(path, [("customer", customer), *window, *page])
            except ApiError as error:
                if error.is_missing:  # the customer was deleted meanwhile
                    return found
                raise
            found += answer["data"]
            more, after = bool(answer["has_more"] and answer["data"]), found[-1]["id"] if found else None
        return [
            one | {"id": f"{meter}/{customer}/{one['start_time']}", "meter": meter, "customer": customer}
            for one in found
        ]

    for each in pool.map(ask, wanted):
        yield from each


def window(position: dict[str, Any], *, now: int, look_back_days: int, oldest: int) -> tuple[int, int]:
    """The midnights between which use is asked for: from where the last reading ended, less what may come late."""
    until = now - now % DAY + DAY
    since = (position.get("metered") or oldest) - look_back_days * DAY
    return max(0, since - since % DAY), until
