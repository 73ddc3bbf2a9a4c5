"""Certificates: of the endpoint, and those that the router trusts where it calls others."""

from __future__ import annotations

from typing import Any

from mlship.engines.envoy.names import TYPE, is_ip, watched
from mlship.engines.front import Front

TLS_FILE = "tls.json"
SECRET = "endpoint"

_DOWNSTREAM = TYPE + "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
_UPSTREAM = TYPE + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_SECRET = TYPE + "envoy.extensions.transport_sockets.tls.v3.Secret"


def transport_socket(directory: str) -> dict[str, Any]:
    """TLS for callers, with the certificate that the file `tls.json` names."""
    secret = {"name": SECRET, "sds_config": watched(f"{directory}/{TLS_FILE}")}
    context = {"alpn_protocols": ["h2", "http/1.1"], "tls_certificate_sds_secret_configs": [secret]}
    return {"name": "tls", "typed_config": {"@type": _DOWNSTREAM, "common_tls_context": context}}


def certificates(front: Front, version: str) -> dict[str, Any]:
    """The file of the endpoint's certificate. Envoy watches the two files that it names, and takes them up again when
    they are replaced by a rename; a pair that does not match is refused, and the one in use stays.

    Files that were written over are no event to Envoy: it reads them again when this file says something new. The
    password is for that. It opens nothing, for the key is not encrypted.
    """
    pair = {
        "certificate_chain": {"filename": front.certificate},
        "private_key": {"filename": front.private_key},
        "password": {"inline_string": front.certificate_digest},
    }
    return {
        "version_info": version,
        "resources": [{"@type": _SECRET, "name": SECRET, "tls_certificate": pair}],
    }


def to_server(host: str, authorities: str) -> dict[str, Any]:
    """TLS to a server of that name, whose certificate must be signed by one of the authorities in that file."""
    kind = "IP_ADDRESS" if is_ip(host) else "DNS"
    validation = {
        "trusted_ca": {"filename": authorities},
        "match_typed_subject_alt_names": [{"san_type": kind, "matcher": {"exact": host}}],
    }
    context: dict[str, Any] = {"@type": _UPSTREAM, "common_tls_context": {"validation_context": validation}}
    return {"name": "tls", "typed_config": context if is_ip(host) else {**context, "sni": host}}
