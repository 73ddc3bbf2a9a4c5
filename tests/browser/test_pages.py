"""The pages in a real browser: nothing overflows a phone, nothing is hidden on paper, axe finds nothing, keys work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_DECISIONS = ("evaluation", "nasty", "rolled-back", "promoted", "running", "broken", "refused")
NAMES = (*_DECISIONS, "monitor", "monitor-dead", "models")
PHONE, DESKTOP = (360, 740), (1280, 900)

#: Everything that sticks out of the viewport and is not inside a region that scrolls by itself.
_STICKING_OUT = """() => [...document.querySelectorAll('body *')].filter(e => {
  if (e.closest('.scroll, .visually-hidden, .skip, thead, svg')) return false;
  const box = e.getBoundingClientRect();
  return box.width > 0 && box.right > document.documentElement.clientWidth + 1;
}).map(e => e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 40))"""

_UNREACHABLE = "[...document.querySelectorAll('.scroll')].filter(e => e.tabIndex || !e.ariaLabel).length"
_MUTE = "[...document.querySelectorAll('svg[role=img]')].filter(e => !e.querySelector('title')?.textContent).length"
_NAMELESS = "[...document.querySelectorAll('table')].filter(e => !e.caption?.textContent).length"
_FOLDED = "[...document.querySelectorAll('details td, details th')].filter(e => !e.checkVisibility()).length"
_CUT = "[...document.querySelectorAll('.scroll')].filter(e => getComputedStyle(e).overflowX !== 'visible').length"


@contextmanager
def opened(browser: Browser, path: Path, size: tuple[int, int] = DESKTOP, **options: Any) -> Iterator[Page]:
    """The page, in a context that is offline; what it would have fetched is an error."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    try:
        page.goto(path.as_uri())
        yield page
        assert asked == [path.as_uri()], "it loads nothing else"
        assert said == [], "it breaks no policy of its own"
    finally:
        context.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_page_fits_phone_desk_and_paper_and_says_what_it_shows(
    browser: Browser, pages: dict[str, Path], name: str
) -> None:
    with opened(browser, pages[name]) as page:
        for width, height in (DESKTOP, PHONE):
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate(_STICKING_OUT) == []
        assert page.evaluate(_UNREACHABLE) == 0, "who has no mouse can scroll what scrolls"
        levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(e => +e.tagName[1])")
        assert (levels[0], levels.count(1)) == (1, 1)
        assert all(after - before <= 1 for before, after in pairwise(levels))
        assert page.evaluate(_MUTE) == 0, "every picture has words"
        assert page.evaluate(_NAMELESS) == 0, "every table says what it holds"
        assert len(page.evaluate("document.querySelector('.verdict .word').innerText.trim()")) > 2

        page.set_viewport_size({"width": 718, "height": 1000})
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate(_FOLDED) == 0, "nothing is folded away on paper"
        assert page.evaluate(_CUT) == 0, "no region scrolls on paper"
        assert page.evaluate("document.documentElement.scrollWidth") <= 718
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        ink = page.evaluate("getComputedStyle(document.querySelector('h1')).color")
        assert ink == "rgb(22, 25, 29)", "a dark screen prints in dark ink"


@pytest.mark.parametrize(
    ("name", "size", "scheme"),
    [
        ("evaluation", DESKTOP, "light"),
        ("promoted", PHONE, "dark"),
        ("broken", DESKTOP, "light"),
        ("refused", PHONE, "dark"),
        ("monitor", DESKTOP, "light"),
        ("monitor", PHONE, "dark"),
        ("models", PHONE, "light"),
        ("models", DESKTOP, "dark"),
    ],
)
def test_axe_finds_nothing(
    browser: Browser, pages: dict[str, Path], name: str, size: tuple[int, int], scheme: str
) -> None:
    found = violations(browser, pages[name], size, scheme)
    assert found == []


def test_axe_finds_what_is_there_to_find(browser: Browser, pages: dict[str, Path], tmp_path: Path) -> None:
    """A page with its language, a picture's words and a contrast taken away: the check above can fail."""
    text = pages["refused"].read_text(encoding="utf-8")
    worse = text.replace('<html lang="en">', "<html>").replace("--soft: #57606a", "--soft: #c9ced4")
    spoilt = tmp_path / "spoilt.html"
    spoilt.write_text(worse, encoding="utf-8")
    assert {"html-has-lang", "color-contrast"} <= {name for name, _, _ in violations(browser, spoilt, DESKTOP, "light")}


def violations(browser: Browser, path: Path, size: tuple[int, int], scheme: str) -> list[tuple[str, str, list[str]]]:
    """(rule, impact, where) of everything that axe finds, of any impact; what is folded away is opened first."""
    from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it has no stubs

    with opened(browser, path, size, color_scheme=scheme) as page:
        page.evaluate("document.querySelectorAll('details').forEach((e, i) => e.open = i < 2)")
        found = Axe().run(page).response["violations"]
    return [(one["id"], one["impact"], [node["html"][:160] for node in one["nodes"][:3]]) for one in found]


@pytest.mark.parametrize("name", ["evaluation", "promoted"])
def test_keys_reach_everything_and_the_verdict_stands_first(
    browser: Browser, pages: dict[str, Path], name: str
) -> None:
    with opened(browser, pages[name]) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0, "it is seen when it is reached"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "content"
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", "the focus is seen"
        page.locator("summary").first.focus()
        page.keyboard.press("Enter")
        assert page.evaluate("document.querySelector('details').open")
        tops = page.evaluate(
            "['.verdict', '#content'].map(s => document.querySelector(s).getBoundingClientRect().top + scrollY)"
        )
        assert tops[0] < min(tops[1], 300)
