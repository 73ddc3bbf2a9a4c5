"""What `mlship init` says when it is done: the files, what was measured, what is not known, what comes next."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.cli.telling import Told
from mlship.draft.limits import measured_metrics
from mlship.report.checklist import Check, Checklist
from mlship.report.figures import listed, things
from mlship.types import Status

if TYPE_CHECKING:
    from mlship.draft.around import Kept
    from mlship.draft.find import Drafted
    from mlship.draft.place import File


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run of the command."""

    draft: Drafted
    files: tuple[File, ...]
    kept: tuple[Kept, ...]
    written: bool
    """Else it was a dry run."""
    policy: Path


def told(outcome: Outcome, here: Path) -> Told:
    """The result in every format; paths are shown from `here`."""
    return Told(
        lambda: _text(outcome, here),
        lambda: _document(outcome, here),
        lambda: _markdown(outcome, here),
        lambda: _checklist(outcome, here),
        outputs={"policy": _shown(outcome.policy, here)},
    )


def _text(outcome: Outcome, here: Path) -> str:
    lines = []
    if not outcome.written:
        for file in outcome.files:
            lines += [] if file.copied else [f"--- {_shown(file.path, here)}", file.text]
    lines += [f"{'wrote' if outcome.written else 'would write'} {name}" for name in _names(outcome, here)]
    lines += [
        f"kept {_shown(one.path, here)}: {one.why}" + (f"\n  next: {one.hint}" if one.hint else "")
        for one in outcome.kept
    ]
    lines.append(_summary(outcome))
    lines += [f"not known: {what}" for what in outcome.draft.facts.unknown]
    lines += [f"look at: {what}" for what in _remarks(outcome)]
    lines += ["next:", *(f"  {command}" for command in commands(outcome, here))]
    return "\n".join(lines)


def commands(outcome: Outcome, here: Path) -> list[str]:
    """What to run next, in order."""
    policy, facts = shlex.quote(_shown(outcome.policy, here)), outcome.draft.facts
    found = [f"mlship validate {policy}"]
    if facts.data is None or facts.version is None:
        return [*found, f"mlship doctor {policy}"]
    known = {"champion", "challenger"} & set(facts.aliases)
    other = f" --candidate {facts.version.reference}" if "challenger" not in known and "champion" in known else ""
    return [*found, f"mlship evaluate {policy}{other}", f"mlship plan {policy}"]


def _summary(outcome: Outcome) -> str:
    facts = outcome.draft.facts
    if not outcome.draft.measured or facts.data is None:
        return f"drafted for {facts.model}; it is valid, and nothing was measured"
    metrics = listed(measured_metrics(facts)) or "no metric"
    proof = "which passes every rule of it" if not outcome.draft.unmet else "which does not pass all of it"
    return f"drafted from {facts.model} {facts.subject}, {proof}: {metrics} on {things(facts.data.rows, 'row')}"


def _remarks(outcome: Outcome) -> list[str]:
    return [f"{one.gate} {one.rule}: {one.status}: {one.reason}" for one in outcome.draft.unmet] + list(
        outcome.draft.warnings
    )


def _document(outcome: Outcome, here: Path) -> dict[str, Any]:
    facts = outcome.draft.facts
    return {
        "model": facts.model,
        "version": facts.version.number if facts.version else None,
        "policy": _shown(outcome.policy, here),
        "policy_digest": outcome.draft.loaded.digest,
        "written": outcome.written,
        "files": [{"path": _shown(file.path, here), "text": file.text} for file in outcome.files],
        "kept": [{"path": _shown(one.path, here), "why": one.why, "hint": one.hint} for one in outcome.kept],
        "measured": outcome.draft.measured,
        "rows": facts.data.rows if facts.data else None,
        "metrics": {
            one.measured.metric: {"value": one.measured.value, "low": one.measured.low, "high": one.measured.high}
            for one in facts.results
            if one.gate == "metrics" and one.measured is not None
        },
        "unknown": list(facts.unknown),
        "remarks": _remarks(outcome),
        "next": commands(outcome, here),
    }


def _markdown(outcome: Outcome, here: Path) -> str:
    done = "wrote" if outcome.written else "would write"
    lines = [f"### {_summary(outcome)}", ""]
    lines += [f"- {done} `{name}`" for name in _names(outcome, here)]
    lines += [f"- kept `{_shown(one.path, here)}`: {one.why}" for one in outcome.kept]
    lines += [f"- not known: {what}" for what in outcome.draft.facts.unknown]
    lines += [f"- look at: {what}" for what in _remarks(outcome)]
    lines += ["", "```sh", *commands(outcome, here), "```"]
    if not outcome.written:
        for file in outcome.files:
            if not file.copied:
                lines += ["", f"`{_shown(file.path, here)}`", "", "````yaml", file.text.rstrip(), "````"]
    return "\n".join(lines)


def _checklist(outcome: Outcome, here: Path) -> Checklist:
    checks = [
        Check("init", "unknown", Status.PASSED, what, warning=True, file=_shown(outcome.policy, here))
        for what in outcome.draft.facts.unknown
    ]
    checks += [
        Check("init", "remark", Status.PASSED, what, warning=True, file=_shown(outcome.policy, here))
        for what in _remarks(outcome)
    ]
    policy = _shown(outcome.policy, here)
    return Checklist("init", outcome.draft.facts.model, Status.PASSED, _summary(outcome), tuple(checks), file=policy)


def _names(outcome: Outcome, here: Path) -> list[str]:
    """What was drafted by its name, what was copied by its directory."""
    names = [_shown(file.path, here) for file in outcome.files if not file.copied]
    if copied := [file.path.parent for file in outcome.files if file.copied]:
        directory = _shown(Path(os.path.commonpath(copied)), here)
        names.append(f"{directory}/ ({things(len(copied), 'file')} of mlship's own)")
    return names


def _shown(path: Path, here: Path) -> str:
    relative = os.path.relpath(path, here)
    return str(path) if relative.startswith("../..") else relative
