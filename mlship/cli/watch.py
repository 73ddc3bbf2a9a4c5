"""`mlship watch`: a rollout as its journal tells it, from any terminal; exits with the verdict's exit code."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlship.cli.common import a_model, context, leave
from mlship.cli.completion import models
from mlship.cli.telling import Format, ReportsOption, destinations, tell, write
from mlship.errors import Exit, MlshipError, StateError, UsageError
from mlship.policy.units import parse_duration

if TYPE_CHECKING:
    from mlship.cli.ended import Ended
    from mlship.cli.following import Following, News, Signs, Stop
    from mlship.cli.live import Screen
    from mlship.home import Home
    from mlship.rollout.judge import Evidence
    from mlship.rollout.plan import Plan


class WatchFormat(StrEnum):
    """How the result is written to stdout."""

    TEXT = "text"
    JSON = "json"
    NDJSON = "ndjson"
    MARKDOWN = "markdown"
    GITHUB = "github"


def watch(
    ctx: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(
            help="Name of the registered model; default: the one that has a rollout.",
            metavar="MODEL",
            show_default=False,
            autocompletion=models,
            callback=a_model,
        ),
    ] = None,
    *,
    until: Annotated[
        str | None,
        typer.Option(
            help="Exit with 0 at promoted, step:N, weight:10%, paused or approval; end waits through pauses.",
            metavar="WHAT",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        str | None, typer.Option(help="Exit with 4 after so long, such as 30m; default: never.", metavar="DURATION")
    ] = None,
    fmt: Annotated[
        WatchFormat, typer.Option("--format", help="How to write the result to stdout; ndjson: a line for each look.")
    ] = WatchFormat.TEXT,
    report: ReportsOption = None,
) -> None:
    """Watch a rollout from any terminal; exit with its verdict's code.

    Reads the journal and changes nothing: 0 promoted, 5 rolled back, 4 paused or aborted. When no controller runs it
    says so and exits with 4; with --until or --timeout it waits for one.

    \b
    Examples:
      mlship watch flight-delay
      mlship watch flight-delay --until step:2 --timeout 10m
      mlship watch flight-delay --timeout 1h --report html=rollout.html
    """
    from mlship.cli.following import Following, Lease, engine_of
    from mlship.cli.until import parse
    from mlship.rollout import lines

    seconds, files = _seconds(timeout), destinations(report)
    home = context(ctx).home
    name = model if model is not None else _only(home)
    path = lines.latest(home, name)
    if path is None:
        raise UsageError(
            "there is no rollout to watch",
            where=f"{name} in {home.path}",
            hint="`mlship rollout POLICY` begins one; --home or MLSHIP_HOME names another state directory",
        )
    plan = _plan(home, name)
    wanted = parse(until, plan) if until is not None else None
    lease = Lease(lambda: engine_of(home, name))
    try:
        following = Following(home, path, plan, lease, until=wanted, timeout=seconds)
        following = _follow(following, home, lease, fmt, until)
    finally:
        lease.close()
    ended = _ended(following, home, until or "", timeout or "")
    if fmt is WatchFormat.NDJSON:
        _line({"event": "end", **ended.document})
        write(ended.told(), files)
    else:
        tell(ended.told(), Format(fmt.value), files)
    leave(ended.document["exit_code"])


def _follow(following: Following, home: Home, signs: Signs, fmt: WatchFormat, until: str | None) -> Following:
    """Show what is new until there is nothing to wait for; the rollout that was the last.

    One that was superseded is followed by the next, which `until` and what is left of the timeout hold for as well.
    """
    from mlship.cli.live import screen

    if fmt is WatchFormat.NDJSON:
        while True:
            for news in following.news():
                _stream(news)
            after = _next(following, home, signs, until)
            if after is None:
                return following
            _line({"event": "next", **_names(after[0].plan), "reason": after[1]})
            following = after[0]
    with screen() as shown:
        while True:
            for news in following.news():
                _show(shown, following, news)
            if following.superseded:
                shown.driver = "waiting for its command to begin with the next candidate"
                shown.refresh(following.tape)
            after = _next(following, home, signs, until)
            shown.driver = ""
            shown.refresh(following.tape)
            if after is None:
                return following
            shown.say(after[1])
            following = after[0]


def _next(following: Following, home: Home, signs: Signs, until: str | None) -> tuple[Following, str] | None:
    """The rollout after one that was superseded, and a sentence that says so; None when none comes."""
    from mlship.cli.following import Following
    from mlship.cli.until import parse

    path = following.next()
    if path is None:
        return None
    plan = _plan(home, following.plan.model)
    reason = following.tape.now.state.reason if following.tape.now is not None else ""
    said = f"{reason}: following the rollout of version {plan.canary.version} now"
    wanted = None
    if until is not None:
        try:
            wanted = parse(until, plan)
        except UsageError:  # the next policy may have fewer steps
            said += f", which knows no {until}: to its verdict"
    return Following(home, path, plan, signs, until=wanted, timeout=following.left), said


def _show(shown: Screen, following: Following, news: News) -> None:
    shown.driver, shown.driven, shown.damage = news.driver, news.alive or following.ended, _damage(news.damaged)
    for _, note in news.notes:
        shown.say(note)
    for moment in news.moments[-1:] if news.past else news.moments:
        shown.show(moment, following.tape)
    shown.refresh(following.tape)


def _ended(following: Following, home: Home, until: str, timeout: str) -> Ended:
    """The result, to be told in every format."""
    from mlship.cli.drawing.markdown import summary
    from mlship.cli.ended import Ended

    stop = following.stop
    assert stop is not None, "nobody else ends it"
    document = _document(following, stop, until, timeout)
    return Ended(
        "watch",
        document,
        _conclusion(document, stop),
        following.plan.policy_path,
        home,
        lambda: summary(following.tape, document),
    )


def _document(following: Following, stop: Stop, until: str, timeout: str) -> dict[str, Any]:
    """The result as JSON says it: that of `mlship rollout` where the rollout has ended, and where it stands."""
    from mlship.cli.following import Stop
    from mlship.cli.verdicts import document
    from mlship.rollout import judge, watch

    plan, moment = following.plan, following.tape.now
    where: dict[str, Any] = {
        "phase": moment.state.phase.value if moment is not None else "preparing",
        "at_step": moment.state.step + 1 if moment is not None else 1,
        "of_steps": len(plan.steps),
        "weight": moment.state.weight if moment is not None else 0.0,
        "until": until or None,
    }
    if stop is Stop.ENDED and moment is not None:
        evidence = moment.evidence if moment.evidence is not None else judge.begin(plan.guards)
        seconds = max(0.0, moment.at - following.began_at)
        return document(watch.result(plan, moment.state, evidence, seconds, "")) | where
    at = moment.reason if moment is not None else "starting"
    missed = f"{until} not reached" if until else "no verdict"
    told = {
        Stop.REACHED: (Exit.PASSED, f"reached {until}: {at}"),
        Stop.TIMED_OUT: (Exit.INCONCLUSIVE, f"{missed} after {timeout}: {at}"),
    }
    code, reason = told.get(stop, (Exit.INCONCLUSIVE, following.driver))
    return {
        **_names(plan),
        "verdict": stop.value,
        "exit_code": int(code),
        "reason": reason,
        "evidence": moment.evidence.shares if moment is not None and moment.evidence is not None else {},
        "signals": _signals(moment.evidence if moment is not None else None),
    } | where


def _names(plan: Plan) -> dict[str, Any]:
    return {
        "model": plan.model,
        "rollout_id": plan.rollout_id,
        "candidate_version": plan.canary.version,
        "champion_version": plan.stable.version if plan.stable else None,
    }


def _conclusion(document: dict[str, Any], stop: Stop) -> str:
    from mlship.cli.following import Stop
    from mlship.rollout.words import became

    name = f"{document['model']} version {document['candidate_version']}"
    if stop is Stop.ENDED:
        return f"{name} {became(document['verdict'], document['reason'])}"
    return f"{name}: {document['reason']}"


def _stream(news: News) -> None:
    """One line of JSON for each look, and for each thing that the controller has noted."""
    for at, note in news.notes:
        _line({"event": "note", "at": at, "note": note})
    for moment in news.moments:
        state, window = moment.state, moment.window
        arms = {} if window is None else {"stable": window.stable, "canary": window.canary}
        _line(
            {
                "event": "look",
                "at": moment.at,
                "phase": state.phase.value,
                "step": state.step + 1,
                "weight": state.weight,
                "verdict": moment.kind.value,
                "reason": moment.reason,
                "seconds": window.seconds if window is not None else None,
                "arms": {name: _arm(arm) for name, arm in arms.items()},
                "evidence": moment.evidence.shares if moment.evidence is not None else {},
                "signals": _signals(moment.evidence),
                "total": moment.evidence.total if moment.evidence is not None else 1.0,
            }
        )


def _signals(evidence: Evidence | None) -> list[dict[str, Any]]:
    from mlship.rollout import judge, watch

    return [watch.document(row) for row in judge.rows(evidence)] if evidence is not None else []


def _arm(arm: Any) -> dict[str, Any]:
    from mlship.rollout.scene import milliseconds

    quantiles = {f"p{round(100 * share)}_ms": milliseconds(arm, share) for share in (0.5, 0.99)}
    finite = {name: value if value is not None and value != float("inf") else None for name, value in quantiles.items()}
    return {"requests": arm.requests, "errors": arm.errors, "timeouts": arm.timeouts, "refused": arm.refused, **finite}


def _line(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, allow_nan=False) + "\n")
    sys.stdout.flush()


def _damage(lines: int) -> str:
    if not lines:
        return ""
    return f"{lines:,} line{'' if lines == 1 else 's'} of the journal cannot be read, and {_passed(lines)} passed over"


def _passed(lines: int) -> str:
    return "was" if lines == 1 else "were"


def _plan(home: Home, model: str) -> Plan:
    """The plan of the latest rollout. Raises ``StateError`` when it is damaged, or of another version of mlship."""
    from mlship.rollout import handle

    try:
        return handle.latest_plan(home, model)
    except MlshipError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise StateError(
            f"the plan of the rollout cannot be read ({type(error).__name__}: {error})",
            where=str(home.rollouts(model)),
            hint="watch with the version of mlship that wrote it",
        ) from error


def _only(home: Home) -> str:
    """The model to watch when none is named: the only one with a rollout under way, else the only one with any.

    Raises ``UsageError`` when there is no such one.
    """
    from mlship.rollout import lines, views

    models = lines.models(home)
    found = {name: views.latest(home, name) for name in models}
    open_ = [name for name, view in found.items() if view is not None and view.phase != "done"]
    if len(open_) == 1 or (not open_ and len(models) == 1):
        return (open_ or list(models))[0]
    if not models:
        raise UsageError(
            "there is no rollout to watch",
            where=str(home.path),
            hint="`mlship rollout POLICY` begins one; --home or MLSHIP_HOME names another state directory",
        )
    which = f"{len(open_)} rollouts are under way" if open_ else f"{len(models)} models have had a rollout"
    raise UsageError(f"{which}: {', '.join(open_ or models)}", hint=f"mlship watch {(open_ or models)[0]}")


def _seconds(timeout: str | None) -> float | None:
    if timeout is None:
        return None
    try:
        return parse_duration(timeout)
    except ValueError as error:
        raise UsageError(str(error), where="--timeout") from None
