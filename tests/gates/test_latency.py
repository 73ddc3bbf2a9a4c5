"""The latency gate's judgements, from figures that a test wrote down, and what the reports show of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlship.exhibits import Curves, Table
from mlship.gates.latency.agree import Agreement, Difference
from mlship.gates.latency.container import WHAT
from mlship.gates.latency.gate import Latency, results
from mlship.gates.latency.measured import Arm, Figure, Measured
from mlship.gates.latency.target import Memory
from mlship.load.capacity import Found, Held, Probe
from mlship.policy.gates import LatencyGate
from mlship.report.text import table
from mlship.types import GateResult, Status
from tests.gates.support import Case

PAGE = Path(__file__).parents[2] / "docs" / "gates" / "latency.md"
#: Shares and milliseconds of a tail that a real server had.
TAIL = tuple((1 - 10 ** (-step / 4), 0.004 * 1.5**step) for step in range(13))
CANDIDATE = Arm(
    version="2",
    requests=3012,
    quantiles={
        "p50": Figure(0.0051, 0.0049, 0.0053, 2400),
        "p95": Figure(0.0182, 0.0171, 0.0195, 2100),
        "p99": Figure(0.041, 0.038, 0.046, 1800),
        "p999": Figure(0.09, 0.07, None, 1800),
    },
    slower={"p50": Figure(0.001, 0, 0.002), "p99": Figure(0.0, 0, 0.002), "p999": Figure(0.0, 0, 0.0012)},
    errors=Figure(0.0, 0.0, 0.0012, 3012),
    lag=0.0008,
    curve=TAIL,
    cold_start=5.21,
    memory=Memory(212_000_000, WHAT),
)
CHAMPION = replace(
    CANDIDATE,
    version="1",
    quantiles={
        name: Figure(one.value * 0.9, one.value * 0.8, one.value)
        for name, one in CANDIDATE.quantiles.items()
        if one.value
    },
    cold_start=4.8,
    memory=Memory(205_000_000, WHAT),
)
PROBES = (
    Probe(100, Held.WITHIN, "p99 41 ms", 0.041),
    Probe(200, Held.WITHIN, "p99 52 ms", 0.052),
    Probe(400, Held.OUTSIDE, "p99 900 ms, over 200 ms", 0.9, 0.02),
    Probe(400, Held.OUTSIDE, "p99 880 ms, over 200 ms", 0.88),
    Probe(283, Held.WITHIN, "p99 120 ms", 0.12),
)
FOUND = Measured(
    kind="container",
    candidate=CANDIDATE,
    champion=CHAMPION,
    ratio=Figure(1.12, 1.02, 1.23),
    capacity=Found(283, 400, "holds 283/s, not 400/s: p99 880 ms, over 200 ms", PROBES),
    agreement=Agreement(5000, 0, (), 3e-9),
    numbers=tuple(range(1, 5001)),
    image_size=412_000_000,
)
ALL = {
    "rate": "100/s",
    "for": "30s",
    "p50": "20ms",
    "p99": "200ms",
    "max_ratio": "1.5x",
    "volume": "10000000/d",
    "peak": "3x",
    "max_replicas": 4,
    "cold_start": "30s",
    "memory": "600MB",
}


def judged(found: Measured = FOUND, max_size: int | None = 700_000_000, **section: Any) -> dict[str, GateResult]:
    """The results by rule, of a policy with every limit unless the test says otherwise."""
    asked = {key: value for key, value in (ALL | section).items() if value is not None}
    return {result.rule: result for result in results(LatencyGate.model_validate(asked), found, max_size)}


def candidate(**changed: Any) -> Measured:
    """The measurement with something else about the candidate."""
    return replace(FOUND, candidate=replace(CANDIDATE, **changed))


def test_a_server_inside_its_budget_passes_every_rule() -> None:
    """Each with the figures that decided, in the units of the policy."""
    found = judged()
    assert {result.status for result in found.values()} == {Status.PASSED}
    assert list(found) == ["p50", "p99", "errors", "ratio", "replicas", "cold_start", "memory", "agree", "size"]
    assert found["p99"].reason == (
        "p99 is 41 ms (95 % interval 38 ms to 46 ms, 3,012 requests at 100/s): its upper end keeps the limit 200 ms"
    )
    assert found["p99"].champion is not None
    assert found["p99"].champion.value == pytest.approx(36.9)
    assert found["replicas"].reason.startswith("10,000,000 a day at 3x peak: 2 replicas (347/s at the peak")
    assert found["memory"].limit == "<= 600 MB"
    assert found["size"].reason == "the image takes 412MB, within the limit 700MB"


@pytest.mark.parametrize(
    ("found", "section", "rule", "status", "said"),
    [
        (FOUND, {"p99": "40ms"}, "p99", Status.FAILED, "the value itself is beyond the limit 40 ms"),
        (FOUND, {"p99": "43ms"}, "p99", Status.INCONCLUSIVE, "requests at 100/s"),
        (FOUND, {"p999": "200ms"}, "p999", Status.INCONCLUSIVE, "worth 1,800 independent ones"),
        (FOUND, {"p999": "80ms"}, "p999", Status.FAILED, "the value itself is beyond the limit 80 ms"),
        (
            candidate(slower={"p999": Figure(0.0, 0, 0.0009)}),
            {"p999": "200ms"},
            "p999",
            Status.PASSED,
            "0% of 3,012 requests at 100/s took longer than the limit 200 ms or failed",
        ),
        (FOUND, {"max_ratio": "1.1x"}, "ratio", Status.FAILED, "candidate 41 ms, champion 36.9 ms"),
        (FOUND, {"max_ratio": "1.2x"}, "ratio", Status.INCONCLUSIVE, "does not"),
        (replace(FOUND, champion=None, ratio=None), {}, "ratio", Status.SKIPPED, "no champion yet"),
        (
            replace(FOUND, champion=None, ratio=None, without_champion="the champion could not be measured: x"),
            {},
            "ratio",
            Status.INCONCLUSIVE,
            "could not be measured: x",
        ),
        (candidate(quantiles={}, said="the server did not survive the load: x"), {}, "p99", Status.INCONCLUSIVE, "x"),
        (
            candidate(errors=Figure(0.004, 0.001, 0.009), kinds={"status 500": 10, "timeout": 2}),
            {},
            "errors",
            Status.FAILED,
            "10 requests status 500 and 2 requests timeout",
        ),
        (FOUND, {"errors": "0.1%"}, "errors", Status.INCONCLUSIVE, "its upper end does not"),
        (FOUND, {"errors": "1%"}, "errors", Status.PASSED, "its upper end keeps"),
        (FOUND, {"max_replicas": 1}, "replicas", Status.FAILED, "it holds 283/s, not 400/s: p99 880 ms"),
        (FOUND, {"max_replicas": None}, "replicas", Status.SKIPPED, "2 replicas"),
        (
            replace(FOUND, capacity=Found(283, None, "holds 283/s at least", PROBES)),
            {"max_replicas": 1},
            "replicas",
            Status.INCONCLUSIVE,
            "at least",
        ),
        (
            replace(FOUND, capacity=Found(0, 0.5, "does not hold 0.5/s: p99 1 s")),
            {},
            "replicas",
            Status.FAILED,
            "no number of replicas is enough: one does not hold 0.5/s",
        ),
        (
            replace(FOUND, capacity=Found(283, 400, "holds 283/s", (Probe(400, Held.UNCLEAR),))),
            {"max_replicas": 1},
            "replicas",
            Status.INCONCLUSIVE,
            "2 replicas",
        ),
        (replace(FOUND, capacity=Found(0, None, "no rate")), {}, "replicas", Status.INCONCLUSIVE, "no rate"),
        (replace(FOUND, capacity=None, no_capacity="it died"), {}, "replicas", Status.INCONCLUSIVE, "it died"),
        (FOUND, {"cold_start": "5s"}, "cold_start", Status.FAILED, "is 5.21 s, beyond the limit 5 s (1 start)"),
        (FOUND, {"memory": "200MB"}, "memory", Status.FAILED, "212 MB, beyond the limit 200 MB"),
        (candidate(memory=None), {}, "memory", Status.INCONCLUSIVE, "does not tell"),
        (replace(FOUND, agreement=Agreement(0, reason="nothing")), {}, "agree", Status.INCONCLUSIVE, "nothing"),
        (
            replace(FOUND, agreement=Agreement(5000, 2, (Difference(7, 0.5, 0.25),), 0.5)),
            {},
            "agree",
            Status.FAILED,
            "answers 2 of 5,000 rows differently: about row 8 it says 0.5, and the model in the registry 0.25",
        ),
        (
            replace(FOUND, agreement=Agreement(20), refused="400: no"),
            {},
            "agree",
            Status.FAILED,
            "does not answer row 21, which the model in the registry does: 400: no",
        ),
        (replace(FOUND, image_size=800_000_000), {}, "size", Status.FAILED, "800MB, beyond the limit 700MB"),
    ],
)
def test_each_rule_says_what_decided_it(
    found: Measured, section: dict[str, Any], rule: str, status: Status, said: str
) -> None:
    """Beyond the limit by the value: failed; only by the interval's end, or without data: inconclusive."""
    result = judged(found, **section)[rule]
    assert result.status is status, result.reason
    assert said in result.reason


