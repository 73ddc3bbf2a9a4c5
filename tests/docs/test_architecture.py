"""The map of the house: every room is on it, every name on it is a room, and imports go the way it says."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path

import mlship

ROOT = Path(__file__).parents[2]
HOUSE = Path(mlship.__file__).parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def _rows(text: str) -> list[str]:
    """What the page's tables name in their first column: `cli/`, `ledger`."""
    return [name for row in re.findall(r"(?m)^\| (`[^|]+) \|", text) for name in re.findall(r"`([^`]+)`", row)]


def _rooms(directory: Path) -> list[str]:
    """Packages and modules, as the page names them."""
    there = [path for path in directory.iterdir() if not path.name.startswith("_")]
    packages = [f"{path.name}/" for path in there if (path / "__init__.py").is_file()]
    return sorted([*packages, *(path.stem for path in there if path.suffix == ".py")])


def _unnamed(page: str) -> list[str]:
    """Packages of mlship that the page does not name, wherever they are."""
    packages = [path.parent for path in HOUSE.rglob("__init__.py") if "_templates" not in path.parts]
    return [str(path.relative_to(HOUSE)) for path in packages if path != HOUSE and f"`{path.name}/`" not in page]


def test_every_package_is_on_the_map() -> None:
    assert _unnamed(PAGE) == []
    assert _unnamed(PAGE.replace("`health/`", "").replace("`skew/`", "")) == ["gates/skew", "health"]


def test_the_tables_name_what_there_is_and_nothing_else() -> None:
    """The rooms of the house, and those of the rollout, one by one."""
    house, rest = PAGE.split("In `rollout/`,")
    rollout, _ = rest.split("## Adding a thing")
    assert sorted(_rows(house)) == _rooms(HOUSE)
    assert sorted(_rows(rollout)) == _rooms(HOUSE / "rollout")


def test_what_is_to_be_edited_is_there() -> None:
    """Every file that "Adding a thing" names; `x` stands for the new one."""
    _, rest = PAGE.split("## Adding a thing")
    named = re.findall(r"`([\w/]+(?:\.py|/))`", rest.split("\n## ")[0])
    assert len(named) >= 8
    places = [re.sub(r"/x(\.py|/)$", "/", name) for name in named if name != "gate.py"]
    assert [name for name in places if not ((HOUSE / name).exists() or (ROOT / name).exists())] == []


def test_imports_go_the_way_that_is_told() -> None:
    linter = ConfigParser()
    linter.read(ROOT / ".importlinter")
    layers = [line.split(" : ") for line in linter["importlinter:contract:corridor"]["layers"].split("\n") if line]
    told = re.search(r"Imports go one way: `([^`]+)`", PAGE)
    assert told is not None
    said = re.sub(r"(\w+)\.{([\w,]+)}", lambda m: " | ".join(f"{m[1]}.{one}" for one in m[2].split(",")), told[1])
    named = [[one.strip() for one in layer.split("|")] for layer in " ".join(said.split()).split(" > ")]
    assert named == [[one.strip().removeprefix("mlship.") for one in layer] for layer in layers]
