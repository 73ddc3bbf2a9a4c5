"""What `mlship init` writes: policies that validate and that the champion passes; files that nobody lost."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from mlship.cli.main import app
from mlship.draft.around import ACTION, GITHUB, HOOKS, rendered, with_hooks
from mlship.draft.place import File, place
from mlship.errors import MlshipError, StateError, UsageError
from mlship.policy.load import examine
from mlship.templates import below
from tests.schemas import conforms

if TYPE_CHECKING:
    import pandas as pd

    from tests.conftest import RegistryHome


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty git repository whose owner is known."""
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    (tmp_path / "gitconfig").write_text("[user]\n\tname = flight-ops\n\temail = ops@example.com\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.chdir(tmp_path / "repo")
    return tmp_path / "repo"


def _init(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["init", *arguments])


def _files(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): path.read_text()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and ".mlship" not in path.parts
    }


def _written(document: dict[str, Any]) -> list[str]:
    """All but the action, which is as mlship ships it."""
    named = [one["path"] for one in document["files"]]
    copied = [name for name in named if name.startswith(f"{ACTION}/")]
    assert sorted(copied) == [f"{ACTION}/{name}" for name in below("ci/github/action")]
    return [name for name in named if name not in copied]


def test_the_champion_passes_what_was_drafted_from_it(
    here: Path, registry_home: RegistryHome, flights: pd.DataFrame
) -> None:
    """Real registry, real flights: valid, passed by `mlship evaluate`, and each limit a little below the champion's."""
    flights[flights["month"] == 7].iloc[::6].to_parquet(here / "july.parquet")
    home = ["--home", str(registry_home.home.path)]
    rows = ["--data", "july.parquet", "--target", "late", "--time", "time_hour"]
    result = CliRunner().invoke(app, [*home, "init", *rows, "--rate", "50/s", "--format", "json"])
    assert result.exit_code == 0, (result.stderr, result.exception)
    document = conforms("init", result.stdout)
    assert (document["model"], document["version"], document["measured"]) == ("flight-delay", "1", True)
    assert _written(document) == ["mlship.yaml", GITHUB, HOOKS]

    validated = CliRunner().invoke(app, ["validate", "mlship.yaml"])
    assert validated.exit_code == 0, validated.stdout
    loaded = examine(here / "mlship.yaml").loaded
    assert loaded is not None
    assert (loaded.policy.owner.team, loaded.policy.owner.contact) == ("flight-ops", "ops@example.com")
    assert loaded.policy.rollout is not None
    assert loaded.policy.rollout.rate == 50
    for name in ("average_precision", "recall", "precision"):
        low, limit = document["metrics"][name]["low"], loaded.policy.gates.metrics[name].min
        assert limit is not None
        assert limit < low < limit + 0.1
    text = (here / "mlship.yaml").read_text()
    assert f"# champion (version 1) {document['metrics']['recall']['value']:.3f} [" in text
    assert "# unavailable: [month, day, arr_time, air_time, tailnum, flight]" in text

    evaluated = CliRunner().invoke(app, [*home, "evaluate", "mlship.yaml", "--candidate", "@champion"])
    assert evaluated.exit_code == 0, evaluated.stdout

    again = _init("flight-delay")
    assert isinstance(again.exception, UsageError)
    assert again.exception.what == "it is there already: nothing was written"


def test_a_name_alone_is_enough(here: Path) -> None:
    """No registry, no data: a valid policy, with what is unknown marked in it and said; nothing else is made."""
    result = _init("flight-delay", "--ci", "none", "--no-pre-commit")
    assert result.exit_code == 0, result.exception
    assert list(_files(here)) == ["mlship.yaml"]
    assert not (here / ".mlship").exists()
    assert examine(here / "mlship.yaml").loaded is not None
    assert "not known: the registry was not asked" in result.stdout
    assert "not known: no rows were given" in result.stdout
    assert "  mlship validate mlship.yaml" in result.stdout
    assert "# Not known yet:" in (here / "mlship.yaml").read_text()


def test_rows_without_a_registry_draft_the_contract(here: Path, flights: pd.DataFrame) -> None:
    flights.iloc[:500].to_csv(here / "rows.csv", index=False)
    result = _init("flight-delay", "--data", "rows.csv", "--target", "late", "--ci", "none", "--no-pre-commit")
    assert result.exit_code == 0, result.exception
    loaded = examine(here / "mlship.yaml").loaded
    assert loaded is not None
    assert loaded.policy.gates.contract is not None
    assert loaded.policy.gates.contract.columns["distance"].type == "integer"


