"""The router in its container: which files Envoy reads there, and how they get there while it runs and while not."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship.engines import envoy, users
from mlship.engines.counters import Counted
from mlship.engines.docker import agent, world
from mlship.engines.docker.containers import ADMIN_PORT, CODE_FOLDER, CONFIG, ROUTER_USER, VOLUME
from mlship.engines.docker.hands import AGENT, Hands, Moved, NoRouter, RouterAdmin
from mlship.engines.docker.names import FALLBACK, GUARDIAN, JOBS_PORT, PORT, ROUTER, Container, Names
from mlship.engines.front import Front
from mlship.errors import EngineError
from mlship.guardian.lease import BACK
from mlship.images.code import modules
from mlship.images.daemon import faults
from mlship.types import Counts, Routes

if TYPE_CHECKING:
    from docker import DockerClient

#: Files in the container.
ROUTES, CLUSTERS, BOOTSTRAP, FRONT = (f"{CONFIG}/{name}.json" for name in ("routes", "clusters", "bootstrap", "front"))
JOBS, USERS = f"{CONFIG}/jobs.json", f"{CONFIG}/{envoy.USERS_LOG}"
CERTIFICATE, KEY = f"{CONFIG}/tls/certificate.pem", f"{CONFIG}/tls/key.pem"
#: Certificates that Debian's images trust, for the issuer of tokens.
_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


#: Somebody else may move the routes while they are written anew.
_ATTEMPTS = 20


class Router:
    """The router's container of one endpoint: its files and its admin port."""

    def __init__(self, client: DockerClient, names: Names) -> None:
        self._client = client
        self._names = names
        self.hands = Hands(client, names.model)
        self.admin = RouterAdmin(self.hands, ADMIN_PORT)
        self._users = users.Users()

    def put(self, container: Container, files: dict[str, str]) -> None:
        """Replace files in the container, each at once, whether or not it runs."""
        if container.state == "running":
            self.hands.use(container.id)
            with suppress(NoRouter):  # it has died this moment: nobody reads half a file now
                self.hands.put(files)
                return
        below = {str(Path(name).relative_to(VOLUME)): text for name, text in files.items()}
        with faults("write the router's files", model=self._names.model):
            owner, group = map(int, ROUTER_USER.split(":"))
            self._client.api.put_archive(container.id, VOLUME, world.archive(below, owner, group))

    def renew(self, container: Container) -> None:
        """Give a router that runs the agent of this version of mlship, where it has another one."""
        wanted = code()
        if all(self.read(container, name) == text for name, text in wanted.items()):
            return
        below = {str(Path(name).relative_to(VOLUME)): text for name, text in wanted.items() if name != AGENT}
        with faults("write the router's files", model=self._names.model):
            owner, group = map(int, ROUTER_USER.split(":"))
            self._client.api.put_archive(container.id, VOLUME, world.archive(below, owner, group))
        self.put(container, {AGENT: wanted[AGENT]})
        self.hands.close()  # the one that runs is the old one

    def reroute(self, container: Container, front: Front, found: Iterable[Container]) -> None:
        """Write the routes as they are, with what has changed besides; whoever moves them meanwhile is not undone."""
        found = list(found)
        for _ in range(_ATTEMPTS):
            text = self.read(container, ROUTES)
            wanted = _routes(text)
            with suppress(Moved):
                files = route_files(front, found, wanted, self.time_of(container, wanted))
                self.put_routes(container, files, was=text)
                return
        raise EngineError("the routes never stand still", where=self._names.model, hint="run this again")

    def put_routes(self, container: Container, files: dict[str, str], owner: str = "", *, was: str | None = "") -> None:
        """Replace files of routes, each at once, in the order of the lease's lock; raises ``Refused`` and ``Moved``.

        Parameters
        ----------
        owner
            Who must hold the lease, which only a router that runs can tell. Empty: anybody.
        was
            What the route file must be before; empty: anything.

        Raises ``NoRouter`` when an owner is given and the router does not run.
        """
        if container.state == "running":
            self.hands.use(container.id)
            with nullcontext() if owner else suppress(NoRouter):
                self.hands.route(files, owner, emptied=USERS, when=self._when(container, files), was=was)
                return
        if owner:
            raise NoRouter("the router does not run", where=self._names.model)
        self.put(container, files)

    def _when(self, container: Container, files: dict[str, str]) -> str:
        """When the log of users is to be emptied; empty when the time goes on in which they are counted."""
        since = users.since(json.loads(files[ROUTES]))
        if not since:
            return "last"  # a way back waits for nothing
        return "" if since == self.written(container)[1] else "first"

    def time_of(self, container: Container, wanted: Routes | None) -> str:
        """A name for the time since these routes were set, or the one that it has already."""
        if wanted is None or not wanted.sticky:
            return ""
        text = self.read(container, ROUTES)
        return users.time_of(json.loads(text) if text else None, wanted)

    def first_requests(self, run: str, since: str, counted: dict[str, Counted]) -> dict[str, Counts] | None:
        """Users by cluster, counted by their first request; None where routes are not sticky."""
        return self._users.follow(run, since, counted, lambda at, most: self.hands.tail(USERS, at, most))

    def read(self, container: Container, name: str) -> str | None:
        """A file of the container, whether or not it runs; None when it is not there."""
        from docker.errors import NotFound

        if container.state == "running":
            self.hands.use(container.id)
            with suppress(NoRouter):
                return self.hands.read(name)
        with faults("read the router's files", model=self._names.model):
            try:
                stream, _ = self._client.api.get_archive(container.id, name)
            except NotFound:
                return None
            with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
                file = tar.extractfile(tar.getmembers()[0])
                return file.read().decode() if file else None

    def wanted(self, container: Container) -> Routes | None:
        """The routes in the file, whether or not a router has taken them."""
        return self.written(container)[0]

    def written(self, container: Container) -> tuple[Routes | None, str]:
        """The routes in the file, and the name of the time since they were set; empty where they are not sticky."""
        text = self.read(container, ROUTES)
        return _routes(text), users.since(json.loads(text)) if text else ""

    def wait(self, found: Iterable[Container], seconds: float) -> None:
        """Wait until Envoy serves and knows every server, and the fallback program where there is one."""
        known = [one for one in found if one.role not in (ROUTER, GUARDIAN)]
        wanted = {envoy.FALLBACK if one.role == FALLBACK else one.cluster for one in known}
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            container = world.router(world.containers(self._client, self._names))
            if container is None or container.state not in ("running", "created"):
                break
            self.hands.use(container.id)
            try:
                if self.admin.ready() and wanted <= self.admin.clusters():
                    return
            except (OSError, ValueError, NoRouter):
                pass
            time.sleep(0.02)
        raise self.broken("the router (Envoy) does not start, or does not take its configuration")

    def quiet(self, cluster: str, seconds: float) -> None:
        """Wait until a server that no route names has no request any more, for so many seconds at most.

        One that fails there is sent to the next server by clusters that have this one's name in theirs: a request
        outlives the server, and must not outlive the clusters.
        """
        deadline = time.monotonic() + seconds
        with suppress(OSError, ValueError, HTTPException, NoRouter):  # without a router there are no requests
            while self.admin.busy(cluster) and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(0.02)  # the last of them may be on its way to the next server this very moment

    def broken(self, what: str) -> EngineError:
        """An error that shows the last lines of the router's log."""
        container = world.router(world.containers(self._client, self._names))
        said = world.tail(self._client, container) if container else "    (its container has gone)"
        return EngineError(f"{what}:\n{said}", where=self._names.model)


