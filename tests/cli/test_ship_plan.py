"""`mlship ship --plan`: what was planned is shipped, or nothing is; and how the whole job is told to pipelines."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from mlship.cli import build, evaluate, planned, ship, ship_told
from mlship.cli.main import main
from mlship.cli.telling import render
from mlship.engines import state
from mlship.errors import Exit, MovedError, UsageError
from mlship.ledger import Ledger
from mlship.policy.load import load_policy
from mlship.registry import Registry
from mlship.rollout import planfile
from mlship.rollout.pins import pins
from mlship.rollout.planfile import PlanFile
from mlship.rollout.watch import RolloutResult
from mlship.types import Evaluation, GateResult, LedgerEntry, Measurement, ModelVersion, Status
from tests.conftest import MODEL, RegistryHome
from tests.schemas import conforms

if TYPE_CHECKING:
    import pandas as pd

POLICY = """\
version: 1
model: flight-delay
owner: {{team: flight-ops, contact: flight-ops@example.com}}
data: {{evaluation: {{path: rows.csv, target: late}}}}
gates: {{contract: {{max_duplicates: {most}, max_label_conflicts: 100%}}}}
endpoint: {{listen: "127.0.0.1:{port}", timeout: 5s}}
rollout:
  steps: [{{weight: 20%, bake: {{for: 500ms, requests: 30}}}}]
