"""A rollout in a process of its own, on the real local engine with stand-in servers: `worker.py DIRECTORY PORT`.

Its registry is a file, so that it outlives a kill -9. Prints the result as one line of JSON.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

from mlship.engines.front import Front
from mlship.engines.local import LocalEngine
from mlship.engines.options import Setup
from mlship.errors import MovedError
from mlship.home import Home
from mlship.ledger import Ledger
from mlship.rollout.controller import Controller
from mlship.rollout.judge import Guards
from mlship.rollout.plan import Plan, PlanStep, new_id
from mlship.rollout.watch import Look
from mlship.types import ModelVersion, Release

MODEL = "flight-delay"
STANDIN = Path(__file__).parent.parent / "engines" / "standin.py"


def digest(version: str) -> str:
    return "sha256:" + (version * 64)[:64]


def standin(release: Release, listen: str) -> list[str]:
    return [sys.executable, str(STANDIN), release.version, listen.rsplit(":", 1)[1]]


def local_engine(directory: Path, port: int) -> LocalEngine:
    setup = Setup(Front(f"127.0.0.1:{port}", 5.0))
    return LocalEngine(Home(directory / ".mlship"), MODEL, setup, command=standin)


class FileRegistry:
    """Aliases in a JSON file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            path.write_text(json.dumps({"champion": "1", "challenger": "2"}))

    def version(self, model: str, reference: str) -> ModelVersion:
        return ModelVersion(model, reference, digest(reference), self.path.parent)

    def alias(self, model: str, alias: str) -> str | None:  # noqa: ARG002 - one model is enough here
        found: str | None = json.loads(self.path.read_text()).get(alias)
        return found

    def move_alias(self, model: str, alias: str, *, expected: str | None, to: str) -> None:
        aliases = json.loads(self.path.read_text())
        if aliases.get(alias) != expected:
            raise MovedError("moved", where=model)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps({**aliases, alias: to}))
        fresh.replace(self.path)


def make_plan(directory: Path, port: int, steps: tuple[PlanStep, ...]) -> Plan:
    return Plan(
        rollout_id=new_id(0),
        model=MODEL,
        canary=Release(MODEL, "2", digest("2"), directory),
        stable=Release(MODEL, "1", digest("1"), directory),
        steps=steps,
        guards=Guards(errors=1.25, latency=1.5),
        deadline=120,
        keep_warm=3600,
        engine="local",
        setup=Setup(Front(f"127.0.0.1:{port}", 5.0)),
        candidate_reference="@challenger",
        champion_alias="champion",
        policy_path=str(directory / "mlship.yaml"),
        policy_digest="sha256:policy",
        registry_uri=None,
        evaluation_id="e",
        run_id="r",
    )


class Printer:
    """Every sentence on stderr."""

    def say(self, text: str) -> None:
        sys.stderr.write(text + "\n")

    def look(self, look: Look) -> None:
        self.say(look.decision.verdict.reason)


def controller(directory: Path, port: int, steps: tuple[PlanStep, ...], interval: float = 0.1) -> Controller:
    home = Home(directory / ".mlship")
    return Controller(
        make_plan(directory, port, steps),
        home=home,
        engine=local_engine(directory, port),
        registry=FileRegistry(directory / "registry.json"),
        ledger=Ledger(home.ledger),
        who="worker",
        interval=interval,
        view=Printer(),
    )


def main(directory: Path, port: int) -> None:
    steps = (PlanStep(0.2, 0.6, 20), PlanStep(0.5, 0.6, 40))
    result = controller(directory, port, steps).run()
    print(json.dumps({**asdict(replace(result)), "exit_code": int(result.exit_code)}))  # noqa: T201 - its answer


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
