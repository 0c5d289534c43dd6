"""Inside another site's page: in a frame that is handed the pass by message, and as an element of that page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import expect

from demo.postgres import free_port
from tests.browser import company
from tests.browser.conftest import Site
from tests.browser.server import host_page
from tests.browser.test_access import violations
from tests.browser.test_page import SCALE, Open, card

FRAME = """<!doctype html><html lang="en"><title>Host</title><link rel="icon" href="data:,"><h1>Settings</h1>
<iframe title="Usage" src="{dashboard}/" width="800" height="600"></iframe>
<script type="module" src="host.js"></script>"""
# It keeps the pass and hands it over when the frame asks; what the frame tells is kept to be looked at.
FRAME_SCRIPT = """
const frame = document.querySelector("iframe");
const {token} = await (await fetch("pass.js")).json();
window.told = [];
addEventListener("message", ({source, origin, data}) => {
  if (source !== frame.contentWindow || origin !== "{dashboard}") return;
  told.push(data);
  if (data.type !== "tailrace:token-needed") return;
  frame.contentWindow.postMessage({type: "tailrace:token", token}, "{dashboard}");
});
"""
ELEMENT = """<!doctype html><html lang="en"><title>Host</title><link rel="icon" href="data:,">
<body><main><h1>Settings</h1><tailrace-usage view="range=7"></tailrace-usage></main>
<script type="module" src="{dashboard}/tailrace-usage.js"></script><script type="module" src="host.js"></script>"""
ELEMENT_SCRIPT = """
const usage = document.querySelector("tailrace-usage");
const {token} = await (await fetch("pass.js")).json();
window.told = [];
usage.addEventListener("tailrace-token", () => { usage.token = token; });
usage.addEventListener("tailrace-view", ({detail}) => told.push(detail.view));
await customElements.whenDefined("tailrace-usage");
usage.token = token;
"""


@contextmanager
def host(site: Site, page: str, script: str, *, port: int | None = None) -> Iterator[str]:
    """Another site whose own policy is strict, too: nothing inline, and the dashboard's origin named."""
    dashboard = site.served.address
    pages = {
        "/": page.replace("{dashboard}", dashboard),
        "/host.js": script.replace("{dashboard}", dashboard),
        "/pass.js": f'{{"token": "{site.token("acorn")}"}}',
    }
    allowed = {"img": "data:", "script": f"'self' {dashboard}", "connect": f"'self' {dashboard}", "frame": dashboard}
    policy = "; ".join(["default-src 'none'", *(f"{kind}-src {sources}" for kind, sources in allowed.items())])
    with host_page(pages, port=port or site.other_port, policy=policy) as address:
        yield f"{address}/"


def newest_runs() -> str:
    return str(company.usage(SCALE)[-1]["workflow_runs"])


def test_frame_is_handed_its_pass_by_message(site: Site, open_page: Open) -> None:
    with host(site, FRAME, FRAME_SCRIPT) as address:
        watched = open_page(address)
        frame = watched.page.frame_locator("iframe")
        expect(frame.get_by_role("heading", name="Acorn Ltd")).to_be_visible()
        expect(frame.locator("#activity tbody tr td").first).to_have_text(newest_runs())
        frame.get_by_role("radio", name="7 days").check()
        expect(frame.locator("#activity tbody tr")).to_have_count(7)
        told = watched.page.evaluate("told")
        assert {"type": "tailrace:view", "view": "range=7"} in told
        assert any(each["type"] == "tailrace:height" and each["height"] > 600 for each in told)
        token = site.token("acorn").split(".")[1]
        assert all("token" not in each and token not in each for each in watched.asked)
        assert all("token=" not in each.url for each in watched.page.frames)
        assert watched.complaints == []


def test_frame_asks_again_when_its_pass_has_expired(site: Site, open_page: Open) -> None:
    asked = "told.filter(each => each.type === 'tailrace:token-needed').length"
    script = FRAME_SCRIPT.replace("token}, ", f"token: {asked} > 1 ? token : 'expired'}}, ")
    with host(site, FRAME, script) as address:
        frame = open_page(address).page.frame_locator("iframe")
        expect(frame.get_by_role("heading", name="Acorn Ltd")).to_be_visible()


