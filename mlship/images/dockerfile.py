"""The two Dockerfiles of an image, rendered from `templates/Dockerfile.j2`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mlship.templates import template

#: Where the server and everything that it imports live in the image.
ROOT = "/opt/mlship"
#: Where the model lives in the image.
MODEL = "/model"
#: Where the server listens inside the container.
PORT = 8080
#: What every label of ours begins with. Containers inherit them: an engine marks its own containers otherwise.
LABELS = "mlship.image."
#: Marks the stage that holds the wheels, so that it can be removed.
SCRATCH = LABELS + "scratch"

#: Asks the server itself, with as little of Python as goes: it runs every few seconds.
_HEALTH = (
    "import socket, sys; s = socket.create_connection(('127.0.0.1', 8080), 2); s.settimeout(2); "
    "s.sendall(b'GET /ping HTTP/1.0\\r\\n\\r\\n'); sys.exit(b' 200 ' not in s.recv(64))"
)


def dependencies(base: str, modules: Sequence[str], inputs: str) -> str:
    """The Dockerfile of the dependencies.

    Parameters
    ----------
    base
        What to build on, pinned.
    modules
        What must be importable in the end; a name after `?` only if it is there.
    inputs
        Digest of everything else in the context.
    """
    return _render(
        stage="dependencies",
        base=base,
        scratch=_label({SCRATCH: inputs}),
        label=_label({LABELS + "inputs": inputs}),
        install=_exec([f"{ROOT}/bin/python", "/tmp/context/install.py", *modules]),
    )


def model(
    parent: str, python: str, identity: Sequence[str], arguments: Sequence[str], labels: Mapping[str, str]
) -> str:
    """The Dockerfile of the model.

    Parameters
    ----------
    parent
        The image of its dependencies.
    python
        The base's Python, such as `3.11.2`.
    identity
        Arguments of the server that say what it serves; nobody overrides them.
    arguments
        Arguments of the server that `docker run IMAGE ...` replaces.
    labels
        Of the image.
    """
    serve = [f"{ROOT}/bin/python", "-m", "mlship.serving", "--model-dir", MODEL, "--listen", f"0.0.0.0:{PORT}"]
    return _render(
        stage="model",
        dependencies=parent,
        site=f"{ROOT}/lib/python{'.'.join(python.split('.')[:2])}/site-packages",
        health=_exec([f"{ROOT}/bin/python", "-I", "-S", "-c", _HEALTH]),
        labels=_label(labels),
        entrypoint=_exec([*serve, *identity]),
        command=_exec(arguments),
    )


def _render(**values: Any) -> str:
    from jinja2 import Environment, StrictUndefined

    # A Dockerfile is no HTML; every value is quoted here.
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    return environment.from_string(template("Dockerfile.j2").read_text(encoding="utf-8")).render(**values)


def _exec(argv: Sequence[str]) -> str:
    return json.dumps(list(argv), ensure_ascii=False)


def _label(labels: Mapping[str, str]) -> str:
    """In double quotes, where the builder would replace variables."""
    return " ".join(
        f"{json.dumps(key)}={json.dumps(value, ensure_ascii=False)}".replace("$", "\\$")
        for key, value in labels.items()
    )
