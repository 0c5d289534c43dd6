"""What a customer's administrator reads, chooses and takes away."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser import company
from tests.browser.conftest import Site, Watched

SCALE = 3  # of the tenant "acorn"
Open = Callable[..., Watched]


def shown(days: int = 30) -> list[dict[str, Any]]:
    """The tenant's rows of the last days."""
    return company.usage(SCALE)[-days:]


def card(page: Page, name: str) -> Any:
    """A card that has its figures."""
    found = page.locator(f"#{name}:not(.waiting):not([aria-busy])")
    found.wait_for()
    return found


def read_table(page: Page, name: str) -> list[list[str]]:
    """Every row of the table behind a card, its headings first, as a screen reader has it."""
    card(page, name)
    return page.locator(f"#{name} table tr").evaluate_all(
        "rows => rows.map(row => [...row.children].map(cell => cell.textContent.trim()))"
    )


def spoken(day: date) -> str:
    return f"{day:%a} {day.day} {day:%b %Y}"


def test_page_shows_the_tenants_own_figures_and_asks_nobody_else(site: Site, open_page: Open) -> None:
    watched = open_page(site.address())
    page = watched.page
    expect(page.get_by_role("heading", level=1)).to_have_text("Acorn Ltd")
    rows = read_table(page, "activity")
    assert rows[0][:2] == ["Day", "Workflow runs"]
    newest = shown()[-1]
    assert rows[1][:2] == [spoken(newest["day"]), str(newest["workflow_runs"])]
    assert len(rows) == 1 + 30
    runs = sum(row["workflow_runs"] for row in shown())
    expect(card(page, "totals").get_by_text("Workflow runs").locator("..")).to_contain_text(f"{runs:,}")
    for name in ("people", "features", "ai", "entitlements", "benchmarks", "users"):
        card(page, name)
    assert page.get_by_role("alert").all_inner_texts() == []
    assert watched.hosts() == {f"127.0.0.1:{site.served.port}"}
    assert watched.complaints == [], "no error in the console, no breach of the policy"


def test_pass_leaves_the_address_and_is_kept_nowhere(site: Site, open_page: Open) -> None:
    watched = open_page(site.address(view="range=90"))
    page = watched.page
    card(page, "activity")
    assert page.url == f"{site.served.address}/#range=90"
    token = site.token("acorn").split(".")[0]
    kept = page.evaluate("JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}, history.state])")
    assert token not in kept + page.content()
    assert all("token" not in address and token not in address for address in watched.asked[1:])


def test_totals_are_compared_with_the_range_before(site: Site, open_page: Open) -> None:
    page = open_page(site.address(view="range=7")).page
    now = sum(row["workflow_runs"] for row in shown(7))
    before = sum(row["workflow_runs"] for row in shown(14)[:7])
    total = card(page, "totals").get_by_text("Workflow runs").locator("..")
    expect(total).to_contain_text(f"{round(abs(now / before - 1) * 100)}%")
    page.get_by_role("radio", name="90 days").check()
    expect(page.locator("#totals")).to_contain_text("no full period before")


@pytest.mark.parametrize(
    ("grain", "key"),
    [("Week", lambda day: day - timedelta(days=day.weekday())), ("Month", lambda day: day.replace(day=1))],
)
def test_grain_sums_the_days(site: Site, open_page: Open, grain: str, key: Callable[[date], date]) -> None:
    page = open_page(site.address()).page
    card(page, "activity")
    page.get_by_role("radio", name=grain, exact=True).check()
    expect(page.locator("#activity thead th").first).to_have_text(grain)
    sums: dict[date, int] = {}
    for row in shown():
        sums[key(row["day"])] = sums.get(key(row["day"]), 0) + row["workflow_runs"]
    figures = [row[1] for row in read_table(page, "activity")[1:]]
    assert figures == [f"{sums[day]:,}" for day in sorted(sums, reverse=True)]
    assert f"grain={grain.lower()}" in page.url


