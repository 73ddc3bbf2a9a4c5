"""The registry resolves exactly, moves aliases only when nobody else has, and keeps evidence; on a real MLflow."""

from __future__ import annotations

import errno
import http.server
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlship.errors import MlshipError, MovedError, RegistryError, StateError
from mlship.home import Home
from mlship.policy.schema import Policy
from mlship.registry import Registry, connection, evidence, files
from mlship.types import Candidate, Evaluation, GateResult, Measurement, Status

if TYPE_CHECKING:
    import pandas as pd

pytestmark = pytest.mark.slow


@pytest.fixture
def registry(registry_copy: Any) -> Registry:
    return Registry.connect(None, registry_copy.home)


def policy(**changes: Any) -> Policy:
    return Policy.model_validate(
        {"version": 1, "model": "flight-delay", "owner": {"team": "t", "contact": "t@example.com"}, **changes}
    )


def says(what: str, call: Callable[[], object], *, hint: str = "") -> MlshipError:
    with pytest.raises(RegistryError, match=what) as caught:
        call()
    assert hint in caught.value.hint
    assert caught.value.hint, "an error comes with a next step"
    return caught.value


def test_alias_number_and_latest_name_exact_versions_with_digest_and_inputs(registry: Registry) -> None:
    champion = registry.version("flight-delay", "@champion")
    assert (champion.version, champion.run_id is not None) == ("1", True)
    assert champion.inputs == ("carrier", "origin", "dest", "hour", "distance", "weekday", "dep_delay")
    assert (champion.path / "MLmodel").is_file()
    assert champion.path.parent == registry.home.models
    assert champion.digest == files.digest_of(champion.path)
    assert registry.version("flight-delay", "1") == champion
    assert registry.version("flight-delay", "2").digest != champion.digest
    assert registry.version("flight-delay", "latest").version == "3"
    assert not [path for path in registry.home.models.iterdir() if path.name.startswith(".")], "nothing half-fetched"


def test_candidate_comes_with_its_champion_or_with_none_at_the_first_promotion(registry: Registry) -> None:
    both = registry.candidate(policy())
    assert both.champion is not None
    assert (both.version.version, both.champion.version) == ("2", "1")
    assert registry.candidate(policy(champion="@nobody")).champion is None
    same = registry.candidate(policy(candidate="1"))
    assert same.champion is same.version


def test_what_does_not_exist_is_named_with_what_does(registry: Registry) -> None:
    says("no model named 'flight-dely'", lambda: registry.version("flight-dely", "1"), hint="'flight-delay'")
    says("no model named 'zzz'", lambda: registry.alias("zzz", "champion"), hint="it holds: flight-delay")
    says(
        r"no alias @chalenger \(aliases: @challenger = 2, @champion = 1\)",
        lambda: registry.version("flight-delay", "@chalenger"),
    )
    says(r"no version 9 \(versions: 1, 2, 3\)", lambda: registry.version("flight-delay", "9"))
    says("no reference", lambda: registry.version("flight-delay", "challenger"), hint="@challenger")
    registry.client.delete_model_version("flight-delay", "2")
    says(r"no version 2 any more: it was deleted \(versions: 1, 3\)", lambda: registry.version("flight-delay", "2"))
    assert registry.alias("flight-delay", "@champion") == "1"
    registry.client.create_registered_model("it's new")
    says("no version yet", lambda: registry.version("it's new", "latest"))


def test_an_empty_registry_says_how_to_fill_it(home: Home) -> None:
    says("the registry is empty", lambda: Registry.connect(None, home).version("m", "latest"), hint="registry.uri")


