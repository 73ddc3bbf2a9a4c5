"""What the code asks for by name is shipped, and what a checkout finds is what the wheel is told to hold."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import mlship
from mlship import templates
from mlship.draft.around import _TEMPLATES as DRAFTED

ROOT = Path(__file__).parents[1]
PACKAGE = Path(mlship.__file__).parent
#: `template("ci/...")`, `page("why.html")`, `{% include "chain.html" %}`
_CALL = re.compile(r'\b(?:template|page)\(f?["\']([^"\']+)["\']\)')
_PART = re.compile(r'{%-?\s*(?:include|extends|import|from)\s+"([^"]+)"')


def _names(paths: list[Path], pattern: re.Pattern[str]) -> set[str]:
    found = {name for path in paths for name in pattern.findall(path.read_text(encoding="utf-8"))}
    return {name.replace("{POLICY}", "flight-delay.yaml") for name in found if "{name}" not in name}


def _shipped(name: str) -> bool:
    try:
        return templates.template(name).is_file()
    except FileNotFoundError:
        return False


def test_every_template_that_is_named_is_shipped() -> None:
    """In the code, in the pages themselves, and in what the documentation tells to copy."""
    named = _names([path for path in PACKAGE.rglob("*.py") if "_templates" not in path.parts], _CALL)
    assert {"Dockerfile.j2", "page.html", "why.html", "demo/flight-delay.yaml"} <= named, "nothing is looked for"
    pages = _names([templates.template(name) for name in named if name.endswith(".html")], _PART)
    assert pages
    told = _names(sorted((ROOT / "docs").rglob("*.md")), _CALL)
    assert {"ci/github/mlship-evaluate.yml", "ci/gitlab/mlship.gitlab-ci.yml"} <= told
    drafted = {f"init/{name}" for name in (*DRAFTED.values(), "pre-commit.yaml")}
    wanted = named | pages | told | drafted | {"ci/gitlab/note.py", "policy.yaml"}
    assert [name for name in sorted(wanted) if not _shipped(name)] == []
    assert not _shipped("ci/github/nowhere.yml")


def test_the_wheel_has_what_a_checkout_has() -> None:
    """`templates.ORIGINS` and pyproject.toml name the same places; each is there, and its files are found."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    said = {there: origin for origin, there in build["wheel"]["force-include"].items()}
    assert said == {f"mlship/_templates/{name}".rstrip("/"): origin for name, origin in templates.ORIGINS.items()}
    for name, origin in templates.ORIGINS.items():
        assert any(origin.startswith(part) for part in build["sdist"]["include"]), origin
        here = {path.relative_to(ROOT / origin).as_posix() for path in (ROOT / origin).rglob("*") if path.is_file()}
        here = {path for path in here if not path.endswith(".pyc")}
        assert here
        assert here <= set(templates.below(name) if name else {path for path in here if _shipped(path)})


def test_the_action_is_found_as_it_is_in_the_repository() -> None:
    found = templates.below("ci/github/action")
    assert {"action.yml", "run.py", "forks/action.yml"} <= set(found)
    for name, path in found.items():
        assert path.read_bytes() == (ROOT / ".github" / "actions" / "mlship" / name).read_bytes()
    assert templates.template("ci/github/action/action.yml") == found["action.yml"]


def test_what_is_not_shipped_is_said() -> None:
    with pytest.raises(FileNotFoundError, match=r"no template named nothing\.html"):
        templates.template("nothing.html")
    with pytest.raises(FileNotFoundError, match="no templates named nowhere"):
        templates.below("nowhere")
