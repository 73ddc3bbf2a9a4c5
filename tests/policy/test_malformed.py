"""The table of malformed policies: `mlship validate` and the command that would use the policy tell the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mlship.cli import telling
from mlship.cli.main import main
from tests.policy.malformed import BASE, TABLE, Malformed

_PLACE = re.compile(r"^mlship\.yaml:(\d+:\d+): (.*)$", re.MULTILINE)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "july.csv").write_text("late,distance\n1,100\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NOWHERE", raising=False)
    return tmp_path


def mlship(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that runs in this process."""
    telling._has_told.clear()  # a process tells one result
    monkeypatch.setattr("sys.argv", ["mlship", *arguments])
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


def test_the_table_has_more_than_twenty_rows_of_different_kinds() -> None:
    rows = TABLE
    assert len(rows) >= 20
    assert len({row.name for row in rows}) == len({row.content for row in rows}) == len(rows)


def test_what_the_rows_change_is_valid(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "mlship.yaml").write_text(BASE)
    assert mlship(monkeypatch, capsys, "validate")[0] == 0


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_malformed_policy_gets_one_message_with_its_place_and_the_way_out(
    row: Malformed, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = here / "mlship.yaml"
    if row.content is None:
        policy.mkdir()
    else:
        policy.write_bytes(row.content)
    code, told, _ = mlship(monkeypatch, capsys, "validate", "mlship.yaml")
    assert code == 2
    [(at, what)] = _PLACE.findall(told)
    assert at == row.at
    assert row.what in what
    assert row.hint in told

    code, out, errors = mlship(monkeypatch, capsys, "evaluate", "mlship.yaml")
    assert (code, out) == (2, "")
    assert "mlship: mlship.yaml: the policy has 1 fault\n" in errors
    assert told.rstrip() in errors, "both say the same"
    assert errors.rstrip().endswith("next: mlship validate mlship.yaml")
    assert "Traceback" not in errors + told
    assert not (here / ".mlship").exists(), "nothing was made"


@pytest.mark.parametrize(
    "row", [row for row in TABLE if row.name in ("tab", "directory", "cron")], ids=lambda r: r.name
)
def test_a_malformed_policy_is_told_to_machines_at_its_line(
    row: Malformed, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As JSON by both commands, and as an annotation by `validate`."""
    if row.content is None:
        (here / "mlship.yaml").mkdir()
    else:
        (here / "mlship.yaml").write_bytes(row.content)
    line, column = map(int, row.at.split(":"))
    _, out, _ = mlship(monkeypatch, capsys, "validate", "--format", "json")
    [fault] = json.loads(out)["files"][0]["faults"]
    assert (fault["line"], fault["column"]) == (line, column)
    _, out, _ = mlship(monkeypatch, capsys, "validate", "--format", "github")
    assert f"::error file=mlship.yaml,line={line},col={column}," in out
    code, out, _ = mlship(monkeypatch, capsys, "evaluate", "mlship.yaml", "--format", "json")
    document = json.loads(out)
    assert (document["verdict"], document["exit_code"], code) == ("error", 2, 2)
    assert f"mlship.yaml:{row.at}: " in document["reason"]