def test_a_dry_run_writes_nothing(here: Path) -> None:
    result = _init("flight-delay", "-n", "--format", "json")
    assert result.exit_code == 0
    assert _files(here) == {}
    assert _written(conforms("init", result.stdout)) == ["mlship.yaml", GITHUB, HOOKS]
    shown = _init("flight-delay", "-n").stdout
    assert f"would write {ACTION}/ (8 files of mlship's own)\n" in shown
    assert f"--- {GITHUB}\n" in shown
    assert "import" not in shown, "files of mlship's own are not printed"


def test_nothing_is_overwritten_without_force(here: Path) -> None:
    """A workflow that is there stops it, and nothing else is written; --force replaces it, and keeps others' hooks."""
    (here / ".github/workflows").mkdir(parents=True)
    (here / GITHUB).write_text("mine\n")
    (here / HOOKS).write_text("repos:\n- repo: local\n  hooks: []\n")
    before = _files(here)
    result = _init("flight-delay")
    assert isinstance(result.exception, UsageError)
    assert result.exception.where.endswith(GITHUB)
    assert _files(here) == before
    forced = _init("flight-delay", "--force")
    assert forced.exit_code == 0, forced.exception
    after = _files(here)
    assert after[GITHUB] != "mine\n"
    assert yaml.safe_load(after[HOOKS])["repos"][0]["repo"] == "local"
    assert _init("flight-delay", "--force").exit_code == 0
    assert _files(here) == after


def test_gitlabs_own_file_stays(here: Path) -> None:
    (here / ".gitlab-ci.yml").write_text("test: {script: [make]}\n")
    result = _init("flight-delay", "--ci", "gitlab", "--no-pre-commit")
    assert result.exit_code == 0
    assert (here / ".gitlab-ci.yml").read_text() == "test: {script: [make]}\n"
    assert "add to its include: - local: .gitlab/mlship.yml" in result.stdout
    job = yaml.safe_load((here / ".gitlab/mlship.yml").read_text())["mlship"]
    assert job["script"][0].startswith("mlship evaluate mlship.yaml --report html=mlship.html")


