"""The roster and the book: pure arithmetic, no server."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from demo.company.book import COUPONS, DAY, DUNNING_SECONDS, Account, Subscription, next_period, unit_price
from demo.company.roster import FEWEST_USERS, MOST_USERS, roster


def _unix(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp())  # type: ignore[misc,arg-type]


@pytest.mark.parametrize("seed", [1, 7, 99])
@pytest.mark.parametrize("tenants", [6, 40, 500])
def test_sizes_follow_the_power_law_whatever_the_seed(seed: int, tenants: int) -> None:
    sizes = [tenant.users for tenant in roster(seed=seed, tenants=tenants)]
    assert min(sizes) >= FEWEST_USERS
    assert max(sizes) <= MOST_USERS
    under_200 = sum(size < 200 for size in sizes)
    assert abs(under_200 - 0.8 * tenants) <= max(1, 0.01 * tenants)


def test_the_roster_is_a_function_of_its_seed() -> None:
    assert roster(seed=3, tenants=40) == roster(seed=3, tenants=40)
    assert {tenant.id for tenant in roster(seed=3, tenants=40)}.isdisjoint(
        tenant.id for tenant in roster(seed=4, tenants=40)
    )


def test_every_tier_currency_and_region_is_there_and_names_are_unique() -> None:
    tenants = roster(seed=7, tenants=40)
    assert len({tenant.slug for tenant in tenants}) == len({tenant.name for tenant in tenants}) == len(tenants)
    assert sum(tenant.region == "eu" for tenant in tenants) == len(tenants) // 4
    for region in ("us", "eu"):
        assert {tenant.tier for tenant in tenants if tenant.region == region} == {"pool", "namespace", "silo"}
    assert {tenant.currency for tenant in tenants} == {"usd", "eur", "gbp"}
    assert len({tenant.database for tenant in tenants if tenant.tier == "silo"}) == sum(
        tenant.tier == "silo" for tenant in tenants
    )


def test_people_are_a_function_of_their_id_and_nobody_shares_an_address() -> None:
    tenant = roster(seed=7, tenants=6)[0]
    people = [tenant.founder(n) for n in range(tenant.users)]
    assert len({person.email for person in people}) == len(people)
    assert all(person == tenant.person(person.id) for person in people)


def test_a_month_ends_on_the_anchor_day_or_on_the_months_last() -> None:
    anchor = _unix(2026, 1, 31, 10)
    february = next_period(anchor, "month", anchor)
    assert february == _unix(2026, 2, 28, 10)
    assert next_period(anchor, "month", february) == _unix(2026, 3, 31, 10)
    assert next_period(_unix(2024, 2, 29), "year", _unix(2024, 2, 29)) == _unix(2025, 2, 28)


def test_mrr_is_the_month_s_price_net_of_coupons_that_never_end() -> None:
    price, seats = unit_price("growth", "usd", "month"), 7
    monthly = Subscription("growth", "month", seats, anchor=0)
    assert monthly.mrr("usd") == Decimal(price * seats)
    monthly.coupon = "welcome-20"
    assert monthly.mrr("usd") == Decimal(price * seats), "a coupon that ends does not lower what recurs"
    monthly.coupon = "partner-10"
    assert monthly.mrr("usd") == Decimal(price * seats) * (100 - COUPONS["partner-10"].off) / 100
    monthly.coupon, monthly.quantity = "loyal-5000-usd", 1
    assert monthly.mrr("usd") == 0, "never below nothing"


def test_a_year_s_price_is_spread_over_twelve_months_half_up_to_four_decimals() -> None:
    yearly = Subscription("starter", "year", 1, anchor=0)
    exact = Decimal(unit_price("starter", "gbp", "year")) / 12
    assert abs(yearly.mrr("gbp") - exact) <= Decimal("0.00005")
    assert yearly.mrr("gbp").as_tuple().exponent == -4


def test_trials_pauses_and_ends_bring_nothing() -> None:
    each = Subscription("starter", "month", 10, anchor=0, state="trialing", trial_end=5)
    assert each.mrr("usd") == 0
    each.pass_time(since=0, until=5, card_works=True)
    assert each.mrr("usd") > 0
    each.paused = True
    assert each.mrr("usd") == 0
    each.paused, each.cancel_at = False, 50
    each.pass_time(since=5, until=50, card_works=True)
    assert each.mrr("usd") == 0


def test_a_failed_renewal_counts_until_dunning_gives_up() -> None:
    anchor = _unix(2026, 1, 5)
    each = Subscription("starter", "month", 10, anchor=anchor)
    renewal = next_period(anchor, "month", anchor)
    each.pass_time(since=anchor, until=renewal, card_works=False)
    each.pass_time(since=renewal, until=renewal + DUNNING_SECONDS - 1, card_works=False)
    assert each.mrr("usd") > 0
    each.pass_time(since=renewal + DUNNING_SECONDS - 1, until=renewal + DUNNING_SECONDS + DAY, card_works=False)
    assert each.mrr("usd") == 0


def test_an_account_survives_its_document() -> None:
    account = Account("k", "eur", None, None, "growth", 5, subscriptions=[Subscription("growth", "year", 5, anchor=1)])
    assert Account.from_document(account.to_document()) == account
