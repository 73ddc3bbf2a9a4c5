"""Hooks of the documentation's site (mkdocs.yml): patterns in the navigation, and files of the repository as pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import Any

#: Where the site shows files of the repository that are not documentation.
SHOWN = "repository"
_LINK = re.compile(r"(?<=\]\()(?P<target>\.\./[^)\s#]*)(?P<anchor>#[^)\s]*)?(?=\))")
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".j2": "jinja", ".toml": "toml", ".sh": "bash"}


def on_config(config: Any) -> Any:
    """Replace each pattern in the navigation by the pages that it finds and no other entry names."""
    docs = Path(config.docs_dir)
    taken = set(_named(config.nav))
    config.nav = _filled(config.nav, docs, taken)
    return config


def on_files(files: Any, *, config: Any) -> Any:
    """Add a page for each file of the repository that a page links to."""
    from mkdocs.structure.files import File, InclusionLevel

    docs, root = Path(config.docs_dir), Path(config.config_file_path).parent
    for file in list(files.documentation_pages()):
        for match in _LINK.finditer(file.content_string):
            if (path := _outside(file.src_uri, match["target"], docs, root)) is None:
                continue
            uri = f"{SHOWN}/{path}.md"
            if files.get_file_from_path(uri) is None:
                page = File.generated(config, uri, content=_page(root, path), inclusion=InclusionLevel.NOT_IN_NAV)
                files.append(page)
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Point links that leave the documentation at the pages made for them."""
    del files
    docs, root = Path(config.docs_dir), Path(config.config_file_path).parent
    here = page.file.src_uri

    def target(match: re.Match[str]) -> str:
        index = f"{match['target']}index.md"
        if match["target"].endswith("/") and (docs / here).parent.joinpath(index).is_file():
            return index
        if (path := _outside(here, match["target"], docs, root)) is None:
            return match[0]
        return relpath(f"{SHOWN}/{path}.md", start=str(PurePosixPath(here).parent))

    return _LINK.sub(target, markdown)


def _outside(page: str, target: str, docs: Path, root: Path) -> str | None:
    """Path in the repository of what a page links to, when it is a file outside the documentation."""
    path = normpath(f"{docs.name}/{PurePosixPath(page).parent}/{target}")
    inside = path.startswith(("..", f"{docs.name}/"))
    return None if inside or not (root / path).is_file() else path


def _page(root: Path, path: str) -> str:
    """A file of the repository as a page."""
    text = (root / path).read_text(encoding="utf-8").rstrip()
    language = _LANGUAGES.get(PurePosixPath(path).suffix, "text")
    fence = "`" * max(4, *(len(run) + 1 for run in re.findall(r"`+", text)), 4)
    return f"# `{path}`\n\n{fence}{language}\n{text}\n{fence}\n"


def _named(nav: Any) -> Iterator[str]:
    """The pages that the navigation names, without patterns."""
    if isinstance(nav, str):
        if "*" not in nav:
            yield nav
        return
    for entry in nav.values() if isinstance(nav, dict) else nav:
        yield from _named(entry)


def _filled(nav: list[Any], docs: Path, taken: set[str]) -> list[Any]:
    filled: list[Any] = []
    for entry in nav:
        if isinstance(entry, dict):
            ((title, inside),) = entry.items()
            below = _filled(inside, docs, taken) if isinstance(inside, list) else inside
            filled += [{title: below}] if below else []
        elif "*" in entry:
            found = {path.relative_to(docs).as_posix(): path for path in docs.glob(entry)}
            pages = sorted(set(found) - taken, key=lambda uri: _title(found[uri]))
            taken.update(pages)
            filled += pages
        else:
            filled.append(entry)
    return filled


def _title(page: Path) -> str:
    """What a page is sorted by: its first heading, without marks."""
    heading = next((line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("# ")), page.stem)
    return heading.removeprefix("# ").replace("`", "").casefold()
