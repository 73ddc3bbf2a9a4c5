"""A candidate that was rolled back and is tried again: `ship` and `rollout` say so before anything else is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlship.cli import rollout, ship
from mlship.errors import Inconclusive
from mlship.home import Home
from mlship.ledger import Ledger
from mlship.policy.load import LoadedPolicy, load_policy
from mlship.registry import Registry
from mlship.types import Candidate, LedgerEntry, ModelVersion

TWO, ONE = (ModelVersion("flight-delay", number, f"sha256:{number}", Path()) for number in ("2", "1"))
POLICY = """\
version: 1
model: flight-delay
owner: {team: flight-ops, contact: flight-ops@example.com}
data: {evaluation: {path: july.csv, target: late}}
gates: {metrics: {recall: {min: 0.6}}}
rollout: {steps: [{weight: 10%, bake: {requests: 500}}]}
"""


class _Registry:
    uri = "sqlite:///none.db"

    def candidate(self, _policy: object) -> Candidate:
        return Candidate(TWO, ONE)


class _View:
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[LoadedPolicy, Home]:
    (tmp_path / "mlship.yaml").write_text(POLICY)
    loaded, home = load_policy(tmp_path / "mlship.yaml"), Home(tmp_path / ".mlship")
    home.ensure(home.path)
    evidence = {"model": TWO.digest, "policy": loaded.digest, "rollout": "r1"}
    reason = "errors 31.6 % against 0.0 %"
    Ledger(home.ledger).append(
        LedgerEntry(1_794_398_400.0, "ada", "rolled_back", "flight-delay", "2", "1", reason, evidence)
    )
    monkeypatch.setattr(Registry, "connect", lambda *_: _Registry())
    return loaded, home


SAID = (
    "warning: version 2 was rolled back 2026-11-11 12:00 UTC: errors 31.6 % against 0.0 %; "
    "this is another try, with evidence of its own"
)


def test_ship_says_so_before_it_evaluates(again: tuple[LoadedPolicy, Home], capsys: pytest.CaptureFixture[str]) -> None:
    assert ship._wants_evaluation(*again, None)
    assert capsys.readouterr().err == f"mlship: {SAID}\n"


def test_rollout_says_so_before_it_looks_at_the_proofs(again: tuple[LoadedPolicy, Home]) -> None:
    view = _View()
    with pytest.raises(Inconclusive):
        rollout.run(*again, view=view)  # type: ignore[arg-type]  # it says, and shows nothing
    assert view.said == ["reaching the registry", SAID]
