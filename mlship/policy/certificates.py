"""Do a certificate and a private key belong together, and can a server use them? Asks OpenSSL."""

from __future__ import annotations

import ssl
from pathlib import Path


def certificate_fault(certificate: Path, key: Path) -> str:
    """What is wrong with a certificate chain (PEM) and its private key (PEM, not encrypted); empty when nothing is."""
    for path, what in ((certificate, "certificate"), (key, "private key")):
        try:
            path.read_bytes()
        except OSError as error:
            return f"the {what} {path.name} cannot be read: {error.strerror}"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
    except _Encrypted:
        return f"the private key {key.name} is encrypted, and there is nobody to ask for its password"
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"the private key {key.name} does not belong to the certificate {certificate.name}"
        return (
            f"{certificate.name} and {key.name} are not a certificate and its key in PEM ({error.reason or 'no PEM'})"
        )
    return ""


class _Encrypted(Exception):
    """OpenSSL asks for a password."""


def _no_password() -> str:
    raise _Encrypted