def test_frame_that_is_handed_a_bad_pass_again_and_again_asks_once(site: Site, open_page: Open) -> None:
    with host(site, FRAME, FRAME_SCRIPT.replace("token}, ", "token: 'expired'}, ")) as address:
        already = site.served.door.asked.count("/v1/freshness")
        page = open_page(address).page
        expect(page.frame_locator("iframe").get_by_role("alert")).to_contain_text("Open this page from your product")
        page.wait_for_timeout(500)
        assert site.served.door.asked.count("/v1/freshness") == already + 1


def test_site_that_is_not_allowed_cannot_frame_it(site: Site, open_page: Open) -> None:
    with host(site, FRAME, FRAME_SCRIPT, port=free_port()) as address:
        watched = open_page(address)
        watched.page.wait_for_function("() => document.readyState === 'complete'")
        assert watched.page.frame_locator("iframe").get_by_role("heading").count() == 0
        assert any("frame-ancestors" in each for each in watched.complaints)
        assert watched.page.evaluate("told") == []


def test_pass_is_taken_from_nobody_but_the_page_around(site: Site, open_page: Open) -> None:
    """Neither from one that opened the page, nor from itself."""
    page = open_page(site.address(slug=None)).page
    page.evaluate("token => postMessage({type: 'tailrace:token', token}, '*')", site.token("acorn"))
    with page.expect_popup() as popup:
        page.evaluate("address => { window.opened = window.open(address) }", f"{site.served.address}/")
    popup.value.wait_for_load_state()
    page.evaluate("token => opened.postMessage({type: 'tailrace:token', token}, '*')", site.token("acorn"))
    for each in (page, popup.value):
        each.wait_for_timeout(300)
        expect(each.get_by_role("alert")).to_contain_text("Open this page from your product")


def test_element_lives_in_another_sites_page(site: Site, open_page: Open) -> None:
    with host(site, ELEMENT, ELEMENT_SCRIPT) as address:
        watched = open_page(address)
        page = watched.page
        expect(page.get_by_role("heading", name="Acorn Ltd")).to_be_visible()
        expect(page.locator("#activity tbody tr")).to_have_count(7)
        expect(page.locator("#activity tbody tr td").first).to_have_text(newest_runs())
        assert page.locator("#activity").evaluate("card => getComputedStyle(card).borderRadius") == "12px", (
            "it has its style"
        )
        assert page.evaluate("document.querySelector('tailrace-usage').shadowRoot.adoptedStyleSheets.length") == 1
        assert page.evaluate("document.styleSheets.length") == 0, "and the page around keeps its own"
        page.get_by_role("button", name=re.compile("^API")).click()
        expect(page.locator("#activity h3")).to_have_text("API requests")
        assert page.evaluate("told") == ["range=7&feature=api"]
        assert page.url == address, "the address is the page's own"
        assert watched.hosts() == {f"127.0.0.1:{site.served.port}", f"127.0.0.1:{site.other_port}"}
        assert violations(page) == []
        assert watched.complaints == []


def test_element_goes_and_comes_back_with_its_pass(site: Site, open_page: Open) -> None:
    with host(site, ELEMENT, ELEMENT_SCRIPT) as address:
        page = open_page(address).page
        card(page, "activity")
        page.evaluate("window.kept = document.querySelector('tailrace-usage'); kept.remove()")
        expect(page.get_by_role("heading", name="Acorn Ltd")).to_have_count(0)
        page.evaluate("document.querySelector('main').append(kept)")
        expect(page.get_by_role("heading", name="Acorn Ltd")).to_be_visible()
        assert page.evaluate("kept.token") is None, "it can be given, not taken"


def test_element_gets_nothing_on_a_site_that_is_not_allowed(site: Site, open_page: Open) -> None:
    with host(site, ELEMENT, ELEMENT_SCRIPT, port=free_port()) as address:
        watched = open_page(address)
        watched.page.wait_for_function("() => document.readyState === 'complete'")
        assert any("CORS" in each for each in watched.complaints)
        assert "Acorn" not in watched.page.content()
        assert watched.page.locator("#activity").count() == 0


@pytest.mark.parametrize("width", [360, 700])
def test_element_fits_a_narrow_column(site: Site, open_page: Open, width: int) -> None:
    """Its layout follows the room it has, not the window's."""
    with host(site, ELEMENT, ELEMENT_SCRIPT) as address:
        page: Any = open_page(address).page
        card(page, "users")
        page.evaluate(f"document.querySelector('main').style.width = '{width}px'")
        inside = page.locator(".tailrace")
        expect(inside).to_have_js_property("clientWidth", width)
        assert inside.evaluate("each => each.scrollWidth") <= width
