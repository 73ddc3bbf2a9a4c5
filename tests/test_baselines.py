"""The baseline in a real registry: kept with the evaluation, found from the version's tags, and verified."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pytest

from mlship.cli.evaluate import Asked, keep, run
from mlship.cli.progress import told_on_stderr
from mlship.cli.ship_told import baseline as told_by_ship
from mlship.errors import RegistryError
from mlship.home import Home
from mlship.ledger import Ledger
from mlship.policy.load import LoadedPolicy, load_policy
from mlship.registry import Registry, baselines
from mlship.rollout.prospect import prospect
from mlship.types import Evaluation, Status
from tests.conftest import MODEL, RegistryHome

POLICY = """\
version: 1
model: flight-delay
owner: {team: flight-ops, contact: flight-ops@example.com, review_by: 2099-12-31}
data:
  evaluation: {path: july.parquet, target: late, time: time_hour}
  reference: {path: reference.parquet, time: time_hour}
gates:
  metrics:
    recall: {min: 0.3, max_drop: 0.02}
monitor:
  window: 6h
  performance: {recall: {min: 0.3}}
"""


@dataclass(frozen=True)
class Place:
    """A registry of this file alone, and an evaluation of its champion against itself."""

    home: Home
    loaded: LoadedPolicy
    evaluation: Evaluation

    @property
    def registry(self) -> Registry:
        return Registry.connect(None, self.home)

    def tags(self, number: str = "1") -> dict[str, str]:
        """Of a version."""
        return dict(self.registry.client.get_model_version(MODEL, number).tags)


def _evaluated(loaded: LoadedPolicy, home: Home, asked: Asked) -> Evaluation:
    with told_on_stderr() as progress:
        return run(loaded, home, progress, asked)


@pytest.fixture(scope="module")
def place(registry_home: RegistryHome, flights: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Place:
    directory = tmp_path_factory.mktemp("baselines")
    home = Home(directory / ".mlship")
    home.ensure(home.registry_dir)
    shutil.copy(registry_home.home.registry_dir / "mlflow.db", home.registry_dir / "mlflow.db")
    flights[flights["month"] == 7].iloc[::7].to_parquet(directory / "july.parquet")
    flights[flights["month"] <= 6].iloc[::20].to_parquet(directory / "reference.parquet")
    (directory / "mlship.yaml").write_text(POLICY)
    loaded = load_policy(directory / "mlship.yaml")
    return Place(home, loaded, _evaluated(loaded, home, Asked(candidate="@champion")))


@pytest.fixture
def artifact(place: Place) -> Iterator[Path]:
    """The file that the registry has; it is there again, and the tags are as they were, after a test."""
    assert place.evaluation.run_id is not None
    client, tags = place.registry.client, place.tags()
    path = Path(client.get_run(place.evaluation.run_id).info.artifact_uri.removeprefix("file://")) / baselines.NAME
    content = path.read_bytes()
    yield path
    path.write_bytes(content)
    for name in (baselines.TAG, baselines.RUN):
        client.set_model_version_tag(MODEL, "1", name, tags[name])


def test_a_champion_without_a_baseline_gets_one_by_an_evaluation_against_itself(place: Place) -> None:
    """What is found from its tags is what was made; run, version and ledger name it by one digest."""
    made = place.evaluation
    assert made.status is Status.PASSED
    assert made.candidate.champion is not None
    assert made.candidate.champion.version == made.candidate.version.version == "1"
    found = place.registry.baseline(MODEL, "1")
    assert found.baseline == made.baseline
    assert found.run == made.run_id
    assert place.tags()[baselines.TAG] == found.digest
    assert place.registry.client.get_run(found.run).data.tags[baselines.TAG] == found.digest
    entry = Ledger(place.home.ledger).entries(MODEL)[-1]
    assert (entry.action, entry.evidence["baseline"]) == ("evaluated", found.digest)
    assert found.baseline.digest == made.candidate.version.digest
    assert found.baseline.policy_digest == place.loaded.digest


def test_it_is_told_in_one_line(place: Place) -> None:
    """As a rule of the evaluation, by ship, and as a proof of the plan."""
    (result,) = [one for one in place.evaluation.results if one.gate == "monitor"]
    assert (result.rule, result.status, result.limit) == ("baseline", Status.PASSED, "is made")
    assert "rows of reference.parquet: 7 features, scores, calibration and " in result.reason
    assert told_by_ship([place.evaluation]) == f"baseline kept: {result.reason}"
    assert told_by_ship([replace(place.evaluation, baseline=None)]) == ""
    at = replace(place.loaded, policy=place.loaded.policy.model_copy(update={"candidate": "1"}))
    proofs = {proof.name: proof for proof in prospect(at, place.home, say=lambda _: None).proofs}
    kept = place.tags()[baselines.TAG]
    assert proofs["baseline"].state == "passed"
    assert proofs["baseline"].what == f"kept with the evaluation: {kept[:19]}"


def test_it_comes_back_exactly_as_it_was(place: Place) -> None:
    """Every number, to the last bit; what JSON cannot hold is refused before it is written."""
    made = place.evaluation.baseline
    assert made is not None
    assert baselines.loads(baselines.dumps(made)) == made
    assert baselines.dumps(baselines.loads(baselines.dumps(made))) == baselines.dumps(made)
    with pytest.raises(ValueError, match="JSON compliant"):
        baselines.dumps(replace(made, since=float("nan")))
    with pytest.raises(ValueError, match="model"):
        baselines.loads('{"version": "1"}')


def _refused(place: Place, number: str = "1") -> str:
    with pytest.raises(RegistryError) as refused:
        place.registry.baseline(MODEL, number)
    error = refused.value
    assert error.where == f"{MODEL} version {number}" or "there is no version" in error.what
    if error.hint.startswith("make one"):
        assert error.hint == f"make one: mlship evaluate POLICY --candidate {number} (with `monitor` in the policy)"
    return error.what


def test_a_version_without_one_says_how_to_make_it(place: Place) -> None:
    """And a version that does not exist, that."""
    said = _refused(place, "3")
    assert said == "it has no baseline: it was evaluated under a policy without `monitor`, or not by mlship"
    assert "there is no version 99" in _refused(place, "99")


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"model": "flight-delay"'])
def test_a_damaged_or_swapped_file_is_not_taken(place: Place, artifact: Path, content: bytes) -> None:
    """One message, whatever is in it."""
    artifact.write_bytes(content)
    assert _refused(place).startswith("its baseline is not the one that was kept: baseline.json of run ")


def test_a_file_that_is_gone_is_told(place: Place, artifact: Path) -> None:
    """And so is a run that is gone."""
    artifact.unlink()
    assert _refused(place).startswith("its baseline is gone: run ")
    place.registry.client.set_model_version_tag(MODEL, "1", baselines.RUN, "0" * 32)
    assert _refused(place) == f"its baseline is gone: run {'0' * 32} has no baseline.json"


def test_another_version_s_or_model_s_baseline_is_not_taken(place: Place, artifact: Path) -> None:
    """The tags of one version on another; and a baseline of a model of that number, with a digest that fits."""
    client, tags = place.registry.client, place.tags()
    for name in (baselines.TAG, baselines.RUN):
        client.set_model_version_tag(MODEL, "2", name, tags[name])
    try:
        assert _refused(place, "2") == "its tags name the baseline of flight-delay version 1"
    finally:
        for name in (baselines.TAG, baselines.RUN):
            client.delete_model_version_tag(MODEL, "2", name)
    made = place.evaluation.baseline
    assert made is not None
    text = baselines.dumps(replace(made, model="other"))
    artifact.write_text(text)
    client.set_model_version_tag(MODEL, "1", baselines.TAG, baselines.digest(text))
    assert _refused(place) == "its tags name the baseline of other version 1"


def test_one_of_another_mlship_is_told_as_such(place: Place, artifact: Path) -> None:
    """The file is what was kept, and cannot be read."""
    artifact.write_text("{}")
    place.registry.client.set_model_version_tag(MODEL, "1", baselines.TAG, baselines.digest("{}"))
    assert _refused(place).startswith("its baseline was made by another version of mlship")


def test_an_evaluation_that_fails_does_not_replace_the_baseline_of_one_that_passed(
    place: Place, artifact: Path
) -> None:
    """The champion is held against what it was when it was proved; where nothing else is there, any is better."""
    assert artifact.is_file()
    made = place.evaluation
    assert made.baseline is not None
    failed = tuple(replace(one, status=Status.FAILED) for one in made.results)
    newer = replace(made, results=failed, baseline=replace(made.baseline, made=made.started + 1))
    before = place.tags()
    kept = keep(newer, place.registry, place.loaded.text)
    assert place.tags()[baselines.RUN] == before[baselines.RUN] != kept.run_id
    client = place.registry.client
    client.delete_model_version_tag(MODEL, "1", baselines.RUN)
    client.delete_model_version_tag(MODEL, "1", baselines.TAG)
    kept = keep(newer, place.registry, place.loaded.text)
    assert place.registry.baseline(MODEL, "1").run == kept.run_id
    again = keep(newer, place.registry, place.loaded.text)
    assert place.registry.baseline(MODEL, "1").run == again.run_id
    passed = keep(made, place.registry, place.loaded.text)
    assert place.registry.baseline(MODEL, "1").run == passed.run_id


def test_a_partial_evaluation_keeps_none(place: Place) -> None:
    """Some gates only, or another champion: it proves nothing, and so it is nothing to hold traffic against."""
    for asked in (Asked(only=("metrics",), candidate="2"), Asked(candidate="2", against="1")):
        partial = _evaluated(place.loaded, place.home, asked)
        assert partial.partial
        assert partial.baseline is None
        assert "monitor" not in {result.gate for result in partial.results}
    assert baselines.TAG not in place.tags("2")