def test_choosing_a_day_narrows_the_page_and_back_widens_it(site: Site, open_page: Open) -> None:
    page = open_page(site.address()).page
    card(page, "activity")
    chart = page.get_by_role("slider", name=re.compile("Workflow runs by day"))
    box = chart.bounding_box()
    chart.click(position={"x": box["width"] - 20, "y": box["height"] / 2})
    newest = shown()[-1]
    chip = page.get_by_role("button", name=re.compile("not only"))
    expect(chip).to_contain_text(spoken(newest["day"]))
    assert len(read_table(page, "activity")) == 1 + 1
    assert f"from={newest['day']}&to={newest['day']}" in page.url
    page.go_back()
    expect(page.locator("#activity tbody tr")).to_have_count(30)
    page.go_forward()
    expect(page.locator("#activity tbody tr")).to_have_count(1)
    chip.click()
    expect(page.locator("#activity tbody tr")).to_have_count(30)


def test_choosing_a_feature_narrows_the_page_to_it(site: Site, open_page: Open) -> None:
    page = open_page(site.address()).page
    card(page, "features")
    page.get_by_role("button", name=re.compile("^API")).click()
    expect(page.locator("#activity h2")).to_have_text("API requests")
    expect(page.locator("#users")).to_be_hidden()
    own = [row for row in company.features(SCALE) if row["feature"] == "api"][-1]
    rows = read_table(page, "people")
    assert rows[0] == ["Day", "API", "All features"]
    assert rows[1] == [spoken(own["day"]), str(own["active_users"]), str(shown()[-1]["active_users"])]
    limits = read_table(page, "entitlements")
    assert [row[0] for row in limits[1:]] == ["API requests"]
    page.get_by_role("button", name=re.compile("^API")).click()
    expect(page.locator("#users")).to_be_visible()


def test_a_feature_that_the_page_does_not_know_has_its_events(site: Site, open_page: Open) -> None:
    watched = open_page(site.address(view="feature=reports"))
    assert read_table(watched.page, "activity")[:2] == [["Day", "Events"], [spoken(shown()[-1]["day"]), "0"]]
    expect(watched.page.locator("#activity h2")).to_have_text("Reports events")
    assert watched.complaints == []


def test_a_link_shows_what_its_sender_saw(site: Site, open_page: Open) -> None:
    page = open_page(site.address(view="range=90&grain=week&measure=api_requests&theme=dark")).page
    expect(page.locator("#activity p").first).to_contain_text(f"{sum(r['api_requests'] for r in shown(60)):,}")
    expect(page.get_by_role("radio", name="Week")).to_be_checked()
    expect(page.get_by_role("radio", name="90 days")).to_be_checked()
    assert page.locator(".tailrace").get_attribute("data-theme") == "dark"


@pytest.mark.parametrize(
    "view",
    [
        "range=1e9&grain=<b>&measure=constructor&feature=%00",
        "from=2026-02-30&to=x",
        "from=2026-03-01&to=2026-02-01",
        "sort=';--&theme=url(x)",
    ],
)
def test_a_link_that_somebody_spoilt_shows_the_usual(site: Site, open_page: Open, view: str) -> None:
    watched = open_page(site.address(view=view))
    assert len(read_table(watched.page, "activity")) == 1 + 30
    assert watched.complaints == []


def test_limits_tell_what_is_used_and_when_they_are_reached(site: Site, open_page: Open) -> None:
    page = open_page(site.address()).page
    limits = card(page, "entitlements")
    told = {row["metric"]: row for row in company.entitlements(SCALE)}
    reached = told["workflow_runs"]["limit_day"]
    expect(limits).to_contain_text(f"Reached on {reached.day} {reached:%b %Y}, in 8 days")
    expect(limits).to_contain_text("Over the limit by 10%")
    expect(limits).to_contain_text("No limit on your plan")
    gauge = limits.get_by_role("meter", name="Seats")
    assert gauge.get_attribute("aria-valuenow") == "40", "20 of 50"
    assert "20 of 50" in gauge.get_attribute("aria-valuetext")


