"""URLs of services that a policy names: how several stand in one text, and what of one may be shown. Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*"
_BEGINS = re.compile(rf"({_SCHEME})://")


def split_urls(text: str) -> list[str]:
    """The URLs in one text, separated by commas, semicolons or white space; a comma inside a URL does not separate."""
    return [part for part in re.split(rf"[\s,;]+(?={_SCHEME}://)|\s+", text.strip(" \t\r\n,;")) if part]


def scheme_of(url: str) -> str:
    """The scheme in small letters; empty for what is no URL."""
    return match[1].lower() if (match := _BEGINS.match(url)) else ""


def shown_host(url: str) -> str:
    """`https://example.com:8443`: the rest of a URL may be a secret. Empty for what is no URL with a host."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return ""
    if not host or not scheme_of(url) or not host.isprintable():
        return ""
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}" + (f":{port}" if port is not None else "")
