"""By keyboard, by screen reader, on a phone, in the dark, without motion, and with eyes that tell fewer colours."""

from __future__ import annotations

import re
from itertools import combinations, product
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.test_page import Open, card, read_table

# What each is read on. 4.5 to 1 for words, 3 to 1 for shapes (WCAG 2.2, 1.4.3 and 1.4.11).
WORDS = {
    "text": ("card", "page", "hover", "accent-soft"),
    "quiet": ("card", "page", "hover"),
    "accent": ("card", "accent-soft"),
    "warn": ("card", "page", "warn-soft"),
    "bad": ("card",),
    "on-accent": ("accent",),
}
SHAPES = ("accent", "second", "third", "fourth", "warn", "bad")
SERIES = ("accent", "second", "third")
THEMES = ("light", "dark")
Colour = tuple[float, float, float]

# Machado, Oliveira and Fernandes 2009, severity 1, on linear sRGB.
DEFICIENCIES = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


@pytest.fixture(scope="module")
def palette(site: Site, browser: Any) -> dict[str, dict[str, Colour]]:
    """Theme → token → its linear sRGB, as the browser computes it."""
    found = {}
    for theme in THEMES:
        context = browser.new_context(color_scheme=theme)
        page = context.new_page()
        page.goto(site.address())
        card(page, "activity")
        names = sorted({*WORDS, *SHAPES, *SERIES, *(ground for grounds in WORDS.values() for ground in grounds)})
        computed = page.evaluate(
            """names => names.map(name => {
                const probe = document.querySelector(".tailrace").appendChild(document.createElement("i"));
                probe.style.color = `var(--${name})`;
                const colour = getComputedStyle(probe).color;
                probe.remove();
                return colour;
            })""",
            names,
        )
        found[theme] = {name: linear(colour) for name, colour in zip(names, computed, strict=True)}
        context.close()
    return found


def linear(computed: str) -> Colour:
    """ "rgb(1, 2, 3)" as linear light."""
    red, green, blue = (int(each) / 255 for each in re.findall(r"\d+", computed)[:3])
    return tuple(v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (red, green, blue))  # type: ignore[return-value]


