"""What all parts of the router's configuration share: names, types of messages, addresses."""

from __future__ import annotations

import hashlib
import json
from typing import Any

#: Host and port of a server.
Address = tuple[str, int]

#: Name under which routes carry roles, and prefix of the counters.
KEY = "mlship"
ROUTE_NAME = "endpoint"
#: Prefix of the name of every message type.
TYPE = "type.googleapis.com/"


def split(listen: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:8080`, `localhost:8080` or `[::1]:8080`, the host as an IP address."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    return ("127.0.0.1" if host == "localhost" else host), int(port)


def is_ip(host: str) -> bool:
    """Whether a host is an address and not a name to look up."""
    return ":" in host or host.replace(".", "").isdigit()


def address(host: str, port: int) -> dict[str, Any]:
    """A socket's address as Envoy writes it."""
    return {"socket_address": {"address": host, "port_value": port}}


def watched(path: str) -> dict[str, Any]:
    """A file that Envoy reads, and reads again whenever it is replaced."""
    source = {"path": path, "watched_directory": {"path": path.rpartition("/")[0]}}
    return {"path_config_source": source, "resource_api_version": "V3"}


def extension(name: str, config: dict[str, Any], version: str) -> dict[str, Any]:
    """The file of one filter."""
    resource = {"@type": TYPE + "envoy.config.core.v3.TypedExtensionConfig", "name": name, "typed_config": config}
    return {"version_info": version, "resources": [resource]}


def versioned(document: dict[str, Any]) -> dict[str, Any]:
    """A file whose version tells its content: Envoy keeps the version of what it has when nothing in it is new."""
    content = json.dumps(document["resources"], sort_keys=True)
    return {**document, "version_info": hashlib.sha256(content.encode()).hexdigest()[:16]}
