"""The drafted policy: every section from what was found, and beside every number where it comes from. Pure."""

from __future__ import annotations

from datetime import date

from mlship.draft.columns import column_lines
from mlship.draft.facts import Facts
from mlship.draft.layout import Line, clean, decimal, listed, text, up, wrapped, written
from mlship.draft.limits import example_lines, measured_metrics, metric_lines
from mlship.draft.monitor import monitor_lines
from mlship.draft.steps import rollout_lines
from mlship.policy.units import format_rate
from mlship.report.figures import count, share, things

#: The contract's own defaults, used where the rows are better than they ask.
_MISSING, _REPEATED = 0.01, 0.001
_DEFAULTS = ("max_missing: 1%", "max_duplicates: 0.1%", "max_label_conflicts: 0")
#: Requests a second that tell a p99 within 30 s.
_LEAST_LOAD = 20.0
#: The leakage gate's own default.
_TELLING = 0.98
#: Columns that are named in a comment.
_NAMED = 12


def draft(facts: Facts) -> str:
    """The text of a policy that `mlship validate` accepts, and that the version it was drafted from passes."""
    lines = [
        *_head(facts),
        *_subject(facts),
        *_data(facts),
        Line(""),
        Line("gates:"),
        *_security(facts),
        *_contract(facts),
        *_leakage(facts),
        *_metrics(facts),
        *_more(facts),
        *_latency(facts),
        Line(""),
        *rollout_lines(facts.rate),
        Line(""),
        *monitor_lines(facts),
    ]
    return written(lines)


def _head(facts: Facts) -> list[Line]:
    lines = [
        Line(f"# Promotion policy of {clean(facts.model)}, drafted by `mlship init` on {facts.today.isoformat()}."),
        Line("# Every number says where it comes from: read them, and write the ones that your team will stand for."),
        Line("# Check it with `mlship validate`; `mlship schema > mlship.schema.json` gives completion in editors."),
    ]
    if facts.unknown:
        lines += [Line("#"), Line("# Not known yet:")]
        for what in facts.unknown:
            first, *rest = wrapped(clean(what), 112)
            lines += [Line(f"# - {first}"), *(Line(f"#   {part}") for part in rest)]
    return [*lines, Line("")]


def _subject(facts: Facts) -> list[Line]:
    owner, review = facts.owner, _a_year_after(facts.today)
    lines = [
        Line("version: 1"),
        Line(f"model: {text(facts.model)}"),
        Line("owner:"),
        Line(
            f"  team: {text(owner.team or 'unknown')}",
            "" if owner.team else "not known: name the team that owns the model",
        ),
        Line(
            f"  contact: {text(owner.contact or 'unknown')}",
            "" if owner.contact else "not known: an address, a channel or a page that reaches them",
        ),
        Line("  # runbook: docs/runbook.md", "where the person on call looks first"),
        Line(f"  review_by: {review.isoformat()}", "a year from the draft; past it the ownership gate fails"),
    ]
    if facts.registry is not None:
        lines += [Line(""), Line(f"registry: {{uri: {facts.registry}}}", facts.registry_why)]
    elif facts.registry_hint is not None:
        lines += [Line(""), Line(f"# registry: {{uri: {facts.registry_hint}}}", facts.registry_why)]
    lines.append(Line(""))
    if facts.version is None or "challenger" in facts.aliases:
        lines.append(Line('candidate: "@challenger"', "" if facts.version else "the alias of what is judged"))
    else:
        lines.append(
            Line("candidate: latest", 'no version has the alias @challenger; write "@challenger" once one has')
        )
    none = "" if "champion" in facts.aliases else "no version has it yet: the first promotion sets it"
    return [*lines, Line('champion: "@champion"', none), Line("")]


def _data(facts: Facts) -> list[Line]:
    data = facts.data
    if data is None:
        return [
            Line("data:", "not known yet: rows with labels that candidate and champion are judged on"),
            Line("  evaluation:"),
            Line(
                "    mlflow: {context: evaluation}",
                "a dataset logged with the candidate's run; or path: data/latest.parquet",
            ),
            Line("    target: label", "not known yet: the column that holds the label"),
        ]
    time = f", time: {text(data.time)}" if data.time else ""
    lines = [
        Line("data:"),
        Line(f"  evaluation: {{path: {text(data.path)}, target: {text(data.target)}{time}}}", things(data.rows, "row")),
    ]
    if data.reference:
        lines.append(Line(f"  reference: {{path: {text(data.reference)}{time}}}", "what the candidate was trained on"))
    else:
        lines.append(Line("  # reference: {path: data/training.parquet}", "what the candidate was trained on"))
    return lines


def _security(facts: Facts) -> list[Line]:
    if not facts.allow_code:
        return []
    return [Line("  security: {allow_code: true}", "as told by --allow-code: code that a model brings is trusted")]


