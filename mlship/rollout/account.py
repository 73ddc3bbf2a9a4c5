"""A rollout told over time, from its journal: what pages and `mlship why` show. Constant in size, however long it ran.

Journals of other versions are read as far as they go: only a journal that does not begin with a plan is an error.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlship.report.account import Account, Arm, Count, Event, SignalSeen, Step, Stretch
from mlship.report.stretches import thinned
from mlship.rollout import judge, lines, state
from mlship.rollout.stages import entered, traffic
from mlship.rollout.words import became, counted, duration
from mlship.types import VerdictKind

#: Stretches that are kept; when there are twice as many, neighbours become one.
MOST = 240
#: Events that are kept, the first and the last of them.
MOST_EVENTS = 200
#: What a note says when the guardian has acted (`records.py` writes it).
_GUARDIAN = "the guardian gave all traffic back"
_ENDED = ("promoted", "rolled_back", "aborted")


def of_journal(path: Path, *, running: bool = False, until: float = math.inf) -> Account:
    """The account of one rollout.

    Parameters
    ----------
    running
        Whether a controller drives it now.
    until
        Unix time; what came later is not told.

    Raises ``StateError`` when the journal does not begin with a plan, or cannot be read.
    """
    plan = lines.plan(path)
    reader = _Reader(lines.begun(path))
    for record in lines.records(path):
        at = record.get("at")
        if isinstance(at, int | float) and at <= until:
            reader.read(record, float(at))
    damaged = lines.last(path)[1] if not running else 0
    return reader.account(plan, running=running and until == math.inf, damaged=damaged)


class _Reader:
    """Reads records one by one, and keeps a constant amount of what they say."""

    def __init__(self, began: float) -> None:
        self.began = self.ended = began
        self.stretches: list[Stretch] = []
        self.weights: list[tuple[float, float]] = [(0.0, 0.0)]
        self.events: list[Event] = []
        self.entered: dict[int, float] = {}
        self.users = False
        self.last: dict[str, Any] | None = None

    def read(self, record: dict[str, Any], at: float) -> None:
        """One record; what it lacks or spells otherwise is passed over."""
        self.ended = max(self.ended, at)
        if isinstance(routed := record.get("routed"), list) and len(routed) == 2:
            self._weigh(at, _number(routed[1]))
        if isinstance(note := record.get("note"), str):
            guardian = _GUARDIAN in note
            self._event(at, "guardian" if guardian else "note", note)
            if guardian:
                self._weigh(at, 0.0)
        if lines.has_state(record):
            self._look(record, at)

    def _look(self, record: dict[str, Any], at: float) -> None:
        before, self.last = self.last, record
        now = record["state"]
        if now.get("phase") in ("stepping", "paused") and isinstance(number := now.get("step"), int):
            self.entered.setdefault(number, at - self.began)
        window = record.get("window")
        if isinstance(window, dict):
            self.users |= bool(window.get("users"))
            self._observe(window, record, at)
        kind, reason = str(record.get("verdict", "")), str(record.get("reason", ""))
        told = record.get("ledger")
        if now.get("phase") == "done":
            if before is None or before["state"].get("phase") != "done":
                outcome = str(now.get("outcome"))
                self._event(at, outcome, became(outcome, reason) if outcome in _ENDED else reason)
                self._weigh(at, 1.0 if outcome == "promoted" else 0.0)
        elif told in ("paused", "resumed", "advanced"):
            self._event(at, {"advanced": "advanced by hand"}.get(told, told), reason)
        elif kind not in ("", VerdictKind.HOLD.value) and not (before and _said(before) == (kind, reason)):
            names = {"advance": "advanced", "pause": "paused", "promote": "promoting", "rollback": "rolling back"}
            self._event(at, names.get(kind, kind), reason)

    def _observe(self, window: dict[str, Any], record: dict[str, Any], at: float) -> None:
        try:
            stable, canary = _arm(window["stable"]), _arm(window["canary"])
            seconds = float(window["seconds"])
        except (KeyError, TypeError, ValueError):
            return
        shares = record.get("shares")
        found = {str(k): _number(v) for k, v in shares.items()} if isinstance(shares, dict) else {}
        end = at - self.began
        total = _total(record["evidence"], found)
        self.stretches.append(
            Stretch(max(0.0, end - seconds), end, seconds, stable, canary, tuple(found.items()), total)
        )
        if len(self.stretches) >= 2 * MOST:
            self.stretches = thinned(self.stretches, MOST)

    def _weigh(self, at: float, weight: float) -> None:
        if weight != self.weights[-1][1]:
            self.weights.append((max(0.0, at - self.began), weight))

    def _event(self, at: float, what: str, text: str) -> None:
        if len(self.events) >= MOST_EVENTS:
            del self.events[MOST_EVENTS // 2]
        self.events.append(Event(at, what, text))

    def account(self, plan: dict[str, Any], *, running: bool, damaged: int) -> Account:
        """Everything that was read, under this plan."""
        last = self.last or {}
        now = last.get("state", {})
        evidence, outcome = last.get("evidence", {}), str(now.get("outcome") or "")
        if now.get("phase") != "done" and outcome != "paused":
            outcome = "running" if running else "unattended"
        reason = str(now.get("reason") or last.get("reason", "")) if last else "nothing has been decided yet"
        if outcome in ("running", "unattended") and last:
            reason = str(last.get("reason", ""))
        shares = last.get("shares")
        signals = _signals(evidence, shares if isinstance(shares, dict) else {})
        if outcome == "rolled_back":
            signals = _accused(signals)
        return Account(
            model=plan["model"],
            rollout_id=plan["rollout_id"],
            candidate=plan["canary"]["version"],
            champion=plan["stable"]["version"] if plan["stable"] else None,
            began=self.began,
            ended=self.ended,
            outcome=outcome,
            sentence=became(outcome, reason) if outcome in (*_ENDED, "paused") else reason,
            limit=_number(evidence.get("limit")) or 100.0,
            total=_total(evidence, {one.name: one.e_value for one in signals}),
            weights=tuple(self.weights),
            steps=self._steps(plan, now),
            stretches=tuple(thinned(self.stretches, MOST)),
            signals=signals,
            events=tuple(self.events),
            ids=_ids(plan),
            users=self.users,
            damaged=damaged,
        )

    def _steps(self, plan: dict[str, Any], now: dict[str, Any]) -> tuple[Step, ...]:
        try:
            passed = entered(state.from_json(now)) if now else ()
        except (KeyError, TypeError, ValueError, AttributeError):
            passed = ()
        done, present = now.get("phase") == "done", now.get("step")
        promoted = now.get("outcome") == "promoted"
        found = []
        for number, step in enumerate(each for each in plan["steps"] if isinstance(each, dict)):
            seen = passed[number] if number < len(passed) else None
            where = "done" if seen is not None else "to come"
            if not promoted and number == present and seen is not None:
                where = "left" if done else "now"
            elif done and seen is None:
                where = "skipped" if promoted else "not reached"
            testers = step.get("testers")
            found.append(
                Step(
                    number + 1,
                    str(step.get("kind", "weight")),
                    traffic(
                        _number(step.get("weight")),
                        _number(step.get("mirror")),
                        (str(testers[0]), str(testers[1])) if isinstance(testers, list) and len(testers) == 2 else None,
                    ),
                    _asked(step),
                    where,
                    seen[1] if seen else None,
                    seen[2] if seen else None,
                    self.entered.get(number),
                )
            )
        return tuple(found)


def _arm(document: Any) -> Arm:
    requests, errors, timeouts, counts, *refused = document  # none are not written, nor are those of earlier versions
    latency = tuple((int(bucket), int(count)) for bucket, count in counts)
    return Arm(int(requests), int(errors), int(timeouts), int(sum(refused)), latency)


def _said(record: dict[str, Any]) -> tuple[str, str]:
    return str(record.get("verdict", "")), str(record.get("reason", ""))


def _total(evidence: dict[str, Any], shares: dict[str, float]) -> float:
    """The mean e-value of the signals that may roll back, by their budgets; as ``Evidence.total`` has it."""
    signals = evidence.get("signals")
    judges = [
        (_number(one.get("budget")), shares.get(str(one.get("name")), 1.0))
        for one in (signals if isinstance(signals, list) else [])
        if isinstance(one, dict) and one.get("action", "rollback") == "rollback"
    ]
    whole = sum(budget for budget, _ in judges)
    return sum(budget * value for budget, value in judges) / whole if whole else 1.0


def _signals(evidence: dict[str, Any], shares: dict[str, Any]) -> tuple[SignalSeen, ...]:
    """The judge's own rows; of evidence that another version has written, the counts at least."""
    try:
        rows = judge.rows(judge.from_json(evidence))
        return tuple(
            SignalSeen(
                row.name, row.e_value, row.share_of_budget, row.action, row.canary, row.stable, _without_name(row)
            )
            for row in rows
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        signals = evidence.get("signals")
        return tuple(
            SignalSeen(
                str(one.get("name")),
                _number(shares.get(str(one.get("name")), 1.0)),
                _number(one.get("budget")),
                str(one.get("action", "rollback")),
                _pair(one.get("canary")),
                _pair(one.get("stable")),
                "",
            )
            for one in (signals if isinstance(signals, list) else [])
            if isinstance(one, dict)
        )


def _without_name(row: judge.Row) -> str:
    return row.sentence.removeprefix(row.name).lstrip(": ")


def _accused(signals: tuple[SignalSeen, ...]) -> tuple[SignalSeen, ...]:
    judges = [one for one in signals if one.action == "rollback" and one.budget > 0]
    if not judges:
        return signals
    worst = max(judges, key=lambda one: one.budget * one.e_value)
    return tuple(replace(one, accused=one is worst) for one in signals)


def _asked(step: dict[str, Any]) -> str:
    if step.get("kind") == "approve":
        within = _number(step.get("within"))
        return f"a person's approval within {duration(within)}" if within else "a person's approval"
    seconds, requests = _number(step.get("seconds")), int(_number(step.get("requests")))
    return ", ".join(filter(None, [duration(seconds) if seconds else "", counted(requests) if requests else ""]))


def _ids(plan: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    canary, stable = plan["canary"], plan["stable"] or {}
    found = (
        ("rollout", plan["rollout_id"]),
        ("evaluation", plan.get("evaluation_id")),
        ("MLflow run", plan.get("run_id")),
        ("candidate", canary.get("digest")),
        ("champion", stable.get("digest")),
        ("candidate's image", canary.get("image")),
        ("champion's image", stable.get("image")),
        ("policy", plan.get("policy_digest")),
        ("policy file", plan.get("policy_path")),
    )
    return tuple((name, str(value)) for name, value in found if value)


def _pair(value: Any) -> Count:
    try:
        bad, of = value
        return int(bad), int(of)
    except (TypeError, ValueError):
        return 0, 0


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0
