"""`mlship status`: what runs here, read from the world and not from memory. Loads neither MLflow nor pandas."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlship.cli.common import AnyModelArgument, context, leave
from mlship.cli.known import must_know
from mlship.cli.telling import Format, FormatOption, ReportsOption, Told, destinations, tell
from mlship.errors import Exit, MlshipError, UsageError
from mlship.home import Home
from mlship.rollout import journal, lock, warm
from mlship.rollout.pulse import Pulse, sentence
from mlship.rollout.words import became

if TYPE_CHECKING:
    from mlship.engines.base import Engine
    from mlship.report.checklist import Checklist
    from mlship.rollout.views import RolloutView
    from mlship.types import Routes, Server


#: What does not happen while a program does not run.
_MISSED = {
    "guardian": "nobody gives traffic back when a controller dies",
    "fallback": "callers get an error where they would get its answer",
}


def status(
    ctx: typer.Context,
    model: AnyModelArgument = None,
    *,
    every: Annotated[
        bool,
        typer.Option("--all", help="Every model of the registry that has a policy, serves here, or is a champion."),
    ] = False,
    policies: Annotated[
        list[str] | None,
        typer.Option(
            help="With --all: policies, as a file, a directory or a glob; repeatable. Default: those below this "
            "directory, and those that rollouts ran by.",
            metavar="PATH",
        ),
    ] = None,
    registry: Annotated[
        str | None,
        typer.Option(
            help="With --all: the registry where a policy names none; default: MLFLOW_TRACKING_URI, else the embedded "
            "one.",
            metavar="URI",
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="With --all: end with 1 when an incident is open, or anything is overdue."),
    ] = False,
    fmt: FormatOption = Format.TEXT,
    report: ReportsOption = None,
) -> None:
    """Show what runs: endpoint, versions, weights, servers, and the rollout under way.

    Exits with 3 when something of it could not be read: an engine out of reach, a router that is dead, a damaged file;
    with 2 for a model that nothing here knows.

    With --all, one row for every model: champion and its age, owner, review date, drift, the last verdict, open
    incidents, and what is overdue and whose it is; and orphans, where model, policy or registry lack one another.
    A registry that is away hides nothing that is known here; then it ends with 3.

    \b
    Examples:
      mlship status
      mlship status flight-delay --format json
      mlship status --all
      mlship status --all --report html=models.html --format markdown
      mlship status --all --policies "*.yaml" --format json
    """
    home = context(ctx).home
    if every:
        from mlship.cli.status_all import status_all

        if model is not None:
            raise UsageError("--all is of every model, and one is named", hint="leave one of them out")
        status_all(home, tuple(policies or ()), registry, strict=strict, fmt=fmt, files=destinations(report))
    if given := [n for n, v in (("--policies", policies), ("--registry", registry), ("--strict", strict)) if v]:
        raise UsageError(f"{' and '.join(given)}: only with --all", hint=f"mlship status --all {given[0]} ...")
    files = destinations(report, page=False)

    from mlship.engines import table  # `status --help` need not wait for the engines

    models = table.running(home) if model is None else [model]
    documents = [describe(home, name) for name in models]
    if model is not None and not _found(documents[0]):
        must_know(home, model)
    tell(_told(documents, f"nothing runs here: no engine in {home.path}"), fmt, files)
    leave(Exit.UNREACHABLE if any(document["fault"] for document in documents) else Exit.PASSED)


def _told(documents: list[dict[str, Any]], nothing: str) -> Told:
    def markdown() -> str:
        from mlship.cli.status_views import markdown

        return markdown(documents, nothing, _traffic)

    def checklist() -> Checklist:
        from mlship.cli.status_views import checklist

        return checklist(documents, nothing, _traffic)

    lines = [line for document in documents for line in _lines(document)] or [nothing]
    return Told(
        lambda: "\n".join(lines),
        lambda: {"models": documents},
        markdown,
        checklist,
    )


def describe(home: Home, model: str) -> dict[str, Any]:
    """Everything that is known of one model now; what could not be read is named under `fault`."""
    from mlship.engines import table

    document: dict[str, Any] = {
        "model": model,
        "endpoint": None,
        "stable": None,
        "canary": None,
        "weight": 0.0,
        "mirror": 0.0,
        "testers": None,
        "servers": [],
        "programs": {},
        "rollout": None,
        "lease": None,
        "driver": None,
        "fault": None,
    }
    faults, pulse = [], Pulse(lock.holder(home.rollouts(model)))
    try:
        if model in table.running(home):
            engine = table.found(home, model)
            document["endpoint"] = engine.address
            fault, pulse = _serving(home, model, engine, document, pulse)
            faults += [fault] if fault else []
    except MlshipError as error:
        faults.append(str(error))
        pulse = replace(pulse, unreachable=error.what)
    try:
        view = journal.latest(home, model)
        if view is not None and view.phase != "done":
            running = view.running or pulse.elsewhere
            document["rollout"] = asdict(view) | {"running": running}
            document["driver"] = _driver(view, pulse)
    except MlshipError as error:
        faults.append(str(error))
    document["fault"] = "\n".join(faults) or None
    return document


def _serving(home: Home, model: str, engine: Engine, document: dict[str, Any], pulse: Pulse) -> tuple[str, Pulse]:
    """Fill in what serves; what is wrong with the router, and the controller's signs of life."""
    servers, programs = engine.servers(), engine.programs()
    document["programs"] = programs
    document["servers"] = _rows(home, model, servers, None)
    routes = engine.routes()
    document["servers"] = _rows(home, model, servers, routes)
    lease = engine.lease()
    pulse = replace(pulse, lease=lease)
    if lease is not None:
        document["lease"] = asdict(lease) | {"left": pulse.left}
    if routes is None:
        return ("" if programs.get("router", True) else "the router does not run: no request is served"), pulse
    versions = {role: servers[name].version for name, role in _roles(routes).items() if name in servers}
    document |= {
        "stable": versions.get("stable"),
        "canary": versions.get("canary"),
        "weight": routes.weight,
        "mirror": routes.mirror,
        "testers": list(routes.testers) if routes.testers else None,
    }
    return "", pulse


