"""One real browser for the pages' tests: Debian's chromium, found on the PATH; nothing is fetched."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")  # while it lives, no other test of this process can run a loop of asyncio
def browser() -> Iterator[Browser]:
    """A headless browser; skips where there is none."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("needs a browser: no chromium on the PATH (`bash .ci/tools` installs Debian's)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])  # root has no sandbox
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every page there is, as files: evaluations, rollouts, and the chain of evidence."""
    from tests.browser.made import made

    directory = tmp_path_factory.mktemp("pages")
    found = {}
    for name, text in made(directory).items():
        found[name] = directory / f"{name}.html"
        found[name].write_text(text, encoding="utf-8")
    return found
