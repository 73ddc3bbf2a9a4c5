"""The latency gate: does the server that ships keep its budget? Pure: figures and limits in, results out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mlship.gates import limits
from mlship.gates.base import GateContext, Limit, judge, noted, without
from mlship.gates.latency import exhibits
from mlship.gates.latency.measured import QUANTILES, Arm, Figure, Measured
from mlship.load.capacity import Held
from mlship.load.replicas import replicas
from mlship.policy.gates import LatencyGate
from mlship.policy.units import format_duration, format_rate, format_size
from mlship.report.figures import count, listed, number, quoted, share, things
from mlship.types import GateResult, Measurement, Status

GATE = "latency"
#: Rules that a late generator says nothing about; the search for the capacity looks at its own lag.
_TIMED = (*QUANTILES, "errors", "ratio")


class Latency:
    """Its row among the gates of `mlship evaluate`, which has no server: it only says where the budget is judged."""

    name = GATE

    def judge(self, context: GateContext) -> list[GateResult]:
        """One skipped result."""
        del context
        reason = "judged by `mlship latency` against the server that ships"
        return [without(GATE, "budget", Status.SKIPPED, "kept", reason)]


def results(section: LatencyGate, found: Measured, max_size: int | None = None) -> list[GateResult]:
    """One result for each rule that the policy asks for.

    Parameters
    ----------
    max_size
        Bytes that the image may have; None when that is not limited.
    """
    judged = [*_quantiles(section, found), _errors(section, found), *_ratio(section, found)]
    judged += [*_replicas(section, found), *_cold_start(section, found), *_memory(section, found)]
    judged += [*_agree(section, found), *_size(section, found, max_size)]
    return _shown(_if_on_time(section, found, judged), section, found)


def _quantiles(section: LatencyGate, found: Measured) -> Iterator[GateResult]:
    asked = limits.latency(section)
    for name in QUANTILES:
        if name in asked:
            result = _quantile(section, found.candidate, name, asked[name])
            yield replace(result, champion=_milliseconds(name, found.champion) if found.champion else None)


def _quantile(section: LatencyGate, arm: Arm, name: str, limit: Limit) -> GateResult:
    """A quantile against its limit. Where the requests are too few for its upper end, the limit itself may be so far
    away that they are enough to tell how many take longer than that: p99 keeps a limit that at most 1 % exceed.
    """
    figure, slower = arm.quantiles.get(name, Figure(None)), arm.slower.get(name, Figure(None))
    result = _bounded(name, _milliseconds(name, arm), figure.worth, limit, section)
    may = 1 - QUANTILES[name]
    if result.status is not Status.INCONCLUSIVE or figure.value is None or figure.high is not None:
        return result
    if slower.value is None or slower.high is None or slower.high > may:
        return result
    reason = (
        f"{name} is about {limit.figure(figure.value * 1000)}, and {share(slower.value)} of "
        f"{things(arm.requests, *_requests(section))} took longer than the limit {limit.figure(limit.value)} or failed "
        f"(95 % interval up to {share(slower.high)}): {share(may)} may"
    )
    return replace(result, status=Status.PASSED, reason=reason)


def _milliseconds(name: str, arm: Arm) -> Measurement:
    return _measurement(name, arm.quantiles.get(name, Figure(None)), arm, 1000)


def _measurement(metric: str, figure: Figure, arm: Arm, scale: float) -> Measurement:
    """A figure in the unit of its limit."""
    value, low, high = (None if end is None else end * scale for end in (figure.value, figure.low, figure.high))
    reason = (arm.said or f"none of {things(arm.requests, 'request')} was answered") if value is None else ""
    return Measurement(metric, value, low, high, arm.requests, "load", reason)


def _bounded(rule: str, ours: Measurement, worth: float, limit: Limit, section: LatencyGate) -> GateResult:
    """Judge a figure that must have an upper end; one without it is no pass, but may well have failed."""
    if ours.value is None or ours.high is not None:  # no lower end is needed to decide: time begins at zero
        known = ours if ours.value is None or ours.low is not None else replace(ours, low=0.0)
        return judge(GATE, rule, known, limit, counted=_requests(section))
    few = f"{ours.metric} is about {limit.figure(ours.value)}, and {things(ours.n, *_requests(section))}"
    if round(worth) < ours.n:
        few += f", worth {count(round(worth))} independent ones as slow ones come together,"
    if limit.kept_by(ours.value):
        reason = f"{few} are too few to bound it: measure longer (`for`)"
        return GateResult(GATE, rule, Status.INCONCLUSIVE, str(limit), reason, ours)
    reason = f"{few} do not bound it: the value itself is beyond the limit {limit.figure(limit.value)}"
    return GateResult(GATE, rule, Status.FAILED, str(limit), reason, ours)


def _requests(section: LatencyGate) -> tuple[str, str]:
    """What was counted."""
    rate = format_rate(section.rate)
    return f"request at {rate}", f"requests at {rate}"


def _errors(section: LatencyGate, found: Measured) -> GateResult:
    """No number of requests proves that there are no errors: with a limit of 0 what was seen is judged."""
    arm, limit = found.candidate, limits.latency(section)["errors"]
    seen = Figure(arm.errors.value, None, None) if not section.errors else arm.errors
    kinds = listed([f"{things(many, 'request')} {kind}" for kind, many in sorted(arm.kinds.items())], 4)
    theirs = _share(found.champion.errors, found.champion) if found.champion else None
    ours = _share(seen, arm)
    if not section.errors and not arm.kinds and arm.requests:
        end = f" (upper end {share(arm.errors.high)})" if arm.errors.high is not None else ""
        reason = f"each of {things(arm.requests, 'request')} had a good answer{end}"
        return GateResult(GATE, "errors", Status.PASSED, str(limit), reason, _share(arm.errors, arm), theirs)
    result = judge(GATE, "errors", ours, limit, champion=theirs, note=kinds, counted=_requests(section))
    return noted(result, arm.said) if arm.said and arm.said not in result.reason else result


def _share(figure: Figure, arm: Arm) -> Measurement:
    return Measurement("share of requests without a good answer", figure.value, figure.low, figure.high, arm.requests)


def _ratio(section: LatencyGate, found: Measured) -> Iterator[GateResult]:
    if section.max_ratio is None:
        return
    limit = limits.latency(section)["ratio"]
    if found.champion is None:
        status = Status.INCONCLUSIVE if found.without_champion else Status.SKIPPED
        yield without(
            GATE, "ratio", status, limit, found.without_champion or "there is no champion yet to compare with"
        )
        return
    figure = found.ratio or Figure(None)
    ours = _measurement("p99 over the champion's", figure, found.candidate, 1)
    ends = [arm.quantiles.get("p99", Figure(None)).value for arm in (found.candidate, found.champion)]
    told = [f"{number(end * 1000)} ms" if end is not None else "unknown" for end in ends]
    result = _bounded("ratio", ours, ours.n, limit, section)
    yield noted(result, f"candidate {told[0]}, champion {told[1]}, in the same run")


def _replicas(section: LatencyGate, found: Measured) -> Iterator[GateResult]:
    """Servers for the busiest time.

    A search that saw no ceiling says only that no more are needed; one whose generator was late at some rate may have
    missed a higher one. Neither convicts.
    """
    if section.volume is None:
        return
    capacity, most = found.capacity, section.max_replicas
    limit = "any number" if most is None else f"<= {most}"
    if capacity is None:
        yield without(GATE, "replicas", Status.INCONCLUSIVE, limit, found.no_capacity)
        return
    tried = len(capacity.probes)
    doubted = capacity.ceiling is None or any(probe.held is Held.UNCLEAR for probe in capacity.probes)
    if not capacity.rate:
        status = Status.INCONCLUSIVE if doubted else Status.FAILED
        reason = f"no number of replicas is enough: one {capacity.sentence}"
        measured = Measurement("replicas", None, n=tried, reason=capacity.sentence)
        yield GateResult(GATE, "replicas", status, limit, reason, measured)
        return
    needed = replicas(section.volume, section.peak, capacity.rate)
    measured = Measurement("replicas", float(needed.count), n=tried, source=f"{things(tried, 'rate')} tried")
    if most is None:
        status = Status.SKIPPED
    elif needed.count <= most:
        status = Status.PASSED
    else:
        status = Status.INCONCLUSIVE if doubted else Status.FAILED
    yield GateResult(GATE, "replicas", status, limit, f"{needed.sentence}; it {capacity.sentence}", measured)


def _cold_start(section: LatencyGate, found: Measured) -> Iterator[GateResult]:
    if section.cold_start is None:
        return
    limit = limits.latency(section)["cold_start"]
    ours, theirs = (
        _once("time from start to ready", arm.cold_start, "no start was seen") if arm else None
        for arm in (found.candidate, found.champion)
    )
    assert ours is not None, "there always is a candidate"
    yield judge(GATE, "cold_start", ours, limit, champion=theirs, counted=("start", "starts"))


def _memory(section: LatencyGate, found: Measured) -> Iterator[GateResult]:
    if section.memory is None:
        return
    limit = limits.latency(section)["memory"]

    def measurement(arm: Arm) -> Measurement:
        peak = arm.memory.peak / 1e6 if arm.memory else None
        return _once("peak memory", peak, arm.said or "this machine does not tell how much the server takes")

    what = found.candidate.memory.what if found.candidate.memory else ""
    theirs = measurement(found.champion) if found.champion else None
    ours = measurement(found.candidate)
    yield judge(GATE, "memory", ours, limit, champion=theirs, counted=("server", "servers"), note=what)


def _once(metric: str, value: float | None, reason: str) -> Measurement:
    return Measurement(metric, value, n=0 if value is None else 1, reason=reason if value is None else "")


def _agree(section: LatencyGate, found: Measured) -> Iterator[GateResult]:
    """The same rows through the server and through the model in the registry."""
    agreement = found.agreement
    if not section.agree or agreement is None:
        return
    limit = f"within {number(section.tolerance)}" if section.tolerance else "equal"
    of = f"the {found.kind}"
    if found.refused:
        answered = agreement.rows
        row = count(found.numbers[answered] if answered < len(found.numbers) else answered + 1)
        reason = f"{of} does not answer row {row}, which the model in the registry does: {found.refused}"
        measured = Measurement("rows that disagree", 1.0, n=answered + 1)
        yield GateResult(GATE, "agree", Status.FAILED, limit, reason, measured)
        return
    if agreement.reason or not agreement.rows:
        why = agreement.reason or f"{of} answered no row"
        yield without(GATE, "agree", Status.INCONCLUSIVE, limit, why)
        return
    measured = Measurement("rows that disagree", float(agreement.different), n=agreement.rows)
    rows = things(agreement.rows, "row")
    if not agreement.different:
        reason = f"{of} answers {rows} as the model in the registry does"
        reason += f" (relative difference at most {number(agreement.furthest)})" if agreement.furthest else ""
        yield GateResult(GATE, "agree", Status.PASSED, limit, reason, measured)
        return
    first = agreement.worst[0]
    row = count(found.numbers[first.row])
    reason = (
        f"{of} answers {count(agreement.different)} of {rows} differently: about row {row} it says "
        f"{quoted(first.served)}, and the model in the registry {quoted(first.registered)}"
    )
    table = (exhibits.differences(agreement, found.numbers),)
    yield GateResult(GATE, "agree", Status.FAILED, limit, reason, measured, exhibits=table)


def _size(section: LatencyGate, found: Measured, max_size: int | None) -> Iterator[GateResult]:
    if max_size is None or found.image_size is None:
        return
    limit = limits.latency(section, max_size)["size"]
    kept = found.image_size <= max_size
    measured = Measurement("size of the image", found.image_size / 1e6, source="docker image inspect")
    reason = f"the image takes {format_size(found.image_size)}, {'within' if kept else 'beyond'} the limit "
    reason += format_size(max_size)
    yield GateResult(GATE, "size", Status.PASSED if kept else Status.FAILED, str(limit), reason, measured)


def _if_on_time(section: LatencyGate, found: Measured, judged: list[GateResult]) -> list[GateResult]:
    """Nothing about time is decided by a load that was itself late; an error remains one."""
    late = max(arm.lag for arm in (found.candidate, found.champion) if arm is not None)
    if late <= section.max_lag:
        return judged
    reason = (
        f"the load generator itself was late: 99 % of its requests were sent within {number(late * 1000)} ms of their "
        f"time, and {format_duration(section.max_lag)} is the limit; this machine is too busy to measure on"
    )

    def undecided(result: GateResult) -> GateResult:
        failed_anyway = result.rule == "errors" and result.status is Status.FAILED
        if result.rule not in _TIMED or failed_anyway or result.status is Status.SKIPPED:
            return result
        return replace(result, status=Status.INCONCLUSIVE, reason=reason)

    return [undecided(result) for result in judged]


def _shown(judged: list[GateResult], section: LatencyGate, found: Measured) -> list[GateResult]:
    """Tables and curves beside the rule that needs them most: an open one before one that passed."""

    def put(rules: tuple[str, ...], *shown: exhibits.Exhibit) -> None:
        among = [index for index, result in enumerate(judged) if result.rule in rules]
        if among and shown:
            first = next((at for at in among if judged[at].status is not Status.PASSED), among[0])
            judged[first] = replace(judged[first], exhibits=(*judged[first].exhibits, *shown))

    put((*QUANTILES, "ratio", "errors"), exhibits.quantiles(found), *exhibits.curves(section, found))
    put(("replicas",), *exhibits.probes(found))
    return judged
