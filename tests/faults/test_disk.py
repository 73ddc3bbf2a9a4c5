"""A disk that is full at every single write: one clear error, nothing half-made, and the same command carries on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlship.errors import Exit, StateError
from mlship.types import Routes
from tests.fakes.engine import Behaviour
from tests.fakes.rollout import Stage
from tests.faults.audit import credited_no_more_than_sent
from tests.faults.disk import Disk
from tests.faults.story import SHORT, found, over, staged, until_over

STORIES = {"promotion": Behaviour(), "rollback": Behaviour(errors=0.6)}


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as one:
        yield one


def counted(stage: Stage, tmp_path: Path, *, short: bool) -> tuple[Disk, int]:
    """How many writes an undisturbed run makes."""
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(stage.home.path, patch, short=short)
        stage.run()
        return disk, disk.count


@pytest.mark.parametrize("short", [False, True], ids=["no byte fits", "half of it fits"])
@pytest.mark.parametrize("story", STORIES)
def test_a_full_disk_is_one_clear_error_and_the_same_command_carries_on(
    tmp_path: Path, story: str, short: bool
) -> None:
    calm = staged(tmp_path / "calm", SHORT, v2=STORIES[story])
    _, writes = counted(calm, tmp_path, short=short)
    expected = found(calm)
    assert writes > 10
    for number in range(1, writes + 1):
        stage = staged(tmp_path / str(number), SHORT, v2=STORIES[story])
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(stage.home.path, patch, short=short)
            disk.full_at = number
            errors: list[StateError] = []
            try:
                stage.run()
            except StateError as error:
                errors.append(error)
            disk.free()
            for one in errors:
                assert one.exit_code is Exit.UNREACHABLE
                assert "No space left on device" in one.what
                assert one.hint
            if not over(stage):
                assert errors, f"write {number} of {writes}: neither over nor an error"
                until_over(stage, stage.run)
        assert found(stage) == expected, f"write {number} of {writes}"
        credited_no_more_than_sent(stage)


def test_a_full_disk_does_not_keep_a_convicted_canary_on_traffic(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    """Given no byte can be written from the moment of the verdict on, then traffic is on stable all the same."""
    stage = staged(tmp_path, SHORT, v2=Behaviour(errors=0.0))
    disk = Disk(stage.home.path, patch)

    def spoil(number: int) -> None:
        if number == 2:
            stage.engine.change("2", errors=1.0)
            stage.engine.send(500)
            disk.full_at = disk.count + 1

    stage.audience.at_look = spoil
    with pytest.raises(StateError, match="No space left on device"):
        stage.run()
    assert stage.engine.routes() == Routes("v1-11111111")
    disk.free()
    until_over(stage, stage.run)
    assert stage.engine.routes() == Routes("v1-11111111")
    assert stage.actions() == [("rolled_back", "2", "1")]