def _contract(facts: Facts) -> list[Line]:
    data = facts.data
    if data is None:
        return [
            Line("  contract:", "the gate's defaults; nothing was measured"),
            *(Line(f"    {one}") for one in _DEFAULTS),
        ]
    missing = facts.measured("contract", "max_missing")
    repeated = facts.measured("contract", "max_duplicates")
    conflicts = facts.measured("contract", "max_label_conflicts")
    lines = [Line("  contract:")]
    for rule, result, least in (
        ("max_missing", missing, _MISSING),
        ("max_duplicates", repeated, _REPEATED),
        ("max_label_conflicts", conflicts, 0.0),
    ):
        if result is None or result.measured is None or result.measured.value is None:
            continue
        found = result.measured.value
        limit, why = _share_limit(found, least)
        where = f"; worst: {_noted(result.reason)}" if rule == "max_missing" and found else ""
        lines.append(Line(f"    {rule}: {limit}", f"found {share(found)} in {count(data.rows)} rows; {why}{where}"))
    return [*lines, *column_lines(data)]


def _share_limit(found: float, least: float) -> tuple[str, str]:
    """The limit and its reason: the gate's default, or half as much again as was found."""
    if found <= least / 1.5 or found == least == 0:
        return ("0" if least == 0 else share(least)), "the gate's default"
    limit = min(1.0, up(1.5 * found, 10.0 ** _place(found)))
    return f"{decimal(round(limit * 100, 8))}%", "half as much again"


def _place(value: float) -> int:
    import math

    return math.floor(math.log10(value)) - 1


def _leakage(facts: Facts) -> list[Line]:
    data = facts.data
    if data is None:
        return []
    lines = [Line("  leakage:")]
    telling = facts.measured("leakage", "max_single_feature_auc")
    limit, why = _TELLING, "the gate's default: no single column may tell the label better"
    if telling is not None and telling.measured is not None and telling.measured.value is not None:
        value = telling.measured.value
        if value > _TELLING:
            limit = min(1.0, up(value, 0.001))
        why = f"found {decimal(round(value, 3))}: {_noted(telling.reason)}"
    lines.append(Line(f"    max_single_feature_auc: {decimal(limit)}", why))
    overlap = facts.measured("leakage", "max_overlap")
    if data.reference and overlap is not None and overlap.measured is not None and overlap.measured.value is not None:
        found = overlap.measured.value
        allowed, reason = _share_limit(found, 0.0)
        lines.append(
            Line(f"    max_overlap: {allowed}", f"found {share(found)} of the rows in the reference; {reason}")
        )
    order = facts.measured("leakage", "chronological")
    if data.reference and order is not None and order.measured is not None:
        later = order.measured.value == 0
        lines.append(Line(f"    chronological: {'true' if later else 'false'}", order.reason))
    elif data.reference and data.time is None:
        lines.append(Line("    chronological: false", "no time column is named"))
    if data.others:
        named = listed([text(name) for name in data.others[:_NAMED]])
        rest = f" (and {count(len(data.others) - _NAMED)} more)" if len(data.others) > _NAMED else ""
        lines.append(
            Line(
                f"    # unavailable: {named}",
                f"columns that the model does not take{rest}: keep those that are known only after the outcome",
            )
        )
    return lines


def _noted(reason: str) -> str:
    """What a gate adds to its figures: a name or an example."""
    return reason.partition("; ")[2] or reason


def _metrics(facts: Facts) -> list[Line]:
    if facts.data is None:
        return [
            Line(
                "  # metrics: {recall: {min: 0.5, max_drop: 0.01}}", "needs data with labels; the figures are examples"
            )
        ]
    if facts.task is None:
        why = "nothing was measured: these fit the labels, and the figures are examples"
        return [Line("  # metrics:", why), *example_lines(facts.likely)]
    if not measured_metrics(facts):
        lines = metric_lines(facts)
        return [Line("  # metrics:", "nothing was measured"), *lines]
    return [
        Line("  metrics:", "the worst end of the 95 % interval is judged, so limits lie half a width beyond it"),
        *metric_lines(facts),
    ]


def _more(facts: Facts) -> list[Line]:
    """Gates that a team has to decide about, as comments with this model's own names."""
    metrics = measured_metrics(facts) if facts.data else []
    if facts.data is None or not metrics:
        return []
    by = [text(column.name) for column in facts.data.columns if column.kind == "string" and column.values][:3]
    lines = [Line("  # robustness: {max_drop: 0.05}", "does it survive noise, missing values, new categories?")]
    if by:
        metric = "recall" if "recall" in metrics else metrics[0]
        lines.append(
            Line(
                f"  # slices: {{by: {listed(by)}, metric: {metric}, max_drop: 0.05}}",
                "is it good enough for every part?",
            )
        )
    return lines


def _latency(facts: Facts) -> list[Line]:
    budget = "for: 30s, p99: 200ms, errors: 0%"
    if facts.rate is None:
        return [
            Line(f"  # latency: {{rate: 50/s, {budget}}}", "an example: `mlship init --rate` writes it for your rate")
        ]
    load = max(facts.rate, _LEAST_LOAD)
    told = (
        "as told by --rate" if load == facts.rate else f"more than the {format_rate(facts.rate)} of --rate, for enough"
    )
    why = f"rate {told}; 200ms is an example, not a measurement: write what callers can wait for"
    return [Line(f"  latency: {{rate: {format_rate(load)}, {budget}}}", why)]


def _a_year_after(day: date) -> date:
    try:
        return day.replace(year=day.year + 1)
    except ValueError:  # the 29th of February
        return day.replace(year=day.year + 1, day=28)
