"""The fallback program in a container of its own, which is made of a server's image and brings its code along.

A queue with jobs or answers in it outlives `down`: it is brought home, and taken along by the next deployment.
"""

from __future__ import annotations

import time
from contextlib import suppress
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.engines import fallback
from mlship.engines.docker import containers, network, world
from mlship.engines.docker.containers import FALLBACK_USER, VOLUME
from mlship.engines.docker.hands import NoRouter
from mlship.engines.docker.names import FALLBACK, JOBS_PORT, PORT, Container
from mlship.errors import EngineError
from mlship.images.code import modules
from mlship.images.daemon import faults

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlship.engines.docker.site import Site
    from mlship.engines.front import Front

#: Where things are in the volume.
_CODE, _RULES, _PLACE = "code", "rules", fallback.PROGRAM
#: Files of the queue: SQLite keeps its latest writes beside the database.
_QUEUE = tuple(f"{fallback.QUEUE}{ending}" for ending in ("", "-wal", "-shm"))


def program(found: Iterable[Container]) -> Container | None:
    """The fallback program's container among them."""
    return next((one for one in found if one.role == FALLBACK), None)


def check(front: Front) -> None:
    """See that what the policy asks for can work, before anything is changed; raises ``EngineError``."""
    fallback.check(front)
    if front.fallback == "rule" and front.rule_function and fallback.module_file(front) is None:
        raise EngineError(
            f"the rule's function {front.rule_function} is in no file of its own",
            where=front.rule_directory,
            hint="the Docker engine takes along one module beside the policy file: put the function into one",
        )


def ensure(site: Site, front: Front, found: list[Container], image: str) -> None:
    """Run the program where it is needed, with the settings of this front.

    Parameters
    ----------
    image
        Of a server, to run it in.

    Raises ``EngineError``, and what the Docker SDK raises.
    """
    client, directory = site.client, site.directory
    subnet = network.ensure(client, site.names)
    one = program(found)
    if one is None and not fallback.needed(front, directory):
        return
    files: dict[str, str | bytes] = {}
    started = one is not None and one.state == "running"
    if one is None:
        settings, queue = f"{VOLUME}/{_PLACE}/{fallback.SETTINGS}", f"{VOLUME}/{_PLACE}/{fallback.QUEUE}"
        argv = ["python3", "-m", "mlship.fallback", "--settings", settings, "--jobs", queue]
        argv += ["--listen", f"0.0.0.0:{PORT}"]
        address = network.fallback_address(subnet)
        identity = containers.create_fallback(
            client, site.names, image, argv, code=f"{VOLUME}/{_CODE}", address=address
        )
    else:
        identity = one.id
    if one is None or one.state == "created":  # it has never run
        files |= _queue(directory)
    if not started:
        files |= _code()
    owner, group = map(int, FALLBACK_USER.split(":"))
    client.api.put_archive(identity, VOLUME, world.archive(files | _told(front, subnet), owner, group))
    if not started:
        client.api.start(identity)
    for name in _QUEUE:  # it is in the volume now
        (directory / _PLACE / name).unlink(missing_ok=True)


def wait(site: Site, found: list[Container]) -> None:
    """Wait until the program answers, where there is one."""
    one = program(found)
    deadline = time.monotonic() + fallback.IMPORT_SECONDS
    while one is not None:
        with suppress(OSError, ValueError, NoRouter, HTTPException):
            site.router.hands.get(one.address, PORT, "/ping", timeout=1.0)
            return
        state = world.inspect(site.client, one).get("State", {})
        if state.get("Status") not in ("running", "created") or time.monotonic() > deadline:
            said = world.tail(site.client, one)
            raise EngineError(f"the fallback does not start:\n{said}", where=site.model)
        time.sleep(0.05)


def bring_home(site: Site) -> None:
    """Stop the program, and keep its queue in the state directory if anybody waits for something in it."""
    one = program(site.containers())
    if one is None:
        return
    with faults("stop the fallback program", model=site.model):
        site.client.api.stop(one.id, timeout=15)
    for name in _QUEUE:
        world.fetch(site.client, one, f"{VOLUME}/{_PLACE}/{name}", site.directory / _PLACE)
    fallback.forget(site.directory)


def _told(front: Front, subnet: str) -> dict[str, str | bytes]:
    files: dict[str, str | bytes] = {}
    if (module := fallback.module_file(front)) is not None:
        name = front.rule_function.partition(":")[0].replace(".", "/")
        files[f"{_RULES}/{name}.py"] = module.read_bytes()
    models = f"http://{network.router_address(subnet)}:{JOBS_PORT}"
    # Last: whoever reads it finds the rest.
    return files | {f"{_PLACE}/{fallback.SETTINGS}": fallback.settings(front, models, f"{VOLUME}/{_RULES}")}


def _code() -> dict[str, str | bytes]:
    """The program's modules, and the one package that a server's image does not have."""
    files: dict[str, str | bytes] = {
        f"{_CODE}/mlship/{name}": path.read_bytes() for name, path in modules(program="fallback").items()
    }
    spec = find_spec("litequeue")
    if spec is None or spec.origin is None:
        raise EngineError("the fallback needs litequeue, which is not installed", hint="pip install 'mlship[docker]'")
    return files | {f"{_CODE}/litequeue.py": Path(spec.origin).read_bytes()}


def _queue(directory: Path) -> dict[str, str | bytes]:
    place = directory / _PLACE
    return {f"{_PLACE}/{name}": (place / name).read_bytes() for name in _QUEUE if (place / name).exists()}
