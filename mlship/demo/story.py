"""The story that `mlship demo` tells: real models on real flights are promoted, refused and rolled back."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from zoneinfo import ZoneInfo

from mlship.demo import models
from mlship.demo.callers import Callers, Heard
from mlship.demo.flights import flights, months
from mlship.demo.stage import POLICY, POLICY_NEW_PIPELINE, Outcome, Stage
from mlship.errors import EngineError, MlshipError

if TYPE_CHECKING:
    import pandas as pd

#: Requests a second that the callers send.
RATE = 110.0
#: July passes so many times, in time order, each time with other flights: some seconds of traffic then span many days,
#: and not one storm, in which both models are right.
PASSES = 7


class Teller(Protocol):
    """How the story reaches a person."""

    def chapter(self, title: str) -> None:
        """A new part of the story begins."""

    def say(self, text: str) -> None:
        """A sentence for the reader."""

    def command(self, line: str) -> None:
        """A command that is run now, as the reader would type it."""

    def progress(self, line: str) -> None:
        """A line of that command's own progress."""

    def output(self, text: str) -> None:
        """What that command printed."""

    def verdict(self, scenario: Scenario) -> None:
        """How it ended."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One candidate's fate."""

    name: str
    candidate_version: str
    verdict: str
    exit_code: int
    reason: str
    seconds: float


@dataclass
class Told:
    """What happened in the story so far."""

    scenarios: list[Scenario] = field(default_factory=list)
    verdicts_at: list[tuple[str, float]] = field(default_factory=list)
    """(version, unix time of the verdict) of each rollback whose canary was alive."""
    heard: Heard | None = None

    def report(self) -> dict[str, Any]:
        """The report of `mlship demo --report`; times in seconds, `rollback_ms` in milliseconds."""
        if self.heard is None:
            raise AssertionError("the callers have not come home yet")
        lags = [self.heard.rollback_ms(version, at) for version, at in self.verdicts_at]
        return {
            "scenarios": [asdict(scenario) for scenario in self.scenarios],
            "traffic": {"sent": self.heard.sent, "failed": self.heard.failed},
            "rollback_ms": [round(lag, 2) for lag in lags if lag is not None],
        }


#: What must come out, or the demo is broken and says so.
EXPECTED = {
    "a better candidate": ("promoted", 0),
    "a candidate that has seen the answer": ("refused", 1),
    "fine offline, skewed online": ("rolled_back", 5),
    "a canary that is killed": ("rolled_back", 5),
}


def tell(stage: Stage, teller: Teller, *, rate: float = RATE, keep: bool = False) -> Told:
    """Play the whole story on a stage; returns what happened, measured.

    Whatever happens, callers, servers and router are stopped at the end, unless `keep` and the story ended well.
    Raises ``MlshipError`` when a chapter ends otherwise than its data says it must.
    """
    told = Told()
    callers: Callers | None = None
    finished = False
    try:
        teller.chapter("A registry, from 327,346 real flights out of New York in 2013")
        frame = flights()
        models.write_data(frame, stage.directory / "data")
        stage.home.ensure(stage.home.registry_dir)
        uri = stage.home.registry_uri
        experiment = models.open_registry(uri, stage.home.registry_dir / "artifacts")
        champion, *challengers = models.RECIPES
        models.register(champion, frame, experiment)
        teller.say(f"version 1: {champion.title}")
        for alias in ("champion", "challenger"):
            models.point(uri, alias, "1")
        with ThreadPoolExecutor(1) as helper:
            live = helper.submit(_run, stage, teller, "rollout", POLICY)
            for recipe in challengers:
                models.register(recipe, frame, experiment)
                teller.say(f"version {recipe.version}: {recipe.title}")
            _must(live.result(), "serve the champion")
        july = months(frame, 7, 7)
        july = july.iloc[[row for first in range(PASSES) for row in range(first, len(july), PASSES)]]
        callers = Callers(stage.url, july, rate, stage.directory)
        teller.say(
            f"Version 1 is live. July's flights call, {rate:g} a second, in time order (every {PASSES}th, then the"
        )
        teller.say("others); each flight's outcome is reported a second later.")

        _ship(stage, teller, told, "a better candidate", "2", uri=uri)
        _ship(stage, teller, told, "a candidate that has seen the answer", "3", uri=uri)
        _ship(stage, teller, told, "fine offline, skewed online", "4", uri=uri, policy=POLICY_NEW_PIPELINE)
        twin = models.register_twin(uri, "2")
        _ship(stage, teller, told, "a canary that is killed", twin, uri=uri, kill=True)

        teller.chapter("What runs, and what happened")
        for look in ("status", "history"):
            teller.command(f"mlship {look}")
            teller.output(stage.show(look))

        _watch(stage, teller, frame, uri)

        teller.chapter("Second thoughts: back to version 1, now")
        outcome = _must(_run(stage, teller, "rollback", models.MODEL), "roll back")
        told.verdicts_at.append(("2", float(outcome.document["verdict_at"])))
        route_ms = outcome.document["route_ms"]
        teller.say(f"Version 1 serves again, {route_ms:g} ms after the decision: its server was kept warm.")
        time.sleep(1.0)
        told.heard, callers = callers.stop(), None
        finished = True
    finally:
        if callers is not None:
            callers.stop()
        if not (keep and finished):
            stage.run("down")
    return told


