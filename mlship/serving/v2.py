"""The Open Inference Protocol (v2) over REST: its routes, health, and error shape. Tensors are in `tensors`.

Source: the protocol's REST specification (github.com/kserve/open-inference-protocol), spoken by KServe and Triton.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from mlship.serving.protocol import Answer, Asked, error

SERVER = "mlship"
#: No extension is offered; a request for binary tensors is refused.
EXTENSIONS: tuple[str, ...] = ()


def route(path: str, model: str, version: str) -> Answer | Asked | Callable[[bool], Answer]:
    """What a path below `/v2` asks for.

    Returns
    -------
    An answer that depends on nothing; what the model is asked; or a function of "is it ready?".
    """
    parts = path.split("/")[2:]
    match parts:
        case []:
            return _json({"name": SERVER, "version": version, "extensions": list(EXTENSIONS)})
        case ["health", "live"]:
            return _json({"live": True})
        case ["health", "ready"]:
            return lambda ready: _json({"ready": ready}) if ready else _not_ready()
        case ["models", name, *rest]:
            return _model(name, rest, model, version) or _unknown(path)
    return _unknown(path)


def _model(name: str, rest: list[str], model: str, version: str) -> Answer | Asked | Callable[[bool], Answer] | None:
    if name != model:
        return error(404, "RESOURCE_DOES_NOT_EXIST", f"there is no model {name!r} here, only {model!r}")
    if rest[:1] == ["versions"]:
        if len(rest) < 2 or rest[1] != version:
            asked = rest[1] if len(rest) > 1 else ""
            return error(404, "RESOURCE_DOES_NOT_EXIST", f"{model!r} has version {version!r} here, not {asked!r}")
        rest = rest[2:]
    match rest:
        case []:
            return Asked(model, version, describes=True)
        case ["ready"]:
            return lambda ready: _json({"name": model, "ready": ready}) if ready else _not_ready()
        case ["infer"]:
            return Asked(model, version)
    return None


def as_error(answer: Answer) -> Answer:
    """The same answer in the protocol's error shape."""
    try:
        message = str(json.loads(answer.body)["message"])
    except (ValueError, KeyError, TypeError):
        message = answer.body.decode("utf-8", "replace")
    return Answer(answer.status, json.dumps({"error": message}).encode())


def binary_refused() -> Answer:
    """Answer a request that carries binary tensors."""
    return error(
        415, "UNSUPPORTED_MEDIA_TYPE",
        "the binary tensor extension is not supported; send the tensors as JSON (tritonclient: binary_data=False)",
    )  # fmt: skip


def _unknown(path: str) -> Answer:
    return error(404, "ENDPOINT_NOT_FOUND", f"there is no {path}; try /v2/models/NAME/infer")


def _not_ready() -> Answer:
    return error(503, "TEMPORARILY_UNAVAILABLE", "the model is not ready")


def _json(document: dict[str, object]) -> Answer:
    return Answer(200, json.dumps(document).encode())