"""


class Shop:
    """A directory with a policy and a registry, where commands run in this process."""

    def __init__(
        self,
        copy: RegistryHome,
        rows: pd.DataFrame,
        directory: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.home, self.directory, self._patch, self._capsys = copy.home, directory, monkeypatch, capsys
        (self.port,) = state.free_ports(1)
        self.policy()
        rows[[*copy.features, "late"]].tail(200).to_csv(directory / "rows.csv", index=False)
        self.registry = Registry.connect(copy.home.registry_uri, copy.home)
        monkeypatch.chdir(directory)
        monkeypatch.setenv("MLSHIP_HOME", str(copy.home.path))
        monkeypatch.setenv("MLSHIP_ACTOR", "tester")

    def policy(self, most: str = "100%") -> None:
        (self.directory / "mlship.yaml").write_text(POLICY.format(port=self.port, most=most))

    def mlship(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        self._capsys.readouterr()
        self._patch.setattr("sys.argv", ["mlship", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        said = self._capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    def move(self, alias: str, to: str) -> None:
        self.registry.move_alias(MODEL, alias, expected=self.registry.alias(MODEL, alias), to=to)

    def actions(self) -> list[str]:
        return [entry.action for entry in Ledger(self.home.ledger).entries(MODEL)]


@pytest.fixture
def shop(
    registry_copy: RegistryHome,
    flights: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Shop]:
    here = Shop(registry_copy, flights, tmp_path, monkeypatch, capsys)
    try:
        yield here
    finally:
        here.mlship("down")


def files(path: Path) -> dict[str, bytes]:
    return {str(each.relative_to(path)): each.read_bytes() for each in path.rglob("*") if each.is_file()}


def test_what_moved_since_the_plan_is_refused_before_anything_is_done(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said, _ = shop.mlship("plan", "mlship.yaml", "--out", "plan.json")
    assert code == 0, said
    assert said.endswith("written: plan.json\n\nnext: mlship ship mlship.yaml --plan plan.json\n")
    plan = planfile.read(Path("plan.json"))
    assert (plan.pins.candidate.version, plan.pins.champion.version, plan.who[:7]) == ("2", "1", "tester@")

    shop.move("champion", "3")
    before = files(shop.home.path)
    code, said, errors = shop.mlship("ship", "mlship.yaml", "--plan", "plan.json", "--format", "json")
    assert code == 3
    document = conforms("failure", said)
    assert (document["verdict"], document["exit_code"]) == ("error", 3)
    assert document["reason"] == "flight-delay is not as it was planned: @champion moved from version 1 to version 3"
    assert f"mlship: plan.json: {document['reason']}\n  next: look at what would happen now" in errors
    assert errors.rstrip().endswith("mlship plan mlship.yaml --out plan.json")
    after = files(shop.home.path)
    changed = {name.split("/")[0] for name in before | after if before.get(name) != after.get(name)}
    assert changed == {"models"}, "the champion of now was fetched, to know its digest"
    code, _, errors = shop.mlship("rollout", "mlship.yaml", "--plan", "plan.json")
    assert (code, document["reason"] in errors) == (3, True)

    shop.move("champion", "1")
    shop.policy("50%")
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "outputs"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    code, said, _ = shop.mlship(
        "ship", "mlship.yaml", "--plan", "plan.json", "--format", "github", "--report", "junit=junit.xml"
    )
    assert code == 3
    assert "::error title=mlship ship%3A ship error::flight-delay is not as it was planned" in said
    assert "the policy, or what the environment puts into it, says something else" in (
        (tmp_path / "summary.md").read_text()
    )
    outputs = (tmp_path / "outputs").read_text()
    assert [value in outputs for value in ("verdict<<", "\nerror\n")] == [True, True]
    (error,) = ET.parse("junit.xml").getroot().iter("error")
    assert "the policy, or what the environment puts into it" in str(error.get("message"))


def test_an_alias_that_moves_while_gates_are_judged_is_refused_before_the_rollout(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shop.mlship("plan", "mlship.yaml", "--out", "plan.json")[0] == 0
    real: Callable[..., Evaluation] = evaluate.run

    def run(*arguments: Any) -> Evaluation:
        evaluation = real(*arguments)
        shop.move("challenger", "3")
        return evaluation

    monkeypatch.setattr(evaluate, "run", run)
    code, said, errors = shop.mlship("ship", "mlship.yaml", "--plan", "plan.json")
    assert code == 3, errors + said
    assert "@challenger moved from version 2 to version 3" in errors
    assert shop.actions() == ["evaluated"], "nothing has been rolled out"
    assert not shop.home.rollouts(MODEL).exists()
    evaluation = Ledger(shop.home.ledger).entries(MODEL)[0]

    monkeypatch.setattr(evaluate, "run", real)
    shop.move("challenger", "2")
    assert shop.mlship("plan", "mlship.yaml", "--out", "plan.json")[0] == 0
    plan = planfile.read(Path("plan.json"))
    assert plan.pins.evaluation is not None
    assert plan.pins.evaluation.id == evaluation.evidence["evaluation"]
    assert dict(plan.pins.evaluation.data) == {"evaluation": evaluation.evidence["data"]}


def test_a_first_promotion_is_shipped_as_planned_and_not_twice(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real servers, without stages: where there is no champion the candidate gets all traffic at once."""
    shop.registry.client.delete_registered_model_alias(MODEL, "champion")
    assert shop.mlship("plan", "mlship.yaml", "--out", "plan.json")[0] == 0
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "outputs"))
    reports = [f"{kind}=report.{kind}" for kind in ("html", "json", "markdown", "junit", "sarif")]
    code, said, errors = shop.mlship(
        "ship", "mlship.yaml", "--plan", "plan.json", "--max-age", "1h", "--format", "github",
        *(argument for report in reports for argument in ("--report", report)),
    )  # fmt: skip
    assert code == 0, said + errors
    assert "flight-delay 2 (no champion yet): promoted" in said
    assert "gates passed: " in said
    document = conforms("ship", Path("report.json").read_text())
    assert (document["verdict"], document["evaluation"]["status"], document["latency"]) == ("promoted", "passed", None)
    rollout_id = document["rollout"]["rollout_id"]
    outputs = (tmp_path / "outputs").read_text()
    for value in ("candidate-version", "\n2\n", "has-changes", "\ntrue\n", "report-path", "report.html", rollout_id):
        assert value in outputs
    page = Path("report.html").read_text()
    assert rollout_id in page
    assert "<html" in page
    assert ET.parse("report.junit").getroot().get("failures") in (None, "0")
    assert json.loads(Path("report.sarif").read_text())["version"] == "2.1.0"
    assert shop.actions() == ["evaluated", "promoted"]

    code, _, errors = shop.mlship("ship", "mlship.yaml", "--plan", "plan.json")
    assert code == 3
    assert "@champion moved from nothing to version 2" in errors
    assert shop.actions() == ["evaluated", "promoted"]


def test_a_candidate_that_is_refused_is_told_in_every_format(shop: Shop, tmp_path: Path) -> None:
    shop.policy("0%")
    rows = (tmp_path / "rows.csv").read_text().splitlines()
    (tmp_path / "rows.csv").write_text("\n".join([*rows, *rows[1:40]]) + "\n")
    code, said, _ = shop.mlship(
        "ship", "mlship.yaml", "--format", "markdown", "--report", "json=ship.json", "--report", "html=ship.html"
    )
    assert code == 1
    assert "contract" in said
    document = conforms("ship", (tmp_path / "ship.json").read_text())
    assert (document["verdict"], document["exit_code"], document["rollout"]) == ("refused", 1, None)
    assert "contract" in document["reason"]
    assert "<html" in (tmp_path / "ship.html").read_text()