def contrast(one: Colour, other: Colour) -> float:
    """WCAG's contrast ratio, 1 to 21."""
    lighter, darker = sorted((0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (one, other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def lab(colour: Colour) -> Colour:
    """CIELAB under D65; a distance of about 2 is just seen."""
    matrix = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
    white = (0.95047, 1.0, 1.08883)
    scaled = [value / limit for value, limit in zip(times(matrix, colour), white, strict=True)]
    x, y, z = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in scaled)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def times(matrix: tuple[Colour, ...], colour: Colour) -> Colour:
    return tuple(max(sum(m * c for m, c in zip(row, colour, strict=True)), 0.0) for row in matrix)  # type: ignore[return-value]


@pytest.mark.parametrize("theme", THEMES)
def test_words_and_shapes_stand_out_from_their_ground(palette: dict[str, dict[str, Colour]], theme: str) -> None:
    colours = palette[theme]
    words = {
        (word, ground): contrast(colours[word], colours[ground])
        for word, grounds in WORDS.items()
        for ground in grounds
    }
    assert {pair: round(ratio, 2) for pair, ratio in words.items() if ratio < 4.5} == {}
    shapes = {shape: contrast(colours[shape], colours["card"]) for shape in SHAPES}
    assert {shape: round(ratio, 2) for shape, ratio in shapes.items() if ratio < 3} == {}


@pytest.mark.parametrize(("theme", "deficiency"), product(THEMES, DEFICIENCIES))
def test_series_are_told_apart_by_every_eye(palette: dict[str, dict[str, Colour]], theme: str, deficiency: str) -> None:
    seen = {name: lab(times(DEFICIENCIES[deficiency], palette[theme][name])) for name in SERIES}
    near = {
        (one, other): round(distance, 1)
        for one, other in combinations(SERIES, 2)
        if (distance := sum((a - b) ** 2 for a, b in zip(seen[one], seen[other], strict=True)) ** 0.5) < 15
    }
    assert near == {}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("view", ["", "feature=api&from=2026-02-10&to=2026-02-20"])
def test_axe_finds_nothing(site: Site, open_page: Open, theme: str, view: str) -> None:
    page = open_page(site.address(view=view), color_scheme=theme).page
    card(page, "people")
    card(page, "benchmarks") if view else card(page, "users")
    for summary in page.get_by_text("View as table").all():
        if summary.is_visible():
            summary.click()
    assert violations(page) == []


@pytest.mark.parametrize("slug", ["birch", None])
def test_axe_finds_nothing_in_messages(site: Site, open_page: Open, slug: str | None) -> None:
    page = open_page(site.address(slug)).page
    expect(page.get_by_role("alert")).to_be_visible()
    assert violations(page) == []


def violations(page: Page) -> list[str]:
    found = Axe().run(
        page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    )
    return [f"{each['id']}: {node['html'][:160]}" for each in found.response["violations"] for node in each["nodes"]]


def test_everything_is_reached_and_used_by_keyboard(site: Site, open_page: Open) -> None:
    page = open_page(site.address()).page
    card(page, "activity")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the figures")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    assert "#main" not in page.url, "the address keeps the view"
    chart = page.get_by_role("slider", name=re.compile("Workflow runs by day"))
    for _ in range(60):
        page.keyboard.press("Tab")
        assert without_ring(page) is None
        if chart.evaluate("chart => chart === document.activeElement"):
            break
    expect(chart).to_be_focused()
    page.keyboard.press("End")
    newest = read_table(page, "activity")[1]
    assert chart.get_attribute("aria-valuetext") == f"{newest[0]}: Workflow runs {newest[1]}"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    expect(page.locator("#activity tbody tr")).to_have_count(1)
    expect(chart).to_be_focused()
    expect(page.locator("[aria-live=polite]")).to_contain_text("Figures of")


def without_ring(page: Page) -> str | None:
    """What has the focus and wears no ring, nor the label around it; None where the focus is seen."""
    return page.evaluate(
        """() => {
            const held = document.activeElement;
            const ring = each => each && getComputedStyle(each).outlineStyle !== "none";
            return held === document.body || ring(held) || ring(held.nextElementSibling) ? null : held.outerHTML;
        }"""
    )


@pytest.mark.parametrize("slug", ["acorn", "birch"])
def test_phone_needs_no_scrolling_sideways(site: Site, open_page: Open, slug: str) -> None:
    page = open_page(site.address(slug), width=360, height=740, has_touch=True, is_mobile=True).page
    card(page, "users") if slug == "acorn" else expect(page.get_by_role("alert")).to_be_visible()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360, wide_elements(page)


def test_finger_reads_a_day_first_and_narrows_to_it_then(site: Site, open_page: Open) -> None:
    page = open_page(site.address(), width=360, height=740, has_touch=True, is_mobile=True).page
    card(page, "activity")
    chart = page.get_by_role("slider", name=re.compile("Workflow runs by day"))
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    place = {"x": box["width"] - 15, "y": box["height"] / 2}
    chart.tap(position=place)
    expect(chart.locator(".tip")).to_contain_text(read_table(page, "activity")[1][0])
    expect(page.locator("#activity tbody tr")).to_have_count(30)
    chart.tap(position=place)
    expect(page.locator("#activity tbody tr")).to_have_count(1)


def wide_elements(page: Page) -> list[str]:
    return page.evaluate(
        "() => [...document.querySelectorAll('*')].filter(each => each.getBoundingClientRect().right > 360)"
        ".map(each => `${each.tagName}.${each.className}`).slice(0, 12)"
    )


def test_dark_follows_the_system_and_can_be_switched(site: Site, open_page: Open) -> None:
    page = open_page(site.address(), color_scheme="dark").page
    card(page, "activity")
    ground = "getComputedStyle(document.querySelector('.card:not(.totals)')).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Switch between light and dark").click()
    expect(page.locator(".tailrace")).to_have_attribute("data-theme", "light")
    assert page.evaluate(ground) == "rgb(255, 255, 255)" != dark
    assert "theme=light" in page.url


def test_who_wants_less_motion_gets_none(site: Site, open_page: Open) -> None:
    page = open_page(site.address(), reduced_motion="reduce").page
    card(page, "activity")
    moving = page.evaluate(
        "() => [...document.querySelectorAll('.tailrace *')].filter(each => [null, '::before'].some(part => {"
        "const style = getComputedStyle(each, part);"
        "return style.animationName !== 'none' || style.transitionDuration.split(', ').some(each => each !== '0s')}"
        ")).map(each => each.className)"
    )
    assert moving == []
