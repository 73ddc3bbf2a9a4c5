"""`mlship drill`: takes the model away for a moment, and proves that callers get what the policy promises."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlship.cli.common import PolicyArgument, context, err, leave, steps
from mlship.cli.telling import Format, FormatOption, PagelessReportsOption, Told, destinations, tell
from mlship.drill.judge import Arm
from mlship.errors import Exit, UsageError
from mlship.types import Fault, LedgerEntry, Status

if TYPE_CHECKING:
    from mlship.drill.callers import Endpoint
    from mlship.drill.run import Exercise, Result
    from mlship.engines.base import Engine
    from mlship.engines.front import Front
    from mlship.home import Home
    from mlship.policy.load import LoadedPolicy

_EXITS = {Status.PASSED: Exit.PASSED, Status.FAILED: Exit.GATE_FAILED}
#: The longest that a server is made to hang, in seconds.
LONGEST = 300.0


def drill(
    ctx: typer.Context,
    policy: PolicyArgument,
    *,
    arm: Annotated[Arm, typer.Option(help="Whose servers are taken away.")] = Arm.ALL,
    how: Annotated[
        Fault, typer.Option(help="kill: it dies, and is started again by itself; hang: it stops answering for a while.")
    ] = Fault.KILL,
    seconds: Annotated[
        str | None,
        typer.Option(
            "--for", metavar="DURATION", help="How long it hangs; default: twice the timeout and a second more."
        ),
    ] = None,
    rate: Annotated[str, typer.Option(help="Requests that the drill sends a second.", metavar="RATE")] = "20/s",
    token_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The environment variable with a token, where callers need one."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where nobody can answer.")] = False,
    fmt: FormatOption = Format.TEXT,
    report: PagelessReportsOption = None,
) -> None:
    """Take the model away for a moment, and see what callers get.

    This touches live traffic. Whatever becomes of the command, the servers come back by themselves.

    Ends with 0 when callers got what the policy promises, 1 when they did not, 4 when too few called to tell.

    \b
    Examples:
      mlship drill mlship.yaml --yes
      mlship drill mlship.yaml --yes --how hang --report junit=drill.xml
    """
    from mlship.drill.run import Exercise, targets
    from mlship.engines import table
    from mlship.engines.front import front
    from mlship.policy.load import load_policy

    files = destinations(report, page=False)
    loaded, home = load_policy(policy), context(ctx).home
    resolved = front(loaded.policy.endpoint, loaded.resolve)
    exercise = Exercise(
        arm=arm,
        fault=how,
        seconds=_seconds(seconds, resolved.timeout),
        fallback=resolved.fallback,
        rate=_rate(rate),
    )
    _no_rollout(home, loaded.policy.model, arm)
    engine = table.found(home, loaded.policy.model)
    _, versions = targets(engine, arm)
    _confirm(loaded.policy.model, engine, exercise, versions, yes=yes)
    result = run(loaded, home, engine, exercise, _endpoint(loaded, engine, resolved, token_env))
    code = _EXITS.get(result.verdict.status, Exit.INCONCLUSIVE)
    tell(_told(str(policy), loaded.policy.model, exercise, result, code), fmt, files)
    leave(code)


def run(loaded: LoadedPolicy, home: Home, engine: Engine, exercise: Exercise, endpoint: Endpoint) -> Result:
    """Drill, and write down what came of it: also that it was interrupted, for servers were away all the same."""
    from mlship.drill.bodies import bodies
    from mlship.drill.run import drill as take_away
    from mlship.ledger import Ledger, who

    told: list[str] = []

    def say(text: str) -> None:
        told.append(text)
        steps().print(text, markup=False)

    def note(reason: str, status: str) -> None:
        evidence = {"status": status, "policy": loaded.digest, "fault": str(exercise.fault), "arm": str(exercise.arm)}
        entry = LedgerEntry(time.time(), who(), "drilled", loaded.policy.model, None, None, reason, evidence)
        Ledger(home.ledger).append(entry)

    routes = engine.routes()
    assert routes is not None, "the targets were found by them"
    asked = bodies(loaded, home, engine.servers()[routes.stable], say)
    touched = False

    def watch(text: str) -> None:
        nonlocal touched
        touched = touched or text.startswith(("killing", "hanging"))
        say(text)

    try:
        result = take_away(engine, exercise, endpoint, asked, watch)
    except BaseException as error:
        if touched:
            note(f"ended by {type(error).__name__}; the servers come back by themselves", "interrupted")
            say("the servers come back by themselves; `mlship status` shows when")
        raise
    note(result.verdict.reason, str(result.verdict.status))
    return result


def _told(policy: str, model: str, exercise: Exercise, result: Result, code: int) -> Told:
    from mlship.cli import drill_views as views

    found = document(model, exercise, result, code)
    return Told(
        lambda: "\n".join(lines(model, exercise, result)),
        lambda: found,
        lambda: views.markdown(found, result.verdict.status),
        lambda: views.checklist(found, result.verdict.status, policy),
    )


def document(model: str, exercise: Exercise, result: Result, code: int) -> dict[str, Any]:
    """The result as JSON says it."""
    from mlship.drill.judge import summarize

    seen = result.seen
    phases = {name: asdict(summarize(getattr(seen, name))) for name in ("before", "during", "after")}
    return {
        "model": model,
        "verdict": str(result.verdict.status),
        "exit_code": int(code),
        "reason": result.verdict.reason,
        "promise": result.told.text,
        "fallback": exercise.fallback,
        "arm": str(exercise.arm),
        "fault": str(exercise.fault),
        "servers": result.servers,
        "hit": seen.hit,
        "recovered_seconds": None if seen.recovered is None else round(seen.recovered, 2),
        "phases": phases,
        "jobs": {"kept": seen.jobs, "answered": seen.jobs_answered},
        "as_before": seen.same,
    }


def lines(model: str, exercise: Exercise, result: Result) -> list[str]:
    """The result for a person."""
    from mlship.drill.judge import summarize

    done = "was killed" if exercise.fault is Fault.KILL else f"hung for {exercise.seconds:g} s"
    back = "not back in time" if result.seen.recovered is None else f"back after {result.seen.recovered:.1f} s"
    versions = " and ".join(f"version {version}" for version in result.servers.values())
    told = [
        f"{model}: drill {result.verdict.status}: {result.verdict.reason}",
        f"  promised: {result.told.text} (fallback: {exercise.fallback})",
        f"  {versions} {done}, {back}",
        f"  {'':<8}{'requests':>9}{'failed':>8}{'p50':>10}{'slowest':>10}  answered by",
    ]
    for name in ("before", "during", "after"):
        one = summarize(getattr(result.seen, name))
        who = ", ".join(f"{by} {count}" for by, count in one.by.items()) or "-"
        told.append(f"  {name:<8}{one.requests:>9}{one.failed:>8}{_ms(one.p50_ms):>10}{_ms(one.slowest_ms):>10}  {who}")
    if result.seen.jobs:
        told.append(f"  jobs: {result.seen.jobs_answered} of {result.seen.jobs} answered")
    if result.verdict.status is Status.FAILED:
        told.append("  next: `mlship endpoint POLICY` applies the policy's fallback; logs are beside the engine")
    return told


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _confirm(model: str, engine: Engine, exercise: Exercise, versions: dict[str, str], *, yes: bool) -> None:
    """Ask the person at the terminal; where there is none, `--yes` must have said it."""
    from mlship.drill.judge import promise

    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "a drill touches live traffic, and nobody is there to be asked",
            where=model,
            hint="`mlship drill POLICY --yes` where that is wanted",
        )
    routes = engine.routes()
    told = promise(exercise.fallback, exercise.arm, canary=routes is not None and routes.canary is not None)
    verb = "Kill" if exercise.fault is Fault.KILL else f"Hang for {exercise.seconds:g} s"
    servers = " and ".join(f"version {version}" for version in versions.values())
    err().print(f"{verb} {servers} of {model} at {engine.address}, under live traffic: {told.text}.", markup=False)
    if not typer.confirm("Go on?", err=True):
        raise UsageError("not confirmed; nothing was done", where=model)


def _no_rollout(home: Home, model: str, arm: Arm) -> None:
    """A rollout under way would hold the outage against its candidate, which only the canary's own drill can mean."""
    from mlship.rollout import journal

    view = journal.latest(home, model)
    if view is not None and view.phase != "done" and arm is not Arm.CANARY:
        raise UsageError(
            f"a rollout of version {view.candidate_version} is under way, and would judge it by what the drill breaks",
            where=model,
            hint="wait for its end; or drill its canary alone, which may end it: --arm canary",
        )


