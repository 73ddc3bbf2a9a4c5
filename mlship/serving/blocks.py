"""The fast lane of a model whose signature is one tensor: arrays of the same row shape are put on top of each other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlship.serving.protocol import PLAIN_JSON, Request
from mlship.serving.rows import Lane, Rows
from mlship.serving.tensors import Tensor

if TYPE_CHECKING:
    import numpy as np
    from mlflow.models import Model

#: Numpy kinds that numbers of JSON become without a guess.
KINDS = "biuf"


def lane_of(metadata: Model) -> Lane | Block | None:
    """The lane of a model; None when each of its requests needs a call of its own."""
    return Lane.of(metadata) or Block.of(metadata)


class Block:
    """Reads requests of a model that takes one array with any number of rows, each of a fixed shape."""

    def __init__(self, dtype: np.dtype[Any], row: tuple[int, ...]) -> None:
        self._dtype = dtype
        self._row = row

    @classmethod
    def of(cls, metadata: Model) -> Block | None:
        """Return the lane of a model; None when its signature is something else."""
        schema = metadata.get_input_schema()  # type: ignore[no-untyped-call]  # mlflow is partly typed
        if schema is None or not schema.is_tensor_spec() or schema.has_input_names() or len(schema.inputs) != 1:
            return None
        (spec,) = schema.inputs
        shape = tuple(spec.shape)
        if not shape or shape[0] != -1 or any(size < 1 for size in shape[1:]) or spec.type.kind not in KINDS:
            return None
        return cls(spec.type, shape[1:])

    def read(self, request: Request) -> Rows | None:
        """Return the rows of a request; None when it is not for this lane (which does not mean that it is wrong)."""
        if request.content_type not in PLAIN_JSON:
            return None
        try:
            document = json.loads(request.body)
        except (ValueError, RecursionError):
            return None
        if not isinstance(document, dict) or len(document) != 1:
            return None
        ((kind, data),) = document.items()
        if kind not in ("instances", "inputs") or not isinstance(data, list) or not data or isinstance(data[0], dict):
            return None
        return self._rows(data)

    def typed(self, tensors: Mapping[str, Tensor]) -> Rows | None:
        """Return the rows of a request's only tensor; None when it has another type or shape than the model's."""
        import numpy as np

        (tensor,) = tensors.values()
        array = tensor.array()
        if array.dtype != self._dtype or array.shape[1:] != self._row or not len(array):
            return None
        return Rows((np.ascontiguousarray(array),), len(array))

    def features(self, rows: Rows) -> None:
        """The elements of an array have no names."""

    def frame(self, batch: Sequence[Rows]) -> np.ndarray[Any, Any]:
        """Return all rows of a batch as one array."""
        import numpy as np

        parts = [rows.columns[0] for rows in batch]
        return np.asarray(parts[0]) if len(parts) == 1 else np.concatenate(parts)

    def _rows(self, data: list[Any]) -> Rows | None:
        import numpy as np

        try:
            array = np.array(data, dtype=self._dtype)  # as MLflow converts it
        except (ValueError, TypeError, OverflowError):
            return None
        if array.shape[1:] != self._row:
            return None
        return Rows((array,), len(array))
