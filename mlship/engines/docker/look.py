"""What is said of servers: by the engine about their containers, and by themselves when the router's agent asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlship.engines import said
from mlship.engines.docker import world
from mlship.engines.docker.hands import Hands, NoRouter
from mlship.engines.docker.names import PORT, Container
from mlship.engines.said import Said
from mlship.types import Fault, Server, ServerState

if TYPE_CHECKING:
    from docker import DockerClient

#: Seconds that a server may take to say whether it is ready, or what it has counted, to the last byte.
PING_SECONDS = 0.5
#: Seconds after its making within which a server that had to begin again has never come up.
_YOUNG = 60
#: How often it had to. Each time the engine waits twice as long; once or twice may have been an accident.
_RESTARTS = 3


def ready(hands: Hands | None, servers: Iterable[Container]) -> dict[str, bool]:
    """Which servers answer `/ping` with 200; none where there is no router that could ask."""
    bounds = (PING_SECONDS, said.most("/ping"))
    return {name: answer is not None for name, answer in asked(hands, servers, "/ping", bounds).items()}


def told(hands: Hands | None, servers: Iterable[Container], path: str) -> dict[str, Said]:
    """What each server says it has counted, by cluster; without those that do not; `path` as of ``said.path``."""
    every = list(servers)
    found: dict[str, Said] = {}
    answers = asked(hands, every, path, (PING_SECONDS, said.most(path)))
    for one in every:
        if (body := answers[one.name]) is not None and (now := said.read(body.encode("latin-1"))) is not None:
            found[one.cluster] = now
    return found


def asked(
    hands: Hands | None, servers: Iterable[Container], path: str, bounds: tuple[float, int]
) -> dict[str, str | None]:
    """What each server answers with 200 (latin-1), by name; None where it does not.

    Parameters
    ----------
    bounds
        Seconds that an answer may take, to the last byte, and bytes that it may have.
    """
    every = list(servers)
    found: dict[str, str | None] = dict.fromkeys(one.name for one in every)
    running = [one for one in every if one.state == "running"]
    if hands is None or not running:
        return found
    try:
        answers = hands.get_all([(one.address, PORT, (path,)) for one in running], *bounds)
    except NoRouter:
        return found
    for one, answer in zip(running, answers, strict=True):
        if not isinstance(answer, str) and answer[0][0] == 200:
            found[one.name] = answer[0][1]
    return found


def server(client: DockerClient, one: Container, *, ready: bool) -> Server:
    """What a server is doing, and why it failed with the last lines of its log."""
    kind, detail = ServerState.READY, ""
    if not ready:
        inspected = world.inspect(client, one)
        again = int(inspected.get("RestartCount", 0)) if is_new(inspected) else 0
        if one.state in ("restarting", "dead"):
            kind, detail = ServerState.FAILED, f"it {cause(inspected)}:\n" + world.tail(client, one)
        elif one.state == "running" and again >= _RESTARTS:
            kind, detail = ServerState.FAILED, f"it does not come up (try {again + 1}):\n" + world.tail(client, one)
        elif one.state == "running":
            kind, detail = ServerState.STARTING, "it runs, but does not answer"
        else:
            kind, detail = ServerState.STOPPED, f"its container is {one.state}"
    return Server(one.name, one.version, one.digest, kind, detail)


def is_new(inspected: Mapping[str, Any]) -> bool:
    """Whether this run of a container began shortly after the container was made."""
    try:
        made, began = (_time(text) for text in (inspected["Created"], inspected["State"]["StartedAt"]))
    except (KeyError, ValueError):
        return True
    return (began - made).total_seconds() < _YOUNG


def is_over(inspected: Mapping[str, Any]) -> bool:
    """Whether a container has ended for good, by its own record: a list of containers may be a moment old.

    One that is about to begin again is told by its count of restarts.
    """
    return inspected.get("State", {}).get("Status") not in ("created", "running", "restarting")


def cause(inspected: Mapping[str, Any]) -> str:
    """How a container's last run ended; one that runs again has no exit code any more."""
    state = inspected.get("State", {})
    if not inspected:
        return "was removed"
    if state.get("Running") and not state.get("Restarting"):
        return f"ended, and began again (restart {inspected.get('RestartCount', 0)})"
    if state.get("OOMKilled"):
        return "was killed for taking more memory than `serving: {memory: ...}` gives it"
    if code := state.get("ExitCode"):
        return f"ended with exit code {code}"
    return "ended"


def accident(fault: Fault, seconds: float) -> list[str]:
    """A command that, run in a server's container, kills or stops everything in it but the first process, which starts
    the rest and passes on how it ended. It ends when that has happened.
    """
    others = "for p in /proc/[0-9]*; do p=${p#/proc/}; [ $p = 1 ] || [ $p = $$ ] || kill -%s $p 2>/dev/null; done"
    if fault is Fault.KILL:
        return ["sh", "-c", others % "KILL"]
    back = (
        f"(sleep {seconds:g}; {others % 'CONT'}) </dev/null >/dev/null 2>&1 &"  # outlives the command, and its caller
    )
    return ["sh", "-c", f"{others % 'STOP'}; {back}"]


def _time(text: str) -> datetime:
    """A moment as the engine writes it, without its fractions of a second."""
    return datetime.fromisoformat(text[:19] + "+00:00")
