"""A prospect as people and programs read it: aligned text, Markdown, JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mlship.policy.units import format_duration, format_percent
from mlship.rollout.outlook import pace, rounded, share, span
from mlship.rollout.plan import StepKind
from mlship.rollout.planfile import pinned

if TYPE_CHECKING:
    from mlship.rollout.foresee import Certificate, Foresight, Sight, Stage, Traffic
    from mlship.rollout.plan import PlanStep
    from mlship.rollout.prospect import Prospect

_HEADINGS = ("", "stage", "bake", "canary requests", "takes", "sees errors", "sees slow")
#: A cell, a note or a sentence in Markdown of more letters is cut; the other formats have all of it.
_LONGEST = 1000


def text(found: Prospect) -> str:
    """For a terminal."""
    names = max(len(name) for name, _ in _facts(found))
    if idle(found):
        lines = [f"{title(found)}: nothing to promote", f"  {_another(found)}"]
        lines += ["", f"written: {found.plan_file}"] if found.plan_file else []
        return "\n".join([*lines, *(["", f"next: {found.next}"] if found.next else [])])
    lines = [title(found), ""]
    lines += [f"  {name:<{names}}  {what}" for name, what in _facts(found)]
    if found.foresight is not None:
        rows = [_HEADINGS, *_rows(found, found.foresight)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADINGS))]
        lines += ["", *(_line(row, widths) for row in rows), "", *(f"  {note}" for note in _notes(found))]
    lines += ["", *(f"not found: {what}" for what in found.missing)] if found.missing else []
    if found.remarks:
        lines.append("")
        for remark in found.remarks:
            lines += [f"warning: {place(remark.location)}: {remark.what}", f"  {remark.hint}"]
    lines += ["", f"written: {found.plan_file}"] if found.plan_file else []
    lines += ["", f"next: {found.next}"] if found.next else []
    return "\n".join(lines)


def markdown(found: Prospect) -> str:
    """For a pull request; names from the policy, the registry and the ledger are no markup in it."""
    from mlship.report.markdown import safe

    def said(what: str) -> str:
        return safe(what, _LONGEST)

    next_ = " ".join(found.next.replace("`", "'").split())
    if idle(found):
        after = ["", f"Next: `{next_}`"] if next_ else []
        return "\n".join([f"### {said(title(found))}: nothing to promote", "", said(_another(found)), *after])
    lines = [f"### {said(title(found))}", ""]
    lines += [f"- **{said(name)}**: {said(what)}" for name, what in _facts(found)]
    if found.foresight is not None:
        lines += ["", f"| {' | '.join(_HEADINGS)} |", "|---" * len(_HEADINGS) + "|"]
        lines += [f"| {' | '.join(said(cell.strip()) for cell in row)} |" for row in _rows(found, found.foresight)]
        lines += ["", *(f"- {said(note)}" for note in _notes(found))]
    lines += ["", *(f"> not found: {said(what)}" for what in found.missing)] if found.missing else []
    if found.remarks:
        told = ((place(one.location), f"{one.what} ({one.hint})") for one in found.remarks)
        lines += ["", *(f"> **warning** {said(where)}: {said(what)}" for where, what in told)]
    lines += ["", f"Next: `{next_}`"] if next_ else []
    return "\n".join(lines)


def document(found: Prospect) -> dict[str, Any]:
    """For a program; times in seconds, what never comes is null."""
    plain: dict[str, Any] = _finite(asdict(found))
    plain["steps"] = [
        {**step, "foreseen": stage}
        for step, stage in zip(plain["steps"], plain["foresight"]["stages"] if plain["foresight"] else (), strict=True)
    ]
    if plain["foresight"]:
        del plain["foresight"]["stages"]
    for remark in plain["remarks"]:
        remark["location"] = place(remark["location"])
    del plain["told"]
    plain["pins"] = None if found.pins is None else pinned(found.pins)
    return plain


def title(found: Prospect) -> str:
    """Who would replace whom, in a sentence."""
    if found.candidate is None:
        return f"{found.model}: the candidate is not known"
    if found.champion is None:
        return f"{found.model}: version {found.candidate} would be the first champion"
    if found.champion == found.candidate:
        return f"{found.model}: version {found.candidate} is the champion already"
    return f"{found.model}: version {found.candidate} would replace version {found.champion}"


def idle(found: Prospect) -> bool:
    """There is nothing to promote: the candidate is the champion, and no rollout is under way."""
    return found.candidate is not None and found.candidate == found.champion and not found.under_way


def _another(found: Prospect) -> str:
    """How another candidate is named."""
    named = found.pins.candidate.reference if found.pins is not None else "candidate"
    if named.startswith("@"):
        alias = f'set_registered_model_alias("{found.model}", "{named[1:]}", VERSION)'
        return f"to promote another version, let {named} name it: mlflow.MlflowClient().{alias}"
    if named == "latest":
        return "to promote another version, register it: the candidate is the latest"
    return f"to promote another version, name it as `candidate` in {found.policy}"


def _facts(found: Prospect) -> list[tuple[str, str]]:
    facts = [(proof.name, proof.what) for proof in found.proofs]
    if found.under_way:
        facts.append(("rollout", found.under_way))
    if found.foresight is None:
        return [*facts, ("rollout", "the policy has no rollout section")]
    traffic = found.traffic
    rate = (
        "rate not known: --rate 50/s tells it" if traffic.rate is None else f"{pace(traffic.rate)} ({traffic.source})"
    )
    facts.append(("traffic", f"{rate}; {_failing(traffic)}"))
    if found.windows:
        now = f"no weight may rise until {found.freeze}" if found.freeze else f"not now ({'; '.join(found.windows)})"
        facts.append(("freeze", now))
    kept = f"the champion stays ready for {span(found.keep_warm)} after promotion"
    facts.append(("way back", f"by itself after {span(found.lease)} without a controller; {kept}"))
    return facts


def _failing(traffic: Traffic) -> str:
    if traffic.measured and not traffic.failed:
        return f"none of {traffic.of:,} failed, planned as if {share(traffic.errors)} did"
    return f"{share(traffic.errors)} of it fails ({'measured' if traffic.measured else 'assumed'})"


def _rows(found: Prospect, foresight: Foresight) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for index, (step, stage) in enumerate(zip(found.steps, foresight.stages, strict=True)):
        rows.append((f"{index + 1}", _kind(step), _bake(step), *_stage(step, stage)))
    whole, stretch = foresight.whole, foresight.stretch
    if stretch is not None:
        takes = "not known" if stretch.seconds is None else span(stretch.seconds)
        rows.append(("", "to be proved", "", rounded(stretch.requests or 0.0), takes, "-", "-"))
        rows.append(("", "all of it", "", rounded(whole.requests or 0.0), *_stage(None, whole)[1:]))
    elif len(found.steps) > 1:
        rows.append(("", "all of it", "", *_stage(None, whole)))
    return rows


def _kind(step: PlanStep) -> str:
    if step.kind is StepKind.MIRROR:
        return f"mirror {format_percent(step.mirror)}"
    if step.kind is StepKind.TESTERS and step.testers is not None:
        return f"testers {step.testers[0]}: {step.testers[1]}"
    if step.kind is StepKind.APPROVE:
        return f"approve, else {step.expiry}"
    return "pause" if step.kind is StepKind.PAUSE else format_percent(step.weight)


def _bake(step: PlanStep) -> str:
    if step.kind is StepKind.APPROVE:
        return f"within {format_duration(step.within)}"
    asked = [format_duration(step.seconds)] if step.seconds else []
    return ", ".join([*asked, *([f"{step.requests:,} requests"] if step.requests else [])])


def _stage(step: PlanStep | None, stage: Stage) -> tuple[str, str, str, str]:
    waits = step is not None and (step.kind is StepKind.APPROVE or step.testers is not None)
    if waits:
        return "-", "-" if stage.seconds is None else span(stage.seconds), "-", "-"
    requests = "not known" if stage.requests is None else f"{stage.requests:,.0f}{' or more' * stage.more}"
    takes = "not known" if stage.seconds is None else span(stage.seconds)
    return requests, takes, _sight(stage, "errors"), _sight(stage, "latency")


def _sight(stage: Stage, signal: str) -> str:
    sight: Sight | None = next((one for one in stage.sights if one.signal == signal), None)
    if sight is None:
        return "-"
    return "nothing" if sight.least is None else f"{share(sight.base)} -> {share(sight.least)}"


def _notes(found: Prospect) -> list[str]:
    foresight = found.foresight
    if foresight is None:
        return []
    first = found.candidate is not None and found.champion is None
    notes = ["there is no champion: the candidate gets all traffic at once, without stages"] if first else []
    if foresight.whole.sights:
        notes += ["sees: the smallest regression that this much traffic shows with a chance of 80 %"]
    if found.sticky:
        notes.append("sticky: users are judged, not requests; who calls more than once is counted once, and shows less")
    if any(sight.signal == "latency" for sight in foresight.whole.sights):
        notes.append("slow: slower than 99 % of stable's requests")
    agreement = next((sight for sight in foresight.whole.sights if sight.signal == "agreement"), None)
    if agreement is not None:
        seen = "nothing" if agreement.least is None else f"{share(agreement.base)} -> {share(agreement.least)}"
        notes.append(f"agreement: mirrored requests show {seen} different predictions")
    if foresight.labels is not None:
        notes.append(f"labels: 10% -> 15% wrong takes about {rounded(foresight.labels)} labelled canary requests")
    return notes + [_certificate(one, found) for one in foresight.certificates]


def _certificate(one: Certificate, found: Prospect) -> str:
    what = f"to be proved: {one.signal} below {one.factor:g}x stable's"
    if math.isinf(one.requests):
        return f"{what}: never, {_never(one, found)}"
    kind = "labelled canary requests" if one.signal == "labels" else "canary requests"
    needs = f"{what}: about {rounded(one.requests)} {kind}"
    if one.signal == "labels":
        return needs
    if one.stretch <= 0:
        return f"{needs}, which the bakes bring"
    whole = found.foresight.whole if found.foresight is not None else None
    if whole is None or whole.requests is None or whole.more:
        return f"{needs}; whether the bakes bring them depends on the rate"
    after = "" if one.seconds is None else f", {span(one.seconds)}"
    return f"{needs}; the last step stretches by about {rounded(one.stretch)}{after}"


def _never(one: Certificate, found: Prospect) -> str:
    last = next((step.weight for step in reversed(found.steps) if step.weight), 0.0)
    if not last:
        return "for no step has a weight"
    return "for the last step leaves stable no requests" if last >= 1 else f"at a rate of {share(one.base)}"


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    cells = [
        cell.rjust(width) if index in (3, 4) else cell.ljust(width)
        for index, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return ("  " + "  ".join(cells)).rstrip()


def place(location: tuple[object, ...]) -> str:
    """`step 2`, `rollout.certify.errors`; people count steps from 1, and so does the table."""
    for part in location:
        if isinstance(part, int):
            return f"step {part + 1}"
    return ".".join(str(part) for part in location)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    if isinstance(value, float):
        return None if math.isinf(value) else float(f"{value:.6g}")
    return value
