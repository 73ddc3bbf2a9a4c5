"""What the drill's callers send: rows of the policy's evaluation data, else the model's own input example."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.errors import DataError

if TYPE_CHECKING:
    from mlship.home import Home
    from mlship.policy.load import LoadedPolicy
    from mlship.types import Server

#: Different requests; more would prove nothing more.
MOST = 100
#: Where MLflow keeps the example in a model's directory, in the shape of a request.
EXAMPLE = "serving_input_example.json"


def bodies(loaded: LoadedPolicy, home: Home, server: Server, say: Callable[[str], None]) -> tuple[bytes, ...]:
    """Bodies of requests for `/invocations`, of one row each.

    Parameters
    ----------
    server
        The one that is stable; the types of its model's signature are sent.

    Raises ``DataError`` when there is neither a row nor an example.
    """
    model = home.models / server.digest.removeprefix("sha256:")
    evaluation = loaded.policy.data.evaluation if loaded.policy.data else None
    if evaluation is not None and evaluation.mlflow is None:
        say(f"reading {evaluation.source}")
        return _rows(loaded, model)
    try:
        return ((model / EXAMPLE).read_bytes(),)
    except OSError:
        raise DataError(
            "there is nothing to send: neither evaluation rows in a file or a database, nor an input example",
            where=str(model),
            hint="name data.evaluation in the policy, or log the model with an input example",
        ) from None


def _rows(loaded: LoadedPolicy, model: Path) -> tuple[bytes, ...]:
    from mlship.gates.latency.bodies import sender
    from mlship.sources import files

    assert loaded.policy.data is not None
    evaluation = loaded.policy.data.evaluation
    assert evaluation is not None
    rows = files.read(evaluation, loaded.resolve(evaluation.path or "."))
    features = rows.frame[[name for name in rows.frame.columns if name != rows.target]]
    return sender(features, [model], MOST).bodies(1)
