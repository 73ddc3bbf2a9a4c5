"""Claims: whose attempt it is, and what came of it, also when whoever made it is dead or the disk is full."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mlship.errors import StateError
from mlship.home import Home
from mlship.monitor.acting import claims
from mlship.monitor.acting.claims import Attempt
from mlship.monitor.acting.delivery import Delivery, Outcome
from tests.faults.disk import Disk
from tests.monitor.made import MODEL

DELIVERY = Delivery("mlship-1", "notify", "json#0", "i", "features", "a", "4", "incident_opened", attempts=1)


@pytest.fixture
def taken(home: Home) -> Iterator[claims.Claim]:
    claim = claims.claim(home, MODEL, DELIVERY)
    yield claim
    with suppress(OSError):  # the test has closed it
        claim.close()


def only(home: Home) -> Attempt:
    [found] = claims.ended(home, MODEL)
    return found


def test_it_is_under_way_while_its_lock_is_held(home: Home, taken: claims.Claim) -> None:
    assert claims.under_way(home, MODEL) == {"mlship-1"}
    assert list(claims.ended(home, MODEL)) == []
    taken.close()
    assert claims.under_way(home, MODEL) == set()
    found = only(home)
    assert (found.delivery, found.number, found.begun, found.outcome) == ("mlship-1", 2, None, None)


def test_what_came_of_it_is_there(home: Home, taken: claims.Claim) -> None:
    taken.begin(12.5)
    said = Outcome("done", "Slack was told", 13.0, facts={"to": "3"})
    taken.end(said)
    taken.close()
    found = only(home)
    assert (found.begun, found.outcome) == (12.5, said)
    claims.forget(found)
    assert list(claims.ended(home, MODEL)) == []
    claims.forget(found)


def test_begun_without_an_end_is_doubt(home: Home, taken: claims.Claim) -> None:
    taken.begin(12.5)
    taken.close()
    assert (only(home).begun, only(home).outcome) == (12.5, None)


@pytest.mark.parametrize("text", ["x" * 10_000, "\u20ac" * 10_000, '\x00\\"' * 3000])
def test_an_outcome_of_any_length_fits(home: Home, taken: claims.Claim, text: str) -> None:
    taken.begin(1.0)
    taken.end(Outcome("refused", text))
    size = os.fstat(taken.descriptor).st_size
    taken.close()
    found = only(home).outcome
    assert found is not None
    assert found.said
    assert text.startswith(found.said)
    assert size == 4096


@pytest.mark.parametrize("damage", ["", "short", "{" * 4096, "\x00" * 4096])
def test_what_cannot_be_read_is_doubt(home: Home, taken: claims.Claim, damage: str) -> None:
    taken.close()
    taken.path.write_text(damage)
    assert (only(home).begun, only(home).outcome) == (0.0, None)


@pytest.mark.parametrize("short", [False, True])
def test_on_a_full_disk_nothing_is_claimed(home: Home, monkeypatch: pytest.MonkeyPatch, short: bool) -> None:
    disk = Disk(home.path, monkeypatch, short=short)
    disk.full_at = 1
    with pytest.raises(StateError, match="nothing can be sent: No space left on device"):
        claims.claim(home, MODEL, DELIVERY)
    assert claims.under_way(home, MODEL) == set()
    assert list(claims.ended(home, MODEL)) == []
    disk.free()
    claims.claim(home, MODEL, DELIVERY).close()
    assert only(home).begun is None


def test_nothing_was_ever_sent(home: Home) -> None:
    assert claims.under_way(home, MODEL) == set()
    assert list(claims.ended(home, MODEL)) == []


def test_files_of_others_are_let_be(home: Home, taken: claims.Claim) -> None:
    (taken.path.parent / "README").write_text("who put this here?")
    (taken.path.parent / ".mlship-2.1").write_text("")
    taken.close()
    assert only(home).delivery == "mlship-1"
    assert Path(taken.path.parent / "README").exists()
