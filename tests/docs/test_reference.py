"""Reference pages say what the code does: they are generated, and these tests notice when one is out of date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mlship
from mlship.errors import Exit, MlshipError
from tests.docs import commands, environment, exit_codes, reference

AGAIN = "python -m tests.docs.reference"


@pytest.mark.parametrize("name", ["commands.md", "environment.md", "exit-codes.md", "policy.md"])
def test_a_generated_page_is_up_to_date(name: str) -> None:
    pages = reference.pages()
    assert set(pages) == {"commands.md", "environment.md", "exit-codes.md", "policy.md"}
    assert (reference.REFERENCE / name).read_text(encoding="utf-8") == pages[name], f"write it again: {AGAIN}"


def test_the_page_of_commands_tells_every_option_of_every_command() -> None:
    _, *parts = re.split(r"^## `mlship (.+)`$", commands.markdown(), flags=re.MULTILINE)
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    assert list(sections) == [name for name, _, _ in commands.every_command()]
    for name, command, _ in commands.every_command():
        options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        missing = {option for option in options - {"--help"} if f"{option}" not in sections[name]}
        assert not missing, f"mlship {name}"


def test_the_environment_page_names_what_the_code_reads() -> None:
    found = list(environment.reads())
    told = [name for variables in environment.READ.values() for name in variables]
    assert len(told) == len(set(told))
    private = {name for _, name in found if name is not None and name.startswith("_")}
    assert {name for _, name in found if name is not None} - private == set(told)
    assert {file for file, name in found if name is None} == set(environment.ELSEWHERE)


def test_the_search_for_variables_sees_every_way_to_read_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "__init__.py").write_text(
        'import os\nos.environ["A"]\nos.environ.get("B")\nos.getenv("C")\n"D" in os.environ\nos.environ[name]\n'
        'os.environ.setdefault("E", "")\nos.environ["WRITTEN"] = ""\n{}.get("NO")\n'
    )
    monkeypatch.setattr(mlship, "__file__", str(tmp_path / "__init__.py"))
    assert [name for _, name in environment.reads() if name] == ["A", "B", "C", "D", "E"]
    assert [name for _, name in environment.reads()].count(None) == 1


def test_every_exit_code_and_every_error_is_told() -> None:
    page = exit_codes.markdown()
    assert list(exit_codes.MEANINGS) == list(Exit)
    names = {kind.__name__ for kind in exit_codes.error_classes()}
    assert names == {kind.__name__ for kind in _below(MlshipError) if kind.__module__ == "mlship.errors"}
    assert all(f"| `{name}` |" in page for name in names)


def test_verdicts_are_told_of_every_command_that_ends_with_one() -> None:
    known = {name: command for name, command, _ in commands.every_command()}
    assert set(exit_codes.VERDICTS) <= set(known)
    root = Path(mlship.__file__).parent
    for name in known:
        file = root.joinpath("cli", *name.split()).with_suffix(".py")
        if file.is_file() and re.search(r"\bleave\(", file.read_text(encoding="utf-8")):
            assert name in exit_codes.VERDICTS, f"what do the exit codes of `mlship {name}` mean?"


def _below(kind: type[MlshipError]) -> set[type[MlshipError]]:
    return {found for child in kind.__subclasses__() for found in {child, *_below(child)}}
