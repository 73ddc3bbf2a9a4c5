"""`kill -9` of the controller at every journal write and every engine, registry and ledger call; then the same command.

The end is that of an undisturbed run, and no bake is credited twice. The engine, the registry and the files are the
world: they go on without the controller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from mlship.errors import MlshipError
from mlship.rollout import journal, offline, rollback, warm
from mlship.rollout.plan import Plan, PlanStep, StepKind
from mlship.rollout.state import Order
from tests.fakes.engine import Behaviour
from tests.fakes.rollout import MODEL, PLAN, Stage
from tests.faults.audit import AuditedEngine, credited_no_more_than_sent, weight_never_rose_against_evidence
from tests.faults.fuse import Fuse, Killed, guard_files, guard_world

SHORT = replace(PLAN, steps=(PlanStep(0.3, 2, 50), PlanStep(0.5, 2, 50)))


@dataclass(frozen=True)
class Story:
    """One rollout, and what a person does in it."""

    plan: Plan = SHORT
    canary: Behaviour = Behaviour()
    order: tuple[int, Order] | None = None
    """At which look of the undisturbed run, and what."""


STORIES = {
    "promotion": Story(),
    "rollback": Story(canary=Behaviour(errors=0.6)),
    "first promotion": Story(replace(SHORT, stable=None)),
    "abort": Story(order=(3, Order.ABORT)),
    "promoted by hand": Story(order=(2, Order.PROMOTE_FULL)),
}


@pytest.fixture
def fuse() -> Iterator[Fuse]:
    one = Fuse()
    with pytest.MonkeyPatch.context() as patch:
        guard_files(one, patch)
        yield one


def prepared(path: Path, fuse: Fuse, story: Story) -> Stage:
    """A stage whose champion serves, and whose every touch counts from now on."""
    stage = Stage(path, engine=AuditedEngine, v2=story.canary)
    stage.plan = story.plan
    if story.plan.stable is None:
        del stage.registry.aliases["champion"]
    else:
        stage.serve_stable()
    if story.order is not None:
        at, order = story.order
        stage.audience.at_look = lambda number: stage.order(order) and None if number == at else None
    guard_world(fuse, stage)
    fuse.arm()
    return stage


def found(stage: Stage) -> dict[str, Any]:
    """What people find afterwards."""
    view = journal.latest(stage.home, MODEL)
    assert view is not None
    return {
        "outcome": (view.phase, view.outcome),
        "routes": stage.engine.routes(),
        "aliases": stage.registry.aliases,
        "ledger": stage.actions(),
        "servers": set(stage.engine.servers()),
        "warm": set(warm.listed(stage.home.rollouts(MODEL))),
    }


def run(stage: Stage, fuse: Fuse, command: Callable[[], object]) -> bool:
    """Whether the command came to its end; else it was killed."""
    engine = stage.engine
    assert isinstance(engine, AuditedEngine)
    try:
        engine.watched = True
        command()
    except Killed:
        return False
    finally:
        fuse.arm()
        stage.engine.routes()  # the traffic of the time until now was watched
        engine.watched = False
        fuse.arm()
    return True


def again(stage: Stage, fuse: Fuse, story: Story) -> None:
    """What the person does who sees that the command is gone: the same command again, and the order, if need be."""
    stage.clock.sleep(2.0)  # the world goes on while nobody watches
    view = journal.latest(stage.home, MODEL)
    if view is not None and view.phase == "done":
        return
    if story.order is not None and story.order[1] is Order.ABORT and len(stage.audience.looks) >= story.order[0]:
        assert run(stage, fuse, lambda: abort(stage))
        return
    if story.order is not None and len(stage.audience.looks) >= story.order[0]:
        heard = len(stage.audience.looks)
        stage.audience.at_look = lambda number: stage.order(story.order[1]) and None if number == heard + 1 else None
    assert run(stage, fuse, stage.run)


def abort(stage: Stage) -> None:
    offline.abort(
        stage.home,
        MODEL,
        "alice",
        engine=stage.engine,
        registry=stage.registry,
        ledger=stage.ledger,
        clock=stage.clock,
        sleep=stage.clock.sleep,
    )


@pytest.mark.parametrize("name", STORIES)
def test_a_kill_anywhere_changes_nothing_about_the_end(tmp_path: Path, fuse: Fuse, name: str) -> None:
    story = STORIES[name]
    calm = prepared(tmp_path / "calm", fuse, story)
    calm.run()
    points = list(fuse.names)
    fuse.arm()
    expected = found(calm)
    credited_no_more_than_sent(calm)
    assert {"before journal.append", "after engine.deploy", "after registry.move_alias"} & set(points)
    for point, what in enumerate(points, start=1):
        stage = prepared(tmp_path / str(point), fuse, story)
        fuse.arm(point)
        if not run(stage, fuse, stage.run):
            again(stage, fuse, story)
        fuse.arm()
        assert found(stage) == expected, f"killed {what}, touch {point} of {len(points)}"
        credited_no_more_than_sent(stage)
        weight_never_rose_against_evidence(stage)
        assert stage.engine.homeless == 0
