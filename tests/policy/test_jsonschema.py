"""The JSON Schema, the template and the reference page: three faces of one schema, in step with it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from mlship.policy.jsonschema import DIALECT, json_schema
from mlship.policy.later import THIS
from mlship.policy.load import check, load_policy
from mlship.policy.monitor import (
    Back,
    FeatureLimits,
    Hold,
    Monitor,
    OnBreach,
    PredictionLimits,
    Retrain,
    SliceLimits,
)
from mlship.policy.reference import markdown
from mlship.policy.rollout import AgreementGuard, Approve, Hook, LabelGuard, PredictionGuard
from mlship.policy.rollout import Testers as OnlyTesters
from mlship.policy.schema import Policy
from mlship.templates import template
from tests.policy.conftest import VALID

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json_schema()


def nodes(node: Any) -> list[dict[str, Any]]:
    """Every mapping inside a document."""
    if isinstance(node, list):
        return [found for item in node for found in nodes(item)]
    if isinstance(node, dict):
        return [node, *(found for value in node.values() for found in nodes(value))]
    return []


def test_the_schema_is_draft_7_and_nothing_later(schema: dict[str, Any]) -> None:
    Draft7Validator.check_schema(schema)
    assert schema["$schema"] == DIALECT
    later = {
        "$defs",
        "prefixItems",
        "unevaluatedProperties",
        "dependentRequired",
        "minContains",
        "$dynamicRef",
        "discriminator",
    }
    for node in nodes(schema):
        assert not later & node.keys()
        assert "$ref" not in node or len(node) == 1, "draft 7 ignores what stands beside a $ref"


def test_every_key_says_what_it_means(schema: dict[str, Any]) -> None:
    for section in [schema, *schema["definitions"].values()]:
        assert section["description"]
        assert section["additionalProperties"] is False
        for key, described in section["properties"].items():
            assert described.get("description"), key


def test_every_default_is_valid_where_it_stands(schema: dict[str, Any]) -> None:
    for section in [schema, *schema["definitions"].values()]:
        for key, described in section["properties"].items():
            if "default" in described:
                inner = {**described, "definitions": schema["definitions"]}
                assert Draft7Validator(inner).is_valid(described["default"]), key


def template_policy(directory: Path) -> Path:
    """The shipped template, in a directory with the data that it names."""
    (directory / "data").mkdir()
    header = "late,time_hour,tailnum,distance,origin,arr_time,air_time\n"
    import pandas as pd

    frame = pd.DataFrame({name: [1] for name in header.strip().split(",")})
    for name in ("2013-07", "2013-h1"):
        frame.to_parquet(directory / "data" / f"{name}.parquet")
    for name in ("offline", "online", "keys"):
        frame.to_parquet(directory / "data" / f"{name}.parquet")
    for module, function in (("earnings", "per_flight"), ("checks", "freshness")):
        (directory / f"{module}.py").write_text(f"def {function}(): ...\n")
    (directory / "data" / "flights.db").touch()
    (directory / "logs").mkdir()
    (directory / "logs" / "1.jsonl").write_text(
        '{"at": "2013-08-01", "predicted": 1, "probability": 0.7, "id": "a", "origin": "JFK"}\n'
    )
    (directory / "data" / "landed-1.csv").write_text("id,late\na,1\n")
    (directory / "check.sh").write_text("exit 0\n")
    (directory / "check.sh").chmod(0o755)
    (directory / "features").mkdir()
    (directory / "features" / "feature_store.yaml").touch()
    (directory / "docs" / "runbooks").mkdir(parents=True)
    (directory / "docs" / "runbooks" / "flight-delay.md").touch()
    return Path(shutil.copy(template("policy.yaml"), directory / "mlship.yaml"))


def test_the_template_is_valid_for_the_loader_and_for_editors(tmp_path: Path, schema: dict[str, Any]) -> None:
    path = template_policy(tmp_path)
    assert check(path, {}) == []
    document = yaml.load(path.read_text(), Loader=yaml.BaseLoader)
    assert document["model"] == "flight-delay"
    assert list(Draft7Validator(schema).iter_errors(json.loads(json.dumps(_typed(path))))) == []


def _typed(path: Path) -> Any:
    return json.loads(json.dumps(yaml.safe_load(path.read_text()), default=str))


#: `# or key: value`, and a comment after it.
_ALTERNATIVE = re.compile(r"^ *# or (\w+: .*?)(?:  #.*)?$", re.MULTILINE)


def test_the_template_shows_every_key_of_the_schema(schema: dict[str, Any]) -> None:
    text = template("policy.yaml").read_text()
    documents = [text, *_ALTERNATIVE.findall(text)]
    shown = {key for document in documents for node in nodes(yaml.safe_load(document)) for key in node}
    for section in [schema, *schema["definitions"].values()]:
        assert section["properties"].keys() <= shown


def test_the_defaults_that_the_template_shows_are_the_defaults(tmp_path: Path) -> None:
    policy = load_policy(template_policy(tmp_path)).policy
    bare = Policy.model_validate({"version": 1, "model": "m", "owner": {"team": "a", "contact": "abc"}})
    assert policy.registry == bare.registry
    assert (policy.candidate, policy.champion) == (bare.candidate, bare.champion)
    assert policy.endpoint == bare.endpoint
    examples = {
        "contract": {"columns"},
        "leakage": {"unavailable"},
        "skew": {"offline", "online", "key", "time"},
        "slices": {"by", "metric", "min", "max_gap"},
        "fairness": {"by", "max_difference"},
        "value": {"payoff"},
        "agreement": {"max_changed", "min_better"},
        "latency": {"rate", "p50", "p95", "p99", "volume", "peak", "max_replicas", "cold_start", "memory"},
    }
    for name in set(type(policy.gates).model_fields) - {"metrics", "custom"}:
        gate = getattr(policy.gates, name)
        for key, info in type(gate).model_fields.items():
            if key not in examples.get(name, ()):
                assert getattr(gate, key) == info.get_default(), f"{name}.{key}"
    rollout = policy.rollout
    assert rollout is not None
    guard, plain = rollout.guard, type(rollout.guard)()
    assert rollout == type(rollout)(steps=rollout.steps, guard=guard, freeze=rollout.freeze, hooks=rollout.hooks)
    assert guard.latency is not None
    assert (
        guard.model_copy(
            update={
                **dict.fromkeys(("labels", "predictions", "agreement")),
                "latency": guard.latency.model_copy(update={"p99": None}),
            }
        )
        == plain
    )
    assert guard.labels == LabelGuard()
    assert guard.predictions == PredictionGuard()
    assert guard.agreement == AgreementGuard.model_validate({"min": "90%"})
    assert rollout.hooks.before_step[0] == Hook(command="./check.sh")
    assert {step.approve for step in rollout.steps if step.approve} == {Approve()}
    assert {step.testers for step in rollout.steps if step.testers} == {OnlyTesters(header="x-canary")}
    assert policy.notify == bare.notify
    monitor = policy.monitor
    assert monitor is not None
    told = {"season", "log", "labels", "delay", "features", "predictions", "performance", "value", "slices"}
    told |= {"max_age", "max_silence", "on_breach"}
    assert monitor.model_copy(update={key: getattr(Monitor(), key) for key in told}) == Monitor()
    assert monitor.features == FeatureLimits.model_validate({"missing": "1%", "unseen": "1%"})
    assert monitor.predictions == PredictionLimits()
    assert monitor.slices == SliceLimits(by=("origin",))
    retrain = monitor.on_breach[0].retrain
    assert retrain == Retrain(github="acme/flight-delay", workflow="mlship-retrain.yml")
    assert monitor.on_breach[1:] == (OnBreach(rollback=Back()), OnBreach(pause=Hold()))


@pytest.mark.parametrize(
    ("alternative", "replaces"),
    [
        ("mlflow", ["path"]),
        ("feast", ["offline", "online"]),
        ("function: earnings", ["payoff"]),
        ("function", ["command"]),
        ("sticky", ["sticky"]),
        ("notify", ["notify"]),
        ('sql: {url: "${DATABASE_URL:-sqlite:///data/flights.db}", query: SELECT * FROM log', ["path"]),
        ("sql", ["path"]),
        (
            "- retrain",
            ["- retrain", "github", "workflow", "ref", "token", "api", "cool_down", "timeout", "when"],
        ),
    ],
)
def test_every_alternative_of_the_template_is_valid_in_its_place(
    tmp_path: Path, schema: dict[str, Any], alternative: str, replaces: list[str]
) -> None:
    path = template_policy(tmp_path)
    lines = path.read_text().splitlines()
    [at] = [i for i, line in enumerate(lines) if line.lstrip().startswith(f"# or {alternative}")][-1:]
    for index, key in enumerate(reversed(replaces)):
        assert lines[at - 1 - index].lstrip().startswith(f"{key}:")
    changed = [*lines[: at - len(replaces)], lines[at].replace("# or ", "", 1), *lines[at + 1 :]]
    if replaces == ["payoff"]:  # without it there is no value of live traffic
        lines = [line for line in changed if not line.startswith("  value: {min: 0}")]
        changed = [line.replace(", value", "") if "when:" in line else line for line in lines]
    path.write_text("\n".join(changed))
    assert check(path, {"SLACK_URL": "slack://token"}) == []
    assert list(Draft7Validator(schema).iter_errors(_typed(path))) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("recall: {min", "recall: {mni"),
        ("1%", "1"),
        ("for: 10m", "for: 10"),
        ("contact: flight-ops@example.com, ", ""),
        ("version: 1", "version: 2"),
        ("requests: 5000", "requests: 0.5"),
        ("entity: [tailnum]", "entity: tailnum"),
        ("min: 0.6", "min: '0.6'"),
        ("127.0.0.1:8080", "somewhere"),
        ("owner:", "candidate: 7\nowner:"),
        ("10m", "${BAKE:-10m}"),
        ("rollout:", "rollout:\n  freeze: [Fri 16:00 - Mon 08:00 Europe/Berlin]"),
        ("rollout:", "rollout:\n  freeze: [fri 16:00 - mon 08:00]"),
        ("rollout:", "rollout:\n  freeze: [Fri 16:00 - Mon 24:00]"),
    ],
)
def test_editors_and_the_loader_agree(policy_file: Path, schema: dict[str, Any], old: str, new: str) -> None:
    text = VALID.replace(old, new, 1) if old else VALID
    policy_file.write_text(text.replace("{for: ${", '{for: "${').replace("10m},", '10m}",'))
    assert Draft7Validator(schema).is_valid(_typed(policy_file)) == (check(policy_file, {}) == [])


def test_the_reference_page_is_the_generated_one() -> None:
    written = (ROOT / "docs" / "reference" / "policy.md").read_text()
    assert written == markdown(), "run: python -m mlship.policy.reference > docs/reference/policy.md"


def test_messages_name_the_version_that_this_is() -> None:
    from importlib.metadata import version

    assert version("mlship").startswith(THIS.removeprefix("mlship ") + ".")
