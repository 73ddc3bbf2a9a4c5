"""Every model, from a real registry and a real state directory; what cannot be read hides nothing of the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mlship.errors import UsageError
from mlship.estate.gather import Asked, gather
from mlship.home import Home
from mlship.types.estate import Estate
from tests.estate.town import DAY, PLAIN, Town, town


@pytest.fixture(scope="module")
def made(make_home: Callable[[Path], Home], tmp_path_factory: pytest.TempPathFactory) -> Town:
    directory = tmp_path_factory.mktemp("town")
    return town(make_home(directory), directory)


def look(made: Town, *named: str, registry: str | None = None, now: float | None = None) -> Estate:
    return gather(made.home, Asked(named, registry, made.directory), now or made.now, made.describe)


def test_every_model_with_a_policy_a_champion_or_traffic_has_a_row(made: Town) -> None:
    estate = look(made)
    rows = {one.model: one for one in estate.models}
    assert list(rows) == ["churn", "flight-delay", "fraud", "ghost", "price"]
    flights = rows["flight-delay"]
    assert (flights.champion, flights.told_by, flights.team, flights.policy) == (
        "3",
        "registry",
        "flight-ops",
        "mlship.yaml",
    )
    assert flights.made == pytest.approx(made.now, abs=60)
    assert flights.promoted == pytest.approx(made.now - 2 * DAY)
    assert flights.verdict is not None
    assert flights.verdict.action == "promoted"
    assert flights.worst is not None
    assert flights.worst.subject == "predictions"
    assert flights.strain == pytest.approx(1.64)
    assert len(flights.incidents) == 3
    assert flights.drift is not None
    assert (flights.drift.name, flights.drift.limit, len(flights.drift.at)) == ("PSI of predictions", 0.1, 56)
    assert flights.performance is not None
    assert flights.performance.name == "recall"
    assert (rows["ghost"].serving, rows["ghost"].endpoint) == ("7", "http://127.0.0.1:8080")
    assert estate.without == ("old",)


def test_what_is_overdue_and_what_is_nobodys_is_named(made: Town) -> None:
    estate = look(made)
    assert {(one.model, one.kind, one.team) for one in estate.overdue} == {
        ("flight-delay", "review", "flight-ops"),
        ("churn", "monitor", "crm"),
    }
    assert {(one.kind, one.model) for one in estate.orphans} == {
        ("unregistered", "ghost"),
        ("no policy", "fraud"),
        ("no model", "price"),
    }
    [broken] = estate.broken
    assert broken.path == "broken.yaml"
    assert "metrix" in broken.fault
    assert estate.faults == (), "a broken policy that only the search has found is no fault of this look"
    assert estate.waits


def test_time_makes_more_of_it_overdue(made: Town) -> None:
    later = look(made, now=made.now + 61 * DAY)
    kinds = {one.kind for one in later.overdue if one.model == "flight-delay"}
    assert kinds == {"review", "age", "monitor", "retraining"}
    assert {one.kind for one in later.overdue if one.model == "churn"} == {"age", "monitor"}


def test_a_dead_registry_hides_nothing_that_is_known_here(made: Town, tmp_path: Path) -> None:
    """What a policy names is gone; the champion is known from the ledger, and nothing is called an orphan for it."""
    policy = tmp_path / "mlship.yaml"
    text = (made.directory / "mlship.yaml").read_text().replace(made.home.registry_uri, f"sqlite:///{tmp_path}/gone.db")
    policy.write_text(text)
    estate = look(made, str(policy))
    flights = next(one for one in estate.models if one.model == "flight-delay")
    assert (flights.champion, flights.told_by, flights.registered) == ("3", "ledger", None)
    assert len(flights.incidents) == 3
    assert flights.orphan is None
    assert any("there is no registry database" in fault for fault in estate.faults)
    assert not (tmp_path / "gone.db").exists()


def test_a_damaged_file_is_told_and_the_rest_is_shown(
    made: Town, make_home: Callable[[Path], Home], tmp_path: Path
) -> None:
    fresh = town(make_home(tmp_path), tmp_path)
    (fresh.home.monitor("flight-delay") / "monitor.db").write_bytes(b"no database at all, for sure")
    with fresh.home.ledger.open("ab") as file:
        file.write(b"rubbish\n")
    estate = look(fresh)
    assert any("monitor.db" in fault for fault in estate.faults)
    assert any("ledger" in fault for fault in estate.faults)
    assert [one.champion for one in estate.models if one.model == "flight-delay"] == ["3"]


def test_named_policies_are_the_only_ones_but_for_those_that_ran(made: Town) -> None:
    estate = look(made, str(made.directory / "teams"))
    assert {one.model: one.policy for one in estate.models if one.policy} == {
        "churn": "teams/churn/mlship.yaml",
        "price": "teams/price/mlship-price.yml",
        "flight-delay": "mlship.yaml",
    }, "the monitor has told where the last one is"
    named = look(made, str(made.directory / "broken.yaml"))
    assert any("broken.yaml" in fault for fault in named.faults)
    assert {one.model for one in look(made, str(made.directory / "t*" / "**" / "*.yaml")).models if one.policy} >= {
        "churn"
    }
    with pytest.raises(UsageError, match="there is no policy"):
        look(made, str(made.directory / "nothing" / "*.yaml"))


def test_a_new_home_makes_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path / ".mlship")
    estate = gather(home, Asked(here=tmp_path), 1.0, lambda _: {})
    assert estate == replace(estate, models=(), orphans=(), without=(), broken=(), unread=())
    assert not home.path.exists()


def test_a_policy_whose_variables_are_not_set_still_says_whose_it_is(tmp_path: Path) -> None:
    text = PLAIN.format(model="price") + 'registry: {uri: "${NOWHERE_TO_BE_FOUND}"}\n'
    (tmp_path / "mlship.yaml").write_text(text)
    estate = gather(Home(tmp_path / ".mlship"), Asked(here=tmp_path), 1.0, lambda _: {})
    assert [(one.model, one.team) for one in estate.models] == [("price", "pricing")]
    assert estate.broken == ()
