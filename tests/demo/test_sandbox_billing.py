"""The sandbox's billing arithmetic: periods, proration, discounts, dunning."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from demo.sandbox import billing

MOMENTS = st.integers(
    int(datetime(2020, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2030, 1, 1, tzinfo=UTC).timestamp())
)
INTERVALS = st.sampled_from(billing.INTERVALS)


def boundaries(anchor: int, interval: str, count: int, upto: int) -> list[int]:
    """The slow way: one period after the other from the anchor."""
    found = [anchor]
    while found[-1] <= upto:
        n = len(found) * count
        if interval in ("day", "week"):
            found.append(anchor + n * billing.DAY * (7 if interval == "week" else 1))
        else:
            found.append(billing.add_months(anchor, n * (12 if interval == "year" else 1)))
    return found


@given(anchor=MOMENTS, interval=INTERVALS, count=st.integers(1, 4), later=st.integers(0, 900 * billing.DAY))
def test_next_boundary_is_the_first_period_end_after_the_moment(
    anchor: int, interval: str, count: int, later: int
) -> None:
    after = anchor + later
    expected = boundaries(anchor, interval, count, after)[-1]
    assert billing.next_boundary(anchor, interval=interval, count=count, after=after) == expected


@given(moment=MOMENTS, months=st.integers(0, 60))
def test_months_keep_the_day_or_take_the_last_one(moment: int, months: int) -> None:
    begin = datetime.fromtimestamp(moment, UTC)
    end = datetime.fromtimestamp(billing.add_months(moment, months), UTC)
    assert (end.year * 12 + end.month) - (begin.year * 12 + begin.month) == months
    assert end.day == min(begin.day, calendar.monthrange(end.year, end.month)[1])
    assert end.time() == begin.time()


@given(
    amount=st.integers(-(10**9), 10**9), start=MOMENTS, length=st.integers(1, 400 * billing.DAY), part=st.floats(0, 1)
)
def test_what_is_left_and_what_is_used_make_the_whole_to_a_unit(
    amount: int, start: int, length: int, part: float
) -> None:
    end, at = start + length, start + int(length * part)
    left = billing.prorate(amount, start=start, end=end, at=at)
    used = billing.prorate(amount, start=start, end=end, at=end - (at - start))
    assert abs(left + used - amount) <= 1
    assert billing.prorate(amount, start=start, end=end, at=start) == amount
    assert billing.prorate(amount, start=start, end=end, at=end) == 0


def coupon(percent_off: float | None, amount_off: int | None) -> dict[str, Any]:
    return {"percent_off": percent_off, "amount_off": amount_off}


COUPONS = st.one_of(
    st.integers(1, 1000).map(lambda tenths: coupon(tenths / 10, None)),
    st.integers(1, 10**6).map(lambda amount: coupon(None, amount)),
)


@given(amounts=st.lists(st.integers(0, 10**6), max_size=6), coupons=st.lists(COUPONS, max_size=3))
def test_discounts_never_take_more_than_there_is(amounts: list[int], coupons: list[dict[str, Any]]) -> None:
    named = [(f"di_{index}", one) for index, one in enumerate(coupons)]
    taken = billing.discount(amounts, named)
    assert all(sum(off for _, off in line) <= amount for line, amount in zip(taken.by_line, amounts, strict=True))
    assert sum(taken.total.values()) == sum(off for line in taken.by_line for _, off in line)
    if len(named) == 1 and coupons[0]["amount_off"] is not None:
        assert sum(taken.total.values()) == min(coupons[0]["amount_off"], sum(amounts))


def test_four_tries_span_two_weeks() -> None:
    first = 1_700_000_000
    tries = [first]
    while (again := billing.next_attempt(len(tries), now=tries[-1])) is not None:
        tries.append(again)
    assert len(tries) == 4
    assert tries[-1] - first == 14 * billing.DAY
