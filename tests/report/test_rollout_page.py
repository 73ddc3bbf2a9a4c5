"""The page of a rollout: whole whatever the journal holds, the verdict first, plots that say what happened when."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from mlship.report import times
from mlship.report.account import Account, Arm, Event, Link, Stretch, Why
from mlship.report.rollout_page import render
from mlship.report.rollout_plots import plots, quantile
from mlship.report.stretches import thinned
from mlship.report.timeline import Axis, Timeline, Track, describe, draw
from mlship.rollout import lines
from mlship.rollout.account import MOST, of_journal
from mlship.rollout.plan import PlanStep, StepKind
from mlship.types import LATENCY_BOUNDS_MS, Status
from tests.fakes.engine import Behaviour
from tests.fakes.rollout import MODEL, Stage
from tests.report.test_html import Page


def journal(path: Path, behaviour: Behaviour | None = None, **plan: object) -> Path:
    """The journal of a rollout on fake time."""
    stage = Stage(path, v2=behaviour if behaviour is not None else Behaviour())
    stage.plan = replace(stage.plan, **plan)  # type: ignore[arg-type]  # fields of a plan
    stage.serve_stable()
    stage.run()
    [found] = stage.home.rollouts(MODEL).glob("*.jsonl")
    return found


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> Account:
    return of_journal(journal(tmp_path_factory.mktemp("lost"), Behaviour(errors=0.04)))


@pytest.fixture(scope="module")
def won(tmp_path_factory: pytest.TempPathFactory) -> Account:
    return of_journal(journal(tmp_path_factory.mktemp("won")))


def test_the_account_says_what_the_rollout_did(won: Account) -> None:
    assert (won.outcome, won.candidate, won.champion) == ("promoted", "2", "1")
    assert [weight for _, weight in won.weights] == [0.0, 0.05, 0.25, 0.5, 1.0]
    assert [step.state for step in won.steps] == ["done"] * 3
    assert [step.asked for step in won.steps] == ["20 s, 50 requests", "20 s, 200 requests", "20 s, 500 requests"]
    assert sum(one.canary.requests for one in won.stretches) >= 750
    assert [one.what for one in won.events][-1] == "promoted"


def test_a_rollback_names_the_signal_that_decided(lost: Account) -> None:
    [accused] = [one for one in lost.signals if one.accused]
    assert accused.name == "errors"
    assert lost.total >= lost.limit
    page = Page(render(lost))
    assert page.said.index("rolled back") < page.said.index("Over time")
    assert "errors ✗ decided" in page.said


@pytest.mark.parametrize("name", ["lost", "won"])
def test_the_page_is_whole_and_needs_nothing_else(name: str, request: pytest.FixtureRequest) -> None:
    text = render(request.getfixturevalue(name))
    page = Page(text)
    ids = [str(attributes["id"]) for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert not {"script", "link", "iframe", "object", "embed", "img", "base", "form"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        assert not [each for each in attributes if each.startswith("on") or each in ("src", "style")], tag
        if tag == "a":
            assert str(attributes["href"]).removeprefix("#") in ids
        if tag == "th":
            assert attributes.get("scope") in ("row", "col")
    assert "http" not in text.replace('http-equiv="Content-Security-Policy"', "")
    assert """content="default-src 'none'; style-src 'unsafe-inline'\"""" in text


def test_what_is_under_way_says_so_far(won: Account) -> None:
    running = replace(won, outcome="running", sentence="holding at 25 %: 12 s of 20 s")
    said = Page(render(running)).said
    assert "So far: holding at 25 %: 12 s of 20 s." in said
    assert "took so far" in said
    assert "It is not over, and nobody drives it." in Page(render(replace(running, outcome="unattended"))).said


def test_a_journal_of_an_earlier_version_is_told_as_far_as_it_goes(tmp_path: Path) -> None:
    """No windows, no ledger marks, evidence of another shape: the counts and the verdict are there all the same."""
    path = journal(tmp_path, Behaviour(errors=0.2))
    older = tmp_path / "older.jsonl"
    with older.open("wb") as file:
        for record in lines.records(path):
            del record["sum"]
            for name in ("window", "ledger"):
                record.pop(name, None)
            if "evidence" in record:
                for signal in record["evidence"]["signals"]:
                    signal["bets"] = [["of-the-past", 1.0, 0.0, [0.0]]]
            file.write(lines.seal(json.dumps(record, separators=(",", ":")).encode()))
    account = of_journal(older)
    assert account.outcome == "rolled_back"
    assert {one.name for one in account.signals} >= {"errors", "latency"}
    assert next(one for one in account.signals if one.name == "errors").canary[0] > 0
    assert [plot.title for plot in plots(account)] == ["Weight of the canary"]
    assert "rolled back" in Page(render(account)).said


def test_what_was_damaged_is_passed_over_and_counted(tmp_path: Path) -> None:
    path = journal(tmp_path)
    with path.open("ab") as file:
        file.write(b"damaged\n")
    account = of_journal(path)
    assert (account.outcome, account.damaged) == ("promoted", 1)
    assert "The last 1 line of its journal cannot be read" in Page(render(account)).said


