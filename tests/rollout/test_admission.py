"""Nothing goes onto traffic without an evaluation of these bytes under this policy that passed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlship.errors import GateFailed, Inconclusive, MlshipError
from mlship.rollout.admission import admit, same_champion, within_budget
from mlship.types import LedgerEntry, ModelVersion

CANDIDATE = ModelVersion("m", "8", "sha256:8", Path("/m"))


def evaluated(status: str, model: str = "sha256:8", policy: str = "sha256:p") -> LedgerEntry:
    evidence = {"model": model, "policy": policy, "status": status}
    return LedgerEntry(0.0, "a", "evaluated", "m", "7", "8", "recall 0.52, needs 0.6", evidence)


def test_the_latest_evaluation_counts() -> None:
    entries = [evaluated("failed"), evaluated("passed")]
    assert admit(entries, CANDIDATE, "sha256:p", "p.yaml") is entries[1]


@pytest.mark.parametrize(
    ("entries", "kind", "message"),
    [
        ([], Inconclusive, "has not been evaluated"),
        ([evaluated("passed", model="sha256:7")], Inconclusive, "has not been evaluated"),
        ([evaluated("passed", policy="sha256:q")], Inconclusive, "was evaluated under another policy only"),
        ([evaluated("passed"), evaluated("failed")], GateFailed, "did not pass its gates: recall 0.52, needs 0.6"),
        ([evaluated("inconclusive")], Inconclusive, "evaluation was inconclusive"),
        ([evaluated("error")], Inconclusive, "evaluation was error"),
    ],
)
def test_everything_else_is_refused_with_the_next_step(
    entries: list[LedgerEntry], kind: type[MlshipError], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        admit(entries, CANDIDATE, "sha256:p", "p.yaml")
    assert caught.value.hint == "mlship evaluate p.yaml"


def measured(status: str, image: str = "", policy: str = "sha256:p") -> LedgerEntry:
    evidence = {"model": "sha256:8", "policy": policy, "status": status, "image": image}
    return LedgerEntry(0.0, "a", "measured", "m", "7", "8", "p99 is 400 ms, the limit 200 ms", evidence)


def test_a_kept_budget_of_the_very_image_lets_in() -> None:
    entries = [evaluated("failed"), measured("passed", "sha256:i")]
    assert within_budget(entries, CANDIDATE, "sha256:p", "sha256:i", "p.yaml") is entries[1]
    assert within_budget([measured("passed")], CANDIDATE, "sha256:p", "", "p.yaml").evidence["status"] == "passed"


@pytest.mark.parametrize(
    ("entries", "kind", "message"),
    [
        ([evaluated("passed")], Inconclusive, "has not been measured against its latency budget"),
        ([measured("passed", "sha256:i", policy="sha256:q")], Inconclusive, "measured under another policy only"),
        ([measured("passed", "sha256:j")], Inconclusive, "was proved of sha256:j, and sha256:i would be served"),
        ([measured("passed")], Inconclusive, "was proved of a process, and sha256:i would be served"),
        ([measured("failed", "sha256:i")], GateFailed, "did not keep its latency budget: p99 is 400 ms"),
        ([measured("inconclusive", "sha256:i")], Inconclusive, "latency measurement was inconclusive"),
    ],
)
def test_a_budget_that_was_not_proved_of_this_image_keeps_out(
    entries: list[LedgerEntry], kind: type[MlshipError], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        within_budget(entries, CANDIDATE, "sha256:p", "sha256:i", "p.yaml")
    assert caught.value.hint == "mlship latency p.yaml"


CHAMPION = ModelVersion("m", "7", "sha256:7", Path("/m"))


@pytest.mark.parametrize(("compared", "champion"), [("sha256:7", CHAMPION), (None, None)])
def test_the_champion_that_was_compared_with_lets_in(compared: str | None, champion: ModelVersion | None) -> None:
    entry = evaluated("passed")
    if compared is not None:
        entry.evidence["champion"] = compared
    same_champion(entry, champion, "p.yaml")


@pytest.mark.parametrize(
    ("compared", "champion", "message"),
    [
        ("sha256:6", CHAMPION, "compared with champion 7, but the champion is version 7 by now"),
        (None, CHAMPION, "but the champion is version 7 by now"),
        ("sha256:7", None, "but the champion is nobody by now"),
    ],
)
def test_no_worse_than_somebody_else_proves_nothing(
    compared: str | None, champion: ModelVersion | None, message: str
) -> None:
    """The champion may have moved between evaluation and rollout."""
    entry = evaluated("passed")
    if compared is not None:
        entry.evidence["champion"] = compared
    with pytest.raises(Inconclusive, match=message):
        same_champion(entry, champion, "p.yaml")
