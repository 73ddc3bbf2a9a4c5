"""The pages that are looked at in a browser: of an evaluation, of rollouts, of a pass of the monitor, of all models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mlship.report import estate_page, monitor_page, render, rollout_page, why_page
from mlship.report.account import Account, Why
from mlship.rollout import chain
from mlship.rollout.account import of_journal
from mlship.rollout.chain import Known, Subject
from mlship.rollout.state import Order
from mlship.types import LedgerEntry
from tests.fakes.engine import Behaviour
from tests.fakes.rollout import MODEL, Stage, digest
from tests.report import monitored
from tests.report.estates import ESTATE
from tests.report.support import EVALUATION, nasty


def rolled_back(path: Path) -> Stage:
    """A canary that fails too often."""
    stage = Stage(path, v2=Behaviour(errors=0.04))
    stage.serve_stable()
    stage.run()
    return stage


def promoted(path: Path) -> Stage:
    """A healthy one that a person has paused for a while, and lets go on."""
    stage = Stage(path)
    stage.serve_stable()

    def look(number: int) -> None:
        if number in (6, 9):
            stage.order(Order.PAUSE if number == 6 else Order.RESUME)

    stage.audience.at_look = look
    stage.run()
    return stage


def journal(stage: Stage) -> Path:
    """The journal of a stage's only rollout."""
    [path] = stage.home.rollouts(MODEL).glob("*.jsonl")
    return path


def evaluated(at: float, *, version: str = "2", status: str = "passed", model: str = "") -> LedgerEntry:
    """An evaluation as the ledger keeps it; that of the fake rollouts' plan by default."""
    evidence = {
        "status": status,
        "evaluation": "evaluation-1",
        "run": "run-1",
        "model": model or digest(version),
        "champion": digest("1"),
        "policy": "sha256:policy",
        "data": "sha256:data",
    }
    said = "all 17 rules passed, 4 skipped" if status == "passed" else "1 of 17 rules failed: metrics recall"
    reason = f"{status.upper()}  {MODEL} {version} (champion 1): {said}"
    return LedgerEntry(at, "ada@host", "evaluated", MODEL, "1", version, reason, evidence)


def why(stage: Stage, account: Account, *, model: str = "") -> Why:
    """The chain behind a stage's rollout, whose evaluation may be of another model's digest."""
    entries = (evaluated(account.began - 60, model=model), *stage.ledger.entries(MODEL))
    return chain.tell(Subject("2"), Known(MODEL, entries, (account,)))


def made(directory: Path) -> dict[str, str]:
    """Every page by name."""
    bad, good = rolled_back(directory / "bad"), promoted(directory / "good")
    lost, won = of_journal(journal(bad)), of_journal(journal(good))
    half = of_journal(journal(good), until=won.began + (won.ended - won.began) * 0.6)
    running = replace(half, outcome="running")
    refused = chain.tell(Subject("3"), Known(MODEL, (evaluated(won.began, version="3", status="failed"),)))
    return {
        "evaluation": str(render(EVALUATION, "html")),
        "nasty": str(render(nasty(), "html")),
        "rolled-back": rollout_page.render(lost),
        "promoted": why_page.render(why(good, won)),
        "running": rollout_page.render(running),
        "broken": why_page.render(why(bad, lost, model=digest("9"))),
        "refused": why_page.render(refused),
        "monitor": monitor_page.render(monitored.BREACH),
        "monitor-dead": monitor_page.render(monitored.DEAD),
        "models": estate_page.render(ESTATE),
    }