def test_a_changed_artifact_changes_the_digest_and_a_damaged_copy_is_fetched_anew(
    registry: Registry, tmp_path: Path
) -> None:
    origin = tmp_path / "origin"
    shutil.copytree(registry.version("flight-delay", "1").path, origin)
    registry.client.create_registered_model("mine")
    registry.client.create_model_version("mine", origin.as_uri())
    before = registry.version("mine", "1")
    assert before.digest == registry.version("flight-delay", "1").digest, "the content alone makes the digest"
    (before.path / "requirements.txt").write_text("tampered\n")
    again = registry.version("mine", "1")
    assert again == before
    assert (again.path / "requirements.txt").read_text() != "tampered\n", "a copy is trusted only while it is sound"
    (origin / "requirements.txt").write_text("swapped\n")
    assert registry.version("mine", "1").digest != before.digest, "the registry's bytes are looked at every time"
    shutil.rmtree(origin)
    says("no MLmodel file", lambda: registry.version("mine", "1"), hint="deleted")
    origin.mkdir(exist_ok=True)
    (origin / "note").write_text("x")
    says("no MLmodel file", lambda: registry.version("mine", "1"))
    registry.client.create_model_version("mine", "s3://nowhere/model")
    says("cannot be fetched", lambda: registry.version("mine", "2"), hint="out of reach")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_while_files_are_fetched_is_told_as_such(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """MLflow's own downloads run in threads; of their errors it keeps the text."""
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    def full(*_arguments: object, **_options: object) -> None:
        cause = OSError(code, os.strerror(code), "/home/model.pkl")
        raise MlflowException(f"The following failures occurred:\n##### File model.pkl #####\n{cause}")

    monkeypatch.setattr(LocalArtifactRepository, "download_artifacts", full)
    with pytest.raises(StateError, match=f"cannot keep a copy of the model: {os.strerror(code)}") as found:
        registry.version("flight-delay", "1")
    assert found.value.hint.startswith("free space")
    assert not [path for path in registry.home.models.iterdir() if path.name.startswith(".")], "nothing half-fetched"


def test_what_mlflow_adds_to_a_download_does_not_count(registry: Registry) -> None:
    version = registry.version("flight-delay", "1")
    (version.path / "registered_model_meta").write_text("model_name: x\n")
    assert files.digest_of(version.path) == version.digest


def test_an_alias_moves_only_from_where_it_was_seen(registry: Registry) -> None:
    registry.move_alias("flight-delay", "@champion", expected="1", to="2")
    assert registry.alias("flight-delay", "champion") == "2"
    with pytest.raises(MovedError, match="@champion points at version 2, not at version 1"):
        registry.move_alias("flight-delay", "@champion", expected="1", to="3")
    with pytest.raises(MovedError, match="not at no version"):
        registry.move_alias("flight-delay", "champion", expected=None, to="3")
    says("no version 9", lambda: registry.move_alias("flight-delay", "champion", expected="2", to="9"))
    registry.move_alias("flight-delay", "fresh", expected=None, to="3")
    assert registry.alias("flight-delay", "fresh") == "3"
    assert registry.alias("flight-delay", "champion") == "2"


def test_a_move_that_is_overwritten_at_once_is_noticed(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    real = registry.client.set_registered_model_alias

    def contested(name: str, alias: str, version: str) -> None:
        real(name, alias, version)
        real(name, alias, "3")

    monkeypatch.setattr(registry.client, "set_registered_model_alias", contested)
    with pytest.raises(MovedError, match="moved to version 2, and someone else moved it to version 3"):
        registry.move_alias("flight-delay", "champion", expected="1", to="2")


MOVER = """
import sys
from pathlib import Path
from mlship.errors import MovedError
from mlship.home import Home
from mlship.registry import Registry
registry = Registry.connect(None, Home(Path(sys.argv[1])))
print("ready", flush=True)
sys.stdin.readline()
try:
    registry.move_alias("flight-delay", "champion", expected="1", to=sys.argv[2])
except MovedError:
    print("lost")
else:
    print("won")
"""


def test_of_racing_processes_exactly_one_moves_the_alias(registry: Registry) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", MOVER, str(registry.home.path), to],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for to in ("2", "3")
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    outcome = [racer.communicate("\n", timeout=60)[0].strip() for racer in _started(racers)]
    assert sorted(outcome) == ["lost", "won"]
    assert registry.alias("flight-delay", "champion") == ("2", "3")[outcome.index("won")]


def _started(racers: list[subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    return racers


def test_of_racing_threads_exactly_one_moves_the_alias(registry: Registry) -> None:
    for current, targets in (("1", ("2", "3")), ("2", ("1", "3"))):
        now = registry.alias("flight-delay", "champion") or ""
        registry.client.set_registered_model_alias("flight-delay", "champion", current)
        won: list[str] = []

        def race(to: str, current: str = current, won: list[str] = won) -> None:
            try:
                registry.move_alias("flight-delay", "champion", expected=current, to=to)
            except MovedError:
                return
            won.append(to)

        threads = [threading.Thread(target=race, args=(to,)) for to in targets]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1, f"from {now}"
        assert registry.alias("flight-delay", "champion") == won[0]


def evaluation(candidate: Candidate) -> Evaluation:
    results = (
        GateResult(
            "metrics",
            "recall.min",
            Status.PASSED,
            ">= 0.6",
            "fine",
            Measurement("recall", 0.7, 0.68, 0.72, 1000),
            Measurement("recall", 0.6),
        ),
        GateResult("leakage", "overlap", Status.FAILED, "<= 0%", "bad", Measurement("overlap 100%", float("nan"))),
    )
    return Evaluation("e1", candidate, "sha256:p", "sha256:d", results, 1763700000.0, 2.5)


@pytest.mark.parametrize(
    ("metric", "key"),
    [
        ("recall", "own/recall.low"),
        ("a//b", "own/a/_/b.low"),
        ("a/./b", "own/a/_/b.low"),
        ("../../b", "own/__/__/b.low"),
        ("/", "own/_/_.low"),
        ("", "own/_.low"),
        ("ü % ?", "own/ü _ _.low"),
        ("x" * 400, f"own/{'x' * 242}.low"),
        ("/" * 400, f"own{'_' * 243}.low"),
    ],
)
def test_any_name_of_a_metric_becomes_one_that_mlflow_takes(metric: str, key: str) -> None:
    """By MLflow's own check: one name that it refuses would lose the whole evaluation."""
    from mlflow.utils import validation

    found = evidence._key(f"own/{metric}", ".low")
    validation._validate_metric_name(found)  # type: ignore[no-untyped-call]  # MLflow has no types there
    assert (found, len(found) <= 250) == (key, True)
    validation._validate_metric_name(evidence._key(f"own/{metric}"))  # type: ignore[no-untyped-call]  # MLflow has no types there


def test_an_evaluation_is_a_run_linked_to_its_version_both_ways(registry: Registry) -> None:
    candidate = registry.candidate(policy())
    run_id = registry.log_evaluation(evaluation(candidate), "version: 1\n", {"report.md": "# no\n"})
    run = registry.client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert (run.info.end_time or 0) - run.info.start_time == 2500
    assert run.data.tags["mlship.version"] == "2"
    assert run.data.tags["mlship.digest"] == candidate.version.digest
    assert run.data.tags["mlship.status"] == "failed"
    assert run.data.metrics == {
        "metrics/recall": 0.7,
        "metrics/recall.low": 0.68,
        "metrics/recall.high": 0.72,
        "champion/metrics/recall": 0.6,
    }
    tags = registry.client.get_model_version("flight-delay", "2").tags
    assert (tags["mlship.evaluation"], tags["mlship.status"]) == (run_id, "failed")
    model_id = files.logged_model_id(candidate.version.path)
    assert run.inputs is not None
    assert [found.model_id for found in run.inputs.model_inputs] == [model_id]
    logged = registry.client.get_logged_model(str(model_id))
    assert {metric.key: metric.value for metric in logged.metrics or []}["metrics/recall"] == 0.7
    assert "champion/metrics/recall" not in {metric.key for metric in logged.metrics or []}
    assert {found.path for found in registry.client.list_artifacts(run_id)} == {"policy.yaml", "report.md"}
    kept = registry.home.registry_dir / "artifacts" / run_id / "artifacts" / "policy.yaml"
    assert kept.read_text() == "version: 1\n", "nothing outside the state directory"


def test_the_results_of_a_kept_evaluation_can_be_read_again(registry: Registry) -> None:
    from mlship.report import render

    judged = evaluation(registry.candidate(policy()))
    run_id = registry.log_evaluation(judged, "", {"evaluation.json": json.dumps(render(judged, "json"))})
    assert sorted(registry.results(run_id)) == sorted((one.gate, one.rule, str(one.status)) for one in judged.results)
    broken = registry.log_evaluation(judged, "", {"evaluation.json": "[]"})
    with pytest.raises(RegistryError, match="cannot be read"):
        registry.results(broken)
    with pytest.raises(RegistryError):
        registry.results("0" * 32)


def test_a_deleted_experiment_comes_back(registry: Registry) -> None:
    first = evaluation(registry.candidate(policy(candidate="1")))
    run = registry.client.get_run(registry.log_evaluation(first, "", {}))
    registry.client.delete_experiment(run.info.experiment_id)
    again = registry.client.get_run(registry.log_evaluation(replace(first, id="e2"), "", {}))
    assert again.info.experiment_id == run.info.experiment_id


@pytest.mark.parametrize(("raised", "status"), [(KeyboardInterrupt(), "KILLED"), (RuntimeError("x"), "FAILED")])
def test_a_run_that_cannot_be_completed_does_not_stay_running(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, raised: BaseException, status: str
) -> None:
    def fail(*_arguments: object) -> None:
        raise raised

    monkeypatch.setattr(registry.client, "log_text", fail)
    with pytest.raises(type(raised)):
        registry.log_evaluation(evaluation(registry.candidate(policy())), "", {})
    experiment = registry.client.get_experiment_by_name("mlship")
    assert experiment is not None
    assert [run.info.status for run in registry.client.search_runs([experiment.experiment_id])] == [status]


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def broken_server() -> Iterator[str]:
    """A server that answers 500 to everything."""

    class Broken(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(500)

        do_POST = do_GET  # noqa: N815 - the name is http.server's

        def log_message(self, *_arguments: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Broken)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_registry_that_is_not_there_is_one_clear_error_within_seconds(
    home: Home, tmp_path: Path, broken_server: str
) -> None:
    began = time.monotonic()
    nobody = f"http://ada:secret@127.0.0.1:{free_port()}"
    error = says("does not answer", lambda: Registry.connect(nobody, home), hint="is it running")
    assert "secret" not in str(error)
    says("does not answer", lambda: Registry.connect(broken_server, home))
    says("not an MLflow URI", lambda: Registry.connect("ftp://somewhere", home), hint="sqlite:///")
    says("no registry database", lambda: Registry.connect(f"sqlite:///{tmp_path}/typo/mlflow.db", home))
    assert not (tmp_path / "typo").exists(), "looking for a registry does not make one"
    (tmp_path / "text.db").write_text("this is no database at all")
    says("not a SQLite database", lambda: Registry.connect(f"sqlite:///{tmp_path}/text.db", home))
    says("plain directories", lambda: Registry.connect(str(tmp_path / "mlruns"), home), hint="migrate")
    assert time.monotonic() - began < 20


def test_a_registry_that_never_answers_is_given_up(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    patience = connection._FIRST_PATIENCE
    assert (1 + int(patience["MLFLOW_HTTP_REQUEST_MAX_RETRIES"])) * int(patience["MLFLOW_HTTP_REQUEST_TIMEOUT"]) <= 10
    monkeypatch.setitem(patience, "MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    began = time.monotonic()
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        says("does not answer", lambda: Registry.connect(f"http://127.0.0.1:{silent.getsockname()[1]}", home))
    assert time.monotonic() - began < 10


def test_a_database_that_is_not_there_is_given_up_within_seconds(home: Home) -> None:
    began = time.monotonic()
    with pytest.raises(RegistryError) as caught:
        Registry.connect("postgresql://ada:secret@127.0.0.1:1/mlflow", home)
    assert "secret" not in str(caught.value)
    assert caught.value.hint
    assert time.monotonic() - began < 20


def test_the_policy_names_the_registry_first_then_the_environment_then_the_state_directory(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert connection.choose(None, home) == (home.registry_uri, home.registry_uri, True)
    assert connection.choose("", home)[2], "an environment variable that is empty names nothing"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://a")
    assert connection.choose(None, home) == ("http://a", "http://a", False)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://b")
    assert connection.choose(None, home) == ("http://a", "http://b", False)
    assert connection.choose("http://c", home) == ("http://c", "http://c", False)


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:////{0}/wrong/mlflow.db",
        "sqlite:////{0}/wrong.db?timeout=3",
        "sqlite+pysqlite:////{0}/wrong.db",
        "sqlite:///file:/{0}/wrong.db?uri=true",
        "sqlite:///file:///{0}/wr%6Fng.db?mode=rwc&uri=true",
    ],
)
def test_a_path_that_is_typed_wrongly_is_named_and_nothing_is_created(home: Home, tmp_path: Path, uri: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RegistryError, match="there is no registry database") as caught:
        Registry.connect(uri.format(str(tmp_path).lstrip("/")), home)
    assert f"{tmp_path}/wrong" in caught.value.what
    assert "registry.uri" in caught.value.hint
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("trace", ["ledger.jsonl", "rollouts"])
def test_an_embedded_registry_that_is_gone_is_not_made_anew(tmp_path: Path, trace: str) -> None:
    """Whatever has been recorded here came from a registry: an empty one in its place would be a lie."""
    home = Home(tmp_path / ".mlship")
    home.ensure(home.path / trace if trace == "rollouts" else home.path)
    if trace != "rollouts":
        (home.path / trace).write_text("")
    for uri in (None, home.registry_uri):
        with pytest.raises(RegistryError, match="there is no registry database") as caught:
            Registry.connect(uri, home)
        assert str(home.registry_dir / "mlflow.db") in caught.value.what
    assert not home.registry_dir.exists()


def test_connecting_prints_nothing_and_leaves_mlflow_globals_alone(tmp_path: Path) -> None:
    script = (
        "import sys, os, pathlib; from mlship.home import Home; from mlship.registry import Registry\n"
        "assert 'mlflow' not in sys.modules\n"
        "r = Registry.connect(None, Home(pathlib.Path('.mlship').absolute()))\n"
        "import mlflow; assert not mlflow.is_tracking_uri_set(); print(r.uri)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stderr == "", "a new registry is made without a word"
    assert done.stdout.strip() == f"sqlite:///{tmp_path}/.mlship/registry/mlflow.db"
    assert [path.name for path in tmp_path.iterdir()] == [".mlship"]
    assert stat.S_IMODE((tmp_path / ".mlship" / "registry").stat().st_mode) == 0o700


def test_a_real_tracking_server_serves_versions_aliases_and_evidence(
    registry_copy: Any, tmp_path: Path, flights: pd.DataFrame, train: Callable[..., Any]
) -> None:
    port = free_port()
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", registry_copy.home.registry_uri, "--artifacts-destination", str(tmp_path / "store")),
    ]
    log = (tmp_path / "server.log").open("w")
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # it starts in half the time without
    with (
        log,
        subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True, cwd=tmp_path
        ) as server,
    ):
        try:
            registry = _wait_for(f"http://127.0.0.1:{port}", registry_copy.home, server)
            version = registry.version("flight-delay", "@challenger")
            assert version == Registry.connect(None, registry_copy.home).version("flight-delay", "2")
            says("no model named 'flight-delai'", lambda: registry.version("flight-delai", "1"), hint="flight-delay")
            says(r"no version 9 \(versions: 1, 2, 3\)", lambda: registry.version("flight-delay", "9"))
            registry.move_alias("flight-delay", "champion", expected="1", to="2")
            assert registry.alias("flight-delay", "champion") == "2"
            run_id = registry.log_evaluation(evaluation(Candidate(version, None)), "version: 1\n", {"r.json": "{}"})
            assert registry.client.get_run(run_id).info.status == "FINISHED"
            kept = {artifact.path for artifact in registry.client.list_artifacts(run_id)}
            assert "policy.yaml" in kept, "the server keeps the policy"
            remote = _log_through_server(registry, tmp_path, train(flights.iloc[:500]))
            assert registry.version("remote", remote).inputs == ()
        finally:
            os.killpg(server.pid, 15)
            server.wait(30)


def _wait_for(uri: str, home: Home, server: subprocess.Popen[bytes]) -> Registry:
    for _attempt in range(60):
        assert server.poll() is None
        try:
            return Registry.connect(uri, home)
        except RegistryError:
            time.sleep(0.5)
    raise AssertionError("the tracking server did not start")


def _log_through_server(registry: Registry, directory: Path, estimator: Any) -> str:
    """A model whose files only the server can hand out."""
    import mlflow.sklearn

    experiment = registry.client.create_experiment("remote")
    run = registry.client.create_run(experiment)
    mlflow.sklearn.save_model(
        estimator, directory / "model", serialization_format="cloudpickle", pip_requirements=["scikit-learn"]
    )
    registry.client.log_artifacts(run.info.run_id, str(directory / "model"), "model")
    registry.client.create_registered_model("remote")
    found = registry.client.create_model_version("remote", f"{run.info.artifact_uri}/model", run.info.run_id)
    return str(found.version)


def mlmodel(*inputs: dict[str, object]) -> str:
    return json.dumps({"signature": {"inputs": json.dumps(inputs)}})


@pytest.mark.parametrize(
    ("text", "inputs"),
    [
        ("flavors: {}\n", ()),
        (mlmodel({"type": "double", "name": "a"}, {"type": "long", "name": "b"}), ("a", "b")),
        (mlmodel({"type": "tensor", "tensor-spec": {"shape": [-1, 3]}}), ()),
        ("signature: null\n", ()),
    ],
)
def test_inputs_come_from_the_signature(tmp_path: Path, text: str, inputs: tuple[str, ...]) -> None:
    (tmp_path / "MLmodel").write_text(text)
    assert files.signature_inputs(tmp_path) == inputs


@pytest.mark.parametrize("text", ["", "a: [", "signature: {inputs: '{'}", "signature: [1]", "\udcff"])
def test_a_damaged_mlmodel_is_a_registry_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "MLmodel").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(RegistryError, match="MLmodel"):
        files.signature_inputs(tmp_path)