def test_the_image_that_ship_builds_itself_takes_the_place_of_the_planned_one(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shop.directory / "mlship.yaml"
    path.write_text(path.read_text().replace("rollout:\n", "rollout:\n  engine: docker\n"))
    loaded = load_policy(path)
    candidate = shop.registry.candidate(loaded.policy)

    def built(image: str, version: ModelVersion) -> None:
        evidence = {"model": version.digest, "policy": loaded.digest, "image": image}
        Ledger(shop.home.ledger).append(
            LedgerEntry(1.0, "tester", "built", MODEL, None, version.version, "because", evidence)
        )

    def build_again(*_arguments: Any, **_options: Any) -> Any:
        built("sha256:again", candidate.version)
        return SimpleNamespace(image=SimpleNamespace(id="sha256:again"))

    def judged(*_arguments: Any) -> Evaluation:
        return Evaluation(
            "e", candidate, loaded.digest, "", (GateResult("contract", "a", Status.PASSED, "", ""),), 1.0, 1.0
        )

    assert candidate.champion is not None
    built("sha256:champion", candidate.champion)
    built("sha256:planned", candidate.version)
    plan = PlanFile(pins(loaded, candidate, Ledger(shop.home.ledger).entries(MODEL)), 1.0, "tester", "1")
    assert (plan.pins.candidate.image, plan.pins.champion.image) == ("sha256:planned", "sha256:champion")
    monkeypatch.setattr(evaluate, "run", judged)
    monkeypatch.setattr(build, "run", build_again)
    proofs, now = ship._proofs(loaded, shop.home, plan)
    assert now is not None
    assert (len(proofs), now.pins.candidate.image) == (1, "sha256:again")
    with pytest.raises(MovedError, match="the image of the candidate, version 2, is another: sha256:again now"):
        ship._wants_evaluation(loaded, shop.home, plan)


PASSED = GateResult("contract", "duplicates", Status.PASSED, "", "")
RESULT = RolloutResult(
    MODEL, "", "2", "1", "rolled_back", Exit.ROLLED_BACK, "errors 20 % > 1 %", 100.0, 5.0, ((0.1, 4.0, 300),)
)


def test_a_rollback_is_a_failure_in_every_report(shop: Shop) -> None:
    told = ship_told.shipped(load_policy(Path("mlship.yaml")), shop.home, [], RESULT, 6.0)
    checklist = told.checklist()
    assert (checklist.command, str(checklist.status)) == ("ship", "failed")
    assert told.outputs == {
        "verdict": "rolled_back", "candidate-version": "2", "champion-version": "1", "has-changes": "true",
        "image-digest": "", "rollout-id": "",
    }  # fmt: skip
    assert "flight-delay 2 (champion 1): rolled back" in told.markdown()
    assert "| 1 | 10 % | 4 s | 300 |" in told.markdown()


def test_ship_tells_gitlab_of_the_load_that_it_sent(shop: Shop) -> None:
    """Where the policy has a budget; else the report is refused before anything is done."""
    code, said, errors = shop.mlship("ship", "mlship.yaml", "--report", "gitlab-performance=load.json")
    assert (code, said) == (2, "")
    assert "mlship.yaml: --report gitlab-performance: no load is sent, for the policy has no gates.latency" in errors
    assert shop.actions() == []

    path = shop.directory / "mlship.yaml"
    path.write_text(path.read_text().replace("gates: {", "gates: {latency: {rate: 50/s, for: 10s, p95: 1s}, "))
    loaded = load_policy(path)
    candidate = shop.registry.candidate(loaded.policy)
    loads = [
        GateResult("latency", "errors", status, "<= 2%", "", Measurement("errors", 0.01, n=500))
        for status in (Status.PASSED, Status.FAILED)
    ]
    kept, missed = [
        [Evaluation("e", candidate, loaded.digest, "", (one,), 1.0, 1.0) for one in (PASSED, load)] for load in loads
    ]
    for told in (
        ship_told.shipped(loaded, shop.home, kept, RESULT, 6.0),
        ship_told.refused(loaded, shop.home, missed, 6.0),
    ):
        performance = json.loads(render(told, "gitlab-performance"))["metrics"]
        assert performance["checks"] == {"passes": 495, "fails": 5, "value": 0.99}
        assert performance["http_reqs"] == {"count": 500, "rate": 50.0}


@pytest.mark.parametrize(
    ("age", "said"),
    [("1", "--max-age: "), ("soon", "--max-age: "), ("", "--max-age: ")],
)
def test_an_age_that_is_none_is_told(age: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        planned.age(age, Path("plan.json"))


def test_an_age_without_a_plan_is_told() -> None:
    with pytest.raises(UsageError, match="--max-age is the age of a plan, and there is none"):
        planned.age("1h", None)