def test_ai_spend_stands_against_the_cap_and_splits_by_model(site: Site, open_page: Open) -> None:
    page = open_page(site.address()).page
    spend = card(page, "ai")
    spent = company.spent_this_month(SCALE)
    expect(spend).to_contain_text(f"${spent:,.2f} of the month’s cap of ${company.SPEND_CAP:,.2f}")
    rows = read_table(page, "ai")
    assert rows[0] == ["Day", "large", "small", "Together"]
    cost: Decimal = shown()[-1]["ai_cost_usd"]
    assert rows[1][1:] == [f"${cost * Decimal('0.75'):,.2f}", f"${cost * Decimal('0.25'):,.2f}", f"${cost:,.2f}"]


def test_peers_are_a_band_and_how_many_they_are(site: Site, open_page: Open) -> None:
    rows = read_table(page := open_page(site.address()).page, "benchmarks")
    assert rows[1] == ["API errors", "0.4%", "1%", "2%", "5%", "20+"]
    expect(page.locator("#benchmarks")).to_contain_text("Above most peers")
    expect(page.locator("#benchmarks")).to_contain_text("Within the middle half")


def test_users_are_paged_through_by_pseudonym(site: Site, open_page: Open) -> None:
    page = open_page(site.address()).page
    users = card(page, "users")
    seen: list[str] = []
    for number in (1, 2, 3):
        expect(users.get_by_role("status").last).to_have_text(f"Page {number}")
        seen += users.locator("tbody code").evaluate_all("codes => codes.map(each => each.title)")
        if number < 3:
            users.get_by_role("button", name="Next").click()
    assert sorted(seen) == sorted(row["user_key"] for row in company.users(site.product.tenants["acorn"].id))
    expect(users.get_by_role("button", name="Next")).to_be_disabled()
    users.get_by_role("button", name="Previous").click()
    expect(users.get_by_role("status").last).to_have_text("Page 2")


def test_users_are_sorted_by_the_heading_that_is_chosen(site: Site, open_page: Open) -> None:
    page = open_page(site.address()).page
    users = card(page, "users")
    mine = company.users(site.product.tenants["acorn"].id)
    for sign, newest_first in (("↓", True), ("↑", False)):
        users.get_by_role("button", name="First active").click()
        heading = users.get_by_role("columnheader", name="First active")
        expect(heading).to_have_attribute("aria-sort", "descending" if newest_first else "ascending")
        expect(heading).to_contain_text(sign)
        first = sorted(mine, key=lambda row: row["first_active_day"], reverse=newest_first)[0]
        expect(users.locator("tbody code").first).to_have_attribute("title", first["user_key"])


@pytest.mark.parametrize(
    ("name", "rows"),
    [("people", 30), ("features", 5 * 30), ("ai", 2 * 30), ("users", company.USERS), ("benchmarks", 3)],
)
def test_figures_are_taken_away_as_csv(site: Site, open_page: Open, tmp_path: Path, name: str, rows: int) -> None:
    watched = open_page(site.address())
    with watched.page.expect_download() as coming:
        card(watched.page, name).get_by_role("button", name=re.compile("as CSV")).click()
    file = tmp_path / coming.value.suggested_filename
    coming.value.save_as(file)
    assert file.suffix == ".csv"
    assert len(list(csv.DictReader(file.open()))) == rows
    assert watched.complaints == []


def test_another_tenants_pass_shows_another_tenants_figures_only(site: Site, open_page: Open) -> None:
    page = open_page(site.address("deep-vault")).page
    assert read_table(page, "activity")[1][1] == str(company.usage(1)[-1]["workflow_runs"])
    assert "Acorn" not in page.content()
