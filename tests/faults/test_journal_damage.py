"""A journal that was cut short at any byte, or has any byte changed: an error that says so, or a sound carry-on."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from mlship.errors import StateError
from mlship.rollout import journal, lines
from mlship.rollout.journal import Story
from mlship.types import Routes
from tests.fakes.engine import Behaviour
from tests.fakes.rollout import MODEL, Stage
from tests.faults.audit import credited_no_more_than_sent
from tests.faults.story import over, staged, until_over


class Gone(BaseException):
    """kill -9."""


def halfway(path: Path, looks: int, canary: Behaviour | None = None) -> tuple[Stage, Path]:
    """A rollout whose controller was killed after so many looks, and its journal."""
    stage = staged(path, v2=canary or Behaviour())

    def die(number: int) -> None:
        if number == looks:
            raise Gone

    stage.audience.at_look = die
    with pytest.raises(Gone):
        stage.run()
    stage.engine.routes()
    stage.audience.at_look = lambda _number: None
    current = journal.current(stage.home, MODEL)
    assert current is not None
    return stage, current.path


def told(path: Path) -> Story | None:
    """What the journal says; None where it says that it is damaged."""
    try:
        return journal.story(journal.Journal(path))
    except StateError as caught:
        error = caught
    assert "damaged" in error.what
    assert str(path) in error.where
    assert error.hint
    return None


def ends(whole: bytes) -> list[int]:
    return [at + 1 for at, byte in enumerate(whole) if byte == ord("\n")]


def test_a_journal_cut_short_at_any_byte_tells_what_its_last_whole_line_told(tmp_path: Path) -> None:
    _, path = halfway(tmp_path, 4)
    whole = path.read_bytes()
    known: dict[int, Story | None] = {}
    near = {end + off for end in ends(whole) for off in range(-3, 4)} | set(range(0, len(whole), 17))
    for size in sorted(size for size in near if 0 <= size <= len(whole)):
        path.write_bytes(whole[:size])
        last = max((end for end in ends(whole) if end - 1 <= size), default=0)  # its newline may be missing
        if last not in known:
            path.write_bytes(whole[:last])
            known[last] = told(path)
            path.write_bytes(whole[:size])
        assert told(path) == known[last], f"cut after {size} of {len(whole)} bytes"
    assert known[0] is None, "without a plan there is nothing to carry on"
    assert len([story for story in known.values() if story is not None]) >= 2


def test_no_changed_byte_is_believed(tmp_path: Path) -> None:
    """Given any byte of the plan or of the latest records is another, then it is damage, or makes no difference."""
    _, path = halfway(tmp_path, 4)
    whole, dice = path.read_bytes(), random.Random(5)
    sound = told(path)
    assert sound is not None
    damaged = 0
    for _ in range(300):
        at = dice.randrange(len(whole))
        changed = bytearray(whole)
        changed[at] ^= 1 << dice.randrange(8)
        path.write_bytes(changed)
        found = told(path)
        damaged += found is None
        assert found is None or found == sound, f"byte {at}: {whole[at]:c} became {changed[at]:c}"
    assert damaged > 50


@pytest.mark.parametrize("line", ["plan", "latest"])
def test_damage_stops_the_command_and_moves_no_traffic(tmp_path: Path, line: str) -> None:
    """Given a convicted canary whose verdict cannot be read, then the command says so, and promotes nobody."""
    stage, path = halfway(tmp_path, 1, Behaviour(errors=0.6))
    whole = bytearray(path.read_bytes())
    whole[100 if line == "plan" else -20] ^= 1
    path.write_bytes(whole)
    before, calls = stage.engine.routes(), len(stage.engine.calls)
    with pytest.raises(StateError, match="the journal of the latest rollout is damaged"):
        stage.run()
    assert stage.engine.routes() == before
    assert [call for call in stage.engine.calls[calls:] if call.startswith("route ")] == []
    path.unlink()  # moved away, as the message says
    with pytest.raises(StateError, match="which is not there"):
        stage.run()
    path.with_name("current").unlink()  # and this, too
    until_over(stage, stage.run)
    assert stage.engine.routes() == Routes("v1-11111111")
    assert stage.registry.aliases["champion"] == "1"


def test_damage_in_the_past_does_not_matter(tmp_path: Path) -> None:
    stage, path = halfway(tmp_path, 4)
    whole = path.read_bytes()
    second, third = ends(whole)[1:3]
    path.write_bytes(whole[: second + 10] + b"\xff\x00" + whole[second + 12 : third] + whole[third:])
    assert stage.run().verdict == "promoted"
    credited_no_more_than_sent(stage)


@pytest.mark.parametrize("cut", [1, 40, 400])
def test_a_rollout_carries_on_from_a_journal_that_was_cut_short(tmp_path: Path, cut: int) -> None:
    stage, path = halfway(tmp_path, 4)
    path.write_bytes(path.read_bytes()[:-cut])
    assert stage.run().verdict == "promoted"
    credited_no_more_than_sent(stage)
    assert all(lines.parse(line) for line in path.read_bytes().splitlines()), "the torn line is gone"
    assert over(stage)


@pytest.mark.parametrize("pointer", [b"", b"\xff\xfe", b"no such rollout\n", b"../../etc\n"])
def test_a_damaged_pointer_is_no_traceback(tmp_path: Path, pointer: bytes) -> None:
    """Nor is the rollout forgotten that it should point to: its canary has traffic, and evidence against it."""
    stage, path = halfway(tmp_path, 4)
    path.with_name("current").write_bytes(pointer)
    before = stage.engine.routes()
    for command in (stage.run, lambda: journal.latest(stage.home, MODEL)):
        with pytest.raises(StateError, match="the pointer to the latest rollout") as caught:
            command()
        assert f"`echo {path.stem} > {path.with_name('current')}` repairs it" in caught.value.hint
    assert stage.engine.routes() == before
    path.with_name("current").write_text(f"{path.stem}\n")
    assert stage.run().verdict == "promoted"


def test_what_else_lies_beside_a_journal_may_be_damaged(tmp_path: Path) -> None:
    """The list of warm servers, the lock and letters are helps; a rollout goes on without them."""
    stage, path = halfway(tmp_path, 4)
    for name in ("warm.json", "lock"):
        for content in (b"[1]", b'{"v1": "soon"}', b"\xff", b'{"v1":'):
            path.with_name(name).write_bytes(content)
            view = journal.latest(stage.home, MODEL)
            assert view is not None
    stage.mailbox.directory.mkdir(exist_ok=True)
    (stage.mailbox.directory / "1-a.order").write_bytes(b"[1]")
    later = stage.mailbox.directory / "2-b.order"

    def litter(number: int) -> None:
        if number == 3:
            later.write_bytes(b"\xff{}")

    stage.audience.at_look = litter
    assert stage.run().verdict == "promoted"
