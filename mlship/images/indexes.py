"""Where packages come from: pip's own configuration, told to uv too, so that both look in the same places."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from functools import cache
from importlib.util import find_spec

from mlship.errors import EngineError

#: Any of these says that a person has configured uv.
_UV = ("UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_CONFIG_FILE")
#: pip's key -> uv's variable.
_TRANSLATED = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
}


def environment() -> dict[str, str]:
    """The environment for uv: where nobody has configured uv, what pip's configuration says."""
    own = dict(os.environ)
    if any(own.get(name) for name in _UV):
        return own
    said = _pip_says()
    translated = {_TRANSLATED[key]: value for key, value in said.items() if key in _TRANSLATED}
    if "UV_INDEX" in translated:  # pip takes the best version of all indexes, uv the first index that knows a name
        own.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    if "UV_FIND_LINKS" in translated:
        translated["UV_FIND_LINKS"] = ",".join(translated["UV_FIND_LINKS"].split())
    return translated | own


def pip() -> list[str]:
    """The command that runs pip. Raises ``EngineError`` when it is not installed."""
    if find_spec("pip") is None:
        raise EngineError("building an image needs pip, which is not installed", hint="pip install 'mlship[image]'")
    return [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]


def safe(text: str) -> str:
    """The text without the passwords in its URLs."""
    return re.sub(r"://[^/@\s]*@", "://***@", text)


@cache
def _pip_says() -> dict[str, str]:
    """pip's configuration, of files and of the environment, which wins."""
    done = subprocess.run([*pip(), "config", "list"], capture_output=True, text=True, check=False, timeout=60)
    said: dict[str, str] = {}
    for line in done.stdout.splitlines():
        match = re.fullmatch(r"(global|install|download|:env:)\.([a-z-]+)=(.+)", line)
        if match and (match[1] == ":env:" or match[2] not in said):
            try:
                said[match[2]] = str(ast.literal_eval(match[3]))
            except (ValueError, SyntaxError):
                continue
    return said
