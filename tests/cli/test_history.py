"""`mlship history` shows the ledger to a person and to a program, and loads nothing heavy to do so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from mlship.cli.common import Context
from mlship.cli.history import history
from mlship.cli.main import app as main
from mlship.errors import UsageError
from mlship.home import Home
from mlship.ledger import Ledger
from mlship.types import LedgerEntry
from tests.schemas import conforms

app = typer.Typer()
app.command()(history)


def run(home: Home, *arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), obj=Context(home, debug=False))


def entry(at: float, action: str, model: str, move: tuple[str | None, str | None], reason: str) -> LedgerEntry:
    evidence = {"model": "sha256:" + "a" * 64, "evaluation": "e1"}
    return LedgerEntry(at, "ada@host", action, model, *move, reason, evidence)


@pytest.fixture
def full(tmp_path: Path) -> Home:
    home = Home(tmp_path / ".mlship")
    for one in (
        entry(1763700000, "promoted", "a", (None, "1"), "first"),
        entry(1763700060, "refused", "b", ("1", "3"), "a reason " * 30 + "that ends"),
        entry(1763700120, "rolled_back", "a", ("2", "1"), "[bold]two\nlines\x1b[31m"),
    ):
        Ledger(home.ledger).append(one)
    return home


def test_nothing_recorded_yet_is_a_friendly_line_and_an_empty_document(tmp_path: Path) -> None:
    home = Home(tmp_path / ".mlship")
    text = run(home)
    assert text.exit_code == 0
    assert "no history yet" in text.output
    assert conforms("history", run(home, "--format", "json").stdout) == {"entries": []}
    assert not home.path.exists(), "looking leaves nothing behind"


def test_without_a_terminal_every_entry_is_one_line_newest_last(full: Home) -> None:
    lines = run(full).stdout.splitlines()
    assert [line.split()[2] for line in lines] == ["action", "promoted", "refused", "rolled_back"]
    assert lines[2].rstrip().endswith(f"that ends  model=sha256:{'a' * 12} evaluation=e1")
    assert "2 -> 1" in lines[3]
    assert "[bold]two lines\ufffd[31m" in lines[3], "markup and control characters are only text"


def test_on_a_terminal_it_is_a_table_that_fits_with_the_evidence_below_the_reason(full: Home) -> None:
    leader, follower = os.openpty()
    command = [sys.executable, "-m", "mlship", "--home", str(full.path), "history", "a"]
    environment = os.environ | {"COLUMNS": "120", "TERM": "xterm"}
    subprocess.run(command, stdout=follower, stdin=follower, env=environment, check=True, timeout=60)
    shown = os.read(leader, 1 << 16).decode()
    for descriptor in (leader, follower):
        os.close(descriptor)
    assert "promoted" in shown
    assert "evaluation=e1" in shown
    assert "\x1b[31m" not in shown, "what was written into the ledger cannot colour the terminal"
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in shown.splitlines()) <= 120


def test_json_holds_whole_entries_and_limit_keeps_the_newest(full: Home) -> None:
    document = conforms("history", run(full, "--format", "json", "--limit", "2").stdout)
    assert [one["action"] for one in document["entries"]] == ["refused", "rolled_back"]
    assert document["entries"][1]["evidence"]["model"] == "sha256:" + "a" * 64
    assert document["entries"][1]["time"].startswith("2025-11-2")
    assert [one["at"] for one in json.loads(run(full, "a", "--format", "json").stdout)["entries"]] == [
        1763700000,
        1763700120,
    ]


def test_a_damaged_ledger_shows_what_is_sound_and_exits_3(full: Home) -> None:
    lines = full.ledger.read_bytes().splitlines(keepends=True)
    full.ledger.write_bytes(lines[0] + lines[1].replace(b"ada", b"eve") + lines[2])
    result = run(full, "--format", "json")
    assert result.exit_code == 3
    assert len(json.loads(result.stdout)["entries"]) == 2
    assert "ledger.jsonl:3: the ledger is damaged" in result.stderr


def test_history_loads_nothing_heavy() -> None:
    script = "import mlship.cli.history, sys; print([m for m in ('mlflow', 'pandas', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_model_that_nothing_here_knows_is_told_with_those_that_are(full: Home) -> None:
    """By `history` and `status` alike; one that is known and does not run is no mistake, nor is a home without any."""
    for command in ("history", "status"):
        done = CliRunner().invoke(main, ["--home", str(full.path), command, "nope"])
        assert isinstance(done.exception, UsageError)
        assert (done.exception.exit_code, done.stdout) == (2, "")
        assert done.exception.what == "nothing is recorded of a model 'nope'"
        assert done.exception.hint.startswith("recorded here: a and b; --home or MLSHIP_HOME")
    assert CliRunner().invoke(main, ["--home", str(full.path), "status", "a"]).stdout == "a: nothing runs\n"
    for command in ("history", "status"):
        empty = CliRunner().invoke(main, ["--home", str(full.path / "none"), command, "nope"])
        assert empty.exit_code == 0, empty.output
