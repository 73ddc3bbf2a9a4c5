"""How the model servers of one policy run: what becomes of the `serving` section on a server's command line."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from mlship.engines.front import Front

if TYPE_CHECKING:  # pydantic is not needed to read them back
    from mlship.policy.schema import Policy


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What every server of a policy is started with."""

    workers: int = 1
    cpus: float | None = None
    """CPUs that a container may use."""
    memory: int | None = None
    """Bytes that a container may use."""
    max_queue: int = 1000
    max_body: int = 32 * 10**6
    timeout: float = 5.0
    """Seconds that a request may take, waiting included."""
    label_tolerance: float | None = None
    """Numeric predictions: a label further away than this is an error."""
    policy_digest: str = ""
    log_sample: float = 0.0
    """Share of requests in the prediction log; 0: no log."""
    log_size: int = 100 * 10**6
    log_features: bool = True
    redact: tuple[str, ...] = ()

    def arguments(self) -> list[str]:
        """Arguments of `python -m mlship.serving`; what is not said has the server's default, which is the same."""
        said: dict[str, str] = {
            "--workers": str(self.workers),
            "--max-queue": str(self.max_queue),
            "--max-body": str(self.max_body),
            "--timeout": repr(self.timeout),
        }
        if self.label_tolerance is not None:
            said["--label-tolerance"] = repr(self.label_tolerance)
        if self.policy_digest:
            said["--policy-digest"] = self.policy_digest
        if self.log_sample:
            said |= {"--log-sample": repr(self.log_sample), "--log-size": str(self.log_size)}
        argv = [word for pair in said.items() for word in pair]
        if self.log_sample and not self.log_features:
            argv.append("--log-no-features")
        return argv + [word for name in self.redact for word in ("--redact", name)] if self.log_sample else argv

    def to_json(self) -> dict[str, Any]:
        """A document that `from_json` reads back as the same value."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> ServerOptions:
        """Options as `to_json` wrote them."""
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in document.items() if name in known}
        values["redact"] = tuple(values.get("redact", ()))
        return cls(**values)


def options(policy: Policy, policy_digest: str) -> ServerOptions:
    """The options of a policy's servers."""
    serving, endpoint, rollout = policy.serving, policy.endpoint, policy.rollout
    labels = rollout.guard.labels if rollout else None
    log = serving.log
    return ServerOptions(
        workers=serving.workers,
        cpus=serving.cpus,
        memory=serving.memory,
        max_queue=serving.max_queue,
        max_body=endpoint.max_body,
        timeout=endpoint.timeout,
        label_tolerance=labels.tolerance if labels else None,
        policy_digest=policy_digest,
        log_sample=log.sample if log else 0.0,
        log_size=log.max_size if log else ServerOptions().log_size,
        log_features=log.features if log else True,
        redact=log.redact if log else (),
    )


def router_image(policy: Policy) -> str:
    """The router's image that a policy names; empty when it is built."""
    return (policy.image.router if policy.image else None) or ""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a policy says about serving. An engine that is found again, to look at it or to end it, needs none."""

    front: Front
    servers: ServerOptions = ServerOptions()
    router: str = ""
    """Image of the router, for engines that run one; empty: it is built."""

    def to_json(self) -> dict[str, Any]:
        """A document that `from_json` reads back as the same value."""
        return {"front": self.front.to_json(), "servers": self.servers.to_json(), "router": self.router}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Setup:
        """A setup as `to_json` wrote it."""
        front, servers = Front.from_json(document["front"]), ServerOptions.from_json(document["servers"])
        return cls(front, servers, document.get("router", ""))
