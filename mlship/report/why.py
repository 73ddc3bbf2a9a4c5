"""The chain of evidence behind a decision, as text, Markdown, JSON and a checklist; verdict first."""

from __future__ import annotations

import textwrap
from typing import Any

from mlship.report.account import Account, Link, SignalSeen, Why
from mlship.report.cells import plain
from mlship.report.checklist import Check, Checklist
from mlship.report.figures import digest, evidence, things
from mlship.report.times import iso, local, stamp
from mlship.report.words import MARKS
from mlship.types import Status

_WIDTH = 80
#: Rules of one evaluation that text shows; JSON and the page have them all.
_RULES = 6
#: Facts that text shows, and how they are called there.
_SHOWN = ("model", "candidate", "champion", "image", "candidate's image", "policy", "data", "MLflow run")


def text(why: Why) -> str:
    """For a terminal of 80 columns."""
    lines = [plain(f"{why.model}: {why.headline}")]
    lines += _wrapped(why.reason, "  ")
    if why.at is not None:
        lines += _wrapped(f"decided {local(why.at)}{_by(why.who)}", "  ")
    if why.beside:
        lines += _wrapped(why.beside, "  ")
    lines.append("")
    if why.breaks:
        lines.append("! THE CHAIN OF EVIDENCE IS BROKEN")
        lines += [line for found in why.breaks for line in _wrapped(found, "! ")]
        lines.append("")
    for link in why.links:
        lines += _link(link)
    lines += ["", *_wrapped(_whole(why), "")]
    return "\n".join(lines)


def markdown(why: Why) -> str:
    """For a job's summary, an issue, a chat."""
    lines = [f"### {_safe(why.model)}: {_safe(why.headline)}", "", _safe(why.reason)]
    if why.at is not None:
        lines.append(_safe(f"Decided {stamp(why.at)}{_by(why.who)}."))
    if why.beside:
        lines.append(f"{_safe(why.beside)}.")
    if why.breaks:
        lines += ["", "**The chain of evidence is broken:**", "", *(f"- {_safe(found)}" for found in why.breaks)]
    lines += ["", "| link | said | what | when | by |", "|---|---|---|---|---|"]
    for link in why.links:
        cells = (link.title, _mark(link), link.text, stamp(link.at) if link.at else "", link.who)
        lines.append(f"| {' | '.join(map(_safe, cells))} |")
    rules = [rule for link in why.links for rule in link.rules]
    if rules:
        lines += ["", "| rule | status | measured | limit |", "|---|---|---|---|"]
        for rule in rules:
            said = (f"{rule.gate} {rule.name}", f"{MARKS[rule.status]} {rule.status}", rule.measured, rule.limit)
            lines.append(f"| {' | '.join(map(_safe, said))} |")
    signals = [signal for link in why.links for signal in link.signals]
    if signals:
        lines += ["", "| signal | canary | stable | evidence |", "|---|---|---|---|"]
        for one in signals:
            name = f"**{one.name}** (decided)" if one.accused else one.name
            lines.append(f"| {name} | {_counted(one.canary)} | {_counted(one.stable)} | {evidence(one.e_value)} |")
    return "\n".join([*lines, "", _safe(_whole(why))])


def document(why: Why) -> dict[str, Any]:
    """As JSON says it; `docs/reference/why.md` tells the fields, which are only ever added to."""
    return {
        "model": why.model,
        "version": why.version,
        "champion_version": why.champion,
        "asked": why.asked or None,
        "status": str(why.status),
        "headline": why.headline,
        "reason": why.reason,
        "at": why.at,
        "time": _iso(why.at),
        "who": why.who or None,
        "beside": why.beside or None,
        "whole": not why.breaks,
        "breaks": list(why.breaks),
        "lacking": list(why.lacking),
        "links": [
            {
                "kind": link.kind,
                "title": link.title,
                "status": str(link.status),
                "text": link.text,
                "at": link.at,
                "time": _iso(link.at),
                "who": link.who or None,
                "facts": dict(link.facts),
                "rules": [
                    {
                        "gate": rule.gate,
                        "rule": rule.name,
                        "status": str(rule.status),
                        "measured": rule.measured,
                        "limit": rule.limit,
                        "reason": rule.reason,
                    }
                    for rule in link.rules
                ],
                "signals": [_signal(one) for one in link.signals],
                "breaks": list(link.breaks),
                "lacking": list(link.lacking),
            }
            for link in why.links
        ],
        "rollouts": [_rollout(account) for account in why.accounts],
    }


