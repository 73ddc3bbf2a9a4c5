"""How containers are made: what a server and what the router may do, and how they are kept alive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlship.engines.docker import names as n
from mlship.engines.docker.names import Names
from mlship.engines.envoy import FLUSH_MS, KEY, USERS_LOG, split

if TYPE_CHECKING:
    from docker import DockerClient

    from mlship.engines.options import ServerOptions
    from mlship.types import Release

#: Numeric, and nobody on any image; servers run as the user of their image unless that is root.
ROUTER_USER, SERVER_USER = "65532:65532", "10001:0"
FALLBACK_USER = ROUTER_USER
#: Where the router's volume is, and its files in it.
VOLUME, CONFIG = "/mlship", "/mlship/config"
#: The lease, and the code that the router's agent and the guardian share.
LEASE_FOLDER, CODE_FOLDER = f"{CONFIG}/lease", f"{VOLUME}/code"
#: Where a server writes, the prediction log among it.
WRITABLE = "/var/lib/mlship"
#: Port of Envoy's admin interface, on the loopback device of its container.
ADMIN_PORT = 9901
#: Envoy's threads.
_MOST_WORKERS = 4

#: What it writes to the log is bounded: megabytes in a file, and files.
_LOG = {"max-size": "10m", "max-file": "3"}
#: Processes and threads of one container; a model that forks without end is stopped before the host is.
_PIDS = 4096
_ENVOY = (
    'ulimit -n "$(ulimit -Hn)" 2>/dev/null; '
    # The log of users begins with the counters, and nobody else reads it.
    f"(umask 077; : > {CONFIG}/{USERS_LOG}); "
    f"exec envoy -c {CONFIG}/bootstrap.json --concurrency {{workers}} --log-level warning --disable-hot-restart "
    f"--file-flush-interval-msec {FLUSH_MS} "
    # Its node's name is new at each start: counters of another node began at zero.
    f'--service-cluster {KEY} --service-node "$(cat /proc/sys/kernel/random/uuid)"'
)


def create_server(
    client: DockerClient, names: Names, release: Release, options: ServerOptions, *, nonce: str, address: str
) -> str:
    """Make a server's container, not started; return its id."""
    api = client.api
    writable: dict[str, Any] = {}
    if options.log_sample:  # the log outlives a restart; it is brought home when the server is stopped
        api.create_volume(names.server(release.server), labels=names.labels)
        writable["mounts"] = [_volume(names.server(release.server), WRITABLE)]
    host = _host_config(
        client,
        names,
        init=True,  # so that what a model starts and forgets does not pile up
        tmpfs={"/tmp": "mode=1777"} | ({} if options.log_sample else {WRITABLE: "mode=1777"}),
        nano_cpus=round(options.cpus * 1e9) if options.cpus else None,
        mem_limit=options.memory,
        memswap_limit=options.memory,
        **writable,
    )
    labels = {
        n.ROLE: n.MODEL_SERVER,
        n.SERVER: release.server,
        n.VERSION: release.version,
        n.DIGEST: release.digest,
        n.NONCE: nonce,
        n.ADDRESS: address,
    }
    made = api.create_container(
        release.image,
        options.arguments(),
        name=names.server(release.server),
        user=_user(client, release.image),
        labels=names.labels | labels,
        host_config=host,
        networking_config=_at(client, names, address),
    )
    return str(made["Id"])


def create_router(client: DockerClient, names: Names, image: str, listen: str, address: str) -> str:
    """Make the router's container and its volume, not started and without its files; return its id."""
    api = client.api
    api.create_volume(names.base, labels=names.labels)
    host, port = split(listen)
    workers = max(1, min(_MOST_WORKERS, int(client.info().get("NCPU", 1)) // 2))
    made = api.create_container(
        image,
        [_ENVOY.format(workers=workers)],
        entrypoint=["sh", "-c"],
        name=names.router,
        user=ROUTER_USER,
        ports=[n.PORT],
        labels=names.labels | {n.ROLE: n.ROUTER, n.ADDRESS: address},
        healthcheck={"test": ["NONE"]},
        host_config=_host_config(
            client,
            names,
            tmpfs={"/tmp": "mode=1777"},
            mounts=[_volume(names.base, VOLUME)],
            port_bindings={n.PORT: (host, port)},
        ),
        networking_config=_at(client, names, address),
    )
    return str(made["Id"])


def create_fallback(client: DockerClient, names: Names, image: str, argv: list[str], *, code: str, address: str) -> str:
    """Make the container of the fallback program, which runs in an image of a server; return its id.

    Parameters
    ----------
    argv
        The program's command.
    code
        Where its modules are, in its volume.
    """
    api = client.api
    api.create_volume(names.fallback, labels=names.labels)
    made = api.create_container(
        image,
        argv[1:],
        entrypoint=argv[:1],
        name=names.fallback,
        user=FALLBACK_USER,
        environment={"PYTHONPATH": code, "PYTHONUNBUFFERED": "1"},
        working_dir=VOLUME,
        labels=names.labels | {n.ROLE: n.FALLBACK, n.ADDRESS: address},
        healthcheck={"test": ["NONE"]},
        host_config=_host_config(
            client, names, init=True, tmpfs={"/tmp": "mode=1777"}, mounts=[_volume(names.fallback, VOLUME)]
        ),
        networking_config=_at(client, names, address),
    )
    return str(made["Id"])


def create_guardian(client: DockerClient, names: Names, image: str, code: str) -> str:
    """Make the guardian's container, of the router's image and on its volume, without any network; return its id.

    Parameters
    ----------
    code
        Digest of what it runs: another one wants another container.
    """
    made = client.api.create_container(
        image,
        ["-S", "-m", "mlship.guardian", LEASE_FOLDER, CONFIG],
        entrypoint=["python3"],
        name=names.guardian,
        user=ROUTER_USER,
        environment={"PYTHONPATH": CODE_FOLDER, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        labels=names.labels | {n.ROLE: n.GUARDIAN, n.DIGEST: code},
        healthcheck={"test": ["NONE"]},
        host_config=_host_config(client, names, network_mode="none", mounts=[_volume(names.base, VOLUME)]),
    )
    return str(made["Id"])


def _user(client: DockerClient, image: str) -> str:
    user = str(client.api.inspect_image(image)["Config"].get("User") or "")
    return SERVER_USER if user.partition(":")[0] in ("", "0", "root") else user


def _at(client: DockerClient, names: Names, address: str) -> Any:
    endpoint = client.api.create_endpoint_config(ipv4_address=address)
    return client.api.create_networking_config({names.base: endpoint})


def _host_config(client: DockerClient, names: Names, **more: Any) -> Any:
    """What all containers share: nothing that is not needed may be done, and the engine starts them again."""
    from docker.types import LogConfig

    return client.api.create_host_config(
        restart_policy={"Name": "unless-stopped"},
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        pids_limit=_PIDS,
        log_config=LogConfig(type=LogConfig.types.JSON, config=_LOG),
        **{"network_mode": names.base, **more},
    )


def _volume(name: str, target: str) -> Any:
    from docker.types import Mount

    return Mount(target, name, type="volume")
