"""`mlship status --all`: every model in every format, what `--strict` ends with, and what a dead registry leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mlship.cli.main import app
from mlship.errors import UsageError
from mlship.home import Home
from tests.estate.town import DAY, Town, town
from tests.report.test_html import Page
from tests.schemas import conforms


@pytest.fixture(scope="module")
def made(make_home: Callable[[Path], Home], tmp_path_factory: pytest.TempPathFactory) -> Town:
    directory = tmp_path_factory.mktemp("town")
    found = town(make_home(directory), directory)
    for path in found.home.engine("ghost").iterdir():
        path.unlink()  # an engine that is no program would be a fault, and this town has none
    return found


@pytest.fixture
def call(made: Town, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    def run(*words: str, code: int = 0) -> Result:
        monkeypatch.chdir(made.directory)
        done = CliRunner().invoke(app, ["--home", str(made.home.path), "status", "--all", *words])
        assert done.exit_code == code, done.output
        return done

    return run


def test_text_has_a_row_for_each_model_and_what_is_whose(call: Callable[..., Result]) -> None:
    said = call().stdout
    assert said.startswith("4 models: 3 incidents open, 2 things overdue, 2 orphans, 1 policy broken\n")
    [row] = [line for line in said.splitlines() if line.startswith("✗  flight-delay")]
    for cell in ("3 incidents open", "predictions psi 0.164, limit <= 0.1", "flight-ops (#flight-ops)", "2026-01-01"):
        assert cell in row
    assert "overdue, of crm (#crm)" in said
    assert "registered, without a policy: old" in said


def test_json_is_what_its_schema_says(call: Callable[..., Result]) -> None:
    found = conforms("status", call("--format", "json").stdout)
    assert found["whole"] is True
    assert [one["model"] for one in found["models"]] == ["churn", "flight-delay", "fraud", "price"]
    assert found["models"][1]["drift_over_time"]["limit"] == 0.1
    assert found["without_policy"] == ["old"]
    assert {one["kind"] for one in found["overdue"]} == {"review", "monitor"}


def test_markdown_annotations_and_the_page(call: Callable[..., Result], tmp_path: Path) -> None:
    said = call(
        "--format", "markdown", "--report", f"html={tmp_path / 'm.html'}", "--report", f"junit={tmp_path / 'j'}"
    )
    assert said.stdout.startswith("### ❌ Models\n")
    page = Page((tmp_path / "m.html").read_text(encoding="utf-8"))
    assert page.said.index("incidents open") < page.said.index("Every model")
    assert "has never been run here" in page.said
    assert "<failure" not in (tmp_path / "j").read_text(), "what waits is a warning, unless it is asked for"
    assert "::warning" in call("--format", "github").stdout


def test_strict_ends_with_1_while_anything_waits(call: Callable[..., Result], tmp_path: Path) -> None:
    call("--strict", "--report", f"junit={tmp_path / 'j'}", code=1)
    assert "<failure" in (tmp_path / "j").read_text()


def test_a_registry_that_is_away_ends_with_3_and_hides_nothing(call: Callable[..., Result], tmp_path: Path) -> None:
    said = call("--registry", f"sqlite:///{tmp_path}/gone.db", "--strict", code=3).stdout
    assert "! registry sqlite:///" in said
    assert "3 incidents open" in said


def test_options_of_all_need_it(made: Town) -> None:
    for words in (["--strict"], ["--registry", "http://127.0.0.1:1"], ["--policies", "x"], ["--all", "flight-delay"]):
        done = CliRunner().invoke(app, ["--home", str(made.home.path), "status", *words])
        assert isinstance(done.exception, UsageError), done.output


def test_a_home_without_anything_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["--home", str(tmp_path / "h"), "status", "--all", "--format", "json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["models"] == []
    assert not (tmp_path / "h").exists()


def test_time_passes_in_days(made: Town) -> None:
    """The clock of the rows is the caller's: nothing here looks at one."""
    from mlship.estate.gather import Asked, gather
    from mlship.report import estate_text

    later = gather(made.home, Asked((), None, made.directory), made.now + 30 * DAY, made.describe)
    assert "30 d" in estate_text.text(later)
