"""Who issues tokens and certificates in tests: keys of its own, signed by hand, so that wrong ones can be made too."""

from __future__ import annotations

import base64
import datetime
import json
import time
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

ISSUER = "https://login.example.com/"


def b64(content: bytes | str) -> str:
    raw = content.encode() if isinstance(content, str) else content
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass
class Issuer:
    """Signs tokens with one RSA key."""

    kid: str = "one"
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    @property
    def jwks(self) -> str:
        """The public half as a JWKS document."""
        numbers = self.key.public_key().public_numbers()
        parts = {name: b64(n.to_bytes((n.bit_length() + 7) // 8, "big")) for name, n in vars_of(numbers).items()}
        return json.dumps({"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": self.kid, **parts}]})

    def token(self, *, alg: str = "RS256", signed: bool = True, **claims: Any) -> str:
        """A token that is good for a minute, unless the claims say otherwise; None takes a claim away."""
        said = {"iss": ISSUER, "sub": "caller", "exp": int(time.time()) + 60, **claims}
        payload = json.dumps({name: value for name, value in said.items() if value is not None})
        text = f"{b64(json.dumps({'alg': alg, 'kid': self.kid, 'typ': 'JWT'}))}.{b64(payload)}"
        signature = self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()) if signed else b""
        return f"{text}.{b64(signature)}"


def vars_of(numbers: rsa.RSAPublicNumbers) -> dict[str, int]:
    return {"n": numbers.n, "e": numbers.e}


def certificate(directory: Path, name: str = "tls", *, days: int = 2) -> tuple[Path, Path]:
    """Write a self-signed certificate for 127.0.0.1 and its key; returns both paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")])
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = directory / f"{name}.pem", directory / f"{name}.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form, secret = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, secret))
    return paths