def _watch(stage: Stage, teller: Teller, frame: pd.DataFrame, uri: str) -> None:
    """The champion's five months after its promotion, in one pass."""
    teller.chapter("After promotion: July to November, as they came")
    models.write_predictions(frame, uri, "2", stage.directory / "data" / "predictions")
    teller.say(
        "What version 2 says about flights that it has never seen is held against the baseline that its evaluation"
    )
    teller.say("kept. From September on New York flies on time, unless it rains: is that chance, and does it matter?")
    outcome = _run(stage, teller, "monitor", POLICY, "--since", "2013-07-01")
    incidents = {one["id"]: one for one in outcome.document.get("incidents", [])}
    for event in outcome.document.get("events", []):
        one = incidents[event["incident"]]
        since = f"; it has changed since about {_day(one['since'])}" if event["what"] == "opened" else ""
        teller.say(f"{_day(event['at'])}: {one['kind']}, {one['subject']}: {event['what']}{since}")
    if "opened" not in {event["what"] for event in outcome.document.get("events", [])}:
        raise MlshipError("September's change was not found", where="mlship monitor", hint="run it again with --debug")
    asked = stage.directory / "retraining.txt"
    if asked.is_file():
        teller.say(f"Training is asked for, once: {asked.read_text().splitlines()[0][:80]}...")


def _day(at: float) -> str:
    """A day of the story: `3 September`."""
    there = datetime.fromtimestamp(at, ZoneInfo("America/New_York"))
    return f"{there.day} {there:%B}"


def _ship(
    stage: Stage,
    teller: Teller,
    told: Told,
    name: str,
    version: str,
    *,
    uri: str,
    policy: str = POLICY,
    kill: bool = False,
) -> None:
    teller.chapter(f"Version {version}: {name}")
    models.point(uri, "challenger", version)
    started = time.monotonic()
    hear = _Assassin(stage, teller, version) if kill else teller.progress
    outcome = _run(stage, teller, "ship", policy, "--interval", "500ms", hear=hear)
    scenario = Scenario(
        name=name,
        candidate_version=version,
        verdict=str(outcome.document.get("verdict", "none")),
        exit_code=outcome.exit_code,
        reason=str(outcome.document.get("reason", "the command printed no result")),
        seconds=round(time.monotonic() - started, 1),
    )
    told.scenarios.append(scenario)
    teller.verdict(scenario)
    if (scenario.verdict, scenario.exit_code) != EXPECTED[name]:
        raise MlshipError(
            f"should have been {EXPECTED[name][0]}, but: {scenario.verdict}, exit {scenario.exit_code}",
            where=f"version {version}, {name}",
            hint=f"look at {stage.home.path}, or run the demo again with --debug",
        )
    if scenario.verdict == "rolled_back" and not kill:
        told.verdicts_at.append((version, float(outcome.document["rollout"]["verdict_at"])))


@dataclass
class _Assassin:
    """Passes progress on, and kills the canary's server once it has had traffic."""

    stage: Stage
    teller: Teller
    version: str
    done: bool = False

    def __call__(self, line: str) -> None:
        self.teller.progress(line)
        if not self.done and line.startswith("starting"):
            self.done = True
            time.sleep(1.5)
            kill_server(self.stage, self.version)
            self.teller.say("kill -9: the canary's server is gone, in the middle of its traffic.")


def kill_server(stage: Stage, version: str) -> int:
    """Kill the server of a version with SIGKILL; returns its process id.

    Raises ``EngineError`` when no such server runs.
    """
    import os
    import signal

    status = stage.run("status", models.MODEL, "--format", "json").document
    for model in status.get("models", []):
        for server in model["servers"]:
            if server["version"] == version and server.get("pid"):
                os.kill(server["pid"], signal.SIGKILL)
                return int(server["pid"])
    raise EngineError(f"no server of version {version} runs", where=models.MODEL)


def _run(stage: Stage, teller: Teller, *arguments: str, hear: Callable[[str], None] | None = None) -> Outcome:
    teller.command("mlship " + " ".join(arguments))
    return stage.run(*arguments, "--format", "json", hear=hear or teller.progress)


def _must(outcome: Outcome, what: str) -> Outcome:
    if outcome.exit_code != 0:
        reason = outcome.document.get("reason", f"exit code {outcome.exit_code}")
        raise MlshipError(f"could not {what}: {reason}", hint="run the demo again with --debug")
    return outcome
