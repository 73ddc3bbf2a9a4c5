"""Nothing goes onto traffic without an evaluation of these bytes under this policy that passed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlship.errors import GateFailed, Inconclusive, MlshipError
from mlship.rollout.admission import admit, same_champion
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
