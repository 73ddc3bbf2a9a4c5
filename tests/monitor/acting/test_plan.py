"""What follows from what: pure, so that tables and any story can be held against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.monitor.acting.delivery import GIVEN_UP, WAITS, Delivery, Outcome, Result
from mlship.monitor.acting.plan import Followed, Known, follow_up, places, plan, settled
from mlship.policy.load import LoadedPolicy
from mlship.types.monitoring import Incident, IncidentEvent
from tests.monitor.acting.world import github, policy, webhook
from tests.monitor.made import event, incident

NOW, DAY, HOUR = 1_900_000_000.0, 86400.0, 3600.0


@pytest.fixture(autouse=True)
def _named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_NOTIFY", "json://a/b, slack://TokenA01/TokenB012/TokenC0123456789012345678, json://c/d")
    monkeypatch.setenv("TEST_HOOK", "https://hooks.example.com/x")
    monkeypatch.setenv("TEST_TOKEN", "token")


def followed(
    loaded: LoadedPolicy,
    *events: IncidentEvent,
    open_: tuple[Incident, ...] | None = None,
    known: Known | None = None,
    now: float = NOW,
) -> Followed:
    still = tuple(one.incident for one in events if one.incident.resolved is None) if open_ is None else open_
    return plan(loaded.policy, loaded.digest, events, still, known or Known(), now=now, until=now - HOUR)


def actions(found: Followed) -> list[str]:
    return [one.action for one in found.deliveries]


def test_places_name_services_without_anything_secret(tmp_path: Path) -> None:
    assert list(places(policy(tmp_path, "notify").policy)) == ["json#0", "slack#0", "json#1"]


def test_nothing_follows_what_the_policy_does_not_name(tmp_path: Path) -> None:
    assert followed(policy(tmp_path, "pause"), event(incident(kind="age"))) == Followed()


@pytest.mark.parametrize(
    ("item", "kind", "follows"),
    [
        ("notify", "age", ["notify"] * 3),
        ({"notify": {"on": ["performance"]}}, "features", []),
        ({"notify": {"on": ["performance"]}}, "performance", ["notify"] * 3),
        ("rollback", "performance", ["rollback"]),
        ("rollback", "features", []),
        ("pause", "features", ["pause"]),
        ("pause", "age", []),
        ({"retrain": {"command": "train"}}, "age", ["retrain"]),
        ({"retrain": {"command": "train"}}, "silence", []),
    ],
)
def test_each_kind_leads_to_what_the_policy_says(
    tmp_path: Path, item: Mapping[str, Any] | str, kind: Any, follows: list[str]
) -> None:
    assert actions(followed(policy(tmp_path, item), event(incident(kind=kind)))) == follows


def test_the_same_events_lead_to_the_same_ids(tmp_path: Path) -> None:
    loaded = policy(tmp_path, "notify", "rollback", "pause", webhook())
    one = incident(kind="performance")
    first, again = followed(loaded, event(one)), followed(loaded, event(one), now=NOW + DAY)
    ids = [delivery.id for delivery in first.deliveries]
    assert actions(first) == ["notify"] * 3 + ["retrain", "rollback", "pause"]
    assert ids == [delivery.id for delivery in again.deliveries]
    assert len(set(ids)) == 6
    other = followed(loaded, event(incident("precision", kind="performance")))
    assert not set(ids) & {delivery.id for delivery in other.deliveries}


def test_one_training_is_for_all_that_is_open(tmp_path: Path) -> None:
    loaded = policy(tmp_path, webhook())
    some = [incident(name, worst=grade) for name, grade in (("a", 1), ("b", 3), ("c", 2), ("d", 1))]
    [training] = followed(loaded, *map(event, some)).deliveries
    assert training.subject == "b"
    assert training.covers == {one.id: one.worst for one in some}
    assert training.facts["reason"] == "b has moved: PSI 0.31; a has moved: PSI 0.31; c has moved: PSI 0.31; and 1 more"
    assert training.facts["since"] == "1970-01-12T11:46:40Z"
    assert training.facts["until"] == "2030-03-17T16:46:40Z"


def test_a_reason_is_one_line_that_github_takes(tmp_path: Path) -> None:
    long = replace(incident(), sentence="x\n" * 5000)
    [training] = followed(policy(tmp_path, webhook()), event(long)).deliveries
    assert len(training.facts["reason"]) == 500
    assert "\n" not in training.facts["reason"]


def test_an_incident_that_worsens_is_trained_for_again_after_the_cool_down(tmp_path: Path) -> None:
    loaded = policy(tmp_path, webhook(cool_down="7d"))
    one = incident()
    [first] = followed(loaded, event(one)).deliveries
    done = replace(first, state="done", ended=NOW)
    worse = replace(one, worst=2)
    known = Known([done])
    assert followed(loaded, open_=(one,), known=known, now=NOW + 30 * DAY).deliveries == (), "once is enough"
    early = followed(loaded, event(worse, "worsened"), known=known, now=NOW + DAY)
    assert early.deliveries == ()
    assert early.why_not == ("training for dep_delay is asked for at 2030-03-24 17:46 UTC, when the cool-down is over",)
    [second] = followed(loaded, open_=(worse,), known=known, now=NOW + 7 * DAY).deliveries
    assert second.id != first.id


def test_a_training_that_never_got_through_is_asked_for_again_after_the_cool_down(tmp_path: Path) -> None:
    loaded = policy(tmp_path, webhook(cool_down="7d"))
    one = incident()
    [first] = followed(loaded, event(one)).deliveries
    known = Known([replace(first, state="failed", ended=NOW + DAY)])
    assert followed(loaded, open_=(one,), known=known, now=NOW + 2 * DAY).deliveries == ()
    [again] = followed(loaded, open_=(one,), known=known, now=NOW + 8 * DAY).deliveries
    assert again.id != first.id, "what was given up stays given up"


def test_two_trainings_have_cool_downs_of_their_own(tmp_path: Path) -> None:
    class Nowhere:
        base = "http://127.0.0.1:9"

    loaded = policy(tmp_path, webhook(on=["age"]), github(Nowhere(), on=["features"]))  # type: ignore[arg-type]  # a base is all
    [training] = followed(loaded, event(incident())).deliveries
    assert training.place == "retrain#1"
    known = Known([replace(training, state="done", ended=NOW)])
    [other] = followed(loaded, event(incident("model", kind="age")), known=known).deliveries
    assert other.place == "retrain#0"


def test_what_the_monitor_went_back_to_is_left_to_people(tmp_path: Path) -> None:
    loaded = policy(tmp_path, "rollback")
    bad = incident("recall", kind="performance", version="5")
    [back] = followed(loaded, event(bad)).deliveries
    known = Known(rollbacks=[replace(back, state="done", ended=NOW, facts={"to": "4"})])
    found = followed(loaded, event(incident("recall", kind="performance", version="4")), known=known)
    assert found.deliveries == ()
    assert "is left to people" in found.why_not[0]
    assert actions(followed(loaded, event(incident("recall", kind="performance", version="6")), known=known))


def test_a_deed_is_told_to_the_services_that_the_policy_names(tmp_path: Path) -> None:
    loaded = policy(tmp_path, "notify", "rollback")
    back = next(
        one for one in followed(loaded, event(incident("r", kind="value"))).deliveries if one.action == "rollback"
    )
    done = replace(back, state="done", ended=NOW + 5, said="version 3 serves again")
    told = follow_up(loaded.policy, done, NOW + 60)
    assert [(one.place, one.what) for one in told] == [(place, "rolled_back") for place in places(loaded.policy)]
    assert told[0].facts == {"text": "version 3 serves again; r has moved: PSI 0.31", "at": f"{NOW + 5:.3f}"}
    assert follow_up(loaded.policy, replace(back, state="dropped"), NOW) == ()
    assert follow_up(loaded.policy, told[0], NOW) == ()


DELIVERY = Delivery("mlship-1", "notify", "json#0", "i", "features", "a", "4", "incident_opened", made=NOW, due=NOW)


@pytest.mark.parametrize(
    ("result", "state", "maybe", "blocking"),
    [
        ("done", "done", False, False),
        ("moot", "dropped", False, False),
        ("refused", "pending", False, False),
        ("later", "pending", False, False),
        ("away", "pending", False, True),
        ("maybe", "pending", True, True),
        (None, "pending", True, True),
    ],
)
def test_what_becomes_of_it(result: Result | None, state: str, maybe: bool, blocking: bool) -> None:
    came = None if result is None else Outcome(result, "said", NOW + 1)
    after = settled(DELIVERY, 1, NOW + 0.5, came, NOW)
    assert (after.state, after.maybe, after.blocking, after.attempts) == (state, maybe, blocking, 1)
    assert after.over == (after.ended is not None)
    assert after.due == (NOW + WAITS[0] if state == "pending" else NOW)


def test_doubt_lasts_until_it_is_cleared() -> None:
    doubtful = settled(DELIVERY, 1, NOW, None, NOW)
    assert settled(doubtful, 2, NOW, Outcome("away", ""), NOW).maybe
    assert not settled(doubtful, 2, NOW, Outcome("away", "", cleared=True), NOW).maybe


@given(st.lists(st.sampled_from(["refused", "away", "maybe", "later", None]), min_size=1, max_size=60))
def test_it_is_tried_for_a_day_and_then_given_up(results: list[Result | None]) -> None:
    one, now = DELIVERY, NOW
    for number, result in enumerate(results, 1):
        one = settled(one, number, now, None if result is None else Outcome(result, "no"), now)
        assert one.first == NOW
        if one.over:
            assert (one.state, now - NOW >= GIVEN_UP) == ("failed", True)
            return
        assert now + WAITS[0] <= one.due <= now + WAITS[-1]
        now = one.due
    assert now - NOW < GIVEN_UP + WAITS[-1]
