"""Every command's help has examples, and every example is run: on files alone, and on a real registry and router."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlship.cli import rollout
from mlship.engines import local, state
from mlship.policy.load import load_policy
from mlship.registry import Registry
from mlship.rollout import journal
from mlship.rollout.watch import RolloutResult
from tests.cli import examples
from tests.cli.examples import Bench
from tests.conftest import MODEL, RegistryHome
from tests.engines.support import standin
from tests.waiting import until

if TYPE_CHECKING:
    import pandas as pd

ROOT = Path(__file__).parents[2]
POLICY = """\
version: 1
model: flight-delay
owner: {{team: flight-ops, contact: flight-ops@example.com}}
data: {{evaluation: {{path: july.parquet, target: late}}}}
gates:
  contract: {{max_duplicates: 100%, max_label_conflicts: 100%}}
  metrics: {{recall: {{min: 0.01}}}}
endpoint: {{listen: "127.0.0.1:{port}", timeout: 500ms}}
rollout:
  steps:
    - {{weight: 30%, bake: {{requests: 20}}}}
    - {{weight: 60%, bake: {{requests: 20}}}}
  guard: {{latency: null}}
  certify: null
"""


def test_every_command_has_examples_and_every_one_is_run() -> None:
    told = examples.told()
    assert len(told) > 20
    assert examples.unrun(told) == []
    assert len(set(examples.RUN)) == len(examples.RUN)
    assert set(examples.RUN) <= set(told)


def test_a_command_whose_examples_nobody_runs_is_found() -> None:
    """The check above can fail, in each of its ways."""
    told = {"": ["mlship glue it"], "glue": ["mlship glue --on"], "bare": [], "lost": ["mlship lost"]}
    assert examples.unrun(told, ("glue", "bare")) == [
        "mlship bare: its help has no example",
        "mlship lost: no test runs its examples",
        "mlship: `mlship glue it` is nobody's example",
    ]
    assert examples.printed("Usage: x\n\n  It says nothing.\n\nOptions:\n") == []
    assert examples.printed("  Examples:\n    mlship a\n    mlship b\n\nOptions:\n  c\n") == ["mlship a", "mlship b"]


@pytest.mark.parametrize("name", examples.told())
def test_a_help_page_fits_a_terminal_and_has_no_types_of_python(name: str) -> None:
    page = examples.page(name)
    assert [line for line in page.splitlines() if len(line) > 80] == []
    assert re.findall(r"<(?:str|path|int|float|list\b.*?|bool)>|\[\[|\{", page) == []


def test_the_examples_that_need_files_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a git repository with a policy that is committed."""
    bench = Bench(tmp_path, tmp_path / ".mlship", monkeypatch, capsys)
    (tmp_path / "mlship.yaml").write_text(
        "version: 1\nmodel: flight-delay\nowner: {team: flight-ops, contact: flight-ops@example.com}\n"
        "data: {evaluation: {path: july.csv, target: late}}\ngates: {metrics: {recall: {min: 0.6}}}\n"
        "rollout: {steps: [{weight: 10%, bake: {requests: 500}}]}\n"
    )
    (tmp_path / "july.csv").write_text("late,distance\n1,100\n")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com"]
    for words in (["init", "-q"], ["add", "mlship.yaml"], ["commit", "-q", "-m", "A policy"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True, timeout=30)
    for line in examples.lines(*examples.LIGHT):
        bench.run(line)
    assert sorted(path.name for path in tmp_path.glob("*.*ml*")) >= ["mlship.test.yaml", "mlship.yaml"]
    assert json.loads((tmp_path / "mlship.schema.json").read_text())["type"] == "object"
    assert set(bench.ran) == set(examples.lines(*examples.LIGHT))


def test_the_demo_is_run_as_its_example_says() -> None:
    """A step of `.ci/run` calls it with the options of the example, and checks what it reports."""
    (line,) = examples.of("demo")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (called,) = re.findall(r"^bash \.ci/demo (.*)$", script, re.MULTILINE)
    assert re.findall(r"--\w+", called) == re.findall(r"--\w+", line)
    assert 'mlship" demo "$@"' in (ROOT / ".ci" / "demo").read_text(encoding="utf-8")


class Shop:
    """A registry, a policy, and a router whose servers start at once; a caller when one is wanted."""

    def __init__(self, bench: Bench, copy: RegistryHome, rows: pd.DataFrame) -> None:
        self.bench, self.home = bench, copy.home
        self.registry = Registry.connect(copy.home.registry_uri, copy.home)
        (self.port,) = state.free_ports(1)
        rows.to_parquet(bench.directory / "july.parquet", index=False)

    def policy(self) -> None:
        (self.bench.directory / "mlship.yaml").write_text(POLICY.format(port=self.port))

    def move(self, alias: str, to: str) -> None:
        self.registry.move_alias(MODEL, alias, expected=self.registry.alias(MODEL, alias), to=to)

    @contextmanager
    def called(self) -> Iterator[None]:
        """Somebody asks all the time."""
        end = threading.Event()

        def ask() -> None:
            while not end.wait(0.005):
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("POST", "/invocations", b"{}", {"content-type": "application/json"})
                connection.getresponse().read()
                connection.close()

        with _aside(ask):
            yield
            end.set()

    @contextmanager
    def under_way(self) -> Iterator[list[RolloutResult]]:
        """A rollout of version 2 that waits for callers at its first step, driven by this process."""
        done: list[RolloutResult] = []
        loaded = load_policy(Path("mlship.yaml"))
        with _aside(lambda: done.append(rollout.run(loaded, self.home, interval=0.05))):
            until(lambda: (view := journal.latest(self.home, MODEL)) is not None and view.phase == "stepping")
            yield done


@contextmanager
def _aside(work: object) -> Iterator[None]:
    thread = threading.Thread(target=work, daemon=True)  # type: ignore[arg-type]  # a callable
    thread.start()
    try:
        yield
    finally:
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_examples_that_evaluate_and_move_traffic(
    registry_copy: RegistryHome,
    flights: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In the order of a working day: from the draft of a policy to the end of its servers."""
    monkeypatch.setattr(local, "serving", lambda *_: standin)
    bench = Bench(tmp_path, registry_copy.home.path, monkeypatch, capsys)
    shop = Shop(bench, registry_copy, flights[[*registry_copy.features, "late"]].tail(400))
    try:
        bench.all("init")
        assert f"model: {MODEL}" in (tmp_path / "mlship.yaml").read_text()
        shop.policy()
        shop.move("challenger", "1")
        bench.run("mlship rollout mlship.yaml")
        shop.move("challenger", "2")
        bench.all("plan", "evaluate")
        with shop.called():
            bench.run("mlship ship mlship.yaml --plan plan.json --max-age 24h")
        assert shop.registry.alias(MODEL, "champion") == "2"
        bench.all("ship", "rollout", "status", "endpoint", "drill")
        bench.run("mlship rollback flight-delay --to 1 --format json")
        with shop.under_way() as done:
            for pause, resume in zip(examples.of("pause"), examples.of("resume"), strict=True):
                bench.run(pause)
                bench.run(resume)
            bench.all("promote")
        assert done[0].verdict == "promoted"
        bench.all("watch")
        bench.run("mlship rollback flight-delay")
        for line in examples.of("abort"):
            with shop.under_way() as done:
                bench.run(line)
            assert done[0].verdict == "aborted"
        bench.all("history", "why")
    finally:
        bench.all("down")
    assert not set(examples.lines(*examples.TRAFFIC)) - set(bench.ran)
    assert (tmp_path / "rollout.html").is_file()
