"""One pass after the other on real flights: what is found, kept and told, and what is no drift."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlship.errors import Inconclusive, RegistryError, StateError
from mlship.ledger import Ledger
from mlship.monitor import store
from mlship.monitor.kept import Changes
from mlship.monitor.run import Asked, look
from mlship.policy.load import load_policy
from mlship.report.monitor_seen import Seen
from mlship.types import LedgerEntry, Status
from tests.monitor.watched import CHANGED, Watched

_DAY = 86400.0
JULY = datetime(2013, 7, 1, tzinfo=UTC).timestamp()
AUGUST = datetime(2013, 8, 1, 12, tzinfo=UTC).timestamp()


def a_pass(place: Watched, now: float = AUGUST, **asked: Any) -> Seen:
    return look(load_policy(place.policy), place.home, now, Asked(**{"since": JULY, **asked}))


def told(seen: Seen) -> list[tuple[str, str, str]]:
    return [(event.what, event.incident.kind, event.incident.subject) for event in seen.events]


def test_a_change_is_found_dated_shown_and_told_once(place: Watched) -> None:
    """Given all flights leave an hour later from a day on, then each is one incident, and the next pass has none."""
    seen = a_pass(place)
    assert seen.status is Status.FAILED
    assert {("opened", "features", "dep_delay"), ("opened", "predictions", "scores")} <= set(told(seen))
    delay = next(one for one in seen.open if one.subject == "dep_delay")
    assert delay.since is not None
    assert abs(delay.since - CHANGED.timestamp()) < _DAY, "the change is dated to the day"
    assert delay.opened - CHANGED.timestamp() < 2 * _DAY, "and found within two"
    assert "dep_delay has moved since 1" in delay.sentence
    assert delay.detail.startswith("such as r"), "requests show it"
    assert not {"distance", "carrier", "origin"} & {one.subject for one in seen.open}, (
        "what has not moved is left alone"
    )
    again = a_pass(place, AUGUST + 60)
    assert (again.events, again.status) == ((), Status.FAILED)
    assert {one.id for one in again.open} == {one.id for one in seen.open}


def test_however_passes_cut_the_time_the_incidents_are_the_same(made: Watched, tmp_path: Path) -> None:
    """One pass over July, or one each some days."""
    whole, cut = made.copy(tmp_path / "whole"), made.copy(tmp_path / "cut")
    at_once = a_pass(whole)
    rows = pd.read_parquet(cut.directory / "log" / "july.parquet")
    when = pd.to_datetime(rows["time_hour"], utc=True)
    (cut.directory / "log" / "july.parquet").unlink()
    found, start = [], JULY
    for number, day in enumerate([3.0, 11.0, 14.4, 15.1, 16.0, 20.5, 32.0]):
        until = JULY + (day - 1) * _DAY
        part = rows[
            (when >= pd.Timestamp(start, unit="s", tz="UTC")) & (when < pd.Timestamp(until, unit="s", tz="UTC"))
        ]
        part.to_parquet(cut.directory / "log" / f"{number}.parquet")
        seen, start = a_pass(cut, until + 900), until
        found += [(event.what, event.incident.kind, event.incident.subject, event.at) for event in seen.events]
    last = a_pass(cut)
    found += [(event.what, event.incident.kind, event.incident.subject, event.at) for event in last.events]
    drift = {"features", "predictions"}
    expected = [(event.what, event.incident.kind, event.incident.subject, event.at) for event in at_once.events]
    assert [one for one in found if one[1] in drift and one[0] == "opened"] == [
        one for one in expected if one[1] in drift and one[0] == "opened"
    ]


def test_a_dry_run_finds_the_same_and_keeps_nothing(place: Watched) -> None:
    dry = a_pass(place, dry_run=True)
    assert ("opened", "features", "dep_delay") in told(dry)
    assert store.reading(place.home, "flight-delay") is None
    assert told(a_pass(place)) == told(dry)


def test_a_log_that_cannot_be_read_is_no_drift(place: Watched) -> None:
    """It is told as such, since when, and traffic goes on where it was once it is back."""
    file = place.directory / "log" / "july.parquet"
    file.rename(place.directory / "away")
    seen = a_pass(place)
    assert (seen.status, seen.events, seen.open) == (Status.ERROR, (), ())
    assert [one.source for one in seen.troubles] == ["log"]
    later = a_pass(place, AUGUST + 3600)
    assert later.troubles[0].since == AUGUST
    (place.directory / "away").rename(file)
    assert ("opened", "features", "dep_delay") in told(a_pass(place, AUGUST + 7200))
    found = store.reading(place.home, "flight-delay")
    assert found is not None
    with found:
        assert found.troubles() == ()


def test_a_registry_that_is_away_does_not_stop_the_watch(place: Watched) -> None:
    """Once it has told champion and baseline, they are remembered; before, nothing can be said."""
    file = place.home.registry_dir / "mlflow.db"
    file.rename(place.directory / "away.db")
    with pytest.raises(RegistryError):
        a_pass(place)
    (place.directory / "away.db").rename(file)
    a_pass(place, JULY + 5 * _DAY)
    file.rename(place.directory / "away.db")
    seen = a_pass(place)
    assert [one.source for one in seen.troubles] == ["registry"]
    assert "version 1 was champion when it last answered" in seen.troubles[0].what
    assert ("opened", "features", "dep_delay") in told(seen)


def test_without_champion_or_baseline_there_is_nothing_to_hold_traffic_against(place: Watched) -> None:
    place.write('candidate: "1"', 'candidate: "1"\nchampion: "@nobody"')
    with pytest.raises(Inconclusive, match="nobody is @nobody"):
        a_pass(place)
    place.write("@nobody", "@challenger")
    with pytest.raises(RegistryError, match="it has no baseline"):
        a_pass(place)


def test_age_and_silence_go_by_the_clock(place: Watched) -> None:
    """An old model and a dead pipe are breaches of their own, not drift."""
    place.write("  min_rows: 3", "  min_rows: 3\n  max_age: 1d\n  max_silence: 6h")
    seen = a_pass(place, time.time() + 2 * _DAY)
    assert {("opened", "age", "model"), ("opened", "silence", "traffic")} <= set(told(seen))
    age = next(one for one in seen.open if one.kind == "age")
    assert "version 1 was registered" in age.sentence


def test_another_champion_begins_anew(place: Watched) -> None:
    """The incidents of the version before are over: nobody can see any more whether they go on."""
    first = a_pass(place)
    assert first.open
    loaded = load_policy(place.policy)
    with store.writing(place.home, "flight-delay", "test") as kept:
        champion = kept.champion()
        assert champion is not None
        assert champion.version == "1"
    from mlflow import MlflowClient

    client = MlflowClient(place.home.registry_uri, place.home.registry_uri)
    tags = client.get_model_version("flight-delay", "1").tags
    assert tags["mlship.baseline"].startswith("sha256:")
    client.set_registered_model_alias("flight-delay", "champion", "2")
    with pytest.raises(RegistryError, match="version 2: it has no baseline"):
        look(loaded, place.home, AUGUST + 60, Asked(since=JULY))


def test_a_baseline_made_anew_tells_nobody_that_all_was_well(place: Watched) -> None:
    """Given open incidents, when the champion is evaluated again, then they stay open, and end as they would have."""
    first = a_pass(place)
    with store.writing(place.home, "flight-delay", "test") as kept:
        kept.commit(Changes(version="1", detectors={"baseline": "sha256:of-another-evaluation"}))
    again = a_pass(place, AUGUST + 60)
    assert again.windows == first.windows, "all of the log is held against it"
    assert again.events == ()
    assert {one.id for one in again.open} == {one.id for one in first.open}


@pytest.mark.parametrize("body", [None, {"drift": 3}, "text"])
def test_a_damaged_state_says_how_to_begin_anew(place: Watched, body: Any) -> None:
    with store.writing(place.home, "flight-delay", "test") as kept:
        kept.commit(Changes(version="1", detectors={"state": body}))
    with pytest.raises(StateError, match=r"damaged: the state of the detectors cannot be read[\s\S]*begins anew"):
        a_pass(place)


def test_a_champion_that_comes_back_is_not_taken_for_the_one_between(place: Watched) -> None:
    """Rows that name no version are of whoever served then."""
    a_pass(place, CHANGED.timestamp())
    with store.writing(place.home, "flight-delay", "test") as kept:
        champion = kept.champion()
        assert champion is not None
        kept.commit(Changes(champion=replace(champion, version="7")))
    back = CHANGED.timestamp() + 10 * _DAY
    Ledger(place.home.ledger).append(LedgerEntry(back, "tester", "rolled_back", "flight-delay", "7", "1", "worse"))
    a_pass(place)
    with store.writing(place.home, "flight-delay", "test") as kept:
        between = [one for one in kept.windows("1") if CHANGED.timestamp() <= one.start < back]
        assert between == []
        assert kept.windows("1", until=CHANGED.timestamp()), "what it saw at first is known"
        assert kept.newest("1") == pytest.approx(AUGUST - _DAY / 2, abs=_DAY)


def test_what_a_pass_has_seen_is_kept_for_who_asks(place: Watched) -> None:
    seen = a_pass(place)
    found = store.reading(place.home, "flight-delay")
    assert found is not None
    with found:
        last = found.last()
        assert last is not None
        assert (last.verdict, last.exit_code, last.windows) == ("failed", 1, seen.windows)
        assert found.open() == tuple(sorted(seen.open, key=lambda one: (one.opened, one.id)))
        assert [replace(one) for one in found.findings()] == list(seen.findings)
        assert found.newest("1") == max(one.end for one in found.windows("1"))


def test_what_the_baseline_was_not_made_for_is_said(place: Watched) -> None:
    """Windows, season and slices are those of the baseline until the champion is evaluated again."""
    place.write("  min_rows: 3", "  min_rows: 3\n  window: 30m\n  season: [hour]\n  slices: {by: [origin]}")
    notes = [said for name, said in a_pass(place, dry_run=True).facts if name == "note"]
    assert any("windows 30m, and the baseline has 1h" in one for one in notes), notes
    assert any("a season hour, and the baseline has none" in one for one in notes)
    assert any("no slices by origin" in one for one in notes)
