"""`mlship status`: what runs here, read from the world and not from memory. Loads neither MLflow nor pandas."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from mlship.cli.common import Format, FormatOption, context, emit_json, out
from mlship.engines import table
from mlship.errors import MlshipError
from mlship.home import Home
from mlship.rollout import journal, warm


def status(
    ctx: typer.Context,
    model: Annotated[
        str | None, typer.Argument(help="Only this registered model.", metavar="MODEL", show_default=False)
    ] = None,
    fmt: FormatOption = Format.TEXT,
) -> None:
    """Show what runs: endpoint, versions, weights, servers, and the rollout under way."""
    home = context(ctx).home
    models = table.running(home) if model is None else [model]
    documents = [describe(home, name) for name in models]
    if fmt is Format.JSON:
        emit_json({"models": documents})
    elif not documents:
        out().print(f"nothing runs here: no engine in {home.path}", markup=False)
    else:
        for document in documents:
            out().print("\n".join(_lines(document)), markup=False)


def describe(home: Home, model: str) -> dict[str, Any]:
    """Everything that is known of one model now; what could not be read is named under `fault`."""
    document: dict[str, Any] = {
        "model": model,
        "endpoint": None,
        "stable": None,
        "canary": None,
        "weight": 0.0,
        "servers": [],
        "rollout": None,
        "fault": None,
    }
    try:
        if model in table.running(home):
            document |= _serving(home, model)
        view = journal.latest(home, model)
        document["rollout"] = None if view is None or view.phase == "done" else asdict(view)
    except MlshipError as error:
        document["fault"] = str(error)
    return document


def _serving(home: Home, model: str) -> dict[str, Any]:
    engine = table.found(home, model)
    servers, routes = engine.servers(), engine.routes()
    kept = warm.listed(home.rollouts(model))
    roles = {routes.stable: "stable", **({routes.canary: "canary"} if routes.canary else {})} if routes else {}
    rows = [
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
    versions = {role: servers[name].version for name, role in roles.items() if name in servers}
    return {
        "endpoint": engine.address,
        "stable": versions.get("stable"),
        "canary": versions.get("canary"),
        "weight": routes.weight if routes else 0.0,
        "servers": rows,
    }


def _lines(document: dict[str, Any]) -> list[str]:
    if document["fault"]:
        return [document["model"], f"  {document['fault']}"]
    if document["endpoint"] is None and document["rollout"] is None:
        return [f"{document['model']}: nothing runs"]
    lines = [f"{document['model']}  {document['endpoint'] or ''}".rstrip(), f"  {_traffic(document)}"]
    for row in document["servers"]:
        lines.append(f"  {row['name']:<16} {row['role'] or '-':<7} {row['state']}")
        lines += [f"      {line.strip()}" for line in row["detail"].splitlines()]
    if view := document["rollout"]:
        place = f"step {view['step'] + 1} of {view['steps']}" if view["phase"] == "stepping" else view["phase"]
        alive = "" if view["running"] else " (no controller runs; `mlship rollout POLICY` carries on)"
        lines.append(f"  rollout of version {view['candidate_version']}: {place}{alive}")
        lines += [f"      {view['reason']}"] if view["reason"] else []
    return lines


def _traffic(document: dict[str, Any]) -> str:
    if document["stable"] is None:
        return "no traffic is routed"
    if document["canary"] is None:
        return f"version {document['stable']} has all traffic"
    share = 100 * document["weight"]
    stable, canary = f"{100 - share:.4g}%", f"{share:.4g}%"
    return f"version {document['stable']} has {stable} of the traffic, canary {document['canary']} has {canary}"
