"""Orders are written whole, taken once, answered once, and never outlive their moment."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mlship.errors import StateError
from mlship.rollout import lock
from mlship.rollout.mailbox import Mailbox
from mlship.rollout.state import Order
from tests.fakes.rollout import Stage


def test_orders_are_taken_in_turn_and_answered(tmp_path: Path) -> None:
    box = Mailbox(tmp_path / "mailbox")
    assert not box.waiting()
    first, second = box.post(Order.PAUSE, "alice"), box.post(Order.ABORT, "bob")
    assert box.waiting()
    letters = [box.take(), box.take(), box.take()]
    assert [(one.id, one.command.order, one.command.who) if one else None for one in letters] == [
        (first, Order.PAUSE, "alice"),
        (second, Order.ABORT, "bob"),
        None,
    ]
    box.answer(second, "aborted")
    assert box.wait(second, 1) == "aborted"
    assert list((tmp_path / "mailbox").iterdir()) == []


def test_an_order_that_nobody_takes_is_withdrawn(tmp_path: Path) -> None:
    box = Mailbox(tmp_path / "mailbox")
    letter = box.post(Order.ABORT, "alice")
    assert box.wait(letter, 0.05) is None
    assert box.take() is None


def test_a_new_controller_does_not_follow_old_orders(tmp_path: Path) -> None:
    box = Mailbox(tmp_path / "mailbox")
    box.post(Order.ABORT, "alice")
    box.clear()
    assert box.take() is None


def test_what_is_not_an_order_is_dropped(tmp_path: Path) -> None:
    box = Mailbox(tmp_path)
    (tmp_path / "1-aa.order").write_text('{"order": "explode", "who": "mallory"}')
    (tmp_path / "2-aa.order").write_text("{")
    assert box.take() is None
    assert not box.waiting()


def directory(path: Path) -> None:
    path.mkdir()
    (path / "file").write_text("it cannot be removed like a letter")


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text("[" * 100_000),
        lambda path: path.write_bytes(b"\xff\xfe"),
        lambda path: path.write_text('{"order": {}, "who": 1}'),
        directory,
        os.mkfifo,
    ],
    ids=["deep", "bytes", "kind", "directory", "pipe"],
)
def test_an_order_that_cannot_be_read_is_put_aside_and_the_next_is_taken(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    box = Mailbox(tmp_path)
    damage(tmp_path / "1-aa.order")
    damage(tmp_path / "1-aa.answer")
    assert "cannot be read" in str(box.wait("1-aa", 0))
    box.post(Order.ABORT, "al\x1b[2Jice\n" + "e" * 1000)
    letter = box.take()
    assert letter is not None
    assert letter.command.order is Order.ABORT
    assert letter.command.who == ("al[2Jice" + "e" * 1000)[:200]
    assert not box.waiting()
    damage(tmp_path / "1-bb.order")
    box.clear()
    assert not box.waiting()


def test_a_mailbox_that_is_none_is_one_clear_error_and_stops_nobody_who_is_at_work(tmp_path: Path) -> None:
    box = Mailbox(tmp_path / "mailbox")
    box.directory.write_text("")
    assert box.take() is None
    assert not box.waiting()
    box.answer("1-aa", "yes")
    with pytest.raises(StateError, match="cannot read orders"):
        box.clear()
    with pytest.raises(StateError, match="cannot leave a letter"):
        box.post(Order.ABORT, "alice")


def test_an_order_given_since_the_lock_was_taken_is_kept(tmp_path: Path) -> None:
    box = Mailbox(tmp_path / "mailbox")
    box.post(Order.PROMOTE, "of the past")
    box.answer("1-aa", "of the past")
    with lock.held(tmp_path, "bob", "rollout") as since:
        box.post(Order.ABORT, "alice")
        box.clear(since)
        assert [path.suffix for path in box.directory.iterdir()] == [".order"]
        letter = box.take()
    assert letter is not None
    assert letter.command.order is Order.ABORT


def test_an_abort_in_the_first_instant_of_a_controller_is_obeyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever saw the lock taken may give an order before the controller has cleared its mailbox."""
    stage = Stage(tmp_path)
    stage.serve_stable()
    stage.order(Order.PROMOTE_FULL, "of the past")
    clear = Mailbox.clear

    def late(box: Mailbox, before: float | None = None) -> None:
        stage.order(Order.ABORT)
        clear(box, before)

    monkeypatch.setattr(Mailbox, "clear", late)
    result = stage.run()
    assert result.verdict == "aborted"
    assert "alice" in result.reason


def test_the_lock_has_one_holder_and_tells_who_it_is(tmp_path: Path) -> None:
    assert lock.holder(tmp_path) is None
    with lock.held(tmp_path, "alice@laptop", "rollout of version 8"):
        holder = lock.holder(tmp_path)
        assert holder is not None
        assert str(holder).startswith("alice@laptop (rollout of version 8, process ")
        with pytest.raises(StateError, match="alice@laptop"), lock.held(tmp_path, "bob", "abort"):
            raise AssertionError("two holders")
    assert lock.holder(tmp_path) is None


def test_a_look_at_the_lock_is_not_in_the_way_of_a_controller(tmp_path: Path) -> None:
    """`status` asks who holds the lock while a rollout starts: neither must refuse the other."""
    end = threading.Event()

    def look() -> None:
        while not end.is_set():
            lock.holder(tmp_path)

    with lock.held(tmp_path, "a", "b"):
        pass
    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for _ in range(50):
            with lock.held(tmp_path, "a", "b"):
                pass
    finally:
        end.set()
        watcher.join()
