"""The section `monitor` of a draft: limits of drift, and of live performance from the champion's own figures. Pure."""

from __future__ import annotations

from mlship.draft.facts import Facts
from mlship.draft.layout import Line, decimal
from mlship.draft.limits import limits, shown
from mlship.policy.lint_performance import METRICS

#: The sections' own defaults, as people read a PSI: below 0.1 nothing to speak of, from 0.2 on a shift.
_FEATURES, _PREDICTIONS = "0.2", "0.1"


def monitor_lines(facts: Facts) -> list[Line]:
    """What is watched after promotion; comments where nothing could ever be told from chance."""
    drift = f"features: {{psi: {_FEATURES}}}", f"predictions: {{psi: {_PREDICTIONS}}}"
    if facts.data is None or facts.data.time is None:
        lacking = "rows" if facts.data is None else "a time column: draft again with --time COLUMN"
        why = f"what is watched after promotion; it needs {lacking}"
        return [Line(f"# monitor: {{{', '.join(drift)}}}", why)]
    found = _performance(facts)
    lines = [
        Line("monitor:", "what is watched after promotion, by `mlship monitor`, against these rows"),
        Line("  # season: [hour, weekday]", "what differs by these is no drift; needs some weeks of rows"),
        Line(f"  {drift[0]}", "the section's default: how far an input may move before it matters"),
        Line(f"  {drift[1]}", "the section's default: how far the answers may move"),
    ]
    if found:
        lines.append(Line("  # performance:", "needs labels: serving.log and POST /feedback, or monitor.labels"))
        lines += found
    return [
        *lines,
        Line("  # max_age: 180d", "an example: an older champion is a breach"),
        Line("  # on_breach:", "what follows; without it the exit code tells"),
        Line("  #   - notify", "needs `notify` with the names of variables"),
        Line(
            "  #   - retrain: {github: OWNER/NAME, workflow: mlship-retrain.yml}",
            "templates/ci/github has the workflow",
        ),
    ]


def _performance(facts: Facts) -> list[Line]:
    """A comment for each metric that was measured and can be told of live traffic."""
    lines = []
    for result in facts.results:
        name = result.rule.partition(" ")[0]
        if result.gate != "metrics" or name not in METRICS or result.measured is None:
            continue
        if (limit := limits(result.measured)) is not None:
            end = f"max: {decimal(limit.max)}" if limit.max is not None else f"min: {decimal(limit.min or 0.0)}"
            lines.append(Line(f"  #   {name}: {{{end}}}", f"{facts.subject} {shown(result.measured)}"))
    return lines
