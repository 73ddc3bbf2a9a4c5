"""A registry and a state directory in which every kind of model is: watched, overdue, forgotten, unregistered."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlship.engines import state
from mlship.estate.watched import POLICY, TRACES
from mlship.home import Home
from mlship.ledger import Ledger
from mlship.monitor import store
from mlship.monitor.acting.delivery import Delivery
from mlship.monitor.kept import Champion, Changes, Pass
from mlship.report.monitor_json import traces
from mlship.types import LedgerEntry
from tests.report import monitored

DAY = 86400.0
#: Policies by model.
WATCHED = """\
version: 1
model: {model}
owner: {{team: {team}, contact: "#{team}", review_by: {review}}}
registry: {{uri: "{uri}"}}
data: {{evaluation: {{path: rows.parquet, target: late}}}}
gates: {{metrics: {{recall: {{min: 0.6}}}}}}
monitor: {{window: 1h, max_age: 60d, log: {{path: "log/*.parquet"}}}}
"""
PLAIN = """\
version: 1
model: {model}
owner: {{team: pricing, contact: "pricing@example.com"}}
data: {{evaluation: {{path: rows.parquet, target: late}}}}
gates: {{metrics: {{recall: {{min: 0.6}}}}}}
"""


@dataclass(frozen=True)
class Town:
    """What was made."""

    home: Home
    directory: Path
    """Where the policies are."""
    now: float

    def describe(self, model: str) -> Mapping[str, Any]:
        """What runs: one model that no registry knows."""
        if model != "ghost":
            return {"stable": None, "endpoint": None, "rollout": None, "fault": None}
        return {"stable": "7", "endpoint": "http://127.0.0.1:8080", "rollout": None, "fault": None}


def register(home: Home, model: str, versions: int = 1, champion: str | None = None) -> None:
    """A model with versions that have no files."""
    from mlflow import MlflowClient

    client = MlflowClient(home.registry_uri, home.registry_uri)
    client.create_registered_model(model)
    for _ in range(versions):
        client.create_model_version(model, source="file:///nowhere")
    if champion is not None:
        client.set_registered_model_alias(model, "champion", champion)


def town(home: Home, directory: Path) -> Town:
    """`flight-delay` is watched, has incidents, and its review is overdue; `churn` is fine and has never been watched;
    `price` is in no registry; `fraud` has a champion and no policy; `old` is registered only; `ghost` serves.
    """
    now = time.time()
    register(home, "flight-delay", 3, "3")
    register(home, "churn", 1, "1")
    register(home, "fraud", 2, "1")
    register(home, "old")
    policies = {
        "mlship.yaml": WATCHED.format(
            model="flight-delay", team="flight-ops", review="2026-01-01", uri=home.registry_uri
        ),
        "teams/churn/mlship.yaml": WATCHED.format(
            model="churn", team="crm", review="2099-01-01", uri=home.registry_uri
        ),
        "teams/price/mlship-price.yml": PLAIN.format(model="price"),
        "broken.yaml": "version: 1\nmodel: broken\nowner: {team: x}\ngates: {metrix: {}}\n",
        "compose.yaml": "services: {web: {image: nginx}}\n",
        ".hidden/mlship.yaml": PLAIN.format(model="hidden"),
    }
    for name, text in policies.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    ledger = Ledger(home.ledger)
    evidence = {"status": "passed", "evaluation": "e1"}
    ledger.append(LedgerEntry(now - 3 * DAY, "ada", "evaluated", "flight-delay", "2", "3", "all passed", evidence))
    ledger.append(LedgerEntry(now - 2 * DAY, "ada", "promoted", "flight-delay", "2", "3", "all steps done"))
    ledger.append(LedgerEntry(now - 2 * DAY, "ada", "promoted", "fraud", None, "1", "first"))
    watch(home, now, directory / "mlship.yaml")
    engine = home.ensure(home.engine("ghost"))
    (engine / state.MARK).write_text("local")
    (engine / state.FILE).write_text(json.dumps({"model": "ghost"}))
    return Town(home, directory, now)


def watch(home: Home, now: float, policy: Path) -> None:
    """A pass of the monitor five minutes ago, which found incidents; a retraining asked for two days ago."""
    training = Delivery(
        "mlship-1", "retrain", "retrain#0", "features-2", "features", "dep_hour", "3", "retrain",
        made=now + 60, state="done", ended=now + 60,
    )  # fmt: skip
    with store.writing(home, "flight-delay", "test") as kept:
        kept.commit(
            Changes(
                version="3",
                incidents=monitored.INCIDENTS,
                deliveries=(training,),
                findings=monitored.FINDINGS,
                last=Pass(now - 300, 1, "failed", "BREACH  flight-delay 3", version="3"),
                champion=Champion("3", "sha256:1", "{}", now - 2 * DAY),
                memory={TRACES: traces(monitored.BREACH), POLICY: str(policy)},
            )
        )
