"""The worked example of `docs/explanation/judge.md` is what the judge really says, and so are its numbers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from mlship.rollout import judge
from mlship.rollout.judge import Evidence, Guards
from mlship.stats import eprocess, onearm
from mlship.types import ArmWindow, Observation

PAGE = (Path(__file__).parents[2] / "docs" / "explanation" / "judge.md").read_text(encoding="utf-8")
#: The same without its line breaks.
SAID = " ".join(PAGE.split())
GUARDS = Guards(errors=1.25, timeouts=1.25, refusals=1.25, latency=1.25)
#: (canary, stable) failed, of 100 and 900 requests.
BURST = [(0, 5), (1, 4), (9, 88), (0, 5)]
WORSE = [(1, 4), (5, 5), (4, 3), (6, 5), (5, 4)]


def look(evidence: Evidence, index: int, failed: tuple[int, int]) -> Evidence:
    arms = ArmWindow(900, failed[1], served=900), ArmWindow(100, failed[0], served=100)
    return judge.update(evidence, Observation(20.0 * index, 20.0 * index + 20, 0.1, *arms))


def told(looks: list[tuple[int, int]]) -> str:
    """A table of looks: what each saw, what the signal's evidence is then, and the total."""
    evidence = judge.begin(GUARDS, stages=4)
    lines = ["look  canary failed  stable failed  evidence of errors      total"]
    for index, failed in enumerate(looks):
        evidence = look(evidence, index, failed)
        own, total = judge.number(evidence.shares["errors"]), judge.number(evidence.total)
        lines.append(f"{index + 1:>4}{failed[0]:>8} of 100{failed[1]:>8} of 900{own:>20}{total:>11}")
    return "\n".join([*lines, judge.sentence(evidence)])


@pytest.mark.parametrize("looks", [BURST, WORSE], ids=["a burst on both", "a worse canary"])
def test_the_page_shows_what_the_judge_says(looks: list[tuple[int, int]]) -> None:
    assert f"```text\n{told(looks)}\n```" in PAGE


def test_one_bet_worked_out_by_hand_is_the_code_s() -> None:
    """Look 2: 5 of the 10 failures on the canary, at 10 % of the traffic, for the bet on 2.5 times."""
    before = eprocess.begin((2.0,), 1.25)
    won = eprocess.update(before, bad=(5, 5), requests=(100, 900)).sums[0]
    by_hand = 5 * math.log(2.5 / 1.25) - 10 * (math.log(1 + 0.1 * 1.5) - math.log(1 + 0.1 * 0.25))
    assert won == pytest.approx(by_hand)
    assert f"= {by_hand:.2f}" in SAID
    assert f"by {math.exp(won):.1f}" in SAID


def test_the_shares_on_the_page_are_those_that_are_bet() -> None:
    for name, share in GUARDS.budget.items():
        assert f"{name} {share:.0%}" in SAID
    shares = " / ".join(f"{100 * share:g}" for share in judge.stage_shares(4))
    assert f"{shares} %" in SAID
    quantiles = " / ".join(f"{share:.0%}".removesuffix("%") for _, _, share in judge.QUANTILES)
    assert f"{quantiles} %" in SAID
    assert f"first {judge.COLD_START} requests" in SAID
    assert f"{judge.WARM_UP} of stable's requests" in SAID


def test_so_many_requests_without_a_failure_prove_a_negligible_rate() -> None:
    """The mean of two bets, of which the other has lost all."""
    process, count = onearm.against_at_least(0.01), 0
    while eprocess.log_e(process) < math.log(2 * judge.PROVED):
        process, count = onearm.update(process, bad=0, of=1), count + 1
    assert f"{count} canary requests without a single failure" in SAID
