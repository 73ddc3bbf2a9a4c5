"""A plan holds the policy's figures, keeps them through JSON, and writes down no secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlship.engines.front import front
from mlship.engines.options import Setup, options
from mlship.errors import PolicyError
from mlship.policy.schema import Policy
from mlship.registry import connection
from mlship.rollout import plan as plans
from mlship.rollout.plan import Plan, PlanStep
from mlship.types import Candidate, ModelVersion, Routes
from tests.fakes.rollout import PLAN, digest

POLICY = {
    "version": 1,
    "model": "flight-delay",
    "owner": {"team": "flight-ops", "contact": "flight-ops@example.com"},
    "rollout": {
        "steps": [{"weight": "1%", "bake": {"for": "10m", "requests": 500}}, {"weight": "50%", "bake": {"for": "1m"}}],
        "guard": {"false_rollback": "2%", "latency": None, "labels": {"max_ratio": 1.1}},
        "progress_deadline": "2h",
        "keep_warm": "30m",
    },
}


def make(policy: dict[str, object], uri: str | None = None) -> Plan:
    candidate = Candidate(
        ModelVersion("flight-delay", "8", digest("8"), Path("/m/8")),
        ModelVersion("flight-delay", "7", digest("7"), Path("/m/7")),
    )
    checked = Policy.model_validate(policy)
    return plans.make(
        checked,
        candidate,
        setup=Setup(front(checked.endpoint, Path), options(checked, "sha256:p")),
        policy_path=Path("/p/mlship.yaml"),
        policy_digest="sha256:p",
        registry_uri=uri,
        evaluation_id="e",
        run_id="r",
        now=0.0,
    )


def test_the_policy_becomes_figures() -> None:
    plan = make(POLICY)
    assert [(step.weight, step.seconds, step.requests) for step in plan.steps] == [(0.01, 600, 500), (0.5, 60, 0)]
    assert (plan.guards.errors, plan.guards.latency, plan.guards.labels) == (1.25, None, 1.1)
    assert plan.guards.limit == pytest.approx(50)
    assert (plan.deadline, plan.keep_warm, plan.champion_alias) == (7200, 1800, "champion")
    assert plan.routes(PlanStep(0.01, 0, 0)) == Routes("v7-77777777", "v8-88888888", 0.01)
    assert plan.setup.front.timeout == 5.0


def test_a_policy_without_a_rollout_says_what_to_add() -> None:
    with pytest.raises(PolicyError, match="no rollout section"):
        make({key: value for key, value in POLICY.items() if key != "rollout"})


def test_a_plan_survives_json() -> None:
    for plan in (PLAN, make(POLICY)):
        assert plans.from_json(json.loads(json.dumps(plans.to_json(plan)))) == plan


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://mlflow:hunter2@db/mlflow",
        "postgresql://mlflow:hun/hunter2@db/mlflow",
        "postgresql://db/mlflow?user=mlflow&password=hunter2",
        "postgresql://db/mlflow?sslmode=require&sslpassword=hunter2&user=mlflow",
        "https://mlflow/api?token=hunter2",
        "https://hunter2@mlflow/",
    ],
)
def test_a_password_is_never_written_down(uri: str) -> None:
    assert "hunter2" not in json.dumps(plans.to_json(make(POLICY, uri)))
    said = connection.safe(f"cannot reach {uri} (really)")
    assert "hunter2" not in said
    assert said.startswith(f"cannot reach {uri.partition('://')[0]}://")


def test_a_registry_without_a_secret_is_written_down_as_it_is() -> None:
    for uri in ("sqlite:///a b/x.db", "postgresql://db:5432/mlflow?user=mlflow&sslmode=require", "file:///x"):
        assert make(POLICY, uri).registry_uri == uri
    assert make(POLICY, "http://mlflow:5000").registry_uri == "http://mlflow:5000"
