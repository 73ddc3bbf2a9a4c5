"""`kill -9` of the controller at every journal write and every engine, registry and ledger call; then the same command.

The end is that of an undisturbed run, and no bake is credited twice. The engine, the registry and the files are the
world: they go on without the controller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from mlship.rollout import journal
from mlship.rollout.hooks import Hooks
from mlship.rollout.plan import Plan, PlanStep, StepKind
from mlship.rollout.state import Order
from tests.fakes.engine import Behaviour
from tests.fakes.rollout import MODEL, Stage
from tests.faults.audit import (
    AuditedEngine,
    credited_no_more_than_sent,
    nobody_homeless,
    weight_never_rose_against_evidence,
)
from tests.faults.fuse import Fuse, Killed, guard_files, guard_world
from tests.faults.story import SHORT, abort, found, staged

#: Few looks, since each of them is many points to be killed at.
BRIEF = replace(SHORT, steps=(PlanStep(0.3, 1, 30), PlanStep(0.5, 1, 30)))
TESTERS = ("x-canary", "1")
MIRRORED = PlanStep(0.0, 1, 30, StepKind.MIRROR, mirror=0.5)
TESTED = PlanStep(0.0, 1, 1, StepKind.TESTERS, testers=TESTERS)
APPROVED = PlanStep(0.3, 0, 0, StepKind.APPROVE, within=60)
WAITED = PlanStep(0.3, 2, 0, StepKind.PAUSE)
FIRST, SECOND = BRIEF.steps


@dataclass(frozen=True)
class Story:
    """One rollout, and what a person does in it."""

    plan: Plan = BRIEF
    canary: Behaviour = field(default_factory=Behaviour)
    order: tuple[int, Order] | None = None
    """At which look of the undisturbed run, and what."""
    hooks: bool = False


STORIES = {
    "promotion": Story(),
    "rollback": Story(canary=Behaviour(errors=0.6)),
    "first promotion": Story(replace(BRIEF, stable=None)),
    "abort": Story(order=(2, Order.ABORT)),
    "promoted by hand": Story(order=(2, Order.PROMOTE_FULL)),
    "mirror and testers": Story(replace(BRIEF, steps=(MIRRORED, TESTED, FIRST))),
    "mirror that fails": Story(replace(BRIEF, steps=(MIRRORED, FIRST)), Behaviour(errors=0.9)),
    "approval": Story(replace(BRIEF, steps=(FIRST, APPROVED, SECOND)), order=(4, Order.PROMOTE)),
    "a pause and hooks": Story(replace(BRIEF, steps=(FIRST, WAITED), hooks=(True, True)), hooks=True),
}


@pytest.fixture
def fuse() -> Iterator[Fuse]:
    one = Fuse()
    with pytest.MonkeyPatch.context() as patch:
        guard_files(one, patch)
        yield one
        for journal in one.opened:
            journal.close()


def prepared(path: Path, fuse: Fuse, story: Story) -> Stage:
    """A stage whose champion serves, and whose every touch counts from now on."""
    stage = staged(path, story.plan, v2=story.canary)
    if story.hooks:
        stage.hooks = Hooks((), (), path)
    if story.order is not None:
        at, order = story.order
        order_at(stage, at, order)
    guard_world(fuse, stage)
    fuse.arm()
    return stage


def order_at(stage: Stage, look: int, order: Order) -> None:
    """A person gives an order after that look."""

    def write(number: int) -> None:
        if number == look:
            stage.order(order)

    stage.audience.at_look = write


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
        order_at(stage, len(stage.audience.looks) + 1, story.order[1])
    assert run(stage, fuse, stage.run)


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
        assert nobody_homeless(stage)
