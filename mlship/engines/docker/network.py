"""The network of one endpoint: its servers have fixed addresses there, so that a restart moves nothing.

An address can be chosen only in a subnet that was named when the network was made, and which subnet is free only the
engine knows. So it is asked for any network first, which is removed again, and then for one with that subnet.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mlship.engines.docker.names import Names
from mlship.errors import EngineError

if TYPE_CHECKING:
    from docker import DockerClient

#: The gateway's is 1. Servers have addresses from `_FIRST` on.
_ROUTER, _FALLBACK, _FIRST, _LAST = 8, 9, 16, 250
_PROBE = "-probe"
#: Somebody else may take the subnet in between.
_ATTEMPTS = 8


def ensure(client: DockerClient, names: Names) -> str:
    """Make the endpoint's network unless it is there; return its subnet.

    Raises what the Docker SDK raises, and ``EngineError`` when somebody is always faster.
    """
    from docker.errors import APIError
    from docker.types import IPAMConfig, IPAMPool

    api = client.api
    for network in api.networks(filters=names.mine):
        if network["Name"] == names.base:
            return _subnet(api.inspect_network(network["Id"]))
        api.remove_network(network["Id"])  # a probe that outlived its command
    for _ in range(_ATTEMPTS):
        probe = api.create_network(names.base + _PROBE, driver="bridge", labels=names.labels)["Id"]
        subnet = _subnet(api.inspect_network(probe))
        api.remove_network(probe)
        pool = IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)])
        try:
            api.create_network(names.base, driver="bridge", labels=names.labels, ipam=pool, check_duplicate=True)
        except APIError as error:
            if "overlaps" not in str(error.explanation):
                raise
            continue
        return subnet
    raise EngineError("the Docker engine gives its free subnets to others", where=names.model, hint="run this again")


def router_address(subnet: str) -> str:
    """The router's address."""
    return str(ipaddress.ip_network(subnet)[_ROUTER])


def fallback_address(subnet: str) -> str:
    """The fallback program's address."""
    return str(ipaddress.ip_network(subnet)[_FALLBACK])


def free_address(subnet: str, taken: Iterable[str]) -> str:
    """An address for a server, and not one that another has."""
    network = ipaddress.ip_network(subnet)
    last = min(_LAST, network.num_addresses - 2)
    free = {str(network[number]) for number in range(_FIRST, last)} - set(taken)
    if not free:
        raise EngineError("the endpoint's network has no address left", where=subnet, hint="stop servers")
    return secrets.choice(sorted(free))


def _subnet(network: dict[str, Any]) -> str:
    found = [str(pool["Subnet"]) for pool in network["IPAM"]["Config"]]
    return next((subnet for subnet in found if ":" not in subnet), found[0])