def test_a_late_generator_decides_nothing_about_time() -> None:
    """But errors were errors, and memory was memory."""
    late = candidate(lag=0.25, errors=Figure(0.5, 0.4, 0.6), kinds={"status 500": 1500})
    found = judged(late, p99="1ms")
    for rule in ("p50", "p99", "ratio"):
        assert found[rule].status is Status.INCONCLUSIVE
        assert "the load generator itself was late: 99 % of its requests" in found[rule].reason
        assert "10ms is the limit" in found[rule].reason
    assert found["errors"].status is Status.FAILED
    assert found["memory"].status is found["agree"].status is Status.PASSED
    champion = replace(FOUND, champion=replace(CHAMPION, lag=0.25))
    assert judged(champion)["errors"].status is Status.INCONCLUSIVE


def test_tables_and_curves_stand_beside_the_rule_that_needs_them() -> None:
    """An open rule shows them, else the first of its kind."""
    found = judged(p99="40ms", max_replicas=1)
    quantiles, tail = found["p99"].exhibits
    assert isinstance(quantiles, Table)
    assert [row[0] for row in quantiles.rows] == ["p50", "p95", "p99", "p999"]
    assert quantiles.rows[2][1:4] == (41, 38, 46)
    assert "0.8 ms late" in quantiles.note
    assert isinstance(tail, Curves)
    assert [series.name for series in tail.series] == ["candidate", "champion"]
    assert tail.series[0].x[:5] == pytest.approx((0, 0.25, 0.5, 0.75, 1))
    (probes,) = found["replicas"].exhibits
    assert isinstance(probes, Table)
    assert [row[1] for row in probes.rows] == ["within", "within", "outside", "outside", "within"]
    assert judged()["p50"].exhibits