def _roles(routes: Routes | None) -> dict[str, str]:
    if routes is None:
        return {}
    return {routes.stable: "stable", **({routes.canary: "canary"} if routes.canary else {})}


def _rows(home: Home, model: str, servers: dict[str, Server], routes: Routes | None) -> list[dict[str, Any]]:
    roles, kept = _roles(routes), warm.listed(home.rollouts(model))
    return [
        {
            "name": name,
            "version": server.version,
            "digest": server.digest,
            "role": roles.get(name) or ("warm" if name in kept else None),
            "state": server.state.value,
            "pid": server.pid,
            "detail": server.detail,
            "warm_until": kept.get(name),
        }
        for name, server in servers.items()
    ]


def _driver(view: RolloutView, pulse: Pulse) -> str:
    """Who drives the rollout, or what happens since nobody does."""
    return sentence(
        pulse,
        model=view.model,
        policy=view.policy_path,
        silent=max(0.0, time.time() - view.at),
        exposed=view.phase in ("stepping", "paused", "promoting"),
    )


def _found(document: dict[str, Any]) -> bool:
    """Anything runs, or should."""
    return document["endpoint"] is not None or document["rollout"] is not None or bool(document["fault"])


def _lines(document: dict[str, Any]) -> list[str]:
    if not _found(document):
        return [f"{document['model']}: nothing runs"]
    lines = [f"{document['model']}  {document['endpoint'] or ''}".rstrip()]
    if document["fault"]:
        lines += [f"  {line}" for line in document["fault"].splitlines()]
    else:
        lines.append(f"  {_traffic(document)}")
    for row in document["servers"]:
        lines.append(f"  {row['name']:<16} {row['role'] or '-':<7} {row['state']}")
        lines += [f"      {line.strip()}" for line in row["detail"].splitlines()]
    lines += [
        f"  the {name} does not run: {_MISSED[name]}"
        for name, runs in document["programs"].items()
        if not runs and name != "router"
    ]
    if view := document["rollout"]:
        lines.append(f"  rollout of version {view['candidate_version']}: {_place(view)}")
        lines += [f"      {text}" for text in (_said(view), view["damage"], document["driver"]) if text]
    elif lease := document["lease"]:
        lines += _expired(lease)
    return lines


def _place(view: dict[str, Any]) -> str:
    """Where a rollout stands: phase, step, and what the canary gets at it."""
    phase = str(view["phase"]).replace("_", " ")
    if view["phase"] not in ("stepping", "paused"):
        return phase
    what = {"approve": "waiting for approval", "pause": "a pause"}.get(view["kind"], "")
    traffic = view["traffic"] or f"{100 * view['weight']:.4g} %"
    step = f"step {view['step'] + 1} of {view['steps']}"
    return ", ".join(filter(None, ["paused" if view["phase"] == "paused" else "", step, what, traffic]))


def _said(view: dict[str, Any]) -> str:
    """The sentence of the moment; of a pause that a controller waits in, what ends it."""
    if view["phase"] != "paused":
        return str(view["reason"])
    told = became("paused", view["reason"])
    waits = view["running"] and view["outcome"] is None
    return f"{told}; `mlship resume {view['model']}` goes on" if waits else told


def _expired(lease: dict[str, Any]) -> list[str]:
    """What the guardian has done, where no rollout tells it."""
    if lease["expired_at"] is None:
        return []
    when = time.strftime("%a %H:%M:%S", time.localtime(lease["expired_at"]))
    return [f"  the last lease ran out ({when}): the guardian has seen to it that stable has all traffic"]


def _traffic(document: dict[str, Any]) -> str:
    if document["stable"] is None:
        return "no traffic is routed"
    if document["canary"] is None:
        return f"version {document['stable']} has all traffic"
    if document["mirror"]:
        copies = f"{100 * document['mirror']:.4g}%"
        return f"version {document['stable']} has all traffic, canary {document['canary']} a copy of {copies} of it"
    share = 100 * document["weight"]
    if document["testers"] and not share:
        header, value = document["testers"]
        chosen = f"canary {document['canary']} what carries {header}: {value}"
        return f"version {document['stable']} has all traffic, {chosen}"
    stable, canary = f"{100 - share:.4g}%", f"{share:.4g}%"
    return f"version {document['stable']} has {stable} of the traffic, canary {document['canary']} has {canary}"