def _endpoint(loaded: LoadedPolicy, engine: Engine, front: Front, token_env: str | None) -> Endpoint:
    """Where callers reach the model, with a credential of the policy's."""
    from mlship.drill.callers import Endpoint
    from mlship.policy.lint_endpoint import split_keys
    from mlship.policy.references_endpoint import split_lines

    auth, headers = loaded.policy.endpoint.auth, dict[str, str]()
    if token_env is not None:
        if not os.environ.get(token_env):
            raise UsageError(f"the environment has no {token_env}", where="--token-env")
        headers["authorization"] = f"Bearer {os.environ[token_env]}"
    elif auth is not None and auth.api_keys is not None:
        headers[auth.header] = split_keys(auth.api_keys)[0]
    elif auth is not None and auth.api_keys_file is not None:
        headers[auth.header] = split_lines(loaded.resolve(auth.api_keys_file).read_text())[0]
    url = engine.address.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    return Endpoint(url, front.timeout, headers, front.certificate)


def _seconds(text: str | None, timeout: float) -> float:
    from mlship.policy.units import UnitError, parse_duration

    if text is None:
        return min(LONGEST, 2 * timeout + 1)
    try:
        seconds = parse_duration(text)
    except UnitError as error:
        raise UsageError(f"--for: {error.what}", hint=error.hint) from None
    if not 0 < seconds <= LONGEST:
        raise UsageError(f"--for {text} is not between 0 and {LONGEST:g} s")
    return seconds


def _rate(text: str) -> float:
    from mlship.policy.units import UnitError, parse_rate

    try:
        rate = parse_rate(text)
    except UnitError as error:
        raise UsageError(f"--rate: {error.what}", hint=error.hint) from None
    if not 1 <= rate <= 500:
        raise UsageError(f"--rate {text} is not between 1/s and 500/s")
    return rate