def test_steps_that_wait_and_first_promotions_have_their_words(tmp_path: Path) -> None:
    steps = (
        PlanStep(0.1, 5, 10),
        PlanStep(0.1, 30, 0, StepKind.PAUSE),
        PlanStep(0.0, 5, 10, StepKind.MIRROR, mirror=0.2),
    )
    said = Page(render(of_journal(journal(tmp_path / "waits", steps=steps)))).said
    assert "pause at 10 %" in said
    assert "mirror 20 %" in said


def test_no_name_becomes_markup(won: Account) -> None:
    evil = '<script>alert(1)</script>"&\x07'
    account = replace(
        won,
        model=evil,
        candidate=evil,
        sentence=evil,
        events=(Event(won.began, "note", evil),),
        ids=((evil, evil),),
        signals=tuple(replace(one, name=evil, sentence=evil) for one in won.signals),
    )
    link = Link(
        "evaluation", evil, Status.PASSED, evil, won.began, evil, ((evil, evil),), breaks=(evil,), lacking=(evil,)
    )
    why = Why(evil, evil, evil, Status.PASSED, evil, evil, won.began, evil, (link,), (account,))
    text = render(account, why)
    assert "<script" not in text
    assert "\x07" not in text
    Page(text)


def test_a_week_of_looks_stays_small(won: Account) -> None:
    arm = Arm(1000, 3, 1, 0, tuple((bucket, 5) for bucket in range(20)))
    looks = [Stretch(float(i), i + 1.0, 1.0, arm, arm, (("errors", 0.5),), 0.5) for i in range(60_000)]
    few = thinned(looks, MOST)
    assert len(few) <= MOST
    assert sum(one.canary.requests for one in few) == 60_000_000
    week = replace(won, stretches=tuple(few), ended=won.began + 60_000)
    assert len(render(week).encode()) < 400_000


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ((), 0.5, math.nan),
        (((3, 10),), 0.5, LATENCY_BOUNDS_MS[3]),
        (((3, 98), (7, 2)), 0.99, LATENCY_BOUNDS_MS[7]),
        (((3, 1), (len(LATENCY_BOUNDS_MS), 9)), 0.99, math.inf),
    ],
)
def test_quantiles_are_the_bounds_of_their_buckets(
    counts: tuple[tuple[int, int], ...], share: float, expected: float
) -> None:
    found = quantile(Arm(latency=counts), share)
    assert found == expected or (math.isnan(found) and math.isnan(expected))


def test_evidence_is_drawn_by_powers_with_its_limit() -> None:
    track = Track("together", "total", ((0.0, 1.0), (10.0, 10.0), (20.0, 1000.0)))
    picture = str(draw(Timeline("t", "e-value", (track,), Axis(0, 20), limit=(100.0, "rolls back"), powers=True)))
    heights = [float(pair.split(",")[1]) for pair in re.findall(r'points="([^"]+)"', picture)[0].split()]
    assert heights[0] - heights[1] == pytest.approx((heights[1] - heights[2]) / 2, abs=0.2), (
        "equal factors, equal steps"
    )
    [limit] = re.findall(r'class="threshold" x1="[\d.]+" x2="[\d.]+" y1="([\d.]+)"', picture)
    assert float(limit) == pytest.approx((heights[1] + heights[2]) / 2, abs=0.2)


def test_weights_go_in_steps_and_gaps_break_a_line() -> None:
    stepped = Timeline(
        "t", "y", (Track("canary", "candidate", ((0, 0.0), (5, 0.5), (9, 0.5)), stepped=True),), Axis(0, 9)
    )
    [points] = re.findall(r'points="([^"]+)"', str(draw(stepped)))
    assert len(points.split()) == 5
    gap = Timeline("t", "y", (Track("a", "s0", ((0, 1.0), (1, 1.0), (2, math.nan), (3, 1.0), (4, 1.0))),), Axis(0, 4))
    assert str(draw(gap)).count("<polyline") == 2


@pytest.mark.parametrize("values", [(), ((0.0, math.nan),), ((0.0, 0.0),), ((0.0, math.inf), (1.0, 1e300))])
@pytest.mark.parametrize("powers", [False, True])
def test_anything_can_be_drawn(values: tuple[tuple[float, float], ...], *, powers: bool) -> None:
    plot = Timeline("t", "y", (Track("a", "s0", values),), Axis(0, 0), powers=powers)
    assert "nan" not in str(draw(plot))
    assert describe(plot)


def test_names_of_steps_do_not_lie_on_one_another() -> None:
    marks = tuple((i / 10, f"step {i}") for i in range(5))
    picture = str(draw(Timeline("t", "y", (Track("a", "s0", ((0, 1.0), (100, 1.0))),), Axis(0, 100, marks))))
    assert picture.count('<line class="marked"') == 5
    assert picture.count('<text class="marked"') == 1


def test_times_are_told_as_people_read_them() -> None:
    assert [times.clock(at) for at in (4.25, 65, 125, 9000, 200_000)] == [
        "4.2 s",
        "65.0 s",
        "2:05 min",
        "2:30 h",
        "2 d 8 h",
    ]
