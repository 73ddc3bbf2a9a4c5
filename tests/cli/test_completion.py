"""Shell completion: real shells ask for words, and get them from files of this machine, without an error, at once."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlship.cli import completion
from mlship.home import Home
from mlship.ledger import Ledger
from mlship.types import LedgerEntry

POLICY = "version: 1\nmodel: {model}\nowner: {{team: t, contact: c}}\n"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with policies, a ledger, a registry and rollouts."""
    for path in (
        "mlship.yaml",
        "policies/fraud.yaml",
        "policies/eu/fraud.yml",
        "node_modules/x.yaml",
        ".hidden/x.yaml",
    ):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(POLICY.format(model="fraud"))
    (tmp_path / "compose.yaml").write_text("services: {}\n")
    (tmp_path / "broken.yaml").write_bytes(b"\xff\x00model")
    (tmp_path / "notes.md").write_text("model: x\nowner: y\n")
    (tmp_path / "one/two/three/four").mkdir(parents=True)
    home = Home(tmp_path / ".mlship")
    home.ensure(home.registry_dir)
    ledger = Ledger(home.ledger)
    for action, model, before, after in (
        ("evaluated", "flight-delay", None, "9"),
        ("promoted", "flight-delay", None, "1"),
        ("promoted", "flight-delay", "1", "2"),
        ("promoted", "fraud", "4", "5"),
        ("rolled_back", "flight-delay", "2", "1"),
    ):
        ledger.append(LedgerEntry(1.0, "ann", action, model, before, after, "why", {"model": "sha256:0"}))
    with closing(sqlite3.connect(home.registry_dir / "mlflow.db")) as database:
        database.execute("CREATE TABLE registered_models (name TEXT)")
        database.execute("INSERT INTO registered_models VALUES ('churn')")
        database.commit()
    for name in ("20261121-031500-9f3c1a", "20261120-031500-aaaaaa"):
        home.ensure(home.rollouts("flight-delay"))
        (home.rollouts("flight-delay") / f"{name}.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(**params: Any) -> Any:
    """What a completion is told of the command line so far."""
    context = SimpleNamespace(params=params)
    context.find_root = lambda: SimpleNamespace(params={"home": None})
    return context


@pytest.mark.parametrize(
    ("word", "offered"),
    [
        ("", ["mlship.yaml", "one/two/three/four/", "policies/eu/fraud.yml", "policies/fraud.yaml"]),
        ("pol", ["policies/eu/fraud.yml", "policies/fraud.yaml"]),
        ("policies/e", ["policies/eu/fraud.yml"]),
        ("./m", ["./mlship.yaml"]),
        (".h", [".hidden/x.yaml"]),
        ("compose", []),
        ("broken", []),
        ("none/", []),
        ("\0", []),
        ("~nobody-has-this-name/", []),
    ],
)
def test_policies_are_offered_with_their_whole_path(shop: Path, word: str, offered: list[str]) -> None:
    assert completion.policies(asked(), word) == offered


def test_files_of_other_names_do_not_use_up_the_patience(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(completion, "_MOST", 20)
    for number in range(30):
        (tmp_path / f"a{number}.csv").touch()
    (tmp_path / "zz.yaml").write_text("version: 1\nmodel: m\ngates: {}\n")
    assert completion.policies(asked(), "zz") == ["zz.yaml"]


def test_models_are_those_of_ledger_and_embedded_registry(shop: Path) -> None:
    assert completion.models(asked(), "") == ["churn", "flight-delay", "fraud"]
    assert completion.models(asked(), "f") == ["flight-delay", "fraud"]
    (shop / ".mlship" / "registry" / "mlflow.db").write_text("no database")
    (shop / ".mlship" / "ledger.jsonl").write_bytes(b'\xff{"action":"promoted","model":"\\ud800\n')
    assert completion.models(asked(), "") == []


def test_versions_and_rollouts_are_those_of_the_model(shop: Path) -> None:
    assert completion.champions(asked(model="flight-delay"), "") == ["1", "2"]
    assert completion.champions(asked(model="fraud"), "4") == ["4"]
    assert completion.champions(asked(), "") == []
    assert completion.rollouts(asked(model="flight-delay"), "") == ["20261121-031500-9f3c1a", "20261120-031500-aaaaaa"]
    assert completion.rollouts(asked(), "") == []


def test_what_goes_wrong_offers_nothing(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> None:
        raise PermissionError("no")

    monkeypatch.setattr(completion, "_home", broken)
    assert completion.models(asked(), "") == []
    monkeypatch.setattr("os.scandir", broken)
    assert completion.policies(asked(), "") == []


BASH = """
eval "$(mlship --show-completion)"
ask() {
    COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMPREPLY=()
    _mlship_completion mlship
    echo "$* -> ${COMPREPLY[*]}"
}
ask mlship roll
ask mlship plan pol
ask mlship status f
ask mlship rollback flight-delay --to ""
ask mlship --home /nowhere status ""
ask mlship nonsense x
"""
SAID = """mlship roll -> rollout rollback
mlship plan pol -> policies/eu/fraud.yml policies/fraud.yaml
mlship status f -> flight-delay fraud
mlship rollback flight-delay --to  -> 1 2
mlship --home /nowhere status  -> \nmlship nonsense x -> \n"""


def environment(**more: str) -> dict[str, str]:
    """As a shell has it, with this very `mlship` on its path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, **more}


def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, text=True, capture_output=True, timeout=60, check=False, env=environment(**more))


def test_bash_offers_words(shop: Path) -> None:
    done = run("bash", "--norc", "-c", BASH)
    assert (done.stdout.replace("\n ", "\n"), done.stderr) == (SAID, "")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_answered_in_their_own_words(shop: Path, shell: str) -> None:
    """The script is checked by the shell itself, where it is installed."""
    script = run("mlship", _MLSHIP_COMPLETE=f"source_{shell}")
    assert (script.returncode, script.stderr) == (0, "")
    if path := shutil.which(shell):
        checked = subprocess.run([path, "-n"], input=script.stdout, text=True, capture_output=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")
    more = {"_MLSHIP_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    models = run("mlship", **more, _TYPER_COMPLETE_ARGS="mlship status f")
    assert models.stderr == ""
    assert ["flight-delay" in models.stdout, "fraud" in models.stdout, "churn" in models.stdout] == [True, True, False]


def test_nothing_heavy_is_loaded(shop: Path) -> None:
    """What takes its time at a Tab is importing; a second of a busy machine would prove nothing."""
    code = (
        "import sys, atexit, json\n"
        "heavy = ('mlflow', 'pandas', 'numpy', 'sklearn', 'docker', 'yaml', 'rich', 'mlship.registry')\n"
        "heavy += (() if sys.argv[1:] else ('mlship.cli.plan', 'mlship.cli.rollback'))\n"
        "atexit.register(lambda: sys.stderr.write(json.dumps([name for name in heavy if name in sys.modules])))\n"
        "sys.argv = ['mlship']\n"
        "from mlship.cli.main import main\n"
        "main()\n"
    )
    for words in ("mlship ", "mlship plan ", "mlship status ", "mlship rollback flight-delay --to "):
        number, loads = str(len(words.split())), words.split()[1:]
        done = run(
            sys.executable, "-c", code, *loads, _MLSHIP_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=number
        )
        assert (json.loads(done.stderr), bool(done.stdout)) == ([], True), words
    done = run(
        sys.executable, "-c", code, "plan", _MLSHIP_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="mlship plan --"
    )
    assert (json.loads(done.stderr), "Requests a second" in done.stdout) == ([], True)


def test_it_is_installed_for_a_shell_and_told_where(shop: Path) -> None:
    done = run("bash", "--norc", "-c", "mlship --install-completion; exit $?", HOME=str(shop))
    assert done.returncode == 0, done.stderr
    script = shop / ".bash_completions" / "mlship.sh"
    assert str(script) in done.stdout
    assert f"source '{script}'" in (shop / ".bashrc").read_text()
    asked = "source ~/.bashrc; COMP_WORDS=(mlship pla); COMP_CWORD=1; _mlship_completion mlship; echo ${COMPREPLY[*]}"
    assert run("bash", "--norc", "-c", asked, HOME=str(shop)).stdout == "plan\n"
