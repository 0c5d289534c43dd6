"""What the page shows while it waits, when there is nothing, when figures are old, and when something is broken."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from playwright.sync_api import expect

from tests.browser import company
from tests.browser.conftest import Site
from tests.browser.test_page import Open, card, read_table


def test_waiting_shows_shapes_then_says_that_it_takes_long(own_site: Site, open_page: Open) -> None:
    company.fill(own_site.product, scales={"acorn": 3})
    own_site.product.publish(1)
    own_site.served.door.held = {"/v1/features"}
    page = open_page(own_site.address()).page
    card(page, "activity")
    features = page.locator("#features")
    expect(features).to_have_class(re.compile("waiting"))
    assert features.get_attribute("aria-busy") == "true"
    expect(features.get_by_role("status")).to_have_text("This takes longer than usual …")
    own_site.served.door.held = set()
    expect(card(page, "features").get_by_role("button", name=re.compile("^API"))).to_be_visible()
    expect(features.get_by_role("status")).to_have_text("")


def test_tenant_without_activity_is_told_so(site: Site, open_page: Open) -> None:
    watched = open_page(site.address("birch"))
    expect(watched.page.get_by_role("heading", name="No activity yet")).to_be_visible()
    expect(watched.page.locator(".figures")).to_be_hidden()
    expect(watched.page.get_by_role("button", name="Try again")).to_be_hidden()
    assert watched.complaints == []


def test_old_figures_say_how_old_they_are_until_newer_ones_are_published(own_site: Site, open_page: Open) -> None:
    company.fill(own_site.product, scales={"acorn": 3})
    own_site.product.publish(1, as_of=datetime.now(UTC) - timedelta(days=3, minutes=5))
    page = open_page(own_site.address()).page
    expect(page.locator(".stamp")).to_contain_text("3 days old")
    expect(page.locator(".notice")).to_contain_text("nothing newer has been published")
    assert len(read_table(page, "activity")) == 31, "old figures are shown none the less"
    company.fill(own_site.product, scales={"acorn": 5})
    own_site.product.publish(2, as_of=datetime.now(UTC))
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # the reader comes back to the tab
    expect(page.locator("#activity tbody tr td").first).to_have_text(str(company.usage(5)[-1]["workflow_runs"]))
    expect(page.locator(".notice")).to_be_hidden()


def test_fresh_figures_carry_their_stamp_without_a_warning(site: Site, open_page: Open) -> None:
    page = open_page(site.address()).page
    card(page, "activity")
    expect(page.locator(".stamp")).to_have_text(re.compile(r"^Data as of \d+ \w+ \d{4}, \d\d:\d\d UTC$"))
    expect(page.locator(".notice")).to_be_hidden()


def test_server_that_went_away_can_be_tried_again(own_site: Site, open_page: Open) -> None:
    company.fill(own_site.product, scales={"acorn": 3})
    own_site.product.publish(1)
    page = open_page(own_site.address()).page
    card(page, "activity")
    own_site.served.stop()
    card(page, "features").get_by_role("button", name=re.compile("as CSV")).click()
    expect(page.locator("#features").get_by_role("status")).to_contain_text("Nothing was downloaded")
    page.get_by_role("radio", name="7 days").check()
    expect(page.get_by_role("alert")).to_contain_text("The figures cannot be reached")
    again = page.get_by_role("button", name="Try again")
    own_site.served.start()
    again.click()
    expect(page.locator("#activity tbody tr")).to_have_count(7)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_database_that_went_away_is_told_without_its_name(own_site: Site, open_page: Open) -> None:
    product = own_site.product
    company.fill(product, scales={"acorn": 3})
    product.publish(1)
    with product.connect("postgres", "postgres") as admin:
        admin.execute(f'alter database "{product.shared}" with allow_connections false')
        admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [product.shared])
        try:
            page = open_page(own_site.address()).page
            expect(page.get_by_role("alert")).to_contain_text("cannot be shown right now", timeout=30_000)
            assert product.shared not in page.content()
        finally:
            admin.execute(f'alter database "{product.shared}" with allow_connections true')
    page.get_by_role("button", name="Try again").click()
    assert len(read_table(page, "activity")) == 31


def test_one_card_that_fails_leaves_the_others_and_is_tried_again_alone(own_site: Site, open_page: Open) -> None:
    """Its rollup cannot be read: the permission was taken away."""
    product = own_site.product
    company.fill(product, scales={"acorn": 3})
    product.publish(1)
    with product.connect("postgres") as admin:
        admin.execute("revoke select on tenant_analytics.rollup_tenant_benchmarks_monthly from tailrace_reader")
        page = open_page(own_site.address()).page
        peers = page.locator("#benchmarks")
        expect(peers.get_by_role("alert")).to_contain_text("cannot be shown right now", timeout=30_000)
        assert len(read_table(page, "activity")) == 31
        admin.execute("grant select on tenant_analytics.rollup_tenant_benchmarks_monthly to tailrace_reader")
        asked = len(own_site.served.door.asked)
        peers.get_by_role("button", name="Try again").click()
        assert read_table(page, "benchmarks")[1][0] == "API errors"
        assert set(own_site.served.door.asked[asked:]) == {"/v1/benchmarks"}


def test_without_a_pass_or_with_one_that_expired_the_page_says_where_to_get_it(site: Site, open_page: Open) -> None:
    page = open_page(site.address(slug=None)).page
    expect(page.get_by_role("alert")).to_contain_text("Open this page from your product")
    old = site.token("acorn", lifetime=timedelta(minutes=-5))
    page = open_page(f"{site.served.address}/#token={old}").page
    expect(page.get_by_role("alert")).to_contain_text("Open this page from your product")
    assert page.url == f"{site.served.address}/"


def test_what_is_published_meanwhile_is_never_mixed_with_what_is_shown(own_site: Site, open_page: Open) -> None:
    """One card still waits when the next version is published: the page begins anew rather than show both."""
    product = own_site.product
    company.fill(product, scales={"acorn": 3})
    product.publish(1)
    own_site.served.door.held = {"/v1/ai"}
    page = open_page(own_site.address()).page
    assert read_table(page, "activity")[1][1] == str(company.usage(3)[-1]["workflow_runs"])
    company.fill(product, scales={"acorn": 5})
    product.publish(2)
    own_site.served.door.held = set()
    expect(page.locator("#activity tbody tr td").first).to_have_text(str(company.usage(5)[-1]["workflow_runs"]))
    expect(page.locator(".stamp")).to_have_attribute("title", "Version 2")
    assert read_table(page, "ai")[1][-1] == f"${company.usage(5)[-1]['ai_cost_usd']:,.2f}"
