"""Orders are written whole, taken once, answered once, and never outlive their moment."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mlship.errors import StateError
from mlship.rollout import lock
from mlship.rollout.mailbox import Mailbox
from mlship.rollout.state import Order


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
