"""A rollback goes to the champion that the present one has replaced, whatever went back and forth since."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.champions import champions
from mlship.types import LedgerEntry


def entry(action: str, old: str | None, new: str | None) -> LedgerEntry:
    return LedgerEntry(1763700000.5, "ada@host", action, "m", old, new, "because")


FIRST = [entry("promoted", None, "1"), entry("promoted", "1", "2")]
THREE = [*FIRST, entry("promoted", "2", "3")]


@pytest.mark.parametrize(
    ("entries", "stack"),
    [
        ([], []),
        (FIRST, ["1", "2"]),
        (FIRST[1:], ["1", "2"]),  # what served before the ledger began counts
        ([*FIRST, entry("rolled_back", "4", "2")], ["1", "2"]),  # during a rollout
        ([*FIRST, entry("evaluated", None, "3"), entry("refused", None, "3")], ["1", "2"]),
        ([*FIRST, entry("rolled_back", "2", "1")], ["1"]),
        ([*THREE, entry("rolled_back", "3", "1")], ["1"]),  # two back at once
        ([*THREE, entry("rolled_back", "3", "9")], ["1", "2", "9"]),
        # There and back again: what was below is below again.
        ([*FIRST, entry("rolled_back", "2", "1"), entry("rolled_back", "1", "2")], ["1", "2"]),
        ([*THREE, entry("rolled_back", "3", "1"), entry("rolled_back", "1", "3")], ["1", "2", "3"]),
        ([*THREE, entry("rolled_back", "3", "1"), entry("rolled_back", "1", "2")], ["1", "2"]),
        # Left one by one: 2 was bad, too, so that 3, if it was not the model after all, stands on 1.
        (
            [*THREE, *(entry("rolled_back", *way) for way in (("3", "2"), ("2", "1"), ("1", "3")))],
            ["1", "3"],
        ),
        # To a version beside: 3 was left for 2, on which 4 came; from 4 to 3.
        ([*THREE, entry("rolled_back", "3", "2"), entry("promoted", "2", "4")], ["1", "2", "4"]),
        (
            [*THREE, entry("rolled_back", "3", "2"), entry("promoted", "2", "4"), entry("rolled_back", "4", "3")],
            ["1", "2", "3"],
        ),
        # The same version again, on top of the one that had replaced it.
        ([*FIRST, entry("promoted", "2", "1")], ["1", "2", "1"]),
        ([*FIRST, entry("promoted", "2", "1"), entry("rolled_back", "1", "2")], ["2"]),
        # In a ledger that has begun since.
        ([entry("rolled_back", "3", "1")], ["1"]),
        ([entry("rolled_back", "3", "1"), entry("rolled_back", "1", "3")], ["1", "3"]),
        # By hand.
        ([*FIRST, entry("promoted", "5", "6")], ["1", "2", "5", "6"]),
        ([*FIRST, entry("promoted", "1", "3")], ["1", "3"]),
        ([entry("served", None, "1")], ["1"]),
        ([entry("served", None, "1"), entry("promoted", "1", "2"), entry("served", None, "2")], ["1", "2"]),
        ([*FIRST, entry("served", "2", "5")], ["1", "2", "5"]),
        ([*THREE, entry("served", "3", "2")], ["1", "2"]),
    ],
)
def test_below_each_champion_is_the_one_that_it_replaced(entries: list[LedgerEntry], stack: list[str]) -> None:
    assert champions(entries) == stack


class World:
    """An oracle: who replaced whom in a table, each promotion of a new version."""

    def __init__(self) -> None:
        self.entries = [entry("promoted", None, "1")]
        self.now, self.number = "1", 1
        self.replaced: dict[str, str] = {}
        self.bad: set[str] = set()

    def below(self, version: str) -> list[str]:
        """Those it stands on, the nearest first."""
        found: list[str] = []
        while version in self.replaced:
            version = self.replaced[version]
            found.append(version)
        return found

    @property
    def back(self) -> str | None:
        """Where a plain rollback has to go."""
        return next((one for one in self.below(self.now) if one not in self.bad), None)

    def promote(self) -> None:
        self.number += 1
        new = str(self.number)
        self.replaced[new] = self.now
        self.entries.append(entry("promoted", self.now, new))
        self.now = new

    def go(self, to: str) -> None:
        if self.now not in self.below(to):
            self.bad.add(self.now)
        self.bad.discard(to)
        self.entries.append(entry("rolled_back", self.now, to))
        self.now = to


@given(st.lists(st.one_of(st.just("promote"), st.just("back"), st.integers(1, 12)), max_size=30))
def test_whatever_was_done_a_plain_rollback_goes_to_the_one_before_and_never_to_one_that_was_left(
    acts: list[str | int],
) -> None:
    world = World()
    for act in acts:
        if act == "promote":
            world.promote()
        elif act == "back":
            if world.back is not None:
                world.go(world.back)
        elif int(act) <= world.number and str(act) != world.now:
            before, fine = champions(world.entries), str(act) not in world.bad
            here, entries = world.now, len(world.entries)
            world.go(str(act))
            if fine:  # taken back at once, it is as if nothing had been done
                assert champions([*world.entries, entry("rolled_back", str(act), here)]) == before
            assert len(world.entries) == entries + 1
        stack = champions(world.entries)
        assert stack[-1] == world.now
        assert (stack[-2] if len(stack) > 1 else None) == world.back
        assert not world.bad & set(stack)
    left = champions(world.entries)
    while world.back is not None:  # going back and back ends at the first, and nobody is met twice
        assert left.pop() == world.now
        world.go(world.back)
        assert champions(world.entries) == left


def test_promotions_and_plain_rollbacks_alone_are_a_stack() -> None:
    world, stack = World(), ["1"]
    for act in "ppbpbbppppbbb":
        if act == "p":
            world.promote()
            stack.append(world.now)
        elif len(stack) > 1:
            stack.pop()
            assert world.back == stack[-1]
            world.go(stack[-1])
        assert champions(world.entries) == stack
