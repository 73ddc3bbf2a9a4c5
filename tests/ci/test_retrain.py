"""The shipped retraining workflow takes what the monitor sends, and is found again by its name."""

from __future__ import annotations

from typing import Any

import yaml

from mlship.monitor.acting.plan import Known, plan
from mlship.monitor.acting.send import inputs
from mlship.policy.schema import Policy
from mlship.templates import template
from mlship.types.monitoring import Incident, IncidentEvent


def workflow(name: str) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(template(f"ci/github/{name}").read_text())
    return found


def sent() -> dict[str, str]:
    """The inputs of a request of the monitor's, of a policy as a person writes it."""
    policy = Policy.model_validate(
        {
            "version": 1,
            "model": "flight-delay",
            "owner": {"team": "a", "contact": "b@c"},
            "monitor": {"on_breach": [{"retrain": {"github": "acme/flights", "workflow": "mlship-retrain.yml"}}]},
        }
    )
    incident = Incident("i1", "flight-delay", "3", "features", "dep_hour", 1000.0, 900.0, 1, "dep_hour has moved")
    opened = (IncidentEvent(incident, "opened", 1000.0),)
    followed = plan(policy, "sha256:1", opened, (incident,), Known(), now=2000.0, until=1500.0)
    [delivery] = [one for one in followed.deliveries if one.action == "retrain"]
    return inputs(delivery)


def test_it_takes_every_input_that_is_sent_and_needs_no_other() -> None:
    """GitHub refuses a dispatch with an input that the workflow does not name, or without one that it requires."""
    taken = workflow("mlship-retrain.yml")[True]["workflow_dispatch"]["inputs"]  # to YAML 1.1 `on` is true
    assert set(taken) == set(sent())
    assert all("default" in one and one["type"] == "string" for one in taken.values()), "a person may start it, too"


def test_its_run_is_found_by_the_id_of_the_request() -> None:
    assert "${{ inputs.request }}" in workflow("mlship-retrain.yml")["run-name"]
    assert sent()["request"].startswith("mlship-")


def test_what_is_sent_reaches_the_training() -> None:
    steps = workflow("mlship-retrain.yml")["jobs"]["train"]["steps"]
    given = {value for step in steps for value in step.get("env", {}).values()}
    for name in ("request", "model", "version", "reason", "since", "until"):
        assert f"${{{{ inputs.{name} }}}}" in given


def test_the_new_version_goes_the_way_of_every_other() -> None:
    """The same environment, runner and queue as `mlship-promote.yml`."""
    ship, other = workflow("mlship-retrain.yml")["jobs"]["ship"], workflow("mlship-promote.yml")
    assert ship["steps"][-1]["with"]["command"] == "ship"
    assert ship["environment"] == other["jobs"]["ship"]["environment"]
    assert ship["runs-on"] == other["jobs"]["ship"]["runs-on"]
    assert ship["concurrency"] == other["concurrency"]
    assert ship["env"] == other["jobs"]["ship"]["env"]


def test_the_monitor_keeps_what_it_knows() -> None:
    """On a runner that stays, in the directory of all other jobs; and one pass at a time."""
    monitor, promote = workflow("mlship-monitor.yml"), workflow("mlship-promote.yml")
    [look] = monitor["jobs"].values()
    assert look["runs-on"] == promote["jobs"]["ship"]["runs-on"]
    assert look["env"]["MLSHIP_HOME"] == promote["jobs"]["ship"]["env"]["MLSHIP_HOME"]
    assert monitor["concurrency"]["cancel-in-progress"] is False
    assert "schedule" in monitor[True]
