"""`mlship watch`: the journal of a real rollout on fake time, followed while it grows, and read when nobody writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mlship.cli import until
from mlship.cli.following import PATIENCE, Following, News, Stop
from mlship.cli.main import app
from mlship.cli.watch import _next
from mlship.errors import MlshipError, StateError, UsageError
from mlship.home import Home
from mlship.rollout import journal, lines, lock
from mlship.rollout.plan import PlanStep, StepKind
from mlship.rollout.pulse import Pulse
from mlship.rollout.state import Order, Phase
from mlship.types import Lease
from tests.fakes.engine import Behaviour
from tests.fakes.rollout import MODEL, Stage, release
from tests.schemas import conforms


@dataclass
class Signs:
    """The lock as it is, and the lease that a test says."""

    found: Pulse = field(default_factory=lambda: Pulse(None))
    waited: int = 0

    def pulse(self, directory: Path) -> Pulse:
        return replace(self.found, holder=lock.holder(directory))

    def wait(self, seconds: float) -> None:
        assert seconds > 0
        self.waited += 1


class Watched:
    """Somebody who watches a stage, once for each of its looks and then until there is nothing to wait for."""

    def __init__(
        self, stage: Stage, text: str | None = None, *, timeout: float | None = None, begin_at: int = 3
    ) -> None:
        self.stage, self.signs = stage, Signs()
        self.text, self.timeout, self.begin_at = text, timeout, begin_at
        self.seen: list[News] = []
        self.stopped_at = 0
        self.following: Following | None = None
        self._news: Iterator[News] = iter(())
        stage.audience.at_look = self.look

    def look(self, number: int) -> None:
        if self.following is None and number >= self.begin_at:
            self.begin()
        if self.following is not None and self.following.stop is None:
            self.seen.append(next(self._news))
            self.stopped_at = number

    def begin(self) -> None:
        path = lines.latest(self.stage.home, MODEL)
        assert path is not None
        current = journal.current(self.stage.home, MODEL)
        assert current is not None
        plan = journal.story(current).plan
        wanted = until.parse(self.text, plan) if self.text is not None else None
        self.following = Following(
            self.stage.home,
            path,
            plan,
            self.signs,
            until=wanted,
            timeout=self.timeout,
            clock=self.stage.clock,
            sleep=lambda _seconds: None,
        )
        self._news = self.following.news()

    def finish(self) -> Stop:
        """Nobody runs any more: what is left to see."""
        if self.following is None:
            self.begin()
        assert self.following is not None
        for _ in range(50):
            if self.following.stop is not None:
                return self.following.stop
            self.seen.append(next(self._news))
        raise AssertionError("it is still watching")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    found = Stage(tmp_path)
    found.serve_stable()
    return found


def watch(home: Home, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["--home", str(home.path), "watch", *arguments])


def test_a_watcher_sees_every_look_that_the_controller_took(stage: Stage) -> None:
    watched = Watched(stage)
    assert stage.run().verdict == "promoted"
    assert watched.finish() is Stop.ENDED
    told = [moment.reason for news in watched.seen for moment in news.moments]
    assert set(stage.audience.reasons) <= set(told)
    first = watched.seen[0]
    assert first.past
    assert len(first.moments) == 3
    assert all(len(news.moments) <= 2 for news in watched.seen[1:])
    assert all(news.alive for news in watched.seen[:-1])
    assert "driven by tester (rollout of version 2, process " in first.driver
    tape = watched.following.tape if watched.following else None
    assert tape is not None
    seen = [look.observation for look in stage.audience.looks if look.observation is not None]
    kept = [point.window for point in tape.points]
    assert [w.canary.requests for w in kept] == [o.canary.requests for o in seen]
    assert [w.stable.latency for w in kept] == [o.stable.latency for o in seen]
    assert [w.stable.errors for w in kept] == [o.stable.errors for o in seen]


@pytest.mark.parametrize(
    ("text", "weight", "phase"),
    [
        ("step:1", 0.05, Phase.STEPPING),
        ("step:2", 0.25, Phase.STEPPING),
        ("weight:20%", 0.25, Phase.STEPPING),
        ("weight:50%", 0.5, Phase.STEPPING),
        ("promoted", 1.0, Phase.DONE),
    ],
)
def test_it_stops_at_what_it_waits_for(stage: Stage, text: str, weight: float, phase: Phase) -> None:
    watched = Watched(stage, text)
    stage.run()
    assert watched.finish() is Stop.REACHED
    assert watched.following is not None
    now = watched.following.tape.now
    assert now is not None
    assert (now.state.weight, now.state.phase) == (weight, phase)


def test_what_can_no_longer_be_reached_ends_with_the_verdict(tmp_path: Path) -> None:
    stage = Stage(tmp_path, v2=Behaviour(errors=0.2))
    stage.serve_stable()
    watched = Watched(stage, "weight:50%")
    assert stage.run().verdict == "rolled_back"
    assert watched.finish() is Stop.ENDED


def test_a_pause_by_a_person_is_no_end_but_can_be_waited_for(stage: Stage) -> None:
    plain, waiting = Watched(stage), Watched(stage, "paused")

    def look(number: int) -> None:
        if number == 8:
            stage.order(Order.PAUSE)
        if number == 12:
            stage.order(Order.RESUME)
        plain.look(number)
        waiting.look(number)

    stage.audience.at_look = look
    stage.run()
    assert (plain.finish(), waiting.finish()) == (Stop.ENDED, Stop.REACHED)
    assert waiting.stopped_at == 9
    assert plain.stopped_at > 12


def test_a_pause_that_was_over_before_does_not_count(stage: Stage) -> None:
    watched = Watched(stage, "paused", begin_at=10)

    def look(number: int) -> None:
        if number in (4, 6):
            stage.order(Order.PAUSE if number == 4 else Order.RESUME)
        watched.look(number)

    stage.audience.at_look = look
    stage.run()
    assert watched.finish() is Stop.ENDED


def test_an_approval_can_be_waited_for(stage: Stage) -> None:
    approve = PlanStep(0.05, 0, 0, StepKind.APPROVE, within=60.0)
    stage.plan = replace(stage.plan, steps=(PlanStep(0.05, 5, 10), approve))
    watched = Watched(stage, "approval")

    def look(number: int) -> None:
        if number == 20:
            stage.order(Order.PROMOTE)
        watched.look(number)

    stage.audience.at_look = look
    assert stage.run().verdict == "promoted"
    assert watched.finish() is Stop.REACHED
    assert watched.stopped_at < 10


def test_an_inconclusive_pause_is_an_end_once_its_controller_has_gone(tmp_path: Path) -> None:
    stage = Stage(tmp_path, rate=0)
    stage.plan = replace(stage.plan, deadline=10)
    stage.serve_stable()
    watched, patient = Watched(stage), Watched(stage, "end", timeout=3600)

    def look(number: int) -> None:
        watched.look(number)
        patient.look(number)

    stage.audience.at_look = look
    assert stage.run().verdict == "paused"
    assert watched.finish() is Stop.ENDED
    assert patient.following is not None
    assert patient.following.stop is None, "the end waits through pauses"
    done = watch(stage.home, MODEL)
    assert done.exit_code == 4
    assert done.stdout.startswith("flight-delay version 2 paused: inconclusive after 10 s at 5 %")


def test_too_long_is_exit_4_with_a_sentence(stage: Stage) -> None:
    watched = Watched(stage, timeout=5.0)
    stage.run()
    assert watched.following is not None
    assert watched.following.stop is Stop.TIMED_OUT
    assert watched.stopped_at in (8, 9)


def halfway(stage: Stage, at: int = 10) -> None:
    """A rollout whose controller has died at its tenth look."""

    def die(number: int) -> None:
        if number == at:
            raise OSError("as if killed")

    stage.audience.at_look = die
    with pytest.raises(OSError, match="as if killed"):
        stage.run()


def test_a_dead_controller_is_told_at_once_with_what_to_do(stage: Stage) -> None:
    halfway(stage)
    watched = Watched(stage)
    assert watched.finish() is Stop.UNATTENDED
    assert len(watched.seen) == PATIENCE
    assert watched.signs.waited, "the engine is asked before anybody is called dead"
    assert not watched.seen[0].alive
    assert watched.seen[0].driver.startswith("no controller runs; its last word is ")
    assert (
        "`mlship rollout /project/mlship.yaml` carries on, `mlship abort flight-delay` ends it"
        in watched.seen[0].driver
    )


def test_with_something_to_wait_for_it_waits_for_a_new_controller(stage: Stage) -> None:
    halfway(stage)
    watched = Watched(stage, "promoted", begin_at=1)
    watched.begin()
    for _ in range(3 * PATIENCE):
        watched.look(0)
    assert watched.following is not None
    assert watched.following.stop is None
    stage.run()
    assert watched.finish() is Stop.REACHED


@pytest.mark.parametrize(
    ("lease", "alive", "told"),
    [
        (Lease("ci#12@runner-7#x", 60.0, 5.0), True, "driven from elsewhere by ci#12@runner-7; without a sign of life"),
        (Lease("ci#12@runner-7#x", 60.0, 61.0), False, "the guardian gives all traffic back to stable in 0 s"),
        (Lease("", 60.0, 20.0), False, "the guardian gives all traffic back to stable in 40 s"),
        (Lease("ci#12@runner-7#x", 60.0, 90.0, 1.0), False, "the guardian has given all traffic back to stable"),
        (None, False, "no controller runs"),
    ],
)
def test_the_lease_tells_of_controllers_elsewhere(stage: Stage, lease: Lease | None, alive: bool, told: str) -> None:
    halfway(stage)
    watched = Watched(stage)
    watched.signs.found = Pulse(None, lease)
    watched.begin()
    watched.look(0)
    assert watched.seen[0].alive is alive
    assert told in watched.seen[0].driver


def test_an_engine_out_of_reach_is_told(stage: Stage) -> None:
    halfway(stage)
    watched = Watched(stage)
    watched.signs.found = Pulse(None, unreachable="the Docker engine does not answer")
    watched.begin()
    watched.look(0)
    assert "does not say whether its lease holds: the Docker engine does not answer" in watched.seen[0].driver


@pytest.mark.parametrize(
    ("errors", "code", "sentence"),
    [
        (0.005, 0, "flight-delay version 2 promoted: all 3 steps"),
        (0.3, 5, "flight-delay version 2 rolled back: errors"),
    ],
)
def test_a_finished_rollout_shows_how_it_ended_in_every_format(
    tmp_path: Path, errors: float, code: int, sentence: str
) -> None:
    stage = Stage(tmp_path, v2=Behaviour(errors=errors))
    stage.serve_stable()
    result = stage.run()
    text = watch(stage.home)
    assert (text.exit_code, text.stdout.startswith(sentence)) == (code, True)
    assert len(text.stdout.splitlines()) == 1
    as_json = watch(stage.home, MODEL, "--format", "json")
    document = conforms("watch", as_json.stdout)
    assert (as_json.exit_code, document["exit_code"], document["verdict"]) == (code, code, result.verdict)
    assert document["steps"][0]["requests"] == result.steps[0][2]
    assert document["seconds"] == pytest.approx(result.seconds, abs=1.0)
    stream = [json.loads(line) for line in watch(stage.home, MODEL, "--format", "ndjson").stdout.splitlines()]
    assert stream[-1] == {"event": "end", **document}
    looks = [line for line in stream if line["event"] == "look"]
    assert len(looks) >= len(stage.audience.looks)
    assert sum(look["arms"]["canary"]["requests"] for look in looks if look["arms"]) > 0
    names = [one["name"] for one in document["signals"]]
    assert names == [one["name"] for one in looks[-1]["signals"]] == ["errors", "latency", "telemetry"]
    first = document["signals"][0]
    assert first["e_value"] == document["evidence"]["errors"]
    assert first["sentence"].startswith("errors ")
    assert (first["action"], 0 < first["share"] < 1) == ("rollback", True)
    assert first["canary"]["counted"] == sum(look["arms"]["canary"]["requests"] for look in looks if look["arms"])
    markdown = watch(stage.home, MODEL, "--format", "markdown").stdout
    assert markdown.startswith(f"### flight-delay: version 2 (champion 1) {result.verdict.replace('_', ' ')}\n\n")
    assert "| 1 | weight | 5 % |" in markdown
    assert "| errors | " in markdown
    github = watch(stage.home, MODEL, "--format", "github").stdout
    said = "notice title=mlship watch" if code == 0 else "error file=/project/mlship.yaml,title=mlship watch%3A signals"
    assert github.startswith(f"::{said}")
    assert "%25" in github.splitlines()[0]
    assert "::stop-commands::" in github


def test_reached_timed_out_and_unattended_have_codes_and_sentences(stage: Stage) -> None:
    halfway(stage)
    reached = watch(stage.home, MODEL, "--until", "step:1", "--format", "json")
    assert (reached.exit_code, conforms("watch", reached.stdout)["verdict"]) == (0, "reached")
    late = watch(stage.home, MODEL, "--until", "promoted", "--timeout", "10ms")
    assert late.exit_code == 4
    assert late.stdout.startswith("flight-delay version 2: promoted not reached after 10ms: holding at 5 %")
    assert "no controller runs" in late.stderr
    alone = watch(stage.home, MODEL)
    assert alone.exit_code == 4
    assert "no controller runs" in alone.stdout
    assert "`mlship abort flight-delay` ends it" in alone.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "there is no such thing to wait for"),
        ("step:0", "this rollout has steps 1 to 3"),
        ("step:4", "this rollout has steps 1 to 3"),
        ("step:x", "this rollout has steps 1 to 3"),
        ("weight:10", "a percentage needs its sign"),
        ("weight:60%", "the highest weight of this rollout is 50 %"),
        ("weight:0%", "the highest weight of this rollout is 50 %"),
        ("approval", "no step that is approved"),
    ],
)
def test_what_cannot_be_waited_for_is_refused(tmp_path: Path, text: str, message: str) -> None:
    stage = Stage(tmp_path)
    with pytest.raises(UsageError, match=message):
        until.parse(text, stage.plan)


def failure(home: Home, *arguments: str) -> MlshipError:
    done = watch(home, *arguments)
    assert isinstance(done.exception, MlshipError)
    return done.exception


def test_without_a_rollout_it_says_so(tmp_path: Path) -> None:
    home = Home(tmp_path / ".mlship")
    assert failure(home).exit_code == 2
    assert "there is no rollout to watch" in str(failure(home, "nobody"))
    assert not home.path.exists(), "nothing was made"


def test_without_a_model_it_takes_the_one_that_is_under_way(stage: Stage) -> None:
    stage.run()
    stage.home.rollouts("other").mkdir()
    other = journal.begin(stage.home, replace(stage.plan, model="other", rollout_id="second"), at=1.0)
    other.close()
    assert watch(stage.home).stdout.startswith("other version 2: no controller runs")
    third = journal.begin(stage.home, replace(stage.plan, model="third", rollout_id="third"), at=1.0)
    third.close()
    assert str(failure(stage.home)) == "2 rollouts are under way: other, third\n  next: mlship watch other"


def test_damage_is_told_and_never_a_traceback(stage: Stage) -> None:
    halfway(stage)
    path = lines.latest(stage.home, MODEL)
    assert path is not None
    content = path.read_bytes().splitlines(keepends=True)
    content[4] = b"\xff\x00" + content[4][9:]
    path.write_bytes(b"".join(content) + content[-1][:100])
    watched = Watched(stage)
    assert watched.finish() is Stop.UNATTENDED
    assert watched.seen[0].damaged == 1
    assert len(watched.seen[0].moments) >= 5
    path.write_bytes(b"\x00" * 50 + b"\n" + b"".join(content[1:]))
    error = failure(stage.home, MODEL)
    assert isinstance(error, StateError)
    assert "does not begin with a plan" in str(error)


@pytest.mark.parametrize("changes", [{"steps": [5]}, {"guards": {}}, {"unknown": 1}, {"setup": None}])
def test_a_plan_of_another_version_is_one_clear_error(tmp_path: Path, changes: dict[str, object]) -> None:
    from mlship.rollout import plan as plans

    home = Home(tmp_path)
    stage = Stage(tmp_path)
    begun = journal.begin(home, stage.plan, at=1.0)
    begun.close()
    document = {"at": 1.0, "kind": "plan", "plan": plans.to_json(stage.plan) | changes}
    begun.path.write_bytes(lines.seal(json.dumps(document).encode()))
    error = failure(home, MODEL)
    assert isinstance(error, StateError)
    assert "Error" in str(error)


def test_a_journal_that_is_replaced_is_read_again(stage: Stage) -> None:
    halfway(stage)
    path = lines.latest(stage.home, MODEL)
    assert path is not None
    follower = lines.Follower(path)
    before = follower.begin(3)
    assert sum(map(lines.has_state, before)) == 3
    fresh = path.with_suffix(".new")
    fresh.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:4]))
    fresh.replace(path)
    assert len(follower.more()) == 4
    assert follower.more() == []


def superseded(
    stage: Stage, *, until_text: str | None = None, timeout: float | None = None, way: str = "restart"
) -> Watched:
    """A watched rollout of version 2 that ended since version 3 became the candidate."""
    stage.plan = replace(stage.plan, on_new_candidate=way)
    watched = Watched(stage, until_text, timeout=timeout)
    at_look = stage.audience.at_look

    def meanwhile(number: int) -> None:
        at_look(number)
        if number == 10:
            stage.registry.aliases["challenger"] = "3"

    stage.audience.at_look = meanwhile
    assert stage.run().superseded == "version 3"
    assert watched.finish() is Stop.ENDED
    return watched


def begin_next(stage: Stage, steps: int = 3) -> Path:
    """Another rollout begins, as the same command would let it."""
    plan = replace(stage.plan, rollout_id="20261231-000000-abcdef", canary=release("3"), steps=stage.plan.steps[:steps])
    journal.begin(stage.home, plan, stage.clock()).close()
    path = lines.latest(stage.home, MODEL)
    assert path is not None
    return path


def test_a_rollout_that_was_superseded_is_followed_by_the_next(stage: Stage) -> None:
    watched = superseded(stage, until_text="step:3", timeout=10_000)
    following = watched.following
    assert following is not None
    assert following.superseded
    begun: list[Path] = []

    def sleep(seconds: float) -> None:
        stage.clock.now += seconds
        if not begun:
            begun.append(begin_next(stage))

    following._sleep = sleep
    after = _next(following, stage.home, watched.signs, "step:3")
    assert after is not None
    assert after[0].plan.canary.version == "3"
    assert after[0].left is not None
    assert after[0].left < 10_000, "the timeout holds for both"
    assert after[1] == "@challenger names version 3 now, not version 2: following the rollout of version 3 now"


def test_what_the_next_rollout_does_not_know_is_not_waited_for(stage: Stage) -> None:
    watched = superseded(stage, until_text="step:3")
    begin_next(stage, steps=2)
    assert watched.following is not None
    after = _next(watched.following, stage.home, watched.signs, "step:3")
    assert after is not None
    assert after[1].endswith(", which knows no step:3: to its verdict")


@pytest.mark.parametrize("why", ["refuse", "timeout", "dead", "unseen"])
def test_no_next_rollout_is_waited_for_in_vain(stage: Stage, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a policy that refuses, a time that is up, a command that is dead, or one that was never seen."""
    watched = superseded(stage, timeout=10_000, way="refuse" if why == "refuse" else "restart")
    following = watched.following
    assert following is not None

    def sleep(seconds: float) -> None:
        assert why == "timeout", "nothing to wait for"
        stage.clock.now += 1_000 * seconds

    following._sleep = sleep
    if why == "dead":
        monkeypatch.setattr("os.kill", gone)
    if why == "unseen":
        following._driven_by = None
    assert following.next() is None


def gone(_pid: int, _signal: int) -> None:
    raise ProcessLookupError
