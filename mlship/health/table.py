"""The table of checks: what is looked at, in the order in which it is told."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlship.health import look, look_registry, machine, services
from mlship.health.aside import Check
from mlship.health.needs import Needs
from mlship.health.verdict import Finding, Need
from mlship.home import Home

#: What each extra is for.
EXTRAS = {
    "local": "the local engine, and `mlship latency`",
    "image": "`mlship build`",
    "docker": "`engine: docker`",
    "notify": "messages to chats, mail and pagers",
    "otel": "traces of the model server",
    "demo": "`mlship demo`",
    "audit": "known vulnerabilities of a model's packages",
}


def checks(
    needs: Needs,
    home: Home,
    here: Path,
    *,
    named: dict[str, bool],
    policy: str,
    describe: Callable[[str], dict[str, Any]],
) -> list[Check]:
    """All of them.

    Parameters
    ----------
    named
        Environment variables that the policy names, and whether each has a default.
    describe
        What `mlship status` knows of a model.
    """

    def extras() -> list[Finding]:
        found = look.extras()
        asked = needs.extras
        return [
            machine.extra(name, what, asked.get(name, Need.MAYBE), found.get(name, {})) for name, what in EXTRAS.items()
        ]

    def clock() -> list[Finding]:
        return machine.clock(time.time(), look.ledger(home)[4], time.strftime("%Z"), look.unknown_zones(needs.zones))

    def ledger() -> Finding:
        entries, damage, torn, fault, _ = look.ledger(home)
        return machine.ledger(entries, damage, torn, fault, str(home.ledger))

    def endpoint() -> Finding:
        if not needs.listen:
            return services.port("", "", "", ours=False, need=needs.engine)
        fault, holder, ours = look.port(needs.listen, home, needs.model)
        return services.port(needs.listen, fault, holder, ours=ours, need=needs.engine)

    def stale() -> list[Finding]:
        return [one for model in look.models(home) for one in services.running(describe(model), policy)]

    yes = Need.YES
    return [
        Check("machine", "python", yes, lambda: machine.python(*look.python()), "uv venv --python 3.11"),
        Check(
            "machine",
            "platform",
            needs.engine,
            lambda: machine.platform(platform.system(), platform.machine(), needs.engine),
            "uname -a",
        ),
        Check(
            "machine", "cpu and memory", Need.MAYBE, lambda: machine.processors(look.cpus(), look.memory()), "free -h"
        ),
        Check("machine", "clock", Need.MAYBE, clock, "timedatectl"),
        Check("packages", "extras", Need.MAYBE, extras, "pip check"),
        Check("packages", "git", Need.MAYBE, lambda: services.git(*look.git(here)), "git --version"),
        Check("state", "directory", yes, lambda: machine.disk(look.disk(home)), f"df -h {home.path.parent}"),
        Check("state", "ledger", yes, ledger, f"ls -l {home.ledger}"),
        Check("policy", "variables", yes, lambda: services.secrets(named, os.environ), "env"),
        Check(
            "registry",
            "mlflow",
            yes,
            lambda: services.registry(look_registry.registry(needs.registry, home)),
            'curl -sS --max-time 5 "$MLFLOW_TRACKING_URI/health"',
        ),
        Check("network", "proxies", Need.MAYBE, lambda: machine.proxies(*look.proxies(needs.registry, home)), "env"),
        Check(
            "engine",
            "envoy",
            needs.engine,
            lambda: services.envoy(*look.envoy(), needs.engine),
            "pip install 'mlship[local]'",
        ),
        Check("engine", "endpoint", needs.engine, endpoint, "ss -ltn"),
        Check(
            "docker",
            "engine",
            needs.docker,
            lambda: services.docker(look.docker(needs.base), needs.docker),
            "docker info",
        ),
        Check("running", "models", Need.MAYBE, stale, "mlship status"),
    ]
