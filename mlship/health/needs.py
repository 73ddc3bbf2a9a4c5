"""What a policy needs of the machine that it runs on. Pure."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlship.health.verdict import Need

if TYPE_CHECKING:
    from mlship.policy.schema import Policy

#: `${NAME}` and `${NAME:-default}`; `$${` is no reference.
_REFERENCE = re.compile(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)(:-[^}]*)?\}")


@dataclass(frozen=True, slots=True)
class Needs:
    """Needs of a policy, or of nobody in particular."""

    model: str | None = None
    registry: str | None = None
    """`registry.uri`, as the environment has it."""
    extras: dict[str, Need] = field(default_factory=dict)
    engine: Need = Need.MAYBE
    """Envoy and servers as processes here."""
    docker: Need = Need.MAYBE
    base: str = ""
    """The image that is built on."""
    listen: str = ""
    """The endpoint's address, where the local engine opens it here."""
    zones: tuple[str, ...] = ()
    """Time zones of freeze windows."""


def needs(policy: Policy | None) -> Needs:
    """What is needed, what may be, and what is not."""
    base = f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
    if policy is None:
        maybe = dict.fromkeys(("local", "image", "docker", "notify", "otel", "demo", "audit"), Need.MAYBE)
        return Needs(extras=maybe, base=base)
    rollout = policy.rollout
    containers = rollout is not None and rollout.engine == "docker"
    images = containers or policy.image is not None
    local = rollout is not None and not containers
    wanted = {
        "local": local or policy.gates.latency is not None,
        "image": images,
        "docker": containers,
        "notify": bool(policy.notify),
        "otel": False,
        "demo": False,
        "audit": policy.gates.security is not None and policy.gates.security.requirements.vulnerable == "fail",
    }
    windows = rollout.freeze if rollout is not None else ()
    return Needs(
        model=policy.model,
        registry=policy.registry.uri,
        extras={name: Need.YES if asked else Need.NO for name, asked in wanted.items()},
        engine=Need.YES if local else Need.NO,
        docker=Need.YES if images else Need.NO,
        base=(policy.image.base if policy.image else None) or base,
        listen=policy.endpoint.listen if local else "",
        zones=tuple(dict.fromkeys(text.split()[-1] for text in windows if "/" in text.split()[-1])),
    )


def references(text: str) -> dict[str, bool]:
    """Environment variables that a policy names outside of comments, and whether each has a default."""
    found: dict[str, bool] = {}
    for line in text.splitlines():
        code = re.sub(r"(^|\s)#.*", "", line)
        for name, default in _REFERENCE.findall(code):
            found[name] = found.get(name, True) and bool(default)
    return found