def checklist(why: Why) -> Checklist:
    """Each link as a check: failed where it does not fit, passed where it does; inconclusive where the link itself is
    not recorded, and not where it only lacks what could be looked up elsewhere.
    """
    checks = [
        Check(
            "chain",
            link.title,
            Status.FAILED if link.breaks else Status.INCONCLUSIVE if _unrecorded(link) else Status.PASSED,
            "; ".join(
                [*link.breaks, *link.lacking] if link.breaks or _unrecorded(link) else [link.text, *link.lacking]
            ),
        )
        for link in why.links
    ]
    checks += [Check("chain", "digests", Status.FAILED, found) for found in why.general]
    status = Status.FAILED if why.breaks else Status.PASSED
    title = f"{why.model} {why.version}"
    summary = f"{why.model}: {why.headline}; {why.reason}"
    facts = (("model", why.model), ("version", why.version), ("champion_version", why.champion or ""))
    return Checklist("why", title, status, summary, tuple(checks), properties=facts)


def _unrecorded(link: Link) -> bool:
    """It is known by its name only, or its outcome is: an evaluation without its figures is recorded."""
    return bool(link.lacking) and (link.status is Status.INCONCLUSIVE or link.kind != "evaluation")


def _link(link: Link) -> list[str]:
    lines = _wrapped(f"{link.title}: {link.text}", f"{MARKS[link.status]} ", "    ")
    if link.at is not None:
        lines += _wrapped(f"{local(link.at)}{_by(link.who)}", "    ")
    telling = sorted(link.rules, key=lambda rule: (rule.status is Status.PASSED, "[" not in rule.measured))
    for rule in telling[:_RULES]:
        figures = f"{rule.measured}, limit {rule.limit}"
        said = figures if rule.status is Status.PASSED and rule.measured != "-" else rule.reason
        lines += _wrapped(f"{rule.gate} {rule.name}: {said}", f"    {MARKS[rule.status]} ", "        ")
    if len(link.rules) > _RULES:
        lines.append(f"      and {len(link.rules) - _RULES} more rules")
    for one in link.signals:
        if one.accused or one.e_value >= 1.5:
            lines += _wrapped(_said(one), "    ", "        ")
    facts = [f"{name} {digest(value)}" for name, value in link.facts if name in _SHOWN]
    lines += _wrapped(", ".join(facts), "    ")
    for found in link.breaks:
        lines += _wrapped(f"BROKEN: {found}", "    ! ", "      ")
    for missing in link.lacking:
        lines += _wrapped(f"not known here: {missing}", "    ? ", "      ")
    return lines


def _said(one: SignalSeen) -> str:
    decided = " (decided)" if one.accused else ""
    against = f" against {_counted(one.stable)} of stable" if one.stable[1] else ""
    return f"{one.name}{decided}: {_counted(one.canary)}{against}, evidence {evidence(one.e_value)}"


def _whole(why: Why) -> str:
    count = len(why.links)
    if why.breaks:
        return f"{len(why.breaks)} of the digests and names that were compared do not fit together"
    lacking = f"; {len(why.lacking)} not known here" if why.lacking else ""
    return f"the chain is whole: what is recorded in {things(count, 'link')} fits together{lacking}"


def _signal(one: SignalSeen) -> dict[str, Any]:
    return {
        "name": one.name,
        "e_value": one.e_value,
        "share": one.budget,
        "action": one.action,
        "canary": {"bad": one.canary[0], "counted": one.canary[1]},
        "stable": {"bad": one.stable[0], "counted": one.stable[1]},
        "sentence": one.sentence,
        "decided": one.accused,
    }


def _rollout(account: Account) -> dict[str, Any]:
    return {
        "rollout_id": account.rollout_id,
        "candidate_version": account.candidate,
        "champion_version": account.champion,
        "outcome": account.outcome,
        "reason": account.sentence,
        "began": account.began,
        "last": account.ended,
        "evidence": account.total,
        "limit": account.limit,
        "steps": [
            {
                "number": step.number,
                "kind": step.kind,
                "traffic": step.traffic,
                "state": step.state,
                "seconds": step.seconds,
                "requests": step.requests,
            }
            for step in account.steps
        ],
        "events": [{"at": one.at, "what": one.what, "text": one.text} for one in account.events],
    }


def _mark(link: Link) -> str:
    broken = " BROKEN" if link.breaks else ""
    return f"{MARKS[link.status]} {link.status}{broken}"


def _iso(at: float | None) -> str | None:
    return None if at is None else iso(at)


def _by(who: str) -> str:
    return f" by {who}" if who else ""


def _counted(count: tuple[int, int]) -> str:
    return f"{count[0]:,} of {count[1]:,}" if count[1] else "none seen"


def _wrapped(said: str, first: str, rest: str | None = None) -> list[str]:
    follow = first if rest is None else rest
    return textwrap.wrap(
        plain(said),
        _WIDTH,
        initial_indent=first,
        subsequent_indent=follow,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _safe(said: str) -> str:
    """One line in a Markdown cell: what a person or a model wrote is only text."""
    from mlship.report.markdown import safe

    return safe(said, 600)