def test_several_models_without_a_name(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In CI nobody can be asked: exit 2, and the names."""
    from mlship.draft import world
    from mlship.registry.catalogue import Listed

    seen = world.Seen(None, (Listed("a", ()), Listed("b", (("champion", "1"),))))
    monkeypatch.setattr(world, "look", lambda *_: seen)
    result = _init()
    assert isinstance(result.exception, UsageError)
    assert result.exception.what == "the registry has 2 models: a and b"
    assert result.exception.exit_code == 2


def test_a_name_that_the_registry_does_not_know_is_misspelt(here: Path, registry_home: RegistryHome) -> None:
    """It was asked, and has others: no draft for a model that nobody has."""
    home = ["--home", str(registry_home.home.path)]
    result = CliRunner().invoke(app, [*home, "init", "flight-dealy", "--ci", "none"])
    assert isinstance(result.exception, UsageError)
    assert result.exception.what == "the registry has no model named 'flight-dealy'; did you mean 'flight-delay'?"
    assert result.exception.hint.startswith("it has ")
    assert _files(here) == {}


SERVER, BASE = "https://mlflow.example.com", "sqlite:///mlflow.db"
WHERES: list[tuple[str | None, dict[str, str], bool, str | None, str | None]] = [
    (None, {}, True, None, None),
    (SERVER, {}, True, SERVER, None),
    (BASE, {"MLFLOW_TRACKING_URI": SERVER}, True, BASE, None),
    (None, {"MLFLOW_TRACKING_URI": SERVER}, True, SERVER, None),
    (None, {"MLFLOW_TRACKING_URI": SERVER}, False, None, SERVER),
    (None, {"MLFLOW_TRACKING_URI": BASE}, True, None, BASE),
    (None, {"MLFLOW_TRACKING_URI": SERVER, "MLFLOW_REGISTRY_URI": BASE}, True, None, SERVER),
    (None, {"MLFLOW_TRACKING_URI": "https://me:s3cret@h.example"}, True, None, "https://***@h.example"),
    ("https://h.example?token=s3cret", {}, True, None, "https://h.example?token=***"),
]


@pytest.mark.parametrize(("given", "environ", "answered", "written", "hint"), WHERES)
def test_where_the_registry_was_found_stands_in_the_policy(
    given: str | None, environ: dict[str, str], answered: bool, written: str | None, hint: str | None
) -> None:
    """A server is written, a secret never, and what others may not have as a comment."""
    from mlship.draft.world import where

    found = where(given, environ, answered=answered)
    assert (found.written, found.hint) == (written, hint)
    assert bool(found.unknown) == bool(hint)
    assert "s3cret" not in f"{found}"


MISUSES: list[tuple[list[str], str]] = [
    ([], "the model's name is not known"),
    (["m", "--target", "late"], "--target says something about rows, and there is no --data"),
    (["m", "--data", "none.parquet", "--target", "y"], "--data: there is no file none.parquet"),
    (["m", "--data", "rows.csv"], "--data needs --target"),
    (["m", "--data", "rows.csv", "--target", "z"], "there is no column 'z'"),
    (["m", "--data", "rows.csv", "--target", " "], "--target is empty"),
    (["m", "--rate", "50"], "--rate:"),
    (["m", "--rate", "0/s"], "--rate: there must be requests"),
    ([" "], "the model's name is empty"),
    (["a/b"], "a path or an address, where the name of a registered model is wanted"),
    (["m", "--policy", "dir"], "it is there already"),
]


@pytest.mark.parametrize(("arguments", "said"), MISUSES, ids=[" ".join(row[0]) or "nothing" for row in MISUSES])
def test_misuse_is_told_and_leaves_nothing(here: Path, arguments: list[str], said: str) -> None:
    (here / "rows.csv").write_text("x,y\n1,0\n2,1\n")
    (here / "dir").mkdir()
    before = _files(here)
    result = _init(*arguments)
    assert isinstance(result.exception, MlshipError), result.exception
    assert said in str(result.exception)
    assert _files(here) == before


def test_hooks_join_those_that_are_there() -> None:
    """Comments and layout stay; what cannot be added to is left alone."""
    before = "# mine\nrepos:\n  - repo: local\n    hooks: []  # none\n\nci: {skip: []}\n"
    after = with_hooks(before, "mlship.yaml")
    assert after is not None
    assert after.startswith("# mine\nrepos:\n  - repo: local\n    hooks: []  # none\n  - repo: local")
    assert after.endswith("ci: {skip: []}\n")
    assert with_hooks(after, "mlship.yaml") is None
    ids = [hook["id"] for hook in yaml.safe_load(after)["repos"][1]["hooks"]]
    assert ids == ["mlship-validate", "mlship-policy-test"]
    for odd in ("repos: [{repo: local, hooks: []}]\n", "a: 1\n", "{", "- 1\n"):
        with pytest.raises(ValueError, match=r"repos|YAML"):
            with_hooks(odd, "mlship.yaml")


def test_the_gitlab_job_quotes_the_policys_path() -> None:
    job = yaml.safe_load(rendered("gitlab.yml", "a b.yaml", "data/x.parquet"))["mlship"]
    assert "mlship evaluate 'a b.yaml' --report" in job["script"][0]
    assert job["rules"][0]["changes"] == ["a b.yaml", "data/x.parquet", ".gitlab/mlship.yml"]


def test_a_failure_in_between_leaves_what_was_there(tmp_path: Path) -> None:
    """The third cannot be written: the first, which replaced another, is back; the second and its directory go."""
    (tmp_path / "one").write_text("before\n")
    (tmp_path / "three").mkdir()
    files = [
        File(tmp_path / "one", "after\n", replaces=True),
        File(tmp_path / "new" / "two", "two\n"),
        File(tmp_path / "three", "three\n", replaces=True),
    ]
    with pytest.raises(StateError, match="nothing was written"):
        place(files)
    assert _files(tmp_path) == {"one": "before\n"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "three"]
    with pytest.raises(StateError, match="it is there already"):
        place([File(tmp_path / "four", "4"), File(tmp_path / "one", "after\n")])
    assert _files(tmp_path) == {"one": "before\n"}


def test_a_registrys_password_is_written_nowhere(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlship.draft import world

    monkeypatch.setattr(world, "look", lambda *_: world.Seen(None, (), absent=True))
    uri = "postgresql://me:s3cret@127.0.0.1:9/mlflow"
    result = _init("m", "--registry", uri, "--ci", "none", "--no-pre-commit")
    assert result.exit_code == 0, result.exception
    assert "s3cret" not in result.stdout + (here / "mlship.yaml").read_text()
    assert "set MLFLOW_TRACKING_URI to it" in result.stdout
    assert '# registry: {uri: "postgresql://***@127.0.0.1:9/mlflow"}' in (here / "mlship.yaml").read_text()


def _at_a_terminal(here: Path, answers: list[tuple[str, str]], home: Path | None = None) -> tuple[int, str]:
    """Run `mlship init` at a terminal of its own: for each question that is seen, its answer is typed."""
    environment: dict[str, Any] = {**os.environ, "TERM": "dumb", **({"MLSHIP_HOME": str(home)} if home else {})}
    environment.pop("CI", None)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(here)
        os.execve(sys.executable, [sys.executable, "-m", "mlship", "init"], environment)
    said, left, deadline = "", list(answers), time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.2)[0]:
            continue
        try:
            piece = os.read(terminal, 4096).decode(errors="replace")
        except OSError:
            break
        if not piece:
            break
        said += piece
        if left and left[0][0] in said:
            answer = left.pop(0)[1]
            os.write(terminal, answer.encode())
    else:
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    return code, said


def test_at_a_terminal_it_asks_with_defaults(here: Path) -> None:
    answers = [
        ("Registered model", "flight-delay\r"),
        ("Rows with labels", "\r"),
        ("Requests that callers send", "\r"),
        ("Team that owns the model [flight-ops]", "\r"),
        ("What reaches them", "#flights\r"),
        ("Workflow for", "none\r"),
        ("pre-commit hooks?", "n\r"),
    ]
    code, said = _at_a_terminal(here, answers)
    assert code == 0, said
    loaded = examine(here / "mlship.yaml").loaded
    assert loaded is not None
    assert (loaded.policy.owner.team, loaded.policy.owner.contact) == ("flight-ops", "#flights")
    assert list(_files(here)) == ["mlship.yaml"]


def test_a_wrong_answer_is_asked_again_where_it_was_given(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The columns stand with the question; nothing is found out after the last one that the first could tell."""
    (here / "rows.csv").write_text("x,label,at\n" + "1.5,0,2028-01-01\n2.5,1,2028-01-02\n" * 20)
    (here / "train.csv").write_text("x,label,at\n" + "1.5,0,2027-01-01\n2.5,1,2027-01-02\n" * 20)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    answers = [
        ("Registered model", "m\r"),
        ("Rows with labels", "none.csv\r"),
        ("there is no file none.csv", "rows.csv\r"),
        ("rows.csv has: x, label and at", "lable\r"),
        ("there is no such column; did you mean 'label'?", "label\r"),
        ("Column that holds the time", "time\r"),
        ("there is no such column", "at\r"),
        ("Rows that it was trained on", "train.csv\r"),
        ("Requests that callers send", "50\r"),
        ("a rate needs a unit", "50/s\r"),
        ("Team that owns the model:", "\r"),
        ("git does not tell it, and a policy names who answers for it", "flights\r"),
        ("What reaches them:", "#flights\r"),
        ("Workflow for", "none\r"),
        ("pre-commit hooks?", "n\r"),
    ]
    code, said = _at_a_terminal(here, answers)
    assert code == 0, said
    policy = yaml.safe_load((here / "mlship.yaml").read_text())
    assert policy["data"]["evaluation"] == {"path": "rows.csv", "target": "label", "time": "at"}
    assert policy["data"]["reference"] == {"path": "train.csv", "time": "at"}
    assert (policy["rollout"]["rate"], policy["owner"]["team"]) == ("50/s", "flights")
    assert "#   balanced_accuracy: {min: 0.5, max_drop: 0.01}" in (here / "mlship.yaml").read_text()
    assert "no gate judges how good the model is" in said


def test_the_label_is_by_default_what_the_model_does_not_take(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlship.cli import init_questions

    (here / "rows.csv").write_text("x,y,label\n")
    asked: list[tuple[str, Any]] = []

    def prompt(text: str, default: Any = None, **_options: Any) -> Any:
        asked.append((text, default))
        return default

    monkeypatch.setattr("typer.prompt", prompt)
    asking = init_questions.Asking(waits=True)
    choice = asking.columns(Path("rows.csv"), lambda: ("x", "y"))
    assert asking.target(Path("rows.csv"), choice) == "label"
    assert asking.time("label", choice) is None
    assert asking.columns(Path("rows.csv"), lambda: ()).others == ()
    assert "rows.csv has: x, y and label\nThe model does not take: label\n" in capsys.readouterr().err
    assert [default for _, default in asked] == ["label", ""]


def test_ctrl_c_writes_nothing(here: Path) -> None:
    code, said = _at_a_terminal(here, [("Registered model", "flight-delay\r"), ("Rows with labels", "\x03")])
    assert code == 130, said
    assert "interrupted" in said
    assert _files(here) == {}
