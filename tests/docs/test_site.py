"""The documentation's site is built without a warning, needs nobody else, and can be read on a phone."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from posixpath import normpath
from shutil import which
from threading import Thread
from typing import Any, Literal

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
#: What GitHub shows of the repository, as well as what the site shows.
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md"), *(ROOT / ".github").glob("*.md")])
_SCREENS: list[tuple[int, Literal["dark", "light"]]] = [(390, "dark"), (1280, "light")]
_FENCE = re.compile(r"^(?P<marks>```+).*?^(?P=marks)\s*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?P<target>[^)\s#]*)(?:#(?P<anchor>[^)\s]+))?\)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site, built strictly."""
    directory = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(directory)]
    environment = {"PATH": "/usr/bin:/bin", "NO_MKDOCS_2_WARNING": "1", "HOME": str(directory)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr.strip()
    return directory


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    """Relative links and their anchors, as GitHub shows the page."""
    for match in _LINK.finditer(_prose(page)):
        target, anchor = match["target"], match["anchor"]
        if re.match(r"[a-z]+:", target):
            continue
        found = page.parent / target if target else page
        assert found.exists(), f"{match[0]}: there is no {target}"
        assert ROOT in found.resolve().parents, f"{match[0]} leaves the repository"
        if anchor and found.suffix == ".md":
            assert anchor in set(_anchors(found)), f"{match[0]}: {found.name} has no such heading"


def test_every_page_is_reached_from_the_navigation(site: Path) -> None:
    """From the first page, by the links of the navigation alone."""
    told = (site / "index.html").read_text(encoding="utf-8")
    seen, waiting = set(), ["index.html"]
    while waiting:
        here = waiting.pop()
        if here in seen or here.startswith("..") or not (site / here).is_file():
            continue
        seen.add(here)
        page = (site / here).read_text(encoding="utf-8")
        for link in re.findall(r'<a href="([^"#:]+\.html)" class="md-(?:nav__link|tabs__link)', page):
            waiting.append(normpath(f"{Path(here).parent}/{link}"))
    assert told
    assert {path.relative_to(DOCS).with_suffix(".html").as_posix() for path in DOCS.rglob("*.md")} <= seen


def test_what_a_page_loads_is_part_of_the_site(site: Path) -> None:
    """No font, script, style or picture of anybody else."""
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)="(?:https?:)?//[^"]*"', text)
        assert not loaded, page.name
    for style in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", style.read_text(encoding="utf-8")), style


def test_the_site_in_a_browser(site: Path) -> None:
    """At phone and desktop width, dark and light: nothing from elsewhere or too wide, and search finds."""
    browser = which("chromium") or which("chromium-browser") or which("google-chrome")
    if browser is None:
        pytest.skip("no chromium here")
    from playwright.sync_api import sync_playwright

    with _served(site) as address, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for width, scheme in _SCREENS:
            page: Any = chromium.new_page(viewport={"width": width, "height": 850}, color_scheme=scheme)
            elsewhere: list[str] = []
            page.on("request", lambda request, seen=elsewhere: seen.append(request.url))
            for name in ("index", "tutorial/first-policy", "reference/commands", "reference/policy", "gates/index"):
                page.goto(f"{address}/{name}.html")
                assert page.evaluate("document.documentElement.scrollWidth") <= width, name
                background = page.evaluate("getComputedStyle(document.body).backgroundColor")
                lightness = sum(int(part) for part in re.findall(r"\d+", background)[:3])
                assert (lightness < 300) == (scheme == "dark"), background
            page.evaluate("document.getElementById('__search').click()")
            page.locator(".md-search__input").press_sequentially("rollback")
            page.wait_for_selector(".md-search-result__item", state="attached", timeout=20_000)
            assert [url for url in elsewhere if not url.startswith((address, "data:", "blob:"))] == []
            page.close()
        chromium.close()


@contextmanager
def _served(directory: Path) -> Iterator[str]:
    """The site behind a web server of this machine; search needs one."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(directory)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *told: Any) -> None:  # requests are no news
        del told


def _prose(page: Path) -> str:
    """A page without its code."""
    return re.sub(r"`[^`\n]*`", "", _FENCE.sub("", page.read_text(encoding="utf-8")))


def _anchors(page: Path) -> Iterator[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    for heading in re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        yield re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