def test_mlship_evaluate_says_where_the_budget_is_judged() -> None:
    """One skipped result: it neither helps nor harms there."""
    (result,) = Latency().judge(Case(gates={"latency": {"rate": "1/s"}}).context())
    assert result.status is Status.SKIPPED
    assert "mlship latency" in result.reason


SLOW = replace(
    FOUND,
    candidate=replace(
        CANDIDATE,
        quantiles={
            name: Figure(one.value * 9, one.value * 8, one.value * 10, 700)
            for name, one in CANDIDATE.quantiles.items()
            if one.value
        },
        errors=Figure(0.004, 0.002, 0.007, 3012),
        kinds={"status 503": 12},
        memory=Memory(731_000_000, WHAT),
    ),
    ratio=Figure(10.1, 8.7, 11.6),
    capacity=Found(25, 50, "holds 25/s, not 50/s: p99 312 ms, over 200 ms", PROBES[:3]),
    agreement=Agreement(5000, 212, (Difference(17, 0, 1), Difference(40, 1, 0))),
)


@pytest.mark.parametrize(("outcome", "found"), [("passing", FOUND), ("failing", SLOW)])
def test_the_page_shows_what_the_gate_says(outcome: str, found: Measured) -> None:
    """Word for word, figure for figure."""
    shown = "\n".join(table(list(judged(found).values())))
    assert f"```text\n{shown}\n```" in PAGE.read_text(encoding="utf-8"), f"{outcome}: paste this\n{shown}"