def _routes(text: str | None) -> Routes | None:
    """The routes in the text of a route file; None when there is none."""
    return None if text is None else envoy.applied(users.dump(json.loads(text)))


def static_files(front: Front) -> dict[str, str]:
    """What Envoy reads once, and the agent."""
    jobs = ("0.0.0.0", JOBS_PORT)
    return {BOOTSTRAP: json.dumps(envoy.bootstrap(_inside(front), ADMIN_PORT, CONFIG, jobs))} | code()


def code() -> dict[str, str]:
    """The agent, and what it shares with the guardian."""
    files = {f"{CODE_FOLDER}/mlship/{name}": path for name, path in modules(program="guardian").items()}
    files |= {AGENT: Path(agent.__file__)}  # last: it needs the others
    return {name: path.read_text(encoding="utf-8") for name, path in files.items()}


def front_files(front: Front, found: Iterable[Container]) -> dict[str, str]:
    """What the front says: its own file, certificate and key, filters, clusters; Envoy takes them whenever they change.

    Raises ``EngineError`` when the certificate or its key cannot be read here.
    """
    files = {FRONT: json.dumps(front.to_json())}
    if front.certificate:
        files |= {CERTIFICATE: _text(front.certificate), KEY: _text(front.private_key)}
    inside = _inside(front)
    for name, document in envoy.extensions(inside, "").items():
        files[f"{CONFIG}/{name}"] = json.dumps(envoy.versioned(document))
    return files | cluster_file(front, found)


def cluster_file(front: Front, found: Iterable[Container]) -> dict[str, str]:
    """Where the servers are, and the fallback program."""
    at = {one.cluster: (one.address, PORT) for one in found if one.name}
    last = next(((one.address, PORT) for one in found if one.role == FALLBACK), None)
    return {CLUSTERS: json.dumps(envoy.versioned(envoy.clusters(at, "", _inside(front), _AUTHORITIES, last)))}


def route_files(front: Front, found: Iterable[Container], wanted: Routes | None, since: str = "") -> dict[str, str]:
    """Which server answers which request; a server whose container was removed by hand has no part in it.

    Parameters
    ----------
    since
        With sticky routes: the name of the time since they were set (see `Router.time_of`).
    """
    names = {one.name: one.cluster for one in found if one.name}
    if wanted is not None and wanted.stable not in names:
        wanted = Routes(wanted.canary) if wanted.canary in names and wanted.canary else None
    elif wanted is not None and wanted.canary is not None and wanted.canary not in names:
        wanted = Routes(wanted.stable)
    last = any(one.role == FALLBACK for one in found)
    jobs = envoy.jobs_routes(names[wanted.stable] if wanted else None, front.timeout, "")

    def rendered(routes: Routes | None) -> dict[str, Any]:
        return envoy.versioned(envoy.routes(routes, names, _inside(front), "", fallback=last, since=since))

    documents = {JOBS: envoy.versioned(jobs), ROUTES: rendered(wanted)}
    if wanted is not None and wanted != Routes(wanted.stable):  # first: whoever sees the routes finds their way back
        way_back = f"{CONFIG}/{BACK.format(documents[ROUTES]['version_info'])}"
        documents = {way_back: rendered(Routes(wanted.stable))} | documents
    return {name: json.dumps(document) for name, document in documents.items()}


def versions(files: dict[str, str]) -> dict[str, str]:
    """Version of each file that Envoy watches, by name without its ending, as `Admin.applied` tells them."""
    watched = {name: json.loads(text) for name, text in files.items() if name.endswith(".json")}
    return {
        Path(name).stem: one["version_info"]
        for name, one in watched.items()
        if "version_info" in one and name != JOBS  # Envoy tells of the routes of the endpoint only
    }


def _inside(front: Front) -> Front:
    """The front as the router sees it: another address, and its own copies of the files."""
    inside = replace(front, listen=f"0.0.0.0:{PORT}")
    return replace(inside, certificate=CERTIFICATE, private_key=KEY) if front.certificate else inside


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no PEM file"
        raise EngineError(f"a file of the endpoint's certificate cannot be read: {reason}", where=path) from None
